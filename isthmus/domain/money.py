"""Money: a Decimal with an ISO 4217 currency, and the few roundings the hub knows, each with a name.

Nothing else in the house rounds. Amounts are kept at the currency's minor unit (JPY 0, USD 2, KWD 3), rates at six
decimals, quantities at four. Source of the minor units: the ISO 4217 table shipped by the ``iso4217`` package.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from typing import Annotated, Any

from iso4217 import Currency
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, model_validator

from isthmus.domain.errors import BadAmount, UnknownCurrency

QUANTITY_EXPONENT = Decimal("0.0001")
RATE_EXPONENT = Decimal("0.000001")
# Below a quadrillion, so that an amount times a rate is exact in the 28 digits decimal calculates with.
WHOLE_DIGITS_MAX = 15


def _exact(value: Any) -> Decimal:
    """Decimal from text, int or Decimal; a float is refused because it has already lost cents."""
    if isinstance(value, float):
        raise ValueError("a float is not an amount: send it as a string")
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:  # an ArithmeticError: a validator would let it pass as a bug instead of a wrong input
        raise ValueError(f"{value!r} is not a number") from None
    if not number.is_finite():
        raise ValueError(f"{value} is not a number")
    if number and number.adjusted() >= WHOLE_DIGITS_MAX:
        raise ValueError(f"{value} has more than {WHOLE_DIGITS_MAX} digits before the decimal point")
    return number


Exact = Annotated[Decimal, BeforeValidator(_exact), PlainSerializer(str, return_type=str, when_used="json")]


@lru_cache(maxsize=512)
def _exponent(currency: str) -> int | None:
    try:
        exponent = Currency(currency).exponent
    except ValueError:
        return None
    return None if exponent is None else int(exponent)


def can_bill_in(currency: str) -> bool:
    """True for an ISO 4217 currency with a minor unit; gold, test codes and unknown codes have none."""
    return _exponent(currency) is not None


def minor_units(currency: str) -> int:
    """Decimals of a currency by ISO 4217. Raises UnknownCurrency for a code one cannot bill in."""
    exponent = _exponent(currency)
    if exponent is None:
        raise UnknownCurrency(f"{currency!r} is not an ISO 4217 currency code with a minor unit: nobody bills in it")
    return exponent


@lru_cache(maxsize=512)
def minor_unit(currency: str) -> Decimal:
    """The smallest amount of a currency: 0.01 for USD, 1 for JPY."""
    return Decimal(1).scaleb(-minor_units(currency))


def round_half_away(amount: Decimal, currency: str) -> Decimal:
    """Rule R0.2: to the minor unit, halves away from zero. The rounding of evidence lines, discounts and tax."""
    return amount.quantize(minor_unit(currency), rounding=ROUND_HALF_UP)


def truncate(amount: Decimal, currency: str) -> Decimal:
    """Rule R0.4: to the minor unit, toward zero. Only shares of a split use it; the remainder goes to one payer."""
    return amount.quantize(minor_unit(currency), rounding=ROUND_DOWN)


def round_quantity(quantity: Decimal) -> Decimal:
    """Quantities to four decimals, halves away from zero."""
    return quantity.quantize(QUANTITY_EXPONENT, rounding=ROUND_HALF_UP)


def truncate_quantity(quantity: Decimal) -> Decimal:
    """Rule R0.4 for quantities: a payer's share of the hours, to four decimals toward zero; one payer has the rest."""
    return quantity.quantize(QUANTITY_EXPONENT, rounding=ROUND_DOWN)


def round_minutes(hours: Decimal) -> Decimal:
    """The minutes that hours with four decimals stand for: 3.1167 h is 187 minutes, which no decimal hour can hold.

    Hours that are a whole number of minutes at four decimals are exactly those minutes; any other hours (0.125) are
    what they say, times 60. So time that is given in minutes never loses one, nor does its price lose a cent.
    """
    minutes = (hours * 60).to_integral_value(ROUND_HALF_UP)
    return minutes if hours_of(minutes) == hours else hours * 60


def hours_of(minutes: Decimal) -> Decimal:
    """Minutes as a quantity: hours at four decimals. Of whole minutes it is undone by round_minutes."""
    return round_quantity(minutes / 60)


def round_derived_rate(rate: Decimal) -> Decimal:
    """An exchange rate worked out from others (inverted, crossed), to ten significant digits; a published one stays.

    Six decimals would be too few: one yen is 0.005692 euros, and a million of them would be off by two euros.
    """
    return rate.quantize(Decimal(1).scaleb(rate.adjusted() - 9), rounding=ROUND_HALF_UP)


def round_rate(rate: Decimal) -> Decimal:
    """Rates to six decimals, halves away from zero: a markup or a multiplier must not leave more."""
    return rate.quantize(RATE_EXPONENT, rounding=ROUND_HALF_UP)


def round_shown(number: Decimal, decimals: int) -> Decimal:
    """A number as a spreadsheet shows it: to the decimals of its format, halves away from zero."""
    return number.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP)


def is_exact_amount(amount: Decimal, currency: str) -> bool:
    """True when the amount needs no rounding in its currency: 10.5 JPY does."""
    return amount == round_half_away(amount, currency)


def allocate(total: Decimal, weights: Sequence[Decimal], currency: str) -> list[Decimal]:
    """Split an amount in proportion to weights by largest remainder; the parts add up to the total exactly.

    Ties go to the earlier weight. Raises BadAmount when the weights add up to zero or one is negative, or when the
    total does not fit its currency: then no parts could add up to it.
    """
    whole = sum(weights, Decimal(0))
    if whole <= 0 or any(w < 0 for w in weights):
        raise BadAmount("weights must be positive and add up to more than zero")
    if not is_exact_amount(total, currency):
        raise BadAmount(f"{total} {currency}: {currency} has {minor_units(currency)} decimals")
    unit = minor_unit(currency)
    shares = [truncate(total * w / whole, currency) for w in weights]
    missing = int((total - sum(shares, Decimal(0))) / unit)
    step = unit if missing > 0 else -unit
    by_remainder = sorted(range(len(weights)), key=lambda i: -abs(total * weights[i] / whole - shares[i]))
    for i in by_remainder[: abs(missing)]:
        shares[i] += step
    return shares


def allocate_exact(total: Decimal, exact: Sequence[Decimal], currency: str) -> list[Decimal]:
    """Rule R0.3: exact shares, of either sign, as amounts that add up to a total that is rounded from their sum.

    Each is cut toward zero; missing units go to the largest remainders of their sign, earlier first. So shares with
    the opposite sign give amounts with the opposite sign. Raises BadAmount when the total is not within a unit of the
    shares: then no rounding explains it.
    """
    unit = minor_unit(currency)
    if not is_exact_amount(total, currency) or abs(total - sum(exact, Decimal(0))) >= unit:
        raise BadAmount(f"{total} {currency} is not the rounded sum of {sum(exact, Decimal(0))}")
    amounts = [truncate(share, currency) for share in exact]
    missing = int((total - sum(amounts, Decimal(0))) / unit)
    sign = 1 if missing > 0 else -1
    by_remainder = sorted(range(len(exact)), key=lambda i: -sign * (exact[i] - amounts[i]))
    for i in by_remainder[: abs(missing)]:
        amounts[i] += sign * unit
    return amounts


class Money(BaseModel):
    """An amount at the minor unit of its currency. Adding different currencies raises BadAmount."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    amount: Exact
    currency: str

    @model_validator(mode="after")
    def _fits_the_minor_unit(self) -> Money:
        if not is_exact_amount(self.amount, self.currency):
            units = minor_units(self.currency)
            raise BadAmount(f"{self.amount} {self.currency}: {self.currency} has {units} decimals")
        return self

    @classmethod
    def of(cls, amount: Any, currency: str) -> Money:
        """Money from text, int or Decimal."""
        return cls(amount=amount, currency=currency)

    def _same(self, other: Money) -> None:
        if self.currency != other.currency:
            raise BadAmount(f"cannot add {self.currency} and {other.currency}")

    def __add__(self, other: Money) -> Money:
        self._same(other)
        return Money(amount=self.amount + other.amount, currency=self.currency)

    def __sub__(self, other: Money) -> Money:
        self._same(other)
        return Money(amount=self.amount - other.amount, currency=self.currency)

    def __str__(self) -> str:
        return f"{self.amount:,.{minor_units(self.currency)}f} {self.currency}"
