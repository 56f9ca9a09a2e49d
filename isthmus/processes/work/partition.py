"""The one door through which billable parts come to be and move: each change is an event that says all of it.

So the balances can be rebuilt from the events alone, and a house test holds every other file away from the parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from isthmus.domain.money import round_quantity
from isthmus.domain.objects import BillablePart
from isthmus.domain.part_events import MANY
from isthmus.domain.part_events import ONE as EVENT
from isthmus.domain.states import PartState, move
from isthmus.runtime.books import Books

PARTS_PER_EVENT = 1000

Way = tuple[PartState, ...]  # the states a new part has gone through within one transaction, the last is where it is
Group = tuple[Way, str, str]  # the way, the cap and the reason of parts that have these in common
NewPart = tuple[str, str, Decimal, Decimal, date, str]  # part, item, quantity, net, service date, order key


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


@dataclass(frozen=True)
class Billed:
    """New parts of one contract that a month end has placed and put on one invoice, all at once."""

    contract_no: str
    entity: str
    invoice_id: str
    currency: str
    payer: str
    po_number: str
    parts: Mapping[Group, Sequence[NewPart]]


def add_billed(books: Books, several: Sequence[Billed]) -> int:
    """Parts of many contracts, written in one go; their events tell of up to PARTS_PER_EVENT at a time."""
    books.tx.copy(BillablePart, (row for billed in several for row in _rows(billed)))
    for billed in several:
        books.emit_many(MANY, list(_facts(billed)), entity=billed.entity)
    return sum(len(parts) for billed in several for parts in billed.parts.values())


def _rows(billed: Billed) -> Iterator[tuple[Any, ...]]:
    """In the order of the fields of BillablePart."""
    contract_no, currency, payer, order = billed.contract_no, billed.currency, billed.payer, billed.po_number
    for (way, cap, reason), parts in billed.parts.items():
        state, invoice = str(way[-1]), billed.invoice_id if PartState.ON_DRAFT in way else ""
        for part, item, quantity, net, day, turn in parts:
            yield (
                part, item, contract_no, quantity, net, currency, state, day, turn,
                cap, reason, "", invoice, "", payer, order,
            )  # fmt: skip


def _facts(billed: Billed) -> Iterator[tuple[str, dict[str, Any]]]:
    for (way, cap, reason), parts in billed.parts.items():
        same = {"way": [str(s) for s in way], "currency": billed.currency, "cap": cap, "reason": reason}
        for start in range(0, len(parts), PARTS_PER_EVENT):
            some = [[part[0], str(part[3]), str(part[2])] for part in parts[start : start + PARTS_PER_EVENT]]
            yield f"contract:{billed.contract_no}", {**same, "invoice": billed.invoice_id, "parts": some}


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
