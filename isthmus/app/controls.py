"""Runs the controls of reconciliation on a hub: its own books, and document by document against the ERP."""

from __future__ import annotations

from isthmus.domain.errors import IsthmusError
from isthmus.domain.objects import Invoice
from isthmus.domain.states import InvoiceLife, Posting
from isthmus.ports.messages import PostedInvoice, PostInvoice
from isthmus.processes.work.invoicing import posting_of
from isthmus.reconciliation import Finding, check_numbers, check_partition, check_receivables, check_standstill
from isthmus.runtime.kernel import Kernel


def reconcile(kernel: Kernel, *, ask_systems: bool = True) -> list[Finding]:
    """All findings, the largest amount first."""
    with kernel.store.transaction() as tx:
        books = kernel.books(tx, key="reconcile", actor="hub")
        findings = [*check_partition(tx), *check_numbers(tx), *check_standstill(tx, books.now)]
        posted = tx.find(Invoice, life=InvoiceLife.ISSUED, posting=Posting.POSTED, order=("number",))
        postings = [(invoice, posting_of(books, invoice.invoice_id)) for invoice in posted]
    if ask_systems:
        findings += check_receivables(postings, lambda invoice, posting: _ask(kernel, invoice, posting))
    return sorted(findings, key=lambda finding: (-finding.amount, finding.control, finding.key))


def _ask(kernel: Kernel, invoice: Invoice, posting: PostInvoice) -> PostedInvoice | str | None:
    try:
        found: PostedInvoice | None = kernel.systems.filling("Erp", invoice.entity).find_invoice(posting)
        return found
    except IsthmusError as error:
        return error.message
