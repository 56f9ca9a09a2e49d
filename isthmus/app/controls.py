"""Runs the controls of reconciliation on a hub: its own books, and document by document against the ERP."""

from __future__ import annotations

from isthmus.domain.errors import IsthmusError
from isthmus.domain.objects import Invoice
from isthmus.domain.states import InvoiceLife, Posting
from isthmus.ports.messages import PostedInvoice, PostInvoice
from isthmus.processes.work.closing import totals_of
from isthmus.processes.work.invoicing import posting_of
from isthmus.processes.work.recomputing import worked_out_again
from isthmus.reconciliation import Finding, Recompute, audit_books, check_receivables, reconcile_books
from isthmus.runtime.books import Books
from isthmus.runtime.kernel import Kernel


def reconcile(kernel: Kernel, *, ask_systems: bool = True) -> list[Finding]:
    """Evidence, lines, numbers, standstill, and each invoice in the ERP; the largest amount first."""
    with kernel.store.transaction() as tx:
        books = kernel.books(tx, key="reconcile", actor="hub")
        findings = reconcile_books(tx, books.now)
        postings = _postings(books) if ask_systems else []
    return _sorted([*findings, *_receivables(kernel, postings)])


def audit(kernel: Kernel, *, ask_systems: bool = True) -> list[Finding]:
    """Every control: all of reconcile, and every invariant of the terms, worked out again from its source."""
    with kernel.store.transaction() as tx:
        books = kernel.books(tx, key="audit", actor="hub")
        findings = audit_books(tx, books.now, recompute(books))
        postings = _postings(books) if ask_systems else []
    return _sorted([*findings, *_receivables(kernel, postings)])


def recompute(books: Books) -> Recompute:
    """How this hub works out again what a control questions."""
    return Recompute(
        item=lambda item: worked_out_again(books, item),
        totals=lambda entity, period: totals_of(books, entity, period),
    )


def _postings(books: Books) -> list[tuple[Invoice, PostInvoice]]:
    posted = books.tx.find(Invoice, life=InvoiceLife.ISSUED, posting=Posting.POSTED, order=("number",))
    return [(invoice, posting_of(books, invoice.invoice_id)) for invoice in posted]


def _receivables(kernel: Kernel, postings: list[tuple[Invoice, PostInvoice]]) -> list[Finding]:
    return check_receivables(postings, lambda invoice, posting: _ask(kernel, invoice, posting))


def _sorted(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: (-finding.amount, finding.control, finding.key))


def _ask(kernel: Kernel, invoice: Invoice, posting: PostInvoice) -> PostedInvoice | str | None:
    try:
        erp = kernel.systems.filling("Erp", invoice.entity)
        found: PostedInvoice | None = (erp.find_credit if invoice.kind == "credit" else erp.find_invoice)(posting)
        return found
    except IsthmusError as error:
        return error.message
