"""Periods of a term and the share of one that it covers, by days."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import BadInput
from isthmus.policies.proration import first_day, last_day, later, month_of, periods
from tests.policies.builders import day
from tests.policies.tables import number, rows

# A fee of 3,000.00 and 30 h for each whole period.
SHARES = rows("""
| term                     | every | through    | period          | days | of | fee      | hours   |
| 2026-01-01               | 1     | 2026-01-01 | 2026-01         | 31   | 31 | 3,000.00 | 30      |
| 2026-01-16               | 1     | 2026-01-31 | 2026-01         | 16   | 31 | 1,548.39 | 15.4839 |
| 2026-01-01 to 2026-02-10 | 1     | 2026-12-31 | 2026-02         | 10   | 28 | 1,071.43 | 10.7143 |
| 2028-02-01 to 2028-02-28 | 1     | 2028-12-31 | 2028-02         | 28   | 29 | 2,896.55 | 28.9655 |
| 2026-02-10 to 2026-02-19 | 1     | 2026-12-31 | 2026-02         | 10   | 28 | 1,071.43 | 10.7143 |
| 2026-02-15               | 3     | 2026-02-15 | 2026-02/2026-04 | 75   | 89 | 2,528.09 | 25.2809 |
| 2026-02-15 to 2026-05-31 | 3     | 2026-12-31 | 2026-05/2026-07 | 31   | 92 | 1,010.87 | 10.1087 |
| 2026-01-01               | 12    | 2027-06-30 | 2027-01/2027-12 | 365  | 365 | 3,000.00 | 30     |
""")


@pytest.mark.parametrize("row", SHARES, ids=lambda row: f"{row['term']} {row['period']}")
def test_the_last_period_of_a_term_is_worth_its_days(row: dict[str, str]) -> None:
    start, _, end = row["term"].partition(" to ")
    found = periods(day(start), day(end) if end else None, int(row["every"]), day(row["through"]))[-1]
    assert (found.label, found.days, found.of_days) == (row["period"], int(row["days"]), int(row["of"]))
    assert found.share(Decimal("3000"), "USD") == number(row["fee"])
    assert found.share_of_hours(Decimal("30")) == number(row["hours"])


def test_a_period_is_there_from_its_first_day_on() -> None:
    assert periods(day("2026-03-02"), None, 1, day("2026-03-01")) == []
    assert [p.label for p in periods(day("2026-03-02"), None, 1, day("2026-04-01"))] == ["2026-03", "2026-04"]


def test_a_term_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(BadInput, match="ends on 2026-01-01, before it starts on 2026-01-02"):
        periods(day("2026-01-02"), day("2026-01-01"), 1, day("2026-12-31"))


@pytest.mark.parametrize("text", ["2026-13", "2026-1", "2026", "26-01", "2026-01-01", "", "0000-01"])
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is not a month"):
        first_day(text)


@given(
    st.dates(date(2020, 1, 1), date(2030, 12, 31)),
    st.one_of(st.none(), st.integers(0, 1500)),
    st.sampled_from([1, 3, 6, 12]),
    st.integers(0, 1500),
)
def test_periods_cover_every_day_of_the_term_once(start: date, length: int | None, every: int, ahead: int) -> None:
    end = None if length is None else start + timedelta(days=length)
    found = periods(start, end, every, start + timedelta(days=ahead))
    assert found[0].start == start
    for earlier, following in pairwise(found):
        assert following.start == earlier.end + timedelta(days=1)
    assert found[-1].end >= min(start + timedelta(days=ahead), end or date.max)
    assert end is None or found[-1].end <= end
    assert all(p.whole_start <= p.start <= p.end <= p.whole_end for p in found)
    assert all(p.days == p.of_days for p in found[1:-1])


@given(st.dates(date(1900, 1, 1), date(2100, 12, 31)), st.integers(-100, 100))
def test_months_are_counted_forth_and_back(any_day: date, months: int) -> None:
    month = month_of(any_day)
    assert later(later(month, months), -months) == month
    assert first_day(month) <= any_day <= last_day(month)
    assert first_day(later(month, 1)) == last_day(month) + timedelta(days=1)
