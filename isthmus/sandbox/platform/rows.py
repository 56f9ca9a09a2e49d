"""The sObject resources: list and describe objects, create, read, change, delete and upsert single records.

Modelled from the vendor's published material; not certified.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isthmus.sandbox.platform import conditions
from isthmus.sandbox.platform.calls import Answer, Call, Router, row_url
from isthmus.sandbox.platform.errors import ApiError, invalid_field, no_such_record, not_found
from isthmus.sandbox.platform.schema import SObject

if TYPE_CHECKING:
    from isthmus.sandbox.platform.box import PlatformSandbox

Parts = dict[str, str]
Record = dict[str, Any]


def register(router: Router) -> None:
    """Add the addresses of this module."""
    router.add("sobjects", GET=_objects)
    router.add("sobjects/{object}", GET=_object, POST=_create)
    router.add("sobjects/{object}/describe", GET=_describe)
    router.add("sobjects/{object}/updated", GET=_updated)
    router.add("sobjects/{object}/deleted", GET=_deleted)
    router.add("sobjects/{object}/{id}", GET=_read, PATCH=_update, DELETE=_delete)
    router.add("sobjects/{object}/{field}/{value:rest}", GET=_read_by, PATCH=_upsert, DELETE=_delete_by)


def show(call: Call, sobject: SObject, record: Record, names: list[str]) -> Record:
    """A record as a read answers it."""
    attributes = {"type": sobject.name, "url": row_url(call, sobject.name, record["Id"])}
    return {"attributes": attributes, **{name: record.get(name) for name in names}}


def columns(call: Call, sobject: SObject) -> list[str]:
    """The columns a read asks for with ``fields``; all of them without."""
    asked = call.params.get("fields")
    if not asked:
        return list(sobject.fields)
    names = []
    for name in asked.split(","):
        column = sobject.get(name.strip())
        if column is None:
            raise invalid_field(name.strip(), sobject.name)
        names.append(column.name)
    return names


def upsert(
    box: PlatformSandbox, call: Call, sobject: SObject, field: str, value: str, body: Record
) -> tuple[Record, bool]:
    """(record, created) after an upsert by external id; used by single, collection and bulk upserts."""
    column, found = box.store.one(sobject, field, value)
    lower = {name.lower() for name in body}
    for forbidden in (column.name, "Id"):
        if forbidden.lower() in lower:
            message = f"The {forbidden} field should not be specified in the sobject data."
            raise ApiError(400, "INVALID_FIELD", message, [])
    with box.store.transaction(call.origin):
        if found is not None:
            conditions.check_write(call, sobject.name, found)
            return box.store.update(sobject, found, body), False
        if call.params.get("updateOnly", "").lower() == "true":
            raise no_such_record(column.name)
        return box.store.create(sobject, {**body, column.name: value}), True


def _objects(box: PlatformSandbox, call: Call, _: Parts) -> Answer:
    shown = [sobject.summary(call.base) for sobject in box.store.schema.objects.values()]
    return Answer(200, {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": shown})


def _object(box: PlatformSandbox, call: Call, parts: Parts) -> Answer:
    sobject = box.store.schema.object(parts["object"])
    return Answer(200, {"objectDescribe": sobject.summary(call.base), "recentItems": []})


def _describe(box: PlatformSandbox, call: Call, parts: Parts) -> Answer:
    sobject = box.store.schema.object(parts["object"])
    fields = [column.describe() for column in sobject.fields.values()]
    return Answer(200, {**sobject.summary(call.base), "fields": fields, "childRelationships": []})


def _create(box: PlatformSandbox, call: Call, parts: Parts) -> Answer:
    sobject = box.store.schema.object(parts["object"])
    body = call.document()
    if any(name.lower() == "id" for name in body):
        raise ApiError(400, "INVALID_FIELD_FOR_INSERT_UPDATE", "cannot specify Id in an insert call", ["Id"])
    with box.store.transaction(call.origin):
        record = box.store.create(sobject, body)
    answer = {"id": record["Id"], "success": True, "errors": []}
    return Answer(201, answer, {"Location": row_url(call, sobject.name, record["Id"])})


def _answer_record(call: Call, sobject: SObject, record: Record) -> Answer:
    headers = {"ETag": conditions.etag(record)} if sobject.name == "Account" else {}
    if conditions.unchanged(call, sobject.name, record):
        return Answer(304, None, headers)
    return Answer(200, show(call, sobject, record, columns(call, sobject)), headers)


def _read(box: PlatformSandbox, call: Call, parts: Parts) -> Answer:
    sobject = box.store.schema.object(parts["object"])
    record = box.store.live(sobject.name, parts["id"])
    if record is None:
        raise no_such_record(parts["id"])
    return _answer_record(call, sobject, record)


def _read_by(box: PlatformSandbox, call: Call, parts: Parts) -> Answer:
    sobject = box.store.schema.object(parts["object"])
    _, record = box.store.one(sobject, parts["field"], parts["value"])
    if record is None:
        raise not_found()
    return _answer_record(call, sobject, record)


def _update(box: PlatformSandbox, call: Call, parts: Parts) -> Answer:
    sobject = box.store.schema.object(parts["object"])
    record = box.store.existing(sobject, parts["id"])
    conditions.check_write(call, sobject.name, record)
    with box.store.transaction(call.origin):
        box.store.update(sobject, record, call.document())
    return Answer(204)


def _upsert(box: PlatformSandbox, call: Call, parts: Parts) -> Answer:
    sobject = box.store.schema.object(parts["object"])
    record, created = upsert(box, call, sobject, parts["field"], parts["value"], call.document())
    if not created and float(call.version) < 46:
        return Answer(204)  # before v46 an update by external id had no body
    answer = {"id": record["Id"], "success": True, "errors": [], "created": created}
    headers = {"Location": row_url(call, sobject.name, record["Id"])} if created else {}
    return Answer(201 if created else 200, answer, headers)


def _delete(box: PlatformSandbox, call: Call, parts: Parts) -> Answer:
    sobject = box.store.schema.object(parts["object"])
    record = box.store.existing(sobject, parts["id"])
    with box.store.transaction(call.origin):
        box.store.delete(sobject, record)
    return Answer(204)


def _delete_by(box: PlatformSandbox, call: Call, parts: Parts) -> Answer:
    sobject = box.store.schema.object(parts["object"])
    _, record = box.store.one(sobject, parts["field"], parts["value"])
    if record is None:
        raise not_found()
    with box.store.transaction(call.origin):
        box.store.delete(sobject, record)
    return Answer(204)


def _window(box: PlatformSandbox, call: Call, parts: Parts, deleted: bool) -> tuple[list[Record], str]:
    sobject = box.store.schema.object(parts["object"])
    start, end = box.moment(call.params.get("start", "")), box.moment(call.params.get("end", ""))
    rows = [r for _, r in box.records.all(sobject.name) if r["IsDeleted"] is deleted]
    return [r for r in rows if start <= r["SystemModstamp"] <= end], end


def _updated(box: PlatformSandbox, call: Call, parts: Parts) -> Answer:
    rows, end = _window(box, call, parts, deleted=False)
    return Answer(200, {"ids": [r["Id"] for r in rows], "latestDateCovered": end})


def _deleted(box: PlatformSandbox, call: Call, parts: Parts) -> Answer:
    rows, end = _window(box, call, parts, deleted=True)
    gone = [{"id": r["Id"], "deletedDate": r["SystemModstamp"]} for r in rows]
    return Answer(200, {"deletedRecords": gone, "earliestDateAvailable": end, "latestDateCovered": end})
