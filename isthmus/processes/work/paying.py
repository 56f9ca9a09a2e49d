"""Steps of an agreed bill: hours paid once, a part kept back, posted in the ERP, and no longer held from payment."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from isthmus.domain.errors import BadInput, NeedsDecision
from isthmus.domain.journals import Account
from isthmus.domain.money import is_exact_amount
from isthmus.domain.states import BillState
from isthmus.domain.subcontracting import PaidHours, RetentionEntry, Subcontract, SubcontractorBill, bill_id_of
from isthmus.policies.subcontracts import Movement, Retained, may_pay, missing_money, retain
from isthmus.ports.messages import PostedBill, PostVendorBill, VendorBillLine
from isthmus.processes.work.buying import bill_of, client_side, moved, newest, subcontract_of
from isthmus.processes.work.differing import tell_differences
from isthmus.processes.work.matching import looked_at
from isthmus.runtime.books import Books
from isthmus.runtime.hashing import content_hash
from isthmus.store.tx import Tx

ZERO = Decimal(0)


def approve(books: Books, bill_id: str) -> PostVendorBill:
    """The bill's hours are paid from here on; what is kept back of it, and what waits for the client's money."""
    bill = bill_of(books, bill_id)
    _still_as_matched(books, bill)
    subcontract = subcontract_of(books, bill)
    books.tx.insert_many([_paid(books, bill, number) for number in range(len(bill.claims))])
    kept = _retention(books, bill, subcontract)
    books.tx.insert_many(_entries(books, bill, kept))
    payable = bill.total - kept.withheld + kept.released
    waits = payable > 0 and not may_pay(
        subcontract.payment, matched=True, confirmed=True, client_paid=not still_missing(books.tx, bill)
    )
    amounts = {"retained": kept.withheld, "released": kept.released, "payable": payable, "payment_hold": waits}
    confirmed_by = bill.confirmed_by or bill.accepted_by
    done = moved(books, bill, BillState.CONFIRMED, confirmed_by, confirmed_by=confirmed_by, **amounts)
    tell_differences(books, {claim.source_key for claim in bill.claims})
    return posting_of(done)


def _still_as_matched(books: Books, bill: SubcontractorBill) -> None:
    """EX-SUBCON-CHANGED when the time it was matched with was corrected before the project manager confirmed it."""
    if bill.kind == "retention" or "EX-SUBCON-CHANGED" in books.answers:
        return
    found, _ = looked_at(books, bill)
    if found.claims != bill.claims:
        raise NeedsDecision(
            "EX-SUBCON-CHANGED",
            f"bill {bill.bill_no} of {bill.supplier}: the time it pays was corrected since it was matched; it was"
            f" {bill.worth} {bill.currency} and is {found.worth}",
            queue="procurement",
            money=(found.worth - bill.worth, bill.currency),
            context={"bill": bill.bill_id, "problems": list(found.problems)},
            actions=("as_matched", "retry", "cancel"),
        )


def _paid(books: Books, bill: SubcontractorBill, number: int) -> PaidHours:
    claim = bill.claims[number]
    return PaidHours(
        paid_id=f"{bill.bill_id}/{number + 1}",
        bill_id=bill.bill_id,
        subcontract_no=bill.subcontract_no,
        contract_no=bill.contract_no,
        project_code=bill.project_code,
        currency=bill.currency,
        recorded_at=books.now,
        **claim.model_dump(exclude={"line"}),
    )


# -- retention -------------------------------------------------------------------------------------------------


def held_of(tx: Tx, subcontract_no: str) -> Decimal:
    """What is kept back under a subcontract now."""
    return sum((entry.amount for entry in tx.find(RetentionEntry, subcontract_no=subcontract_no)), ZERO)


def _asked_for(tx: Tx, subcontract_no: str) -> Decimal:
    """What releases on their way pay out of it: drawn up, and not agreed yet."""
    known = tx.find(SubcontractorBill, subcontract_no=subcontract_no, kind="retention", state=BillState.MATCHED)
    return sum((bill.released for bill in known), ZERO)


def _retention(books: Books, bill: SubcontractorBill, subcontract: Subcontract) -> Retained:
    """By the terms of the subcontract; hours delivered are those of its bills."""
    if bill.kind == "retention":
        return Retained((Movement("released", None, -bill.released),))
    if not subcontract.retention:
        return Retained()
    known = books.tx.find(RetentionEntry, subcontract_no=bill.subcontract_no)
    delivered = books.tx.find(PaidHours, subcontract_no=bill.subcontract_no)
    return retain(
        bill.total,
        delivered=sum((one.hours for one in delivered), ZERO),
        held=sum((entry.amount for entry in known), ZERO),
        reached=[e.until_percent for e in known if e.kind == "released" and e.until_percent is not None],
        terms=subcontract.retention,
        ordered=subcontract.ordered_hours or ZERO,
        currency=bill.currency,
    )


def _entries(books: Books, bill: SubcontractorBill, kept: Retained) -> list[RetentionEntry]:
    return [
        RetentionEntry(
            entry_id=f"{bill.bill_id}/{number}",
            subcontract_no=bill.subcontract_no,
            bill_id=bill.bill_id,
            kind=movement.kind,
            until_percent=movement.until_percent,
            amount=movement.amount,
            currency=bill.currency,
            recorded_at=books.now,
        )
        for number, movement in enumerate(kept.movements, start=1)
    ]


def draw_up_release(books: Books, subcontract_no: str, amount: str, asked_by: str, why: str, name: str) -> str:
    """A bill of its own that pays out what is kept back, or a part of it: the last hours may never be ordered."""
    subcontract = newest(books.tx, subcontract_no)
    if subcontract is None:
        raise BadInput(f"there is no subcontract {subcontract_no}")
    books.tx.lock(f"bought:{subcontract.project_code}")
    held = held_of(books.tx, subcontract_no) - _asked_for(books.tx, subcontract_no)
    wanted = Decimal(amount) if amount else held
    if not ZERO < wanted <= held or not is_exact_amount(wanted, subcontract.currency):
        raise BadInput(f"{wanted} {subcontract.currency} cannot be released of {held} kept back from {subcontract_no}")
    today = books.today(subcontract.entity)
    bill = SubcontractorBill(
        bill_id=bill_id_of(subcontract.supplier, f"{subcontract_no}/{name}"),
        kind="retention",
        bill_no=f"{subcontract_no}/{name}",
        supplier=subcontract.supplier,
        subcontract_no=subcontract_no,
        entity=subcontract.entity,
        project_code=subcontract.project_code,
        contract_no=subcontract.contract_no,
        currency=subcontract.currency,
        billed_on=today,
        due_on=today,
        lines=(),
        total=ZERO,
        content_hash=content_hash(["retention", subcontract_no, name]),
        handed_in_by=asked_by,
        received_at=books.now,
        released=wanted,
        accepted_why=why,
    )
    books.tx.insert(bill)
    moved(books, bill, BillState.MATCHED, asked_by)
    return bill.bill_id


def call_off_release(books: Books, subcontract_no: str, amount: str, asked_by: str, why: str, name: str) -> str:
    """Undo of draw_up_release: what is kept back stays kept back."""
    known = books.tx.find(SubcontractorBill, subcontract_no=subcontract_no, bill_no=f"{subcontract_no}/{name}")
    for bill in known:
        if bill.state is BillState.MATCHED:
            moved(books, bill, BillState.CANCELLED)
    return f"nothing of {subcontract_no} is paid out"


def have_release_approved(books: Books, bill_id: str) -> str:
    """Another person agrees that what is kept back is paid out. EX-SUBCON-RELEASE until then."""
    bill = bill_of(books, bill_id)
    answer = books.answers.get("EX-SUBCON-RELEASE", {})
    if answer.get("action") != "approve":
        raise NeedsDecision(
            "EX-SUBCON-RELEASE",
            f"{bill.released} {bill.currency} kept back from {bill.supplier} under {bill.subcontract_no} is to be paid"
            f" out: {bill.accepted_why}",
            queue="procurement",
            money=(bill.released, bill.currency),
            context={"bill": bill_id, "subcontract": bill.subcontract_no, "prepared_by": bill.handed_in_by},
            actions=("approve", "cancel"),
        )
    held = held_of(books.tx, bill.subcontract_no)
    if bill.released > held:
        raise NeedsDecision(
            "EX-SUBCON-RELEASE",
            f"{bill.released} {bill.currency} cannot be paid out any more: {held} is kept back from {bill.supplier}"
            f" under {bill.subcontract_no} by now",
            queue="procurement",
            money=(bill.released, bill.currency),
            context={"bill": bill_id, "subcontract": bill.subcontract_no, "prepared_by": bill.handed_in_by},
            actions=("cancel",),
        )
    by = str(answer.get("by", ""))
    books.tx.update(bill.model_copy(update={"confirmed_by": by}))
    return by


# -- in the ERP ------------------------------------------------------------------------------------------------


def posting_of(bill: SubcontractorBill) -> PostVendorBill:
    """What the ERP is given: what was asked, and what is kept back or paid out of it, each on its account."""
    lines: list[VendorBillLine] = []

    def add(account: Account, description: str, amount: Decimal) -> None:
        if amount:
            numbered = {"number": len(lines) + 1, "account": account}
            lines.append(VendorBillLine(description=description, amount=amount, **numbered))

    for line in bill.lines:
        add("cost_of_services", f"{line.hours} h of {line.person}, {line.start} to {line.end}", line.amount)
    add("vendor_retention", f"kept back under {bill.subcontract_no}", -bill.retained)
    add("vendor_retention", f"paid out of what was kept back under {bill.subcontract_no}", bill.released)
    return PostVendorBill(
        bill_id=bill.bill_id,
        bill_no=bill.bill_no,
        supplier=bill.supplier,
        entity=bill.entity,
        project_code=bill.project_code,
        currency=bill.currency,
        billed_on=bill.billed_on,
        due_on=bill.due_on,
        lines=tuple(lines),
        total=bill.payable,
        payment_hold=bill.payment_hold,
        memo=f"subcontract {bill.subcontract_no}, project {bill.project_code}",
    )


def keep_posted(books: Books, bill_id: str, posted: PostedBill | None) -> str:
    """As what the ERP has it; payable at once unless it waits. EX-VENDOR-BILL where the ERP takes no bills."""
    bill = bill_of(books, bill_id)
    answer = books.answers.get("EX-VENDOR-BILL", {})
    if posted is not None and posted.ref.external_id:
        where = {"posted_as": posted.ref.external_id, "posted_by": posted.ref.system}
    elif answer.get("action") == "booked" and str(answer.get("reference", "")).strip():
        where = {"posted_as": str(answer["reference"]), "posted_by": str(answer.get("by", ""))}
    else:
        raise _by_hand(bill, "post it there and say under which number", ("booked",))
    done = moved(books, bill, BillState.POSTED, where["posted_by"], **where)
    if not done.payment_hold:
        moved(books, done, BillState.PAYABLE)
    return where["posted_as"]


def _by_hand(bill: SubcontractorBill, what: str, actions: tuple[str, ...]) -> NeedsDecision:
    posting = posting_of(bill)
    held = "; its payment waits for the client's money" if bill.payment_hold else ""
    return NeedsDecision(
        "EX-VENDOR-BILL",
        f"bill {bill.bill_no} of {bill.supplier}, {bill.payable} {bill.currency} payable{held}: no ERP of {bill.entity}"
        f" takes suppliers' bills from here, so {what}",
        queue="procurement",
        money=(bill.payable, bill.currency),
        context={
            "bill": bill.bill_id,
            "lines": [line.model_dump(mode="json") for line in posting.lines],
            "due_on": str(bill.due_on),
        },
        actions=actions,
    )


# -- payment ---------------------------------------------------------------------------------------------------


def still_missing(tx: Tx, bill: SubcontractorBill) -> list[str]:
    """What the client has still to pay for the hours of the bill; a credit takes back and waits for nothing."""
    keys = [claim.source_key for claim in bill.claims if claim.hours > 0]
    return missing_money(keys, client_side(tx, keys))


def waiting(tx: Tx) -> list[SubcontractorBill]:
    """Bills the ERP has and may not pay yet."""
    posted = tx.find(SubcontractorBill, state=BillState.POSTED, order=("bill_id",))
    return [bill for bill in posted if bill.payment_hold]


def may_be_released(books: Books, bill_id: str, asked_by: str, why: str) -> PostVendorBill | None:
    """The posting to release, once the client has paid, or another person agrees to pay before that.

    None when it is released already. EX-SUBCON-RELEASE says what is still missing.
    """
    bill = bill_of(books, bill_id)
    if bill.state is BillState.PAYABLE:
        return None
    if bill.state is not BillState.POSTED:
        raise BadInput(f"bill {bill_id} is {bill.state}: only a posted one is released")
    missing = still_missing(books.tx, bill)
    answer = books.answers.get("EX-SUBCON-RELEASE", {})
    if missing and answer.get("action") != "approve":
        raise NeedsDecision(
            "EX-SUBCON-RELEASE",
            f"bill {bill.bill_no} of {bill.supplier}, {bill.payable} {bill.currency}, is to be paid before the client"
            f" pays: {why}; still missing: {'; '.join(missing)}",
            queue="procurement",
            money=(bill.payable, bill.currency),
            context={"bill": bill_id, "missing": missing, "prepared_by": asked_by},
            actions=("approve", "retry", "cancel"),
        )
    return posting_of(bill)


def keep_released(books: Books, bill_id: str, released: PostedBill | None) -> str:
    """Nothing holds its payment any more. EX-VENDOR-BILL where a person has to lift the hold."""
    bill = bill_of(books, bill_id)
    if bill.state is BillState.PAYABLE:
        return f"bill {bill_id} may be paid already"
    by_hand = books.answers.get("EX-VENDOR-BILL", {})
    if released is None and by_hand.get("action") != "released":
        raise _by_hand(bill, f"release {bill.posted_as} for payment there", ("released",))
    by = _who_released(books.answers)
    moved(books, bill, BillState.PAYABLE, by, payment_hold=False, payment_released_by=by)
    return f"bill {bill_id} may be paid"


def _who_released(answers: Mapping[str, Mapping[str, Any]]) -> str:
    for exception in ("EX-SUBCON-RELEASE", "EX-VENDOR-BILL"):
        if exception in answers:
            return str(answers[exception].get("by", ""))
    return "the client has paid"
