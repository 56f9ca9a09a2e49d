"""SuiteQL: a SELECT over the account's tables, with the vendor's dialect turned into the database's.

Modelled: TO_DATE, TO_TIMESTAMP, TO_CHAR, NVL, BUILTIN.DF, SYSDATE, TOP and FETCH FIRST; no LIMIT clause, as in the
vendor's dialect. Every value comes back as text, dates in the account's month-first format and without their time.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from isthmus.sandbox.netsuite.ledger import Ledger
from isthmus.sandbox.netsuite.shapes import Refusal
from isthmus.sandbox.netsuite.tables import DATE_MARK, Tables, date_value

MAX_ROWS = 100_000
_LITERAL = re.compile(r"('(?:[^']|'')*')")
_COMPARED = r"\b(\w+)(\s*)(<=|>=|<>|!=|=|<|>)\s*'(\d[^']*)'"
_LABEL = re.compile(r"BUILTIN\.DF\(\s*((?:\w+\.)?)(\w+)\s*\)", re.IGNORECASE)
_FETCH = re.compile(r"(?:OFFSET\s+(\d+)\s+ROWS?\s+)?FETCH\s+(?:FIRST|NEXT)\s+(\d+)\s+ROWS?\s+ONLY\s*$", re.IGNORECASE)
_TOP = re.compile(r"^\s*SELECT\s+TOP\s+(\d+)\s", re.IGNORECASE)
_DATE_PARTS = {
    "YYYY": "%Y",
    "MM": "%m",
    "DD": "%d",
    "HH24": "%H",
    "HH": "%I",
    "MI": "%M",
    "SS": "%S",
    "AM": "%p",
    "PM": "%p",
}
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}


class SuiteQL:
    """Runs queries of one account. now gives SYSDATE."""

    def __init__(self, ledger: Ledger, now: Callable[[], datetime]) -> None:
        self.ledger = ledger
        self.now = now
        self.tables = Tables()
        self._register(self.tables.db)

    def run(self, text: str, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
        """(rows of the page, rows in all)."""
        tables = self._current()
        statement = _translate(text, tables)
        tables.db.set_authorizer(_read_only)
        try:
            return _page(tables.db.execute(statement), limit, offset, bool(_LABEL.search(text)))
        except (sqlite3.Error, ValueError) as error:
            raise _invalid(str(error)) from None
        finally:
            tables.db.set_authorizer(None)

    def _current(self) -> Tables:
        if not self.ledger.hidden_writes:
            self.tables.follow(self.ledger)
            return self.tables
        stale = Tables()
        self._register(stale.db)
        stale.load(self.ledger)
        return stale

    def _register(self, db: sqlite3.Connection) -> None:
        db.create_function("to_date", -1, _to_date, deterministic=True)
        db.create_function("to_timestamp", -1, _to_date, deterministic=True)
        db.create_function("to_char", -1, _to_char, deterministic=True)
        db.create_function("nvl", 2, lambda value, other: other if value is None else value)
        db.create_function("sysdate", 0, lambda: date_value(self.now().isoformat(timespec="seconds")[:19]))


def _read_only(action: int, name: str | None, *_: str | None) -> int:
    hidden = action == sqlite3.SQLITE_READ and (name or "").startswith("sqlite_")
    return sqlite3.SQLITE_OK if action in _ALLOWED and not hidden else sqlite3.SQLITE_DENY


def _translate(text: str, tables: Tables) -> str:
    """The vendor's dialect in the database's words."""
    stripped = text.strip().rstrip(";")
    if not re.match(r"(?i)(select|with)\b", stripped):
        raise _invalid("only SELECT statements are supported")
    stripped = _compare_dates(stripped, tables.date_columns())
    tail = ""
    if found := _FETCH.search(stripped):
        tail = f" LIMIT {found[2]} OFFSET {found[1] or 0}"
        stripped = stripped[: found.start()]
    elif found := _TOP.match(stripped):
        tail = f" LIMIT {found[1]}"
        stripped = "SELECT " + stripped[found.end() :]
    parts = _LITERAL.split(stripped)
    return "".join(p if p.startswith("'") else _translate_code(p, tables) for p in parts) + tail


def _translate_code(code: str, tables: Tables) -> str:
    if re.search(r"(?i)\blimit\s+\d", code):
        raise _invalid("LIMIT is not part of the language; use the limit parameter or FETCH FIRST")
    # The inner names of the label columns must stay out of reach of queries.
    if "__df" in code.lower():
        raise _invalid("unknown identifier")
    code = _LABEL.sub(lambda m: m[1] + m[2] + ("__df" if tables.has_label(m[2]) else ""), code)
    code = re.sub(r"(?i)\bsysdate\b", "sysdate()", code)
    return re.sub(r'(?i)(?<!")\btransaction\b(?!")', '"transaction"', code)


def _compare_dates(text: str, date_columns: set[str]) -> str:
    """A date column compared with text: month-first text is converted, ISO text is refused as the vendor does."""

    def convert(found: re.Match[str]) -> str:
        if found[1].lower() not in date_columns:
            return found[0]
        if not re.fullmatch(r"\d{1,2}/\d{1,2}/\d{4}", found[4]):
            raise _invalid(f"{found[4]} is not a date in the format of the account; use TO_DATE")
        return f"{found[1]} {found[3]} TO_DATE('{found[4]}', 'MM/DD/YYYY')"

    return re.sub(_COMPARED, convert, text)


def _page(cursor: sqlite3.Cursor, limit: int, offset: int, labels: bool) -> tuple[list[dict[str, Any]], int]:
    """Rows of one page. labels is False when the query asked for none: SELECT * must not show them."""
    names = [_column_name(column[0], n, labels) for n, column in enumerate(cursor.description, start=1)]
    rows: list[dict[str, Any]] = []
    total = 0
    for row in cursor:
        if offset <= total < offset + limit:
            shown = {name: _text(value) for name, value in zip(names, row, strict=True) if name and value is not None}
            rows.append({"links": [], **shown})
        total += 1
        if total >= MAX_ROWS:
            break
    return rows, total


def _column_name(name: str, number: int, labels: bool) -> str | None:
    if name.lower().endswith("__df"):
        return f"expr{number}" if labels else None
    return name.lower() if re.fullmatch(r"\w+", name) else f"expr{number}"


def _text(value: Any) -> str:
    if isinstance(value, float):
        rounded = Decimal(repr(round(value, 8)))
        return format(rounded.normalize() if rounded % 1 else rounded.to_integral_value(), "f")
    if isinstance(value, str) and value.startswith(DATE_MARK):
        moment = datetime.fromisoformat(value[1:])
        return f"{moment.month}/{moment.day}/{moment.year}"
    return str(value)


def _strptime_form(form: str) -> str:
    pattern = "|".join(sorted(_DATE_PARTS, key=len, reverse=True))
    return re.sub(pattern, lambda m: _DATE_PARTS[m[0]], form.upper().replace('"T"', "T").replace('"Z"', "Z"))


def _to_date(text: str | None, form: str = "MM/DD/YYYY") -> str | None:
    if text is None or text.startswith(DATE_MARK):
        return text
    return DATE_MARK + datetime.strptime(text, _strptime_form(form)).isoformat(timespec="seconds")


def _to_char(value: Any, form: str = "MM/DD/YYYY") -> str | None:
    if isinstance(value, str) and value.startswith(DATE_MARK):
        return datetime.fromisoformat(value[1:]).strftime(_strptime_form(form))
    return None if value is None else _text(value)


def _invalid(reason: str) -> Refusal:
    text = f"Invalid search query. Detailed unprocessed description follows. Search error occurred: {reason}."
    return Refusal(400, "INVALID_PARAMETER", text, parameter="q")
