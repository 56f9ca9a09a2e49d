"""A credit that undoes work gives back the same share of what was held back of it; goodwill leaves it as it is."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from isthmus.app.controls import audit
from isthmus.domain.objects import Invoice, LedgerEntry
from isthmus.domain.states import InvoiceLife
from isthmus.domain.terms import Holdback
from tests.processes.hub import Hub, contract, entry
from tests.processes.test_moved_hours import worth


def billed() -> Hub:
    """Ten hours for 1,850.00, of which 185.00 are held back."""
    hub = Hub()
    line = contract().lines[0].model_copy(update={"holdback": Holdback(percent=Decimal(10))})
    hub.set_up(contract(lines=(line,), caps=()))
    hub.capture(entry(1, "10"))
    hub.bill("first")
    assert held(hub) == Decimal("185.00")
    return hub


def held(hub: Hub) -> Decimal:
    return sum((e.amount for e in hub.rows(LedgerEntry, ledger="holdback")), Decimal(0))


def credit(hub: Hub, name: str, reason: str, kind: str = "standard", amount: str = "") -> None:
    (invoice,) = hub.rows(Invoice, kind=kind, life=InvoiceLife.ISSUED, order=("number",))[:1]
    wanted = {"1": amount} if amount else {}
    args: dict[str, Any] = {"invoice_id": invoice.invoice_id, "amounts": wanted, "reason": reason}
    hub.start("credit_invoice", name, requested_by="ana", **args)
    hub.resolve("approve")


def release(hub: Hub, name: str) -> None:
    args = {"contract_no": "K-1", "line_uid": "L1", "asked_by": "ana", "finally_accepted": True}
    hub.start("release_holdback", f"K-1:{name}", **args)


@pytest.mark.requirement("INV-13")
def test_a_line_credited_in_full_is_billed_again_with_its_holdback() -> None:
    hub = billed()
    credit(hub, "one", "error_rebill")
    assert held(hub) == 0 and worth(hub) == {"K-1": Decimal("1850.00")}
    hub.bill("second")
    assert held(hub) == Decimal("185.00")
    release(hub, "a")
    issued = [(i.kind, i.net) for i in hub.rows(Invoice, order=("number",))]
    assert sum((-net if kind == "credit" else net for kind, net in issued), Decimal(0)) == Decimal("1850.00")
    assert audit(hub.kernel) == []


def test_credits_in_pieces_give_back_the_holdback_to_the_cent() -> None:
    hub = billed()
    for name, amount in (("one", "555.01"), ("two", "555.01"), ("three", "554.98")):
        credit(hub, name, "error_rebill", amount=amount)
        assert audit(hub.kernel) == []
    assert held(hub) == 0 and worth(hub) == {"K-1": Decimal("1850.00")}


LEFT = [("concession", "185.00"), ("dispute_settlement", "185.00"), ("duplicate", "0")]


@pytest.mark.parametrize(("reason", "left"), LEFT)
def test_what_is_held_stays_held_only_where_the_credit_is_goodwill(reason: str, left: str) -> None:
    hub = billed()
    credit(hub, "one", reason)
    assert (held(hub), audit(hub.kernel)) == (Decimal(left), [])


def test_what_was_released_meanwhile_is_credited_there() -> None:
    hub = billed()
    release(hub, "a")
    credit(hub, "one", "error_rebill")
    assert worth(hub) == {"K-1": Decimal("1850.00")}, "1,665.00 are ready again, 185.00 are on the release"
    assert held(hub) == 0 and audit(hub.kernel) == []


def test_a_release_in_error_can_be_released_again() -> None:
    hub = billed()
    release(hub, "a")
    credit(hub, "one", "error_rebill", kind="release")
    assert held(hub) == Decimal("185.00")
    release(hub, "b")
    assert held(hub) == 0 and audit(hub.kernel) == []
