"""Property values: the portal keeps every one as text, in one form for each kind of property.

Modelled from the vendor's published material; not certified.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from isthmus.sandbox.hubspot.errors import bad_values, invalid, problem
from isthmus.sandbox.hubspot.schema import ObjectType, Property


class _Wrong(Exception):
    """A value of the wrong kind: code and message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def stamp(moment: datetime) -> str:
    """A moment as the vendor writes it: UTC, three digits of a second or none."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return text.replace(".000Z", "Z")


def moment_of(value: str) -> datetime:
    """A moment from ISO 8601 or from milliseconds since 1970. ValueError when it is neither."""
    if value.lstrip("-").isdigit():
        return datetime.fromtimestamp(int(value) / 1000, UTC)
    found = datetime.fromisoformat(value)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _number(value: str) -> str:
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise _Wrong("INVALID_FLOAT", f"{value} was not a valid number.") from None
    text = f"{number.normalize():f}"
    return text


def _date(value: str) -> str:
    try:
        if value.lstrip("-").isdigit():
            found = moment_of(value)
            if found.time().isoformat() != "00:00:00":
                raise ValueError
            return found.date().isoformat()
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise _Wrong("INVALID_DATE", f"{value} is not a valid date at midnight UTC.") from None


def _datetime(value: str) -> str:
    try:
        return stamp(moment_of(value))
    except (ValueError, OverflowError, OSError):
        raise _Wrong("INVALID_LONG", f"{value} was not a valid long.") from None


def _bool(value: str) -> str:
    if value.lower() not in ("true", "false"):
        raise _Wrong("INVALID_OPTION", f"{value} was not one of the allowed options: [true, false]")
    return value.lower()


_READERS = {"number": _number, "date": _date, "datetime": _datetime, "bool": _bool}


def _kept(known: Property, raw: Any) -> str:
    """One value as it is kept; an empty one clears the property."""
    if raw is None or raw == "":
        return ""
    value = str(raw).lower() if isinstance(raw, bool) else str(raw)
    if known.kind == "enumeration" and known.options and value not in known.options:
        raise _Wrong("INVALID_OPTION", f"{value} was not one of the allowed options: [{', '.join(known.options)}]")
    return _READERS.get(known.kind, str)(value)


def checked(kind: ObjectType, given: Any, portal_id: int, *, by_portal: bool = False) -> dict[str, str]:
    """Values fit to be kept. Refused with every wrong one. by_portal: read-only properties may be set."""
    if not isinstance(given, dict):
        raise invalid("Invalid input JSON: properties is missing or no object")
    kept, problems = {}, []
    for name, raw in given.items():
        known = kind.find(name)
        if known is None:
            problems.append(problem(name, "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist', portal_id))
            continue
        if known.read_only and not by_portal:
            told = f'"{name}" is a calculated property; its value cannot be set.'
            problems.append(problem(name, "READ_ONLY_VALUE", told, portal_id))
            continue
        try:
            kept[name] = _kept(known, raw)
        except _Wrong as wrong:
            problems.append(problem(name, wrong.code, str(wrong), portal_id))
    if problems:
        raise bad_values(problems)
    return kept
