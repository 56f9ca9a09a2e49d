"""Dynamics' names for ours: tables, and the converters they use. No requests here."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from isthmus.domain.journals import Journal, JournalLine
from isthmus.domain.objects import Address, Client, Project
from isthmus.kit.finance_apps import BATCH, COMPANY, INVOICES, JOURNALS, PAYMENTS
from isthmus.kit.mapping import Field, Table, at_minor_unit, shortened
from isthmus.kit.odata import NOON, NOON_OF_LAST_DAY, noon
from isthmus.kit.posting import sign_of
from isthmus.kit.wire import Row
from isthmus.ports.messages import PostInvoice, PostLine, ScheduleIn, TimeCost

CUSTOMERS, CONTRACTS, PROJECTS, TASKS = "CustomersV3", "ProjectContractHeaders", "ProjectsV2", "ProjectTasks"
ENUM = "Microsoft.Dynamics.DataEntities."
UNPOSTED = f"Posted eq {ENUM}NoYes'No'"
PAID = f"AccountType eq {ENUM}LedgerJournalACType'Cust' and CreditAmount gt 0"  # a line that is a customer's payment
TAXED = (("SalesTaxGroupId", "tax_group"), ("SalesTaxItemGroupId", "tax_item_group"))
REVERSED = ("ProjectID", "ActivityNumber", "Category", "ResourceId", "ProjectDate", "SalesPrice", "LineProperty")
cut = shortened(60)  # to the length of a description


def keys_of(kind: str, key: str) -> Row:
    """The fields of our key of a customer, a project or a task; the company aside."""
    names = {CUSTOMERS: ("CustomerAccount",), PROJECTS: ("ProjectId",), TASKS: ("ProjectId", "TaskId")}[kind]
    return dict(zip(names, key.rsplit(":", len(names) - 1), strict=True))


def milestones(schedule: ScheduleIn) -> list[Row]:
    """The on-account forecasts of a schedule, under transaction ids of ours."""
    code, currency = schedule.project_code, schedule.currency
    return [
        {"ProjectID": code, "TransactionID": f"{code}:{place}", "Description": cut(name), "InvoiceDate": noon(due)}
        | {"ProjectDate": noon(due), "Quantity": 1, "SalesPrice": amount, "SalesCurrency": currency}
        for place, (name, due, amount) in enumerate(schedule.milestones, 1)
    ]


def total_of(lines: list[Row], invoice: PostInvoice) -> Decimal:
    """What the lines come to, tax included, with our sign."""
    amounts = (Decimal(line["TransactionCurrencyAmount"]) + Decimal(line["SalesTaxAmount"]) for line in lines)
    return at_minor_unit(sign_of(invoice) * sum(amounts, Decimal(0)), invoice.currency)


def to_line(line: PostLine, sign: int) -> Row:
    """An invoice line. Amount and tax are given, so that Dynamics makes no own ones of price and rate."""
    given = {"Quantity": line.quantity, "TransactionCurrencyAmount": line.net, "SalesTaxAmount": line.tax}
    return INVOICE_LINE.out(line) | {name: sign * amount for name, amount in given.items()}


def applied(line: Row, marks: list[Row]) -> list[tuple[str, Any]]:
    """What a payment line settles: the invoices marked for it, else the one that its own field names."""
    place, there = (COMPANY, BATCH, "LineNumber"), ("JournalLineCompany", BATCH, "JournalLineNumber")
    mine = [row for row in marks if all(str(row[two]) == str(line[one]) for one, two in zip(place, there, strict=True))]
    alone = [(line["MarkedInvoice"], line["CreditAmount"])] if line.get("MarkedInvoice") else []
    return [(row["InvoiceNumber"], row["SettlementAmountInInvoiceCurrency"]) for row in mine] or alone


CLIENT = Table(
    legal_name="OrganizationName", tax_id="TaxExemptNumber", currency="SalesCurrencyCode", of=Client, there=CUSTOMERS
)
ADDRESS = Table(
    street="AddressStreet", city="AddressCity", region="AddressState", postal_code="AddressZipCode", of=Address
).at(CUSTOMERS)
CONTRACT = Table(
    client_no="CustomerAccountNumber", currency="SalesCurrencyCode", name=("Name", cut, None), of=Project
).at(CONTRACTS)
FACTS = Table(name="ProjectName", client_no="CustomerAccountNumber", there=PROJECTS)
PROJECT = Table(
    *FACTS.fields, start=("ProjectedStartDate", *NOON), end=("ProjectedEndDate", *NOON_OF_LAST_DAY), of=Project
).at(PROJECTS)
HOUR = Table(
    project_code="ProjectID",
    task_code="ActivityNumber",
    service_date=("ProjectDate", *NOON),
    hours="Hours",
    bill_rate="SalesPrice",
    of=TimeCost,
)
INVOICE = Table(
    number="ExternalInvoiceId",
    client_no="CustomerAccount",
    currency="CurrencyCode",
    issue_date=("InvoiceDate", *NOON),
    due_date=("DueDate", *NOON),
    po_number="CustomerRequisition",
    of=PostInvoice,
).at(INVOICES.headers)
_TEXTS = (Field("description", "Description", out=cut, back=None), Field("description", "InvoiceText", back=None))
INVOICE_LINE = Table(*_TEXTS, number="LineNumber", unit_price="UnitPrice", of=PostLine).at(INVOICES.lines)
BOOKED = Table(booked_on=("TransDate", *NOON), currency="CurrencyCode", of=Journal, there=JOURNALS.lines)
SIDE = Table(debit="DebitAmount", credit="CreditAmount", text=("Text", cut, None), of=JournalLine, there=JOURNALS.lines)
PAYMENT = Table(client_no="AccountDisplayValue", value_date=("TransactionDate", *NOON), there=PAYMENTS.lines)
