"""Who goes first among the calls to one system: better priority (ports.calls), then earlier arrival."""

from __future__ import annotations

import heapq
import itertools
import threading
from dataclasses import dataclass, field


@dataclass(order=True)
class Ticket:
    """A place in the queue: better priority first, then earlier arrival. turn: notified when it is first."""

    priority: int
    number: int
    turn: threading.Condition = field(compare=False)


class Waiters:
    """Callers waiting in order of priority, then arrival. Everything under its lock.

    Only the first is ever woken: of many that wait, all others would look, find nothing and wait again.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._arrivals = itertools.count()
        self._waiting: list[Ticket] = []

    def join(self, priority: int) -> Ticket:
        """A ticket in the queue."""
        ticket = Ticket(priority, next(self._arrivals), threading.Condition(self.lock))
        heapq.heappush(self._waiting, ticket)
        return ticket

    def first(self, ticket: Ticket) -> bool:
        """True when nobody goes before it."""
        return self._waiting[0] is ticket

    def leave(self, ticket: Ticket) -> None:
        """Give the ticket back, and let the next one look."""
        self._waiting.remove(ticket)
        heapq.heapify(self._waiting)
        self.wake()

    def wake(self) -> None:
        """Let the first one look whether there is room now."""
        if self._waiting:
            self._waiting[0].turn.notify()
