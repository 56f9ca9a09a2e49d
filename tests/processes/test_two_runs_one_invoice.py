"""Posting an invoice and settling it are two runs on one row: neither writes back what the other has just changed."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from isthmus.domain.objects import Invoice, InvoiceLine
from isthmus.domain.states import InvoiceLife, Posting, Settlement, TaxTrack
from isthmus.processes.work import cash, taxing
from isthmus.runtime.clock import HandClock
from isthmus.runtime.engine import MemoryEngine
from isthmus.runtime.kernel import Kernel
from isthmus.store.postgres import PostgresStore
from tests.processes.hub import ENTITY
from tests.simulation.fakes import FakeSystems

TOTAL = Decimal("1611.35")


def posted() -> Invoice:
    """Posted, its tax not committed yet."""
    line = InvoiceLine(number=1, description="Advice", quantity=Decimal(8), unit_price=Decimal(185), net=Decimal(1480))
    facts = {"contract_no": "K-1", "contract_version": 1, "client_no": "C-1", "entity": "US01", "currency": "USD"}
    return Invoice(
        invoice_id="K-1:2026-03",
        project_code="P-K-1",
        period="2026-03",
        lines=(line,),
        net=Decimal(1480),
        tax=TOTAL - 1480,
        total=TOTAL,
        open=TOTAL,
        number="US01-INV-2026-00001",
        due_date=date(2026, 4, 1),
        life=InvoiceLife.ISSUED,
        tax_track=TaxTrack.CALCULATED,
        posting=Posting.POSTED,
        **facts,  # type: ignore[arg-type]
    )


@pytest.mark.slow
def test_a_payment_during_the_tax_commitment_is_not_forgotten(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PostgresStore(fresh_database)
    kernel = Kernel(store, HandClock(datetime(2026, 3, 31, tzinfo=UTC)), MemoryEngine(), FakeSystems())
    with store.transaction() as tx:
        tx.insert(ENTITY)
        tx.insert(posted())

    def settle() -> None:
        with store.transaction() as tx:
            cash._settle(kernel.books(tx, key="payment", actor="hub"), "K-1:2026-03", TOTAL)

    paying, plain_move = threading.Thread(target=settle), taxing.move

    def move_slowly(*args: object) -> object:
        paying.start()
        paying.join(0.5)  # the payment comes between the read and the write
        return plain_move(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(taxing, "move", move_slowly)
    with store.transaction() as tx:
        taxing.keep_tax_commit(kernel.books(tx, key="bill", actor="hub"), "K-1:2026-03", None)  # type: ignore[arg-type]
    paying.join(10)
    with store.transaction() as tx:
        invoice = tx.get(Invoice, "K-1:2026-03")
    store.close()
    assert invoice is not None
    assert (invoice.tax_track, invoice.settlement, invoice.open) == (TaxTrack.COMMITTED, Settlement.PAID, Decimal(0))
