"""Why evidence is not billed yet: holds that people place, and those that follow from terms, orders and receipts."""

from __future__ import annotations

from datetime import date

from isthmus.domain.objects import BillableItem, ContractVersion, Hold
from isthmus.policies.caps import ShareHold
from isthmus.policies.holds import order_hold
from isthmus.runtime.books import Books


class Holds:
    """The holds in force on a contract today, asked item by item. A person's hold comes before one of the rules."""

    def __init__(self, books: Books, version: ContractVersion) -> None:
        self._version = version
        today = books.today(version.entity)
        rows = books.tx.find(Hold, contract_no=version.contract_no, released_by="", order=("hold_id",))
        live = [hold for hold in rows if hold.until is None or hold.until > today]
        self._by_source = {hold.source_key: hold for hold in reversed(live) if hold.source_key}
        self._by_line = {hold.line_uid: hold for hold in reversed(live) if not hold.source_key}
        released = books.tx.find(Hold, contract_no=version.contract_no, order=("hold_id",))
        self._waived = {(h.source_key, h.reason) for h in released if h.released_by}

    def on(self, item: BillableItem) -> ShareHold | None:
        """The hold on an item, if there is one."""
        for key in (item.source_key, item.entry_key):
            if key and key in self._by_source:
                return _held(self._by_source[key])
        hold = self._by_line.get(item.line_uid) or self._by_line.get("")
        if hold is not None:
            return _held(hold)
        for rule in (*str(item.price_trace.get("hold", "")).split(), order_hold(item, self._version)):
            if rule and (item.source_key, rule) not in self._waived and (item.entry_key, rule) not in self._waived:
                return ShareHold(reason=rule, hold_id=f"rule:{rule}")
        return None


def _held(hold: Hold) -> ShareHold:
    return ShareHold(reason=hold.reason, hold_id=hold.hold_id, amount=hold.amount, deferred=hold.reason == "DEFERRED")


def place_hold(books: Books, hold: Hold) -> bool:
    """Keep a hold; False when it is known. What it holds is placed anew by the caller."""
    new = books.tx.insert_new(hold)
    if new:
        facts = {"hold": hold.hold_id, "reason": hold.reason, "source": hold.source_key, "line": hold.line_uid}
        books.audit("hold.place", f"contract:{hold.contract_no}", actor=hold.placed_by, after=facts, reason=hold.reason)
    return new


def release_hold(books: Books, hold_id: str, by: str, reason: str) -> Hold | None:
    """End a hold; it stays in the books with who ended it. None when there is none that is still on."""
    hold = books.tx.get(Hold, hold_id)
    if hold is None or hold.released_by:
        return None
    ended = hold.model_copy(update={"released_by": by, "released_at": books.now})
    books.tx.update(ended)
    books.audit("hold.release", f"contract:{hold.contract_no}", actor=by, reason=reason, before={"hold": hold_id})
    return ended


def waive_rule(books: Books, contract_no: str, source_key: str, reason: str, by: str) -> Hold:
    """A person lets pass what a rule would hold (a receipt that is lost): a hold that is released as it is placed."""
    number = books.tx.next(f"waived:{contract_no}")
    hold = Hold(
        hold_id=f"{contract_no}/waived/{number}",
        contract_no=contract_no,
        source_key=source_key,
        reason=reason,
        placed_by=by,
        placed_at=books.now,
        released_by=by,
        released_at=books.now,
    )
    place_hold(books, hold)
    return hold


def day_of(text: str) -> date:
    """A day as it comes in arguments."""
    return date.fromisoformat(text)
