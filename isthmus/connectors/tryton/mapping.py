"""Tryton's names for ours: tables, and what an invoice is made of there. No requests here."""

from __future__ import annotations

from isthmus.domain.journals import JournalLine
from isthmus.domain.objects import Address, Client, Project, Task
from isthmus.kit.mapping import Table, sum_by_key
from isthmus.kit.posting import sign_of
from isthmus.kit.tryton_rest import AMOUNT, DAY, DURATION, LAST_DAY, to_amount
from isthmus.kit.wire import Row
from isthmus.ports.messages import PostInvoice, PostLine, TimeCost

PRICE_DECIMALS = 4  # of a unit price, as Tryton is set up unless told otherwise
PARTY = ("active", "addresses.id", "identifiers.id")
PROJECT_FIELDS = (
    *("name", "status.name", "party.code", "company.id", "company.currency.code", "timesheet_works.id"),
    "children.name",
)
INVOICE_FIELDS = (
    *("number", "reference", "state", "invoice_date", "total_amount", "amount_to_pay", "currency.code", "party.code"),
    *("lines.id", "lines_to_pay.id", "lines_to_pay.invoice_payment.id"),
)
MOVE_FIELDS = ("number", "state", "lines.debit")
PAYMENT_FIELDS = (
    *("last_modified_at", "date", "description", "credit", "amount_second_currency", "second_currency.code"),
    *("party.code", "account.company.currency.code", "invoice_payment.reference", "invoice_payment.number"),
    *("move.description", "move.number"),
)


def to_taxes(invoice: PostInvoice, account: int) -> list[Row]:
    """The tax of each code as the engine gave it, which Tryton takes as it is."""
    taxed, sign = [line for line in invoice.lines if line.tax], sign_of(invoice)
    nets, taxes = (sum_by_key((line.tax_code, getattr(line, name)) for line in taxed) for name in ("net", "tax"))
    return [
        {"manual": True, "account": account, "description": f"Tax {code}".strip()}
        | {"base": to_amount(sign * nets[code]), "amount": to_amount(sign * taxes[code])}
        for code in nets
    ]


def to_line(line: PostLine, sign: int) -> Row:
    """A line of an invoice. Its amount is made there of quantity and price; where that is not the net, once the net."""
    decimals = -int(line.unit_price.normalize().as_tuple().exponent)
    if line.quantity * line.unit_price == line.net and decimals <= PRICE_DECIMALS:
        return INVOICE_LINE.out(line) | {"quantity": sign * line.quantity}
    counted = f"{line.description} ({line.quantity} x {line.unit_price})"
    return {"description": counted, "quantity": sign, "unit_price": to_amount(line.net)}


CLIENT = Table(of=Client, there="party.party", client_no="code", legal_name="name")
ADDRESS = Table(of=Address, there="party.address", street="street_unstructured", city="city", postal_code="postal_code")
PROJECT = Table(
    of=Project,
    there="project.work",
    name="name",
    start=("timesheet_start_date", *DAY),
    end=("timesheet_end_date", *LAST_DAY),
)
FACTS = Table(currency="company.currency.code", client_no="party.code")
TASK = Table(of=Task, there="project.work", name="name")
TIME = Table(of=TimeCost, there="timesheet.line", service_date=("date", *DAY), hours=("duration", *DURATION))
INVOICE = Table(
    of=PostInvoice,
    there="account.invoice",
    number="reference",
    issue_date=("invoice_date", *DAY),
    due_date=("payment_term_date", *DAY),
    po_number="description",
    memo="comment",
)
INVOICE_LINE = Table(
    of=PostLine,
    there="account.invoice.line",
    description="description",
    quantity="quantity",
    unit_price=("unit_price", *AMOUNT),
)
SIDE = Table(
    of=JournalLine,
    there="account.move.line",
    debit=("debit", *AMOUNT),
    credit=("credit", *AMOUNT),
    text="description",
)
PAYMENT = Table(client_no="party.code", value_date=("date", *DAY))
