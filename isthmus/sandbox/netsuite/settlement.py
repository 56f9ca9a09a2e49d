"""Money against invoices: what a payment or credit memo applies, and what that does to the invoices."""

from __future__ import annotations

from decimal import Decimal

from isthmus.sandbox.base import Record
from isthmus.sandbox.netsuite.ledger import Ledger
from isthmus.sandbox.netsuite.sales import ZERO, money, payer
from isthmus.sandbox.netsuite.schema import ENUMS
from isthmus.sandbox.netsuite.shapes import invalid_content, user_error


def applied(record: Record | None) -> dict[str, Decimal]:
    """Invoice id -> amount a payment or credit memo applies to it."""
    lines = (record or {}).get("apply") or []
    return {line["doc"]["id"]: line["amount"] for line in lines}


def check_applications(ledger: Ledger, draft: Record, before: Record | None, party: str, purse: Decimal) -> None:
    """Complete and check the apply lines; sets applied and unapplied. purse is what can be applied at most."""
    if draft.pop("autoApply", False):
        _apply_oldest_first(ledger, draft, before, party, purse)
    lines = [line for line in draft.get("apply") or [] if line.get("apply", True)]
    total = ZERO
    for number, line in enumerate(lines):
        _check_line(ledger, draft, applied(before), line, f"apply.items[{number}]", party, purse - total)
        total += line["amount"]
    if total > purse:
        text = f"The amount applied ({total}) cannot exceed the amount of the transaction ({purse})."
        raise user_error(text, path="apply")
    draft |= {"apply": lines, "applied": total, "unapplied": purse - total}


def _check_line(
    ledger: Ledger, draft: Record, mine: dict[str, Decimal], line: Record, path: str, party: str, left: Decimal
) -> None:
    """One apply line; without an amount it takes what is due, as far as the money goes."""
    invoice = ledger.get("invoice", line.get("doc", {}).get("id", ""))
    if invoice is None:
        raise user_error("Please enter value(s) for: Doc.", path=f"{path}.doc")
    same_payer = payer(ledger, invoice["entity"]["id"]) == payer(ledger, draft[party]["id"])
    if not same_payer or invoice["currency"]["id"] != draft["currency"]["id"]:
        raise invalid_content(f"{path}.doc", "doc", invoice["id"])
    due = invoice["amountRemaining"] + mine.get(invoice["id"], ZERO)
    amount = money(ledger, draft, min(due, left) if line.get("amount") is None else line["amount"])
    if not 0 < amount <= due:
        text = f"You cannot apply {amount} to invoice {invoice['tranId']}: the amount due is {due}."
        raise user_error(text, path=f"{path}.amount")
    line |= {
        "apply": True,
        "amount": amount,
        "due": due,
        "total": invoice["total"],
        "refNum": invoice["tranId"],
        "line": 1,
    }


def _apply_oldest_first(ledger: Ledger, draft: Record, before: Record | None, party: str, purse: Decimal) -> None:
    left, lines, mine = purse, [], applied(before)
    customer = payer(ledger, draft[party]["id"])
    open_invoices = [r for r in ledger.current("invoice") if r["amountRemaining"] > 0 or r["id"] in mine]
    for invoice in sorted(open_invoices, key=lambda r: (r["tranDate"], int(r["id"]))):
        fits = payer(ledger, invoice["entity"]["id"]) == customer and invoice["currency"] == draft["currency"]
        amount = min(left, invoice["amountRemaining"] + mine.get(invoice["id"], ZERO))
        if fits and amount > 0:
            doc = {"id": invoice["id"], "refName": invoice["tranId"]}
            lines.append({"doc": doc, "apply": True, "amount": amount})
            left -= amount
    draft["apply"] = lines


def settle(ledger: Ledger, before: dict[str, Decimal], after: dict[str, Decimal], stamp: str) -> None:
    """Carry a change of applications over to the invoices."""
    for invoice_id in sorted({*before, *after}, key=int):
        change = after.get(invoice_id, ZERO) - before.get(invoice_id, ZERO)
        invoice = ledger.get("invoice", invoice_id)
        if change and invoice is not None:
            moved = {**invoice, "amountPaid": invoice["amountPaid"] + change, "lastModifiedDate": stamp}
            balance_invoice(moved)
            ledger.put("invoice", invoice_id, moved)


def balance_invoice(invoice: Record) -> None:
    """What remains to be paid, and the status that follows."""
    paid = invoice.get("amountPaid", ZERO)
    remaining = invoice["total"] - paid
    if remaining < 0:
        raise user_error(f"The total cannot be less than the amount already applied ({paid}).", path="item")
    approval = (invoice.get("approvalStatus") or {}).get("id")
    if approval in ("1", "3"):
        status = "D" if approval == "1" else "E"
    else:
        status = "A" if remaining > 0 or not paid else "B"
    invoice |= {
        "amountPaid": paid,
        "amountRemaining": remaining,
        "status": {"id": status, "refName": ENUMS["invoiceStatus"][status]},
    }
