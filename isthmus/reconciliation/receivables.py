"""INV-09: every issued invoice is one document in the ERP, with the same total, document by document, never by sums."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from isthmus.domain.errors import IsthmusError
from isthmus.domain.objects import Invoice
from isthmus.ports.messages import PostedInvoice, PostInvoice
from isthmus.reconciliation.findings import Finding

Ask = Callable[[PostInvoice], PostedInvoice | None]


def check_receivables(invoices: list[tuple[Invoice, PostInvoice]], erp_of: Callable[[str], Any]) -> list[Finding]:
    """Ask each entity's ERP for each invoice (and how it was posted). An ERP that cannot be asked is a finding."""
    findings = []
    for invoice, posting in invoices:
        try:
            found = erp_of(invoice.entity).find_invoice(posting)
        except IsthmusError as error:
            findings.append(_finding(invoice, f"could not be checked: {error.message}", Decimal(0)))
            continue
        if found is None:
            findings.append(_finding(invoice, "missing in the ERP", invoice.total))
        elif (found.total, found.currency) != (invoice.total, invoice.currency):
            problem = f"{invoice.total} {invoice.currency} here, {found.total} {found.currency} in {found.ref.system}"
            findings.append(_finding(invoice, problem, abs(invoice.total - found.total)))
    return findings


def _finding(invoice: Invoice, problem: str, amount: Decimal) -> Finding:
    return Finding("receivables", invoice.number, problem, "receivables", amount, invoice.currency)
