"""The hub's own effect ledger around one connection, in memory: writes as a run makes them, until they are settled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from isthmus.app.conformance.samples import all_verbs
from isthmus.app.conformance.verdict import Broken
from isthmus.domain.errors import OutcomeUnknown, Retryable
from isthmus.kit.executor import Connection
from isthmus.runtime.clock import HandClock
from isthmus.runtime.engine import MemoryEngine
from isthmus.runtime.hashing import content_hash
from isthmus.runtime.kernel import Kernel
from isthmus.store.memory import MemoryStore
from isthmus.store.records import Effect, RunRow, RunState

TURNS_MAX = 50


class OneSystem:
    """Systems of a kernel that has one connection for everything."""

    told_apart: frozenset[str] = frozenset()

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def filling(self, port: str, entity: str, source: str = "", about: Any = None) -> Any:
        """See kernel.Systems."""
        return self.connection

    def fills(self, port: str, entity: str, source: str = "", about: Any = None) -> bool:
        """See kernel.Systems."""
        return True

    def all_filling(self, port: str, entity: str) -> list[Any]:
        """See kernel.Systems."""
        return [self.connection]


class Writer:
    """Writes through the ledger, again and again as the kernel would; its clock is moved instead of waited for."""

    def __init__(self, connection: Connection) -> None:
        self.clock = HandClock(datetime(2026, 3, 6, 12, tzinfo=UTC))
        self.store = MemoryStore()
        self.kernel = Kernel(self.store, self.clock, MemoryEngine(), OneSystem(connection))
        self.turns = 0

    def write(self, verb: str, arguments: tuple[Any, ...], run: str = "conformance/1") -> tuple[Any, Effect]:
        """The result of a write and its row in the ledger, once it is settled. Broken when it never is."""
        return self.write_all(verb, [arguments], run)[0], self._effect(verb, arguments)

    def write_all(self, verb: str, arguments: list[tuple[Any, ...]], run: str = "conformance/1") -> list[Any]:
        """The results of several writes of one step, once all are settled."""
        for _ in range(TURNS_MAX):
            self.turns += 1
            try:
                results, effects = self.kernel.ledger.write(self._row(run), 1, all_verbs()[verb], arguments)
                self.kernel.ledger.keep(effects)
                return results
            except (Retryable, OutcomeUnknown) as later:
                wait = getattr(later, "after_seconds", None)
                self.clock.move(timedelta(seconds=wait or 60.0))
        raise Broken(f"{verb} is not settled after {TURNS_MAX} turns")

    def _effect(self, verb: str, arguments: tuple[Any, ...]) -> Effect:
        hashed = content_hash(list(arguments))
        with self.store.transaction() as tx:
            return next(e for e in tx.find(Effect, verb=verb) if e.args_hash == hashed)

    def _row(self, run_id: str) -> RunRow:
        process, _, key = run_id.partition("/")
        now = self.clock.now()
        return RunRow(
            run_id=run_id,
            process=process,
            key=key,
            args={},
            args_hash="",
            state=RunState.RUNNING,
            correlation_id=run_id,
            created_at=now,
            updated_at=now,
        )
