"""A rehearsal: what a decision would do, carried out for real in a transaction that is then rolled back.

The run goes on in it with the same code as always. Other systems are asked only while nothing would have been written
there; a write is noted instead of sent. It ends where the answer of another system decides what comes next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Generic, TypeVar, get_type_hints

import sqlalchemy as sa

from isthmus.domain.errors import NeedsSetup
from isthmus.domain.objects import ExternalRef
from isthmus.domain.states import CaseState
from isthmus.ports import PORTS
from isthmus.ports.messages import PostedInvoice
from isthmus.ports.verbs import VerbSpec, spec_of
from isthmus.runtime.edits import short_of
from isthmus.runtime.kernel import Kernel, Systems
from isthmus.runtime.storyline import Line, rest_of
from isthmus.store.records import Case, RunRow, RunState, RunStep
from isthmus.store.tx import Tx

T = TypeVar("T")
NOT_YET = "not yet"
LOCK_SECONDS_MAX = 5


@dataclass(frozen=True)
class Write:
    """A write that would be sent: to which connection, what, under which key, with which facts."""

    connection: str
    verb: str
    key: str
    amount: Decimal | None
    currency: str
    facts: dict[str, Any]


@dataclass(frozen=True)
class Rehearsed(Generic[T]):
    """What was seen. before and after: the caller's own look at the books; then: what the story does afterwards.

    stops: why it would not go on by itself: the case that would open, or what it would wait for; empty when it would.
    """

    before: T
    after: T
    steps: tuple[RunStep, ...]
    writes: tuple[Write, ...]
    then: tuple[Line, ...]
    state: RunState | None
    stops: str
    next_case: Case | None


class _Undone(Exception):
    """Rolls the rehearsal back."""


class _Unforeseen(BaseException):
    """The answer of another system decides what comes next, and it is not asked for now."""


@dataclass
class _Noted:
    """What the rehearsal has seen so far."""

    reads: bool
    writes: list[Write] = field(default_factory=list)
    steps: list[RunStep] = field(default_factory=list)
    written_to: set[str] = field(default_factory=set)


def rehearse(
    kernel: Kernel, act: Callable[[Kernel, Tx], str | None], look: Callable[[Tx], T], *, reads: bool
) -> Rehearsed[T]:
    """Carry act out and let its run go on, in a transaction that is rolled back.

    act returns the id of the run that goes on, or None. Its refusals are raised. reads: other systems may be asked.
    """
    noted, seen = _Noted(reads), list[Rehearsed[T]]()
    try:
        with kernel.store.transaction() as tx:
            if tx.raw is not None:  # whoever waits for a lock that long would keep others waiting too
                tx.raw.execute(sa.text(f"set local lock_timeout = '{LOCK_SECONDS_MAX}s'"))
            acting = _rehearsing(kernel, tx, noted)
            before = look(tx)
            run_id = act(acting, tx)
            _advance(acting, tx, run_id)
            seen.append(_told(tx, run_id, noted, before, look(tx)))
            raise _Undone
    except _Undone:
        return seen[0]


def _rehearsing(kernel: Kernel, tx: Tx, noted: _Noted) -> Kernel:
    """The same kernel on this one transaction, with an engine that queues nothing and systems that note writes."""
    return replace(
        kernel,
        store=_Inside(tx),
        engine=_Idle(),
        systems=_Noting(kernel.systems, noted),
        parallel_sends=1,
        told=lambda row, step: noted.steps.append(step),
        checkpoint=lambda name: None,
        fence=lambda: None,
    )


def _advance(kernel: Kernel, tx: Tx, run_id: str | None) -> None:
    row = tx.get(RunRow, run_id) if run_id else None
    if row is None or row.state is not RunState.QUEUED:
        return
    with suppress(_Unforeseen):
        kernel.advance(row.run_id, row.attempt)


def _told(tx: Tx, run_id: str | None, noted: _Noted, before: T, after: T) -> Rehearsed[T]:
    row = tx.get(RunRow, run_id) if run_id else None
    cases = tx.find(Case, run_id=run_id, state=CaseState.OPEN, order=("-case_no",), limit=1) if run_id else []
    parked = row is not None and row.state is RunState.PARKED
    waits = row is not None and row.state is RunState.WAITING
    return Rehearsed(
        before=before,
        after=after,
        steps=tuple(noted.steps),
        writes=tuple(noted.writes),
        then=tuple(_rest(tx, row, noted)),
        state=row.state if row else None,
        stops=row.reason if row and (parked or waits) else "",
        next_case=cases[0] if parked and cases else None,
    )


def _rest(tx: Tx, row: RunRow | None, noted: _Noted) -> list[Line]:
    """The lines of the story after the last step that was carried out, or whose write was noted."""
    if row is None or row.cancelling or row.state in (RunState.DONE, RunState.CANCELLED):
        return []
    last = tx.find(RunStep, run_id=row.run_id, order=("-seq",), limit=1)
    rest = rest_of(row.process, last[0].phrase if last else "")
    writing = next((place for place, line in enumerate(rest) if line.writes), None)
    in_hand = writing is not None and noted.writes and rest[writing].verb == noted.writes[-1].verb
    return rest[writing + 1 :] if in_hand and writing is not None else rest


# -- stand-ins --------------------------------------------------------------------------------------------------------


class _Inside:
    """A store whose transactions are parts of one that is rolled back."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        with self._tx.savepoint():
            yield self._tx


class _Idle:
    """An engine that lets nobody advance anything."""

    def enqueue(self, tx: Tx, run: RunRow) -> None:
        """Nothing: the rehearsal advances the run itself."""


class _Noting:
    """Systems that are asked and never told."""

    def __init__(self, systems: Systems, noted: _Noted) -> None:
        self._systems, self._noted = systems, noted
        self.told_apart = systems.told_apart

    def filling(self, port: str, entity: str, source: str = "", about: Any = None) -> Any:
        try:
            return _Stand(port, self._systems.filling(port, entity, source, about), self._noted)
        except NeedsSetup:  # a command that decides has no connections at all
            return _Stand(port, None, self._noted)

    def fills(self, port: str, entity: str, source: str = "", about: Any = None) -> bool:
        return self._systems.fills(port, entity, source, about)

    def all_filling(self, port: str, entity: str) -> list[Any]:
        return [_Stand(port, one, self._noted) for one in self._systems.all_filling(port, entity)]


class _Stand:
    """One connection: reads go through while nothing was written there, writes are noted."""

    settling_time = timedelta(0)

    def __init__(self, port: str, real: Any, noted: _Noted) -> None:
        self._port, self._real, self._noted = port, real, noted
        self.name = real.name if real is not None else port
        self.writes_as = real.writes_as if real is not None else ""

    def strategy(self, verb: str) -> str:
        return "upsert"

    def __getattr__(self, name: str) -> Callable[..., Any]:
        verb = getattr(PORTS[self._port], name)
        spec = spec_of(verb)
        return self._noting(verb, spec) if spec.writes else self._asking(name)

    def _asking(self, name: str) -> Callable[..., Any]:
        if self._real is None or not self._noted.reads or self.name in self._noted.written_to:
            raise _Unforeseen
        found: Callable[..., Any] = getattr(self._real, name)
        return found

    def _noting(self, verb: Callable[..., Any], spec: VerbSpec) -> Callable[..., Any]:
        assert spec.key is not None
        key = spec.key

        def note(*args: Any) -> Any:
            amount, currency = spec.amount(*args) if spec.amount else (None, "")
            self._noted.writes.append(Write(self.name, spec.name, key(*args), amount, currency, short_of(args)))
            self._noted.written_to.add(self.name)
            return self._foreseen(verb, args)

        return note

    def _foreseen(self, verb: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """What the other system would surely answer: a reference, or the posted document to the cent."""
        answer = get_type_hints(verb).get("return")
        number = len(self._noted.writes)
        ref = ExternalRef(system=self.name, object_type=NOT_YET, external_id=f"{NOT_YET} {number}")
        if answer is ExternalRef:
            return ref
        if answer is PostedInvoice:
            sent = args[0]
            return PostedInvoice(ref=ref, number=sent.number, total=sent.total, open=sent.total, currency=sent.currency)
        raise _Unforeseen
