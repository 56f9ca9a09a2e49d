"""Tests of connectors make hundreds of thousands of requests: no line is logged for each.

At the end of a run: what the unknown outcomes of every verb came to, as one table.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from isthmus.app.conformance.doubt import Doubts

FIGURES = ("outcomes", "trials", "sends", "look_ups", "duplicates", "lost")


def figures(doubts: Doubts) -> list[int]:
    """What a verb's unknown outcomes came to, in the order of the table."""
    return [getattr(doubts, name) for name in FIGURES]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table of unknown outcomes, of the verbs that ran, with their sum."""
    reports = [each for state in ("passed", "failed") for each in terminalreporter.stats.get(state, [])]
    kept = [value for each in reports for name, value in getattr(each, "user_properties", ()) if name == "doubts"]
    if not kept:
        return
    heads = ("connector", "verb", "outcomes", "writes", "sends", "look-ups", "duplicates", "lost", "CPU s")
    sums = [sum(row[place] for row in kept) for place in range(2, len(heads))]
    told = [heads, *sorted(kept), (f"{len(kept)} verbs", "", *sums[:-1], round(sums[-1], 1))]
    wide = [max(len(str(row[place])) for row in told) for place in range(len(heads))]
    terminalreporter.section("unknown outcomes: every write through the effect ledger")
    for row in told:
        cells = (str(v).ljust(w) if n < 2 else str(v).rjust(w) for n, (v, w) in enumerate(zip(row, wide, strict=True)))
        terminalreporter.write_line("  ".join(cells))


@pytest.fixture(scope="package", autouse=True)
def quiet() -> Iterator[None]:
    usual = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    yield
    structlog.configure(**usual)
