"""sObject Collections: up to 200 records in one call, together or each for itself.

Modelled from the vendor's published material; not certified. The code for too many records is not published.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from isthmus.sandbox.platform import ids
from isthmus.sandbox.platform.calls import Answer, Call, Router
from isthmus.sandbox.platform.errors import Ambiguous, ApiError, rolled_back
from isthmus.sandbox.platform.rows import columns, show, upsert
from isthmus.sandbox.platform.schema import SObject

if TYPE_CHECKING:
    from isthmus.sandbox.platform.box import PlatformSandbox

MAX_RECORDS = 200
Record = dict[str, Any]
Save = Callable[[Record], tuple[str, bool | None]]


class _RollBack(Exception):
    """Undo the whole collection."""


def register(router: Router) -> None:
    """Add the addresses of this module."""
    router.add("composite/sobjects", POST=_create, PATCH=_update, DELETE=_delete)
    router.add("composite/sobjects/{object}", GET=_read, POST=_read_posted)
    router.add("composite/sobjects/{object}/{field}", PATCH=_upsert)


def _records(call: Call) -> tuple[list[Record], bool]:
    document = call.document()
    records = document.get("records")
    if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
        raise ApiError(400, "JSON_PARSER_ERROR", "records must be a list of objects")
    _limit(len(records))
    return records, bool(document.get("allOrNone", False))


def _limit(number: int) -> None:
    if number > MAX_RECORDS:
        message = f"record limit reached. cannot submit more than {MAX_RECORDS} records into this call"
        raise ApiError(400, "EXCEEDED_ID_LIMIT", message)


def _type_of(box: PlatformSandbox, record: Record) -> SObject:
    attributes = record.get("attributes")
    name = attributes.get("type") if isinstance(attributes, dict) else None
    found = box.store.schema.find(str(name))
    if found is None:
        raise ApiError(400, "INVALID_TYPE", f"sObject type '{name}' is not supported.", [])
    return found


def _save_all(box: PlatformSandbox, call: Call, records: list[Record], save: Save, together: bool) -> Answer:
    """One result per record in the given order; with ``together`` one failure undoes all."""
    results: list[Record] = []
    try:
        with box.store.transaction(call.origin):
            for record in records:
                results.append(_save_one(save, record))
            if together and not all(result["success"] for result in results):
                raise _RollBack
    except _RollBack:
        undone = {"success": False, "errors": [rolled_back().result()]}
        results = [undone if result["success"] else result for result in results]
    return Answer(200, results)


def _save_one(save: Save, record: Record) -> Record:
    try:
        record_id, created = save(record)
    except ApiError as exc:
        return {"success": False, "errors": [exc.result()]}
    except Ambiguous as exc:
        error = ApiError(300, "DUPLICATE_EXTERNAL_ID", f"external id matches more than one record: {exc}")
        return {"success": False, "errors": [error.result()]}
    done: Record = {"id": record_id, "success": True, "errors": []}
    return done if created is None else {**done, "created": created}


def _create(box: PlatformSandbox, call: Call, _: dict[str, str]) -> Answer:
    records, together = _records(call)

    def save(record: Record) -> tuple[str, None]:
        with box.store.transaction(call.origin):
            return box.store.create(_type_of(box, record), record)["Id"], None

    return _save_all(box, call, records, save, together)


def _update(box: PlatformSandbox, call: Call, _: dict[str, str]) -> Answer:
    records, together = _records(call)

    def save(record: Record) -> tuple[str, None]:
        body = dict(record)
        record_id = str(body.pop("id", None) or body.pop("Id", ""))
        sobject = _type_of(box, record)
        with box.store.transaction(call.origin):
            return box.store.update(sobject, box.store.existing(sobject, record_id), body)["Id"], None

    return _save_all(box, call, records, save, together)


def _upsert(box: PlatformSandbox, call: Call, parts: dict[str, str]) -> Answer:
    sobject = box.store.schema.object(parts["object"])
    records, together = _records(call)
    field = parts["field"].lower()
    seen = Counter(str(_key_of(record, field)).lower() for record in records)

    def save(record: Record) -> tuple[str, bool]:
        if _type_of(box, record) is not sobject:
            raise ApiError(400, "INVALID_TYPE", f"every record must be of type {sobject.name}", [])
        value = _key_of(record, field)
        if value in (None, ""):
            raise ApiError(400, "MISSING_ARGUMENT", f"{parts['field']} not specified", [])
        if seen[str(value).lower()] > 1:
            raise ApiError(400, "DUPLICATE_VALUE", f"Duplicate external id specified: {value}", [])
        body = {name: v for name, v in record.items() if name.lower() != field}
        done, created = upsert(box, call, sobject, parts["field"], str(value), body)
        return done["Id"], created

    return _save_all(box, call, records, save, together)


def _key_of(record: Record, field: str) -> Any:
    return next((value for name, value in record.items() if name.lower() == field), None)


def _delete(box: PlatformSandbox, call: Call, _: dict[str, str]) -> Answer:
    wanted = [i for i in call.params.get("ids", "").split(",") if i]
    _limit(len(wanted))
    by_prefix = {sobject.prefix: sobject for sobject in box.store.schema.objects.values()}

    def save(record: Record) -> tuple[str, None]:
        sobject = by_prefix.get(record["id"][:3])
        if sobject is None:
            raise ApiError(400, "MALFORMED_ID", f"malformed id {record['id']}", [])
        found = box.store.existing(sobject, record["id"])
        with box.store.transaction(call.origin):
            box.store.delete(sobject, found)
        return found["Id"], None

    together = call.params.get("allOrNone", "").lower() == "true"
    return _save_all(box, call, [{"id": i} for i in wanted], save, together)


def _read(box: PlatformSandbox, call: Call, parts: dict[str, str]) -> Answer:
    sobject = box.store.schema.object(parts["object"])
    wanted = [i for i in call.params.get("ids", "").split(",") if i]
    names = columns(call, sobject)
    found = [box.store.live(sobject.name, ids.canonical(i) or "") for i in wanted]
    return Answer(200, [record and show(call, sobject, record, names) for record in found])


def _read_posted(box: PlatformSandbox, call: Call, parts: dict[str, str]) -> Answer:
    """As a GET, with ids and fields in the body, where an address would be too long. fields must be named."""
    document = call.document()
    wanted, fields = document.get("ids"), document.get("fields")
    if not isinstance(wanted, list) or not isinstance(fields, list) or not fields:
        raise ApiError(400, "MISSING_ARGUMENT", "ids and fields must be lists of names")
    _limit(len(wanted))
    asked = {"ids": ",".join(map(str, wanted)), "fields": ",".join(map(str, fields))}
    return _read(box, replace(call, params=asked), parts)
