"""What steps read of a document: the invoice under its lock, the terms it was drawn up under."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

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


def contracts_on(invoice: Invoice) -> tuple[str, ...]:
    """The contracts an invoice bills, in the order of their numbers; one, unless it is consolidated."""
    return tuple(sorted({line.contract_no or invoice.contract_no for line in invoice.lines}))


def versions_on(books: Books, invoice: Invoice) -> dict[str, ContractVersion]:
    """The terms an invoice is drawn up under, by contract: of the contracts beside its own, as its lines name them."""
    found = {invoice.contract_no: version_of(books, invoice)}
    for line in sorted(invoice.lines, key=lambda one: one.contract_version):
        if line.contract_no not in ("", invoice.contract_no):
            version = books.tx.get(ContractVersion, line.contract_no, line.contract_version)
            assert version is not None
            found[line.contract_no] = version
    return found


def invoices_of(books: Books, contract_no: str, versions: Iterable[ContractVersion], **equals: Any) -> list[Invoice]:
    """Invoices that bill something of a contract: its own, and where it consolidates those it shares with others."""
    own = books.tx.find(Invoice, contract_no=contract_no, **equals)
    clients = {(v.client_no, v.entity) for v in versions if v.invoicing.consolidate}
    for client_no, entity in sorted(clients):
        shared = books.tx.find(Invoice, client_no=client_no, entity=entity, **equals)
        own += [i for i in shared if i.contract_no != contract_no and contract_no in contracts_on(i)]
    return own
