"""One API budget per connection, shared by priority, so that bulk work never starves the posting of an invoice.

Priorities: 0 financial posting, 1 delivery and master data, 2 bulk. A waiting call of a better priority goes first;
bulk never takes the last place.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from isthmus.domain.errors import Throttled
from isthmus.kit.manifest import LimitFacts
from isthmus.ports.calls import BULK
from isthmus.ports.waiters import Waiters

WAIT_SECONDS_MAX = 30.0


class Budget(Protocol):
    """Permission to send one request."""

    def slot(self, priority: int) -> AbstractContextManager[None]:
        """Hold one place for the length of a with-block. Throttled when none comes free in time."""
        ...


class Unlimited:
    """For vendors that publish no limit."""

    @contextmanager
    def slot(self, priority: int) -> Iterator[None]:
        """No waiting."""
        yield


class Concurrency:
    """A semaphore over the account's parallel requests. Bulk leaves one place free when there is more than one."""

    def __init__(self, limit: int, wait_seconds_max: float = WAIT_SECONDS_MAX) -> None:
        self.limit = limit
        self.in_use = 0
        self._queue = Waiters()
        self._wait_seconds_max = wait_seconds_max

    def _room(self, priority: int) -> bool:
        reserved = 1 if priority == BULK and self.limit > 1 else 0
        return self.in_use < self.limit - reserved

    @contextmanager
    def slot(self, priority: int) -> Iterator[None]:
        """Wait for a place, at most wait_seconds_max."""
        with self._queue.lock:
            ticket = self._queue.join(priority)
            try:
                free = ticket.turn.wait_for(
                    lambda: self._queue.first(ticket) and self._room(priority), self._wait_seconds_max
                )
            finally:
                self._queue.leave(ticket)
            if not free:
                raise Throttled(f"no place among {self.limit} parallel requests within {self._wait_seconds_max:g} s")
            self.in_use += 1
        try:
            yield
        finally:
            with self._queue.lock:
                self.in_use -= 1
                self._queue.wake()


class Window:
    """At most limit requests in any window of window_seconds, as the vendor counts them.

    The vendor counts when a request arrives, which is some time between its start and its answer; so it is counted from
    its start until one window after its answer. Bulk leaves one place free when there is more than one.
    """

    def __init__(self, limit: int, window_seconds: float, wait_seconds_max: float = WAIT_SECONDS_MAX) -> None:
        self.limit = limit
        self.window_seconds = window_seconds
        self._under_way = 0
        self._answered: deque[float] = deque()
        self._queue = Waiters()
        self._wait_seconds_max = wait_seconds_max

    @contextmanager
    def slot(self, priority: int) -> Iterator[None]:
        """Wait until one of the counted requests is out of its window, at most wait_seconds_max."""
        deadline = time.monotonic() + self._wait_seconds_max
        with self._queue.lock:
            ticket = self._queue.join(priority)
            try:
                while not (self._queue.first(ticket) and self._room(priority)):
                    if time.monotonic() >= deadline:
                        text = f"no place among {self.limit} requests in {self.window_seconds:g} s"
                        raise Throttled(f"{text} within {self._wait_seconds_max:g} s")
                    ticket.turn.wait(min(self._wait(), deadline - time.monotonic()))
            finally:
                self._queue.leave(ticket)
            self._under_way += 1
        try:
            yield
        finally:
            with self._queue.lock:
                self._under_way -= 1
                self._answered.append(time.monotonic())
                self._queue.wake()

    def _room(self, priority: int) -> bool:
        horizon = time.monotonic() - self.window_seconds
        while self._answered and self._answered[0] <= horizon:
            self._answered.popleft()
        reserved = 1 if priority == BULK and self.limit > 1 else 0
        return self._under_way + len(self._answered) < self.limit - reserved

    def _wait(self) -> float:
        oldest = self._answered[0] if self._answered else time.monotonic()
        return max(0.001, oldest + self.window_seconds - time.monotonic())


def make_budget(facts: LimitFacts) -> Budget:
    """The budget a manifest asks for, within this process."""
    if facts.kind == "concurrency":
        return Concurrency(facts.limit)
    if facts.kind == "window":
        return Window(facts.limit, facts.window_seconds)
    return Unlimited()
