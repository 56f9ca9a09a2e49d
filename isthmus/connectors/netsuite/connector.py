"""NetSuite as the ERP: every write is an upsert under the hub's own key as external id, so no write can double."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from isthmus.connectors.netsuite import mapping as m
from isthmus.domain.errors import NeedsSetup, RemoteRefusal
from isthmus.domain.objects import Client, ExternalRef, Payment, Project
from isthmus.kit.connector import Connector
from isthmus.kit.mapping import StatusTable
from isthmus.kit.wire import Answer, Request, Verb, dig
from isthmus.ports.messages import (
    PaymentPage,
    PostedInvoice,
    PostInvoice,
    ProjectFacts,
    ScheduleIn,
    TaskIn,
    TimeCost,
)

Row = dict[str, Any]

# By default an unknown property is dropped with a warning only: a misspelt custom field would lose its dimension.
_STRICT = {"X-NetSuite-PropertyNameValidation": "error"}


class NetSuite(Connector):
    """One NetSuite account."""

    settings_known = frozenset(m.DEFAULTS)
    defaults = m.DEFAULTS

    # -- client ------------------------------------------------------------------------------------------------
    def put_client(self, client: Client) -> Verb[ExternalRef]:
        """Create or update the customer under its client number."""
        body = m.CLIENT.out(client) | {"isPerson": False, "isInactive": False}
        primary = self.setting("client_subsidiary") or next(iter(self.setting("subsidiaries").values()), "")
        if primary:
            body["subsidiary"] = m.by_id(primary)
        if client.currency:
            body["currency"] = m.by_id(self.coded("currencies", client.currency))
        if client.payment_terms:
            body["terms"] = yield from self._term(client.payment_terms)
        return (yield from self._put("customer", client.client_no, body, replace="addressBook"))

    def find_client(self, client: Client) -> Verb[ExternalRef | None]:
        """The customer, if it is there and active."""
        return self._find("customer", client.client_no, lambda customer: not customer["isInactive"])

    def deactivate_client(self, client: Client) -> Verb[ExternalRef]:
        """Set the customer inactive; nothing else is touched."""
        return self._put("customer", client.client_no, {"isInactive": True})

    def find_inactive_client(self, client: Client) -> Verb[ExternalRef | None]:
        """The customer, if it is inactive."""
        return self._find("customer", client.client_no, lambda customer: bool(customer["isInactive"]))

    def payment_terms(self) -> Verb[tuple[str, ...]]:
        """The account's active terms, by our code where the firm has one, else by name."""
        codes = {term_id: code for code, term_id in self.setting("terms").items()}
        rows = yield from self._query("SELECT id, name FROM term WHERE isinactive = 'F' ORDER BY id")
        return tuple(str(codes.get(row["id"], row["name"])) for row in rows)

    # -- project -----------------------------------------------------------------------------------------------
    def put_project(self, project: Project) -> Verb[ExternalRef]:
        """Create or update the job with its dimensions, open for time."""
        fields = self.setting("dimensions")
        body = m.PROJECT.out(project) | self._entity(project.entity) | {"allowTime": True, "isInactive": False}
        body |= {fields[name]: value for name, value in project.dimensions.items() if name in fields}
        body["currency"] = m.by_id(self.coded("currencies", project.currency))
        body["entityStatus"] = m.by_id(self.setting("project_open"))
        body["comments"] = f"Contract {project.contract_no} version {project.contract_version}"
        return self._put("job", project.project_code, body)

    def find_project(self, project: Project) -> Verb[ExternalRef | None]:
        """The job, if it is there and neither inactive nor closed."""
        return self._find("job", project.project_code, self._is_open)

    def read_project(self, project_code: str) -> Verb[ProjectFacts]:
        """The job with its client and its tasks."""
        job = (yield Request("GET", _path("job", project_code))).body
        client = yield Request("GET", f"record/v1/customer/{job['parent']['id']}", query={"fields": "externalId"})
        rows = yield from self._query(f"SELECT externalid FROM projecttask WHERE project = {job['id']} ORDER BY id")
        keys = [m.from_external_id(row.get("externalid", "")) for row in rows]
        prefix = f"{project_code}:"
        return ProjectFacts(
            ref=self.ref("job", job["id"]),
            project_code=project_code,
            name=job["companyName"],
            currency=self._currency_of(job),
            active=self._is_open(job),
            client_no=m.from_external_id(client.body.get("externalId", "")),
            tasks=tuple(key.removeprefix(prefix) for key in keys if key.startswith(prefix)),
        )

    def close_project(self, project: Project) -> Verb[ExternalRef]:
        """Set the job closed and inactive; it keeps its history."""
        closed = m.by_id(self.setting("project_closed"))
        return self._put("job", project.project_code, {"isInactive": True, "entityStatus": closed})

    def find_closed(self, project: Project) -> Verb[ExternalRef | None]:
        """The job, if it is inactive or closed."""
        return self._find("job", project.project_code, lambda job: not self._is_open(job))

    def put_task(self, item: TaskIn) -> Verb[ExternalRef]:
        """Create or update the project task."""
        body = m.TASK.out(item.task) | {"project": m.by_external_id(item.project_code)}
        return self._put("projectTask", m.task_key(item.project_code, item.task.code), body)

    def find_task(self, item: TaskIn) -> Verb[ExternalRef | None]:
        """The project task, if it is there."""
        return self._find("projectTask", m.task_key(item.project_code, item.task.code))

    def put_schedule(self, schedule: ScheduleIn) -> Verb[ExternalRef]:
        """Create or replace the billing schedule: one milestone per fixed amount."""
        body = m.to_schedule(schedule) | {"scheduleType": m.by_id(self.setting("schedule_type"))}
        return self._put("billingSchedule", f"{schedule.project_code}:schedule", body, replace="milestone")

    def find_schedule(self, schedule: ScheduleIn) -> Verb[ExternalRef | None]:
        """The billing schedule, if it is there."""
        return self._find("billingSchedule", f"{schedule.project_code}:schedule")

    # -- cost --------------------------------------------------------------------------------------------------
    def put_time(self, cost: TimeCost) -> Verb[ExternalRef]:
        """Record the hour; one record per entry, which a higher revision replaces."""
        # A revision delayed by throttling must not overwrite the correction that has overtaken it.
        held = yield from self.find_time(cost)
        if held is not None and held.version != str(cost.revision):
            return held
        person = self.setting("employees").get(cost.person)
        body = m.TIME.out(cost) | {"item": self._item(), "memo": m.to_revision_memo(cost), "overrideRate": True}
        body["employee"] = m.by_id(person) if person else m.by_external_id(cost.person)
        if cost.task_code:
            body["caseTaskEvent"] = m.by_external_id(m.task_key(cost.project_code, cost.task_code))
        if self.setting("time_approval"):
            body["approvalStatus"] = m.by_id(self.setting("time_approval"))
        written = yield from self._put("timeBill", cost.entry_key, body)
        return self.ref("timeBill", written.external_id, str(cost.revision))

    def find_time(self, cost: TimeCost) -> Verb[ExternalRef | None]:
        """The record, if it holds this revision or a later one that replaced it; version says which."""
        record = yield from self._get("timeBill", cost.entry_key)
        revision = m.revision_of(record.get("memo"), cost.entry_key) if record else 0
        return self.ref("timeBill", record["id"], str(revision)) if record and revision >= cost.revision else None

    # -- receivable --------------------------------------------------------------------------------------------
    def post_invoice(self, invoice: PostInvoice) -> Verb[PostedInvoice]:
        """Post the invoice with the engine's tax per line, and read it back: its total must be ours to the cent."""
        body = m.INVOICE.out(invoice) | self._entity(invoice.entity) | self._lines(invoice)
        body["currency"] = m.by_id(self.coded("currencies", invoice.currency))
        if invoice.payment_terms:
            body["terms"] = yield from self._term(invoice.payment_terms)
        if self.setting("invoice_approval"):
            body["approvalStatus"] = m.by_id(self.setting("invoice_approval"))
        yield from self._put("invoice", invoice.number, body, replace="item,taxDetails")
        answer = yield Request("GET", _path("invoice", invoice.number))
        posted = self._posted(answer.body, invoice.number)
        if (posted.total, posted.currency) != (invoice.total, invoice.currency):
            made = f"{posted.total} {posted.currency} of {invoice.total} {invoice.currency}"
            raise self._refusal(f"netsuite made invoice {invoice.number} {made}", "TOTAL_DIFFERS", "total")
        return posted

    def find_invoice(self, invoice: PostInvoice) -> Verb[PostedInvoice | None]:
        """The invoice as NetSuite has it, if it is there."""
        record = yield from self._get("invoice", invoice.number)
        return self._posted(record, invoice.number) if record else None

    def payments_received(self, watermark: str) -> Verb[PaymentPage]:
        """Payments changed after the watermark, each read by id for what it applies to."""
        rows = yield from self._payments_changed(watermark)
        records = []
        for row in rows:
            query = {"expandSubResources": "true"}
            # A payment deleted since the query is money that is not there.
            answer = yield Request("GET", f"record/v1/customerPayment/{row['id']}", query=query, allow=(404,))
            if answer.status != 404 and m.PAYMENT_STATUS.read(answer.body["status"]["id"]) == "received":
                records.append(answer.body)
        documents = [line["doc"]["id"] for record in records for line in m.applied(record)]
        numbers = yield from self._names("transaction", "tranid", documents)
        clients = yield from self._names("customer", "NULL", [record["customer"]["id"] for record in records])
        payments = tuple(self._payment(record, clients, numbers) for record in records)
        return PaymentPage(payments=payments, watermark=rows[-1]["modified"] if rows else watermark)

    def _payments_changed(self, watermark: str) -> Verb[list[Row]]:
        """(id, modified) of changed payments, oldest first.

        Each page starts after the last row of the one before, by time and id: with an offset, a payment changed while
        we read would push another one over the page edge unseen.
        """
        overlap = timedelta(seconds=self.manifest.capture.overlap_seconds)
        since = datetime.fromisoformat(watermark) - overlap if watermark else datetime(1970, 1, 1, tzinfo=UTC)
        after, rows = "0", list[Row]()
        while True:
            answer = yield self._select(m.payments_sql(since, after))
            rows += [{**row, "modified": f"{row['modified']}+00:00"} for row in answer.body["items"]]
            if not answer.body["hasMore"]:
                return rows
            since, after = datetime.fromisoformat(rows[-1]["modified"]), rows[-1]["id"]

    def _payment(self, record: Row, clients: dict[str, str], numbers: dict[str, str]) -> Payment:
        return Payment(
            source=self.system,
            source_id=record["id"],
            client_no=clients[record["customer"]["id"]],
            amount=record["payment"],
            currency=self._currency_of(record),
            value_date=record["tranDate"],
            reference=record.get("otherRefNum") or record.get("checkNum") or record["tranId"],
            applies={numbers[line["doc"]["id"]]: Decimal(line["amount"]) for line in m.applied(record)},
        )

    # -- what requests and answers have in common --------------------------------------------------------------
    def _put(self, kind: str, key: str, body: Row, replace: str = "") -> Verb[ExternalRef]:
        """Upsert under our key; the internal id comes in the Location header. replace: sublists to start anew."""
        query = {"replace": replace} if replace else {}
        answer = yield Request("PUT", _path(kind, key), query=query, json=body, headers=_STRICT)
        return self.ref(kind, answer.headers["Location"].rstrip("/").rsplit("/", 1)[-1])

    def _get(self, kind: str, key: str) -> Verb[Row | None]:
        """The record under our key, never from an index; None when there is none."""
        answer: Answer = yield Request("GET", _path(kind, key), allow=(404,))
        return None if answer.status == 404 else answer.body

    def _find(self, kind: str, key: str, holds: Callable[[Row], bool] = bool) -> Verb[ExternalRef | None]:
        record = yield from self._get(kind, key)
        return self.ref(kind, record["id"]) if record and holds(record) else None

    def _select(self, sql: str, offset: int = 0) -> Request:
        query = {"limit": self.manifest.page_size, "offset": offset}
        headers = {"Prefer": "transient"}
        return Request("POST", "query/v1/suiteql", query=query, json={"q": sql}, headers=headers, writes=False)

    def _query(self, sql: str) -> Verb[list[Row]]:
        """All rows of a query that has an unambiguous order."""
        rows: list[Row] = []
        more, offset = True, 0
        while more:
            answer = yield self._select(sql, offset)
            rows += answer.body["items"]
            more, offset = answer.body["hasMore"], offset + self.manifest.page_size
        return rows

    def _names(self, table: str, otherwise: str, ids: Iterable[str]) -> Verb[dict[str, str]]:
        """Our key of each record by internal id; of a record that is not ours the other column, or nothing."""
        wanted = sorted(set(ids), key=int)
        names: dict[str, str] = {}
        for start in range(0, len(wanted), 500):  # the database takes at most 1,000 values in a list
            listed = ", ".join(wanted[start : start + 500])
            sql = f"SELECT id, externalid, {otherwise} AS other FROM {table} WHERE id IN ({listed}) ORDER BY id"
            for row in (yield from self._query(sql)):
                names[row["id"]] = m.from_external_id(row.get("externalid") or row.get("other") or "")
        return names

    def _term(self, code: str) -> Verb[dict[str, str]]:
        """The term of our code: as the firm has set it, else the one of that name."""
        known = self.setting("terms").get(code)
        if known:
            return m.by_id(known)
        sql = f"SELECT id FROM term WHERE isinactive = 'F' AND name = {m.to_sql(code)} ORDER BY id"
        rows = yield from self._query(sql)
        if len(rows) != 1:
            raise self._refusal(f"netsuite has {len(rows)} payment terms named {code}", "TERM", "payment_terms")
        return m.by_id(rows[0]["id"])

    def _lines(self, invoice: PostInvoice) -> Row:
        """Item lines, and for each its tax as the engine gave it, which switches NetSuite's own calculation off."""
        named = {"taxType": self.setting("tax_type"), "taxCode": self.setting("tax_code")}
        own = {field: m.by_id(value) for field, value in named.items() if value}
        items = [m.to_item(line) | {"item": self._item(line.tax_code)} for line in invoice.lines]
        taxes = [m.to_tax_detail(line) | own for line in invoice.lines]
        return {"item": {"items": items}, "taxDetailsOverride": True, "taxDetails": {"items": taxes}}

    def _posted(self, record: Row, number: str) -> PostedInvoice:
        return PostedInvoice(
            ref=self.ref("invoice", record["id"]),
            number=number,
            total=record["total"],
            open=record["amountRemaining"],
            currency=self._currency_of(record),
            client_no=m.from_external_id(dig(record, "entity.externalId") or ""),
            state=m.INVOICE_STATUS.read(record["status"]["id"]),
        )

    def _is_open(self, job: Row) -> bool:
        states = StatusTable("netsuite job", m.PROJECT_STATUS | self.setting("project_statuses"))
        return states.read(job["entityStatus"]["id"]) == "active" and not job["isInactive"]

    def _entity(self, entity: str) -> Row:
        """The subsidiary of a legal entity; nothing in an account without subsidiaries."""
        return {"subsidiary": m.by_id(self.coded("subsidiaries", entity))} if self.setting("subsidiaries") else {}

    def _item(self, tax_code: str = "") -> dict[str, str]:
        item = self.setting("items").get(tax_code) or self.setting("item")
        if not item:
            raise NeedsSetup("netsuite: setting item is missing: the id of the service item to record and bill under")
        return m.by_id(item)

    def _currency_of(self, record: Row) -> str:
        codes = {number: code for code, number in self.setting("currencies").items()}
        return StatusTable("netsuite currency id", codes).read(record["currency"]["id"])

    def _refusal(self, cause: str, code: str, field: str) -> RemoteRefusal:
        return RemoteRefusal(cause, remote_code=code, field=field, system=self.system)


def _path(kind: str, key: str) -> str:
    return f"record/v1/{kind}/eid:{m.to_external_id(key)}"
