"""What changes the money of a running contract: an accepted change order to its cap, and a write-off."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from isthmus.ports import Psa
from isthmus.processes.work import amending as work
from isthmus.runtime.process import process
from isthmus.runtime.run import Run


@process(
    starts="a change order the client has accepted (API)",
    owner="Project manager, finance",
    key="contract number and change order number",
    parks=("EX-CAP-BELOW-BILLED", "EX-PSA-REJECT"),
    undo="nothing: terms change forward, by another change order",
)
def change_order(run: Run, contract_no: str, change_order: str, cap_delta: str, accepted_on: str, evidence: str) -> str:
    """P4, for the cap of a contract: new version, caps evaluated again, budget pushed."""
    accepted = date.fromisoformat(accepted_on)
    delta = Decimal(cap_delta)
    version = run.decide(
        "Make the new contract version", work.new_version, contract_no, change_order, delta, accepted, evidence
    )
    run.decide("Evaluate the caps again, oldest first", work.evaluate_caps_again, contract_no)
    project = run.decide("Bring the project to the new budget", work.project_under, version)
    run.effect("Push the budget to the PSA", Psa.put_project, project)
    return version.key


@process(
    starts="a request to write off unbilled evidence (API)",
    owner="Project manager asks, finance approves",
    key="contract number and the request's name",
    parks=("EX-WRITE-OFF",),
    undo="reversible while the period is open, by a new request",
    lane="financial",
)
def write_off(run: Run, contract_no: str, amount: str, state: str, requested_by: str, reason: str) -> str:
    """Two persons, then the evidence moves to written off."""
    wanted = Decimal(amount)
    run.decide("Have the write-off approved", work.ask_for_write_off, contract_no, wanted, state, requested_by, reason)
    return run.decide("Write the evidence off", work.write_off, contract_no, wanted, state, reason, final=True)
