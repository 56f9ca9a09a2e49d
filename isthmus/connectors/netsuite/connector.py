"""NetSuite as the ERP: every write is an upsert under the hub's own key as external id, so no write can double."""

from __future__ import annotations

from decimal import Decimal

from isthmus.connectors.netsuite import mapping as m
from isthmus.domain.errors import NeedsSetup
from isthmus.domain.journals import Journal
from isthmus.domain.objects import Client, ExternalRef, Payment, Project
from isthmus.kit.keyed import by_external_id, by_id
from isthmus.kit.keys import from_external_id, task_codes, task_key, to_revision_text
from isthmus.kit.mapping import StatusTable, Table, at_minor_unit, sum_by_key
from isthmus.kit.paging import latest
from isthmus.kit.posting import as_posted, one_side, same_payable, same_total
from isthmus.kit.suitetalk import SuiteTalk, applied
from isthmus.kit.wire import Request, Row, Verb, dig
from isthmus.ports.messages import (
    PaymentPage,
    PostedBill,
    PostedInvoice,
    PostInvoice,
    PostVendorBill,
    ProjectFacts,
    ScheduleIn,
    TaskIn,
    TimeCost,
)


class NetSuite(SuiteTalk):
    """One NetSuite account."""

    def tables(self) -> dict[str, Table]:
        """The tables, and the firm's own fields for dimensions."""
        return {**super().tables(), "dimensions": Table(there="job").replaced(self.setting("dimensions"))}

    def put_client(self, client: Client) -> Verb[ExternalRef]:
        """Create or update the customer under its client number."""
        body = m.CLIENT.out(client) | {"isPerson": False, "isInactive": False}
        primary = self.setting("client_subsidiary") or next(iter(self.setting("subsidiaries").values()), "")
        if primary:
            body["subsidiary"] = by_id(primary)
        if client.currency:
            body["currency"] = by_id(self.coded("currencies", client.currency))
        if client.payment_terms:
            body["terms"] = yield from self._term(client.payment_terms)
        return (yield from self.put_record("customer", client.client_no, body, replace="addressBook"))

    def find_client(self, client: Client) -> Verb[ExternalRef | None]:
        """The customer, if it is there and active."""
        return self.find_record("customer", client.client_no, lambda customer: not customer["isInactive"])

    def deactivate_client(self, client: Client) -> Verb[ExternalRef]:
        """Set the customer inactive; nothing else is touched."""
        return self.put_record("customer", client.client_no, {"isInactive": True})

    def find_inactive_client(self, client: Client) -> Verb[ExternalRef | None]:
        """The customer, if it is inactive."""
        return self.find_record("customer", client.client_no, lambda customer: bool(customer["isInactive"]))

    def payment_terms(self) -> Verb[tuple[str, ...]]:
        """The account's active terms, by our code where the firm has one, else by name."""
        codes = {term_id: code for code, term_id in self.setting("terms").items()}
        rows = yield from self.terms()
        return tuple(str(codes.get(row["id"], row["name"])) for row in rows)

    def put_project(self, project: Project) -> Verb[ExternalRef]:
        """Create or update the job with its dimensions, open for time."""
        body = m.PROJECT.out(project) | self._books(project) | {"allowTime": True, "isInactive": False}
        body |= self.under("dimensions", project.dimensions)
        body["entityStatus"] = by_id(self.setting("project_open"))
        body["comments"] = f"Contract {project.contract_no} version {project.contract_version}"
        return self.put_record("job", project.project_code, body)

    def find_project(self, project: Project) -> Verb[ExternalRef | None]:
        """The job, if it is there and neither inactive nor closed."""
        return self.find_record("job", project.project_code, self._is_open)

    def read_project(self, project_code: str) -> Verb[ProjectFacts]:
        """The job with its client and its tasks."""
        job = (yield Request("GET", self.path_of("job", project_code))).body
        client = yield Request("GET", f"record/v1/customer/{job['parent']['id']}", query={"fields": "externalId"})
        rows = yield from self.query(f"SELECT externalid FROM projecttask WHERE project = {job['id']} ORDER BY id")
        return ProjectFacts(
            ref=self.ref("job", job["id"]),
            project_code=project_code,
            name=job["companyName"],
            currency=self.decoded("currencies", job["currency"]["id"]),
            active=self._is_open(job),
            client_no=from_external_id(client.body.get("externalId", "")),
            tasks=task_codes(project_code, (from_external_id(row.get("externalid", "")) for row in rows)),
        )

    def close_project(self, project: Project) -> Verb[ExternalRef]:
        """Set the job closed and inactive; it keeps its history."""
        closed = by_id(self.setting("project_closed"))
        return self.put_record("job", project.project_code, {"isInactive": True, "entityStatus": closed})

    def find_closed(self, project: Project) -> Verb[ExternalRef | None]:
        """The job, if it is inactive or closed."""
        return self.find_record("job", project.project_code, lambda job: not self._is_open(job))

    def put_task(self, item: TaskIn) -> Verb[ExternalRef]:
        """Create or update the project task."""
        body = m.TASK.out(item.task) | {"project": by_external_id(item.project_code)}
        return self.put_record("projectTask", task_key(item.project_code, item.task.code), body)

    def find_task(self, item: TaskIn) -> Verb[ExternalRef | None]:
        """The project task, if it is there."""
        return self.find_record("projectTask", task_key(item.project_code, item.task.code))

    def put_schedule(self, schedule: ScheduleIn) -> Verb[ExternalRef]:
        """Create or replace the billing schedule: one milestone per fixed amount."""
        body = m.to_schedule(schedule) | {"scheduleType": by_id(self.setting("schedule_type"))}
        return self.put_record("billingSchedule", f"{schedule.project_code}:schedule", body, replace="milestone")

    def find_schedule(self, schedule: ScheduleIn) -> Verb[ExternalRef | None]:
        """The billing schedule, if it is there."""
        return self.find_record("billingSchedule", f"{schedule.project_code}:schedule")

    def put_time(self, cost: TimeCost) -> Verb[ExternalRef]:
        """Record the hour; one record per entry, which a higher revision replaces."""
        # Revisions come in order, so a first one cannot overwrite a correction; a later one looks, to be safe.
        held = (yield from self.find_time(cost)) if cost.revision > 1 else None
        if held is not None and held.version != str(cost.revision):
            return held
        body = m.TIME.out(cost) | {"item": self._item(), "overrideRate": True}
        body["memo"] = to_revision_text(cost.entry_key, cost.revision, cost.memo)
        body["employee"] = self.referred("employees", cost.person)
        if cost.task_code:
            body["caseTaskEvent"] = by_external_id(task_key(cost.project_code, cost.task_code))
        body |= self.chosen(approvalStatus="time_approval")
        written = yield from self.put_record("timeBill", cost.entry_key, body)
        return self.ref("timeBill", written.external_id, str(cost.revision))

    def find_time(self, cost: TimeCost) -> Verb[ExternalRef | None]:
        """The record, if it holds this revision or a later one that replaced it; version says which."""
        return self.find_revision("timeBill", cost.entry_key, cost.revision, text_field="memo")

    def post_journal(self, journal: Journal) -> Verb[ExternalRef]:
        """Put the journal entry under its number, approved: accounts by setting, receivables with their client."""
        body, items = m.JOURNAL.out(journal) | self._books(journal) | {"approved": True}, []
        for line in journal.lines:
            whose = {"entity": by_external_id(line.client_no)} if line.account == "receivables" else {}
            items.append({"account": by_id(self.coded("accounts", line.account)), **one_side(line), **whose})
        return self.put_record("journalEntry", journal.journal_no, body | {"line": {"items": items}}, replace="line")

    def find_journal(self, journal: Journal) -> Verb[ExternalRef | None]:
        """The journal entry, if it is there."""
        return self.find_record("journalEntry", journal.journal_no)

    def post_bill(self, bill: PostVendorBill) -> Verb[PostedBill]:
        """Post the bill, or a vendor credit where it gives back, and read it back: what is payable must be ours."""
        kind, sign = m.kind_of(bill)
        body = (m.VENDOR_BILL if kind == "vendorBill" else m.VENDOR_CREDIT).out(bill) | self._books(bill)
        body["entity"] = self.referred("vendors", bill.supplier)
        project, items = by_external_id(bill.project_code), []
        for line in bill.lines:
            what = {"amount": sign * line.amount, "memo": line.description, "customer": project}
            items.append({"account": by_id(self.coded("accounts", line.account)), **what})
        if kind == "vendorBill":
            body |= self.chosen(approvalStatus="bill_approval") | {self.setting("payment_hold"): bill.payment_hold}
        body["expense"] = {"items": items}
        record = yield from self.put_and_read(kind, bill.bill_id, body, replace="expense")
        return same_payable(self._payable(record, bill), bill)

    def find_bill(self, bill: PostVendorBill) -> Verb[PostedBill | None]:
        """The bill or vendor credit as NetSuite has it, if it is there."""
        record = yield from self.read_record(m.kind_of(bill)[0], bill.bill_id)
        return self._payable(record, bill) if record else None

    def release_bill(self, bill: PostVendorBill) -> Verb[PostedBill]:
        """Take the payment hold off; nothing else is touched."""
        free = {self.setting("payment_hold"): False}
        return self._payable((yield from self.put_and_read("vendorBill", bill.bill_id, free)), bill)

    def find_released(self, bill: PostVendorBill) -> Verb[PostedBill | None]:
        """The bill, if it is there and not on hold."""
        found = yield from self.find_bill(bill)
        return found if found is not None and not found.held else None

    def _payable(self, record: Row, bill: PostVendorBill) -> PostedBill:
        kind, sign = m.kind_of(bill)
        currency = self.decoded("currencies", record["currency"]["id"])
        net = Decimal(record["total"]) - Decimal(record.get("taxTotal") or 0)
        return PostedBill(
            ref=self.ref(kind, record["id"]),
            bill_no=record["tranId"],
            total=sign * at_minor_unit(net, currency),
            currency=currency,
            held=bool(record.get(self.setting("payment_hold"))),
            state=self.state(kind, record["status"]["id"]),
        )

    def post_invoice(self, invoice: PostInvoice) -> Verb[PostedInvoice]:
        """Post the invoice with the engine's tax per line, and read it back: its total must be ours to the cent."""
        body = m.INVOICE.out(invoice) | self.chosen(approvalStatus="invoice_approval")
        body |= self.under("invoice_dimensions", invoice.dimensions)
        if invoice.payment_terms:
            body["terms"] = yield from self._term(invoice.payment_terms)
        return (yield from self._post("invoice", invoice, body, "item,taxDetails"))

    def find_invoice(self, invoice: PostInvoice) -> Verb[PostedInvoice | None]:
        """The invoice as NetSuite has it, if it is there."""
        return self._find_posted("invoice", invoice.number)

    def post_credit(self, credit: PostInvoice) -> Verb[PostedInvoice]:
        """Post the credit memo, applied to what is still open of the invoice it credits; the rest stays on account."""
        original = yield from self.read_record("invoice", credit.original_number)
        if original is None:
            raise self.refusal(f"netsuite has no invoice {credit.original_number} to credit", "ORIGINAL", "original")
        body = m.CREDIT.out(credit) | m.applied_to(original, credit)
        return (yield from self._post("creditMemo", credit, body, "item,taxDetails,apply"))

    def find_credit(self, credit: PostInvoice) -> Verb[PostedInvoice | None]:
        """The credit memo as NetSuite has it, if it is there."""
        return self._find_posted("creditMemo", credit.number)

    def _find_posted(self, kind: str, number: str) -> Verb[PostedInvoice | None]:
        record = yield from self.read_record(kind, number)
        return self._posted(record, number, kind) if record else None

    def _post(self, kind: str, document: PostInvoice, body: Row, replace: str) -> Verb[PostedInvoice]:
        body |= self._books(document) | self._lines(document)
        if document.ordered_by:  # a sale is for a project of its own customer
            del body["job"]
        record = yield from self.put_and_read(kind, document.number, body, replace=replace)
        return same_total(self._posted(record, document.number, kind), document)

    def payments_received(self, watermark: str) -> Verb[PaymentPage]:
        """Payments changed after the watermark, each read by id for what it applies to."""
        rows = yield from self.changed("CustPymt", self.since(watermark))
        found = yield from self.read_each("customerPayment", rows)
        records = [one for one in found if self.state("customerPayment", one["status"]["id"]) == "received"]
        documents = [line["doc"]["id"] for record in records for line in applied(record)]
        numbers = yield from self.keys_of("transaction", "tranid", documents)
        clients = yield from self.keys_of("customer", "NULL", [record["customer"]["id"] for record in records])
        payments = tuple(self._payment(record, clients, numbers) for record in records)
        return PaymentPage(payments=payments, watermark=latest(rows, "modified", watermark))

    def _payment(self, record: Row, clients: dict[str, str], numbers: dict[str, str]) -> Payment:
        currency = self.decoded("currencies", record["currency"]["id"])
        # An invoice in instalments has a line for each.
        lines = [(line["doc"]["id"], at_minor_unit(Decimal(line["amount"]), currency)) for line in applied(record)]
        return Payment(
            source=self.system,
            source_id=record["id"],
            client_no=clients[record["customer"]["id"]],
            amount=at_minor_unit(Decimal(record["payment"]), currency),
            currency=currency,
            value_date=record["tranDate"],
            reference=record.get("otherRefNum") or record.get("checkNum") or record["tranId"],
            applies=sum_by_key((numbers[document], amount) for document, amount in lines),
        )

    def _term(self, code: str) -> Verb[dict[str, str]]:
        """The term of our code: as the firm has set it, else the one of that name."""
        known = self.setting("terms").get(code)
        ids = [known] if known else [row["id"] for row in (yield from self.terms()) if row["name"] == code]
        if len(ids) != 1:
            raise self.refusal(f"netsuite has {len(ids)} payment terms named {code}", "TERM", "payment_terms")
        return by_id(ids[0])

    def _lines(self, invoice: PostInvoice) -> Row:
        """Item lines, and for each its tax as the engine gave it, which switches NetSuite's own calculation off."""
        own = self.chosen(taxType="tax_type", taxCode="tax_code")
        items = [m.INVOICE_LINE.out(line) | {"item": self._item(line.tax_code)} for line in invoice.lines]
        taxes = [m.to_tax_detail(line) | own for line in invoice.lines]
        return {"item": {"items": items}, "taxDetailsOverride": True, "taxDetails": {"items": taxes}}

    def _posted(self, record: Row, number: str, kind: str) -> PostedInvoice:
        currency = self.decoded("currencies", record["currency"]["id"])
        ref, whose = self.ref(kind, record["id"]), from_external_id(dig(record, "entity.externalId") or "")
        amounts, state = (record["total"], record["amountRemaining"]), self.state(kind, record["status"]["id"])
        return as_posted(ref, number, amounts, currency, whose, state)

    def _is_open(self, job: Row) -> bool:
        states = StatusTable("netsuite job", self.setting("project_statuses"))
        return states.read(job["entityStatus"]["id"]) == "active" and not job["isInactive"]

    def _books(self, record: Project | PostInvoice | PostVendorBill | Journal) -> Row:
        """Currency, and the subsidiary of the legal entity in an account that has subsidiaries."""
        known = {"currency": ("currencies", record.currency), "subsidiary": ("subsidiaries", record.entity)}
        return {name: by_id(self.coded(*code)) for name, code in known.items() if self.setting(code[0])}

    def _item(self, tax_code: str = "") -> dict[str, str]:
        item = self.setting("items").get(tax_code) or self.setting("item")
        if not item:
            raise NeedsSetup("netsuite: setting item is missing: the id of the service item to record and bill under")
        return by_id(item)
