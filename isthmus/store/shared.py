"""Questions that several rooms ask of the books: which invoices bill a contract, how an entry stands now.

Invoices that bill a contract are its own, and those on which it stands beside other contracts of its client.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from isthmus.domain.objects import ContractVersion, Invoice, TimeEntry
from isthmus.store.tables import TABLES
from isthmus.store.tx import Tx


def bills(contract_no: str) -> sa.ColumnElement[bool]:
    """True of an invoice that is drawn up under the contract, or has a line of it.

    Only the client's invoices are looked through line by line: nobody else's can share one with the contract.
    """
    invoice, version = TABLES[Invoice], TABLES[ContractVersion]
    clients = sa.select(version.c.client_no).where(version.c.contract_no == contract_no)
    has_a_line = invoice.c.lines.contains([{"contract_no": contract_no}])
    return sa.or_(invoice.c.contract_no == contract_no, sa.and_(invoice.c.client_no.in_(clients), has_a_line))


def invoices_on(tx: Tx, *contract_nos: str, **equals: Any) -> list[Invoice]:
    """The invoices, drafts and credits that bill any of these contracts, by number."""
    found: dict[str, Invoice] = {}
    for contract_no in contract_nos:
        own = tx.find(Invoice, contract_no=contract_no, **equals)
        versions = tx.find(ContractVersion, contract_no=contract_no)
        sharing = {version.client_no for version in versions if version.invoicing.consolidate}
        beside = [
            invoice
            for client_no in sorted(sharing)
            for invoice in tx.find(Invoice, client_no=client_no, **equals)
            if any(line.contract_no == contract_no for line in invoice.lines)
        ]
        found |= {invoice.invoice_id: invoice for invoice in (*own, *beside)}
    return sorted(found.values(), key=lambda invoice: (invoice.number, invoice.invoice_id))


def last_words(tx: Tx, keys: Iterable[str]) -> dict[str, TimeEntry]:
    """The last revision of each of these entries, whatever project or person it is of now."""
    wanted = set(keys)
    if not wanted:
        return {}
    sources, ids = {key.split(":", 1)[0] for key in wanted}, {key.split(":", 1)[1] for key in wanted}
    found = tx.find(TimeEntry, source=tuple(sorted(sources)), source_id=tuple(sorted(ids)), order=("revision",))
    return {entry.key: entry for entry in found if entry.key in wanted}
