"""Amounts of invoices, credit memos and journal entries: lines, tax details, totals, periods, rates."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

from isthmus.sandbox.base import Record
from isthmus.sandbox.netsuite.ledger import Ledger
from isthmus.sandbox.netsuite.shapes import invalid_content, user_error

ZERO = Decimal(0)


def money(ledger: Ledger, draft: Record, amount: Decimal) -> Decimal:
    """An amount rounded to the precision of the transaction's currency."""
    currency = ledger.get("currency", draft.get("currency", {}).get("id", "")) or {}
    digits = int(currency.get("currencyPrecision", 2))
    return amount.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


def default_header(ledger: Ledger, draft: Record, today: date, party: str) -> None:
    """Fill what the vendor fills from the customer or project: subsidiary, currency, terms, rate, dates."""
    entity = entity_of(ledger, draft.get(party, {}).get("id", ""))
    customer = entity_of(ledger, payer(ledger, draft.get(party, {}).get("id", ""))) or {}
    for name in ("subsidiary", "currency"):
        inherited = (entity or {}).get(name) or customer.get(name)
        if not draft.get(name) and inherited:
            draft[name] = dict(inherited)
    draft.setdefault("tranDate", today.isoformat())
    if draft.get("exchangeRate") is None:
        draft["exchangeRate"] = _rate(ledger, draft)


def default_terms(ledger: Ledger, draft: Record) -> None:
    """The customer's terms and the due date that follows from them."""
    customer = entity_of(ledger, payer(ledger, draft["entity"]["id"])) or {}
    if not draft.get("terms") and customer.get("terms"):
        draft["terms"] = dict(customer["terms"])
    if not draft.get("dueDate"):
        term = ledger.get("term", (draft.get("terms") or {}).get("id", "")) or {}
        due = date.fromisoformat(draft["tranDate"]) + timedelta(days=int(term.get("daysUntilNetDue", 0)))
        draft["dueDate"] = due.isoformat()


def entity_of(ledger: Ledger, record_id: str) -> Record | None:
    """The customer or project of this internal id; both draw from one sequence."""
    return ledger.get("customer", record_id) or ledger.get("job", record_id)


def payer(ledger: Ledger, record_id: str) -> str:
    """Internal id of the customer behind a customer or project."""
    seen = set()
    while record_id not in seen:
        seen.add(record_id)
        job = ledger.get("job", record_id)
        if job is None or not job.get("parent"):
            break
        record_id = job["parent"]["id"]
    return record_id


def check_project(ledger: Ledger, draft: Record) -> None:
    """A sale is for a project of its own customer."""
    project = (draft.get("job") or {}).get("id", "")
    if project and payer(ledger, project) != payer(ledger, draft["entity"]["id"]):
        raise invalid_content("job", "job", draft["job"])


def post_to_period(ledger: Ledger, draft: Record) -> None:
    """Find the posting period and refuse a closed one."""
    if draft.get("postingPeriod"):
        period = ledger.get("accountingPeriod", draft["postingPeriod"]["id"])
    else:
        periods = ledger.current("accountingPeriod")
        period = next((p for p in periods if p["startDate"] <= draft["tranDate"] <= p["endDate"]), None)
    if period is None:
        text = f"There is no accounting period for the transaction date {draft['tranDate']}."
        raise user_error(text, path="tranDate")
    if period.get("closed"):
        text = f"The accounting period {period['periodName']} is closed. You cannot post a transaction to it."
        raise user_error(text, path="postingPeriod")
    draft["postingPeriod"] = {"id": period["id"], "refName": period["periodName"]}


def total_up(ledger: Ledger, draft: Record) -> None:
    """Compute line amounts, subtotal, tax total and total from lines, applied time and tax details."""
    lines = draft.get("item") or []
    for number, line in enumerate(lines):
        line["amount"] = _line_amount(ledger, draft, line, f"item.items[{number}].amount")
        line.setdefault("taxDetailsReference", f"line_{line['line']}")
    times = draft.get("time") or []
    if not lines and not times:
        raise user_error("You must enter at least one line item for this transaction.", path="item")
    draft["subtotal"] = sum((line["amount"] for line in [*lines, *times]), ZERO)
    draft["taxTotal"] = _tax(ledger, draft, {line.get("taxDetailsReference") for line in [*lines, *times]})
    draft["total"] = draft["subtotal"] + draft["taxTotal"]
    if draft["total"] < 0:
        raise user_error("The total of the transaction cannot be negative.")


def _line_amount(ledger: Ledger, draft: Record, line: Record, path: str) -> Decimal:
    if "item" not in line:
        raise user_error("Please enter value(s) for: Item.", path=path.replace(".amount", ".item"))
    if line.get("amount") is not None and not line.get("_computed"):
        return money(ledger, draft, line["amount"])
    item = ledger.get("serviceSaleItem", line["item"]["id"]) or {}
    rate = line.get("rate") if line.get("rate") is not None else item.get("rate")
    if rate is None:
        raise user_error("Please enter value(s) for: Amount.", path=path)
    quantity = line.get("quantity")
    # Marked so that a later change of quantity or rate computes again instead of keeping this result.
    line |= {"rate": rate, "quantity": Decimal(1) if quantity is None else quantity, "_computed": True}
    return money(ledger, draft, line["rate"] * line["quantity"])


def _tax(ledger: Ledger, draft: Record, references: set[str | None]) -> Decimal:
    """Tax of the transaction. Without the override flag the vendor's own tax engine rules; here it knows no tax."""
    if not draft.get("taxDetailsOverride"):
        draft.pop("taxDetails", None)
        return ZERO
    for number, line in enumerate(draft.get("taxDetails") or []):
        path = f"taxDetails.items[{number}].taxDetailsReference"
        reference = line.get("taxDetailsReference", {}).get("id")
        if reference not in references:
            raise invalid_content(path, "taxDetailsReference", reference)
        if line.get("taxAmount") is None:
            line["taxAmount"] = line.get("taxBasis", ZERO) * line.get("taxRate", ZERO) / 100
        line["taxAmount"] = money(ledger, draft, line["taxAmount"])
    return sum((line["taxAmount"] for line in draft.get("taxDetails") or []), ZERO)


def _rate(ledger: Ledger, draft: Record) -> Decimal:
    """Exchange rate from the transaction's currency to the subsidiary's."""
    subsidiary = ledger.get("subsidiary", (draft.get("subsidiary") or {}).get("id", "")) or {}
    mine = ledger.get("currency", (draft.get("currency") or {}).get("id", "")) or {}
    base = ledger.get("currency", subsidiary.get("currency", {}).get("id", "")) or {}
    rate: Decimal = mine.get("exchangeRate", Decimal(1)) / base.get("exchangeRate", Decimal(1))
    return rate.quantize(Decimal("0.00000001")).normalize()


def balance_journal(ledger: Ledger, draft: Record) -> None:
    """Debits equal credits, every line has an account and one side."""
    lines = draft.get("line") or []
    sides = {"debit": ZERO, "credit": ZERO}
    for number, line in enumerate(lines):
        if not line.get("account"):
            raise user_error("Please enter value(s) for: Account.", path=f"line.items[{number}].account")
        for side in sides:
            if line.get(side) is not None:
                line[side] = money(ledger, draft, line[side])
                sides[side] += line[side]
    if len(lines) < 2 or sides["debit"] != sides["credit"]:
        text = f"The amounts in a journal entry must balance: debit {sides['debit']}, credit {sides['credit']}."
        raise user_error(text, path="line")
    draft["total"] = sides["debit"]
