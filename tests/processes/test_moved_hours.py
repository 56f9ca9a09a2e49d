"""Hours a correction has moved to another contract, day or line: they count where they are, and only there."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from isthmus.app.controls import audit
from isthmus.domain.objects import BillablePart, BillingType, ContractLine, ContractVersion, Invoice, Rate
from isthmus.domain.states import PartState
from isthmus.domain.terms import Band, DayRule, ExpenseTerms, Retainer
from isthmus.processes import sweeps
from isthmus.store.records import Case
from tests.processes.hub import Hub, contract, entry
from tests.processes.test_lending import UK
from tests.processes.test_sweeps import expense

EIGHT_HOURS = DayRule(bands=(Band(up_to_hours=Decimal(8), multiplier=Decimal(1)),))
LATER = datetime(2026, 3, 20, tzinfo=UTC)


def amend(hub: Hub, lines: tuple[ContractLine, ...] = contract().lines) -> None:
    """From 10 March on an hour costs 200.00."""
    since = date(2026, 3, 10)
    ended = lines[0].rates[0].model_copy(update={"effective_to": since})
    risen = Rate(role="Consultant", bill_rate=Decimal("200.00"), effective_from=since)
    raised = tuple(line.model_copy(update={"rates": (ended, risen)}) for line in lines)
    hub.systems.crm.put_contract(contract(version=2, effective_from=since, lines=raised, caps=()))
    assert hub.start("amend_contract", "K-1@2", contract_no="K-1", version=2).state == "done"


def worth(hub: Hub) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for part in hub.rows(BillablePart):
        if part.state in (PartState.READY, PartState.INVOICED, PartState.ON_DRAFT):
            sums[part.contract_no] = sums.get(part.contract_no, Decimal(0)) + part.net
    return {number: total for number, total in sums.items() if total}


def test_an_amendment_prices_no_hour_that_has_moved_to_another_contract() -> None:
    hub = Hub()
    hub.set_up()
    hub.set_up(contract(contract_no="K-2", caps=()))
    hub.capture(entry(1, "8", day=12))
    hub.capture(entry(1, "8", day=12, project_code="P-K-2", approved_at=LATER))
    assert worth(hub) == {"K-2": Decimal("1480.00")}
    amend(hub)
    assert worth(hub) == {"K-2": Decimal("1480.00")}
    assert audit(hub.kernel) == []


def test_an_amendment_prices_no_hour_that_has_moved_out_of_its_window() -> None:
    hub = Hub()
    hub.set_up()
    hub.capture(entry(1, "8", day=12))
    hub.capture(entry(1, "8", day=5, approved_at=LATER))
    assert worth(hub) == {"K-1": Decimal("1480.00")}
    amend(hub)
    assert worth(hub) == {"K-1": Decimal("1480.00")}
    assert audit(hub.kernel) == []


def credited(disposition: str) -> Hub:
    """Eight hours are billed on K-1 and credited: to be billed again, or because they belong to K-2."""
    hub = Hub()
    hub.set_up()
    hub.set_up(contract(contract_no="K-2", caps=()))
    hub.capture(entry(1, "8", day=12))
    hub.bill("first")
    (invoice,) = hub.rows(Invoice)
    args = {"invoice_id": invoice.invoice_id, "amounts": {"1": "1480.00"}, "disposition": disposition}
    hub.start("credit_invoice", "one", reason="error_rebill", requested_by="ana", **args)
    hub.resolve("approve")
    return hub


@pytest.mark.requirement("INV-22")
@pytest.mark.parametrize(("hours", "net"), [("6", "1110.00"), ("10", "1850.00"), ("0", None)])
def test_credited_hours_are_corrected_and_billed_again_as_they_are_now(hours: str, net: str | None) -> None:
    hub = credited("ready")
    hub.capture(entry(1, hours, day=12, approved_at=LATER))
    assert worth(hub) == ({"K-1": Decimal(net)} if net else {})
    hub.bill("second")
    numbers = [(i.number, i.net) for i in hub.rows(Invoice, kind="standard", order=("number",))]
    assert numbers[1:] == ([("US01-INV-2026-00002", Decimal(net))] if net else [])
    assert hub.rows(Case, state="open") == [] and audit(hub.kernel) == []


def test_transferred_hours_are_billed_where_their_entry_is_moved_to() -> None:
    hub = credited("transferred")
    hub.capture(entry(1, "8", day=12, project_code="P-K-2", approved_at=LATER))
    assert worth(hub) == {"K-2": Decimal("1480.00")}
    assert hub.rows(Case, state="open") == [] and audit(hub.kernel) == []


@pytest.mark.parametrize("hours", ["0", "6"])
def test_transferred_hours_that_are_corrected_give_nothing_back_again(hours: str) -> None:
    hub = credited("transferred")
    hub.capture(entry(1, hours, day=12, approved_at=LATER))
    assert worth(hub) == {}
    assert hub.rows(Case, state="open") == [] and audit(hub.kernel) == []


def test_an_amendment_bills_no_difference_on_hours_that_are_written_off() -> None:
    hub = Hub()
    hub.set_up(contract(caps=()))
    hub.capture(entry(1, "8", day=12), entry(2, "2", day=13))
    args = {"amount": "1850.00", "state": "ready", "requested_by": "ana", "reason": "gesture"}
    hub.start("write_off", "one", contract_no="K-1", **args)
    hub.resolve("approve")
    hub.capture(entry(3, "4", day=14))
    amend(hub)
    assert worth(hub) == {"K-1": Decimal("800.00")}
    assert audit(hub.kernel) == []


def retained(**changes: Any) -> ContractVersion:
    """Ten hours a month for 1,500.00, each further one for 200.00."""
    (line,) = contract().lines
    quota = {"fee": Decimal(1500), "quota_hours": Decimal(10), "overage_rate": Decimal(200)}
    terms = {"billing_type": BillingType.RETAINER, "retainer": Retainer(start=date(2026, 3, 1), **quota)}
    return contract(lines=(line.model_copy(update=terms),), caps=(), **changes)


def test_hours_that_have_moved_to_another_contract_use_no_quota_here() -> None:
    hub = Hub()
    hub.set_up(retained())
    hub.set_up(contract(contract_no="K-2", caps=()))
    hub.capture(entry(1, "8", day=12), entry(2, "4", day=13))
    hub.capture(entry(1, "8", day=12, project_code="P-K-2", approved_at=LATER))
    hub.later(days=31)
    hub.bill("first")
    assert [i.net for i in hub.rows(Invoice)] == [Decimal("1500.00")], "four of ten hours are used: no overage"
    assert audit(hub.kernel) == []


def test_hours_may_move_away_and_come_back() -> None:
    hub = Hub()
    hub.set_up()
    hub.set_up(contract(contract_no="K-2", caps=()))
    for number, code in enumerate(("P-K-1", "P-K-2", "P-K-1", "P-K-2", "P-K-1")):
        hub.capture(entry(1, "8", day=12, project_code=code, approved_at=LATER.replace(hour=number)))
        assert worth(hub) == {code[2:]: Decimal("1480.00")} and audit(hub.kernel) == []
    hub.capture(entry(1, "6", day=12, approved_at=LATER.replace(hour=9)))
    assert worth(hub) == {"K-1": Decimal("1110.00")} and audit(hub.kernel) == []


def test_hours_may_move_to_a_contract_of_another_legal_entity() -> None:
    hub = Hub()
    with hub.store.transaction() as tx:
        tx.insert(UK)
    hub.set_up()
    hub.set_up(contract(contract_no="K-2", entity="UK01", caps=()))
    hub.capture(entry(1, "8", day=12))
    hub.capture(entry(1, "8", day=12, project_code="P-K-2", approved_at=LATER))
    assert worth(hub) == {"K-2": Decimal("1480.00")}
    assert hub.rows(Case) == [] and audit(hub.kernel) == []


def by_the_day(**changes: Any) -> ContractVersion:
    (line,) = contract().lines
    first = line.model_copy(update={"day_rule": EIGHT_HOURS})
    second = line.model_copy(update={"line_uid": "L2", "description": "Training"})
    return contract(lines=(first, second), caps=(), **changes)


def test_a_day_has_room_for_other_hours_when_some_have_moved_to_another_contract() -> None:
    hub = Hub()
    hub.set_up(by_the_day())
    hub.set_up(by_the_day(contract_no="K-2"))
    hub.capture(entry(1, "8", day=12))
    hub.capture(entry(1, "8", day=12, project_code="P-K-2", approved_at=LATER))
    hub.capture(entry(2, "6", day=12, note="Handover"))
    assert worth(hub) == {"K-1": Decimal("1110.00"), "K-2": Decimal("1480.00")}
    assert hub.rows(Case) == [] and audit(hub.kernel) == []


def test_an_hour_is_no_twin_of_one_that_has_moved_to_another_day() -> None:
    hub = Hub()
    hub.set_up()
    hub.capture(entry(1, "8", day=12))
    hub.capture(entry(1, "8", day=13, approved_at=LATER))
    hub.capture(entry(2, "8", day=12))
    assert hub.rows(Case) == []
    assert worth(hub) == {"K-1": Decimal("2960.00")}


MOVES = {
    "day": {"day": 13},
    "contract": {"day": 12, "project_code": "P-K-2"},
    "line": {"day": 12, "task_code": "L2"},
    "person": {"day": 12, "person": "bob"},
}


@pytest.mark.requirement("INV-08")
@pytest.mark.parametrize("moved", MOVES.values(), ids=MOVES)
def test_hours_beside_those_that_move_away_are_billed_by_what_is_left_of_their_day(moved: dict[str, Any]) -> None:
    hub = Hub()
    hub.set_up(by_the_day())
    hub.set_up(by_the_day(contract_no="K-2"))
    hub.capture(entry(1, "8", day=12), entry(2, "6", day=12, note="Handover"))
    assert worth(hub) == {"K-1": Decimal("1480.00")}, "eight hours of a day are billed"
    hub.capture(entry(1, "8", approved_at=LATER, **moved))
    assert sum(worth(hub).values()) == Decimal("2590.00")
    assert hub.rows(Case) == [] and audit(hub.kernel) == []


def test_an_amendment_keeps_the_line_that_a_person_has_chosen() -> None:
    hub = Hub()
    (line,) = contract().lines
    lines = (line, line.model_copy(update={"line_uid": "L2", "description": "Training"}))
    hub.set_up(contract(lines=lines))
    hub.capture(entry(1, "8", day=12, task_code=""))
    hub.resolve("assign", line_uid="L2")
    assert worth(hub) == {"K-1": Decimal("1480.00")}
    amend(hub, lines)
    assert worth(hub) == {"K-1": Decimal("1600.00")}
    assert hub.rows(Case, state="open") == [] and audit(hub.kernel) == []


# -- expenses --------------------------------------------------------------------------------------------------------


def with_expenses(markup: str, **changes: Any) -> ContractVersion:
    (line,) = contract().lines
    terms = ExpenseTerms(markup_percent={"Lodging": Decimal(markup)})
    return contract(lines=(line.model_copy(update={"expenses": terms}),), caps=(), **changes)


def spent(hub: Hub, number: int, **changes: Any) -> None:
    told = expense(number, "100.00").model_copy(update=changes)
    with hub.store.transaction() as tx:
        sweeps.accept_expenses(hub.kernel.books(tx, key="test", actor="tool"), "tool", [told])
    sweeps.drain_facts(hub.kernel)
    hub.go()


def dearer(hub: Hub) -> None:
    """From 10 March on lodging has 20 % on it."""
    since = date(2026, 3, 10)
    hub.systems.crm.put_contract(with_expenses("20", version=2, effective_from=since))
    assert hub.start("amend_contract", "K-1@2", contract_no="K-1", version=2).state == "done"


EXPENSES_MOVED = {
    "nowhere": ({}, {"K-1": Decimal("120.00")}),
    "to another day": ({"expense_date": date(2026, 3, 5)}, {"K-1": Decimal("110.00")}),
    "to another contract": ({"project_code": "P-K-2"}, {"K-2": Decimal("110.00")}),
}


@pytest.mark.parametrize(("moved", "net"), EXPENSES_MOVED.values(), ids=EXPENSES_MOVED)
def test_an_amendment_prices_an_expense_where_it_is_now(moved: dict[str, Any], net: dict[str, Decimal]) -> None:
    hub = Hub()
    hub.set_up(with_expenses("10"))
    hub.set_up(with_expenses("10", contract_no="K-2"))
    spent(hub, 1, expense_date=date(2026, 3, 12))
    if moved:
        spent(hub, 1, **{"expense_date": date(2026, 3, 12), **moved}, approved_at=LATER)
    dearer(hub)
    assert worth(hub) == net and audit(hub.kernel) == []


def test_an_expense_is_no_twin_of_one_that_was_corrected() -> None:
    hub = Hub()
    hub.set_up(with_expenses("0"))
    spent(hub, 1)
    spent(hub, 1, gross=Decimal("90.00"), approved_at=LATER)
    spent(hub, 2)
    assert hub.rows(Case) == [] and worth(hub) == {"K-1": Decimal("190.00")}
