"""Hours that were corrected after a bill had paid them: told as a difference, ended by a credit or the next bill."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.states import CaseState
from isthmus.domain.subcontracting import PaidHours, SubcontractorBill
from isthmus.policies.quantities import extend
from isthmus.runtime.books import Books
from isthmus.store.records import Case, OutboxEvent, RunRow
from isthmus.store.shared import last_words
from isthmus.store.tx import Tx

ZERO = Decimal(0)
PROCESS = "subcontract_difference"


def corrected(books: Books, event: OutboxEvent) -> None:
    """Approved time has a new revision: when a bill has paid it, the difference is somebody's to see."""
    tell_differences(books, [str(event.payload["entry"])])


def of_paid_hours(tx: Tx, events: Sequence[OutboxEvent]) -> list[OutboxEvent]:
    """Of many corrections those of hours that a bill has paid."""
    keys = tuple(sorted({str(event.payload["entry"]) for event in events}))
    paid = {one.source_key for one in tx.find(PaidHours, source_key=keys)} if keys else set()
    return [event for event in events if event.payload["entry"] in paid]


def tell_differences(books: Books, keys: Iterable[str]) -> None:
    """Start a run for each of these entries of which more or less is paid than is approved; end those that agree."""
    wanted = tuple(sorted(set(keys)))
    paid = books.tx.find(PaidHours, source_key=wanted, order=("recorded_at", "paid_id")) if wanted else []
    last = last_words(books.tx, {one.source_key for one in paid})
    for key, entry in sorted(last.items()):
        mine = [one for one in paid if one.source_key == key]
        own = f"{key}#{entry.revision}"
        for case in _open(books.tx, key):
            if case.subject != own or not any(left_of(books.tx, key).values()):
                reason = f"{own} is what counts now"
                books.kernel.resolve(books.tx, case.case_no, action="retry", actor="hub", reason=reason, values={})
        if any(left_of(books.tx, key).values()) and books.tx.get(RunRow, f"{PROCESS}/{own}") is None:
            args = {"source_key": key, "revision": entry.revision}
            about = f"contract:{mine[-1].contract_no}"
            books.start(PROCESS, own, args, entity=_entity(books.tx, mine[-1]), correlation_id=about)


def left_of(tx: Tx, source_key: str) -> dict[str, Decimal]:
    """By person, hours of the entry that are approved and not paid; below nothing where more is paid than approved."""
    entry = last_words(tx, [source_key])[source_key]
    left: dict[str, Decimal] = {}
    projects: dict[str, str] = {}
    for one in tx.find(PaidHours, source_key=source_key):
        left[one.person] = left.get(one.person, ZERO) - one.hours
        projects[one.person] = one.project_code
    if entry.person in left and projects[entry.person] == entry.project_code:
        left[entry.person] += entry.hours
    return left


def decide(books: Books, source_key: str, revision: int) -> str:
    """Settled by a credit or a later bill, replaced by a later correction, or let stand by a person. EX-SUBCON-DIFF."""
    entry = last_words(books.tx, [source_key])[source_key]
    if entry.revision != revision:
        return f"{source_key}#{entry.revision} is what counts now"
    left = {person: hours for person, hours in left_of(books.tx, source_key).items() if hours}
    if not left:
        return f"{source_key} is paid as it is approved"
    answer = books.answers.get("EX-SUBCON-DIFF", {})
    if answer.get("action") == "let_stand":
        why, after = str(answer.get("why", "")), {p: str(h) for p, h in left.items()}
        books.audit("bill.let_stand", f"time:{source_key}", actor=str(answer.get("by", "")), reason=why, after=after)
        return f"the difference of {source_key} stands"
    raise _difference(books, source_key, left)


def _difference(books: Books, source_key: str, left: dict[str, Decimal]) -> NeedsDecision:
    paid = books.tx.find(PaidHours, source_key=source_key, order=("recorded_at", "paid_id"))
    last = {one.person: one for one in paid}
    worth = sum((extend(h, last[p].rate, last[p].currency) for p, h in left.items()), ZERO)
    bills = ", ".join(sorted({one.bill_id for one in paid if one.hours > 0}))
    told = "; ".join(
        f"{-hours} h of {person} are paid and no longer approved"
        if hours < 0
        else f"{hours} h of {person} are approved beyond what is paid"
        for person, hours in sorted(left.items())
    )
    return NeedsDecision(
        "EX-SUBCON-DIFF",
        f"time entry {source_key} was corrected after bill {bills} had paid it: {told}; ask the supplier for"
        f" {'a credit' if worth < 0 else 'a bill'} over {abs(worth)} {paid[-1].currency}",
        queue="procurement",
        money=(worth, paid[-1].currency),
        context={"entry": source_key, "bills": bills, "hours": {p: str(h) for p, h in left.items()}},
        actions=("let_stand", "retry"),
    )


def _open(tx: Tx, source_key: str) -> list[Case]:
    found = tx.find(Case, exception="EX-SUBCON-DIFF", state=CaseState.OPEN, order=("case_no",))
    return [case for case in found if case.context.get("entry") == source_key]


def _entity(tx: Tx, paid: PaidHours) -> str:
    bill = tx.get(SubcontractorBill, paid.bill_id)
    assert bill is not None
    return bill.entity
