"""Steps from new payer shares of billed evidence to credit memos for those who pay less, and a rebill to the others.

The shares themselves are evidence (``rerating``): a negative piece for each payer who pays less of an item, a positive
one for each who pays more, together nothing. Here the negative ones become credit memos of the very invoices that
billed them, at their rate of tax; the positive ones are billed when the last of these is issued.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from decimal import Decimal

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.objects import BillableItem, BillablePart, ContractVersion, Invoice
from isthmus.domain.states import PartState
from isthmus.policies.giving_back import Share, give_back
from isthmus.policies.layouts import Evidence
from isthmus.processes.work import giving_back
from isthmus.processes.work.drafting import evidence, held_of, run_key
from isthmus.processes.work.evidence import place_contract
from isthmus.processes.work.reading import invoice_of
from isthmus.processes.work.rerating import NEW_SHARES
from isthmus.runtime.books import Books

ZERO = Decimal(0)
WHY = "others pay this share now"
MAY_BE_DONE = ("on_account", "refund")


def draw_up_credits(books: Books, contract: ContractVersion, key: str = "") -> list[str]:
    """Credit memos for the payers whose share of billed evidence is less by this amendment; their ids.

    key: what the ids begin with, where it is not the run's own. What no line of their invoices can bear stays ready,
    and is netted or waits; that is said.
    """
    books.tx.lock(f"contract:{contract.contract_no}")
    place_contract(books, contract.contract_no)
    owed, days = _owed(books, contract)
    shares: list[Share] = []
    mine = (contract.contract_no,)
    for bill_to, pieces in sorted(owed.items()):
        held = held_of(books, mine, bill_to)
        borne, left = give_back(pieces, giving_back.issued_to(books, bill_to, mine), held)
        shares += borne
        if left:
            told = f"{left} of {bill_to} waits: no line of an issued invoice can bear it: credit it by hand"
            books.quiet("billing", f"contract:{contract.contract_no}", told)
    if not shares:
        return []
    args = {"contract_no": contract.contract_no, "cutoff": str(max(days)), "prepared_by": prepared_by(contract)}
    memos = giving_back.Memos(
        prepared_by(contract),
        key or run_key(books),
        ("bill_contract", args),
        told="paid by others",
        process="credit_share",
    )
    return [credit.invoice_id for credit in giving_back.draw_up(books, shares, memos)]


def prepared_by(contract: ContractVersion) -> str:
    """Who stands behind an amendment in the firm, and so approves none of its credits."""
    return contract.finance_approved_by


def _owed(books: Books, contract: ContractVersion) -> tuple[dict[str, list[Evidence]], list[date]]:
    """What each payer gets back, as ready evidence, and the days of all that is shared anew."""
    items: dict[str, BillableItem] = {
        item.item_id: item
        for item in books.tx.find(BillableItem, contract_no=contract.contract_no, order=("item_id",))
        if item.price_trace.get("source") == f"{NEW_SHARES} v{contract.version}"
    }
    found: dict[str, list[Evidence]] = defaultdict(list)
    ids = tuple(items)
    ready = books.tx.find(BillablePart, item_id=ids, state=PartState.READY, order=("part_id",)) if ids else []
    for part in ready:
        if part.net < 0:
            found[part.payer or contract.client_no].append(evidence(part, items[part.item_id]))
    return found, [item.service_date for item in items.values()]


def settle_paid(books: Books, credit_id: str) -> str:
    """Where the money goes that a payer has paid already and gets back: EX-PAID-SHARE until a person has said so.

    on_account: it stays with the firm for the payer's other invoices; refund: it is sent back, under a reference.
    """
    credit = invoice_of(books, credit_id)
    original = invoice_of(books, credit.original_invoice_id)
    paid = paid_of(books, credit)
    if paid <= 0:
        return "nothing of it was paid"
    answer = books.answers.get("EX-PAID-SHARE", {})
    action, reference = str(answer.get("action", "")), str(answer.get("reference", ""))
    if action == "on_account" or (action == "refund" and reference):
        facts = {"amount": str(paid), "currency": credit.currency, "payer": original.bill_to or original.client_no}
        told = {**facts, "disposition": action, "reference": reference}
        books.audit("credit.disposition", f"invoice:{original.number}", actor=str(answer.get("by", "")), after=told)
        return f"{paid} {action}"
    raise NeedsDecision(
        "EX-PAID-SHARE",
        f"{original.bill_to or original.client_no} has paid invoice {original.number}; of the credit of {credit.net}"
        f" {credit.currency} net, {paid} with its tax are money it gets back; a refund has a reference",
        queue="receivables",
        money=(paid, credit.currency),
        context={"invoice": original.number, "client": original.client_no, "prepared_by": credit.prepared_by},
        actions=(*MAY_BE_DONE, "cancel"),
    )


def paid_of(books: Books, credit: Invoice) -> Decimal:
    """What of a credit, with its tax, its invoice does not take any more because it was paid."""
    original = invoice_of(books, credit.original_invoice_id)
    gross = sum((line.net + line.tax for line in credit.lines), ZERO)
    return max(gross - original.open, ZERO)
