"""From approved time to an invoice the ERP has posted: no hour lost, none billed twice.

Two stories. ``capture_time`` makes evidence of approved time as it arrives, in batches. ``bill_contract`` turns what is
ready up to a cut-off into one invoice. The number is allocated when tax is known and never before.
"""

from __future__ import annotations

from datetime import date

from isthmus.ports import Erp, TaxEngine, TimeSource
from isthmus.processes.work import evidence, intake, invoicing
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
        "EX-NO-CONTRACT-LINE",
        "EX-LINE-AMBIGUOUS",
        "EX-RATE-MISSING",
        "EX-RATE-AMBIGUOUS",
        "EX-COST-RATE",
        "EX-INPUT",
    ),
    undo="nothing: evidence is corrected by a new revision, never taken back",
)
def capture_time(run: Run, messages: list[tuple[str, str]], alone: str) -> int:
    """P2, steps 1 to 6, for a batch; an entry that needs a decision goes on alone."""
    items = run.decide("Take the approved time in, priced by the contract in force", intake.capture, messages, alone)
    run.for_entity(run.decide("Place it under the caps", evidence.place, items))
    for costs in run.decide("Work out its cost entries", evidence.costs_of, items):
        run.effects("Record the hours as cost in the ERP", Erp.put_time, [(cost,) for cost in costs])
    return len(items)


@process(
    starts="a billing run for a contract up to a cut-off date (API, CLI, month end)",
    owner="Billing; a second person above the entity's limit",
    key="contract number and the billing run's name",
    parks=(
        "EX-REVIEW",
        "EX-TAX-CODE",
        "EX-TAX-REJECT",
        "EX-TAX-DIFF",
        "EX-POST-REJECT",
        "EX-POST-DIFF",
        "EX-WRITEBACK",
    ),
    undo="until the number is allocated: the tax document is voided, the draft discarded, its parts ready again",
    lane="financial",
)
def bill_contract(run: Run, contract_no: str, cutoff: str, prepared_by: str) -> str:
    """P2, steps 8 to 14."""
    day = date.fromisoformat(cutoff)
    invoice = run.decide(
        "Draft the invoice from what is ready",
        invoicing.draft,
        contract_no,
        day,
        prepared_by,
        undo=invoicing.discard,
    )
    if invoice is None:
        return "nothing is ready to bill"
    invoice = run.decide("Approve the draft", invoicing.approve, invoice.invoice_id)
    question = run.decide("Prepare the tax question", invoicing.tax_question, invoice.invoice_id)
    tax = run.effect("Calculate the tax", TaxEngine.calculate, question, undo=TaxEngine.void)
    invoice = run.decide("Accept the tax", invoicing.accept_tax, invoice.invoice_id, tax)
    invoice = run.decide("Issue the invoice under its number", invoicing.issue, invoice.invoice_id, final=True)

    posting = run.decide("Prepare the posting", invoicing.posting_of, invoice.invoice_id)
    posted = run.effect("Post the receivable in the ERP", Erp.post_invoice, posting)
    run.decide("Keep the posting", invoicing.keep_posting, invoice.invoice_id, posted)
    committed = run.effect("Commit the tax document", TaxEngine.commit, question)
    run.decide("Keep the tax commitment", invoicing.keep_tax_commit, invoice.invoice_id, committed)

    billed = run.decide("Find the entries it bills", invoicing.billed_time, invoice.invoice_id)
    if billed.entry_keys:
        run.effect("Show the invoice in the PSA", TimeSource.mark_invoiced, billed)
    invoicing.show_in_crm(run, "Show the invoice in the CRM", contract_no)
    run.decide("Mark the invoice as delivered", invoicing.delivered, invoice.invoice_id)
    return invoice.number
