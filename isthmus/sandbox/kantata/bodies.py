"""What comes in: JSON or Rails-style form bodies, wrapped attributes, and values of the right kind.

Modelled from the vendor's published material, not certified. An attribute the endpoint does not permit is dropped in
silence, so ``approved: true`` on a time entry changes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from isthmus.sandbox.base import Record
from isthmus.sandbox.kantata.answer import Refused, invalid
from isthmus.sandbox.kantata.schema import Collection

_FORM = "application/x-www-form-urlencoded"


async def read_body(request: Request) -> Record:
    """The body as a dictionary; empty when there is none, 400 when it cannot be read."""
    raw = await request.body()
    if not raw:
        return {}
    if request.headers.get("content-type", "").startswith(_FORM):
        return _form(raw.decode(errors="replace"))
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused(400, {"type": "system", "message": "The request body is not a JSON object"})
    return body


def unwrap(body: Mapping[str, Any], key: str) -> Record:
    """The attributes under the collection's singular name; 400 when the wrapper is missing."""
    inner = body.get(key)
    if not isinstance(inner, dict) or not inner:
        raise Refused(400, {"type": "system", "message": f"param is missing or the value is empty: {key}"})
    return dict(inner)


def permitted(c: Collection, given: Mapping[str, Any], names: frozenset[str]) -> Record:
    """The permitted attributes as the record stores them; 422 naming each one of the wrong kind."""
    values: Record = {}
    errors: list[dict[str, str]] = []
    for name in sorted(set(given) & names):
        stored = c.aliases.get(name, name)
        try:
            values[stored] = _value(c, stored, given[name])
        except ValueError as problem:
            errors.append(invalid(name, str(problem)))
    if errors:
        raise Refused(422, *errors)
    return values


def _value(c: Collection, name: str, value: Any) -> Any:
    """One value in its kind: forms and careless clients send numbers and flags as text."""
    if value is None:
        return None
    if name in c.integers:
        if isinstance(value, bool) or not re.fullmatch(r"-?\d+(\.0+)?", str(value)):
            raise ValueError("is not a whole number")
        return int(float(value))
    if name in c.dates:
        return date.fromisoformat(str(value)[:10]).isoformat()
    if name.endswith("_ids"):
        return [str(i) for i in (value if isinstance(value, list) else str(value).split(",")) if str(i)]
    if name.endswith("_id"):
        return str(value) or None
    if isinstance(c.defaults.get(name), bool) and str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    return value


def _form(text: str) -> Record:
    """a[b]=1 and a[b][]=1 as Rails reads them, two levels deep and one for a nested reference."""
    body: Record = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        parts = re.findall(r"[^\[\]]+", name)
        here = body
        for part in parts[:-1]:
            inner = here.setdefault(part, {})
            here = inner if isinstance(inner, dict) else {}
        if name.endswith("[]"):
            here.setdefault(parts[-1], []).append(value)
        else:
            here[parts[-1]] = value
    return body
