"""The effect ledger: every write to another system has a row before it is sent.

    intended ──sent──> done
        │ no answer, or we died
        ▼
    in_doubt ──look it up──> found          (it had happened)
        └──────────────────> resent         (it had not: sent again)

Where the other system takes a write on and does it later (accepted, staged), the row keeps what it calls the job, and
the job is asked until it is done: a job that is known is never sent again.

A look-up that finds nothing is only believed once the other system has had its settling time, because a stale read
would turn into a duplicate. A verb that is an upsert by natural key is safe to send again at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import TypeAdapter

from isthmus.domain.errors import (
    NeedsDecision,
    NeedsSetup,
    NotOwner,
    OutcomeUnknown,
    RemoteRefusal,
    Retryable,
    SameKeyOtherContent,
    Underway,
)
from isthmus.domain.objects import ExternalRef
from isthmus.ports.calls import Exchange, correlation_of_call, exchanges_of_call
from isthmus.ports.verbs import VerbSpec, source_of, spec_of
from isthmus.runtime.edits import short_of
from isthmus.runtime.hashing import content_hash
from isthmus.runtime.routing import connection_of
from isthmus.store.records import CrossReference, Effect, EffectState, RunRow
from isthmus.store.tx import Tx

if TYPE_CHECKING:
    from isthmus.runtime.kernel import Kernel

FINISHED = frozenset({EffectState.DONE, EffectState.FOUND, EffectState.RESENT})
NOT_THERE = frozenset({EffectState.NOT_SENT, EffectState.REFUSED, EffectState.UNDONE})
SENDS_MAX = 3
TRAIL_MAX = 100  # exchanges that the row of a write keeps
_JOB = "underway"  # where the row of a write in doubt keeps what the other system calls its job
TAKE_OVER_AFTER = timedelta(seconds=60)
_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)


@cache
def result_type(verb: Callable[..., Any], many: bool = False) -> TypeAdapter[Any]:
    """The type of a verb's (or a step function's) result, or of a list of them, to keep and to read back."""
    hint = get_type_hints(verb).get("return", Any)
    return TypeAdapter(list[hint]) if many else TypeAdapter(hint)  # type: ignore[valid-type]


@dataclass(frozen=True)
class Call:
    """One write: the verb, its arguments and its place in the ledger."""

    effect: Effect
    args: tuple[Any, ...]
    fresh: bool


class Ledger:
    """Carries out writes by the in-doubt protocol."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def write(
        self, run: RunRow, seq: int, verb: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
    ) -> tuple[list[Any], list[Effect]]:
        """Results in the order of the arguments, and the effects to be kept with the step."""
        spec = spec_of(verb)
        [source] = {source_of(spec, args) for args in arguments} or {""}
        connection = connection_of(self._kernel, spec.name.split(".")[0], run, source)
        self._kernel.check_open(connection.name)
        self._ask_gate(run, spec, connection)
        calls = self._intend(run, seq, spec, connection, arguments)
        self._kernel.checkpoint(f"intended {spec.name}")
        finished: list[Effect] = []
        try:
            self._carry_out_all(calls, verb, spec, connection, finished)
        except BaseException:
            self.keep(finished)
            raise
        by_key = {effect.effect_key: effect for effect in finished}
        kept = [by_key.get(call.effect.effect_key, call.effect) for call in calls]
        return [result_type(verb).validate_python(effect.result) for effect in kept], finished

    def _ask_gate(self, run: RunRow, spec: VerbSpec, connection: Any) -> None:
        """The write gate at this door: nothing is written into a system over what that system owns."""
        try:
            self._kernel.gate.check_sent(spec.name, to=connection.writes_as, entity=run.entity)
        except NotOwner as refused:
            facts = {"verb": spec.name, "rule": refused.rule, "owner": refused.owner_system, "route": refused.route}
            with self._kernel.store.transaction() as tx:
                books = self._kernel.books(tx, key=run.run_id, actor="hub", correlation_id=run.correlation_id)
                books.audit("gate.refused", f"run:{run.run_id}", reason=refused.message, after=facts)
            raise NeedsDecision("EX-OWNER", refused.message, queue="integration", context=facts) from refused

    def keep(self, effects: Sequence[Effect]) -> None:
        """Write outcomes in a transaction of their own."""
        if effects:
            with self._kernel.store.transaction() as tx:
                self._kernel.hold(tx)
                self.keep_with(tx, effects)

    def keep_with(self, tx: Tx, effects: Sequence[Effect]) -> None:
        """Write outcomes and what they say about ids over there."""
        tx.update_many(effects)
        known = [cross_reference(effect) for effect in effects if effect.state in FINISHED]
        tx.insert_new_many([reference for reference in known if reference is not None])

    def _intend(
        self, run: RunRow, seq: int, spec: VerbSpec, connection: Any, arguments: Sequence[tuple[Any, ...]]
    ) -> list[Call]:
        """A row for each write, before anything is sent. Rows that were there before tell how far it got."""
        wanted = [self._wanted(run, seq, spec, connection, args) for args in arguments]
        with self._kernel.store.transaction() as tx:
            self._kernel.hold(tx)
            new = tx.insert_new_many(wanted)
            old_keys = tuple(e.effect_key for e, fresh in zip(wanted, new, strict=True) if not fresh)
            known = {e.effect_key: e for e in tx.find(Effect, effect_key=old_keys)} if old_keys else {}
            calls = [
                Call(effect, args, fresh=True)
                if fresh
                else self._known(tx, run, known[effect.effect_key], effect, args)
                for effect, args, fresh in zip(wanted, arguments, new, strict=True)
            ]
            self._kernel.checkpoint(f"intending {spec.name}")
            return calls

    def _wanted(self, run: RunRow, seq: int, spec: VerbSpec, connection: Any, args: tuple[Any, ...]) -> Effect:
        assert spec.key is not None, f"{spec.name} is not a write"
        now, hashed, key = self._kernel.clock.now(), content_hash(list(args)), spec.key(*args)
        amount, currency = spec.amount(*args) if spec.amount else (None, "")
        suffix = f"@{hashed[:12]}" if spec.revisable else ""
        return Effect(
            effect_key=f"{connection.name}:{spec.name}:{key}{suffix}",
            run_id=run.run_id,
            seq=seq,
            connection=connection.name,
            verb=spec.name,
            business_key=key,
            args_hash=hashed,
            state=EffectState.INTENDED,
            amount=amount,
            currency=currency,
            correlation_id=run.correlation_id,
            created_at=now,
        )

    def _known(self, tx: Tx, run: RunRow, known: Effect, wanted: Effect, args: tuple[Any, ...]) -> Call:
        """An effect that was intended before: by this run, by another, or refused or undone since."""
        if known.state in NOT_THERE:
            # An earlier doubt is not forgotten: whoever calls the run off has to look for what it may have left.
            doubt = known.in_doubt_since if known.state is not EffectState.UNDONE else None
            tried = {"sends": known.sends, "lookups": known.lookups, "in_doubt_since": doubt}
            tx.update(wanted.model_copy(update=tried))
            return Call(wanted.model_copy(update={"in_doubt_since": doubt}), args, fresh=True)
        if known.args_hash != wanted.args_hash:
            raise SameKeyOtherContent(f"{known.verb} {known.business_key} was written before with other content")
        unfinished = known.state not in FINISHED
        if unfinished and known.run_id != run.run_id and wanted.created_at - known.created_at < TAKE_OVER_AFTER:
            raise Retryable(f"{known.verb} {known.business_key} is being written by {known.run_id}")
        return Call(known, args, fresh=False)

    def _carry_out_all(
        self, calls: list[Call], verb: Callable[..., Any], spec: VerbSpec, connection: Any, finished: list[Effect]
    ) -> None:
        todo = [call for call in calls if call.effect.state not in FINISHED]
        workers = min(self._kernel.parallel_sends, len(todo))
        if workers <= 1:
            for call in todo:
                finished.append(self._carry_out(call, verb, spec, connection))
            return
        with ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(copy_context().run, self._carry_out, call, verb, spec, connection) for call in todo]
        failures = [f.exception() for f in futures if f.exception() is not None]
        finished.extend(f.result() for f in futures if f.exception() is None)
        if failures:
            raise failures[0]  # type: ignore[misc]

    def _carry_out(self, call: Call, verb: Callable[..., Any], spec: VerbSpec, connection: Any) -> Effect:
        """Send, or look up first when an earlier attempt may have sent."""
        effect = call.effect
        correlation_of_call.set(effect.correlation_id)
        if not call.fresh and effect.state is not EffectState.IN_DOUBT:
            effect = self._doubt(effect)
        while True:
            if effect.state is EffectState.IN_DOUBT:
                effect, settled = self._look_up(effect, call.args, spec, connection)
                if settled:
                    return effect
            effect = self._send(effect, call.args, verb, spec, connection)
            if effect.state is not EffectState.IN_DOUBT:
                return effect

    def _doubt(self, effect: Effect, job: dict[str, str] | None = None) -> Effect:
        """Write down that we do not know, since when, and the job that will tell, before anything else is tried."""
        now = self._kernel.clock.now()
        kept = {_JOB: job} if job else None
        doubtful = effect.model_copy(update={"state": EffectState.IN_DOUBT, "in_doubt_since": now, "result": kept})
        self.keep([doubtful])
        self._kernel.checkpoint(f"in doubt {effect.verb}")
        return doubtful

    def _look_up(self, effect: Effect, args: tuple[Any, ...], spec: VerbSpec, connection: Any) -> tuple[Effect, bool]:
        """(effect, settled): found, or certainly absent and to be sent again."""
        if not self._kernel.looks_up:  # only ever off in the test that shows why it must be on
            return effect, False
        job = (effect.result or {}).get(_JOB)
        effect = effect.model_copy(update={"lookups": effect.lookups + 1})
        if job is not None:
            return self._ask_job(effect, job["job"], args, spec, connection), True
        found = getattr(connection, spec.find)(*args)
        self._kernel.checkpoint(f"looked up {spec.name}")
        strategy = connection.strategy(spec.name)
        if found is not None and not spec.revisable:
            return self._finished(effect, EffectState.FOUND, found), True
        if found is None and strategy == "find_then_create":
            settled_at = (effect.in_doubt_since or effect.created_at) + connection.settling_time
            if self._kernel.clock.now() < settled_at:
                self.keep([effect])
                wait = (settled_at - self._kernel.clock.now()).total_seconds()
                raise Retryable(f"{spec.name} {effect.business_key}: not found, asked too early to believe it", wait)
        # The doubt begins anew with every send, written before it: a crash in the middle must not leave an older one,
        # whose settling time is over, to be believed.
        return self._doubt(effect), False

    def _ask_job(self, effect: Effect, job: str, args: tuple[Any, ...], spec: VerbSpec, connection: Any) -> Effect:
        """What became of a job: done, refused, or still underway, which is waited for."""
        try:
            result = getattr(connection, connection.poll(spec.name))(job)
        except Underway as still:
            self.keep([effect.model_copy(update={"result": {_JOB: {"job": still.job, "state": still.state}}})])
            raise Retryable(still.message, still.after_seconds) from still
        except RemoteRefusal as refusal:
            self.keep([effect.model_copy(update={"state": EffectState.REFUSED, "result": None})])
            raise self._case(refusal, effect, spec, args) from refusal
        self._kernel.checkpoint(f"asked the job of {spec.name}")
        return self._finished(effect, EffectState.FOUND, result)

    def _send(
        self, effect: Effect, args: tuple[Any, ...], verb: Callable[..., Any], spec: VerbSpec, connection: Any
    ) -> Effect:
        if effect.sends >= SENDS_MAX:
            self.keep([effect.model_copy(update={"sends": 0})])
            raise Retryable(f"{spec.name} {effect.business_key}: {SENDS_MAX} attempts without an answer")
        self._kernel.fence_off()
        resent = effect.sends > 0 or effect.state is EffectState.IN_DOUBT
        effect = effect.model_copy(update={"sends": effect.sends + 1, "sent_at": self._kernel.clock.now()})
        seen: list[Exchange] = []
        exchanges_of_call.set(seen)
        try:
            result = getattr(connection, verb.__name__)(*args)
        except Underway as taken_on:
            self._doubt(with_trail(effect, seen), {"job": taken_on.job, "state": taken_on.state})
            raise Retryable(taken_on.message, taken_on.after_seconds) from taken_on
        except OutcomeUnknown:
            return self._doubt(with_trail(effect, seen))
        except (Retryable, NeedsSetup):
            if effect.state is EffectState.INTENDED:  # nothing happened there: no need to look it up later
                self.keep([effect.model_copy(update={"state": EffectState.NOT_SENT})])
            raise
        except RemoteRefusal as refusal:
            self.keep([with_trail(effect, seen).model_copy(update={"state": EffectState.REFUSED})])
            raise self._case(refusal, effect, spec, args) from refusal
        self._kernel.checkpoint(f"sent {spec.name}")
        return self._finished(with_trail(effect, seen), EffectState.RESENT if resent else EffectState.DONE, result)

    def _finished(self, effect: Effect, state: EffectState, result: Any) -> Effect:
        kept = _ANYTHING.dump_python(result, mode="json")
        return effect.model_copy(update={"state": state, "result": kept, "done_at": self._kernel.clock.now()})

    def _case(self, refusal: RemoteRefusal, effect: Effect, spec: VerbSpec, args: tuple[Any, ...]) -> NeedsDecision:
        """The refusal in the words of the port: exception type, queue and money; and what was sent, to be mended."""
        money = (effect.amount, effect.currency) if effect.amount is not None else None
        context = {**refusal.context, "verb": spec.name, "key": effect.business_key, "sent": short_of(args)}
        return NeedsDecision(
            spec.exception, refusal.message, queue=spec.queue, money=money, context=context, actions=("retry", "cancel")
        )


def with_trail(effect: Effect, seen: list[Exchange]) -> Effect:
    """The effect with what was sent and answered just now after what was before: of an attempt that is in doubt too.

    A write that is looked up for days keeps its first exchanges and its last ones, or its row would grow with each.
    """
    trail = [*effect.digests, *(asdict(each) for each in seen)]
    if len(trail) > TRAIL_MAX:
        trail = [*trail[: TRAIL_MAX // 2], *trail[-(TRAIL_MAX // 2) :]]
    return effect.model_copy(update={"digests": trail})


def cross_reference(effect: Effect) -> CrossReference | None:
    """What a finished write says about the id over there."""
    result = effect.result if isinstance(effect.result, dict) else {}
    raw = result.get("ref", result)
    if not {"system", "object_type", "external_id"} <= set(raw):
        return None
    ref = ExternalRef.model_validate(raw)
    return CrossReference(
        object_type=effect.verb,
        key=effect.business_key,
        system=ref.system,
        remote_type=ref.object_type,
        remote_id=ref.external_id,
        version=ref.version,
    )
