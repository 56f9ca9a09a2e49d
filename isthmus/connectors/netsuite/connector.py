"""NetSuite as the ERP: every write is an upsert under the hub's own key as external id, so no write can double."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from isthmus.connectors.netsuite import mapping as m
from isthmus.domain.errors import NeedsSetup
from isthmus.domain.journals import Journal
from isthmus.domain.objects import Client, ExternalRef, Payment, Project
from isthmus.kit.drift import Described, RemoteField
from isthmus.kit.keyed import KeyedConnector, by_external_id, by_id
from isthmus.kit.keys import from_external_id, task_codes, task_key, to_external_id, to_revision_text
from isthmus.kit.mapping import StatusTable, Table, at_minor_unit, sum_by_key
from isthmus.kit.paging import Page, after_last_row, all_pages, in_batches, latest
from isthmus.kit.posting import as_posted, one_side, same_total
from isthmus.kit.wire import Request, Row, Verb, dig
from isthmus.ports.messages import PaymentPage, PostedInvoice, PostInvoice, ProjectFacts, ScheduleIn, TaskIn, TimeCost


class NetSuite(KeyedConnector):
    """One NetSuite account."""

    write_headers = m.WRITE_HEADERS

    def tables(self) -> dict[str, Table]:
        """The tables, and the firm's own fields for dimensions."""
        return {**super().tables(), "dimensions": Table(there="job").replaced(self.setting("dimensions"))}

    def describe(self, there: str) -> Verb[Described]:
        """The fields of a record type, the account's custom ones among them."""
        where, as_schema = f"record/v1/metadata-catalog/{there}", {"Accept": "application/schema+json"}
        answer = yield Request("GET", where, headers=as_schema)
        return {name: RemoteField(not facts.get("readOnly")) for name, facts in answer.body["properties"].items()}

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
        rows = yield from self._query(m.TERMS_SQL)
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
        rows = yield from self._query(f"SELECT externalid FROM projecttask WHERE project = {job['id']} ORDER BY id")
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
        person = self.setting("employees").get(cost.person)
        body = m.TIME.out(cost) | {"item": self._item(), "overrideRate": True}
        body["memo"] = to_revision_text(cost.entry_key, cost.revision, cost.memo)
        body["employee"] = by_id(person) if person else by_external_id(cost.person)
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
        yield from self.put_record(kind, document.number, body, replace=replace)
        answer = yield Request("GET", self.path_of(kind, document.number))
        return same_total(self._posted(answer.body, document.number, kind), document)

    def payments_received(self, watermark: str) -> Verb[PaymentPage]:
        """Payments changed after the watermark, each read by id for what it applies to."""
        since = self.since(watermark)
        rows = yield from after_last_row(lambda last, i: self._page(m.payments_sql(last, i)), since, "modified")
        records = []
        for row in rows:
            # A payment deleted since the query is money that is not there.
            there, query = f"record/v1/customerPayment/{row['id']}", {"expandSubResources": "true"}
            answer = yield Request("GET", there, query=query, allow=(404,))
            if answer.status != 404 and self.state("customerPayment", answer.body["status"]["id"]) == "received":
                records.append(answer.body)
        documents = [line["doc"]["id"] for record in records for line in m.applied(record)]
        numbers = yield from self._names("transaction", "tranid", documents)
        clients = yield from self._names("customer", "NULL", [record["customer"]["id"] for record in records])
        payments = tuple(self._payment(record, clients, numbers) for record in records)
        return PaymentPage(payments=payments, watermark=latest(rows, "modified", watermark))

    def _payment(self, record: Row, clients: dict[str, str], numbers: dict[str, str]) -> Payment:
        currency = self.decoded("currencies", record["currency"]["id"])
        # An invoice in instalments has a line for each.
        lines = [(line["doc"]["id"], at_minor_unit(Decimal(line["amount"]), currency)) for line in m.applied(record)]
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

    def path_of(self, kind: str, key: str) -> str:
        """The address of the record whose external id is our key."""
        return f"record/v1/{kind}/eid:{to_external_id(key)}"

    def _query(self, sql: str) -> Verb[list[Row]]:
        """All rows of a query that has an unambiguous order."""
        return all_pages(lambda place: self._page(sql, place * self.manifest.page_size))

    def _page(self, sql: str, offset: int = 0) -> Verb[Page]:
        query, headers = {"limit": self.manifest.page_size, "offset": offset}, {"Prefer": "transient"}
        answer = yield Request("POST", "query/v1/suiteql", query=query, json={"q": sql}, headers=headers, writes=False)
        return Page(rows=answer.body["items"], more=answer.body["hasMore"])

    def _names(self, table: str, otherwise: str, ids: Iterable[str]) -> Verb[dict[str, str]]:
        """Our key of each record by internal id; of a record that is not ours the other column, or nothing."""
        sql = f"SELECT id, externalid, {otherwise} AS other FROM {table} WHERE id IN ({{}}) ORDER BY id"
        # The database takes at most 1,000 values in a list.
        rows = yield from in_batches(ids, 500, lambda some: self._query(sql.format(", ".join(some))))
        return {row["id"]: from_external_id(row.get("externalid") or row.get("other") or "") for row in rows}

    def _term(self, code: str) -> Verb[dict[str, str]]:
        """The term of our code: as the firm has set it, else the one of that name."""
        known = self.setting("terms").get(code)
        ids = [known] if known else [row["id"] for row in (yield from self._query(m.TERMS_SQL)) if row["name"] == code]
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

    def _books(self, record: Project | PostInvoice | Journal) -> Row:
        """Currency, and the subsidiary of the legal entity in an account that has subsidiaries."""
        known = {"currency": ("currencies", record.currency), "subsidiary": ("subsidiaries", record.entity)}
        return {name: by_id(self.coded(*code)) for name, code in known.items() if self.setting(code[0])}

    def _item(self, tax_code: str = "") -> dict[str, str]:
        item = self.setting("items").get(tax_code) or self.setting("item")
        if not item:
            raise NeedsSetup("netsuite: setting item is missing: the id of the service item to record and bill under")
        return by_id(item)
