"""Steps of a write-down: what is ready is billed at less than it is worth, agreed before the invoice.

A write-off gives work up, newest first; a write-down brings all that would be billed to a value, each piece by its
share. Either is a move of parts, never an edit: what is taken off stays as written off, with its own reason, and a
correction of the work finds it there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from isthmus.domain.errors import BadInput, NeedsDecision
from isthmus.domain.money import is_exact_amount
from isthmus.domain.objects import BillablePart
from isthmus.domain.states import PartState
from isthmus.policies.billing import write_down_shares
from isthmus.processes.work.drafting import latest_version
from isthmus.processes.work.evidence import place_contract
from isthmus.processes.work.partition import move_parts, split_parts
from isthmus.runtime.books import Books
from isthmus.store.records import Case

CASE = "EX-WRITE-DOWN"
REASON = "write-down: "  # how the reason of such a part begins: it is told apart from work that was given up
ZERO = Decimal(0)


@dataclass(frozen=True)
class WriteDown:
    """What is ready up to a day of service is to be billed at this net, and why."""

    contract_no: str
    down_to: Decimal
    cutoff: date
    reason: str


def ask(books: Books, wanted: WriteDown, requested_by: str) -> Decimal:
    """What is taken off. EX-WRITE-DOWN until another person agrees, by the entity's approval matrix (write_down).

    BadInput for a value that is no less than what is ready, and while work is over a cap: the room would be filled.
    """
    if books.answers.get(CASE, {}).get("action") == "approve":
        return _agreed(books)
    off, worth = _taken_off(books, wanted)
    version = latest_version(books, wanted.contract_no)
    percent = (off / worth * 100).quantize(Decimal("0.1"))
    raise NeedsDecision(
        CASE,
        f"{requested_by} asks to bill {wanted.down_to} {version.currency} of contract {wanted.contract_no} for work"
        f" worth {worth} up to {wanted.cutoff}: {off} less ({percent} %): {wanted.reason}",
        queue="finance",
        money=(off, version.currency),
        context={
            "contract": wanted.contract_no,
            "prepared_by": requested_by,
            "reason": wanted.reason,
            "worth": str(worth),
            "down_to": str(wanted.down_to),
        },
        actions=("approve", "cancel"),
    )


def _agreed(books: Books) -> Decimal:
    """The very amount that was approved, whatever has become ready meanwhile."""
    cases = books.tx.find(Case, run_id=books.run_id, exception=CASE, order=("opened_at", "case_no"))
    amount = cases[-1].amount
    assert amount is not None
    return amount


def _taken_off(books: Books, wanted: WriteDown) -> tuple[Decimal, Decimal]:
    version = latest_version(books, wanted.contract_no)
    place_contract(books, wanted.contract_no)
    worth = sum((part.net for part in _ready(books, wanted)), ZERO)
    off = worth - wanted.down_to
    if wanted.down_to < 0 or off <= 0 or not is_exact_amount(wanted.down_to, version.currency):
        told = f"{worth} {version.currency} of contract {wanted.contract_no} is ready up to {wanted.cutoff}"
        raise BadInput(f"{told}: it cannot be written down to {wanted.down_to}")
    if books.tx.find(BillablePart, contract_no=wanted.contract_no, state=PartState.OVER_CAP, limit=1):
        raise BadInput(
            f"contract {wanted.contract_no} has work over a cap, which would take the room of what is written down:"
            " write that off first, or have the cap raised"
        )
    return off, worth


def _ready(books: Books, wanted: WriteDown) -> list[BillablePart]:
    parts = books.tx.find(BillablePart, contract_no=wanted.contract_no, state=PartState.READY)
    due = [part for part in parts if part.service_date <= wanted.cutoff]
    return sorted(due, key=lambda part: (part.order_key, part.part_id))


def write_down(books: Books, wanted: WriteDown, off: Decimal) -> str:
    """Take exactly the agreed amount off what is ready now, each part by its share, in hours as in money."""
    books.tx.lock(f"contract:{wanted.contract_no}")
    parts = {part.part_id: part for part in _ready(books, wanted)}
    currency = latest_version(books, wanted.contract_no).currency
    for part_id, net in write_down_shares([(p.part_id, p.net) for p in parts.values()], off, currency):
        part = parts[part_id]
        piece = split_parts(books, part, net) if net < part.net else part
        move_parts(books, [piece], PartState.WRITTEN_OFF, reason=f"{REASON}{wanted.reason}")
    place_contract(books, wanted.contract_no)
    facts = {"amount": str(off), "down_to": str(wanted.down_to), "reason": wanted.reason}
    books.emit("write_down.approved", f"contract:{wanted.contract_no}", facts)
    books.audit("part.write_down", f"contract:{wanted.contract_no}", reason=wanted.reason, after=facts)
    return f"{off} taken off"
