"""Bills and credits of vendors: their expense lines, totals and status.

Names are those of the vendor's schema browser in the spelling of its REST services; the statuses are those of its help
(VendBill:A to F). Payments of bills, and applying a credit to a bill, are not modelled.
"""

from __future__ import annotations

from isthmus.sandbox.base import Record
from isthmus.sandbox.netsuite.ledger import Ledger
from isthmus.sandbox.netsuite.sales import ZERO, money
from isthmus.sandbox.netsuite.schema import ENUMS
from isthmus.sandbox.netsuite.shapes import user_error

PURCHASES = ("vendorBill", "vendorCredit")


def finish(ledger: Ledger, draft: Record, name: str) -> None:
    """Amounts, total and status of a bill or credit. Nobody's tax rules are known here, so tax is nothing."""
    lines = draft.get("expense") or []
    if not lines:
        raise user_error("You must enter at least one line item for this transaction.", path="expense")
    for number, line in enumerate(lines):
        for field in ("account", "amount"):
            if line.get(field) is None:
                text = f"Please enter value(s) for: {field.title()}."
                raise user_error(text, path=f"expense.items[{number}].{field}")
        line["amount"] = money(ledger, draft, line["amount"])
    draft["taxTotal"] = ZERO
    draft["total"] = draft["userTotal"] = sum((line["amount"] for line in lines), ZERO)
    if draft["total"] < 0:
        raise user_error("The total of the transaction cannot be negative.")
    if name == "vendorBill":
        draft.setdefault("paymentHold", False)
        draft.setdefault("approvalStatus", {"id": "1", "refName": ENUMS["approval"]["1"]})
        status = {"1": "D", "3": "E"}.get(draft["approvalStatus"]["id"], "A")
    else:
        status = "A"
    draft["status"] = {"id": status, "refName": ENUMS["billStatus"][status]}


def default_header(ledger: Ledger, draft: Record) -> None:
    """What the vendor's record gives when the client is silent."""
    vendor = ledger.get("vendor", (draft.get("entity") or {}).get("id", "")) or {}
    for name in ("subsidiary", "currency", "terms"):
        if not draft.get(name) and vendor.get(name):
            draft[name] = dict(vendor[name])
