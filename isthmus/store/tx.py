"""One transaction on the hub's own books, the same on PostgreSQL and in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)


class Tx(Protocol):
    """Everything in one Tx commits together or not at all."""

    def get(self, model: type[M], *key: Any) -> M | None:
        """One object by its key."""
        ...

    def find(
        self,
        model: type[M],
        *,
        order: tuple[str, ...] = (),
        limit: int | None = None,
        skip_locked: bool = False,
        **equals: Any,
    ) -> list[M]:
        """Objects whose fields equal the given values (a tuple means one of). "-field" in order is descending.

        skip_locked takes row locks and leaves out rows another worker has locked.
        """
        ...

    def tuples(self, model: type[BaseModel], fields: Sequence[str], **equals: Any) -> list[tuple[Any, ...]]:
        """These fields of find, composite ones as JSON text, in plain tuples and no order: for very many rows."""
        ...

    def counts(self, model: type[BaseModel], by: str, **equals: Any) -> dict[Any, int]:
        """How many objects there are for each value of a field."""
        ...

    def copy(self, model: type[BaseModel], rows: Iterable[Sequence[Any]]) -> None:
        """Very many new objects as tuples of their fields in order, which the caller has checked.

        Refused SameKeyOtherContent when one is there already; then none is kept.
        """
        ...

    def insert(self, row: BaseModel) -> None:
        """A new object. Refused SameKeyOtherContent when its key is taken."""
        ...

    def insert_new(self, row: BaseModel) -> bool:
        """A new object; False and no change when its key (or a unique rule) is taken."""
        ...

    def insert_many(self, rows: Iterable[BaseModel]) -> None:
        """Many new objects of one model."""
        ...

    def insert_new_many(self, rows: Sequence[BaseModel]) -> list[bool]:
        """insert_new for many objects of one model, in one go; which of them were new, in their order."""
        ...

    def update(self, row: BaseModel) -> None:
        """Replace the object with this key. A state may only move as domain.states allows."""
        ...

    def update_many(self, rows: Sequence[BaseModel]) -> None:
        """update for many objects of one model, in one go."""
        ...

    def put(self, row: BaseModel) -> None:
        """Insert or replace; for facts that are not versioned (watermarks, connection states)."""
        ...

    def delete(self, row: BaseModel) -> None:
        """Remove; only retention uses it."""
        ...

    def next(self, counter: str) -> int:
        """The counter's next value, 1 first; gapless: it rolls back with this transaction."""
        ...

    def add_many(self, counters: Sequence[str], steps: Sequence[int]) -> list[int]:
        """Move several counters, each named once, by its step; their new values."""
        ...

    def lock(self, name: str) -> None:
        """Be the only transaction that holds this name, until the end of this transaction."""
        ...

    def lock_all(self, names: Iterable[str]) -> None:
        """lock for many names, always in the same order, so that two callers cannot wait for each other."""
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """A part of this transaction that is rolled back alone when the with-block raises."""
        ...

    @property
    def raw(self) -> Any:
        """The database connection under the transaction (None in memory), for the engine's own enqueue."""
        ...


class Store(Protocol):
    """Where transactions come from."""

    def transaction(self) -> AbstractContextManager[Tx]:
        """Begin; commit at the end of the with-block, roll back when it raises."""
        ...
