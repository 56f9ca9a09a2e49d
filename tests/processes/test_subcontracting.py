"""A subcontractor's bill pays hours that are approved, each once, and not before it may be paid."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.app.controls import audit
from isthmus.domain.errors import NotPermitted
from isthmus.domain.objects import Engagement
from isthmus.domain.states import BillState, CaseState, EngagementState
from isthmus.domain.subcontracting import BillLine, PaidHours, SubcontractorBill
from isthmus.processes import clock
from isthmus.processes.work.paying import posting_of, still_missing
from isthmus.store.records import AuditEntry, Case, RunState
from tests.processes.buying import MARCH, Buying, agreed

TWO_DAYS = "ann 3 4 16 1280.00"


def paid(buying: Buying) -> list[tuple[str, str, str, str]]:
    rows = buying.hub.rows(PaidHours, order=("recorded_at", "paid_id"))
    return [(row.bill_id, row.source_key, str(row.hours), str(row.amount)) for row in rows]


@pytest.mark.requirement("SYS-26")
@pytest.mark.requirement("SCA-05")
def test_a_bill_that_is_approved_time_is_confirmed_posted_and_payable() -> None:
    buying = Buying("8", "8")
    assert buying.bill("B-7", TWO_DAYS).state is BillState.MATCHED, "nothing is posted before the confirmation"
    assert buying.in_erp() == [] and paid(buying) == []
    case = buying.hub.case()
    assert (case.exception, case.queue, case.amount, case.currency) == (
        "EX-SUBCON-CONFIRM",
        "pmo",
        Decimal(1280),
        "USD",
    )
    buying.confirm()
    bill = buying.of("B-7")
    assert (bill.state, bill.payable, bill.confirmed_by, bill.posted_as) == (
        BillState.PAYABLE,
        Decimal("1280.00"),
        "pia",
        "bill-1",
    )
    assert bill.due_on == date(2026, 4, 30)
    assert buying.in_erp() == [("B-7", "1280.00", False)]
    assert list(buying.booked("B-7")) == [("cost_of_services", "1280.00")]
    assert paid(buying) == [("SUBS:B-7", "psa:1", "8", "640.00"), ("SUBS:B-7", "psa:2", "8", "640.00")]
    assert audit(buying.hub.kernel) == []


def test_who_hands_a_bill_in_does_not_confirm_it() -> None:
    buying = Buying("8", "8")
    buying.bill("B-7", TWO_DAYS, by="pia")
    with pytest.raises(NotPermitted, match="another person must approve"):
        buying.confirm(by="Pia ")


UNMATCHED = [
    ("more hours than approved", "ann 3 4 20 1600.00", "20 h of ann, approved and not paid are 16"),
    ("another rate", "ann 3 4 16 1300.00", "asks 1300.00, 16 h at the purchase rate are 1280.00"),
    ("nobody knows the person", "cy 3 4 16 1280.00", "16 h of cy, approved and not paid are 0"),
    ("a day outside", "ann 4 4 16 1280.00", "approved and not paid are 8"),
]


@pytest.mark.parametrize(("line", "words"), [u[1:] for u in UNMATCHED], ids=[u[0] for u in UNMATCHED])
def test_a_bill_that_is_not_approved_time_is_procurements(line: str, words: str) -> None:
    buying = Buying("8", "8")
    bill = buying.bill("B-7", line)
    case = buying.hub.case()
    assert (case.exception, case.queue, case.amount) == ("EX-SUBCON-MATCH", "procurement", bill.total)
    assert words in case.cause and case.actions == ["accept", "dispute", "retry", "cancel"]
    assert bill.state is BillState.RECEIVED and paid(buying) == []


def test_a_bill_let_pass_pays_the_approved_hours_and_says_what_it_asks_beyond() -> None:
    buying = Buying("8", "8")
    buying.bill("B-7", "ann 3 4 20 1600.00")
    buying.hub.resolve("accept", actor="finn", why="travel agreed by mail")
    buying.confirm()
    bill = buying.of("B-7")
    assert (bill.difference, bill.accepted_by, bill.accepted_why) == (Decimal(320), "finn", "travel agreed by mail")
    assert [hours for _, _, hours, _ in paid(buying)] == ["8", "8"] and buying.in_erp() == [("B-7", "1600.00", False)]
    assert (
        "320.00 beyond approved time let pass by finn" in buying.hub.rows(Case, exception="EX-SUBCON-CONFIRM")[0].cause
    )
    assert audit(buying.hub.kernel) == []


def test_a_bill_is_tried_again_when_the_hours_are_approved_after_it_came() -> None:
    buying = Buying("8")
    buying.bill("B-7", TWO_DAYS)
    buying.correct(2, "8")
    buying.hub.resolve("retry")
    buying.confirm()
    assert buying.of("B-7").state is BillState.PAYABLE and len(paid(buying)) == 2


def test_a_cancelled_bill_is_not_paid_and_its_hours_are_free() -> None:
    buying = Buying("8", "8")
    buying.bill("B-7", TWO_DAYS)
    buying.hub.resolve("cancel")
    assert buying.of("B-7").state is BillState.CANCELLED and buying.in_erp() == []
    buying.bill("B-8", TWO_DAYS)
    buying.confirm()
    assert buying.in_erp() == [("B-8", "1280.00", False)]


def test_within_the_tolerance_of_entity_or_subcontract_it_needs_nobody() -> None:
    loose = agreed(tolerance_hours="0.25", tolerance_amount="20.00")
    buying = Buying("8", "8", subcontract=loose)
    assert buying.bill("B-7", "ann 3 4 16.25 1300.00").state is BillState.MATCHED
    buying = Buying("8", "8")
    with buying.hub.store.transaction() as tx:
        entity = buying.hub.kernel.books(tx, key="x", actor="test").entity("US01")
        tx.update(entity.model_copy(update={"bill_tolerance_amount": Decimal(20)}))
    assert buying.bill("B-7", "ann 3 4 16 1300.00").state is BillState.MATCHED
    assert buying.bill("B-8", "ann 3 4 16.25 1300.00").state is BillState.RECEIVED


# -- once ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("SCA-05")
def test_the_same_hours_under_another_number_are_not_paid_twice() -> None:
    buying = Buying("8", "8")
    buying.bill("B-7", TWO_DAYS)
    buying.confirm()
    again = buying.bill("B-7a", TWO_DAYS)
    case = buying.hub.case()
    assert again.state is BillState.RECEIVED and case.exception == "EX-SUBCON-MATCH"
    assert "the content of bill B-7" in case.cause and "paid by bill SUBS:B-7" in case.cause
    assert "accept" not in case.actions, "nobody lets that pass"
    buying.bill("B-9", "ann 3 3 8 640.00")
    (second,) = [c for c in buying.hub.rows(Case, state=CaseState.OPEN) if "B-9" in c.cause]
    assert "accept" not in second.actions and len(paid(buying)) == 2


def test_hours_of_a_bill_that_waits_for_its_confirmation_are_not_free() -> None:
    buying = Buying("8", "8")
    buying.bill("B-7", TWO_DAYS)
    other = buying.bill("B-8", "ann 3 3 8 640.00")
    assert other.state is BillState.RECEIVED
    (case,) = [c for c in buying.hub.rows(Case, state=CaseState.OPEN) if c.exception == "EX-SUBCON-MATCH"]
    assert "paid by bill SUBS:B-7" in case.cause


def test_the_same_bill_again_is_known_and_with_other_content_refused() -> None:
    buying = Buying("8", "8")
    buying.bill("B-7", TWO_DAYS)
    assert len(buying.hub.rows(SubcontractorBill)) == 1
    buying.bill("B-7", TWO_DAYS)
    assert len(buying.hub.rows(SubcontractorBill)) == 1
    with pytest.raises(Exception, match="known with other content"):
        buying.bill("B-7", "ann 3 3 8 640.00")


# -- disputes ------------------------------------------------------------------------------------------------------


def test_a_disputed_bill_waits_until_it_matches_or_is_settled() -> None:
    buying = Buying("8", "8")
    buying.bill("B-7", "ann 3 4 20 1600.00")
    buying.hub.resolve("dispute", actor="finn")
    assert buying.of("B-7").state is BillState.DISPUTED and buying.hub.case().exception == "EX-SUBCON-DISPUTE"
    buying.hub.resolve("retry")
    assert buying.hub.case().exception == "EX-SUBCON-DISPUTE", "it still does not match"
    buying.hub.resolve("settle", actor="finn", why="agreed at half of it")
    buying.confirm()
    assert buying.of("B-7").accepted_why == "agreed at half of it" and buying.of("B-7").state is BillState.PAYABLE


def test_what_the_project_manager_disputes_takes_a_second_settlement() -> None:
    buying = Buying("8", "8")
    buying.bill("B-7", "ann 3 4 20 1600.00")
    buying.hub.resolve("dispute", actor="finn")
    buying.hub.resolve("settle", actor="finn", why="first")
    buying.hub.resolve("dispute", actor="pia")
    assert buying.hub.case().exception == "EX-SUBCON-DISPUTE" and "disputed by pia" in buying.hub.case().cause
    assert buying.of("B-7").claims == ()
    buying.hub.resolve("retry")
    assert buying.hub.case().exception == "EX-SUBCON-DISPUTE", "a match does not settle what she disputes"
    buying.hub.resolve("settle", actor="carla", why="second")
    assert buying.of("B-7").state is BillState.PAYABLE and buying.of("B-7").confirmed_by == "carla"


# -- corrections ---------------------------------------------------------------------------------------------------


def test_an_hour_corrected_after_it_was_paid_is_a_difference_and_a_credit_ends_it() -> None:
    buying = Buying("8", "8")
    buying.bill("B-7", TWO_DAYS)
    buying.confirm()
    buying.correct(1, "6")
    case = buying.hub.case()
    assert (case.exception, case.queue, case.amount) == ("EX-SUBCON-DIFF", "procurement", Decimal("-160.00"))
    assert "2 h of ann are paid and no longer approved" in case.cause
    assert paid(buying)[0] == ("SUBS:B-7", "psa:1", "8", "640.00"), "nothing is edited"
    buying.bill("C-1", "ann 3 3 -2 -160.00")
    cases = {c.exception: c for c in buying.hub.rows(Case, state=CaseState.OPEN)}
    assert set(cases) == {"EX-SUBCON-DIFF", "EX-SUBCON-CONFIRM"}
    with buying.hub.store.transaction() as tx:
        no = cases["EX-SUBCON-CONFIRM"].case_no
        buying.hub.kernel.resolve(tx, no, action="approve", actor="pia", reason="", values={})
    buying.go()
    assert buying.hub.rows(Case, state=CaseState.OPEN) == [], "the credit has ended the difference"
    assert buying.in_erp()[-1] == ("C-1", "-160.00", False)
    assert paid(buying)[-1] == ("SUBS:C-1", "psa:1", "-2", "-160.00")
    assert audit(buying.hub.kernel) == []


def test_a_later_correction_takes_the_place_of_the_difference_before() -> None:
    buying = Buying("8")
    buying.bill("B-7", "ann 3 3 8 640.00")
    buying.confirm()
    buying.correct(1, "6")
    buying.correct(1, "9")
    case = buying.hub.case()
    assert (
        case.subject == "psa:1#3" and case.amount == Decimal("80.00") and "1 h of ann are approved beyond" in case.cause
    )
    buying.hub.resolve("let_stand", actor="finn", why="he waives it")
    assert [row.reason for row in buying.hub.rows(AuditEntry, action="bill.let_stand")] == ["he waives it"]


def test_a_credit_without_a_correction_matches_nothing() -> None:
    buying = Buying("8", "8")
    buying.bill("B-7", TWO_DAYS)
    buying.confirm()
    buying.bill("C-1", "ann 3 3 -2 -160.00")
    assert "-2 h of ann, paid beyond what is approved are 0" in buying.hub.case().cause
    buying.hub.resolve("accept", why="they were late")
    buying.confirm()
    assert buying.in_erp()[-1] == ("C-1", "-160.00", False) and len(paid(buying)) == 2


def test_time_corrected_before_the_confirmation_stops_the_bill() -> None:
    buying = Buying("8", "8")
    buying.bill("B-7", TWO_DAYS)
    buying.correct(1, "6")
    buying.confirm()
    case = buying.hub.case()
    assert case.exception == "EX-SUBCON-CHANGED" and case.amount == Decimal("-160.00") and paid(buying) == []
    buying.hub.resolve("as_matched", actor="finn")
    buying.go()
    assert buying.of("B-7").state is BillState.PAYABLE and buying.hub.case().exception == "EX-SUBCON-DIFF"


def test_a_project_that_is_closed_takes_no_cost() -> None:
    buying = Buying("8", "8")
    with buying.hub.store.transaction() as tx:
        (engagement,) = tx.find(Engagement)
        tx.update(engagement.model_copy(update={"state": EngagementState.CLOSED}))
    buying.bill("B-7", TWO_DAYS)
    assert "project P-K-1 is of an engagement that is closed" in buying.hub.case().cause


# -- retention -----------------------------------------------------------------------------------------------------


def retained(*, ordered: str = "100") -> Buying:
    terms = [
        {"until_percent": "50", "retain_percent": "20"},
        {"until_percent": "80", "retain_percent": "10", "release_percent": "10"},
        {"until_percent": "100", "retain_percent": "0", "release_percent": "100"},
    ]
    rates = [{"person": "ann", "rate": "300.00", "effective_from": date(2026, 3, 1)}]
    return Buying(*["10"] * 10, subcontract=agreed(ordered_hours=ordered, retention=terms, rates=rates))


@pytest.mark.requirement("SCA-05")
def test_retention_is_kept_and_released_as_the_vendor_documents_it() -> None:
    """15,000, 9,000 and 6,000 pay 12,000, 8,400 and 9,600: procurement/vendor-retention-overview of Dynamics 365."""
    buying = retained()
    for number, line in (("1", "ann 3 7 50 15000"), ("2", "ann 8 10 30 9000"), ("3", "ann 11 12 20 6000")):
        buying.bill(number, line)
        buying.confirm()
    told = [(b.payable, b.retained, b.released) for b in map(buying.of, "123")]
    assert told == [(12000, 3000, 0), (8400, 900, 300), (9600, 0, 3600)]
    assert list(buying.booked("2")) == [
        ("cost_of_services", "9000"),
        ("vendor_retention", "-900.00"),
        ("vendor_retention", "300.00"),
    ]
    assert audit(buying.hub.kernel) == []


def test_what_is_kept_back_is_paid_out_by_hand_where_the_last_hours_are_never_ordered() -> None:
    buying = retained()
    buying.bill("1", "ann 3 7 50 15000")
    buying.confirm()
    args = {"subcontract_no": "SC-1", "amount": "1000.00", "asked_by": "rita", "why": "the project ends", "name": "end"}
    buying.hub.start("release_retention", "SC-1:end", **args)
    case = buying.hub.case()
    assert (case.exception, case.amount) == ("EX-SUBCON-RELEASE", Decimal(1000))
    with pytest.raises(NotPermitted):
        buying.hub.resolve("approve", actor="rita")
    buying.hub.resolve("approve", actor="finn")
    assert buying.in_erp()[-1] == ("SC-1/end", "1000.00", False)
    assert list(buying.booked("SC-1/end")) == [("vendor_retention", "1000.00")]
    again = buying.hub.start("release_retention", "SC-1:more", **{**args, "amount": "2000.01", "name": "more"})
    assert "cannot be released of 2000.00 kept back" in again.reason
    assert audit(buying.hub.kernel) == []


def test_what_is_kept_back_is_paid_out_once_though_it_is_asked_for_twice() -> None:
    buying = retained()
    buying.bill("1", "ann 3 7 50 15000")
    buying.confirm()
    args = {"subcontract_no": "SC-1", "amount": "", "asked_by": "rita", "why": "the project ends"}
    buying.hub.start("release_retention", "SC-1:a", **args, name="a")
    again = buying.hub.start("release_retention", "SC-1:b", **args, name="b")
    assert "cannot be released of 0.00 kept back" in again.reason
    (asked,) = buying.hub.rows(Case, exception="EX-SUBCON-RELEASE")
    with buying.hub.store.transaction() as tx:
        buying.hub.kernel.resolve(tx, asked.case_no, action="approve", actor="finn", reason="test", values={})
    buying.hub.go()
    assert [bill.state for bill in buying.hub.rows(SubcontractorBill, kind="retention")] == [BillState.PAYABLE]
    assert audit(buying.hub.kernel) == []


def test_what_a_bill_has_paid_out_meanwhile_is_not_paid_out_again() -> None:
    buying = retained()
    buying.bill("1", "ann 3 7 50 15000")
    buying.confirm()
    args = {"subcontract_no": "SC-1", "amount": "", "asked_by": "rita", "why": "the project ends", "name": "end"}
    buying.hub.start("release_retention", "SC-1:end", **args)
    buying.bill("2", "ann 8 12 50 15000")
    cases = {case.exception: case.case_no for case in buying.hub.rows(Case, state=CaseState.OPEN)}
    for exception, actor in (("EX-SUBCON-CONFIRM", "pia"), ("EX-SUBCON-RELEASE", "finn")):
        with buying.hub.store.transaction() as tx:
            no = cases[exception]
            buying.hub.kernel.resolve(tx, no, action="approve", actor=actor, reason="", values={})
        buying.go()
    assert buying.of("2").released == Decimal("3000.00"), "all hours are delivered"
    assert "cannot be paid out any more: 0.00 is kept back" in buying.hub.case().cause
    buying.hub.resolve("cancel")
    assert buying.of("SC-1/end").state is BillState.CANCELLED and audit(buying.hub.kernel) == []


def test_a_release_that_is_called_off_leaves_what_is_kept_back() -> None:
    buying = retained()
    buying.bill("1", "ann 3 7 50 15000")
    buying.confirm()
    args = {"subcontract_no": "SC-1", "amount": "", "asked_by": "rita", "why": "the project ends", "name": "end"}
    buying.hub.start("release_retention", "SC-1:end", **args)
    buying.hub.resolve("cancel")
    assert buying.of("SC-1/end").state is BillState.CANCELLED and audit(buying.hub.kernel) == []


# -- pay when paid -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("SCA-05")
def test_pay_when_paid_waits_for_the_clients_money_for_these_hours() -> None:
    buying = Buying("8", "8", subcontract=agreed(payment="when_paid"))
    buying.bill("B-7", TWO_DAYS)
    buying.confirm()
    assert buying.of("B-7").state is BillState.POSTED and buying.in_erp() == [("B-7", "1280.00", True)]
    with buying.hub.store.transaction() as tx:
        assert still_missing(tx, buying.of("B-7")) == [
            "psa:1: 1480.00 is ready, not invoiced",
            "psa:2: 1480.00 is ready, not invoiced",
        ]
    buying.hub.clock.move(timedelta(days=30))
    buying.hub.bill("march")
    buying.go()
    total = Decimal("3222.70")
    buying.pays("US01-INV-2026-00001", "1000.00")
    with buying.hub.store.transaction() as tx:
        (first, _) = still_missing(tx, buying.of("B-7"))
    assert first == f"psa:1: {total - 1000} of invoice US01-INV-2026-00001 is open"
    assert buying.in_erp() == [("B-7", "1280.00", True)], "a part payment releases nothing"
    buying.pays("US01-INV-2026-00001", str(total - 1000), "pay-2")
    assert buying.in_erp() == [("B-7", "1280.00", False)]
    bill = buying.of("B-7")
    assert (bill.state, bill.payment_released_by) == (BillState.PAYABLE, "the client has paid")


def test_another_person_may_let_it_be_paid_before_the_client_pays() -> None:
    buying = Buying("8", "8", subcontract=agreed(payment="when_paid"))
    buying.bill("B-7", TWO_DAYS)
    buying.confirm()
    asked = {"bill_id": "SUBS:B-7", "asked_by": "rita", "why": "they are in need"}
    buying.hub.start("release_subcontractor", "SUBS:B-7/need", **asked)
    case = buying.hub.case()
    assert (case.exception, case.amount) == ("EX-SUBCON-RELEASE", Decimal("1280.00"))
    assert "still missing: psa:1: 1480.00 is ready, not invoiced" in case.cause
    with pytest.raises(NotPermitted):
        buying.hub.resolve("approve", actor="rita")
    buying.hub.resolve("approve", actor="finn")
    assert buying.in_erp() == [("B-7", "1280.00", False)] and buying.of("B-7").payment_released_by == "finn"


# -- money that bounces ---------------------------------------------------------------------------------------------

GONE, NUMBER, TOTAL = "EX-SUBCON-BOUNCED", "US01-INV-2026-00001", "3222.70"


def let_go() -> Buying:
    """The client has paid for the hours of B-7, and its hold was lifted."""
    buying = Buying("8", "8", subcontract=agreed(payment="when_paid"))
    buying.bill("B-7", TWO_DAYS)
    buying.confirm()
    buying.hub.clock.move(timedelta(days=30))
    buying.hub.bill("march")
    buying.go()
    buying.pays(NUMBER, TOTAL)
    assert buying.of("B-7").state is BillState.PAYABLE and buying.in_erp() == [("B-7", "1280.00", False)]
    return buying


@pytest.mark.requirement("SCA-05")
def test_money_that_bounces_after_it_let_a_bill_go_is_a_case_with_the_bill_s_money() -> None:
    buying = let_go()
    buying.bounces()
    case = buying.hub.case()
    assert (case.exception, case.queue, case.amount, case.currency) == (GONE, "procurement", Decimal("1280.00"), "USD")
    assert f"psa:1: {TOTAL} of invoice {NUMBER} is open" in case.cause
    buying.bounces()
    assert buying.hub.case() == case, "told once"
    buying.hub.resolve("let_stand", actor="prue", why="it was paid on Monday")
    assert buying.of("B-7").state is BillState.PAYABLE
    (stands,) = [a for a in buying.hub.rows(AuditEntry) if a.action == "bill.let_stand"]
    assert (stands.actor, stands.reason) == ("prue", "it was paid on Monday")


def test_a_bill_that_is_on_hold_again_is_released_by_the_client_s_next_money() -> None:
    buying = let_go()
    buying.bounces()
    buying.hub.systems.erp.things["bill"][0]["held"] = True  # procurement, over there
    buying.hub.resolve("held", actor="prue")
    bill = buying.of("B-7")
    assert (bill.state, bill.payment_hold, bill.payment_released_by) == (BillState.POSTED, True, "")
    assert audit(buying.hub.kernel) == []
    buying.hub.later(hours=1)
    clock.look(buying.hub.kernel)
    buying.go()
    assert buying.in_erp() == [("B-7", "1280.00", True)], "nothing is paid yet"
    buying.pays(NUMBER, TOTAL, "pay-2")
    assert buying.in_erp() == [("B-7", "1280.00", False)] and buying.of("B-7").state is BillState.PAYABLE
    buying.bounces("pay-2")
    assert buying.hub.case().exception == GONE, "and once more"


def test_the_client_s_next_money_answers_the_case() -> None:
    buying = let_go()
    buying.bounces()
    buying.pays(NUMBER, TOTAL, "pay-2")
    assert not buying.hub.rows(Case, state="open") and buying.of("B-7").state is BillState.PAYABLE


def test_a_bill_that_still_waits_stays_on_hold_and_one_paid_ahead_by_decision_is_no_case() -> None:
    buying = Buying("8", "8", subcontract=agreed(payment="when_paid"))
    buying.bill("B-7", TWO_DAYS)
    buying.confirm()
    buying.hub.bill("march")
    buying.go()
    buying.pays(NUMBER, "1000.00")
    buying.bounces()
    assert buying.in_erp() == [("B-7", "1280.00", True)] and not buying.hub.rows(Case, exception=GONE)
    buying.hub.start("release_subcontractor", "SUBS:B-7/need", bill_id="SUBS:B-7", asked_by="rita", why="in need")
    buying.hub.resolve("approve", actor="finn", exception="EX-SUBCON-RELEASE")
    buying.pays(NUMBER, "2000.00", "pay-2")
    buying.bounces("pay-2")
    assert not buying.hub.rows(Case, exception=GONE)


# -- when the answer is lost ---------------------------------------------------------------------------------------

FAULTS = ("unreachable", "throttled", "lost_before", "lost_after")


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_lost_on_the_way_the_erp_has_the_bill_once_and_released(seed: int) -> None:
    """Up to three faults in a row at every write and look-up of the bill, by a seed; nothing is posted twice."""
    chance, left = random.Random(seed), Counter[str]()

    def next_fault(system: str, verb: str, write: bool) -> str | None:
        if verb not in ("post_bill", "release_bill", "find_bill", "find_released") or left[verb] >= 3:
            return None
        left[verb] += 1
        return chance.choice((*FAULTS, None) if write else ("unreachable", "throttled", "stale", None))

    buying = Buying("8", "8", subcontract=agreed(payment="when_paid"))
    buying.hub.systems.weather.next_fault = next_fault
    buying.bill("B-7", TWO_DAYS)
    buying.confirm()
    wait_out(buying, "pay_subcontractor/SUBS:B-7")
    asked = {"bill_id": "SUBS:B-7", "asked_by": "rita", "why": "they are in need"}
    buying.hub.start("release_subcontractor", "SUBS:B-7/need", **asked)
    buying.hub.resolve("approve", actor="finn")
    wait_out(buying, "release_subcontractor/SUBS:B-7/need")
    assert buying.in_erp() == [("B-7", "1280.00", False)], f"seed {seed}"
    assert buying.hub.systems.erp.duplicates() == [] and len(paid(buying)) == 2
    buying.hub.systems.weather.next_fault = lambda system, verb, write: None
    assert audit(buying.hub.kernel) == []


def wait_out(buying: Buying, run_id: str) -> None:
    for _ in range(30):
        if buying.hub.run(run_id).state is RunState.DONE:
            return
        buying.hub.later(minutes=10)
        buying.hub.systems.weather.now = lambda: buying.hub.clock.now() - datetime(2026, 3, 2, tzinfo=UTC)
        buying.go()
    raise AssertionError(buying.hub.run(run_id).reason)


# -- where the ERP takes no bills ----------------------------------------------------------------------------------


def test_without_a_book_of_bills_a_person_posts_and_releases() -> None:
    buying = Buying("8", "8", subcontract=agreed(payment="when_paid"))
    del buying.hub.systems.by_port["VendorBillBook"]
    buying.bill("B-7", TWO_DAYS)
    buying.confirm()
    case = buying.hub.case()
    assert (case.exception, case.actions) == ("EX-VENDOR-BILL", ["booked"]) and case.amount == Decimal("1280.00")
    buying.hub.resolve("booked", actor="finn", reference="AP-99")
    assert (buying.of("B-7").posted_as, buying.of("B-7").posted_by) == ("AP-99", "finn")
    asked = {"bill_id": "SUBS:B-7", "asked_by": "rita", "why": "they are in need"}
    buying.hub.start("release_subcontractor", "SUBS:B-7/need", **asked)
    buying.hub.resolve("approve", actor="finn")
    assert "release AP-99 for payment there" in buying.hub.case().cause
    buying.hub.resolve("released", actor="finn")
    assert buying.of("B-7").state is BillState.PAYABLE


money = st.integers(-(10**8), 10**8).map(lambda cents: Decimal(cents) / 100)


@given(st.lists(money.filter(bool), max_size=5), money, money)
def test_what_the_erp_is_given_adds_up_to_what_is_payable(asked: list[Decimal], kept: Decimal, out: Decimal) -> None:
    lines = tuple(
        BillLine(person="ann", start=date(2026, 3, 3), end=date(2026, 3, 4), hours=1 if a > 0 else -1, amount=a)
        for a in asked
    )
    total = sum(asked, Decimal(0))
    bill = SubcontractorBill(
        bill_id="SUBS:B-7",
        bill_no="B-7",
        supplier="SUBS",
        subcontract_no="SC-1",
        entity="US01",
        project_code="P-K-1",
        contract_no="K-1",
        currency="USD",
        billed_on=date(2026, 3, 31),
        due_on=date(2026, 4, 30),
        lines=lines,
        total=total,
        content_hash="h",
        handed_in_by="rita",
        received_at=MARCH,
        retained=kept,
        released=out,
        payable=total - kept + out,
    )
    posting = posting_of(bill)
    assert posting.total == bill.payable == sum((line.amount for line in posting.lines), Decimal(0))
    assert all(line.amount for line in posting.lines)
