"""Figures that a firm is steered by, each with one formula, so that two people get the same number.

Percentages and days have two decimals, halves away from zero. A figure of nothing (no hours available, nothing billed)
is None and never zero: zero would be read as a result. Amounts are in one currency; who asks has converted them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from isthmus.domain.money import round_shown

DECIMALS = 2
HUNDRED = Decimal(100)
ZERO = Decimal(0)


def _ratio(part: Decimal, whole: Decimal, times: Decimal = HUNDRED) -> Decimal | None:
    return None if whole == 0 else round_shown(part * times / whole, DECIMALS)


# -- people --------------------------------------------------------------------------------------------------------


def utilisation(hours: Decimal, available: Decimal) -> Decimal | None:
    """Percent: approved hours of available ones. hours: billable, or for a client, or all, as the figure is named.

    available: capacity less leave and public holidays, by the worker's own calendar. Hours are raw, never as billed.
    """
    return _ratio(hours, available)


def accuracy(told: Decimal, recomputed: Decimal) -> Decimal | None:
    """Percent: how near a figure of a system is to the same figure worked out anew; never below zero."""
    found = _ratio(recomputed - abs(told - recomputed), recomputed)
    return found if found is None else max(found, round_shown(ZERO, DECIMALS))


# -- what work earns -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Realisation:
    """Percent of what work is worth at the rack rate that is billed (billing), and of that, what is paid (collection).

    overall is what is paid of the rack rate, worked out in one step and not as a product of rounded percentages.
    """

    billing: Decimal | None
    collection: Decimal | None
    overall: Decimal | None


def realisation(
    rack_value: Decimal, invoiced: Decimal, conceded: Decimal, credited: Decimal, paid: Decimal
) -> Realisation:
    """All amounts net. conceded: credits given without a right to bill again. credited: all credits. paid: cash."""
    kept = invoiced - credited
    billing, collection = _ratio(invoiced - conceded, rack_value), _ratio(paid, kept)
    overall = None if not rack_value or not kept else _ratio((invoiced - conceded) * paid, rack_value * kept)
    return Realisation(billing, collection, overall)


def effective_rate(revenue: Decimal, hours: Decimal) -> Decimal | None:
    """Revenue an hour, over all hours worked, chargeable or not; two decimals."""
    return _ratio(revenue, hours, Decimal(1))


def margin(revenue: Decimal, *costs: Decimal) -> Decimal | None:
    """Percent of revenue that labour, expenses, subcontractors and other entities of the group leave."""
    return _ratio(revenue - sum(costs, ZERO), revenue)


# -- money that is under way ---------------------------------------------------------------------------------------


def days_sales_outstanding(
    receivables: Decimal, billed: Decimal, days: int, disputed: Decimal = ZERO
) -> Decimal | None:
    """Days of billing that receivables stand for. Both gross, tax included; billed is of the same days.

    disputed: left out of the receivables, for the figure that excludes what clients contest.
    """
    return _ratio(receivables - disputed, billed, Decimal(days))


def days_count_back(receivables: Decimal, billed: Iterable[tuple[int, Decimal]]) -> Decimal | None:
    """The count-back variant: months are taken off the receivables, the latest first, until they are used up.

    billed: days and gross billing of each month, the latest first. None when the months given do not reach that far.
    """
    left, days = receivables, ZERO
    for month_days, amount in billed:
        if left <= amount:
            return round_shown(days + (left * month_days / amount if amount else ZERO), DECIMALS)
        left, days = left - amount, days + month_days
    return None if left > 0 else round_shown(days, DECIMALS)


def unbilled_days(unbilled: Decimal, revenue_of_90_days: Decimal) -> Decimal | None:
    """Days of revenue that work stands for which is not billed: ready, held, deferred, and over a soft cap."""
    return _ratio(unbilled, revenue_of_90_days, Decimal(90))


def lock_up(unbilled: Decimal | None, outstanding: Decimal | None) -> Decimal | None:
    """From work to cash: unbilled days and days sales outstanding; None while one of them is not known."""
    return None if unbilled is None or outstanding is None else unbilled + outstanding


# -- what goes wrong -----------------------------------------------------------------------------------------------


def dispute_rate(disputed: int, issued: int) -> Decimal | None:
    """Percent: invoices with at least one dispute opened in the period, of the invoices issued in it."""
    return _ratio(Decimal(disputed), Decimal(issued))


def first_pass(issued: int, corrected: int) -> Decimal | None:
    """Percent of issued invoices without a credit, a rebill or an upheld dispute within 60 days."""
    return _ratio(Decimal(issued - corrected), Decimal(issued))


def leakage(approved: Decimal, accounted: Decimal, underpriced: Decimal = ZERO) -> tuple[Decimal, Decimal | None]:
    """Amount and percent of approved billable value that is nowhere.

    approved: at the sources, what never came in included. accounted: invoiced, ready, held, deferred, over a cap or
    written off with approval. underpriced: what came in below the rate that resolves. What is ready for too long is at
    risk, and a figure of its own.
    """
    lost = approved - accounted + underpriced
    return lost, _ratio(lost, approved)


# -- time to bill --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TimeToBill:
    """Days from approval to issue: the mean weighted by amount, and within which half and 90 % of parts are."""

    mean: Decimal
    p50: int
    p90: int


def time_to_bill(parts: Iterable[tuple[date, date, Decimal]]) -> TimeToBill | None:
    """Of (approved on, issued on, net) of billed parts. Percentiles by nearest rank."""
    found = [((issued - approved).days, net) for approved, issued, net in parts]
    weight = sum((net for _, net in found), ZERO)
    if not found or weight == 0:
        return None
    days = sorted(day for day, _ in found)
    mean = round_shown(sum((day * net for day, net in found), ZERO) / weight, DECIMALS)
    return TimeToBill(mean, _nearest_rank(days, 50), _nearest_rank(days, 90))


def _nearest_rank(ordered: list[int], percent: int) -> int:
    return ordered[max(-(-percent * len(ordered) // 100), 1) - 1]
