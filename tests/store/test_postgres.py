"""What only PostgreSQL can show: guards against other connections, races, locks, many workers at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, date, datetime

import pytest
import sqlalchemy as sa

from isthmus.domain.errors import LostRace
from isthmus.domain.objects import BillableItem, BillablePart
from isthmus.domain.states import PartState
from isthmus.store.postgres import PostgresStore
from isthmus.store.records import AuditEntry, OutboxEvent, Watermark

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)


def mark(feed: str, value: str = "1") -> Watermark:
    return Watermark(connection="psa", feed=feed, value=value, read_at=NOW)


def run_sql(store: PostgresStore, statement: str) -> int:
    with store.engine.begin() as connection:
        return connection.execute(sa.text(statement)).rowcount


# ---- guards against whoever has a connection


@pytest.fixture
def evidence(postgres: PostgresStore) -> PostgresStore:
    """One row of everything that is guarded."""
    place = {"contract_no": "C", "currency": "USD", "service_date": date(2025, 3, 1), "quantity": 1, "net": 1}
    item = {**place, "item_id": "I", "source_key": "s", "revision": 1, "contract_version": 1, "line_uid": "L"}
    amounts = {"entry_quantity": 1, "entry_net": 1, "unit_price": 1, "project_code": "P"}
    part = {**place, "part_id": "P", "item_id": "I", "state": PartState.READY, "order_key": "k"}
    event = {"event_id": "e/1", "type": "t", "schema_version": 1, "occurred_at": NOW, "entity": "", "aggregate": "e"}
    story = {"sequence": 1, "correlation_id": "", "causation_id": "", "actor": "hub", "payload": {}}
    with postgres.transaction() as tx:
        tx.insert(BillableItem.model_validate(item | amounts))
        tx.insert(BillablePart.model_validate(part))
        tx.insert(OutboxEvent.model_validate(event | story))
        tx.insert(AuditEntry(audit_id="a", at=NOW, actor="ann", action="approve", subject="s"))
    return postgres


@pytest.mark.parametrize(
    ("statement", "state"),
    [
        ("update hub.billable_part set state = 'invoiced'", "ISM01"),
        ("update hub.billable_part set state = 'no such state'", "ISM01"),
        ("update hub.billable_item set net = 2", "ISM02"),
        ("delete from hub.billable_item", "ISM02"),
        ("update hub.event set payload = '{}'", "ISM02"),
        ("delete from hub.event", "ISM02"),
        ("truncate hub.event", "ISM02"),
        ("truncate hub.audit", "ISM02"),
        ("delete from hub.audit", "ISM02"),
        ("update hub.audit set actor = 'bob'", "ISM02"),
        ("update hub.audit set chain = 1, hash = 'x', reason = 'other'", "ISM02"),
        ("update hub.audit set hash = 'x'", "ISM02"),
    ],
)
def test_plain_sql_is_refused(evidence: PostgresStore, statement: str, state: str) -> None:
    with pytest.raises(sa.exc.DBAPIError) as refused:
        run_sql(evidence, statement)
    assert refused.value.orig.sqlstate == state  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "statement",
    [
        "update hub.billable_part set state = 'held'",
        "update hub.billable_part set state = state, reason = 'x'",
        "update hub.audit set chain = 1, previous_hash = '0', hash = 'x'",
        "delete from hub.billable_part",
    ],
)
def test_plain_sql_within_the_rules_passes(evidence: PostgresStore, statement: str) -> None:
    assert run_sql(evidence, statement) == 1


# ---- races


def test_a_deadlock_is_a_lost_race_and_the_other_wins(postgres: PostgresStore) -> None:
    with postgres.transaction() as tx:
        tx.insert_many([mark("a"), mark("b")])
    both_hold_one = threading.Barrier(2)

    def change(first: str, second: str) -> str:
        try:
            with postgres.transaction() as tx:
                tx.update(mark(first, first + second))
                both_hold_one.wait(10)
                tx.update(mark(second, first + second))
            return "won"
        except LostRace:
            return "lost"

    with ThreadPoolExecutor(2) as pool:
        outcomes = [f.result(30) for f in [pool.submit(change, "a", "b"), pool.submit(change, "b", "a")]]
    assert sorted(outcomes) == ["lost", "won"]
    with postgres.transaction() as tx:
        assert len({row.value for row in tx.find(Watermark)}) == 1


def test_twenty_threads_draw_numbers_without_a_gap(postgres: PostgresStore) -> None:
    class Dropped(Exception):
        pass

    def draw(worker: int) -> list[int]:
        drawn = []
        for attempt in range(10):
            try:
                with postgres.transaction() as tx:
                    number = tx.next("INV-US")
                    if (worker + attempt) % 4 == 0:
                        raise Dropped
                drawn.append(number)
            except Dropped:
                continue
        return drawn

    with ThreadPoolExecutor(20) as pool:
        numbers = sorted(number for drawn in pool.map(draw, range(20)) for number in drawn)
    assert numbers == list(range(1, 151))


def _while_held(
    postgres: PostgresStore, hold: Callable[..., None], other: Callable[..., object]
) -> tuple[bool, Future]:  # type: ignore[type-arg]
    """(did the other one get through while the first held on, its result afterwards)."""
    with ThreadPoolExecutor(1) as pool:
        with postgres.transaction() as tx:
            hold(tx)
            future = pool.submit(other)
            through = threading.Event()
            future.add_done_callback(lambda _: through.set())
            passed = through.wait(0.3)
        future.result(10)
    return passed, future


def test_a_name_is_held_by_one_transaction_at_a_time(postgres: PostgresStore) -> None:
    def take(name: str) -> Callable[[], None]:
        def act() -> None:
            with postgres.transaction() as tx:
                tx.lock(name)

        return act

    assert _while_held(postgres, lambda tx: tx.lock("contract:C-1"), take("contract:C-1"))[0] is False
    assert _while_held(postgres, lambda tx: tx.lock("contract:C-1"), take("contract:C-2"))[0] is True


def test_a_second_insert_of_a_key_waits_for_the_first(postgres: PostgresStore) -> None:
    def insert() -> bool:
        with postgres.transaction() as tx:
            return tx.insert_new(mark("a", "2"))

    passed, future = _while_held(postgres, lambda tx: tx.insert(mark("a", "1")), insert)
    assert passed is False and future.result() is False


def test_skip_locked_gives_each_worker_other_rows(postgres: PostgresStore) -> None:
    with postgres.transaction() as tx:
        tx.insert_many(mark(f"f{n}") for n in range(6))
    with postgres.transaction() as one, postgres.transaction() as two:
        first = one.find(Watermark, order=("feed",), limit=4, skip_locked=True)
        second = two.find(Watermark, order=("feed",), limit=4, skip_locked=True)
    assert [m.feed for m in first + second] == [f"f{n}" for n in range(6)]


# ---- the session


def test_instants_do_not_depend_on_the_servers_time_zone(postgres: PostgresStore) -> None:
    name = sa.make_url(postgres.url).database
    run_sql(postgres, f"alter database {name} set timezone = 'Asia/Tokyo'")
    again = PostgresStore(postgres.url)
    with again.transaction() as tx:
        tx.insert(mark("a"))
    with again.transaction() as tx:
        found = tx.get(Watermark, "psa", "a")
    again.close()
    assert found is not None and found.model_dump_json() == mark("a").model_dump_json()
