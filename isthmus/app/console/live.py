"""Live pages by server-sent events: one look at the books a second for all who watch, a word when something moved."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from isthmus.app.bootstrap import Hub
from isthmus.app.console.sessions import COOKIE
from isthmus.domain.errors import Retryable
from isthmus.runtime.audit import CHAIN
from isthmus.store.desk_records import BulkFix, BulkItem
from isthmus.store.records import Counter, OutboxEvent, RunRow
from isthmus.store.tables import TABLES

LOOK_SECONDS = 1.0
BEAT_SECONDS = 15.0
WATCHERS_MAX = 200
LIFE_SECONDS = 600.0  # a browser comes back by itself, and its session is looked at anew


@dataclass(frozen=True)
class Mark:
    """How far the books had come at a look."""

    events: int
    acts: int
    runs: str
    bulk: str


class Pulse:
    """What all open pages are told. Looks only while somebody watches."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.watchers: set[asyncio.Queue[str]] = set()
        self._task: asyncio.Task[None] | None = None

    def join(self) -> asyncio.Queue[str]:
        """A queue of words for one page."""
        queue: asyncio.Queue[str] = asyncio.Queue(maxsize=4)
        self.watchers.add(queue)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look_on())
        return queue

    def leave(self, queue: asyncio.Queue[str]) -> None:
        """The page is gone."""
        self.watchers.discard(queue)

    async def _look_on(self) -> None:
        seen: Mark | None = None
        while self.watchers:
            try:
                mark: Mark | None = await run_in_threadpool(self._mark)
            except Retryable:
                mark = seen  # the books cannot be asked just now: look again
            if mark is not None and seen is not None and mark != seen:
                moved = {"events": mark.events != seen.events, "bulk": mark.bulk != seen.bulk}
                self._tell(json.dumps(moved))
            seen = mark
            await asyncio.sleep(LOOK_SECONDS)

    def _tell(self, words: str) -> None:
        for queue in self.watchers:
            if not queue.full():  # a page that does not listen is told again by the next word
                queue.put_nowait(words)

    def _mark(self) -> Mark:
        event, run, fix, item = TABLES[OutboxEvent], TABLES[RunRow], TABLES[BulkFix], TABLES[BulkItem]
        with self.hub.store.transaction() as tx:
            events = tx.raw.execute(sa.select(sa.func.coalesce(sa.func.max(event.c.position), 0))).scalar_one()
            moving = sa.select(sa.func.max(run.c.updated_at)).where(run.c.state.in_(("queued", "running", "waiting")))
            runs = tx.raw.execute(moving).scalar_one()
            going = sa.select(fix.c.bulk_no).where(fix.c.state.in_(("previewing", "running")))
            bulk = tx.raw.execute(sa.select(sa.func.max(item.c.at)).where(item.c.bulk_no.in_(going))).scalar_one()
            acts = tx.get(Counter, CHAIN)  # whatever people do is in the audit, which is sealed within a second
        return Mark(int(events), acts.value if acts else 0, str(runs), str(bulk))


async def live(request: Request) -> Response:
    """The stream of one page. Only for whoever is logged in."""
    sessions, pulse = request.app.state.sessions, request.app.state.pulse
    session = await run_in_threadpool(sessions.find, request.cookies.get(COOKIE, ""), seen=False)
    if session is None:
        return Response(status_code=401)
    if len(pulse.watchers) >= WATCHERS_MAX:
        return Response(status_code=503, headers={"retry-after": "30"})
    return StreamingResponse(_stream(request, pulse), media_type="text/event-stream")


async def _stream(request: Request, pulse: Pulse) -> AsyncIterator[str]:
    queue = pulse.join()
    ends = asyncio.get_running_loop().time() + LIFE_SECONDS
    try:
        yield "retry: 3000\n\n"
        while asyncio.get_running_loop().time() < ends and not await request.is_disconnected():
            try:
                words = await asyncio.wait_for(queue.get(), BEAT_SECONDS)
                yield f"event: moved\ndata: {words}\n\n"
            except TimeoutError:
                yield ": still here\n\n"
    finally:
        pulse.leave(queue)
