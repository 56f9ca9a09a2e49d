"""Tryton as the ERP: everything is looked for under our key before it is made, as Tryton knows no idempotency key.

Only the code of a party is unique there. So of two documents that a repeated request has left the second is deleted
before one of them is posted, and twins of anything else are a refusal that a person looks at.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

from isthmus.connectors.tryton import mapping as m
from isthmus.domain.journals import Journal
from isthmus.domain.objects import Client, ExternalRef, Payment, Project
from isthmus.kit import tryton_rest as rest
from isthmus.kit.drafts import Document, DraftedInvoices
from isthmus.kit.journals import DraftedJournals, client_of
from isthmus.kit.keys import revision_of, task_key
from isthmus.kit.mapping import at_minor_unit
from isthmus.kit.masters import Clients, Projects
from isthmus.kit.posting import as_posted, sign_of
from isthmus.kit.revised import Revised
from isthmus.kit.wire import Row, Verb
from isthmus.ports.messages import PaymentPage, PostedInvoice, PostInvoice, TaskIn, TimeCost

PARTY, WORK, LINE, INVOICE, MOVE = "party.party", "project.work", "timesheet.line", "account.invoice", "account.move"


class Tryton(Revised, Clients, Projects, DraftedInvoices, DraftedJournals, rest.ModelConnector):
    """One database of a Tryton server. Parties are common to its companies."""

    client_kind, project_kind, task_kind, line_kind = PARTY, WORK, WORK, LINE

    # -- client, project -------------------------------------------------------------------------------------------
    def held(self, kind: str, key: str) -> Verb[Row | None]:
        """See Masters. A party by its code, a project by the code before its name, a task by both."""
        if kind == PARTY:
            return self.one_of((yield from self.rows(PARTY, [["code", "=", key]], *m.PARTY, **rest.ALL)), key)
        project, _, task = key.partition(":")
        domain = [["type", "=", "task" if task else "project"], self._labelled("name", task or project)]
        domain += [self._labelled("parent.name", project)] if task else []
        return self.one_of((yield from self.rows(WORK, domain, *m.PROJECT_FIELDS)), key)

    def in_use(self, kind: str, record: Row) -> bool:
        """See Masters."""
        if kind == PARTY:
            return bool(record["active"])
        return self.own_state("project_statuses", record["status"]["name"]) == "active"

    def put_client(self, client: Client) -> Verb[ExternalRef]:
        """Create the party or bring it to these facts."""
        party = yield from self.held(PARTY, client.client_no)
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

    def payment_terms(self) -> Verb[tuple[str, ...]]:
        """The payment terms, by our code where the firm has one, else by name."""
        rows = yield from self.rows("account.invoice.payment_term", [], "name")
        return self.our_terms(row["name"] for row in rows)

    def put_project(self, project: Project) -> Verb[ExternalRef]:
        """Create the project, open for time, or bring it to these facts."""
        held = yield from self.held(WORK, project.project_code)
        body = m.PROJECT.out(project) | {"name": rest.labelled(project.project_code, project.name)}
        body["party"] = yield from self.id_of(PARTY, "code", project.client_no)
        body["status"] = yield from self._status("project_open")
        first = {"type": "project", "company": self.company(project.entity), "timesheet_available": True}
        return (yield from self.put(WORK, held, body, first))

    def retire(self, kind: str, key: str, record: Row) -> Verb[ExternalRef]:
        """See Masters. A project and its tasks, which have to go first, are set to done."""
        if kind == PARTY:
            return (yield from self.put(PARTY, record, {"active": False}))
        done: Row = {"status": (yield from self._status("project_closed")), "progress": 1.0}
        tasks = [task["id"] for task in record["children"]]
        return (yield from self.put(WORK, record, done | {"children": [["write", tasks, done]] if tasks else []}))

    def put_task(self, item: TaskIn) -> Verb[ExternalRef]:
        """Create the task below its project, or bring it to this name."""
        project = yield from self.the_project(item.project_code)
        first = {"type": "task", "parent": project["id"], "company": project["company"]["id"]}
        first |= {"status": (yield from self._status("project_open")), "timesheet_available": True}
        body = m.TASK.out(item.task) | {"name": rest.labelled(item.task.code, item.task.name)}
        return (yield from self.put(WORK, (yield from self.held(*self.place_of(item))), body, first))

    def facts_of(self, project_code: str, project: Row) -> Verb[Row]:
        """See Projects. The currency is that of its company."""
        yield from ()
        tasks = tuple(rest.code_of(task["name"]) for task in project["children"])
        name = project["name"].removeprefix(rest.labelled(project_code, ""))
        return m.FACTS.back(project) | {"name": name, "tasks": tasks}

    def _status(self, setting: str) -> Verb[int]:
        return self.id_of(f"{WORK}.status", "name", self.setting(setting))

    def _labelled(self, field: str, code: str) -> list[str]:
        return [field, "like", rest.starting_with(rest.labelled(code, ""))]

    # -- cost ------------------------------------------------------------------------------------------------------
    def newest_line(self, cost: TimeCost) -> Verb[tuple[int, Row | None]]:
        """See Revised. There is one line for each entry."""
        of_entry = ["description", "like", rest.starting_with(f"{cost.entry_key}#")]
        held = self.one_of((yield from self.rows(LINE, [of_entry], "description")), f"time {cost.entry_key}")
        return (revision_of(held["description"], cost.entry_key) if held else 0), held

    def write_line(self, cost: TimeCost, last: int, before: Row | None, text: str) -> Verb[ExternalRef]:
        """See Revised. The line itself is changed."""
        place = yield from self.the(WORK, task_key(cost.project_code, cost.task_code))
        body = m.TIME.out(cost) | {"company": place["company"]["id"], "description": text}
        body["work"] = place["timesheet_works"][0]["id"]
        body["employee"] = yield from self._employee(cost.person)
        made = yield from self.put(LINE, before, body)
        return self.ref(LINE, made.external_id, str(cost.revision))

    def _employee(self, person: str) -> Verb[int]:
        known = self.setting("employees").get(person)
        if known:
            return int(known)
        found = yield from self.maybe_id("company.employee", ["party.contact_mechanisms.value", "=", person])
        if found is None:
            raise self.refusal(f"{self.system} has no employee with the address {person}", "EMPLOYEE", "person")
        return found

    # -- receivable ------------------------------------------------------------------------------------------------
    def copies_of(self, document: Document, number: str) -> Verb[list[Row]]:
        """See Drafts. A journal by the number before its description."""
        company = ["company", "=", self.company(document.entity)]
        if isinstance(document, Journal):
            named = ["description", "like", rest.starting_with(rest.labelled(number, ""))]
            return self.rows(MOVE, [company, named], *m.MOVE_FIELDS)
        return self.rows(INVOICE, [["type", "=", "out"], company, ["reference", "=", number]], *m.INVOICE_FIELDS)

    def drop_copy(self, document: Document, row: Row) -> Verb[None]:
        """See Drafts."""
        return self.drop(MOVE if isinstance(document, Journal) else INVOICE, row)

    def is_posted(self, row: Row) -> bool:
        """See Drafts."""
        return self.state("invoice", row["state"]) in ("posted", "paid", "voided")

    def drawn_up(self, document: PostInvoice, draft: Row) -> Verb[tuple[int, Decimal]]:
        """See DraftedInvoices."""
        yield from ()
        total = sign_of(document) * rest.from_amount(draft["total_amount"])
        return len(draft["lines"]), at_minor_unit(total, document.currency)

    def finish_document(self, document: PostInvoice, draft: Row) -> Verb[Row]:
        """See DraftedInvoices."""
        context = {"_skip_warnings": True} if self.names("warnings", ("stop", "skip")) == ("skip",) else {}
        about = {"company": self.company(document.entity)} | context
        return self.press(INVOICE, draft, "post", m.INVOICE_FIELDS, **about)

    def make_document(self, document: PostInvoice, original: Row | None) -> Verb[Row]:
        """See Receivables. A credit memo is set off against its invoice."""
        held = yield from super().make_document(document, original)
        if original and (lines := self._to_set_off(held, original, document)):
            yield from self.put(INVOICE, original, {"payment_lines": [["add", lines]]})
        return held

    def posted_document(self, document: PostInvoice) -> Verb[Row | None]:
        """See Receivables."""
        held = yield from self.in_the_books(document)
        original = (yield from self.credited_invoice(document)) if document.original_number else None
        return None if held and original and self._to_set_off(held, original, document) else held

    def read_document(self, record: Row, document: PostInvoice | None = None) -> PostedInvoice:
        """See Receivables. Without a document of ours amounts are as they are there."""
        ref, number = self.ref(INVOICE, record["id"], record["number"] or ""), record["reference"] or ""
        amounts = rest.from_amount(record["total_amount"]), rest.from_amount(record["amount_to_pay"])
        state, whose = self.state("invoice", record["state"]), record["party"]["code"]
        day = rest.from_day(record["invoice_date"]) if record["invoice_date"] else None
        sign = sign_of(document) if document else 1
        return as_posted(ref, number, amounts, record["currency"]["code"], whose, state, sign, day)

    def receivables(self, entity: str, since: date) -> Verb[tuple[PostedInvoice, ...]]:
        """Invoices and credit memos of the company, whoever made them: drafts have no day yet."""
        dated = ["OR", [["invoice_date", ">=", rest.to_day(since)]], [["invoice_date", "=", None]]]
        kinds = [["type", "=", "out"], ["state", "!=", "cancelled"], ["company", "=", self.company(entity)]]
        rows = yield from self.rows(INVOICE, [*kinds, dated], *m.INVOICE_FIELDS)
        return tuple(map(self.read_document, rows))

    def _to_set_off(self, held: Row, original: Row, credit: PostInvoice) -> list[int]:
        """Lines of a credit memo still to be set off. One of more than is open stays on account: nothing splits it."""
        fits = rest.from_amount(original["amount_to_pay"]) >= credit.total
        return [line["id"] for line in held["lines_to_pay"] if fits and not line["invoice_payment"]]

    def draft_invoice(self, document: PostInvoice) -> Verb[None]:
        """See DraftedInvoices. The invoice with its lines and taxes."""
        company, sign = self.company(document.entity), sign_of(document)
        receivable, revenue, tax = (self.needed(f"{kind}_account") for kind in ("receivable", "revenue", "tax"))
        codes = {line.tax_code: self.setting("accounts").get(line.tax_code, revenue) for line in document.lines}
        accounts = yield from self._accounts(company, {receivable, tax, *codes.values()})
        party = yield from self.the(PARTY, document.client_no)
        currency = yield from self.id_of("currency.currency", "code", document.currency)
        journal = yield from self.id_of("account.journal", "code", self.setting("journal"))
        common: Row = {"company": company, "currency": currency}
        booked = {code: {"account": accounts[account]} for code, account in codes.items()}
        lines = [m.to_line(line, sign) | common | booked[line.tax_code] for line in document.lines]
        address = self.there(next(iter(party["addresses"]), None), f"address of {document.client_no}")
        head = {"type": "out", "party": party["id"], "invoice_address": address["id"]}
        head |= {"journal": journal, "account": accounts[receivable]}
        parts = {"lines": [["create", lines]], "taxes": [["create", m.to_taxes(document, accounts[tax])]]}
        yield from self.make(INVOICE, m.INVOICE.out(document) | common | head | parts, company)

    def _accounts(self, company: int, codes: Iterable[str]) -> Verb[dict[str, int]]:
        return self.ids_of("account.account", "code", codes, ["company", "=", company])

    # -- journals: drafted and posted by a button; our number stands before the description -------------------------
    def draft_journal(self, journal: Journal) -> Verb[None]:
        """See DraftedJournals. In the period of its day, in the currency of the books; debts name the client."""
        company, day = self.company(journal.entity), rest.to_day(journal.booked_on)
        [books] = yield from self.rows("company.company", [["id", "=", company]], "currency.code")
        if (kept := books["currency"]["code"]) != journal.currency:
            cause = f"{self.system} keeps the books of {journal.entity} in {kept}"
            raise self.refusal(f"{cause}: {journal.journal_no} is in {journal.currency}", "CURRENCY", "currency")
        during = [["start_date", "<=", day], ["end_date", ">=", day], ["type", "=", "standard"]]
        periods = yield from self.rows("account.period", [["company", "=", company], *during], "name")
        accounts = yield from self._accounts(company, map(self.account_of, journal.lines))
        clients = yield from self.ids_of(PARTY, "code", filter(None, map(client_of, journal.lines)))
        sides = [
            m.SIDE.out(line) | {"account": accounts[self.account_of(line)], "party": clients.get(client_of(line))}
            for line in journal.lines
        ]
        head: Row = {"company": company, "date": day, "lines": [["create", sides]]}
        head["description"] = rest.labelled(journal.journal_no, journal.memo)
        head["period"] = self.there(next(iter(periods), None), f"period of {journal.booked_on}")["id"]
        head["journal"] = yield from self.id_of("account.journal", "code", self.setting("general_journal"))
        yield from self.make(MOVE, head, company)

    def finish_journal(self, journal: Journal, row: Row) -> Verb[ExternalRef]:
        """See DraftedJournals. What is about to be posted has to be what the hub has kept."""
        debit = sum((rest.from_amount(line["debit"]) for line in row["lines"]), Decimal(0))
        self.ready_to_book(journal, len(row["lines"]), debit)
        posted = yield from self.press(MOVE, row, "post", m.MOVE_FIELDS, company=self.company(journal.entity))
        return self.booked_as(posted)

    def booked_as(self, row: Row) -> ExternalRef:
        """See DraftedJournals. Its version is Tryton's own number of it."""
        return self.ref(MOVE, row["id"], row["number"])

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
        applies = [(invoice["reference"] or invoice["number"], booked)] if invoice else []
        references = (line["description"], line["move"]["description"], line["move"]["number"])
        facts = {"client_no": "", "source_id": str(line["id"]), **m.PAYMENT.back(line)}
        return self.payment(booked, currency, references, applies, **facts)
