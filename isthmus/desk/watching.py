"""The desk's watch: a case for what should have come and did not, and for runs that do not move.

Looked at now and then by any worker. The cases close themselves when the matter is over; whoever has answered one is
not asked again about the same silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from isthmus.desk.alarms import SILENCE, WEDGE, Alarm
from isthmus.desk.config import DeskConfig
from isthmus.desk.silences import silences
from isthmus.desk.wedges import wedges
from isthmus.domain.errors import NeedsDecision
from isthmus.domain.states import CaseState
from isthmus.runtime.kernel import Kernel
from isthmus.runtime.loops import keeper
from isthmus.store.records import Case
from isthmus.store.tx import Tx


def tick(kernel: Kernel, config: DeskConfig, watched_since: datetime) -> int:
    """Open a case for every alarm, close those that are over; how many were opened or closed.

    watched_since: since when this worker works; while nobody did, nothing could move.
    """
    with kernel.store.transaction() as tx:
        tx.lock("desk-watch")
        return settle(kernel, tx, _alarms(kernel, tx, config, watched_since), (SILENCE, WEDGE), "")


def settle(kernel: Kernel, tx: Tx, alarms: Iterable[Alarm], kinds: tuple[str, ...], under: str) -> int:
    """Open a case for every alarm, close those of these types, under run ids that begin so, which are over."""
    raised = {alarm.run_id: alarm for alarm in alarms}
    over = [
        case
        for case in tx.find(Case, state=CaseState.OPEN, exception=kinds, order=("case_no",))
        if case.run_id not in raised and case.run_id.startswith(under)
    ]
    for case in over:
        kernel.close_alert(tx, case.run_id, case.exception)
    return len(over) + sum(_raise(kernel, tx, alarm) for alarm in raised.values())


def _alarms(kernel: Kernel, tx: Tx, config: DeskConfig, watched_since: datetime) -> Iterator[Alarm]:
    for expected in config.expect:
        yield from silences(kernel, tx, expected)
    now = kernel.clock.now()
    if now - watched_since >= timedelta(minutes=config.wedge.minutes):
        yield from wedges(tx, now, config.wedge)


def _raise(kernel: Kernel, tx: Tx, alarm: Alarm) -> bool:
    """True when a case was opened: not while there is one, and not when a person has answered this very alarm."""
    since = alarm.since.isoformat()
    known = tx.find(Case, run_id=alarm.run_id, exception=alarm.exception, order=("-opened_at",), limit=20)
    if any(case.state is CaseState.OPEN or case.context.get("since") == since for case in known):
        return False
    row = keeper(alarm.run_id, alarm.subject, kernel.clock.now())
    row = row.model_copy(
        update={"entity": alarm.entity, "correlation_id": alarm.correlation_id or alarm.run_id, "process": "watch"}
    )
    told = NeedsDecision(
        alarm.exception,
        alarm.cause,
        queue=alarm.queue,
        money=alarm.money,
        context={**alarm.context, "since": since},
        actions=("accept",),
    )
    kernel.open_case(tx, row, 0, alarm.tried, told)
    return True
