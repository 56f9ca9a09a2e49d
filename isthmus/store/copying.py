"""Very many rows at once: COPY, PostgreSQL's own way of taking rows in, and plain tuples out.

A month end moves millions of values. An object for each row costs more than all the arithmetic on it, so what is done
in bulk is done on tuples, and written in COPY's text format without a driver's adaptation of each value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

from pydantic import BaseModel

from isthmus.store.tables import SCHEMA, SPECS, json_fields

NULL = "\x02"  # what stands for an empty value; a text with a control character is escaped, so it can never be one
BUFFER_CHARACTERS = 1 << 18
_ESCAPES = str.maketrans({c: f"\\x{ord(c):02x}" for c in map(chr, range(1, 32))} | {"\\": "\\\\"})


def _text(value: str) -> str:
    return value.translate(_ESCAPES) if "\\" in value or not value.isprintable() else value


_ENCODERS: dict[type, Callable[[Any], str]] = {
    type(None): lambda value: NULL,
    bool: lambda value: "t" if value else "f",
    int: str,
    Decimal: str,
    date: date.isoformat,
    datetime: datetime.isoformat,
}


@cache
def columns_of(model: type[BaseModel]) -> tuple[str, ...]:
    """The columns a copied row has a value for, in order: all but the one the database numbers."""
    return tuple(name for name in model.model_fields if name != SPECS[model].serial)


class Encoder:
    """Rows as lines of COPY's text format. Composite values that many rows share are turned into JSON once."""

    def __init__(self, model: type[BaseModel]) -> None:
        composite = json_fields(model)
        self._composite = [n for n, name in enumerate(columns_of(model)) if name in composite]
        self._known: dict[int, tuple[Any, str]] = {}

    def line(self, row: Sequence[Any]) -> str:
        """One row."""
        if self._composite:
            row = list(row)
            for n in self._composite:
                row[n] = self._json(row[n])
        encoders = _ENCODERS
        line = "\t".join([v if v.__class__ is str else encoders.get(v.__class__, str)(v) for v in row])
        plain = "\\" not in line and "\n" not in line and "\r" not in line and NULL not in line
        if plain and line.count("\t") < len(row):
            return line
        return "\t".join([encoders[v.__class__](v) if v.__class__ in encoders else _text(v) for v in row])

    def _json(self, value: Any) -> str | None:
        if value is None:
            return None
        known = self._known.get(id(value))
        if known is None or known[0] is not value:  # the value is kept, so that its id stays its own
            known = self._known[id(value)] = (value, json.dumps(value, separators=(",", ":")))
        return known[1]


def buffers(model: type[BaseModel], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """The rows as text to be sent, in pieces of about BUFFER_CHARACTERS."""
    encode, lines, size = Encoder(model).line, list[str](), 0
    for row in rows:
        line = encode(row)
        lines.append(line)
        size += len(line)
        if size > BUFFER_CHARACTERS:
            yield "\n".join(lines) + "\n"
            lines, size = [], 0
    if lines:
        yield "\n".join(lines) + "\n"


@cache
def statement(model: type[BaseModel]) -> str:
    """COPY into the table of a model."""
    named = ", ".join(f'"{name}"' for name in columns_of(model))
    return f"copy {SCHEMA}.\"{SPECS[model].table}\" ({named}) from stdin (format text, null E'\\x02')"
