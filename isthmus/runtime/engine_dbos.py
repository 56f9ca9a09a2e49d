"""DBOS as the engine: a durable queue per lane in the hub's own database.

The run's steps are kept by isthmus itself (run_step), in the same transaction as the business rows they belong to; DBOS
sees that some worker advances each due attempt exactly while it is due: enqueued in the business transaction, claimed
by one executor, handed to another when that one dies. See docs/decisions/0002-steps-are-ours.md for the measurements.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from dbos import DBOS, DBOSClient, DBOSConfig
from dbos._serialization import WorkflowSerializationFormat

from isthmus.domain.errors import Retryable
from isthmus.runtime.engine import LANES
from isthmus.runtime.lookout import CHANNEL, Lookout
from isthmus.store.records import RunRow
from isthmus.store.tx import Tx

APPLICATION = "isthmus"
# One pinned version for all workers: the default, a hash of the code, would strand queued runs at every release.
APPLICATION_VERSION = "isthmus-1"
WORKFLOW = "advance_run"
DATABASE_PAUSE_SECONDS = 0.5
log = structlog.get_logger("isthmus.runtime")


def prepare_database(url: str) -> None:
    """Create or migrate the engine's own schema (dbos)."""
    logging.getLogger("dbos").setLevel(logging.ERROR)
    DBOS.migrate(url)


class DbosEngine:
    """Enqueues in the caller's transaction. Any process may; only workers claim."""

    def __init__(self, url: str) -> None:
        self.client = DBOSClient(system_database_url=url, application_name=APPLICATION, system_database_pool_size=2)

    def enqueue(self, tx: Tx, run: RunRow) -> None:
        """See Engine. The workflow id is the run and its attempt, so the same attempt is never queued twice."""
        self.client.enqueue_in_transaction(
            tx.raw,
            {
                "workflow_name": WORKFLOW,
                "queue_name": run.lane,
                "workflow_id": f"{run.run_id}#{run.attempt}",
                "app_version": APPLICATION_VERSION,
                "priority": LANES[run.lane],
                "serialization_type": WorkflowSerializationFormat.PORTABLE,
            },
            run.run_id,
            run.attempt,
        )
        tx.raw.exec_driver_sql("select pg_notify(%s, %s)", (CHANNEL, run.lane))  # heard when this is committed

    def close(self) -> None:
        """Give the connections back."""
        self.client.destroy()


class DbosWorker:
    """Claims due attempts from the lanes and advances them. One per process: DBOS keeps global state."""

    def __init__(
        self,
        url: str,
        executor_id: str,
        advance: Callable[[str, int], Any],
        *,
        concurrency: int = 8,
        polling_seconds: float = 0.012,
    ) -> None:
        config: DBOSConfig = {
            "name": APPLICATION,
            "system_database_url": url,
            "executor_id": executor_id,
            "application_version": APPLICATION_VERSION,
            "sys_db_pool_size": concurrency + 8,
            "log_level": "ERROR",
            "run_migrations": False,
            "notification_coalesce_sec": 1.0,  # no workflow of ours waits for another's word
        }
        self._url, self._lookout, self._stopping = url, Lookout(LANES), threading.Event()
        self._dbos = DBOS(config=config)

        @DBOS.workflow(name=WORKFLOW)
        def advance_run(run_id: str, attempt: int) -> str:
            while True:
                try:
                    return str(advance(run_id, attempt))
                except Retryable as error:  # the database is away, so not even the wait can be written down
                    log.warning("database away", run_id=run_id, reason=error.message)
                    time.sleep(DATABASE_PAUSE_SECONDS)

        self._concurrency = concurrency
        self._polling_seconds = polling_seconds

    def start(self) -> None:
        """Begin to claim. The worker's heartbeat must be in the database already."""
        # Before the launch, which starts the queue threads.
        listening = partial(self._lookout.listen, self._url, self._stopping.is_set)
        threading.Thread(target=listening, name="isthmus-lookout", daemon=True).start()
        DBOS.launch()
        self._lookout.stand_before(self._dbos._sys_db)
        for lane in LANES:
            DBOS.register_queue(
                lane,
                worker_concurrency=self._concurrency if lane != "bulk" else max(1, self._concurrency // 2),
                polling_interval_sec=self._polling_seconds * (1 if lane != "bulk" else 4),  # bulk can wait
                on_conflict="always_update",
            )

    def stop(self, patience_seconds: int = 10) -> None:
        """Finish what is being advanced, claim nothing more."""
        self._stopping.set()
        DBOS.destroy(workflow_completion_timeout_sec=patience_seconds, destroy_registry=True)
