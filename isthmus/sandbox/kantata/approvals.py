"""Submissions of time and expenses, and their resolutions: approval, rejection, cancellation.

Modelled from the vendor's published material, not certified. Approval is never written to a time entry directly: it
follows from the resolution of the submission the entry is on.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from isthmus.sandbox.base import Record
from isthmus.sandbox.kantata.access import Caller
from isthmus.sandbox.kantata.answer import Refused, invalid
from isthmus.sandbox.kantata.bodies import permitted
from isthmus.sandbox.kantata.references import nest_reference, parse_nested
from isthmus.sandbox.kantata.rules import check, currency_of
from isthmus.sandbox.kantata.schema import Collection
from isthmus.sandbox.kantata.schema_money import COLLECTIONS
from isthmus.sandbox.kantata.store import Store, to_stamp

ITEMS = {"timesheet_submissions": "time_entries", "expense_report_submissions": "expenses"}
VERBS = {
    "approve": ("approval", "approved"),
    "reject": ("rejection", "rejected"),
    "cancel": ("cancellation", "cancelled"),
}
BULK = {
    "timesheet_approvals": ("timesheet_submissions", "approve"),
    "timesheet_rejections": ("timesheet_submissions", "reject"),
    "timesheet_cancellations": ("timesheet_submissions", "cancel"),
    "expense_report_approvals": ("expense_report_submissions", "approve"),
    "expense_report_rejections": ("expense_report_submissions", "reject"),
    "expense_report_cancellations": ("expense_report_submissions", "cancel"),
}
_FROM = {"approve": ("pending",), "reject": ("pending", "approved"), "cancel": ("pending",)}


def amount_of(item: Record) -> int:
    """What a line item is worth in the smallest unit: an expense its amount, time its minutes at the hourly rate."""
    if "amount_in_cents" in item:
        return int(item["amount_in_cents"])
    worth = Decimal(item["time_in_minutes"]) * Decimal(item["rate_in_cents"] or 0) / 60
    return int(worth.quantize(Decimal(1), ROUND_HALF_UP)) if item["billable"] else 0


def submit(store: Store, c: Collection, given: Mapping[str, Any], caller: Caller) -> Record:
    """A new pending submission of line items of one project that are on no other active submission."""
    nested = parse_nested(given)
    changes = permitted(c, given, c.creates - {"external_reference"})
    record: Record = {**dict(c.defaults), "user_id": caller.user_id, **changes}
    errors = check(store, c, record, changes, creating=True)
    if errors:
        raise Refused(422, *errors)
    items_c = COLLECTIONS[ITEMS[c.name]]
    items = [_free_item(store, items_c, i, record["workspace_id"]) for i in record.pop("line_item_ids")]
    record.update(currency_of(store, record))
    if items_c.name == "time_entries":
        days = sorted(i["date_performed"] for i in items)
        record.update(start_date=days[0], end_date=days[-1])
    record["line_item_total_in_cents"] = sum(amount_of(i) for i in items)
    record["time_entry_ids" if items_c.name == "time_entries" else "expense_ids"] = [i["id"] for i in items]
    if not given.get("user_id"):
        record["user_id"] = items[0]["user_id"]
    stored = store.insert(c, record, caller.user_id)
    if nested is not None:
        nest_reference(store, c, stored, nested, caller)
    for item in items:
        here = {"active_submission_id": stored["id"], "recent_submission_id": stored["id"]}
        store.change(items_c, item, here, caller.user_id)
    return stored


def _free_item(store: Store, c: Collection, item_id: str, workspace_id: str) -> Record:
    item = store.records.get(c.name, item_id)
    if item is None or item["workspace_id"] != workspace_id:
        raise Refused(422, invalid("line_item_ids", f"Line item {item_id} does not exist in this project"))
    if item["active_submission_id"] is not None:
        raise Refused(422, invalid("line_item_ids", f"Line item {item_id} is already submitted"))
    return item


def resolve(store: Store, c: Collection, record: Record, verb: str, description: Any, caller: Caller) -> Record:
    """Approve, reject or cancel one submission; returns the resolution."""
    if not caller.admin and verb != "cancel":
        raise Refused(403)
    if record["status"] not in _FROM[verb]:
        raise Refused(422, invalid("status", f"A submission that is {record['status']} can't be resolved this way"))
    items_c = COLLECTIONS[ITEMS[c.name]]
    ids = record.get("time_entry_ids") or record.get("expense_ids") or []
    items = [i for i in (store.records.get(items_c.name, x) for x in ids) if i is not None]
    if verb != "approve" and any(i["is_invoiced"] for i in items):
        raise Refused(422, invalid("status", "A submission with invoiced line items can't be resolved this way"))
    kind, status = VERBS[verb]
    now = to_stamp(store.clock())
    resolution = {
        "type": kind,
        "description": description,
        "target_type": c.subject,
        "target_id": int(record["id"]),
        "user_id": int(caller.user_id),
    }
    made = store.insert(COLLECTIONS["resolutions"], resolution, caller.user_id)
    current = {
        "status": status,
        "resolution_description": description,
        "current_resolution_description": description,
        "current_resolution_creator_id": int(caller.user_id),
        "current_resolution_created_at_date": now,
    }
    store.change(c, record, current, caller.user_id)
    for item in items:
        store.change(items_c, item, _item_after(items_c, item, record["id"], verb), caller.user_id)
    return made


def _item_after(c: Collection, item: Record, submission_id: str, verb: str) -> Record:
    """An approved item stays on its submission; any other resolution sets it free for the next one."""
    approved = {"approved": verb == "approve"} if c.name == "time_entries" else {}
    active = submission_id if verb == "approve" else None
    return {**approved, "active_submission_id": active}


def resolve_many(store: Store, name: str, given: Mapping[str, Any], caller: Caller) -> list[Record]:
    """The bulk forms: every named submission must exist before any is resolved."""
    collection, verb = BULK[name]
    c = COLLECTIONS[collection]
    ids = given.get("submission_ids")
    if not isinstance(ids, list) or not ids:
        raise Refused(422, invalid("submission_ids", "Submission ids can't be blank"))
    found = [store.records.get(collection, str(i)) for i in ids]
    records = [r for r in found if r is not None]
    if len(records) < len(found):
        raise Refused(404)
    return [resolve(store, c, r, verb, given.get("description"), caller) for r in records]
