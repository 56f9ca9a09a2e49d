"""Two workers at the ERP's limit of parallel requests: together they never exceed it, and everything gets through."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from isthmus.connectors.netsuite import connector as NetSuite
from isthmus.kit.executor import Connection
from isthmus.ports.calls import BULK, FINANCIAL, priority_of_call
from isthmus.runtime.lanes import SharedPlaces
from isthmus.sandbox.server import Running, running
from isthmus.store.postgres import PostgresStore
from tests.connectors.test_netsuite import CLIENT, M2M, SETTINGS

LIMIT, CALLERS, CALLS = 3, 8, 48
pytestmark = pytest.mark.slow


@pytest.fixture
def served() -> Iterator[Running]:
    """NetSuite with three places, each request taking its time."""
    with running("netsuite") as boxes:
        box = boxes["netsuite"]
        box.sandbox.concurrency_limit = LIMIT  # type: ignore[attr-defined]
        slow = {"kind": "latency", "seconds": 0.02, "path": "/record|/query", "times": 10_000}
        httpx.post(f"{box.url}/_control/faults", json=slow).raise_for_status()
        yield box


@pytest.fixture
def workers(served: Running, fresh_database: str) -> Iterator[list[Connection]]:
    """Two workers' connections to the account, sharing one budget through the database."""
    secrets = {name: value for name, value in served.sandbox.credentials().items() if name in M2M}
    stores = [PostgresStore(fresh_database, pool_size=2) for _ in range(2)]
    connections = [
        Connection(
            "erp",
            NetSuite(SETTINGS),
            base_url=f"{served.url}/services/rest",
            auth_kind="m2m",
            secrets=secrets,
            budget=SharedPlaces(store.engine, "erp", LIMIT),
        )
        for store in stores
    ]
    yield connections
    for connection, store in zip(connections, stores, strict=True):
        connection.close()
        store.close()


def test_two_workers_together_never_exceed_the_limit(served: Running, workers: list[Connection]) -> None:
    def call(number: int) -> str:
        priority_of_call.set(BULK if number % 3 else FINANCIAL)
        client = CLIENT.model_copy(update={"client_no": f"C-{number}", "legal_name": f"Client {number}"})
        return str(workers[number % 2].put_client(client).external_id)

    with ThreadPoolExecutor(2 * CALLERS) as callers:
        ids = list(callers.map(call, range(CALLS)))
    seen = httpx.get(f"{served.url}/_control/log", timeout=30).json()
    statuses = {request["status"] for request in seen["requests"]}
    assert len(set(ids)) == CALLS
    assert seen["concurrent_max"] == LIMIT, "the limit is used, and not exceeded"
    assert 429 not in statuses and max(statuses) < 500
