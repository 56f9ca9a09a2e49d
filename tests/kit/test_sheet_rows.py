"""Workbooks give the same rows as CSV files, and refuse what is not a value."""

from __future__ import annotations

import io
import re
import zipfile
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import BadInput
from isthmus.kit.csv_rows import Row
from isthmus.kit.sheet_rows import number_shown, rows_of_file, rows_of_sheet
from tests.kit.workbooks import saved, workbook

ACCOUNTING = '_("$"* #,##0.00_);_("$"* \\(#,##0.00\\);_("$"* "-"??_);_(@_)'


def test_a_workbook_and_a_csv_file_give_the_same_rows() -> None:
    cells = [["role", "rate"], ["Architect", "150"], ["", ""], ["Writer", ""]]
    sheet = rows_of_file(workbook(cells), "card.xlsx")
    text = rows_of_file("\n".join(",".join(row) for row in cells).encode(), "card.csv")
    assert sheet == text == [Row(1, ("role", "rate")), Row(2, ("Architect", "150")), Row(4, ("Writer", ""))]


@pytest.mark.parametrize(
    ("value", "number_format", "text"),
    [
        (98.74055415617129, ACCOUNTING, "98.74"),
        (85.904282, '"$"#,##0.00_);[Red]\\("$"#,##0.00\\)', "85.90"),
        (0.125, "[$€-407] #,##0.00", "0.13"),
        (-0.125, "$0.00", "-0.13"),
        (1234.5, "$#,##0", "1234.5"),
        (1234.56, "$#,##0.0", "1234.56"),
        (1.2345, "0.00", "1.2345"),
        (122.00999999999999, "General", "122.01"),
        (7.5, "0", "7.5"),
        (7.25, "0.0", "7.25"),
        (5.0, "General", "5"),
        (1e-7, "General", "0.0000001"),
        (1e15, "General", "1000000000000000"),
        (1200, "General", "1200"),
        (0.1 + 0.2, "General", "0.3"),
    ],
)
def test_a_price_is_what_the_sheet_shows_and_any_other_number_what_it_holds(
    value: float, number_format: str, text: str
) -> None:
    assert number_shown(value, number_format) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (date(2026, 3, 9), "2026-03-09"),
        (datetime(2026, 3, 9), "2026-03-09"),
        (datetime(2026, 3, 9, 17, 30), "2026-03-09 17:30:00"),
        (True, "TRUE"),
        (" padded ", "padded"),
        (42, "42"),
    ],
)
def test_a_cell_is_the_text_a_person_would_read(value: Any, text: str) -> None:
    assert rows_of_sheet(workbook([["title"], [value]]), "x.xlsx")[1].cells == (text,)


def test_a_sheet_is_chosen_by_name_when_there_is_more_than_one() -> None:
    two = workbook([["a"]], title="Prices", more=["Notes"])
    assert rows_of_sheet(two, "x.xlsx", "Prices") == [Row(1, ("a",))]
    with pytest.raises(BadInput, match=r"x.xlsx: name one of its sheets: Prices, Notes"):
        rows_of_sheet(two, "x.xlsx")
    with pytest.raises(BadInput, match=r"no sheet 'prices'; there are: Prices, Notes"):
        rows_of_sheet(two, "x.xlsx", "prices")
    with pytest.raises(BadInput, match="sheet Notes is empty"):
        rows_of_sheet(two, "x.xlsx", "Notes")


def with_formula(shown: str) -> bytes:
    """A workbook whose cell A2 is a formula, with this XML for its result."""
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active["A1"], book.active["A2"] = "title", "=1+1"
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(book))) as before, zipfile.ZipFile(out, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if name == "xl/worksheets/sheet1.xml":
                content = re.sub(rb'<c r="A2"[^>]*>.*?</c>', shown.encode(), content)
            after.writestr(name, content)
    return out.getvalue()


def test_a_formula_is_its_result_and_one_without_is_refused() -> None:
    assert rows_of_sheet(with_formula('<c r="A2"><f>1+1</f><v>2</v></c>'), "x.xlsx")[1] == Row(2, ("2",))
    # A result that is an empty text is a blank cell.
    assert rows_of_sheet(with_formula('<c r="A2" t="str"><f>T(1)</f><v></v></c>'), "x.xlsx") == [Row(1, ("title",))]
    with pytest.raises(BadInput, match="A2 is a formula without a result"):
        rows_of_sheet(with_formula('<c r="A2"><f>1+1</f><v></v></c>'), "x.xlsx")
    with pytest.raises(BadInput, match="A2 holds the error #REF!"):
        rows_of_sheet(with_formula('<c r="A2" t="e"><f>B9</f><v>#REF!</v></c>'), "x.xlsx")


def test_a_sheet_that_is_too_wide_or_no_workbook_is_refused() -> None:
    with pytest.raises(BadInput, match=r"201 columns; at most 200,000 and 200 are read"):
        rows_of_sheet(workbook([["x"] * 201]), "x.xlsx")
    for content in (b"PK\x03\x04rest", workbook([["a"]])[:-40]):
        with pytest.raises(BadInput, match=r"x.xlsx: this is no workbook that can be read"):
            rows_of_file(content, "x.xlsx")
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("readme.txt", "no sheet in here")
    with pytest.raises(BadInput, match="this is no workbook"):
        rows_of_file(other.getvalue(), "x.xlsx")


def test_what_unpacks_to_more_than_a_file_may_hold_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b" " * (101 * 1024 * 1024))
    with pytest.raises(BadInput, match="unpacks to 105,906,176 bytes"):
        rows_of_file(out.getvalue(), "bomb.xlsx")


@given(st.decimals(-(10**9), 10**9, places=4))
def test_a_number_survives_a_workbook_to_the_last_decimal(number: Decimal) -> None:
    assert Decimal(number_shown(float(number), "General")) == number


def _with_sheet(rows: str) -> bytes:
    """A workbook whose sheet has this text between its rows' tags."""
    made, out = zipfile.ZipFile(io.BytesIO(workbook([["a"]]))), io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in made.infolist():
            text = made.read(member).decode() if "sheet1" in member.filename else made.read(member)
            if isinstance(text, str):
                text = re.sub("<sheetData>.*</sheetData>", f"<sheetData>{rows}</sheetData>", text, flags=re.DOTALL)
            archive.writestr(member.filename, text)
    return out.getvalue()


@pytest.mark.parametrize(
    "rows", ["<row/>" * 200_001, '<row r="1">' + "<c/>" * 3_000_001 + "</row>"], ids=["rows", "cells"]
)
def test_rows_and_cells_are_counted_before_any_is_made(rows: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openpyxl, "load_workbook", lambda *a, **k: pytest.fail("objects were made of it"))
    with pytest.raises(BadInput, match="more than 200,000 rows and 3,000,000 cells"):
        rows_of_sheet(_with_sheet(rows), "bomb.xlsx")
