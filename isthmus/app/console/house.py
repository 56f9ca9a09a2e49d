"""Connections, catalog, access, audit and search: how the house is built and what went on in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import sqlalchemy as sa
from starlette.responses import Response

from isthmus.app import figures
from isthmus.app.api.access import ROUTES
from isthmus.app.api.reading import reading
from isthmus.app.bootstrap import Hub
from isthmus.app.connecting.found import connector_class
from isthmus.app.console.pages import PAGES, Look, page
from isthmus.app.console.render import ago, show
from isthmus.app.firm import ConnectionConfig
from isthmus.app.journey import FINDERS
from isthmus.app.scope import demand_sight
from isthmus.desk.types import all_types
from isthmus.domain.errors import NotPermitted
from isthmus.domain.events import EVENT_TYPES
from isthmus.domain.objects import Client, Engagement, Invoice
from isthmus.domain.states import CaseState
from isthmus.kit.traffic import NOT_ANSWERED
from isthmus.policies.authority import QUEUES, ROLES, deciders, matrix
from isthmus.ports import PORTS
from isthmus.runtime import audit as chain
from isthmus.runtime.clock import SystemClock
from isthmus.runtime.lanes import places_taken
from isthmus.runtime.process import PROCESSES
from isthmus.runtime.storyline import lines_of
from isthmus.store.postgres import PostgresTx
from isthmus.store.records import (
    AuditEntry,
    Case,
    ConnectionState,
    Counter,
    Effect,
    Executor,
    InboxMessage,
    RunRow,
    RunState,
    Watermark,
)
from isthmus.store.tables import TABLES

AUDIT_PAGE, FOUND_MAX = 60, 20
VERIFIED_AT_ONCE = 2000  # of the chain's end, while somebody waits for the page; more on demand
PARTS = {
    "processes": "Processes",
    "types": "Case types",
    "ports": "Ports",
    "connectors": "Connectors",
    "events": "Events",
    "api": "API",
}
DAY = timedelta(hours=24)


# -- connections ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Health:
    """How one connection is: paused or not, what it did in the last day, what is left to do, when it last spoke."""

    config: ConnectionConfig
    facts: Any
    paused: bool
    reason: str
    since: datetime | None
    done: int
    backlog: figures.SystemBacklog
    waiting: int
    last_error: str
    breaker: str
    taken: int
    marks: list[Watermark]
    last_message: datetime | None
    case: Case | None

    @property
    def limit(self) -> str:
        """What the vendor allows, in words."""
        limits = self.facts.limits
        if limits.kind == "window":
            return f"{limits.limit} requests in {limits.window_seconds:g} s"
        return f"{limits.limit} requests at once"

    @property
    def state(self) -> str:
        """In a word."""
        if self.paused:
            return "paused"
        return "waiting" if self.waiting or self.backlog.in_doubt else "ok"


@page("/connections", "connection.read")
def connections(look: Look) -> Response:
    """Health of every connection of the firm, its limits, and how far it is asked for changes."""
    now = look.hub.kernel.clock.now()
    with reading(look.hub) as tx:
        backlog = {one.connection: one for one in figures.backlog_by_system(tx, look.actor)}
        facts = {
            "rows": [_health(tx, look.hub, config, backlog, now) for config in look.hub.firm.connections],
            "lanes": figures.runs_by_lane(tx, look.actor),
            "messages": figures.messages_waiting(tx),
            "deliveries": figures.deliveries_waiting(tx),
            "workers": tx.find(Executor, order=("-seen_at",), limit=20),
            # Workers are alive by the machines' clock, whatever month the hub is in.
            "alive": lambda seen: ago(seen, SystemClock().now()),
        }
    return show(look, "connections.html", facts)


def _health(
    tx: PostgresTx, hub: Hub, config: ConnectionConfig, backlog: dict[str, figures.SystemBacklog], now: datetime
) -> Health:
    state = tx.get(ConnectionState, config.name)
    cases = tx.find(Case, run_id=f"connection/{config.name}", state=CaseState.OPEN, limit=1)
    waiting, error = _waiting(tx, config.name)
    return Health(
        config=config,
        facts=connector_class(config.connector).read_manifest(),
        paused=bool(state and state.paused),
        reason=state.reason if state and state.paused else "",
        since=state.changed_at if state else None,
        done=_done(tx, config.name, now),
        backlog=backlog.get(config.name, figures.SystemBacklog(config.name)),
        waiting=waiting,
        last_error=error,
        breaker=_breaker(hub, config.name, error),
        taken=places_taken(tx.raw, config.name),
        marks=tx.find(Watermark, connection=config.name, order=("feed",)),
        last_message=_last_message(tx, config.name),
        case=cases[0] if cases else None,
    )


def _breaker(hub: Hub, name: str, last_error: str) -> str:
    """Closed, or open: as this process has it, else as runs that wait were told by the worker that sends."""
    known = getattr(hub.systems, "connections", {}).get(name)
    state = str(known.traffic.breaker.state).replace("_", " ") if known is not None else "closed"
    elsewhere = state == "closed" and NOT_ANSWERED in last_error
    return "open: nothing is sent for a moment" if elsewhere or state == "open" else state


def _done(tx: PostgresTx, name: str, now: datetime) -> int:
    effect = TABLES[Effect]
    query = sa.select(sa.func.count()).where(effect.c.connection == name, effect.c.done_at > now - DAY)
    return int(tx.raw.execute(query).scalar_one())


def _waiting(tx: PostgresTx, name: str) -> tuple[int, str]:
    """(runs that wait for this connection, what the last of them was told)."""
    run = TABLES[RunRow]
    where = [run.c.state == RunState.WAITING, sa.or_(run.c.reason.contains(name, autoescape=True))]
    count = int(tx.raw.execute(sa.select(sa.func.count()).where(*where)).scalar_one())
    last = tx.raw.execute(sa.select(run.c.reason).where(*where).order_by(run.c.updated_at.desc()).limit(1)).first()
    return count, str(last[0]) if last else ""


def _last_message(tx: PostgresTx, name: str) -> datetime | None:
    message = TABLES[InboxMessage]
    query = sa.select(message.c.received_at).where(message.c.source == name)
    found = tx.raw.execute(query.order_by(message.c.received_at.desc()).limit(1)).first()
    return found[0] if found else None


# -- catalog and access ---------------------------------------------------------------------------------------------


@page("/catalog", "catalog.read")
def catalog(look: Look) -> Response:
    """What the hub does, in the words of its own code: processes line by line, events, ports, case types."""
    subscribers = look.hub.kernel.subscribers
    part = look.query("part")
    facts = {
        "parts": PARTS,
        "part": part if part in PARTS else "processes",
        "processes": [(card, lines_of(name)) for name, card in sorted(PROCESSES.items())],
        "events": [
            (name, told, sorted(s for s, listening in subscribers.items() if name in listening.types))
            for name, told in EVENT_TYPES.items()
        ],
        "ports": [(name, (port.__doc__ or "").split("\n")[0], _verbs(port)) for name, port in sorted(PORTS.items())],
        "connectors": [connector_class(config.connector).read_manifest() for config in look.hub.firm.connections],
        "types": sorted(all_types().items(), key=lambda one: (one[1].queue, one[0])),
        "routes": ROUTES,
    }
    return show(look, "catalog.html", facts)


def _verbs(port: type) -> list[tuple[str, bool, str]]:
    found = []
    for name, verb in vars(port).items():
        spec = getattr(verb, "__verb__", None)
        if spec is not None:
            found.append((name, bool(spec.writes), (verb.__doc__ or "").strip().split("\n")[0]))
    return found


@page("/access", "access.read")
def access(look: Look) -> Response:
    """Who may do what: the one table for tokens, sessions and the desk."""
    used: dict[str, list[str]] = {}
    for route, one in ROUTES.items():
        used.setdefault(one.permission, []).append(route)
    for page_key, declared in PAGES.items():
        used.setdefault(declared.permission, []).append(f"{page_key.replace(' ', ' /console', 1)}")
    queues = [(queue, sorted(deciders(queue))) for queue in QUEUES]
    return show(look, "access.html", {"rows": matrix(), "roles": ROLES, "used": used, "queues": queues})


# -- audit ------------------------------------------------------------------------------------------------------------


@page("/audit", "audit.read")
def audit(look: Look) -> Response:
    """Who did what, when and why; and whether the chain of it is whole."""
    entry = TABLES[AuditEntry]
    asked = {name: look.query(name) for name in ("actor", "subject", "action") if look.query(name)}
    offset = int(look.query("from")) if look.query("from").isdigit() else 0
    where: list[Any] = []
    for name, text in asked.items():
        where.append(entry.c[name].startswith(text, autoescape=True))
    query = sa.select(entry).where(*where).order_by(entry.c.at.desc(), entry.c.audit_id.desc())
    verified = look.query("verify")
    at_most = None if verified == "all" else VERIFIED_AT_ONCE
    problems = chain.verify(look.hub.store, last=at_most) if verified else []
    with reading(look.hub) as tx:
        rows = tx.raw.execute(query.offset(offset).limit(AUDIT_PAGE + 1)).mappings()
        found = [AuditEntry.model_validate(dict(row)) for row in rows]
        length = tx.get(Counter, chain.CHAIN)
        last = tx.find(AuditEntry, order=("-chain",), limit=1)
    more = f"/console/audit?{urlencode({**asked, 'from': offset + AUDIT_PAGE})}" if len(found) > AUDIT_PAGE else ""
    facts = {"rows": found[:AUDIT_PAGE], "asked": asked, "verified": verified, "problems": problems, "more": more}
    whole = length.value if length else 0
    checked = whole if verified == "all" else min(whole, VERIFIED_AT_ONCE)
    sealed = {"length": whole, "checked": checked, "last": last[0] if last and last[0].chain else None}
    return show(look, "audit.html", {**facts, **sealed})


# -- search -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hit:
    """One thing that was found."""

    kind: str
    title: str
    detail: str
    href: str


@page("/search", "journey.read")
def search(look: Look) -> Response:
    """Anything by its business key, its id in another system, or a client's name."""
    words = look.query("q")
    hits: list[Hit] = []
    found_as: list[str] = []
    if words:
        with reading(look.hub) as tx:
            hits, found_as = find(tx, words, look)
    return show(look, "search.html", {"words": words, "hits": hits, "found_as": found_as})


def find(tx: PostgresTx, words: str, look: Look) -> tuple[list[Hit], list[str]]:
    """(what was found, what the words turned out to be). Only what the one who looks may see."""
    found = {name: ids for name, finder in FINDERS.items() if (ids := finder(tx, words) - {""})}
    contracts = sorted(
        {one.removeprefix("contract:") for ids in found.values() for one in ids if one.startswith("contract:")}
    )
    hits = [*_direct(tx, words), *_of_contracts(tx, contracts), *_clients(tx, words)]
    mine = [hit for hit, owner in hits if _visible(tx, look, owner)]
    unique = list({hit.href: hit for hit in mine}.values())
    return unique[:FOUND_MAX], sorted(found)


def _visible(tx: PostgresTx, look: Look, owner: Any) -> bool:
    try:
        demand_sight(look.actor, tx, owner)
    except NotPermitted:
        return False
    return True


def _direct(tx: PostgresTx, words: str) -> list[tuple[Hit, Any]]:
    hits: list[tuple[Hit, Any]] = []
    case = tx.get(Case, words)
    if case is not None:
        hits.append((Hit("case", case.case_no, case.cause, f"/console/cases/{case.case_no}"), case))
    for invoice in [*tx.find(Invoice, number=words, limit=1), *filter(None, [tx.get(Invoice, words)])]:
        title = invoice.number or invoice.invoice_id
        hits.append(
            (Hit("invoice", title, f"{invoice.total:,} {invoice.currency}", f"/console/invoices/{title}"), invoice)
        )
    for run in [*filter(None, [tx.get(RunRow, words)]), *tx.find(RunRow, key=words, limit=5)]:
        hits.append((Hit("run", run.run_id, f"{run.state} {run.reason}", f"/console/runs/{run.run_id}"), run))
    return hits


def _of_contracts(tx: PostgresTx, numbers: list[str]) -> list[tuple[Hit, Any]]:
    hits: list[tuple[Hit, Any]] = []
    for engagement in tx.find(Engagement, contract_no=tuple(numbers), limit=FOUND_MAX) if numbers else []:
        client = tx.get(Client, engagement.client_no)
        detail = f"{client.legal_name if client else engagement.client_no}, {engagement.state}"
        href = f"/console/engagements/{engagement.contract_no}"
        hits.append((Hit("engagement", engagement.contract_no, detail, href), engagement))
    return hits


def _clients(tx: PostgresTx, words: str) -> list[tuple[Hit, Any]]:
    client = TABLES[Client]
    like = client.c.legal_name.icontains(words, autoescape=True)
    rows = tx.raw.execute(sa.select(client.c.client_no, client.c.legal_name).where(like).limit(8))
    return [
        (Hit("client", row.legal_name, row.client_no, f"/console/engagements?client_no={row.client_no}"), None)
        for row in rows
    ]
