"""One API budget per connection for the whole fleet: places among the account's parallel requests, in PostgreSQL.

A place is an advisory lock, so a worker that dies gives its places back with its database connection. Within a worker,
priority decides who asks first; across workers, bulk never takes the last place.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from isthmus.domain.errors import Throttled
from isthmus.ports.calls import BULK

WAIT_SECONDS_MAX = 30.0
_PAUSE_SECONDS = 0.005


class SharedPlaces:
    """At most limit requests at a time over all workers of the fleet. See kit.limits.Budget."""

    def __init__(
        self, engine: sa.Engine, connection: str, limit: int, wait_seconds_max: float = WAIT_SECONDS_MAX
    ) -> None:
        self._engine = engine
        self._space = zlib.crc32(f"isthmus-budget:{connection}".encode()) & 0x7FFFFFFF
        self.limit = limit
        self._wait_seconds_max = wait_seconds_max
        self._lock = threading.Lock()
        self._holder: sa.Connection | None = None
        self._mine: set[int] = set()
        self._waiting: list[tuple[int, int]] = []
        self._arrivals = 0

    @contextmanager
    def slot(self, priority: int) -> Iterator[None]:
        """Hold one place for the length of a with-block. Throttled when none comes free in time."""
        place = self._wait_for_place(priority)
        try:
            yield
        finally:
            self._release(place)

    def _wait_for_place(self, priority: int) -> int:
        deadline = time.monotonic() + self._wait_seconds_max
        with self._lock:
            self._arrivals += 1
            ticket = (priority, self._arrivals)
            self._waiting.append(ticket)
        try:
            while time.monotonic() < deadline:
                with self._lock:
                    if min(self._waiting) == ticket and (place := self._try(priority)) is not None:
                        return place
                time.sleep(_PAUSE_SECONDS)
        finally:
            with self._lock:
                self._waiting.remove(ticket)
        raise Throttled(f"no place among {self.limit} parallel requests within {self._wait_seconds_max:g} s")

    def _try(self, priority: int) -> int | None:
        # The last place is not for bulk: bulk only tries the places before it.
        places = self.limit - 1 if priority == BULK and self.limit > 1 else self.limit
        for place in range(places):
            if place not in self._mine and self._execute("select pg_try_advisory_lock(:space, :place)", place):
                self._mine.add(place)
                return place
        return None

    def _release(self, place: int) -> None:
        with self._lock:
            self._execute("select pg_advisory_unlock(:space, :place)", place)
            self._mine.discard(place)

    def _execute(self, statement: str, place: int) -> bool:
        """On one long-lived connection: session locks belong to it."""
        if self._holder is None or self._holder.closed:
            self._holder = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            self._mine.clear()
        return bool(self._holder.execute(sa.text(statement), {"space": self._space, "place": place}).scalar())
