"""INV-30, for money over a cap: an open case says what is over it, or what was asked for about it is under way."""

from __future__ import annotations

from decimal import Decimal

from isthmus.domain.states import CaseState, PartState
from isthmus.reconciliation.findings import Finding
from isthmus.reconciliation.view import ContractBooks
from isthmus.store.records import Case, RunRow, RunState
from isthmus.store.tx import Tx

ENDED = (RunState.DONE, RunState.CANCELLED)
ASKED = ("change_order", "write_off")


def check_full_caps(tx: Tx, books: ContractBooks) -> list[Finding]:
    """What is over each cap of the contract, held against its case."""
    over: dict[str, Decimal] = {}
    for part in books.parts:
        if part.state is PartState.OVER_CAP:
            over[part.cap_id] = over.get(part.cap_id, Decimal(0)) + part.net
    if not over or _something_is_asked(tx, books.contract_no):
        return []
    findings = []
    for cap_id, net in sorted(over.items()):
        run_id = f"cap/{books.contract_no}/{cap_id}"
        told = [case.amount for case in tx.find(Case, run_id=run_id, state=CaseState.OPEN)]
        if told != [net]:
            problem = f"{net} over the cap; its case says {told[0] if told else 'nothing: there is none'}"
            key = f"{books.contract_no} {cap_id}"
            findings.append(Finding("INV-30", key, problem, "pmo", net, books.terms.currency))
    return findings


def _something_is_asked(tx: Tx, contract_no: str) -> bool:
    runs = tx.find(RunRow, correlation_id=f"contract:{contract_no}", process=ASKED)
    return any(run.state not in ENDED for run in runs)
