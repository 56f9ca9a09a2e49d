"""A subcontractor's bill at the door, whole or not at all: known before, refused, or on its way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal

from isthmus.domain.errors import BadInput
from isthmus.domain.subcontracting import BillLine, Subcontract, SubcontractorBill, bill_id_of
from isthmus.processes.work.buying import newest
from isthmus.runtime.books import Books
from isthmus.runtime.hashing import content_hash
from isthmus.store.tx import Tx

PROCESS = "pay_subcontractor"


def drawn_up(
    books: Books, subcontract: Subcontract, bill_no: str, billed_on: date, lines: Sequence[BillLine], by: str
) -> SubcontractorBill:
    """The bill as the hub keeps it. BadInput for an amount its currency does not have."""
    ordered = tuple(sorted(lines, key=lambda line: (line.person, line.start, line.end, line.hours, line.amount)))
    told = [line.model_dump(mode="json") for line in ordered]
    return SubcontractorBill(
        bill_id=bill_id_of(subcontract.supplier, bill_no),
        bill_no=bill_no,
        supplier=subcontract.supplier,
        subcontract_no=subcontract.subcontract_no,
        entity=subcontract.entity,
        project_code=subcontract.project_code,
        contract_no=subcontract.contract_no,
        currency=subcontract.currency,
        billed_on=billed_on,
        due_on=billed_on + timedelta(days=subcontract.payment_days),
        lines=ordered,
        total=sum((line.amount for line in ordered), Decimal(0)),
        content_hash=content_hash([subcontract.supplier, subcontract.currency, told]),
        handed_in_by=by,
        received_at=books.now,
    )


def known_as(tx: Tx, bill: SubcontractorBill) -> SubcontractorBill | None:
    """The bill under its number, when it is there already. BadInput when that one asks for something else."""
    known = tx.get(SubcontractorBill, bill.bill_id)
    if known is not None and (known.content_hash, known.billed_on) != (bill.content_hash, bill.billed_on):
        raise BadInput(
            f"bill {bill.bill_no} of {bill.supplier} is known with other content, {known.total} {known.currency} of"
            f" {known.billed_on}: a supplier corrects a bill by a credit and a new one"
        )
    return known


def receive(books: Books, bill: SubcontractorBill, source: str = "") -> bool:
    """Keep the bill and start its run. False when it is known already."""
    books.tx.lock(f"bill:{bill.bill_id}")
    if known_as(books.tx, bill) is not None:
        return False
    books.tx.insert(bill.model_copy(update={"source": source}))
    facts = {"bill": bill.bill_id, "subcontract": bill.subcontract_no, "total": str(bill.total)}
    books.emit("bill.received", f"bill:{bill.bill_id}", {**facts, "currency": bill.currency}, entity=bill.entity)
    about = f"contract:{bill.contract_no}"
    books.start(PROCESS, bill.bill_id, {"bill_id": bill.bill_id}, entity=bill.entity, correlation_id=about)
    return True


def receive_bill(
    books: Books, subcontract_no: str, bill_no: str, billed_on: date, lines: Sequence[BillLine], by: str
) -> bool:
    """Draw a bill up for a subcontract and receive it. BadInput when there is no such subcontract."""
    subcontract = newest(books.tx, subcontract_no)
    if subcontract is None:
        raise BadInput(f"there is no subcontract {subcontract_no}")
    return receive(books, drawn_up(books, subcontract, bill_no, billed_on, lines, by))
