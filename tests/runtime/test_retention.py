"""What may be forgotten is counted first, then forgotten; evidence, money and history never are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from isthmus.domain.errors import NotFound
from isthmus.runtime import inbox, retention
from isthmus.runtime.clock import HandClock
from isthmus.runtime.engine import MemoryEngine
from isthmus.runtime.engine_dbos import DbosEngine, prepare_database
from isthmus.runtime.kernel import Kernel
from isthmus.runtime.retention import Forgotten, Keep, forget, forgettable
from isthmus.store.postgres import PostgresStore
from isthmus.store.records import (
    AuditEntry,
    IdempotentReply,
    InboxMessage,
    MessageState,
    RunRow,
    RunState,
    RunStep,
)
from isthmus.store.tables import SPECS, TABLES

START = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture
def kernel(fresh_database: str) -> Iterator[Kernel]:
    """A kernel on PostgreSQL, its clock at the start."""
    store = PostgresStore(fresh_database)
    yield Kernel(store, HandClock(START), MemoryEngine(), systems=None)  # type: ignore[arg-type]
    store.close()


def after(kernel: Kernel, **time: float) -> Kernel:
    assert isinstance(kernel.clock, HandClock)
    kernel.clock.move_to(START + timedelta(**time))
    return kernel


def run(key: str, state: RunState) -> RunRow:
    times = {"created_at": START, "updated_at": START}
    return RunRow(
        run_id=f"p/{key}", process="p", key=key, args={}, args_hash="", state=state, correlation_id="c", **times
    )


def step(key: str, seq: int) -> RunStep:
    return RunStep(run_id=f"p/{key}", seq=seq, phrase="Do it", kind="decide", started_at=START, ended_at=START)


def message(number: int, state: MessageState) -> InboxMessage:
    names = {"source": "psa", "message_id": f"m{number}", "kind": "time", "aggregate": "a", "content_hash": "h"}
    return InboxMessage(**names, raw="{secret}", state=state, received_at=START)


def reply(key: str) -> IdempotentReply:
    return IdempotentReply(caller="c", idempotency_key=key, route="r", body_hash="", status=201, created_at=START)


@pytest.fixture
def full(kernel: Kernel) -> Kernel:
    """A run in every state with three steps, a message in every state, two replies."""
    with kernel.store.transaction() as tx:
        for state in RunState:
            tx.insert(run(state, state))
            tx.insert_many([step(state, seq) for seq in (1, 2, 3)])
        for number, state in enumerate(MessageState):
            tx.insert(message(number, state))
        tx.insert_many([reply("1"), reply("2")])
    return kernel


def every_row(kernel: Kernel) -> dict[str, int]:
    with kernel.store.transaction() as tx:
        return {SPECS[model].table: len(tx.find(model)) for model in SPECS}


def test_nothing_is_forgotten_before_its_time(full: Kernel) -> None:
    before = every_row(full)
    for hours in (0, 24):
        assert forgettable(after(full, hours=hours), None) == Forgotten(0, 0, 0, 0)
        assert forget(full, None, actor="ann") == Forgotten(0, 0, 0, 0)
    assert {k: v for k, v in every_row(full).items() if k not in ("audit", "counter")} == {
        k: v for k, v in before.items() if k not in ("audit", "counter")
    }


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (1.01, Forgotten(run_steps=0, attempts=0, messages=0, replies=2)),
        (30.01, Forgotten(run_steps=0, attempts=0, messages=3, replies=2)),
        (90.01, Forgotten(run_steps=6, attempts=0, messages=3, replies=2)),
    ],
)
def test_the_count_is_what_is_then_forgotten(full: Kernel, days: float, expected: Forgotten) -> None:
    before = every_row(full)
    assert forgettable(after(full, days=days), None) == expected
    assert every_row(full) == before
    assert forget(full, None, actor="ann") == expected
    assert forgettable(full, None) == Forgotten(0, 0, 0, 0)


def test_only_finished_things_are_forgotten_and_their_keys_stay(full: Kernel) -> None:
    forget(after(full, days=1000), None, actor="ann")
    with full.store.transaction() as tx:
        assert len(tx.find(RunRow)) == len(RunState)
        with_steps = {s.run_id.removeprefix("p/") for s in tx.find(RunStep)}
        raw = {m.state: m.raw for m in tx.find(InboxMessage)}
        assert tx.find(IdempotentReply) == []
        (entry,) = tx.find(AuditEntry)
    assert with_steps == set(RunState) - {RunState.DONE, RunState.CANCELLED}
    assert {state for state, text in raw.items() if text == ""} == {
        MessageState.APPLIED,
        MessageState.DUPLICATE,
        MessageState.STALE,
    }
    assert len(raw) == len(MessageState)
    assert entry.actor == "ann" and entry.after == {"run_steps": 6, "messages": 3, "replies": 2, "attempts": 0}


def test_only_these_tables_are_touched() -> None:
    touched = {act(old).table for act, old in retention._rules(START, Keep()).values()}  # type: ignore[attr-defined]
    assert touched == {TABLES[RunStep], TABLES[InboxMessage], TABLES[IdempotentReply]}


def test_a_forgotten_message_is_still_recognised_but_not_replayed(kernel: Kernel) -> None:
    arrival = {"source": "psa", "message_id": "m", "kind": "time", "aggregate": "a", "raw": "{hours}"}
    with kernel.store.transaction() as tx:
        books = kernel.books(tx, key="k", actor="psa")
        accepted = inbox.accept(books, **arrival)
        tx.update(accepted.model_copy(update={"state": MessageState.APPLIED}))
    assert forget(after(kernel, days=31), None, actor="ann").messages == 1
    with kernel.store.transaction() as tx:
        books = kernel.books(tx, key="k", actor="psa")
        assert inbox.accept(books, **arrival).state is MessageState.APPLIED
        with pytest.raises(NotFound, match="forgotten"):
            inbox.replay(books, "psa", "m", "again")


def test_much_is_forgotten_in_batches(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_BATCH", 10)
    with kernel.store.transaction() as tx:
        tx.insert(run("a", RunState.DONE))
        tx.insert_many([step("a", seq) for seq in range(35)])
        tx.insert_many([message(n, MessageState.APPLIED) for n in range(20)])
    commits: list[Any] = []
    sa.event.listen(kernel.store.engine, "commit", commits.append)  # type: ignore[attr-defined]
    done = forget(after(kernel, days=100), None, actor="ann")
    assert (done.run_steps, done.messages) == (35, 20)
    assert len(commits) == 4 + 3 + 1 + 1  # steps, messages (the last batch finds none), replies, audit


def test_the_engines_rows_of_finished_attempts(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_BATCH", 2)
    url = kernel.store.url  # type: ignore[attr-defined]
    prepare_database(url)
    engine = DbosEngine(url)
    try:
        with kernel.store.transaction() as tx:
            for number in range(7):
                engine.enqueue(tx, run(f"r{number}", RunState.QUEUED))
        for number in range(5):
            engine.client.cancel_workflow(f"p/r{number}#1")
        assert isinstance(kernel.clock, HandClock)
        kernel.clock.move_to(datetime.now(UTC) + timedelta(days=89))
        assert forgettable(kernel, engine.client).attempts == 0
        kernel.clock.move(timedelta(days=2))
        assert forgettable(kernel, engine.client).attempts == 5
        assert forget(kernel, engine.client, actor="ann").attempts == 5
        assert forgettable(kernel, engine.client).attempts == 0
        left = [row.workflow_id for row in engine.client.list_workflows()]
        assert left == ["p/r5#1", "p/r6#1"]
    finally:
        engine.close()
