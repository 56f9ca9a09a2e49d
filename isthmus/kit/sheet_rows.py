"""Workbooks (XLSX) as the same rows that a CSV file gives, so that one reader serves both.

A cell becomes the text a person would read: dates as year-month-day, whole numbers without a point. A number in a money
format with cents is what the cell *shows* (98.740554 in a $0.00 format is 98.74: that is the price people agreed on);
any other number is what it holds, to the 15 digits a spreadsheet keeps. A formula without a result and an error value
refuse the workbook: neither is nothing.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from isthmus.domain.errors import BadInput
from isthmus.domain.money import round_shown
from isthmus.kit.csv_rows import MAX_BYTES, Row, rows_of

ZIP = b"PK\x03\x04"
UNPACKED_BYTES_MAX = 100 * 1024 * 1024
ROWS_MAX, COLUMNS_MAX, CELLS_MAX = 200_000, 200, 3_000_000
CHUNK_BYTES = 1 << 20
DIGITS_OF_A_SPREADSHEET, CENTS = 15, 2

_TAG = re.compile(rb"<(?:[\w.-]+:)?(row|c)[\s/>]")
_MONEY = re.compile(r"[$€£¥]|\[\$")
_DECIMALS = re.compile(r"[0#?]\.([0#?]+)")


def is_workbook(content: bytes) -> bool:
    """True for bytes that begin like a zip archive, which an XLSX file is."""
    return content.startswith(ZIP)


def rows_of_file(content: bytes, source: str, sheet: str = "") -> list[Row]:
    """The rows of a CSV file or of one sheet of a workbook. sheet: by name; the first one when there is only one."""
    return rows_of_sheet(content, source, sheet) if is_workbook(content) else rows_of(content, source)


def rows_of_sheet(content: bytes, source: str, sheet: str = "") -> list[Row]:
    """All rows of a sheet that hold anything, with their row numbers. BadInput when it cannot be trusted whole."""
    shown, formulas = _sheet(content, source, sheet, values=True), _sheet(content, source, sheet, values=False)
    where = f"{source}: sheet {shown.title}"
    if shown.max_row > ROWS_MAX or shown.max_column > COLUMNS_MAX:
        raise BadInput(
            f"{where} has {shown.max_row:,} rows and {shown.max_column:,} columns; at most {ROWS_MAX:,} and"
            f" {COLUMNS_MAX} are read, split it or delete what is beside the table"
        )
    _no_open_formula(shown, formulas, where)
    rows = []
    for number, cells in enumerate(shown.iter_rows(), start=1):
        texts = tuple(_text(cell, where) for cell in cells)
        if any(texts):
            rows.append(Row(number, _without_end(texts)))
    if not rows:
        raise BadInput(f"{where} is empty; name another one")
    # A sheet does not say where a row ends: blank cells up to the width of its widest row are no missing ones.
    width = max(len(row.cells) for row in rows)
    return [Row(row.line, row.cells + ("",) * (width - len(row.cells))) for row in rows]


def _sheet(content: bytes, source: str, sheet: str, *, values: bool) -> Any:
    book = _book(content, source, values)
    if sheet and sheet not in book.sheetnames:
        raise BadInput(f"{source}: no sheet {sheet!r}; there are: {', '.join(book.sheetnames)}")
    if not sheet and len(book.sheetnames) > 1:
        raise BadInput(f"{source}: name one of its sheets: {', '.join(book.sheetnames)}")
    return book[sheet or book.sheetnames[0]]


def _book(content: bytes, source: str, values: bool) -> Any:
    if len(content) > MAX_BYTES:
        raise BadInput(f"{source}: {len(content):,} bytes; at most {MAX_BYTES:,} are read, split the file")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > UNPACKED_BYTES_MAX:
                raise BadInput(f"{source}: unpacks to {unpacked:,} bytes; at most {UNPACKED_BYTES_MAX:,} are read")
            _refuse_too_many(archive, source)
        with warnings.catch_warnings():
            # openpyxl warns of features it leaves out (validation lists, extensions); none of them is a cell's value.
            warnings.simplefilter("ignore")
            return openpyxl.load_workbook(io.BytesIO(content), data_only=values, keep_links=False)
    except (zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, SyntaxError, EOFError, OSError) as bad:
        raise BadInput(f"{source}: this is no workbook that can be read ({bad}); save it as XLSX again") from None


def _refuse_too_many(archive: zipfile.ZipFile, source: str) -> None:
    """Rows and cells are counted in the text first: to make objects of a million takes minutes and gigabytes."""
    for member in archive.infolist():
        count, before = {b"row": 0, b"c": 0}, b""
        with archive.open(member) as text:
            while chunk := text.read(CHUNK_BYTES):
                held = before + chunk
                end = held.rfind(b"<")  # a tag that is cut in two is counted with the next chunk
                for tag in _TAG.finditer(held, 0, end):
                    count[tag[1]] += 1
                before = held[end:]
                if count[b"row"] > ROWS_MAX or count[b"c"] > CELLS_MAX:
                    told = f"{ROWS_MAX:,} rows and {CELLS_MAX:,} cells"
                    raise BadInput(f"{source}: {member.filename} has more than {told}, which is the most; split it")


def _text(cell: Any, where: str) -> str:
    value = cell.value
    if value is None:
        return ""
    if cell.data_type == "e":
        raise BadInput(f"{where}, {cell.coordinate} holds the error {value}; mend it and save the sheet again")
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return number_shown(value, str(cell.number_format))
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time.min else value.isoformat(sep=" ")
    return value.isoformat() if isinstance(value, date | time) else str(value).strip()


def number_shown(value: float, number_format: str) -> str:
    """The text of a number: as shown for a money format with cents, else as held, to 15 digits without an exponent.

    A money format that shows whole units only hides cents somebody may have typed: there the number is what it holds.
    """
    number = Decimal(f"{value:.{DIGITS_OF_A_SPREADSHEET}g}")
    section = number_format.split(";")[0]
    decimals = _DECIMALS.search(section)
    if _MONEY.search(section) and decimals and len(decimals[1]) >= CENTS:
        return f"{round_shown(number, len(decimals[1])):f}"
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _no_open_formula(shown: Any, formulas: Any, where: str) -> None:
    """A formula that was never calculated looks like a blank cell; one whose result is an empty text is one ("str")."""
    for cells in formulas.iter_rows():
        for cell in cells:
            if cell.data_type == "f":
                result = shown[cell.coordinate]
                if result.value is None and result.data_type != "str":
                    told = f"{cell.coordinate} is a formula without a result"
                    raise BadInput(f"{where}, {told}; open it in a spreadsheet and save it")


def _without_end(texts: tuple[str, ...]) -> tuple[str, ...]:
    end = len(texts)
    while end and not texts[end - 1]:
        end -= 1
    return texts[:end]
