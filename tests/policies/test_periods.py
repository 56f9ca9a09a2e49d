"""Where late work is booked, what the controller sees first, what is accrued, and what a closed period added up to."""

# A table is read row by row: its rows stay on one line each.
# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import NeedsDecision, NotPermitted
from isthmus.domain.periods import FiscalPeriod
from isthmus.domain.states import PeriodState
from isthmus.policies.periods import (
    Booking,
    accounting_date,
    accrue,
    changes_since,
    check_prior_period,
    is_open,
    may_reopen,
    needs_controller,
    reopen,
    snapshot,
    snapshot_hash,
)
from isthmus.policies.proration import later, month_of
from tests.policies.builders import day
from tests.policies.tables import number, rows

AT = datetime(2026, 2, 5, tzinfo=UTC)


def states(text: str) -> dict[str, PeriodState]:
    """'2026-01 closed, 2026-02 soft_closed'; months that are not named were never closed."""
    pairs = [part.split() for part in text.split(",") if part.strip() != "-"]
    return {month: PeriodState(state) for month, state in pairs}


BOOKED = rows("""
| service date | periods                                        | rule          | approved   | finance | booked on  | prior |
| 2026-01-29   | -                                              | earliest_open | 2026-02-09 | no      | 2026-01-29 | no    |
| 2026-01-29   | 2026-01 closed                                 | earliest_open | 2026-02-09 | no      | 2026-02-01 | yes   |
| 2026-01-29   | 2026-01 closed                                 | approval_date | 2026-02-09 | no      | 2026-02-09 | yes   |
| 2026-01-29   | 2026-01 closed, 2026-02 closed                 | approval_date | 2026-02-09 | no      | 2026-03-01 | yes   |
| 2026-01-29   | 2026-01 closed, 2026-02 closed                 | earliest_open | 2026-02-09 | no      | 2026-03-01 | yes   |
| 2026-01-29   | 2026-01 reopened                               | earliest_open | 2026-02-09 | no      | 2026-01-29 | no    |
| 2026-01-29   | 2026-01 soft_closed                            | earliest_open | 2026-02-09 | no      | 2026-02-01 | yes   |
| 2026-01-29   | 2026-01 soft_closed                            | earliest_open | 2026-02-09 | yes     | 2026-01-29 | no    |
| 2026-01-29   | 2026-01 closed, 2026-02 soft_closed            | earliest_open | 2026-02-09 | yes     | 2026-02-01 | yes   |
| 2026-01-29   | 2026-01 future                                 | earliest_open | 2026-02-09 | no      | 2026-02-01 | yes   |
| 2026-01-29   | 2025-12 reopened, 2026-01 closed               | earliest_open | 2026-02-09 | no      | 2026-02-01 | yes   |
| 2026-01-29   | 2026-01 closed                                 | approval_date | 2025-12-31 | no      | 2026-02-01 | yes   |
| 2025-12-31   | 2025-12 closed                                 | earliest_open | 2026-02-09 | no      | 2026-01-01 | yes   |
""")


@pytest.mark.parametrize("row", BOOKED, ids=lambda row: f"{row['service date']} {row['periods']} {row['rule']}")
def test_where_an_amount_is_booked(row: dict[str, str]) -> None:
    rule: Any = row["rule"]
    found = accounting_date(
        day(row["service date"]),
        states(row["periods"]),
        approved_on=day(row["approved"]),
        rule=rule,
        finance=row["finance"] == "yes",
    )
    assert found == (day(row["booked on"]), row["prior"] == "yes")


def test_when_every_later_period_is_closed_the_controller_decides() -> None:
    closed = {later("2026-01", n): PeriodState.CLOSED for n in range(200)}
    with pytest.raises(NeedsDecision) as stopped:
        accounting_date(day("2026-01-29"), closed)
    assert (stopped.value.exception, stopped.value.queue) == ("EX-PERIOD", "controlling")


LATE, ON_TIME = Booking(day("2026-02-01"), True), Booking(day("2026-01-29"), False)
MATERIAL = rows("""
| net       | threshold | late | controller |
| 1,200.00  | 1,000.00  | yes  | yes        |
| 1,000.01  | 1,000.00  | yes  | yes        |
| 1,000.00  | 1,000.00  | yes  | no         |
| -1,200.00 | 1,000.00  | yes  | yes        |
| 1,200.00  | 1,000.00  | no   | no         |
| 1,200.00  | 0         | yes  | no         |
""")


@pytest.mark.parametrize("row", MATERIAL, ids=lambda row: f"{row['net']} over {row['threshold']}")
def test_a_large_amount_of_a_closed_period_is_the_controllers(row: dict[str, str]) -> None:
    net, threshold = number(row["net"]), number(row["threshold"])
    booking = LATE if row["late"] == "yes" else ON_TIME
    assert needs_controller(net, booking, threshold) == (row["controller"] == "yes")
    if row["controller"] == "no":
        assert check_prior_period("psa:E-1", day("2026-01-29"), net, "USD", booking, threshold) is booking
        return
    with pytest.raises(NeedsDecision) as stopped:
        check_prior_period("psa:E-1", day("2026-01-29"), net, "USD", booking, threshold)
    case = stopped.value
    assert (case.exception, case.queue, case.money) == ("EX-PRIOR-PERIOD", "controlling", (abs(net), "USD"))
    assert "of 2026-01-29, a closed period, is booked on 2026-02-01" in case.message


def test_the_accrual_of_sc_04_and_its_effect_in_february() -> None:
    """7.5 h at 160.00, cost 70.00, 80 % of the sales value; approved after the close."""
    accrued = accrue("psa:E-1", Decimal("1200.00"), Decimal("525.00"), Decimal(80), "USD")
    assert (accrued.revenue, accrued.cost) == (Decimal("960.00"), Decimal("525.00"))
    assert (accrued.reversed.revenue, accrued.reversed.cost) == (Decimal("-960.00"), Decimal("-525.00"))
    assert accrued.reversed.revenue + Decimal("1200.00") == Decimal("240.00")
    assert accrued.reversed.cost + Decimal("525.00") == 0


TOTALS = {"revenue USD": "960.00", "cost USD": "525.00"}


def test_a_snapshot_is_the_same_for_the_same_totals_and_no_other() -> None:
    turned = dict(reversed(TOTALS.items()))
    assert snapshot_hash(TOTALS) == snapshot_hash(turned)
    assert len(snapshot_hash(TOTALS)) == 64
    assert snapshot_hash({**TOTALS, "revenue USD": "960.01"}) != snapshot_hash(TOTALS)
    assert snapshot_hash({"a": "b,c"}) != snapshot_hash({"a": "b", "c": ""})


def test_closing_again_makes_the_next_version_and_keeps_the_first() -> None:
    first = snapshot("US01", "2026-01", TOTALS, AT)
    other = snapshot("DE01", "2026-01", {}, AT, [snapshot("DE01", "2026-01", {}, AT)])
    again = snapshot("US01", "2026-01", {**TOTALS, "revenue USD": "1200.00"}, AT, [first, other])
    assert (first.version, again.version) == (1, 2)
    assert first.content_hash != again.content_hash
    assert changes_since(first, TOTALS) == {}
    assert changes_since(first, again.totals) == {"revenue USD": ("960.00", "1200.00")}
    assert changes_since(first, {"cost USD": "525.00", "tax USD": "1"}) == {
        "revenue USD": ("960.00", ""),
        "tax USD": ("", "1"),
    }


def period(state: str = "closed") -> FiscalPeriod:
    facts = {"entity": "US01", "domain": "time", "period": "2026-01", "state": state}
    return FiscalPeriod.model_validate({**facts, "changed_by": "cora", "changed_at": AT})


def test_two_persons_beside_the_one_who_asks_open_a_period_again() -> None:
    opened = reopen(period(), ["dan", "eve", "dan"], "cora", AT)
    assert (opened.state, opened.approvals, opened.changed_by) == (PeriodState.REOPENED, ("dan", "eve"), "cora")
    assert accounting_date(day("2026-01-29"), {"2026-01": opened.state}) == (day("2026-01-29"), False)


TOO_FEW = [[], ["dan"], ["dan", "dan"], ["dan", " dan "], ["dan", "cora"], ["dan", ""]]


@pytest.mark.parametrize("approvals", TOO_FEW, ids=str)
def test_nobody_opens_a_period_with_fewer(approvals: list[str]) -> None:
    with pytest.raises(NotPermitted, match="reopening takes 2 approvers beside cora"):
        may_reopen(period(), approvals, "cora")


@pytest.mark.parametrize("state", ["open", "soft_closed", "reopened", "future"])
def test_only_a_closed_period_is_opened_again(state: str) -> None:
    with pytest.raises(NotPermitted, match=f"US01 time 2026-01 is {state}, not closed"):
        may_reopen(period(state), ["dan", "eve"], "cora")


months = st.integers(0, 24).map(lambda n: later("2025-06", n))
tables = st.dictionaries(months, st.sampled_from(list(PeriodState)))


@pytest.mark.requirement("INV-18")
@given(st.dates(date(2025, 6, 1), date(2027, 6, 30)), tables, st.booleans())
def test_a_new_amount_is_never_booked_in_a_closed_period(
    on: date, known: Mapping[str, PeriodState], finance: bool
) -> None:
    found = accounting_date(on, known, finance=finance)
    assert is_open(known, month_of(found.accounting_date), finance=finance)
    assert found.accounting_date >= on
    assert found.prior_period == (not is_open(known, month_of(on), finance=finance)) == (found.accounting_date != on)
    between = on + timedelta(days=31)
    while month_of(between) < month_of(found.accounting_date):
        assert not is_open(known, month_of(between), finance=finance)
        between += timedelta(days=28)


@given(st.dictionaries(st.text(), st.text()), st.dictionaries(st.text(), st.text()))
def test_a_fingerprint_says_whether_totals_differ(one: dict[str, str], other: dict[str, str]) -> None:
    assert (snapshot_hash(one) == snapshot_hash(other)) == (one == other)
