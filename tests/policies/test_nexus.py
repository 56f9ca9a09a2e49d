"""How near an entity is to registering for tax in a state. Every threshold here is an illustration, not a rule in force.

The shapes are those published for states of the US (100k; 100k or 200 sales; 500k and 100 sales): Avalara blog, 2023-02.
"""

# A table is read row by row: its rows stay on one line each.
# ruff: noqa: E501

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.policies.nexus import Sale, Threshold, standings, window_start
from tests.policies.builders import day
from tests.policies.tables import number, rows

ON = day("2026-03-31")

STANDINGS = rows("""
| amount  | count | both | window            | services | sales                                            | reached | sales counted | percent | level   |
| 100,000 | -     | no   | calendar_year     | yes      | 2026-01-05 79,999.99                             | 79,999.99  | 1 | 79.99999 | below   |
| 100,000 | -     | no   | calendar_year     | yes      | 2026-01-05 80,000                                | 80,000     | 1 | 80    | alert   |
| 100,000 | -     | no   | calendar_year     | yes      | 2026-01-05 60,000 2026-03-31 40,000              | 100,000    | 2 | 100   | crossed |
| 100,000 | -     | no   | calendar_year     | yes      | 2025-12-31 90,000 2026-04-01 90,000              | 0          | 0 | 0     | below   |
| 100,000 | -     | no   | rolling_12_months | yes      | 2025-04-01 90,000 2025-03-31 90,000              | 90,000     | 1 | 90    | alert   |
| 100,000 | 2     | no   | calendar_year     | yes      | 2026-01-05 10 2026-01-06 10                      | 20         | 2 | 100   | crossed |
| 500,000 | 2     | yes  | calendar_year     | yes      | 2026-01-05 10 2026-01-06 10                      | 20         | 2 | 0.004 | below   |
| 500,000 | 2     | yes  | calendar_year     | yes      | 2026-01-05 400,000 2026-01-06 10                 | 400,010    | 2 | 80.002 | alert  |
| -       | 4     | no   | calendar_year     | yes      | 2026-01-05 9 2026-01-06 9 2026-02-01 -9          | 9          | 2 | 50    | below   |
| 100,000 | -     | no   | calendar_year     | yes      | 2026-01-05 100,000 2026-02-05 -30,000            | 70,000     | 1 | 70    | below   |
| 100,000 | -     | no   | calendar_year     | no       | 2026-01-05 100,000                               | 0          | 0 | 0     | below   |
""")


def sales(text: str) -> list[Sale]:
    words = text.split()
    return [Sale("US01", "TX", day(words[n]), number(words[n + 1])) for n in range(0, len(words), 2)]


@pytest.mark.parametrize(
    "row", STANDINGS, ids=lambda row: f"{row['amount']}/{row['count']} {row['window']}: {row['sales']}"
)
def test_how_near_a_threshold_is(row: dict[str, str]) -> None:
    window: Any = row["window"]
    amount, count = (None if row[c] == "-" else number(row[c]) for c in ("amount", "count"))
    threshold = Threshold(
        "TX", amount, int(count) if count else None, row["both"] == "yes", window, row["services"] == "yes"
    )
    (found,) = standings(sales(row["sales"]), [threshold], ON)
    assert (found.amount, found.count) == (number(row["reached"]), int(row["sales counted"]))
    assert (found.percent, found.level) == (number(row["percent"]), row["level"])


def test_entities_and_states_are_kept_apart_and_the_nearest_comes_first() -> None:
    thresholds = [Threshold("TX", Decimal(100)), Threshold("NY", Decimal(50)), Threshold("CA", Decimal(1))]
    sold = [
        Sale("US01", "TX", ON, Decimal(40)),
        Sale("US02", "TX", ON, Decimal(95)),
        Sale("US01", "NY", ON, Decimal(50)),
        Sale("US01", "WA", ON, Decimal(999)),
    ]
    found = [(s.entity, s.threshold.state, s.level) for s in standings(sold, thresholds, ON)]
    assert found == [("US01", "NY", "crossed"), ("US02", "TX", "alert"), ("US01", "TX", "below")]


@given(st.dates(date(2020, 1, 1), date(2032, 12, 31)))
def test_a_window_is_a_year_or_the_year_so_far(on: date) -> None:
    rolling = window_start(Threshold("TX", None, window="rolling_12_months"), on)
    assert (on - rolling).days + 1 in (365, 366, 367)
    assert (rolling - timedelta(days=1)).month == on.month
    assert window_start(Threshold("TX", None), on) == date(on.year, 1, 1)
