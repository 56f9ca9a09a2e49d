"""Dynamics' names for ours: tables, states, and the converters they use. No requests here."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from isthmus.domain.objects import Address, Client, Project
from isthmus.kit.mapping import Field, Table, at_minor_unit, shortened
from isthmus.kit.odata import NOON, NOON_OF_LAST_DAY, noon
from isthmus.kit.posting import sign_of
from isthmus.kit.wire import Row
from isthmus.ports.messages import PostInvoice, PostLine, ScheduleIn, TimeCost

ENUM = "Microsoft.Dynamics.DataEntities."
POSTED, UNPOSTED = f"{ENUM}NoYes'Yes'", f"{ENUM}NoYes'No'"
PAID = f"AccountType eq {ENUM}LedgerJournalACType'Cust' and CreditAmount gt 0"  # a line that is a customer's payment
TAXED = (("SalesTaxGroupId", "tax_group"), ("SalesTaxItemGroupId", "tax_item_group"))
REVERSED = ("ProjectID", "ActivityNumber", "Category", "ResourceId", "ProjectDate", "SalesPrice", "LineProperty")
cut = shortened(60)  # to the length of a description


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


def journals_of(rows: list[Row], company: str = "dataAreaId") -> list[Row]:
    """The journals of these rows, each once, as values to look for."""
    places = sorted({(row["dataAreaId"], row["JournalBatchNumber"]) for row in rows})
    return [{company: area, "JournalBatchNumber": number} for area, number in places]


def applied(line: Row, marks: list[Row]) -> list[tuple[str, Any]]:
    """What a payment line settles: the invoices marked for it, else the one that its own field names."""
    names = ("JournalLineCompany", "JournalBatchNumber", "JournalLineNumber")
    place = [str(line[name]) for name in ("dataAreaId", "JournalBatchNumber", "LineNumber")]
    mine = [row for row in marks if [str(row[name]) for name in names] == place]
    alone = [(line["MarkedInvoice"], line["CreditAmount"])] if line.get("MarkedInvoice") else []
    return [(row["InvoiceNumber"], row["SettlementAmountInInvoiceCurrency"]) for row in mine] or alone


_CLIENT = (("legal_name", "OrganizationName"), ("tax_id", "TaxExemptNumber"), ("currency", "SalesCurrencyCode"))
CLIENT = Table(*(Field(ours, theirs) for ours, theirs in _CLIENT), of=Client, there="CustomersV3")
_PLACE = (("street", "Street"), ("city", "City"), ("region", "State"), ("postal_code", "ZipCode"))
ADDRESS = Table(*(Field(ours, f"Address{theirs}") for ours, theirs in _PLACE), of=Address, there="CustomersV3")
PROJECT = Table(
    Field("name", "ProjectName"),
    Field("client_no", "CustomerAccountNumber"),
    Field("start", "ProjectedStartDate", *NOON),
    Field("end", "ProjectedEndDate", *NOON_OF_LAST_DAY),
    of=Project,
    there="ProjectsV2",
)
HOUR = Table(
    Field("project_code", "ProjectID"),
    Field("task_code", "ActivityNumber"),
    Field("service_date", "ProjectDate", *NOON),
    Field("hours", "Hours"),
    Field("bill_rate", "SalesPrice"),
    of=TimeCost,
)
INVOICE = Table(
    Field("number", "ExternalInvoiceId"),
    Field("client_no", "CustomerAccount"),
    Field("currency", "CurrencyCode"),
    Field("issue_date", "InvoiceDate", *NOON),
    Field("due_date", "DueDate", *NOON),
    Field("po_number", "CustomerRequisition"),
    of=PostInvoice,
    there="FreeTextInvoiceHeaders",
)
INVOICE_LINE = Table(
    Field("number", "LineNumber"),
    Field("description", "Description", out=cut, back=None),
    Field("description", "InvoiceText", back=None),
    Field("unit_price", "UnitPrice"),
    of=PostLine,
    there="FreeTextInvoiceLines",
)
