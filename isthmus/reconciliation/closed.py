"""INV-18: what a closed period added up to when it was closed is what it adds up to now."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from isthmus.domain.periods import FiscalPeriod, PeriodSnapshot
from isthmus.domain.states import PeriodState
from isthmus.policies.periods import snapshot_hash
from isthmus.reconciliation.findings import Finding
from isthmus.store.tx import Tx

# The totals of an entity's period as the books have them now.
Totals = Callable[[str, str], Mapping[str, str]]


def check_closed_periods(tx: Tx, totals: Totals) -> list[Finding]:
    """The last snapshot of every period that is closed: its fingerprint is its own, and nothing has changed since."""
    last: dict[tuple[str, str], PeriodSnapshot] = {}
    for snapshot in tx.find(PeriodSnapshot, order=("version",)):
        last[snapshot.entity, snapshot.period] = snapshot
    findings = []
    for (entity, period), snapshot in sorted(last.items()):
        ledger = tx.get(FiscalPeriod, entity, "ledger", period)
        if ledger is None or ledger.state is not PeriodState.CLOSED:
            continue
        if snapshot_hash(snapshot.totals) != snapshot.content_hash:
            findings.append(Finding("INV-18", f"{entity} {period}", "its snapshot was changed", "controlling"))
        now = totals(entity, period)
        changed = sorted(n for n in {*now, *snapshot.totals} if now.get(n) != snapshot.totals.get(n))
        findings += [
            Finding(
                "INV-18",
                f"{entity} {period}",
                f"{name} was {snapshot.totals.get(name, '0')} when it was closed, and is {now.get(name, '0')}",
                "controlling",
            )
            for name in changed
        ]
    return findings
