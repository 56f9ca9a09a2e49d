"""NetSuite's names for ours: tables, states, and the converters they use. No requests here."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from isthmus.domain.journals import Journal
from isthmus.domain.money import round_quantity
from isthmus.domain.objects import Address, Client, Project, Task
from isthmus.kit.keyed import BY_ID, BY_KEY, by_external_id, by_id
from isthmus.kit.mapping import CLOCK, DAY, LAST_DAY, NEGATED, Table, at_minor_unit
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


def applied_to(original: dict[str, Any], credit: PostInvoice) -> dict[str, Any]:
    """What a credit memo is made from and applied to: the invoice, as far as it is still open."""
    amount = min(at_minor_unit(Decimal(original["amountRemaining"]), credit.currency), credit.total)
    rows = [{"doc": by_id(original["id"]), "apply": True, "amount": amount}] if amount > 0 else []
    return {"createdFrom": by_id(original["id"]), "apply": {"items": rows}}


def to_address_book(address: Address) -> dict[str, Any] | None:
    """The one address of a client as the address book; nothing when the client has none."""
    lines = ADDRESS.out(address)
    return {"items": [{"defaultBilling": True, "addressBookAddress": lines}]} if lines else None


def of_document(document: PostInvoice) -> Table:
    """The table of an invoice, or of a credit memo, which names the invoice it credits."""
    return CREDIT if document.original_number else INVOICE


def of_bill(bill: PostVendorBill) -> tuple[Table, int]:
    """The table of the record a bill becomes, and the sign its amounts have there: a vendor credit's are positive."""
    return (VENDOR_CREDIT, -1) if bill.total < 0 else (VENDOR_BILL, 1)


ADDRESS = Table(of=Address, street="addr1", city="city", region="state", postal_code="zip", country=("country", *BY_ID))
CLIENT = Table(
    of=Client,
    there="customer",
    legal_name="companyName",
    tax_id="vatRegNumber",
    address=("addressBook", to_address_book, None),
)
PROJECT = Table(
    of=Project,
    there="job",
    name="companyName",
    project_code="entityId",
    client_no=("parent", *BY_KEY),
    start=("startDate", *DAY),
    end=("projectedEndDate", *LAST_DAY),
)
TASK = Table(of=Task, there="projectTask", name="title", billable=("nonBillableTask", *NEGATED))
TIME = Table(
    of=TimeCost,
    there="timeBill",
    project_code=("customer", *BY_KEY),
    hours=("hours", *CLOCK),
    service_date=("tranDate", *DAY),
    billable="isBillable",
    bill_rate="rate",
)
JOURNAL = Table(of=Journal, there="journalEntry", booked_on=("tranDate", *DAY), memo="memo")
VENDOR_CREDIT = Table(
    of=PostVendorBill, there="vendorCredit", bill_no="tranId", billed_on=("tranDate", *DAY), memo="memo"
)
VENDOR_BILL = Table(*VENDOR_CREDIT.fields, of=PostVendorBill, there="vendorBill", due_on=("dueDate", *DAY))
CREDIT = Table(
    of=PostInvoice,
    there="creditMemo",
    client_no=("entity", *BY_KEY),
    project_code=("job", *BY_KEY),
    number="tranId",
    issue_date=("tranDate", *DAY),
    po_number="otherRefNum",
    memo="memo",
)
INVOICE = Table(*CREDIT.fields, of=PostInvoice, there="invoice", due_date=("dueDate", *DAY))
# The amount is given, so that NetSuite does not make its own of quantity and rate.
INVOICE_LINE = Table(
    of=PostLine,
    number=("taxDetailsReference", "line_{}".format, None),
    description="description",
    quantity="quantity",
    unit_price="rate",
    net="amount",
)
PAYMENT = Table(source_id="id", value_date="tranDate")
