"""Remembers which requirement ids were shown by a passing test: written to .isthmus/requirements.json after a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

RESULTS = Path(__file__).parent.parent / ".isthmus" / "requirements.json"
_shown: dict[str, dict[str, str]] = {}
_ran: set[str] = set()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Carry the ids in the report, so that they reach the process that writes, also under xdist."""
    for mark in item.iter_markers("requirement"):
        item.user_properties.append(("requirement", ",".join(str(i) for i in mark.args)))


def pytest_runtest_logreport(report: Any) -> None:
    """Note passed and failed per id and test."""
    _ran.add(report.nodeid)
    ids = [value for name, value in report.user_properties if name == "requirement"]
    if not ids or (report.when != "call" and not report.failed):
        return
    for requirement in ",".join(ids).split(","):
        _shown.setdefault(requirement, {})[report.nodeid] = report.outcome


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The controller writes; a run of a few tests replaces what is known of those, and keeps the rest."""
    if hasattr(session.config, "workerinput") or not _ran:
        return
    known: dict[str, dict[str, str]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    known = {i: {t: o for t, o in tests.items() if t not in _ran} for i, tests in known.items()}
    for requirement, tests in _shown.items():
        known.setdefault(requirement, {}).update(tests)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({i: tests for i, tests in known.items() if tests}, indent=1, sort_keys=True))
