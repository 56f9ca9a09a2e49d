"""How cells of the house's files are read: each takes the text of a cell and says in words what is wrong with it."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal

from isthmus.domain.errors import BadInput
from isthmus.domain.money import QUANTITY_EXPONENT, RATE_EXPONENT, minor_units
from isthmus.kit.csv_rows import number, whole_number


def hours_of_a_day(cell: str) -> Decimal:
    """0 to 24 hours with at most four decimals."""
    hours = number(cell)
    if hours < 0:
        raise BadInput("is negative; send a correction as a higher revision with the new total of hours")
    if hours > 24:
        raise BadInput("is more than the 24 hours of a day")
    if hours != hours.quantize(QUANTITY_EXPONENT):
        raise BadInput("has more than four decimals")
    return hours


def iso_day(cell: str) -> date:
    """2026-03-09."""
    # fromisoformat alone would also take "20260309" and "2026-W11-1", which people misread.
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", cell):
        raise BadInput("is not a date; write it as year-month-day, such as 2026-03-09")
    try:
        return date.fromisoformat(cell)
    except ValueError:
        raise BadInput("is not a day of the calendar") from None


def instant(cell: str) -> datetime:
    """2026-03-09T17:30:00+01:00, in UTC."""
    if not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}", cell):
        raise BadInput("is not an instant; write it like 2026-03-09T17:30:00+01:00")
    try:
        found = datetime.fromisoformat(cell)
        if found.tzinfo is None:
            # Without an offset the same text is a different instant in every office.
            raise BadInput("has no offset from UTC; add one, such as +01:00 or Z")
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadInput("is not an instant; write it like 2026-03-09T17:30:00+01:00") from None


def rate(cell: str) -> Decimal:
    """0 or more, at most six decimals."""
    found = number(cell)
    if found < 0:
        raise BadInput("is negative")
    if found != found.quantize(RATE_EXPONENT):
        raise BadInput("has more than six decimals")
    return found


def price(cell: str) -> Decimal:
    """A rate above zero: nobody sells an hour for nothing by mistake without anyone noticing."""
    found = rate(cell)
    if found == 0:
        raise BadInput("is a price of zero; leave the row out if it is not sold")
    return found


def amount(cell: str) -> Decimal:
    """0 or more. That it fits its currency is seen with the whole row."""
    found = number(cell)
    if found < 0:
        raise BadInput("is negative; send a correction as a higher revision with the new amounts")
    return found


def currency_code(cell: str) -> str:
    """An ISO 4217 code one can bill in."""
    minor_units(cell)
    return cell


def code_of_a_currency(cell: str) -> str:
    """Three capital letters: an expense may be in a currency that has been replaced since."""
    if not re.fullmatch(r"[A-Z]{3}", cell):
        raise BadInput("is not a currency; write its ISO 4217 code, such as EUR")
    return cell


def revision(cell: str) -> int:
    """1 or more."""
    found = whole_number(cell)
    if found < 1:
        raise BadInput("is not a revision; the first one is 1")
    return found


def yes_or_no(cell: str) -> bool:
    """yes or no, true or false, in any case."""
    words = {"yes": True, "true": True, "no": False, "false": False}
    if cell.casefold() not in words:
        raise BadInput("is neither yes nor no")
    return words[cell.casefold()]
