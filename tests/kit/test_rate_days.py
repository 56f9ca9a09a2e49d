"""A contract's rates as a card by day: what each day holds, and what no card can hold."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from isthmus.domain.errors import BadInput, RemoteRefusal
from isthmus.domain.objects import Rate
from isthmus.kit.rate_days import role_rates_by_day

MARCH, JULY, AUGUST = date(2026, 3, 1), date(2026, 7, 1), date(2026, 8, 1)


def rate(role: str, price: str, start: date, end: date | None = None, **more: Any) -> Rate:
    return Rate(role=role, bill_rate=Decimal(price), effective_from=start, effective_to=end, **more)


def test_every_day_on_which_a_rate_changes_has_the_rates_of_all_roles() -> None:
    rates = [rate("A", "260", JULY, AUGUST), rate("A", "250.50", MARCH, JULY), rate("B", "180", MARCH)]
    held = role_rates_by_day(rates, "USD", {"B": "Consultant"})
    assert list(held) == ["2026-03-01", "2026-07-01", "2026-08-01"]
    assert held["2026-03-01"] == {"A": 25050, "Consultant": 18000}
    assert held["2026-07-01"] == {"A": 26000, "Consultant": 18000}
    assert held["2026-08-01"] == {"Consultant": 18000}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([], "without rates"),
        ([rate("A", "1", MARCH, person="x")], "by role"),
        ([rate("A", "1", MARCH, unit="day")], "by day"),
        ([rate("A", "1", MARCH), rate("A", "2", MARCH)], "two rates"),
        ([rate("A", "1.005", MARCH)], "finer"),
    ],
)
def test_rates_that_a_card_cannot_hold_are_named(wrong: list[Rate], said: str) -> None:
    with pytest.raises(RemoteRefusal if wrong else BadInput, match=said):
        role_rates_by_day(wrong, "USD", {})
