"""What changes the money of a running contract: a change order to its cap, an amended version, a write-off."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from isthmus.ports import Erp, Psa
from isthmus.processes.work import amending as work
from isthmus.processes.work import onboarding, payers, rerating, resharing, signing, writing_down
from isthmus.runtime.process import process
from isthmus.runtime.run import Run


@process(
    starts="a change order the client has accepted (API)",
    owner="Project manager, finance",
    key="contract number and change order number",
    parks=("EX-CAP-BELOW-BILLED", "EX-PSA-REJECT"),
    undo="nothing: terms change forward, by another change order",
)
def change_order(
    run: Run, contract_no: str, change_order: str, cap_delta: str, accepted_on: str, evidence: str, cap_id: str = ""
) -> str:
    """P4, for a cap (cap_id; the contract's own where empty): new version, caps evaluated again, budget pushed."""
    change = work.CapChange(change_order, Decimal(cap_delta), date.fromisoformat(accepted_on), evidence, cap_id)
    version = run.decide("Make the new contract version", work.new_version, contract_no, change)
    run.decide("Evaluate the caps again, oldest first", work.evaluate_caps_again, contract_no)
    project = run.decide("Bring the project to the new budget", work.project_under, version)
    run.effect("Push the budget to the PSA", Psa.put_project, project)
    return version.key


@process(
    starts="an envelope about a change order that all have signed (e-signature)",
    owner="Contract operations",
    key="connection and envelope",
    parks=("EX-CHANGE-ORDER",),
    undo="nothing: terms change forward, by another change order",
)
def signed_change_order(run: Run, source: str, envelope_id: str, cap_delta: str) -> str:
    """P4, from the signature: what was signed is handed in as a change order, once."""
    change = run.decide("Read the change that was signed", signing.change_signed, source, envelope_id, cap_delta)
    return run.decide("Hand the change order in", signing.start_change, change)


@process(
    starts="an envelope that was declined, voided or has expired (e-signature)",
    owner="Contract operations",
    key="connection and envelope",
    parks=("EX-NOT-SIGNED",),
    undo="nothing: no work was begun on it",
)
def refused_signature(run: Run, source: str, envelope_id: str) -> str:
    """What nobody has signed waits for a person, or for another envelope about the same."""
    return run.decide("Have it sent again or called off", signing.settle_refused, source, envelope_id)


@process(
    starts="an amended version of a running contract, handed in complete (API, CLM, rehearsal)",
    owner="Contract operations; pricing reviews what changes on billed work",
    key="contract number and version",
    parks=(
        "EX-APPROVAL-INCOMPLETE",
        "EX-MAP-TERMS",
        "EX-PAYER",
        "EX-ERP-REJECT",
        "EX-TERMS",
        "EX-AMENDMENT",
        "EX-CAP-BELOW-BILLED",
        "EX-DEPOSIT-MODE",
        "EX-PCT-REGRESS",
        "EX-RERATE-REVIEW",
        "EX-PSA-REJECT",
    ),
    undo="nothing: terms change forward, by another version",
)
def amend_contract(run: Run, contract_no: str, version: int) -> str:
    """P4: new version, evidence brought to its terms, caps evaluated again, project and rates pushed."""
    contract = onboarding.read_terms(run, contract_no, version)
    contract = payers.find(run, contract)
    contract = run.decide("Keep the amended version", work.keep_amended, contract)
    payers.set_up(run, contract, undone=False)
    run.decide("Price anew what is not billed yet", rerating.rerate_unbilled, contract)
    changes = run.decide("Work out the difference on what is billed", rerating.difference, contract)
    if changes:
        run.decide("Have the difference reviewed", rerating.review, contract, changes)
        run.decide("Keep the difference on billed work", rerating.rerate_billed, contract)
    run.decide("Evaluate the caps again, oldest first", work.evaluate_caps_again, contract_no)
    if changes:
        run.decide("Credit those who pay less of what is billed", resharing.draw_up_credits, contract)
    project = run.decide("Bring the project to the new terms", work.project_as_amended, contract)
    run.effect("Push the budget to the PSA", Psa.put_project, project)
    run.effects("Set up its tasks in the PSA", Psa.put_task, onboarding.tasks_of(project))
    onboarding.push_rates(run, project)
    run.effects("Set up its tasks in the ERP", Erp.put_task, onboarding.tasks_of(project))
    run.decide("Put the version in force", onboarding.put_in_force, contract)
    return contract.key


@process(
    starts="a request to write off unbilled evidence (API)",
    owner="Project manager asks, finance approves",
    key="contract number and the request's name",
    parks=("EX-WRITE-OFF",),
    undo="reversible while the period is open, by a new request",
    lane="financial",
)
def write_off(
    run: Run, contract_no: str, amount: str, state: str, requested_by: str, reason: str, cap_id: str = ""
) -> str:
    """Two persons, then the evidence (cap_id: only what is over this cap) moves to written off."""
    wanted = work.WriteOff(Decimal(amount), state, reason, cap_id)
    run.decide("Have the write-off approved", work.ask_for_write_off, contract_no, wanted, requested_by)
    return run.decide("Write the evidence off", work.write_off, contract_no, wanted, final=True)


@process(
    starts="a request to bill ready work at less than it is worth (API)",
    owner="Billing or the project manager asks; another person by the entity's approval matrix",
    key="contract number and the request's name",
    parks=("EX-WRITE-DOWN",),
    undo="until it is approved: nothing is taken off",
    lane="financial",
)
def write_down(run: Run, contract_no: str, down_to: str, cutoff: str, requested_by: str, reason: str) -> str:
    """Two persons, then each piece of ready work gives up its share; the next invoice bills what is left."""
    wanted = writing_down.WriteDown(contract_no, Decimal(down_to), date.fromisoformat(cutoff), reason)
    off = run.decide("Have the write-down approved", writing_down.ask, wanted, requested_by)
    return run.decide("Write the work down", writing_down.write_down, wanted, off, final=True)
