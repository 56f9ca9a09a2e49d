"""Two people credit one line at the same time: together they never give back more than it was (INV-10)."""

from __future__ import annotations

from decimal import Decimal

from isthmus.domain.objects import Invoice
from isthmus.domain.states import CaseState
from isthmus.store.records import Case
from tests.processes.hub import Hub
from tests.processes.test_invoice_to_cash import billed
from tests.runtime.test_edits import refuse


def answer_all(hub: Hub, action: str) -> None:
    """Every open case gets the same answer from somebody who prepared none of them."""
    for case in hub.rows(Case, state=CaseState.OPEN):
        with hub.store.transaction() as tx:
            hub.kernel.resolve(tx, case.case_no, action=action, actor="finn", reason="test", values={})
    hub.go()


def test_two_credits_drawn_up_before_either_is_issued_give_a_line_back_once() -> None:
    hub = billed()
    invoice = hub.rows(Invoice)[0]
    ready = False
    refuse(hub, "tax", "calculate", lambda document: ready)
    for name in ("one", "two"):
        args = {"invoice_id": invoice.invoice_id, "amounts": {"1": "1000.00"}, "reason": "concession"}
        hub.start("credit_invoice", name, requested_by="ana", **args)
    answer_all(hub, "approve")
    assert len(hub.rows(Invoice, kind="credit")) == 2, "both are drawn up"
    ready = True
    answer_all(hub, "retry")
    issued = [credit for credit in hub.rows(Invoice, kind="credit") if credit.number]
    assert [credit.net for credit in issued] == [Decimal("1000.00")]
    assert hub.rows(Invoice, kind="standard")[0].lines[0].credited == Decimal("1000.00")
    assert "more than the 480.00 that is left" in hub.case().cause
