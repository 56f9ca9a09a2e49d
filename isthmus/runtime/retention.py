"""What may be forgotten, and when. Count first (forgettable), then forget.

Forgotten are the steps of finished runs, the engine's rows of finished attempts, the raw text of applied messages (the
message, its id and its hash stay, so that it is still recognised when it comes again) and old answers to idempotency
keys. Never forgotten: evidence, parts, invoices, payments, effects, events, audit, and the runs themselves, since their
keys are what keeps a second start from doing the work twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import sqlalchemy as sa

from isthmus.runtime.kernel import Kernel
from isthmus.store.records import IdempotentReply, InboxMessage, MessageState, RunRow, RunState, RunStep
from isthmus.store.tables import TABLES

FINISHED_RUNS = (RunState.DONE, RunState.CANCELLED)
SETTLED_MESSAGES = (MessageState.APPLIED, MessageState.DUPLICATE, MessageState.STALE)
FINISHED_ATTEMPTS = ["SUCCESS", "CANCELLED"]
_BATCH = 2000


@dataclass(frozen=True)
class Keep:
    """How long things stay after they were last of use."""

    finished_runs: timedelta = timedelta(days=90)
    messages: timedelta = timedelta(days=30)
    replies: timedelta = timedelta(hours=24)


@dataclass(frozen=True)
class Forgotten:
    """How many rows of each kind were, or would be, forgotten."""

    run_steps: int
    attempts: int
    messages: int
    replies: int


class Workflows(Protocol):
    """The engine's rows, one for each attempt at a run. A DBOSClient is one."""

    def list_workflows(self, **wanted: Any) -> Sequence[Any]:
        """The rows that fit, each with its workflow_id."""
        ...

    def delete_workflows(self, workflow_ids: list[str]) -> None:
        """Remove rows with everything that belongs to them."""
        ...


def forgettable(kernel: Kernel, workflows: Workflows | None, keep: Keep = Keep()) -> Forgotten:
    """What forget would do now; changes nothing."""
    now = kernel.clock.now()
    with kernel.store.transaction() as tx:
        counts = {
            name: int(tx.raw.execute(sa.select(sa.func.count()).select_from(old.subquery())).scalar_one())
            for name, (_, old) in _rules(now, keep).items()
        }
    pages = _finished_attempts(workflows, now - keep.finished_runs, move_on=True)
    return Forgotten(attempts=sum(map(len, pages)), **counts)


def forget(kernel: Kernel, workflows: Workflows | None, keep: Keep = Keep(), *, actor: str) -> Forgotten:
    """Forget in batches, each a transaction of its own; the audit keeps who did it and how much there was."""
    now = kernel.clock.now()
    counts = {name: _in_batches(kernel, act, old) for name, (act, old) in _rules(now, keep).items()}
    attempts = 0
    for page in _finished_attempts(workflows, now - keep.finished_runs, move_on=False):
        assert workflows is not None, "there are no attempts without an engine"
        workflows.delete_workflows(page)
        attempts += len(page)
    done = Forgotten(attempts=attempts, **counts)
    with kernel.store.transaction() as tx:
        after = {**counts, "attempts": attempts}
        kernel.books(tx, key="retention", actor=actor).audit("retention.forget", "retention", after=after)
    return done


Act = Callable[[sa.Select[Any]], sa.Delete | sa.Update]


def _rules(now: datetime, keep: Keep) -> dict[str, tuple[Act, sa.Select[Any]]]:
    """For each kind of row: what is done with it, and the keys of those whose time has come."""
    run, step, inbox, reply = (TABLES[m] for m in (RunRow, RunStep, InboxMessage, IdempotentReply))
    finished = run.c.state.in_(FINISHED_RUNS) & (run.c.updated_at < now - keep.finished_runs)
    settled = inbox.c.state.in_(SETTLED_MESSAGES) & (inbox.c.received_at < now - keep.messages)
    return {
        "run_steps": (
            lambda old: sa.delete(step).where(_key(step).in_(old)),
            sa.select(*step.primary_key).join(run, run.c.run_id == step.c.run_id).where(finished),
        ),
        "messages": (
            lambda old: sa.update(inbox).where(_key(inbox).in_(old)).values(raw=""),
            sa.select(*inbox.primary_key).where(settled, inbox.c.raw != ""),
        ),
        "replies": (
            lambda old: sa.delete(reply).where(_key(reply).in_(old)),
            sa.select(*reply.primary_key).where(reply.c.created_at < now - keep.replies),
        ),
    }


def _key(table: sa.Table) -> sa.Tuple:
    return sa.tuple_(*table.primary_key)


def _in_batches(kernel: Kernel, act: Act, old: sa.Select[Any]) -> int:
    total = 0
    while True:
        with kernel.store.transaction() as tx:
            done = int(tx.raw.execute(act(old.limit(_BATCH))).rowcount)
        total += done
        if done < _BATCH:
            return total


def _finished_attempts(workflows: Workflows | None, before: datetime, *, move_on: bool) -> Iterator[list[str]]:
    """Pages of workflow ids. move_on: the caller leaves them there, so the next page lies behind this one."""
    offset = 0
    while workflows is not None:
        rows = workflows.list_workflows(
            status=FINISHED_ATTEMPTS,
            completed_before=before.isoformat(),
            limit=_BATCH,
            offset=offset,
            load_input=False,
            load_output=False,
        )
        if rows:
            yield [row.workflow_id for row in rows]
        if len(rows) < _BATCH:
            return
        offset += len(rows) if move_on else 0
