"""Periods of calendar months, and the share of one that a contract covers.

Rule *by days*: what a contract covers in part is worth its days over the days of the whole period, rounded once. Both
the first and the last day of a term count. A period is made of whole calendar months, the first one is the month in
which the term starts; so a quarterly term from 15 February has the periods February to April, May to July, and so on,
and only its first and its last period can be partial.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from isthmus.domain.errors import BadInput
from isthmus.domain.money import round_half_away, round_quantity


@dataclass(frozen=True)
class Period:
    """The part [start, end] of a whole period [whole_start, whole_end] that a term covers; all four days count."""

    start: date
    end: date
    whole_start: date
    whole_end: date

    @property
    def label(self) -> str:
        """2026-03 for a month, 2026-02/2026-04 for more."""
        first, last = month_of(self.whole_start), month_of(self.whole_end)
        return first if first == last else f"{first}/{last}"

    @property
    def days(self) -> int:
        """Days covered."""
        return (self.end - self.start).days + 1

    @property
    def of_days(self) -> int:
        """Days of the whole period."""
        return (self.whole_end - self.whole_start).days + 1

    def share(self, amount: Decimal, currency: str) -> Decimal:
        """Rule *by days* for an amount, to the minor unit of its currency."""
        return round_half_away(amount * self.days / self.of_days, currency)

    def share_of_hours(self, hours: Decimal) -> Decimal:
        """Rule *by days* for hours, to four decimals."""
        return round_quantity(hours * self.days / self.of_days)


def month_of(day: date) -> str:
    """2026-03."""
    return f"{day:%Y-%m}"


def first_day(month: str) -> date:
    """The first day of 2026-03. BadInput for anything that is not a month."""
    if not re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", month) or month < "0001":
        raise BadInput(f"{month!r} is not a month; write it like 2026-03")
    return date(int(month[:4]), int(month[5:]), 1)


def last_day(month: str) -> date:
    """The last day of 2026-03."""
    first = first_day(month)
    return first.replace(day=monthrange(first.year, first.month)[1])


def later(month: str, months: int) -> str:
    """The month this many months after (or, negative, before) another."""
    first = first_day(month)
    years, index = divmod(first.year * 12 + first.month - 1 + months, 12)
    return f"{years:04d}-{index + 1:02d}"


def periods(start: date, end: date | None, every_months: int, through: date) -> list[Period]:
    """The periods of a term that begin on or before a day, in order. end: the last day of the term, None when open."""
    if end is not None and end < start:
        raise BadInput(f"a term that ends on {end}, before it starts on {start}")
    found: list[Period] = []
    month = month_of(start)
    while first_day(month) <= min(through, end or through) and start <= through:
        whole_start, whole_end = first_day(month), last_day(later(month, every_months - 1))
        found.append(Period(max(start, whole_start), min(whole_end, end or whole_end), whole_start, whole_end))
        month = later(month, every_months)
    return found
