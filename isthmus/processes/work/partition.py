"""The one door through which billable parts come to be and move: each change is an event that says all of it.

So the balances can be rebuilt from the events alone, and a house test holds every other file away from the parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from isthmus.domain.money import round_quantity
from isthmus.domain.objects import BillablePart
from isthmus.domain.states import PartState, move
from isthmus.runtime.books import Books

EVENT = "billing.part_state_changed"


def add_parts(books: Books, parts: Sequence[BillablePart]) -> None:
    """Parts that are new."""
    books.tx.insert_many(parts)
    books.emit_many(EVENT, [_fact(part, "") for part in parts])


def move_parts(books: Books, parts: Sequence[BillablePart], state: PartState, **changes: Any) -> list[BillablePart]:
    """The parts in another state; changes are facts of that state (invoice_id, reason), never amounts."""
    assert not changes.keys() & {"net", "quantity", "currency", "item_id"}, "a part's amounts never change"
    moved = [move(part, "state", state).model_copy(update=changes) for part in parts]
    books.tx.update_many(moved)
    books.emit_many(EVENT, [_fact(after, str(before.state)) for before, after in zip(parts, moved, strict=True)])
    return moved


def _fact(part: BillablePart, before: str) -> tuple[str, dict[str, Any]]:
    payload = {
        "part": part.part_id,
        "from": before,
        "to": str(part.state),
        "net": str(part.net),
        "quantity": str(part.quantity),
        "currency": part.currency,
        "cap": part.cap_id,
        "invoice": part.invoice_id,
        "reason": part.reason,
    }
    return f"contract:{part.contract_no}", payload


def split_parts(books: Books, part: BillablePart, net: Decimal) -> BillablePart:
    """Replace one part by two that add up to it; returns the one with the given net."""
    quantity = round_quantity(part.quantity * net / part.net)
    move_parts(books, [part], PartState.SUPERSEDED)
    count = len(books.tx.find(BillablePart, item_id=part.item_id))
    first = part.model_copy(
        update={"part_id": f"{part.item_id}/{count + 1}", "net": net, "quantity": quantity, "origin_part": part.part_id}
    )
    rest = part.model_copy(
        update={
            "part_id": f"{part.item_id}/{count + 2}",
            "net": part.net - net,
            "quantity": part.quantity - quantity,
            "origin_part": part.part_id,
        }
    )
    add_parts(books, [first, rest])
    return first
