"""The documents about errors, states and money say what the code does: all of it, and nothing else."""

from __future__ import annotations

import inspect
import re
from decimal import Decimal
from pathlib import Path

import pytest

from isthmus.domain import errors
from isthmus.domain.errors import IsthmusError, NeedsDecision
from isthmus.domain.states import MOVES, PartState
from isthmus.policies.caps import Share
from tests.policies.builders import cap, contract, place_under_caps

DOCS = Path(__file__).parents[2] / "docs"
CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, IsthmusError)]


def rows(page: Path, width: int) -> list[list[str]]:
    """The rows of all tables of a page with this many columns, without their header."""
    found = []
    for text in page.read_text().splitlines():
        cells = [cell.strip() for cell in text.strip().strip("|").split("|")]
        if text.startswith("|") and len(cells) == width and not set(cells[0]) <= {"-", ":"}:
            found.append(cells)
    return found


ERROR_ROWS = {row[0].strip("`"): row for row in rows(DOCS / "lookup" / "errors.md", 5) if row[0].startswith("`")}


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_is_documented_with_code_status_consequence_and_owner(cls: type[IsthmusError]) -> None:
    assert cls.__name__ in ERROR_ROWS, f"{cls.__name__} is missing in docs/lookup/errors.md"
    _, code, status, consequence, owner = ERROR_ROWS[cls.__name__]
    assert code == f"`{cls.code}`" and status == str(cls.status)
    assert owner == ("the queue of its case" if issubclass(cls, NeedsDecision) else cls.owner)
    assert len(consequence.split()) >= 4


def test_no_error_is_documented_that_is_gone_and_no_code_is_used_twice() -> None:
    assert set(ERROR_ROWS) == {cls.__name__ for cls in CLASSES}
    codes = [cls.code for cls in CLASSES]
    assert len(set(codes)) == len(codes)


def documented_moves() -> dict[str, dict[str, set[str]]]:
    """docs/lookup/states.md as a table like MOVES, in words."""
    tracks: dict[str, dict[str, set[str]]] = {}
    for text in (DOCS / "lookup" / "states.md").read_text().splitlines():
        if text.startswith("## "):
            current = tracks.setdefault(text.removeprefix("## "), {})
        elif text.startswith("- "):
            old, *new = re.findall(r"`([a-z_]+)`", text)
            assert bool(new) != text.endswith("final"), text
            current[old] = set(new)
    return tracks


def test_every_track_state_and_move_is_documented_and_no_other() -> None:
    code = {
        track.__name__: {str(state): {str(new) for new in table.get(state, ())} for state in track}
        for track, table in MOVES.items()
    }
    assert documented_moves() == code


def test_the_worked_example_of_the_money_page_is_what_the_policy_computes() -> None:
    page = DOCS / "learn" / "money.md"
    told = [tuple(row) for row in rows(page, 4) if row[0] != "When"]
    first = place_under_caps(
        [Share("E", "L1", "E", Decimal("6.00"), Decimal("1110.00"))],
        contract(caps=(cap("NTE", "10000.00"),)),
        {"L1": Decimal("9500.00")},
    )
    rest = Share("E", "L1", "E", first[1].quantity, first[1].net)
    second = place_under_caps([rest], contract(caps=(cap("NTE", "10400.00"),)), {"L1": Decimal("10000.00")})
    computed = [
        (when, str(p.state), str(p.net), str(p.quantity))
        for when, placements in (("approved", first), ("cap raised by 400.00", second))
        for p in placements
    ]
    assert told == computed


def test_the_money_page_names_every_rounding_and_every_state_of_a_part() -> None:
    text = (DOCS / "learn" / "money.md").read_text()
    source = (DOCS.parent / "isthmus" / "domain" / "money.py").read_text()
    roundings = re.findall(r"^def (round_\w+|truncate\w*|allocate)\(", source, re.MULTILINE)
    assert len(roundings) >= 6
    assert [name for name in [*roundings, *map(str, PartState)] if f"`{name}`" not in text] == []
