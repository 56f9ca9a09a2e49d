"""Where sales come near the threshold from which an entity must register for tax (economic nexus).

Thresholds are data of the firm's tax desk, by state: an amount, a number of sales, or both; over the calendar year or
over the last twelve months; with or without services. They differ, they change, and some count what others do not, so
none ship with the product. The tracker adds up, says when 80 % are reached and when the threshold is crossed; it
decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

POLICY = "nexus/1"
ALERT_PERCENT = Decimal(80)
ZERO = Decimal(0)
Level = Literal["below", "alert", "crossed"]


@dataclass(frozen=True)
class Threshold:
    """What makes an entity liable in a state. amount, count: None where only the other one matters.

    both: amount and count must both be reached; otherwise one is enough. window: the calendar year so far, or the
    twelve months up to and including the day. services: whether sales of services count.
    """

    state: str
    amount: Decimal | None
    count: int | None = None
    both: bool = False
    window: Literal["calendar_year", "rolling_12_months"] = "calendar_year"
    services: bool = True


@dataclass(frozen=True)
class Sale:
    """One invoice of an entity to a client in a state: net amount in the currency of the thresholds, negative for a
    credit (which takes from the amount and is no sale of its own).
    """

    entity: str
    state: str
    day: date
    net: Decimal
    service: bool = True


@dataclass(frozen=True)
class Standing:
    """How near an entity is to the threshold of a state. percent: of the threshold, of the nearer one where one is
    enough, of the farther one where both are needed.
    """

    entity: str
    threshold: Threshold
    since: date
    amount: Decimal
    count: int
    percent: Decimal
    level: Level


def window_start(threshold: Threshold, on: date) -> date:
    """The first day that counts on a day: 1 January, or the day after the same day a year before."""
    if threshold.window == "calendar_year":
        return on.replace(month=1, day=1)
    leap_day = (on.month, on.day) == (2, 29)
    year_before = on.replace(year=on.year - 1, day=28) if leap_day else on.replace(year=on.year - 1)
    return year_before + timedelta(days=1)


def standings(sales: Iterable[Sale], thresholds: Sequence[Threshold], on: date) -> list[Standing]:
    """The standing of every entity with sales in a state that has a threshold, nearest first."""
    known = list(sales)
    found = [
        _standing(entity, threshold, [s for s in known if (s.entity, s.state) == (entity, threshold.state)], on)
        for threshold in thresholds
        for entity in sorted({s.entity for s in known if s.state == threshold.state})
    ]
    return sorted(found, key=lambda s: (-s.percent, s.threshold.state, s.entity))


def _standing(entity: str, threshold: Threshold, sales: Sequence[Sale], on: date) -> Standing:
    since = window_start(threshold, on)
    counted = [s for s in sales if since <= s.day <= on and (threshold.services or not s.service)]
    amount, count = sum((s.net for s in counted), ZERO), sum(s.net > 0 for s in counted)
    measured = [(amount, threshold.amount), (Decimal(count), threshold.count)]
    percents = [reached * 100 / Decimal(limit) for reached, limit in measured if limit is not None]
    percent = (min if threshold.both else max)(percents, default=ZERO)
    level: Level = "crossed" if percent >= 100 else "alert" if percent >= ALERT_PERCENT else "below"
    return Standing(entity, threshold, since, amount, count, percent, level)
