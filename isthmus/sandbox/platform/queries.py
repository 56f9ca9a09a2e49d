"""The query resources: query, queryAll and their further pages.

Modelled from the vendor's published material; not certified. A page shows the records as they are when it is read.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isthmus.sandbox.platform import ids
from isthmus.sandbox.platform.calls import Answer, Call, Router
from isthmus.sandbox.platform.errors import ApiError
from isthmus.sandbox.platform.soql import parse
from isthmus.sandbox.platform.soql_run import Runner

if TYPE_CHECKING:
    from isthmus.sandbox.platform.box import PlatformSandbox

_LOCATOR = re.compile(r"(01g[0-9A-Za-z]{15})-(\d+)")
_BATCH = re.compile(r"batchSize\s*=\s*(\d+)", re.IGNORECASE)
_KEPT = 50  # open cursors of a user; the oldest is dropped beyond


@dataclass
class Cursor:
    """A result waiting to be paged: the query bound to its columns, and the ids it found."""

    runner: Runner
    found: list[str]
    size: int


class Cursors:
    """Open query results by locator."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Cursor] = OrderedDict()
        self._last = 0

    def keep(self, cursor: Cursor) -> str:
        """Keep a result and give its locator."""
        self._last += 1
        locator = ids.make("01g", self._last)
        self._open[locator] = cursor
        if len(self._open) > _KEPT:
            self._open.popitem(last=False)
        return locator

    def get(self, locator: str) -> Cursor:
        """The open result of a locator; INVALID_QUERY_LOCATOR when it is unknown or dropped."""
        if locator not in self._open:
            raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._open[locator]


def register(router: Router) -> None:
    """Add the addresses of this module."""
    for name in ("query", "queryAll"):
        router.add(name, GET=_query)
        router.add(name + "/{locator}", GET=_more)


def _query(box: PlatformSandbox, call: Call, _: dict[str, str]) -> Answer:
    text = call.params.get("q")
    if not text:
        raise ApiError(400, "MALFORMED_QUERY", "unexpected token: '<EOF>'")
    runner = Runner(box.store, parse(text), with_deleted=call.path.startswith("queryAll"))
    rows = runner.rows()
    if runner.query.count:
        return Answer(200, {"totalSize": len(rows), "done": True, "records": []})
    size = box.page_size
    asked = _BATCH.search(call.headers.get("sforce-query-options", ""))
    if asked:
        size = min(size, max(200, int(asked[1])))
    if len(rows) <= size:
        shown = [runner.show(row, call.base) for row in rows]
        return Answer(200, {"totalSize": len(rows), "done": True, "records": shown})
    return _page(box, call, box.cursors.keep(Cursor(runner, [row["Id"] for row in rows], size)), 0)


def _more(box: PlatformSandbox, call: Call, parts: dict[str, str]) -> Answer:
    match = _LOCATOR.fullmatch(parts["locator"])
    if match is None:
        raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
    return _page(box, call, match[1], int(match[2]))


def _page(box: PlatformSandbox, call: Call, locator: str, start: int) -> Answer:
    cursor = box.cursors.get(locator)
    entity = cursor.runner.sobject.name
    end = start + cursor.size
    rows = [box.records.get(entity, record_id) for record_id in cursor.found[start:end]]
    records = [cursor.runner.show(row, call.base) for row in rows if row is not None]
    done = end >= len(cursor.found)
    page: dict[str, object] = {"totalSize": len(cursor.found), "done": done}
    if not done:
        name = call.path.split("/", 1)[0]
        page["nextRecordsUrl"] = f"{call.base}/{name}/{locator}-{end}"
    return Answer(200, {**page, "records": records})
