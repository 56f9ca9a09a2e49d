"""Retainers month by month: what is used, what goes over, what is lost, what is billed and what is earned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import BadInput, NeedsDecision
from isthmus.domain.terms import Retainer
from isthmus.policies.proration import later
from isthmus.policies.retainers import LateHours, RetainerMonth, statement
from tests.policies.builders import day
from tests.policies.tables import number, rows

ZERO = Decimal(0)
# column of the tables -> what it is
COLUMNS = {
    "used": "used",
    "from rolled": "from_rolled",
    "from quota": "from_quota",
    "overage h": "overage",
    "rolled out": "rolled_out",
    "forfeited": "forfeited",
    "credited": "credited",
    "invoice": "invoiced",
    "revenue": "revenue",
    "breakage": "breakage",
    "deferred end": "deferred_end",
}


def retainer(**changes: Any) -> Retainer:
    """40 h for 8,000.00 a month from January 2026 on, 220.00 an hour beyond, 10 h go over for a month."""
    facts: dict[str, Any] = {
        "quota_hours": "40",
        "fee": "8000.00",
        "overage_rate": "220.00",
        "rollover": "capped",
        "rollover_max_hours": "10",
        "start": day("2026-01-01"),
    }
    return Retainer.model_validate({**facts, **changes})


def agree(months: Sequence[RetainerMonth], table: list[dict[str, str]]) -> None:
    """The statement says what the table says, cell by cell."""
    assert [m.period for m in months] == [row["month"] for row in table]
    for month, row in zip(months, table, strict=True):
        told = {title: getattr(month, name) for title, name in COLUMNS.items() if title in row}
        assert told == {title: number(row[title]) for title in told}, month.period


def hours_of(table: list[dict[str, str]], column: str = "used") -> dict[str, Decimal]:
    return {row["month"]: number(row[column]) for row in table}


SC_06 = rows("""
| month   | used | from rolled | from quota | overage h | rolled out | forfeited | invoice | revenue | breakage | deferred end |
| 2026-01 | 34   | 0           | 34         | 0         | 6          | 0         | 8,000   | 6,800   | -        | 1,200        |
| 2026-02 | 49   | 6           | 40         | 3         | 0          | 0         | 8,660   | 9,860   | -        | 0            |
| 2026-03 | 38   | 0           | 38         | 0         | 2          | 0         | 8,000   | 7,600   | -        | 400          |
| 2026-04 | 45   | 2           | 40         | 3         | 0          | 0         | 8,660   | 9,060   | -        | 0            |
| 2026-05 | 20   | 0           | 20         | 0         | 10         | 10        | 8,000   | 6,000   | 2,000    | 2,000        |
| 2026-06 | 32   | 10          | 22         | 0         | 10         | 8         | 8,000   | 8,000   | 1,600    | 2,000        |
""")  # noqa: E501
LATE_JUNE = rows("""
| month   | used | from rolled | from quota | overage h | rolled out | forfeited | invoice | revenue | breakage | deferred end |
| 2026-06 | 34   | 10          | 24         | 0         | 10         | 6         | 8,000   | 8,000   | 1,200    | 2,000        |
""")  # noqa: E501
CLOSED_TO_MAY = frozenset(row["month"] for row in SC_06[:-1])


def test_the_months_of_sc_06() -> None:
    months = statement(retainer(), hours_of(SC_06), "2026-06", currency="USD")
    agree(months, SC_06)
    invoiced, revenue = (sum((getattr(m, name) for m in months), ZERO) for name in ("invoiced", "revenue"))
    assert (invoiced, revenue) == (Decimal("49320.00"), Decimal("47320.00"))
    assert invoiced == revenue + months[-1].deferred_end


def test_late_hours_consume_what_their_closed_month_left_over() -> None:
    late = [LateHours("2026-05", "2026-06", Decimal("2"))]
    months = statement(retainer(), hours_of(SC_06), "2026-06", late, CLOSED_TO_MAY, currency="USD")
    agree(months[:-1], SC_06[:-1])
    agree(months[-1:], LATE_JUNE)


def test_late_hours_of_a_month_that_is_still_open_are_not_late() -> None:
    late = [LateHours("2026-05", "2026-06", Decimal("2"))]
    on_time = {**hours_of(SC_06), "2026-05": Decimal("22")}
    with_late = statement(retainer(), hours_of(SC_06), "2026-06", late, currency="USD")
    assert with_late == statement(retainer(), on_time, "2026-06", currency="USD")


# What late hours of a closed month become in the month they are posted in; 10 h of May wait in June, none of April's.
LATE = rows("""
| late                         | used | from rolled | from quota | overage h | rolled out | forfeited | invoice |
| 12 h of 2026-05              | 44   | 10          | 32         | 2         | 8          | 0         | 8,440   |
| 3 h of 2026-04               | 35   | 10          | 22         | 3         | 10         | 8         | 8,660   |
| 2 h of 2026-05, 3 of 2026-04 | 37   | 10          | 24         | 3         | 10         | 6         | 8,660   |
| 2 h of 2026-05, -2 h more    | 32   | 10          | 22         | 0         | 10         | 8         | 8,000   |
| -4 h of 2026-05              | 28   | 10          | 18         | 0         | 10         | 12        | 8,000   |
""")
LATE_HOURS = [
    {"2026-05": ["12"]},
    {"2026-04": ["3"]},
    {"2026-05": ["2"], "2026-04": ["3"]},
    {"2026-05": ["2", "-2"]},
    {"2026-05": ["-4"]},
]


@pytest.mark.parametrize(("row", "late"), list(zip(LATE, LATE_HOURS, strict=True)), ids=[row["late"] for row in LATE])
def test_late_hours_use_only_what_is_unexpired_and_else_are_overage(
    row: dict[str, str], late: dict[str, list[str]]
) -> None:
    entries = [LateHours(month, "2026-06", Decimal(h)) for month, hours in late.items() for h in hours]
    june = statement(retainer(), hours_of(SC_06), "2026-06", entries, CLOSED_TO_MAY, currency="USD")[-1]
    agree([june], [{"month": "2026-06", **row}])


def test_corrections_that_take_back_more_than_the_month_has_are_billings_to_decide() -> None:
    late = [LateHours("2026-05", "2026-06", Decimal("-33"))]
    with pytest.raises(NeedsDecision) as stopped:
        statement(retainer(), hours_of(SC_06), "2026-06", late, CLOSED_TO_MAY, currency="USD")
    case = stopped.value
    assert (case.exception, case.queue) == ("EX-RETAINER-CORRECTION", "billing")
    assert case.context == {"month": "2026-06", "hours": "1"}


def test_late_hours_after_the_end_of_the_term_are_overage() -> None:
    terms = retainer(end=day("2026-02-28"))
    late = [LateHours("2026-02", "2026-04", Decimal("5"))]
    months = statement(
        terms, {"2026-01": Decimal("30")}, "2026-12", late, frozenset({"2026-01", "2026-02"}), currency="USD"
    )
    assert [m.period for m in months] == ["2026-01", "2026-02", "2026-04"]
    assert (months[-1].overage, months[-1].fee, months[-1].invoiced) == (Decimal("5"), ZERO, Decimal("1100.00"))


OTHER_TERMS: list[tuple[str, dict[str, Any], list[dict[str, str]]]] = [
    (
        "none: what is not used is forfeit at once",
        {"rollover": "none"},
        rows("""
| month   | used | from quota | overage h | rolled out | forfeited | invoice | revenue | breakage | deferred end |
| 2026-01 | 34   | 34         | 0         | 0          | 6         | 8,000   | 8,000   | 1,200    | 0            |
| 2026-02 | 49   | 40         | 9         | 0          | 0         | 9,980   | 9,980   | 0        | 0            |
"""),
    ),
    (
        "credit: what is not used is given back at fee / quota",
        {"rollover": "credit"},
        rows("""
| month   | used | from quota | overage h | rolled out | forfeited | credited | invoice | revenue | deferred end |
| 2026-01 | 34   | 34         | 0         | 0          | 0         | 6        | 6,800   | 6,800   | 0            |
| 2026-02 | 49   | 40         | 9         | 0          | 0         | 0        | 9,980   | 9,980   | 0            |
"""),
    ),
    (
        "two periods: the oldest rolled hours go first, and expire first",
        {"rollover_periods": 2, "rollover_max_hours": "100"},
        rows("""
| month   | used | from rolled | from quota | rolled out | forfeited | revenue | breakage | deferred end |
| 2026-01 | 30   | 0           | 30         | 10         | 0         | 6,000   | 0        | 2,000        |
| 2026-02 | 34   | 10          | 24         | 16         | 0         | 6,800   | 0        | 3,200        |
| 2026-03 | 10   | 10          | 0          | 46         | 0         | 2,000   | 0        | 9,200        |
| 2026-04 | 0    | 0           | 0          | 80         | 6         | 1,200   | 1,200    | 16,000       |
| 2026-05 | 45   | 45          | 0          | 75         | 0         | 9,000   | 0        | 15,000       |
"""),
    ),
    (
        "the last month: nothing goes over",
        {"end": day("2026-02-28")},
        rows("""
| month   | used | from rolled | from quota | rolled out | forfeited | revenue | breakage | deferred end |
| 2026-01 | 30   | 0           | 30         | 10         | 0         | 6,000   | 0        | 2,000        |
| 2026-02 | 5    | 5           | 0          | 0          | 45        | 10,000  | 9,000    | 0            |
"""),
    ),
    (
        "from 16 January to 14 February: fee and quota by days",
        {"start": day("2026-01-16"), "end": day("2026-02-14"), "quota_hours": "31", "fee": "3100.00"},
        rows("""
| month   | used | from rolled | from quota | overage h | rolled out | forfeited | invoice  | revenue  | deferred end |
| 2026-01 | 10   | 0           | 10         | 0         | 6          | 0         | 1,600.00 | 1,000.00 | 600.00       |
| 2026-02 | 23   | 6           | 15.5       | 1.5       | 0          | 0         | 1,880.00 | 2,480.00 | 0            |
"""),
    ),
    (
        "a quota of no hours: a fee for being there",
        {"quota_hours": "0"},
        rows("""
| month   | used | from quota | overage h | rolled out | forfeited | invoice | revenue | deferred end |
| 2026-01 | 2    | 0          | 2         | 0          | 0         | 8,440   | 8,440   | 0            |
"""),
    ),
]


@pytest.mark.parametrize(("changes", "table"), [t[1:] for t in OTHER_TERMS], ids=[t[0] for t in OTHER_TERMS])
def test_other_terms(changes: dict[str, Any], table: list[dict[str, str]]) -> None:
    agree(statement(retainer(**changes), hours_of(table), table[-1]["month"], currency="USD"), table)


WRONG: list[tuple[str, dict[str, str], list[LateHours], str]] = [
    ("before the term", {"2025-12": "1"}, [], "hours of 2025-12 are outside the retainer from 2026-01-01"),
    ("after the term", {"2026-07": "1"}, [], "outside the retainer from 2026-01-01 to 2026-06-30"),
    ("no month", {"June": "1"}, [], "'June' is not a month"),
    ("less than nothing", {"2026-01": "-1"}, [], "-1 hours in 2026-01"),
    ("not late", {}, [LateHours("2026-02", "2026-02", Decimal(1))], "not late when they are posted in 2026-02"),
    ("late of before the term", {}, [LateHours("2025-12", "2026-02", Decimal(1))], "hours of 2025-12 are outside"),
]


@pytest.mark.parametrize(("hours", "late", "message"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_hours_outside_the_term_are_refused_and_never_lost(
    hours: dict[str, str], late: list[LateHours], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        given_hours = {month: Decimal(h) for month, h in hours.items()}
        statement(retainer(end=day("2026-06-30")), given_hours, "2026-12", late, currency="USD")


MONTHS = [later("2026-01", n) for n in range(8)]
tenths = st.integers(0, 900).map(lambda n: Decimal(n) / 10)
late_entries = st.lists(
    st.tuples(st.sampled_from(MONTHS[:5]), st.integers(1, 3), tenths).map(
        lambda t: LateHours(t[0], later(t[0], t[1]), t[2])
    ),
    max_size=4,
)


@st.composite
def retainers(draw: st.DrawFn) -> Retainer:
    return retainer(
        quota_hours=draw(st.sampled_from(["0", "7.5", "30", "40", "33.3333"])),
        fee=draw(st.sampled_from(["8000.00", "999.99", "0.07", "10000.01"])),
        rollover=draw(st.sampled_from(["none", "capped", "credit"])),
        rollover_max_hours=draw(st.sampled_from(["0", "5", "10", "70"])),
        rollover_periods=draw(st.integers(1, 3)),
        start=draw(st.sampled_from([day("2026-01-01"), day("2026-01-17")])),
        end=draw(st.sampled_from([None, day("2026-08-31"), day("2026-08-09")])),
    )


@pytest.mark.requirement("INV-12")
@given(retainers(), st.dictionaries(st.sampled_from(MONTHS), tenths), late_entries)
def test_no_hour_and_no_cent_of_a_retainer_is_lost(
    terms: Retainer, hours: Mapping[str, Decimal], late: Sequence[LateHours]
) -> None:
    """INV-12 for hours, and the roll-forward of what is deferred: billed = earned + still owed."""
    months = statement(terms, hours, "2026-12", late, frozenset(MONTHS), currency="USD")
    rolled, deferred = ZERO, ZERO
    for m in months:
        assert m.rolled_in == rolled
        assert m.quota + m.rolled_in == m.from_rolled + m.from_quota + m.rolled_out + m.forfeited + m.credited
        assert m.used == m.from_rolled + m.from_quota + m.overage
        assert deferred + m.invoiced == m.revenue + m.deferred_end
        parts = (m.from_rolled, m.from_quota, m.overage, m.rolled_out, m.forfeited, m.credited, m.deferred_end)
        assert min(parts) >= 0
        assert m.rolled_out <= terms.rollover_max_hours or terms.rollover == "none"
        assert (m.rolled_out > 0) == (m.deferred_end > 0) or m.deferred_end == 0
        rolled, deferred = m.rolled_out, m.deferred_end
    assert sum((m.used for m in months), ZERO) == sum(hours.values(), ZERO) + sum((e.hours for e in late), ZERO)


@given(retainers(), st.dictionaries(st.sampled_from(MONTHS), tenths), late_entries)
def test_a_month_says_the_same_whatever_comes_after_it(
    terms: Retainer, hours: Mapping[str, Decimal], late: Sequence[LateHours]
) -> None:
    closed = frozenset(MONTHS)
    whole = statement(terms, hours, "2026-12", late, closed, currency="USD")
    for n, month in enumerate(whole, start=1):
        assert statement(terms, hours, month.period, late, closed, currency="USD") == whole[:n]
