"""Which period an amount is booked in, what a late one needs, and what a period added up to.

The day of the work never changes. What changes is the accounting date: the day itself while its period is open, else
the first day of the earliest open period after it, with a flag that says so. At close, work that is not approved yet is
accrued by the entity's share of its sales value, with its whole cost; the accrual is taken back amount by amount when
the work is approved. What a closed period added up to is kept with a fingerprint, so that a change shows (INV-18).
Worked: SC-04.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, NamedTuple

from isthmus.domain.errors import NeedsDecision, NotPermitted
from isthmus.domain.money import round_half_away
from isthmus.domain.periods import FiscalPeriod, PeriodSnapshot
from isthmus.domain.states import PeriodState, move
from isthmus.policies.proration import first_day, later, month_of

POLICY = "periods/1"
BOOKABLE = frozenset({PeriodState.OPEN, PeriodState.REOPENED})
FINANCE_MAY_BOOK = BOOKABLE | {PeriodState.SOFT_CLOSED}
APPROVALS_TO_REOPEN = 2
MONTHS_AHEAD_MAX = 120


class Booking(NamedTuple):
    """The accounting date of an amount, and whether its own period was closed before it came."""

    accounting_date: date
    prior_period: bool


def is_open(states: Mapping[str, PeriodState], month: str, *, finance: bool = False) -> bool:
    """Whether a month takes new amounts. A month nobody has closed is open; a softly closed one is open to finance."""
    return states.get(month, PeriodState.OPEN) in (FINANCE_MAY_BOOK if finance else BOOKABLE)


def accounting_date(
    service_date: date,
    states: Mapping[str, PeriodState],
    *,
    approved_on: date | None = None,
    rule: Literal["earliest_open", "approval_date"] = "earliest_open",
    finance: bool = False,
) -> Booking:
    """Where an amount of this service day is booked, by the states of the domain's months (YYYY-MM).

    rule approval_date: late amounts are booked on the day they were approved, when that day's period is open. Never
    before the service date. NeedsDecision EX-PERIOD when no later month is open.
    """
    own = month_of(service_date)
    if is_open(states, own, finance=finance):
        return Booking(service_date, False)
    if (
        rule == "approval_date"
        and approved_on is not None
        and month_of(approved_on) > own
        and is_open(states, month_of(approved_on), finance=finance)
    ):
        return Booking(approved_on, True)
    for ahead in range(1, MONTHS_AHEAD_MAX + 1):
        month = later(own, ahead)
        if is_open(states, month, finance=finance):
            return Booking(first_day(month), True)
    raise NeedsDecision(
        "EX-PERIOD", f"no period after {own} is open", queue="controlling", context={"service_date": str(service_date)}
    )


def needs_controller(net: Decimal, booking: Booking, threshold: Decimal) -> bool:
    """True when an amount of a closed period is above the threshold (0: there is none), whatever its sign."""
    return booking.prior_period and threshold > 0 and abs(net) > threshold


def check_prior_period(
    source_key: str, service_date: date, net: Decimal, currency: str, booking: Booking, threshold: Decimal
) -> Booking:
    """The booking, if the controller need not see it first. NeedsDecision EX-PRIOR-PERIOD otherwise."""
    if needs_controller(net, booking, threshold):
        raise NeedsDecision(
            "EX-PRIOR-PERIOD",
            f"{source_key}: {net} {currency} of {service_date}, a closed period, is booked on"
            f" {booking.accounting_date}; above {threshold} the controller sees it first",
            queue="controlling",
            money=(abs(net), currency),
            context={"source": source_key, "booked_on": str(booking.accounting_date)},
            actions=("approve", "cancel"),
        )
    return booking


# -- accruals --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Accrual:
    """What is accrued at close for work that is not approved yet, and taken back when it is."""

    source_key: str
    revenue: Decimal
    cost: Decimal

    @property
    def reversed(self) -> Accrual:
        """The same with the sign turned, amount by amount: a reversal is never worked out anew."""
        return Accrual(self.source_key, -self.revenue, -self.cost)


def accrue(source_key: str, sales_value: Decimal, cost: Decimal, percent: Decimal, currency: str) -> Accrual:
    """Percent of the sales value as revenue, the whole cost: hours are worked whether they are approved or not."""
    return Accrual(source_key, round_half_away(sales_value * percent / 100, currency), cost)


# -- what a period added up to ---------------------------------------------------------------------------------


def snapshot_hash(totals: Mapping[str, str]) -> str:
    """The fingerprint of what a period added up to: the same totals, the same 64 hex digits (SHA-256)."""
    text = json.dumps(dict(sorted(totals.items())), separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def snapshot(
    entity: str, period: str, totals: Mapping[str, str], taken_at: datetime, known: Sequence[PeriodSnapshot] = ()
) -> PeriodSnapshot:
    """What a period adds up to now, as its next version. known: the snapshots of its earlier closes; they stay."""
    mine = [s.version for s in known if (s.entity, s.period) == (entity, period)]
    return PeriodSnapshot(
        entity=entity,
        period=period,
        version=max(mine, default=0) + 1,
        totals=dict(totals),
        content_hash=snapshot_hash(totals),
        taken_at=taken_at,
    )


def changes_since(taken: PeriodSnapshot, totals: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Totals of a closed period that are not what they were, as (then, now); empty when nothing was touched."""
    names = sorted(set(taken.totals) | set(totals))
    pairs = {name: (taken.totals.get(name, ""), totals.get(name, "")) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


# -- opening again ---------------------------------------------------------------------------------------------


def may_reopen(period: FiscalPeriod, approvals: Sequence[str], asked_by: str) -> tuple[str, ...]:
    """The approvals of two persons other than the one who asks, so that a closed period may be opened again.

    NotPermitted when the period is not closed, or when there are fewer.
    """
    persons = sorted({name.strip() for name in approvals if name.strip()} - {asked_by.strip()})
    where = f"{period.entity} {period.domain} {period.period}"
    if period.state is not PeriodState.CLOSED:
        raise NotPermitted(f"{where} is {period.state}, not closed")
    if len(persons) < APPROVALS_TO_REOPEN:
        raise NotPermitted(
            f"{where}: reopening takes {APPROVALS_TO_REOPEN} approvers beside {asked_by or 'who asks'}; there is"
            f" {', '.join(persons) or 'none'}"
        )
    return tuple(persons)


def reopen(period: FiscalPeriod, approvals: Sequence[str], asked_by: str, at: datetime) -> FiscalPeriod:
    """The period open again, with who agreed to it."""
    persons = may_reopen(period, approvals, asked_by)
    told = {"approvals": persons, "changed_by": asked_by, "changed_at": at}
    return move(period, "state", PeriodState.REOPENED).model_copy(update=told)
