"""Hours as lines of a system: a correction changes its line, or, where lines are only ever added, reverses it at once.

The text of a line starts with entry and revision (``kantata:123#2 Workshop``), so that a look-up tells revisions apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from isthmus.domain.objects import ExternalRef
from isthmus.kit.connector import Connector
from isthmus.kit.keys import revision_of, to_revision_text
from isthmus.kit.wire import Row, Verb
from isthmus.ports.messages import TimeCost

_REVERSES = "reverses"


class Revised(Connector):
    """Subclasses say how lines are found and written, and what they are there. newest helps with the first."""

    line_kind: ClassVar[str]

    def newest_line(self, cost: TimeCost) -> Verb[tuple[int, Row | None]]:
        """The line of the entry's last revision and which that is; (0, None) when there is none."""
        raise NotImplementedError

    def write_line(self, cost: TimeCost, last: int, before: Row | None, text: str) -> Verb[ExternalRef]:
        """The line of the hour, with this text; before: the one of an earlier revision, which it takes the place of."""
        raise NotImplementedError

    def line_ref(self, line: Row, revision: int) -> ExternalRef:
        """What the line is called here."""
        return self.ref(self.line_kind, line["id"], str(revision))

    def put_time(self, cost: TimeCost) -> Verb[ExternalRef]:
        """Record the hour as a line; a revision that was held up does not undo the correction that overtook it."""
        last, before = yield from self.newest_line(cost)
        if before is not None and last >= cost.revision:
            return self.line_ref(before, last)
        text = to_revision_text(cost.entry_key, cost.revision, cost.memo)
        return (yield from self.write_line(cost, last, before, text))

    def find_time(self, cost: TimeCost) -> Verb[ExternalRef | None]:
        """The line, if this revision or a later one is recorded; version says which."""
        last, line = yield from self.newest_line(cost)
        return self.line_ref(line, last) if line is not None and last >= cost.revision else None


class RevisedLines(Revised):
    """Lines that are only ever added. Subclasses say how lines are found, made, reversed and added."""

    def new_line(self, cost: TimeCost, text: str) -> Row:
        """The line of an hour, with this text."""
        raise NotImplementedError

    def reversal(self, line: Row, text: str) -> Row:
        """The line that takes another one back, with this text."""
        raise NotImplementedError

    def add_lines(self, cost: TimeCost, lines: list[Row]) -> Verb[Row]:
        """Add all lines or none; the first one as it is then."""
        raise NotImplementedError

    def write_line(self, cost: TimeCost, last: int, before: Row | None, text: str) -> Verb[ExternalRef]:
        """See Revised. The new line, and with it the reversal of the one before."""
        lines = [self.new_line(cost, text)]
        if before is not None:
            why = to_revision_text(cost.entry_key, cost.revision, f"{_REVERSES} {last}")
            lines.append(self.reversal(before, why))
        made = yield from self.add_lines(cost, lines)
        return self.line_ref(made, cost.revision)


def newest(rows: Iterable[Row], key: str, text_field: str) -> tuple[int, Row | None]:
    """The row whose text says the highest revision of this key, reversals aside; (0, None) when there is none."""
    last, found = 0, None
    for row in rows:
        revision = revision_of(row.get(text_field), key)
        reversal = str(row.get(text_field)).startswith(f"{key}#{revision} {_REVERSES} ")
        if revision > last and not reversal:
            last, found = revision, row
    return last, found
