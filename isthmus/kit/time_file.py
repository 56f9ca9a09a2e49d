"""The nightly time file: approved time as CSV or XLSX, for when the time system's API is not there to be asked.

The entries are the same canonical objects that the API gives. A last line ``#TOTAL,<rows>,<hours>`` lets the sender
state what was sent; when it disagrees with what arrived, nothing of the file is used.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from isthmus.domain.objects import TimeEntry
from isthmus.kit.cells import currency_code, hours_of_a_day, instant, iso_day, rate, revision
from isthmus.kit.control_totals import TRAILER, controlled
from isthmus.kit.csv_rows import Column, Header, Rejection, Row, line_list, require_complete, text
from isthmus.kit.repeats import ReadRow, suspects, twice
from isthmus.kit.sheet_rows import rows_of_file

__all__ = ["COLUMNS", "TRAILER", "Rejection", "TimeFile", "read_time_file", "require_complete"]


@dataclass(frozen=True)
class TimeFile:
    """What a time file said. count and hours are of all rows as sent, rejected ones too: what the trailer is held to.

    Every row is in entries, named by a rejection, or listed in repeated: the lines that say again, word for word, what
    an earlier line said. suspects: rows in entries whose content stands under another id too. controlled: whether a
    trailer was there and agreed. source names the file. lines: where each entry stands; sent: the hours of every line.
    """

    entries: tuple[TimeEntry, ...]
    rejected: tuple[Rejection, ...]
    count: int
    hours: Decimal
    source: str
    sha256: str
    controlled: bool
    repeated: tuple[int, ...] = ()
    suspects: tuple[Rejection, ...] = ()
    lines: tuple[int, ...] = ()
    sent: dict[int, Decimal] = field(default_factory=dict)


COLUMNS = (
    Column("source_id", "source_entry_id", text),
    Column("project_code", "project_code", text),
    Column("task_code", "task_code", text, blank=""),
    Column("person", "person", text),
    Column("role", "role", text),
    Column("service_date", "service_date", iso_day),
    Column("hours", "hours", hours_of_a_day),
    Column("note", "note", text, blank=""),
    Column("approved_by", "approved_by", text),
    Column("approved_at", "approved_at", instant),
    Column("cost_rate", "cost_rate", rate, blank=None, optional=True),
    Column("cost_currency", "cost_currency", currency_code, blank="", optional=True),
    Column("revision", "revision", revision, blank=1, optional=True),
)


def read_time_file(
    content: bytes, source: str, *, system: str = "", require_totals: bool = False, sheet: str = ""
) -> TimeFile:
    """The time entries of a file: good rows whole, bad rows named with line, column and reason.

    source: the name of the file, for messages. system: the time system the entries belong to, which makes their keys;
    source when left out. sheet: which one of a workbook, when it has more. Raises BadInput, and takes nothing, when the
    file is neither CSV text nor a workbook, is over 10 MB, has a wrong header, or its trailer disagrees with its rows
    (or is missing and require_totals is set).
    """
    first, *rest = rows_of_file(content, source, sheet)
    header = Header.match(first, COLUMNS, source, known_only=True)
    body = controlled(rest, header, "hours", "hours", source, required=require_totals)
    read = [_entry(header, row, system or source) for row in body.rows]
    conflicts, repeated = twice(header, read, "entry")
    refused = {rejection.line for rejection in conflicts} | set(repeated)
    good = [found for found in read if found.record is not None and found.row.line not in refused]
    overfull = _more_than_a_day(header, good)
    conflicts += overfull
    refused |= {rejection.line for rejection in overfull}
    taken = [found for found in good if found.row.line not in refused]
    own = [rejection for found in read for rejection in found.rejected]
    return TimeFile(
        entries=tuple(found.record for found in taken if found.record is not None),
        rejected=tuple(sorted([*own, *conflicts], key=lambda rejection: rejection.line)),
        count=len(body.rows),
        hours=body.total,
        source=source,
        sha256=hashlib.sha256(content).hexdigest(),
        controlled=body.controlled,
        repeated=repeated,
        suspects=suspects(header, taken, _content, "entry"),
        lines=tuple(found.row.line for found in taken),
        sent=body.sent,
    )


def _entry(header: Header, row: Row, system: str) -> ReadRow[TimeEntry]:
    values, rejected = header.parse(row)
    if not rejected and values["cost_rate"] is not None and not values["cost_currency"]:
        rejected = [header.reject(row, "cost_rate", "has no currency; fill cost_currency")]
    return ReadRow(row, None if rejected else TimeEntry(source=system, **values), tuple(rejected))


def _content(entry: TimeEntry) -> tuple[object, ...]:
    return entry.person, entry.service_date, entry.project_code, entry.task_code, entry.hours, entry.note


def _more_than_a_day(header: Header, read: Sequence[ReadRow[TimeEntry]]) -> list[Rejection]:
    """Rejections of a person's day of more than 24 hours in all; only the latest revision of an entry counts."""
    latest: dict[str, ReadRow[TimeEntry]] = {}
    for found in sorted(read, key=lambda one: one.record.revision if one.record else 0):
        assert found.record is not None
        latest[found.record.source_id] = found
    days: dict[tuple[str, date], list[tuple[Row, Decimal]]] = defaultdict(list)
    for found in latest.values():
        assert found.record is not None
        days[found.record.person, found.record.service_date].append((found.row, found.record.hours))
    rejected = []
    for (person, day), rows in days.items():
        total = sum((hours for _, hours in rows), Decimal(0))
        if total > 24:
            lines = line_list(sorted(row.line for row, _ in rows))
            reason = f"{person[:60]} has {total} hours on {day} ({lines}); a day has 24"
            rejected += [header.reject(row, "hours", reason) for row, _ in rows]
    return rejected
