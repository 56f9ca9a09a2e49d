"""The heart: starts runs, advances them, parks, waits, wakes, resolves and cancels; everything in transactions.

The kernel knows no vendor and no transport. Store, clock, engine, systems and gate are passed in, so the same kernel
runs on PostgreSQL with DBOS and in memory under a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog

from isthmus.domain.errors import (
    BadInput,
    IllegalTransition,
    IsthmusError,
    NeedsDecision,
    NeedsSetup,
    NotFound,
    NotPermitted,
    SameKeyOtherContent,
)
from isthmus.domain.states import CaseState, move
from isthmus.ports.calls import BULK, FINANCIAL, STANDARD, priority_of_call
from isthmus.runtime.books import Books
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
    Decision,
    DeliveryState,
    EventDelivery,
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
_held: ContextVar[RunRow | None] = ContextVar("held", default=None)  # the run that this thread advances, as claimed


class Systems(Protocol):
    """Which connection fills a port for a legal entity."""

    def filling(self, port: str, entity: str) -> Any:
        """The connection: verbs as methods, plus name, strategy(verb) and settling_time. NeedsSetup when none."""
        ...

    def fills(self, port: str, entity: str) -> bool:
        """True when a connection fills the port for the legal entity."""
        ...


@dataclass(frozen=True)
class Pace:
    """How patient the runtime is. alert_after: how long a run may wait before a person is told."""

    wait_seconds_first: float = 0.5
    wait_seconds_max: float = 60.0
    alert_after: timedelta = timedelta(minutes=15)


Subscriber = tuple[frozenset[str], Callable[[Books, Any], None]]


@dataclass
class Kernel:
    """See the module. told, checkpoint and fence are hooks: live timeline, crash tests, fleet lease."""

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
    checkpoint: Callable[[str], None] = lambda name: None
    fence: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.ledger = Ledger(self)

    def subscribers_of(self, event_type: str) -> Iterable[str]:
        """Names of the subscribers of an event type."""
        return [name for name, (types, _) in self.subscribers.items() if event_type in types]

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
            row = self._locked(tx, run_id)
            if row.attempt != attempt or row.state not in LIVE:
                return None
            row = self._save(tx, row, state=RunState.RUNNING, claim=row.claim + 1)
            steps = tx.find(RunStep, run_id=run_id, order=("seq",))
        self.checkpoint("run claimed")
        priority_of_call.set(PRIORITY[row.lane])
        _held.set(row)
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
                self._save(tx, self._locked(tx, row.run_id), state=final, reason="")
                self.checkpoint("finishing run")
            self.checkpoint("run finished")
            return final
        except Superseded:
            raise
        except Stop:
            with self.store.transaction() as tx:
                return self._locked(tx, row.run_id).state
        except IsthmusError as error:  # the closing transaction itself lost a race
            self.wait(row, "finish", error)
            return RunState.WAITING
        except BUGS as bug:
            log.error("bug", run_id=row.run_id, kind=type(bug).__name__, reason=str(bug))
            with self.store.transaction() as tx:
                self._fail(tx, self.hold(tx) or self._locked(tx, row.run_id), f"{type(bug).__name__}: {bug}")
            return RunState.FAILED

    def _fail(self, tx: Tx, row: RunRow, bug: str) -> None:
        """Stop a run that cannot go on by itself, with a case: nothing stands still silently."""
        told = NeedsDecision("EX-BUG", f"a bug stopped the run: {bug}", queue="integration", actions=("retry",))
        self.open_case(tx, row, 0, "bug", told)
        self._save(tx, row, state=RunState.FAILED, reason=f"bug: {bug}")

    def rescue(self, tx: Tx, run_id: str) -> None:
        """Queue a run again whose attempt ended without a word (the worker's own failure); a few times, then a case."""
        row = self._locked(tx, run_id)
        if row.state not in LIVE:
            return
        log.warning("rescue", run_id=run_id, attempt=row.attempt, tries=row.tries)
        if row.tries >= RESCUES_MAX:
            self._fail(tx, row, f"{row.tries} attempts ended without a result; see the worker's log")
        else:
            self._requeue(tx, row, tries=row.tries + 1)

    def _locked(self, tx: Tx, run_id: str) -> RunRow:
        tx.lock(f"run:{run_id}")
        row = tx.get(RunRow, run_id)
        if row is None:
            raise NotFound(f"no run {run_id}")
        return row

    def hold(self, tx: Tx) -> RunRow | None:
        """Keep the run this thread advances from being taken over before the transaction ends; Superseded when it was.

        None outside of a run. A worker that stood still for longer than its lease finds out here, whatever it was at.
        """
        claimed = _held.get()
        if claimed is None:
            return None
        current = self._locked(tx, claimed.run_id)
        if current.claim != claimed.claim:
            raise Superseded
        return current

    def fence_off(self) -> None:
        """Before every write to another system: Retryable when the lease may be over, Superseded when it was."""
        self.fence()
        with self.store.transaction() as tx:
            self.hold(tx)

    def _save(self, tx: Tx, row: RunRow, **changes: Any) -> RunRow:
        row = row.model_copy(update={**changes, "updated_at": self.clock.now()})
        tx.update(row)
        return row

    def commit_to(self, tx: Tx, row: RunRow) -> RunRow:
        """From this transaction on the run can only go forward."""
        self._save(tx, self._locked(tx, row.run_id), committed=True)
        return row.model_copy(update={"committed": True})

    # -- stopping and going on --------------------------------------------------------------------------------

    def park(self, row: RunRow, seq: int, phrase: str, error: NeedsDecision) -> Case:
        """Open the case (once for this run, step and type) and park the run."""
        with self.store.transaction() as tx:
            current = self.hold(tx) or self._locked(tx, row.run_id)
            case = self.open_case(tx, current, seq, phrase, error)
            self._save(tx, current, state=RunState.PARKED, reason=f"{error.exception}: {error.message}", wake_at=None)
            return case

    def open_case(self, tx: Tx, row: RunRow, seq: int, phrase: str, error: NeedsDecision) -> Case:
        """The open case of this run, step and type; a new one when there is none."""
        same = tx.find(Case, run_id=row.run_id, seq=seq, exception=error.exception, state=CaseState.OPEN)
        if same:
            return same[0]
        amount, currency = error.money or (None, "")
        actions = [action for action in error.actions if not (row.committed and action == "cancel")]
        case = Case(
            case_no=f"CASE-{tx.next('case'):05d}",
            run_id=row.run_id,
            seq=seq,
            exception=error.exception,
            cause=error.message,
            queue=error.queue,
            amount=amount,
            currency=currency,
            entity=row.entity,
            subject=row.key,
            context=error.context,
            actions=actions,
            tried=phrase,
            opened_at=self.clock.now(),
            correlation_id=row.correlation_id,
        )
        tx.insert(case)
        books = Books(self, tx, run_id=row.run_id, correlation_id=row.correlation_id)
        payload = {"case": case.case_no, "exception": case.exception, "cause": case.cause, "queue": case.queue}
        books.emit("case.opened", f"case:{case.case_no}", payload, entity=row.entity)
        return case

    def wait(self, row: RunRow, phrase: str, error: IsthmusError) -> None:
        """Wait and try the same step again; tell a person when it takes long."""
        now = self.clock.now()
        with self.store.transaction() as tx:
            current = self.hold(tx) or self._locked(tx, row.run_id)
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
            current = self.hold(tx) or self._locked(tx, row.run_id)
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
        current = tx.get(RunRow, row.run_id)
        if current is None or (current.tries == 0 and current.waiting_since is None):
            return
        self._save(tx, current, tries=0, waiting_since=None, reason="")
        self.close_alert(tx, row.run_id, "EX-WAITING")

    def close_alert(self, tx: Tx, run_id: str, exception: str) -> None:
        """Close cases that only told a person about a trouble, which is over."""
        for case in tx.find(Case, run_id=run_id, exception=exception, state=CaseState.OPEN):
            self._close(tx, case, "hub", {"action": "resumed"}, CaseState.RESOLVED)

    def wake_due(self, limit: int = 500) -> int:
        """Queue waiting runs whose time has come; the number of them."""
        now, woken = self.clock.now(), 0
        with self.store.transaction() as tx:
            for row in tx.find(RunRow, state=RunState.WAITING, order=("wake_at",), limit=limit, skip_locked=True):
                if row.wake_at is not None and row.wake_at <= now:
                    self._requeue(tx, row)
                    woken += 1
            if woken:
                self.checkpoint("waking runs")
        return woken

    def wake_now(self, tx: Tx, run_id: str) -> RunRow:
        """Queue a waiting run before its time; it asks the other system again first, so nothing is skipped."""
        row = self._locked(tx, run_id)
        if row.state is not RunState.WAITING or row.wake_at is None:
            told = f" ({row.reason})" if row.reason else ""
            raise IllegalTransition(f"run {run_id} is {row.state}{told}: only a run that waits can be tried again now")
        return self._requeue(tx, row)

    def next_wake(self) -> datetime | None:
        """When the next waiting run is due."""
        with self.store.transaction() as tx:
            due = [r.wake_at for r in tx.find(RunRow, state=RunState.WAITING) if r.wake_at is not None]
        return min(due, default=None)

    def _requeue(self, tx: Tx, row: RunRow, **changes: Any) -> RunRow:
        row = self._save(tx, row, state=RunState.QUEUED, attempt=row.attempt + 1, wake_at=None, **changes)
        self.engine.enqueue(tx, row)
        return row

    # -- people -----------------------------------------------------------------------------------------------

    def resolve(self, tx: Tx, case_no: str, *, action: str, actor: str, reason: str, values: dict[str, Any]) -> Case:
        """Carry out a person's decision on an open case; its run goes on at the same step."""
        tx.lock(f"case:{case_no}")
        case = tx.get(Case, case_no)
        if case is None:
            raise NotFound(f"no case {case_no}")
        if case.state is not CaseState.OPEN:
            raise IllegalTransition(f"case {case_no} is {case.state} already (by {case.resolved_by})")
        if action == "approve" and _same_person(actor, str(case.context.get("prepared_by", ""))):
            raise NotPermitted(f"case {case_no}: {actor} prepared it; another person must approve")
        if action not in case.actions:
            raise BadInput(f"case {case_no} offers {', '.join(case.actions) or 'no action'}; not {action!r}")
        resolution = {**values, "action": action, "reason": reason}
        final = CaseState.CANCELLED if action == "cancel" else CaseState.RESOLVED
        case = self._close(tx, case, actor, resolution, final)
        self._go_on(tx, case, action, actor, values)
        return case

    def _close(self, tx: Tx, case: Case, actor: str, resolution: dict[str, Any], final: CaseState) -> Case:
        closed = move(case, "state", final).model_copy(
            update={"resolved_at": self.clock.now(), "resolved_by": actor, "resolution": resolution}
        )
        tx.update(closed)
        books = Books(self, tx, run_id=case.run_id, correlation_id=case.correlation_id, actor=actor)
        before, after = {"state": str(case.state)}, {"state": str(final), **resolution}
        books.audit("case.resolve", case.case_no, reason=str(resolution.get("reason", "")), before=before, after=after)
        books.emit("case.resolved", f"case:{case.case_no}", {"case": case.case_no, **resolution}, entity=case.entity)
        return closed

    def _go_on(self, tx: Tx, case: Case, action: str, actor: str, values: dict[str, Any]) -> None:
        if case.run_id.startswith("connection/"):
            self._resume_connection(tx, case.run_id.removeprefix("connection/"))
            return
        if case.run_id.startswith("delivery/"):
            self._deliver_again(tx, case.context["event"], case.context["subscriber"])
            return
        if action not in ("retry", "cancel"):
            decision = Decision(
                run_id=case.run_id,
                exception=case.exception,
                values={**values, "action": action, "by": actor},
                case_no=case.case_no,
                decided_by=actor,
                decided_at=self.clock.now(),
            )
            tx.put(decision)
        row = self._locked(tx, case.run_id)
        if row.state in (RunState.PARKED, RunState.FAILED):
            self._requeue(tx, row, cancelling=row.cancelling or action == "cancel", reason="")

    def _resume_connection(self, tx: Tx, connection: str) -> None:
        # A run that is just going to sleep on the pause is waited for: nobody else would wake it.
        tx.lock(f"connection:{connection}")
        now = self.clock.now()
        tx.put(ConnectionState(connection=connection, paused=False, reason="", changed_at=now))
        for row in tx.find(RunRow, state=RunState.WAITING, reason=f"connection:{connection}"):
            self._requeue(tx, row, reason="")

    def _deliver_again(self, tx: Tx, event_id: str, subscriber: str) -> None:
        known = tx.get(EventDelivery, event_id, subscriber)
        if known is not None:
            due = {"state": DeliveryState.PENDING, "attempts": 0, "next_at": self.clock.now()}
            tx.put(known.model_copy(update=due))

    def cancel(self, tx: Tx, run_id: str, *, actor: str, reason: str) -> RunRow:
        """Call a parked or waiting run off: its completed writes are undone in reverse order."""
        row = self._locked(tx, run_id)
        if row.committed or row.state not in (RunState.PARKED, RunState.WAITING):
            why = "has passed the point where only a credit helps" if row.committed else f"is {row.state}"
            raise IllegalTransition(f"run {run_id} {why}: only a parked or waiting run can be cancelled before that")
        for case in tx.find(Case, run_id=run_id, state=CaseState.OPEN):
            self._close(tx, case, actor, {"action": "cancel", "reason": reason}, CaseState.CANCELLED)
        return self._requeue(tx, row, cancelling=True, reason="")


def _same_person(one: str, other: str) -> bool:
    """Names are compared as people read them: another spelling of one's own name is nobody else."""
    return one.strip().casefold() == other.strip().casefold()
