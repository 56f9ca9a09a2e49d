"""Money: computed as Decimal, answered as a JSON number that reads back exactly.

Amounts are kept to 15 significant digits, because a JSON number of that many digits survives every client's binary
floating point; the vendor's own models are decimal.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from isthmus.sandbox.avalara.errors import Refusal

_MAX_DIGITS = 15
_MINOR_DIGITS = dict.fromkeys(("CLP", "ISK", "JPY", "KRW", "PYG", "UGX", "VND", "XAF", "XOF", "XPF"), 0)
_MINOR_DIGITS |= dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3)


def minor_unit(currency: str) -> Decimal:
    """The smallest amount of a currency: 0.01 for most, 1 for yen, 0.001 for dinars."""
    return Decimal(1).scaleb(-_MINOR_DIGITS.get(currency, 2))


def rounded(amount: Decimal, unit: Decimal) -> Decimal:
    """Half up, away from zero, so that a credit mirrors its invoice to the cent."""
    return amount.quantize(unit, rounding=ROUND_HALF_UP)


def number(amount: Decimal) -> float:
    """The JSON number of an amount: converted once, at the end, never computed with."""
    return float(amount) + 0.0  # + 0.0 turns -0.0 into 0.0


def decimal(value: Any, field: str = "amount") -> Decimal:
    """The amount of a JSON number or numeric string; a Refusal when it is neither or too long."""
    if value is None or isinstance(value, bool):
        raise Refusal("ValidationException", "Validation Error.", f"{field} is not a number.", field)
    try:
        amount = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        raise Refusal("ValidationException", "Validation Error.", f"{field} is not a number.", field) from None
    if not amount.is_finite() or len(amount.normalize().as_tuple().digits) > _MAX_DIGITS:
        raise Refusal("InvalidDecimalValue", "Invalid decimal value.", f"{field} is out of range.", field)
    return amount


def total(values: list[float]) -> float:
    """Exact sum of numbers that were answered before."""
    return number(sum((Decimal(str(v)) for v in values), Decimal(0)))
