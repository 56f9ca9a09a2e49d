"""Caps: what is billed, what is over, to the cent and to four decimals, whatever order the work is reported in."""

from __future__ import annotations

from decimal import Decimal
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.objects import CapKind, ContractVersion
from isthmus.domain.states import PartState
from isthmus.policies.caps import Placement, Share
from tests.policies.builders import cap, caps_for, contract, line, place_under_caps

READY, OVER = PartState.READY, PartState.OVER_CAP


def share(item_id: str, net: str, quantity: str = "", *, uid: str = "L1", order: str = "") -> Share:
    """What an item has to place; an hour is 100.00 unless told, order follows the item's name unless told."""
    hours = Decimal(quantity) if quantity else Decimal(net) / 100
    return Share(item_id, uid, order or item_id, hours, Decimal(net))


def told(placements: list[Placement]) -> list[tuple[str, str, str, str]]:
    """item, state, net, cap: as a table."""
    return [(p.item_id, str(p.state), str(p.net), p.cap_id) for p in placements]


# -- SC-01 ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-04")
def test_sc01_an_entry_that_straddles_a_cap_is_split_to_the_cent() -> None:
    """6.00 h at 185.00 against 500.00 of room; then a change order of 400.00; 210.00 stay over."""
    capped = contract(caps=(cap("NTE", "10000.00"),))
    first = place_under_caps([share("E", "1110.00", "6.00")], capped, {"L1": Decimal("9500.00")})
    assert first == [
        Placement("E", Decimal("2.7027"), Decimal("500.00"), READY),
        Placement("E", Decimal("3.2973"), Decimal("610.00"), OVER, "NTE"),
    ]
    raised = contract(version=2, caps=(cap("NTE", "10400.00"),))
    second = place_under_caps([share("E", "610.00", "3.2973")], raised, {"L1": Decimal("10000.00")})
    assert second == [
        Placement("E", Decimal("2.1622"), Decimal("400.00"), READY),
        Placement("E", Decimal("1.1351"), Decimal("210.00"), OVER, "NTE"),
    ]
    assert Decimal("2.7027") + Decimal("2.1622") + Decimal("1.1351") == Decimal("6.0000")
    assert Decimal("500.00") + Decimal("400.00") + Decimal("210.00") == Decimal("1110.00")


# -- tables ---------------------------------------------------------------------------------------------------------

L1_CAP, L2_CAP, ALL = (
    cap("L1-CAP", "300.00", line_uid="L1"),
    cap("L2-CAP", "500.00", line_uid="L2"),
    cap("ALL", "600.00"),
)
TWO_LINES = (line("L1"), line("L2"))
CASES = [
    ("no cap: everything is ready", (), {}, [("a", "900.00", "L1")], [("a", "ready", "900.00", "")]),
    ("exactly full", (ALL,), {}, [("a", "600.00", "L1")], [("a", "ready", "600.00", "")]),
    (
        "a cent too much",
        (ALL,),
        {},
        [("a", "600.01", "L1")],
        [("a", "ready", "600.00", ""), ("a", "over_cap", "0.01", "ALL")],
    ),
    (
        "no room at all: not a part of nothing",
        (ALL,),
        {"L1": "600.00"},
        [("a", "1.00", "L1")],
        [("a", "over_cap", "1.00", "ALL")],
    ),
    (
        "already over, because the cap was lowered",
        (ALL,),
        {"L1": "700.00"},
        [("a", "1.00", "L1")],
        [("a", "over_cap", "1.00", "ALL")],
    ),
    (
        "oldest work first",
        (ALL,),
        {},
        [("b", "400.00", "L1"), ("a", "400.00", "L1")],
        [("a", "ready", "400.00", ""), ("b", "ready", "200.00", ""), ("b", "over_cap", "200.00", "ALL")],
    ),
    (
        "two caps bind at once: the smaller room is named",
        (L1_CAP, ALL),
        {},
        [("a", "400.00", "L1")],
        [("a", "ready", "300.00", ""), ("a", "over_cap", "100.00", "L1-CAP")],
    ),
    (
        "the contract's cap binds though the line has room",
        (L1_CAP, ALL),
        {"L2": "500.00"},
        [("a", "200.00", "L1")],
        [("a", "ready", "100.00", ""), ("a", "over_cap", "100.00", "ALL")],
    ),
    (
        "a full line does not stop another line",
        (L1_CAP, L2_CAP),
        {"L1": "300.00"},
        [("a", "50.00", "L1"), ("b", "50.00", "L2")],
        [("a", "over_cap", "50.00", "L1-CAP"), ("b", "ready", "50.00", "")],
    ),
    (
        "work over a line's cap takes no room of the contract's",
        (L1_CAP, ALL),
        {},
        [("a", "900.00", "L1"), ("b", "300.00", "L2")],
        [("a", "ready", "300.00", ""), ("a", "over_cap", "600.00", "L1-CAP"), ("b", "ready", "300.00", "")],
    ),
    (
        "what is taken back frees room for later work",
        (ALL,),
        {"L1": "600.00"},
        [("a", "-150.00", "L1"), ("b", "200.00", "L1")],
        [("a", "ready", "-150.00", ""), ("b", "ready", "150.00", ""), ("b", "over_cap", "50.00", "ALL")],
    ),
    (
        "and for work that sorts before it: nothing is over a cap that has room",
        (ALL,),
        {"L1": "600.00"},
        [("a", "200.00", "L1"), ("b", "-150.00", "L1")],
        [("b", "ready", "-150.00", ""), ("a", "ready", "150.00", ""), ("a", "over_cap", "50.00", "ALL")],
    ),
    (
        "hours that are worth nothing are ready",
        (ALL,),
        {"L1": "600.00"},
        [("a", "0.00", "L1")],
        [("a", "ready", "0.00", "")],
    ),
]


@pytest.mark.requirement("OBJ-07", "INV-04")
@pytest.mark.parametrize(("caps", "placed", "work", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_what_is_ready_and_what_is_over(caps, placed, work, expected) -> None:
    version = contract(*TWO_LINES, caps=caps)
    shares = [share(item, net, uid=uid) for item, net, uid in work]
    placements = place_under_caps(shares, version, {uid: Decimal(net) for uid, net in placed.items()})
    assert told(placements) == expected


def test_a_soft_cap_splits_nothing_and_binds_nothing() -> None:
    soft = contract(caps=(cap("SOFT", "100.00", kind=CapKind.SOFT), cap("HARD", "500.00")))
    assert [c.cap_id for c in caps_for(soft, "L1")] == ["HARD"]
    assert told(place_under_caps([share("a", "400.00")], soft, {})) == [("a", "ready", "400.00", "")]


def test_a_price_correction_without_hours_is_split_by_money_alone() -> None:
    capped = contract(caps=(cap("NTE", "60.00"),))
    placements = place_under_caps([Share("a", "L1", "a", Decimal(0), Decimal("100.00"))], capped, {})
    assert [(p.quantity, p.net, p.state) for p in placements] == [(0, Decimal("60.00"), READY), (0, 40, OVER)]


def test_the_part_over_the_cap_takes_the_rest_of_the_hours_not_a_rounding_of_its_own() -> None:
    """0.0003 h split in the middle would be 0.0002 and 0.0002."""
    capped = contract(caps=(cap("NTE", "50.00"),))
    placements = place_under_caps([Share("a", "L1", "a", Decimal("0.0003"), Decimal("100.00"))], capped, {})
    assert [p.quantity for p in placements] == [Decimal("0.0002"), Decimal("0.0001")]


def test_room_the_currency_cannot_hold_is_no_room() -> None:
    odd = contract(caps=(cap("NTE", "10.5"),), currency="JPY")
    assert told(place_under_caps([share("a", "12")], odd, {})) == [
        ("a", "ready", "10", ""),
        ("a", "over_cap", "2", "NTE"),
    ]


def test_every_order_of_arrival_gives_the_same_places() -> None:
    work = [
        share("a", "250.00"),
        share("b", "-40.00"),
        share("c", "300.00", uid="L2"),
        share("d", "125.55"),
        share("e", "9.99"),
    ]
    version = contract(*TWO_LINES, caps=(L1_CAP, ALL))
    outcomes = {tuple(place_under_caps(order, version, {"L1": Decimal("50.00")})) for order in permutations(work)}
    assert len(outcomes) == 1


# -- properties -----------------------------------------------------------------------------------------------------

cents = st.integers(-500_00, 2_000_00).map(lambda n: Decimal(n) / 100)
works = st.lists(
    st.tuples(st.sampled_from(["L1", "L2", "L3"]), cents, st.decimals("0", "24", places=4), st.integers(0, 5)),
    max_size=15,
).map(
    lambda rows: [
        Share(f"i{n:02}", uid, f"2026-03-{day:02}", -hours if net < 0 else hours, net)
        for n, (uid, net, hours, day) in enumerate(rows)
    ]
)
limits = st.integers(1, 3_000_00).map(lambda n: str(Decimal(n) / 100))


@st.composite
def capped_contracts(draw: st.DrawFn) -> ContractVersion:
    """Three lines, any of them capped, with or without one or two caps of the contract."""
    caps = [cap(f"{uid}-CAP", draw(limits), line_uid=uid) for uid in ("L1", "L2", "L3") if draw(st.booleans())]
    caps += [cap(f"ALL-{n}", draw(limits)) for n in range(draw(st.integers(0, 2)))]
    return contract(line("L1"), line("L2"), line("L3"), caps=tuple(caps))


placed_nets = st.dictionaries(
    st.sampled_from(["L1", "L2", "L3"]), st.integers(0, 1_000_00).map(lambda n: Decimal(n) / 100)
)


def rooms_left(version: ContractVersion, placed: dict[str, Decimal], shares: list[Share], placements: list[Placement]):
    """Room of each cap counted from the outcome alone, so that the policy's own running total is not its judge."""
    line_by_item = {s.item_id: s.line_uid for s in shares}
    rooms = {}
    for one in version.caps:
        mine = {one.line_uid} if one.scope == "line" else {"L1", "L2", "L3"}
        used = sum((net for uid, net in placed.items() if uid in mine), Decimal(0))
        ready = [p.net for p in placements if p.state is READY and line_by_item[p.item_id] in mine]
        rooms[one.cap_id] = one.limit - used - sum(ready, Decimal(0))
    return rooms


@pytest.mark.requirement("INV-01")
@given(works, capped_contracts(), placed_nets)
def test_no_cent_and_no_minute_is_lost_under_caps(
    shares: list[Share], version: ContractVersion, placed: dict[str, Decimal]
) -> None:
    placements = place_under_caps(shares, version, placed)
    for one in shares:
        mine = [p for p in placements if p.item_id == one.item_id]
        assert sum(p.net for p in mine) == one.net and sum(p.quantity for p in mine) == one.quantity
        assert 1 <= len(mine) <= 2 and len({p.state for p in mine}) == len(mine)
        assert all(p.net >= 0 and p.quantity >= 0 for p in mine) or one.net < 0
        assert all(p.quantity == p.quantity.quantize(Decimal("0.0001")) for p in mine)
        assert all(bool(p.cap_id) is (p.state is OVER) for p in mine)


@pytest.mark.requirement("INV-04")
@given(works, capped_contracts(), placed_nets)
def test_no_cap_is_exceeded_and_nothing_is_over_a_cap_that_has_room(
    shares: list[Share], version: ContractVersion, placed: dict[str, Decimal]
) -> None:
    placements = place_under_caps(shares, version, placed)
    before = rooms_left(version, placed, shares, [])
    after = rooms_left(version, placed, shares, placements)
    for cap_id, room in after.items():
        assert room >= min(before[cap_id], Decimal(0)), "work never takes more than the room there was"
    for placement in placements:
        assert placement.state is READY or after[placement.cap_id] <= 0, "needless over_cap"


@given(works.flatmap(lambda w: st.tuples(st.just(w), st.permutations(w))), capped_contracts(), placed_nets)
def test_the_order_of_arrival_never_matters(
    orders: tuple[list[Share], list[Share]], version: ContractVersion, placed: dict[str, Decimal]
) -> None:
    assert place_under_caps(orders[0], version, placed) == place_under_caps(orders[1], version, placed)


@given(works, capped_contracts(), placed_nets)
def test_when_all_that_is_ready_is_billed_the_rest_is_still_over(
    shares: list[Share], version: ContractVersion, placed: dict[str, Decimal]
) -> None:
    by_item, billed, rest = {s.item_id: s for s in shares}, dict(placed), []
    for one in place_under_caps(shares, version, placed):
        origin = by_item[one.item_id]
        if one.state is READY:
            billed[origin.line_uid] = billed.get(origin.line_uid, Decimal(0)) + one.net
        else:
            rest.append(Share(one.item_id, origin.line_uid, origin.order_key, one.quantity, one.net))
    again = place_under_caps(rest, version, billed)
    assert {p.item_id: (p.quantity, p.net, p.state) for p in again} == {
        s.item_id: (s.quantity, s.net, OVER) for s in rest
    }


@given(st.lists(st.integers(1, 500_00), min_size=1, max_size=10), st.integers(0, 1_000_00), st.integers(0, 1_000_00))
def test_a_raised_cap_takes_the_oldest_first_and_never_gives_back(amounts: list[int], room: int, more: int) -> None:
    work = [share(f"i{n:02}", str(Decimal(a) / 100)) for n, a in enumerate(amounts)]
    ready = []
    for limit in (room, room + more):
        version = contract(caps=(cap("NTE", str(Decimal(limit) / 100)),))
        placements = place_under_caps(work, version, {})
        ready.append([sum(p.net for p in placements if p.item_id == w.item_id and p.state is READY) for w in work])
        full = [net == w.net for net, w in zip(ready[-1], work, strict=True)]
        assert full == sorted(full, reverse=True), "no later work is ready before all earlier work is"
    assert all(before <= after for before, after in zip(*ready, strict=True))
