"""Tryton as the ERP: everything is looked for under our key before it is made, as Tryton knows no idempotency key.

Only the code of a party is unique there. So of two invoices that a repeated request has left the second is deleted
before one of them is posted, and twins of anything else are a refusal that a person looks at.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

from isthmus.connectors.tryton import mapping as m
from isthmus.domain.objects import Client, ExternalRef, Payment, Project
from isthmus.kit import tryton_rest as rest
from isthmus.kit.keys import revision_of
from isthmus.kit.mapping import at_minor_unit
from isthmus.kit.posting import as_posted, made_once, one_of_copies, ready_to_post, same_total, sign_of
from isthmus.kit.revised import Revised
from isthmus.kit.tryton_ledger import Moves
from isthmus.kit.wire import Request, Row, Verb
from isthmus.ports.messages import PaymentPage, PostedInvoice, PostInvoice, ProjectFacts, TaskIn, TimeCost

PARTY, WORK, LINE, INVOICE = "party.party", "project.work", "timesheet.line", "account.invoice"


class Tryton(Revised, Moves):
    """One database of a Tryton server. Parties are common to its companies."""

    # -- client ----------------------------------------------------------------------------------------------------
    def put_client(self, client: Client) -> Verb[ExternalRef]:
        """Create the party or bring it to these facts."""
        party = yield from self._party(client)
        body = m.CLIENT.out(client)
        if client.payment_terms:
            name = self.setting("terms").get(client.payment_terms, client.payment_terms)
            body["customer_payment_term"] = yield from self.id_of("account.invoice.payment_term", "name", name)
        if client.address:
            place = m.ADDRESS.out(client.address)
            place["country"] = yield from self.id_of("country.country", "code", client.address.country)
            region = ["code", "=", f"{client.address.country}-{client.address.region}"]  # as ISO 3166-2 has it
            place["subdivision"] = yield from self.maybe_id("country.subdivision", region)
            body["addresses"] = rest.in_place(party["addresses"] if party else [], place)
        if client.tax_id:
            number = {"code": client.tax_id, "type": self.setting("tax_id_type") or None}
            body["identifiers"] = rest.in_place(party["identifiers"] if party else [], number)
        if party and not party["active"]:  # nothing else of it can be changed until then
            yield from self.put(PARTY, party, {"active": True})
        first = {"code": body.pop("code")}  # never changes
        return (yield from self.put(PARTY, party, body, first))

    def find_client(self, client: Client) -> Verb[ExternalRef | None]:
        """The party, if it is there and active."""
        return self._party_that_is(client, active=True)

    def deactivate_client(self, client: Client) -> Verb[ExternalRef]:
        """Set the party inactive."""
        party = yield from self._party(client)
        return (yield from self.put(PARTY, self.there(party, client.client_no), {"active": False}))

    def find_inactive_client(self, client: Client) -> Verb[ExternalRef | None]:
        """The party, if it is inactive."""
        return self._party_that_is(client, active=False)

    def payment_terms(self) -> Verb[tuple[str, ...]]:
        """The payment terms, by our code where the firm has one, else by name."""
        rows = yield from self.rows("account.invoice.payment_term", [], "name")
        return self.our_terms(row["name"] for row in rows)

    def _party(self, client: Client) -> Verb[Row | None]:
        rows = yield from self.rows(PARTY, [["code", "=", client.client_no]], *m.PARTY, **rest.ALL)
        return rows[0] if rows else None  # the code of a party is unique

    def _party_that_is(self, client: Client, active: bool) -> Verb[ExternalRef | None]:
        party = yield from self._party(client)
        return self.ref(PARTY, party["id"]) if party and party["active"] is active else None

    # -- project ---------------------------------------------------------------------------------------------------
    def put_project(self, project: Project) -> Verb[ExternalRef]:
        """Create the project, open for time, or bring it to these facts."""
        held = yield from self._project(project.project_code)
        body = m.PROJECT.out(project) | {"name": rest.labelled(project.project_code, project.name)}
        body["party"] = yield from self.id_of(PARTY, "code", project.client_no)
        body["status"] = yield from self.id_of(f"{WORK}.status", "name", self.setting("project_open"))
        first = {"type": "project", "company": self.company(project.entity), "timesheet_available": True}
        return (yield from self.put(WORK, held, body, first))

    def find_project(self, project: Project) -> Verb[ExternalRef | None]:
        """The project, if it is there and open."""
        return self._find_project(project, "active")

    def read_project(self, project_code: str) -> Verb[ProjectFacts]:
        """The project with its client, the currency of its company, and its tasks."""
        project = self.there((yield from self._project(project_code)), project_code)
        return ProjectFacts(
            ref=self.ref(WORK, project["id"]),
            project_code=project_code,
            name=project["name"].removeprefix(rest.labelled(project_code, "")),
            currency=project["company"]["currency"]["code"],
            active=self.own_state("project_statuses", project["status"]["name"]) == "active",
            client_no=project["party"]["code"],
            tasks=tuple(rest.code_of(task["name"]) for task in project["children"]),
        )

    def close_project(self, project: Project) -> Verb[ExternalRef]:
        """Set the project and its tasks, which have to go first, to done."""
        held = self.there((yield from self._project(project.project_code)), project.project_code)
        status = yield from self.id_of(f"{WORK}.status", "name", self.setting("project_closed"))
        done: Row = {"status": status, "progress": 1.0}
        tasks = [task["id"] for task in held["children"]]
        return (yield from self.put(WORK, held, done | {"children": [["write", tasks, done]] if tasks else []}))

    def find_closed(self, project: Project) -> Verb[ExternalRef | None]:
        """The project, if it is done."""
        return self._find_project(project, "closed")

    def put_task(self, item: TaskIn) -> Verb[ExternalRef]:
        """Create the task below its project, or bring it to this name."""
        project = self.there((yield from self._project(item.project_code)), item.project_code)
        status = yield from self.id_of(f"{WORK}.status", "name", self.setting("project_open"))
        first = {"type": "task", "parent": project["id"], "company": project["company"]["id"], "status": status}
        body = m.TASK.out(item.task) | {"name": rest.labelled(item.task.code, item.task.name)}
        held = self._task(project, item.task.code)
        return (yield from self.put(WORK, held, body, first | {"timesheet_available": True}))

    def find_task(self, item: TaskIn) -> Verb[ExternalRef | None]:
        """The task, if it is there."""
        project = yield from self._project(item.project_code)
        task = self._task(project, item.task.code) if project else None
        return self.ref(WORK, task["id"]) if task else None

    def _project(self, code: str) -> Verb[Row | None]:
        domain = [["type", "=", "project"], ["name", "like", rest.starting_with(rest.labelled(code, ""))]]
        rows = yield from self.rows(WORK, domain, *m.PROJECT_FIELDS)
        return self.only(rows, f"project {code}")

    def _find_project(self, project: Project, state: str) -> Verb[ExternalRef | None]:
        held = yield from self._project(project.project_code)
        is_so = held and self.own_state("project_statuses", held["status"]["name"]) == state
        return self.ref(WORK, held["id"]) if held and is_so else None

    def _task(self, project: Row, code: str) -> Row | None:
        tasks = [task for task in project["children"] if rest.code_of(task["name"]) == code]
        return self.only(tasks, f"task {code} of {project['name']}")

    # -- cost ------------------------------------------------------------------------------------------------------
    def newest_line(self, cost: TimeCost) -> Verb[tuple[int, Row | None]]:
        """See Revised. There is one line for each entry."""
        of_entry = ["description", "like", rest.starting_with(f"{cost.entry_key}#")]
        held = self.only((yield from self.rows(LINE, [of_entry], "description")), f"time {cost.entry_key}")
        return (revision_of(held["description"], cost.entry_key) if held else 0), held

    def write_line(self, cost: TimeCost, last: int, before: Row | None, text: str) -> Verb[ExternalRef]:
        """See Revised. The line itself is changed."""
        project = self.there((yield from self._project(cost.project_code)), cost.project_code)
        place = self._task(project, cost.task_code) if cost.task_code else project
        body = m.TIME.out(cost) | {"company": project["company"]["id"], "description": text}
        body["work"] = self.there(place, f"{cost.project_code}:{cost.task_code}")["timesheet_works"][0]["id"]
        body["employee"] = yield from self._employee(cost.person)
        made = yield from self.put(LINE, before, body)
        return self.ref(LINE, made.external_id, str(cost.revision))

    def line_ref(self, line: Row, revision: int) -> ExternalRef:
        """See Revised."""
        return self.ref(LINE, line["id"], str(revision))

    def _employee(self, person: str) -> Verb[int]:
        known = self.setting("employees").get(person)
        if known:
            return int(known)
        found = yield from self.maybe_id("company.employee", ["party.contact_mechanisms.value", "=", person])
        if found is None:
            raise self.refusal(f"{self.system} has no employee with the address {person}", "EMPLOYEE", "person")
        return found

    # -- receivable ------------------------------------------------------------------------------------------------
    def post_invoice(self, invoice: PostInvoice) -> Verb[PostedInvoice]:
        """Create the invoice with the engine's tax, post it if it is ours to the cent, and return it as it is then."""
        look, make = partial(self._invoice, invoice), partial(self._make_invoice, invoice)
        held = self.there((yield from made_once(look, make, partial(self.drop, INVOICE))), invoice.number)
        if not self._is_posted(held):
            total = at_minor_unit(sign_of(invoice) * rest.from_amount(held["total_amount"]), invoice.currency)
            ready_to_post(len(held["lines"]), total, invoice, self.system)
            context = {"_skip_warnings": True} if self.names("warnings", ("stop", "skip")) == ("skip",) else {}
            about = {"company": self.company(invoice.entity)} | context
            held = yield from self.press(INVOICE, held, "post", m.INVOICE_FIELDS, **about)
        return same_total(self._posted(held, sign_of(invoice)), invoice)

    def find_invoice(self, invoice: PostInvoice) -> Verb[PostedInvoice | None]:
        """The invoice as Tryton has it, if it was ever posted: a draft is no receivable yet."""
        held, _ = yield from self._invoice(invoice)
        return self._posted(held, sign_of(invoice)) if held and self._is_posted(held) else None

    def post_credit(self, credit: PostInvoice) -> Verb[PostedInvoice]:
        """Post the credit memo, an invoice with negative lines, and set it off against the invoice it credits."""
        original, _ = yield from self._invoice(credit, credit.original_number)
        if original is None or not self._is_posted(original):
            raise self.refusal(f"{self.system} has no posted invoice {credit.original_number}", "ORIGINAL", "original")
        posted = yield from self.post_invoice(credit)
        held, _ = yield from self._invoice(credit)
        if lines := self._to_set_off(held, original, credit):
            body = {"payment_lines": [["add", lines]]}
            yield Request("PUT", f"model/{INVOICE}/{original['id']}", json=body)
        return posted

    def find_credit(self, credit: PostInvoice) -> Verb[PostedInvoice | None]:
        """The credit memo as Tryton has it, if it is posted and set off as far as it can be."""
        held, _ = yield from self._invoice(credit)
        original, _ = yield from self._invoice(credit, credit.original_number)
        waits = not (held and self._is_posted(held)) or (original and self._to_set_off(held, original, credit))
        return None if waits or held is None else self._posted(held, -1)

    def _to_set_off(self, held: Row | None, original: Row, credit: PostInvoice) -> list[int]:
        """Lines of a credit memo still to be set off. One of more than is open stays on account: nothing splits it."""
        fits = rest.from_amount(original["amount_to_pay"]) >= credit.total
        return [line["id"] for line in held["lines_to_pay"] if fits and not line["invoice_payment"]] if held else []

    def _invoice(self, invoice: PostInvoice, number: str = "") -> Verb[tuple[Row | None, list[Row]]]:
        """The document of its number, or of another one, and drafts of it that a repeated request has left."""
        ours = [["company", "=", self.company(invoice.entity)], ["reference", "=", number or invoice.number]]
        rows = yield from self.rows(INVOICE, [["type", "=", "out"], *ours], *m.INVOICE_FIELDS)
        return one_of_copies(rows, self._is_posted, number or invoice.number, self.system)

    def receivables(self, entity: str, since: date) -> Verb[tuple[PostedInvoice, ...]]:
        """Invoices and credit memos of the company, whoever made them: drafts have no day yet."""
        dated = ["OR", [["invoice_date", ">=", rest.to_day(since)]], [["invoice_date", "=", None]]]
        kinds = [["type", "=", "out"], ["state", "!=", "cancelled"], ["company", "=", self.company(entity)]]
        rows = yield from self.rows(INVOICE, [*kinds, dated], *m.INVOICE_FIELDS)
        return tuple(self._posted(row, 1) for row in rows)

    def _make_invoice(self, invoice: PostInvoice) -> Verb[None]:
        """The invoice with its lines and taxes."""
        company, sign = self.company(invoice.entity), sign_of(invoice)
        receivable, revenue, tax = (self.needed(f"{kind}_account") for kind in ("receivable", "revenue", "tax"))
        codes = {line.tax_code: self.setting("accounts").get(line.tax_code, revenue) for line in invoice.lines}
        wanted = {receivable, tax, *codes.values()}
        accounts = yield from self.ids_of("account.account", "code", wanted, ["company", "=", company])
        parties = yield from self.rows(PARTY, [["code", "=", invoice.client_no]], *m.PARTY)
        party = self.there(self.only(parties, invoice.client_no), invoice.client_no)
        currency = yield from self.id_of("currency.currency", "code", invoice.currency)
        journal = yield from self.id_of("account.journal", "code", self.setting("journal"))
        common: Row = {"company": company, "currency": currency}
        lines = [m.to_line(line, sign) | common | {"account": accounts[codes[line.tax_code]]} for line in invoice.lines]
        address = self.there(next(iter(party["addresses"]), None), f"address of {invoice.client_no}")
        head = {"type": "out", "party": party["id"], "invoice_address": address["id"]}
        head |= {"journal": journal, "account": accounts[receivable]}
        parts = {"lines": [["create", lines]], "taxes": [["create", m.to_taxes(invoice, accounts[tax])]]}
        yield from self.make(INVOICE, m.INVOICE.out(invoice) | common | head | parts, company)

    def _is_posted(self, document: Row) -> bool:
        return self.state("invoice", document["state"]) in ("posted", "paid", "voided")

    def _posted(self, document: Row, sign: int) -> PostedInvoice:
        ref, number = self.ref(INVOICE, document["id"], document["number"] or ""), document["reference"] or ""
        amounts = rest.from_amount(document["total_amount"]), rest.from_amount(document["amount_to_pay"])
        state, whose = self.state("invoice", document["state"]), document["party"]["code"]
        made = as_posted(ref, number, amounts, document["currency"]["code"], whose, state, sign)
        day = rest.from_day(document["invoice_date"]) if document["invoice_date"] else None
        return made.model_copy(update={"issue_date": day})

    # -- payments --------------------------------------------------------------------------------------------------
    def payments_received(self, watermark: str) -> Verb[PaymentPage]:
        """What was booked since then on what customers owe, in the journals that payments come in."""
        since = self.since(watermark)
        domain: list[Any] = [
            ["account.type.receivable", "=", True],
            ["account.company", "in", [int(company) for company in self.setting("companies").values()]],
            ["move.journal.type", "in", list(self.names("payment_journals"))],
            ["move.state", "=", "posted"],
            ["credit", ">", rest.to_amount(Decimal(0))],
            *([["last_modified_at", ">=", rest.to_moment(since)]] if since else []),
        ]
        rows = yield from self.rows("account.move.line", domain, *m.PAYMENT_FIELDS)
        latest = max((rest.from_moment(row["last_modified_at"]).isoformat() for row in rows), default=watermark)
        return PaymentPage(payments=tuple(map(self._payment, rows)), watermark=max(latest, watermark))

    def _payment(self, line: Row) -> Payment:
        foreign, invoice = line["second_currency"], line["invoice_payment"]
        currency = (foreign or line["account"]["company"]["currency"])["code"]
        booked = abs(rest.from_amount(line["amount_second_currency" if foreign else "credit"]))
        amount = at_minor_unit(booked, currency)
        return Payment(
            source=self.system,
            source_id=str(line["id"]),
            client_no=(line["party"] or {}).get("code") or "",
            amount=amount,
            currency=currency,
            value_date=rest.from_day(line["date"]),
            reference=line["description"] or line["move"]["description"] or line["move"]["number"],
            applies={invoice["reference"] or invoice["number"]: amount} if invoice else {},
        )
