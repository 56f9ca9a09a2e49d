"""From approved time to an invoice the ERP has posted: no hour lost, none billed twice.

Two stories. ``capture_time`` makes evidence of approved time as it arrives, in batches; ``charge_day_again`` charges
what stays of a day that corrected hours have left. ``bill_contract`` turns what is ready up to a cut-off into one
invoice, ``bill_client`` what several contracts share; ``issuing`` tells the rest of it. The number is allocated when
tax is known and never before.
"""

from __future__ import annotations

from datetime import date

from isthmus.ports import Erp
from isthmus.processes.work import billing, costing, deriving, drafting, evidence, intake
from isthmus.processes.work import day as day_charging
from isthmus.processes.work.issuing import issue_and_post
from isthmus.runtime.process import process
from isthmus.runtime.run import Run


@process(
    starts="approved time from webhook, change capture or file, in batches per legal entity",
    owner="Project managers; pricing for rates",
    key="the messages of the batch",
    parks=(
        "EX-UNKNOWN-PROJECT",
        "EX-NOT-READY",
        "EX-DUP-SUSPECT",
        "EX-LONG-DAY",
        "EX-AHEAD",
        "EX-NO-CONTRACT-LINE",
        "EX-LINE-AMBIGUOUS",
        "EX-RATE-MISSING",
        "EX-RATE-AMBIGUOUS",
        "EX-TIME-SPLIT",
        "EX-COST-RATE",
        "EX-FX-RATE",
        "EX-INPUT",
    ),
    undo="nothing: evidence is corrected by a new revision, never taken back",
)
def capture_time(run: Run, messages: list[tuple[str, str]], alone: str) -> int:
    """P2, steps 1 to 6, for a batch; an entry that needs a decision goes on alone."""
    items = run.decide("Take the approved time in, priced by the contract in force", intake.capture, messages, alone)
    run.for_entity(run.decide("Place it under the caps", evidence.place, items))
    for costs in run.decide("Work out its cost entries", costing.costs_of, items):
        run.effects("Record the hours as cost in the ERP", Erp.put_time, [(cost,) for cost in costs])
    return len(items)


@process(
    starts="a correction that has moved hours away from a day on a line that is billed by the day",
    owner="Project managers; pricing for rates",
    key="project, person and day, and the revision that has moved",
    parks=(
        "EX-NO-CONTRACT-LINE",
        "EX-LINE-AMBIGUOUS",
        "EX-RATE-MISSING",
        "EX-RATE-AMBIGUOUS",
        "EX-FX-RATE",
        "EX-COST-RATE",
    ),
    undo="nothing: evidence is corrected by a new revision, never taken back",
)
def charge_day_again(run: Run, project_code: str, person: str, day: str) -> int:
    """P2, steps 3 to 6, for what stays of the day: increments, bands and least hours are of all its hours together."""
    items = run.decide("Charge what stays of the day", day_charging.charge_again, project_code, person, day)
    run.for_entity(run.decide("Place it under the caps", evidence.place, items))
    return len(items)


@process(
    starts="a billing run for a client up to a cut-off date (API, CLI, month end)",
    owner="Billing; a second person above the entity's limit",
    key="client number, legal entity and the billing run's name",
    parks=(
        "EX-PCT-REGRESS",
        "EX-REVIEW",
        "EX-TAX-CODE",
        "EX-TAX-REJECT",
        "EX-TAX-DIFF",
        "EX-FX-RATE",
        "EX-POST-REJECT",
        "EX-POST-DIFF",
        "EX-WRITEBACK",
    ),
    undo="until the number is allocated: the tax document is voided, the draft discarded, its parts ready again",
    lane="financial",
)
def bill_client(run: Run, client_no: str, entity: str, cutoff: str, prepared_by: str, group: str = "") -> str:
    """P2, steps 8 to 14, for the contracts of a client that share invoices; its other contracts get runs of their own.

    One invoice for all of them where entity, bill-to, currency, payment terms and tax regime are equal.
    """
    day = date.fromisoformat(cutoff)
    contracts = run.decide(
        "See which contracts share invoices", billing.share_out, client_no, entity, day, prepared_by, group
    )
    run.decide("Work out what their terms add up to", billing.derive_shared, contracts, day)
    invoice = run.decide(
        "Draft the invoice from what is ready",
        billing.draft_shared,
        contracts,
        client_no,
        entity,
        day,
        prepared_by,
        group,
        undo=drafting.discard,
    )
    if invoice is None:
        return "nothing is ready to bill together"
    return issue_and_post(run, invoice)


@process(
    starts="a billing run for a contract up to a cut-off date (API, CLI, month end)",
    owner="Billing; a second person above the entity's limit",
    key="contract number and the billing run's name",
    parks=(
        "EX-PCT-REGRESS",
        "EX-REVIEW",
        "EX-TAX-CODE",
        "EX-TAX-REJECT",
        "EX-TAX-DIFF",
        "EX-FX-RATE",
        "EX-POST-REJECT",
        "EX-POST-DIFF",
        "EX-WRITEBACK",
    ),
    undo="until the number is allocated: the tax document is voided, the draft discarded, its parts ready again",
    lane="financial",
)
def bill_contract(run: Run, contract_no: str, cutoff: str, prepared_by: str, group: str = "") -> str:
    """P2, steps 8 to 14. One run makes one invoice; what belongs on others gets runs of their own."""
    day = date.fromisoformat(cutoff)
    run.decide("Work out what the terms add up to", deriving.derive, contract_no, day)
    invoice = run.decide(
        "Draft the invoice from what is ready",
        billing.draft,
        contract_no,
        day,
        prepared_by,
        group,
        undo=drafting.discard,
    )
    if invoice is None:
        return "nothing is ready to bill"
    return issue_and_post(run, invoice)
