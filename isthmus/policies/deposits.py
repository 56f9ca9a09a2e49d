"""Deposits: money paid in advance, drawn by later invoices, expired or given back.

A *tax deposit* is taxed when it is asked for: the advance invoice carries VAT, and each draw is a negative net line
with VAT on the invoice it is drawn by. A *cash advance* is not: it is drawn from the total after tax, like a payment.
Either can be drawn from payment on (default) or from issue on.

The ledger is append-only: a grant opens a lot, every other movement takes from one (a negative amount whose source_key
is the lot's entry_id) or, without a name, from the lots in order: what expires first goes first. The balance is
granted less drawn, refunded and expired, and never below zero; a draw is at most the balance and at most what it may be
drawn for (INV-12).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

from isthmus.domain.errors import BadInput
from isthmus.domain.money import is_exact_amount, round_half_away
from isthmus.domain.objects import Invoice, InvoiceLine, LedgerEntry
from isthmus.domain.terms import Deposit

POLICY = "deposits/1"
ZERO = Decimal(0)
# The line of a cash advance: outside the scope of tax (EN 16931 category O) until an invoice draws on it.
ADVANCE_CODE, ADVANCE_CATEGORY = "ADVANCE", "O"
ADVANCE_REASON = "Money on account: taxed on the invoices that it pays"


@dataclass(frozen=True)
class Lot:
    """What one grant has left. expires: the last day on which it can be drawn, None when it does not expire."""

    entry_id: str
    granted: Decimal
    left: Decimal
    expires: date | None = None

    def usable(self, day: date) -> bool:
        """True when something of it can be drawn on a day."""
        return self.left > 0 and (self.expires is None or day <= self.expires)


@dataclass(frozen=True)
class Movement:
    """An amount to take from a lot: written to the ledger as a negative entry with source_key = lot."""

    lot: str
    amount: Decimal


@dataclass(frozen=True)
class Draw:
    """What an invoice draws. net_line: the negative line of a tax deposit, taxed like the advance was; settles: what a
    cash advance pays of the total. Exactly one of the two is not zero when something is drawn.
    """

    amount: Decimal
    net_line: Decimal
    settles: Decimal
    movements: tuple[Movement, ...]


def granted(terms: Deposit, *, net: Decimal, total: Decimal, paid: Decimal, currency: str) -> Decimal:
    """What of an issued advance can be drawn in all: everything from issue on, or as far as it is paid.

    net, total: of the advance invoice; paid: so far. A part payment grants its share of the net, the last one the rest.
    The caller grants what exceeds earlier grants of the same advance.
    """
    worth = net if terms.mode == "tax_deposit" else total
    if terms.available == "issued" or paid >= total:
        return worth
    return round_half_away(worth * max(paid, ZERO) / total, currency)


def lots(entries: Iterable[LedgerEntry]) -> list[Lot]:
    """The lots of a deposit in the order in which they are used. BadInput when more was taken than there was."""
    known: list[Lot] = []
    for entry in sorted((e for e in entries if e.ledger == "deposit"), key=_moment):
        if entry.amount >= 0:
            known.append(Lot(entry.entry_id, entry.amount, entry.amount, entry.expires))
            known.sort(key=lambda lot: (lot.expires or date.max, lot.entry_id))
            continue
        named = [lot for lot in known if lot.entry_id == entry.source_key]
        movements = _take(named or known, -entry.amount)
        if sum((m.amount for m in movements), ZERO) != -entry.amount:
            raise BadInput(f"deposit of {entry.contract_no}: {entry.kind} of {-entry.amount} exceeds what is left")
        taken = {m.lot: m.amount for m in movements}
        known = [replace(lot, left=lot.left - taken.get(lot.entry_id, ZERO)) for lot in known]
    return known


def _moment(entry: LedgerEntry) -> tuple[datetime, bool, str]:
    """When an entry counts: what is granted at an instant can be drawn at it."""
    return entry.recorded_at, entry.amount < 0, entry.entry_id


def _take(known: Iterable[Lot], amount: Decimal) -> list[Movement]:
    """Up to an amount from lots in their order."""
    movements = []
    for lot in known:
        taken = min(lot.left, amount)
        if taken > 0:
            movements.append(Movement(lot.entry_id, taken))
            amount -= taken
    return movements


def balance(entries: Iterable[LedgerEntry], day: date) -> Decimal:
    """What can be drawn on a day."""
    return sum((lot.left for lot in lots(entries) if lot.usable(day)), ZERO)


def draw(
    terms: Deposit, entries: Sequence[LedgerEntry], *, net: Decimal, total: Decimal, day: date, currency: str
) -> Draw:
    """What an invoice draws on a day: min(balance, what it may be drawn for).

    net: of the lines the deposit is for; total: what is left to pay after tax. Nothing is drawn for a credit.
    """
    eligible = max(net if terms.mode == "tax_deposit" else total, ZERO)
    if not is_exact_amount(eligible, currency):
        raise BadInput(f"{eligible} {currency} is no amount to draw a deposit for")
    movements = _take((lot for lot in lots(entries) if lot.usable(day)), eligible)
    amount = sum((m.amount for m in movements), ZERO)
    before_tax = terms.mode == "tax_deposit"
    return Draw(amount, -amount if before_tax else ZERO, ZERO if before_tax else amount, tuple(movements))


def on_account(document: Invoice) -> bool:
    """True for a cash advance, and for a credit of one: money on account; nothing is supplied, taxed or earned."""
    return all(line.tax_code == ADVANCE_CODE for line in document.lines)


def drawable(lines: Iterable[InvoiceLine], line_uid: str) -> Decimal:
    """What a cash advance of a contract line may pay of an invoice: that line's net with its tax."""
    mine = [line for line in lines if line.line_uid == line_uid and line.kind != "deposit"]
    return max(sum((line.net + line.tax for line in mine), ZERO), ZERO)


def expired(entries: Iterable[LedgerEntry], day: date) -> list[Movement]:
    """What is past its last day and not drawn: it is revenue (breakage), not the client's any more."""
    return [Movement(lot.entry_id, lot.left) for lot in lots(entries) if lot.left > 0 and not lot.usable(day)]


def refund(entries: Iterable[LedgerEntry], day: date, amount: Decimal | None = None) -> list[Movement]:
    """What is given back of what can still be drawn: all of it, or an amount. BadInput for more than there is.

    A tax deposit is refunded by a credit of its advance with the VAT it carried, a cash advance without.
    """
    usable = [lot for lot in lots(entries) if lot.usable(day)]
    held = sum((lot.left for lot in usable), ZERO)
    wanted = held if amount is None else amount
    if not ZERO < wanted <= held:
        raise BadInput(f"{wanted} cannot be refunded of a deposit of {held}")
    return _take(usable, wanted)
