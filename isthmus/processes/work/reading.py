"""What steps read of a document: the invoice under its lock, the terms it was drawn up under."""

from __future__ import annotations

from isthmus.domain.objects import ContractVersion, Invoice
from isthmus.runtime.books import Books


def invoice_of(books: Books, invoice_id: str) -> Invoice:
    """The invoice as it stands, held until this transaction ends.

    Posting it and settling it are two runs, each writing its own tracks: without the lock the one would write back what
    the other has just changed.
    """
    books.tx.lock(f"invoice:{invoice_id}")
    invoice = books.tx.get(Invoice, invoice_id)
    assert invoice is not None, f"no invoice {invoice_id}"
    return invoice


def version_of(books: Books, invoice: Invoice) -> ContractVersion:
    """The contract version the invoice is drawn up under."""
    version = books.tx.get(ContractVersion, invoice.contract_no, invoice.contract_version)
    assert version is not None
    return version
