"""Other systems as small models: a CRM, a PSA, an ERP and a tax engine in memory, with faults a seed decides.

They speak the ports directly, so a simulated month takes milliseconds. Nothing here knows how the hub works: creates
are plain creates (sent twice, they make two), which is what makes a missing look-up visible.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, ClassVar

from isthmus.domain.errors import BadInput, NeedsSetup, NotFound, OutcomeUnknown, RemoteRefusal, Throttled, Unreachable
from isthmus.domain.journals import Journal
from isthmus.domain.objects import Client, ContractVersion, ExternalRef, Project, TaxAnswer
from isthmus.ports.messages import (
    ContestedLines,
    ContractNotice,
    ContractNotices,
    ContractStatus,
    InvoicedTime,
    PaymentPage,
    PostedBill,
    PostedInvoice,
    PostInvoice,
    PostVendorBill,
    ProjectFacts,
    RateCardIn,
    Registrations,
    ScheduleIn,
    TaskIn,
    TaxDocument,
    TimeCost,
    TimePage,
)


@dataclass
class Weather:
    """What goes wrong at a call. The simulation's seed fills ``plan``; a plain test leaves it calm.

    next_fault(system, verb, write) returns None or one of: unreachable, throttled, lost_before, lost_after, stale,
    refused, locked_out. now is physical time: staleness is over when the settling time has really passed, whatever the
    hub's clock says.
    """

    next_fault: Any = lambda system, verb, write: None
    now: Any = lambda: timedelta(0)


@dataclass
class Model:
    """One other system: collections of created things in order. The same key twice is two things (a duplicate)."""

    name: str
    weather: Weather
    things: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    settling_time: timedelta = timedelta(seconds=5)
    calls: dict[str, int] = field(default_factory=dict)
    entities: tuple[str, ...] = ()

    @property
    def writes_as(self) -> str:
        """Every model is named after what it owns."""
        return self.name

    def strategy(self, verb: str) -> str:
        """Plain creates: only a look-up makes them safe."""
        return "find_then_create"

    def _fault(self, verb: str, write: bool) -> str | None:
        self.calls[verb] = self.calls.get(verb, 0) + 1
        fault: str | None = self.weather.next_fault(self.name, verb, write)
        if fault == "unreachable":
            raise Unreachable(f"{self.name} is down")
        if fault == "throttled":
            raise Throttled(f"{self.name} asks for patience", 1.0)
        if fault == "locked_out":
            raise NeedsSetup(f"{self.name} refuses our credentials", self.name)
        if fault == "refused" and write:
            raise RemoteRefusal(f"{self.name} refuses {verb} today", remote_code="BUSY", system=self.name)
        if fault == "lost_before" and write:
            raise OutcomeUnknown(f"{self.name}: {verb}: no answer")
        return fault

    def _create(self, verb: str, collection: str, key: str, **facts: Any) -> ExternalRef:
        fault = self._fault(verb, True)
        rows = self.things.setdefault(collection, [])
        rows.append({"key": key, "born": self.weather.now(), **facts})
        ref = self._ref(collection, len(rows))
        if fault == "lost_after":
            raise OutcomeUnknown(f"{self.name}: {verb}: no answer")
        return ref

    def _put(self, verb: str, collection: str, key: str, **facts: Any) -> ExternalRef:
        """Create, or change what exists under the key: for verbs that bring facts up to date."""
        rows = self.things.setdefault(collection, [])
        for number, row in enumerate(rows, start=1):
            if row["key"] == key:
                fault = self._fault(verb, True)
                row.update(facts)
                if fault == "lost_after":
                    raise OutcomeUnknown(f"{self.name}: {verb}: no answer")
                return self._ref(collection, number)
        return self._create(verb, collection, key, **facts)

    def _find(self, verb: str, collection: str, key: str, **facts: Any) -> ExternalRef | None:
        fault = self._fault(verb, False)
        oldest_hidden = self.weather.now() - self.settling_time if fault == "stale" else None
        for number, row in enumerate(self.things.get(collection, []), start=1):
            if oldest_hidden is not None and row["born"] > oldest_hidden:
                continue
            if row["key"] == key and all(row.get(name) == value for name, value in facts.items()):
                return self._ref(collection, number)
        return None

    def _ref(self, collection: str, number: int) -> ExternalRef:
        return ExternalRef(system=self.name, object_type=collection, external_id=f"{collection}-{number}")

    def duplicates(self) -> list[str]:
        """Keys that exist more than once."""
        found = []
        for collection, rows in self.things.items():
            keys = [row["key"] for row in rows]
            found += [f"{self.name}:{collection}:{key}" for key in sorted(set(keys)) if keys.count(key) > 1]
        return found


class FakeCrm(Model):
    """Contracts are put in by the test; shows statuses."""

    contracts: dict[str, ContractVersion]

    def put_contract(self, contract: ContractVersion) -> None:
        """As a sales person would."""
        self.__dict__.setdefault("contracts", {})[contract.contract_no] = contract

    def contracts_changed(self, watermark: str) -> ContractNotices:
        self._fault("contracts_changed", False)
        known = self.__dict__.get("contracts", {}).values()
        notices = tuple(
            ContractNotice(
                message_id=f"{c.contract_no}:{c.version}", contract_no=c.contract_no, version=c.version, changed_at=""
            )
            for c in known
        )
        return ContractNotices(notices=notices, watermark=str(len(notices)))

    def read_contract(self, contract_no: str) -> ContractVersion:
        self._fault("read_contract", False)
        known = self.__dict__.get("contracts", {})
        if contract_no not in known:
            raise NotFound(f"no contract {contract_no}")
        return known[contract_no]  # type: ignore[no-any-return]

    def report_status(self, status: ContractStatus) -> ExternalRef:
        return self._put("report_status", "status", status.contract_no, shown=status.model_dump(mode="json"))

    def find_status(self, status: ContractStatus) -> ExternalRef | None:
        return self._find("find_status", "status", status.contract_no, shown=status.model_dump(mode="json"))


class FakePsa(Model):
    """Projects, tasks, rates, invoice marks; its approved time is put in by the test."""

    pages: list[TimePage]

    def put_project(self, project: Project) -> ExternalRef:
        facts = {"name": project.name, "currency": project.currency, "budget": str(project.budget), "active": True}
        return self._put("put_project", "project", project.project_code, **facts)

    def find_project(self, project: Project) -> ExternalRef | None:
        return self._find("find_project", "project", project.project_code, active=True)

    def read_project(self, project_code: str) -> ProjectFacts:
        self._fault("read_project", False)
        return _facts(self, project_code)

    def close_project(self, project: Project) -> ExternalRef:
        return self._put("close_project", "project", project.project_code, active=False)

    def find_closed(self, project: Project) -> ExternalRef | None:
        return self._find("find_closed", "project", project.project_code, active=False)

    def show_contested(self, contested: ContestedLines) -> ExternalRef:
        return self._put("show_contested", "contested", contested.project_code, shown=contested.text)

    def find_contested(self, contested: ContestedLines) -> ExternalRef | None:
        return self._find("find_contested", "contested", contested.project_code, shown=contested.text)

    def put_task(self, item: TaskIn) -> ExternalRef:
        return self._put("put_task", "task", f"{item.project_code}:{item.task.code}")

    def find_task(self, item: TaskIn) -> ExternalRef | None:
        return self._find("find_task", "task", f"{item.project_code}:{item.task.code}")

    def put_rates(self, card: RateCardIn) -> ExternalRef:
        if not card.rates:
            raise BadInput("a rate card without rates")
        return self._put("put_rates", "rates", card.project_code, rates=card.model_dump(mode="json"))

    def find_rates(self, card: RateCardIn) -> ExternalRef | None:
        return self._find("find_rates", "rates", card.project_code, rates=card.model_dump(mode="json"))

    def approved_time(self, watermark: str) -> TimePage:
        self._fault("approved_time", False)
        pages = self.__dict__.setdefault("pages", [])
        entries = tuple(e for page in pages for e in page.entries)
        return TimePage(entries=entries[int(watermark or 0) :], watermark=str(len(entries)))

    def mark_invoiced(self, billed: InvoicedTime) -> ExternalRef:
        key = f"{billed.project_code}:{billed.number}"
        return self._create("mark_invoiced", "mark", key, entries=list(billed.entry_keys))

    def find_invoiced(self, billed: InvoicedTime) -> ExternalRef | None:
        return self._find("find_invoiced", "mark", f"{billed.project_code}:{billed.number}")


class FakeErp(Model):
    """Clients, projects, cost, receivables; payments are put in by the test."""

    terms = ("NET15", "NET30")
    closed_periods: frozenset[str] = frozenset()

    def put_client(self, client: Client) -> ExternalRef:
        return self._put("put_client", "client", client.client_no, name=client.legal_name, active=True)

    def find_client(self, client: Client) -> ExternalRef | None:
        return self._find("find_client", "client", client.client_no, active=True)

    def deactivate_client(self, client: Client) -> ExternalRef:
        return self._put("deactivate_client", "client", client.client_no, active=False)

    def find_inactive_client(self, client: Client) -> ExternalRef | None:
        return self._find("find_inactive_client", "client", client.client_no, active=False)

    def payment_terms(self) -> tuple[str, ...]:
        self._fault("payment_terms", False)
        return self.terms

    def put_project(self, project: Project) -> ExternalRef:
        facts = {"currency": project.currency, "active": True, "dimensions": dict(project.dimensions)}
        return self._put("put_project", "project", project.project_code, **facts)

    def find_project(self, project: Project) -> ExternalRef | None:
        return self._find("find_project", "project", project.project_code, active=True)

    def read_project(self, project_code: str) -> ProjectFacts:
        self._fault("read_project", False)
        return _facts(self, project_code)

    def close_project(self, project: Project) -> ExternalRef:
        return self._put("close_project", "project", project.project_code, active=False)

    def find_closed(self, project: Project) -> ExternalRef | None:
        return self._find("find_closed", "project", project.project_code, active=False)

    def put_task(self, item: TaskIn) -> ExternalRef:
        return self._put("put_task", "task", f"{item.project_code}:{item.task.code}")

    def find_task(self, item: TaskIn) -> ExternalRef | None:
        return self._find("find_task", "task", f"{item.project_code}:{item.task.code}")

    def put_schedule(self, schedule: ScheduleIn) -> ExternalRef:
        return self._put("put_schedule", "schedule", schedule.project_code, rows=schedule.model_dump(mode="json"))

    def find_schedule(self, schedule: ScheduleIn) -> ExternalRef | None:
        return self._find("find_schedule", "schedule", schedule.project_code)

    def post_journal(self, journal: Journal) -> ExternalRef:
        lines = [(line.account, str(line.debit), str(line.credit)) for line in journal.lines]
        facts = {"total": str(journal.total), "lines": lines, "on": str(journal.booked_on), "entity": journal.entity}
        return self._create("post_journal", "journal", journal.journal_no, **facts)

    def find_journal(self, journal: Journal) -> ExternalRef | None:
        return self._find("find_journal", "journal", journal.journal_no)

    def post_bill(self, bill: PostVendorBill) -> PostedBill:
        facts = {
            "total": str(bill.total),
            "lines": [(line.account, str(line.amount)) for line in bill.lines],
            "held": bill.payment_hold,
            "no": bill.bill_no,
        }
        return self._billed(bill, self._create("post_bill", "bill", bill.bill_id, **facts))

    def find_bill(self, bill: PostVendorBill) -> PostedBill | None:
        ref = self._find("find_bill", "bill", bill.bill_id)
        return self._billed(bill, ref) if ref else None

    def release_bill(self, bill: PostVendorBill) -> PostedBill:
        return self._billed(bill, self._put("release_bill", "bill", bill.bill_id, held=False))

    def find_released(self, bill: PostVendorBill) -> PostedBill | None:
        ref = self._find("find_released", "bill", bill.bill_id, held=False)
        return self._billed(bill, ref) if ref else None

    def _billed(self, bill: PostVendorBill, ref: ExternalRef) -> PostedBill:
        row = next(r for r in self.things["bill"] if r["key"] == bill.bill_id)
        total = Decimal(row["total"])
        return PostedBill(ref=ref, bill_no=row["no"], total=total, currency=bill.currency, held=row["held"])

    def put_time(self, cost: TimeCost) -> ExternalRef:
        return self._create("put_time", "time", f"{cost.entry_key}#{cost.revision}", hours=str(cost.hours))

    def find_time(self, cost: TimeCost) -> ExternalRef | None:
        return self._find("find_time", "time", f"{cost.entry_key}#{cost.revision}")

    def post_invoice(self, invoice: PostInvoice) -> PostedInvoice:
        if f"{invoice.issue_date:%Y-%m}" in self.closed_periods:
            period = f"{invoice.issue_date:%Y-%m}"
            raise RemoteRefusal(f"period {period} is closed", remote_code="PERIOD_CLOSED", system=self.name)
        facts = {"total": str(invoice.total), "currency": invoice.currency, "client": invoice.client_no}
        facts |= {"entity": invoice.entity, "on": str(invoice.issue_date)}
        ref = self._create("post_invoice", "invoice", invoice.number, **facts)
        return self._posted(invoice, ref)

    def find_invoice(self, invoice: PostInvoice) -> PostedInvoice | None:
        ref = self._find("find_invoice", "invoice", invoice.number)
        return self._posted(invoice, ref) if ref else None

    def post_credit(self, credit: PostInvoice) -> PostedInvoice:
        facts = {"total": str(credit.total), "currency": credit.currency, "credits": credit.original_number}
        facts |= {"client": credit.client_no, "entity": credit.entity, "on": str(credit.issue_date)}
        ref = self._create("post_credit", "credit", credit.number, **facts)
        return self._credited(credit, ref)

    def find_credit(self, credit: PostInvoice) -> PostedInvoice | None:
        ref = self._find("find_credit", "credit", credit.number)
        return self._credited(credit, ref) if ref else None

    def receivables(self, entity: str, since: date) -> tuple[PostedInvoice, ...]:
        self._fault("receivables", False)
        rows = [
            (self._ref(kind, number), sign, row)
            for kind, sign in (("invoice", 1), ("credit", -1))
            for number, row in enumerate(self.things.get(kind, []), start=1)
        ]
        return tuple(
            PostedInvoice(
                ref=ref,
                number=row["key"],
                total=sign * Decimal(row["total"]),
                open=sign * Decimal(row["total"]),
                currency=row["currency"],
                client_no=row["client"],
                issue_date=date.fromisoformat(row["on"]),
            )
            for ref, sign, row in rows
            if row["entity"] == entity and row["on"] >= str(since)
        )

    def _credited(self, credit: PostInvoice, ref: ExternalRef) -> PostedInvoice:
        row = next(r for r in self.things["credit"] if r["key"] == credit.number)
        total = Decimal(row["total"])
        return PostedInvoice(ref=ref, number=credit.number, total=total, open=total, currency=row["currency"])

    def _posted(self, invoice: PostInvoice, ref: ExternalRef) -> PostedInvoice:
        row = next(r for r in self.things["invoice"] if r["key"] == invoice.number)
        total = Decimal(row["total"])
        return PostedInvoice(ref=ref, number=invoice.number, total=total, open=total, currency=row["currency"])

    def payments_received(self, watermark: str) -> PaymentPage:
        self._fault("payments_received", False)
        payments = tuple(self.__dict__.get("payments", ()))
        return PaymentPage(payments=payments, watermark=str(len(payments)))


class FakeTax(Model):
    """One rate for everything; documents by code."""

    rate = Decimal("0.08875")
    regions: tuple[str, ...] = ("US-NY",)

    def registrations(self, entity: str) -> Registrations:
        self._fault("registrations", False)
        return Registrations(entity=entity, regions=self.regions)

    def calculate(self, document: TaxDocument) -> TaxAnswer:
        self._create("calculate", "document", document.code, status="saved")
        return self._answer(document, "saved")

    def find_document(self, document: TaxDocument) -> TaxAnswer | None:
        found = self._find("find_document", "document", document.code)
        row = self._row(document)
        return self._answer(document, row["status"]) if found and row["status"] != "void" else None

    def commit(self, document: TaxDocument) -> TaxAnswer:
        self._put("commit", "document", document.code, status="committed")
        return self._answer(document, "committed")

    def find_committed(self, document: TaxDocument) -> TaxAnswer | None:
        found = self._find("find_committed", "document", document.code, status="committed")
        return self._answer(document, "committed") if found else None

    def void(self, document: TaxDocument) -> TaxAnswer:
        self._put("void", "document", document.code, status="void")
        return self._answer(document, "void")

    def find_void(self, document: TaxDocument) -> TaxAnswer | None:
        found = self._find("find_void", "document", document.code, status="void")
        return self._answer(document, "void") if found else None

    def _row(self, document: TaxDocument) -> dict[str, Any]:
        return next((r for r in self.things.get("document", []) if r["key"] == document.code), {"status": "void"})

    def _answer(self, document: TaxDocument, status: str) -> TaxAnswer:
        unit = Decimal(1) if document.currency == "JPY" else Decimal("0.01")
        taxes = {line.number: (line.net * self.rate).quantize(unit, rounding=ROUND_HALF_UP) for line in document.lines}
        return TaxAnswer(
            document_code=document.code,
            net=sum((line.net for line in document.lines), Decimal(0)),
            tax=sum(taxes.values(), Decimal(0)),
            currency=document.currency,
            status=status,
            line_taxes=taxes,
            rates={str(line.number): self.rate for line in document.lines},
        )


def _facts(system: Model, project_code: str) -> ProjectFacts:
    rows = system.things.get("project", [])
    for number, row in enumerate(rows, start=1):
        if row["key"] == project_code:
            prefix = f"{project_code}:"
            tasks = [
                t["key"].removeprefix(prefix) for t in system.things.get("task", []) if t["key"].startswith(prefix)
            ]
            return ProjectFacts(
                ref=ExternalRef(system=system.name, object_type="project", external_id=f"project-{number}"),
                project_code=project_code,
                name=row.get("name", ""),
                currency=row["currency"],
                active=row["active"],
                tasks=tuple(tasks),
            )
    raise NotFound(f"{system.name}: no project {project_code}")


@dataclass
class FakeSystems:
    """The four models by port, for every entity."""

    told_apart: ClassVar[frozenset[str]] = frozenset()
    weather: Weather = field(default_factory=Weather)

    def __post_init__(self) -> None:
        self.crm = FakeCrm("crm", self.weather)
        self.psa = FakePsa("psa", self.weather)
        self.erp = FakeErp("erp", self.weather)
        self.tax = FakeTax("tax", self.weather)
        self.by_port: dict[str, Model] = {
            "Crm": self.crm,
            "Psa": self.psa,
            "RateBook": self.psa,
            "DisputeBoard": self.psa,
            "TimeSource": self.psa,
            "Erp": self.erp,
            "ScheduleBook": self.erp,
            "JournalBook": self.erp,
            "ReceivableList": self.erp,
            "VendorBillBook": self.erp,
            "TaxEngine": self.tax,
        }

    def close(self) -> None:
        """Nothing is open."""

    def filling(self, port: str, entity: str, source: str = "", about: Any = None) -> Any:
        """See kernel.Systems."""
        return self.by_port[port]

    def fills(self, port: str, entity: str, source: str = "", about: Any = None) -> bool:
        """See kernel.Systems."""
        return port in self.by_port

    def all_filling(self, port: str, entity: str) -> list[Any]:
        """See kernel.Systems."""
        return [self.by_port[port]] if port in self.by_port else []
