"""What SC-12 says must be there at the end, counted in the hub and in every system."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from isthmus.app.demo.totals import duplicates
from isthmus.runtime.effects import FINISHED
from tests.crash.outcome import Outcome, unfinished
from tests.crash.stage import CONTRACT

NET, TAX, TOTAL = Decimal("6432.00"), Decimal("570.84"), Decimal("7002.84")


def breaks(outcome: Outcome) -> list[str]:
    """Every expectation of SC-12 that does not hold, in words."""
    checks = [*_in_the_hub(outcome), *_in_the_systems(outcome)]
    found = [f"{what}: {got!r}, not {wanted!r}" for what, got, wanted in checks if got != wanted]
    open_effects = [e.effect_key for e in outcome.effects if e.state not in FINISHED]
    return found + unfinished(outcome) + [f"effect {key} is not finished" for key in open_effects]


def _in_the_hub(outcome: Outcome) -> Iterable[tuple[str, Any, Any]]:
    hub = outcome.hub
    parts = [p for p in hub["BillablePart"] if p["state"] != "superseded"]
    invoice = hub["Invoice"][0] if hub["Invoice"] else {}
    marked = [e for e in outcome.effects if e.verb == "TimeSource.mark_invoiced"]
    yield "entries", len(hub["TimeEntry"]), 4
    yield "items", len(hub["BillableItem"]), 4
    yield "hours", sum(Decimal(i["quantity"]) for i in hub["BillableItem"]), Decimal(32)
    yield "parts by state", sorted(p["state"] for p in parts), ["invoiced"] * 4
    yield "parts invoiced", sum(Decimal(p["net"]) for p in parts), NET
    yield "invoices", len(hub["Invoice"]), 1
    yield (
        "tax and total",
        (invoice.get("tax"), invoice.get("total"), invoice.get("open")),
        (str(TAX), str(TOTAL), "0.00"),
    )
    yield "next number", outcome.next_number, 2
    yield "number", invoice.get("number"), "US01-INV-2026-00001"
    yield "payments", [p["amount"] for p in hub["Payment"]], [str(TOTAL)]
    yield "allocations", [a["amount"] for a in hub["Allocation"]], [str(TOTAL)]
    yield "PSA write-backs", len(marked), 1
    yield "cases", [case.cause for case in outcome.cases], []


def _in_the_systems(outcome: Outcome) -> Iterable[tuple[str, Any, Any]]:
    erp, tax, psa, crm = (outcome.systems[n] for n in ("netsuite", "avalara", "kantata", "salesforce"))
    yield "records with the same key", duplicates(outcome.systems), 0
    yield "ERP invoices", [Decimal(str(i["total"])) for i in erp["invoice"]], [TOTAL]
    yield "ERP time bills", len(erp["timeBill"]), 4
    yield (
        "tax documents",
        [(t["status"], Decimal(str(t["totalTax"]))) for t in tax["transactions"]],
        [("Committed", TAX)],
    )
    yield "PSA invoices", len(psa["invoices"]), 1
    contracts = [c for c in crm["Contract"] if c["Contract_No__c"] == CONTRACT]
    shown = [(c["Hub_Status__c"], c["Hub_Billed__c"], c["Hub_Paid__c"]) for c in contracts]
    yield "CRM shows", shown, [("paid", float(NET), float(TOTAL))]
