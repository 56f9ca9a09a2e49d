"""Dynamics 365 Finance as the ERP: companies, and free text invoices that are made whole, posted and asked for.

The same invoice sent twice is two there: everything is looked for under our key, what was made and not posted finished.
"""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any, ClassVar

from isthmus.connectors.dynamics_finance import mapping as m
from isthmus.domain.errors import StaleRead
from isthmus.domain.journals import Journal, JournalLine
from isthmus.domain.objects import Client, ExternalRef, Payment, Project
from isthmus.kit.dmf import PackageConnector, general_journal
from isthmus.kit.drafts import DraftedInvoices
from isthmus.kit.finance_apps import BATCH, COMPANY, INVOICES, JOURNALS, PAYMENTS, DocumentConnector
from isthmus.kit.journals import DraftedJournals, client_of, vouchers
from isthmus.kit.mapping import Table, segments
from isthmus.kit.masters import Clients, Projects
from isthmus.kit.odata import Keys, literal, same
from isthmus.kit.posting import as_posted, same_amount, same_number, sign_of
from isthmus.kit.revised import RevisedLines, newest
from isthmus.kit.wire import Row, Verb
from isthmus.ports.messages import PaymentPage, PostedInvoice, PostInvoice, ScheduleIn, TaskIn, TimeCost


class DynamicsFinance(
    RevisedLines, Clients, Projects, DraftedInvoices, DraftedJournals, DocumentConnector, PackageConnector
):
    """One environment. A client is a customer in every company, under the same account number."""

    client_kind, project_kind, task_kind = m.CUSTOMERS, m.PROJECTS, m.TASKS
    documents: ClassVar = {PostInvoice: INVOICES, Journal: JOURNALS}

    def tables(self) -> dict[str, Table]:
        """The tables, with what the firm calls a client's tax id."""
        return super().tables() | {"CLIENT": m.CLIENT.renamed({"tax_id": self.setting("tax_id_field")})}

    # -- client, project -------------------------------------------------------------------------------------------
    def held(self, kind: str, key: str) -> Verb[Row | None]:
        """See Masters. A customer that is so in every company; a project in whichever one, refused when in several."""
        rows = yield from self.rows_with(kind, m.keys_of(kind, key))
        if kind == m.CUSTOMERS:
            alike = len(rows) == len(self.companies()) and len({self.in_use(kind, row) for row in rows}) == 1
            rows = rows[:1] if alike else []
        row = self.one_of(rows, f"{kind} {key}")
        return row | {"id": key} if row else None

    def in_use(self, kind: str, record: Row) -> bool:
        """See Masters. A customer unless it is on hold for everything."""
        if kind == m.CUSTOMERS:
            return self.state("OnHoldStatus", record["OnHoldStatus"]) == "active"
        return self.own_state("project_stages", record["ProjectStage"]) == "active"

    def put_client(self, client: Client) -> Verb[ExternalRef]:
        """Create or change the customer in each company the firm bills from."""
        body = self.tables()["CLIENT"].out(client) | self._terms("PaymentTerms", client.payment_terms)
        if client.address:
            country = {"AddressCountryRegionId": self.coded("countries", client.address.country)}
            body |= m.ADDRESS.out(client.address) | country | {"AddressDescription": "Main"}
        body |= {"OnHoldStatus": "No"} if (yield from self.find_inactive_client(client)) else {}
        first = {"PartyType": "Organization", "CustomerGroupId": self.needed("customer_group")}
        first["LanguageId"] = self.setting("language")
        return (yield from self.put_in_each(*self._account(client), body, first))

    def deactivate_client(self, client: Client) -> Verb[ExternalRef]:
        """Put the customer on hold for everything in every company."""
        return self.put_in_each(*self._account(client), {"OnHoldStatus": "All"})

    def payment_terms(self) -> Verb[tuple[str, ...]]:
        """The terms that every company has, by our code where the firm has one, else by name."""
        rows = yield from self.rows("PaymentTerms", self.ours(), order="Name")
        names = [{row["Name"] for row in rows if row[COMPANY] == company} for company in self.companies()]
        return self.our_terms(sorted(set.intersection(*names)))

    def put_project(self, project: Project) -> Verb[ExternalRef]:
        """Create or change the project and, before it, the project contract it belongs to."""
        keys = self.company(project.entity) | {"ProjectContractId": project.contract_no}
        yield from self.put(self.ref(m.CONTRACTS, project.contract_no), keys, m.CONTRACT.out(project))
        body = m.PROJECT.out(project) | {"ProjectStage": self.setting("project_open")}
        order, delimiter = self.setting("dimension_order"), self.setting("dimension_delimiter")
        body |= {"DimensionDisplayValue": segments(project.dimensions, order, delimiter)} if project.dimensions else {}
        body["IntegrationSourceDataId"] = f"{project.contract_no}:{project.contract_version}"
        first = {"ProjectContractId": project.contract_no, "ProjectGroupId": self.needed("project_group")}
        return (yield from self.put(*self._of(project), body, first))

    def find_project(self, project: Project) -> Verb[ExternalRef | None]:
        """See Projects. In the company of its legal entity."""
        return self.find(*self._of(project), lambda row: self.in_use(m.PROJECTS, row))

    def facts_of(self, project_code: str, project: Row) -> Verb[Row]:
        """See Projects. The currency is that of its contract."""
        named = {name: project[name] for name in (COMPANY, "ProjectContractId")}
        contract = (yield from self.read(m.CONTRACTS, named)) or {"SalesCurrencyCode": ""}
        tasks = yield from self.rows(m.TASKS, self.ours({"ProjectId": project_code}), order="TaskId")
        codes = tuple(task["TaskId"] for task in tasks)
        return m.FACTS.back(project) | {"currency": contract["SalesCurrencyCode"], "tasks": codes}

    def close_project(self, project: Project) -> Verb[ExternalRef]:
        """Set the project's stage to closed; it keeps its history."""
        return self.put(*self._of(project), {"ProjectStage": self.setting("project_closed")})

    def find_closed(self, project: Project) -> Verb[ExternalRef | None]:
        """See Projects. In the company of its legal entity."""
        return self.find(*self._of(project), lambda row: not self.in_use(m.PROJECTS, row))

    def put_task(self, item: TaskIn) -> Verb[ExternalRef]:
        """Create or change the task."""
        kind, key = self.place_of(item)
        company = (yield from self.the_project(item.project_code))[COMPANY]
        keys = {COMPANY: company, **m.keys_of(kind, key)}
        return (yield from self.put(self.ref(kind, key), keys, {"TaskName": m.cut(item.task.name)}))

    def put_schedule(self, schedule: ScheduleIn) -> Verb[ExternalRef]:
        """Put these milestones in the place of the project's on-account forecasts of ours, in one change set."""
        kind, held = self.named("on_account"), (yield from self._milestones(schedule))
        company = (yield from self.the_project(schedule.project_code))[COMPANY]
        keys = {COMPANY: company, "ForecastModel": self.needed("forecast_model")}
        yield from self.replace_all(kind, keys, "TransactionID", held, m.milestones(schedule))
        return self.ref(kind, schedule.project_code)

    def find_schedule(self, schedule: ScheduleIn) -> Verb[ExternalRef | None]:
        """The on-account forecasts, if there are any of ours."""
        held = yield from self._milestones(schedule)
        return self.ref(self.named("on_account"), schedule.project_code) if held else None

    def _milestones(self, schedule: ScheduleIn) -> Verb[list[Row]]:
        keys = {"ProjectID": schedule.project_code, "ForecastModel": self.needed("forecast_model")}
        rows = yield from self.rows_with(self.named("on_account"), keys)
        return [row for row in rows if row["TransactionID"].startswith(f"{schedule.project_code}:")]

    # -- hours -----------------------------------------------------------------------------------------------------
    def newest_line(self, cost: TimeCost) -> Verb[tuple[int, Row | None]]:
        """See RevisedLines."""
        wanted = f"{self.ours({'ProjectID': cost.project_code})} and Description eq {literal(f'{cost.entry_key}#*')}"
        return newest((yield from self.rows(self.named("hour_lines"), wanted)), cost.entry_key, "Description")

    def new_line(self, cost: TimeCost, text: str) -> Row:
        """See RevisedLines."""
        body = m.HOUR.out(cost) | {"ResourceId": self.setting("resources").get(cost.person, cost.person)}
        body["Category"] = self.setting("categories").get(cost.role) or self.needed("hour_category")
        body["LineProperty"] = self.setting("line_property_billable" if cost.billable else "line_property_other")
        return body | {"Description": m.cut(text)}

    def reversal(self, line: Row, text: str) -> Row:
        """See RevisedLines."""
        return {name: line[name] for name in m.REVERSED} | {"Hours": -line["Hours"], "Description": m.cut(text)}

    def add_lines(self, cost: TimeCost, lines: list[Row]) -> Verb[Row]:
        """See RevisedLines. In the project's unposted hour journal of that month, created where there is none."""
        company = {COMPANY: (yield from self.the_project(cost.project_code))[COMPANY]}
        named = {"Description": m.cut(f"{cost.project_code} {cost.service_date:%Y-%m}")}
        keys = company | {"JournalName": self.needed("hour_journal")} | named
        rows = yield from self.rows(self.named("hour_journals"), f"{same(keys)} and {m.UNPOSTED}")
        journal = rows[0] if rows else (yield from self.create(self.named("hour_journals"), keys))
        common = company | {"JournalId": journal[BATCH]}
        return (yield from self.create_all(self.named("hour_lines"), (common | line for line in lines)))[0]

    def line_ref(self, line: Row, revision: int) -> ExternalRef:
        """See RevisedLines."""
        place = ":".join(str(line[name]) for name in (COMPANY, "JournalId", "LineNumber"))
        return self.ref(self.named("hour_lines"), place, str(revision))

    # -- receivable ------------------------------------------------------------------------------------------------
    def drawn_up(self, document: PostInvoice, draft: Row) -> Verb[tuple[int, Decimal]]:
        """See DraftedInvoices."""
        lines = yield from self.lines_of(INVOICES, draft)
        return len(lines), m.total_of(lines, document)

    def finish_document(self, document: PostInvoice, draft: Row) -> Verb[Row]:
        """See DraftedInvoices. By the firm's service or its batch job."""
        yield from self.have_posted(INVOICES, draft)
        job = f"{INVOICES.place(draft)}:{document.total} {document.currency}"
        return (yield from self.posted(INVOICES, draft, job))

    def poll_invoice(self, job: str) -> Verb[PostedInvoice]:
        """What became of an invoice that waits for the batch job."""
        company, number, total = job.split(":")
        header = yield from self.posted(INVOICES, {COMPANY: company, INVOICES.number: int(number)}, job)
        return same_amount(self.read_document((yield from self.whole(header))), total)

    def whole(self, row: Row) -> Verb[Row]:
        """See DraftedInvoices. With the amounts, which its customer transaction tells."""
        number = same_number(row["InvoiceId"], row["ExternalInvoiceId"], self.system)
        keys = {COMPANY: row[COMPANY], "AccountNum": row["CustomerAccount"], "Invoice": number}
        rows = yield from self.rows(self.named("transactions"), same(keys))
        if len(rows) != 1:
            raise StaleRead(f"{self.system} shows {len(rows)} customer transactions of {number}")
        return row | {name: rows[0][name] for name in ("AmountCur", "SettleAmountCur", "CurrencyCode")}

    def read_document(self, record: Row, document: PostInvoice | None = None) -> PostedInvoice:
        """See Receivables."""
        sign = -1 if record["IsCorrection"] == "Yes" else 1
        amounts = record["AmountCur"], Decimal(record["AmountCur"]) - Decimal(record["SettleAmountCur"])
        facts = record["InvoiceId"], amounts, record["CurrencyCode"], record["CustomerAccount"]
        return as_posted(self.ref(INVOICES.headers, record[INVOICES.number]), *facts, sign=sign)

    def draft_invoice(self, document: PostInvoice) -> Verb[None]:
        """See DraftedInvoices. Lines name their header by our number, as its own is not known before."""
        sign, common = sign_of(document), self.our_keys(document, document.number)
        head = common | m.INVOICE.out(document) | {self.setting("number_field"): document.number}
        head |= self._terms("TermsOfPayment", document.payment_terms)
        head |= {"CorrectedInvoiceId": document.original_number, "IsCorrection": "Yes"} if sign < 0 else {}
        common |= {"CurrencyCode": document.currency, "ProjectID": document.project_code, "OverrideSalesTax": "Yes"}
        common |= {name: group for name, setting in m.TAXED if (group := self.setting(setting))}
        parts = [self.part("POST", INVOICES.headers, body=head)]
        for line in document.lines:
            account = self.setting("accounts").get(line.tax_code) or self.needed("account")
            body = common | m.to_line(line, sign) | {"MainAccountDisplayValue": account}
            parts.append(self.part("POST", INVOICES.lines, body=body))
        yield from self.all_or_nothing(parts)

    # -- general journals ------------------------------------------------------------------------------------------
    def draft_journal(self, journal: Journal) -> Verb[Any]:
        """See DraftedJournals. The header alone: its number is given when it is made, and the lines have to say it."""
        return self.create(JOURNALS.headers, self._head(journal) | self.our_keys(journal, journal.journal_no))

    def finish_journal(self, journal: Journal, row: Row) -> Verb[ExternalRef]:
        """See DraftedJournals. Many lines go as a package, where a service posts what it is told: a package comes in
        bit by bit, and a batch job that posts what it finds could find half a journal.
        """
        look, execution = partial(self.lines_of, JOURNALS, row), ""
        sides = [JOURNALS.key(row) | self._side(journal, line) for line in journal.lines]
        if self.setting("journal_service") and len(sides) > self.whole_number("package_lines"):
            filed = general_journal((self._head(journal) | side for side in sides), vouchers(journal.lines))
            execution = yield from self.give_in(journal.journal_no, self.named("packages"), filed, row[COMPANY], look)
        elif not (yield from look()):
            yield from self.create_all(JOURNALS.lines, sides)
        return (yield from self.poll_journal(f"{JOURNALS.place(row)}:{len(sides)}:{journal.total}:{execution}"))

    def poll_journal(self, job: str) -> Verb[ExternalRef]:
        """What became of a journal whose lines are being taken in, or that waits for the batch job to post it."""
        company, number, *given = job.split(":")
        key: Row = {COMPANY: company, BATCH: number}
        if given:
            (sides, total, execution), look = given, partial(self.lines_of, JOURNALS, key)
            if execution:
                kind, waits = self.named("packages"), job.removesuffix(execution)
                yield from self.taken_in(f"journal {number}", execution, kind, waits, look, int(sides))
            lines = yield from look()
            debit = sum((Decimal(line["DebitAmount"]) for line in lines), Decimal(0))
            self.same_sides(f"journal {number}", (len(lines), debit), (int(sides), Decimal(total)))
            yield from self.have_posted(JOURNALS, key)
        return self.booked_as((yield from self.posted(JOURNALS, key, JOURNALS.place(key))))

    def booked_as(self, row: Row) -> ExternalRef:
        """See DraftedJournals. Company and batch number."""
        return self.ref(JOURNALS.headers, JOURNALS.place(row))

    def _head(self, journal: Journal) -> Row:
        return {"JournalName": self.needed("general_journal"), "Description": m.cut(journal.memo)}

    def _side(self, journal: Journal, line: JournalLine) -> Row:
        """A debit or a credit; what customers owe goes to the customer, whose posting profile says the account."""
        whose = client_of(line)
        account = {"AccountType": "Cust" if whose else "Ledger", "AccountDisplayValue": whose or self.account_of(line)}
        return account | m.SIDE.out(line) | m.BOOKED.out(journal)

    # -- payments --------------------------------------------------------------------------------------------------
    def payments_received(self, watermark: str) -> Verb[PaymentPage]:
        """Payments in journals posted since then."""
        journals, reached = yield from self.newly_posted(PAYMENTS, watermark)
        lines = yield from self.rows_of(PAYMENTS.lines, map(PAYMENTS.key, journals), f" and {m.PAID}")
        marked = (PAYMENTS.key(row, company="JournalLineCompany") for row in journals)
        marks = yield from self.rows_of(self.named("settled"), marked)
        return PaymentPage(payments=tuple(self._payment(line, marks) for line in lines), watermark=reached)

    def _payment(self, line: Row, marks: list[Row]) -> Payment:
        references = (line.get("PaymentReference"), line.get("DocumentNumber"), line[BATCH])
        facts = {"source_id": f"{PAYMENTS.place(line)}:{line['LineNumber']}", **m.PAYMENT.back(line)}
        return self.payment(line["CreditAmount"], line["CurrencyCode"], references, m.applied(line, marks), **facts)

    def _account(self, client: Client) -> tuple[ExternalRef, Keys]:
        return self.ref(m.CUSTOMERS, client.client_no), m.keys_of(m.CUSTOMERS, client.client_no)

    def _of(self, project: Project) -> tuple[ExternalRef, Row]:
        keys = self.company(project.entity) | {"ProjectId": project.project_code}
        return self.ref(m.PROJECTS, project.project_code), keys

    def _terms(self, field: str, code: str) -> Row:
        return {field: self.setting("terms").get(code, code)} if code else {}
