"""A worker: claims due runs, keeps its lease, sweeps other systems, gathers messages, hands events on, seals the audit.

Every loop may run in every worker: what must happen once is guarded in the database, not by being the only worker.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import structlog

from isthmus.app import alerting, comparing, desk_tasks, tidying
from isthmus.app.bootstrap import Hub
from isthmus.desk import watching
from isthmus.domain.errors import NeedsSetup
from isthmus.processes import clock, sweeps
from isthmus.runtime import audit, bells, outbox
from isthmus.runtime.clock import SystemClock
from isthmus.runtime.engine_dbos import DbosWorker
from isthmus.runtime.fleet import Fleet, new_executor_id
from isthmus.runtime.kernel import Kernel
from isthmus.runtime.loops import Loop

log = structlog.get_logger("isthmus.worker")
TICK_SECONDS = 0.05
TIDY_SECONDS = 30.0
CLOCK_SECONDS = 60.0
WATCH_SECONDS, ALERT_SECONDS = 60.0, 5.0
IDLE_SECONDS = 0.25  # a loop that finds nothing looks less and less often, down to this: an idle hub costs little
# For the crash tests: kill -9 at a checkpoint, named by its number ("7") or by name and occurrence ("run finished#2");
# counted from the moment the file ARMED exists (at once when none is named); LOG gets a line per checkpoint. SIGNAL
# names another signal: STOP lets the process stand still, as a machine does that is moved or swaps.
CRASH_AT, CRASH_ARMED, CRASH_LOG = "ISTHMUS_CRASH_AT", "ISTHMUS_CRASH_ARMED", "ISTHMUS_CRASH_LOG"
CRASH_SIGNAL = "ISTHMUS_CRASH_SIGNAL"


class Worker:
    """One worker in this process."""

    def __init__(
        self,
        hub: Hub,
        *,
        concurrency: int = 8,
        sweeping: bool = True,
        watching: bool = True,
        lease_seconds: float = 15.0,
    ) -> None:
        self.hub = hub
        self.executor_id = new_executor_id()
        # The lease is measured by the machines, whatever month the hub believes it is in.
        self.fleet = Fleet(hub.store, SystemClock(), self.executor_id, lease_seconds)
        hub.kernel.fence = self.fleet.fence
        _arm_crash(hub.kernel)
        self._dbos = DbosWorker(hub.url, self.executor_id, hub.kernel.advance, concurrency=concurrency)
        self._stopping = threading.Event()
        self.broken = threading.Event()  # a part of the worker is gone: whoever started it should start it anew
        self._threads: list[threading.Thread] = []
        self._sweeping, self._watching = sweeping, watching
        self._since = hub.kernel.clock.now()

    def start(self) -> None:
        """Lease first, then claim, then the loops."""
        self.fleet.heartbeat()
        self.fleet.hand_over()
        self._dbos.start()
        self._thread("fleet", lambda: self.fleet.run(every=self._look_after_runs))
        self._loop("gather", "gather approved time", TICK_SECONDS, lambda: sweeps.drain_time(self.hub.kernel))
        self._loop("facts", "gather expenses and milestones", TICK_SECONDS, lambda: sweeps.drain_facts(self.hub.kernel))
        self._loop("wake", "wake waiting runs", TICK_SECONDS, self.hub.kernel.wake_due)
        self._loop("events", "hand events on", TICK_SECONDS, self._hand_events_on)
        self._loop("days", "see what a day brings", CLOCK_SECONDS, lambda: clock.look(self.hub.kernel))
        self._loop("desk", "work at the desk", 1.0, lambda: desk_tasks.tick(self.hub.kernel, self.hub.desk))
        if self._watching:
            self._loop("watch", "look for silence and standstill", WATCH_SECONDS, self._watch)
        self._loop(
            "compare", "compare receivables with the ERP", CLOCK_SECONDS, lambda: comparing.tick(self.hub.kernel)
        )
        self._loop("alerts", "send alerts", ALERT_SECONDS, lambda: alerting.turn(self.hub))
        self._loop("tidy", "tidy up", TIDY_SECONDS, lambda: tidying.tidy(self.hub))
        self._loop("audit", "seal the audit", 1.0, lambda: audit.seal(self.hub.store))
        if self._sweeping:
            for config in self.hub.firm.connections:
                for port, sweep in SWEEPS.items():
                    if port in config.fills:
                        name, task = f"{config.name} {port}", f"ask {config.name} ({port}) for changes"
                        work = self._sweep(config.name, sweep)
                        self._loop(name, task, config.sweep_seconds, work, bell=config.name)
            self._thread("bells", lambda: bells.listen(self.hub.url, self.hub.bells, self._stopping.is_set))

    def _sweep(self, connection: str, sweep: Callable[..., int]) -> Callable[[], int]:
        def once() -> int:
            try:
                self.hub.kernel.check_open(connection)
            except NeedsSetup:
                return 0  # paused: its case is open already
            return sweep(self.hub.kernel, self.hub.systems.connections[connection])

        return once

    def _watch(self) -> int:
        """Not at once: what a restart has left lying gets the time to move first."""
        if self.hub.kernel.clock.now() - self._since < timedelta(seconds=WATCH_SECONDS):
            return 0
        return watching.tick(self.hub.kernel, self.hub.desk, self._since)

    def _look_after_runs(self) -> None:
        """Drop what is long gone, and queue runs again whose attempt ended without a word."""
        self.fleet.forget_dead()
        for run_id in self.fleet.stranded():
            with self.hub.store.transaction() as tx:
                self.hub.kernel.rescue(tx, run_id)

    def _hand_events_on(self) -> int:
        return sum(outbox.dispatch(self.hub.kernel, name) for name in self.hub.kernel.subscribers)

    def _loop(self, name: str, task: str, seconds: float, work: Callable[[], int], bell: str = "") -> None:
        """Work again at once while there is something to do, else after so long, or when its bell rings."""
        loop = Loop(self.hub.kernel, name, task)
        wait = self.hub.bells.hang(bell) if bell else self._stopping.wait

        def run() -> None:
            pause = seconds
            while not self._stopping.is_set():
                if loop.turn(work):
                    pause = seconds
                else:
                    wait(pause)
                    pause = max(seconds, min(pause * 1.5, IDLE_SECONDS))

        self._thread(name, run)

    def _thread(self, name: str, run: Callable[[], None]) -> None:
        def last() -> None:
            try:
                run()
            finally:
                if not self._stopping.is_set():
                    log.critical("a loop has ended; the worker ends with it", loop=name)
                    self.broken.set()

        thread = threading.Thread(target=last, name=f"isthmus-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        """Finish what is in hand, then give the lease back."""
        self._stopping.set()
        self.hub.bells.ring_all()
        self._dbos.stop()
        self.fleet.stop()
        for thread in self._threads:
            thread.join(timeout=5)

    def run_until_signal(self) -> None:
        """Work until SIGINT or SIGTERM, or until a part of the worker is gone."""
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        self.start()
        while not ended.wait(1.0) and not self.broken.is_set():
            pass
        self.stop()


SWEEPS: dict[str, Callable[..., int]] = {
    "Crm": sweeps.sweep_contracts,
    "TimeSource": sweeps.sweep_time,
    "ExpenseSource": sweeps.sweep_expenses,
    "Delivery": sweeps.sweep_milestones,
    "Esign": sweeps.sweep_signatures,
    "Erp": sweeps.sweep_payments,
}


def _arm_crash(kernel: Kernel) -> None:
    """Crash tests name a checkpoint; the process then dies as if the power had failed."""
    at, log_path = os.environ.get(CRASH_AT, ""), os.environ.get(CRASH_LOG, "")
    armed, sent = os.environ.get(CRASH_ARMED, ""), os.environ.get(CRASH_SIGNAL, "KILL")
    if not at and not log_path:
        return
    lock, seen = threading.Lock(), Counter[str]()

    def checkpoint(name: str) -> None:
        if armed and not os.path.exists(armed):
            return
        with lock:
            seen[name] += 1
            point = f"{name}#{seen[name]}"
            if log_path:
                with open(log_path, "a") as file:
                    file.write(point + "\n")
            if at in (point, str(seen.total())):
                os.kill(os.getpid(), signal.Signals[f"SIG{sent}"])
                if sent == "KILL":
                    time.sleep(60)

    kernel.checkpoint = checkpoint
