"""Reading a list to its end, whatever the vendor's pages are like. Each way takes a function that asks for one page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from isthmus.domain.errors import Unreachable
from isthmus.kit.mapping import to_utc
from isthmus.kit.wire import Row, Verb

T = TypeVar("T")
PAGES_MAX = 10_000  # a list that goes on after that does not end


@dataclass(frozen=True)
class Page:
    """Rows of one page. more: there is a page after it. total: rows of the whole list at that moment."""

    rows: list[Row]
    more: bool
    total: int = 0


def batches(ids: Iterable[Any], size: int) -> Iterator[list[str]]:
    """Numeric ids, each once, in order, as many at a time as one request takes."""
    wanted = sorted({str(each) for each in ids}, key=int)
    return (list(some) for some in chunks(wanted, size))


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Items in their order, as many at a time as one request takes."""
    return (items[start : start + size] for start in range(0, len(items), size))


def in_batches(ids: Iterable[Any], size: int, ask: Callable[[list[str]], Verb[list[Row]]]) -> Verb[list[Row]]:
    """Rows by their ids, a batch at a time."""
    rows: list[Row] = []
    for some in batches(ids, size):
        rows += yield from ask(some)
    return rows


def all_pages(ask: Callable[[int], Verb[Page]]) -> Verb[list[Row]]:
    """All rows of a list whose order no change disturbs. ask(place): its pages from 0 on."""
    rows: list[Row] = []
    for place in range(PAGES_MAX):
        page = yield from ask(place)
        rows += page.rows
        if not page.more:
            return rows
    raise _endless()


def by_cursor(ask: Callable[[str], Verb[tuple[list[Row], str]]]) -> Verb[list[Row]]:
    """All rows of a list whose pages name the next one. ask(cursor): rows and the next cursor, empty at the end."""
    rows: list[Row] = []
    cursor = ""
    for _ in range(PAGES_MAX):
        more, cursor = yield from ask(cursor)
        rows += more
        if not cursor:
            return rows
    raise _endless()


def after_last_row(ask: Callable[[datetime, str], Verb[Page]], since: datetime | None, changed: str) -> Verb[list[Row]]:
    """Changed rows, oldest first, each page after the last row of the one before, by time and id.

    With an offset, a row changed while we read would push another one over the page edge unseen.
    ask(since, id): rows changed after a moment, or at it with an id above this one. changed: the field that says when.
    """
    rows: list[Row] = []
    since, after = since or datetime(1970, 1, 1, tzinfo=UTC), "0"
    for _ in range(PAGES_MAX):
        page = yield from ask(since, after)
        rows += page.rows
        if not page.more:
            return rows
        since, after = to_utc(rows[-1][changed]), str(rows[-1]["id"])
    raise _endless()


def by_last_change(
    ask: Callable[[datetime | None, int], Verb[Page]], since: datetime | None, changed: str
) -> Verb[list[Row]]:
    """Rows by the time of their last change, oldest first, none missed, where a filter knows the time only.

    Pages of a list that changes while it is read lose rows over the page edge. So each request asks for what comes
    after the last row seen, one second back as stamps are whole seconds. Only where that leads no further it turns
    pages, and starts them again when the list has become shorter, or when a row of it has changed meanwhile: that one
    comes again at the end, and a row may have taken its place on a page already read.
    ask(since, place): pages from 0 on of the rows changed after a moment. changed: the field that says when.
    """
    seen: dict[str, Row] = {}
    place = total = 0
    turned: datetime | None = None  # the first moment from which pages were turned
    moved = False
    for _ in range(PAGES_MAX):
        page = yield from ask(since, place)
        for row in page.rows:
            before = seen.pop(str(row["id"]), row)  # changed while we read: it belongs where it is now
            moved = moved or before[changed] != row[changed]
            seen[str(row["id"])] = row
        shorter, total = place > 0 and page.total < total, page.total
        if shorter:  # a row has left, so one may have slipped onto a page already read, even before the last page
            place = 0
            continue
        if not page.more:
            if not moved or turned is None:
                return list(seen.values())
            since, place, turned, moved = turned, 0, None, False
            continue
        edge = to_utc(page.rows[-1][changed]) - timedelta(seconds=1)
        if since is None or edge > since:
            since, place = edge, 0
        else:
            place += 1
            turned = turned or since
    raise _endless()


def latest(rows: list[Row], changed: str, watermark: str) -> str:
    """The watermark after these rows, oldest first: the last one's change, or the old watermark when there is none."""
    return to_utc(rows[-1][changed]).isoformat() if rows else watermark


def _endless() -> Unreachable:
    return Unreachable(f"a list does not end after {PAGES_MAX} pages")
