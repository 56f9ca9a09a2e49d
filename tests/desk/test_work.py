"""What people do with a case besides deciding it, and what the clock does; cases that close themselves."""

from __future__ import annotations

from datetime import timedelta

import pytest

from isthmus.desk import work
from isthmus.domain.errors import BadInput, IllegalTransition, NotPermitted
from isthmus.domain.states import CaseState
from isthmus.store.records import Case, RunState
from tests.desk.stage import FINN, INES, PIA, RITA, Desk
from tests.processes.hub import contract, entry


@pytest.fixture
def desk() -> Desk:
    one = Desk()
    one.set_up(contract(dimensions={"practice": "DIGITAL"}))
    return one


def test_a_case_is_taken_handed_over_tagged_and_commented_and_all_of_it_is_history(desk: Desk) -> None:
    number = desk.case().case_no
    with desk.books(FINN) as books:
        work.assign(books, FINN, number, "finn")
        work.comment(books, FINN, number, "  asked the\n delivery unit ")
        work.tag(books, FINN, number, ["Q1", "urgent", "q1"])
        work.hand_over(books, FINN, number, "pmo", "they know the unit")
    case = desk.case()
    assert (case.queue, case.assignee, case.tags) == ("pmo", "", ["q1", "urgent"])
    told = [(line.kind, line.by, line.text) for line in desk.notes(number)]
    assert told == [
        ("assign", "finn", "given to finn"),
        ("comment", "finn", "asked the delivery unit"),
        ("tag", "finn", "q1, urgent"),
        ("route", "finn", "they know the unit"),
    ]
    last = desk.notes(number)[-1]
    assert (last.before, last.after) == (
        {"queue": "finance-master-data", "assignee": "finn"},
        {"queue": "pmo", "assignee": ""},
    )
    assert desk.audited("case.route")


def test_work_on_a_case_has_its_limits(desk: Desk) -> None:
    number = desk.case().case_no
    with desk.books(RITA) as books, pytest.raises(NotPermitted, match="may not work case"):
        work.assign(books, RITA, number, "rita")
    for act, told in (
        (lambda b: work.hand_over(b, FINN, number, "nowhere", "x"), "no queue nowhere"),
        (lambda b: work.hand_over(b, FINN, number, "pmo", " "), "say why"),
        (lambda b: work.comment(b, FINN, number, " "), "empty"),
        (lambda b: work.comment(b, FINN, number, "x" * 2001), "at most 2000"),
        (lambda b: work.tag(b, FINN, number, [f"t{n}" for n in range(13)]), "at most 12 tags"),
        (lambda b: work.wait(b, FINN, number, "client", b.now, "x"), "until when"),
        (lambda b: work.answered(b, FINN, number, desk.config), "waits for nobody"),
    ):
        with desk.books(FINN) as books, pytest.raises(BadInput, match=told):
            act(books)
    desk.decide(FINN, "fill", cost_center="CC-9")
    with desk.books(FINN) as books, pytest.raises(IllegalTransition, match="is resolved already"):
        work.assign(books, FINN, number, "finn")


@pytest.mark.requirement("EXC-05")
def test_the_clock_flags_then_hands_over(desk: Desk) -> None:
    desk.later(hours=7.9)
    desk.tick()
    assert desk.case().escalation == 0
    desk.later(hours=0.2)
    desk.tick(3)  # once is enough, however often it is looked at
    assert (desk.case().escalation, desk.case().queue) == (1, "finance-master-data")
    desk.later(hours=8)
    desk.tick()
    case = desk.case()
    assert (case.escalation, case.queue, case.escalate_at) == (2, "finance", None)
    lines = [line.text for line in desk.notes(case.case_no)]
    assert lines[0].startswith("overdue since 2026-03-02 23:00")
    assert lines[1] == "not decided by Finance master data in time: handed over to Finance"
    desk.later(days=9)
    desk.tick()
    assert desk.case().escalation == 2


def test_the_clock_stands_still_while_the_case_waits_for_somebody(desk: Desk) -> None:
    number = desk.case().case_no
    due = desk.case().due_at
    assert due is not None
    desk.later(hours=4)
    with desk.books(FINN) as books:
        work.wait(books, FINN, number, "client", books.now + timedelta(days=3), "asked by mail")
    desk.later(days=2)
    desk.tick()
    assert desk.case().escalation == 0 and desk.case().waiting_for == "client"
    with desk.books(FINN) as books:
        work.answered(books, FINN, number, desk.config)
    case = desk.case()
    assert (case.waiting_for, case.due_at) == ("", due + timedelta(days=2))
    desk.later(hours=4.1)
    desk.tick()
    assert desk.case().escalation == 1


def test_who_does_not_answer_in_time_is_waited_for_no_longer(desk: Desk) -> None:
    with desk.books(FINN) as books:
        work.wait(books, FINN, desk.case().case_no, "client", books.now + timedelta(days=1))
    desk.later(days=1, minutes=1)
    desk.tick()
    assert desk.case().waiting_for == ""
    assert desk.notes(desk.case().case_no)[-1].text == "client has not answered in time"


def test_an_older_case_closes_itself_when_its_record_succeeds_another_way() -> None:
    """The hour was refused for its task; the PSA sends it again with one that fits."""
    desk = Desk()
    desk.set_up()
    desk.capture(entry(1, "8", task_code="gone"))
    parked = desk.case()
    assert (parked.exception, parked.record) == ("EX-NO-CONTRACT-LINE", "time:psa:1")
    desk.later(hours=1)
    desk.capture(entry(1, "8", approved_at=desk.clock.now()))
    desk.hand_on()
    (closed,) = desk.rows(Case)
    assert closed.state is CaseState.RESOLVED and closed.resolved_by == "hub"
    assert "has succeeded meanwhile (time.approved" in (closed.resolution or {})["reason"]
    assert desk.notes(closed.case_no)[-1].kind == "close"
    assert desk.run(parked.run_id).state is RunState.CANCELLED


def test_a_case_whose_run_has_written_somewhere_is_left_to_a_person() -> None:
    from tests.runtime.test_edits import refuse

    desk = Desk()
    refuse(desk, "erp", "put_project", lambda project: False)
    run = desk.set_up()
    case = desk.case()
    with desk.books(INES) as books:
        books.run_id = "contract_to_project/another"
        books.emit("engagement.activated", "engagement:K-1", {"contract": "K-1@2"})
    desk.later(minutes=1)
    desk.hand_on()
    assert desk.case().case_no == case.case_no and desk.run(run.run_id).state is RunState.PARKED
    assert PIA.decides("pmo")
