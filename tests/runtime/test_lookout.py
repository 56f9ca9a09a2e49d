"""A worker looks into a lane when something is due there; what DBOS is pinned to has the shape that this relies on."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from dbos._sys_db import SystemDatabase

from isthmus.runtime.lookout import CHANNEL, LOOK_ANYWAY_SECONDS, Lookout


class Database:
    """A system database that counts what it is asked."""

    def __init__(self) -> None:
        self.queued: dict[str, list[str]] = {"standard": [], "bulk": []}
        self.asked: list[str] = []

    def dequeue_scopes(self, name: str) -> list[str | None]:
        return [None]

    def start_queued_workflows(self, queue: Any, *_: Any, **__: Any) -> tuple[list[str], Any]:
        self.asked.append(queue.name)
        claimed, self.queued[queue.name] = self.queued[queue.name][:2], self.queued[queue.name][2:]
        return claimed, None

    def get_queue(self, name: str, **_: Any) -> Any:
        self.asked.append(f"queue {name}")
        return SimpleNamespace(name=name)

    def _is_latest_version(self, *_: Any) -> bool:
        self.asked.append("version")
        return False


class Looking:
    """A lookout before a database, on a clock that is set; turn() is one turn of a queue thread of DBOS."""

    def __init__(self) -> None:
        self.now = 100.0
        self.lookout, self.database = Lookout(["standard", "bulk"], lambda: self.now), Database()
        self.lookout.stand_before(self.database)
        self.lookout._hears(True)
        for lane in ("standard", "bulk"):
            self.turn(lane)
        self.database.asked.clear()

    def turn(self, lane: str) -> list[str]:
        queue = self.database.get_queue(lane)
        claimed = []
        for _ in self.database.dequeue_scopes(lane):
            claimed += self.database.start_queued_workflows(queue)[0]
        return claimed


def test_an_idle_lane_is_not_asked_about() -> None:
    looking = Looking()
    assert [looking.turn("standard") for _ in range(50)] == [[]] * 50
    assert looking.database.asked == []


def test_what_is_said_to_be_due_is_looked_for_until_nothing_is_left() -> None:
    looking = Looking()
    looking.database.queued["standard"] = ["a", "b", "c"]
    looking.lookout.heard("standard")
    assert [looking.turn("standard") for _ in range(4)] == [["a", "b"], ["c"], [], []]
    assert looking.database.asked == ["standard"] * 3 and looking.turn("bulk") == []


def test_a_word_that_was_lost_costs_a_second() -> None:
    looking = Looking()
    looking.database.queued["standard"] = ["a"]
    assert looking.turn("standard") == []
    looking.now += LOOK_ANYWAY_SECONDS
    assert looking.turn("standard") == ["a"]


def test_a_claim_that_fails_is_tried_again() -> None:
    looking = Looking()
    looking.database.queued["standard"] = ["a"]
    looking.lookout.heard("standard")
    failing = looking.database.queued.pop("standard")
    with pytest.raises(KeyError):
        looking.turn("standard")
    looking.database.queued["standard"] = failing
    assert looking.turn("standard") == ["a"]


def test_while_nobody_listens_every_turn_looks() -> None:
    looking = Looking()
    looking.lookout._hears(False)
    assert [looking.turn("standard") for _ in range(3)] == [[]] * 3
    assert looking.database.asked == ["standard"] * 3


def test_it_hears_what_other_processes_say_when_they_have_committed(empty_database: str) -> None:
    lookout, ended = Lookout(["standard"]), threading.Event()
    lookout.stand_before(Database())
    listener = threading.Thread(target=lookout.listen, args=(empty_database, ended.is_set), daemon=True)
    listener.start()
    deadline = time.monotonic() + 20
    while not lookout._listening and time.monotonic() < deadline:
        time.sleep(0.01)
    lookout._due.clear()
    lookout._looked_at["standard"] = time.monotonic() + 3600
    with psycopg.connect(empty_database.replace("postgresql+psycopg://", "postgresql://")) as other:
        other.execute("select pg_notify(%s, 'standard')", (CHANNEL,))
        assert not lookout.is_due("standard")
    while not lookout.is_due("standard") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert lookout.is_due("standard")
    ended.set()
    listener.join(5)


def test_the_pinned_dbos_asks_these_questions() -> None:
    names = ("dequeue_scopes", "start_queued_workflows", "get_queue", "_is_latest_version")
    assert [name for name in names if not callable(getattr(SystemDatabase, name, None))] == []
