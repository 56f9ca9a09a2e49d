"""Runs without progress, each with its cause: what it is at, what it waits for, or why its lane stands still."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from isthmus.desk.alarms import WEDGE, Alarm
from isthmus.desk.config import Wedge
from isthmus.domain.states import CaseState
from isthmus.store.records import Case, Effect, EffectState, Executor, RunRow, RunState, RunStep
from isthmus.store.tx import Tx

AT_ONCE = 200
OPEN_WRITES = (EffectState.INTENDED, EffectState.NOT_SENT, EffectState.IN_DOUBT)


def wedges(tx: Tx, now: datetime, limits: Wedge) -> Iterator[Alarm]:
    """Lanes whose queue stands still, runs that are at one step for too long, runs that have tried too often."""
    earliest = now - timedelta(minutes=limits.minutes)
    yield from _lanes(tx, earliest)
    for run in tx.find(RunRow, state=RunState.RUNNING, order=("updated_at",), limit=AT_ONCE):
        found = _stands(tx, run, earliest)
        if found is not None:
            yield found
    for run in tx.find(RunRow, state=RunState.WAITING, order=("-tries",), limit=AT_ONCE):
        if run.tries < limits.tries:
            break
        if not tx.find(Case, run_id=run.run_id, state=CaseState.OPEN, limit=1):
            since = run.waiting_since or run.updated_at
            yield _of_run(tx, run, since, f"tried {run.tries} times without getting on: {run.reason}", "wait")


def _stands(tx: Tx, run: RunRow, earliest: datetime) -> Alarm | None:
    """A run under way whose last step is too long ago."""
    if run.updated_at >= earliest:
        return None
    last = tx.find(RunStep, run_id=run.run_id, order=("-seq",), limit=1)
    since = max(run.updated_at, last[0].ended_at) if last else run.updated_at
    if since >= earliest:
        return None
    writes = tx.find(Effect, run_id=run.run_id, state=OPEN_WRITES, order=("-seq",), limit=1)
    at = f"after '{last[0].phrase}'" if last else "at its first step"
    doing = f", with a write to {writes[0].connection} that is {_words(writes[0].state)}" if writes else ""
    return _of_run(tx, run, since, f"at the same step since {since:%Y-%m-%d %H:%M} UTC, {at}{doing}", at)


def _of_run(tx: Tx, run: RunRow, since: datetime, why: str, tried: str) -> Alarm:
    sums = [step for step in tx.find(RunStep, run_id=run.run_id, order=("-seq",), limit=20) if step.amount is not None]
    money = (sums[0].amount, sums[0].currency) if sums and sums[0].amount is not None else None
    facts = {"run": run.run_id}
    cause = f"run {run.run_id}: {why}"
    name = f"watch/run/{run.run_id}"
    return Alarm(WEDGE, name, run.key, since, cause, "integration", tried, money, run.entity, run.correlation_id, facts)


def _lanes(tx: Tx, earliest: datetime) -> Iterator[Alarm]:
    """A lane is wedged when its oldest run is queued for too long and none of its runs has moved meanwhile."""
    oldest: dict[str, RunRow] = {}
    for run in tx.find(RunRow, state=RunState.QUEUED, order=("updated_at",), limit=AT_ONCE):
        oldest.setdefault(run.lane, run)
    for lane, run in sorted(oldest.items()):
        if run.updated_at >= earliest or _moves(tx, lane, earliest):
            continue
        queued = tx.counts(RunRow, "lane", state=RunState.QUEUED)[lane]
        running = tx.counts(RunRow, "lane", state=RunState.RUNNING).get(lane, 0)
        workers = len(tx.find(Executor))
        why = f"{running} are under way and hold it up" if running else "no worker takes them"
        since = f"since {run.updated_at:%Y-%m-%d %H:%M} UTC"
        cause = f"lane {lane}: {queued} runs are queued, none has moved {since}: {why} ({workers} workers alive)"
        facts = {"lane": lane, "oldest": run.run_id}
        name, told = f"watch/lane/{lane}", "Take the next run"
        yield Alarm(WEDGE, name, lane, run.updated_at, cause, "integration", told, context=facts)


def _moves(tx: Tx, lane: str, earliest: datetime) -> bool:
    """True when a run of the lane has moved since then."""
    moving = (RunState.RUNNING, RunState.WAITING, RunState.PARKED, RunState.DONE)
    last = tx.find(RunRow, lane=lane, state=moving, order=("-updated_at",), limit=1)
    return bool(last) and last[0].updated_at >= earliest


def _words(state: EffectState) -> str:
    return str(state).replace("_", " ")
