"""The stage of the crash tests, once per test process."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import structlog

from tests.crash.outcome import Outcome
from tests.crash.points import PATHS, walk
from tests.crash.stage import Stage, open_folder, raise_stage


@dataclass(frozen=True)
class Walked:
    """Every path walked once with nothing killed: its checkpoints, and the plain path's end."""

    points: dict[str, list[str]]
    undisturbed: Outcome
    ends: dict[str, Outcome]


@pytest.fixture(scope="session")
def stage(pg_server: str) -> Iterator[Stage]:
    """Helpers up and the contract set up."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    folder = open_folder()
    stage = raise_stage(pg_server, folder)
    yield stage
    stage.close()
    structlog.reset_defaults()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def walked(stage: Stage) -> Walked:
    """The paths and their checkpoints."""
    ends = {path: walk(stage, path) for path in PATHS}
    points = {path: passed for path, (passed, _) in ends.items()}
    return Walked(points, ends["plain"][1], {path: end for path, (_, end) in ends.items()})
