"""Workbooks for tests, made in memory."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any

import openpyxl


def workbook(rows: Iterable[Sequence[Any]], title: str = "Sheet1", more: Sequence[str] = ()) -> bytes:
    """An XLSX file of one sheet with these rows, and empty sheets of more names."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = title
    for row in rows:
        sheet.append(list(row))
    for name in more:
        book.create_sheet(name)
    return saved(book)


def saved(book: openpyxl.Workbook) -> bytes:
    """The bytes of a workbook."""
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def as_workbook(csv_text: str) -> bytes:
    """Lines of plain cells (no quotes) as a workbook of texts."""
    return workbook(line.split(",") for line in csv_text.splitlines())
