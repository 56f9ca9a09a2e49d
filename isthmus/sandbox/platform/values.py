"""What a column accepts: JSON or CSV values checked and brought into the form the platform stores and returns.

Modelled from the vendor's published material; not certified.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from isthmus.sandbox.platform import ids
from isthmus.sandbox.platform.errors import ApiError, wrong_type
from isthmus.sandbox.platform.schema import Field


def stamp(moment: datetime) -> str:
    """A moment as the platform writes it: UTC, milliseconds, +0000."""
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}+0000"


def parse_stamp(text: str) -> datetime:
    """The moment of an ISO 8601 text; ValueError when it is none or has no offset."""
    if len(text) < 11 or text[10] != "T":
        raise ValueError(text)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment


def clean(column: Field, value: Any) -> Any:
    """The value as stored, or the platform's refusal. None and the empty text both mean empty."""
    if value is None or value == "":
        return False if column.type == "boolean" else None
    if column.type == "boolean":
        return _boolean(value)
    if column.precision:
        return _number(column, value)
    if column.type == "date":
        return _date(value)
    if column.type == "datetime":
        return _datetime(value)
    if isinstance(value, (dict, list, bool)):
        raise wrong_type("string", value)
    if column.type in ("reference", "id"):
        return _identifier(column, str(value))
    return _text(column, str(value))


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise wrong_type("boolean", value)


def _number(column: Field, value: Any) -> float | int:
    kind = "int" if column.type == "int" else "double"
    if isinstance(value, (bool, dict, list)):
        raise wrong_type(kind, value)
    try:
        exact = Decimal(str(value))
        rounded = exact.quantize(Decimal(1).scaleb(-column.scale), ROUND_HALF_UP)
    except InvalidOperation:
        raise wrong_type(kind, value) from None
    if rounded.is_nan():
        raise wrong_type(kind, value)
    if abs(rounded) >= Decimal(10) ** (column.precision - column.scale):
        message = f"{column.name}: value outside of valid range on numeric field: {value}"
        raise ApiError(400, "NUMBER_OUTSIDE_VALID_RANGE", message, [column.name])
    return int(rounded) if kind == "int" else float(rounded)


def _date(value: Any) -> str:
    try:
        # A moment is accepted for a day and cut, as the platform does.
        return date.fromisoformat(str(value)[:10]).isoformat()
    except ValueError:
        raise wrong_type("date", value) from None


def _datetime(value: Any) -> str:
    text = str(value)
    try:
        if len(text) == 10:
            return stamp(datetime.fromisoformat(text).replace(tzinfo=UTC))
        return stamp(parse_stamp(text))
    except ValueError:
        raise wrong_type("datetime", value) from None


def _identifier(column: Field, text: str) -> str:
    full = ids.canonical(text)
    if full is None:
        message = f"{column.name}: id value of incorrect type: {text}"
        raise ApiError(400, "MALFORMED_ID", message, [column.name])
    return full


def _text(column: Field, text: str) -> str:
    if column.length and len(text) > column.length:
        message = f"{column.name}: data value too large: {text} (max length={column.length})"
        raise ApiError(400, "STRING_TOO_LONG", message, [column.name])
    if column.type == "email" and "@" not in text:
        raise ApiError(400, "INVALID_EMAIL_ADDRESS", f"{column.name}: invalid email address: {text}", [column.name])
    if column.restricted and text not in column.values:
        raise ApiError(
            400,
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            f"{column.name}: bad value for restricted picklist field: {text}",
            [column.name],
        )
    return text
