"""What an approved expense is billed at, and why.

The base is what the expense cost the firm: gross less the worker's own part, less tax the firm gets back; tax that is
not recovered is cost. The base is converted to the contract's currency, then marked up by category. A per diem and a
distance are worked out from the terms, whatever amount was entered. A disbursement is paid in the client's name: it is
passed on as it was, tax included, without markup, outside the firm's own tax. What lacks a receipt is priced and held.

Whether the worker is reimbursed is another question and not asked here. Worked: SC-21.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from isthmus.domain.errors import BadInput, NeedsDecision
from isthmus.domain.money import round_half_away
from isthmus.domain.periods import FxRate
from isthmus.domain.terms import ExpenseTerms, FxPolicy, PerDiem
from isthmus.domain.work import Expense
from isthmus.policies.fx import AGREED, FxTable, check_alive, convert, rate_day

POLICY = "expenses/1"
ZERO, WHOLE = Decimal(0), Decimal(100)


@dataclass(frozen=True)
class ExpensePrice:
    """An expense as it is billed.

    cost: net of recoverable tax and of the worker's own part, in cost_currency; base: the cost in the contract's
    currency; markup, net: in the contract's currency, net = base + markup = round(quantity * unit_price). quantity: 1,
    or the distance. hold: a reason why it waits (RECEIPT_MISSING), or empty. billable False: it keeps its cost and is
    worth nothing. disbursement: paid in the client's name, not taxed again.
    """

    cost: Decimal
    cost_currency: str
    base: Decimal
    markup: Decimal
    net: Decimal
    quantity: Decimal
    unit_price: Decimal
    hold: str = ""
    billable: bool = True
    disbursement: bool = False
    trace: dict[str, Any] = field(default_factory=dict)


def currency_of(expense: Expense, terms: ExpenseTerms, currency: str) -> str:
    """The currency an expense costs in: of the allowance for a per diem, of the contract for a distance."""
    if expense.per_diem_day:
        return _per_diem(expense, terms).currency
    return currency if expense.distance is not None else expense.currency


def price_expense(
    expense: Expense, terms: ExpenseTerms, currency: str, rate: FxTable | FxRate | Decimal | None = None
) -> ExpensePrice:
    """What an expense is billed at under the terms of its line, in the contract's currency.

    rate: units of the contract's currency for one of ``currency_of`` the expense on the day its terms ask for, or the
    table to look it up in; needed when they differ and the terms do not say "card" and bring a card rate, or "fixed".
    Raises NeedsDecision EX-FX-RATE without one, EX-RATE-MISSING for a per diem or a distance the terms have no rate
    for, and BadInput for a currency that is no more or a markup on a disbursement.
    """
    cost_currency = check_alive(currency_of(expense, terms, currency), expense.expense_date)
    cost, how = _cost(expense, terms, cost_currency)
    applied, rate_told = _rate(expense, terms, cost_currency, currency, rate)
    base = cost if cost_currency == currency else convert(cost, cost_currency, currency, applied)
    disbursement = expense.category in terms.disbursements
    percent = terms.markup_percent.get(expense.category, ZERO)
    if disbursement and percent:
        raise BadInput(f"{expense.category} is a disbursement and has a markup of {percent} %: it can only be one")
    billable, why = _billable(expense, terms)
    quantity, unit_price = _unit(expense, terms, base, percent, currency)
    net = round_half_away(quantity * unit_price, currency) if billable else ZERO
    trace = {
        "policy": POLICY,
        "reason": why or how,
        "cost": f"{cost} {cost_currency}",
        "base": str(base),
        "markup_percent": str(percent),
        **rate_told,
    }
    return ExpensePrice(
        cost=cost,
        cost_currency=cost_currency,
        base=base,
        markup=net - base if billable else ZERO,
        net=net,
        quantity=quantity,
        unit_price=unit_price if billable else ZERO,
        hold="RECEIPT_MISSING" if billable and lacks_receipt(expense, terms) else "",
        billable=billable,
        disbursement=disbursement,
        trace=trace,
    )


def _unit(
    expense: Expense, terms: ExpenseTerms, base: Decimal, percent: Decimal, currency: str
) -> tuple[Decimal, Decimal]:
    """Quantity and unit price, markup included: so much a kilometre, or one of what it came to."""
    if expense.distance is not None and terms.mileage_rate is not None and not expense.per_diem_day:
        return expense.distance, terms.mileage_rate * (1 + percent / WHOLE)
    return Decimal(1), base + round_half_away(base * percent / WHOLE, currency)


def _billable(expense: Expense, terms: ExpenseTerms) -> tuple[bool, str]:
    if not expense.billable:
        return False, "reported as not billable"
    if terms.billable and expense.category not in terms.billable:
        return False, f"category {expense.category} is not billed under these terms"
    return True, ""


def lacks_receipt(expense: Expense, terms: ExpenseTerms) -> bool:
    """True when the terms ask for a receipt of this amount and there is none. Allowances need none."""
    if expense.per_diem_day or expense.distance is not None or terms.receipt_from is None:
        return False
    return expense.gross >= terms.receipt_from and not (expense.receipt_ref or expense.receipt_hash)


def _cost(expense: Expense, terms: ExpenseTerms, currency: str) -> tuple[Decimal, str]:
    """What it cost, in its currency, and in words how that came about."""
    if expense.per_diem_day:
        return _day_allowance(expense, _per_diem(expense, terms))
    if expense.distance is not None:
        if terms.mileage_rate is None:
            raise _no_rate(expense, f"{expense.distance} of distance", "mileage_rate")
        amount = round_half_away(expense.distance * terms.mileage_rate, currency)
        return amount, f"{expense.distance} at {terms.mileage_rate}"
    spent = expense.gross - expense.personal
    if expense.category in terms.disbursements:
        return spent, "paid in the client's name, as it was"
    # The firm recovers the tax of its own part only; the worker's part carries its share of it.
    recovered = ZERO
    if expense.tax_recoverable and expense.gross:
        recovered = round_half_away(expense.tax * spent / expense.gross, currency)
    return spent - recovered, f"gross {expense.gross} less {expense.personal} own, less {recovered} recoverable tax"


def _per_diem(expense: Expense, terms: ExpenseTerms) -> PerDiem:
    allowance = terms.per_diems.get(expense.location)
    if allowance is None:
        raise _no_rate(expense, f"a day in {expense.location or '(no location)'}", "per_diems")
    return allowance


def _day_allowance(expense: Expense, terms: PerDiem) -> tuple[Decimal, str]:
    """A day's allowance: the share of a travel day, less a percentage of a whole day for each meal provided."""
    travels = expense.per_diem_day in ("first", "last")
    share = terms.travel_day_percent if travels else WHOLE
    meals = {"breakfast": terms.breakfast_percent, "lunch": terms.lunch_percent, "dinner": terms.dinner_percent}
    amount = round_half_away(terms.daily * share / WHOLE, terms.currency)
    for meal in sorted(set(expense.meals_provided)):
        amount -= round_half_away(terms.daily * meals[meal] / WHOLE, terms.currency)
    given = f" less {', '.join(sorted(set(expense.meals_provided)))}" if expense.meals_provided else ""
    return max(amount, ZERO), f"{expense.per_diem_day} day in {expense.location}: {share} % of {terms.daily}{given}"


def _rate(
    expense: Expense, terms: ExpenseTerms, cost_currency: str, currency: str, rate: FxTable | FxRate | Decimal | None
) -> tuple[Decimal, dict[str, str]]:
    """The rate that applies and where it is from: the card's, the agreed one, or the one that was looked up."""
    if cost_currency == currency:
        return Decimal(1), {}
    if terms.fx.rate_type == "card" and expense.card_rate is not None:
        return expense.card_rate, {"fx_rate": str(expense.card_rate), "fx_source": "card settlement"}
    if terms.fx.rate_type == "fixed" and terms.fx.fixed_rate is not None:
        return terms.fx.fixed_rate, {"fx_rate": str(terms.fx.fixed_rate), "fx_source": AGREED}
    if isinstance(rate, FxTable):
        day = rate_day(terms.fx, service_date=expense.expense_date, expense_date=expense.expense_date)
        rate = rate.rate(published(terms.fx), cost_currency, currency, day)
    if isinstance(rate, FxRate):
        if (rate.from_currency, rate.to_currency) != (cost_currency, currency):
            raise BadInput(f"a rate from {rate.from_currency} to {rate.to_currency} is none from {cost_currency}")
        told = {"fx_rate": str(rate.rate), "fx_type": rate.rate_type, "fx_date": str(rate.day)}
        return rate.rate, {**told, "fx_source": rate.source}
    if rate is None:
        raise NeedsDecision(
            "EX-FX-RATE",
            f"expense {expense.key} of {expense.expense_date} is in {cost_currency}: no rate to {currency}",
            queue="finance-master-data",
            money=(expense.gross, expense.currency),
            context={
                "expense": expense.key,
                "from": cost_currency,
                "to": currency,
                "rate_type": published(terms.fx).rate_type,
                "day": str(rate_day(terms.fx, service_date=expense.expense_date, expense_date=expense.expense_date)),
            },
            actions=("enter", "retry", "cancel"),
        )
    return rate, {"fx_rate": str(rate)}


def published(policy: FxPolicy) -> FxPolicy:
    """The policy of what is looked up: where a card's own rate is not there, what the bank published is the next best
    that can be proved.
    """
    return policy.model_copy(update={"rate_type": "ecb"}) if policy.rate_type == "card" else policy


def _no_rate(expense: Expense, what: str, term: str) -> NeedsDecision:
    return NeedsDecision(
        "EX-RATE-MISSING",
        f"expense {expense.key}: the terms have no rate for {what}",
        queue="pricing",
        context={"expense": expense.key, "term": term},
    )
