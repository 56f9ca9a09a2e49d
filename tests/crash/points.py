"""Which points there are: every checkpoint that the hub passes on SC-12's path, found by walking it, not by listing."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from isthmus.store.records import Effect
from tests.crash.outcome import Outcome
from tests.crash.stage import Stage
from tests.crash.trial import Trial, Wrong

LOSE = {"kind": "timeout_after_commit", "times": 1}
THROTTLE = {"kind": "status", "status": 429, "times": 1, "headers": {"Retry-After": "0"}}
# The path as it should go, and ways to walk it on which the hub passes checkpoints of its own. SC-12's lost answers are
# those of the tax call and of the posting.
PATHS: dict[str, Wrong] = {
    "plain": Wrong(),
    "lossy": Wrong(
        faults=(
            ("avalara", {**LOSE, "method": "POST", "path": "/transactions/create$"}),
            ("netsuite", {**LOSE, "method": "PUT", "path": "/invoice/eid"}),
        )
    ),
    "throttled": Wrong(faults=(("netsuite", {**THROTTLE, "method": "PUT", "path": "/invoice/eid"}),)),
    "swept": Wrong(webhooks=False),
}
# What one request can suffer, besides a broken connection: nothing or everything done, no answer; refused for now.
FAULTS: dict[str, dict[str, Any]] = {
    "timeout_before_commit": {"kind": "timeout_before_commit"},
    "timeout_after_commit": {"kind": "timeout_after_commit"},
    "503": {"kind": "status", "status": 503},
    "429": {"kind": "status", "status": 429, "headers": {"Retry-After": "0"}},
}
READS = re.compile(r"suiteql|/token$")


@dataclass(frozen=True)
class Point:
    """Something that goes wrong in one trial. label names it for a replay; number is its place in the enumeration."""

    number: int
    label: str
    wrong: Wrong


def crash_points(walks: dict[str, list[str]]) -> list[Point]:
    """One per checkpoint of the plain path, and one per checkpoint that only another path passes."""
    seen: set[str] = set()
    points: list[Point] = []
    for path, passed in walks.items():
        for point in passed:
            if point not in seen:
                seen.add(point)
                points.append(Point(len(points) + 1, f"{path}: {point}", replace(PATHS[path], crash_at=point)))
    return points


def double_points(walk: list[str]) -> list[Point]:
    """Killed after a send, and the next hub killed again when it has looked the write up."""
    sends = [point for point in walk if point.startswith("sent ")]
    found = []
    for number, point in enumerate(sends, start=1):
        again = f"looked up {point.removeprefix('sent ').split('#')[0]}#1"
        found.append(Point(number, f"twice: {point}", Wrong(crash_at=point, crash_again_at=again)))
    return found


def fault_points(outcome: Outcome) -> list[Point]:
    """One per request that writes and per thing that can happen to it."""
    found: list[Point] = []
    for name, system, method, path, skip in _writes(outcome):
        exact = {"method": method, "path": f"^{re.escape(path)}$", "skip": skip}
        for kind, fault in FAULTS.items():
            wrong = Wrong(faults=((system, {**fault, **exact, "times": 1}),))
            found.append(Point(len(found) + 1, f"{kind}: {name}", wrong))
        for done in (False, True):
            kind = "reset after commit" if done else "reset before commit"
            wrong = Wrong(cuts=((system, {**exact, "done": done}),))
            found.append(Point(len(found) + 1, f"{kind}: {name}", wrong))
    return found


def _writes(outcome: Outcome) -> list[tuple[str, str, str, str, int]]:
    """(name, system, method, path, how many equal requests came before) of every request that wrote."""
    seen: dict[tuple[str, str, str], int] = {}
    found = []
    mine = [e for e in outcome.effects if not e.run_id.startswith("contract_to_project/")]
    for effect in sorted(mine, key=_when):
        for number, exchange in enumerate(effect.digests):
            method, path = exchange["method"], exchange["path"]
            if method == "GET" or READS.search(path):
                continue
            request = (effect.connection, method, path)
            skip = seen.get(request, 0)
            seen[request] = skip + 1
            found.append((f"{effect.effect_key} request {number + 1}", *request, skip))
    return found


def _when(effect: Effect) -> Any:
    return effect.sent_at or effect.created_at


def walk(stage: Stage, path: str) -> tuple[list[str], Outcome]:
    """The checkpoints a path passes, and what is there at its end.

    Walked twice: a second try that happens by chance (another loop was first) is no checkpoint one could wait for.
    """
    passed: list[set[str]] = []
    for _ in range(2):
        trial = Trial(stage, replace(PATHS[path], log=True))
        outcome = trial.play()
        passed.append(set(trial.points.read_text().splitlines()))
    return sorted(passed[0] & passed[1]), outcome
