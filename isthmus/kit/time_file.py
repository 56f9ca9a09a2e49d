"""The nightly time file: approved time as CSV, for when the time system's API is not there to be asked.

The entries are the same canonical objects that the API gives. A last line ``#TOTAL,<rows>,<hours>`` lets the sender
state what was sent; when it disagrees with what arrived, nothing of the file is used.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from isthmus.domain.errors import BadInput
from isthmus.domain.money import QUANTITY_EXPONENT, RATE_EXPONENT, minor_units
from isthmus.domain.objects import TimeEntry
from isthmus.kit.csv_rows import (
    Column,
    Header,
    Rejection,
    Row,
    line_list,
    number,
    require_complete,
    rows_of,
    text,
    whole_number,
)

__all__ = ["COLUMNS", "TRAILER", "Rejection", "TimeFile", "read_time_file", "require_complete"]

TRAILER = "#TOTAL"


@dataclass(frozen=True)
class TimeFile:
    """What a time file said. count and hours are of all rows as sent, rejected ones too: what the trailer is held to.

    Every row is in entries, named by a rejection, or listed in repeated: the lines that say again, word for word, what
    an earlier line said. controlled: whether a trailer was there and agreed. source names the file.
    """

    entries: tuple[TimeEntry, ...]
    rejected: tuple[Rejection, ...]
    count: int
    hours: Decimal
    source: str
    sha256: str
    controlled: bool
    repeated: tuple[int, ...] = ()


def _hours(cell: str) -> Decimal:
    hours = number(cell)
    if hours < 0:
        raise BadInput("is negative; send a correction as a higher revision with the new total of hours")
    if hours > 24:
        raise BadInput("is more than the 24 hours of a day")
    if hours != hours.quantize(QUANTITY_EXPONENT):
        raise BadInput("has more than four decimals")
    return hours


def _service_date(cell: str) -> date:
    # fromisoformat alone would also take "20260309" and "2026-W11-1", which people misread.
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", cell):
        raise BadInput("is not a date; write it as year-month-day, such as 2026-03-09")
    try:
        return date.fromisoformat(cell)
    except ValueError:
        raise BadInput("is not a day of the calendar") from None


def _approved_at(cell: str) -> datetime:
    if not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}", cell):
        raise BadInput("is not an instant; write it like 2026-03-09T17:30:00+01:00")
    try:
        instant = datetime.fromisoformat(cell)
        if instant.tzinfo is None:
            # Without an offset the same text is a different instant in every office.
            raise BadInput("has no offset from UTC; add one, such as +01:00 or Z")
        return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadInput("is not an instant; write it like 2026-03-09T17:30:00+01:00") from None


def _cost_rate(cell: str) -> Decimal:
    rate = number(cell)
    if rate < 0:
        raise BadInput("is negative")
    if rate != rate.quantize(RATE_EXPONENT):
        raise BadInput("has more than six decimals")
    return rate


def _currency(cell: str) -> str:
    minor_units(cell)
    return cell


def _revision(cell: str) -> int:
    revision = whole_number(cell)
    if revision < 1:
        raise BadInput("is not a revision; the first one is 1")
    return revision


COLUMNS = (
    Column("source_id", "source_entry_id", text),
    Column("project_code", "project_code", text),
    Column("task_code", "task_code", text, blank=""),
    Column("person", "person", text),
    Column("role", "role", text),
    Column("service_date", "service_date", _service_date),
    Column("hours", "hours", _hours),
    Column("note", "note", text, blank=""),
    Column("approved_by", "approved_by", text),
    Column("approved_at", "approved_at", _approved_at),
    Column("cost_rate", "cost_rate", _cost_rate, blank=None, optional=True),
    Column("cost_currency", "cost_currency", _currency, blank="", optional=True),
    Column("revision", "revision", _revision, blank=1, optional=True),
)


def read_time_file(content: bytes, source: str, *, system: str = "", require_totals: bool = False) -> TimeFile:
    """The time entries of a file: good rows whole, bad rows named with line, column and reason.

    source: the name of the file, for messages. system: the time system the entries belong to, which makes their keys;
    source when left out. Raises BadInput, and takes nothing, when the file is no CSV text, is over 10 MB, has a wrong
    header, or its trailer disagrees with its rows (or is missing and require_totals is set).
    """
    first, *rest = rows_of(content, source)
    header = Header.match(first, COLUMNS, source, known_only=True)
    rows, trailer = _split_trailer(rest, source)
    hours, unreadable = _hours_as_sent(header, rows)
    if trailer:
        _check_totals(trailer, len(rows), hours, unreadable, source)
    elif require_totals:
        raise BadInput(
            f"{source}: the last line is not {TRAILER},<rows>,<hours>; the file may be cut off, send it again"
        )
    read = [(row, *_entry(header, row, system or source)) for row in rows]
    conflicts, repeated = _twice(header, read)
    refused = {rejection.line for rejection in conflicts} | set(repeated)
    own = [rejection for _, _, rejections in read for rejection in rejections]
    return TimeFile(
        entries=tuple(entry for row, entry, _ in read if entry and row.line not in refused),
        rejected=tuple(sorted([*own, *conflicts], key=lambda rejection: rejection.line)),
        count=len(rows),
        hours=hours,
        source=source,
        sha256=hashlib.sha256(content).hexdigest(),
        controlled=trailer is not None,
        repeated=repeated,
    )


def _split_trailer(rows: Sequence[Row], source: str) -> tuple[list[Row], Row | None]:
    trailers = [i for i, row in enumerate(rows) if row.cells[0].upper() == TRAILER]
    if not trailers:
        return list(rows), None
    if trailers != [len(rows) - 1]:
        # Two files glued together, or rows appended after the sender had counted.
        raise BadInput(f"{source}: line {rows[trailers[0]].line}: {TRAILER} must be the last line, and the only one")
    return list(rows[:-1]), rows[-1]


def _hours_as_sent(header: Header, rows: Sequence[Row]) -> tuple[Decimal, list[int]]:
    """The sum of all hours that can be read as numbers, good or not, and the lines where they cannot."""
    total, unreadable = Decimal(0), []
    for row in rows:
        try:
            total += number(header.cell(row, "hours"))
        except BadInput:
            unreadable.append(row.line)
    return total, unreadable


def _check_totals(trailer: Row, count: int, hours: Decimal, unreadable: list[int], source: str) -> None:
    stated = [cell for cell in trailer.cells[1:] if cell]
    where = f"{source}: line {trailer.line}: control totals"
    if len(stated) != 2:
        raise BadInput(f"{where}: expected {TRAILER},<rows>,<hours> and found {','.join(trailer.cells)[:120]!r}")
    try:
        expected = whole_number(stated[0]), number(stated[1])
    except BadInput as bad:
        raise BadInput(f"{where}: {','.join(stated)[:120]!r} {bad.message}") from None
    if expected != (count, hours):
        hint = f"; hours cannot be read on {line_list(unreadable)}" if unreadable else ""
        raise BadInput(
            f"{where}: expected {expected[0]} rows and {expected[1]} hours, "
            f"found {count} rows and {hours} hours{hint}; nothing was taken, send the file again"
        )


def _entry(header: Header, row: Row, system: str) -> tuple[TimeEntry | None, list[Rejection]]:
    values, rejected = header.parse(row)
    if rejected:
        return None, rejected
    if values["cost_rate"] is not None and not values["cost_currency"]:
        return None, [header.reject(row, "cost_rate", "has no currency; fill cost_currency")]
    return TimeEntry(source=system, **values), []


ReadRow = tuple[Row, TimeEntry | None, list[Rejection]]


def _twice(header: Header, read: Sequence[ReadRow]) -> tuple[list[Rejection], tuple[int, ...]]:
    """Entries given more than once: a rejection for each when they differ, the lines of the later ones when not.

    A row that could not be read is compared too: when one of two lines of an entry is broken, the other may be the
    wrong one.
    """
    groups: dict[tuple[str, str], list[ReadRow]] = defaultdict(list)
    for found in read:
        key = _key(header, found[0])
        if key[0]:
            groups[key].append(found)
    conflicts: list[Rejection] = []
    repeated: list[int] = []
    for (entry_id, _), group in groups.items():
        lines = [row.line for row, _, _ in group]
        if len(group) > 1 and _differ([entry for _, entry, _ in group]):
            reason = (
                f"entry {entry_id[:60]} stands on {line_list(lines)} with different content; nobody can say which holds"
            )
            conflicts.extend(header.reject(row, "source_id", reason) for row, _, _ in group)
        else:
            repeated.extend(lines[1:])
    return conflicts, tuple(sorted(repeated))


def _key(header: Header, row: Row) -> tuple[str, str]:
    # An empty revision, "1" and "01" are the same one.
    return header.cell(row, "source_id"), (header.cell(row, "revision") or "1").lstrip("0")


def _differ(entries: Sequence[TimeEntry | None]) -> bool:
    return any(entry is None or entry != entries[0] for entry in entries)
