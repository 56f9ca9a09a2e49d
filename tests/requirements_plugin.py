"""Remembers which requirement ids were shown by a passing test: written to .isthmus/requirements.json after a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

RESULTS = Path(__file__).parent.parent / ".isthmus" / "requirements.json"
_shown: dict[str, dict[str, str]] = {}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Carry the ids in the report, so that they reach the process that writes, also under xdist."""
    for mark in item.iter_markers("requirement"):
        item.user_properties.append(("requirement", ",".join(str(i) for i in mark.args)))


def pytest_runtest_logreport(report: Any) -> None:
    """Note passed and failed per id and test."""
    ids = [value for name, value in report.user_properties if name == "requirement"]
    if not ids or (report.when != "call" and not report.failed):
        return
    for requirement in ",".join(ids).split(","):
        _shown.setdefault(requirement, {})[report.nodeid] = report.outcome


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The controller writes; a run of a few tests only adds to what is known."""
    if hasattr(session.config, "workerinput") or not _shown:
        return
    known: dict[str, dict[str, str]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for requirement, tests in _shown.items():
        known.setdefault(requirement, {}).update(tests)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(known, indent=1, sort_keys=True))
