"""When the books of a month are closed, and what it means for a case that is open until then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

import holidays

from isthmus.desk.config import DeskConfig
from isthmus.domain.objects import LegalEntity
from isthmus.store.records import Case


@dataclass(frozen=True)
class Impact:
    """closes: the day the month's books are closed; month: which one; days_left: none left when it has passed."""

    month: str
    closes: date
    days_left: int


@lru_cache(maxsize=256)
def _free_days(country: str, year: int) -> frozenset[date]:
    """Public holidays; none where the calendar of a country is not known."""
    if country not in holidays.list_supported_countries(include_aliases=True):
        return frozenset()
    return frozenset(holidays.country_holidays(country, years=year))


def is_working_day(country: str, day: date) -> bool:
    """Monday to Friday, but for the country's public holidays."""
    return day.weekday() < 5 and day not in _free_days(country, day.year)


def close_of(country: str, month: date, working_day: int) -> date:
    """The day on which the books of a month are closed: so many working days into the next one."""
    first = date(month.year + month.month // 12, month.month % 12 + 1, 1)
    day, worked = first, 0
    while True:
        worked += is_working_day(country, day)
        if worked == working_day:
            return day
        day += timedelta(days=1)


def impact_of(case: Case, entity: LegalEntity | None, today: date, config: DeskConfig) -> Impact:
    """The next close that the case is in the way of: of the month it was opened in, or of the one before until then."""
    country = entity.country if entity else ""
    opened = case.opened_at.date()
    month = opened.replace(day=1)
    before = (month - timedelta(days=1)).replace(day=1)
    closes = close_of(country, before, config.close.working_day)
    if opened > closes:
        before, closes = month, close_of(country, month, config.close.working_day)
    return Impact(f"{before:%B %Y}", closes, (closes - today).days)
