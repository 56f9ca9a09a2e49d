"""INV-21: what one entity charges another is in both books, the same amount, and a reversal mirrors its original."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

from isthmus.domain.journals import Journal
from isthmus.domain.lending import LentHours
from isthmus.reconciliation.findings import Finding
from isthmus.store.tx import Tx

OPEN_SIDE = {"intercompany_receivable": 1, "intercompany_payable": -1}


def check_lending(tx: Tx) -> list[Finding]:
    """Charges one by one, and against the journals of their run in the books of both entities."""
    charges = tx.find(LentHours, order=("charge_id",))
    by_id = {one.charge_id: one for one in charges}
    findings = [_finding(one, "it does not mirror its original") for one in charges if not _mirrors(one, by_id)]
    sums: dict[tuple[str, str, str, str], Decimal] = defaultdict(Decimal)
    for one in charges:
        sums[one.run, one.lender, one.currency, "lender"] += one.amount
        sums[one.run, one.borrower, one.currency, "borrower"] += one.amount
    for (run, entity, currency, side), amount in sorted(sums.items()):
        journal = tx.get(Journal, f"lent/{run}/{entity}/{currency}")
        booked = _booked(journal) if journal else Decimal(0)
        if booked != amount:
            problem = f"{amount} charged, {booked} booked by the {side} {entity}"
            findings.append(Finding("INV-21", run, problem, "project-accounting", abs(amount - booked), currency))
    return findings


def _booked(journal: Journal) -> Decimal:
    """What a journal adds to the claim on, or the debt to, the other entity."""
    lines = [line for line in journal.lines if line.account in OPEN_SIDE]
    return sum((OPEN_SIDE[line.account] * (line.debit - line.credit) for line in lines), Decimal(0))


def _mirrors(one: LentHours, known: dict[str, LentHours]) -> bool:
    if not one.reversal_of:
        return True
    original = known.get(one.reversal_of)
    if original is None or original.reversal_of:
        return False
    same = (one.price, one.lender, one.borrower, one.currency) == (
        original.price,
        original.lender,
        original.borrower,
        original.currency,
    )
    return same and (one.amount, one.quantity) == (-original.amount, -original.quantity)


def _finding(one: LentHours, problem: str) -> Finding:
    return Finding("INV-21", one.charge_id, problem, "project-accounting", abs(one.amount), one.currency)
