"""A real worker on a real database: what fails in it is taken up again or told, and nothing stands still in silence."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from isthmus.app.worker import Worker
from isthmus.domain.states import CaseState
from isthmus.processes import sweeps
from isthmus.runtime.process import PROCESSES, process
from isthmus.runtime.run import Run
from isthmus.store.records import Case, InboxMessage, MessageState, RunRow, RunState
from tests.app.stage import Stage, an_entry, time_approved

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
LEASE_SECONDS = 0.4
calls: list[str] = []


@pytest.fixture
def falling() -> Iterator[str]:
    """A process whose first attempt fails in a way that is no error of the house and no known bug."""
    calls.clear()

    @process(starts="a test", owner="nobody", key="a word")
    def falling(run: Run) -> str:
        """Falls once."""
        calls.append(run.row.run_id)
        if len(calls) == 1:
            raise MemoryError("for this once")
        return "done"

    yield "falling"
    del PROCESSES["falling"]


@pytest.fixture
def worker(stage: Stage) -> Iterator[Worker]:
    one = Worker(stage.hub, sweeping=False, lease_seconds=LEASE_SECONDS)
    yield one
    one.stop()


def until(what: str, true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.05)


def test_an_attempt_that_fell_is_queued_again_by_the_worker(stage: Stage, worker: Worker, falling: str) -> None:
    worker.start()
    with stage.hub.store.transaction() as tx:
        stage.kernel.start(tx, falling, "one", {})
    until("the run to be done", lambda: stage.rows(RunRow)[0].state is RunState.DONE)
    assert len(calls) == 2


def test_a_bug_in_a_loop_is_a_case_and_the_loop_goes_on(
    stage: Stage, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, gather = threading.Event(), sweeps.drain_time
    broken.set()

    def drain(kernel: object) -> int:
        if broken.is_set():
            raise KeyError("a field nobody expected to be missing")
        return gather(kernel)  # type: ignore[arg-type]

    monkeypatch.setattr(sweeps, "drain_time", drain)
    worker.start()
    assert stage.webhook("psa", time_approved(an_entry())).status_code == 202
    until("the case", lambda: bool(stage.rows(Case)))
    case = stage.rows(Case)[0]
    assert case.exception == "EX-STANDSTILL" and "cannot gather approved time" in case.cause
    broken.clear()
    until("the case to close", lambda: not stage.rows(Case, state=CaseState.OPEN, exception="EX-STANDSTILL"))
    until("the message to be taken", lambda: not stage.rows(InboxMessage, state=MessageState.ACCEPTED))
    assert not worker.broken.is_set()


def test_a_worker_that_loses_a_loop_says_so_and_ends(stage: Stage, worker: Worker) -> None:
    worker.start()
    assert not worker.broken.is_set()
    worker._thread("doomed", lambda: None)
    until("the worker to notice", worker.broken.is_set)
