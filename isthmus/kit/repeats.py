"""What stands in a file more than once: the same record again, two that contradict each other, two that look alike.

The same id and revision with the same content is taken once. With different content nobody can say which holds, so
neither is taken. The same content under another id is taken, and named as a suspect: a person decides whether it is one
piece of work reported twice (case EX-DUP-SUSPECT); two meetings of an hour each may well look the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from isthmus.domain.work import Expense, TimeEntry
from isthmus.kit.csv_rows import Header, Rejection, Row, line_list

Record = TypeVar("Record", TimeEntry, Expense)


@dataclass(frozen=True)
class ReadRow(Generic[Record]):
    """A row with the record it became, or with what is wrong with it."""

    row: Row
    record: Record | None
    rejected: tuple[Rejection, ...] = ()


def twice(header: Header, read: Sequence[ReadRow[Record]], noun: str) -> tuple[list[Rejection], tuple[int, ...]]:
    """Records given more than once: a rejection for each when they differ, the lines of the later ones when not.

    A row that could not be read is compared too: when one of two lines of an entry is broken, the other may be the
    wrong one. noun: what a record is called in the reason.
    """
    groups: dict[tuple[str, str], list[ReadRow[Record]]] = defaultdict(list)
    for found in read:
        key = _key(header, found.row)
        if key[0]:
            groups[key].append(found)
    conflicts: list[Rejection] = []
    repeated: list[int] = []
    for (record_id, _), group in groups.items():
        lines = [found.row.line for found in group]
        if len(group) > 1 and any(found.record is None or found.record != group[0].record for found in group):
            reason = (
                f"{noun} {record_id[:60]} stands on {line_list(lines)} with different content; nobody can say which"
                " holds"
            )
            conflicts.extend(header.reject(found.row, "source_id", reason) for found in group)
        else:
            repeated.extend(lines[1:])
    return conflicts, tuple(sorted(repeated))


def _key(header: Header, row: Row) -> tuple[str, str]:
    # An empty revision, "1" and "01" are the same one.
    return header.cell(row, "source_id"), (header.cell(row, "revision") or "1").lstrip("0")


def suspects(
    header: Header, read: Sequence[ReadRow[Record]], content: Callable[[Record], tuple[object, ...]], noun: str
) -> tuple[Rejection, ...]:
    """Rows whose content stands under another id too. content: what makes two records look like one.

    Only the latest revision of each id counts: a correction may well bring an entry to what another one was.
    """
    latest: dict[str, ReadRow[Record]] = {}
    for found in read:
        if found.record is not None:
            known = latest.get(found.record.source_id)
            if known is None or known.record is None or known.record.revision < found.record.revision:
                latest[found.record.source_id] = found
    groups: dict[tuple[object, ...], list[ReadRow[Record]]] = defaultdict(list)
    for found in latest.values():
        assert found.record is not None
        groups[content(found.record)].append(found)
    named = [
        header.reject(found.row, "source_id", f"has the content of another {noun} on {line_list(others)}")
        for group in groups.values()
        for found in group
        if (others := [other.row.line for other in group if other is not found])
    ]
    return tuple(sorted(named, key=lambda suspect: suspect.line))
