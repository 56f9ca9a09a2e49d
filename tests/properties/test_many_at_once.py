"""Twenty people approve and issue at the same time for one entity, on a real PostgreSQL."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from isthmus.app.controls import audit
from isthmus.domain.errors import IllegalTransition
from isthmus.domain.objects import BillablePart, BillingType, ContractLine, Invoice, Rate
from isthmus.domain.states import CaseState, InvoiceLife, PartState
from isthmus.processes import sweeps
from isthmus.runtime.clock import HandClock
from isthmus.runtime.engine import MemoryEngine
from isthmus.runtime.kernel import Kernel
from isthmus.store.postgres import PostgresStore
from isthmus.store.records import Case, RunRow, RunState
from tests.end_of_run import TOLD
from tests.processes.hub import ENTITY, contract, entry
from tests.simulation.fakes import FakeSystems

USERS, RUNS_EACH, CONTRACTS = 20, 3, 8
WAIT = 240


class Person:
    """A user with a kernel and a queue of their own on the shared books."""

    def __init__(self, store: PostgresStore, systems: FakeSystems, name: str) -> None:
        self.name, self.store, self.engine = name, store, MemoryEngine()
        self.kernel = Kernel(store, HandClock(datetime(2026, 3, 31, 15, tzinfo=UTC)), self.engine, systems)

    def go(self) -> None:
        while taken := self.engine.take():
            self.kernel.advance(*taken)

    def bill(self, contract_no: str, name: str) -> None:
        """Start a billing run and go as far as it goes."""
        args = {"contract_no": contract_no, "cutoff": "2026-03-31", "prepared_by": "ana"}
        with self.store.transaction() as tx:
            self.kernel.start(tx, "bill_contract", f"{contract_no}:{name}", args, entity="US01", correlation_id="x")
        self.go()

    def approve(self, case_no: str) -> None:
        """Approve what waits, and go on to the issued and posted invoice."""
        with self.store.transaction() as tx:
            self.kernel.resolve(tx, case_no, action="approve", actor=self.name, reason="seen", values={})
        self.go()


class Locked(FakeSystems):
    """The model systems, asked by one thread at a time: they are dictionaries, not databases."""

    def filling(self, port: str, entity: str, source: str = "", about: Any = None) -> Any:
        model = super().filling(port, entity, source)
        lock = self.__dict__.setdefault("_lock", threading.RLock())

        class Guarded:
            def __getattr__(self, name: str) -> Any:
                found = getattr(model, name)
                if not callable(found):
                    return found

                def call(*args: Any, **more: Any) -> Any:
                    with lock:
                        return found(*args, **more)

                return call

        return Guarded()


def at_once(work: list[Any]) -> list[BaseException]:
    """Run everything in threads that begin together; what went wrong."""
    gate, wrong = threading.Barrier(len(work)), list[BaseException]()

    def do(job: Any) -> None:
        gate.wait()
        try:
            job()
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=do, args=(job,), daemon=True) for job in work]
    for thread in threads:
        thread.start()
    end = time.monotonic() + WAIT
    for thread in threads:
        thread.join(max(end - time.monotonic(), 0.1))
    assert not [thread for thread in threads if thread.is_alive()], "somebody still waits"
    return wrong


def set_up(person: Person, systems: FakeSystems) -> None:
    """Contracts of one entity with approved time; everything above one dollar takes an approval."""
    line = ContractLine(
        line_uid="L1",
        description="Advice",
        billing_type=BillingType.TM,
        tax_code="SERVICES",
        rates=(Rate(role="Consultant", bill_rate=Decimal("133.33"), effective_from=date(2026, 3, 1)),),
    )
    with person.store.transaction() as tx:
        tx.insert(ENTITY.model_copy(update={"invoice_approval_limit": Decimal(1)}))
    for number in range(CONTRACTS):
        systems.crm.put_contract(contract(contract_no=f"K-{number}", lines=(line,)))
    sweeps.sweep_contracts(person.kernel, systems.crm)
    person.go()
    capture(person, 1)


def capture(person: Person, round_: int) -> None:
    """A few hours on every contract."""
    made = [
        entry(100 * round_ + 10 * number + n, "2.35", day=round_ + n, project_code=f"P-K-{number}", note=str(n))
        for number in range(CONTRACTS)
        for n in range(1, 4)
    ]
    with person.store.transaction() as tx:
        sweeps.accept_time(person.kernel.books(tx, key="test", actor="psa"), "psa", made)
    sweeps.drain_time(person.kernel)
    person.go()


def rows(store: PostgresStore, model: Any, **equals: Any) -> list[Any]:
    with store.transaction() as tx:
        return tx.find(model, **equals)


def deadlocks_and_waits(url: str) -> tuple[int, int, int]:
    """(deadlocks the server has broken, locks that wait, transactions left open) of this database."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("select pg_stat_force_next_flush()")
        connection.execute("select pg_stat_clear_snapshot()")
        row = connection.execute(
            "select (select deadlocks from pg_stat_database where datname = current_database()),"
            " (select count(*) from pg_locks l join pg_database d on d.oid = l.database"
            "  where d.datname = current_database() and not granted),"
            " (select count(*) from pg_stat_activity where datname = current_database()"
            "  and state like 'idle in transaction%')"
        ).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


@pytest.mark.slow
@pytest.mark.requirement("WF-50", "OBJ-17")
def test_twenty_people_approve_and_issue_at_once(
    fresh_database: str, record_property: Callable[[str, object], None]
) -> None:
    store, systems = PostgresStore(fresh_database, pool_size=USERS + 4), Locked()
    people = [Person(store, systems, f"user-{n}") for n in range(USERS)]
    set_up(people[0], systems)
    begun = time.monotonic()
    for round_ in range(RUNS_EACH):
        if round_:
            capture(people[0], 1 + 4 * round_)
        # Everybody bills: on every contract two or three people at once.
        jobs = [lambda p=p, n=n, r=round_: p.bill(f"K-{n % CONTRACTS}", f"{r}-{p.name}") for n, p in enumerate(people)]
        assert at_once(jobs) == []
        drafted = Counter(p.part_id for p in rows(store, BillablePart, state=PartState.ON_DRAFT))
        assert set(drafted.values()) == {1}
        waiting = rows(store, Case, state=CaseState.OPEN, exception="EX-REVIEW")
        assert len(waiting) == CONTRACTS
        # Everybody approves: two or three people press the button of the same case.
        wrong = at_once([lambda p=p, c=waiting[n % CONTRACTS]: p.approve(c.case_no) for n, p in enumerate(people)])
        assert {type(error) for error in wrong} <= {IllegalTransition}, wrong  # "is resolved already"
        assert len(wrong) == USERS - CONTRACTS
    seconds = time.monotonic() - begun
    issued = sorted(i.number for i in rows(store, Invoice, life=InvoiceLife.ISSUED))
    assert issued == [f"US01-INV-2026-{n:05d}" for n in range(1, CONTRACTS * RUNS_EACH + 1)]
    living = [i for i in rows(store, Invoice) if i.life is not InvoiceLife.DISCARDED]
    on_lines = Counter(part_id for i in living for line in i.lines for part_id in line.part_ids)
    assert set(on_lines.values()) == {1}
    assert {run.state for run in rows(store, RunRow)} == {RunState.DONE}
    assert deadlocks_and_waits(fresh_database) == (0, 0, 0)
    assert audit(people[0].kernel) == []
    record_property(
        TOLD,
        f"{USERS} people, {USERS * RUNS_EACH} billing runs and as many approvals at once: {len(issued)} invoices,"
        f" numbers gapless, {len(on_lines)} parts on one line each, 0 deadlocks, {seconds:.1f} s",
    )
    store.close()
