"""INV-30: nothing is silently stuck. Every run that is not finished moves, has a time to wake, or has an open case."""

from __future__ import annotations

from datetime import datetime, timedelta

from isthmus.domain.states import CaseState
from isthmus.reconciliation.findings import Finding
from isthmus.store.records import Case, Effect, EffectState, InboxMessage, MessageState, RunRow, RunState
from isthmus.store.tx import Tx

PATIENCE = timedelta(minutes=15)


def check_standstill(tx: Tx, now: datetime, patience: timedelta = PATIENCE) -> list[Finding]:
    """Runs, effects and messages that nothing will move any more."""
    open_cases = {case.run_id for case in tx.find(Case, state=CaseState.OPEN)}
    findings = []
    for run in tx.find(RunRow, state=(RunState.QUEUED, RunState.RUNNING, RunState.WAITING, RunState.PARKED)):
        old = run.updated_at < now - patience
        on_connection = run.reason.startswith("connection:") and f"connection/{run.reason[11:]}" in open_cases
        covered = run.run_id in open_cases or run.wake_at is not None or on_connection
        if not covered and (old or run.state in (RunState.PARKED, RunState.WAITING)):
            findings.append(
                Finding("INV-30", run.run_id, f"{run.state} without a case or a time to wake", "integration")
            )
    findings += [
        Finding("INV-30", run.run_id, f"failed: {run.reason}", "integration")
        for run in tx.find(RunRow, state=RunState.FAILED)
    ]
    for effect in tx.find(Effect, state=EffectState.IN_DOUBT):
        if effect.in_doubt_since and effect.in_doubt_since < now - patience:
            problem = f"in doubt since {effect.in_doubt_since:%Y-%m-%d %H:%M} UTC"
            money = (effect.amount, effect.currency) if effect.amount is not None else None
            found = Finding("INV-30", effect.effect_key, problem, "integration", *(money or ()))
            findings.append(found)
    for message in tx.find(InboxMessage, state=MessageState.ACCEPTED):
        if message.received_at < now - patience:
            key = f"{message.source}:{message.message_id}"
            findings.append(Finding("INV-30", key, "received, but nobody has taken it", "integration"))
    return findings
