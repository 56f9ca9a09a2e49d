"""A full cap is somebody's: one open case for each contract and cap, about what is over it, in whatever order."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from isthmus.domain.objects import BillablePart, Cap, CapKind, Payer, PurchaseOrder
from isthmus.domain.states import CaseState, PartState
from isthmus.processes.subscribers import SUBSCRIBERS
from isthmus.runtime import outbox
from isthmus.store.records import AuditEntry, Case, OutboxEvent, RunState
from tests.processes.hub import Hub, contract, entry

FULL = "EX-CAP-REACHED"


def cap(limit: str, cap_id: str = "K-1:cap", **changes: Any) -> Cap:
    return Cap(**{"cap_id": cap_id, "scope": "contract", "limit": Decimal(limit), **changes})


def capped(*caps: Cap, **changes: Any) -> Hub:
    """Hours cost 185.00; 8 h are 1,480.00."""
    hub = Hub(subscribers=dict(SUBSCRIBERS))
    hub.set_up(contract(caps=caps, **changes))
    return hub


def hand_on(hub: Hub) -> None:
    for name in hub.kernel.subscribers:
        while outbox.dispatch(hub.kernel, name):
            pass
    hub.go()


def told(hub: Hub) -> list[tuple[str, str]]:
    """Cap and amount of every open case."""
    cases = hub.rows(Case, state=CaseState.OPEN, exception=FULL, order=("case_no",))
    return [(case.context["cap"], f"{case.amount} {case.currency}") for case in cases]


def change_order(hub: Hub, number: str, delta: str, **more: str) -> Any:
    facts = {"contract_no": "K-1", "change_order": number, "cap_delta": delta, "accepted_on": "2026-04-01"}
    return hub.start("change_order", f"K-1:{number}", **facts, evidence="mail", **more)


def write_off(hub: Hub, amount: str, name: str = "W-1", **more: str) -> Any:
    facts = {"contract_no": "K-1", "amount": amount, "state": "over_cap", "requested_by": "pia", "reason": "goodwill"}
    return hub.start("write_off", f"K-1:{name}", **facts, **more)


@pytest.mark.requirement("INV-30")
def test_a_full_cap_opens_one_case_which_grows_with_what_is_over_it() -> None:
    hub = capped(cap("1500.00"))
    hub.capture(entry(1, "8"))
    assert told(hub) == []
    hub.capture(entry(2, "8", day=4))
    first = hub.case()
    assert (first.exception, first.queue, str(first.amount), first.currency) == (FULL, "pmo", "1460.00", "USD")
    assert first.cause == (
        "cap K-1:cap of contract K-1 (1500.00 USD) is full: 1460.00 USD of approved work is over it"
        " and cannot be billed until the client raises it"
    )
    hub.capture(entry(3, "8", day=5))
    second = hub.case()
    assert (second.case_no, second.opened_at, str(second.amount)) == (first.case_no, first.opened_at, "2940.00")
    (grown,) = [a for a in hub.rows(AuditEntry) if a.action == "case.amount"]
    assert (grown.before, grown.after) == ({"amount": "1460.00"}, {"amount": "2940.00"})
    hub.capture(entry(3, "8", day=5))  # delivered again
    assert len([a for a in hub.rows(AuditEntry) if a.action == "case.amount"]) == 1


def test_it_closes_itself_when_the_cap_is_raised_and_says_what_stays() -> None:
    hub = capped(cap("1500.00"))
    hub.capture(entry(1, "8"), entry(2, "8", day=4))
    change_order(hub, "CO-1", "400.00")
    assert told(hub) == [("K-1:cap", "1060.00 USD")]
    assert "(1900.00 USD)" in hub.case().cause
    change_order(hub, "CO-2", "1060.00")
    (case,) = hub.rows(Case)
    assert (case.state, case.resolved_by) == (CaseState.RESOLVED, "hub")
    assert case.resolution == {"action": "closed_by_itself", "reason": "nothing is over the cap any more"}
    hub.capture(entry(3, "8", day=6))
    assert told(hub) == [("K-1:cap", "1480.00 USD")], "full again: another case"
    assert len(hub.rows(Case)) == 2


def test_it_closes_itself_when_it_is_written_off_or_corrected() -> None:
    hub = capped(cap("1500.00"))
    hub.capture(entry(1, "8"), entry(2, "8", day=4), entry(3, "1", day=5))
    assert told(hub) == [("K-1:cap", "1645.00 USD")]
    hub.capture(entry(3, "0", day=5, approved_at=datetime(2026, 3, 9, tzinfo=UTC)))
    assert told(hub) == [("K-1:cap", "1460.00 USD")]
    write_off(hub, "1460.00")
    hub.resolve("approve", exception="EX-WRITE-OFF")
    assert told(hub) == []


def test_the_case_is_the_same_whatever_the_order_of_arrival() -> None:
    entries = [entry(n, str(4 + n), day=2 + n) for n in range(1, 4)]
    seen = set()
    for order in permutations(entries):
        hub = capped(cap("1500.00"), cap("9", "hours", measure="hours"))
        for one in order:
            hub.capture(one)
        seen.add(tuple(sorted(told(hub))))
    assert len(seen) == 1, seen


def test_each_cap_has_its_own_case_and_its_own_write_off() -> None:
    """5.00 h fill the money, 7.00 h the hours: the cap with less room is the one that is told."""
    hub = capped(cap("925.00", "money"), cap("7", "hours", measure="hours", scope="role", role="Consultant"))
    hub.capture(entry(1, "5"), entry(2, "2", day=4))
    assert told(hub) == [("money", "370.00 USD")]
    change_order(hub, "CO-1", "370.00")
    hub.capture(entry(3, "1", day=5))
    assert told(hub) == [("hours", "185.00 USD")], "both are full to the hour; the first by name has the case"
    write_off(hub, "185.00", cap_id="hours")
    hub.resolve("approve", exception="EX-WRITE-OFF")
    assert told(hub) == []


def test_any_cap_can_be_raised_by_a_change_order_a_purchase_order_too() -> None:
    order = PurchaseOrder(po_number="PO-7", amount=Decimal("1480.00"))
    hub = capped(cap("9", "hours", measure="hours"), purchase_orders=(order,), po_number="PO-7")
    hub.capture(entry(1, "8"), entry(2, "2", day=4))
    ((name, _),) = told(hub)
    assert name == "PO PO-7"
    change_order(hub, "CO-1", "370.00", cap_id="PO PO-7")
    assert told(hub) == [("hours", "185.00 USD")]
    change_order(hub, "CO-2", "1", cap_id="hours")
    assert told(hub) == []


def test_an_amendment_without_the_cap_closes_its_case() -> None:
    hub = capped(cap("1500.00"))
    hub.capture(entry(1, "8"), entry(2, "8", day=4))
    assert told(hub)
    hub.systems.crm.put_contract(contract(version=2, caps=()))
    assert hub.start("amend_contract", "K-1@2", contract_no="K-1", version=2).state is RunState.DONE
    assert told(hub) == []


def test_the_last_room_of_a_shared_cap_goes_to_the_first_payer_by_name() -> None:
    """As documented: halves of 1,480.00 under a cap of 1,000.00 leave PB 260.00, whichever is named first."""
    for order in (("PA", "PB"), ("PB", "PA")):
        payers = tuple(Payer(bill_to=name, percent=Decimal(50)) for name in order)
        line = contract().lines[0].model_copy(update={"payers": payers})
        hub = capped(cap("1000.00"), lines=(line,))
        hub.capture(entry(1, "8"))
        ready = {p.payer: p.net for p in hub.rows(BillablePart, state=PartState.READY)}
        assert ready == {"PA": Decimal("740.00"), "PB": Decimal("260.00")}
        assert told(hub) == [("K-1:cap", "480.00 USD")]


def test_a_soft_cap_binds_nothing_and_opens_no_case() -> None:
    hub = capped(cap("100.00", kind=CapKind.SOFT))
    hub.capture(entry(1, "8"))
    assert not hub.rows(Case)


def test_a_write_off_that_is_called_off_leaves_the_money_with_an_owner() -> None:
    """The case was answered by asking for a write-off; finance says no."""
    hub = capped(cap("1500.00"))
    hub.capture(entry(1, "8"), entry(2, "8", day=4))
    asked = hub.case()
    hub.resolve("write_off", why="goodwill")
    write_off(hub, "1460.00", name=asked.case_no, cap_id="K-1:cap")  # what the desk hands in
    hub.capture(entry(3, "1", day=5))
    assert told(hub) == [], "while it is asked for, the request is the case"
    hub.resolve("cancel", exception="EX-WRITE-OFF")
    hand_on(hub)
    assert told(hub) == [("K-1:cap", "1645.00 USD")]


def test_two_contracts_with_a_cap_of_one_name_are_both_told() -> None:
    hub = capped(cap("100.00", "NTE"))
    hub.set_up(contract(contract_no="K-2", caps=(cap("100.00", "NTE"),)))
    hub.capture(entry(1, "8"), entry(2, "8", project_code="P-K-2", person="bo"))
    assert told(hub) == [("NTE", "1380.00 USD"), ("NTE", "1380.00 USD")]
    reached = [e for e in hub.rows(OutboxEvent) if e.type == "cap.hard_reached"]
    assert sorted(e.aggregate for e in reached) == ["contract:K-1", "contract:K-2"]
