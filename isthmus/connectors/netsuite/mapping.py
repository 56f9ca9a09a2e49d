"""NetSuite's names for ours: tables, states, and the converters they use. No requests here."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from isthmus.domain.money import round_quantity
from isthmus.domain.objects import Address
from isthmus.kit.keyed import by_external_id, by_id
from isthmus.kit.mapping import Field, StatusTable, Table, hours_to_clock, to_iso_date
from isthmus.ports.messages import PostLine, ScheduleIn

# What a firm may call otherwise. A mapping is merged over its default, other values replace it.
DEFAULTS: dict[str, Any] = {
    "subsidiaries": {},  # legal entity -> subsidiary id; none in an account without OneWorld
    "client_subsidiary": "",  # primary subsidiary of a customer; empty: the first of subsidiaries
    "currencies": {"USD": "1", "GBP": "2", "CAD": "3", "EUR": "4"},
    "terms": {},  # our code -> term id; a code that is not here is looked up by name
    "dimensions": {"practice": "custentity_practice", "cost_center": "custentity_cost_center"},
    "item": "",  # service item of hours and of invoice lines without an own one
    "items": {},  # tax code -> service item id of invoice lines
    "employees": {},  # person -> employee id; a person who is not here is referred to by external id
    "project_open": "2",
    "project_closed": "1",
    # entityStatus ids; Oracle publishes no labels with the five standard ones, so a firm may say otherwise
    "project_statuses": {"1": "closed", "2": "active", "3": "closed", "4": "active", "5": "active"},
    "schedule_type": "3",
    "time_approval": "3",  # empty: the account's own preference decides
    "invoice_approval": "2",  # empty: the account's own preference decides
    "tax_type": "",
    "tax_code": "",
}

# By default an unknown property is dropped with a warning only: a misspelt custom field would lose its dimension.
WRITE_HEADERS = {"X-NetSuite-PropertyNameValidation": "error"}
TERMS_SQL = "SELECT id, name FROM term WHERE isinactive = 'F' ORDER BY id"

INVOICE_STATUS = StatusTable(
    "netsuite invoice",
    {"A": "posted", "B": "paid", "D": "pending_approval", "E": "rejected", "V": "voided"},
)
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
INVOICE = Table(
    Field("client_no", "entity", out=by_external_id),
    Field("project_code", "job", out=by_external_id),
    Field("number", "tranId"),
    Field("issue_date", "tranDate", out=to_iso_date),
    Field("due_date", "dueDate", out=to_iso_date),
    Field("po_number", "otherRefNum"),
    Field("memo", "memo"),
)
# The amount is given, so that NetSuite does not make its own of quantity and rate.
INVOICE_LINE = Table(
    Field("number", "taxDetailsReference", out="line_{}".format),
    Field("description", "description"),
    Field("quantity", "quantity"),
    Field("unit_price", "rate"),
    Field("net", "amount"),
)
