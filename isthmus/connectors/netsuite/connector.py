"""NetSuite as the ERP: every write is an upsert under the hub's own key as external id, so no write can double."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from isthmus.connectors.netsuite import mapping as m
from isthmus.domain.journals import Journal
from isthmus.domain.objects import Client, ExternalRef, Payment, Project
from isthmus.kit.keyed import by_external_id, by_id
from isthmus.kit.keys import from_external_id, task_codes, task_key, to_revision_text
from isthmus.kit.mapping import Table, at_minor_unit
from isthmus.kit.masters import Clients, Projects
from isthmus.kit.paging import latest
from isthmus.kit.posting import as_posted, one_side, same_payable
from isthmus.kit.receivables import Receivables
from isthmus.kit.suitetalk import SuiteTalk, applied, receivables_sql
from isthmus.kit.wire import Request, Row, Verb, dig
from isthmus.ports import messages as msg


class NetSuite(SuiteTalk, Clients, Projects, Receivables):
    """One NetSuite account."""

    client_kind, project_kind, task_kind = "customer", "job", "projectTask"

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

    def retire(self, kind: str, key: str, record: Row) -> Verb[ExternalRef]:
        """See Masters. A job is closed too."""
        closed = {"entityStatus": by_id(self.setting("project_closed"))} if kind == "job" else {}
        return self.put_record(kind, key, {"isInactive": True, **closed})

    def put_task(self, item: msg.TaskIn) -> Verb[ExternalRef]:
        """Create or update the project task."""
        body = m.TASK.out(item.task) | {"project": by_external_id(item.project_code)}
        return self.put_record(*self.place_of(item), body)

    def facts_of(self, project_code: str, project: Row) -> Verb[Row]:
        """See Projects."""
        client = yield Request("GET", f"record/v1/customer/{project['parent']['id']}", query={"fields": "externalId"})
        tasks = yield from self.query(f"SELECT externalid FROM projecttask WHERE project = {project['id']} ORDER BY id")
        facts = {"name": project["companyName"], "currency": self.decoded("currencies", project["currency"]["id"])}
        facts["client_no"] = from_external_id(client.body.get("externalId", ""))
        keys = (from_external_id(row.get("externalid", "")) for row in tasks)
        return facts | {"tasks": task_codes(project_code, keys)}

    def in_use(self, kind: str, record: Row) -> bool:
        """See Masters."""
        is_open = kind != "job" or self.own_state("project_statuses", record["entityStatus"]["id"]) == "active"
        return is_open and not record["isInactive"]

    def put_schedule(self, schedule: msg.ScheduleIn) -> Verb[ExternalRef]:
        """Create or replace the billing schedule: one milestone per fixed amount."""
        body = m.to_schedule(schedule) | {"scheduleType": by_id(self.setting("schedule_type"))}
        return self.put_record("billingSchedule", f"{schedule.project_code}:schedule", body, replace="milestone")

    def find_schedule(self, schedule: msg.ScheduleIn) -> Verb[ExternalRef | None]:
        """The billing schedule, if it is there."""
        return self.find_record("billingSchedule", f"{schedule.project_code}:schedule")

    def put_time(self, cost: msg.TimeCost) -> Verb[ExternalRef]:
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

    def find_time(self, cost: msg.TimeCost) -> Verb[ExternalRef | None]:
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

    def post_bill(self, bill: msg.PostVendorBill) -> Verb[msg.PostedBill]:
        """Post the bill, or a vendor credit where it gives back, and read it back: what is payable must be ours."""
        table, sign = m.of_bill(bill)
        body, items = table.out(bill) | self._books(bill) | {"entity": self.referred("vendors", bill.supplier)}, []
        for line in bill.lines:
            what = {
                "amount": sign * line.amount,
                "memo": line.description,
                "customer": by_external_id(bill.project_code),
            }
            items.append({"account": by_id(self.coded("accounts", line.account)), **what})
        if table is m.VENDOR_BILL:
            body |= self.chosen(approvalStatus="bill_approval") | {self.setting("payment_hold"): bill.payment_hold}
        record = yield from self.put_and_read(
            table.there, bill.bill_id, body | {"expense": {"items": items}}, replace="expense"
        )
        return same_payable(self._payable(record, bill), bill)

    def find_bill(self, bill: msg.PostVendorBill) -> Verb[msg.PostedBill | None]:
        """The bill or vendor credit as NetSuite has it, if it is there."""
        record = yield from self.held(m.of_bill(bill)[0].there, bill.bill_id)
        return self._payable(record, bill) if record else None

    def release_bill(self, bill: msg.PostVendorBill) -> Verb[msg.PostedBill]:
        """Take the payment hold off; nothing else is touched."""
        free = {self.setting("payment_hold"): False}
        return self._payable((yield from self.put_and_read("vendorBill", bill.bill_id, free)), bill)

    def find_released(self, bill: msg.PostVendorBill) -> Verb[msg.PostedBill | None]:
        """The bill, if it is there and not on hold."""
        found = yield from self.find_bill(bill)
        return found if found is not None and not found.held else None

    def _payable(self, record: Row, bill: msg.PostVendorBill) -> msg.PostedBill:
        (table, sign), currency = m.of_bill(bill), self.decoded("currencies", record["currency"]["id"])
        net = Decimal(record["total"]) - Decimal(record.get("taxTotal") or 0)
        facts = {"bill_no": record["tranId"], "state": self.state(table.there, record["status"]["id"])}
        facts |= {"currency": currency, "held": bool(record.get(self.setting("payment_hold")))}
        return msg.PostedBill(
            ref=self.ref(table.there, record["id"]), total=sign * at_minor_unit(net, currency), **facts
        )

    def make_document(self, document: msg.PostInvoice, original: Row | None) -> Verb[Row]:
        """See Receivables. A credit memo is applied to what is still open of its invoice."""
        body = m.of_document(document).out(document) | self._books(document) | self._lines(document)
        if document.ordered_by:  # a sale is for a project of its own customer
            del body["job"]
        if original is not None:
            body |= m.applied_to(original, document)
            return (yield from self.put_and_read("creditMemo", document.number, body, replace="item,taxDetails,apply"))
        body |= self.chosen(approvalStatus="invoice_approval") | self.under("invoice_dimensions", document.dimensions)
        if document.payment_terms:
            body["terms"] = yield from self._term(document.payment_terms)
        return (yield from self.put_and_read("invoice", document.number, body, replace="item,taxDetails"))

    def posted_document(self, document: msg.PostInvoice) -> Verb[Row | None]:
        """See Receivables."""
        return self.held(m.of_document(document).there, document.number)

    def credited_invoice(self, credit: msg.PostInvoice) -> Verb[Row | None]:
        """See Receivables."""
        return self.held("invoice", credit.original_number)

    def read_document(self, record: Row, document: msg.PostInvoice) -> msg.PostedInvoice:
        """See Receivables."""
        currency, kind = self.decoded("currencies", record["currency"]["id"]), m.of_document(document).there
        ref, whose = self.ref(kind, record["id"]), from_external_id(dig(record, "entity.externalId") or "")
        amounts, state = (record["total"], record["amountRemaining"]), self.state(kind, record["status"]["id"])
        return as_posted(ref, document.number, amounts, currency, whose, state)

    def receivables(self, entity: str, since: date) -> Verb[tuple[msg.PostedInvoice, ...]]:
        """Invoices and credit memos of our customers, whoever made them; what is voided or rejected claims nothing."""
        subsidiary = self.coded("subsidiaries", entity) if self.setting("subsidiaries") else ""
        listed = map(self._listed, (yield from self.query(receivables_sql(since, subsidiary))))
        return tuple(each for each in listed if each.state not in ("voided", "rejected"))

    def _listed(self, row: Row) -> msg.PostedInvoice:
        kind, sign = ("creditMemo", -1) if row["type"] == "CustCred" else ("invoice", 1)
        ref, number = self.ref(kind, row["id"]), from_external_id(row.get("externalid") or row["tranid"])
        # Whatever sign a credit memo has there, here it gives back.
        amounts = (sign * abs(Decimal(row["total"])), sign * abs(Decimal(row["unsettled"])))
        currency, state = self.decoded("currencies", row["currency"]), self.state(kind, row["status"])
        return as_posted(ref, number, amounts, currency, from_external_id(row["client"]), state, issue_date=row["day"])

    def payments_received(self, watermark: str) -> Verb[msg.PaymentPage]:
        """Payments changed after the watermark, each read by id for what it applies to."""
        rows = yield from self.changed("CustPymt", self.since(watermark))
        found = yield from self.read_each("customerPayment", rows)
        records = [one for one in found if self.state("customerPayment", one["status"]["id"]) == "received"]
        documents = [line["doc"]["id"] for record in records for line in applied(record)]
        numbers = yield from self.keys_of("transaction", "tranid", documents)
        clients = yield from self.keys_of("customer", "NULL", [record["customer"]["id"] for record in records])
        payments = tuple(self._payment(record, clients, numbers) for record in records)
        return msg.PaymentPage(payments=payments, watermark=latest(rows, "modified", watermark))

    def _payment(self, record: Row, clients: dict[str, str], numbers: dict[str, str]) -> Payment:
        facts = {"client_no": clients[record["customer"]["id"]], **m.PAYMENT.back(record)}
        applies = [(numbers[line["doc"]["id"]], line["amount"]) for line in applied(record)]
        references = (record.get("otherRefNum"), record.get("checkNum"), record["tranId"])
        currency = self.decoded("currencies", record["currency"]["id"])
        return self.payment(record["payment"], currency, references, applies, **facts)

    def _term(self, code: str) -> Verb[dict[str, str]]:
        """The term of our code: as the firm has set it, else the one of that name."""
        known = self.setting("terms").get(code)
        ids = [known] if known else [row["id"] for row in (yield from self.terms()) if row["name"] == code]
        if len(ids) != 1:
            raise self.refusal(f"netsuite has {len(ids)} payment terms named {code}", "TERM", "payment_terms")
        return by_id(ids[0])

    def _lines(self, invoice: msg.PostInvoice) -> Row:
        """Item lines, and for each its tax as the engine gave it, which switches NetSuite's own calculation off."""
        own = self.chosen(taxType="tax_type", taxCode="tax_code")
        items = [m.INVOICE_LINE.out(line) | {"item": self._item(line.tax_code)} for line in invoice.lines]
        taxes = [m.to_tax_detail(line) | own for line in invoice.lines]
        return {"item": {"items": items}, "taxDetailsOverride": True, "taxDetails": {"items": taxes}}

    def _books(self, record: Project | msg.PostInvoice | msg.PostVendorBill | Journal) -> Row:
        """Currency, and the subsidiary of the legal entity in an account that has subsidiaries."""
        known = {"currency": ("currencies", record.currency), "subsidiary": ("subsidiaries", record.entity)}
        return {name: by_id(self.coded(*code)) for name, code in known.items() if self.setting(code[0])}

    def _item(self, tax_code: str = "") -> dict[str, str]:
        return by_id(self.setting("items").get(tax_code) or self.needed("item"))
