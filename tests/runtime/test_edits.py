"""A refused write is corrected and sent again, or left out, by a decision about that one step; nothing else changes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from isthmus.domain.errors import BadInput, RemoteRefusal
from isthmus.domain.states import CaseState
from isthmus.ports import Crm, Erp
from isthmus.ports.messages import ContractStatus
from isthmus.runtime.edits import edited, short_of, with_changes
from isthmus.store.records import Case, Decision, RunState
from tests.processes.hub import CLIENT, Hub


def refuse(hub: Hub, system: str, verb: str, until: Any) -> None:
    """Let a system refuse a verb as long as its argument does not fit."""
    model = getattr(hub.systems, system)
    plain = getattr(model, verb)

    def picky(argument: Any) -> Any:
        if not until(argument):
            raise RemoteRefusal("Please enter value(s) for: Region.", remote_code="USER_ERROR", system=system)
        return plain(argument)

    setattr(model, verb, picky)


def test_a_corrected_write_is_the_one_that_is_sent() -> None:
    hub = Hub()
    refuse(hub, "erp", "put_client", lambda client: client.tax_id == "US-78")
    assert hub.set_up().state is RunState.PARKED
    case = hub.case()
    assert case.exception == "EX-ERP-REJECT" and case.context["sent"]["tax_id"] == CLIENT.tax_id
    before = hub.steps(case.run_id)
    decision = {"key": case.context["key"], "changes": {"tax_id": "US-78"}}
    with hub.store.transaction() as tx:
        tx.update(case.model_copy(update={"actions": [*case.actions, "edit"]}))
    hub.resolve("edit", **decision)
    assert hub.run(case.run_id).state is RunState.DONE
    after = hub.steps(case.run_id)
    assert after[: len(before)] == before and len(set(after)) == len(after)  # nothing was carried out again
    assert len(hub.systems.erp.things["client"]) == 1


def test_a_write_that_is_left_out_is_not_sent_and_the_case_is_waived() -> None:
    hub = Hub()
    refuse(hub, "crm", "report_status", lambda status: False)
    assert hub.set_up().state is RunState.PARKED
    case = hub.case()
    with hub.store.transaction() as tx:
        tx.update(case.model_copy(update={"actions": [*case.actions, "skip"]}))
    waived = hub.resolve("skip")
    assert waived.state is CaseState.WAIVED and "status" not in hub.systems.crm.things
    assert hub.run(case.run_id).state is RunState.DONE


def test_the_decision_is_about_its_own_step_only() -> None:
    hub = Hub()
    refuse(hub, "erp", "put_client", lambda client: client.tax_id == "US-78")
    refuse(hub, "erp", "put_project", lambda project: project.name == "Short")
    hub.set_up()
    for values in ({"tax_id": "US-78"}, {"name": "Short"}):
        case = hub.case()
        with hub.store.transaction() as tx:
            tx.update(case.model_copy(update={"actions": [*case.actions, "edit"]}))
        hub.resolve("edit", key=case.context["key"], changes=values)
    (decision,) = hub.rows(Decision)
    assert decision.values["changes"] == {"name": "Short"}
    assert not hub.rows(Case, state=CaseState.OPEN)


def test_what_is_shown_of_a_write_has_no_lists() -> None:
    status = ContractStatus(contract_no="K-1", state="active", currency="USD", billed=Decimal("1.00"))
    assert short_of((status,))["billed"] == "1.00"
    assert "lines" not in short_of((hub_contract(),)) and short_of(()) == {}


def hub_contract() -> Any:
    from tests.processes.hub import contract

    return contract()


def test_an_edit_may_not_change_the_key_or_break_the_schema() -> None:
    decision = {"action": "edit", "key": "C-1", "changes": {"client_no": "C-2"}}
    with pytest.raises(BadInput, match="may not change what the write is about"):
        edited(Erp.put_client, (CLIENT,), decision)
    with pytest.raises(BadInput, match="nonsense"):
        with_changes(CLIENT, {"nonsense": "x"})
    assert with_changes(CLIENT, {"address.city": "Albany"}).address.city == "Albany"  # type: ignore[attr-defined]
    assert edited(Erp.put_client, (CLIENT,), {**decision, "key": "C-9"}) == (CLIENT,)


def test_only_a_write_whose_answer_nobody_needs_can_be_left_out() -> None:
    from isthmus.ports import TaxEngine
    from isthmus.runtime.edits import left_out

    assert left_out(Crm.report_status, "crm").object_type == "left out"
    with pytest.raises(AssertionError, match="cannot be left out"):
        left_out(TaxEngine.calculate, "tax")
