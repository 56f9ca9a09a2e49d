"""What a contract comes to in the books: its evidence by state, and its invoices: life, posting, open."""

from __future__ import annotations

from decimal import Decimal

import sqlalchemy as sa

from isthmus.domain.objects import BillablePart
from isthmus.domain.states import InvoiceLife, PartState
from isthmus.store.shared import invoices_on
from isthmus.store.tables import TABLES
from isthmus.store.tx import Tx

Position = dict[tuple[str, str], Decimal]  # (what, currency) -> sum


def position_of(tx: Tx, contract_no: str) -> Position:
    """Sums by what they are and currency; empty without a contract."""
    sums: Position = {}
    if not contract_no:
        return sums
    for state, currency, net in _evidence(tx, contract_no):
        if state != PartState.SUPERSEDED:
            _add(sums, f"evidence {_words(state)}", currency, net)
    for invoice in invoices_on(tx, contract_no):
        name = invoice.number or f"draft {invoice.invoice_id}"
        if invoice.life is not InvoiceLife.DISCARDED:
            _add(sums, f"{name}: net, {_words(invoice.life)}", invoice.currency, invoice.net)
            _add(sums, f"{name}: total, {_words(invoice.posting)}", invoice.currency, invoice.total)
            _add(sums, f"{name}: open", invoice.currency, invoice.open)
    return sums


def _evidence(tx: Tx, contract_no: str) -> list[tuple[str, str, Decimal]]:
    """(state, currency, net), summed by the database where there is one: a contract may have many thousand parts."""
    if tx.raw is None:
        return [(p.state, p.currency, p.net) for p in tx.find(BillablePart, contract_no=contract_no)]
    part = TABLES[BillablePart]
    labels = (part.c.state, part.c.currency)
    query = sa.select(*labels, sa.func.sum(part.c.net)).where(part.c.contract_no == contract_no).group_by(*labels)
    return [tuple(row) for row in tx.raw.execute(query)]


def _add(sums: Position, what: str, currency: str, amount: Decimal) -> None:
    sums[what, currency] = sums.get((what, currency), Decimal(0)) + amount


def _words(state: str) -> str:
    return str(state).replace("_", " ")
