"""A rehearsal says what would happen and leaves no trace: not in the books, not in other systems."""

from __future__ import annotations

from typing import Any

import pytest

from isthmus.domain.errors import BadInput
from isthmus.domain.objects import BillablePart, Engagement
from isthmus.domain.states import CaseState
from isthmus.runtime.kernel import Kernel
from isthmus.runtime.rehearsal import Rehearsed, rehearse
from isthmus.runtime.storyline import lines_of, rest_of
from isthmus.store.records import Case, RunState
from isthmus.store.tx import Tx
from tests.processes.hub import Hub, contract, entry


def parts_of(tx: Tx) -> dict[str, str]:
    return {str(p.part_id): f"{p.state} {p.net}" for p in tx.find(BillablePart, order=("part_id",))}


def models(hub: Hub) -> list[Any]:
    return [hub.systems.crm, hub.systems.psa, hub.systems.erp, hub.systems.tax]


def rehearsed(hub: Hub, action: str, reads: bool = True, **values: Any) -> Rehearsed[dict[str, str]]:
    """The rehearsal of a decision on the one open case; fails when it leaves a trace."""
    case = hub.case()

    def act(kernel: Kernel, tx: Tx) -> str:
        kernel.resolve(tx, case.case_no, action=action, actor="finn", reason="test", values=values)
        return case.run_id

    before = (repr(hub.store.rows), repr([m.things for m in models(hub)]), list(hub.engine.due))
    seen = rehearse(hub.kernel, act, parts_of, reads=reads)
    assert before == (repr(hub.store.rows), repr([m.things for m in models(hub)]), list(hub.engine.due))
    return seen


def test_it_carries_a_run_on_and_notes_every_write() -> None:
    hub = Hub()
    hub.set_up(contract(dimensions={"practice": "DIGITAL"}))
    seen = rehearsed(hub, "fill", cost_center="CC-9")
    verbs = [write.verb for write in seen.writes]
    assert verbs[:2] == ["Erp.put_client", "Psa.put_project"] and "Erp.put_project" in verbs
    project = next(write for write in seen.writes if write.verb == "Erp.put_project")
    assert (project.connection, project.key) == ("erp", "P-K-1")
    assert project.facts["dimensions"] == {"practice": "DIGITAL", "cost_center": "CC-9"}
    assert [line.phrase for line in seen.then][-2:] == ["Activate the engagement", "Show the engagement in the CRM"]
    assert not seen.stops
    # What was foreseen is what happens.
    hub.resolve("fill", cost_center="CC-9")
    (engagement,) = hub.rows(Engagement)
    assert engagement.state == "active"


def test_without_asking_other_systems_it_ends_at_the_first_question() -> None:
    hub = Hub()
    hub.set_up(contract(dimensions={"practice": "DIGITAL"}))
    calls = {m.name: dict(m.calls) for m in models(hub)}
    seen = rehearsed(hub, "fill", reads=False, cost_center="CC-9")
    assert calls == {m.name: dict(m.calls) for m in models(hub)}
    assert seen.writes == () and seen.then[0].phrase == "Ask where the entity is registered for tax"
    # The client, whoever pays beside it, then the project.
    assert [line.port for line in seen.then if line.writes][:3] == ["Erp", "Erp", "Psa"]


def test_it_says_when_the_run_would_stop_again() -> None:
    hub = Hub()
    hub.set_up(contract(dimensions={}, payment_terms="NET-30"))
    seen = rehearsed(hub, "fill", cost_center="CC-9", practice="DATA")
    assert seen.state is RunState.PARKED and seen.stops.startswith("EX-TERMS")
    assert seen.next_case is not None and seen.next_case.exception == "EX-TERMS"
    seen = rehearsed(hub, "retry")
    assert seen.stops.startswith("EX-DIM")


def test_it_shows_what_changes_in_money() -> None:
    hub = Hub()
    hub.set_up()
    hub.capture(entry(1, "8"), entry(2, "8", person="bob", approved_by="pia"))
    hub.capture(entry(3, "8"))  # the same work as the first
    case = hub.case()
    assert case.exception == "EX-DUP-SUSPECT"
    seen = rehearsed(hub, "accept")
    new = set(seen.after) - set(seen.before)
    assert {seen.after[part_id] for part_id in new} == {"ready 1480.00"}
    assert [write.verb for write in seen.writes] == ["Erp.put_time"]


def test_a_refused_decision_is_refused_in_the_rehearsal_too() -> None:
    hub = Hub()
    hub.set_up(contract(dimensions={}))
    with pytest.raises(BadInput, match="offers"):
        rehearsed(hub, "link")
    assert hub.case().state is CaseState.OPEN and len(hub.rows(Case)) == 1


def test_calling_off_shows_what_would_be_taken_back() -> None:
    hub = Hub()
    from tests.runtime.test_edits import refuse

    refuse(hub, "erp", "put_project", lambda project: False)
    hub.set_up()
    seen = rehearsed(hub, "cancel")
    assert [write.verb for write in seen.writes] == ["Psa.close_project"]
    assert seen.then == ()


def test_a_story_can_be_read_line_by_line() -> None:
    lines = lines_of("bill_contract")
    assert lines[0].phrase == "Work out what the terms add up to" and not lines[0].port
    posting = next(line for line in lines if line.phrase == "Post the receivable in the ERP")
    assert (posting.port, posting.writes) == ("Erp", True)
    assert "Show the invoice in the CRM" in [line.phrase for line in lines]
    assert rest_of("bill_contract", "Keep the posting")[0].phrase == "Keep the tax"
    assert rest_of("bill_contract", "no such phrase") == list(lines)
