"""The books in memory: for simulation and for policies tried without a database. Same rules, no durability."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel

from isthmus.domain.errors import IllegalTransition, SameKeyOtherContent
from isthmus.domain.states import may_move
from isthmus.store.records import Counter
from isthmus.store.tables import SPECS
from isthmus.store.tx import M

Key = tuple[Any, ...]


def key_of(row: BaseModel) -> Key:
    """The key of an object as its table declares it."""
    return tuple(getattr(row, name) for name in SPECS[type(row)].key)


def check_moves(old: BaseModel, new: BaseModel) -> None:
    """IllegalTransition when a state changes in a way domain.states does not allow."""
    for track in SPECS[type(new)].tracks:
        before, after = getattr(old, track), getattr(new, track)
        if before != after and not may_move(before, after):
            raise IllegalTransition(f"{type(new).__name__} {key_of(new)}: {track} cannot go from {before} to {after}")


class MemoryStore:
    """All tables as dictionaries. One transaction at a time."""

    def __init__(self) -> None:
        self.rows: dict[type[BaseModel], dict[Key, BaseModel]] = {model: {} for model in SPECS}
        self.unique: dict[tuple[type[BaseModel], tuple[str, ...]], dict[Key, Key]] = {}
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
        for undo in reversed(self._undo):
            undo()

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
        wanted = [(k, v if isinstance(v, tuple) else (v,)) for k, v in equals.items()]
        rows: list[M] = [
            row  # type: ignore[misc]
            for row in self._store.rows[model].values()
            if all(getattr(row, name) in values for name, values in wanted)
        ]
        for name in reversed(order):
            rows.sort(key=lambda row: _sortable(getattr(row, name.lstrip("-"))), reverse=name.startswith("-"))
        return rows[:limit]

    def insert(self, row: BaseModel) -> None:
        """See Tx."""
        if not self.insert_new(row):
            raise SameKeyOtherContent(f"{type(row).__name__} {key_of(row)} exists already")

    def insert_new(self, row: BaseModel) -> bool:
        """See Tx."""
        spec, table, key = SPECS[type(row)], self._store.rows[type(row)], key_of(row)
        groups = [(group, tuple(getattr(row, name) for name in group)) for group in spec.unique]
        if key in table or any(values in self._unique(row, group) for group, values in groups):
            return False
        if spec.serial:
            row = row.model_copy(update={spec.serial: len(table) + 1})
        table[key] = row
        self._undo.append(lambda: table.pop(key))
        for group, values in groups:
            taken = self._unique(row, group)
            taken[values] = key
            self._undo.append(lambda taken=taken, values=values: taken.pop(values))  # type: ignore[misc]
        return True

    def _unique(self, row: BaseModel, group: tuple[str, ...]) -> dict[Key, Key]:
        return self._store.unique.setdefault((type(row), group), {})

    def insert_many(self, rows: Iterable[BaseModel]) -> None:
        """See Tx."""
        for row in rows:
            self.insert(row)

    def update(self, row: BaseModel) -> None:
        """See Tx."""
        table, key = self._store.rows[type(row)], key_of(row)
        old = table[key]
        check_moves(old, row)
        table[key] = row
        self._undo.append(lambda: table.__setitem__(key, old))

    def put(self, row: BaseModel) -> None:
        """See Tx."""
        if not self.insert_new(row):
            self.update(row)

    def delete(self, row: BaseModel) -> None:
        """See Tx."""
        table, key = self._store.rows[type(row)], key_of(row)
        old = table.pop(key)
        self._undo.append(lambda: table.__setitem__(key, old))

    def next(self, counter: str) -> int:
        """See Tx."""
        old = self.get(Counter, counter)
        value = (old.value if old else 0) + 1
        self.put(Counter(name=counter, value=value))
        return value

    def lock(self, name: str) -> None:
        """Nothing to wait for: one transaction at a time."""


def _sortable(value: Any) -> Any:
    return (value is not None, value) if value is None else (True, value)
