"""Every pair of states of every track: what the table allows works, what it does not allow raises."""

from __future__ import annotations

import inspect
from itertools import product

import pytest
from pydantic import BaseModel, ConfigDict

from isthmus.domain import states
from isthmus.domain.errors import IllegalTransition
from isthmus.domain.states import MOVES, Composition, InvoiceLife, PartState, Settlement, State, may_move, move

TRACKS = [
    cls
    for _, cls in inspect.getmembers(states, inspect.isclass)
    if issubclass(cls, State) and cls is not State and cls.__module__ == states.__name__
]
PAIRS = [pair for track in TRACKS for pair in product(track, track)]
ALLOWED = [(old, new) for old, new in PAIRS if new in MOVES[type(old)].get(old, ())]
FORBIDDEN = [pair for pair in PAIRS if pair not in ALLOWED]


class Thing(BaseModel):
    """Anything with one track."""

    model_config = ConfigDict(frozen=True)
    state: State
    net: str = "1.00"


def words(value: State) -> str:
    return f"{type(value).__name__}.{value}"


@pytest.mark.parametrize(("old", "new"), ALLOWED, ids=words)
def test_a_move_of_the_table_makes_a_new_object(old: State, new: State) -> None:
    thing = Thing.model_construct(state=old)
    moved = move(thing, "state", new)
    assert moved.state is new and thing.state is old
    assert moved.net == thing.net


@pytest.mark.parametrize(("old", "new"), FORBIDDEN, ids=words)
def test_a_move_that_is_not_in_the_table_is_refused(old: State, new: State) -> None:
    assert not may_move(old, new)
    with pytest.raises(IllegalTransition, match=f"Thing: state cannot go from {old} to {new}"):
        move(Thing.model_construct(state=old), "state", new)


def test_every_track_has_a_table_that_stays_within_it() -> None:
    assert set(TRACKS) == set(MOVES)
    for track, table in MOVES.items():
        assert all(isinstance(state, track) for old, new in table.items() for state in (old, *new))


def test_a_word_two_tracks_share_is_not_the_same_state() -> None:
    assert InvoiceLife.CREDITED == PartState.CREDITED  # equal as text, and that is the trap
    assert not may_move(PartState.INVOICED, InvoiceLife.CREDITED)
    with pytest.raises(IllegalTransition):
        move(Thing.model_construct(state=PartState.INVOICED), "state", InvoiceLife.CREDITED)


class Elsewhere(states.StrEnum):
    """A state machine the canonical model does not have."""

    ONE = "one"
    TWO = "two"


def test_a_track_without_a_table_allows_nothing() -> None:
    assert not may_move(Elsewhere.ONE, Elsewhere.TWO)
    with pytest.raises(IllegalTransition):
        move(Thing.model_construct(state=Elsewhere.ONE), "state", Elsewhere.TWO)
    with pytest.raises(IllegalTransition):
        move(Thing.model_construct(state=PartState.READY), "net", PartState.HELD)


def test_a_track_the_object_does_not_have_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="Thing has no track postings"):
        move(Thing.model_construct(state=PartState.READY), "postings", PartState.HELD)


def test_what_is_issued_or_invoiced_is_only_ever_credited() -> None:
    assert MOVES[InvoiceLife][InvoiceLife.ISSUED] == {InvoiceLife.CREDITED}
    # Superseded only by the parts it is split into, so that a share of it can be credited (partition.split_parts).
    assert MOVES[PartState][PartState.INVOICED] == {PartState.CREDITED, PartState.SUPERSEDED}
    assert PartState.SUPERSEDED not in MOVES[PartState] and PartState.CREDITED not in MOVES[PartState]


def test_a_returned_draft_is_reviewed_again_and_a_payment_may_bounce() -> None:
    assert may_move(Composition.IN_REVIEW, Composition.DRAFTED)
    assert may_move(Settlement.PAID, Settlement.OPEN)
    assert not may_move(Composition.APPROVED, Composition.DRAFTED)
