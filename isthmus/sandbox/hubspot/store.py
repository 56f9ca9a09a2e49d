"""The records of a portal: written through one door that stamps them, keeps their history and tells who listens.

Modelled from the vendor's published material; not certified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from isthmus.sandbox.base import Record, Records
from isthmus.sandbox.hubspot.errors import bad_values, problem
from isthmus.sandbox.hubspot.schema import ObjectType, Schema
from isthmus.sandbox.hubspot.values import stamp

FIRST_ID = 10_000_001


@dataclass(frozen=True)
class Source:
    """Who changes something: an application through the API, or a person at the screen."""

    change_source: str
    source_id: str


SCREEN = Source("CRM_UI", "userId:101")


@dataclass(frozen=True)
class Change:
    """What has happened to a record. kind: creation, deletion or propertyChange."""

    kind: str
    type: ObjectType
    record_id: str
    source: Source
    name: str = ""
    value: str = ""


class Store:
    """Records by type and id.

    search_lag: how long a change takes to show in search; reads by id see it at once. listener: told of every change.
    """

    def __init__(self, records: Records, now: Callable[[], datetime], schema: Schema) -> None:
        self.records = records
        self.now = now
        self.schema = schema
        self.search_lag = timedelta(0)
        self.listener: Callable[[Change], None] = lambda change: None
        self._next_id = FIRST_ID
        self._unique: dict[tuple[str, str, str], str] = {}
        self._index: dict[tuple[str, str], list[tuple[datetime, dict[str, str] | None]]] = {}

    # -- reading -------------------------------------------------------------------------------------------------
    def get(self, kind: ObjectType, record_id: str, archived: bool = False) -> Record | None:
        """A record by id, from the primary."""
        found = self.records.get(kind.name, record_id)
        return found if found is not None and found["archived"] is archived else None

    def by_property(self, kind: ObjectType, name: str, value: str) -> Record | None:
        """The record with this value of a unique property."""
        if name == "hs_object_id":
            return self.get(kind, value)
        record_id = self._unique.get((kind.name, name, value))
        return self.get(kind, record_id) if record_id else None

    def all(self, kind: ObjectType, archived: bool = False) -> list[Record]:
        """Records in the order of their ids."""
        found = [record for _, record in self.records.all(kind.name) if record["archived"] is archived]
        return sorted(found, key=lambda record: int(record["id"]))

    def indexed(self, kind: ObjectType) -> Iterator[tuple[Record, dict[str, str]]]:
        """(record, properties) as search shows them now: what it has not taken in yet is missing or old."""
        now = self.now()
        for record_id, record in self.records.all(kind.name):
            seen = [entry for entry in self._index[kind.name, record_id] if entry[0] <= now]
            if seen and seen[-1][1] is not None:
                yield record, seen[-1][1]

    # -- writing -------------------------------------------------------------------------------------------------
    def create(self, kind: ObjectType, values: dict[str, str], source: Source) -> Record:
        """A new record."""
        self.check_unique(kind, values, "")
        record_id, at = str(self._next_id), stamp(self.now())
        self._next_id += 1
        record: Record = {"id": record_id, "properties": {}, "history": {}, "createdAt": at, "updatedAt": at}
        record |= {"archived": False, "archivedAt": None}
        self.records.put(kind.name, record_id, record)
        self.listener(Change("creation", kind, record_id, source))
        self._set(kind, record, {kind.created: at, "hs_object_id": record_id, **values}, source)
        return record

    def update(self, kind: ObjectType, record: Record, values: dict[str, str], source: Source) -> Record:
        """Change a record; values that are the same change nothing but the time of the last change."""
        self.check_unique(kind, values, record["id"])
        self._set(kind, record, values, source)
        return record

    def archive(self, kind: ObjectType, record: Record, source: Source) -> None:
        """Into the recycling bin: no longer found, its unique values free again."""
        record["archived"], record["archivedAt"] = True, stamp(self.now())
        for known in kind.properties.values():
            if known.unique:
                self._unique.pop((kind.name, known.name, record["properties"].get(known.name, "")), None)
        self._take_in(kind, record)
        self.listener(Change("deletion", kind, record["id"], source))

    def check_unique(self, kind: ObjectType, values: dict[str, str], own_id: str) -> None:
        """Refused when another record has a value that must be unique."""
        problems = []
        for name, value in values.items():
            known = kind.find(name)
            other = self._unique.get((kind.name, name, value)) if known and known.unique and value else None
            if other and other != own_id:
                told = f"{kind.singular} with {name} {value} already exists. Existing ID: {other}"
                problems.append(problem(name, "CONFLICTING_UNIQUE_VALUE", told, self.schema.portal_id))
        if problems:
            raise bad_values(problems)

    def _set(self, kind: ObjectType, record: Record, values: dict[str, str], source: Source) -> None:
        at = stamp(self.now())
        values = {**_derived(kind, {**record["properties"], **values}), **values}
        for name, value in values.items():
            before = record["properties"].get(name, "")
            known = kind.find(name)
            if known and known.unique:
                self._unique.pop((kind.name, name, before), None)
                if value:
                    self._unique[kind.name, name, value] = record["id"]
            if value != before:
                entry = {"value": value, "timestamp": at, "sourceType": source.change_source}
                record["history"].setdefault(name, []).insert(0, entry)
                record["properties"][name] = value
                if name not in kind.system:
                    self.listener(Change("propertyChange", kind, record["id"], source, name, value))
        record["properties"][kind.modified] = record["updatedAt"] = at
        self._take_in(kind, record)

    def _take_in(self, kind: ObjectType, record: Record) -> None:
        """Search takes the record in as it is now, after its lag. Entries that were overtaken are forgotten."""
        now = self.now()
        entries = self._index.setdefault((kind.name, record["id"]), [])
        shown = [entry for entry in entries if entry[0] <= now][-1:]
        waiting = [entry for entry in entries if entry[0] > now]
        content = None if record["archived"] else dict(record["properties"])
        entries[:] = [*shown, *waiting, (now + self.search_lag, content)]


def _derived(kind: ObjectType, values: dict[str, str]) -> dict[str, str]:
    """What the portal works out unless it is told: the net amount of a line item."""
    if kind.name != "line_items" or not values.get("price") or not values.get("quantity"):
        return {}
    unit = Decimal(values["price"]) - Decimal(values.get("discount") or 0)
    return {"amount": f"{unit * Decimal(values['quantity']):f}"}
