"""Laws of money: minor units, named roundings, exact splits, no floats."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from isthmus.domain.errors import BadAmount, UnknownCurrency
from isthmus.domain.money import (
    Exact,
    Money,
    allocate,
    can_bill_in,
    hours_of,
    is_exact_amount,
    minor_unit,
    minor_units,
    round_half_away,
    round_minutes,
    round_quantity,
    truncate,
)
from tests.domain.iso_4217 import BY_CODE, WITHOUT_MINOR_UNIT

currencies = st.sampled_from(["JPY", "USD", "KWD", "CLF"])
raw_amounts = st.decimals("-1e12", "1e12", places=8, allow_nan=False, allow_infinity=False)


@st.composite
def exact_amounts(draw: st.DrawFn) -> tuple[Decimal, str]:
    """An amount its currency can hold, and the currency."""
    currency = draw(currencies)
    return draw(st.integers(-(10**14), 10**14)) * minor_unit(currency), currency


# -- the table ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("currency", "units"), sorted(BY_CODE.items()))
def test_a_currency_has_the_decimals_of_iso_4217(currency: str, units: int) -> None:
    assert minor_units(currency) == units
    assert minor_unit(currency) == Decimal(1) / 10**units
    assert can_bill_in(currency)


@pytest.mark.parametrize("code", [*WITHOUT_MINOR_UNIT, "", "usd", "US", "USDD", "ABC", "$"])
def test_a_code_nobody_bills_in_is_unknown(code: str) -> None:
    assert not can_bill_in(code)
    with pytest.raises(UnknownCurrency, match="ISO 4217"):
        minor_units(code)


# -- the roundings --------------------------------------------------------------------------------------------------

HALVES = [
    ("0.005", "USD", "0.01"),
    ("-0.005", "USD", "-0.01"),
    ("0.015", "USD", "0.02"),
    ("0.025", "USD", "0.03"),
    ("-0.025", "USD", "-0.03"),
    ("0.0249999999", "USD", "0.02"),
    ("2.5", "JPY", "3"),
    ("-2.5", "JPY", "-3"),
    ("-0.4", "JPY", "0"),
    ("0.0005", "KWD", "0.001"),
    ("-0.0005", "KWD", "-0.001"),
    ("0.00005", "CLF", "0.0001"),
    ("46.6655", "USD", "46.67"),
]


@pytest.mark.parametrize(("raw", "currency", "rounded"), HALVES)
def test_halves_go_away_from_zero(raw: str, currency: str, rounded: str) -> None:
    assert round_half_away(Decimal(raw), currency) == Decimal(rounded)


def test_it_is_not_the_rounding_of_banks() -> None:
    even = Decimal("0.025").quantize(Decimal("0.01"), ROUND_HALF_EVEN)
    assert even == Decimal("0.02") != round_half_away(Decimal("0.025"), "USD")


@given(raw_amounts, currencies)
def test_rounding_is_the_nearest_minor_unit_and_mirrors_its_sign(raw: Decimal, currency: str) -> None:
    rounded, unit = round_half_away(raw, currency), minor_unit(currency)
    assert is_exact_amount(rounded, currency)
    assert abs(Fraction(rounded) - Fraction(raw)) <= Fraction(unit) / 2
    assert round_half_away(-raw, currency) == -rounded
    assert round_half_away(rounded, currency) == rounded
    if abs(Fraction(rounded) - Fraction(raw)) == Fraction(unit) / 2:
        assert abs(rounded) > abs(raw)


@given(raw_amounts, currencies)
def test_truncating_goes_toward_zero_by_less_than_a_unit(raw: Decimal, currency: str) -> None:
    cut = truncate(raw, currency)
    assert is_exact_amount(cut, currency)
    assert abs(cut) <= abs(raw) < abs(cut) + minor_unit(currency)
    assert truncate(-raw, currency) == -cut


@pytest.mark.parametrize(
    ("raw", "currency", "cut"),
    [("0.019", "USD", "0.01"), ("-0.019", "USD", "-0.01"), ("9.99", "JPY", "9"), ("-9.99", "JPY", "-9")],
)
def test_truncating_named_cases(raw: str, currency: str, cut: str) -> None:
    assert truncate(Decimal(raw), currency) == Decimal(cut)


def test_quantities_have_four_decimals_halves_away_from_zero() -> None:
    assert round_quantity(Decimal("2.70275")) == Decimal("2.7028")
    assert round_quantity(Decimal("-2.70275")) == Decimal("-2.7028")
    assert round_quantity(Decimal("2.70274999")) == Decimal("2.7027")


MINUTES = [
    ("3.1167", "187"),  # 3 h 07
    ("2.6667", "160"),
    ("1.1167", "67"),
    ("0.0167", "1"),
    ("7.5", "450"),
    ("24", "1440"),
    ("0", "0"),
    ("-3.1167", "-187"),
    ("0.125", "7.5"),  # half minutes are nobody's clock: what is said is meant
    ("3.12", "187.2"),  # two decimals are no minutes either
    ("3.1166", "186.996"),
]


@pytest.mark.parametrize(("hours", "minutes"), MINUTES)
def test_hours_stand_for_their_minutes(hours: str, minutes: str) -> None:
    assert round_minutes(Decimal(hours)) == Decimal(minutes)


@given(st.integers(-(10**6), 10**6).map(Decimal))
def test_no_minute_is_lost_between_a_clock_and_four_decimals(minutes: Decimal) -> None:
    assert round_minutes(hours_of(minutes)) == minutes


@given(st.decimals("-10000", "10000", places=4))
def test_minutes_never_move_hours_by_more_than_half_of_their_last_decimal(hours: Decimal) -> None:
    assert abs(round_minutes(hours) - hours * 60) <= Decimal("0.00005") * 60
    assert hours_of(round_minutes(hours)) == hours


# -- splitting ------------------------------------------------------------------------------------------------------

SPLITS = [
    ("thirds: the cent goes to the first", "100.00", ["1", "1", "1"], "USD", ["33.34", "33.33", "33.33"]),
    ("a reversal mirrors it", "-100.00", ["1", "1", "1"], "USD", ["-33.34", "-33.33", "-33.33"]),
    ("the largest remainder, not the first", "1.00", ["1", "2", "3"], "USD", ["0.17", "0.33", "0.50"]),
    ("two cents to the two largest remainders", "0.05", ["1", "1", "1"], "USD", ["0.02", "0.02", "0.01"]),
    ("no decimals in yen", "100", ["1", "1", "1"], "JPY", ["34", "33", "33"]),
    ("three decimals in dinar", "1.000", ["1", "1", "1"], "KWD", ["0.334", "0.333", "0.333"]),
    ("a weight of nothing gets nothing", "0.01", ["0", "1"], "USD", ["0.00", "0.01"]),
    ("percentages", "185.55", ["33.33", "33.33", "33.34"], "USD", ["61.85", "61.84", "61.86"]),
    ("nothing to split", "0.00", ["2", "5"], "USD", ["0.00", "0.00"]),
    ("one part takes all", "12.34", ["7"], "USD", ["12.34"]),
]


@pytest.mark.parametrize(
    ("total", "weights", "currency", "shares"), [s[1:] for s in SPLITS], ids=[s[0] for s in SPLITS]
)
def test_a_split_by_largest_remainder(total: str, weights: list[str], currency: str, shares: list[str]) -> None:
    assert allocate(Decimal(total), [Decimal(w) for w in weights], currency) == [Decimal(s) for s in shares]


weights_of_something = st.lists(st.decimals("0", "1000", places=4), min_size=1, max_size=12).filter(sum)


@given(exact_amounts(), weights_of_something)
def test_the_parts_of_a_split_add_up_exactly_and_are_fair(money: tuple[Decimal, str], weights: list[Decimal]) -> None:
    total, currency = money
    shares = allocate(total, weights, currency)
    assert sum(shares) == total and len(shares) == len(weights)
    assert all(is_exact_amount(share, currency) for share in shares)
    for share, weight in zip(shares, weights, strict=True):
        fair = Fraction(total) * Fraction(weight) / sum(map(Fraction, weights))
        assert abs(Fraction(share) - fair) < Fraction(minor_unit(currency))
    assert allocate(-total, weights, currency) == [-share for share in shares]


@given(exact_amounts(), st.integers(1, 12))
def test_equal_weights_give_earlier_parts_the_odd_units(money: tuple[Decimal, str], count: int) -> None:
    total, currency = money
    shares = [abs(share) for share in allocate(total, [Decimal(1)] * count, currency)]
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize(
    ("total", "weights"),
    [("1.00", []), ("1.00", ["0", "0"]), ("1.00", ["2", "-1"]), ("1.00", ["-1"]), ("1.005", ["1", "1"])],
    ids=["no weights", "weights of nothing", "a negative weight", "only negative", "a total the currency cannot hold"],
)
def test_a_split_that_cannot_add_up_is_refused(total: str, weights: list[str]) -> None:
    with pytest.raises(BadAmount):
        allocate(Decimal(total), [Decimal(w) for w in weights], "USD")


# -- the object -----------------------------------------------------------------------------------------------------


class Priced(BaseModel):
    """A model with one exact number, as every canonical object has."""

    amount: Exact


@pytest.mark.parametrize(
    "wrong",
    [1.5, 0.0, float("nan"), "abc", "", "1,5", "NaN", "Infinity", True, None, [], "1e15", "-1E+400"],
    ids=repr,
)
def test_what_is_no_exact_number_is_wrong_input_and_never_a_bug(wrong: object) -> None:
    with pytest.raises(ValidationError):
        Priced.model_validate({"amount": wrong})


@pytest.mark.parametrize("right", ["1.50", 2, Decimal("0.000001"), "-0.01", "1e3", "999999999999999.9999"], ids=repr)
def test_text_whole_numbers_and_decimals_are_exact(right: object) -> None:
    assert Priced.model_validate({"amount": right}).amount == Decimal(str(right))


@given(exact_amounts())
def test_money_survives_json_to_the_last_digit(money: tuple[Decimal, str]) -> None:
    before = Money.of(*money)
    text = before.model_dump_json()
    after = Money.model_validate_json(text)
    assert after == before and str(after.amount) == str(before.amount)
    assert before.model_dump() == {"amount": money[0], "currency": money[1]}, "in Python it stays a number"
    assert f'"amount":"{before.amount}"' in text, "an amount travels as text, not as a JSON number"


@pytest.mark.parametrize(("amount", "currency"), [("10.5", "JPY"), ("0.001", "USD"), ("0.0001", "KWD"), ("1", "ABC")])
def test_money_its_currency_cannot_hold_is_refused(amount: str, currency: str) -> None:
    with pytest.raises(ValueError, match=r"decimals|ISO 4217"):
        Money.of(amount, currency)


def test_money_adds_in_one_currency_only_and_never_changes() -> None:
    ten, two = Money.of("10.00", "USD"), Money.of("2.50", "USD")
    assert (ten + two, ten - two) == (Money.of("12.50", "USD"), Money.of("7.50", "USD"))
    assert str(Money.of("1234567.5", "USD")) == "1,234,567.50 USD"
    assert str(Money.of("1234567", "JPY")) == "1,234,567 JPY"
    for mixed in (lambda: ten + Money.of("1", "EUR"), lambda: ten - Money.of("1", "EUR")):
        with pytest.raises(BadAmount, match="USD and EUR"):
            mixed()
    with pytest.raises(ValidationError):
        ten.amount = Decimal(1)  # type: ignore[misc]
