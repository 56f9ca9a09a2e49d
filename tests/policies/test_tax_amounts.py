"""Tax by line and by category, on its lines and in the totals of the document."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import BadAmount, BadInput
from isthmus.domain.money import allocate_exact, minor_unit, round_half_away
from isthmus.domain.objects import TaxCategory
from isthmus.policies.tax_amounts import Taxable, totals, work_out
from tests.policies.tables import number, rows

ZERO = Decimal(0)

# nets @ rates: every line is taxed by each of the rates.
TAXES = rows("""
| what                                  | nets              | rates       | currency | by line | by category | category on its lines |
| two jurisdictions (T01)               | 40.80 1.98 14.99  | 0.065 0.025 | USD      | 5.19    | 5.20        | 3.67 0.18 1.35        |
| one category                          | 100.00            | 0.08        | USD      | 8.00    | 8.00        | 8.00                  |
| a half cent each                      | 0.05 0.05 0.05    | 0.10        | USD      | 0.03    | 0.02        | 0.01 0.01 0.00        |
| a credit of it                        | -0.05 -0.05 -0.05 | 0.10        | USD      | -0.03   | -0.02       | -0.01 -0.01 0.00      |
| a deposit drawn                       | 1000.00 -999.99   | 0.21        | EUR      | 0.00    | 0.00        | 210.00 -210.00        |
| yen                                   | 333 334           | 0.10        | JPY      | 66      | 67          | 33 34                 |
| nothing                               | 0.00              | 0.21        | EUR      | 0.00    | 0.00        | 0.00                  |
""")  # noqa: E501


def taxable(row: dict[str, str]) -> list[Taxable]:
    return [
        Taxable(no, number(net), "S", Decimal(rate))
        for no, net in enumerate(row["nets"].split(), start=1)
        for rate in row["rates"].split()
    ]


@pytest.mark.parametrize("row", TAXES, ids=lambda row: row["what"])
def test_tax_by_line_and_by_category(row: dict[str, str]) -> None:
    by_line = work_out(taxable(row), row["currency"], "line")
    by_category = work_out(taxable(row), row["currency"], "category")
    assert (by_line.tax, by_category.tax) == (number(row["by line"]), number(row["by category"]))
    assert list(by_category.line_taxes.values()) == [number(tax) for tax in row["category on its lines"].split()]
    assert {c.code for c in by_category.breakdown} == {"S"}
    assert [c.rate for c in by_category.breakdown] == sorted(Decimal(rate) for rate in row["rates"].split())


def test_half_cents_go_away_from_zero_in_both() -> None:
    """Published case T02: 45.30 at 5 % and 33.45 at 10 %; half-even would be 5.60."""
    lines = [Taxable(1, Decimal("45.30"), "S", Decimal("0.05")), Taxable(2, Decimal("33.45"), "S", Decimal("0.10"))]
    for rounding in ("line", "category"):
        chosen: Any = rounding
        assert work_out(lines, "USD", chosen).tax == Decimal("5.62")


def test_categories_are_kept_apart_and_untaxed_ones_say_why() -> None:
    lines = [
        Taxable(1, Decimal("10.00"), "S", Decimal("0.21")),
        Taxable(2, Decimal("5.00"), "E", ZERO, "certificate 7"),
        Taxable(3, Decimal("20.00"), "S", Decimal("0.09")),
        Taxable(4, Decimal("1.00"), "E", ZERO),
    ]
    found = work_out(lines, "EUR", "category")
    assert [(c.code, c.rate, c.taxable, c.tax, c.reason) for c in found.breakdown] == [
        ("E", ZERO, Decimal("6.00"), ZERO, "certificate 7"),
        ("S", Decimal("0.09"), Decimal("20.00"), Decimal("1.80"), ""),
        ("S", Decimal("0.21"), Decimal("10.00"), Decimal("2.10"), ""),
    ]
    assert (found.tax, dict(found.line_taxes)) == (
        Decimal("3.90"),
        {1: Decimal("2.10"), 2: ZERO, 3: Decimal("1.80"), 4: ZERO},
    )


def test_a_total_that_no_rounding_explains_is_refused() -> None:
    with pytest.raises(BadAmount, match="is not the rounded sum of"):
        allocate_exact(Decimal("0.02"), [Decimal("0.005"), Decimal("0.004")], "EUR")
    with pytest.raises(BadAmount):
        allocate_exact(Decimal("0.005"), [Decimal("0.005")], "EUR")


def test_the_totals_of_a_document() -> None:
    breakdown = [
        TaxCategory(code="S", rate=Decimal("0.21"), taxable=Decimal("95.00"), tax=Decimal("19.95")),
        TaxCategory(code="E", rate=ZERO, taxable=Decimal("10.00"), tax=ZERO),
    ]
    found = totals(
        [Decimal("100.00"), Decimal("10.00")],
        breakdown,
        "EUR",
        allowances=[Decimal("10.00")],
        charges=[Decimal("5.00")],
        paid=Decimal("24.96"),
        rounding=Decimal("0.01"),
    )
    named = (found.lines, found.net, found.tax, found.gross, found.due)
    assert named == tuple(Decimal(a) for a in ("110.00", "105.00", "19.95", "124.95", "100.00"))


@pytest.mark.parametrize(
    ("taxable_", "tax", "message"),
    [("99.99", "21.00", "breakdown is of 99.99"), ("100.00", "21.005", "no amount of EUR")],
)
def test_totals_that_do_not_go_together_are_refused(taxable_: str, tax: str, message: str) -> None:
    category = TaxCategory(code="S", rate=Decimal("0.21"), taxable=Decimal(taxable_), tax=Decimal(tax))
    with pytest.raises(BadInput, match=message):
        totals([Decimal("100.00")], [category], "EUR")


cents = st.integers(-(10**8), 10**8).map(lambda n: Decimal(n) / 100)
tax_rates = st.sampled_from(["0", "0.05", "0.08875", "0.09", "0.19", "0.21", "0.25"]).map(Decimal)
document = st.lists(st.tuples(cents, tax_rates), min_size=1, max_size=12).map(
    lambda pairs: [Taxable(n, net, "S" if rate else "Z", rate) for n, (net, rate) in enumerate(pairs, start=1)]
)


@given(document, st.lists(cents, max_size=3), cents, st.sampled_from(["line", "category"]))
def test_en_16931_totals_of_any_document(
    lines: list[Taxable], off: list[Decimal], paid: Decimal, rounding: Any
) -> None:
    """BR-CO-10 to BR-CO-17; allowances are taxed like a line of their own with the sign turned."""
    allowances = [Taxable(100 + n, -amount, "S", Decimal("0.21")) for n, amount in enumerate(off)]
    taxed = work_out([*lines, *allowances], "EUR", rounding)
    nets = [line.net for line in lines]
    found = totals(nets, taxed.breakdown, "EUR", allowances=off, paid=paid)
    assert found.lines == sum(nets, ZERO)  # BR-CO-10
    assert found.allowances == sum(off, ZERO)  # BR-CO-11
    assert found.net == found.lines - found.allowances + found.charges  # BR-CO-13
    assert found.tax == sum((c.tax for c in taxed.breakdown), ZERO)  # BR-CO-14
    assert found.gross == found.net + found.tax  # BR-CO-15
    assert found.due == found.gross - paid  # BR-CO-16
    for category in taxed.breakdown:  # BR-CO-17
        once = round_half_away(category.taxable * category.rate, "EUR")
        off_by = abs(category.tax - once)
        assert off_by == 0 if rounding == "category" else off_by <= minor_unit("EUR") * (len(lines) + len(off))
    assert sum(taxed.line_taxes.values(), ZERO) == taxed.tax == found.tax


@given(document)
def test_category_tax_on_its_lines_is_fair_and_mirrors_its_sign(lines: Sequence[Taxable]) -> None:
    taxed = work_out(lines, "EUR", "category")
    for line in lines:
        assert abs(taxed.line_taxes[line.number] - line.net * line.rate) < Decimal("0.01")
    credit = [Taxable(line.number, -line.net, line.code, line.rate) for line in lines]
    turned = work_out(credit, "EUR", "category").line_taxes
    assert turned == {number_: -tax for number_, tax in taxed.line_taxes.items()}
