"""Tryton's names for ours: tables, and what an invoice is made of there. No requests here."""

from __future__ import annotations

from decimal import Decimal

from isthmus.domain.objects import Address, Client, Project, Task
from isthmus.kit.mapping import Field, Table
from isthmus.kit.posting import sign_of
from isthmus.kit.tryton_rest import AMOUNT, DAY, DURATION, LAST_DAY, to_amount
from isthmus.kit.wire import Row
from isthmus.ports.messages import PostInvoice, PostLine, TimeCost

PRICE_DECIMALS = 4  # of a unit price, as Tryton is set up unless told otherwise
PARTY = ("active", "addresses.id", "identifiers.id")
PROJECT_FIELDS = (
    *("name", "status.name", "party.code", "company.id", "company.currency.code", "timesheet_works.id"),
    *("children.name", "children.timesheet_works.id"),
)
INVOICE_FIELDS = (
    *("number", "reference", "state", "invoice_date", "total_amount", "amount_to_pay", "currency.code", "party.code"),
    *("lines.id", "lines_to_pay.id", "lines_to_pay.invoice_payment.id"),
)
PAYMENT_FIELDS = (
    *("last_modified_at", "date", "description", "credit", "amount_second_currency", "second_currency.code"),
    *("party.code", "account.company.currency.code", "invoice_payment.reference", "invoice_payment.number"),
    *("move.description", "move.number"),
)


def to_taxes(invoice: PostInvoice, account: int) -> list[Row]:
    """The tax of each code as the engine gave it, which Tryton takes as it is."""
    sign, taxed = sign_of(invoice), [line for line in invoice.lines if line.tax]
    taxes = []
    for code in dict.fromkeys(line.tax_code for line in taxed):
        net, tax = (
            sum((getattr(row, name) for row in taxed if row.tax_code == code), Decimal(0)) for name in ("net", "tax")
        )
        amounts = {"base": to_amount(sign * net), "amount": to_amount(sign * tax)}
        taxes.append({"manual": True, "account": account, "description": f"Tax {code}".strip()} | amounts)
    return taxes


def to_line(line: PostLine, sign: int) -> Row:
    """A line of an invoice. Its amount is made there of quantity and price; where that is not the net, once the net."""
    decimals = -int(line.unit_price.normalize().as_tuple().exponent)
    if line.quantity * line.unit_price == line.net and decimals <= PRICE_DECIMALS:
        return INVOICE_LINE.out(line) | {"quantity": sign * line.quantity}
    counted = f"{line.description} ({line.quantity} x {line.unit_price})"
    return {"description": counted, "quantity": sign, "unit_price": to_amount(line.net)}


CLIENT = Table(Field("client_no", "code"), Field("legal_name", "name"), of=Client, there="party.party")
ADDRESS = Table(
    Field("street", "street_unstructured"),
    Field("city", "city"),
    Field("postal_code", "postal_code"),
    of=Address,
    there="party.address",
)
PROJECT = Table(
    Field("name", "name"),
    Field("start", "timesheet_start_date", *DAY),
    Field("end", "timesheet_end_date", *LAST_DAY),
    of=Project,
    there="project.work",
)
TASK = Table(Field("name", "name"), of=Task, there="project.work")
TIME = Table(
    Field("service_date", "date", *DAY),
    Field("hours", "duration", *DURATION),
    of=TimeCost,
    there="timesheet.line",
)
INVOICE = Table(
    Field("number", "reference"),
    Field("issue_date", "invoice_date", *DAY),
    Field("due_date", "payment_term_date", *DAY),
    Field("po_number", "description"),
    Field("memo", "comment"),
    of=PostInvoice,
    there="account.invoice",
)
INVOICE_LINE = Table(
    Field("description", "description"),
    Field("quantity", "quantity"),
    Field("unit_price", "unit_price", *AMOUNT),
    of=PostLine,
    there="account.invoice.line",
)
