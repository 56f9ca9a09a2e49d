"""Tax worked out from nets and rates: by category as EN 16931 does, or line by line as US engines do.

By category: tax = round(sum of the nets * rate), half away from zero (BR-CO-17, BR-S-09); where a system needs tax per
line, the category's tax is put on its lines by largest remainder, so that they add up to it. By line: each line's tax
is rounded and the category is their sum. The two differ by cents (40.80, 1.98 and 14.99 at 6.5 % and 2.5 %: 5.19 by
line, 5.20 by category), so which one applies is the regime's and declared, never a matter of taste.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from isthmus.domain.errors import BadInput
from isthmus.domain.money import allocate_exact, is_exact_amount, round_half_away
from isthmus.domain.objects import TaxCategory

POLICY = "tax_amounts/1"
ZERO = Decimal(0)
Rounding = Literal["line", "category"]


@dataclass(frozen=True)
class Taxable:
    """What one rate falls on: a line by its number, its net, the category (or jurisdiction) and the rate (0.21).

    A line that several jurisdictions tax is there once for each. reason: why, where no tax falls on it.
    """

    number: int
    net: Decimal
    code: str
    rate: Decimal
    reason: str = ""


@dataclass(frozen=True)
class Taxed:
    """The tax of a document: by category and rate, by line number, and in all. Both add up to the whole."""

    breakdown: tuple[TaxCategory, ...]
    line_taxes: Mapping[int, Decimal]
    tax: Decimal


def work_out(rows: Sequence[Taxable], currency: str, rounding: Rounding) -> Taxed:
    """The tax of a document's lines."""
    groups: dict[tuple[str, Decimal], list[Taxable]] = {}
    for row in rows:
        groups.setdefault((row.code, row.rate), []).append(row)
    line_taxes = dict.fromkeys((row.number for row in rows), ZERO)
    breakdown = []
    for (code, rate), members in sorted(groups.items(), key=lambda group: group[0]):
        shares = _shares([row.net for row in members], rate, currency, rounding)
        for row, share in zip(members, shares, strict=True):
            line_taxes[row.number] += share
        taxable, tax = sum((row.net for row in members), ZERO), sum(shares, ZERO)
        reason = next((row.reason for row in members if row.reason), "")
        breakdown.append(TaxCategory(code=code, rate=rate, taxable=taxable, tax=tax, reason=reason))
    return Taxed(tuple(breakdown), line_taxes, sum((category.tax for category in breakdown), ZERO))


def _shares(nets: Sequence[Decimal], rate: Decimal, currency: str, rounding: Rounding) -> list[Decimal]:
    if rounding == "line":
        return [round_half_away(net * rate, currency) for net in nets]
    tax = round_half_away(sum(nets, ZERO) * rate, currency)
    return allocate_exact(tax, [net * rate for net in nets], currency)


@dataclass(frozen=True)
class Totals:
    """The totals of a document as EN 16931 names them; the business terms are in brackets.

    lines (BT-106), allowances (BT-107), charges (BT-108), net (BT-109), tax (BT-110), gross (BT-112), paid (BT-113),
    rounding (BT-114), due (BT-115).
    """

    lines: Decimal
    allowances: Decimal
    charges: Decimal
    net: Decimal
    tax: Decimal
    gross: Decimal
    paid: Decimal
    rounding: Decimal
    due: Decimal


def totals(
    line_nets: Iterable[Decimal],
    breakdown: Iterable[TaxCategory],
    currency: str,
    *,
    allowances: Iterable[Decimal] = (),
    charges: Iterable[Decimal] = (),
    paid: Decimal = ZERO,
    rounding: Decimal = ZERO,
) -> Totals:
    """BR-CO-10 to BR-CO-16: sums of amounts that are rounded already, nothing is rounded again.

    BadInput when an amount does not fit its currency or the breakdown taxes another base than the document's net.
    """
    lines, off, on = (sum(amounts, ZERO) for amounts in (line_nets, allowances, charges))
    categories = list(breakdown)
    net, tax = lines - off + on, sum((category.tax for category in categories), ZERO)
    taxable = sum((category.taxable for category in categories), ZERO)
    if taxable != net:
        raise BadInput(f"the tax breakdown is of {taxable} {currency}, the document of {net}")
    found = Totals(lines, off, on, net, tax, net + tax, paid, rounding, net + tax - paid + rounding)
    for name, amount in vars(found).items():
        if not is_exact_amount(amount, currency):
            raise BadInput(f"{name} of {amount} is no amount of {currency}")
    return found
