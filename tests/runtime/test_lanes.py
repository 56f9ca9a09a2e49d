"""One budget per connection: the vendor's limit holds over threads and processes; money goes first."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from isthmus.domain.errors import Throttled
from isthmus.kit.limits import Concurrency, Window
from isthmus.ports.calls import BULK, FINANCIAL, STANDARD
from isthmus.runtime.lanes import SharedPlaces, SharedWindow

LIMIT = 3
Make = Callable[[], Concurrency | SharedPlaces]

# Another worker process on the same database: holds places, and notes how many anybody holds at a time.
OTHER_PROCESS = """
import sys, time
import sqlalchemy as sa
from concurrent.futures import ThreadPoolExecutor
from isthmus.runtime.lanes import SharedPlaces, SharedWindow
engine = sa.create_engine(sys.argv[1])
places = SharedPlaces(engine, "erp", int(sys.argv[2]))
count = sa.text("update counted set now = now + :by, most = greatest(most, now + :by)")
def call(_):
    with places.slot(1):
        with engine.begin() as c: c.execute(count, {"by": 1})
        time.sleep(0.01)
        with engine.begin() as c: c.execute(count, {"by": -1})
with engine.begin() as c: c.execute(sa.text("update counted set here = here + 1"))
while True:  # both are there before either begins, or they would only ever be alone
    with engine.begin() as c:
        if c.execute(sa.text("select here from counted")).scalar_one() == 2: break
    time.sleep(0.01)
with ThreadPoolExecutor(6) as pool:
    list(pool.map(call, range(40)))
"""


@pytest.fixture(params=["one process", "shared"])
def make(request: pytest.FixtureRequest) -> Make:
    if request.param == "one process":
        return lambda: Concurrency(LIMIT, wait_seconds_max=60)
    url = request.getfixturevalue("fresh_database")
    engine = sa.create_engine(url)
    request.addfinalizer(engine.dispose)

    def make() -> SharedPlaces:
        places = SharedPlaces(engine, "erp", LIMIT, wait_seconds_max=60)
        request.addfinalizer(places.close)
        return places

    return make


def test_the_limit_is_never_exceeded_by_threads(make: Make) -> None:
    budget, lock, now, most = make(), threading.Lock(), 0, 0

    def call(_: int) -> None:
        nonlocal now, most
        with budget.slot(STANDARD):
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.005)
            with lock:
                now -= 1

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(call, range(60)))
    assert most == LIMIT, "used to the full, never beyond"


@pytest.mark.slow
def test_the_limit_is_never_exceeded_by_processes(fresh_database: str) -> None:
    engine = sa.create_engine(fresh_database)
    with engine.begin() as connection:
        connection.execute(sa.text("create table counted as select 0 as now, 0 as most, 0 as here"))
    command = [sys.executable, "-c", OTHER_PROCESS, fresh_database, str(LIMIT)]
    workers = [subprocess.Popen(command) for _ in range(2)]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    with engine.begin() as connection:
        row = connection.execute(sa.text("select now, most from counted")).one()
    engine.dispose()
    assert row.now == 0
    assert row.most == LIMIT, "used to the full, never beyond"


@pytest.mark.requirement("RES-14")
def test_a_financial_call_goes_before_waiting_bulk_and_bulk_leaves_a_place(make: Make) -> None:
    budget, order = make(), []
    hold = threading.Event()

    def holder(priority: int) -> None:
        with budget.slot(priority):
            hold.wait(60)

    def caller(name: str, priority: int) -> None:
        with budget.slot(priority):
            order.append(name)

    holders = [threading.Thread(target=holder, args=(BULK,)) for _ in range(LIMIT)]
    for thread in holders:
        thread.start()
    time.sleep(0.3)
    # Bulk holds all places but one: money goes through at once.
    started = time.monotonic()
    caller("invoice", FINANCIAL)
    assert time.monotonic() - started < 30
    waiting = [threading.Thread(target=caller, args=("bulk", BULK))]
    hold_last = threading.Thread(target=holder, args=(STANDARD,))
    hold_last.start()
    time.sleep(0.3)
    waiting[0].start()
    time.sleep(0.3)
    waiting.append(threading.Thread(target=caller, args=("posting", FINANCIAL)))
    waiting[1].start()
    time.sleep(0.3)
    hold.set()
    for thread in [*holders, hold_last, *waiting]:
        thread.join(60)
    assert order == ["invoice", "posting", "bulk"]


def test_waiting_too_long_is_throttled_and_nothing_leaks(make: Make) -> None:
    budget = make()
    budget._wait_seconds_max = 0.05
    with budget.slot(STANDARD), budget.slot(STANDARD), budget.slot(STANDARD):
        with pytest.raises(Throttled), budget.slot(FINANCIAL):
            pass
    with budget.slot(FINANCIAL):
        pass


def test_a_window_holds_its_rate() -> None:
    window, started = Window(5, 0.2), time.monotonic()
    stamps = []
    for _ in range(11):
        with window.slot(STANDARD):
            stamps.append(time.monotonic() - started)
    assert stamps[5] >= 0.19
    assert stamps[10] >= 0.39
    for first, sixth in zip(stamps, stamps[5:], strict=False):
        assert sixth - first >= 0.19


def test_an_idle_worker_gives_its_places_to_others(fresh_database: str) -> None:
    engine = sa.create_engine(fresh_database)
    one, other = (SharedPlaces(engine, "erp", 1, wait_seconds_max=2) for _ in range(2))
    with one.slot(STANDARD):
        pass
    with other.slot(STANDARD):
        pass
    one.close()
    other.close()
    engine.dispose()


def test_places_of_a_broken_connection_are_free_again(fresh_database: str) -> None:
    engine = sa.create_engine(fresh_database)
    places = SharedPlaces(engine, "erp", 1, wait_seconds_max=2)
    with places.slot(STANDARD):
        pass
    with engine.begin() as connection:
        end = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
        connection.execute(sa.text(end + " and pid <> pg_backend_pid()"))
    with places.slot(STANDARD):
        pass
    places.close()
    engine.dispose()


def test_a_shared_window_holds_its_rate_over_two_workers(fresh_database: str) -> None:
    engine = sa.create_engine(fresh_database)
    workers = [SharedWindow(engine, "crm", 5, 0.4) for _ in range(2)]
    sent: list[tuple[float, float]] = []

    def call(number: int) -> None:
        with workers[number % 2].slot(STANDARD):
            began = time.monotonic()
            time.sleep(0.01)
            sent.append((began, time.monotonic()))

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(call, range(22)))
    sent.sort()
    # Wherever between start and answer the vendor counts: the sixth starts a window after the first was answered.
    for (_, answered), (began, _) in zip(sent, sent[5:], strict=False):
        assert began - answered >= 0.39
    assert sent[-1][1] - sent[0][0] < 8
    for worker in workers:
        worker.close()
    engine.dispose()


def test_places_of_a_window_are_for_all_once_it_is_over(fresh_database: str) -> None:
    engine = sa.create_engine(fresh_database)
    one, other = (SharedWindow(engine, "crm", 2, 0.2, wait_seconds_max=60) for _ in range(2))
    for _ in range(2):
        with one.slot(STANDARD):
            pass
    started = time.monotonic()
    with other.slot(STANDARD):
        assert 0.1 < time.monotonic() - started < 2
    for worker in (one, other):
        worker.close()
    engine.dispose()
