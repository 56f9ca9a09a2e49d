"""What should have come and did not, and runs that do not move: a case each, with its cause, that closes itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from isthmus.desk import watching
from isthmus.desk.silences import hours_between
from isthmus.domain.objects import Invoice
from isthmus.domain.states import CaseState, Posting
from isthmus.processes.subscribers import SUBSCRIBERS
from isthmus.runtime import outbox
from isthmus.store.records import Case, Effect, EffectState, Executor, RunRow, RunState, StageTime
from tests.desk.stage import FINN, INES, PIA, Desk
from tests.processes.hub import ENTITY, entry
from tests.simulation.fakes import Model


def watched(own: dict[str, object] | None = None) -> Desk:
    """A desk that keeps the stages of contracts as well, with K-1 active since Monday, 2 March 2026, 15:00 UTC."""
    desk = Desk(own)
    desk.kernel.subscribers = {**SUBSCRIBERS, **desk.kernel.subscribers}
    desk.set_up()
    hand_on(desk)
    return desk


def hand_on(desk: Desk) -> None:
    for name in desk.kernel.subscribers:
        while outbox.dispatch(desk.kernel, name):
            pass
    desk.go()


def look(desk: Desk, since: datetime | None = None) -> int:
    return watching.tick(desk.kernel, desk.config, since or datetime(2026, 1, 1, tzinfo=UTC))


def open_ones(desk: Desk, exception: str) -> list[Case]:
    return desk.rows(Case, exception=exception, state=CaseState.OPEN, order=("case_no",))


# -- silence ----------------------------------------------------------------------------------------------------------


def test_a_feed_that_is_silent_for_too_long_is_a_case_until_it_speaks() -> None:
    desk = watched()
    desk.later(hours=47)
    assert look(desk) == 0
    desk.later(hours=2)
    assert look(desk) == 1 and look(desk) == 0  # once, however often it is looked at
    (case,) = open_ones(desk, "EX-SILENCE")
    assert "approved time: nothing from psa since 2026-03-02" in case.cause and "48 working-day hours" in case.cause
    assert (case.queue, case.entity, case.record) == ("integration", "US01", "watch:psa")
    desk.capture(entry(1, "8"))
    look(desk)
    (closed,) = desk.rows(Case, exception="EX-SILENCE")
    assert (closed.state, closed.resolution) == (CaseState.RESOLVED, {"action": "resumed"})


def test_each_of_several_tools_is_listened_for() -> None:
    desk = watched()
    tools = [desk.systems.psa, Model("jira", desk.systems.weather)]
    desk.systems.all_filling = lambda port, entity: tools if port == "TimeSource" else []  # type: ignore[method-assign]
    desk.later(hours=24)
    desk.capture(entry(1, "8"))
    desk.later(hours=25)
    assert look(desk) == 1
    (case,) = open_ones(desk, "EX-SILENCE")
    assert "nothing from jira since 2026-03-02" in case.cause and case.context["connection"] == "jira"


def test_a_weekend_is_not_silence() -> None:
    desk = watched()
    desk.later(days=3, hours=20)  # Friday
    desk.capture(entry(1, "8"))
    desk.later(days=3)  # Monday noon: 24 working hours at most
    assert look(desk) == 0 and not open_ones(desk, "EX-SILENCE")


def test_nothing_is_expected_of_a_firm_without_work() -> None:
    desk = Desk()
    desk.later(days=30)
    assert look(desk) == 0


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        # Friday 10:00 EST to midnight, Monday midnight to 11:00 EDT: the weekend in which New York loses an hour
        ("2026-03-06T15:00", "2026-03-09T15:00", 14 + 11),
        ("2026-07-02T12:00", "2026-07-06T12:00", 24),  # Independence Day is observed on Friday, 3 July
        ("2026-03-03T10:00", "2026-03-03T12:30", 2.5),
    ],
)
def test_hours_of_working_days_are_those_of_the_companys_calendar(since: str, until: str, expected: float) -> None:
    begins, ends = (datetime.fromisoformat(one).replace(tzinfo=UTC) for one in (since, until))
    whole = (ends - begins) / timedelta(hours=1)
    assert hours_between(begins, ends, ENTITY, False) == whole
    assert hours_between(begins, ends, ENTITY, True) == pytest.approx(expected)


def test_a_contract_that_does_not_reach_its_next_stage_is_a_case_of_its_own() -> None:
    desk = watched({"expect": [FIRST_TIME]})
    desk.later(days=13)
    assert look(desk) == 0
    desk.later(days=2)
    look(desk)
    (case,) = open_ones(desk, "EX-SILENCE")
    assert (case.queue, case.contract_no, case.client_no) == ("pmo", "K-1", "C-1")
    assert "contract K-1: active since 2026-03-02 15:00 UTC and no first time yet" in case.cause
    desk.capture(entry(1, "8"))
    hand_on(desk)
    look(desk)
    assert not open_ones(desk, "EX-SILENCE")


FIRST_TIME = {
    "name": "first time after activation",
    "stage": "active",
    "then": "first time",
    "within_hours": 336,
    "queue": "pmo",
}


def test_what_somebody_has_accepted_is_not_told_again_but_the_next_silence_is() -> None:
    desk = watched({"expect": [FIRST_TIME]})
    desk.later(days=15)
    look(desk)
    desk.decide(PIA, "accept")
    assert look(desk) == 0 and not open_ones(desk, "EX-SILENCE")
    with desk.store.transaction() as tx:  # the engagement was opened again
        tx.put(StageTime(contract_no="K-1", stage="active", at=desk.clock.now(), event_id="again"))
    desk.later(days=15)
    assert look(desk) == 1


def test_an_issued_invoice_that_is_not_posted_says_what_it_is_worth() -> None:
    desk = watched()
    desk.capture(entry(1, "8"))
    desk.bill("2026-03")
    (invoice,) = desk.rows(Invoice)
    other = {"invoice_id": "K-1:more", "number": "US01-INV-2026-00002", "posting": Posting.NOT_POSTED}
    with desk.store.transaction() as tx:
        tx.insert(invoice.model_copy(update=other))
        tx.put(StageTime(contract_no="K-1", stage="first invoice", at=desk.clock.now(), event_id="e"))
    desk.later(hours=5)
    look(desk)
    (case,) = [one for one in open_ones(desk, "EX-SILENCE") if "posting" in one.cause]
    assert (case.queue, case.amount, case.currency) == ("receivables", invoice.total, "USD")


# -- wedges -----------------------------------------------------------------------------------------------------------


def a_run(desk: Desk, name: str, state: RunState, **more: object) -> RunRow:
    row = RunRow(
        run_id=f"bill_contract/{name}",
        process="bill_contract",
        key=name,
        args={},
        args_hash="x",
        state=state,
        entity="US01",
        correlation_id="contract:K-1",
        created_at=desk.clock.now(),
        updated_at=desk.clock.now(),
        **more,  # type: ignore[arg-type]
    )
    with desk.store.transaction() as tx:
        tx.insert(row)
    return row


def test_a_run_that_is_at_one_step_for_too_long_is_a_case_with_its_cause() -> None:
    desk = Desk({"expect": []})
    run = a_run(desk, "K-1:2026-03", RunState.RUNNING)
    write = Effect(
        effect_key="e",
        run_id=run.run_id,
        seq=3,
        connection="erp",
        verb="Erp.post_invoice",
        business_key="x",
        args_hash="x",
        state=EffectState.IN_DOUBT,
        amount=Decimal("10.00"),
        currency="USD",
        created_at=desk.clock.now(),
    )
    with desk.store.transaction() as tx:
        tx.insert(write)
    desk.clock.move(timedelta(minutes=14))
    assert look(desk) == 0
    desk.clock.move(timedelta(minutes=2))
    assert look(desk) == 1
    (case,) = open_ones(desk, "EX-WEDGE")
    assert "at the same step since 2026-03-02 15:00 UTC" in case.cause
    assert "with a write to erp that is in doubt" in case.cause
    assert (case.context["run"], case.queue) == (run.run_id, "integration")
    with desk.store.transaction() as tx:
        tx.update(run.model_copy(update={"state": RunState.DONE, "updated_at": desk.clock.now()}))
    look(desk)
    assert not open_ones(desk, "EX-WEDGE")


def test_a_lane_that_stands_still_is_one_case_and_not_one_for_each_run() -> None:
    desk = Desk({"expect": []})
    for number in range(30):
        a_run(desk, f"K-{number}", RunState.QUEUED, lane="financial")
    desk.clock.move(timedelta(minutes=20))
    with desk.store.transaction() as tx:
        started = desk.clock.now()
        tx.insert(Executor(executor_id="w", host="h", pid=1, version="1", started_at=started, seen_at=started))
    assert look(desk) == 1
    (case,) = open_ones(desk, "EX-WEDGE")
    assert case.cause.startswith("lane financial: 30 runs are queued, none has moved since 2026-03-02 15:00 UTC")
    assert "no worker takes them (1 workers alive)" in case.cause


def test_a_long_queue_that_moves_is_no_wedge() -> None:
    desk = Desk({"expect": []})
    for number in range(3):
        a_run(desk, f"K-{number}", RunState.QUEUED, lane="bulk")
    desk.clock.move(timedelta(hours=2))
    a_run(desk, "K-9", RunState.DONE, lane="bulk")
    assert look(desk) == 0


def test_a_run_that_has_tried_too_often_is_a_case_unless_it_has_one() -> None:
    desk = Desk({"expect": []})
    a_run(desk, "K-1", RunState.WAITING, tries=25, reason="Post the invoice: no answer", wake_at=desk.clock.now())
    a_run(desk, "K-2", RunState.WAITING, tries=19, reason="Post the invoice: no answer", wake_at=desk.clock.now())
    assert look(desk) == 1
    (case,) = open_ones(desk, "EX-WEDGE")
    assert "run bill_contract/K-1: tried 25 times without getting on: Post the invoice: no answer" in case.cause
    desk.decide(INES, "accept")
    assert look(desk) == 0


def test_what_nobody_worked_on_has_not_stood_still() -> None:
    """A hub that was down over night does not begin its day with a thousand alarms."""
    desk = Desk({"expect": []})
    a_run(desk, "K-1", RunState.RUNNING)
    desk.clock.move(timedelta(hours=9))
    assert look(desk, since=desk.clock.now() - timedelta(minutes=5)) == 0
    assert look(desk, since=desk.clock.now() - timedelta(minutes=16)) == 1
    assert FINN.may("case.read")
