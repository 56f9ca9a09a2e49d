"""A full cap at the desk: what its form asks for is handed in, and the case ends or comes back with what stays."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from isthmus.desk.forms import forms_of
from isthmus.domain.errors import BadInput
from isthmus.domain.objects import BillablePart, Cap, ContractVersion
from isthmus.domain.states import CaseState, PartState
from isthmus.processes.subscribers import SUBSCRIBERS
from isthmus.store.records import Case, RunState
from tests.desk.stage import FINN, PIA, Desk, person
from tests.processes.hub import contract, entry

FULL = "EX-CAP-REACHED"
PAUL = person("paul", "project_manager")
RAISE: dict[str, str] = {"change_order": "CO-1", "cap_delta": "400.00", "evidence": "mail of 4 March"}


def full(*caps: Cap) -> Desk:
    """1,460.00 are over a cap of 1,500.00."""
    desk = Desk()
    desk.kernel.subscribers |= SUBSCRIBERS
    desk.set_up(contract(caps=caps or (contract().caps[0].model_copy(update={"limit": Decimal("1500.00")}),)))
    desk.capture(entry(1, "8"), entry(2, "8", day=4))
    return desk


def left(desk: Desk, state: PartState) -> Decimal:
    return sum((part.net for part in desk.rows(BillablePart, state=state)), Decimal(0))


@pytest.mark.requirement("EXC-03")
def test_it_is_filed_with_its_money_and_its_forms() -> None:
    desk = full()
    case = desk.case()
    assert (case.contract_no, case.client_no, case.entity, case.queue, case.severity) == (
        "K-1", "C-1", "US01", "pmo", "high",
    )  # fmt: skip
    with desk.store.transaction() as tx:
        forms = {form.action: [one.name for one in form.fields] for form in forms_of(tx, case)}
    assert forms == {"raise": ["change_order", "cap_delta", "evidence"], "write_off": ["why"]}


def test_a_raise_takes_two_persons_and_makes_the_new_version() -> None:
    desk = full()
    waiting, proposal = desk.decide(PIA, "raise", **RAISE)
    assert (waiting.state, left(desk, PartState.OVER_CAP)) == (CaseState.OPEN, Decimal("1460.00"))
    desk.agree(PAUL, proposal)
    assert [v.caps[0].limit for v in desk.rows(ContractVersion, order=("version",))] == [
        Decimal("1500.00"),
        Decimal("1900.00"),
    ]
    assert (left(desk, PartState.READY), left(desk, PartState.OVER_CAP)) == (Decimal("1900.00"), Decimal("1060.00"))
    case = desk.case()
    assert (case.exception, case.amount) == (FULL, Decimal("1060.00")), "what stays over is a case again"
    _, proposal = desk.decide(PIA, "raise", **{**RAISE, "change_order": "CO-2", "cap_delta": "1060.00"})
    desk.agree(PAUL, proposal)
    assert not desk.rows(Case, state=CaseState.OPEN) and left(desk, PartState.OVER_CAP) == 0


def test_a_write_off_is_asked_for_and_approved_by_somebody_else() -> None:
    desk = full()
    full_case = desk.case()
    evidence, _ = desk.decide(PIA, "write_off", why="agreed with the client")
    assert evidence.state is CaseState.RESOLVED
    asked = desk.case()
    assert (asked.exception, asked.amount, asked.context["prepared_by"]) == ("EX-WRITE-OFF", Decimal("1460.00"), "pia")
    desk.capture(entry(3, "1", day=6))
    assert desk.case() == asked, "nothing is told twice while the request waits"
    desk.decide(FINN, "approve")
    assert desk.run(f"write_off/K-1:{full_case.case_no}").state is RunState.DONE
    assert (left(desk, PartState.WRITTEN_OFF), desk.case().amount) == (Decimal("1460.00"), Decimal("185.00"))


def test_a_refused_write_off_brings_the_case_back() -> None:
    desk = full()
    desk.decide(PIA, "write_off", why="agreed with the client")
    desk.decide(FINN, "cancel")
    desk.hand_on()
    assert (desk.case().exception, desk.case().amount) == (FULL, Decimal("1460.00"))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"cap_delta": "-400.00"}, "nothing by which the cap could grow"),
        ({"cap_delta": "400.005"}, "nothing by which the cap could grow"),
        ({"cap_delta": "a lot"}, "nothing by which the cap could grow"),
        ({"evidence": ""}, "needs evidence"),
    ],
)
def test_what_cannot_be_a_raise_is_refused_before_anything_is_kept(wrong: dict[str, Any], told: str) -> None:
    desk = full()
    with pytest.raises(BadInput, match=told):
        desk.decide(PIA, "raise", **{**RAISE, **wrong})
    assert desk.case().state is CaseState.OPEN and not desk.case().pending


def test_a_change_order_that_is_handed_in_is_not_handed_in_again() -> None:
    desk = full()
    _, proposal = desk.decide(PIA, "raise", **RAISE)
    desk.agree(PAUL, proposal)
    with pytest.raises(BadInput, match="CO-1 of K-1 is handed in already"):
        desk.decide(PIA, "raise", **RAISE)


def test_hours_are_raised_in_hours() -> None:
    desk = full(Cap(cap_id="hours", scope="contract", measure="hours", limit=Decimal(12)))
    assert desk.case().amount == Decimal("740.00")
    _, proposal = desk.decide(PIA, "raise", **{**RAISE, "cap_delta": "2.5"})
    desk.agree(PAUL, proposal)
    assert desk.case().amount == Decimal("277.50")
