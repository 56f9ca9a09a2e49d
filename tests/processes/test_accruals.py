"""What a month accrues is booked when it is closed, and taken back, in the ledger too, where the work is approved."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from isthmus.app.controls import audit
from isthmus.domain.journals import Journal
from isthmus.domain.objects import SubmittedTime
from isthmus.store.records import Case
from tests.processes.hub import ENTITY, Hub, contract, entry
from tests.processes.test_deposits import journals

HALF = ENTITY.model_copy(update={"accrual_percent": Decimal("50")})


def handed_in(number: int, hours: str, day: int = 30) -> SubmittedTime:
    return SubmittedTime(
        source="psa",
        source_id=str(number),
        project_code="P-K-1",
        task_code="L1",
        person="ann",
        role="Consultant",
        service_date=date(2026, 3, day),
        hours=Decimal(hours),
        cost_rate=Decimal("70.00"),
        submitted_at=datetime(2026, 3, 31, tzinfo=UTC),
    )


def closed(*times: SubmittedTime) -> Hub:
    """March is closed with time that is handed in and not approved."""
    hub = Hub(HALF)
    hub.set_up(contract(caps=()))
    with hub.store.transaction() as tx:
        for time in times:
            tx.put(time)
    hub.later(days=31)
    close(hub, "2026-03")
    return hub


def close(hub: Hub, period: str, name: str = "first") -> None:
    hub.start("close_period", f"US01/{period}/{name}", entity="US01", period=period, closed_by="cora")


def test_a_close_books_what_it_accrues_on_the_last_day_of_the_month() -> None:
    hub = closed(handed_in(1, "8"), handed_in(2, "2", day=31))
    assert journals(hub) == {
        "accrual/US01/2026-03/1/USD": [
            ("accrued_revenue", "925.00", "0"),
            ("revenue", "0", "925.00"),
            ("cost_of_services", "700.00", "0"),
            ("accrued_cost", "0", "700.00"),
        ]
    }
    (kept,) = hub.rows(Journal)
    assert (kept.booked_on, kept.booked_by) == (date(2026, 3, 31), "erp")
    assert audit(hub.kernel) == []


def test_what_is_approved_later_is_taken_back_in_the_month_it_is_booked_in() -> None:
    hub = closed(handed_in(1, "8"))
    hub.capture(entry(1, "8", day=30, cost_rate=Decimal("70.00"), approved_at=datetime(2026, 4, 2, tzinfo=UTC)))
    hub.later(days=35)
    close(hub, "2026-04")
    assert journals(hub)["accrual/US01/2026-04/1/USD"] == [
        ("revenue", "740.00", "0"),
        ("accrued_revenue", "0", "740.00"),
        ("accrued_cost", "560.00", "0"),
        ("cost_of_services", "0", "560.00"),
    ]


def test_closed_again_only_the_difference_is_booked() -> None:
    hub = closed(handed_in(1, "8"))
    hub.start("reopen_period", "US01/2026-03/again", entity="US01", period="2026-03", asked_by="cora", reason="late")
    for by in ("finn", "fay"):
        case = hub.case()
        with hub.store.transaction() as tx:
            hub.kernel.resolve(tx, case.case_no, action="approve", actor=by, reason="agreed", values={})
        hub.go()
    with hub.store.transaction() as tx:
        tx.put(handed_in(2, "2"))
    close(hub, "2026-03", "second")
    assert [line[1:] for line in journals(hub)["accrual/US01/2026-03/2/USD"][:1]] == [("185.00", "0")]
    hub.later(days=35)
    close(hub, "2026-04")
    assert "accrual/US01/2026-04/1/USD" not in journals(hub), "a month that accrues nothing books nothing"


def test_where_the_erp_takes_no_journals_the_month_is_closed_and_a_person_books_it() -> None:
    hub = Hub(HALF)
    del hub.systems.by_port["JournalBook"]
    hub.set_up(contract(caps=()))
    with hub.store.transaction() as tx:
        tx.put(handed_in(1, "8"))
    hub.later(days=31)
    close(hub, "2026-03")
    assert hub.run("close_period/US01/2026-03/first").state == "done"
    (case,) = hub.rows(Case)
    assert (case.exception, case.amount, case.queue) == ("EX-JOURNAL", Decimal("1300.00"), "controlling")
