"""The standing loops of a worker: asking systems for changes, gathering, waking, handing events on, sealing.

A loop never ends by itself and never fails in silence. What its failure means is in the error's class:

    nothing happened there   again at the next turn; after a while a case tells a person, and closes itself
    credentials or rights    the connection pauses, one case for all its work, as when a run meets it
    anything else            a case at once, and again at the next turn; it closes itself once the loop works again
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import psycopg
import sqlalchemy as sa
import structlog

from isthmus.domain.errors import IsthmusError, NeedsDecision, NeedsSetup, OutcomeUnknown, Retryable
from isthmus.runtime.hashing import content_hash
from isthmus.runtime.kernel import BUGS, Kernel
from isthmus.store.records import RunRow, RunState

log = structlog.get_logger("isthmus.runtime")
CASE = "EX-STANDSTILL"
# A loop outlives also what is a bug: one message nobody foresaw must not end the gathering of all others.
FAILURES = (IsthmusError, *BUGS, RuntimeError, OSError, sa.exc.SQLAlchemyError, psycopg.Error)
LOOK_AGAIN = timedelta(minutes=1)  # how often a loop that works looks for a case another worker may have left


class Loop:
    """One loop of one worker. task: what it does, in words that follow "cannot"."""

    def __init__(self, kernel: Kernel, name: str, task: str) -> None:
        self._kernel = kernel
        self._task = task
        self._run_id = f"loop/{name}"
        self._failing_since: datetime | None = None
        self._looked_at: datetime | None = None

    def turn(self, work: Callable[[], int]) -> int:
        """Work once; how much there was to do. 0 when it failed."""
        try:
            done = work()
            self._works()
            return done
        except FAILURES as error:
            self._fails(error)
            return 0

    def _works(self) -> None:
        now = self._kernel.clock.now()
        due = self._looked_at is None or not self._looked_at <= now < self._looked_at + LOOK_AGAIN
        if self._failing_since is None and not due:
            return
        with self._kernel.store.transaction() as tx:
            self._kernel.close_alert(tx, self._run_id, CASE)
        self._failing_since, self._looked_at = None, now

    def _fails(self, error: BaseException) -> None:
        now = self._kernel.clock.now()
        self._failing_since = since = self._failing_since or now
        said = str(error) if isinstance(error, IsthmusError) else f"{type(error).__name__}: {error}"
        log.warning("loop", loop=self._run_id, reason=said, bug=not isinstance(error, IsthmusError))
        patient = isinstance(error, Retryable | OutcomeUnknown)
        if patient and timedelta(0) <= now - since < self._kernel.pace.alert_after:
            return
        try:
            self._tell(error, f"cannot {self._task} since {since:%Y-%m-%d %H:%M} UTC: {said}")
        except FAILURES as also:
            log.error("loop", loop=self._run_id, problem="not even a case could be opened", reason=str(also))

    def _tell(self, error: BaseException, cause: str) -> None:
        row = keeper(self._run_id, self._task, self._kernel.clock.now())
        with self._kernel.store.transaction() as tx:
            if isinstance(error, NeedsSetup) and error.connection:
                self._kernel.pause(tx, row, self._task, error)
                return
            tx.lock(self._run_id)
            told = NeedsDecision(CASE, cause, queue="integration", actions=())
            self._kernel.open_case(tx, row, 0, self._task, told)


def keeper(run_id: str, task: str, now: datetime) -> RunRow:
    """What a case is kept under that belongs to no run. It is never stored."""
    return RunRow(
        run_id=run_id,
        process="loop",
        key=task,
        args={},
        args_hash=content_hash({}),
        state=RunState.RUNNING,
        correlation_id=run_id,
        created_at=now,
        updated_at=now,
    )
