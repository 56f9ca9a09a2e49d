"""What stands between a connection and its budget: maintenance windows, a circuit breaker, and a pace that adapts.

    admitted?     in a maintenance window nothing is sent: it waits until the window ends
    broken?       after several failures in a row nothing is sent for a while, then one request tries for all
    how many?     fewer at once after every "too many requests", one more again with every answer
    budget        the account's own limit, shared by all workers (kit.limits, runtime.lanes)

Each says "nothing was sent" (Unreachable, Throttled) with the seconds to wait, so the caller's run waits by itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from isthmus.domain.errors import IsthmusError, OutcomeUnknown, Throttled, Unreachable
from isthmus.kit.limits import WAIT_SECONDS_MAX, Budget
from isthmus.ports.calls import BULK
from isthmus.ports.waiters import Waiters

Monotonic = Callable[[], float]
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
AT_ONCE_MAX = 64
# A quota that is used up for an hour may be raised, or was a guess: so often at least it is asked whether it is over.
PATIENCE_SECONDS_MAX = 30.0
NOT_ANSWERED = "has not answered for a while"  # what callers are told while the breaker is open


# -- maintenance -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MaintenanceWindow:
    """When the other system is not to be called: once (begins is a moment), or every week (weekday and time of day).

    minutes: how long. drain_seconds: so long before it begins no bulk work is sent any more, so that what is under way
    has come to its end when it does.
    """

    minutes: int
    begins: datetime | None = None
    weekday: str = ""
    at: str = ""
    time_zone: str = "UTC"
    drain_seconds: float = 60.0

    def around(self, now: datetime) -> tuple[datetime, datetime]:
        """(begin, end) of the window that is on, or the next one; of one that is over, the last."""
        length = timedelta(minutes=self.minutes)
        if self.begins is not None:
            return self.begins, self.begins + length
        local = now.astimezone(ZoneInfo(self.time_zone))
        hour, minute = (int(part) for part in self.at.split(":"))
        back = (local.weekday() - WEEKDAYS.index(self.weekday)) % 7
        day = local.date() - timedelta(days=back)
        for each in (day, day + timedelta(days=7)):
            # Wall time, whatever the clocks have done since: a window at 22:00 is at 22:00 in summer and in winter.
            begin = datetime(each.year, each.month, each.day, hour, minute, tzinfo=ZoneInfo(self.time_zone))
            if now < begin + length:
                break
        return begin, begin + length


class Maintenance:
    """The windows of one connection, and a hold by hand. Work is drained before, held during, and goes on after."""

    def __init__(self, windows: Sequence[MaintenanceWindow] = (), now: Callable[[], datetime] | None = None) -> None:
        self._windows = tuple(windows)
        self._now = now or (lambda: datetime.now(UTC))
        self._held_until: datetime | None = None

    def hold(self, until: datetime) -> None:
        """Send nothing until then."""
        self._held_until = until

    def resume(self) -> None:
        """End a hold by hand."""
        self._held_until = None

    def seconds_left(self, priority: int) -> float:
        """How long a call of this priority is to wait; 0 when it may go."""
        now = self._now()
        ends = [self._held_until] if self._held_until and now < self._held_until else []
        for window in self._windows:
            begin, end = window.around(now)
            lead = timedelta(seconds=window.drain_seconds if priority == BULK else 0)
            if begin - lead <= now < end:
                ends.append(end)
        return max(((end - now).total_seconds() for end in ends), default=0.0)


# -- the circuit breaker -----------------------------------------------------------------------------------------


class Breaker:
    """Closed: calls go. Open: after several failures in a row, none goes for a while, each time longer. Half open:
    one goes and decides for all.
    """

    def __init__(
        self,
        failures: int = 5,
        cool_seconds: float = 1.0,
        cool_seconds_max: float = 30.0,
        now: Monotonic = time.monotonic,
    ) -> None:
        self._failures_max = failures
        self._cool_first, self._cool_max = cool_seconds, cool_seconds_max
        self._now = now
        self._lock = threading.Lock()
        self._failures = 0
        self._cool = cool_seconds
        self._open_until: float | None = None
        self._probing = False

    @property
    def state(self) -> Literal["closed", "open", "half_open"]:
        """How it stands now."""
        with self._lock:
            if self._open_until is None:
                return "closed"
            return "open" if self._now() < self._open_until else "half_open"

    def seconds_left(self) -> float:
        """How long a call is to wait; 0 when it may go. Of a half open breaker only the first caller may."""
        with self._lock:
            if self._open_until is None:
                return 0.0
            left = self._open_until - self._now()
            if left > 0:
                return left
            if self._probing:
                return self._cool_first
            self._probing = True
            return 0.0

    def answered(self) -> None:
        """The other system is there."""
        with self._lock:
            self._failures, self._cool, self._open_until, self._probing = 0, self._cool_first, None, False

    def failed(self) -> None:
        """It did not answer, or only that it cannot."""
        with self._lock:
            self._failures += 1
            if self._probing:
                self._cool = min(self._cool * 2, self._cool_max)
            if self._probing or self._failures >= self._failures_max:
                self._open_until, self._probing = self._now() + self._cool, False

    def gave_up(self) -> None:
        """The one that was to try was not sent after all: another may."""
        with self._lock:
            self._probing = False


# -- the pace ----------------------------------------------------------------------------------------------------


class Pace:
    """How many requests at once the other system bears: halved by each "too many requests", one more again after as
    many answers as there are places. Until the patience it asked for is over, nothing is sent.
    """

    def __init__(
        self, most: int = AT_ONCE_MAX, wait_seconds_max: float = WAIT_SECONDS_MAX, now: Monotonic = time.monotonic
    ) -> None:
        self._most = most
        self._allowed = float(most)
        self._under_way = 0
        self._not_before = 0.0
        self._waiters = Waiters()
        self._wait_max = wait_seconds_max
        self._now = now

    @property
    def allowed(self) -> int:
        """Requests at once, now."""
        return int(self._allowed)

    @contextmanager
    def slot(self, priority: int) -> Iterator[None]:
        """Hold one place for the length of a with-block; better priorities first.

        Throttled when it takes too long, at once when the patience asked for is longer than a moment: a run that waits
        holds no worker.
        """
        self._enter(priority)
        try:
            yield
        finally:
            with self._waiters.lock:
                self._under_way -= 1
                self._waiters.wake()

    def _enter(self, priority: int) -> None:
        deadline = self._now() + self._wait_max
        with self._waiters.lock:
            ticket = self._waiters.join(priority)
            try:
                while not (self._waiters.first(ticket) and self._free()):
                    left = self._not_before - self._now()
                    if left > 1.0 or self._now() >= deadline:
                        raise Throttled("the other system has asked for patience", max(left, 1.0))
                    until = deadline if left <= 0 else min(deadline, self._not_before)
                    ticket.turn.wait(max(0.001, until - self._now()))
            finally:
                self._waiters.leave(ticket)
            self._under_way += 1

    def _free(self) -> bool:
        return self._now() >= self._not_before and self._under_way < int(self._allowed)

    def answered(self) -> None:
        """One more at once, little by little."""
        with self._waiters.lock:
            self._allowed = min(float(self._most), self._allowed + 1 / max(self._allowed, 1.0))
            self._waiters.wake()

    def throttled(self, after_seconds: float | None) -> None:
        """Half as many as were under way, and none before the time it names; after half a minute one asks again."""
        with self._waiters.lock:
            busy = min(self._allowed, float(max(self._under_way, 1)))
            self._allowed = max(1.0, busy / 2)
            patience = min(after_seconds or 0.0, PATIENCE_SECONDS_MAX)
            self._not_before = max(self._not_before, self._now() + patience)

    def resume(self) -> None:
        """As at the beginning."""
        with self._waiters.lock:
            self._allowed, self._not_before = float(self._most), 0.0
            self._waiters.wake()


# -- all of it ---------------------------------------------------------------------------------------------------


class Traffic:
    """One connection's traffic. Whoever sends asks for a place, and tells what came of it."""

    def __init__(
        self,
        name: str,
        budget: Budget,
        *,
        maintenance: Maintenance | None = None,
        breaker: Breaker | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.maintenance = maintenance or Maintenance()
        self.breaker = breaker or Breaker()
        self.pace = pace or Pace()
        self._budget = budget
        self._name = name
        self._lock = threading.Lock()
        self._under_way = 0

    @contextmanager
    def place(self, priority: int) -> Iterator[None]:
        """A place for one request. Unreachable or Throttled, with the seconds to wait, when it is not to be sent."""
        held = self.maintenance.seconds_left(priority)
        if held > 0:
            raise Unreachable(f"{self._name} is in a maintenance window for {held:.0f} s more: nothing is sent", held)
        broken = self.breaker.seconds_left()
        if broken > 0:
            raise Unreachable(f"{self._name} {NOT_ANSWERED}: it is tried again in {broken:.1f} s", broken)
        with self._lock:
            self._under_way += 1
        try:
            with self.pace.slot(priority), self._budget.slot(priority):
                yield
        except BaseException:
            self.breaker.gave_up()  # no place, or no answer; one that has failed has said so before
            raise
        finally:
            with self._lock:
                self._under_way -= 1

    def heard(self, error: IsthmusError | None) -> None:
        """What came of a request: None or an error of the other system's own is an answer."""
        if isinstance(error, Throttled):
            self.breaker.answered()
            if error.widely:
                self.pace.throttled(error.after_seconds)
        elif isinstance(error, Unreachable | OutcomeUnknown):
            self.breaker.failed()
        else:
            self.breaker.answered()
            self.pace.answered()

    def resume(self) -> None:
        """Forget holds, failures and what patience was asked for: somebody knows that all is well again."""
        self.maintenance.resume()
        self.breaker.answered()
        self.pace.resume()

    def drained(self, wait_seconds: float) -> bool:
        """Wait until nothing is under way; False when something still is."""
        deadline = time.monotonic() + wait_seconds
        while self._under_way and time.monotonic() < deadline:
            time.sleep(0.005)
        return self._under_way == 0
