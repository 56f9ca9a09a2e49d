"""Who pays which share of an item: exact to the cent and the fourth decimal of an hour, and reversible share by share.

Rule R0.4: each share is cut toward zero; what is left over goes to the rounding payer, the first unless one is named.
Cut toward zero, a reversal is the mirror of what it reverses (INV-11).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from isthmus.domain.errors import BadInput
from isthmus.domain.money import truncate, truncate_quantity
from isthmus.domain.terms import Payer

POLICY = "splits/1"


@dataclass(frozen=True)
class PayerShare:
    """What one payer gets of an item. bill_to and po_number are empty where the contract names no payers."""

    bill_to: str
    po_number: str
    quantity: Decimal
    net: Decimal


def split(quantity: Decimal, net: Decimal, payers: Sequence[Payer], currency: str) -> list[PayerShare]:
    """One share per payer, in the order of the terms; quantities and nets add up to the item's.

    Without payers the client pays it all. Raises BadInput for payers whose percentages are not 100 in all: the rest
    would silently be the rounding payer's.
    """
    if not payers:
        return [PayerShare("", "", quantity, net)]
    problems = check_payers(payers)
    if problems:
        raise BadInput(f"payers: {'; '.join(problems)}")
    rounding = next((n for n, payer in enumerate(payers) if payer.rounding), 0)
    nets = [truncate(net * payer.percent / 100, currency) for payer in payers]
    quantities = [truncate_quantity(quantity * payer.percent / 100) for payer in payers]
    nets[rounding] += net - sum(nets, Decimal(0))
    quantities[rounding] += quantity - sum(quantities, Decimal(0))
    return [PayerShare(p.bill_to, p.po_number, q, n) for p, q, n in zip(payers, quantities, nets, strict=True)]


def check_payers(payers: Sequence[Payer]) -> list[str]:
    """What is wrong with the payers of a line, in words; empty when they can share it (or when there are none)."""
    if not payers:
        return []
    total = sum((payer.percent for payer in payers), Decimal(0))
    problems = [] if total == 100 else [f"shares add up to {total} %, not to 100 %"]
    problems += [f"{p.bill_to or '(none)'} has a share of {p.percent} %" for p in payers if p.percent <= 0]
    problems += [f"share {n} names nobody to bill" for n, p in enumerate(payers, start=1) if not p.bill_to]
    twice = Counter((p.bill_to, p.po_number) for p in payers)
    problems += [
        f"{bill_to}{f' on order {po}' if po else ''} is named {n} times" for (bill_to, po), n in twice.items() if n > 1
    ]
    rounding = [p.bill_to for p in payers if p.rounding]
    if len(rounding) > 1:
        problems.append(f"{' and '.join(rounding)} are all to take the remainder; one can")
    return problems
