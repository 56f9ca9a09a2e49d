"""Steps of a subcontractor's bill until it is agreed: taken in, matched with approved time, disputed, confirmed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.objects import Engagement
from isthmus.domain.states import BillState, EngagementState
from isthmus.domain.subcontracting import SubcontractorBill
from isthmus.policies.subcontracts import Matched, Tolerance, match, refusal, tolerance_of
from isthmus.processes.work.buying import bill_of, moved, subcontract_of, work_of
from isthmus.runtime.books import Books

AGREED, DISPUTED = "agreed", "disputed"
OPEN_FOR_COST = (EngagementState.READY, EngagementState.ACTIVE)


def take(books: Books, bill_id: str) -> SubcontractorBill:
    """The bill as it came in."""
    return bill_of(books, bill_id)


def cancel(books: Books, bill_id: str) -> str:
    """Undo of take: the bill is not paid, and the hours it was matched with are free again."""
    bill = bill_of(books, bill_id)
    if bill.state is not BillState.CANCELLED:
        moved(books, bill, BillState.CANCELLED, claims=())
    return f"bill {bill_id} is cancelled"


def match_with_time(books: Books, bill_id: str) -> str:
    """Matched with approved time that no bill has paid, let pass, or disputed. EX-SUBCON-MATCH until then."""
    bill = bill_of(books, bill_id)
    answer = books.answers.get("EX-SUBCON-MATCH", {})
    if answer.get("action") == "dispute":
        moved(books, bill, BillState.DISPUTED, _by(answer), disputed_by=_by(answer))
        return DISPUTED
    found, same_as = looked_at(books, bill)
    if found.problems or same_as:
        stopped = refusal(bill, found, same_as)
        if answer.get("action") != "accept" or "accept" not in stopped.actions:
            raise stopped
        _agree(books, bill, found, answer)
    else:
        _agree(books, bill, found, {})
    return AGREED


def settle(books: Books, bill_id: str, by_project: bool) -> str:
    """The end of a dispute: it matches by now, or a second person agrees that it is paid as it stands.

    by_project: the project manager disputes it, so that no match ends it.
    """
    bill = bill_of(books, bill_id)
    answer = books.answers.get("EX-SUBCON-DISPUTE", {})
    settled = answer.get("action") == "settle" and int(answer.get("seq", 0)) > bill.settled
    found, same_as = looked_at(books, bill)
    clean = not found.problems and not same_as
    if settled and not found.twice and not same_as:
        _agree(books, bill.model_copy(update={"settled": int(answer["seq"])}), found, answer)
    elif clean and not by_project:
        _agree(books, bill, found, {})
    else:
        raise _dispute(bill, found, may_settle=not found.twice and not same_as)
    return AGREED


def confirm(books: Books, bill_id: str) -> str:
    """The project manager confirms that the work was done, or disputes it. EX-SUBCON-CONFIRM until then."""
    bill = bill_of(books, bill_id)
    answer = books.answers.get("EX-SUBCON-CONFIRM", {})
    if answer.get("action") == "dispute":
        moved(books, bill, BillState.DISPUTED, _by(answer), disputed_by=_by(answer), claims=())
        return DISPUTED
    if answer.get("action") != "approve":
        raise _to_confirm(bill)
    books.tx.update(bill.model_copy(update={"confirmed_by": _by(answer)}))
    return AGREED


def looked_at(books: Books, bill: SubcontractorBill) -> tuple[Matched, str]:
    """What the bill pays and what is wrong with it; another bill of the supplier with the same content."""
    subcontract, entity = subcontract_of(books, bill), books.entity(bill.entity)
    of_entity = Tolerance(entity.bill_tolerance_hours, entity.bill_tolerance_amount)
    work = work_of(books.tx, bill.project_code, [line.person for line in bill.lines], apart_from=bill.bill_id)
    found = match(bill.lines, work, subcontract, tolerance_of(subcontract, of_entity))
    closed = _closed(books, bill)
    problems = (closed, *found.problems) if closed else found.problems
    return Matched(found.claims, problems, found.twice), same_content(books, bill)


def same_content(books: Books, bill: SubcontractorBill) -> str:
    """The number of another bill of the supplier that asks for the same and is not cancelled; empty when none does."""
    known = books.tx.find(SubcontractorBill, content_hash=bill.content_hash, order=("received_at", "bill_id"))
    others = [one for one in known if one.bill_id != bill.bill_id and one.state is not BillState.CANCELLED]
    earlier = [one for one in others if (one.received_at, one.bill_id) < (bill.received_at, bill.bill_id)]
    return earlier[0].bill_no if earlier else ""


def _closed(books: Books, bill: SubcontractorBill) -> str:
    found = books.tx.find(Engagement, project_code=bill.project_code, limit=1)
    if found and found[0].state not in OPEN_FOR_COST:
        return f"project {bill.project_code} is of an engagement that is {found[0].state}"
    return ""


def _agree(books: Books, bill: SubcontractorBill, found: Matched, answer: Mapping[str, Any]) -> None:
    """Its claims hold the hours from here on. answer: of the person who lets it pass; empty when it matches."""
    let_pass = {"accepted_by": _by(answer), "accepted_why": str(answer.get("why", ""))} if answer else {}
    difference = bill.total - found.worth
    moved(books, bill, BillState.MATCHED, _by(answer), claims=found.claims, difference=difference, **let_pass)


def _by(answer: Mapping[str, Any]) -> str:
    return str(answer.get("by", ""))


def _dispute(bill: SubcontractorBill, found: Matched, *, may_settle: bool) -> NeedsDecision:
    problems = list(found.problems)
    told = f": {'; '.join(problems)}" if problems else ""
    return NeedsDecision(
        "EX-SUBCON-DISPUTE",
        f"bill {bill.bill_no} of {bill.supplier} over {bill.total} {bill.currency} is disputed by"
        f" {bill.disputed_by}{told}",
        queue="procurement",
        money=(bill.total, bill.currency),
        context={
            "bill": bill.bill_id,
            "subcontract": bill.subcontract_no,
            "disputed_by": bill.disputed_by,
            "worth": str(found.worth),
            "problems": problems,
        },
        actions=(*(("settle",) if may_settle else ()), "retry", "cancel"),
    )


def _to_confirm(bill: SubcontractorBill) -> NeedsDecision:
    people = [f"{line.hours} h of {line.person} {line.start} to {line.end}: {line.amount}" for line in bill.lines]
    let_pass = f"; {bill.difference} beyond approved time let pass by {bill.accepted_by}" if bill.accepted_by else ""
    return NeedsDecision(
        "EX-SUBCON-CONFIRM",
        f"bill {bill.bill_no} of {bill.supplier} over {bill.total} {bill.currency} for project {bill.project_code}:"
        f" {'; '.join(people)}{let_pass}",
        queue="pmo",
        money=(bill.total, bill.currency),
        context={
            "bill": bill.bill_id,
            "subcontract": bill.subcontract_no,
            "project": bill.project_code,
            "prepared_by": bill.handed_in_by,
            "lines": people,
            "difference": str(bill.difference),
        },
        actions=("approve", "dispute", "cancel"),
    )
