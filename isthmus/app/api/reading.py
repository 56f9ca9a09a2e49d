"""Reading the books for an answer: one snapshot, nothing changed, lists by page."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from isthmus.app.bootstrap import Hub
from isthmus.domain.errors import BadInput
from isthmus.store.postgres import PostgresTx
from isthmus.store.tables import SPECS, TABLES
from isthmus.store.tx import M

_SNAPSHOT = sa.text("set transaction isolation level repeatable read, read only")


@contextmanager
def reading(hub: Hub) -> Iterator[PostgresTx]:
    """A transaction that sees one moment and cannot write: the database itself refuses."""
    with hub.store.transaction() as tx:
        tx.raw.execute(_SNAPSHOT)
        yield tx


def page(
    tx: PostgresTx,
    model: type[M],
    *,
    limit: int,
    cursor: str = "",
    by: tuple[str, ...] = (),
    where: Sequence[sa.ColumnElement[bool]] = (),
    **equals: Any,
) -> tuple[list[M], str]:
    """Objects in the order of their key (or by) after the cursor, and the cursor of what follows.

    Filters that are None or empty do not count. By key and not by number, so a page neither repeats nor skips when
    rows come in between.
    """
    table, order = TABLES[model], by or SPECS[model].key
    columns = [table.c[name] for name in order]
    query = sa.select(table).where(*where).order_by(*columns).limit(limit + 1)
    for name, value in equals.items():
        if value not in (None, ""):
            query = query.where(table.c[name] == value)
    if cursor:
        query = query.where(sa.tuple_(*columns) > sa.tuple_(*_read(cursor, columns)))
    rows = [model.model_validate(dict(row)) for row in tx.raw.execute(query).mappings()]
    more = len(rows) > limit
    return rows[:limit], _write([getattr(rows[limit - 1], name) for name in order]) if more else ""


def _write(values: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def _read(cursor: str, columns: Sequence[sa.ColumnElement[Any]]) -> list[Any]:
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, RecursionError):
        values = None
    kinds = [column.type.python_type for column in columns]
    fits = isinstance(values, list) and len(values) == len(kinds)
    if not fits or not all(_is_key(value, kind) for value, kind in zip(values, kinds, strict=True)):
        raise BadInput("this cursor is none of ours; leave it out to begin at the first page")
    return [sa.literal(value, column.type) for value, column in zip(values, columns, strict=True)]


def _is_key(value: Any, kind: type) -> bool:
    if kind is int:
        return isinstance(value, int) and abs(value) < 2**63
    return isinstance(value, str) and "\x00" not in value and value.isprintable()
