"""Create, update and delete, with the external reference that may come nested, and what follows from a write.

Modelled from the vendor's published material, not certified. Nothing is unique at creation: a repeated POST makes a
second record, which is why a client looks up by external reference before it repeats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isthmus.sandbox.base import Record
from isthmus.sandbox.kantata.access import Caller
from isthmus.sandbox.kantata.answer import Refused, invalid
from isthmus.sandbox.kantata.bodies import permitted
from isthmus.sandbox.kantata.references import nest_reference, parse_nested
from isthmus.sandbox.kantata.rules import check
from isthmus.sandbox.kantata.schema import Collection
from isthmus.sandbox.kantata.schema_money import COLLECTIONS
from isthmus.sandbox.kantata.store import Store

MAX_BULK = 100
_CONSUMED = ("add_workspace_ids", "remove_workspace_ids", "clone_id", "clone_version_id", "suppress_emails")


def create(store: Store, c: Collection, given: Mapping[str, Any], caller: Caller) -> Record:
    """One new record; 422 with every problem when it cannot be."""
    record, nested, changes = _candidate(store, c, given, caller)
    return _commit(store, c, record, nested, changes, caller)


def create_many(store: Store, c: Collection, rows: Any, caller: Caller) -> list[Record]:
    """Bulk creation: all of the rows or none."""
    if not isinstance(rows, list) or not 0 < len(rows) <= MAX_BULK or not all(isinstance(r, dict) for r in rows):
        raise Refused(400, {"type": "system", "message": f"Provide between 1 and {MAX_BULK} objects"})
    ready = [_candidate(store, c, row, caller) for row in rows]
    return [_commit(store, c, *one, caller) for one in ready]


def blank(c: Collection, changes: Record, caller: Caller) -> Record:
    """The record before its rule is applied: defaults, empty keys, the caller as owner, then what was given."""
    keys: Record = {f"{a}_id": None for a in c.to_one}
    if c.name != "workspace_resources":  # there the user is the one who will work, and may be open
        keys |= {k: caller.user_id for k in ("user_id", "creator_id") if k in keys}
    return {**dict(c.defaults), **keys, **{k: v for k, v in changes.items() if v is not None or k not in keys}}


def _candidate(
    store: Store, c: Collection, given: Mapping[str, Any], caller: Caller
) -> tuple[Record, Record | None, Record]:
    nested = parse_nested(given) if "external_reference" in c.creates else None
    changes = permitted(c, given, c.creates - {"external_reference"})
    record = blank(c, changes, caller)
    errors = check(store, c, record, changes, creating=True)
    if errors:
        raise Refused(422, *errors)
    return record, nested, changes


def _commit(
    store: Store, c: Collection, record: Record, nested: Record | None, changes: Record, caller: Caller
) -> Record:
    for name in _CONSUMED:
        record.pop(name, None)
    stored = store.insert(c, record, caller.user_id)
    if nested is not None:
        nest_reference(store, c, stored, nested, caller)
    _follow_up(store, c, stored, changes, caller)
    note_state(store, c, stored, c.defaults.get("state"), caller)
    return stored


def update(store: Store, c: Collection, record: Record, given: Mapping[str, Any], caller: Caller) -> Record:
    """Change one record; nothing at all is changed when any attribute is refused."""
    if not c.updates:
        raise Refused(404)
    if record.get("is_invoiced"):
        raise Refused(422, invalid("is_invoiced", f"An invoiced {c.singular.replace('_', ' ')} can't be changed"))
    nested = parse_nested(given) if "external_reference" in c.updates else None
    changes = permitted(c, given, c.updates - {"external_reference"})
    candidate, before = {**record, **changes}, record.get("state")
    errors = check(store, c, candidate, changes, creating=False)
    if errors:
        raise Refused(422, *errors)
    for name in _CONSUMED:
        candidate.pop(name, None)
    store.change(c, record, candidate, caller.user_id)
    if nested is not None:
        nest_reference(store, c, record, nested, caller)
    _follow_up(store, c, record, changes, caller)
    note_state(store, c, record, before, caller)
    return record


def delete(store: Store, c: Collection, record: Record, caller: Caller) -> None:
    """Delete one record for good; what is on an invoice stays."""
    if record.get("is_invoiced"):
        raise Refused(422, invalid("is_invoiced", f"An invoiced {c.singular.replace('_', ' ')} can't be deleted"))
    store.remove(c, record, caller.user_id)


def note_state(store: Store, c: Collection, record: Record, before: Any, caller: Caller) -> None:
    """The trail of a story's states: one entry for each change."""
    if c.name == "stories" and record["state"] != before:
        told = {"state": record["state"], "formatted_state": record["state"].capitalize()}
        who = {"story_id": record["id"], "user_id": caller.user_id}
        store.insert(COLLECTIONS["story_state_changes"], told | who, caller.user_id)


def _follow_up(store: Store, c: Collection, record: Record, changes: Record, caller: Caller) -> None:
    """What a write does to other records."""
    if c.name == "workspace_groups":
        _move_workspaces(store, record["id"], changes, caller)
    elif c.name == "assignments":
        story = store.records.get("stories", record["story_id"])
        if story is not None and record["assignee_id"]:
            ids = story.setdefault("assignee_ids", [])
            story["assignee_ids"] = [*ids, record["assignee_id"]] if record["assignee_id"] not in ids else ids
    elif c.name == "rate_cards" and changes.get("rate_card_set_version_id"):
        _version(store, record["id"], record.pop("rate_card_set_version_id"), caller)
    elif c.name == "rate_card_set_versions" and "rate_card_set_id" in changes:
        for card_id, _ in store.records.find("rate_cards", rate_card_set_id=record["rate_card_set_id"]):
            _version(store, card_id, record["id"], caller, clone=changes.get("clone_id"))


def _move_workspaces(store: Store, group_id: str, changes: Record, caller: Caller) -> None:
    """A project's groups are kept on the project; the group's side is the way to change them in bulk."""
    for name, adds in (("add_workspace_ids", True), ("remove_workspace_ids", False)):
        for workspace_id in changes.get(name) or []:
            workspace = store.records.get("workspaces", workspace_id)
            if workspace is None:  # the rule of the collection has refused it before anything was written
                continue
            others = [i for i in workspace.get("workspace_group_ids") or [] if i != group_id]
            groups = [*others, group_id] if adds else others
            store.change(COLLECTIONS["workspaces"], workspace, {"workspace_group_ids": groups}, caller.user_id)


def _version(store: Store, card_id: str, set_version_id: str, caller: Caller, clone: str | None = None) -> None:
    """A card has one version in every dated version of its set; a cloned one starts with the same rates."""
    values = {"rate_card_id": card_id, "rate_card_set_version_id": set_version_id}
    source = store.records.find("rate_card_versions", rate_card_id=card_id, rate_card_set_version_id=clone)
    if clone is not None and source:
        values["default_rate"] = source[0][1]["default_rate"]
    made = store.insert(COLLECTIONS["rate_card_versions"], dict(values), caller.user_id)
    for _, role in store.records.find("rate_card_roles", rate_card_version_id=source[0][0]) if clone and source else []:
        copied = {"rate_card_version_id": made["id"], "role_id": role["role_id"], "rate": role["rate"]}
        store.insert(COLLECTIONS["rate_card_roles"], copied, caller.user_id)
