"""Approved work that is dated far ahead waits for its day, or for a person, and is never lost."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from isthmus.domain.objects import BillableItem, Expense, LegalEntity
from isthmus.domain.states import CaseState
from isthmus.domain.terms import ExpenseTerms
from isthmus.processes import clock, sweeps
from isthmus.processes.work.ahead import last_day
from isthmus.store.records import Case, RunState
from tests.desk.stage import Desk
from tests.processes.hub import ENTITY, Hub, contract, entry
from tests.processes.test_month_billing import TAXED, Firm

NOON = datetime(2026, 3, 2, 15, tzinfo=UTC)  # where the clock of a Hub stands
WEEK = ENTITY.model_copy(update={"days_ahead": 7})


def hub(entity: LegalEntity = WEEK, made: type[Hub] = Hub) -> Any:
    one = made(entity=entity)
    one.set_up(contract(caps=()))
    return one


def evidence(one: Hub) -> list[str]:
    return sorted(item.entry_key for item in one.rows(BillableItem))


def test_seven_days_ahead_unless_the_entity_says_otherwise() -> None:
    assert LegalEntity.model_fields["days_ahead"].default == 7
    assert last_day(WEEK, NOON) == date(2026, 3, 9)
    assert last_day(ENTITY.model_copy(update={"days_ahead": None}), NOON) is None


@pytest.mark.parametrize(
    ("zone", "now", "day"),
    [
        ("America/New_York", datetime(2026, 3, 2, 4, 59, tzinfo=UTC), date(2026, 3, 1)),
        ("America/New_York", datetime(2026, 3, 2, 5, tzinfo=UTC), date(2026, 3, 2)),
        ("Pacific/Auckland", datetime(2026, 3, 2, 11, tzinfo=UTC), date(2026, 3, 3)),
        ("Pacific/Honolulu", datetime(2026, 3, 2, 9, 59, tzinfo=UTC), date(2026, 3, 1)),
    ],
)
def test_today_is_the_day_of_the_entity(zone: str, now: datetime, day: date) -> None:
    assert last_day(ENTITY.model_copy(update={"days_ahead": 0, "time_zone": zone}), now) == day


@pytest.mark.requirement("RES-13")
def test_it_is_a_case_alone_and_goes_on_by_itself_when_its_day_is_near() -> None:
    one = hub()
    one.capture(entry(1, "8", day=9), entry(2, "8", day=10), entry(3, "8", day=3, person="bo"))
    assert evidence(one) == ["psa:1", "psa:3"], "the others are not held up"
    case = one.case()
    assert (case.exception, case.queue) == ("EX-AHEAD", "pmo")
    assert case.cause == (
        "time entry psa:2: 8 h of ann is dated 2026-03-10, more than 7 days after today in US01;"
        " it goes on by itself on 2026-03-03"
    )
    clock.look(one.kernel)
    assert one.case() == case, "its day has not come near"
    one.later(hours=24)
    clock.look(one.kernel)
    one.go()
    assert evidence(one) == ["psa:1", "psa:2", "psa:3"] and not one.rows(Case, state=CaseState.OPEN)
    assert one.run(case.run_id).state is RunState.DONE


def test_a_person_may_say_that_the_date_is_right() -> None:
    one = hub()
    one.capture(entry(1, "8", day=30))
    one.resolve("accept")
    assert evidence(one) == ["psa:1"]
    one.capture(entry(1, "8", day=30))
    assert not one.rows(Case, state=CaseState.OPEN), "delivered again it is the same, and nobody is asked again"


def test_a_corrected_date_answers_the_case() -> None:
    desk = hub(made=Desk)
    desk.capture(entry(1, "8", day=30))
    desk.capture(entry(1, "8", day=3, approved_at=datetime(2026, 3, 31, tzinfo=UTC)))
    desk.hand_on()
    (item,) = desk.rows(BillableItem)
    assert item.service_date == date(2026, 3, 3)
    (case,) = desk.rows(Case)
    assert (case.state, (case.resolution or {})["action"]) == (CaseState.RESOLVED, "closed_by_itself")


def test_what_was_billed_and_is_moved_far_ahead_stays_where_it_is_until_then() -> None:
    one = hub()
    one.capture(entry(1, "8"))
    one.capture(entry(1, "8", day=30, approved_at=datetime(2026, 3, 4, tzinfo=UTC)))
    assert (one.case().exception, [i.service_date for i in one.rows(BillableItem)]) == ("EX-AHEAD", [date(2026, 3, 3)])
    one.capture(entry(2, "0", day=30, person="bo"))
    assert len(one.rows(Case)) == 1, "hours that are taken back are of no day"


def test_an_expense_waits_with_its_amount() -> None:
    one = Hub(entity=WEEK)
    line = contract().lines[0].model_copy(update={"expenses": ExpenseTerms()})
    one.set_up(contract(caps=(), lines=(line,)))
    spent = Expense(
        source="tool",
        source_id="X",
        project_code="P-K-1",
        task_code="L1",
        person="ann",
        category="hotel",
        expense_date=date(2026, 6, 1),
        gross=Decimal("240.00"),
        currency="USD",
        receipt_ref="r",
        approved_by="pia",
        approved_at=NOON,
    )
    with one.store.transaction() as tx:
        sweeps.accept_expenses(one.kernel.books(tx, key="test", actor="tool"), "tool", [spent])
    sweeps.drain_facts(one.kernel)
    one.go()
    assert (one.case().exception, one.case().amount, one.case().currency) == ("EX-AHEAD", Decimal("240.00"), "USD")
    one.clock.move(timedelta(days=90))
    clock.look(one.kernel)
    one.go()
    assert [str(item.net) for item in one.rows(BillableItem)] == ["240.00"]


def test_a_month_end_prices_nothing_that_is_dated_far_ahead() -> None:
    """On 6 April the cut-off is given as 30 April: the 13th is near enough, the 14th is not."""
    firm = Firm({"K-1": "plain"}, TAXED.model_copy(update={"days_ahead": 7}))
    of = {"approved_at": datetime(2026, 4, 1, tzinfo=UTC)}
    firm.store_entries([entry(n, "8", service_date=date(2026, 4, 12 + n), **of) for n in (1, 2)])
    firm.start("bill_month", "US01:m", entity="US01", cutoff="2026-04-30", name="m", prepared_by="ana")
    assert evidence(firm) == ["psa:1"] and firm.case().exception == "EX-AHEAD"
    firm.later(hours=24)
    clock.look(firm.kernel)
    firm.go()
    assert evidence(firm) == ["psa:1", "psa:2"]
