"""The end of the month in numbers, and whether anything exists twice in any system."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from isthmus.domain.objects import BillableItem, BillablePart, Engagement, Invoice, TimeEntry
from isthmus.domain.states import CaseState, InvoiceLife, PartState, Posting, Settlement
from isthmus.store.records import Case, Effect
from isthmus.store.tx import Store

# Where each system keeps the hub's key of a record: (system, collection, field).
KEYS = (
    ("netsuite", "customer", "externalId"),
    ("netsuite", "job", "externalId"),
    ("netsuite", "projectTask", "externalId"),
    ("netsuite", "timeBill", "externalId"),
    ("netsuite", "invoice", "externalId"),
    ("avalara", "transactions", "code"),
    ("kantata", "workspaces", "title"),
)


def totals(store: Store, systems: dict[str, Any]) -> dict[str, Any]:
    """Contracts, hours, amounts by state, invoices, cases, effects by system, duplicates."""
    with store.transaction() as tx:
        engagements, entries = tx.find(Engagement), tx.find(TimeEntry)
        items, parts = tx.find(BillableItem), tx.find(BillablePart)
        invoices, cases = tx.find(Invoice, life=InvoiceLife.ISSUED), tx.find(Case)
        effects = tx.find(Effect)
    amounts: dict[str, Decimal] = {}
    for part in parts:
        if part.state is not PartState.SUPERSEDED:
            name = f"{part.state} {part.currency}"
            amounts[name] = amounts.get(name, Decimal(0)) + part.net
    return {
        "contracts": len(engagements),
        "engagements_active": sum(e.state == "active" for e in engagements),
        "time_entries": len({entry.key for entry in entries}),
        "hours": sum((entry.hours for entry in entries), Decimal(0)).quantize(Decimal("0.01")),
        "hours_not_billable": _hours(items, billable=False),
        "evidence": dict(sorted(amounts.items())),
        "invoices_issued": len(invoices),
        "invoices_posted": sum(i.posting is Posting.POSTED for i in invoices),
        "invoices_paid": sum(i.settlement is Settlement.PAID for i in invoices),
        "invoiced_total": sum((i.total for i in invoices), Decimal(0)),
        "still_open": sum((i.open for i in invoices), Decimal(0)),
        "cases_resolved": sum(c.state is not CaseState.OPEN for c in cases),
        "cases_open": {c.case_no: f"{c.exception} {c.cause}" for c in cases if c.state is CaseState.OPEN} or 0,
        "effects": dict(sorted(Counter(e.connection for e in effects).items())),
        "answers_lost_and_found": sum(e.state == "found" for e in effects),
        "duplicates": duplicates(systems),
    }


def _hours(items: list[BillableItem], billable: bool) -> Decimal:
    hours = sum((item.entry_quantity for item in items if item.billable is billable), Decimal(0))
    return hours.quantize(Decimal("0.01"))


def duplicates(systems: dict[str, Any]) -> int:
    """Records of other systems that share a key they should not share."""
    found = 0
    for system, collection, field in KEYS:
        keys = Counter(str(r.get(field)) for r in systems.get(system, {}).get(collection, []) if r.get(field))
        found += sum(count - 1 for count in keys.values())
    return found
