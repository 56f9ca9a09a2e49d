"""Looks into the lanes when something is due there, and not all the time.

DBOS asks the database about each of its queues at every turn, several statements each, which costs an idle worker a
fifth of a core. Whoever queues an attempt says so with its commit (NOTIFY); a worker that hears looks at its next turn.
A word that got lost costs a second: so often every lane is looked into anyway. While nobody listens, at every turn.

It stands between DBOS's queue threads and their questions, for the pinned version (docs/decisions/0002).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from isthmus.runtime.bells import hear

CHANNEL = "isthmus_due"
LOOK_ANYWAY_SECONDS = 1.0
QUEUE_KEPT_SECONDS = 10.0  # how long what DBOS keeps about a queue, which we alone write, is taken as read


class Lookout:
    """What one worker knows of its lanes."""

    def __init__(self, lanes: Iterable[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._due = set(lanes)
        self._looked_at = dict.fromkeys(self._due, 0.0)
        self._queues: dict[str, tuple[float, Any]] = {}
        self._listening = False

    def listen(self, url: str, stopping: Callable[[], bool]) -> None:
        """Hear what is queued until stopping."""
        hear(url, CHANNEL, self.heard, stopping, self._hears)

    def _hears(self, listening: bool) -> None:
        """What was said before, or while the connection was broken, nobody has heard."""
        with self._lock:
            self._listening = listening
            self._due.update(self._looked_at)

    def heard(self, lane: str) -> None:
        """Something is due in a lane."""
        with self._lock:
            self._due.add(lane)

    def is_due(self, lane: str) -> bool:
        """True when a look is worth it. Queues that are not ours are always looked into."""
        with self._lock:
            if lane not in self._looked_at or not self._listening or lane in self._due:
                return True
            return self._clock() - self._looked_at[lane] >= LOOK_ANYWAY_SECONDS

    def stand_before(self, database: Any) -> None:
        """Answer what need not be asked: between a DBOS system database and its queue threads."""
        scopes, start, queue = database.dequeue_scopes, database.start_queued_workflows, database.get_queue
        assert callable(database._is_latest_version), "the pinned dbos has another shape"

        def dequeue_scopes(name: str) -> list[str | None]:
            return list(scopes(name)) if self.is_due(name) else []

        def start_queued_workflows(asked: Any, *args: Any, **more: Any) -> tuple[list[str], Any]:
            with self._lock:  # before the look: what is queued meanwhile says so again
                self._due.discard(asked.name)
                if asked.name in self._looked_at:
                    self._looked_at[asked.name] = self._clock()
            try:
                claimed, why_not = start(asked, *args, **more)
            except BaseException:
                self.heard(asked.name)
                raise
            if claimed:  # there may be more
                self.heard(asked.name)
            return claimed, why_not

        def get_queue(name: str, **more: Any) -> Any:
            at, known = self._queues.get(name, (0.0, None))
            if known is None or more or self._clock() - at > QUEUE_KEPT_SECONDS:
                known = queue(name, **more)
                self._queues[name] = (self._clock(), known)
            return known

        database.dequeue_scopes, database.start_queued_workflows = dequeue_scopes, start_queued_workflows
        database.get_queue = get_queue
        # Only workflows of the one pinned version are ever queued, so no other version is later than ours.
        database._is_latest_version = lambda *_: True
