"""CSV plumbing shared by the files of the house: bytes to rows, rows to values, every refusal with its place.

Two kinds of refusal. A file that cannot be trusted as a whole (not text, broken quotes, wrong header) raises BadInput
and nothing of it is used. A row that cannot be trusted becomes Rejections, one per bad cell; it is never used in part.

    rows = rows_of(content, source)
    header = Header.match(rows[0], COLUMNS, source)
    values, rejected = header.parse(row)
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol, TypeVar

from isthmus.domain.errors import BadInput

MAX_BYTES = 10 * 1024 * 1024
WHOLE_ROW = "(row)"
REQUIRED = object()

_SHOWN_VALUE = 120
_SHOWN_NAMES = 40
_SHOWN_LINES = 5
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_NUMBER = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,12})?")
_BYTE_ORDER_MARKS_16 = (b"\xff\xfe", b"\xfe\xff")
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class Rejection:
    """One reason why a row was not taken. line is the line of the file on which the row begins, counted from 1."""

    line: int
    column: str
    value: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}, {self.column}: {self.reason} (found {self.value!r})"


@dataclass(frozen=True)
class Row:
    """One record of the file with its cells stripped, and the line on which it begins."""

    line: int
    cells: tuple[str, ...]


Parser = Callable[[str], Any]


@dataclass(frozen=True)
class Column:
    """One column: the field it fills, its title, how a cell is read, and what a blank cell means.

    blank=REQUIRED refuses a blank cell. optional says that the whole column may be missing; the field is then blank.
    """

    field: str
    title: str
    parse: Parser
    blank: Any = REQUIRED
    optional: bool = False


def shown(value: str) -> str:
    """A value short enough for a message: a cell of a megabyte must not become a report of a megabyte."""
    return value if len(value) <= _SHOWN_VALUE else value[: _SHOWN_VALUE - 1] + "…"


def line_list(lines: Sequence[int]) -> str:
    """'line 4' or 'lines 4 and 9'; only the first few of many, so that n equal rows do not make n² text."""
    named = [str(line) for line in lines[:_SHOWN_LINES]]
    if len(lines) > _SHOWN_LINES:
        named.append(f"{len(lines) - _SHOWN_LINES} more")
    return f"line {named[0]}" if len(named) == 1 else f"lines {', '.join(named[:-1])} and {named[-1]}"


def text(cell: str) -> str:
    """A cell as it is."""
    return cell


def number(cell: str) -> Decimal:
    """A plain decimal number: optional minus, digits, optional point. BadInput otherwise."""
    # Decimal() alone would also take "1e9", "NaN", "1_000" and digits of other scripts.
    if not _NUMBER.fullmatch(cell):
        raise BadInput("is not a number; write digits with an optional decimal point, such as 7.5")
    return Decimal(cell)


def whole_number(cell: str) -> int:
    """Digits only, at most nine of them. BadInput otherwise."""
    if not re.fullmatch(r"[0-9]{1,9}", cell):
        raise BadInput("is not a whole number")
    return int(cell)


def decoded(content: bytes, source: str, limit: int = MAX_BYTES) -> str:
    """The text of a UTF-8 file, with or without byte order mark. BadInput when it is too big, empty or no text."""
    if len(content) > limit:
        raise BadInput(f"{source}: {len(content):,} bytes; at most {limit:,} are read, split the file")
    if content.startswith(_ZIP):
        raise BadInput(f"{source}: this is a workbook or a zip archive; save the sheet as CSV UTF-8 and send that")
    if content.startswith(_BYTE_ORDER_MARKS_16):
        raise BadInput(f"{source}: this is UTF-16 text; save it as CSV UTF-8 and send that")
    try:
        decoded_text = content.decode("utf-8-sig")
    except UnicodeDecodeError as bad:
        raise BadInput(f"{source}: byte {bad.start + 1} is not UTF-8; save it as CSV UTF-8 and send that") from None
    control = _CONTROL.search(decoded_text)
    if control:
        place = decoded_text.count("\n", 0, control.start()) + 1
        raise BadInput(f"{source}: line {place} holds control character {ord(control[0]):#04x}; this is not a CSV file")
    if not decoded_text.strip():
        raise BadInput(f"{source}: the file is empty, not even a header; export it again")
    return decoded_text


def rows_of(content: bytes, source: str) -> list[Row]:
    """All rows that hold anything. BadInput when the bytes are no CSV text; blank lines only count as lines."""
    # newline="" keeps line breaks inside quotes as they are and lets the reader accept LF, CRLF and CR alike.
    reader = csv.reader(io.StringIO(decoded(content, source), newline=""), strict=True)
    rows: list[Row] = []
    begins = 1
    try:
        for cells in reader:
            stripped = tuple(cell.strip() for cell in cells)
            if any(stripped):
                rows.append(Row(begins, stripped))
            # A quoted cell may span lines: line_num is where the row ends, so the next one begins after it.
            begins = reader.line_num + 1
    except csv.Error as bad:
        raise BadInput(f"{source}: line {begins}: broken quoting or an endless cell ({bad})") from None
    if not rows:
        raise BadInput(f"{source}: the file holds separators and no header; export it again")
    return rows


def plain_title(title: str) -> str:
    """A title without regard to case and spacing."""
    return " ".join(title.casefold().split())


@dataclass(frozen=True)
class Header:
    """Where each column stands in a file. width: cells of the header line, blank ones at its end included."""

    columns: tuple[Column, ...]
    positions: dict[str, int]
    titles: tuple[str, ...]
    width: int

    @classmethod
    def match(
        cls,
        row: Row,
        columns: tuple[Column, ...],
        source: str,
        *,
        known_only: bool = False,
        key: Callable[[str], str] = plain_title,
    ) -> Header:
        """The header in this row. BadInput names every column that is missing, doubled or (known_only) unknown."""
        titles = _without_blank_end(row.cells)
        keys = [key(title) for title in titles]
        wanted = {key(column.title): column for column in columns}
        faults = {
            "missing columns": [c.title for k, c in wanted.items() if k not in keys and not c.optional],
            "columns given twice": sorted({c.title for k, c in wanted.items() if keys.count(k) > 1}),
            "unknown columns": [t for t, k in zip(titles, keys, strict=True) if known_only and k not in wanted],
        }
        if any(faults.values()):
            named = "; ".join(f"{fault}: {_names(titled)}" for fault, titled in faults.items() if titled)
            raise BadInput(f"{source}: line {row.line}: {named}; found: {_names(titles)}")
        positions = {column.field: keys.index(k) for k, column in wanted.items() if k in keys}
        return cls(columns, positions, titles, len(row.cells))

    def cell(self, row: Row, field: str) -> str:
        """The cell of a field, empty text when the file or the row has none."""
        place = self.positions.get(field, len(row.cells))
        return row.cells[place] if place < len(row.cells) else ""

    def title(self, field: str) -> str:
        """The column's title as this file spells it."""
        return self.titles[self.positions[field]]

    def reject(self, row: Row, field: str, reason: str) -> Rejection:
        """A rejection of this row at this field."""
        return Rejection(row.line, self.title(field), shown(self.cell(row, field)), reason)

    def misfit(self, row: Row) -> Rejection | None:
        """The rejection of a row with more or fewer cells than titles: no cell of it can be trusted."""
        found = len(row.cells)
        # Blank cells at the end are padding only where the header is padded too; elsewhere a stray comma has pushed
        # the other cells one column on.
        if len(self.titles) <= found <= self.width and not any(row.cells[len(self.titles) :]):
            return None
        reason = f"has {found} cells under {len(self.titles)} titles; quote a cell that contains a comma"
        return Rejection(row.line, WHOLE_ROW, shown(",".join(row.cells)), reason)

    def parse(self, row: Row) -> tuple[dict[str, Any], list[Rejection]]:
        """All values of a row by field, and a rejection for every cell that cannot be read."""
        misfit = self.misfit(row)
        if misfit:
            return {}, [misfit]
        values: dict[str, Any] = {}
        rejected: list[Rejection] = []
        for column in self.columns:
            cell = self.cell(row, column.field)
            if not cell and (column.blank is not REQUIRED or column.field not in self.positions):
                values[column.field] = column.blank
                continue
            try:
                values[column.field] = _value(column, cell)
            except BadInput as bad:
                rejected.append(self.reject(row, column.field, bad.message))
        return values, rejected


def _value(column: Column, cell: str) -> Any:
    if not cell:
        raise BadInput("is empty")
    return column.parse(cell)


def _without_blank_end(cells: Sequence[str]) -> tuple[str, ...]:
    # A spreadsheet pads every line with commas up to its widest row.
    end = len(cells)
    while end and not cells[end - 1]:
        end -= 1
    return tuple(cells[:end])


def _names(titles: Iterable[str]) -> str:
    named = [shown(title) or "(no title)" for title in titles]
    more = [f"and {len(named) - _SHOWN_NAMES} more"] if len(named) > _SHOWN_NAMES else []
    return ", ".join(named[:_SHOWN_NAMES] + more)


class Read(Protocol):
    """What was read from a file, with what was not."""

    @property
    def source(self) -> str:
        """Which file."""

    @property
    def rejected(self) -> tuple[Rejection, ...]:
        """What was not taken."""


R = TypeVar("R", bound=Read)


def require_complete(found: R) -> R:
    """The same result when every row was taken; BadInput with all rejections when one was not."""
    if found.rejected:
        rows = len({rejection.line for rejection in found.rejected})
        listed = "\n".join(f"  {rejection}" for rejection in found.rejected)
        raise BadInput(f"{found.source}: {rows} rejected row{'s' if rows > 1 else ''}, nothing was imported:\n{listed}")
    return found
