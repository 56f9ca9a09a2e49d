"""Rows, one or many, in one statement: sent as one JSON document, taken apart by PostgreSQL.

One parameter instead of thousands: the driver has nothing to split or bind per row, and the statement's text never
changes, so it is prepared once. Exact numbers travel as text and arrive as numeric, digit by digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

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


def _table(model: type[BaseModel]) -> str:
    return f'{SCHEMA}."{SPECS[model].table}"'


def _given(model: type[BaseModel]) -> str:
    return f"jsonb_populate_recordset(null::{_table(model)}, %s::jsonb)"


@cache
def insert(model: type[BaseModel]) -> str:
    """Insert all given rows."""
    named = _named(_columns(model))
    return f"insert into {_table(model)} ({named}) select {named} from {_given(model)}"


@cache
def insert_new(model: type[BaseModel]) -> str:
    """Insert the given rows whose keys (and unique rules) are free; gives the keys of those that were."""
    return f"{insert(model)} on conflict do nothing returning {_named(SPECS[model].key)}"


@cache
def put(model: type[BaseModel]) -> str:
    """Insert the given rows, or replace those with their keys."""
    keys = SPECS[model].key
    changed = ", ".join(f'"{name}" = excluded."{name}"' for name in _columns(model) if name not in keys)
    return f"{insert(model)} on conflict ({_named(keys)}) do update set {changed}"


@cache
def update(model: type[BaseModel]) -> str:
    """Replace the rows with the keys of the given ones."""
    keys = SPECS[model].key
    changed = ", ".join(f'"{name}" = given."{name}"' for name in _columns(model) if name not in keys)
    same = " and ".join(f'kept."{name}" = given."{name}"' for name in keys)
    return f"update {_table(model)} as kept set {changed} from {_given(model)} as given where {same}"
