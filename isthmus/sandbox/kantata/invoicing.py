"""Invoices made in the vendor: they claim time, expenses and milestones, and set them free when cancelled.

Modelled from the vendor's published material, not certified; the names of invoice states are not verified.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from isthmus.sandbox.base import Record
from isthmus.sandbox.kantata.access import Caller
from isthmus.sandbox.kantata.answer import Refused, invalid
from isthmus.sandbox.kantata.approvals import amount_of
from isthmus.sandbox.kantata.bodies import permitted
from isthmus.sandbox.kantata.references import nest_reference, parse_nested
from isthmus.sandbox.kantata.rules import check, currency_of
from isthmus.sandbox.kantata.schema import Collection
from isthmus.sandbox.kantata.schema_money import COLLECTIONS
from isthmus.sandbox.kantata.store import Store

_CLAIMS = {"time_entry_ids": "time_entries", "expense_ids": "expenses", "billing_milestone_ids": "billing_milestones"}
_UNSTORED = ("workspace_id", "time_adjustment_ids", "suppress_emails")


def invoice(store: Store, c: Collection, given: Mapping[str, Any], caller: Caller) -> Record:
    """A new invoice over line items that are on no other one; unapproved time is refused where approval is required."""
    nested = parse_nested(given)
    changes = permitted(c, given, c.creates - {"external_reference"})
    if not changes.get("workspace_id") and changes.get("workspace_ids"):
        changes["workspace_id"] = changes["workspace_ids"][0]
    record: Record = {**dict(c.defaults), "recipient_id": None, "user_id": caller.user_id, **changes}
    errors = check(store, c, record, changes, creating=True)
    workspace = store.records.get("workspaces", record.get("workspace_id") or "")
    if not errors and workspace is None:
        errors = [invalid("workspace_id", "Workspace does not exist or you may not see it")]
    if errors or workspace is None:
        raise Refused(422, *errors)
    claimed = [(name, _claim(store, key, name, record, workspace)) for key, name in _CLAIMS.items()]
    record["balance_in_cents"] = sum(amount_of(item) for _, items in claimed for item in items)
    record.update(currency_of(store, record), workspace_ids=changes.get("workspace_ids") or [workspace["id"]])
    _dates(store, record)
    for name in _UNSTORED:
        record.pop(name, None)
    stored = store.insert(c, record, caller.user_id)
    if nested is not None:
        nest_reference(store, c, stored, nested, caller)
    _mark(store, stored["id"], claimed, caller)
    return stored


def _dates(store: Store, record: Record) -> None:
    issued = date.fromisoformat(record["invoice_date"]) if record["invoice_date"] else store.clock().date()
    record["invoice_date"] = issued.isoformat()
    record["due_date"] = (issued + timedelta(days=record["payment_schedule"])).isoformat()
    if record["draft"]:
        record["status"] = "draft"


def _claim(store: Store, key: str, name: str, record: Record, workspace: Record) -> list[Record]:
    items = []
    for item_id in record.setdefault(key, []) or []:
        item = store.records.get(name, item_id)
        if item is None:
            raise Refused(422, invalid(key, f"{item_id} does not exist or you may not see it"))
        if item.get("is_invoiced") or (name == "billing_milestones" and item["invoice_id"]):
            raise Refused(422, invalid(key, f"{item_id} is already on an invoice"))
        if name == "time_entries" and workspace["require_time_approvals"] and not item["approved"]:
            raise Refused(422, invalid(key, f"{item_id} is not approved"))
        items.append(item)
    return items


def _mark(store: Store, invoice_id: str | None, claimed: list[tuple[str, list[Record]]], caller: Caller) -> None:
    for name, items in claimed:
        for item in items:
            here: Record = {} if name == "billing_milestones" else {"is_invoiced": invoice_id is not None}
            if name != "expenses":
                here["invoice_id"] = invoice_id
            store.change(COLLECTIONS[name], item, here, caller.user_id)


def release(store: Store, record: Record, caller: Caller) -> None:
    """Set free what a cancelled or deleted invoice had claimed."""
    for key, name in _CLAIMS.items():
        items = [i for i in (store.records.get(name, x) for x in record.get(key) or []) if i is not None]
        _mark(store, None, [(name, items)], caller)


def cancel(store: Store, c: Collection, record: Record, caller: Caller) -> Record:
    """PUT invoices/{id}/cancel keeps the invoice and frees its items."""
    if record["status"] == "cancelled":
        raise Refused(422, invalid("status", "Invoice is already cancelled"))
    release(store, record, caller)
    store.change(c, record, {"status": "cancelled", "balance_in_cents": 0}, caller.user_id)
    return record
