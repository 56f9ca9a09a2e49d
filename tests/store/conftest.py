"""Both stores, so that one suite shows that they obey the same rules."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from isthmus.store.memory import MemoryStore
from isthmus.store.postgres import PostgresStore


@pytest.fixture
def postgres(fresh_database: str) -> Iterator[PostgresStore]:
    """The books on PostgreSQL, empty."""
    store = PostgresStore(fresh_database, pool_size=5)
    yield store
    store.close()


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> MemoryStore | PostgresStore:
    """The books in memory, then the books on PostgreSQL."""
    return MemoryStore() if request.param == "memory" else request.getfixturevalue("postgres")
