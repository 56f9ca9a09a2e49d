"""Lists read page by page while records come and go: nothing that was there is missed, nothing comes twice in a page
of changes, and what came meanwhile is in this reading or in the next.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx

from isthmus.app.conformance.bench import Bench
from isthmus.app.conformance.samples import VerbSample
from isthmus.app.conformance.verdict import expect
from isthmus.app.conformance.weather import is_sign_in
from isthmus.kit.executor import Connection
from isthmus.kit.manifest import Manifest

ROWS = 11
PAGE_SIZE = 3
MEANWHILE_MAX = 6
TASK_PORTS, TASKS_PAGE = ("Psa", "Erp"), 2
ROWS_REAL, MEANWHILE_REAL = 5, 2  # at a real system, where each row takes its time: two pages, and a row on either


@dataclass
class Busy(httpx.BaseTransport):
    """Carries requests on; after each answer somebody else works over there."""

    inner: httpx.BaseTransport
    manifest: Manifest
    work: Any = None
    _working: bool = field(default=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The counterpart's answer, as it was before the others went on."""
        answer = self.inner.handle_request(request)
        if self.work is not None and not self._working and not is_sign_in(request, self.manifest):
            self._working = True
            self.work()
            self._working = False
        return answer

    def close(self) -> None:
        """The inner transport is the counterpart's own."""


def pages_while_records_change(bench: Bench, verb: str) -> str:
    """A list of changes over many small pages, with new records after every page."""
    if bench.samples.verbs.get(verb, VerbSample()).rows == 0:
        return "a list that may be empty"
    busy = Busy(bench.counterpart.transport(), bench.manifest)
    connection = bench.connect(transport=busy)
    small = bench.manifest.model_copy(update={"page_size": PAGE_SIZE})
    connection.connector.manifest = small
    rows, more = (ROWS_REAL, MEANWHILE_REAL) if bench.counterpart.real else (ROWS, MEANWHILE_MAX)
    for n in range(1, rows + 1):
        bench.prepare(verb, n, connection)
    there = keys_of(_read(bench, verb, connection, ""))
    expect(len(there) >= rows, f"{verb}: {len(there)} of {rows} rows read with pages of {PAGE_SIZE}")
    came = iter(range(rows + 1, rows + 1 + more))
    plain = bench.connect()

    def somebody_works() -> None:
        n = next(came, None)
        if n is not None:
            bench.prepare(verb, n, plain)

    busy.work = somebody_works
    first = _read(bench, verb, connection, "")
    busy.work = None
    missed = there - keys_of(first)
    expect(not missed, f"{verb}: {len(missed)} rows missed while records came: {sorted(missed)[:3]}")
    after = keys_of(_read(bench, verb, connection, ""))
    second = keys_of(_read(bench, verb, connection, first.watermark))
    lost = after - keys_of(first) - second
    expect(not lost, f"{verb}: {len(lost)} rows that came meanwhile are in neither reading: {sorted(lost)[:3]}")
    return f"{len(there)} rows, {len(after) - len(there)} more meanwhile, none missed"


def tasks_in_pages(bench: Bench) -> str:
    """A project of more tasks than a page holds is read with all of them."""
    told = []
    for port in (each for each in TASK_PORTS if each in bench.manifest.system.ports):
        bench.reset()
        connection = bench.connect()
        connection.connector.manifest = bench.manifest.model_copy(update={"page_size": TASKS_PAGE})
        (item,) = bench.prepare(f"{port}.put_task", 1, connection).arguments
        codes = [f"{item.task.code}{letter}" for letter in "abcde"]
        for code in codes:
            task = item.task.model_copy(update={"code": code, "name": f"{item.task.name} {code}"})
            connection.put_task(item.model_copy(update={"task": task}))
        missed = set(codes) - set(connection.read_project(item.project_code).tasks)
        expect(not missed, f"{port}.read_project, by pages of {TASKS_PAGE}: {len(missed)} of {len(codes)} tasks missed")
        told.append(f"{port}: {len(codes)} tasks by pages of {TASKS_PAGE}")
    return ", ".join(told) or "it holds no tasks"


def _read(bench: Bench, verb: str, connection: Connection, watermark: str) -> Any:
    return getattr(connection, verb.split(".")[1])(watermark)


def keys_of(page: Any) -> set[str]:
    """The keys of the rows of a page of changes. Broken when one is there twice."""
    rows = next(value for value in vars(page).values() if isinstance(value, tuple))
    keys = [_key(row) for row in rows]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    expect(not twice, f"there twice in one reading: {twice[:3]}")
    return set(keys)


def _key(row: Any) -> str:
    for name in ("message_id", "key", "envelope_id", "source_id"):
        if getattr(row, name, None):
            return str(getattr(row, name))
    return repr(row)


def is_page(result: Any) -> bool:
    """True when a verb reads changes after a watermark."""
    return "watermark" in getattr(result, "model_fields", {})
