"""Who runs the runs. The kernel says that a run is due; an engine sees that some worker advances it, once."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from isthmus.store.records import RunRow
from isthmus.store.tx import Tx

LANES: dict[str, int] = {"financial": 1, "standard": 5, "bulk": 9}  # lane -> priority, lower goes first


class Engine(Protocol):
    """Durable on PostgreSQL (engine_dbos), deterministic in memory (MemoryEngine)."""

    def enqueue(self, tx: Tx, run: RunRow) -> None:
        """Make the run's current attempt due, together with the transaction."""
        ...


class MemoryEngine:
    """A queue in this process. What is due is read from the run table after a crash, as a real queue would keep it."""

    def __init__(self) -> None:
        self.due: deque[tuple[str, int, int]] = deque()

    def enqueue(self, tx: Tx, run: RunRow) -> None:
        """See Engine."""
        self.due.append((run.run_id, run.attempt, LANES[run.lane]))

    def take(self, position: int = 0) -> tuple[str, int] | None:
        """The due run at a position (a simulation chooses), best priority first at position 0; None when idle."""
        if not self.due:
            return None
        ordered = sorted(range(len(self.due)), key=lambda i: (self.due[i][2], i))
        index = ordered[position % len(ordered)]
        run_id, attempt, _ = self.due[index]
        del self.due[index]
        return run_id, attempt
