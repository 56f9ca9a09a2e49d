"""Associations between records, kept in both directions; v3 and v4 ways to read and write them.

Modelled from the vendor's published material; not certified.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isthmus.sandbox.base import Record
from isthmus.sandbox.hubspot.calls import Answer, Call, paged
from isthmus.sandbox.hubspot.errors import invalid, nothing_here
from isthmus.sandbox.hubspot.schema import PRIMARY, ObjectType
from isthmus.sandbox.hubspot.store import Source
from isthmus.sandbox.hubspot.values import stamp

if TYPE_CHECKING:
    from isthmus.sandbox.hubspot.portal import HubspotSandbox

COLLECTION = "associations"
PAGE_MAX = 500
READ_MAX, CREATE_MAX = 1000, 2000
Link = tuple[str, str, str, int]  # to type, to id, category, type id


def links(box: HubspotSandbox, kind: ObjectType, record_id: str, to: ObjectType) -> dict[str, list[tuple[str, int]]]:
    """(category, type id) pairs by the id at the other end, in the order of ids."""
    found: dict[str, list[tuple[str, int]]] = {}
    for other, category, type_id in box.links.get((kind.name, record_id), {}).get(to.name, ()):
        if box.store.get(to, other) is not None:
            found.setdefault(other, []).append((category, type_id))
    return dict(sorted(found.items(), key=lambda pair: int(pair[0])))


def wanted(box: HubspotSandbox, kind: ObjectType, given: list[Record]) -> list[Link]:
    """The associations a creation asks for, checked before anything is written."""
    asked = []
    for entry in given:
        to_id = str((entry.get("to") or {}).get("id"))
        for spec in entry.get("types") or []:
            category, type_id = str(spec.get("associationCategory")), int(spec.get("associationTypeId") or 0)
            ends = box.schema.ends_of(category, type_id)
            if ends is None or ends[0] != kind.name:
                raise invalid(f"{category} association type id {type_id} doesn't exist from object type {kind.type_id}")
            if box.store.get(box.schema.of(ends[1]), to_id) is None:
                context = {"INVALID_OBJECT_IDS": [to_id], "objectType": [ends[1]]}
                raise invalid("One or more associations are invalid", context=context)
            asked.append((ends[1], to_id, category, type_id))
    return asked


def link(
    box: HubspotSandbox, from_name: str, from_id: str, to_name: str, to_id: str, category: str, type_id: int, by: Source
) -> None:
    """Associate two records, once, in both directions. A line item belongs to one parent only."""
    pairs = [(from_name, from_id, to_name, to_id, type_id)]
    pairs.append((to_name, to_id, from_name, from_id, box.schema.inverse(category, type_id)))
    for a, a_id, b, b_id, number in pairs:
        ends = box.links.setdefault((a, a_id), {}).setdefault(b, [])
        if (b_id, category, number) not in ends:
            ends.append((b_id, category, number))
            key = f"{a}:{a_id}:{number}:{b}:{b_id}"
            box.records.put(COLLECTION, key, {"from": a, "fromId": a_id, "to": b, "toId": b_id, "typeId": number})
    box.hooks.associated(box.schema.of(from_name), from_id, box.schema.of(to_name), to_id, by)


def unlink(box: HubspotSandbox, from_name: str, from_id: str, to_name: str, to_id: str) -> None:
    """Remove every association between two records."""
    for a, a_id, b, b_id in ((from_name, from_id, to_name, to_id), (to_name, to_id, from_name, from_id)):
        ends = box.links.get((a, a_id), {}).get(b, [])
        for one in [end for end in ends if end[0] == b_id]:
            ends.remove(one)
            box.records.delete(COLLECTION, f"{a}:{a_id}:{one[2]}:{b}:{b_id}")


def block(box: HubspotSandbox, kind: ObjectType, record_id: str, names: list[str], base_url: str) -> dict[str, Any]:
    """What GET …?associations=… adds: ids by type, the first page of them, with the way to the next."""
    shown = {}
    for name in names:
        to = box.schema.of(name)
        found = [
            {"id": other, "type": f"{kind.singular}_to_{to.singular}" + ("" if PRIMARY.get(i) is None else "_primary")}
            for other, specs in links(box, kind, record_id, to).items()
            for _, i in specs
        ]
        if found:
            way = f"{base_url}/crm/v3/objects/{kind.name}/{record_id}/associations/{to.name}"
            shown[to.name] = paged(found, None, PAGE_MAX, way)
    return shown


def _told(specs: list[tuple[str, int]]) -> list[Record]:
    return [{"category": category, "typeId": i, "label": PRIMARY.get(i)} for category, i in specs]


def _record(box: HubspotSandbox, kind: ObjectType, record_id: str) -> None:
    if box.store.get(kind, record_id) is None:
        raise nothing_here()


# -- v4 ----------------------------------------------------------------------------------------------------------


def list_of(box: HubspotSandbox, call: Call) -> Answer:
    """GET …/{type}/{id}/associations/{to}: at most 500 a page."""
    kind, to = box.schema.of(call.parts["type"]), box.schema.of(call.parts["to"])
    _record(box, kind, call.parts["id"])
    rows = [
        {"toObjectId": int(other), "associationTypes": _told(specs)}
        for other, specs in links(box, kind, call.parts["id"], to).items()
    ]
    most = min(PAGE_MAX, box.association_page_max)
    limit = min(call.limit(PAGE_MAX, PAGE_MAX), most)
    return 200, paged(rows, call.params.get("after"), limit, f"{call.base_url}{call.path}")


def put(box: HubspotSandbox, call: Call) -> Answer:
    """PUT …/{type}/{id}/associations/{to}/{to_id} with the association types, or …/default/… without."""
    kind, to = box.schema.of(call.parts["type"]), box.schema.of(call.parts["to"])
    _record(box, kind, call.parts["id"])
    _record(box, to, call.parts["to_id"])
    known = box.schema.associations(kind.name, to.name)
    if not known:
        raise invalid(f"No association types exist between {kind.type_id} and {to.type_id}")
    specs = known[:1]
    if "default" not in call.path:
        asked = call.listing()
        specs = [(str(one.get("associationCategory")), int(one.get("associationTypeId") or 0)) for one in asked]
    for category, type_id in specs:
        if (category, type_id) not in known:
            raise invalid(f"{category} association type id {type_id} doesn't exist between {kind.name} and {to.name}")
        link(box, kind.name, call.parts["id"], to.name, call.parts["to_id"], category, type_id, call.source)
    labels = [PRIMARY[i] for _, i in specs if i in PRIMARY]
    told = {"fromObjectTypeId": kind.type_id, "fromObjectId": call.parts["id"], "labels": labels}
    return 200, {**told, "toObjectTypeId": to.type_id, "toObjectId": call.parts["to_id"]}


def remove(box: HubspotSandbox, call: Call) -> Answer:
    """DELETE …/{type}/{id}/associations/{to}/{to_id}."""
    kind, to = box.schema.of(call.parts["type"]), box.schema.of(call.parts["to"])
    unlink(box, kind.name, call.parts["id"], to.name, call.parts["to_id"])
    return 204, None


def batch_read(box: HubspotSandbox, call: Call) -> Answer:
    """POST …/associations/{type}/{to}/batch/read: of many records at once, v4 and v3."""
    kind, to = box.schema.of(call.parts["type"]), box.schema.of(call.parts["to"])
    inputs = call.document().get("inputs") or []
    if len(inputs) > READ_MAX:
        raise invalid(f"The maximum number of inputs supported is {READ_MAX}")
    at, results = stamp(box.now()), []
    for entry in inputs:
        record_id = str(entry.get("id"))
        found = links(box, kind, record_id, to)
        if call.path.startswith("/crm/v3"):
            rows: list[Any] = [{"id": other, "type": f"{kind.singular}_to_{to.singular}"} for other in found]
        else:
            rows = [{"toObjectId": int(other), "associationTypes": _told(specs)} for other, specs in found.items()]
        if rows:
            page = paged(rows, entry.get("after"), PAGE_MAX, f"{call.base_url}{call.path}")
            results.append({"from": {"id": record_id}, "to": page.pop("results"), **page})
    return 200, {"status": "COMPLETE", "results": results, "startedAt": at, "completedAt": at}


def batch_create(box: HubspotSandbox, call: Call) -> Answer:
    """POST …/associations/{type}/{to}/batch/create, v4."""
    kind, to = box.schema.of(call.parts["type"]), box.schema.of(call.parts["to"])
    inputs = call.document().get("inputs") or []
    if len(inputs) > CREATE_MAX:
        raise invalid(f"The maximum number of inputs supported is {CREATE_MAX}")
    at, results = stamp(box.now()), []
    for entry in inputs:
        ends = {"from": str(entry["from"]["id"]), "to": str(entry["to"]["id"])}
        _record(box, kind, ends["from"])
        _record(box, to, ends["to"])
        specs = [(str(s["associationCategory"]), int(s["associationTypeId"])) for s in entry.get("types") or []]
        for category, type_id in specs or box.schema.associations(kind.name, to.name)[:1]:
            link(box, kind.name, ends["from"], to.name, ends["to"], category, type_id, call.source)
        told = {"fromObjectTypeId": kind.type_id, "fromObjectId": int(ends["from"]), "labels": []}
        results.append({**told, "toObjectTypeId": to.type_id, "toObjectId": int(ends["to"])})
    return 201, {"status": "COMPLETE", "results": results, "startedAt": at, "completedAt": at}


def labels(box: HubspotSandbox, call: Call) -> Answer:
    """GET: the kinds of association there may be from one type to another; those the vendor defines have no label."""
    known = box.schema.associations(box.schema.of(call.parts["type"]).name, box.schema.of(call.parts["to"]).name)
    return 200, {"results": [{"category": category, "typeId": number, "label": None} for category, number in known]}
