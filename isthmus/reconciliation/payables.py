"""INV-33 and INV-34: suppliers are paid approved hours, each once, and the ERP has every bill as the hub has it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from decimal import Decimal

from isthmus.domain.states import BillState
from isthmus.domain.subcontracting import PaidHours, RetentionEntry, SubcontractorBill
from isthmus.ports.messages import PostedBill, PostVendorBill
from isthmus.reconciliation.findings import Finding
from isthmus.store.records import RunRow
from isthmus.store.shared import last_words
from isthmus.store.tx import Tx

ZERO = Decimal(0)
OWNER = "procurement"
PAYS = (BillState.CONFIRMED, BillState.POSTED, BillState.PAYABLE)
# What the ERP has for a bill: the document, None for nothing, or a text that says why it could not be asked.
Ask = Callable[[SubcontractorBill, PostVendorBill], PostedBill | str | None]


def check_bought_hours(tx: Tx) -> list[Finding]:
    """Hours against approvals, bills against the hours they pay, and what is kept back against its ledger."""
    bills = tx.find(SubcontractorBill, state=PAYS, order=("bill_id",))
    paid, kept = tx.find(PaidHours, order=("paid_id",)), tx.find(RetentionEntry, order=("entry_id",))
    return [*_hours(tx, paid), *_bills(bills, paid, kept), *_kept_back(kept)]


def _hours(tx: Tx, paid: Sequence[PaidHours]) -> list[Finding]:
    """No more is paid of an entry than is approved, unless a correction after the payment is followed up."""
    by_entry: dict[tuple[str, str], list[PaidHours]] = defaultdict(list)
    for one in paid:
        by_entry[one.source_key, one.person].append(one)
    last = last_words(tx, {key for key, _ in by_entry})
    findings = []
    for (key, person), mine in sorted(by_entry.items()):
        entry, hours = last.get(key), sum((one.hours for one in mine), ZERO)
        here = entry is not None and (entry.person, entry.project_code) == (person, mine[-1].project_code)
        approved = entry.hours if entry is not None and here else ZERO
        followed = entry is not None and tx.get(RunRow, f"subcontract_difference/{key}#{entry.revision}") is not None
        if hours > approved and not followed:
            bills = ", ".join(sorted({one.bill_id for one in mine}))
            problem = f"{hours} h of {person} are paid by {bills}, {approved} approved"
            amount = (hours - approved) * mine[-1].rate
            findings.append(Finding("INV-33", key, problem, OWNER, amount, mine[-1].currency))
    return findings


def _bills(
    bills: Sequence[SubcontractorBill], paid: Sequence[PaidHours], kept: Sequence[RetentionEntry]
) -> list[Finding]:
    """Each bill is what its hours, its difference and its retention come to."""
    worth: dict[str, Decimal] = defaultdict(Decimal)
    moved: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for one in paid:
        worth[one.bill_id] += one.amount
    for entry in kept:
        moved[entry.bill_id, entry.kind] += entry.amount
    findings = []
    for bill in bills:
        retained, released = moved[bill.bill_id, "withheld"], -moved[bill.bill_id, "released"]
        expected = worth[bill.bill_id] + bill.difference - retained + released
        if bill.payable != expected:
            problem = f"{bill.payable} payable, its hours and its retention come to {expected}"
            findings.append(_of(bill, "INV-33", problem, abs(bill.payable - expected)))
    known = {bill.bill_id for bill in bills}
    findings += [
        Finding("INV-33", bill_id, f"{amount} paid by a bill that is not confirmed", OWNER, abs(amount))
        for bill_id, amount in sorted(worth.items())
        if bill_id not in known
    ]
    return findings


def _kept_back(kept: Sequence[RetentionEntry]) -> list[Finding]:
    """No more is paid out of what is kept back than was kept back, at any time."""
    held: dict[str, Decimal] = defaultdict(Decimal)
    findings = []
    for entry in sorted(kept, key=lambda entry: (entry.recorded_at, entry.entry_id)):
        held[entry.subcontract_no] += entry.amount
        if held[entry.subcontract_no] < 0:
            problem = f"{-held[entry.subcontract_no]} more is paid out than was kept back"
            amount = -held[entry.subcontract_no]
            findings.append(Finding("INV-33", entry.subcontract_no, problem, OWNER, amount, entry.currency))
    return findings


def check_payables(bills: list[tuple[SubcontractorBill, PostVendorBill]], ask: Ask) -> list[Finding]:
    """Ask for each bill that was posted from here. An ERP that cannot be asked is a finding, not silence."""
    findings = []
    for bill, posting in bills:
        found, asked = ask(bill, posting), abs(bill.payable)
        if isinstance(found, str):
            findings.append(_of(bill, "INV-34", f"could not be checked: {found}", ZERO, "unasked"))
        elif found is None:
            findings.append(_of(bill, "INV-34", "missing in the ERP", asked, "missing"))
        elif (found.total, found.currency) != (bill.payable, bill.currency):
            problem = f"{bill.payable} {bill.currency} here, {found.total} {found.currency} in {found.ref.system}"
            findings.append(_of(bill, "INV-34", problem, abs(bill.payable - found.total), "differs"))
        elif (found.held and bill.state is BillState.PAYABLE) or (bill.payment_hold and not found.held):
            told = "on hold there and payable here" if found.held else "payable there before the client has paid"
            findings.append(_of(bill, "INV-34", told, asked, "differs"))
    return findings


def _of(bill: SubcontractorBill, control: str, problem: str, amount: Decimal, kind: str = "") -> Finding:
    return Finding(
        control, bill.bill_id, problem, OWNER, amount, bill.currency, kind, entity=bill.entity, since=bill.billed_on
    )
