"""The books in memory: for simulation and for policies tried without a database. Same rules, no durability."""

from __future__ import annotations

import json
from collections import Counter as Counted
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from operator import attrgetter
from typing import Any

from pydantic import BaseModel

from isthmus.domain.errors import IllegalTransition, SameKeyOtherContent
from isthmus.domain.states import may_move
from isthmus.store.copying import columns_of
from isthmus.store.records import Counter
from isthmus.store.tables import SPECS, json_fields
from isthmus.store.tx import M

Key = tuple[Any, ...]


@cache
def _reader(names: tuple[str, ...]) -> Callable[[BaseModel], Key]:
    """A function that takes the values of these fields of an object."""
    values = attrgetter(*names)
    return values if len(names) > 1 else lambda row: (values(row),)


def key_of(row: BaseModel) -> Key:
    """The key of an object as its table declares it."""
    return _reader(SPECS[type(row)].key)(row)


def check_moves(old: BaseModel, new: BaseModel) -> None:
    """IllegalTransition when a state changes in a way domain.states does not allow."""
    for track in SPECS[type(new)].tracks:
        before, after = getattr(old, track), getattr(new, track)
        if before != after and not may_move(before, after):
            raise IllegalTransition(f"{type(new).__name__} {key_of(new)}: {track} cannot go from {before} to {after}")


def check_growing(old: BaseModel, new: BaseModel | None) -> None:
    """Evidence, events and audit are never changed or removed (new is None); a seal is set once. The rest is a bug."""
    spec = SPECS[type(old)]
    if not spec.growing:
        return
    sealing = new is not None and bool(spec.seal) and not getattr(old, spec.seal[0]) and getattr(new, spec.seal[0]) > 0
    same = new is not None and new.model_copy(update={name: getattr(old, name) for name in spec.seal}) == old
    assert sealing and same, f"{type(old).__name__} {key_of(old)} is never changed"


class MemoryStore:
    """All tables as dictionaries. One transaction at a time."""

    def __init__(self) -> None:
        self.rows: dict[type[BaseModel], dict[Key, BaseModel]] = {model: {} for model in SPECS}
        self.unique: dict[tuple[type[BaseModel], tuple[str, ...]], dict[Key, Key]] = {
            (model, group): {} for model, spec in SPECS.items() for group in spec.unique
        }
        self.commits = 0

    @contextmanager
    def transaction(self) -> Iterator[MemoryTx]:
        """See Store."""
        tx = MemoryTx(self)
        try:
            yield tx
        except BaseException:
            tx.undo_all()
            raise
        self.commits += 1


class MemoryTx:
    """See Tx. Keeps an undo list for roll-back."""

    raw = None

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._undo: list[Callable[[], Any]] = []

    def undo_all(self) -> None:
        """Roll back."""
        self._undo_to(0)

    def _undo_to(self, length: int) -> None:
        while len(self._undo) > length:
            self._undo.pop()()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """See Tx."""
        length = len(self._undo)
        try:
            yield
        except BaseException:
            self._undo_to(length)
            raise

    def get(self, model: type[M], *key: Any) -> M | None:
        """See Tx."""
        return self._store.rows[model].get(key)  # type: ignore[return-value]

    def find(
        self,
        model: type[M],
        *,
        order: tuple[str, ...] = (),
        limit: int | None = None,
        skip_locked: bool = False,
        **equals: Any,
    ) -> list[M]:
        """See Tx."""
        if () in equals.values():
            return []
        rows: list[M] = list(self._store.rows[model].values())  # type: ignore[arg-type]
        for name, value in equals.items():
            field = attrgetter(name)
            if isinstance(value, tuple):
                rows = [row for row in rows if field(row) in value]
            else:
                rows = [row for row in rows if field(row) == value]
        for name in reversed(order):
            rows.sort(key=lambda row: _sortable(getattr(row, name.lstrip("-"))), reverse=name.startswith("-"))
        return rows[:limit]

    def tuples(self, model: type[BaseModel], fields: Sequence[str], **equals: Any) -> list[tuple[Any, ...]]:
        """See Tx."""
        read, composite = _reader(tuple(fields)), json_fields(model)
        told = [n for n, name in enumerate(fields) if name in composite]
        found = []
        for row in self.find(model, **equals):
            values = list(read(row))
            for n in told:
                values[n] = json.dumps(row.model_dump(mode="json", include={fields[n]})[fields[n]])
            found.append(tuple(values))
        return found

    def counts(self, model: type[BaseModel], by: str, **equals: Any) -> dict[Any, int]:
        """See Tx."""
        return Counted(getattr(row, by) for row in self.find(model, **equals))

    def copy(self, model: type[BaseModel], rows: Iterable[Sequence[Any]]) -> None:
        """See Tx."""
        names = columns_of(model)
        self.insert_many(model.model_validate(dict(zip(names, row, strict=True))) for row in rows)

    def insert(self, row: BaseModel) -> None:
        """See Tx."""
        if not self.insert_new(row):
            raise SameKeyOtherContent(f"{type(row).__name__} {key_of(row)} exists already")

    def insert_new(self, row: BaseModel) -> bool:
        """See Tx."""
        spec, table, key = SPECS[type(row)], self._store.rows[type(row)], key_of(row)
        if key in table or self._taken_by_another(row, key):
            return False
        if spec.serial:
            row = row.model_copy(update={spec.serial: len(table) + 1})
        table[key] = row
        self._undo.append(lambda: table.pop(key))
        self._claim(row)
        return True

    def _unique(self, row: BaseModel) -> Iterator[tuple[dict[Key, Key], Key]]:
        """For each unique rule: who has taken which values, and the values of this row."""
        for group in SPECS[type(row)].unique:
            yield self._store.unique[type(row), group], _reader(group)(row)

    def _taken_by_another(self, row: BaseModel, key: Key) -> bool:
        return any(taken.get(values, key) != key for taken, values in self._unique(row))

    def _claim(self, row: BaseModel) -> None:
        for taken, values in self._unique(row):
            taken[values] = key_of(row)
            self._undo.append(lambda taken=taken, values=values: taken.pop(values))  # type: ignore[misc]

    def _release(self, row: BaseModel) -> None:
        for taken, values in self._unique(row):
            key = taken.pop(values)
            self._undo.append(lambda taken=taken, values=values, key=key: taken.__setitem__(values, key))  # type: ignore[misc]

    def insert_many(self, rows: Iterable[BaseModel]) -> None:
        """See Tx."""
        for row in rows:
            self.insert(row)

    def insert_new_many(self, rows: Sequence[BaseModel]) -> list[bool]:
        """See Tx."""
        return [self.insert_new(row) for row in rows]

    def update_many(self, rows: Sequence[BaseModel]) -> None:
        """See Tx."""
        for row in rows:
            self.update(row)

    def update(self, row: BaseModel) -> None:
        """See Tx."""
        table, key = self._store.rows[type(row)], key_of(row)
        assert key in table, f"{type(row).__name__} to update is not there"
        old = table[key]
        check_growing(old, row)
        check_moves(old, row)
        if self._taken_by_another(row, key):
            raise SameKeyOtherContent(f"{type(row).__name__} {key}: another one has its unique values")
        serial = SPECS[type(row)].serial
        if serial:
            row = row.model_copy(update={serial: getattr(old, serial)})
        self._release(old)
        table[key] = row
        self._undo.append(lambda: table.__setitem__(key, old))
        self._claim(row)

    def put(self, row: BaseModel) -> None:
        """See Tx."""
        if key_of(row) in self._store.rows[type(row)]:
            self.update(row)
        else:
            self.insert(row)

    def delete(self, row: BaseModel) -> None:
        """See Tx."""
        table, key = self._store.rows[type(row)], key_of(row)
        old = table.get(key)
        if old is None:
            return
        check_growing(old, None)
        del table[key]
        self._undo.append(lambda: table.__setitem__(key, old))
        self._release(old)

    def next(self, counter: str) -> int:
        """See Tx."""
        return self._add(counter, 1)

    def _add(self, counter: str, step: int) -> int:
        old = self.get(Counter, counter)
        value = (old.value if old else 0) + step
        self.put(Counter(name=counter, value=value))
        return value

    def add_many(self, counters: Sequence[str], steps: Sequence[int]) -> list[int]:
        """See Tx."""
        return [self._add(counter, step) for counter, step in zip(counters, steps, strict=True)]

    def lock(self, name: str) -> None:
        """Nothing to wait for: one transaction at a time."""

    def lock_all(self, names: Iterable[str]) -> None:
        """Nothing to wait for: one transaction at a time."""


def _sortable(value: Any) -> Any:
    """Empty values sort last, as they do on PostgreSQL."""
    return (value is None, value)
