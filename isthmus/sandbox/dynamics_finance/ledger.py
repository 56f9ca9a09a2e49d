"""The environment's records: one number per record, a version that becomes the ETag, numbers from sequences.

A number sequence gives a number once and never takes it back, also when the change that asked for it was rolled back.
"""

from __future__ import annotations

import base64
from collections import Counter
from typing import Any

from isthmus.sandbox.base import Record, Records
from isthmus.sandbox.dynamics_finance.schema import BY_SET, Entity
from isthmus.sandbox.dynamics_finance.values import plain

_FIRST_REC_ID = 5637144576  # the first one of a real environment
REC, VERSION = "_rec_id", "_version"  # kept in each record, never shown


class Ledger(Records):
    """Records by collection under their record id, with their keys."""

    def __init__(self) -> None:
        super().__init__()
        self._keys: dict[tuple[Any, ...], str] = {}
        self._last: Counter[str] = Counter()

    def put(self, collection: str, record_id: str, record: Record) -> Record:
        """Insert or replace; a replaced record has a new version."""
        before = self.get(collection, record_id)
        if before is not None:
            self._keys.pop(self._key_of(collection, before), None)
        version = before[VERSION] + 1 if before else record.get(VERSION, 0)
        kept = {**record, REC: int(record_id), VERSION: version}
        self._keys[self._key_of(collection, kept)] = record_id
        return super().put(collection, record_id, kept)

    def delete(self, collection: str, record_id: str) -> bool:
        """Remove one record and free its key."""
        before = self.get(collection, record_id)
        if before is not None:
            self._keys.pop(self._key_of(collection, before), None)
        return super().delete(collection, record_id)

    def _key_of(self, collection: str, record: Record) -> tuple[Any, ...]:
        return (collection, *(str(record[name]).casefold() for name in BY_SET[collection].key))

    def by_key(self, entity: Entity, values: Record) -> Record | None:
        """The record of a whole key, never stale."""
        record_id = self._keys.get(self._key_of(entity.entity_set, values))
        return self.get(entity.entity_set, record_id) if record_id else None

    def add(self, entity: Entity, record: Record) -> Record:
        """A new record under the next record id."""
        return self.put(entity.entity_set, self.new_rec_id(), record)

    def change(self, entity: Entity, record: Record, values: Record) -> Record:
        """A record with other values."""
        return self.put(entity.entity_set, str(record[REC]), {**record, **values})

    def current(self, collection: str, **equals: Any) -> list[Record]:
        """Records as the environment itself sees them, which never works on stale data."""
        rows = self._collections.get(collection, {}).values()
        return [row for row in rows if all(row[name] == value for name, value in equals.items())]

    def new_rec_id(self) -> str:
        """The next record id."""
        self._last["rec"] += 1
        return str(_FIRST_REC_ID + self._last["rec"] - 1)

    def number(self, company: str, sequence: str, width: int = 6) -> str:
        """The next number of a company's sequence, such as USMF-000012."""
        self._last[f"{company}/{sequence}"] += 1
        return f"{sequence}{self._last[f'{company}/{sequence}']:0{width}d}"

    def clear(self) -> None:
        """Forget everything, the sequences too: two runs from empty give the same numbers."""
        super().clear()
        self._keys.clear()
        self._last.clear()

    def savepoint(self) -> tuple[Any, ...]:
        """The state to come back to when a change set fails."""
        kept = {name: dict(rows) for name, rows in self._collections.items()}
        return kept, dict(self._keys), dict(self._written_at), self._writes

    def roll_back(self, state: tuple[Any, ...]) -> None:
        """Back to a savepoint; numbers that were given stay given."""
        self._collections, self._keys, self._written_at, self._writes = state

    def snapshot(self) -> dict[str, list[Record]]:
        """Every record in a stable order, as a request would show it."""
        return {name: [plain(shown(row)) for row in rows] for name, rows in super().snapshot().items()}


def shown(record: Record) -> Record:
    """A record without what is never shown."""
    return {name: value for name, value in record.items() if not name.startswith("_")}


def etag(record: Record) -> str:
    """The ETag: version and record id, as published ones decode to."""
    inner = f"'{record[VERSION]},{record[REC]}'"
    return f'W/"{base64.b64encode(inner.encode()).decode()}"'
