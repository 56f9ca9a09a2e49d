"""Runs the controls of reconciliation on a hub: its own books, and document by document against the ERP."""

from __future__ import annotations

from isthmus.domain.errors import IsthmusError, RemoteRefusal
from isthmus.domain.objects import ContractVersion, Invoice
from isthmus.domain.states import BillState, InvoiceLife, Posting
from isthmus.domain.subcontracting import SubcontractorBill
from isthmus.kit.posting import TWICE
from isthmus.ports.messages import PostedBill, PostedInvoice, PostInvoice, PostVendorBill
from isthmus.processes.work.earned import totals_of
from isthmus.processes.work.invoicing import posting_of
from isthmus.processes.work.paying import posting_of as posting_of_bill
from isthmus.processes.work.recomputing import worked_out_again
from isthmus.reconciliation import (
    Finding,
    Recompute,
    Unanswered,
    audit_books,
    check_listed,
    check_payables,
    check_receivables,
    reconcile_books,
)
from isthmus.runtime.books import Books
from isthmus.runtime.kernel import Kernel
from isthmus.store.records import CrossReference


def reconcile(kernel: Kernel, *, ask_systems: bool = True) -> list[Finding]:
    """Evidence, lines, numbers, standstill, and each document of the hub and of the ERP; the largest amount first."""
    with kernel.store.transaction() as tx:
        books = kernel.books(tx, key="reconcile", actor="hub")
        findings = reconcile_books(tx, books.now)
        postings = _postings(books) if ask_systems else []
        bills = _bills(books) if ask_systems else []
    return _sorted([*findings, *(_receivables(kernel, postings) if ask_systems else []), *_payables(kernel, bills)])


def audit(kernel: Kernel, *, ask_systems: bool = True) -> list[Finding]:
    """Every control: all of reconcile, and every invariant of the terms, worked out again from its source."""
    with kernel.store.transaction() as tx:
        books = kernel.books(tx, key="audit", actor="hub")
        findings = audit_books(tx, books.now, recompute(books))
        postings = _postings(books) if ask_systems else []
        bills = _bills(books) if ask_systems else []
    return _sorted([*findings, *(_receivables(kernel, postings) if ask_systems else []), *_payables(kernel, bills)])


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
    """Both ways: what the hub has posted, asked for one by one, and what the ERPs list.

    What an ERP has posted twice under one number is told once.
    """
    asked = check_receivables(postings, lambda invoice, posting: _ask(kernel, invoice, posting))
    told = {finding.key for finding in asked if finding.kind == "duplicate"}
    for entity in billing_entities(kernel):
        try:
            asked += [each for each in listed(kernel, entity) if each.key not in told]
        except IsthmusError as error:
            problem = f"cannot be listed: {error.message}"
            asked.append(Finding("INV-09", entity, problem, "receivables", kind="unasked", entity=entity))
    return asked


def billing_entities(kernel: Kernel) -> list[str]:
    """Legal entities that have contracts, and an ERP that lists its receivables."""
    with kernel.store.transaction() as tx:
        entities = sorted({version.entity for version in tx.find(ContractVersion)})
    return [entity for entity in entities if kernel.systems.all_filling("ReceivableList", entity)]


def listed(kernel: Kernel, entity: str) -> list[Finding]:
    """INV-09 by what the ERPs of a legal entity list since its first contract began: what is unknown, or twice."""
    with kernel.store.transaction() as tx:
        versions = tx.find(ContractVersion, entity=entity)
    if not versions:
        return []
    since = min(each.effective_from for each in versions)
    clients = {client.client_no for each in versions for client in (each.client, *each.payers)}
    documents: list[PostedInvoice] = []
    for connection in kernel.systems.all_filling("ReceivableList", entity):
        documents += connection.receivables(entity, since)
    # Read after the list: an invoice that was issued meanwhile must not be taken for somebody else's.
    with kernel.store.transaction() as tx:
        invoices = tx.find(Invoice, entity=entity, order=("invoice_id",))
    return check_listed(entity, invoices, clients, documents)


def _bills(books: Books) -> list[tuple[SubcontractorBill, PostVendorBill]]:
    """Bills that the hub has posted itself; what a person has posted is not to be found under the hub's key."""
    posted = books.tx.find(SubcontractorBill, state=(BillState.POSTED, BillState.PAYABLE), order=("bill_id",))
    keys = tuple(bill.bill_id for bill in posted)
    known = {ref.key: ref.remote_id for ref in books.tx.find(CrossReference, key=keys)} if keys else {}
    return [(bill, posting_of_bill(bill)) for bill in posted if known.get(bill.bill_id) == bill.posted_as]


def _payables(kernel: Kernel, bills: list[tuple[SubcontractorBill, PostVendorBill]]) -> list[Finding]:
    return check_payables(bills, lambda bill, posting: _ask_for_bill(kernel, bill, posting))


def _ask_for_bill(kernel: Kernel, bill: SubcontractorBill, posting: PostVendorBill) -> PostedBill | str | None:
    try:
        found: PostedBill | None = kernel.systems.filling("VendorBillBook", bill.entity).find_bill(posting)
        return found
    except IsthmusError as error:
        return error.message


def _sorted(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: (-finding.amount, finding.control, finding.key))


def _ask(kernel: Kernel, invoice: Invoice, posting: PostInvoice) -> PostedInvoice | Unanswered | None:
    try:
        erp = kernel.systems.filling("Erp", invoice.entity)
        found: PostedInvoice | None = (erp.find_credit if invoice.kind == "credit" else erp.find_invoice)(posting)
        return found
    except RemoteRefusal as refused:
        return Unanswered(refused.message, twice=refused.remote_code == TWICE)
    except IsthmusError as error:
        return Unanswered(error.message)
