"""A run: what a process function sees. One line of the story is one step; a finished step is never executed again.

    contract = run.read("Read the approved contract", Crm.read_contract, contract_no, then=check_approvals)
    client   = run.decide("Find or create the client", find_client, contract)
    run.effect("Create the client in the ERP", Erp.put_client, client, undo=Erp.deactivate_client)

Retries, waits, parking, look-ups and undo live here and in the ledger, never in the story. The same class runs on
PostgreSQL under DBOS and in memory under simulation; only the store and the engine differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import TypeAdapter

from isthmus.domain.errors import (
    IsthmusError,
    NeedsDecision,
    NeedsSetup,
    OutcomeUnknown,
    Refused,
    Retryable,
)
from isthmus.ports.verbs import source_of, spec_of
from isthmus.runtime import edits
from isthmus.runtime.books import Books
from isthmus.runtime.effects import NOT_THERE, result_type
from isthmus.runtime.hashing import content_hash
from isthmus.runtime.routing import connection_of, is_offered
from isthmus.runtime.telling import tell
from isthmus.store.records import Decision, Effect, EffectState, RunRow, RunStep
from isthmus.store.tx import Tx

if TYPE_CHECKING:
    from isthmus.runtime.kernel import Kernel

T = TypeVar("T")


class Stop(BaseException):
    """The run goes no further now: parked, waiting or cancelling. Derives from BaseException so no story catches it."""


class Cancelled(Stop):
    """A person has called the run off: take back what was done."""


class Superseded(Stop):
    """Another worker has taken the run over: this one was thought dead, and must neither write nor send any more."""


class Run:
    """One attempt at a run; steps recorded by earlier attempts return what they returned then."""

    def __init__(self, kernel: Kernel, row: RunRow, steps: Sequence[RunStep]) -> None:
        self._kernel = kernel
        self.row = row
        self._recorded = {step.seq: step for step in steps}
        self._seq = 0
        self._undos: list[tuple[str, Callable[..., Any], tuple[Any, ...]]] = []

    # -- the three kinds of step ------------------------------------------------------------------------------

    def read(
        self,
        phrase: str,
        verb: Callable[..., T],
        *args: Any,
        then: Callable[[T], T] | None = None,
        judge: Callable[[Books, T], T] | None = None,
        unreadable: tuple[str, str] = ("EX-INPUT", "integration"),
    ) -> T:
        """Ask another system; nothing changes there. then checks the answer: when it refuses, the step asks again.

        judge: as then, with the hub's own books to look into; it writes nothing.
        unreadable: exception type and queue of the case when the answer cannot be read, or there is none.
        """

        def ask() -> T:
            spec = spec_of(verb)
            connection = connection_of(self._kernel, spec.name.split(".")[0], self.row)
            self._kernel.check_open(connection.name)
            try:
                answer = getattr(connection, verb.__name__)(*args)
            except Refused as wrong:
                case, queue = unreadable
                raise NeedsDecision(case, f"{phrase}: {wrong.message}", queue=queue) from wrong
            if judge is not None:
                with self._kernel.store.transaction() as tx:
                    answer = judge(self._books(tx), answer)
            return then(answer) if then else answer

        answer: T = self._step(phrase, "read", result_type(verb), ask)
        return answer

    def decide(
        self,
        phrase: str,
        act: Callable[..., T],
        *args: Any,
        undo: Callable[..., Any] | None = None,
        final: bool = False,
    ) -> T:
        """A decision, or a change in the hub's own books: one transaction, together with the step's record.

        undo takes the same arguments. final: after this step the run can only go forward.
        """

        def write(tx: Tx) -> T:
            output = act(self._books(tx), *args)
            if final:
                self.row = self._kernel.commit_to(tx, self.row)
            return output

        output: T = self._step(phrase, "decide", result_type(act), None, write)
        if undo is not None:
            self._undos.append((f"Undo: {phrase}", undo, args))
        return output

    def effect(self, phrase: str, verb: Callable[..., T], *args: Any, undo: Callable[..., Any] | None = None) -> T:
        """Write to another system through the effect ledger."""
        return self.effects(phrase, verb, [args], undo=undo)[0]

    def effect_if_offered(self, phrase: str, verb: Callable[..., T], *args: Any, needed: bool = True) -> T | None:
        """An effect on a capability that not every firm's systems have. None, and the timeline says so, without one.

        needed: False when there is nothing to write; known from what is kept, so that a replay sees the same.
        """
        spec = spec_of(verb)
        port, source = spec.name.split(".")[0], source_of(spec, args)
        if self.decide(f"{phrase}: is it offered?", is_offered, port, self.row.entity, source) and needed:
            return self.effect(phrase, verb, *args)
        return None

    def effects(
        self,
        phrase: str,
        verb: Callable[..., T],
        arguments: Sequence[tuple[Any, ...]],
        undo: Callable[..., Any] | None = None,
    ) -> list[T]:
        """The same write for several things, each with a row of its own in the ledger; one line in the timeline."""
        kept: list[Effect] = []

        def send() -> list[T]:
            decision = self._decision_about(spec_of(verb).exception)
            if decision.get("action") == edits.SKIP:
                return [cast(T, edits.left_out(verb, spec_of(verb).name.split(".")[0])) for _ in arguments]
            wanted = [edits.edited(verb, args, decision) for args in arguments]
            results, finished = self._kernel.ledger.write(self.row, self._seq, verb, wanted)
            kept.extend(finished)
            return results

        try:
            results: list[T] = self._step(
                phrase, "effect", result_type(verb, many=True), send, None, kept, spec_of(verb).name
            )
        except Cancelled:
            if undo is not None:
                self._undo_what_was_refused(phrase, verb, undo, arguments)
            raise
        if undo is not None:
            self._undos += [(f"Undo: {phrase}", undo, args) for args in arguments]
        return results

    def _decision_about(self, exception: str) -> Mapping[str, Any]:
        """What a person has decided about a refusal of this very step; nobody has before the run first stopped."""
        if self.row.attempt == 1:
            return {}
        with self._kernel.store.transaction() as tx:
            decision = tx.get(Decision, self.row.run_id, exception)
        return decision.values if decision is not None and decision.values.get("seq") == self._seq else {}

    def _undo_what_was_refused(
        self, phrase: str, verb: Callable[..., Any], undo: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
    ) -> None:
        """A write that was in doubt before it was refused may be there from an earlier attempt: look for it."""
        with self._kernel.store.transaction() as tx:
            stopped = (EffectState.REFUSED, EffectState.NOT_SENT)
            known = tx.find(Effect, run_id=self.row.run_id, seq=self._seq, state=stopped)
        doubtful = {effect.args_hash for effect in known if effect.in_doubt_since is not None}
        for args in arguments:
            if content_hash(list(args)) in doubtful:
                found = self.read(f"Undo: look for it: {phrase}", _finder(verb, spec_of(verb).find), *args)
                if found is not None:
                    self._undos.append((f"Undo: {phrase}", undo, args))

    def _books(self, tx: Tx) -> Books:
        return Books(self._kernel, tx, run_id=self.row.run_id, correlation_id=self.row.correlation_id)

    def for_entity(self, entity: str) -> None:
        """From here on the run works for this legal entity: its connections, its lane."""
        self.row = self.row.model_copy(update={"entity": entity})

    # -- how a step is carried out ----------------------------------------------------------------------------

    def _step(
        self,
        phrase: str,
        kind: str,
        adapter: TypeAdapter[Any],
        outside: Callable[[], Any] | None,
        inside: Callable[[Tx], Any] | None = None,
        kept: Sequence[Effect] = (),
        system: str = "",
    ) -> Any:
        self._seq += 1
        recorded = self._recorded.get(self._seq)
        if recorded is not None:
            assert recorded.phrase == phrase, (
                f"run {self.row.run_id} did {recorded.phrase!r} where it now says {phrase!r}"
            )
            return adapter.validate_python(recorded.output)
        if self.row.cancelling and not phrase.startswith("Undo") and not self._has_begun(kind):
            raise Cancelled
        started = self._kernel.clock.now()
        try:
            self._kernel.checkpoint(f"before {phrase}")
            output = outside() if outside else None
            with self._kernel.store.transaction() as tx:
                self._kernel.hold(tx)
                if inside is not None:
                    output = inside(tx)
                self._kernel.ledger.keep_with(tx, kept)
                step = self._record(phrase, kind, adapter, output, started, system)
                tx.insert(step)
                self._kernel.forget_waiting(tx, self.row)
                self._kernel.checkpoint(f"committing {phrase}")
            self._kernel.checkpoint(f"after {phrase}")
        except IsthmusError as error:
            self._stop(phrase, error)
        self._kernel.told(self.row, step)
        return output

    def _has_begun(self, kind: str) -> bool:
        """True for a write that may have been sent: it is finished first, because only then it can be taken back."""
        if kind != "effect":
            return False
        with self._kernel.store.transaction() as tx:
            states = {e.state for e in tx.find(Effect, run_id=self.row.run_id, seq=self._seq)}
        return bool(states - NOT_THERE) and EffectState.REFUSED not in states

    def _record(
        self, phrase: str, kind: str, adapter: TypeAdapter[Any], output: Any, started: Any, system: str
    ) -> RunStep:
        words, amount, currency = tell(output[0] if isinstance(output, list) and len(output) == 1 else output)
        return RunStep(
            run_id=self.row.run_id,
            seq=self._seq,
            phrase=phrase,
            kind=kind,
            output=adapter.dump_python(output, mode="json"),
            summary=words,
            system=system,
            amount=amount,
            currency=currency,
            started_at=started,
            ended_at=self._kernel.clock.now(),
        )

    def _stop(self, phrase: str, error: IsthmusError) -> None:
        """What happens next is in the error's class: park, wait, or wait for an administrator."""
        if isinstance(error, NeedsDecision):
            self._kernel.park(self.row, self._seq, phrase, error)
        elif isinstance(error, NeedsSetup):
            self._kernel.wait_for_setup(self.row, phrase, error)
        elif isinstance(error, Retryable | OutcomeUnknown):
            self._kernel.wait(self.row, phrase, error)
        else:
            assert isinstance(error, Refused), f"{type(error).__name__} has no plan for what happens next"
            case = NeedsDecision("EX-INPUT", f"{phrase}: {error.message}", queue="integration")
            self._kernel.park(self.row, self._seq, phrase, case)
        raise Stop from error

    def undo_all(self) -> None:
        """Take back completed writes, last first, each verified by reading the other system back."""
        for phrase, verb, args in reversed(self._undos):
            if not hasattr(verb, "__verb__"):
                self.decide(phrase, verb, *args)
                continue
            spec = spec_of(verb)
            self.effect(phrase, verb, *args)
            self.read(f"{phrase}: read back", _finder(verb, spec.find), *args, then=_must_be_there(phrase))
            self.decide(f"{phrase}: keep", _mark_undone, args)


def _finder(verb: Callable[..., Any], find: str) -> Callable[..., Any]:
    """The look-up of a verb, from the same port."""
    from isthmus.ports import PORTS

    port = verb.__qualname__.split(".")[0]
    found: Callable[..., Any] = getattr(PORTS[port], find)
    return found


def _must_be_there(phrase: str) -> Callable[[Any], Any]:
    def check(found: Any) -> Any:
        if found is None:
            raise Retryable(f"{phrase}: the other system does not show it undone yet")
        return found

    return check


def _mark_undone(books: Books, args: tuple[Any, ...]) -> str:
    """The write that was taken back, by its arguments, may be made again by a later run. Writes nobody took back, such
    as the tasks of a closed project, are still there and must not be made twice.
    """
    count, hashed = 0, content_hash(list(args))
    for effect in books.tx.find(Effect, run_id=books.run_id, args_hash=hashed, order=("seq",)):
        undone = effect.state in (EffectState.DONE, EffectState.FOUND, EffectState.RESENT)
        if undone and not effect.business_key.endswith((":close", ":deactivate", ":void")):
            books.tx.update(effect.model_copy(update={"state": EffectState.UNDONE}))
            count += 1
    return f"{count} effects marked undone"
