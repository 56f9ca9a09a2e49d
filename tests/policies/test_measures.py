"""The figures of a firm, as a controller would check them by hand."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from isthmus.policies import measures
from tests.policies.tables import number, rows

UTILISATION = rows("""
| about                            | hours | available | percent |
| published (K01)                  | 30    | 40        | 75      |
| a week with a holiday            | 24    | 32        | 75      |
| more than there was              | 44    | 40        | 110     |
| a third                          | 13.33 | 40        | 33.33   |
| half a hundredth goes up         | 0.05  | 80        | 0.06    |
""")


@pytest.mark.parametrize("row", UTILISATION, ids=lambda row: row["about"])
def test_utilisation(row: dict[str, str]) -> None:
    assert measures.utilisation(number(row["hours"]), number(row["available"])) == number(row["percent"])


OUTSTANDING = rows("""
| about                        | receivables | billed    | days | disputed | dso    |
| published (K02)              | 18,000.00   | 20,000.00 | 30   | -        | 27     |
| a quarter                    | 126,390.00  | 95,000.00 | 90   | -        | 119.74 |
| without what is contested    | 126,390.00  | 95,000.00 | 90   | 18,150.00| 102.54 |
""")


@pytest.mark.parametrize("row", OUTSTANDING, ids=lambda row: row["about"])
def test_days_sales_outstanding(row: dict[str, str]) -> None:
    facts = number(row["receivables"]), number(row["billed"]), int(row["days"]), number(row["disputed"])
    assert measures.days_sales_outstanding(*facts) == number(row["dso"])


def test_days_counted_back_take_the_latest_month_off_first() -> None:
    months = [(31, Decimal(40000)), (28, Decimal(30000)), (31, Decimal(50000))]
    assert measures.days_count_back(Decimal(45000), months) == Decimal("35.67")  # 31, and 5,000 of 30,000 of 28 days
    assert measures.days_count_back(Decimal(0), months) == Decimal("0.00")
    assert measures.days_count_back(Decimal(200000), months) is None


def test_a_figure_of_nothing_is_none_and_never_zero() -> None:
    nothing = Decimal(0)
    assert measures.utilisation(Decimal(8), nothing) is None
    assert measures.days_sales_outstanding(Decimal(8), nothing, 30) is None
    assert measures.dispute_rate(0, 0) is None and measures.first_pass(0, 0) is None
    assert measures.effective_rate(Decimal(100), nothing) is None and measures.margin(nothing) is None
    assert measures.realisation(nothing, nothing, nothing, nothing, nothing) == measures.Realisation(None, None, None)
    assert measures.lock_up(None, Decimal(30)) is None and measures.time_to_bill([]) is None
    assert measures.leakage(nothing, nothing) == (nothing, None)


def test_what_is_lost_between_two_systems() -> None:
    """SC-18: 812 entries of 148,350.00 were approved, 806 came in; all of those are accounted for."""
    assert measures.leakage(Decimal("148350.00"), Decimal("147150.00")) == (Decimal("1200.00"), Decimal("0.81"))


def test_one_of_four_invoices_was_contested_and_three_passed_at_once() -> None:
    """SC-08."""
    assert measures.dispute_rate(1, 4) == Decimal("25.00") and measures.first_pass(4, 1) == Decimal("75.00")


def test_realisation_is_worked_out_in_one_step() -> None:
    """10,000.00 at the rack rate, 9,000.00 invoiced, 300.00 conceded, 8,000.00 paid."""
    found = measures.realisation(*map(Decimal, ("10000", "9000", "300", "300", "8000")))
    assert (found.billing, found.collection) == (Decimal("87.00"), Decimal("91.95"))
    assert found.overall == Decimal("80.00")  # the product of the rounded ones would be 79.9965


def test_rate_margin_and_days_of_unbilled_work() -> None:
    assert measures.effective_rate(Decimal(10000), Decimal("64.5")) == Decimal("155.04")
    assert measures.margin(Decimal(10000), Decimal(6200), Decimal(300)) == Decimal("35.00")
    assert measures.unbilled_days(Decimal(26650), Decimal(120000)) == Decimal("19.99")
    assert measures.lock_up(Decimal("19.99"), Decimal("27.00")) == Decimal("46.99")
    assert measures.accuracy(Decimal(74), Decimal(75)) == Decimal("98.67")
    assert measures.accuracy(Decimal(200), Decimal(75)) == Decimal("0.00")


def test_time_to_bill_weighs_days_by_money() -> None:
    """SC-04's late approval of 9 February counts from that day."""
    parts = [
        (date(2026, 2, 9), date(2026, 2, 11), Decimal("1200.00")),
        (date(2026, 2, 1), date(2026, 2, 11), Decimal("300.00")),
    ]
    assert measures.time_to_bill(parts) == measures.TimeToBill(Decimal("3.60"), 2, 10)
