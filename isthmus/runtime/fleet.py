"""Many workers on one database: heartbeats, and fenced hand-over of a dead worker's runs.

A worker writes its heartbeat before it claims anything. Whoever finds a heartbeat older than the lease puts that
worker's claimed attempts back in their queues; the attempt is fenced by DBOS (owner_xid) and by the run's attempt
number. A worker that cannot renew its own lease stops sending to other systems before others may take over.
A worker of the same machine whose process is gone is dead at once: nobody waits for its lease, so a restart goes on.
Writes to DBOS tables; runs against the pinned dbos version only (engine notes in docs/decisions/0002).
"""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path

import sqlalchemy as sa
import structlog

from isthmus import __version__
from isthmus.domain.errors import Retryable
from isthmus.runtime.clock import Clock
from isthmus.runtime.engine_dbos import APPLICATION, APPLICATION_VERSION
from isthmus.runtime.loops import FAILURES
from isthmus.store.postgres import PostgresStore
from isthmus.store.records import Executor

log = structlog.get_logger("isthmus.runtime")
LEASE_SECONDS = 15.0

_HAND_OVER = sa.text(
    """
    with dead as (
        select distinct w.executor_id from dbos.workflow_status w
        left join hub.executor e on e.executor_id = w.executor_id
        where w.status = 'PENDING'
          and (e.seen_at is null or e.seen_at < clock_timestamp() - make_interval(secs => :lease)
               or e.executor_id = any(:gone)))
    update dbos.workflow_status w
       set status = 'ENQUEUED', owner_xid = null, started_at_epoch_ms = null, application_version = :version,
           updated_at = (extract(epoch from clock_timestamp()) * 1000)::bigint,
           queue_name = coalesce(queue_name, '_dbos_internal_queue')
      from dead d
     where w.executor_id = d.executor_id and w.status = 'PENDING' and w.application_name = :application
    returning w.workflow_uuid
    """
)


_STRANDED = sa.text(
    """
    select r.run_id from hub.run r
    left join dbos.workflow_status w on w.workflow_uuid = r.run_id || '#' || r.attempt
    where r.state in ('queued', 'running')
      and (w.status is null or w.status not in ('PENDING', 'ENQUEUED', 'DELAYED'))
    limit 100
    """
)


def new_executor_id() -> str:
    """Unique per process start, so that a restarted worker never believes it still holds old claims."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


@cache
def _this_machine() -> str:
    """One boot of one machine and its space of process ids; hosts of the same name are told apart. "" where unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return hashlib.sha256(f"{boot} {os.readlink('/proc/self/ns/pid')}".encode()).hexdigest()[:8]
    except OSError:
        return ""


def process_mark(pid: int) -> str:
    """Tells a process of this machine from any other, also from a later one of the same id; "" when it is gone.

    The start is counted in ticks since the boot, so that setting the clock does not change it.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return ""
    state, started = fields[0], fields[19]
    return "" if state in "ZX" else f"{_this_machine()}.{started}"


def is_gone(executor: Executor) -> bool:
    """True when the worker certainly no longer runs: its machine is this one, and its process is not there."""
    mark = executor.host.rpartition("/")[2]
    here = _this_machine()
    return bool(here) and mark.startswith(f"{here}.") and process_mark(executor.pid) != mark


class Fleet:
    """This worker's membership. fence() is asked before every write to another system."""

    def __init__(
        self, store: PostgresStore, clock: Clock, executor_id: str, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        self.store = store
        self.clock = clock
        self.executor_id = executor_id
        self.lease_seconds = lease_seconds
        self._started_at = clock.now()
        self._host = f"{socket.gethostname()}/{process_mark(os.getpid())}"
        self._renewed = 0.0
        self._stopping = threading.Event()

    def heartbeat(self) -> None:
        """Renew the lease."""
        with self.store.transaction() as tx:
            tx.put(
                Executor(
                    executor_id=self.executor_id,
                    host=self._host,
                    pid=os.getpid(),
                    version=__version__,
                    started_at=self._started_at,
                    seen_at=self.clock.now(),
                )
            )
        self._renewed = time.monotonic()

    def fence(self) -> None:
        """Retryable when this worker's lease may have run out: another one may be doing the same work already."""
        if time.monotonic() - self._renewed > self.lease_seconds * 0.6:
            raise Retryable(f"worker {self.executor_id} has lost its lease and sends nothing", 1.0)

    def hand_over(self) -> list[str]:
        """Queue the attempts of workers whose lease has run out or whose process is gone; their workflow ids."""
        values = {"lease": self.lease_seconds, "version": APPLICATION_VERSION, "application": APPLICATION}
        with self.store.transaction() as tx:
            if not tx.raw.execute(sa.text("select pg_try_advisory_xact_lock(727274)")).scalar():
                return []
            gone = [executor.executor_id for executor in tx.find(Executor) if is_gone(executor)]
            return [str(row[0]) for row in tx.raw.execute(_HAND_OVER, {**values, "gone": gone})]

    def stranded(self) -> list[str]:
        """Runs that should move, but whose attempt the engine has ended: the worker itself failed in the middle."""
        with self.store.transaction() as tx:
            return [str(row[0]) for row in tx.raw.execute(_STRANDED)]

    def forget_dead(self, after: timedelta = timedelta(days=1)) -> None:
        """Drop heartbeats of workers long gone."""
        with self.store.transaction() as tx:
            for executor in tx.find(Executor):
                if executor.seen_at < self.clock.now() - after:
                    tx.delete(executor)

    def run(self, every: Callable[[], None]) -> None:
        """Heartbeat and hand-over until stop(); every is called after each round."""
        while not self._stopping.wait(self.lease_seconds / 4):
            try:
                self.heartbeat()
                self.hand_over()
                every()
            except FAILURES as error:  # no database, no lease: fence() sees to it that nothing is sent
                log.warning("no heartbeat", kind=type(error).__name__, reason=str(error))

    def stop(self) -> None:
        """End the loop and give the lease up at once, so that others need not wait for it to run out."""
        self._stopping.set()
        with self.store.transaction() as tx:
            known = tx.get(Executor, self.executor_id)
            if known is not None:
                tx.delete(known)
