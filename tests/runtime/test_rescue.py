"""A run whose worker failed in the middle is not left standing: it is queued again, and after a few times a case."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from isthmus.domain.states import CaseState
from isthmus.runtime.books import Books
from isthmus.runtime.clock import SystemClock
from isthmus.runtime.engine_dbos import DbosEngine, prepare_database
from isthmus.runtime.fleet import Fleet, new_executor_id
from isthmus.runtime.kernel import RESCUES_MAX, Kernel
from isthmus.runtime.process import PROCESSES, process
from isthmus.runtime.run import Run
from isthmus.store.postgres import PostgresStore
from isthmus.store.records import Case, RunRow, RunState
from tests.processes.hub import Hub
from tests.simulation.fakes import FakeSystems


def _stumble(books: Books) -> str:
    raise KeyError("a field nobody expected to be missing")


@pytest.fixture
def stumbling() -> str:
    @process(starts="a test", owner="nobody", key="a word")
    def stumbling(run: Run) -> str:
        """Hits a bug."""
        return run.decide("Stumble", _stumble)

    yield "stumbling"  # type: ignore[misc]
    del PROCESSES["stumbling"]


def test_a_bug_of_any_kind_stops_the_run_with_a_case_and_says_so(stumbling: str) -> None:
    hub = Hub()
    run = hub.start(stumbling, "one")
    assert (run.state, hub.case().exception) == (RunState.FAILED, "EX-BUG")
    assert "KeyError" in run.reason


@pytest.mark.slow
def test_an_attempt_that_ended_without_a_word_is_found_and_queued_again(fresh_database: str, stumbling: str) -> None:
    prepare_database(fresh_database)
    store, engine = PostgresStore(fresh_database), DbosEngine(fresh_database)
    kernel = Kernel(store, SystemClock(), engine, FakeSystems())
    fleet = Fleet(store, SystemClock(), new_executor_id())
    with store.transaction() as tx:
        run = kernel.start(tx, stumbling, "one", {})
    assert fleet.stranded() == [], "what is queued is not stranded"
    for attempt in range(1, RESCUES_MAX + 2):
        with store.transaction() as tx:
            ended = "update dbos.workflow_status set status = 'ERROR' where workflow_uuid = :id"
            tx.raw.execute(sa.text(ended), {"id": f"{run.run_id}#{attempt}"})
        assert fleet.stranded() == [run.run_id]
        with store.transaction() as tx:
            kernel.rescue(tx, run.run_id)
        assert fleet.stranded() == []
    with store.transaction() as tx:
        row = tx.get(RunRow, run.run_id)
        cases = tx.find(Case, state=CaseState.OPEN)
    assert row is not None and row.state is RunState.FAILED
    assert [case.exception for case in cases] == ["EX-BUG"]
    engine.close()
    store.close()
