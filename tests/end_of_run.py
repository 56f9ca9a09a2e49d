"""What a run has tried, at its end: one line or table for each kind, over all test processes.

A test tells by record_property: COUNTED with what it tried, how often, and how often that failed; TOLD with a line; or
DOUBTS with the figures of one verb. The hook is in tests/conftest.py, where the process that reports finds it too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

COUNTED, TOLD, DOUBTS = "counted", "told", "doubts"
HEADS = ("connector", "verb", "outcomes", "writes", "sends", "look-ups", "duplicates", "lost", "CPU s")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """All that was told."""
    reporter, counted, told = terminalreporter, list(_kept(terminalreporter, COUNTED)), _kept(terminalreporter, TOLD)
    lines = [*_sums(counted), *sorted(told)]
    if lines:
        reporter.section("what was tried")
    for line in lines:
        reporter.write_line(line)
    if doubts := sorted(_kept(reporter, DOUBTS)):
        reporter.section("unknown outcomes: every write through the effect ledger")
        for line in _table(doubts):
            reporter.write_line(line)


def _kept(reporter: Any, kind: str) -> Iterator[Any]:
    """The values of a kind, each from the report of the call alone: set-up and tear-down carry it again."""
    for state in ("passed", "failed"):
        for report in reporter.stats.get(state, []):
            if getattr(report, "when", "") == "call":
                yield from (value for name, value in report.user_properties if name == kind)


def _sums(counted: list[Any]) -> list[str]:
    sums: dict[str, list[int]] = {}
    for what, tried, failed in counted:
        count = sums.setdefault(what, [0, 0])
        count[0], count[1] = count[0] + tried, count[1] + failed
    return [f"{what}: {tried} tried, {failed} failed" for what, (tried, failed) in sorted(sums.items())]


def _table(rows: list[Any]) -> Iterator[str]:
    """With a row of sums at the end; figures are to the right."""
    sums = [sum(row[place] for row in rows) for place in range(2, len(HEADS))]
    told = [HEADS, *rows, (f"{len(rows)} verbs", "", *sums[:-1], round(sums[-1], 1))]
    wide = [max(len(str(row[place])) for row in told) for place in range(len(HEADS))]
    for row in told:
        cells = (str(v).ljust(w) if n < 2 else str(v).rjust(w) for n, (v, w) in enumerate(zip(row, wide, strict=True)))
        yield "  ".join(cells)
