"""Price proposals as workbooks: the forms of GSA schedules, as they are filled in in the real world."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from isthmus.domain.errors import BadInput
from isthmus.kit.price_list import PriceList, rates, require_complete
from isthmus.kit.price_workbook import read_price_workbook
from tests.kit.workbooks import saved

ROOT = Path(__file__).resolve().parents[2]
TERMS: dict[str, Any] = {
    "contract_no": "GS-1",
    "vendor": "Acme",
    "valid_from": date(2026, 1, 1),
    "valid_to": date(2027, 1, 1),
}
MONEY = '"$"#,##0.00'
TITLES = [
    "SIN(s) Proposed",
    "Service Proposed (e.g. Job Title)",
    "Minimum Education / Certification Level",
    "Minimum Years of Experience (cannot be a range)",
    "Unit of Issue (e.g. Hour)",
    "Price Offered to GSA (Excluding IFF)",
    "Price Offered to GSA (including IFF)",
]


def form(*rows: list[Any], titles: list[str] = TITLES, money: str = MONEY) -> bytes:
    """A form with two lines of prose above its titles."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Service Pricing"
    for row in [["Proposal"], ["Read first"], titles, *rows]:
        sheet.append(row)
    for cells in sheet.iter_rows(min_col=6, max_col=7):
        for cell in cells:
            cell.number_format = money
    return saved(book)


def read(content: bytes, **changes: Any) -> PriceList:
    return read_price_workbook(content, "form.xlsx", sheet="Service Pricing", **{**TERMS, **changes})


MANAGER = ["1", "Project  Manager", "High School", 5.0, "Hour", 98, 98.74055415617129]
UNFILLED = [None, None, None, None, None, 0, 0]


def test_a_price_is_the_one_including_the_fee_as_the_sheet_shows_it() -> None:
    found = read(form(MANAGER, UNFILLED))
    (row,) = found.rows
    assert (row.labor_category, row.price, row.years_min, row.education) == (
        "Project Manager",
        Decimal("98.74"),
        5,
        "High School",
    )
    assert (row.line, row.unit, row.currency, row.contract_no, row.vendor) == (4, "hour", "USD", "GS-1", "Acme")
    assert (found.left_out, found.rejected, found.rows_read) == ((5,), (), 2)
    (rate,) = rates(require_complete(found), from_date=date(2026, 3, 1), roles=["Project Manager"])
    assert (rate.bill_rate, rate.effective_to) == (Decimal("98.74"), date(2027, 1, 1))


REFUSED = [
    (["1", "Disposal", None, 0, "Task", 0, 0], ["Unit of Issue", "Price Offered"]),
    (["1", "Writer", None, 2, "Hour", 50, None], ["Price Offered"]),
    (["1", None, None, 2, "Hour", 50, 51], ["Service Proposed"]),
    (["1", "Writer", None, "2 to 4", "Hour", 50, 51], ["Minimum Years"]),
]


@pytest.mark.parametrize(("row", "columns"), REFUSED)
def test_a_row_that_is_no_hourly_price_is_named(row: list[Any], columns: list[str]) -> None:
    found = read(form(MANAGER, row))
    assert [r.labor_category for r in found.rows] == ["Project Manager"]
    assert [(r.line, r.column.startswith(start)) for r, start in zip(found.rejected, columns, strict=True)] == [
        (5, True) for _ in columns
    ]


@pytest.mark.parametrize("shown", [98.74055415617129, 50.125])
def test_part_cents_that_the_sheet_shows_are_refused(shown: float) -> None:
    found = read(form([*MANAGER[:6], shown], money="General"))
    assert "has part cents; format the cell as money" in found.rejected[0].reason


def test_two_prices_for_one_category_are_ambiguous() -> None:
    found = read(form(MANAGER, [*MANAGER[:6], 99.0]))
    assert found.rows == () and [r.line for r in found.rejected] == [4, 5]


def test_other_titles_are_named_by_whoever_reads_the_form() -> None:
    other = form(MANAGER, titles=[*TITLES[:1], "Service Propsoed", *TITLES[2:]])
    with pytest.raises(BadInput, match="missing columns: Service Proposed"):
        read(other)
    assert len(read(other, titles={"labor_category": "Service Propsoed"}).rows) == 1
    with pytest.raises(BadInput, match="no column role; there are: labor_category"):
        read(other, titles={"role": "Service Propsoed"})
    with pytest.raises(BadInput, match="prices from 2026-01-01 that end on 2026-01-01"):
        read(other, valid_to=date(2026, 1, 1))


# The workbooks of the GSA's own price tool (CC0): sheet, titles of its own, rows, prices, rejected rows, first price.
REAL = [
    ("03FAC_example.xlsx", "Service Pricing", {}, 54, 11, [], ("Project Manager", "98.74")),
    ("r10_example.xlsx", "Service Pricing", {}, 57, 1, [3], ("Consultant II", "90.68")),
    ("s70_example.xlsx", "(3)Labor Categories", {}, 14, 1, [23], ("Project Manager", "115.99")),
    (
        "s736_example.xlsx",
        "Professional Market Prce Escala",
        {"price": "PRICED OFFERED TO GSA (includingIFF)*"},
        1,
        1,
        [],
        ("Junior Analyst", "42.82"),
    ),
]


@pytest.mark.parametrize(
    ("name", "sheet", "titles", "read_", "priced", "rejected", "first"), REAL, ids=[r[0] for r in REAL]
)
def test_real_workbooks(
    name: str, sheet: str, titles: dict[str, str], read_: int, priced: int, rejected: list[int], first: tuple[str, str]
) -> None:
    found_at = [p / "shared" / "data" / name for p in ROOT.parents if (p / "shared" / "data" / name).exists()]
    if not found_at:
        pytest.skip(f"the workbook {name} is not beside this repository: not checked against it")
    found = read_price_workbook(found_at[0].read_bytes(), name, sheet=sheet, titles=titles, **TERMS)
    assert (found.rows_read, len(found.rows)) == (read_, priced)
    assert sorted({rejection.line for rejection in found.rejected}) == rejected
    assert len(found.rows) + len(rejected) + len(found.left_out) == found.rows_read
    assert (found.rows[0].labor_category, found.rows[0].price) == (first[0], Decimal(first[1]))
