"""A worker's loop outlives whatever it meets, and what it cannot do is a case, never only a line in a log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest
import sqlalchemy as sa

from isthmus.domain.errors import BadInput, NeedsSetup, OutcomeUnknown, Unreachable
from isthmus.domain.states import CaseState
from isthmus.runtime.loops import Loop
from isthmus.store.records import Case, ConnectionState, RunState
from tests.processes.hub import Hub, contract


def failing(error: BaseException) -> Callable[[], int]:
    def work() -> int:
        raise error

    return work


def a_loop(hub: Hub) -> Loop:
    return Loop(hub.kernel, "psa Psa", "ask psa (Psa) for changes")


SURPRISES = [
    KeyError("updated_at"),
    AssertionError("a wrong sign"),
    ValueError("no date"),
    RuntimeError("set changed size"),
    OSError("no space left"),
    psycopg.errors.UndefinedColumn("no column"),
    sa.exc.ProgrammingError("select", {}, Exception("no table")),
    BadInput("payment 7: currency XXX is none"),
]


@pytest.mark.parametrize("error", SURPRISES, ids=lambda error: type(error).__name__)
def test_a_surprise_is_a_case_at_once_and_the_loop_goes_on(error: BaseException) -> None:
    hub = Hub()
    loop = a_loop(hub)
    for _ in range(3):
        assert loop.turn(failing(error)) == 0
    case = hub.case()
    assert (case.exception, case.queue) == ("EX-STANDSTILL", "integration")
    assert "cannot ask psa (Psa) for changes since 2026-03-02 15:00 UTC" in case.cause
    assert loop.turn(lambda: 4) == 4
    assert hub.rows(Case, state=CaseState.OPEN) == [], "what works again needs nobody"


@pytest.mark.parametrize("error", [Unreachable("psa is down"), OutcomeUnknown("no answer")])
def test_an_outage_is_told_when_it_lasts_and_closes_itself(error: Exception) -> None:
    hub = Hub()
    loop = a_loop(hub)
    for _ in range(14):
        loop.turn(failing(error))
        hub.clock.move(timedelta(minutes=1))
    assert hub.rows(Case) == []
    hub.clock.move(timedelta(minutes=1))
    for _ in range(3):
        loop.turn(failing(error))
    assert hub.case().exception == "EX-STANDSTILL"
    loop.turn(lambda: 0)
    assert hub.rows(Case, state=CaseState.OPEN) == []


def test_a_case_left_by_a_worker_that_is_gone_is_closed_by_the_next_one_that_works() -> None:
    hub = Hub()
    another = a_loop(hub)
    another.turn(lambda: 1)
    a_loop(hub).turn(failing(KeyError("x")))
    another.turn(lambda: 1)
    assert hub.case().exception == "EX-STANDSTILL", "not asked at every turn"
    hub.clock.move(timedelta(minutes=2))
    another.turn(lambda: 1)
    assert hub.rows(Case, state=CaseState.OPEN) == []


def test_a_refused_login_pauses_the_connection_once_for_loops_and_runs() -> None:
    hub = Hub()
    for _ in range(3):
        a_loop(hub).turn(failing(NeedsSetup("erp: login refused (401)", "erp")))
    assert (hub.case().exception, hub.case().actions) == ("EX-SETUP", ["resume"])
    assert [state.paused for state in hub.rows(ConnectionState)] == [True]
    run = hub.set_up(contract())
    assert run.state is RunState.WAITING and run.reason == "connection:erp"
    hub.resolve("resume")
    assert hub.run(run.run_id).state is RunState.DONE


def test_a_loop_that_cannot_even_open_a_case_still_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub()
    loop = a_loop(hub)
    with monkeypatch.context() as broken:
        broken.setattr(hub.store, "transaction", failing(Unreachable("the database has hung up")))
        assert loop.turn(failing(KeyError("x"))) == 0
    loop.turn(failing(KeyError("x")))
    assert hub.case().exception == "EX-STANDSTILL"
