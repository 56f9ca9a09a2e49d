"""INV-19: the numbers of a series run from 1 without a gap, each given once, one to everything that was issued."""

from __future__ import annotations

from collections import Counter, defaultdict

from isthmus.domain.objects import Invoice
from isthmus.domain.states import InvoiceLife
from isthmus.reconciliation.findings import Finding
from isthmus.store.tx import Tx

ISSUED = (InvoiceLife.ISSUED, InvoiceLife.CREDITED)


def check_numbers(tx: Tx) -> list[Finding]:
    """Gaps and repetitions per series; documents issued without a number, or numbered without being issued."""
    series: dict[str, list[int]] = defaultdict(list)
    findings = []
    for invoice in tx.find(Invoice):
        if bool(invoice.number) != (invoice.life in ISSUED):
            problem = f"{invoice.life} with number {invoice.number or '(none)'}"
            findings.append(Finding("INV-19", invoice.invoice_id, problem, "finance", invoice.total, invoice.currency))
        if invoice.number:
            name, _, count = invoice.number.rpartition("-")
            series[name].append(int(count))
    for name, counts in sorted(series.items()):
        twice = [n for n, times in Counter(counts).items() if times > 1]
        gaps = sorted(set(range(1, max(counts) + 1)) - set(counts))
        findings += [Finding("INV-19", f"{name}-{n:05d}", "number given more than once", "finance") for n in twice]
        findings += [Finding("INV-19", f"{name}-{n:05d}", "number missing in the series", "finance") for n in gaps]
    return findings
