"""The organisation's data: checked writes inside transactions, indexes on external ids, stamps and change events.

Modelled from the vendor's published material; not certified. Stamps carry milliseconds and never repeat, so that
every write moves SystemModstamp even while the sandbox's clock stands; the vendor's own stamps are whole seconds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from isthmus.sandbox.base import Record, Records
from isthmus.sandbox.platform import ids, values
from isthmus.sandbox.platform.changes import Change, ChangeLog
from isthmus.sandbox.platform.errors import Ambiguous, ApiError, invalid_field, no_such_record
from isthmus.sandbox.platform.package import Package
from isthmus.sandbox.platform.schema import Field, Schema, SObject

SCREEN = "com/salesforce/api/soap/67.0;client=SfdcInternalAPI/"  # change origin of the vendor's own screens


class Store:
    """Records of one organisation. Writes happen only inside :meth:`transaction`."""

    def __init__(self, records: Records, now: Callable[[], datetime], package: Package) -> None:
        self.records = records
        self.package = package
        self.schema = Schema(package.objects)
        self.counter = ids.Counter(package.pod)
        self.user_id = ids.make("005", 1, package.pod)
        self.changes = ChangeLog(now, self.user_id)
        self._now = now
        self._seen_now: datetime | None = None
        self._last_stamp: datetime | None = None
        self._index: dict[tuple[str, str], dict[Any, dict[str, None]]] = {}
        self._undo: list[Callable[[], None]] = []
        self._changed: list[Change] = []
        self._depth = 0

    # -- transactions --------------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def transaction(self, origin: str) -> Iterator[None]:
        """All writes of the block together or none; an inner block is a savepoint of the outer one."""
        undo_mark, change_mark = len(self._undo), len(self._changed)
        self._depth += 1
        try:
            yield
        except BaseException:
            while len(self._undo) > undo_mark:
                self._undo.pop()()
            del self._changed[change_mark:]
            raise
        finally:
            self._depth -= 1
            if self._depth == 0:
                changed, self._changed, self._undo = self._changed, [], []
                self.changes.publish(changed, origin)

    # -- reading -------------------------------------------------------------------------------------------------
    def live(self, entity: str, record_id: str) -> Record | None:
        """A record by 15- or 18-character id unless it is deleted or absent."""
        record = self.records.get(entity, ids.canonical(record_id) or "")
        return None if record is None or record["IsDeleted"] else record

    def find(self, entity: str, column: Field, value: Any) -> list[str]:
        """Ids of live records whose indexed column has this value, from the primary."""
        return list(self._index.get((entity, column.name), {}).get(_key(value), ()))

    def one(self, sobject: SObject, column_name: str, value: str) -> tuple[Field, Record | None]:
        """The record an external id names; Ambiguous when several, 404 when the column is no external id."""
        column = sobject.get(column_name)
        if column is None or not column.external_id:
            raise no_such_record(column_name)
        found = self.find(sobject.name, column, values.clean(column, value))
        if len(found) > 1:
            raise Ambiguous(found)
        return column, self.records.get(sobject.name, found[0]) if found else None

    def candidates(self, entity: str, column: Field, wanted: list[Any]) -> list[Record] | None:
        """Records an indexed column narrows a query to; None when the query must scan (stale read, no index)."""
        if self.records.hidden_writes or not (column.indexed or column.type == "id"):
            return None
        if column.type == "id":
            found = {i: None for w in wanted if (i := ids.canonical(str(w)))}
        else:
            found = {i: None for w in wanted for i in self.find(entity, column, w)}
        rows = (self.records.get(entity, i) for i in sorted(found))
        return [row for row in rows if row is not None]

    # -- writing -------------------------------------------------------------------------------------------------
    def create(self, sobject: SObject, body: Record, as_user: bool = False) -> Record:
        """Insert one record; as_user keeps given ids, stamps and derived values."""
        given = self._take(sobject, body, as_user)
        record: Record = {name: values.clean(column, None) for name, column in sobject.fields.items()}
        record.update({n: v for n, v in self.package.defaults.get(sobject.name, {}).items() if n in sobject.fields})
        if "CurrencyIsoCode" in sobject.fields:
            record["CurrencyIsoCode"] = "USD"
        record.update({name: value for name, value in given.items() if value is not None})
        _require(sobject, record, record)
        moment = values.stamp(self._stamp())
        for name in ("CreatedDate", "LastModifiedDate", "SystemModstamp"):
            record[name] = given.get(name) or moment
        for name in ("CreatedById", "LastModifiedById", "OwnerId"):
            if name in sobject.fields:
                record[name] = record[name] or self.user_id
        self.package.before_save(self, sobject.name, None, record, as_user, set(given))
        self._check_unique(sobject, record, None)
        record["Id"] = given.get("Id") or self._next_id(sobject)
        self._number(sobject, record)
        self._put(sobject, None, record)
        filled = {n: v for n, v in record.items() if v is not None and n not in ("Id", "IsDeleted")}
        self._changed.append(Change(sobject.name, record["Id"], "CREATE", filled))
        self.package.after_save(self, sobject.name, None, record)
        return record

    def update(self, sobject: SObject, before: Record, body: Record, as_user: bool = False) -> Record:
        """Change one record; stamps move even when no value changes."""
        given = self._take(sobject, body, as_user)
        given.pop("Id", None)
        after = {**before, **given}
        _require(sobject, after, given)
        moment = values.stamp(self._stamp())
        for name in ("LastModifiedDate", "SystemModstamp"):
            after[name] = given.get(name) or moment
        self.package.before_save(self, sobject.name, before, after, as_user, set(given))
        self._check_unique(sobject, after, before["Id"])
        self._put(sobject, before, after)
        changed = {n: v for n, v in after.items() if v != before.get(n) and n != "SystemModstamp"}
        self._changed.append(Change(sobject.name, after["Id"], "UPDATE", changed))
        self.package.after_save(self, sobject.name, before, after)
        return after

    def delete(self, sobject: SObject, before: Record) -> None:
        """Move one record to the recycle bin, and its children with it."""
        for name, column in self.package.children.get(sobject.name, ()):
            child = self.schema.object(name)
            for child_id in self.find(name, child.fields[column], before["Id"]):
                self.delete(child, self.records.get(name, child_id) or {})
        moment = values.stamp(self._stamp())
        after = {**before, "IsDeleted": True, "LastModifiedDate": moment, "SystemModstamp": moment}
        self._put(sobject, before, after)
        self._changed.append(Change(sobject.name, after["Id"], "DELETE"))

    def existing(self, sobject: SObject, record_id: str) -> Record:
        """The record to write to; the platform tells a deleted record from one that never was."""
        record = self.records.get(sobject.name, ids.canonical(record_id) or "")
        if record is None:
            raise no_such_record(record_id)
        if record["IsDeleted"]:
            raise ApiError(404, "ENTITY_IS_DELETED", "entity is deleted", [])
        return record

    # -- inside --------------------------------------------------------------------------------------------------
    def _take(self, sobject: SObject, body: Record, as_user: bool) -> Record:
        taken: Record = {}
        for name, value in body.items():
            if name == "attributes":
                continue
            column = sobject.get(name)
            if column is None:
                column, value = self._by_external_id(sobject, name, value)
            if column.read_only and not as_user:
                message = f"Unable to create/update fields: {column.name}."
                raise ApiError(400, "INVALID_FIELD_FOR_INSERT_UPDATE", message, [column.name])
            taken[column.name] = cleaned = values.clean(column, value)
            if column.reference_to and cleaned and not as_user:
                self._check_reference(column, cleaned)
        return taken

    def _by_external_id(self, sobject: SObject, name: str, value: Any) -> tuple[Field, str | None]:
        """A relationship in a body, as {"Account": {"Hub_Id__c": "C-1"}}, becomes the id it names."""
        column = sobject.by_relationship(name)
        if column is None or not (isinstance(value, dict) or value is None):
            raise invalid_field(name, sobject.name)
        target = self.schema.find(column.reference_to)
        keys = [k for k in value or {} if k != "attributes"]
        if value is None:
            return column, None
        if target is None or len(keys) != 1:
            raise invalid_field(name, sobject.name)
        key, wanted = keys[0], value[keys[0]]
        key_column = target.get(key)
        if key_column is None or not key_column.external_id:
            raise invalid_field(key, target.name)
        found = self.find(target.name, key_column, values.clean(key_column, wanted))
        if len(found) != 1:
            what = "not found" if not found else "matches more than one record"
            message = f"Foreign key external ID: {wanted} {what} for field {key_column.name} in entity {target.name}"
            raise ApiError(400, "INVALID_FIELD", message, [])
        return column, found[0]

    def _check_reference(self, column: Field, record_id: str) -> None:
        target = self.schema.find(column.reference_to)
        if target is None:
            return  # an object outside this sandbox, such as User or Pricebook2: only the form is checked
        if not record_id.startswith(target.prefix):
            message = f"{column.name}: id value of incorrect type: {record_id}"
            raise ApiError(400, "FIELD_INTEGRITY_EXCEPTION", message, [column.name])
        if self.live(target.name, record_id) is None:
            raise ApiError(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [])

    def _check_unique(self, sobject: SObject, record: Record, own_id: str | None) -> None:
        for column in sobject.fields.values():
            if not column.unique or record.get(column.name) is None:
                continue
            for other in self.find(sobject.name, column, record[column.name]):
                if other != own_id:
                    message = f"duplicate value found: {column.name} duplicates value on record with id: {other}"
                    raise ApiError(400, "DUPLICATE_VALUE", message, [])

    def _next_id(self, sobject: SObject) -> str:
        record_id = self.counter.next(sobject.prefix)
        while self.records.get(sobject.name, record_id) is not None:  # taken by a seeded record
            record_id = self.counter.next(sobject.prefix)
        return record_id

    def _number(self, sobject: SObject, record: Record) -> None:
        for column in sobject.fields.values():
            if column.auto_number and not record[column.name]:
                number = self.counter.next_number(f"{sobject.name}.{column.name}")
                record[column.name] = sobject.number_format.format(number)

    def _stamp(self) -> datetime:
        now = self._now()
        moved_back = self._seen_now is not None and now < self._seen_now
        self._seen_now = now
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        if self._last_stamp is not None and not moved_back:
            now = max(now, self._last_stamp + timedelta(milliseconds=1))
        self._last_stamp = now
        return now

    def _put(self, sobject: SObject, before: Record | None, after: Record) -> None:
        name, record_id = sobject.name, after["Id"]
        self._reindex(sobject, before, after)
        self.records.put(name, record_id, after)

        def undo() -> None:
            self._reindex(sobject, after, before)
            if before is None:
                self.records.delete(name, record_id)
            else:
                self.records.put(name, record_id, before)

        self._undo.append(undo)

    def _reindex(self, sobject: SObject, before: Record | None, after: Record | None) -> None:
        for column in sobject.fields.values():
            if not column.indexed:
                continue
            index = self._index.setdefault((sobject.name, column.name), {})
            old, new = _indexed_value(before, column.name), _indexed_value(after, column.name)
            if old == new:
                continue
            if before is not None and old is not None:
                index.get(old, {}).pop(before["Id"], None)
            if after is not None and new is not None:
                index.setdefault(new, {})[after["Id"]] = None


def _require(sobject: SObject, record: Record, touched: Record) -> None:
    missing = [
        c.name for c in sobject.fields.values() if c.required and c.name in touched and record.get(c.name) is None
    ]
    if missing:
        message = f"Required fields are missing: [{', '.join(missing)}]"
        raise ApiError(400, "REQUIRED_FIELD_MISSING", message, missing)


def _key(value: Any) -> Any:
    """External ids match without regard to case unless the administrator chose otherwise."""
    return value.lower() if isinstance(value, str) else value


def _indexed_value(record: Record | None, name: str) -> Any:
    if record is None or record["IsDeleted"]:
        return None
    return _key(record.get(name))
