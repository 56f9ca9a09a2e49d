"""What is taken off: percentages of items, amounts off an invoice, volume tiers, early payment. Never below the floor.

Each discount is rounded for itself (R0.2) and shown beside the extended amount, never hidden in the price. A discount
of an item is calculated on what the ones before it left. A reversal of the item mirrors its discount.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

from isthmus.domain.money import round_half_away
from isthmus.domain.terms import Discount, Tier
from isthmus.policies.quantities import extend

POLICY = "discounts/1"
PER_ITEM = ("percent", "volume_prospective", "volume_retroactive")
VOLUME = ("volume_prospective", "volume_retroactive")


@dataclass(frozen=True)
class Discounted:
    """An item after its discounts: extended - discount = net. steps: kind and amount of each, the floor last."""

    net: Decimal
    discount: Decimal
    steps: tuple[tuple[str, Decimal], ...] = ()


def discount_item(
    discounts: Sequence[Discount],
    *,
    extended: Decimal,
    quantity: Decimal,
    currency: str,
    floor: Decimal | None = None,
    before: Decimal = Decimal(0),
) -> Discounted:
    """The discounts of one item, in the order of the terms.

    floor: the least an hour of it may cost. before: what the line has come to before this item, before volume
    discounts; tiers are read from it. Where the floor binds, the last step takes back what goes below it.
    """
    left = extended
    steps: list[tuple[str, Decimal]] = []
    for discount in discounts:
        if discount.kind in PER_ITEM:
            off = _off(discount, left, before, currency)
            steps.append((discount.kind, off))
            left -= off
    least = _floored(extended, quantity, floor, currency)
    if abs(left) < abs(least):
        steps.append(("floor", left - least))
        left = least
    return Discounted(left, extended - left, tuple(steps))


def _off(discount: Discount, amount: Decimal, before: Decimal, currency: str) -> Decimal:
    if discount.kind == "volume_prospective":  # as a difference of totals, items add up to the tiers' discount exactly
        totals = (before + amount, before)
        after, earlier = (round_half_away(_tiered(discount.tiers, total), currency) for total in totals)
        return after - earlier
    percent = discount.percent if discount.kind == "percent" else _percent_at(discount.tiers, before)
    return round_half_away(amount * percent / 100, currency)


def _floored(extended: Decimal, quantity: Decimal, floor: Decimal | None, currency: str) -> Decimal:
    """The least the item may come to: its hours at the floor; a price that is below it already is not raised."""
    if floor is None:
        return Decimal(0)
    return min(extend(quantity, floor, currency), extended, key=abs)


# -- volume ----------------------------------------------------------------------------------------------------


def _percent_at(tiers: Sequence[Tier], total: Decimal) -> Decimal:
    """The percentage of the highest tier that a total has reached."""
    reached = [tier.percent for tier in sorted(tiers, key=lambda t: t.from_net) if tier.from_net <= total]
    return reached[-1] if reached else Decimal(0)


def _tiered(tiers: Sequence[Tier], total: Decimal) -> Decimal:
    """Each tier's percentage on what of the total lies within the tier, not rounded."""
    steps = sorted(tiers, key=lambda t: t.from_net)
    ends = [tier.from_net for tier in steps[1:]] + [max(total, Decimal(0))]
    within = (max(min(total, end) - tier.from_net, Decimal(0)) for tier, end in zip(steps, ends, strict=True))
    return sum((part * tier.percent / 100 for tier, part in zip(steps, within, strict=True)), Decimal(0))


def retroactive_credit(
    discount: Discount,
    *,
    before: Decimal,
    after: Decimal,
    granted: Decimal,
    currency: str,
    least: Decimal | None = None,
) -> Decimal:
    """What the next invoice credits because a retroactive tier was crossed; negative when a correction fell back.

    before and after: what the line had come to at the last invoice and comes to now, before volume discounts. granted:
    volume discount of all of it so far. least: what all of it is worth at floor prices; the credit stops there.
    """
    if discount.kind != "volume_retroactive":
        return Decimal(0)
    percent = _percent_at(discount.tiers, after)
    if percent == _percent_at(discount.tiers, before):
        return Decimal(0)
    due = round_half_away(after * percent / 100, currency)
    return (due if least is None else min(due, max(after - least, Decimal(0)))) - granted


def volume_off(discounts: Sequence[Discount], total: Decimal, currency: str, least: Decimal | None = None) -> Decimal:
    """The volume discount on all a line has come to: each tier on what lies within it (prospective), or the tier that
    is reached on everything (retroactive). A function of the total, so the order of the evidence does not matter.

    least: what all of it is worth at floor prices; the discount stops there.
    """
    off = Decimal(0)
    for discount in discounts:
        if discount.kind == "volume_prospective":
            off += round_half_away(_tiered(discount.tiers, total), currency)
        elif discount.kind == "volume_retroactive":
            off += round_half_away(total * _percent_at(discount.tiers, total) / 100, currency)
    return off if least is None else min(off, max(total - least, Decimal(0)))


def at_floor(net: Decimal, quantity: Decimal, floor: Decimal, currency: str) -> Decimal:
    """The least an item of this net may come to: its hours at the floor, and never more than it is."""
    return min(extend(quantity, floor, currency), net)


# -- invoices and payments -------------------------------------------------------------------------------------


def amount_off(discounts: Sequence[Discount], *, net: Decimal, taken: Decimal) -> Decimal:
    """The fixed amounts off an invoice of this net. taken: what the period has had already.

    Never more than the invoice: what a period does not use is lost, and no invoice becomes negative by it.
    """
    agreed = sum((discount.amount for discount in discounts if discount.kind == "amount"), Decimal(0))
    return max(min(agreed - taken, net), Decimal(0))


def early_payment(
    discounts: Sequence[Discount], *, amount: Decimal, issued: date, paid: date, currency: str
) -> Decimal:
    """What a client who pays this amount on that day may keep: the best of the discounts whose days are not over."""
    in_time = [
        discount.percent
        for discount in discounts
        if discount.kind == "early_payment" and paid <= issued + timedelta(days=discount.within_days)
    ]
    return round_half_away(amount * max(in_time, default=Decimal(0)) / 100, currency)


# -- before a contract is set up -------------------------------------------------------------------------------


def check_discounts(discounts: Sequence[Discount]) -> list[str]:
    """What is wrong with the discounts of a line, in words; empty when nothing is."""
    problems = [problem for discount in discounts for problem in _problems(discount)]
    if sum(discount.kind in VOLUME for discount in discounts) > 1:
        problems.append("there is more than one volume discount; their tiers would be read from each other")
    return problems


def _problems(discount: Discount) -> list[str]:
    if discount.kind == "amount":
        return [] if discount.amount > 0 else [f"a discount takes {discount.amount} off"]
    if discount.kind not in VOLUME:
        problems = [] if 0 < discount.percent <= 100 else [f"a discount is {discount.percent} %"]
        if discount.kind == "early_payment" and discount.within_days <= 0:
            problems.append(f"an early payment is one within {discount.within_days} days")
        return problems
    starts = [tier.from_net for tier in discount.tiers]
    problems = [f"a tier is {tier.percent} %" for tier in discount.tiers if not 0 <= tier.percent <= 100]
    if not starts or starts[0] < 0 or any(later <= earlier for earlier, later in pairwise(starts)):
        problems.append(f"tiers must rise from 0 on: {', '.join(map(str, starts)) or 'none'}")
    return problems
