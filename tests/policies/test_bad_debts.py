"""The tax within a bad debt: from which day on it is had back, and how much of it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.policies.bad_debts import relief_from, tax_within
from tests.policies.tables import rows

DAYS = rows("""
| due        | supplied   | months | from       | why                                          |
| 2026-01-31 | 2026-01-01 | 6      | 2026-07-31 | six months after the due date                |
| 2025-08-31 | 2025-08-01 | 6      | 2026-02-28 | the last day of a shorter month              |
| 2027-08-31 | 2027-08-01 | 6      | 2028-02-29 | a leap year                                  |
| 2026-01-15 | 2026-02-10 | 6      | 2026-08-10 | after the supply, where that is later        |
| 2026-01-31 | 2026-01-01 | 0      | 2026-01-31 | at once when it is due                       |
| 2026-11-30 | 2026-11-01 | 12     | 2027-11-30 | a year                                       |
""")

# An invoice of 1,000.00 and 200.00 VAT at 20 %; one of 100.01 and 21.00 at 21 %; yen have no cents.
SHARES = rows("""
| total   | tax    | currency | given up one after the other | tax within each     |
| 1200.00 | 200.00 | GBP      | 1200.00                      | 200.00              |
| 1200.00 | 200.00 | GBP      | 600.00, 600.00               | 100.00, 100.00      |
| 1200.00 | 200.00 | GBP      | 500.00                       | 83.33               |
| 1200.00 | 200.00 | GBP      | 400.00, 400.00, 400.00       | 66.67, 66.66, 66.67 |
| 121.01  | 21.00  | EUR      | 0.03, 0.03                   | 0.01, 0.00          |
| 110     | 10     | JPY      | 55, 55                       | 5, 5                |
| 1000.00 | 0.00   | EUR      | 1000.00                      | 0.00                |
""")


@pytest.mark.parametrize("row", DAYS, ids=lambda row: row["why"])
def test_the_first_day_on_which_tax_is_had_back(row: dict[str, str]) -> None:
    day = {name: date.fromisoformat(row[name]) for name in ("due", "supplied", "from")}
    assert relief_from(day["due"], day["supplied"], int(row["months"])) == day["from"]


@pytest.mark.parametrize("row", SHARES, ids=lambda row: f"{row['given up one after the other']} of {row['total']}")
def test_the_tax_within_what_is_given_up(row: dict[str, str]) -> None:
    amounts = [Decimal(text) for text in row["given up one after the other"].split(",")]
    assert shares(amounts, Decimal(row["total"]), Decimal(row["tax"]), row["currency"]) == [
        Decimal(text) for text in row["tax within each"].split(",")
    ]


def shares(amounts: list[Decimal], total: Decimal, tax: Decimal, currency: str) -> list[Decimal]:
    found: list[Decimal] = []
    for n, amount in enumerate(amounts):
        had = (sum(amounts[:n], Decimal(0)), sum(found, Decimal(0)))
        found.append(tax_within(amount, total, tax, currency, had))
    return found


@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=8), st.integers(0, 10**6))
def test_all_that_is_given_up_has_the_tax_of_the_invoice(cents: list[int], tax: int) -> None:
    amounts = [Decimal(n) / 100 for n in cents]
    total, owed = sum(amounts, Decimal(0)), Decimal(tax) / 100
    assert sum(shares(amounts, total, owed, "EUR")) == owed
