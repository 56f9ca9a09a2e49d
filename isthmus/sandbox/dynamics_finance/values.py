"""Values as they travel: JSON in and out, literals in addresses and filters. Numbers are exact inside."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from isthmus.sandbox.dynamics_finance.errors import bad_request
from isthmus.sandbox.dynamics_finance.schema import EDM, ENUMS, NAMESPACE, Entity


def parse(body: bytes) -> dict[str, Any]:
    """A JSON object with every fraction as Decimal."""
    try:
        document = json.loads(body or b"{}", parse_float=Decimal)
    except ValueError:
        raise bad_request("An unexpected end of input was found in JSON content.") from None
    if not isinstance(document, dict):
        raise bad_request("An unexpected 'StartArray' node was found when reading from the JSON reader.")
    return document


def render(document: Any) -> bytes:
    """JSON bytes; amounts as the shortest number."""
    return json.dumps(document, default=_plain, separators=(",", ":"), ensure_ascii=False).encode()


def plain(value: Any) -> Any:
    """The same value with every Decimal as a JSON number."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return _plain(value) if isinstance(value, Decimal) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"not a vendor value: {value!r}")


def taken(entity: Entity, name: str, value: Any) -> Any:
    """A value of a request as the environment keeps it."""
    kind = entity.all_fields[name]
    if kind == "s" and isinstance(value, str):
        return value
    if kind in ("i", "l") and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind == "n" and isinstance(value, int | Decimal | str) and not isinstance(value, bool):
        return _decimal(value)
    if kind == "d" and isinstance(value, str):
        return moment(value)
    if kind in ENUMS and value in ENUMS[kind]:
        return value
    expected = EDM.get(kind, f"{NAMESPACE}.{kind}")
    raise bad_request(f"Cannot convert the literal '{value}' to the expected type '{expected}'.")


def _decimal(value: Any) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise bad_request(f"Cannot convert the literal '{value}' to the expected type 'Edm.Decimal'.") from None


def moment(text: str) -> str:
    """A moment in UTC with whole seconds."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise bad_request(f"Cannot convert the literal '{text}' to the expected type 'Edm.DateTimeOffset'.") from None
    return (found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


def sort_key(value: Any) -> tuple[int, Any]:
    """What a value is ordered and compared by: text without regard to case, as the database does."""
    return (1, value.casefold()) if isinstance(value, str) else (0, value)


def same(one: Any, other: Any) -> bool:
    """Equal as the database sees it."""
    return sort_key(one) == sort_key(other)
