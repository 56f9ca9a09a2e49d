"""Tax that should not have been charged is given back alone, once; the net can still be credited, without it."""

from __future__ import annotations

from decimal import Decimal

from isthmus.app.controls import audit
from isthmus.domain.objects import Invoice
from isthmus.domain.states import TaxTrack
from isthmus.store.records import RunRow
from tests.processes.hub import ENTITY, Hub, contract, entry
from tests.processes.test_deposits import credit

TAXED = ENTITY.model_copy(update={"tax_rates": {"S": Decimal("0.10")}})


def billed(engine: bool = False) -> Hub:
    """An invoice of 370.00 with tax."""
    hub = Hub(TAXED)
    hub.set_up(contract(caps=()))
    if not engine:
        del hub.systems.by_port["TaxEngine"]
    hub.capture(entry(1, "2.0"))
    hub.bill("a")
    return hub


def memos(hub: Hub) -> list[Invoice]:
    return hub.rows(Invoice, kind="credit", order=("number",))


def test_the_tax_alone_is_given_back_and_the_evidence_stays_billed() -> None:
    hub = billed()
    (invoice,) = hub.rows(Invoice)
    credit(hub, invoice, {}, "tax")
    (memo,) = memos(hub)
    assert (memo.net, memo.tax, memo.total) == (Decimal(0), Decimal("37.00"), Decimal("37.00"))
    (invoice,) = hub.rows(Invoice, kind="standard")
    assert (invoice.open, invoice.credited, invoice.lines[0].credited) == (Decimal("370.00"), Decimal("37.00"), 0)
    assert audit(hub.kernel) == []


def test_it_is_given_back_once_and_the_net_afterwards_without_it() -> None:
    hub = billed()
    (invoice,) = hub.rows(Invoice)
    credit(hub, invoice, {"1": "0"}, "tax")
    args = {"amounts": {}, "reason": "tax", "requested_by": "ana", "invoice_id": invoice.invoice_id}
    hub.start("credit_invoice", "again", **args)
    assert "was given back already" in hub.case().cause
    hub.resolve("cancel")
    credit(hub, invoice, {"1": "370.00"}, "concession", "all")
    assert [(memo.net, memo.tax) for memo in memos(hub)] == [(0, Decimal("37.00")), (Decimal("370.00"), 0)]
    (invoice,) = hub.rows(Invoice, kind="standard")
    assert (invoice.open, str(invoice.life)) == (0, "credited")
    assert audit(hub.kernel) == []


def test_where_an_engine_keeps_the_documents_the_tax_desk_adjusts_it_there() -> None:
    hub = billed(engine=True)
    (invoice,) = hub.rows(Invoice)
    asked = len(hub.systems.tax.things["document"])
    credit(hub, invoice, {}, "tax")
    assert len(hub.systems.tax.things["document"]) == asked, "an engine asked about nothing answers nothing"
    assert hub.case().exception == "EX-TAX-ADJUST" and memos(hub)[0].tax == Decimal("32.84")
    hub.resolve("adjusted", document="AVA-77")
    assert memos(hub)[0].tax_track is TaxTrack.COMMITTED
    assert hub.rows(RunRow, process="credit_invoice")[0].state == "done" and audit(hub.kernel) == []
