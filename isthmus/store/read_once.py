"""A snapshot that remembers what it has read: an answer that asks for the same contract forty times reads it once."""

from __future__ import annotations

from typing import Any

from isthmus.store.postgres import PostgresTx
from isthmus.store.tx import M


class ReadOnce(PostgresTx):
    """For a transaction that only reads one snapshot: objects are immutable, so the same one may be given again."""

    def __init__(self, tx: PostgresTx) -> None:
        super().__init__(tx.raw)
        self._got: dict[Any, Any] = {}
        self._found: dict[Any, list[Any]] = {}

    def get(self, model: type[M], *key: Any) -> M | None:
        """See Tx."""
        if (model, key) not in self._got:
            self._got[model, key] = super().get(model, *key)
        found: M | None = self._got[model, key]
        return found

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
        asked = (model, order, limit, tuple(sorted(equals.items())))
        if asked not in self._found:
            self._found[asked] = super().find(model, order=order, limit=limit, skip_locked=skip_locked, **equals)
        return list(self._found[asked])
