"""A hub in memory, and around it the sandboxes of a CRM, a PSA, a tax engine and an ERP that the test names."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Protocol

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
from tests.processes.hub import ENTITY

REGISTERED = STORIES  # importing them is what registers the processes
OTHERS = ("salesforce", "kantata", "avalara")
ROUNDS_MAX = 500
PATIENCE = timedelta(minutes=2)
DEAL = world.DEALS[0]
PROJECT = f"P-{DEAL.contract_no}"


class Erp(Protocol):
    """How a test looks at an ERP's sandbox, and is its accountant."""

    system: str

    def connection(self, folder: Path, served: Running) -> dict[str, Any]:
        """The connection of the firm folder."""

    def documents(self, pair: Pair) -> dict[str, tuple[Decimal, Decimal]]:
        """Posted invoices and credit memos: (total, tax) by number, negative for a credit memo."""

    def hours(self, pair: Pair) -> Decimal:
        """All hours of cost, corrections taken off."""

    def receive(self, pair: Pair, invoice: Invoice, amount: Decimal) -> None:
        """The accountant records a payment."""

    def lose_an_answer(self, pair: Pair) -> None:
        """The answer to the next posting is lost after the ERP has worked on it."""


class Finance:
    """Dynamics 365 Finance."""

    system: ClassVar[str] = "dynamics_finance"

    def connection(self, folder: Path, served: Running) -> dict[str, Any]:
        """See Erp."""
        known = served.sandbox.credentials()
        secrets = {name: f"demo:{known[name]}" for name in ("tenant", "client_id", "client_secret")}
        return {
            "name": self.system,
            "connector": self.system,
            "base_url": served.url,
            "auth": "client_credentials",
            "fills": ["Erp", "ScheduleBook"],
            "writes_as": "erp",
            "secrets": secrets | {"token_url": f"demo:{served.url}/{known['tenant']}/oauth2/v2.0/token"},
            "settings": {
                "companies": {"US01": "usmf"},
                "customer_group": "30",
                "project_group": "TM",
                "account": "401100",
                "tax_group": "EXT",
                "tax_item_group": "EXT",
                "post_service": "IsthmusServices/FreeTextInvoice/post",
                "hour_journal": "HOUR",
                "hour_category": "CONSULT",
                "forecast_model": "CURRENT",
                "dimension_delimiter": "|",  # cost centres have hyphens in them
            },
        }

    def documents(self, pair: Pair) -> dict[str, tuple[Decimal, Decimal]]:
        """See Erp."""
        found = {}
        for header in pair.state(self.system, "FreeTextInvoiceHeaders"):
            lines = [
                line
                for line in pair.state(self.system, "FreeTextInvoiceLines")
                if line["ParentRecId"] == header["InvoiceIdentifier"]
            ]
            tax = sum((money(line["SalesTaxAmount"]) for line in lines), Decimal(0))
            net = sum((money(line["TransactionCurrencyAmount"]) for line in lines), Decimal(0))
            assert header["IsPosted"] == "Yes" and header["InvoiceId"] not in found
            found[header["InvoiceId"]] = (net + tax, tax)
        return found

    def hours(self, pair: Pair) -> Decimal:
        """See Erp."""
        lines = pair.state(self.system, "ProjectHourJournalLines")
        return sum((Decimal(str(line["Hours"])) for line in lines), Decimal(0))

    def receive(self, pair: Pair, invoice: Invoice, amount: Decimal) -> None:
        """See Erp."""
        paid = {"dataAreaId": "usmf", "account": invoice.client_no, "amount": float(amount), "currency": "USD"}
        paid |= {"date": f"{pair.clock.now():%Y-%m-%d}", "reference": "WIRE"}
        marks = [{"invoice": invoice.number, "amount": float(amount)}]
        pair.control(self.system, "seed", {"CustomerPayment": [paid | {"settles": marks}]})

    def lose_an_answer(self, pair: Pair) -> None:
        """See Erp. The change set is carried out, and the hub does not know; the invoice is there and not posted."""
        fault = {"kind": "timeout_after_commit", "method": "POST", "path": "batch"}
        pair.control(self.system, "faults", fault)


class NetSuite:
    """NetSuite, as the demo has it."""

    system: ClassVar[str] = "netsuite"

    def connection(self, folder: Path, served: Running) -> dict[str, Any]:
        """See Erp."""
        [made] = connections(folder, {self.system: served})
        people = {person: "11" for _, person in world.TEAM.values()}
        return made | {"settings": made["settings"] | {"employees": people}}

    def documents(self, pair: Pair) -> dict[str, tuple[Decimal, Decimal]]:
        """See Erp."""
        rows = [(1, row) for row in pair.state(self.system, "invoice")]
        rows += [(-1, row) for row in pair.state(self.system, "creditMemo")]
        return {row["tranId"]: (sign * money(row["total"]), sign * money(row["taxTotal"])) for sign, row in rows}

    def hours(self, pair: Pair) -> Decimal:
        """See Erp."""
        whole = Decimal(0)
        for row in pair.state(self.system, "timeBill"):
            hours, minutes = str(row["hours"]).split(":")
            whole += int(hours) + Decimal(minutes) / 60
        return whole

    def receive(self, pair: Pair, invoice: Invoice, amount: Decimal) -> None:
        """See Erp."""
        remote = {ref.key: ref.remote_id for ref in pair.rows(CrossReference, system=self.system)}
        paid = {
            "customer": {"id": remote[invoice.client_no]},
            "payment": float(amount),
            "currency": {"id": "1"},
            "tranDate": f"{pair.clock.now():%Y-%m-%d}",
            "apply": [{"doc": {"id": remote[invoice.number]}, "apply": True, "amount": float(amount)}],
            "lastModifiedDate": f"{pair.clock.now():%Y-%m-%dT%H:%M:%SZ}",
        }
        pair.control(self.system, "seed", {"customerPayment": [paid]})

    def lose_an_answer(self, pair: Pair) -> None:
        """See Erp."""
        fault = {"kind": "timeout_after_commit", "method": "PUT", "path": "/record/v1/invoice/eid"}
        pair.control(self.system, "faults", fault)


class Pair:
    """The firm's month with one ERP."""

    def __init__(self, erp: Erp, served: dict[str, Running], folder: Path) -> None:
        self.erp = erp
        self.served = served
        self.clock = HandClock(datetime(2026, 3, 2, 15, tzinfo=UTC))
        for system in served:
            self.control(system, "reset", None)
        self.tell_time()
        entity = ENTITY.model_copy(update={"dimensions_required": ("practice", "cost_center")})
        made = [*connections(folder, {n: s for n, s in served.items() if n in OTHERS})]
        made.append(erp.connection(folder, served[erp.system]))
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
        remote = {ref.key: ref.remote_id for ref in self.rows(CrossReference, system="kantata")}
        users = {line.uid: world.TEAM[line.role][0] for line in DEAL.lines}
        rows = [
            {
                "workspace_id": remote[PROJECT],
                "story_id": remote[f"{PROJECT}:{line}"],
                "user_id": users[line],
                "date_performed": day.isoformat(),
                "time_in_minutes": int(Decimal(hours) * 60),
                "notes": f"Work of {day}",
                "approved": True,
                "billable": True,
            }
            for day, line, hours in days
        ]
        self.clock.move(timedelta(hours=1))
        self.tell_time()
        self.control("kantata", "seed", {"time_entries": rows})
        self.ask_for_time()

    def ask_for_time(self) -> None:
        """The sweep of approved time, and what follows from it."""
        sweeps.sweep_time(self.kernel, self.systems.connections["kantata"])
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


def money(value: Any) -> Decimal:
    """An amount of a sandbox, exactly to the cent."""
    return Decimal(str(value)).quantize(Decimal("0.01"), ROUND_HALF_UP)


@contextmanager
def systems(*names: str) -> Iterator[dict[str, Running]]:
    """The sandboxes of the others and of these, for one module of tests."""
    with running(*OTHERS, *names) as served:
        yield served


@contextmanager
def paired(erp: Erp, served: dict[str, Running]) -> Iterator[Pair]:
    """A fresh hub with empty sandboxes; only this ERP is connected."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="isthmus-pairing-")))
        mine = {name: one for name, one in served.items() if name in (*OTHERS, erp.system)}
        pair = Pair(erp, mine, folder)
        stack.callback(pair.systems.close)
        yield pair
