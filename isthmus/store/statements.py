"""The SQL of the store's questions, written once per model and shape.

A text that never changes is split once by the driver and planned once by PostgreSQL, however many values a question
names: they travel as one array. Putting the text together anew for each question cost more than the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel

from isthmus.store.tables import SCHEMA, SPECS, json_fields

LOCK = "select pg_advisory_xact_lock(hashtextextended(%s, 0))"
LOCK_ALL = "select pg_advisory_xact_lock(hashtextextended(name, 0)) from unnest(%s::text[]) as name"
# Rows are taken in the order they are given, so that everybody locks counters in one order.
ADD_MANY = (
    f"insert into {SCHEMA}.counter as kept (name, value) select * from unnest(%s::text[], %s::bigint[])"
    " on conflict (name) do update set value = kept.value + excluded.value returning name, value"
)
Shape = tuple[tuple[str, str], ...]


def shape_of(equals: Mapping[str, Any]) -> Shape:
    """Which fields are asked for, and how: by one value, by one of several, or by having none."""
    return tuple((name, _way(value)) for name, value in equals.items())


def _way(value: Any) -> str:
    if value is None:
        return "is null"
    return "= any(%s)" if isinstance(value, tuple) else "= %s"


def values_of(equals: Mapping[str, Any]) -> list[Any]:
    """The parameters of a question of this shape."""
    return [list(value) if isinstance(value, tuple) else value for value in equals.values() if value is not None]


def asks_for_none(equals: Mapping[str, Any]) -> bool:
    """True when no row can answer: one of no values."""
    return () in equals.values()


@cache
def select(
    model: type[BaseModel],
    shape: Shape,
    order: tuple[str, ...] = (),
    limited: bool = False,
    skip_locked: bool = False,
) -> str:
    """Whole rows of a model, fields in their order. The limit, if any, is the last parameter."""
    named = ", ".join(f'"{name}"' for name in model.model_fields)
    ordered = ", ".join(f'"{name[1:]}" desc' if name.startswith("-") else f'"{name}"' for name in order)
    return (
        f"select {named} {_from(model, shape)}"
        + (f" order by {ordered}" if ordered else "")
        + (" limit %s" if limited else "")
        + (" for update skip locked" if skip_locked else "")
    )


@cache
def tuples(model: type[BaseModel], fields: tuple[str, ...], shape: Shape) -> str:
    """Some fields of rows, composite ones as JSON text."""
    composite = json_fields(model)
    named = ", ".join(f'"{name}"::text' if name in composite else f'"{name}"' for name in fields)
    return f"select {named} {_from(model, shape)}"


@cache
def counts(model: type[BaseModel], by: str, shape: Shape) -> str:
    """The number of rows by each value of a field."""
    return f'select "{by}", count(*) {_from(model, shape)} group by "{by}"'


@cache
def delete(model: type[BaseModel], shape: Shape) -> str:
    """Remove rows."""
    return f"delete {_from(model, shape)}"


def _from(model: type[BaseModel], shape: Sequence[tuple[str, str]]) -> str:
    where = " and ".join(f'"{name}" {way}' for name, way in shape)
    return f'from {SCHEMA}."{SPECS[model].table}"' + (f" where {where}" if where else "")
