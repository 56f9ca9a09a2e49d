"""Is it alive, may it be sent work, and its metrics, counted in the books when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from fastapi import Request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from pydantic import BaseModel
from starlette.responses import PlainTextResponse, Response

from isthmus.app.api.endpoints import endpoint
from isthmus.app.bootstrap import Hub, applied_firm
from isthmus.domain.states import CaseState
from isthmus.store.records import Case, Effect, InboxMessage, MessageState, RunRow
from isthmus.store.tables import TABLES


class Health(BaseModel):
    """firm_version: the firm this process runs; applied_version: the one in force. They differ until a restart."""

    status: str
    firm_version: int = 0
    applied_version: int = 0


@endpoint("GET /healthz", answer=Health)
async def alive() -> Health:
    """Say that the process is alive."""
    return Health(status="alive")


@endpoint("GET /readyz", answer=Health)
def ready(request: Request) -> Health:
    """Say whether requests can be served: the database answers and a firm is applied."""
    hub: Hub = request.app.state.hub
    applied = applied_firm(hub.store)
    version = applied.version if applied else 0
    return Health(status="ready", firm_version=hub.firm_version, applied_version=version)


@endpoint("GET /metrics", extra={"responses": {"200": {"content": {"text/plain": {}}}}})
def metrics(request: Request) -> Response:
    """Count messages, runs, effects and open cases for Prometheus."""
    return PlainTextResponse(generate_latest(request.app.state.metrics), media_type=CONTENT_TYPE_LATEST)


def registry_of(hub: Hub) -> CollectorRegistry:
    """A registry whose numbers come from the books, so every process of the fleet tells the same."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Books(hub))
    return registry


class _Books(Collector):
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> Iterable[Metric]:
        """One snapshot of all counts."""
        message, run, effect, case = (TABLES[model] for model in (InboxMessage, RunRow, Effect, Case))
        count, repeats = sa.func.count(), sa.func.coalesce(sa.func.sum(message.c.duplicates), 0)
        quarantined = sa.func.count().filter(message.c.state == MessageState.QUARANTINED)
        good = sa.func.count().filter(message.c.state != MessageState.QUARANTINED)
        open_cases = sa.select(case.c.queue, count).where(case.c.state == CaseState.OPEN).group_by(case.c.queue)
        asked = (
            ("messages_accepted", "Messages accepted", ("source",), sa.select(message.c.source, good)),
            ("messages_duplicate", "Repeats of messages", ("source",), sa.select(message.c.source, repeats)),
            ("messages_quarantined", "Messages in quarantine", ("source",), sa.select(message.c.source, quarantined)),
        )
        with self._hub.store.transaction() as tx:
            for name, words, labels, query in asked:
                yield _family(name, words, labels, tx.raw.execute(query.group_by(message.c.source)))
            states = sa.select(run.c.process, run.c.state, count).group_by(run.c.process, run.c.state)
            yield _family("runs", "Runs by state", ("process", "state"), tx.raw.execute(states))
            effects = sa.select(effect.c.connection, effect.c.state, count)
            grouped = effects.group_by(effect.c.connection, effect.c.state)
            yield _family("effects", "Effects by state", ("connection", "state"), tx.raw.execute(grouped))
            yield _family("cases_open", "Open cases", ("queue",), tx.raw.execute(open_cases))


def _family(name: str, words: str, labels: tuple[str, ...], rows: Iterable[sa.Row]) -> Metric:  # type: ignore[type-arg]
    family = GaugeMetricFamily(f"isthmus_{name}", words, labels=labels)
    for *values, number in rows:
        family.add_metric([str(value) for value in values], float(number))
    return family
