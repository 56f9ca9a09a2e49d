"""What work costs, and what is charged on from cost: cost plus, and between legal entities.

Cost is priced from raw time, never from rounded time. Cost plus bills cost times one plus markup: at a provisional
markup while the final one is not known, and afterwards the difference item by item. A charge between legal entities is
revenue of the lender and cost of the borrower, the same amount (INV-21); a correction reverses it at its original price
and charges anew.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any

from isthmus.domain.errors import BadInput, NeedsDecision
from isthmus.domain.money import round_half_away
from isthmus.domain.terms import CostPlus, TransferPrice
from isthmus.policies.quantities import extend

POLICY = "costs/1"
ZERO, WHOLE = Decimal(0), Decimal(100)


# -- cost rates ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CostRate:
    """What an hour of a person costs from a day on, up to but not including another day."""

    person: str
    rate: Decimal
    currency: str
    effective_from: date
    effective_to: date | None = None

    def covers(self, day: date) -> bool:
        """Half-open window [effective_from, effective_to)."""
        return self.effective_from <= day and (self.effective_to is None or day < self.effective_to)


def cost_rate_on(rates: Sequence[CostRate], person: str, day: date, currency: str) -> CostRate:
    """The one cost rate of a person on a day, by service date (default) or whichever day the contract names.

    NeedsDecision EX-COST-RATE when there is none, more than one, or none in the currency.
    """
    known = [rate for rate in rates if rate.person == person and rate.covers(day) and rate.currency == currency]
    if len(known) != 1:
        found = f"{len(known)} cost rates" if known else "no cost rate"
        raise NeedsDecision(
            "EX-COST-RATE",
            f"{found} of {person} in {currency} on {day}",
            queue="project-accounting",
            context={"person": person, "day": str(day), "rates": [str(rate.rate) for rate in known]},
        )
    return known[0]


# -- cost plus -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CostPlusPrice:
    """What a cost is billed at. provisional: at the provisional markup, to be trued up."""

    cost: Decimal
    markup_percent: Decimal
    net: Decimal
    provisional: bool


def markup_of(terms: CostPlus, *, final: bool = False) -> Decimal:
    """The percentage that is added: the provisional one where there is one, until the final one is known."""
    return terms.markup_percent if final or terms.provisional_percent is None else terms.provisional_percent


def cost_plus(cost: Decimal, terms: CostPlus, currency: str, *, final: bool = False) -> CostPlusPrice:
    """round(cost * (1 + markup)). final: the final markup is known; without a provisional one it always is."""
    percent, provisional = markup_of(terms, final=final), terms.provisional_percent is not None and not final
    return CostPlusPrice(cost, percent, round_half_away(cost * (1 + percent / WHOLE), currency), provisional)


def true_up(billed: Mapping[str, tuple[Decimal, Decimal]], terms: CostPlus, currency: str) -> dict[str, Decimal]:
    """What each item owes or gets back at the final markup; items without a difference are left out.

    billed: by item, its cost as it is known now and the net that is billed.
    """
    differences = {item: cost_plus(cost, terms, currency, final=True).net - net for item, (cost, net) in billed.items()}
    return {item: difference for item, difference in differences.items() if difference}


# -- between legal entities ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class IntercompanyCharge:
    """What lender charges borrower for one piece of evidence. quantity and amount are negative for a reversal.

    The amount is revenue of the lender and cost of the borrower, in one currency.
    """

    charge_id: str
    lender: str
    borrower: str
    source_key: str
    quantity: Decimal
    price: Decimal
    amount: Decimal
    currency: str
    reversal_of: str = ""
    trace: dict[str, Any] = field(default_factory=dict)


def transfer_price(terms: TransferPrice, *, cost_rate: Decimal | None, bill_rate: Decimal | None) -> Decimal:
    """The price of an hour between two entities. NeedsDecision EX-TRANSFER-PRICE when it would be nothing."""
    if terms.kind == "fixed":
        price = terms.rate
    elif terms.kind == "cost_plus":
        price = (cost_rate or ZERO) * (1 + terms.percent / WHOLE)
    else:
        price = (bill_rate or ZERO) * terms.percent / WHOLE
    if price <= 0:
        raise NeedsDecision(
            "EX-TRANSFER-PRICE",
            f"a transfer price by {terms.kind.replace('_', ' ')} of cost {cost_rate}, bill rate {bill_rate} is {price}",
            queue="project-accounting",
            context={"kind": terms.kind, "percent": str(terms.percent)},
        )
    return price


def charge(
    charge_id: str,
    *,
    lender: str,
    borrower: str,
    source_key: str,
    quantity: Decimal,
    terms: TransferPrice,
    currency: str,
    cost_rate: Decimal | None = None,
    bill_rate: Decimal | None = None,
) -> IntercompanyCharge:
    """What the borrower owes the lender for hours of one entry."""
    if lender == borrower:
        raise BadInput(f"{source_key}: {lender} lends to itself; there is nothing to charge")
    price = transfer_price(terms, cost_rate=cost_rate, bill_rate=bill_rate)
    trace = {"policy": POLICY, "kind": terms.kind, "percent": str(terms.percent), "price": str(price)}
    amount = extend(quantity, price, currency)
    return IntercompanyCharge(charge_id, lender, borrower, source_key, quantity, price, amount, currency, trace=trace)


def mirror(original: IntercompanyCharge, charge_id: str, posted: Collection[str]) -> IntercompanyCharge:
    """The reversal of a charge: the same in everything, with the opposite sign; never priced anew.

    posted: charges the books of both entities have. BadInput for a reversal of a reversal, or before its original is
    posted: it would stand alone in one of the books.
    """
    if original.reversal_of:
        raise BadInput(f"charge {original.charge_id} is itself the reversal of {original.reversal_of}")
    if original.charge_id not in posted:
        raise BadInput(f"charge {original.charge_id} is not posted yet: its reversal waits")
    return replace(
        original,
        charge_id=charge_id,
        quantity=-original.quantity,
        amount=-original.amount,
        reversal_of=original.charge_id,
    )


def eliminated(charges: Sequence[IntercompanyCharge]) -> dict[str, Decimal]:
    """By entity, revenue less cost of all charges; over a group they add up to nothing."""
    sums: dict[str, Decimal] = {}
    for one in charges:
        sums[one.lender] = sums.get(one.lender, ZERO) + one.amount
        sums[one.borrower] = sums.get(one.borrower, ZERO) - one.amount
    return sums
