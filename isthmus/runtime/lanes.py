"""One API budget per connection for the whole fleet: places among the account's parallel requests, in PostgreSQL.

A place is an advisory lock, so a worker that dies gives its places back with its database connection. A worker that is
busy keeps a place from one request to the next for a moment, instead of asking the database each time; after its turn,
or when it is idle, it gives it back, so that other workers get theirs. Within a worker, priority decides who goes
first; across workers, bulk never takes the last place.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
import structlog

from isthmus.domain.errors import Throttled
from isthmus.ports.calls import BULK
from isthmus.ports.waiters import Waiters

log = structlog.get_logger("isthmus.lanes")
WAIT_SECONDS_MAX = 30.0
TURN_SECONDS = 0.2  # how long a busy worker may keep a place before others get a chance
IDLE_SECONDS = 0.05  # how long it keeps one it does not use
_ASK_AGAIN_SECONDS = 0.01


def _space_of(connection: str) -> int:
    """The space of advisory locks that are a connection's places."""
    return zlib.crc32(f"isthmus-budget:{connection}".encode()) & 0x7FFFFFFF


def places_taken(connection: sa.Connection, name: str) -> int:
    """How many places of a connection's budget are taken at this moment, by all workers of the fleet together."""
    taken = (
        "select count(*) from pg_locks where locktype = 'advisory' and classid = :space and objsubid = 2 and granted"
    )
    here = " and database = (select oid from pg_database where datname = current_database())"
    return int(connection.execute(sa.text(taken + here), {"space": _space_of(name)}).scalar_one())


class SharedPlaces:
    """At most limit requests at a time over all workers of the fleet. See kit.limits.Budget."""

    def __init__(
        self, engine: sa.Engine, connection: str, limit: int, wait_seconds_max: float = WAIT_SECONDS_MAX
    ) -> None:
        self._engine = engine
        self._space = _space_of(connection)
        self.limit = limit
        self._wait_seconds_max = wait_seconds_max
        self._waiters = Waiters()
        self._holder: sa.Connection | None = None
        self._held_since: dict[int, float] = {}  # places this worker holds
        self._idle_since: dict[int, float] = {}  # those of them that no request uses
        self._keeper: threading.Thread | None = None

    @contextmanager
    def slot(self, priority: int) -> Iterator[None]:
        """Hold one place for the length of a with-block. Throttled when none comes free in time."""
        place = self._wait_for_place(priority)
        try:
            yield
        finally:
            self._put_back(place)

    def _wait_for_place(self, priority: int) -> int:
        deadline = time.monotonic() + self._wait_seconds_max
        with self._waiters.lock:
            ticket = self._waiters.join(priority)
            try:
                while (left := deadline - time.monotonic()) > 0:
                    first = self._waiters.first(ticket)
                    if first and (place := self._take(priority)) is not None:
                        return place
                    # The first one asks again by itself: what another worker gives back, nobody tells.
                    ticket.turn.wait(min(left, _ASK_AGAIN_SECONDS) if first else left)
            finally:
                self._waiters.leave(ticket)
        raise Throttled(f"no place among {self.limit} parallel requests within {self._wait_seconds_max:g} s")

    def _take(self, priority: int) -> int | None:
        """A place this worker holds and does not use, else a new one. The last place is not for bulk."""
        usable = self.limit - 1 if priority == BULK and self.limit > 1 else self.limit
        for place in self._idle_since:
            if place < usable:
                del self._idle_since[place]
                return place
        for place in range(usable):
            if place not in self._held_since and self._ask("select pg_try_advisory_lock(:space, :place)", place):
                self._held_since[place] = time.monotonic()
                self._start_keeper()
                return place
        return None

    def _put_back(self, place: int) -> None:
        with self._waiters.lock:
            if time.monotonic() - self._held_since.get(place, 0.0) > TURN_SECONDS:
                self._give_up(place)
            else:
                self._idle_since[place] = time.monotonic()
            self._waiters.wake()

    def _give_up(self, place: int) -> None:
        if self._held_since.pop(place, None) is not None:
            self._idle_since.pop(place, None)
            self._ask("select pg_advisory_unlock(:space, :place)", place)

    def _start_keeper(self) -> None:
        if self._keeper is None:
            self._keeper = threading.Thread(target=self._keep, name="isthmus-places", daemon=True)
            self._keeper.start()

    def _keep(self) -> None:
        """Give idle places back; ends when none is held."""
        while True:
            time.sleep(IDLE_SECONDS / 2)
            with self._waiters.lock:
                self._give_up_idle()
                if not self._held_since:
                    self._keeper = None
                    return

    def _give_up_idle(self) -> None:
        horizon = time.monotonic() - IDLE_SECONDS
        for place in [p for p, since in self._idle_since.items() if since < horizon]:
            self._give_up(place)

    def _ask(self, statement: str, place: int) -> bool:
        """On one long-lived connection: session locks belong to it. When it breaks, its places are free for all."""
        try:
            if self._holder is None:
                self._holder = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            return bool(self._holder.execute(sa.text(statement), {"space": self._space, "place": place}).scalar())
        except sa.exc.SQLAlchemyError as broken:
            if self._holder is not None:
                self._holder.invalidate()
                self._holder.close()
            self._holder = None
            self._held_since.clear()
            self._idle_since.clear()
            log.warning("places", problem="the connection that holds the places broke", reason=str(broken))
            return False

    def close(self) -> None:
        """Give all places back."""
        with self._waiters.lock:
            self._held_since.clear()
            self._idle_since.clear()
            if self._holder is not None:
                self._holder.close()
                self._holder = None


class SharedWindow(SharedPlaces):
    """At most limit requests in any window of window_seconds, over all workers of the fleet.

    A request is counted from its start until one window after its answer: its place stays taken for so long. Places of
    a worker that died are free at once, so for the length of one window the fleet may then send more; what the other
    system answers to that is obeyed.
    """

    def __init__(
        self,
        engine: sa.Engine,
        connection: str,
        limit: int,
        window_seconds: float,
        wait_seconds_max: float = WAIT_SECONDS_MAX,
    ) -> None:
        super().__init__(engine, connection, limit, wait_seconds_max)
        self.window_seconds = window_seconds
        self._resting_until: dict[int, float] = {}
        self._look_again = 0.0  # the database is not asked for a hundred places every few milliseconds

    def _take(self, priority: int) -> int | None:
        """One whose window is over, else a new one."""
        now = time.monotonic()
        for place in [p for p, until in self._resting_until.items() if until <= now and p in self._held_since]:
            del self._resting_until[place]
            self._idle_since[place] = now
        if not self._idle_since and now < self._look_again:
            return None
        found = super()._take(priority)
        if found is None:
            self._look_again = now + min(0.1, self.window_seconds / 10)
        return found

    def _put_back(self, place: int) -> None:
        with self._waiters.lock:
            self._resting_until[place] = time.monotonic() + self.window_seconds
            self._waiters.wake()

    def _give_up_idle(self) -> None:
        """Also those whose window is over, so that other workers get them."""
        horizon = time.monotonic() - IDLE_SECONDS
        for place in [p for p, until in self._resting_until.items() if until < horizon]:
            del self._resting_until[place]
            self._give_up(place)
        super()._give_up_idle()
