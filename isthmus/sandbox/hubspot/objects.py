"""Records: list, create, read, change, archive, each alone and in batches of at most 100.

Modelled from the vendor's published material; not certified.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from isthmus.sandbox.base import Record
from isthmus.sandbox.hubspot import associations
from isthmus.sandbox.hubspot.calls import Answer, Call, paged, view, whole
from isthmus.sandbox.hubspot.errors import Refused, invalid, not_found, nothing_here
from isthmus.sandbox.hubspot.schema import ObjectType
from isthmus.sandbox.hubspot.values import checked, stamp

if TYPE_CHECKING:
    from isthmus.sandbox.hubspot.portal import HubspotSandbox

BATCH_MAX = 100


def find(box: HubspotSandbox, kind: ObjectType, key: str, id_property: str | None, archived: bool = False) -> Record:
    """A record by id, or by a property whose values are unique. Refused when there is none."""
    if id_property:
        known = kind.find(id_property)
        if known is None or not (known.unique or id_property == "hs_object_id"):
            raise invalid(f"{id_property} is not a unique property of {kind.name}")
        found = box.store.by_property(kind, id_property, key)
    elif not key.isdigit():
        raise not_found("Object not found.  objectId are usually numeric.", id=[key])
    else:
        found = box.store.get(kind, key, archived)
    if found is None:
        raise nothing_here()
    return found


def _shown(box: HubspotSandbox, call: Call, kind: ObjectType, record: Record) -> Record:
    """A record with what the query asks for: properties, their history, associations."""
    body = view(kind, record, call.listed("properties"))
    past = call.listed("propertiesWithHistory")
    if past:
        body["propertiesWithHistory"] = {name: record["history"].get(name, []) for name in past if kind.find(name)}
    linked = associations.block(box, kind, record["id"], call.listed("associations"), call.base_url)
    return {**body, "associations": linked} if linked else body


# -- one ---------------------------------------------------------------------------------------------------------


def list_records(box: HubspotSandbox, call: Call) -> Answer:
    """GET: records in the order of their ids."""
    kind = box.schema.of(call.parts["type"])
    rows = box.store.all(kind, call.truth("archived"))
    page = paged(rows, call.params.get("after"), call.limit(), f"{call.base_url}{call.path}")
    return 200, {**page, "results": [_shown(box, call, kind, record) for record in page["results"]]}


def create(box: HubspotSandbox, call: Call) -> Answer:
    """POST: one record, with its associations."""
    kind = box.schema.of(call.parts["type"])
    return 201, whole(kind, _create(box, call, kind, call.document()))


def _create(box: HubspotSandbox, call: Call, kind: ObjectType, given: Record) -> Record:
    values = checked(kind, given.get("properties"), box.portal_id)
    box.check_stage(kind, values)
    links = associations.wanted(box, kind, given.get("associations") or [])
    record = box.store.create(kind, {**box.defaults(kind, values), **values}, call.source)
    for link in links:
        associations.link(box, kind.name, record["id"], *link, call.source)
    return record


def read(box: HubspotSandbox, call: Call) -> Answer:
    """GET one."""
    kind = box.schema.of(call.parts["type"])
    archived = call.truth("archived")
    record = find(box, kind, call.parts["id"], call.params.get("idProperty"), archived)
    return 200, _shown(box, call, kind, record)


def change(box: HubspotSandbox, call: Call) -> Answer:
    """PATCH one: what is not named stays; an empty text clears."""
    kind = box.schema.of(call.parts["type"])
    values = checked(kind, call.document().get("properties"), box.portal_id)
    record = find(box, kind, call.parts["id"], call.params.get("idProperty"))
    box.check_stage(kind, {**record["properties"], **values})
    return 200, whole(kind, box.store.update(kind, record, values, call.source))


def archive(box: HubspotSandbox, call: Call) -> Answer:
    """DELETE one: into the recycling bin; a record that is not there changes nothing."""
    kind = box.schema.of(call.parts["type"])
    record = box.store.get(kind, call.parts["id"])
    if record is not None:
        box.store.archive(kind, record, call.source)
    return 204, None


# -- batches -----------------------------------------------------------------------------------------------------


def _inputs(call: Call) -> list[Record]:
    inputs = call.document().get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise invalid("Invalid input JSON: inputs is missing or empty")
    if len(inputs) > BATCH_MAX:
        raise invalid(f"The maximum number of inputs supported in a batch request is {BATCH_MAX}")
    return inputs


def _batch(box: HubspotSandbox, done: int, results: list[Record], errors: list[Record]) -> Answer:
    at = stamp(box.now())
    body: Record = {"status": "COMPLETE", "results": results, "startedAt": at, "completedAt": at}
    if errors:
        body |= {"numErrors": len(errors), "errors": errors}
    return (207 if errors else done), body


def batch_read(box: HubspotSandbox, call: Call) -> Answer:
    """Records by id or unique property; those that are not there are named in the errors of a 207."""
    kind, given = box.schema.of(call.parts["type"]), call.document()
    found, missing = [], []
    for entry in _inputs(call):
        try:
            record = find(box, kind, str(entry.get("id")), given.get("idProperty"))
            found.append(view(kind, record, given.get("properties") or []))
        except Refused as refused:
            if refused.status != 404:
                raise
            missing.append(str(entry.get("id")))
    message = f"Could not get some {kind.name} objects, they may be deleted or not exist. Check that ids are valid."
    errors = [not_found(message, ids=missing).entry()] if missing else []
    return _batch(box, 200, found, errors)


def batch_create(box: HubspotSandbox, call: Call) -> Answer:
    """Records, all or none; one by one when every input has an objectWriteTraceId of its own."""
    kind, inputs = box.schema.of(call.parts["type"]), _inputs(call)
    traces = [entry.get("objectWriteTraceId") for entry in inputs]
    if all(traces) and len(set(traces)) == len(traces):
        return _one_by_one(box, inputs, 201, lambda entry: whole(kind, _create(box, call, kind, entry)))
    for entry in inputs:
        box.store.check_unique(kind, checked(kind, entry.get("properties"), box.portal_id), "")
    return _batch(box, 201, [whole(kind, _create(box, call, kind, entry)) for entry in inputs], [])


def batch_update(box: HubspotSandbox, call: Call) -> Answer:
    """Changes, one by one."""
    kind = box.schema.of(call.parts["type"])

    def update(entry: Record) -> Record:
        values = checked(kind, entry.get("properties"), box.portal_id)
        record = find(box, kind, str(entry.get("id")), entry.get("idProperty"))
        box.check_stage(kind, {**record["properties"], **values})
        return whole(kind, box.store.update(kind, record, values, call.source))

    return _one_by_one(box, _inputs(call), 200, update)


def batch_upsert(box: HubspotSandbox, call: Call) -> Answer:
    """Create or change by a unique property; new says which. The same key twice in a batch is refused."""
    kind, inputs = box.schema.of(call.parts["type"]), _inputs(call)
    keys = [(entry.get("idProperty"), str(entry.get("id"))) for entry in inputs]
    if len(set(keys)) < len(keys):
        raise invalid("Duplicate IDs found in batch input")

    def upsert(entry: Record) -> Record:
        name, key = entry.get("idProperty"), str(entry.get("id"))
        known = kind.find(name) if name else None
        values = checked(kind, entry.get("properties"), box.portal_id)
        if name and (known is None or not known.unique):
            raise invalid(f"{name} is not a unique property of {kind.name}")
        found = box.store.by_property(kind, name, key) if name else find(box, kind, key, None)
        if found is not None:
            return {**whole(kind, box.store.update(kind, found, values, call.source)), "new": False}
        made = _create(box, call, kind, {"properties": {str(name): key, **values}})
        return {**whole(kind, made), "new": True}

    return _one_by_one(box, inputs, 200, upsert)


def batch_archive(box: HubspotSandbox, call: Call) -> Answer:
    """Into the recycling bin."""
    kind = box.schema.of(call.parts["type"])
    for entry in _inputs(call):
        record = box.store.get(kind, str(entry.get("id")))
        if record is not None:
            box.store.archive(kind, record, call.source)
    return 204, None


def _one_by_one(box: HubspotSandbox, inputs: list[Record], done: int, act: Callable[[Record], Record]) -> Answer:
    """Carry out each input. One that is refused is named by its trace id, or its id; all refused: the batch is."""
    results: list[Record] = []
    errors: list[Record] = []
    refusals: list[Refused] = []
    for entry in inputs:
        trace: Any = entry.get("objectWriteTraceId")
        try:
            made = act(entry)
            results.append({**made, "objectWriteTraceId": trace} if trace else made)
        except Refused as refused:
            refusals.append(refused)
            context = {"objectWriteTraceId": [trace]} if trace else {"ids": [str(entry.get("id"))]}
            told = refused.entry()
            errors.append({**told, "context": {**told["context"], **context}})
    if refusals and not results and len(inputs) == 1 and not inputs[0].get("objectWriteTraceId"):
        raise refusals[0]
    return _batch(box, done, results, errors)
