"""Many rows in one statement: sent as one JSON document, taken apart by PostgreSQL.

One parameter instead of thousands: the driver has nothing to split or bind per row, and the statement's text never
changes, so it is prepared once. Exact numbers travel as text and arrive as numeric, digit by digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, TypeAdapter

from isthmus.store.tables import SCHEMA, SPECS

ROWS_MAX = 5000


@cache
def _adapter(model: type[BaseModel]) -> TypeAdapter[Any]:
    return TypeAdapter(list[model])  # type: ignore[valid-type]


def as_json(rows: Sequence[BaseModel]) -> str:
    """Rows of one model as a JSON array."""
    return _adapter(type(rows[0])).dump_json(list(rows)).decode()


@cache
def _columns(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(name for name in model.model_fields if name != SPECS[model].serial)


def _named(names: Sequence[str], prefix: str = "") -> str:
    return ", ".join(f'{prefix}"{name}"' for name in names)


@cache
def insert(model: type[BaseModel]) -> sa.TextClause:
    """Insert all rows of :rows."""
    table, columns = f'{SCHEMA}."{SPECS[model].table}"', _columns(model)
    source = f"jsonb_populate_recordset(null::{table}, cast(:rows as jsonb))"
    return sa.text(f"insert into {table} ({_named(columns)}) select {_named(columns)} from {source}")


@cache
def insert_new(model: type[BaseModel]) -> sa.TextClause:
    """Insert the rows of :rows whose keys (and unique rules) are free; gives the keys of those that were."""
    keys = _named(SPECS[model].key)
    return sa.text(f"{insert(model).text} on conflict do nothing returning {keys}")


@cache
def update(model: type[BaseModel]) -> sa.TextClause:
    """Replace the rows with the keys of :rows."""
    spec = SPECS[model]
    table = f'{SCHEMA}."{spec.table}"'
    changed = [name for name in _columns(model) if name not in spec.key]
    given = ", ".join(f'"{name}" = given."{name}"' for name in changed)
    same = " and ".join(f'kept."{name}" = given."{name}"' for name in spec.key)
    source = f"jsonb_populate_recordset(null::{table}, cast(:rows as jsonb))"
    return sa.text(f"update {table} as kept set {given} from {source} as given where {same}")
