"""INV-01, INV-06 and INV-07: all evidence of an entry is in its parts, once; every invoice line is made of parts."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

from isthmus.domain.objects import BillableItem, BillablePart, Invoice
from isthmus.domain.states import InvoiceLife, PartState
from isthmus.reconciliation.findings import Finding
from isthmus.store.tx import Tx

GONE = (PartState.SUPERSEDED, PartState.CREDITED)


def check_partition(tx: Tx) -> list[Finding]:
    """Entries whose parts do not add up to their last revision; invoice lines that are not the sum of their parts."""
    latest: dict[str, BillableItem] = {}
    for item in tx.find(BillableItem, order=("revision",)):
        latest[item.source_key] = item
    placed: dict[str, Decimal] = defaultdict(Decimal)
    by_id: dict[str, BillablePart] = {}
    for part in tx.find(BillablePart):
        by_id[part.part_id] = part
        if part.state not in GONE:
            placed[part.item_id.rsplit("#", 1)[0]] += part.net
    return [*_entries(latest, placed), *_lines(tx.find(Invoice, life=InvoiceLife.ISSUED), by_id)]


def _entries(latest: dict[str, BillableItem], placed: dict[str, Decimal]) -> list[Finding]:
    findings = []
    for key, item in latest.items():
        wanted = item.entry_net if item.billable else Decimal(0)
        if placed[key] != wanted:
            problem = f"{wanted} {item.currency} of evidence, {placed[key]} in parts"
            findings.append(Finding("partition", key, problem, "billing", abs(wanted - placed[key]), item.currency))
    return findings


def _lines(invoices: list[Invoice], parts: dict[str, BillablePart]) -> list[Finding]:
    findings: list[Finding] = []
    on_line: set[str] = set()
    for invoice in invoices:
        for line in invoice.lines:
            known = [parts[part_id] for part_id in line.part_ids if part_id in parts]
            net = sum((part.net for part in known), Decimal(0))
            twice = [part_id for part_id in line.part_ids if part_id in on_line]
            on_line.update(line.part_ids)
            if net != line.net or twice:
                problem = f"line says {line.net}, its parts {net}" + (
                    f"; billed twice: {', '.join(twice)}" if twice else ""
                )
                key = f"{invoice.number}:{line.number}"
                findings.append(Finding("invoice line", key, problem, "billing", abs(line.net - net), invoice.currency))
    return findings
