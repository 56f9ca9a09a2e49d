"""What the books hold of bought-in work: subcontracts, approved hours as bills have paid them, the client's side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from isthmus.domain.errors import BadInput
from isthmus.domain.objects import BillableItem, BillablePart, Invoice, TimeEntry
from isthmus.domain.states import BillState, PartState, move
from isthmus.domain.subcontracting import Claim, PaidHours, Subcontract, SubcontractorBill
from isthmus.policies.subcontracts import ApprovedWork, Evidence
from isthmus.runtime.books import Books
from isthmus.store.shared import last_words
from isthmus.store.tx import Tx

ZERO = Decimal(0)
Paid = PaidHours | Claim


def newest(tx: Tx, subcontract_no: str) -> Subcontract | None:
    """The version of a subcontract that holds; None when there is no such subcontract."""
    found = tx.find(Subcontract, subcontract_no=subcontract_no, order=("-version",), limit=1)
    return found[0] if found else None


def subcontract_of(books: Books, bill: SubcontractorBill) -> Subcontract:
    """What was agreed, as it holds now."""
    found = newest(books.tx, bill.subcontract_no)
    if found is None:
        raise BadInput(f"there is no subcontract {bill.subcontract_no}")
    return found


def bill_of(books: Books, bill_id: str) -> SubcontractorBill:
    """The bill, with all that is bought for its project held until this transaction ends: an hour is paid once."""
    bill = books.tx.get(SubcontractorBill, bill_id)
    if bill is None:
        raise BadInput(f"there is no bill {bill_id}")
    books.tx.lock(f"bought:{bill.project_code}")
    held = books.tx.get(SubcontractorBill, bill_id)
    assert held is not None
    return held


def moved(books: Books, bill: SubcontractorBill, state: BillState, by: str = "", **changes: Any) -> SubcontractorBill:
    """The bill in its next state, kept, told and audited."""
    after = move(bill, "state", state).model_copy(update=changes)
    books.tx.update(after)
    facts = {
        "bill": bill.bill_id,
        "subcontract": bill.subcontract_no,
        "total": str(bill.total),
        "payable": str(after.payable),
        "currency": bill.currency,
    }
    books.emit(f"bill.{state}", f"bill:{bill.bill_id}", facts, entity=bill.entity)
    told = {name: str(value) for name, value in changes.items() if name not in ("claims",)}
    why = str(changes.get("accepted_why", ""))
    books.audit(f"bill.{state}", f"bill:{bill.bill_id}", actor=by, reason=why, after={"state": str(state), **told})
    return after


def work_of(tx: Tx, project_code: str, people: Iterable[str], *, apart_from: str = "") -> list[ApprovedWork]:
    """The entries of these people on a project as they stand, each with what bills pay of it.

    apart_from: a bill whose own claims do not count. An hour that has moved to another project or person since it was
    paid is nothing here any more, and still paid.
    """
    persons = tuple(sorted(set(people)))
    paid = _paid(tx, project_code, apart_from)
    found = tx.find(TimeEntry, project_code=project_code, person=persons) if persons else []
    last = last_words(tx, {entry.key for entry in found} | {key for key, _ in paid})
    here = {(e.key, e.person): e for e in last.values() if e.project_code == project_code}
    return [
        _work(place, here.get(place), last[place[0]], paid.get(place, []))
        for place in sorted({*here, *paid})
        if place[1] in persons
    ]


def _work(
    place: tuple[str, str], entry: TimeEntry | None, last: TimeEntry, paid: Sequence[tuple[str, Paid]]
) -> ApprovedWork:
    bills = [bill for bill, one in paid if one.hours > 0]
    return ApprovedWork(
        entry_key=place[0],
        person=place[1],
        service_date=entry.service_date if entry else paid[0][1].service_date,
        hours=entry.hours if entry else ZERO,
        revision=last.revision,
        paid_hours=sum((one.hours for _, one in paid), ZERO),
        paid_amount=sum((one.amount for _, one in paid), ZERO),
        paid_by=bills[-1] if bills else "",
    )


def _paid(tx: Tx, project_code: str, apart_from: str) -> dict[tuple[str, str], list[tuple[str, Paid]]]:
    """By entry and person, what bills have paid, and what matched bills that wait for their confirmation will."""
    paid: dict[tuple[str, str], list[tuple[str, Paid]]] = defaultdict(list)
    for one in tx.find(PaidHours, project_code=project_code, order=("recorded_at", "paid_id")):
        paid[one.source_key, one.person].append((one.bill_id, one))
    for bill in tx.find(SubcontractorBill, project_code=project_code, state=BillState.MATCHED, order=("bill_id",)):
        if bill.bill_id != apart_from:
            for claim in bill.claims:
                paid[claim.source_key, claim.person].append((bill.bill_id, claim))
    return paid


def client_side(tx: Tx, keys: Iterable[str]) -> dict[str, list[Evidence]]:
    """By entry, where the evidence it became is: waiting, invoiced, paid. Entries that are none yet are left out."""
    wanted = tuple(sorted(set(keys)))
    items = tx.find(BillableItem, entry_key=wanted) if wanted else []
    entry_of = {item.item_id: item.entry_key for item in items}
    parts = tx.find(BillablePart, item_id=tuple(sorted(entry_of)), order=("part_id",)) if entry_of else []
    gone = (PartState.SUPERSEDED, PartState.CREDITED)  # other parts stand for these
    alive = [part for part in parts if part.state not in gone]
    ids = tuple(sorted({part.invoice_id for part in alive if part.invoice_id}))
    invoices = {invoice.invoice_id: invoice for invoice in tx.find(Invoice, invoice_id=ids)} if ids else {}
    found: dict[str, list[Evidence]] = {key: [] for key in entry_of.values()}
    for part in alive:
        key, invoice = entry_of[part.item_id], invoices.get(part.invoice_id)
        found[key].append(
            Evidence(
                key,
                str(part.state),
                part.net,
                part.reason or part.cap_id,
                (invoice.number or invoice.invoice_id) if invoice else "",
                invoice.open if invoice else ZERO,
            )
        )
    return found
