"""The account's records: internal ids from shared sequences, external ids unique per record type."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from isthmus.sandbox.base import Record, Records
from isthmus.sandbox.netsuite.schema import TYPES

_FIRST_ID = {"entity": 1001, "transaction": 5001}


class Ledger(Records):
    """Records with the vendor's two keys; remembers what changed since the query tables were last brought up."""

    def __init__(self) -> None:
        super().__init__()
        self.changed: dict[tuple[str, str], None] = {}  # ordered set: query tables follow in the order of writing
        self.generation = 0
        self._external: dict[tuple[str, str], str] = {}
        self._last: Counter[str] = Counter()
        self._taken: set[tuple[str, str]] = set()
        self._entity_names: dict[str, str] = {}
        self.deletions: list[Record] = []

    def put(self, collection: str, record_id: str, record: Record) -> Record:
        """Insert or replace; keeps the external id index in step."""
        self._unindex(collection, record_id)
        if record.get("entityId"):
            self._entity_names[record["entityId"].lower()] = record_id
        if record.get("externalId"):
            self._external[(collection, record["externalId"])] = record_id
        self._taken.add((_space(collection), record_id))
        self.changed[(collection, record_id)] = None
        return super().put(collection, record_id, record)

    def delete(self, collection: str, record_id: str) -> bool:
        """Remove one record and free its external id."""
        self._unindex(collection, record_id)
        self.changed[(collection, record_id)] = None
        return super().delete(collection, record_id)

    def _unindex(self, collection: str, record_id: str) -> None:
        before = self.get(collection, record_id)
        if before is not None:
            self._external.pop((collection, before.get("externalId", "")), None)
            self._entity_names.pop(before.get("entityId", "").lower(), None)

    def clear(self) -> None:
        """Forget everything, the sequences too: two runs from empty give the same ids."""
        super().clear()
        self.changed.clear()
        self._external.clear()
        self._last.clear()
        self._taken.clear()
        self._entity_names.clear()
        self.deletions.clear()
        self.generation += 1

    def current(self, collection: str) -> list[Record]:
        """All records of a type for the account's own bookkeeping, which never works on stale data."""
        return list(self._collections.get(collection, {}).values())

    def by_external(self, collection: str, external_id: str) -> str | None:
        """Internal id of the record with this external id; as direct as a read by id, so never stale."""
        return self._external.get((collection, external_id))

    def by_entity_name(self, entity_id: str) -> str | None:
        """Internal id of the customer, project or employee of this name; the name is unique among all of them."""
        return self._entity_names.get(entity_id.lower())

    def new_id(self, collection: str) -> str:
        """The next free internal id of the sequence this type draws from."""
        space = _space(collection)
        while True:
            self._last[space] += 1
            record_id = str(_FIRST_ID.get(space, 101) + self._last[space] - 1)
            if (space, record_id) not in self._taken:
                return record_id

    def new_number(self, prefix: str) -> str:
        """The next document number of a series, such as INV10001."""
        self._last[prefix] += 1
        return f"{prefix}{10000 + self._last[prefix]}"

    def snapshot(self) -> dict[str, list[Record]]:
        """Every record in a stable order, as plain JSON values."""
        return {name: [plain(r) for r in rows] for name, rows in super().snapshot().items()}


def plain(value: Any) -> Any:
    """The same value with every Decimal as a JSON number."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list) else value


def _space(collection: str) -> str:
    made = TYPES.get(collection)
    return made.space if made else collection
