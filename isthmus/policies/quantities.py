"""From approved hours to billed hours: increments, minimums, overtime bands and the daily cap of one person's day.

Rule R0.7 begins here: raw time, increment rounding, daily and overtime banding. Everything is calculated in minutes,
because a minute is no decimal part of an hour: 67 minutes are 1.1167 h on paper and 67/60 h in price (``extend``).
Costs and utilisation never come here: they are about raw hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from itertools import pairwise

from isthmus.domain.errors import BadInput
from isthmus.domain.money import hours_of, round_half_away, round_minutes
from isthmus.domain.terms import DayRule, Increment

POLICY = "quantities/1"
DAILY_CAP = "DAILY_CAP"
DAY_MINUTES = Decimal(24 * 60)
ROUNDING = {"up": ROUND_CEILING, "nearest": ROUND_HALF_UP, "down": ROUND_FLOOR}


@dataclass(frozen=True)
class DayEntry:
    """One entry of the day, as it was approved last: hours is the whole corrected total, never a difference.

    started_at: local time of day (09:30), empty where unknown. corrected: a later revision, which may be zero hours.
    days: how many days it is about, for a weekly entry without a split by day.
    """

    key: str
    hours: Decimal
    task_code: str = ""
    started_at: str = ""
    corrected: bool = False
    days: int = 1


@dataclass(frozen=True)
class Segment:
    """Hours (four decimals) at the rate times multiplier. reason DAILY_CAP: beyond the last band, billed at nothing."""

    quantity: Decimal
    multiplier: Decimal
    reason: str = ""

    @property
    def minutes(self) -> Decimal:
        """What the quantity stands for."""
        return round_minutes(self.quantity)


@dataclass(frozen=True)
class BilledTime:
    """What an entry is billed for. raw: its hours as approved, for cost and utilisation."""

    raw: Decimal
    segments: tuple[Segment, ...]


def bill_day(
    entries: Sequence[DayEntry], increment: Increment | None, day_rule: DayRule | None
) -> dict[str, BilledTime]:
    """The billed time of each entry, by key, of one person's one day on one contract line.

    Entries have their turn by (started_at, key); the order of the argument never matters. Rounded hours fill the bands,
    not raw ones (SC-16). Raises BadInput for an entry of no or negative length, and for a day of more than 24 hours.
    """
    _check_day(entries)
    in_turn = sorted(entries, key=_turn)
    if increment is None and day_rule is None:  # what follows would say the same, slower
        return {e.key: BilledTime(e.hours, (Segment(e.hours, Decimal(1)),) if e.hours else ()) for e in in_turn}
    minutes = _rounded(in_turn, increment)
    pieces = _banded([minutes[entry.key] for entry in in_turn], day_rule)
    return {
        entry.key: BilledTime(entry.hours, _segments(entry.hours, mine))
        for entry, mine in zip(in_turn, pieces, strict=True)
    }


def extend(quantity: Decimal, rate: Decimal, currency: str, multiplier: Decimal = Decimal(1)) -> Decimal:
    """The extended amount of hours: their exact minutes at the rate, rounded once to the currency (R0.2).

    For hours only. Other quantities (units, kilometres) are what they say: round_half_away(quantity * price).
    """
    return round_half_away(round_minutes(quantity) * rate * multiplier / 60, currency)


def _check_day(entries: Sequence[DayEntry]) -> None:
    assert len({entry.key for entry in entries}) == len(entries), "an entry is there twice"
    for entry in entries:
        if entry.hours < 0 or (entry.hours == 0 and not entry.corrected):
            raise BadInput(f"time entry {entry.key}: {entry.hours} hours are no time to bill")
    total = sum((entry.hours for entry in entries), Decimal(0))
    if total > 24 * max((entry.days for entry in entries), default=1):
        told = ", ".join(f"{entry.key} {entry.hours}" for entry in sorted(entries, key=_turn))
        raise BadInput(f"{total} hours on one day: a day has 24 ({told})")


def _turn(entry: DayEntry) -> tuple[str, str]:
    """9:30 comes before 10:00."""
    started = entry.started_at
    return (f"0{started}" if started[1:2] == ":" else started), entry.key


# -- increments ------------------------------------------------------------------------------------------------


def _rounded(in_turn: Sequence[DayEntry], increment: Increment | None) -> dict[str, Decimal]:
    """Billed minutes by key: each entry at its minimum, each group of the basis at the step."""
    if increment is None:
        return {entry.key: round_minutes(entry.hours) for entry in in_turn}
    least = Decimal(increment.minimum_minutes)
    billed: dict[str, Decimal] = {}
    for group in _groups(in_turn, increment.basis):
        raw = {entry.key: max(round_minutes(entry.hours), least) for entry in group if entry.hours}
        billed.update(_with_total(raw, _to_step(sum(raw.values(), Decimal(0)), increment), least))
    return {entry.key: billed.get(entry.key, Decimal(0)) for entry in in_turn}


def _groups(in_turn: Sequence[DayEntry], basis: str) -> Iterable[list[DayEntry]]:
    groups: dict[str, list[DayEntry]] = {}
    for entry in in_turn:
        name = {"entry": entry.key, "person_task_day": entry.task_code, "person_day": ""}[basis]
        groups.setdefault(name, []).append(entry)
    return groups.values()


def _to_step(minutes: Decimal, increment: Increment) -> Decimal:
    """Nearest: half a step goes up."""
    return (minutes / increment.minutes).to_integral_value(ROUNDING[increment.mode]) * increment.minutes


def _with_total(minutes: dict[str, Decimal], total: Decimal, least: Decimal) -> dict[str, Decimal]:
    """The minutes made to add up to total: the last entry gets what is more; what is less goes from the last back,
    never below the minimum of any.
    """
    adjusted, missing = dict(minutes), total - sum(minutes.values(), Decimal(0))
    for key in reversed(minutes):
        step = max(missing, least - adjusted[key])
        adjusted[key] += step
        missing -= step
        if not missing:
            break
    return adjusted


# -- bands -----------------------------------------------------------------------------------------------------


def _banded(minutes: Sequence[Decimal], day_rule: DayRule | None) -> list[list[tuple[Decimal, Decimal, str]]]:
    """Per entry its pieces (minutes, multiplier, reason), band after band over the whole day."""
    bands = [(band.up_to_hours * 60, band.multiplier, "") for band in day_rule.bands] if day_rule else []
    rest = (Decimal(0), DAILY_CAP) if day_rule else (Decimal(1), "")
    bands.append((max(sum(minutes, Decimal(0)), DAY_MINUTES), *rest))
    used, found = Decimal(0), []
    for mine in minutes:
        pieces, end = [], used + mine
        for upto, multiplier, reason in bands:
            if used < min(upto, end):
                pieces.append((min(upto, end) - used, multiplier, reason))
                used = min(upto, end)
        found.append(pieces)
    return found


def _segments(raw: Decimal, pieces: Sequence[tuple[Decimal, Decimal, str]]) -> tuple[Segment, ...]:
    """Whole minutes stay what they are. Time cut elsewhere is cut at the fourth decimal, so that it adds up."""
    if len(pieces) == 1 and pieces[0][0] == round_minutes(raw):
        hours = [raw]
    elif all(minutes == minutes.to_integral_value() for minutes, _, _ in pieces):
        hours = [hours_of(minutes) for minutes, _, _ in pieces]
    else:
        ends = [sum((minutes for minutes, _, _ in pieces[:upto]), Decimal(0)) for upto in range(len(pieces) + 1)]
        hours = [hours_of(end) - hours_of(start) for start, end in pairwise(ends)]
    cut = zip(hours, pieces, strict=True)
    return tuple(Segment(quantity, multiplier, reason) for quantity, (_, multiplier, reason) in cut if quantity)
