"""A hub in memory, and around it the sandboxes of a tax engine, and the CRM, PSA and ERP that the test names."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from isthmus.app.bootstrap import STORIES, ConnectedSystems
from isthmus.app.demo import world
from isthmus.app.demo.firm import connections
from isthmus.app.demo.world import Deal
from isthmus.app.firm import parse
from isthmus.domain.objects import Invoice, LegalEntity
from isthmus.domain.states import CaseState
from isthmus.processes import sweeps
from isthmus.processes.subscribers import SUBSCRIBERS
from isthmus.runtime import outbox
from isthmus.runtime.clock import HandClock
from isthmus.runtime.engine import MemoryEngine
from isthmus.runtime.gate import Gate
from isthmus.runtime.kernel import Kernel
from isthmus.sandbox.server import Running, running
from isthmus.store.memory import MemoryStore
from isthmus.store.records import Case, CrossReference, RunRow
from tests.pairings.crms import SALESFORCE, Crm
from tests.pairings.erps import Erp
from tests.pairings.psas import KANTATA, Psa
from tests.processes.hub import ENTITY

REGISTERED = STORIES  # importing them is what registers the processes
OTHERS = ("salesforce", "avalara")
BOOKED = ("practice", "cost_center")  # what every project of the firm says for its books
ROUNDS_MAX = 500
PATIENCE = timedelta(minutes=2)
DEAL = world.DEALS[0]
PROJECT = f"P-{DEAL.contract_no}"


@dataclass(frozen=True)
class Beside:
    """Another tool beside the first PSA, and what its connection and that of the PSA say otherwise then."""

    tool: Psa
    says: dict[str, Any]
    psa_says: dict[str, Any] = field(default_factory=dict)


class Pair:
    """The firm's month with one CRM, one PSA and one ERP, and perhaps a tool beside the PSA.

    entities: its legal entities beside US01, each with books of its own in the same systems.
    """

    def __init__(
        self,
        erp: Erp,
        psa: Psa,
        served: dict[str, Running],
        folder: Path,
        crm: Crm = SALESFORCE,
        beside: Beside | None = None,
        entities: tuple[LegalEntity, ...] = (),
    ) -> None:
        self.erp, self.psa, self.crm = erp, psa, crm
        self.served = served
        self.clock = HandClock(datetime(2026, 3, 2, 15, tzinfo=UTC))
        for system in served:
            self.control(system, "reset", None)
        self.tell_time()
        firms = [each.model_copy(update={"dimensions_required": BOOKED}) for each in (ENTITY, *entities)]
        made = [crm.connection(folder, served[crm.system]), *connections(folder, {"avalara": served["avalara"]})]
        made += [psa.connection(served[psa.system]) | (beside.psa_says if beside else {})]
        made += [erp.connection(folder, served[erp.system])]
        made += [beside.tool.connection(served[beside.tool.system]) | beside.says] if beside else []
        for connection in made:
            self._serve_all(connection, [each.code for each in firms])
        content = {"name": "Narrows", "entities": [each.model_dump(mode="json") for each in firms]}
        firm = parse({**content, "connections": made, "callers": []}, "pairing")
        self.systems = ConnectedSystems(firm, lambda _: None)
        self.store = MemoryStore()
        self.engine = MemoryEngine()
        self.kernel = Kernel(
            self.store,
            self.clock,
            self.engine,
            self.systems,
            gate=Gate(firm.ownership),
            subscribers=dict(SUBSCRIBERS),
        )
        with self.store.transaction() as tx:
            for each in firms:
                tx.insert(each)
        psa.open_office(self, DEAL)

    def _serve_all(self, connection: dict[str, Any], codes: list[str]) -> None:
        """What a connection's settings say of US01, they say of all entities: the systems' own books are one."""
        for name, value in connection.get("settings", {}).items():
            if isinstance(value, dict) and "US01" in value:
                connection["settings"][name] = dict.fromkeys(codes, value["US01"])

    # -- systems -------------------------------------------------------------------------------------------------

    def control(self, system: str, path: str, body: Any) -> Any:
        """Tell a sandbox something by its control surface."""
        answer = httpx.post(f"{self.served[system].url}/_control/{path}", json=body, timeout=20, trust_env=False)
        answer.raise_for_status()
        return answer.json()

    def state(self, system: str, collection: str) -> list[dict[str, Any]]:
        """What a sandbox holds."""
        answer = httpx.get(f"{self.served[system].url}/_control/state", timeout=20, trust_env=False)
        rows: list[dict[str, Any]] = answer.json().get(collection, [])
        return rows

    def tell_time(self) -> None:
        """Sandboxes have the hub's clock."""
        for system in self.served:
            self.control(system, "clock", {"now": f"{self.clock.now():%Y-%m-%dT%H:%M:%SZ}"})

    # -- the hub -------------------------------------------------------------------------------------------------

    def go(self) -> None:
        """Until nothing moves by itself; short waits are waited out on the clock."""
        for _ in range(ROUNDS_MAX):
            if taken := self.engine.take():
                self.kernel.advance(*taken)
            elif not self._delivered() and not self._woken():
                return
        raise AssertionError("the hub does not come to rest")

    def _delivered(self) -> int:
        return sum(outbox.dispatch(self.kernel, subscriber) for subscriber in self.kernel.subscribers)

    def _woken(self) -> bool:
        due = self.kernel.next_wake()
        if due is None or due - self.clock.now() > PATIENCE:
            return False
        self.clock.move_to(due)
        time.sleep(0.02)  # a connection that was told to wait does so by the machine's clock
        return bool(self.kernel.wake_due())

    def rows(self, model: Any, **equals: Any) -> list[Any]:
        """Rows of the hub's books."""
        with self.store.transaction() as tx:
            return tx.find(model, **equals)

    def run(self, run_id: str) -> RunRow:
        """A run by id."""
        [row] = self.rows(RunRow, run_id=run_id)
        return row  # type: ignore[no-any-return]

    def start(self, process: str, key: str, *, entity: str = "US01", deal: Deal = DEAL, **args: Any) -> RunRow:
        """A run as a request starts it."""
        with self.store.transaction() as tx:
            self.kernel.start(tx, process, key, args, entity=entity, correlation_id=f"contract:{deal.contract_no}")
        self.go()
        return self.run(f"{process}/{key}")

    def approve(self, exception: str) -> None:
        """finn.finance approves the one open case."""
        [case] = self.rows(Case, state=CaseState.OPEN)
        assert case.exception == exception, case.cause
        self.resolve(case, "approve")

    def resolve(self, case: Case, action: str) -> None:
        """finn.finance decides a case."""
        with self.store.transaction() as tx:
            self.kernel.resolve(tx, case.case_no, action=action, actor="finn.finance", reason="checked", values={})
        self.go()

    # -- business ------------------------------------------------------------------------------------------------

    def win(self, deal: Deal = DEAL, entity: str = "US01") -> RunRow:
        """The deal is won and signed; the hub asks the CRM."""
        self.crm.win(self, deal, entity)
        sweeps.sweep_contracts(self.kernel, self.systems.connections[self.crm.system])
        self.go()
        return self.run(f"contract_to_project/{deal.contract_no}@1")

    def work(self, *days: tuple[date, str, str], deal: Deal = DEAL, tool: Psa | None = None) -> None:
        """Approved time in the PSA, or in the tool beside it: (day, line, hours); the hub asks for it."""
        self.clock.move(timedelta(hours=1))
        self.tell_time()
        (tool or self.psa).work(self, f"P-{deal.contract_no}", deal, days)
        self.ask_for_time(tool)

    def remote(self, key: str, system: str = "") -> str:
        """The id that something of ours has in the PSA, or in another system."""
        refs = self.rows(CrossReference, system=system or self.psa.system, key=key)
        [found] = {ref.remote_id for ref in refs}
        return str(found)

    def ask_for_time(self, tool: Psa | None = None) -> None:
        """The sweep of approved time, and what follows from it."""
        sweeps.sweep_time(self.kernel, self.systems.connections[(tool or self.psa).system])
        sweeps.drain_time(self.kernel)
        self.go()

    def bill(self, name: str, deal: Deal = DEAL, entity: str = "US01") -> RunRow:
        """A billing run to the end of the month."""
        args = {"contract_no": deal.contract_no, "cutoff": "2026-03-31", "prepared_by": "ana.billing"}
        return self.start("bill_contract", f"{deal.contract_no}:{name}", entity=entity, deal=deal, **args)

    def pay(self, invoice: Invoice, amount: Decimal) -> None:
        """Money arrives in the ERP; the hub asks for it twice."""
        self.clock.move(timedelta(days=1))
        self.tell_time()
        self.erp.receive(self, invoice, amount)
        for _ in range(2):
            sweeps.sweep_payments(self.kernel, self.systems.connections[self.erp.system])
            self.go()


@contextmanager
def systems(*names: str) -> Iterator[dict[str, Running]]:
    """The sandboxes of the others and of these, for one module of tests."""
    with running(*OTHERS, *names) as served:
        yield served


@contextmanager
def paired(erp: Erp, served: dict[str, Running], psa: Psa = KANTATA, **more: Any) -> Iterator[Pair]:
    """A fresh hub with empty sandboxes; only these systems are connected."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="isthmus-pairing-")))
        beside, crm = more.get("beside"), more.get("crm", SALESFORCE)
        wanted = {crm.system, "avalara", psa.system, erp.system, *([beside.tool.system] if beside else [])}
        pair = Pair(erp, psa, {name: one for name, one in served.items() if name in wanted}, folder, **more)
        stack.callback(pair.systems.close)
        yield pair
