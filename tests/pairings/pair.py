"""A hub in memory, and around it the sandboxes of a CRM, a tax engine, and the PSA and ERP that the test names."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from isthmus.app.bootstrap import STORIES, ConnectedSystems
from isthmus.app.demo import world
from isthmus.app.demo.firm import connections
from isthmus.app.firm import parse
from isthmus.domain.objects import Invoice
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
from tests.pairings.erps import Erp
from tests.pairings.psas import KANTATA, Psa
from tests.processes.hub import ENTITY

REGISTERED = STORIES  # importing them is what registers the processes
OTHERS = ("salesforce", "avalara")
ROUNDS_MAX = 500
PATIENCE = timedelta(minutes=2)
DEAL = world.DEALS[0]
PROJECT = f"P-{DEAL.contract_no}"


class Pair:
    """The firm's month with one PSA and one ERP."""

    def __init__(self, erp: Erp, psa: Psa, served: dict[str, Running], folder: Path) -> None:
        self.erp, self.psa = erp, psa
        self.served = served
        self.clock = HandClock(datetime(2026, 3, 2, 15, tzinfo=UTC))
        for system in served:
            self.control(system, "reset", None)
        self.tell_time()
        entity = ENTITY.model_copy(update={"dimensions_required": ("practice", "cost_center")})
        made = [*connections(folder, {n: s for n, s in served.items() if n in OTHERS})]
        made += [psa.connection(served[psa.system]), erp.connection(folder, served[erp.system])]
        content = {"name": "Narrows", "entities": [entity.model_dump(mode="json")], "connections": made, "callers": []}
        firm = parse(content, "pairing")
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
            tx.insert(entity)
        psa.open_office(self, DEAL)

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

    def start(self, process: str, key: str, **args: Any) -> RunRow:
        """A run as a request starts it."""
        with self.store.transaction() as tx:
            self.kernel.start(tx, process, key, args, entity="US01", correlation_id=f"contract:{DEAL.contract_no}")
        self.go()
        return self.run(f"{process}/{key}")

    def approve(self, exception: str) -> None:
        """finn.finance approves the one open case."""
        [case] = self.rows(Case, state=CaseState.OPEN)
        assert case.exception == exception, case.cause
        with self.store.transaction() as tx:
            self.kernel.resolve(tx, case.case_no, action="approve", actor="finn.finance", reason="checked", values={})
        self.go()

    # -- business ------------------------------------------------------------------------------------------------

    def win(self) -> RunRow:
        """The deal is won and signed; the hub asks the CRM."""
        ids: dict[str, str] = {}
        for name, record in world.salesforce_records(DEAL, world.price_list(), ids):
            row = {k: ids.get(v[1:], v) if isinstance(v, str) and v.startswith("@") else v for k, v in record.items()}
            ids[name] = self.control("salesforce", "seed", {name: [row]})[name][0]["Id"]
        sweeps.sweep_contracts(self.kernel, self.systems.connections["salesforce"])
        self.go()
        return self.run(f"contract_to_project/{DEAL.contract_no}@1")

    def work(self, *days: tuple[date, str, str]) -> None:
        """Approved time in the PSA: (day, line, hours); the hub asks for it."""
        self.clock.move(timedelta(hours=1))
        self.tell_time()
        self.psa.work(self, PROJECT, DEAL, days)
        self.ask_for_time()

    def remote(self, key: str) -> str:
        """The id that something of ours has in the PSA."""
        [found] = {ref.remote_id for ref in self.rows(CrossReference, system=self.psa.system, key=key)}
        return str(found)

    def ask_for_time(self) -> None:
        """The sweep of approved time, and what follows from it."""
        sweeps.sweep_time(self.kernel, self.systems.connections[self.psa.system])
        sweeps.drain_time(self.kernel)
        self.go()

    def bill(self, name: str) -> RunRow:
        """A billing run to the end of the month."""
        args = {"contract_no": DEAL.contract_no, "cutoff": "2026-03-31", "prepared_by": "ana.billing"}
        return self.start("bill_contract", f"{DEAL.contract_no}:{name}", **args)

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
def paired(erp: Erp, served: dict[str, Running], psa: Psa = KANTATA) -> Iterator[Pair]:
    """A fresh hub with empty sandboxes; only this ERP and this PSA are connected."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="isthmus-pairing-")))
        mine = {name: one for name, one in served.items() if name in (*OTHERS, psa.system, erp.system)}
        pair = Pair(erp, psa, mine, folder)
        stack.callback(pair.systems.close)
        yield pair
