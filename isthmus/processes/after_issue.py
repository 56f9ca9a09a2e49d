"""What happens to an issued invoice: it is credited, contested, or what it held back is asked for."""

from __future__ import annotations

from decimal import Decimal

from isthmus.processes.work import (
    bad_debt,
    crediting,
    disputing,
    giving_back,
    invoicing,
    releasing,
    resharing,
    tax_relief,
    taxing,
)
from isthmus.processes.work.issuing import issue_and_post, post_credit
from isthmus.runtime.process import process
from isthmus.runtime.run import Run


@process(
    starts="a request to give back what an invoice bills (API, desk, an upheld dispute)",
    owner="Receivables; another person than the one who asks approves",
    key="the request's name",
    parks=(
        "EX-CREDIT-REVIEW",
        "EX-TAX-REJECT",
        "EX-TAX-DIFF",
        "EX-TAX-ADJUST",
        "EX-FX-RATE",
        "EX-POST-REJECT",
        "EX-POST-DIFF",
        "EX-WRITEBACK",
    ),
    undo="until the number is allocated: the tax document is voided, the draft discarded",
    lane="financial",
)
def credit_invoice(
    run: Run,
    invoice_id: str,
    amounts: dict[str, str],
    reason: str,
    requested_by: str,
    note: str = "",
    disposition: str = "",
) -> str:
    """A credit memo: a document of its own, at the original's tax rate; the evidence behind it goes somewhere."""
    lines = run.decide("Have the credit approved", crediting.ask, invoice_id, amounts, reason, requested_by, note)
    credit = run.decide(
        "Draw up the credit memo",
        crediting.draw_up,
        invoice_id,
        lines,
        reason,
        requested_by,
        undo=crediting.withdraw,
    )
    question = taxing.work_out(run, credit.invoice_id)
    credit = run.decide(
        "Issue the credit memo under its number", crediting.issue, credit.invoice_id, reason, disposition, final=True
    )
    return post_credit(run, credit, question)


@process(
    starts="a billing run in which corrections give back more than there is to bill",
    owner="Receivables; another person than the one who bills approves",
    key="the billing run and the number of the invoice that is credited",
    parks=(
        "EX-CREDIT-REVIEW",
        "EX-TAX-REJECT",
        "EX-TAX-DIFF",
        "EX-FX-RATE",
        "EX-POST-REJECT",
        "EX-POST-DIFF",
        "EX-WRITEBACK",
    ),
    undo="until the number is allocated: the tax document is voided, the evidence waits to be netted",
    lane="financial",
)
def credit_correction(run: Run, credit_id: str, process: str, args: dict[str, str]) -> str:
    """A credit memo made of evidence: what an earlier invoice billed too much, at that invoice's tax rate.

    What is to be billed beside it is billed afterwards, by a run of its own.
    """
    run.decide("Take the credit memo that was drawn up", giving_back.take, credit_id, undo=giving_back.discard)
    run.decide("Have the credit approved", giving_back.approve, credit_id)
    question = taxing.work_out(run, credit_id)
    credit = run.decide("Issue the credit memo under its number", giving_back.issue, credit_id, final=True)
    run.decide("Bill what is left beside it", giving_back.bill_the_rest, credit_id, process, args)
    return post_credit(run, credit, question)


@process(
    starts="an amendment by which a payer has a smaller share of what is billed",
    owner="Receivables; another person than the one behind the amendment approves",
    key="the amendment and the number of the invoice that is credited",
    parks=(
        "EX-CREDIT-REVIEW",
        "EX-PAID-SHARE",
        "EX-TAX-REJECT",
        "EX-TAX-DIFF",
        "EX-FX-RATE",
        "EX-POST-REJECT",
        "EX-POST-DIFF",
        "EX-WRITEBACK",
    ),
    undo="until the number is allocated: the tax document is voided, the share waits to be netted",
    lane="financial",
)
def credit_share(run: Run, credit_id: str, process: str, args: dict[str, str]) -> str:
    """A credit memo for a payer who pays less of billed evidence; after the last one the others are billed."""
    run.decide("Take the credit memo that was drawn up", giving_back.take, credit_id, undo=giving_back.discard)
    run.decide("Have the credit approved", giving_back.approve, credit_id, resharing.WHY)
    run.decide("Say where money goes that was paid", resharing.settle_paid, credit_id)
    question = taxing.work_out(run, credit_id)
    credit = run.decide("Issue the credit memo under its number", giving_back.issue, credit_id, final=True)
    run.decide("Bill the share to those who pay it now", giving_back.bill_the_rest, credit_id, process, args)
    return post_credit(run, credit, question)


@process(
    starts="a client contests a line of an invoice (API, desk, support)",
    owner="Receivables with the engagement manager",
    key="the dispute's number",
    parks=("EX-DISPUTE", "EX-WRITEBACK"),
    undo="nothing: a dispute is decided, never forgotten",
    lane="financial",
)
def dispute_line(run: Run, invoice_id: str, line: int, amount: str, reason: str, opened_by: str) -> str:
    """P3.5: contested, shown to everybody, decided by a person; what is upheld becomes a credit memo."""
    contested = Decimal(amount) if amount else None
    dispute = run.decide(
        "Open the dispute", disputing.open_dispute, invoice_id, line, contested, reason, opened_by, final=True
    )
    contract_no = run.decide("See whose engagement it is", invoicing.contract_of_line, invoice_id, line)
    invoicing.show_in_crm(run, "Show the dispute in the CRM", contract_no)
    disputing.show_to_delivery(run, "Show the dispute in the PSA", contract_no)
    given_back = run.decide("Have the dispute decided", disputing.decide, dispute)
    run.decide("Close the dispute", disputing.close, dispute, given_back)
    invoicing.show_in_crm(run, "Show the decision in the CRM", contract_no)
    disputing.show_to_delivery(run, "Show the decision in the PSA", contract_no)
    return given_back


@process(
    starts="a client will not pay what is open of an invoice (API)",
    owner="Receivables; another person by the entity's approval matrix",
    key="the invoice's number and the request's name",
    parks=("EX-BAD-DEBT", "EX-WRITEBACK"),
    undo="nothing: what was given up is claimed again by a request of its own",
    lane="financial",
)
def write_off_debt(run: Run, invoice_id: str, amount: str, reason: str, requested_by: str) -> str:
    """P3: what will not come is given up: settled here, an expense in the ledger, shown in the CRM."""
    wanted = Decimal(amount) if amount else None
    given = run.decide("Have the bad debt approved", bad_debt.ask, invoice_id, wanted, requested_by, reason)
    told = run.decide("Give the debt up", bad_debt.give_up, invoice_id, given, reason, final=True)
    for contract_no in run.decide("See whose engagement it is", invoicing.contracts_billed, invoice_id):
        invoicing.show_in_crm(run, "Show it in the CRM", contract_no)
    return told


@process(
    starts="the law lets the firm have the tax of a debt back that it has given up (clock)",
    owner="Tax desk",
    key="the share of the invoice that was given up",
    parks=("EX-TAX-ADJUST",),
    undo="nothing: a claim that is made again gives it back",
    lane="financial",
)
def relieve_bad_debt(run: Run, allocation_id: str) -> str:
    """P3.7: the tax within a bad debt is no expense of the firm: booked, and adjusted where an engine reports it."""
    tax = run.decide("Have the tax of the bad debt back", tax_relief.relieve, allocation_id, final=True)
    return run.decide("Bring the tax record to it", tax_relief.adjust, allocation_id, tax)


@process(
    starts="a debt is claimed again that was given up",
    owner="Tax desk",
    key="the share of the invoice that was given up",
    parks=("EX-TAX-ADJUST",),
    undo="nothing: what is given up once more has its tax back once more",
    lane="financial",
)
def return_bad_debt_relief(run: Run, allocation_id: str) -> str:
    """P3.7: what was had back of its tax is owed again."""
    tax = run.decide("Owe the tax of the claim again", tax_relief.give_back, allocation_id, final=True)
    return run.decide("Bring the tax record to it", tax_relief.adjust, allocation_id, tax)


@process(
    starts="a client pays after all, or promises to (API)",
    owner="Receivables",
    key="the invoice's number and the request's name",
    parks=("EX-WRITEBACK",),
    undo="nothing: it can be given up once more",
    lane="financial",
)
def claim_again(run: Run, invoice_id: str, reason: str, requested_by: str) -> str:
    """P3: everything given up of an invoice is open again, in the books and in the ledger."""
    told = run.decide("Claim it again", bad_debt.claim_again, invoice_id, requested_by, reason, final=True)
    for contract_no in run.decide("See whose engagement it is", invoicing.contracts_billed, invoice_id):
        invoicing.show_in_crm(run, "Show it in the CRM", contract_no)
    return told


@process(
    starts="final acceptance, a date or a request: what invoices held back is due (API)",
    owner="Billing; a second person above the entity's limit",
    key="contract number, line and the request's name",
    parks=(
        "EX-REVIEW",
        "EX-TAX-CODE",
        "EX-TAX-REJECT",
        "EX-TAX-DIFF",
        "EX-FX-RATE",
        "EX-POST-REJECT",
        "EX-POST-DIFF",
        "EX-WRITEBACK",
    ),
    undo="until the number is allocated: the tax document is voided, the draft discarded",
    lane="financial",
)
def release_holdback(
    run: Run, contract_no: str, line_uid: str, asked_by: str, finally_accepted: bool, payer: str = ""
) -> str:
    """The holdback of a line, invoiced in full and taxed on release; of each payer on an invoice of its own."""
    invoice = run.decide(
        "Draft the release",
        releasing.draft_release,
        contract_no,
        line_uid,
        asked_by,
        finally_accepted,
        payer,
        undo=releasing.discard,
    )
    if invoice is None:
        return "nothing is held"
    return issue_and_post(run, invoice)


@process(
    starts="a deposit is due before the work (API)",
    owner="Billing; a second person above the entity's limit",
    key="contract number, line and the request's name",
    parks=(
        "EX-REVIEW",
        "EX-TAX-CODE",
        "EX-TAX-REJECT",
        "EX-TAX-DIFF",
        "EX-FX-RATE",
        "EX-POST-REJECT",
        "EX-POST-DIFF",
        "EX-WRITEBACK",
    ),
    undo="until the number is allocated: the tax document is voided, the draft discarded",
    lane="financial",
)
def bill_advance(run: Run, contract_no: str, line_uid: str, asked_by: str) -> str:
    """The deposit of a line, invoiced in advance; later invoices draw on it."""
    invoice = run.decide(
        "Draft the advance", releasing.draft_advance, contract_no, line_uid, asked_by, undo=releasing.discard
    )
    return issue_and_post(run, invoice)
