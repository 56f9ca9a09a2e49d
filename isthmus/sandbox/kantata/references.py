"""External references: where another system's identity is kept, and the vendor's only upsert.

Modelled from the vendor's published material, not certified. ``create_or_update`` finds its reference by service name,
model, reference and subject type; a reference nested in a creation is written unseen, as the record itself is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isthmus.sandbox.base import Record
from isthmus.sandbox.kantata.access import Caller
from isthmus.sandbox.kantata.answer import Refused, invalid
from isthmus.sandbox.kantata.schema import Collection
from isthmus.sandbox.kantata.schema_money import COLLECTIONS, EXTERNAL_REFERENCES
from isthmus.sandbox.kantata.store import Store, reference_type, to_stamp

IDENTITY = ("service_name", "service_model", "service_model_ref")
_OPTIONAL = ("status", "external_link", "external_message", "external_status", "locked")
_STATUSES = ("pending", "successful", "failed")


def parse_nested(given: Mapping[str, Any]) -> Record | None:
    """The ``external_reference`` of a create or update; 422 when its identity is not complete."""
    nested = given.get("external_reference")
    if nested is None:
        return None
    if not isinstance(nested, dict):
        raise Refused(422, invalid("external_reference", "External reference is invalid"))
    return _checked(nested, IDENTITY, prefix="external_reference.")


def _checked(given: Mapping[str, Any], required: tuple[str, ...], prefix: str = "") -> Record:
    blank = [n for n in required if given.get(n) in (None, "")]
    errors = [invalid(prefix + n, f"{n.replace('_', ' ').capitalize()} can't be blank") for n in blank]
    if given.get("status", "successful") not in _STATUSES:
        errors.append(invalid(prefix + "status", "Status is not included in the list"))
    if errors:
        raise Refused(422, *errors)
    values = {n: given[n] for n in _OPTIONAL if n in given}
    return {**values, **{n: str(given[n]) for n in IDENTITY}}


def nest_reference(store: Store, c: Collection, record: Record, values: Record, caller: Caller) -> None:
    """Give a record its reference: one per service name, so an update replaces the earlier one."""
    subject = {"subject_type": reference_type(c), "subject_id": int(record["id"])}
    mine = store.references(reference_type(c), record["id"])
    same = next((r for r in mine if r["service_name"] == values["service_name"]), None)
    _write(store, same, {**values, **subject}, caller)


def create_or_update(store: Store, given: Mapping[str, Any], caller: Caller) -> Record:
    """POST external_references/create_or_update."""
    values = _checked(given, (*IDENTITY, "subject_id", "subject_type"))
    subject_type, subject_id = str(given["subject_type"]), str(given["subject_id"])
    subjects = [c for c in COLLECTIONS.values() if c.referable and reference_type(c) == subject_type]
    if not subjects:
        raise Refused(422, invalid("subject_type", "Subject type is not included in the list"))
    if not any(store.records.get(c.name, subject_id) for c in subjects):
        raise Refused(422, invalid("subject_id", "Subject does not exist or you may not see it"))
    identity = {n: values[n] for n in IDENTITY}
    hits = [r for _, r in store.records.find("external_references", subject_type=subject_type, **identity)]
    # After a repeated creation several records carry the same reference: the one of this subject is meant.
    found = next((r for r in hits if r["subject_id"] == int(subject_id)), hits[0] if hits else None)
    others = [r for r in store.references(subject_type, subject_id) if r is not found]
    if any(r["service_name"] == values["service_name"] for r in others):
        raise Refused(422, invalid("service_name", "Service name has already been taken"))
    return _write(store, found, {**values, "subject_type": subject_type, "subject_id": int(subject_id)}, caller)


def _write(store: Store, found: Record | None, values: Record, caller: Caller) -> Record:
    values["last_synced_at"] = to_stamp(store.clock())
    if found is None:
        return store.insert(EXTERNAL_REFERENCES, values, caller.user_id)
    store.change(EXTERNAL_REFERENCES, found, values, caller.user_id)
    return found
