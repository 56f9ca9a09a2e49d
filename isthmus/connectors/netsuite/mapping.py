"""NetSuite's names for ours: tables, states, and the converters they use. No requests here."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from isthmus.domain.money import round_quantity
from isthmus.domain.objects import Address
from isthmus.kit.keyed import by_external_id, by_id
from isthmus.kit.mapping import Field, StatusTable, Table, at_minor_unit, hours_to_clock, to_iso_date
from isthmus.ports.messages import PostInvoice, PostLine, ScheduleIn

# By default an unknown property is dropped with a warning only: a misspelt custom field would lose its dimension.
WRITE_HEADERS = {"X-NetSuite-PropertyNameValidation": "error"}
TERMS_SQL = "SELECT id, name FROM term WHERE isinactive = 'F' ORDER BY id"

DOCUMENT_STATUS = {
    "invoice": StatusTable(
        "netsuite invoice",
        {"A": "posted", "B": "paid", "D": "pending_approval", "E": "rejected", "V": "voided"},
    ),
    # Open while something of it is unapplied.
    "creditMemo": StatusTable("netsuite creditMemo", {"A": "posted", "B": "applied", "V": "voided"}),
}
# An unapproved or rejected payment is not money received; its approval changes it and brings it up again.
PAYMENT_STATUS = StatusTable(
    "netsuite customerPayment",
    {"A": "unapproved", "B": "received", "C": "received", "R": "rejected"},
)


def to_schedule(schedule: ScheduleIn) -> dict[str, Any]:
    """A billing schedule with a milestone per fixed amount."""
    items = [
        {"comments": name, "milestoneDate": due.isoformat(), "milestoneAmount": amount}
        for name, due, amount in schedule.milestones
    ]
    name = f"{schedule.project_code} {schedule.currency}"
    return {"name": name, "job": by_external_id(schedule.project_code), "milestone": {"items": items}}


def to_tax_detail(line: PostLine) -> dict[str, Any]:
    """The tax of a line. The amount is what counts; the rate it comes to is only shown beside it."""
    percent = round_quantity(line.tax / line.net * 100) if line.net else Decimal(0)
    link = by_id(f"line_{line.number}")
    return {"taxDetailsReference": link, "taxBasis": line.net, "taxRate": percent, "taxAmount": line.tax}


def applied(payment: dict[str, Any]) -> list[dict[str, Any]]:
    """The lines of a payment that settle something. KeyError when the answer does not hold all of them."""
    sublist = payment.get("apply") or {"items": []}
    if sublist.get("hasMore"):
        raise KeyError("the rest of apply.items")
    return [line for line in sublist["items"] if line["apply"]]


def applied_to(original: dict[str, Any], credit: PostInvoice) -> dict[str, Any]:
    """What a credit memo is made from and applied to: the invoice, as far as it is still open."""
    amount = min(at_minor_unit(Decimal(original["amountRemaining"]), credit.currency), credit.total)
    rows = [{"doc": by_id(original["id"]), "apply": True, "amount": amount}] if amount > 0 else []
    return {"createdFrom": by_id(original["id"]), "apply": {"items": rows}}


def payments_sql(since: datetime, after: str) -> str:
    """Payments changed after a moment, or at it with an id above the given one, oldest first."""
    # Written out, because plain text follows the date format of the account.
    moment = f"TO_TIMESTAMP('{since:%Y-%m-%d %H:%M:%S}', 'YYYY-MM-DD HH24:MI:SS')"
    return (
        "SELECT id, TO_CHAR(lastmodifieddate, 'YYYY-MM-DD\"T\"HH24:MI:SS') AS modified FROM transaction"
        f" WHERE type = 'CustPymt' AND (lastmodifieddate > {moment} OR (lastmodifieddate = {moment} AND id > {after}))"
        " ORDER BY lastmodifieddate, id"
    )


def names_sql(table: str, otherwise: str, ids: Iterable[str]) -> str:
    """External id and another column of the records with these ids."""
    return f"SELECT id, externalid, {otherwise} AS other FROM {table} WHERE id IN ({', '.join(ids)}) ORDER BY id"


def to_address_book(address: Address) -> dict[str, Any] | None:
    """The one address of a client as the address book; nothing when the client has none."""
    lines = ADDRESS.out(address)
    return {"items": [{"defaultBilling": True, "addressBookAddress": lines}]} if lines else None


ADDRESS = Table(
    Field("street", "addr1"),
    Field("city", "city"),
    Field("region", "state"),
    Field("postal_code", "zip"),
    Field("country", "country", out=by_id),
)
CLIENT = Table(
    Field("legal_name", "companyName"),
    Field("tax_id", "vatRegNumber"),
    Field("address", "addressBook", out=to_address_book, back=None),
)
PROJECT = Table(
    Field("name", "companyName"),
    Field("project_code", "entityId"),
    Field("client_no", "parent", out=by_external_id),
    Field("start", "startDate", out=to_iso_date),
    Field("end", "projectedEndDate", out=to_iso_date),
)
TASK = Table(Field("name", "title"), Field("billable", "nonBillableTask", out=lambda billable: not billable))
TIME = Table(
    Field("project_code", "customer", out=by_external_id),
    Field("hours", "hours", out=hours_to_clock),
    Field("service_date", "tranDate", out=to_iso_date),
    Field("billable", "isBillable"),
    Field("bill_rate", "rate"),
)
_DOCUMENT = (
    Field("client_no", "entity", out=by_external_id),
    Field("project_code", "job", out=by_external_id),
    Field("number", "tranId"),
    Field("issue_date", "tranDate", out=to_iso_date),
    Field("po_number", "otherRefNum"),
    Field("memo", "memo"),
)
INVOICE = Table(*_DOCUMENT, Field("due_date", "dueDate", out=to_iso_date))
CREDIT = Table(*_DOCUMENT)
# The amount is given, so that NetSuite does not make its own of quantity and rate.
INVOICE_LINE = Table(
    Field("number", "taxDetailsReference", out="line_{}".format),
    Field("description", "description"),
    Field("quantity", "quantity"),
    Field("unit_price", "rate"),
    Field("net", "amount"),
)
