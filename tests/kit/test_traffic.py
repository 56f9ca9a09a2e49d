"""Between a connection and its limit: windows in which nothing is sent, a breaker, a pace that adapts."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import httpx
import pytest

from isthmus.domain.errors import NotFound, OutcomeUnknown, RemoteRefusal, Throttled, Unreachable
from isthmus.kit.limits import Unlimited
from isthmus.kit.traffic import Breaker, Maintenance, MaintenanceWindow, Pace, Traffic
from isthmus.kit.wire import Request
from isthmus.ports.calls import BULK, FINANCIAL, STANDARD
from tests.kit.model import connection, manifest

START = datetime(2026, 3, 6, 12, tzinfo=UTC)


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def moment(self) -> datetime:
        return START + timedelta(seconds=self.seconds - 1000.0)


# -- the circuit breaker -----------------------------------------------------------------------------------------


def test_after_failures_in_a_row_nothing_is_sent_and_one_request_tries_for_all() -> None:
    clock = Clock()
    breaker = Breaker(failures=3, cool_seconds=10, cool_seconds_max=25, now=clock)
    for _ in range(2):
        breaker.failed()
    breaker.answered()  # not in a row
    for _ in range(3):
        assert breaker.seconds_left() == 0
        breaker.failed()
    assert breaker.state == "open" and breaker.seconds_left() == 10
    clock.seconds += 10
    assert breaker.state == "half_open"
    assert breaker.seconds_left() == 0, "the first one tries"
    assert breaker.seconds_left() > 0, "the others wait for it"
    breaker.failed()
    assert breaker.state == "open" and breaker.seconds_left() == 20, "each time longer"
    clock.seconds += 20
    assert breaker.seconds_left() == 0
    breaker.failed()
    assert breaker.seconds_left() == 25, "but not for ever"
    clock.seconds += 25
    assert breaker.seconds_left() == 0
    breaker.answered()
    assert breaker.state == "closed" and breaker.seconds_left() == 0 == breaker.seconds_left()


def test_the_one_that_was_to_try_and_got_no_place_lets_another_try() -> None:
    clock = Clock()
    breaker = Breaker(failures=1, cool_seconds=1, now=clock)
    breaker.failed()
    clock.seconds += 1
    assert breaker.seconds_left() == 0
    breaker.gave_up()
    assert breaker.seconds_left() == 0


def test_a_connection_whose_system_is_down_sends_little_and_comes_back_by_itself() -> None:
    clock, sent, up = Clock(), list[str](), [False]

    def vendor(request: httpx.Request) -> httpx.Response:
        sent.append(request.url.path)
        return httpx.Response(200 if up[0] else 503, json={})

    conn = connection(vendor, breaker=Breaker(failures=5, cool_seconds=1, now=clock))
    for _ in range(100):
        with pytest.raises(Unreachable) as told:
            conn.send(Request("GET", "x"))
    assert len(sent) == 5 and "tried again in" in told.value.message and told.value.after_seconds == pytest.approx(1)
    clock.seconds += 1
    for _ in range(10):
        with pytest.raises(Unreachable):
            conn.send(Request("GET", "x"))
    assert len(sent) == 6, "one tries for all"
    up[0] = True
    clock.seconds += 2
    for _ in range(3):
        assert conn.send(Request("GET", "x")).status == 200
    assert conn.traffic.breaker.state == "closed"


def test_a_write_that_is_not_sent_is_not_in_doubt() -> None:
    conn = connection(lambda _: httpx.Response(503), breaker=Breaker(failures=1, cool_seconds=60))
    with pytest.raises(OutcomeUnknown):
        conn.send(Request("POST", "x", json={}))
    with pytest.raises(Unreachable, match="has not answered for a while"):
        conn.send(Request("POST", "x", json={}))


def test_a_refusal_is_an_answer_and_breaks_nothing() -> None:
    traffic = Traffic("c", Unlimited(), breaker=Breaker(failures=2))
    for error in (Unreachable("x"), RemoteRefusal("no"), OutcomeUnknown("x"), NotFound("x"), Unreachable("x")):
        traffic.heard(error)
    assert traffic.breaker.state == "closed"
    traffic.heard(Unreachable("x"))
    assert traffic.breaker.state == "open"


# -- the pace ----------------------------------------------------------------------------------------------------


def test_too_many_requests_halve_what_is_sent_at_once_and_answers_bring_it_back() -> None:
    pace = Pace(most=16)
    with ThreadPoolExecutor(8) as pool:
        held, go = threading.Barrier(9), threading.Event()

        def hold() -> None:
            with pace.slot(STANDARD):
                held.wait(5)
                go.wait(60)

        for _ in range(8):
            pool.submit(hold)
        held.wait(5)
        pace.throttled(None)
        assert pace.allowed == 4, "half of what was under way, not of what might have been"
        go.set()
    for _ in range(3):
        pace.throttled(None)
    assert pace.allowed == 1, "never none at all"
    for _ in range(2):
        pace.answered()
    assert 1 < pace.allowed < 4, "little by little"
    for _ in range(200):
        pace.answered()
    assert pace.allowed == 16


def test_until_the_patience_asked_for_is_over_nothing_is_sent() -> None:
    pace = Pace(wait_seconds_max=5)
    pace.throttled(0.2)
    started = time.monotonic()
    with pace.slot(STANDARD):
        assert time.monotonic() - started >= 0.19


def test_a_limit_of_one_record_does_not_hold_up_the_others() -> None:
    rows = """
[[errors]]
status = 429
header = "RateLimit-Reason"
header_contains = "per-issue"
raises = "Throttled"
only_this = true
"""

    asked = {"RateLimit-Reason": "jira-per-issue-on-write", "Retry-After": "60"}

    def vendor(request: httpx.Request) -> httpx.Response:
        return httpx.Response(429, headers=asked) if request.url.path == "/issue/1" else httpx.Response(200)

    conn = connection(vendor, manifest(more=rows))
    with pytest.raises(Throttled) as told:
        conn.send(Request("PUT", "issue/1"))
    assert told.value.after_seconds == 60
    assert conn.send(Request("PUT", "issue/2")).status == 200


def test_a_patience_longer_than_a_moment_is_told_at_once_and_forgotten_by_hand() -> None:
    sent = []

    def vendor(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(429, headers={"Retry-After": "600"})

    conn = connection(vendor)
    waits = []
    for _ in range(3):
        started = time.monotonic()
        with pytest.raises(Throttled) as told:
            conn.send(Request("GET", "x"))
        assert time.monotonic() - started < 2
        waits.append(told.value.after_seconds)
    assert waits == [600, pytest.approx(30, abs=2), pytest.approx(30, abs=2)]
    assert len(sent) == 1, "it is asked once, not three times"
    conn.traffic.resume()
    with pytest.raises(Throttled):
        conn.send(Request("GET", "x"))
    assert len(sent) == 2


def test_a_better_priority_goes_first_when_the_pace_is_slow() -> None:
    pace, order = Pace(most=1), list[str]()
    ready, go = threading.Event(), threading.Event()

    def first() -> None:
        with pace.slot(STANDARD):
            ready.set()
            go.wait(60)

    def caller(name: str, priority: int) -> None:
        with pace.slot(priority):
            order.append(name)

    threads = [threading.Thread(target=first)]
    threads[0].start()
    ready.wait(60)
    for name, priority in (("bulk", BULK), ("standard", STANDARD), ("posting", FINANCIAL)):
        threads.append(threading.Thread(target=caller, args=(name, priority)))
        threads[-1].start()
        time.sleep(0.2)
    go.set()
    for thread in threads:
        thread.join(60)
    assert order == ["posting", "standard", "bulk"]


@pytest.mark.requirement("RES-08")
def test_an_adapting_connection_meets_fewer_refusals_than_one_that_does_not() -> None:
    """A vendor that takes three at once and answers 429 to more: the refusals become rare."""
    lock, busy, refused = threading.Lock(), [0], list[int]()

    def vendor(request: httpx.Request) -> httpx.Response:
        with lock:
            busy[0] += 1
            over = busy[0] > 3
            refused.append(over)
        time.sleep(0.003)
        with lock:
            busy[0] -= 1
        return httpx.Response(429 if over else 200, json={})

    conn = connection(vendor)

    def call(_: int) -> None:
        while True:
            try:
                conn.send(Request("GET", "x"))
                return
            except Throttled:
                continue

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(call, range(400)))
    early, late = refused[:100], refused[-200:]
    assert sum(late) / len(late) < 0.35 and sum(early) > 0, (sum(early), sum(late))


# -- maintenance windows -----------------------------------------------------------------------------------------


def test_work_is_drained_before_held_during_and_goes_on_after() -> None:
    clock = Clock()
    window = MaintenanceWindow(minutes=30, begins=START + timedelta(minutes=10), drain_seconds=120)
    maintenance = Maintenance([window], now=clock.moment)
    assert maintenance.seconds_left(BULK) == 0
    clock.seconds += 8 * 60
    assert maintenance.seconds_left(BULK) == 32 * 60, "no bulk any more"
    assert maintenance.seconds_left(FINANCIAL) == 0, "what is urgent may still go"
    clock.seconds += 2 * 60
    assert maintenance.seconds_left(FINANCIAL) == 30 * 60
    clock.seconds += 30 * 60
    assert maintenance.seconds_left(FINANCIAL) == 0 == maintenance.seconds_left(BULK)


@pytest.mark.parametrize(
    ("now", "begin"),
    [
        (datetime(2026, 3, 6, 20, 0), datetime(2026, 3, 7, 22, 0)),  # Friday: tomorrow
        (datetime(2026, 3, 7, 23, 59), datetime(2026, 3, 7, 22, 0)),  # in it
        (datetime(2026, 3, 8, 1, 30), datetime(2026, 3, 7, 22, 0)),  # in it, after midnight
        (datetime(2026, 3, 8, 2, 30), datetime(2026, 3, 14, 22, 0)),  # over: next week, in summer time
        (datetime(2026, 10, 31, 23, 0), datetime(2026, 10, 31, 22, 0)),  # the night clocks go back in New York
    ],
)
def test_a_weekly_window_is_at_its_time_of_day(now: datetime, begin: datetime) -> None:
    zone = ZoneInfo("America/New_York")
    window = MaintenanceWindow(minutes=240, weekday="sat", at="22:00", time_zone="America/New_York")
    found, end = window.around(now.replace(tzinfo=zone).astimezone(UTC))
    assert found == begin.replace(tzinfo=zone) and end - found == timedelta(minutes=240)


def test_a_held_connection_sends_nothing_and_is_resumed_by_hand() -> None:
    clock, sent = Clock(), list[str]()
    maintenance = Maintenance(now=clock.moment)
    conn = connection(lambda r: sent.append(r.url.path) or httpx.Response(200, json={}), maintenance=maintenance)  # type: ignore[func-returns-value]
    maintenance.hold(clock.moment() + timedelta(minutes=5))
    with pytest.raises(Unreachable, match="in a maintenance window for 300 s more") as told:
        conn.send(Request("POST", "x", json={}))
    assert told.value.after_seconds == 300 and sent == []
    maintenance.resume()
    assert conn.send(Request("GET", "x")).status == 200


def test_what_is_under_way_is_waited_for() -> None:
    go, ready = threading.Event(), threading.Event()

    def vendor(request: httpx.Request) -> httpx.Response:
        ready.set()
        go.wait(60)
        return httpx.Response(200, json={})

    conn = connection(vendor)
    under_way = threading.Thread(target=conn.send, args=(Request("GET", "x"),))
    under_way.start()
    ready.wait(60)
    assert not conn.traffic.drained(0.05)
    go.set()
    assert conn.traffic.drained(5)
    under_way.join(5)


def test_in_a_window_no_token_is_fetched_either() -> None:
    sent = []
    auth = 'kinds = ["client_credentials"]\ntoken_path = "token"\ncredentials = ["client_id", "client_secret"]'
    maintenance = Maintenance([MaintenanceWindow(minutes=60, begins=datetime.now(UTC) - timedelta(minutes=1))])
    conn = connection(
        lambda r: sent.append(r) or httpx.Response(200, json={}),  # type: ignore[func-returns-value]
        manifest(auth=auth),
        "client_credentials",
        secrets={"client_id": "a", "client_secret": "bbbb"},
        maintenance=maintenance,
    )
    with pytest.raises(Unreachable):
        conn.send(Request("GET", "x"))
    assert sent == []
