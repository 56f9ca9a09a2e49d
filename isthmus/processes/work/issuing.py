"""The way every invoice takes from draft to the client: approved, taxed, numbered, posted, shown."""

from __future__ import annotations

from isthmus.domain.objects import Invoice
from isthmus.ports import Erp, TimeSource
from isthmus.ports.messages import TaxDocument
from isthmus.processes.work import invoicing, releasing, reviewing, taxing
from isthmus.processes.work.reading import contracts_on
from isthmus.runtime.run import Run


def issue_and_post(run: Run, invoice: Invoice) -> str:
    """P2, steps 10 to 14. The number is allocated when tax is known and never before. Returns the number."""
    invoice = run.decide("Approve the draft", reviewing.approve, invoice.invoice_id)
    question = taxing.work_out(run, invoice.invoice_id)
    invoice = run.decide("Issue the invoice under its number", invoicing.issue, invoice.invoice_id, final=True)
    run.decide("Keep what it withholds and releases", releasing.keep_ledgers, invoice.invoice_id)
    post_and_show(run, invoice, question)
    return invoice.number


def post_credit(run: Run, credit: Invoice, question: TaxDocument | None) -> str:
    """An issued credit memo goes to the ERP, its tax counts, the CRM shows it. Returns its number."""
    posting = run.decide("Prepare the posting", invoicing.posting_of, credit.invoice_id)
    posted = run.effect("Post the credit memo in the ERP", Erp.post_credit, posting)
    run.decide("Keep the posting", invoicing.keep_posting, credit.invoice_id, posted)
    taxing.commit(run, credit.invoice_id, question)
    for contract_no in contracts_on(credit):
        invoicing.show_in_crm(run, "Show the credit in the CRM", contract_no)
    run.decide("Mark the credit memo as delivered", invoicing.delivered, credit.invoice_id)
    return credit.number


def post_and_show(run: Run, invoice: Invoice, question: TaxDocument | None) -> None:
    """P2, steps 13 and 14: an issued invoice goes to the ERP, its tax counts, PSA and CRM show it."""
    posting = run.decide("Prepare the posting", invoicing.posting_of, invoice.invoice_id)
    posted = run.effect("Post the receivable in the ERP", Erp.post_invoice, posting)
    run.decide("Keep the posting", invoicing.keep_posting, invoice.invoice_id, posted)
    taxing.commit(run, invoice.invoice_id, question)

    for billed in run.decide("Find the entries it bills", invoicing.billed_time, invoice.invoice_id):
        run.effect_if_offered("Show the invoice in the PSA", TimeSource.mark_invoiced, billed)
    for contract_no in contracts_on(invoice):
        invoicing.show_in_crm(run, "Show the invoice in the CRM", contract_no)
    run.decide("Mark the invoice as delivered", invoicing.delivered, invoice.invoice_id)
