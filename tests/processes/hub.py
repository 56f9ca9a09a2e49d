"""A hub in memory with calm weather: the real processes, the model systems, a clock moved by hand."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from isthmus.app.bootstrap import STORIES
from isthmus.domain.objects import (
    Address,
    BillingType,
    Cap,
    Client,
    ContractLine,
    ContractVersion,
    LegalEntity,
    Rate,
    TimeEntry,
)
from isthmus.domain.states import CaseState
from isthmus.processes import sweeps
from isthmus.runtime.clock import HandClock
from isthmus.runtime.engine import MemoryEngine
from isthmus.runtime.kernel import Kernel
from isthmus.store.memory import MemoryStore
from isthmus.store.records import Case, RunRow, RunStep
from tests.simulation.fakes import FakeSystems

REGISTERED = STORIES  # importing them is what registers the processes
NEW_YORK = Address(street="1 Main St", city="New York", region="NY", postal_code="10001", country="US")
ENTITY = LegalEntity(
    code="US01",
    name="Narrows Consulting Inc.",
    functional_currency="USD",
    country="US",
    time_zone="America/New_York",
    currencies=("USD",),
    payment_terms=("NET30",),
    payment_days={"NET30": 30},
    days_ahead=None,  # the clock stands at the beginning of the month whose work arrives
    address=NEW_YORK,
)
CLIENT = Client(client_no="C-1", legal_name="Harbor Mutual", country="US", tax_id="US-77", address=NEW_YORK)


def contract(**changes: Any) -> ContractVersion:
    """A signed time-and-materials contract that passes every check; changes replace fields."""
    line = ContractLine(
        line_uid="L1",
        description="Advice",
        billing_type=BillingType.TM,
        tax_code="SERVICES",
        rates=(Rate(role="Consultant", bill_rate=Decimal("185.00"), effective_from=date(2026, 3, 1)),),
    )
    facts: dict[str, Any] = {
        "contract_no": "K-1",
        "version": 1,
        "client_no": "C-1",
        "client": CLIENT,
        "entity": "US01",
        "currency": "USD",
        "effective_from": date(2026, 3, 1),
        "signed_on": date(2026, 2, 20),
        "legal_approved_by": "lea",
        "finance_approved_by": "finn",
        "payment_terms": "NET30",
        "dimensions": {"practice": "DIGITAL", "cost_center": "CC-1"},
        "lines": (line,),
        "caps": (Cap(cap_id="K-1:cap", scope="contract", limit=Decimal("10000.00")),),
    }
    facts |= changes
    return ContractVersion(**{"payers": payers_of(facts["lines"]), **facts})


def payers_of(lines: Iterable[ContractLine]) -> tuple[Client, ...]:
    """Whom lines name as payers beside C-1, as the contract describes them."""
    named = dict.fromkeys(payer.bill_to for line in lines for payer in line.payers if payer.bill_to != "C-1")
    return tuple(Client(client_no=no, legal_name=no, country="US", address=CLIENT.address) for no in named)


class Hub:
    """Everything a process test needs."""

    def __init__(self, entity: LegalEntity = ENTITY, store: Any = None, **kernel: Any) -> None:
        self.clock = HandClock(datetime(2026, 3, 2, 15, tzinfo=UTC))
        self.store = store or MemoryStore()
        self.systems = FakeSystems()
        self.engine = MemoryEngine()
        self.told: list[str] = []
        self.kernel = Kernel(
            self.store,
            self.clock,
            self.engine,
            self.systems,
            told=lambda _, step: self.told.append(step.phrase),
            **kernel,
        )
        with self.store.transaction() as tx:
            tx.insert(entity)

    def go(self) -> None:
        """Advance everything that is due now."""
        while taken := self.engine.take():
            self.kernel.advance(*taken)

    def later(self, **delta: float) -> None:
        """Move the clock, wake what is due, go."""
        self.clock.move(timedelta(**delta))
        self.kernel.wake_due()
        self.go()

    def start(self, process: str, key: str, **args: Any) -> RunRow:
        """Start a run for US01 and go."""
        with self.store.transaction() as tx:
            self.kernel.start(tx, process, key, args, entity="US01", correlation_id="contract:K-1")
        self.go()
        return self.run(f"{process}/{key}")

    def set_up(self, terms: ContractVersion | None = None) -> RunRow:
        """Bring a contract through contract_to_project as far as it goes."""
        terms = terms or contract()
        self.systems.crm.put_contract(terms)
        sweeps.sweep_contracts(self.kernel, self.systems.crm)
        self.go()
        return self.run(f"contract_to_project/{terms.key}")

    def capture(self, *entries: TimeEntry) -> None:
        """Approved time arrives and is worked on."""
        with self.store.transaction() as tx:
            sweeps.accept_time(self.kernel.books(tx, key="test", actor="psa"), "psa", entries)
        sweeps.drain_time(self.kernel)
        self.go()

    def bill(self, name: str, cutoff: str = "2026-03-31") -> RunRow:
        """A billing run for the contract."""
        return self.start("bill_contract", f"K-1:{name}", contract_no="K-1", cutoff=cutoff, prepared_by="ana")

    def resolve(self, action: str, actor: str = "finn", exception: str = "", **values: Any) -> Case:
        """Resolve the one open case (of a type) and go."""
        case = self.case(exception)
        with self.store.transaction() as tx:
            case = self.kernel.resolve(tx, case.case_no, action=action, actor=actor, reason="test", values=values)
        self.go()
        return case

    def case(self, exception: str = "") -> Case:
        """The one open case (of a type)."""
        cases = self.rows(Case, state=CaseState.OPEN, **({"exception": exception} if exception else {}))
        assert len(cases) == 1, [c.cause for c in cases]
        return cases[0]  # type: ignore[no-any-return]

    def rows(self, model: Any, **equals: Any) -> list[Any]:
        """Rows of the hub's books."""
        with self.store.transaction() as tx:
            return tx.find(model, **equals)

    def run(self, run_id: str) -> RunRow:
        """A run by id."""
        with self.store.transaction() as tx:
            row = tx.get(RunRow, run_id)
        assert row is not None
        return row

    def steps(self, run_id: str) -> list[str]:
        """Phrases of a run's finished steps, in order."""
        with self.store.transaction() as tx:
            return [step.phrase for step in tx.find(RunStep, run_id=run_id, order=("seq",))]


def entry(number: int, hours: str, day: int = 3, **changes: Any) -> TimeEntry:
    """An approved entry of ann on the contract's one task."""
    facts: dict[str, Any] = {
        "source": "psa",
        "source_id": str(number),
        "project_code": "P-K-1",
        "task_code": "L1",
        "person": "ann",
        "role": "Consultant",
        "service_date": date(2026, 3, day),
        "hours": Decimal(hours),
        "approved_by": "pia",
        "approved_at": datetime(2026, 3, day, 18, tzinfo=UTC),
    }
    return TimeEntry(**{**facts, **changes})
