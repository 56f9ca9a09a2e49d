"""What a portal is set up with: properties, pipelines, owners, custom objects.

Modelled from the vendor's published material; not certified.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isthmus.sandbox.hubspot.calls import Answer, Call
from isthmus.sandbox.hubspot.errors import Refused, invalid, not_found
from isthmus.sandbox.hubspot.schema import ObjectType, Property

if TYPE_CHECKING:
    from isthmus.sandbox.hubspot.portal import HubspotSandbox

STAGES = {
    "appointmentscheduled": ("Appointment Scheduled", "0.2"),
    "qualifiedtobuy": ("Qualified To Buy", "0.4"),
    "presentationscheduled": ("Presentation Scheduled", "0.6"),
    "decisionmakerboughtin": ("Decision Maker Bought-In", "0.8"),
    "contractsent": ("Contract Sent", "0.9"),
    "closedwon": ("Closed Won", "1.0"),
    "closedlost": ("Closed Lost", "0.0"),
}
SINCE = "2025-10-01T14:00:00Z"
UNIQUE_MAX = 10
OWNER = {
    "id": "101",
    "email": "sales@firm.example",
    "firstName": "Sam",
    "lastName": "Seller",
    "userId": 101,
    "createdAt": SINCE,
    "updatedAt": SINCE,
    "archived": False,
    "teams": [],
}


# -- properties --------------------------------------------------------------------------------------------------


def _property(box: HubspotSandbox, call: Call) -> tuple[ObjectType, Property]:
    kind = box.schema.of(call.parts["type"])
    found = kind.find(call.parts["name"])
    if found is None:
        raise not_found(f"Unable to find property {call.parts['name']} for object type {kind.name}")
    return kind, found


def list_properties(box: HubspotSandbox, call: Call) -> Answer:
    """GET: every property of a type."""
    kind = box.schema.of(call.parts["type"])
    archived = call.truth("archived")
    return 200, {"results": [p.told() for p in kind.properties.values() if p.archived is archived]}


def list_groups(box: HubspotSandbox, call: Call) -> Answer:
    """GET: the groups in which a type's properties are shown."""
    kind = box.schema.of(call.parts["type"])
    names = sorted({known.group for known in kind.properties.values() if known.group})
    return 200, {"results": [{"name": name, "label": name, "displayOrder": -1, "archived": False} for name in names]}


def read_property(box: HubspotSandbox, call: Call) -> Answer:
    """GET one."""
    return 200, _property(box, call)[1].told()


def create_property(box: HubspotSandbox, call: Call) -> Answer:
    """POST: a custom property; at most ten of a type have unique values."""
    kind, given = box.schema.of(call.parts["type"]), call.document()
    needed = [name for name in ("name", "label", "type", "fieldType", "groupName") if not given.get(name)]
    if needed:
        raise invalid(f"Property must have {needed[0]} set")
    if kind.find(str(given["name"])):
        raise Refused(409, f"A property named '{given['name']}' already exists.", "OBJECT_ALREADY_EXISTS")
    unique = bool(given.get("hasUniqueValue"))
    if unique and sum(p.unique for p in kind.properties.values()) >= UNIQUE_MAX:
        raise invalid(f"An object type may have at most {UNIQUE_MAX} unique properties")
    options = tuple(str(one["value"]) for one in given.get("options") or [])
    made = Property(str(given["name"]), str(given["type"]), str(given["label"]), options, unique)
    made.group = str(given["groupName"])
    box.schema.add_properties(kind.name, [made])
    return 201, made.told()


def change_property(box: HubspotSandbox, call: Call) -> Answer:
    """PATCH: the label and the options; whether values are unique is decided once."""
    _, found = _property(box, call)
    given = call.document()
    found.label = str(given.get("label", found.label))
    if given.get("options") is not None:
        found.options = tuple(str(one["value"]) for one in given["options"])
    return 200, found.told()


def archive_property(box: HubspotSandbox, call: Call) -> Answer:
    """DELETE: no longer read, written or searched."""
    _, found = _property(box, call)
    if not found.custom:
        raise invalid(f"{found.name} is a HubSpot defined property and cannot be archived")
    found.archived = True
    return 204, None


# -- pipelines and owners ----------------------------------------------------------------------------------------


def pipeline(label: str, stages: dict[str, tuple[str, str]], pipeline_id: str) -> dict[str, Any]:
    """A pipeline as the API shows it. stages: label and probability by id."""
    shown = [
        {"id": stage_id, "label": name, "displayOrder": place, "metadata": {"probability": chance},
         "createdAt": SINCE, "updatedAt": SINCE, "archived": False}
        for place, (stage_id, (name, chance)) in enumerate(stages.items())
    ]  # fmt: skip
    stamps = {"createdAt": SINCE, "updatedAt": SINCE, "archived": False}
    return {"id": pipeline_id, "label": label, "displayOrder": 0, "stages": shown, **stamps}


def list_pipelines(box: HubspotSandbox, call: Call) -> Answer:
    """GET: the pipelines of a type; only deals have one here."""
    box.schema.of(call.parts["type"])
    return 200, {"results": list(_pipelines(box, call).values())}


def read_pipeline(box: HubspotSandbox, call: Call) -> Answer:
    """GET one, or its stages."""
    found = _pipelines(box, call).get(call.parts["id"])
    if found is None:
        raise not_found(f"Could not find pipeline {call.parts['id']}")
    return 200, {"results": found["stages"]} if call.path.endswith("/stages") else found


def _pipelines(box: HubspotSandbox, call: Call) -> dict[str, dict[str, Any]]:
    return box.pipelines if box.schema.of(call.parts["type"]).name == "deals" else {}


def list_owners(box: HubspotSandbox, call: Call) -> Answer:
    """GET: the one owner."""
    wanted = call.params.get("email")
    return 200, {"results": [OWNER] if wanted in (None, "", OWNER["email"]) else []}


def read_owner(box: HubspotSandbox, call: Call) -> Answer:
    """GET one, by its id or by that of its user."""
    wanted = OWNER["userId" if call.params.get("idProperty") == "userId" else "id"]
    if call.parts["id"] != str(wanted):
        raise not_found(f"Could not find owner {call.parts['id']}")
    return 200, OWNER


# -- custom objects ----------------------------------------------------------------------------------------------


def schema_of(kind: ObjectType, portal_id: int) -> dict[str, Any]:
    """A type as the schemas API shows it."""
    return {
        "id": kind.type_id.partition("-")[2],
        "objectTypeId": kind.type_id,
        "fullyQualifiedName": f"p{portal_id}_{kind.name}",
        "name": kind.name,
        "labels": {"singular": kind.label, "plural": kind.label},
        "primaryDisplayProperty": kind.shown[-1],
        "requiredProperties": [],
        "searchableProperties": [],
        "secondaryDisplayProperties": [],
        "properties": [known.told() for known in kind.properties.values()],
        "associations": [],
        "archived": False,
        "createdAt": SINCE,
        "updatedAt": SINCE,
    }


def list_schemas(box: HubspotSandbox, _: Call) -> Answer:
    """GET: the custom objects."""
    own = [kind for kind in box.schema.types.values() if kind.type_id.startswith("2-")]
    return 200, {"results": [schema_of(kind, box.portal_id) for kind in own]}


def create_schema(box: HubspotSandbox, call: Call) -> Answer:
    """POST: a custom object with its properties."""
    given = call.document()
    name = str(given.get("name") or "")
    if not name.isidentifier():
        raise invalid("name is missing or holds characters that are not allowed")
    own = [
        Property(str(p["name"]), str(p.get("type", "string")), unique=bool(p.get("hasUniqueValue")))
        for p in given.get("properties") or []
    ]
    primary = str(given.get("primaryDisplayProperty") or (own[0].name if own else ""))
    if primary not in {known.name for known in own}:
        raise invalid("primaryDisplayProperty must be one of the properties")
    made = box.schema.add_type(name, str((given.get("labels") or {}).get("singular") or name), primary)
    box.schema.add_properties(name, own)
    return 201, schema_of(made, box.portal_id)
