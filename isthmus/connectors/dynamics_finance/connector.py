"""Dynamics 365 Finance as the ERP: companies, and free text invoices that are made whole, posted and asked for.

The same invoice sent twice is two there: everything is looked for under our key, what was made and not posted finished.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import ClassVar

from isthmus.connectors.dynamics_finance import mapping as m
from isthmus.domain.errors import StaleRead, Underway
from isthmus.domain.objects import Client, ExternalRef, Payment, Project
from isthmus.kit.finance_ledger import GeneralJournals
from isthmus.kit.keys import task_key
from isthmus.kit.mapping import Table, at_minor_unit, segments, sum_by_key
from isthmus.kit.numbered import Progress, progress_of, watermark_of
from isthmus.kit.odata import Keys, Part, day_of, literal, same
from isthmus.kit.posting import as_posted, made_once, one_of_copies, ready_to_post, same_amount, same_number, sign_of
from isthmus.kit.revised import RevisedLines, newest
from isthmus.kit.wire import Request, Row, Verb
from isthmus.ports.messages import PaymentPage, PostedInvoice, PostInvoice, ProjectFacts, ScheduleIn, TaskIn, TimeCost

CUSTOMERS, CONTRACTS, PROJECTS, TASKS = "CustomersV3", "ProjectContractHeaders", "ProjectsV2", "ProjectTasks"
HEADERS, LINES = "FreeTextInvoiceHeaders", "FreeTextInvoiceLines"
JOURNALS, JOURNAL_LINES = "CustomerPaymentJournalHeaders", "CustomerPaymentJournalLines"


class DynamicsFinance(RevisedLines, GeneralJournals):
    """One environment. A client is a customer in every company, under the same account number."""

    options: ClassVar = {"cross-company": "true"}  # without it only the user's default company answers

    def tables(self) -> dict[str, Table]:
        """The tables, with what the firm calls a client's tax id."""
        return super().tables() | {"CLIENT": m.CLIENT.renamed({"tax_id": self.setting("tax_id_field")})}

    def put_client(self, client: Client) -> Verb[ExternalRef]:
        """Create or change the customer in each company the firm bills from."""
        body = self.tables()["CLIENT"].out(client)
        if client.address:
            country = {"AddressCountryRegionId": self.coded("countries", client.address.country)}
            body |= m.ADDRESS.out(client.address) | country | {"AddressDescription": "Main"}
        if client.payment_terms:
            body["PaymentTerms"] = self.setting("terms").get(client.payment_terms, client.payment_terms)
        body |= {"OnHoldStatus": "No"} if (yield from self.find_inactive_client(client)) else {}
        first = {"PartyType": "Organization", "CustomerGroupId": self.needed("customer_group")}
        first["LanguageId"] = self.setting("language")
        return (yield from self.put_in_each(*self._account(client), body, first))

    def find_client(self, client: Client) -> Verb[ExternalRef | None]:
        """The customer, if it is in every company and not on hold for all."""
        return self.find_in_each(*self._account(client), self.in_state("OnHoldStatus", "active"))

    def deactivate_client(self, client: Client) -> Verb[ExternalRef]:
        """Put the customer on hold for everything in every company."""
        return self.put_in_each(*self._account(client), {"OnHoldStatus": "All"})

    def find_inactive_client(self, client: Client) -> Verb[ExternalRef | None]:
        """The customer, if it is on hold for everything in every company."""
        return self.find_in_each(*self._account(client), self.in_state("OnHoldStatus", "inactive"))

    def payment_terms(self) -> Verb[tuple[str, ...]]:
        """The terms that every company has, by our code where the firm has one, else by name."""
        rows = yield from self.rows("PaymentTerms", self.ours(), order="Name")
        names = [{row["Name"] for row in rows if row["dataAreaId"] == company} for company in self.companies()]
        return self.our_terms(sorted(set.intersection(*names)))

    # -- project ---------------------------------------------------------------------------------------------------
    def put_project(self, project: Project) -> Verb[ExternalRef]:
        """Create or change the project and, before it, the project contract it belongs to."""
        keys = self.company(project.entity) | {"ProjectContractId": project.contract_no}
        contract = {"CustomerAccountNumber": project.client_no, "SalesCurrencyCode": project.currency}
        yield from self.put(self.ref(CONTRACTS, project.contract_no), keys, contract | {"Name": m.cut(project.name)})
        body = m.PROJECT.out(project) | {"ProjectStage": self.setting("project_open")}
        order, delimiter = self.setting("dimension_order"), self.setting("dimension_delimiter")
        body |= {"DimensionDisplayValue": segments(project.dimensions, order, delimiter)} if project.dimensions else {}
        body["IntegrationSourceDataId"] = f"{project.contract_no}:{project.contract_version}"
        first = {"ProjectContractId": project.contract_no, "ProjectGroupId": self.needed("project_group")}
        return (yield from self.put(*self._of(project), body, first))

    def find_project(self, project: Project) -> Verb[ExternalRef | None]:
        """The project, if it is there and not closed."""
        return self.find(*self._of(project), self._is("active"))

    def read_project(self, project_code: str) -> Verb[ProjectFacts]:
        """The project with its client, the currency of its contract, and its tasks."""
        project = yield from self.only(PROJECTS, {"ProjectId": project_code})
        keys = {name: project[name] for name in ("dataAreaId", "ProjectContractId")}
        contract = yield from self.read(CONTRACTS, keys)
        tasks = yield from self.rows(TASKS, self.ours({"ProjectId": project_code}), order="TaskId")
        return ProjectFacts(
            ref=self.ref(PROJECTS, project_code),
            project_code=project_code,
            name=project["ProjectName"],
            currency=contract["SalesCurrencyCode"] if contract else "",
            active=self._is("active")(project),
            client_no=project["CustomerAccountNumber"],
            tasks=tuple(task["TaskId"] for task in tasks),
        )

    def close_project(self, project: Project) -> Verb[ExternalRef]:
        """Set the project's stage to closed; it keeps its history."""
        return self.put(*self._of(project), {"ProjectStage": self.setting("project_closed")})

    def find_closed(self, project: Project) -> Verb[ExternalRef | None]:
        """The project, if it is closed."""
        return self.find(*self._of(project), self._is("closed"))

    def put_task(self, item: TaskIn) -> Verb[ExternalRef]:
        """Create or change the task."""
        project = yield from self.only(PROJECTS, {"ProjectId": item.project_code})
        keys = {"dataAreaId": project["dataAreaId"], "ProjectId": item.project_code, "TaskId": item.task.code}
        ref = self.ref(TASKS, task_key(item.project_code, item.task.code))
        return (yield from self.put(ref, keys, {"TaskName": m.cut(item.task.name)}))

    def find_task(self, item: TaskIn) -> Verb[ExternalRef | None]:
        """The task, if it is there."""
        rows = yield from self.rows(TASKS, self.ours({"ProjectId": item.project_code, "TaskId": item.task.code}))
        return self.ref(TASKS, task_key(item.project_code, item.task.code)) if rows else None

    def put_schedule(self, schedule: ScheduleIn) -> Verb[ExternalRef]:
        """Put these milestones in the place of the project's on-account forecasts of ours, in one change set."""
        project = yield from self.only(PROJECTS, {"ProjectId": schedule.project_code})
        held = yield from self._milestones(schedule)
        kind = self._named("on_account")
        keys = {"dataAreaId": project["dataAreaId"], "ForecastModel": self.needed("forecast_model")}
        gone = [self.part("DELETE", kind, keys | {"TransactionID": row["TransactionID"]}, held=row) for row in held]
        made = [self.part("POST", kind, body=keys | row) for row in m.milestones(schedule)]
        yield from self.all_or_nothing(gone + made)
        return self.ref(kind, schedule.project_code)

    def find_schedule(self, schedule: ScheduleIn) -> Verb[ExternalRef | None]:
        """The on-account forecasts, if there are any of ours."""
        held = yield from self._milestones(schedule)
        return self.ref(self._named("on_account"), schedule.project_code) if held else None

    def _milestones(self, schedule: ScheduleIn) -> Verb[list[Row]]:
        keys = {"ProjectID": schedule.project_code, "ForecastModel": self.needed("forecast_model")}
        rows = yield from self.rows(self._named("on_account"), self.ours(keys))
        return [row for row in rows if row["TransactionID"].startswith(f"{schedule.project_code}:")]

    def newest_line(self, cost: TimeCost) -> Verb[tuple[int, Row | None]]:
        """See RevisedLines."""
        wanted = f"{self.ours({'ProjectID': cost.project_code})} and Description eq {literal(f'{cost.entry_key}#*')}"
        return newest((yield from self.rows(self._named("hour_lines"), wanted)), cost.entry_key, "Description")

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
        project = yield from self.only(PROJECTS, {"ProjectId": cost.project_code})
        keys = {"dataAreaId": project["dataAreaId"], "JournalName": self.needed("hour_journal")}
        keys |= {"Description": m.cut(f"{cost.project_code} {cost.service_date:%Y-%m}")}
        rows = yield from self.rows(self._named("hour_journals"), f"{same(keys)} and Posted eq {m.UNPOSTED}")
        journal = rows[0] if rows else (yield from self.create(self._named("hour_journals"), keys))
        common = {"dataAreaId": keys["dataAreaId"], "JournalId": journal["JournalBatchNumber"]}
        parts = [self.part("POST", self._named("hour_lines"), body=common | line) for line in lines]
        return dict((yield from self.all_or_nothing(parts))[0].body)

    def line_ref(self, line: Row, revision: int) -> ExternalRef:
        """See RevisedLines."""
        place = ":".join(str(line[name]) for name in ("dataAreaId", "JournalId", "LineNumber"))
        return self.ref(self._named("hour_lines"), place, str(revision))

    # -- receivable, payments --------------------------------------------------------------------------------------
    def post_invoice(self, invoice: PostInvoice) -> Verb[PostedInvoice]:
        """Create the free text invoice with its lines in one change set, have it posted, and read it back."""
        look, make = partial(self._header, invoice), partial(self.all_or_nothing, self._parts(invoice))
        header = yield from made_once(look, make, partial(self._drop, HEADERS, "InvoiceIdentifier"))
        if header is None:
            raise StaleRead(f"{self.system} does not show {invoice.number} yet")
        if not self._is_posted(header):
            lines = yield from self.rows(LINES, same(_key(header, "ParentRecId")))
            ready_to_post(len(lines), m.total_of(lines, invoice), invoice, self.system)
            if self.setting("post_service"):
                yield Request("POST", f"api/services/{self.setting('post_service')}", json=_key(header))
        place = f"{header['dataAreaId']}:{header['InvoiceIdentifier']}"
        return (yield from self.poll_invoice(f"{place}:{invoice.total} {invoice.currency}"))

    def poll_invoice(self, job: str) -> Verb[PostedInvoice]:
        """What became of an invoice that was to be posted, by the service or by the firm's posting job."""
        company, number, total = job.split(":")
        header = yield from self.read(HEADERS, {"dataAreaId": company, "InvoiceIdentifier": int(number)})
        if header is None:
            raise self.refusal(f"{self.system}: invoice {number}, which waited to be posted, is gone", "GONE", "number")
        if not self._is_posted(header):
            raise Underway(f"{self.system}: {header['ExternalInvoiceId']} waits to be posted", job=job, state="staged")
        return same_amount((yield from self._posted(header)), total)

    def find_invoice(self, invoice: PostInvoice) -> Verb[PostedInvoice | None]:
        """The invoice as Dynamics has it, if it is posted: one that waits to be posted is no receivable yet."""
        header = (yield from self._header(invoice))[0]
        return (yield from self._posted(header)) if header and self._is_posted(header) else None

    def post_credit(self, credit: PostInvoice) -> Verb[PostedInvoice]:
        """Post the credit memo: a free text invoice with negative lines that names the one it corrects."""
        keys = self.company(credit.entity) | {"ExternalInvoiceId": credit.original_number}
        if not (yield from self.rows(HEADERS, f"{same(keys)} and IsPosted eq {m.POSTED}")):
            raise self.refusal(f"{self.system} has no posted invoice {credit.original_number}", "ORIGINAL", "original")
        return (yield from self.post_invoice(credit))

    def find_credit(self, credit: PostInvoice) -> Verb[PostedInvoice | None]:
        """The credit memo as Dynamics has it, if it is posted."""
        return self.find_invoice(credit)

    def _header(self, invoice: PostInvoice) -> Verb[tuple[Row | None, list[Row]]]:
        """The free text invoice of our number, and unposted copies of it that a repeated request has left."""
        keys = self.company(invoice.entity) | {"ExternalInvoiceId": invoice.number}
        rows = yield from self.rows(HEADERS, same(keys), order="InvoiceIdentifier")
        return one_of_copies(rows, self._is_posted, invoice.number, self.system)

    def _parts(self, invoice: PostInvoice) -> list[Part]:
        """The header and its lines, which name it by our number, as its own is not known before."""
        sign, common = sign_of(invoice), self.company(invoice.entity) | {"ExternalInvoiceId": invoice.number}
        head = common | m.INVOICE.out(invoice) | {self.setting("number_field"): invoice.number}
        terms = self.setting("terms").get(invoice.payment_terms, invoice.payment_terms)
        head |= {"TermsOfPayment": terms} if terms else {}
        head |= {"CorrectedInvoiceId": invoice.original_number, "IsCorrection": "Yes"} if sign < 0 else {}
        common |= {"CurrencyCode": invoice.currency, "ProjectID": invoice.project_code, "OverrideSalesTax": "Yes"}
        common |= {name: group for name, setting in m.TAXED if (group := self.setting(setting))}
        parts = [self.part("POST", HEADERS, body=head)]
        for line in invoice.lines:
            # Amount and tax are given, so that Dynamics makes no own ones of price and rate.
            given = {"Quantity": line.quantity, "TransactionCurrencyAmount": line.net, "SalesTaxAmount": line.tax}
            body = common | m.INVOICE_LINE.out(line) | {name: sign * amount for name, amount in given.items()}
            body["MainAccountDisplayValue"] = self.setting("accounts").get(line.tax_code) or self.needed("account")
            parts.append(self.part("POST", LINES, body=body))
        return parts

    def _posted(self, header: Row) -> Verb[PostedInvoice]:
        """The posted invoice with its amounts, which its customer transaction tells."""
        number = same_number(header["InvoiceId"], header["ExternalInvoiceId"], self.system)
        sign = -1 if header["IsCorrection"] == "Yes" else 1
        keys = {"dataAreaId": header["dataAreaId"], "AccountNum": header["CustomerAccount"], "Invoice": number}
        rows = yield from self.rows(self._named("transactions"), same(keys))
        if len(rows) != 1:
            raise StaleRead(f"{self.system} shows {len(rows)} customer transactions of {number}")
        amount, settled, currency = (rows[0][name] for name in ("AmountCur", "SettleAmountCur", "CurrencyCode"))
        ref, amounts = self.ref(HEADERS, header["InvoiceIdentifier"]), (amount, Decimal(amount) - Decimal(settled))
        return as_posted(ref, number, amounts, currency, header["CustomerAccount"], sign=sign)

    def payments_received(self, watermark: str) -> Verb[PaymentPage]:
        """Payments in journals posted since then. No date tells when one was, so unposted ones are asked for again."""
        places, posted = progress_of(watermark), list[Row]()
        for company in self.companies():
            place, key = places.get(company, Progress()), {"dataAreaId": company}
            newer = f"{same(key)} and JournalBatchNumber gt {literal(place.after)}"
            rows = yield from self.rows(JOURNALS, newer, order="JournalBatchNumber")
            rows += yield from self.rows_of(JOURNALS, [key | {"JournalBatchNumber": number} for number in place.open])
            places[company] = place.moved((row["JournalBatchNumber"], self._is_posted(row)) for row in rows)
            posted += [row for row in rows if self._is_posted(row)]
        lines = yield from self.rows_of(JOURNAL_LINES, m.journals_of(posted), f" and {m.PAID}")
        marks = yield from self.rows_of(self._named("settled"), m.journals_of(posted, "JournalLineCompany"))
        return PaymentPage(payments=tuple(self._payment(line, marks) for line in lines), watermark=watermark_of(places))

    def _payment(self, line: Row, marks: list[Row]) -> Payment:
        currency, journal = line["CurrencyCode"], line["JournalBatchNumber"]
        return Payment(
            source=self.system,
            source_id=f"{line['dataAreaId']}:{journal}:{line['LineNumber']}",
            client_no=line["AccountDisplayValue"],
            amount=at_minor_unit(Decimal(line["CreditAmount"]), currency),
            currency=currency,
            value_date=day_of(line["TransactionDate"]),
            reference=line.get("PaymentReference") or line.get("DocumentNumber") or journal,
            applies=sum_by_key((no, at_minor_unit(Decimal(paid), currency)) for no, paid in m.applied(line, marks)),
        )

    def _account(self, client: Client) -> tuple[ExternalRef, Keys]:
        return self.ref(CUSTOMERS, client.client_no), {"CustomerAccount": client.client_no}

    def _of(self, project: Project) -> tuple[ExternalRef, Row]:
        ref = self.ref(PROJECTS, project.project_code)
        return ref, self.company(project.entity) | {"ProjectId": project.project_code}

    def _drop(self, collection: str, number: str, row: Row) -> Verb[None]:
        yield Request("DELETE", self.at(collection, _key(row, number, number)), if_match=row["@odata.etag"])

    def _is_posted(self, document: Row) -> bool:
        return self.state("IsPosted", document["IsPosted"]) == "posted"

    def _is(self, state: str) -> Callable[[Row], bool]:
        return lambda project: self.own_state("project_stages", project["ProjectStage"]) == state

    def _named(self, collection: str) -> str:
        return str(self.setting("entities")[collection])


def _key(row: Row, named: str = "InvoiceIdentifier", number: str = "InvoiceIdentifier") -> Row:
    return {"dataAreaId": row["dataAreaId"], named: row[number]}
