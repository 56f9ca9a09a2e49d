"""What a seed lets go wrong: crashes at any checkpoint and commit, faulty calls, outages, clocks that jump.

Everything random comes from one ``random.Random``, in the order of the program, so a seed is a whole history.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from isthmus.domain.errors import LostRace
from isthmus.runtime.clock import HandClock
from isthmus.runtime.engine import MemoryEngine
from isthmus.store.memory import MemoryStore, MemoryTx
from isthmus.store.records import RunRow
from isthmus.store.tx import Tx

READ_FAULTS = ("unreachable", "unreachable", "throttled", "stale", "locked_out")
LOOKUP_FAULTS = ("stale", "stale", "stale", "unreachable", "throttled")
WRITE_FAULTS = ("unreachable", "throttled", "lost_before", "lost_after", "lost_after", "refused", "locked_out")
OUTAGE = timedelta(hours=1)


class SimulatedCrash(BaseException):
    """The process dies here. A BaseException: nothing in the hub may catch it."""


@dataclass
class Counts:
    """What has happened in the worlds so far."""

    seeds: int = 0
    runs: int = 0
    crashes: int = 0
    faults: int = 0
    lookups: int = 0
    resends: int = 0
    duplicates: int = 0
    invoices: int = 0
    cases: int = 0

    def add(self, other: Counts) -> None:
        """Sum up."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


class WorldClock(HandClock):
    """The hub's clock, which may be set back, and physical time, which only goes on."""

    def __init__(self, start: datetime) -> None:
        super().__init__(start)
        self.physical = timedelta(0)

    def move(self, by: timedelta) -> None:
        """See HandClock; forward means that so much time has really passed."""
        super().move(by)
        self.physical += max(by, timedelta(0))

    def move_to(self, instant: datetime) -> None:
        """See HandClock."""
        self.move(max(instant - self.now(), timedelta(0)))


@dataclass
class Storm:
    """Decides at every call, checkpoint and commit whether something goes wrong. Calm when rough is 0."""

    rng: random.Random
    clock: WorldClock
    rough: float
    counts: Counts = field(default_factory=Counts)
    dead: bool = False
    outages: dict[str, timedelta] = field(default_factory=dict)
    crash_chance: float = 0.004
    only: tuple[str, ...] = ()

    def next_fault(self, system: str, verb: str, write: bool) -> str | None:
        """See fakes.Weather."""
        if self.outages.get(system, timedelta(0)) > self.clock.physical:
            return "unreachable"
        looking = verb.startswith("find_")
        if self.rough == 0 or self.rng.random() >= self.rough * (3 if looking else 1):
            return None
        self.counts.faults += 1
        return self.rng.choice(WRITE_FAULTS if write else LOOKUP_FAULTS if looking else READ_FAULTS)

    def begin_outage(self, system: str) -> None:
        """An hour of nothing from one system."""
        self.outages[system] = self.clock.physical + OUTAGE

    def clear(self) -> None:
        """From now on the weather is calm."""
        self.rough, self.outages = 0.0, {}

    def checkpoint(self, name: str) -> None:
        """See Kernel.checkpoint: the process may die here, or a commit may lose a race."""
        if self.rough and name.startswith("committing") and self.rng.random() < self.crash_chance:
            raise LostRace(f"another worker was first at {name!r}")
        self.maybe_crash()

    def maybe_crash(self) -> None:
        """Die, by chance."""
        if self.dead or (self.rough and self.rng.random() < self.crash_chance):
            self.counts.crashes += not self.dead
            self.dead = True
            raise SimulatedCrash


class StormyStore(MemoryStore):
    """The books survive a crash; a transaction in progress does not. A dead process writes nothing more."""

    def __init__(self, storm: Storm) -> None:
        super().__init__()
        self.storm = storm

    @contextmanager
    def transaction(self) -> Iterator[MemoryTx]:
        """See Store: may die just before or just after the commit."""
        if self.storm.dead:
            raise SimulatedCrash
        with super().transaction() as tx:
            yield tx
            self.storm.maybe_crash()
        self.storm.maybe_crash()


class TransactionalEngine(MemoryEngine):
    """A queue as a database keeps it: what is rolled back was never queued."""

    def enqueue(self, tx: Tx, run: RunRow) -> None:
        """See Engine."""
        super().enqueue(tx, run)
        entry = self.due[-1]
        assert isinstance(tx, MemoryTx)
        tx._undo.append(lambda: self.due.remove(entry))
