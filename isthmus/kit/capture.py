"""How changes are learned, in the four shapes vendors have, each so that nothing is missed.

- Signed webhook: a bell, not a message. It may come twice, late, out of order or not at all, so what it says is not
  taken over: it makes the hub look now, and the look is one of the others. A bell that never rang costs time only.
- Event log with short retention: read on from a position; when the log no longer reaches back to it, a sweep finds what
  it has forgotten (from_event_log).
- Delta token that may become invalid: read on; an invalid one starts a full reading (by_delta_token).
- Watermark with overlap: kit.paging (after_last_row, by_last_change) and Connector.since.

Whatever is read twice is recognised by content: reading more than necessary is safe, reading less is not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from isthmus.domain.errors import BadInput, Unreachable
from isthmus.kit.manifest import OriginFacts
from isthmus.kit.paging import PAGES_MAX
from isthmus.kit.wire import Row, Verb, dig


@dataclass(frozen=True)
class DeltaPage:
    """One page of changes. next: what to ask with for the page after it, empty at the end; token: what to ask with next
    time, at the end only. invalid: the vendor no longer knows what it was asked with.
    """

    rows: list[Row]
    next: str = ""
    token: str = ""
    invalid: bool = False


def by_delta_token(ask: Callable[[str], Verb[DeltaPage]], token: str) -> Verb[tuple[list[Row], str, bool]]:
    """Changes since a token: rows, the next token, and whether everything was read anew.

    ask(token): a page; with an empty token the first one of everything. The old token is given up only after the last
    page: a reading that breaks off starts again from it. An invalid token, at any page, starts a full reading, once.
    """
    rows: list[Row] = []
    asked, whole = token, not token
    for _ in range(PAGES_MAX):
        page = yield from ask(asked)
        if page.invalid:
            if whole and not rows:
                raise Unreachable("the start of a full reading was refused as an invalid token")
            rows, asked, whole = [], "", True
            continue
        rows += page.rows
        if not page.next:
            if not page.token:
                raise BadInput("the last page of changes came without a token for the next time")
            return rows, page.token, whole
        asked = page.next
    raise Unreachable(f"a list does not end after {PAGES_MAX} pages")


@dataclass(frozen=True)
class LogPage:
    """Events after a position. position: of the last one, or where the log ends now. at: the vendor's own time when it
    answered. more: there are events after these. gone: the log no longer reaches back to the position asked with.
    """

    rows: list[Row]
    position: str
    at: str = ""
    more: bool = False
    gone: bool = False


def from_event_log(
    read: Callable[[str], Verb[LogPage]],
    sweep: Callable[[str], Verb[tuple[list[Row], str]]],
    watermark: str,
) -> Verb[tuple[list[Row], str, bool]]:
    """Changes since a watermark: rows, the next watermark, and whether a sweep was needed.

    read(position): events after it; with an empty one no events, but where the log ends now. sweep(since): rows changed
    since a moment and the moment after them, as far as it matters to the connector. The watermark holds both position
    and moment. Where the log ends is asked before the sweep: an event during the sweep is read again, not missed.
    """
    marks = parts_of(watermark)
    rows: list[Row] = []
    position = marks.get("position", "")
    for _ in range(PAGES_MAX if position else 0):
        page = yield from read(position)
        if page.gone:
            break
        rows += page.rows
        position = page.position
        if not page.more:
            return rows, text_of(position=position, since=page.at or marks.get("since", "")), False
    start = yield from read("")
    swept, since = yield from sweep(marks.get("since", ""))
    return swept, text_of(position=start.position, since=since), True


def parts_of(watermark: str) -> dict[str, str]:
    """The parts of a watermark that has several; none of an empty one. BadInput for a text that is none."""
    try:
        found: Any = json.loads(watermark) if watermark else {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise BadInput(f"{watermark!r} is no watermark of this feed")
    return {str(name): str(value) for name, value in found.items()}


def moment_of(watermark: str) -> str:
    """The moment of a watermark: a part of one that has several, all of one that has none."""
    return parts_of(watermark).get("since", "") if watermark.startswith("{") else watermark


def text_of(**parts: str) -> str:
    """A watermark of several parts as text."""
    return json.dumps(parts, sort_keys=True)


def is_echo(facts: OriginFacts | None, change: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """True when the hub has made this change itself. A change without the mark, or of somebody else, is news."""
    if facts is None:
        return False
    wanted = facts.contains
    for name, value in settings.items():
        wanted = wanted.replace(f"{{{name}}}", str(value))
    found = dig(dict(change), facts.path)
    return bool(wanted) and "{" not in wanted and found is not None and wanted in str(found)
