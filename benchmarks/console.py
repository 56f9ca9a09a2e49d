"""The console at a firm of some size: the time of every page at the server, beside what PostgreSQL took of it.

Pages are asked for in this process, one after the other, by people of every role. What a page does beside its queries
is making HTML; beside each page stands how many queries it made and what they took in PostgreSQL.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from fastapi.testclient import TestClient

from benchmarks.bed import Bed, count, cpu_of_postgres, plain
from benchmarks.console_data import enlarge
from benchmarks.month import NOW, bill, seed
from isthmus.app import bootstrap, figures
from isthmus.app.api import create_app
from isthmus.app.api.reading import reading
from isthmus.app.bootstrap import Hub
from isthmus.app.console_config import ConsoleConfig, LocalPerson
from isthmus.app.firm import ConnectionConfig, parse
from isthmus.domain.states import PartState
from isthmus.policies.authority import Actor
from isthmus.runtime import audit
from isthmus.runtime.clock import HandClock, SystemClock
from isthmus.store.postgres import PostgresStore

Row = tuple[str, str, str]
CONTRACTS, ENTRIES_EACH = 10_000, 90
CASES, EVENTS, AUDIT = 10_000, 200_000, 100_000
TIMES = 15
GOAL_MS = 300
PEOPLE: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "finn": (("finance",), ()),
    "gus": (("finance",), ("GB01",)),
    "cora": (("controller",), ()),
    "pia": (("project_manager",), ()),
    "stella": (("steward",), ()),
    "ines": (("integration", "admin"), ()),
    "eve": (("executive",), ()),
}
CONNECTIONS = {
    "psa": ("kantata", "bearer", ("Psa", "RateBook", "TimeSource"), {"token": "demo:x"}),
    "tax": ("avalara", "basic", ("TaxEngine",), {"username": "demo:x", "password": "demo:x"}),
}


@dataclass(frozen=True)
class Asked:
    """One page as it was asked for, in milliseconds. sql: waiting for queries; cpu: of this process; server: of
    PostgreSQL's.
    """

    name: str
    best: float
    p50: float
    worst: float
    queries: int
    sql: float
    cpu: float
    server: float


class Meter:
    """Counts the queries of this process and the time they take."""

    def __init__(self, engine: sa.Engine) -> None:
        self.queries, self.seconds, self._since = 0, 0.0, 0.0
        sa.event.listen(engine, "before_cursor_execute", self._before)
        sa.event.listen(engine, "after_cursor_execute", self._after)

    def _before(self, *_: Any) -> None:
        self._since = time.perf_counter()

    def _after(self, *_: Any) -> None:
        self.queries += 1
        self.seconds += time.perf_counter() - self._since


def console(one: Bed) -> list[Row]:
    """Every page, and the figures beside a recomputation."""
    url = one.database("console")
    seed(url, CONTRACTS, ENTRIES_EACH)
    bill(one, url)
    enlarge(url, CONTRACTS, CASES, EVENTS, AUDIT)
    with _hub(url) as hub:
        meter, app = Meter(hub.store.engine), create_app(hub)
        people = {name: _log_in(app, name) for name in PEOPLE}
        with hub.store.transaction() as tx:
            figures.condense(tx)  # as the worker does every half minute
        asked = [_ask(people[who], path, name, meter, one.folder) for name, who, path in _pages(url)]
        rows = [_size(url), *_told(asked), _raw(url), _verified(hub), *_recomputed(hub, url)]
    return rows


@contextmanager
def _hub(url: str) -> Iterator[Hub]:
    store = PostgresStore(url)
    applied = bootstrap.applied_firm(store)
    assert applied is not None
    firm = parse(applied.content, "benchmark")
    people = tuple(
        LocalPerson(name=name, password=f"demo:{name}", roles=roles, entities=entities)
        for name, (roles, entities) in PEOPLE.items()
    )
    connections = tuple(
        ConnectionConfig(
            name=n, connector=c, base_url="http://127.0.0.1:9", auth=auth, fills=fills, writes_as=n, secrets=secrets
        )
        for n, (c, auth, fills, secrets) in CONNECTIONS.items()
    )
    other = firm.entities[0].model_copy(update={"code": "GB01", "name": "Bench Ltd", "country": "GB"})
    changes = {
        "entities": (firm.entities[0], other),
        "connections": connections,
        "console": ConsoleConfig(people=people),
    }
    firm = firm.model_copy(update=changes)
    bootstrap.apply_firm(store, firm, by="ines", approved_by="finn", clock=SystemClock())
    store.close()
    hub = bootstrap.build(url, clock=HandClock(NOW + timedelta(hours=1)))
    try:
        yield hub
    finally:
        hub.close()


def _log_in(app: Any, name: str) -> TestClient:
    client = TestClient(app, base_url="http://127.0.0.1:8700", client=("127.0.0.1", 40000), follow_redirects=False)
    answer = client.post("/console/login", data={"name": name, "password": name})
    assert answer.status_code == 303, answer.text
    return client


def _pages(url: str) -> list[tuple[str, str, str]]:
    """(name, who asks, address) of every page, with the largest things there are."""
    with psycopg.connect(plain(url)) as connection:

        def first(query: str) -> Any:
            row = connection.execute(query).fetchone()  # type: ignore[call-overload]
            assert row is not None, query
            return row[0]

        group = first(
            "select group_key from hub.case_file where state = 'open' and exception = 'EX-TERMS'"
            " group by 1 order by count(*) desc limit 1"
        )
        case = first("select case_no from hub.case_file where state = 'open' and exception = 'EX-POST-REJECT' limit 1")
        dim = first("select case_no from hub.case_file where state = 'open' and exception = 'EX-DIM' limit 1")
        run_id = first(f"select run_id from hub.case_file where case_no = '{case}'")
        busy = first(
            "select contract_no from hub.case_file where state = 'open' group by 1 order by count(*) desc limit 1"
        )
        invoice = first("select number from hub.invoice where number <> '' order by number desc limit 1")
    views = {
        "finance": "finn",
        "controller": "cora",
        "pmo": "pia",
        "sales": "stella",
        "integration": "ines",
        "executive": "eve",
    }
    return [
        *((f"Today, {view}", who, f"/console/?view={view}") for view, who in views.items()),
        ("Today, finance of one legal entity", "gus", "/console/?view=finance"),
        ("Cases by cause", "finn", "/console/cases"),
        ("Cases by cause, one legal entity", "gus", "/console/cases"),
        ("Cases one by one", "finn", "/console/cases?view=list"),
        ("Cases one by one, the 5,000th", "finn", "/console/cases?view=list&from=5000"),
        ("Cases with a word", "finn", "/console/cases?q=K-00017"),
        ("Cases decided", "finn", "/console/cases?state=decided"),
        ("A group of cases", "finn", f"/console/groups/{group}"),
        ("A bulk fix of 1,000", "finn", "/console/bulk/B-00001"),
        ("Case, a refused posting", "finn", f"/console/cases/{case}"),
        ("Case, a missing dimension", "finn", f"/console/cases/{dim}"),
        ("Engagements", "pia", "/console/engagements"),
        ("Engagements of one legal entity", "gus", "/console/engagements"),
        ("Engagement", "pia", f"/console/engagements/{busy}"),
        ("Invoices", "finn", "/console/invoices"),
        ("Invoices that are open", "finn", "/console/invoices?where=open"),
        ("Invoices of one legal entity", "gus", "/console/invoices"),
        ("Invoice", "cora", f"/console/invoices/{invoice}"),
        ("Invoice, why a line is its amount", "cora", f"/console/invoices/{invoice}?line=1"),
        ("Runs", "ines", "/console/runs"),
        ("Runs of one legal entity", "gus", "/console/runs"),
        ("Runs that are done", "ines", "/console/runs?state=done"),
        ("Run", "ines", f"/console/runs/{run_id}"),
        ("Connections", "ines", "/console/connections"),
        ("Rules", "finn", "/console/rules"),
        ("Catalog", "ines", "/console/catalog"),
        ("Access", "cora", "/console/access"),
        ("Audit", "cora", "/console/audit"),
        ("Audit of a person", "cora", "/console/audit?actor=finn"),
        ("Search by contract", "pia", f"/console/search?q={busy}"),
        ("Search by invoice", "finn", f"/console/search?q={invoice}"),
        ("Search by client's name", "finn", "/console/search?q=holdings"),
        ("Search, nothing found", "finn", "/console/search?q=no-such-thing"),
    ]


def _ask(client: TestClient, path: str, name: str, meter: Meter, folder: Path) -> Asked:
    for _ in range(2):
        answer = client.get(path)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:300]}"
    queries, seconds, taken = meter.queries, meter.seconds, list[float]()
    cpu, server = time.process_time(), cpu_of_postgres(folder)
    for _ in range(TIMES):
        started = time.perf_counter()
        client.get(path)
        taken.append((time.perf_counter() - started) * 1000)
    each = 1000 / TIMES
    return Asked(
        name=name,
        best=min(taken),
        p50=statistics.median(taken),
        worst=max(taken),
        queries=(meter.queries - queries) // TIMES,
        sql=(meter.seconds - seconds) * each,
        cpu=(time.process_time() - cpu) * each,
        server=(cpu_of_postgres(folder) - server) * each,
    )


def _size(url: str) -> Row:
    parts = count(url, "select count(*) from hub.billable_part")
    cases = count(url, "select count(*) from hub.case_file where state = 'open'")
    runs = count(url, "select count(*) from hub.run where state <> 'done'")
    return (
        "the console",
        f"{cases:,} open cases, {parts:,} parts",
        f"{runs:,} runs under way, {AUDIT:,} audit entries",
    )


def _told(asked: list[Asked]) -> list[Row]:
    slow = [one.name for one in asked if one.p50 >= GOAL_MS]
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    rows = [
        (
            f"  {one.name}",
            f"p50 {one.p50:.0f} ms, best {one.best:.0f}, max {one.worst:.0f}",
            f"{one.queries} queries took {one.sql:.0f} ms; CPU {one.cpu:.0f} ms here, {one.server:.0f} ms PostgreSQL",
        )
        for one in asked
    ]
    slowest = max(asked, key=lambda one: one.p50)
    told = f"goal: every page under {GOAL_MS} ms; over it: {', '.join(slow) or 'none'}; {load}"
    most = max(asked, key=lambda one: one.cpu + one.server)
    cpu = f"{most.cpu + most.server:.0f} ms ({most.name})"
    return [
        *rows,
        (f"  the slowest of {len(asked)} pages", f"p50 {slowest.p50:.0f} ms ({slowest.name})", told),
        ("  the most processor time of a page", cpu, "server and PostgreSQL; what it takes on an idle machine"),
    ]


def _raw(url: str) -> Row:
    """What one look at all open cases takes in psycopg alone."""
    query = "select queue, count(*), sum(amount) from hub.case_file where state = 'open' group by queue"
    taken = []
    with psycopg.connect(plain(url)) as connection:
        for _ in range(TIMES):
            started = time.perf_counter()
            connection.execute(query).fetchall()
            taken.append((time.perf_counter() - started) * 1000)
    return ("  raw: open cases counted and summed by owner", f"p50 {statistics.median(taken):.1f} ms", "psycopg alone")


def _verified(hub: Hub) -> Row:
    started = time.perf_counter()
    problems = audit.verify(hub.store)
    seconds = time.perf_counter() - started
    assert not problems, problems[:3]
    return (f"  verifying the audit's chain of {AUDIT:,}", f"{seconds:.1f} s", f"{AUDIT / seconds:,.0f} entries/s")


def _recomputed(hub: Hub, url: str) -> list[Row]:
    """The figures of Today beside the same sums added up from the ledger itself."""
    eve, now = Actor("eve", frozenset({"executive"})), hub.kernel.clock.now()
    with reading(hub) as tx:
        evidence = {(str(e.state), e.currency): (e.net, e.parts) for e in figures.evidence(tx, eve)}
        loads = {one.queue: (one.cases, one.at_stake) for one in figures.case_load(tx, eve, now)}
        invoices = {i.currency: (i.issued, i.net, i.open) for i in figures.invoice_figures(tx, eve, now.date())}
    with psycopg.connect(plain(url)) as connection:
        parts = connection.execute(
            "select state, currency, sum(net), count(*) from hub.billable_part where state <> %s group by 1, 2",
            (PartState.SUPERSEDED,),
        ).fetchall()
        cases = connection.execute(
            "select queue, count(*), sum(amount) from hub.case_file where state = 'open' group by 1"
        ).fetchall()
        issued = connection.execute(
            "select currency, count(*), sum(net), sum(open) from hub.invoice where life in ('issued', 'credited')"
            " and kind <> 'credit' group by 1"
        ).fetchall()
    assert evidence == {(state, currency): (net, number) for state, currency, net, number in parts}, evidence
    assert loads == {queue: (number, {"USD": amount} if amount else {}) for queue, number, amount in cases}, loads
    assert invoices == {currency: tuple(rest) for currency, *rest in issued}, invoices
    total = sum((net for _, _, net, _ in parts), Decimal(0))
    sums = len(parts) * 2 + len(cases) * 2 + len(issued) * 3
    return [("  figures on Today beside the ledger", f"{sums} sums, all equal", f"{total:,} USD of evidence")]
