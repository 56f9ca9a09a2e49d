"""Suggestions from rules of thumb and from the past; rules that decide by themselves once they are reviewed."""

from __future__ import annotations

from typing import Any

import pytest

from isthmus.desk import rules
from isthmus.desk.suggestions import suggestions_for
from isthmus.domain.errors import BadInput, IllegalTransition, NotPermitted
from isthmus.domain.states import CaseState
from isthmus.store.desk_records import DeskRule, Proposal, RuleState
from isthmus.store.records import Case
from tests.desk.stage import BERT, CORA, FAY, FINN, Desk, person
from tests.processes.hub import CLIENT, contract


def another(desk: Desk, number: int, **changes: Any) -> None:
    """A contract of a client of its own."""
    client = CLIENT.model_copy(update={"client_no": f"C-{number}", "legal_name": f"Name {number}", "tax_id": ""})
    desk.set_up(contract(contract_no=f"K-{number}", client_no=client.client_no, client=client, **changes))


def suggested(desk: Desk) -> list[tuple[str, dict[str, Any], int, int]]:
    with desk.store.transaction() as tx:
        return [(s.action, s.values, s.times, s.went_on) for s in suggestions_for(tx, desk.case())]


@pytest.mark.requirement("EXC-12")
def test_what_was_done_before_is_suggested_with_how_often_by_whom_and_with_what_result() -> None:
    desk = Desk()
    for number, who in ((1, FINN), (2, BERT)):
        another(desk, number, payment_terms="NET-30")
        desk.decide(who, "map", payment_terms="NET30")
    another(desk, 3, payment_terms="NET-30")
    assert suggested(desk) == [("map", {"payment_terms": "NET30"}, 2, 2)]
    with desk.store.transaction() as tx:
        (found,) = suggestions_for(tx, desk.case())
    assert found.why == "decided so 2 times for the same cause, by finn, bert; the run went on"
    assert found.label == "Choose the terms"


def test_a_decision_that_did_not_help_ranks_below_one_that_did() -> None:
    desk = Desk()
    another(desk, 1, payment_terms="NET-30")
    desk.decide(FINN, "retry")  # nothing was mended: it stops again
    desk.decide(FINN, "map", payment_terms="NET30")
    another(desk, 2, payment_terms="NET-30")
    assert suggested(desk) == [("map", {"payment_terms": "NET30"}, 1, 1), ("retry", {}, 1, 0)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"payment_terms": "net 30"}, ("map", {"payment_terms": "NET30"})),
        ({"payment_terms": "by return of post"}, None),
        ({"entity": "US1"}, ("choose", {"entity": "US01"})),
    ],
)
def test_rules_of_thumb_know_a_spelling(changes: dict[str, Any], expected: Any) -> None:
    desk = Desk()
    another(desk, 1, **changes)
    assert [(s[0], s[1]) for s in suggested(desk)] == ([expected] if expected else [])


def test_a_missing_dimension_is_suggested_from_the_practice() -> None:
    desk = Desk()
    for number in range(1, 6):
        another(desk, number, dimensions={"practice": "DATA", "cost_center": "CC-7" if number < 5 else "CC-8"})
    another(desk, 9, dimensions={"practice": "DATA"})
    assert suggested(desk) == [("fill", {"cost_center": "CC-7"}, 0, 0)]
    with desk.store.transaction() as tx:
        assert suggestions_for(tx, desk.case())[0].why == "4 of 5 projects of this practice have CC-7"


def test_a_client_with_the_same_tax_id_is_suggested_to_be_merged() -> None:
    desk = Desk()
    with desk.store.transaction() as tx:
        tx.insert(CLIENT.model_copy(update={"client_no": "C-9", "legal_name": "Harbour Mutual Insurance"}))
    desk.set_up()
    assert suggested(desk) == [("merge", {"client_no": "C-9"}, 0, 0)]


# -- rules --------------------------------------------------------------------------------------------------------


def with_rule(desk: Desk) -> DeskRule:
    """A decision has become a rule after another person's review."""
    another(desk, 1, payment_terms="NET-30")
    decided, _ = desk.decide(FINN, "map", payment_terms="NET30")
    with desk.books(FINN) as books:
        rule = rules.propose(books, FINN, decided.case_no, "map", {"payment_terms": "NET30"}, "sales writes it so")
    with desk.books(FINN) as books, pytest.raises(NotPermitted, match="another person must review"):
        rules.review(books, FINN, rule.rule_no, True, "fine")
    with desk.books(CORA) as books, pytest.raises(NotPermitted, match="decides what billing, finance decide"):
        rules.review(books, CORA, rule.rule_no, True, "fine")
    with desk.books(FAY) as books:
        return rules.review(books, FAY, rule.rule_no, True, "seen in all contracts of sales")


def test_a_reviewed_rule_decides_cases_of_its_cause_and_only_those() -> None:
    desk = Desk()
    rule = with_rule(desk)
    assert rule.state is RuleState.ACTIVE and rule.match == {"given": "NET-30", "entity": "US01"}
    desk.hand_on()
    another(desk, 2, payment_terms="NET-30")
    desk.hand_on()
    decided = desk.rows(Case, order=("case_no",))[-1]
    assert (decided.state, decided.resolved_by) == (CaseState.RESOLVED, "rule R-0001")
    (by_rule,) = rules.decided_by(desk.store.transaction().__enter__(), rule.rule_no)
    assert by_rule.case_no == decided.case_no and by_rule.dry_run["digest"]
    another(desk, 3, payment_terms="NET-45")
    desk.hand_on()
    assert desk.case().exception == "EX-TERMS"


def test_a_retired_rule_decides_no_more_and_its_decisions_are_listed() -> None:
    desk = Desk()
    rule = with_rule(desk)
    another(desk, 2, payment_terms="NET-30")
    desk.hand_on()
    with desk.books(FAY) as books:
        rules.retire(books, FAY, rule.rule_no, "sales has stopped it")
    another(desk, 3, payment_terms="NET-30")
    desk.hand_on()
    assert desk.case().state is CaseState.OPEN
    assert [e.action for e in desk.rows_of_rule(rule.rule_no)] == ["rule.propose", "rule.activate", "rule.retire"]
    with desk.books(FAY) as books, pytest.raises(IllegalTransition, match="is retired, not active"):
        rules.retire(books, FAY, rule.rule_no, "again")


def test_a_rule_does_not_replace_the_second_person() -> None:
    """Hours of a role on two lines: the line decides the price, so money is at stake."""
    desk = Desk()
    another(desk, 1, payment_terms="NET-30")
    rule = DeskRule(
        rule_no="R-9",
        exception="EX-TAX-REG",
        match={"place": "US-TX"},
        action="exempt",
        values={"exemption_certificate": "CERT-1"},
        text="x",
        from_case="CASE-1",
        state=RuleState.ACTIVE,
        proposed_by="finn",
        proposed_at=desk.clock.now(),
    )
    with desk.store.transaction() as tx:
        tx.insert(rule)
    desk.decide(FINN, "map", payment_terms="NET30")
    texan = CLIENT.model_copy(update={"address": CLIENT.address.model_copy(update={"region": "TX"})})
    desk.set_up(contract(contract_no="K-7", client=texan))
    desk.hand_on()
    case = desk.case()
    assert case.pending and desk.rows(Proposal, case_no=case.case_no)[0].proposed_by == "rule R-9"


def test_a_rule_that_does_not_fit_leaves_a_note_and_a_person() -> None:
    desk = Desk()
    rule = with_rule(desk)
    with desk.store.transaction() as tx:
        tx.update(rule.model_copy(update={"values": {"payment_terms": "NET99"}}))
    another(desk, 2, payment_terms="NET-30")
    desk.hand_on()
    assert desk.notes(desk.case().case_no)[0].text.startswith("R-0001 does not fit")


def test_not_every_decision_can_become_a_rule() -> None:
    desk = Desk()
    with desk.store.transaction() as tx:
        tx.insert(CLIENT.model_copy(update={"client_no": "C-9"}))
    desk.set_up()
    steward = person("stella", "steward")
    with desk.books(steward) as books, pytest.raises(BadInput, match="decided case by case"):
        rules.propose(books, steward, desk.case().case_no, "merge", {"client_no": "C-9"}, "x")
    assert FAY.may("rule.propose")
