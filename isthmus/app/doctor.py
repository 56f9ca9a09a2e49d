"""Is the hub well? Each check is one line: ok, warn or fail, what was seen, and what to do about it.

Nothing is changed anywhere. A connection is asked for something that cannot exist, which proves address, credentials
and permission without touching a record.
"""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

import httpx
import sqlalchemy as sa

from isthmus.app.bootstrap import applied_firm, connect
from isthmus.app.connecting.found import connector_class
from isthmus.app.firm import ConnectionConfig, FirmConfig, parse
from isthmus.app.vault import Vault
from isthmus.domain.errors import IsthmusError, NeedsSetup, NotFound, Unreachable
from isthmus.domain.journals import Journal, booking
from isthmus.domain.objects import Rate
from isthmus.domain.states import CaseState
from isthmus.kit.executor import trusted
from isthmus.ports.calls import Exchange, exchanges_of_call
from isthmus.ports.messages import ContestedLines, PostVendorBill, RateCardIn, ScheduleIn
from isthmus.runtime import audit
from isthmus.runtime.clock import SystemClock
from isthmus.runtime.engine import LANES
from isthmus.runtime.fleet import LEASE_SECONDS
from isthmus.store import embedded, migrate
from isthmus.store.postgres import PostgresStore
from isthmus.store.records import (
    Case,
    ConnectionState,
    DeliveryState,
    Effect,
    EffectState,
    EventDelivery,
    Executor,
    RunRow,
    RunState,
)
from isthmus.store.tx import Tx

NOBODY = "isthmus-doctor-asks"  # a key that no system has
ANSWER_SECONDS = 10.0
OLDEST_DUE_SECONDS = 60.0
SKEW_SECONDS_WARN, SKEW_SECONDS_FAIL = 1.0, LEASE_SECONDS / 3
POSTGRES_MIN = 15
FREE_BYTES_WARN, FREE_BYTES_FAIL = 5 * 2**30, 2**29
DOUBT_MINUTES = 15
_NO_RATE = Rate(role=NOBODY, bill_rate=Decimal(1), effective_from=date(2000, 1, 1))
_NO_JOURNAL = Journal(
    journal_no=NOBODY,
    entity="",
    kind="accrual",
    booked_on=date(2000, 1, 1),
    currency="USD",
    lines=booking("accrued_revenue", "revenue", Decimal(1), ""),
    recorded_at=datetime(2000, 1, 1, tzinfo=UTC),
)
_NO_BILL = PostVendorBill(
    bill_id=NOBODY,
    bill_no=NOBODY,
    supplier=NOBODY,
    entity="",
    project_code=NOBODY,
    currency="USD",
    billed_on=date(2000, 1, 1),
    due_on=date(2000, 1, 1),
    lines=(),
    total=Decimal(0),
)
_NO_CARD = RateCardIn(project_code=NOBODY, currency="USD", rates=(_NO_RATE,))


def _just_now() -> str:
    return datetime.now(UTC).isoformat()


# One read per port that changes nothing and finds nothing, or next to nothing.
HARMLESS_READS: dict[str, Callable[[Any, str], Any]] = {
    "Crm": lambda connection, entity: connection.read_contract(NOBODY),
    "Delivery": lambda connection, entity: connection.milestones_changed(_just_now()),
    "DisputeBoard": lambda connection, entity: connection.find_contested(ContestedLines(project_code=NOBODY)),
    "Erp": lambda connection, entity: connection.payment_terms(),
    "Esign": lambda connection, entity: connection.envelopes_ended(_just_now()),
    "ExpenseSource": lambda connection, entity: connection.approved_expenses(_just_now()),
    "JournalBook": lambda connection, entity: connection.find_journal(_NO_JOURNAL),
    "Psa": lambda connection, entity: connection.read_project(NOBODY),
    "RateBook": lambda connection, entity: connection.find_rates(_NO_CARD),
    "ReceivableList": lambda connection, entity: connection.receivables(entity, date.max),
    "ScheduleBook": lambda connection, entity: connection.find_schedule(
        ScheduleIn(project_code=NOBODY, currency="USD", milestones=())
    ),
    "TaxEngine": lambda connection, entity: connection.registrations(entity),
    "TimeSource": lambda connection, entity: connection.approved_time(_just_now()),
    "VendorBillBook": lambda connection, entity: connection.find_bill(_NO_BILL),
}


@dataclass(frozen=True)
class Line:
    """One check. remedy is empty when all is well."""

    name: str
    level: Literal["ok", "warn", "fail"]
    said: str
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        """For machines."""
        return asdict(self)


def examine(url: str, external: bool) -> Iterator[Line]:
    """All checks, in the order in which one explains the next. Stops where the rest cannot be asked."""
    store = PostgresStore(url, pool_size=2)
    try:
        reachable = _database(store, external)
        yield reachable
        yield _disk(external)
        if reachable.level == "fail":
            return
        schema = _schema(url)
        yield schema
        yield _engine(store)
        yield _clocks(store)
        if schema.level == "fail":
            return
        yield from _work(store)
        yield _chain(store)
        yield from _firm(store)
    finally:
        store.close()


# -- the database ---------------------------------------------------------------------------------------------------


def _database(store: PostgresStore, external: bool) -> Line:
    kind = "external" if external else "embedded"
    try:
        with store.engine.connect() as connection:
            version = int(connection.execute(sa.text("show server_version_num")).scalar_one()) // 10000
    except sa.exc.OperationalError as error:
        said = str(error.orig).strip().splitlines()[-1].strip()
        remedy = "look at the server and at ISTHMUS_DATABASE_URL" if external else "isthmus db status; isthmus db start"
        return Line("database", "fail", f"{kind}, cannot be reached: {said}", remedy)
    if version < POSTGRES_MIN:
        return Line("database", "fail", f"{kind} PostgreSQL {version}", f"use PostgreSQL {POSTGRES_MIN} or newer")
    return Line("database", "ok", f"{kind} PostgreSQL {version} answers")


def _disk(external: bool) -> Line:
    if external:
        return Line("disk", "ok", "the external database's own matter")
    place = embedded.default_data_dir()
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    said = f"{free / 2**30:.1f} GiB free at {place}"
    if free < FREE_BYTES_FAIL:
        return Line("disk", "fail", said, "make room now: PostgreSQL stops when the disk is full")
    if free < FREE_BYTES_WARN:
        return Line("disk", "warn", said, "make room")
    return Line("disk", "ok", said)


def _schema(url: str) -> Line:
    has, wants = migrate.current(url), migrate.head()
    if has == wants:
        return Line("schema", "ok", f"at revision {has}")
    if has is not None and has not in migrate.revisions():
        return Line("schema", "fail", f"at revision {has}, made by a newer isthmus", "use that version of isthmus")
    return Line("schema", "fail", f"at revision {has or 'none'}, this version needs {wants}", "isthmus up prepares it")


def _engine(store: PostgresStore) -> Line:
    from dbos._migration import get_migration_versions

    has, wants = get_migration_versions(store.engine, "dbos", True)
    if has == wants:
        return Line("engine", "ok", f"DBOS schema at {has}")
    if has > wants:
        return Line("engine", "fail", f"DBOS schema at {has}, this version knows {wants}", "use the newer isthmus")
    return Line(
        "engine", "fail", f"DBOS schema at {has or 'none'}, this version needs {wants}", "isthmus up prepares it"
    )


def _clocks(store: PostgresStore) -> Line:
    with store.engine.connect() as connection:
        connection.execute(sa.text("select 1"))  # the first round trip pays for the connection
        before = datetime.now(UTC)
        there: datetime = connection.execute(sa.text("select clock_timestamp()")).scalar_one()
        after = datetime.now(UTC)
    skew = abs((there - (before + (after - before) / 2)).total_seconds())
    said = f"database and this machine differ by {skew:.3f} s"
    if skew >= SKEW_SECONDS_FAIL:
        return Line("clocks", "fail", said, "synchronise them (NTP): leases of workers depend on it")
    if skew >= SKEW_SECONDS_WARN:
        return Line("clocks", "warn", said, "synchronise them (NTP)")
    return Line("clocks", "ok", said)


# -- work -----------------------------------------------------------------------------------------------------------


def _work(store: PostgresStore) -> Iterator[Line]:
    now = datetime.now(UTC)
    with store.transaction() as tx:
        yield _workers(tx, now)
        yield from (_lane(tx, lane, now) for lane in LANES)
        yield _stuck(tx)
        yield _in_doubt(tx, now)
        yield _deliveries(tx)


def _workers(tx: Tx, now: datetime) -> Line:
    alive = [e for e in tx.find(Executor) if now - e.seen_at < timedelta(seconds=LEASE_SECONDS)]
    if not alive:
        return Line("workers", "warn", "none is alive: nothing moves", "isthmus up, or isthmus worker")
    hosts = ", ".join(sorted({executor.host for executor in alive}))
    return Line("workers", "ok", f"{len(alive)} alive on {hosts}")


def _lane(tx: Tx, lane: str, now: datetime) -> Line:
    queued = tx.find(RunRow, lane=lane, state=RunState.QUEUED)
    waiting = tx.find(RunRow, lane=lane, state=RunState.WAITING)
    due = [r.updated_at for r in queued] + [r.wake_at for r in waiting if r.wake_at and r.wake_at <= now]
    oldest = max(0.0, (now - min(due)).total_seconds()) if due else 0.0
    said = f"{len(queued)} queued, {len(waiting)} waiting" + (f", oldest due for {oldest:.0f} s" if due else "")
    if oldest > OLDEST_DUE_SECONDS:
        return Line(f"lane {lane}", "warn", said, "start more workers, or see what the running ones do: isthmus runs")
    return Line(f"lane {lane}", "ok", said)


def _stuck(tx: Tx) -> Line:
    failed = tx.find(RunRow, state=RunState.FAILED, limit=1000)
    cases = tx.find(Case, state=CaseState.OPEN, limit=1000)
    if failed:
        said = f"{len(failed)} runs have failed on a bug, such as {failed[0].run_id}"
        return Line("cases", "fail", said, "isthmus runs --state failed; report it with the reason shown")
    if cases:
        return Line(
            "cases", "warn", f"{len(cases)} open for {', '.join(sorted({c.queue for c in cases}))}", "isthmus cases"
        )
    return Line("cases", "ok", "none open")


def _in_doubt(tx: Tx, now: datetime) -> Line:
    since = now - timedelta(minutes=DOUBT_MINUTES)
    doubts = [e for e in tx.find(Effect, state=EffectState.IN_DOUBT) if e.in_doubt_since and e.in_doubt_since < since]
    if doubts:
        said = f"{len(doubts)} writes unsettled for over {DOUBT_MINUTES} min, such as {doubts[0].effect_key}"
        return Line(
            "effects", "warn", said, "see whether that system answers look-ups; nothing is sent twice meanwhile"
        )
    return Line("effects", "ok", "no write is in doubt for long")


def _deliveries(tx: Tx) -> Line:
    dead = tx.find(EventDelivery, state=DeliveryState.DEAD, limit=1000)
    if dead:
        said = f"{len(dead)} events given up for {', '.join(sorted({d.subscriber for d in dead}))}: {dead[0].reason}"
        return Line("events", "fail", said, "mend the cause, then isthmus replay --subscriber NAME")
    return Line("events", "ok", "every event reaches its subscribers")


def _chain(store: PostgresStore) -> Line:
    wrong = audit.verify(store)
    if wrong:
        return Line(
            "audit", "fail", wrong[0], "someone changed the audit: compare with a backup (isthmus audit verify)"
        )
    return Line("audit", "ok", "the chain is whole")


# -- the firm and its connections -----------------------------------------------------------------------------------


def _firm(store: PostgresStore) -> Iterator[Line]:
    applied = applied_firm(store)
    if applied is None:
        yield Line("firm", "warn", "no firm folder is applied", "isthmus init DIR, then isthmus apply DIR")
        return
    firm = parse(applied.content, f"applied firm version {applied.version}")
    yield Line("firm", "ok", f"{firm.name}, version {applied.version}")
    with store.transaction() as tx:
        paused = {state.connection: state.reason for state in tx.find(ConnectionState, paused=True)}
    yield from ask_connections(firm, paused, Vault(store, SystemClock()))


def ask_connections(firm: FirmConfig, paused: dict[str, str], vault: Vault | None = None) -> Iterator[Line]:
    """One line per connection and port, all asked at once."""
    asked = [(config, port) for config in firm.connections for port in config.fills]
    with ThreadPoolExecutor(max_workers=max(1, len(asked))) as pool:
        yield from pool.map(lambda one: _ask(firm, one[0], one[1], paused, vault), asked)


def _ask(firm: FirmConfig, config: ConnectionConfig, port: str, paused: dict[str, str], vault: Vault | None) -> Line:
    name = f"{config.name} {port}"
    if config.name in paused:
        remedy = "isthmus cases --queue integration: resolve its case with resume when the cause is mended"
        return Line(name, "fail", f"is paused: {paused[config.name]}", remedy)
    seen: list[Exchange] = []
    noted = exchanges_of_call.set(seen)
    started = time.perf_counter()
    try:
        said = _read(firm, config, port, vault)
    except NotFound as nothing:
        # The system answered "no such record", or its address is wrong: then its very URL is unknown.
        if seen and seen[-1].status == 404:
            return Line(name, "fail", nothing.message, f"look at base_url ({config.base_url})")
        said = "answers"
    except NeedsSetup as setup:
        return Line(
            name, "fail", setup.message, f"mend the credentials or settings of {config.name}, then isthmus apply"
        )
    except Unreachable as down:
        return Line(name, "fail", down.message, f"look at {_host(config)} and the network; runs wait by themselves")
    except IsthmusError as error:
        return Line(name, "warn", error.message, "look at the answer; the hub's own calls may meet it too")
    finally:
        exchanges_of_call.reset(noted)
    return Line(name, "ok", f"{said} in {(time.perf_counter() - started) * 1000:.0f} ms")


def _read(firm: FirmConfig, config: ConnectionConfig, port: str, vault: Vault | None) -> str:
    """The port's harmless read, under a short patience of its own. What it found, in words."""
    entity = (config.entities or tuple(e.code for e in firm.entities if e.active) or ("",))[0]
    limit = connector_class(config.connector).read_manifest().timeout_seconds
    with httpx.Client(timeout=min(limit, ANSWER_SECONDS), verify=trusted(config.ca_file or True)) as client:
        connection = connect(config, client=client, vault=vault)
        found = HARMLESS_READS[port](connection, entity)
    if port == "Erp" and not found:
        raise NeedsSetup("the ERP shows no payment terms: its user may not see them", config.name)
    return "answers" if port != "TaxEngine" else f"answers for {entity}"


def _host(config: ConnectionConfig) -> str:
    host = httpx.URL(config.base_url).host
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return f"{host} (its name has no address here)"
    return host
