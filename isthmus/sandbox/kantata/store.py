"""The account's records: ids from counters, stamps from the sandbox's clock, references to other systems.

Modelled from the vendor's published material, not certified.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from isthmus.sandbox.base import Record, Records
from isthmus.sandbox.kantata.schema import Collection

Listener = Callable[[Collection, str, Record | None, Record | None, str], None]
_FIRST_ID = 1001


def to_stamp(moment: datetime) -> str:
    """The vendor answers whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def to_precise(moment: datetime) -> str:
    """The vendor's database keeps microseconds; filters and order use those."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_stamp(text: str) -> datetime:
    """An ISO 8601 moment; a bare date is its midnight UTC. ValueError otherwise."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00").replace(" ", "+"))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def reference_type(c: Collection) -> str:
    """The name external references use for this collection: both kinds of submission share one."""
    return "Submission" if c.name.endswith("_submissions") else c.subject


class Store:
    """Writes records and tells a listener of each change; remembers finer times than it answers."""

    def __init__(self, records: Records, clock: Callable[[], datetime]) -> None:
        self.records = records
        self.clock = clock
        self.listener: Listener = lambda *_: None
        self._last_id: dict[str, int] = {}
        self._times: dict[tuple[str, str], tuple[str, str, int]] = {}
        self._touches = 0

    def clear(self) -> None:
        """Forget counters and times; the records are cleared by their owner."""
        self._last_id.clear()
        self._times.clear()
        self._touches = 0

    def insert(self, c: Collection, values: Record, user_id: str) -> Record:
        """A new record: defaults under the given values; a given id and given stamps are kept."""
        record_id = self._assign_id(c.name, values.pop("id", None))
        created = parse_stamp(values.pop("created_at")) if values.get("created_at") else self.clock()
        updated = parse_stamp(values.pop("updated_at")) if values.get("updated_at") else created
        record: Record = {"id": record_id, **dict(c.defaults), **{f"{a}_id": None for a in c.to_one}, **values}
        record["created_at"], record["updated_at"] = to_stamp(created), to_stamp(updated)
        self._remember(c.name, record_id, created, updated)
        self.records.put(c.name, record_id, record)
        self.listener(c, "created", None, record, user_id)
        return record

    def change(self, c: Collection, record: Record, changes: Record, user_id: str) -> None:
        """Change a record in place, so that side effects do not count as the newest write."""
        before = dict(record)
        record.update(changes)
        now = self.clock()
        record["updated_at"] = to_stamp(now)
        created = self._times[(c.name, record["id"])][0]
        self._touches += 1
        self._times[(c.name, record["id"])] = (created, to_precise(now), self._touches)
        self.listener(c, "updated", before, record, user_id)

    def remove(self, c: Collection, record: Record, user_id: str) -> None:
        """Delete for good, with the references that point here; the vendor has no way back."""
        self.records.delete(c.name, record["id"])
        for reference in self.references(reference_type(c), record["id"]):
            self.records.delete("external_references", reference["id"])
        self.listener(c, "deleted", record, None, user_id)

    def references(self, subject_type: str, subject_id: str) -> list[Record]:
        """External references of one record."""
        found = self.records.find("external_references", subject_type=subject_type, subject_id=int(subject_id))
        return [r for _, r in found]

    def created(self, name: str, record_id: str) -> str:
        """When the record was created, to the microsecond."""
        return self._times[(name, record_id)][0]

    def updated(self, name: str, record_id: str) -> tuple[str, int]:
        """When the record was last changed, to the microsecond, and the running number of that change."""
        times = self._times[(name, record_id)]
        return times[1], times[2]

    def _assign_id(self, name: str, given: Any) -> str:
        last = self._last_id.get(name, _FIRST_ID - 1)
        number = last + 1 if given is None else int(given)
        self._last_id[name] = max(last, number)
        return str(number)

    def _remember(self, name: str, record_id: str, created: datetime, updated: datetime) -> None:
        self._touches += 1
        self._times[(name, record_id)] = (to_precise(created), to_precise(updated), self._touches)
