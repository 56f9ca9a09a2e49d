"""The heart: starts runs, advances them, parks, waits, wakes, resolves and cancels; everything in transactions.

The kernel knows no vendor and no transport. Store, clock, engine, systems and gate are passed in, so the same kernel
runs on PostgreSQL with DBOS and in memory under a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

import structlog

from isthmus.domain.errors import (
    BadInput,
    IllegalTransition,
    IsthmusError,
    NeedsDecision,
    NeedsSetup,
    NotFound,
    SameKeyOtherContent,
)
from isthmus.domain.states import CaseState
from isthmus.ports.calls import BULK, FINANCIAL, STANDARD, priority_of_call
from isthmus.runtime.books import Books
from isthmus.runtime.casework import Casework
from isthmus.runtime.clock import Clock
from isthmus.runtime.effects import Ledger
from isthmus.runtime.engine import Engine
from isthmus.runtime.gate import Gate
from isthmus.runtime.hashing import content_hash
from isthmus.runtime.process import PROCESSES
from isthmus.runtime.run import Cancelled, Run, Stop, Superseded
from isthmus.store.records import (
    Case,
    ConnectionState,
    Effect,
    OutboxEvent,
    RunRow,
    RunState,
    RunStep,
)
from isthmus.store.tx import Store, Tx

log = structlog.get_logger("isthmus.runtime")
PRIORITY = {"financial": FINANCIAL, "standard": STANDARD, "bulk": BULK}
LIVE = (RunState.QUEUED, RunState.RUNNING)
BUGS = (AssertionError, TypeError, AttributeError, LookupError, ValueError, ArithmeticError)
RESCUES_MAX = 5
HELD_FOR = timedelta(milliseconds=250)


@dataclass
class _Claim:
    """The run that this thread advances, as it was claimed, and when it was last seen to be still ours."""

    row: RunRow
    seen_at: datetime | None = None


_held: ContextVar[_Claim | None] = ContextVar("held", default=None)


class Systems(Protocol):
    """Which connection fills a port for a legal entity.

    source: of several that do, the one with this system; about: the one for contracts with these financial dimensions.
    told_apart: ports of which connections are told apart by dimensions.
    """

    told_apart: frozenset[str]

    def filling(self, port: str, entity: str, source: str = "", about: Mapping[str, str] | None = None) -> Any:
        """The connection: verbs as methods, plus name, writes_as (as the write gate knows it), strategy(verb) and
        settling_time. NeedsSetup when none.
        """
        ...

    def fills(self, port: str, entity: str, source: str = "", about: Mapping[str, str] | None = None) -> bool:
        """True when a connection fills the port for the legal entity."""
        ...

    def all_filling(self, port: str, entity: str) -> list[Any]:
        """Every connection that fills the port for the legal entity, whatever contracts it is for."""
        ...


@dataclass(frozen=True)
class Pace:
    """How patient the runtime is. alert_after: how long a run may wait before a person is told."""

    wait_seconds_first: float = 0.5
    wait_seconds_max: float = 60.0
    alert_after: timedelta = timedelta(minutes=15)


class Subscriber(NamedTuple):
    """Who hears of which types of event, and what it does with one of them.

    concerned: which of many events it has to look at one by one; the others mean nothing to it. Asked once for all that
    are handed over together, so that a burst costs one question and not one for each event.
    """

    types: frozenset[str]
    handle: Callable[[Books, OutboxEvent], None]
    concerned: Callable[[Tx, Sequence[OutboxEvent]], list[OutboxEvent]] = lambda tx, events: list(events)


@dataclass
class Kernel:
    """See the module. told, filed, checkpoint and fence are hooks: live timeline, desk, crash tests, fleet lease.

    filed: what the desk adds to a new case before it is kept: owner, deadline, what it is about.
    """

    store: Store
    clock: Clock
    engine: Engine
    systems: Systems
    gate: Gate = field(default_factory=Gate)
    subscribers: dict[str, Subscriber] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)
    parallel_sends: int = 1
    looks_up: bool = True
    told: Callable[[RunRow, RunStep], None] = lambda row, step: None
    filed: Callable[[Tx, Case], Case] = lambda tx, case: case
    checkpoint: Callable[[str], None] = lambda name: None
    fence: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.ledger = Ledger(self)
        self.casework = Casework(self)

    def subscribers_of(self, event_type: str) -> Iterable[str]:
        """Names of the subscribers of an event type."""
        return [name for name, subscriber in self.subscribers.items() if event_type in subscriber.types]

    def books(self, tx: Tx, *, key: str, actor: str, correlation_id: str = "") -> Books:
        """Books for a request that is not a run."""
        return Books(self, tx, run_id=key, correlation_id=correlation_id or key, actor=actor)

    # -- starting and advancing -------------------------------------------------------------------------------

    def start(
        self, tx: Tx, process_name: str, key: str, args: dict[str, Any], *, entity: str = "", correlation_id: str = ""
    ) -> RunRow:
        """The run of a process for a business key: a new one is queued, the same again is returned as it is.

        SameKeyOtherContent when the key was started with other arguments.
        """
        card, now = PROCESSES[process_name], self.clock.now()
        if not key:
            raise BadInput(f"{process_name} needs a business key")
        row = RunRow(
            run_id=f"{process_name}/{key}",
            process=process_name,
            key=key,
            args=args,
            args_hash=content_hash(args),
            state=RunState.QUEUED,
            entity=entity,
            lane=card.lane,
            correlation_id=correlation_id or f"{process_name}/{key}",
            created_at=now,
            updated_at=now,
        )
        if tx.insert_new(row):
            self.engine.enqueue(tx, row)
            return row
        known = tx.get(RunRow, row.run_id)
        assert known is not None
        if known.args_hash != row.args_hash:
            raise SameKeyOtherContent(f"{process_name} {key} was started before with other arguments")
        return known

    def advance(self, run_id: str, attempt: int) -> RunState | None:
        """Carry one attempt as far as it goes. None when the attempt is out of date."""
        with self.store.transaction() as tx:
            row = self.locked(tx, run_id)
            if row.attempt != attempt or row.state not in LIVE:
                return None
            row = self._save(tx, row, state=RunState.RUNNING, claim=row.claim + 1)
            steps = tx.find(RunStep, run_id=run_id, order=("seq",))
        self.checkpoint("run claimed")
        priority_of_call.set(PRIORITY[row.lane])
        _held.set(_Claim(row))
        run = Run(self, row, steps)
        with structlog.contextvars.bound_contextvars(run_id=run_id, correlation_id=row.correlation_id):
            try:
                return self._play(run, row)
            except Superseded:
                log.warning("superseded", run_id=run_id, claim=row.claim)
                return None
            finally:
                _held.set(None)

    def _play(self, run: Run, row: RunRow) -> RunState:
        try:
            try:
                PROCESSES[row.process].story(run, **row.args)
                final = RunState.DONE
            except Cancelled:
                run.undo_all()
                final = RunState.CANCELLED
            with self.store.transaction() as tx:
                self.hold(tx)
                self.forget_waiting(tx, row)
                self._save(tx, self.locked(tx, row.run_id), state=final, reason="")
                self.checkpoint("finishing run")
            self.checkpoint("run finished")
            return final
        except Superseded:
            raise
        except Stop:
            with self.store.transaction() as tx:
                return self.locked(tx, row.run_id).state
        except IsthmusError as error:  # the closing transaction itself lost a race
            self.wait(row, "finish", error)
            return RunState.WAITING
        except BUGS as bug:
            log.error("bug", run_id=row.run_id, kind=type(bug).__name__, reason=str(bug))
            with self.store.transaction() as tx:
                self._fail(tx, self._held_row(tx, row.run_id), f"{type(bug).__name__}: {bug}")
            return RunState.FAILED

    def _fail(self, tx: Tx, row: RunRow, bug: str) -> None:
        """Stop a run that cannot go on by itself, with a case: nothing stands still silently."""
        told = NeedsDecision("EX-BUG", f"a bug stopped the run: {bug}", queue="integration", actions=("retry",))
        self.open_case(tx, row, 0, "bug", told)
        self._save(tx, row, state=RunState.FAILED, reason=f"bug: {bug}")

    def rescue(self, tx: Tx, run_id: str) -> None:
        """Queue a run again whose attempt ended without a word (the worker's own failure); a few times, then a case."""
        row = self.locked(tx, run_id)
        if row.state not in LIVE:
            return
        log.warning("rescue", run_id=run_id, attempt=row.attempt, tries=row.tries)
        if row.tries >= RESCUES_MAX:
            self._fail(tx, row, f"{row.tries} attempts ended without a result; see the worker's log")
        else:
            self.requeue(tx, row, tries=row.tries + 1)

    def locked(self, tx: Tx, run_id: str) -> RunRow:
        """The run's row, held by this transaction. NotFound when there is none."""
        tx.lock(f"run:{run_id}")
        row = tx.get(RunRow, run_id)
        if row is None:
            raise NotFound(f"no run {run_id}")
        return row

    def hold(self, tx: Tx) -> None:
        """Keep the run this thread advances from being taken over before the transaction ends; Superseded when it was.

        Nothing outside of a run. A worker that stood still for longer than its lease finds out here, whatever it was
        at. Only the claim is read: what a run was started with may be long, and this is asked at every step.
        """
        claim = _held.get()
        if claim is None:
            return
        tx.lock(f"run:{claim.row.run_id}")
        if tx.tuples(RunRow, ("claim",), run_id=claim.row.run_id) != [(claim.row.claim,)]:
            raise Superseded
        claim.seen_at = self.clock.now()

    def _held_row(self, tx: Tx, run_id: str) -> RunRow:
        """The row of a run, which is still this worker's where this worker advances it."""
        self.hold(tx)
        return self.locked(tx, run_id)

    def fence_off(self) -> None:
        """Before every write to another system: Retryable when the lease may be over, Superseded when it was.

        A look of this moment counts: the many writes of one step do not each ask the books again.
        """
        self.fence()
        claim, now = _held.get(), self.clock.now()
        if claim is not None and claim.seen_at is not None and timedelta(0) <= now - claim.seen_at < HELD_FOR:
            return
        with self.store.transaction() as tx:
            self.hold(tx)

    def _save(self, tx: Tx, row: RunRow, **changes: Any) -> RunRow:
        row = row.model_copy(update={**changes, "updated_at": self.clock.now()})
        tx.update(row)
        return row

    def commit_to(self, tx: Tx, row: RunRow) -> RunRow:
        """From this transaction on the run can only go forward."""
        self._save(tx, self.locked(tx, row.run_id), committed=True)
        return row.model_copy(update={"committed": True})

    # -- stopping and going on --------------------------------------------------------------------------------

    def park(self, row: RunRow, seq: int, phrase: str, error: NeedsDecision) -> Case:
        """Open the case (once for this run, step and type) and park the run."""
        with self.store.transaction() as tx:
            current = self._held_row(tx, row.run_id)
            case = self.open_case(tx, current, seq, phrase, error)
            self._save(tx, current, state=RunState.PARKED, reason=f"{error.exception}: {error.message}", wake_at=None)
            return case

    def open_case(self, tx: Tx, row: RunRow, seq: int, phrase: str, error: NeedsDecision) -> Case:
        """The open case of this run, step and type; a new one when there is none."""
        return self.casework.open(tx, row, seq, phrase, error)

    def wait(self, row: RunRow, phrase: str, error: IsthmusError) -> None:
        """Wait and try the same step again; tell a person when it takes long."""
        now = self.clock.now()
        with self.store.transaction() as tx:
            current = self._held_row(tx, row.run_id)
            patience = min(self.pace.wait_seconds_first * 2 ** min(current.tries, 16), self.pace.wait_seconds_max)
            named = getattr(error, "after_seconds", None)
            wake_at = now + timedelta(seconds=named if named is not None else patience)
            since = current.waiting_since or now
            changes = {"tries": current.tries + 1, "wake_at": wake_at, "waiting_since": since}
            self._save(tx, current, state=RunState.WAITING, reason=f"{phrase}: {error.message}", **changes)
            if now - since >= self.pace.alert_after:
                cause = f"{phrase}: waiting since {since:%Y-%m-%d %H:%M} UTC, goes on by itself: {error.message}"
                self.open_case(tx, row, 0, phrase, NeedsDecision("EX-WAITING", cause, queue="finance", actions=()))

    def wait_for_setup(self, row: RunRow, phrase: str, error: NeedsSetup) -> None:
        """Pause the connection: one case for all its runs. Without a connection the run itself is parked."""
        if not error.connection:
            case = NeedsDecision("EX-SETUP", f"{phrase}: {error.message}", queue="integration")
            self.park(row, 0, phrase, case)
            return
        with self.store.transaction() as tx:
            self.pause(tx, row, phrase, error)
            current = self._held_row(tx, row.run_id)
            self._save(tx, current, state=RunState.WAITING, reason=f"connection:{error.connection}", wake_at=None)

    def pause(self, tx: Tx, row: RunRow, phrase: str, error: NeedsSetup) -> None:
        """Pause the connection and open its case, once, whichever run or loop has met it first."""
        tx.lock(f"connection:{error.connection}")
        state = tx.get(ConnectionState, error.connection)
        if state is not None and state.paused:
            return
        now = self.clock.now()
        tx.put(ConnectionState(connection=error.connection, paused=True, reason=error.message, changed_at=now))
        keeper = row.model_copy(update={"run_id": f"connection/{error.connection}", "key": error.connection})
        problem = NeedsDecision("EX-SETUP", error.message, queue="integration", actions=("resume",))
        self.open_case(tx, keeper, 0, phrase, problem)

    def check_open(self, connection: str) -> None:
        """NeedsSetup when the connection is paused."""
        with self.store.transaction() as tx:
            state = tx.get(ConnectionState, connection)
        if state is not None and state.paused:
            raise NeedsSetup(f"connection {connection} is paused: {state.reason}", connection)

    def forget_waiting(self, tx: Tx, row: RunRow) -> None:
        """A step has succeeded: the next wait starts short again, and an alert about the wait closes itself."""
        if tx.tuples(RunRow, ("tries", "waiting_since"), run_id=row.run_id) in ([], [(0, None)]):
            return
        self._save(tx, self.locked(tx, row.run_id), tries=0, waiting_since=None, reason="")
        self.close_alert(tx, row.run_id, "EX-WAITING")

    def close_alert(self, tx: Tx, run_id: str, exception: str) -> None:
        """Close cases that only told a person about a trouble, which is over."""
        for case in tx.find(Case, run_id=run_id, exception=exception, state=CaseState.OPEN):
            self.casework.close(tx, case, "hub", {"action": "resumed"}, CaseState.RESOLVED)

    def wake_due(self, limit: int = 500) -> int:
        """Queue waiting runs whose time has come; the number of them."""
        now, woken = self.clock.now(), 0
        with self.store.transaction() as tx:
            first = tx.find(RunRow, state=RunState.WAITING, order=("wake_at",), limit=1)
            if not any(row.wake_at is not None and row.wake_at <= now for row in first):
                return 0  # what waits is only looked at, and not locked, while nothing is due
            for row in tx.find(RunRow, state=RunState.WAITING, order=("wake_at",), limit=limit, skip_locked=True):
                if row.wake_at is not None and row.wake_at <= now:
                    self.requeue(tx, row)
                    woken += 1
            if woken:
                self.checkpoint("waking runs")
        return woken

    def wake_now(self, tx: Tx, run_id: str) -> RunRow:
        """Queue a waiting run before its time; it asks the other system again first, so nothing is skipped."""
        row = self.locked(tx, run_id)
        if row.state is not RunState.WAITING or row.wake_at is None:
            told = f" ({row.reason})" if row.reason else ""
            raise IllegalTransition(f"run {run_id} is {row.state}{told}: only a run that waits can be tried again now")
        return self.requeue(tx, row)

    def next_wake(self) -> datetime | None:
        """When the next waiting run is due."""
        with self.store.transaction() as tx:
            due = [r.wake_at for r in tx.find(RunRow, state=RunState.WAITING) if r.wake_at is not None]
        return min(due, default=None)

    def requeue(self, tx: Tx, row: RunRow, **changes: Any) -> RunRow:
        """Queue the run's next attempt, with these changes to its row."""
        row = self._save(tx, row, state=RunState.QUEUED, attempt=row.attempt + 1, wake_at=None, **changes)
        self.engine.enqueue(tx, row)
        return row

    # -- people -----------------------------------------------------------------------------------------------

    def resolve(self, tx: Tx, case_no: str, *, action: str, actor: str, reason: str, values: dict[str, Any]) -> Case:
        """Carry out a person's decision on an open case; its run goes on at the same step."""
        return self.casework.resolve(tx, case_no, action=action, actor=actor, reason=reason, values=values)

    def set_aside(self, tx: Tx, run_id: str) -> bool:
        """End a parked run that has written nothing anywhere, without undoing: another run has done its work.

        False, and nothing is changed, when it has written something or does not stand still.
        """
        row = self.locked(tx, run_id)
        if row.state is not RunState.PARKED or row.committed or tx.find(Effect, run_id=run_id, limit=1):
            return False
        self._save(tx, row, state=RunState.CANCELLED, reason="set aside: a later run has done its work")
        return True

    def cancel(self, tx: Tx, run_id: str, *, actor: str, reason: str) -> RunRow:
        """Call a parked or waiting run off: its completed writes are undone in reverse order."""
        row = self.locked(tx, run_id)
        if row.committed or row.state not in (RunState.PARKED, RunState.WAITING):
            why = "has passed the point where only a credit helps" if row.committed else f"is {row.state}"
            raise IllegalTransition(f"run {run_id} {why}: only a parked or waiting run can be cancelled before that")
        for case in tx.find(Case, run_id=run_id, state=CaseState.OPEN):
            self.casework.close(tx, case, actor, {"action": "cancel", "reason": reason}, CaseState.CANCELLED)
        return self.requeue(tx, row, cancelling=True, reason="")
