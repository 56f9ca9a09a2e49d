"""NetSuite's names for ours: tables, states, and the converters they use. No requests here."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from isthmus.domain.journals import Journal
from isthmus.domain.money import round_quantity
from isthmus.domain.objects import Address, Client, Project, Task
from isthmus.kit.keyed import BY_ID, BY_KEY, by_external_id, by_id
from isthmus.kit.mapping import CLOCK, DAY, LAST_DAY, NEGATED, Field, Table, at_minor_unit
from isthmus.ports.messages import PostInvoice, PostLine, PostVendorBill, ScheduleIn, TimeCost


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
    percent, link = round_quantity(line.tax / line.net * 100) if line.net else Decimal(0), by_id(f"line_{line.number}")
    return {"taxDetailsReference": link, "taxBasis": line.net, "taxRate": percent, "taxAmount": line.tax}


def kind_of(bill: PostVendorBill) -> tuple[str, int]:
    """The record a bill becomes, and the sign its amounts have there: those of a vendor credit are positive."""
    return ("vendorCredit", -1) if bill.total < 0 else ("vendorBill", 1)


def applied_to(original: dict[str, Any], credit: PostInvoice) -> dict[str, Any]:
    """What a credit memo is made from and applied to: the invoice, as far as it is still open."""
    amount = min(at_minor_unit(Decimal(original["amountRemaining"]), credit.currency), credit.total)
    rows = [{"doc": by_id(original["id"]), "apply": True, "amount": amount}] if amount > 0 else []
    return {"createdFrom": by_id(original["id"]), "apply": {"items": rows}}


def to_address_book(address: Address) -> dict[str, Any] | None:
    """The one address of a client as the address book; nothing when the client has none."""
    lines = ADDRESS.out(address)
    return {"items": [{"defaultBilling": True, "addressBookAddress": lines}]} if lines else None


ADDRESS = Table(
    *map(Field, ("street", "city", "region", "postal_code"), ("addr1", "city", "state", "zip")),
    Field("country", "country", *BY_ID),
    of=Address,
)
CLIENT = Table(
    Field("legal_name", "companyName"),
    Field("tax_id", "vatRegNumber"),
    Field("address", "addressBook", out=to_address_book, back=None),
    of=Client,
    there="customer",
)
PROJECT = Table(
    Field("name", "companyName"),
    Field("project_code", "entityId"),
    Field("client_no", "parent", *BY_KEY),
    Field("start", "startDate", *DAY),
    Field("end", "projectedEndDate", *LAST_DAY),
    of=Project,
    there="job",
)
TASK = Table(Field("name", "title"), Field("billable", "nonBillableTask", *NEGATED), of=Task, there="projectTask")
TIME = Table(
    Field("project_code", "customer", *BY_KEY),
    Field("hours", "hours", *CLOCK),
    Field("service_date", "tranDate", *DAY),
    Field("billable", "isBillable"),
    Field("bill_rate", "rate"),
    of=TimeCost,
    there="timeBill",
)
_DOCUMENT = (
    Field("client_no", "entity", *BY_KEY),
    Field("project_code", "job", *BY_KEY),
    Field("number", "tranId"),
    Field("issue_date", "tranDate", *DAY),
    Field("po_number", "otherRefNum"),
    Field("memo", "memo"),
)
JOURNAL = Table(Field("booked_on", "tranDate", *DAY), Field("memo", "memo"), of=Journal, there="journalEntry")
_BILL = (Field("bill_no", "tranId"), Field("billed_on", "tranDate", *DAY), Field("memo", "memo"))
VENDOR_BILL = Table(*_BILL, Field("due_on", "dueDate", *DAY), of=PostVendorBill, there="vendorBill")
VENDOR_CREDIT = Table(*_BILL, of=PostVendorBill, there="vendorCredit")
INVOICE = Table(*_DOCUMENT, Field("due_date", "dueDate", *DAY), of=PostInvoice, there="invoice")
CREDIT = Table(*_DOCUMENT, of=PostInvoice, there="creditMemo")
# The amount is given, so that NetSuite does not make its own of quantity and rate.
INVOICE_LINE = Table(
    Field("number", "taxDetailsReference", out="line_{}".format, back=None),
    *map(Field, ("description", "quantity", "unit_price", "net"), ("description", "quantity", "rate", "amount")),
    of=PostLine,
)
