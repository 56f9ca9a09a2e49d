"""What may be given back of an issued invoice, what becomes of the evidence behind it, and what a client contests.

An invoice is never edited. A credit memo is a document of its own that says which line it credits, why, and where the
evidence goes. It gives back at most what is left of a line and of the invoice, taxed at the rate the line was taxed at,
whatever the rate is today; the credit that takes the rest of a line takes the rest of its tax (INV-10). A dispute is an
amount of a line that is not collected until a person has decided about it. Worked: SC-08.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Literal

from isthmus.domain.errors import BadAmount, BadInput
from isthmus.domain.money import is_exact_amount, round_half_away
from isthmus.domain.objects import BillablePart, Invoice, InvoiceLine
from isthmus.domain.states import DisputeState, PartState

POLICY = "credits/1"
ZERO = Decimal(0)
Reason = Literal["error_rebill", "concession", "dispute_settlement", "duplicate", "tax"]
Disposition = Literal["ready", "written_off", "transferred"]
REASONS: tuple[Reason, ...] = ("error_rebill", "concession", "dispute_settlement", "duplicate", "tax")

# Where the evidence may go for a reason; the first one where nobody says otherwise. An error is billed again, here or
# on another contract; goodwill and what was billed twice are given up.
MAY_GO_TO: dict[Reason, tuple[Disposition, ...]] = {
    "error_rebill": ("ready", "transferred"),
    "concession": ("written_off",),
    "dispute_settlement": ("written_off", "ready"),
    "duplicate": ("written_off",),
    "tax": ("ready",),
}
DISPOSITIONS: dict[Reason, Disposition] = {reason: allowed[0] for reason, allowed in MAY_GO_TO.items()}
# Reasons that free room under caps: what was billed by mistake was never used up. Goodwill was.
RELEASES_CAPS: frozenset[Reason] = frozenset({"error_rebill", "duplicate", "tax"})


@dataclass(frozen=True)
class CreditLine:
    """How much net of which line of the original is given back, and the tax that goes with it. Both are positive, save
    for a line that is negative itself (a deposit drawn, a discount). held: what of the line's holdback goes with it.
    """

    line: InvoiceLine
    net: Decimal
    tax: Decimal
    held: Decimal = ZERO

    @property
    def gross(self) -> Decimal:
        """Net and tax."""
        return self.net + self.tax


def creditable(line: InvoiceLine) -> Decimal:
    """Net of a line that was not given back yet (INV-10)."""
    return line.net - line.credited


def held_left(line: InvoiceLine, balance: Decimal | None = None) -> Decimal:
    """What a line still holds back: less what went back already, and no more than its contract line's balance."""
    left = max(line.held - line.unheld, ZERO)
    return left if balance is None else min(left, max(balance, ZERO))


def give_back_of(line: InvoiceLine, gross: Decimal, held: Decimal, currency: str) -> tuple[Decimal, Decimal]:
    """What evidence worth gross gives back of a line: in net, and of what is held, as the line is divided itself.

    held: what is left of it. The net is at most what is left of the line; gross is at most both together.
    """
    share = min(round_half_away(gross * line.held / (line.net + line.held), currency), held) if line.held else ZERO
    share = max(share, gross - creditable(line))
    return gross - share, share


def credit_lines(
    original: Invoice,
    wanted: Mapping[int, Decimal],
    untaxed: Collection[int] = (),
    held: Mapping[int, Decimal] = MappingProxyType({}),
) -> list[CreditLine]:
    """The lines of a credit memo over these nets by line number; every line in full when nothing is named.

    untaxed: lines whose tax was given back alone (tax_credit): they give back their net without it. held: by line, what
    of its holdback goes with it; the tax of a holdback taxed with the invoice goes where the holdback goes.

    Tax is the original line's in proportion, rounded half away from zero; the credit that takes the rest of a line
    takes the rest of its tax, so that a line credited in pieces is credited to the cent. BadAmount when more is wanted
    than is left of a line or of the invoice, BadInput for a line that is not there.
    """
    lines = {line.number: line for line in original.lines}
    amounts = dict(wanted) or {line.number: creditable(line) for line in original.lines if creditable(line)}
    unknown = sorted(set(amounts) - set(lines))
    if unknown:
        raise BadInput(f"invoice {original.number} has no line {', '.join(map(str, unknown))}")
    found = [_credit(original, lines[n], net, held.get(n, ZERO)) for n, net in sorted(amounts.items())]
    return _within(original, [replace(c, tax=ZERO) if c.line.number in untaxed else c for c in found])


def tax_credit(original: Invoice, numbers: Sequence[int] = ()) -> list[CreditLine]:
    """The tax of lines, and nothing of their net: it should not have been charged (reason tax). All lines unless named.

    BadAmount when a line carries no tax that is left, because something of it was credited with its tax.
    """
    lines = [line for line in original.lines if not numbers or line.number in numbers]
    touched = [line.number for line in lines if line.credited]
    if touched:
        raise BadAmount(
            f"line {touched[0]} of {original.number} was credited with its tax already; credit the rest of it"
        )
    return _within(original, [CreditLine(line, ZERO, line.tax) for line in lines if line.tax])


def _within(original: Invoice, found: list[CreditLine]) -> list[CreditLine]:
    """The lines, if together they give something back and no more than is left of the invoice."""
    gross = sum((line.gross for line in found), ZERO)
    left = original.total - original.credited
    if gross <= 0:
        raise BadAmount(f"nothing is left to credit of invoice {original.number}")
    if gross > left:
        raise BadAmount(
            f"{gross} {original.currency} is more than the {left} that is left of invoice {original.number}"
        )
    return found


def _credit(original: Invoice, line: InvoiceLine, net: Decimal, held: Decimal) -> CreditLine:
    left, sign = creditable(line), -1 if line.net < 0 else 1
    if sign * net <= 0 or not is_exact_amount(net, original.currency):
        raise BadAmount(f"line {line.number} of {original.number}: {net} {original.currency} cannot be credited")
    if sign * net > sign * left:
        raise BadAmount(f"line {line.number} of {original.number}: {net} is more than the {left} that is left of it")
    with_held = line.taxable is not None
    whole = line.net + (line.held if with_held else ZERO)
    before = line.credited + (line.unheld if with_held else ZERO)
    after = before + net + (held if with_held else ZERO)
    tax = _tax_of(line, after, whole, original.currency) - _tax_of(line, before, whole, original.currency)
    return CreditLine(line, net, tax, held)


def _tax_of(line: InvoiceLine, amount: Decimal, whole: Decimal, currency: str) -> Decimal:
    """Tax on the first amount of a line: the whole line has the whole tax."""
    return line.tax if amount == whole else round_half_away(line.tax * amount / whole, currency)


def gross_of(line: InvoiceLine, net: Decimal, currency: str) -> Decimal:
    """Net of a line with the tax that goes with it: what of the receivable a client contests."""
    return net + _tax_of(line, net, line.net, currency)


# -- what becomes of the evidence ------------------------------------------------------------------------------


def disposition_for(reason: str, wanted: str = "") -> Disposition:
    """Where the evidence of a credit goes. BadInput for an unknown reason, or a place that reason does not allow."""
    known = {str(name): name for name in REASONS}
    if reason not in known:
        raise BadInput(f"{reason!r} is no reason for a credit; there are: {', '.join(REASONS)}")
    allowed = {str(place): place for place in MAY_GO_TO[known[reason]]}
    if not wanted:
        return DISPOSITIONS[known[reason]]
    if wanted not in allowed:
        raise BadInput(f"evidence of a credit for {reason} goes to {' or '.join(allowed)}, not to {wanted!r}")
    return allowed[wanted]


def cap_released(reason: Reason, disposition: Disposition, net: Decimal) -> Decimal:
    """How much room under the caps of the contract a credit gives back.

    A mistake never used the cap, and what is billed again takes its room anew as ready evidence. A concession was
    delivered and billed: the cap stays used. What moved to another contract is not this one's any more.
    """
    return net if reason in RELEASES_CAPS or disposition == "transferred" else ZERO


def parts_to_credit(parts: Sequence[BillablePart], net: Decimal) -> list[tuple[BillablePart, Decimal]]:
    """Which invoiced parts of a line give back how much so that exactly net comes back, newest first.

    Parts of the other sign stay as they are: what gave money back to the client is only taken back with a line that
    did. BadAmount when there is less.
    """
    sign = -1 if net < 0 else 1
    left, chosen = sign * net, []
    for part in sorted(parts, key=lambda p: (p.order_key, p.part_id), reverse=True):
        if left <= 0:
            break
        if part.state is not PartState.INVOICED or sign * part.net <= 0:
            continue
        taken = min(sign * part.net, left)
        chosen.append((part, sign * taken))
        left -= taken
    if left > 0:
        raise BadAmount(f"only {net - sign * left} of {net} is there to credit")
    return chosen


# -- what a client contests ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contested:
    """What of a line is in dispute: net, and gross with its tax, in the invoice's currency."""

    net: Decimal
    gross: Decimal


def contest(invoice: Invoice, number: int, net: Decimal | None = None) -> Contested:
    """What a client contests of a line: all that is neither credited nor contested yet, or an amount of it.

    BadInput for a line that is not there, BadAmount for more than that, or for nothing.
    """
    found = [line for line in invoice.lines if line.number == number]
    if not found:
        raise BadInput(f"invoice {invoice.number} has no line {number}")
    line = found[0]
    left = creditable(line) - line.disputed
    amount = left if net is None else net
    if not ZERO < amount <= left or not is_exact_amount(amount, invoice.currency):
        raise BadAmount(f"line {number} of {invoice.number}: {amount} cannot be contested, {left} is left of it")
    return Contested(amount, gross_of(line, amount, invoice.currency))


def dispute_outcome(contested: Decimal, credited: Decimal) -> DisputeState:
    """How a dispute ends that is decided by a credit of this net: upheld, in part, or rejected.

    BadAmount for a credit below nothing or above what is contested.
    """
    if not ZERO <= credited <= contested:
        raise BadAmount(f"{credited} cannot be credited of {contested} contested")
    if credited == contested:
        return DisputeState.UPHELD
    return DisputeState.PARTIALLY_UPHELD if credited else DisputeState.REJECTED


def to_collect(invoice: Invoice) -> Decimal:
    """What is dunned for: the open amount without what is in dispute. It is never below nothing."""
    return max(invoice.open - invoice.disputed, ZERO)
