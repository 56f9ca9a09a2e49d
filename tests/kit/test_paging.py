"""Lists are read to their end, nothing missed and nothing twice, also when they change between two pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from isthmus.domain.errors import Unreachable
from isthmus.kit import paging
from isthmus.kit.paging import Page, after_last_row, all_pages, batches, by_last_change, in_batches, latest
from isthmus.kit.wire import Row, Verb

START = datetime(2026, 3, 6, 12, tzinfo=UTC)


def row(number: int, second: int) -> Row:
    return {"id": number, "at": (START + timedelta(seconds=second)).isoformat()}


def read(steps: Verb[Any]) -> Any:
    """What a verb returns that sends nothing."""
    with pytest.raises(StopIteration) as done:
        next(steps)
    return done.value.value


def asking(page: Callable[..., Any]) -> Callable[..., Verb[Any]]:
    """The page function as a verb."""

    def ask(*place: Any) -> Verb[Any]:
        return page(*place)
        yield  # makes it a generator

    return ask


def numbers(rows: list[Row]) -> list[int]:
    return [each["id"] for each in rows]


def test_all_pages_are_read_in_order() -> None:
    rows = [row(n, 0) for n in range(7)]
    ask = asking(lambda place: Page(rows[place * 3 : place * 3 + 3], more=place < 2))
    assert numbers(read(all_pages(ask))) == list(range(7))


def test_a_list_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "PAGES_MAX", 5)
    endless = asking(lambda *_: Page([row(1, 0)], more=True))
    for steps in (all_pages(endless), after_last_row(endless, None, "at"), by_last_change(endless, None, "at")):
        with pytest.raises(Unreachable, match="does not end after 5 pages"):
            next(steps)


def test_batches_hold_each_id_once_in_numeric_order() -> None:
    assert list(batches([10, "9", 9, 100], 2)) == [["9", "10"], ["100"]]
    assert list(batches([], 2)) == []
    assert numbers(read(in_batches([3, 1, 2, 1], 2, asking(lambda ids: [row(int(i), 0) for i in ids])))) == [1, 2, 3]


def test_a_page_starts_after_the_last_row_within_one_second_too() -> None:
    rows = [row(1, 0), row(2, 0), row(3, 0), row(4, 5)]

    def page(since: datetime, after: str) -> Page:
        place = (since.isoformat(), int(after))
        found = [each for each in rows if (each["at"], each["id"]) > place]
        return Page(found[:2], more=len(found) > 2)

    assert numbers(read(after_last_row(asking(page), None, "at"))) == [1, 2, 3, 4]
    assert numbers(read(after_last_row(asking(page), START + timedelta(seconds=1), "at"))) == [4]


class Changing:
    """A list by last change. touched, gone: the row that changes, or leaves, after a page has been shown."""

    def __init__(self, rows: list[Row], size: int = 2) -> None:
        self.rows, self.size = rows, size
        self.touched: dict[int, int] = {}
        self.gone: dict[int, int] = {}
        self.asked = 0

    def page(self, since: datetime | None, place: int) -> Page:
        after = since.isoformat() if since else ""
        found = sorted((each for each in self.rows if each["at"] > after), key=lambda each: (each["at"], each["id"]))
        shown = [dict(each) for each in found[place * self.size : (place + 1) * self.size]]
        self.asked += 1
        touched = self.touched.get(self.asked)
        for each in self.rows:
            if each["id"] == touched:
                each["at"] = row(0, 60)["at"]
        self.rows = [each for each in self.rows if each["id"] != self.gone.get(self.asked)]
        return Page(shown, more=(place + 1) * self.size < len(found), total=len(found))


def test_a_row_that_changes_while_we_read_pushes_no_other_over_the_edge() -> None:
    there = Changing([row(1, 0), row(2, 10), row(3, 20), row(4, 30)])
    there.touched = {1: 1}
    found = read(by_last_change(asking(there.page), None, "at"))
    assert numbers(found) == [2, 3, 4, 1]
    assert latest(found, "at", "") == row(1, 60)["at"]


@pytest.mark.parametrize("how", ["touched", "gone"])
def test_within_one_second_pages_start_again_when_a_row_has_moved_or_left(how: str) -> None:
    there = Changing([row(n, 0) for n in range(1, 8)])
    setattr(there, how, {3: 1})
    assert sorted(numbers(read(by_last_change(asking(there.page), None, "at")))) == [1, 2, 3, 4, 5, 6, 7]


def test_without_rows_the_watermark_stays() -> None:
    assert latest([], "at", "2026-03-06T12:00:00+00:00") == "2026-03-06T12:00:00+00:00"
    assert latest([{"at": "2026-03-06T12:00:00"}], "at", "") == "2026-03-06T12:00:00+00:00"
