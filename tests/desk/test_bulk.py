"""One decision on many cases: previewed, confirmed, agreed to where money moves, carried out with a result for each."""

from __future__ import annotations

from decimal import Decimal

import pytest

from isthmus.desk import bulk
from isthmus.desk.proposals import Choice
from isthmus.domain.errors import BadInput, IllegalTransition, NotPermitted
from isthmus.domain.objects import BillablePart, Engagement
from isthmus.domain.states import CaseState, EngagementState
from isthmus.store.desk_records import BulkFix, BulkItem, BulkState, Proposal
from isthmus.store.records import Case
from tests.desk.stage import CORA, FINN, PIA, RITA, Desk, person
from tests.desk.test_learning import another
from tests.processes.hub import entry

MAP = Choice("map", "sales writes it so", {"payment_terms": "NET30"})


def stuck(count: int) -> Desk:
    desk = Desk()
    for number in range(1, count + 1):
        another(desk, number, payment_terms="NET-30")
    return desk


def asked(desk: Desk, choice: Choice = MAP, who: object = FINN) -> BulkFix:
    numbers = [case.case_no for case in desk.rows(Case, state=CaseState.OPEN)]
    with desk.books(FINN) as books:
        return bulk.ask(books, FINN, numbers, choice)


def test_a_bulk_fix_is_previewed_confirmed_and_carried_out() -> None:
    desk = stuck(40)
    fix = asked(desk)
    with desk.books(FINN) as books, pytest.raises(IllegalTransition, match="previewing, not previewed"):
        bulk.confirm(books, FINN, fix.bulk_no, desk.config)
    desk.tick(3)
    previewed = desk.rows(BulkItem, bulk_no=fix.bulk_no)
    assert {item.state for item in previewed} == {"ready"} and all(item.dry_run for item in previewed)
    assert len(desk.rows(Case, state=CaseState.OPEN)) == 40  # nothing is decided yet
    with desk.books(CORA) as books, pytest.raises(BadInput, match="only they confirm"):
        bulk.confirm(books, CORA, fix.bulk_no, desk.config)
    with desk.books(FINN) as books:
        confirmed = bulk.confirm(books, FINN, fix.bulk_no, desk.config)
    assert confirmed.state is BulkState.RUNNING  # no money moves: nobody else is needed
    desk.tick(3)
    assert desk.rows(BulkFix)[0].state is BulkState.DONE
    assert {item.state for item in desk.rows(BulkItem)} == {"done"}
    assert len(desk.rows(Engagement, state=EngagementState.ACTIVE)) == 40
    proposals = desk.rows(Proposal)
    assert len(proposals) == 40 and all(p.dry_run["digest"] and p.bulk_no == fix.bulk_no for p in proposals)
    assert desk.systems.erp.duplicates() == []


def test_each_item_has_its_own_result() -> None:
    desk = stuck(4)
    fix = asked(desk)
    desk.tick()
    gone, changed = (case.case_no for case in desk.rows(Case, order=("case_no",))[:2])
    desk.decide(FINN, "cancel", gone)  # somebody was faster
    with desk.store.transaction() as tx:  # and here the facts have changed
        case = tx.get(Case, changed)
        assert case is not None
        tx.update(case.model_copy(update={"context": {**case.context, "known": ["NET45"]}}))
    with desk.books(FINN) as books:
        bulk.confirm(books, FINN, fix.bulk_no, desk.config)
    desk.tick()
    told = {item.case_no: (item.state, item.told) for item in desk.rows(BulkItem)}
    assert told[gone][0] == "failed" and "is cancelled already" in told[gone][1]
    assert told[changed][0] == "failed" and "the ERP knows NET45" in told[changed][1]
    assert sorted(state for state, _ in told.values()) == ["done", "done", "failed", "failed"]


def test_what_cannot_be_decided_is_told_in_the_preview() -> None:
    desk = stuck(3)
    fix = asked(desk, Choice("map", "x", {"payment_terms": "NET99"}))
    desk.tick()
    assert desk.rows(BulkFix)[0].state is BulkState.PREVIEWED
    assert all(item.state == "refused" and "not NET99" in item.told for item in desk.rows(BulkItem))
    assert fix.asked_by == "finn"


def test_money_in_a_bulk_takes_a_second_person() -> None:
    desk = Desk()
    desk.set_up()
    desk.capture(*(entry(n, "8", day=n) for n in (1, 2, 3)))
    desk.capture(*(entry(n + 10, "8", day=n) for n in (1, 2, 3)))
    cases = desk.rows(Case, state=CaseState.OPEN)
    assert {case.exception for case in cases} == {"EX-DUP-SUSPECT"} and len({c.group_key for c in cases}) == 1
    with desk.store.transaction() as tx:
        tx.update_many([c.model_copy(update={"amount": Decimal("1480.00"), "currency": "USD"}) for c in cases])
    with desk.books(PIA) as books:
        fix = bulk.ask(books, PIA, [case.case_no for case in cases], Choice("accept", "two people worked"))
    desk.tick()
    with desk.books(PIA) as books:
        assert bulk.confirm(books, PIA, fix.bulk_no, desk.config).state is BulkState.WAITING
    desk.tick()
    assert len(desk.rows(BillablePart)) == 3
    for who, told in ((PIA, "another person must agree"), (FINN, "may not agree")):
        with desk.books(who) as books, pytest.raises(NotPermitted, match=told):
            bulk.approve(books, who, fix.bulk_no, "fine", desk.config)
    paul = person("paul", "project_manager")
    with desk.books(paul) as books:
        bulk.approve(books, paul, fix.bulk_no, "asked both", desk.config)
    desk.tick()
    assert len(desk.rows(BillablePart)) == 6
    assert {(p.proposed_by, p.decided_by) for p in desk.rows(Proposal)} == {("pia", "paul")}


def test_a_bulk_fix_can_be_stopped_in_the_middle() -> None:
    desk = stuck(30)
    fix = asked(desk)
    desk.tick(2)
    with desk.books(FINN) as books:
        bulk.confirm(books, FINN, fix.bulk_no, desk.config)
    desk.tick()  # 25 at a time
    with desk.books(FINN) as books:
        bulk.stop(books, FINN, fix.bulk_no, "wrong after all")
    desk.tick(2)
    states = sorted(item.state for item in desk.rows(BulkItem))
    assert states == ["done"] * 25 + ["ready"] * 5
    assert len(desk.rows(Case, state=CaseState.OPEN)) == 5


def test_a_bulk_fix_has_its_limits() -> None:
    desk = stuck(2)
    numbers = [case.case_no for case in desk.rows(Case)]
    with desk.books(RITA) as books, pytest.raises(NotPermitted):
        bulk.ask(books, RITA, numbers, MAP)
    for wrong in (numbers[:1], [*numbers, "CASE-99999"]):
        with desk.books(FINN) as books, pytest.raises(BadInput):
            bulk.ask(books, FINN, wrong, MAP)
