"""The audit chain: sealed once, and every way of tampering with it is named."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from isthmus.runtime import audit
from isthmus.store.postgres import PostgresStore
from isthmus.store.records import AuditEntry

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(fresh_database: str) -> Iterator[PostgresStore]:
    """The books on PostgreSQL, empty."""
    store = PostgresStore(fresh_database)
    yield store
    store.close()


def write(store: PostgresStore, first: int, last: int) -> None:
    with store.transaction() as tx:
        for number in range(first, last + 1):
            entry = AuditEntry(
                audit_id=f"INV-{number}/1",
                at=NOW + timedelta(seconds=number),
                actor="ann",
                action="invoice.approve",
                subject=f"INV-{number}",
                reason="checked against the contract",
                before={"state": "in_review", "net": "1.10"},
                after={"state": "approved", "net": "1.10"},
            )
            tx.insert(entry)


@pytest.fixture
def chain(store: PostgresStore) -> PostgresStore:
    """Six entries, sealed."""
    write(store, 1, 6)
    assert audit.seal(store) == 6
    assert audit.verify(store) == []
    return store


def tamper(store: PostgresStore, *statements: str) -> None:
    """As a superuser who has switched the triggers off."""
    with store.engine.begin() as connection:
        connection.execute(sa.text("set local session_replication_role = replica"))
        for statement in statements:
            connection.execute(sa.text(statement))


def test_sealing_chains_in_order_and_once(store: PostgresStore) -> None:
    write(store, 1, 5)
    assert (audit.seal(store, limit=3), audit.seal(store, limit=3), audit.seal(store)) == (3, 2, 0)
    write(store, 6, 7)
    assert audit.seal(store) == 2
    with store.transaction() as tx:
        entries = tx.find(AuditEntry, order=("chain",))
    assert [e.subject for e in entries] == [f"INV-{n}" for n in range(1, 8)]
    assert [e.previous_hash for e in entries] == [audit.GENESIS, *(e.hash for e in entries[:-1])]
    assert audit.verify(store) == []


def test_nothing_and_nothing_sealed_are_whole(store: PostgresStore) -> None:
    assert audit.verify(store) == []
    write(store, 1, 2)
    assert audit.verify(store) == []


@pytest.mark.requirement("SEC-04")
@pytest.mark.parametrize(
    "change",
    [
        "actor = 'bob'",
        "reason = ''",
        "at = at + interval '1 microsecond'",
        "after = jsonb_set(after, '{net}', '\"1.1\"')",
        "before = null",
        "audit_id = 'INV-3/2'",
        "hash = 'f'",
    ],
)
def test_an_edited_entry_is_named(chain: PostgresStore, change: str) -> None:
    tamper(chain, f"update hub.audit set {change} where chain = 3")
    wrong = audit.verify(chain)
    assert wrong and wrong[0] == "entry 3 (invoice.approve of INV-3) was changed"


@pytest.mark.requirement("SEC-04")
def test_an_edit_with_a_new_hash_breaks_the_next_link(chain: PostgresStore) -> None:
    tamper(chain, "update hub.audit set actor = 'bob' where chain = 3")
    with chain.transaction() as tx:
        (edited,) = tx.find(AuditEntry, chain=3)
    tamper(chain, f"update hub.audit set hash = '{audit._hash(edited)}' where chain = 3")
    assert audit.verify(chain) == ["entry 4 (invoice.approve of INV-4) was changed"]


@pytest.mark.requirement("SEC-04")
@pytest.mark.parametrize("removed", [[1], [4], [2, 3], [6], [1, 2, 3, 4, 5, 6]])
def test_removed_entries_are_named(chain: PostgresStore, removed: list[int]) -> None:
    tamper(chain, f"delete from hub.audit where chain in ({', '.join(map(str, removed))})")
    assert audit.verify(chain) == [f"entry {number} is missing" for number in removed]


@pytest.mark.requirement("SEC-04")
def test_a_removed_entry_is_not_hidden_by_numbering_again(chain: PostgresStore) -> None:
    tamper(
        chain,
        "delete from hub.audit where chain = 2",
        "update hub.audit set chain = chain - 1 where chain > 2",
        "update hub.counter set value = 5 where name = 'audit-chain'",
    )
    assert audit.verify(chain)[0] == "entry 2 (invoice.approve of INV-3) was changed"


@pytest.mark.requirement("SEC-04")
def test_swapped_entries_are_named(chain: PostgresStore) -> None:
    tamper(chain, "update hub.audit set chain = 7 - chain where chain in (3, 4)")
    assert {"entry 3 (invoice.approve of INV-4) was changed", "entry 4 (invoice.approve of INV-3) was changed"} <= set(
        audit.verify(chain)
    )


@pytest.mark.requirement("SEC-04")
def test_a_doubled_number_is_named(chain: PostgresStore) -> None:
    with chain.transaction() as tx:
        (third,) = tx.find(AuditEntry, chain=3)
        tx.insert(third.model_copy(update={"audit_id": "forged/1"}))
    assert "is there twice" in audit.verify(chain)[0]


def test_long_chains_are_read_in_pages(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_PAGE", 3)
    write(store, 1, 10)
    audit.seal(store)
    assert audit.verify(store) == []
    tamper(store, "update hub.audit set actor = 'bob' where chain in (4, 9)")
    assert [line.split()[1] for line in audit.verify(store)] == ["4", "9"]


def test_sealers_and_writers_at_once_make_one_chain(store: PostgresStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        writers = [pool.submit(write, store, n * 10 + 1, n * 10 + 10) for n in range(8)]
        sealers = [pool.submit(audit.seal, store, 7) for _ in range(20)]
        sealed = sum(future.result() for future in sealers)
        for future in writers:
            future.result()
    sealed += audit.seal(store)
    assert sealed == 80
    with store.transaction() as tx:
        assert sorted(e.chain for e in tx.find(AuditEntry)) == list(range(1, 81))
    assert audit.verify(store) == []
