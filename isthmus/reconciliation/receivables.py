"""INV-09: every issued invoice is one document in the ERP, with the same total, document by document, never by sums."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from isthmus.domain.objects import Invoice
from isthmus.ports.messages import PostedInvoice, PostInvoice
from isthmus.reconciliation.findings import Finding

# What the ERP has for an invoice: the document, None for nothing, or a text that says why it could not be asked.
Ask = Callable[[Invoice, PostInvoice], PostedInvoice | str | None]


def check_receivables(invoices: list[tuple[Invoice, PostInvoice]], ask: Ask) -> list[Finding]:
    """Ask for each invoice (and how it was posted). An ERP that cannot be asked is a finding, not silence."""
    findings = []
    for invoice, posting in invoices:
        found = ask(invoice, posting)
        if isinstance(found, str):
            findings.append(_finding(invoice, f"could not be checked: {found}", Decimal(0)))
        elif found is None:
            findings.append(_finding(invoice, "missing in the ERP", invoice.total))
        elif (found.total, found.currency) != (invoice.total, invoice.currency):
            problem = f"{invoice.total} {invoice.currency} here, {found.total} {found.currency} in {found.ref.system}"
            findings.append(_finding(invoice, problem, abs(invoice.total - found.total)))
    return findings


def _finding(invoice: Invoice, problem: str, amount: Decimal) -> Finding:
    return Finding("INV-09", invoice.number, problem, "receivables", amount, invoice.currency)
