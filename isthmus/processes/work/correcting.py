"""A correction: what earlier revisions have on paper stays there, and the new revision places only the difference."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.objects import BillableItem, BillablePart
from isthmus.domain.states import PartState
from isthmus.policies.billing import PLACED, as_correction
from isthmus.processes.work.evidence import CORRECTED, OPEN, order_key, place_contract
from isthmus.processes.work.partition import add_parts, move_parts, split_parts
from isthmus.runtime.books import Books


def correct(books: Books, item: BillableItem, earlier: Sequence[BillableItem]) -> BillableItem:
    """The item as a correction of the earlier ones, which hand over whatever no invoice, draft or write-off holds.

    EX-LINE-AMBIGUOUS when it would move billed hours to another line or contract. What was credited to be transferred
    may move: the revision that names another contract is its arrival there.
    """
    parts = books.tx.find(BillablePart, item_id=tuple(e.item_id for e in earlier), order=("part_id",))
    arriving = [p for p in parts if p.state is PartState.TRANSFERRED and p.contract_no != item.contract_no]
    paper = [part for part in parts if part.state in PLACED and part not in arriving]
    held = {part.item_id for part in paper}
    item = _on_the_line_it_corrects(item, [e for e in earlier if e.item_id in held], paper)
    move_parts(books, arriving, PartState.SUPERSEDED, reason=CORRECTED)
    _hand_over(books, earlier, [part for part in parts if part not in arriving])
    corrected = as_correction(item, _sum(p.quantity for p in paper), _sum(p.net for p in paper))
    if corrected.net < 0:
        corrected = _release_given_up(books, corrected, paper)
    for contract_no in sorted({e.contract_no for e in earlier} - {item.contract_no}):
        place_contract(books, contract_no)  # moved away: what was over its caps may have room now
    return corrected


def _on_the_line_it_corrects(
    item: BillableItem, held: Sequence[BillableItem], paper: Sequence[BillablePart]
) -> BillableItem:
    """A credit belongs to the line that was billed; hours that became non-billable are credited there too."""
    if not _sum(p.net for p in paper) and not _sum(p.quantity for p in paper):
        return item
    before = held[-1]
    same_contract = before.contract_no == item.contract_no
    if same_contract and not item.billable:
        return item.model_copy(update={"line_uid": before.line_uid})
    if same_contract and before.line_uid == item.line_uid:
        return item
    raise NeedsDecision(
        "EX-LINE-AMBIGUOUS",
        f"time entry {item.source_key} is on paper for line {before.line_uid} of contract {before.contract_no} and now"
        f" says line {item.line_uid} of {item.contract_no}: set it to zero there and report the hours as a new entry",
        queue="contract-operations",
        money=(_sum(p.net for p in paper), before.currency),
        context={"entry": item.source_key, "lines": [before.line_uid, item.line_uid]},
    )


def _hand_over(books: Books, earlier: Sequence[BillableItem], parts: Sequence[BillablePart]) -> None:
    """Close earlier revisions. One that has no part yet gets a superseded one, so that no one places it later."""
    still_open = [part for part in parts if part.state in OPEN]
    move_parts(books, still_open, PartState.SUPERSEDED, reason=CORRECTED)
    known = {part.item_id for part in parts}
    for item in earlier:
        if item.item_id not in known:
            _insert(books, item, 1, PartState.SUPERSEDED, item.quantity, item.net)


def _insert(
    books: Books, item: BillableItem, number: int, state: PartState, quantity: Decimal, net: Decimal
) -> BillablePart:
    part = BillablePart(
        part_id=f"{item.item_id}/{number}",
        item_id=item.item_id,
        contract_no=item.contract_no,
        quantity=quantity,
        net=net,
        currency=item.currency,
        state=state,
        service_date=item.service_date,
        order_key=order_key(item),
        reason=CORRECTED if state is PartState.SUPERSEDED else "",
    )
    add_parts(books, [part])
    return part


def reunite(books: Books, returned: Sequence[BillablePart]) -> None:
    """Parts have come back from a discarded draft. Where their entry was corrected meanwhile, its newest revision takes
    them over: they and what it gives back are one amount to place, or a credit would go out for hours never billed.
    """
    keys = tuple(sorted({_entry_of(part) for part in returned}))
    found = books.tx.find(BillableItem, source_key=keys, order=("revision",)) if keys else []
    newest = {item.source_key: item for item in found}
    for key, item in sorted(newest.items()):
        older = [part for part in returned if _entry_of(part) == key and part.item_id != item.item_id]
        if older and item.contract_no == older[0].contract_no:
            _take_over(books, item, older)


def _take_over(books: Books, item: BillableItem, older: Sequence[BillablePart]) -> None:
    known = books.tx.find(BillablePart, item_id=item.item_id, order=("part_id",))
    own = [part for part in known if part.state in OPEN]
    move_parts(books, [*older, *own], PartState.SUPERSEDED, reason=CORRECTED)
    quantity, net = _sum(p.quantity for p in [*older, *own]), _sum(p.net for p in [*older, *own])
    if not known:  # it waits for its first place
        quantity, net = quantity + item.quantity, net + item.net
    # From here on the item's parts say what it has to place, no longer its own quantity: that is what CORRECTED means.
    _insert(books, item, len(known) + 1, PartState.SUPERSEDED, Decimal(0), Decimal(0))
    if quantity or net:
        _insert(books, item, len(known) + 2, PartState.READY, quantity, net)


def _entry_of(part: BillablePart) -> str:
    return part.item_id.rsplit("#", 1)[0]


def _release_given_up(books: Books, item: BillableItem, paper: Sequence[BillablePart]) -> BillableItem:
    """Hours that are gone need be neither given up nor transferred: neither ever turns into money given back."""
    for part in reversed([p for p in paper if p.state in (PartState.WRITTEN_OFF, PartState.TRANSFERRED)]):
        released = min(part.net, -item.net)
        if released <= 0:
            break
        gone = split_parts(books, part, released) if released < part.net else part
        move_parts(books, [gone], PartState.SUPERSEDED, reason=CORRECTED)
        item = item.model_copy(update={"net": item.net + gone.net, "quantity": item.quantity + gone.quantity})
    return item


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, Decimal(0))
