"""INV-19: invoice numbers of a series run from 1 without a gap, each given once."""

from __future__ import annotations

from collections import Counter, defaultdict

from isthmus.domain.objects import Invoice
from isthmus.reconciliation.findings import Finding
from isthmus.store.tx import Tx


def check_numbers(tx: Tx) -> list[Finding]:
    """Gaps and repetitions per series."""
    series: dict[str, list[int]] = defaultdict(list)
    for invoice in tx.find(Invoice):
        if invoice.number:
            name, _, count = invoice.number.rpartition("-")
            series[name].append(int(count))
    findings = []
    for name, counts in sorted(series.items()):
        twice = [n for n, times in Counter(counts).items() if times > 1]
        gaps = sorted(set(range(1, max(counts) + 1)) - set(counts))
        findings += [Finding("numbering", f"{name}-{n:05d}", "number given more than once", "finance") for n in twice]
        findings += [Finding("numbering", f"{name}-{n:05d}", "number missing in the series", "finance") for n in gaps]
    return findings
