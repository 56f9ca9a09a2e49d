"""SC-12 with the hub killed at every checkpoint, and with every request that writes failing in every way.

However it goes wrong, hub and systems hold in the end what they hold when nothing goes wrong.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from isthmus.store.records import EffectState
from tests.crash.conftest import Walked
from tests.crash.expected import breaks
from tests.crash.outcome import Outcome
from tests.crash.points import PATHS, Point, crash_points, double_points, fault_points
from tests.crash.stage import Stage
from tests.crash.trial import Trial
from tests.end_of_run import COUNTED

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
REPLAY = "ISTHMUS_CRASH_POINT"  # the label of one point, to play it alone
SHARDS = 12
PASSES = 6
in_shards = pytest.mark.parametrize("shard", range(SHARDS))


def _mine(points: list[Point], shard: int) -> list[Point]:
    """The points of this shard; the one asked for alone, in the first shard, when one is."""
    alone = os.environ.get(REPLAY)
    if alone:
        return [p for p in points if p.label == alone and shard == 0]
    return points[shard::SHARDS]


def _play_all(
    stage: Stage, walked: Walked, points: list[Point], judge: Callable[[Trial, Outcome], list[str]]
) -> list[str]:
    """One line per point after which something is not as it should be, with the command that plays it again."""
    failed: list[str] = []
    for point in points:
        try:
            trial, outcome = _play(stage, point)
            wrong = [*breaks(outcome), *outcome.differences(walked.undisturbed), *judge(trial, outcome)]
        except AssertionError as stuck:
            wrong = [str(stuck)]
        if wrong:
            again = f"{REPLAY}='{point.label}' python -m pytest tests/crash/test_sc12.py"
            failed.append(f"point {point.number}, {point.label}: {'; '.join(wrong[:8])}\n    again: {again}")
    return failed


def _play(stage: Stage, point: Point) -> tuple[Trial, Outcome]:
    """Loops of the hub may meet in another order than on the walk, and a checkpoint not be passed: then once more."""
    for _ in range(PASSES):
        trial = Trial(stage, point.wrong)
        outcome = trial.play()
        if trial.died or not point.wrong.crash_at:
            break
    return trial, outcome


def _report(record_property: Callable[[str, object], None], kind: str, points: list[Point], failed: list[str]) -> None:
    record_property(COUNTED, (f"crash harness: {kind}", len(points), len(failed)))
    assert not failed, "\n".join([f"{len(failed)} of {len(points)} points failed", *failed])


def _died(trial: Trial, outcome: Outcome) -> list[str]:
    """The kill took place; and a write that was sent and not kept was looked up before anything else."""
    wrong = [] if trial.died else ["the hub did not pass this checkpoint"]
    at = trial.wrong.crash_at.split("#")[0]
    if at.startswith("sent "):
        verb = at.removeprefix("sent ")
        lost = [e for e in outcome.effects if e.verb == verb and e.lookups]
        wrong += [] if lost else [f"no {verb} was looked up"]
    return wrong


@pytest.mark.requirement("SC-12")
@pytest.mark.parametrize("path", PATHS)
def test_every_path_ends_as_sc12_says(walked: Walked, path: str) -> None:
    assert breaks(walked.ends[path]) == []
    assert walked.ends[path].differences(walked.undisturbed) == []
    assert walked.ends[path].hash == walked.undisturbed.hash


@pytest.mark.requirement("SC-12")
@in_shards
def test_killed_at_every_checkpoint(
    stage: Stage, walked: Walked, shard: int, record_property: Callable[[str, object], None]
) -> None:
    points = _mine(crash_points(walked.points), shard)
    _report(record_property, "kill -9 at a checkpoint", points, _play_all(stage, walked, points, _died))


@pytest.mark.requirement("SC-12")
def test_killed_again_while_looking_up(
    stage: Stage, walked: Walked, record_property: Callable[[str, object], None]
) -> None:
    def died_twice(trial: Trial, outcome: Outcome) -> list[str]:
        return [] if trial.starts == 3 else [f"{trial.starts - 1} deaths, not 2"]

    points = _mine(double_points(walked.points["plain"]), 0) if REPLAY in os.environ else None
    points = points if points is not None else double_points(walked.points["plain"])
    _report(record_property, "kill -9 twice", points, _play_all(stage, walked, points, died_twice))


@pytest.mark.requirement("SC-12")
@in_shards
def test_every_write_fails_in_every_way(
    stage: Stage, walked: Walked, shard: int, record_property: Callable[[str, object], None]
) -> None:
    def judged(trial: Trial, outcome: Outcome) -> list[str]:
        lost = [e for e in outcome.effects if e.state in (EffectState.FOUND, EffectState.RESENT) and e.lookups]
        silent = [plan for _, plan in trial.wrong.faults if "timeout" in plan["kind"]] or trial.wrong.cuts
        return ["an answer was lost, and nothing was looked up"] if silent and not lost else []

    points = _mine(fault_points(walked.undisturbed), shard)
    _report(record_property, "one fault at one request", points, _play_all(stage, walked, points, judged))
