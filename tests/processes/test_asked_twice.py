"""A holdback or an advance that is asked for again while the first request is still on its way: it is billed once."""

from __future__ import annotations

from decimal import Decimal

import pytest

from isthmus.app.controls import audit
from isthmus.domain.objects import Invoice
from isthmus.domain.states import InvoiceLife
from isthmus.domain.terms import Deposit, Holdback
from isthmus.store.records import Case
from tests.processes.hub import ENTITY, Hub, contract, entry

REVIEWED = ENTITY.model_copy(update={"invoice_approval_limit": Decimal("100.00")})


def hub_with(**terms: object) -> Hub:
    """Every invoice above 100.00 waits for a second person."""
    hub = Hub(REVIEWED)
    hub.set_up(contract(lines=(contract().lines[0].model_copy(update=terms),), caps=()))
    return hub


def approve_all(hub: Hub) -> None:
    for case in hub.rows(Case, state="open"):
        if case.exception == "EX-REVIEW":
            with hub.store.transaction() as tx:
                hub.kernel.resolve(tx, case.case_no, action="approve", actor="finn", reason="test", values={})
    hub.go()


def asked_for(hub: Hub, process: str, *names: str, **args: object) -> list[str]:
    return [
        str(hub.start(process, f"K-1:{name}", contract_no="K-1", line_uid="L1", asked_by="ana", **args).state)
        for name in names
    ]


def issued(hub: Hub, kind: str) -> list[Decimal]:
    return [i.net for i in hub.rows(Invoice, kind=kind, life=InvoiceLife.ISSUED)]


@pytest.mark.requirement("INV-06")
def test_a_holdback_that_is_asked_for_twice_is_released_once() -> None:
    hub = hub_with(holdback=Holdback(percent=Decimal(10)))
    hub.capture(entry(1, "10"))
    hub.bill("first")
    approve_all(hub)
    assert asked_for(hub, "release_holdback", "a", "b", finally_accepted=True) == ["parked", "done"]
    approve_all(hub)
    assert asked_for(hub, "release_holdback", "c", finally_accepted=True) == ["done"]
    assert issued(hub, "release") == [Decimal("185.00")] and audit(hub.kernel) == []


def test_a_release_that_is_called_off_can_be_asked_for_again() -> None:
    hub = hub_with(holdback=Holdback(percent=Decimal(10)))
    hub.capture(entry(1, "10"))
    hub.bill("first")
    approve_all(hub)
    asked_for(hub, "release_holdback", "a", finally_accepted=True)
    hub.resolve("cancel")
    asked_for(hub, "release_holdback", "b", finally_accepted=True)
    approve_all(hub)
    assert issued(hub, "release") == [Decimal("185.00")]


def test_an_advance_that_is_asked_for_twice_is_billed_once() -> None:
    hub = hub_with(deposit=Deposit(amount=Decimal("1000.00")))
    assert asked_for(hub, "bill_advance", "a", "b") == ["parked", "parked"]
    assert [c.exception for c in hub.rows(Case, state="open")] == ["EX-REVIEW", "EX-INPUT"]
    approve_all(hub)
    assert issued(hub, "advance") == [Decimal("1000.00")]
    assert "is on invoice" in hub.case().cause
