"""Exchange rates: which one applies, what it gives, and what came of it when the money arrived.

A rate is units of the second currency for one unit of the first. The table is asked for a pair and a day under a policy
(``FxPolicy``): a rate of that very day, or, where the policy allows it, of the last day before it that has one, at most
a week back. So a Saturday has Friday's rate, never Monday's: the rate of a day that is not over is not known on it. A
pair that nobody publishes is inverted or crossed through the pivot of the table, with both legs of the same day.

A currency that has been replaced has no rate from that day on: an amount in it is refused with what replaced it. An
unknown rate is a case, never 1 and never "the nearest".

    table = FxTable(rows)
    rate = table.rate(FxPolicy(), "USD", "EUR", day)
    convert(Decimal("114.00"), "USD", "EUR", rate.rate)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import TypeVar

from isthmus.domain.errors import BadInput, NeedsDecision
from isthmus.domain.money import round_derived_rate, round_half_away
from isthmus.domain.periods import FxRate
from isthmus.domain.terms import FxPolicy

POLICY = "fx/1"
DAYS_BACK_MAX = 7
AGREED = "agreed in the contract"
ZERO, ONE = Decimal(0), Decimal(1)
Key = TypeVar("Key", bound=str | int)


@dataclass(frozen=True)
class Replaced:
    """A currency that is no more. rate: units of it for one unit of what replaced it, fixed for ever."""

    by: str
    since: date
    rate: Decimal


# Currencies of the ECB's table that ended. Euro rates: Council Regulation (EC) No 2866/98 as amended, Article 1; days
# are the day after the last one in the ECB's table. TRL and ROL lost six and four zeros.
REPLACED: dict[str, Replaced] = {
    "SIT": Replaced("EUR", date(2007, 1, 1), Decimal("239.640")),
    "CYP": Replaced("EUR", date(2008, 1, 1), Decimal("0.585274")),
    "MTL": Replaced("EUR", date(2008, 1, 1), Decimal("0.429300")),
    "SKK": Replaced("EUR", date(2009, 1, 1), Decimal("30.1260")),
    "EEK": Replaced("EUR", date(2011, 1, 1), Decimal("15.6466")),
    "LVL": Replaced("EUR", date(2014, 1, 1), Decimal("0.702804")),
    "LTL": Replaced("EUR", date(2015, 1, 1), Decimal("3.45280")),
    "HRK": Replaced("EUR", date(2023, 1, 1), Decimal("7.53450")),
    "BGN": Replaced("EUR", date(2026, 1, 1), Decimal("1.95583")),
    "TRL": Replaced("TRY", date(2005, 1, 1), Decimal("1000000")),
    "ROL": Replaced("RON", date(2005, 7, 1), Decimal("10000")),
}


class FxTable:
    """Rates by type, pair and day. pivot: the currency through which pairs without a rate are crossed."""

    def __init__(self, rows: Iterable[FxRate], pivot: str = "EUR") -> None:
        self._rows = {(row.rate_type, row.from_currency, row.to_currency, row.day): row for row in rows}
        self._pivot = pivot

    def rate(self, policy: FxPolicy, from_currency: str, to_currency: str, day: date) -> FxRate:
        """The rate of a pair for a day. BadInput for a currency that was replaced by then; NeedsDecision EX-FX-RATE
        when the table has no rate that the policy allows.
        """
        found = self.lookup(from_currency, to_currency, day, policy)
        if found is not None:
            return found
        within = f" or on the {_days_back(policy)} days before" if _days_back(policy) else ""
        why = "does not say which" if policy.rate_type == "fixed" else f"has none on {day}{within}"
        raise _no_rate(policy.rate_type, from_currency, to_currency, day, why)

    def lookup(self, from_currency: str, to_currency: str, day: date, policy: FxPolicy) -> FxRate | None:
        """The rate of a pair for a day, None when there is none. BadInput for a currency that was replaced by then."""
        for currency in (from_currency, to_currency):
            check_alive(currency, day)
        if from_currency == to_currency:
            return _made(policy.rate_type, from_currency, to_currency, day, ONE, "same currency")
        if policy.rate_type == "fixed":
            agreed = policy.fixed_rate
            if agreed is None or agreed <= 0:
                return None
            return _made("fixed", from_currency, to_currency, day, agreed, AGREED)
        for back in range(_days_back(policy) + 1):
            found = self._on(policy.rate_type, from_currency, to_currency, day - timedelta(days=back))
            if found is not None:
                return found
        return None

    def _on(self, rate_type: str, from_currency: str, to_currency: str, day: date) -> FxRate | None:
        """As published, else inverted, else crossed; both legs of a cross are of the day."""
        direct = self._leg(rate_type, from_currency, to_currency, day)
        if direct is not None or self._pivot in (from_currency, to_currency):
            return direct
        first = self._rows.get((rate_type, self._pivot, from_currency, day))
        second = self._rows.get((rate_type, self._pivot, to_currency, day))
        if first is None or second is None:
            return None
        crossed = round_derived_rate(second.rate / first.rate)
        return _made(rate_type, from_currency, to_currency, day, crossed, f"{second.source}, through {self._pivot}")

    def _leg(self, rate_type: str, from_currency: str, to_currency: str, day: date) -> FxRate | None:
        row = self._rows.get((rate_type, from_currency, to_currency, day))
        if row is not None:
            return row
        turned = self._rows.get((rate_type, to_currency, from_currency, day))
        if turned is None:
            return None
        inverse = round_derived_rate(ONE / turned.rate)
        return _made(rate_type, from_currency, to_currency, day, inverse, f"{turned.source}, inverted")


def _days_back(policy: FxPolicy) -> int:
    return DAYS_BACK_MAX if policy.missing_day == "previous_business_day" else 0


def _made(rate_type: str, from_currency: str, to_currency: str, day: date, rate: Decimal, source: str) -> FxRate:
    return FxRate(
        rate_type=rate_type, from_currency=from_currency, to_currency=to_currency, day=day, rate=rate, source=source
    )


def _no_rate(rate_type: str, from_currency: str, to_currency: str, day: date, why: str) -> NeedsDecision:
    return NeedsDecision(
        "EX-FX-RATE",
        f"no {rate_type} rate from {from_currency} to {to_currency}: the table {why}",
        queue="finance-master-data",
        context={"rate_type": rate_type, "from": from_currency, "to": to_currency, "day": str(day)},
        actions=("enter", "retry", "cancel"),
    )


def check_alive(currency: str, day: date) -> str:
    """The currency, unless it had been replaced by that day; BadInput says by what, when and at which rate."""
    gone = REPLACED.get(currency)
    if gone is not None and day >= gone.since:
        raise BadInput(
            f"{currency} was replaced by {gone.by} on {gone.since} at {gone.rate} {currency} for 1 {gone.by}:"
            f" an amount of {day} is in {gone.by}"
        )
    return currency


def rate_day(
    policy: FxPolicy, *, service_date: date, expense_date: date | None = None, issue_date: date | None = None
) -> date:
    """The day whose rate a policy asks for. BadInput when that day is not known yet."""
    days = {
        "service_date": service_date,
        "expense_date": expense_date,
        "issue_date": issue_date,
        "month_start": service_date.replace(day=1),
    }
    day = days[policy.date_rule]
    if day is None:
        raise BadInput(f"the rate is that of the {policy.date_rule.replace('_', ' ')}, which is not known")
    return day


def check_policy(policy: FxPolicy) -> list[str]:
    """What is wrong with the exchange of work and expenses, which are priced when they are approved; empty when nothing
    is.
    """
    problems = []
    if policy.date_rule == "issue_date":
        problems.append("its exchange rate is that of the issue_date, which is not known when work is priced")
    if policy.rate_type == "fixed" and (policy.fixed_rate is None or policy.fixed_rate <= 0):
        problems.append(f"its exchange rate is fixed at {policy.fixed_rate or 'nothing'}")
    return problems


def convert(amount: Decimal, from_currency: str, to_currency: str, rate: Decimal) -> Decimal:
    """round(amount * rate) in the second currency. BadInput for a rate that is none, or not 1 within a currency."""
    if rate <= 0 or (from_currency == to_currency and rate != ONE):
        raise BadInput(f"{rate} is no rate from {from_currency} to {to_currency}")
    return round_half_away(amount * rate, to_currency)


def functional(
    total: Decimal, parts: Mapping[Key, Decimal], rate: Decimal, currency: str
) -> tuple[Decimal, dict[Key, Decimal]]:
    """A document in the functional currency: round(total * rate), and its parts with the difference on the largest.

    parts: by line number (and tax by its category, where the total includes tax); they add up to the total. Ties go to
    the part that comes first. Rule R0.5, INV-20. BadInput when they do not add up.
    """
    if sum(parts.values(), ZERO) != total:
        raise BadInput(f"parts of {sum(parts.values(), ZERO)} are not the total of {total}")
    whole = round_half_away(total * rate, currency)
    converted = {key: round_half_away(part * rate, currency) for key, part in parts.items()}
    if converted:
        largest = min(parts, key=lambda key: (-abs(parts[key]), _number(key)))
        converted[largest] += whole - sum(converted.values(), ZERO)
    return whole, converted


def _number(key: str | int) -> tuple[int, str]:
    return (key, "") if isinstance(key, int) else (0, key)


@dataclass(frozen=True)
class Settled:
    """What a settlement of an invoice was worth. gain: functional settled less functional invoiced; a loss is below
    zero. All in the functional currency.
    """

    functional_settled: Decimal
    functional_invoiced: Decimal

    @property
    def gain(self) -> Decimal:
        """Realised exchange gain."""
        return self.functional_settled - self.functional_invoiced


def realised(
    amount: Decimal,
    *,
    total: Decimal,
    functional_total: Decimal,
    settled_before: Decimal,
    rate: Decimal,
    currency: str,
) -> Settled:
    """The exchange difference of settling an amount of an invoice at a rate (INV-20).

    total, functional_total: of the invoice; settled_before: of it, in the invoice's currency. What was invoiced is
    counted cumulatively, so that the parts settled add up to the functional total when nothing is left open.
    currency: the functional one.
    """
    after = settled_before + amount
    if total == 0 or not _within(after, total) or not _within(settled_before, total):
        raise BadInput(f"{amount} after {settled_before} is no settlement of {total}")
    before_part = round_half_away(functional_total * settled_before / total, currency)
    after_part = round_half_away(functional_total * after / total, currency)
    return Settled(round_half_away(amount * rate, currency), after_part - before_part)


def _within(amount: Decimal, total: Decimal) -> bool:
    """Between nothing and a total, whatever the sign of the total."""
    return min(total, ZERO) <= amount <= max(total, ZERO)
