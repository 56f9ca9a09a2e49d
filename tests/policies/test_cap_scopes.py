"""Caps on every scope: payers, lines, orders, tasks, roles, phases, expenses, days; in money or hours; with holds."""

# A table is read row by row: its rows stay on one line each.
# ruff: noqa: E501

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.objects import Cap, ContractVersion
from isthmus.domain.states import PartState
from isthmus.domain.terms import Payer
from isthmus.policies.caps import (
    CAP_ADJUSTMENT,
    SELECTORS,
    CapUse,
    Placement,
    Share,
    ShareHold,
    below_billed,
    binds,
    cap_use,
    place,
)
from isthmus.policies.readiness import check_terms
from isthmus.policies.splits import split
from tests.policies.builders import contract, day, line

READY, OVER, HELD, DEFERRED = PartState.READY, PartState.OVER_CAP, PartState.HELD, PartState.DEFERRED


def capped(*caps: Cap, **changes: Any) -> ContractVersion:
    return contract(line("L1"), line("L2"), caps=caps, **changes)


def limit(of: str, amount: str, cap_id: str = "CAP", **terms: Any) -> Cap:
    """A cap: its scope with the selectors, and its limit."""
    return Cap.model_validate({"cap_id": cap_id, "scope": of, "limit": amount, **terms})


def piece(item: str, net: str, hours: str | None = None, *, uid: str = "L1", **facts: Any) -> Share:
    """What an item has to place: an hour is 100.00 unless told, its turn is its name's."""
    quantity = Decimal(hours) if hours is not None else Decimal(net) / 100
    return Share(item, uid, item, quantity, Decimal(net), **facts)


def told(placements: list[Placement]) -> list[str]:
    """a ready 100.00 (1 h)."""

    def one(p: Placement) -> str:
        why = " ".join(word for word in (p.cap_id, p.reason) if word)
        return f"{p.item_id} {p.state} {p.net} ({p.quantity.normalize():f} h){' ' + why if why else ''}"

    return [one(p) for p in placements]


# -- SC-03, SC-21, SC-22 --------------------------------------------------------------------------------------------

THIRDS = (
    Payer(bill_to="A", percent="33.33", rounding=True),
    Payer(bill_to="B", percent="33.33"),
    Payer(bill_to="C", percent="33.34"),
)
ITEMS = {"1": "100.00", "2": "185.55", "3": "77.77", "4": "1240.05"}
PAYER_C = capped(limit("payer", "500.00", "C-CAP", payer="C"))


def shared(items: dict[str, str]) -> list[Share]:
    """Items split among the three payers, in their order."""
    found = []
    for name, net in items.items():
        for share in split(Decimal(net) / 100, Decimal(net), THIRDS, "USD"):
            found.append(Share(f"{name}{share.bill_to}", "L1", name, share.quantity, share.net, payer=share.bill_to))
    return found


def sums(placements: list[Placement], state: PartState) -> dict[str, Decimal]:
    totals = dict.fromkeys("ABC", Decimal(0))
    for p in placements:
        totals[p.item_id[-1]] += p.net if p.state is state else 0
    return totals


@pytest.mark.requirement("INV-04")
def test_sc03_a_payer_with_a_cap() -> None:
    placements = place(shared(ITEMS), PAYER_C, [])
    assert sums(placements, READY) == {"A": Decimal("534.43"), "B": Decimal("534.39"), "C": Decimal("500.00")}
    assert sums(placements, OVER) == {"A": 0, "B": 0, "C": Decimal("34.55")}
    last = [(p.state, p.net, p.cap_id) for p in placements if p.item_id == "4C"]
    assert last == [(READY, Decimal("378.88"), ""), (OVER, Decimal("34.55"), "C-CAP")]


def test_sc03_reversing_an_item_frees_exactly_what_it_had() -> None:
    reversed_ = [
        Share(f"-{s.item_id}", "L1", s.order_key, -s.quantity, -s.net, payer=s.payer) for s in shared({"2": "185.55"})
    ]
    assert [s.net for s in reversed_] == [Decimal("-61.85"), Decimal("-61.84"), Decimal("-61.86")]
    placements = place([*shared(ITEMS), *reversed_], PAYER_C, [])
    assert sums(placements, OVER)["C"] == 0, "34.55 are ready again, and 27.31 of room are left"
    (use,) = cap_use(PAYER_C, [*shared(ITEMS), *reversed_], [])
    assert use.limit - use.consumed == Decimal("27.31")


RECEIPT = ShareHold("RECEIPT_MISSING", "H-1")
TRIP = [
    piece("1-hotel", "220.00", "1", expense_class="hotel"),
    piece("2-per-diem", "98.04", "1", expense_class="per_diem"),
    piece("3-taxi", "38.00", "1", expense_class="taxi", hold=RECEIPT),
    piece("4-hours", "900.00"),
]


def test_sc21_what_is_held_within_the_cap_uses_its_room() -> None:
    low, high = (capped(limit("expense_class", amount, "EXP", expense_class="*")) for amount in ("300.00", "400.00"))
    assert told(place(TRIP, low, [])) == [
        "1-hotel ready 220.00 (1 h)",
        "2-per-diem ready 80.00 (0.816 h)",
        "2-per-diem over_cap 18.04 (0.184 h) EXP",
        "3-taxi over_cap 38.00 (1 h) EXP",
        "4-hours ready 900.00 (9 h)",
    ]
    billed = [piece("1-hotel", "220.00", expense_class="hotel"), piece("2-per-diem", "80.00", expense_class="per_diem")]
    rest = [piece("2-per-diem", "18.04", "0.184", expense_class="per_diem"), TRIP[2]]
    assert told(place(rest, high, billed)) == [
        "2-per-diem ready 18.04 (0.184 h)",
        "3-taxi held 38.00 (1 h) RECEIPT_MISSING",
    ]
    (use,) = cap_use(high, rest, billed)
    assert use.limit - use.consumed == Decimal("43.96")


def test_sc22_a_change_request_ends_at_its_cap() -> None:
    work = [piece("04-02", "2625.00", "12.5"), piece("04-09", "1196.25", "7.25")]
    assert told(place(work, capped(limit("line", "3500.00", "CR-7", line_uid="L1")), [])) == [
        "04-02 ready 2625.00 (12.5 h)",
        "04-09 ready 875.00 (5.303 h)",
        "04-09 over_cap 321.25 (1.947 h) CR-7",
    ]


# -- scopes ---------------------------------------------------------------------------------------------------------

FACTS: dict[str, Any] = {"payer": "A", "po_number": "PO-1", "task_code": "BUILD", "role": "partner", "phase": "design"}
SCOPES = [
    # scope, the cap's selectors, what else would have to be different for a share to be outside
    ("contract", {}, None),
    ("line", {"line_uid": "L1"}, {"uid": "L2"}),
    ("payer", {"payer": "A"}, {"payer": "B"}),
    ("payer_on_line", {"payer": "A", "line_uid": "L1"}, {"payer": "B"}),
    ("payer_on_line", {"payer": "A", "line_uid": "L1"}, {"uid": "L2"}),
    ("po", {"po_number": "PO-1"}, {"po_number": "PO-2"}),
    ("task", {"task_code": "BUILD"}, {"task_code": "TEST"}),
    ("role", {"role": "partner"}, {"role": "analyst"}),
    ("phase", {"phase": "design"}, {"phase": "build"}),
    ("expense_class", {"expense_class": "taxi"}, {"expense_class": "hotel"}),
    ("expense_class", {"expense_class": "*"}, {"expense_class": ""}),
]


@pytest.mark.parametrize(("scope", "selectors", "outside"), SCOPES, ids=[f"{s} {o}" for s, _, o in SCOPES])
def test_a_cap_binds_what_is_in_its_scope_and_nothing_else(scope: str, selectors: Any, outside: Any) -> None:
    facts = {**FACTS, "expense_class": "taxi" if scope == "expense_class" else ""}
    inside = [piece("a", "80.00", **facts), piece("b", "80.00", **facts)]
    version = capped(limit(scope, "100.00", **selectors))
    assert told(place(inside, version, []))[1:] == ["b ready 20.00 (0.2 h)", "b over_cap 60.00 (0.6 h) CAP"]
    if outside is not None:
        free = piece("b", "80.00", **{**facts, **outside})
        assert told(place([inside[0], free], version, []))[1:] == ["b ready 80.00 (0.8 h)"]
    assert told(place([inside[1]], version, [inside[0]])) == ["b ready 20.00 (0.2 h)", "b over_cap 60.00 (0.6 h) CAP"]


WINDOW = limit("contract", "100.00", valid_from="2026-04-01", valid_to="2026-04-30")
DAYS = [("2026-03-31", False), ("2026-04-01", True), ("2026-04-30", True), ("2026-05-01", False)]


@pytest.mark.parametrize(("on", "inside"), DAYS)
def test_a_window_includes_its_first_and_its_last_day(on: str, inside: bool) -> None:
    share = piece("a", "150.00", service_date=day(on))
    assert binds(WINDOW, share) is inside
    assert (len(place([share], capped(WINDOW), [])) == 2) is inside


def test_windows_of_several_caps_are_told_apart() -> None:
    may = limit("contract", "50.00", "MAY", valid_from="2026-05-01", valid_to="2026-05-31")
    work = [piece(m, "120.00", service_date=day(f"2026-{m}-15")) for m in ("04", "05", "06")]
    assert told(place(work, capped(WINDOW, may), [])) == [
        "04 ready 100.00 (1 h)",
        "04 over_cap 20.00 (0.2 h) CAP",
        "05 ready 50.00 (0.5 h)",
        "05 over_cap 70.00 (0.7 h) MAY",
        "06 ready 120.00 (1.2 h)",
    ]


def test_the_smallest_room_of_all_caps_decides_and_is_named() -> None:
    caps = (
        limit("contract", "500.00", "ALL"),
        limit("line", "400.00", "LINE", line_uid="L1"),
        limit("payer_on_line", "300.00", "BOTH", payer="A", line_uid="L1"),
        limit("payer", "350.00", "PAYER", payer="A"),
    )
    assert told(place([piece("a", "600.00", payer="A")], capped(*caps), []))[1] == "a over_cap 300.00 (3 h) BOTH"
    billed = [piece("x", "100.00", payer="A", uid="L2")]
    assert told(place([piece("a", "600.00", payer="A")], capped(*caps), billed))[1] == "a over_cap 350.00 (3.5 h) PAYER"


# -- measures, tolerances, ways to split ----------------------------------------------------------------------------

TEN_HOURS = limit("contract", "10", measure="hours")
WAYS = [
    # the case, caps, work (item, net, hours), where it goes
    ("hours are cut, money follows", (TEN_HOURS,), [("a", "800.00", "8"), ("b", "800.00", "8")],
     ["a ready 800.00 (8 h)", "b ready 200.00 (2 h)", "b over_cap 600.00 (6 h) CAP"]),
    ("hours that are minutes are priced as minutes, not 201.01", (limit("contract", "1.1167", measure="hours"),), [("a", "600.00", "3.3333")],
     ["a ready 201.00 (1.1167 h)", "a over_cap 399.00 (2.2166 h) CAP"]),
    ("hours worth nothing are cut too", (TEN_HOURS,), [("a", "0.00", "12")],
     ["a ready 0.00 (10 h)", "a over_cap 0.00 (2 h) CAP"]),
    ("money ends a cent before the hours do", (limit("contract", "0.8333", measure="hours"), limit("contract", "49999.99", "MONEY")), [("a", "67000.00", "1.1167")],
     ["a ready 49999.99 (0.8333 h)", "a over_cap 17000.01 (0.2834 h) MONEY"]),
    ("hours worth nothing use up hours too", (TEN_HOURS,), [("a", "0.00", "8"), ("b", "800.00", "8")],
     ["a ready 0.00 (8 h)", "b ready 200.00 (2 h)", "b over_cap 600.00 (6 h) CAP"]),
    ("money without hours is no matter of hours", (TEN_HOURS,), [("a", "900.00", "0"), ("b", "800.00", "8")],
     ["a ready 900.00 (0 h)", "b ready 800.00 (8 h)"]),
    ("hours and money, hours end first", (TEN_HOURS, limit("contract", "5000.00", "MONEY")), [("a", "1800.00", "12")],
     ["a ready 1500.00 (10 h)", "a over_cap 300.00 (2 h) CAP"]),
    ("hours and money, money ends first", (TEN_HOURS, limit("contract", "900.00", "MONEY")), [("a", "1800.00", "12")],
     ["a ready 900.00 (6 h)", "a over_cap 900.00 (6 h) MONEY"]),
    ("within the tolerance an item is taken whole", (limit("contract", "100.00", tolerance="0.99"),), [("a", "100.99", "1"), ("b", "0.01", "1")],
     ["a ready 100.99 (1 h)", "b over_cap 0.01 (1 h) CAP"]),
    ("beyond it, it is cut at the limit", (limit("contract", "100.00", tolerance="0.99"),), [("a", "101.00", "1")],
     ["a ready 100.00 (0.9901 h)", "a over_cap 1.00 (0.0099 h) CAP"]),
    ("a full cap has no tolerance left", (limit("contract", "100.00", tolerance="0.99"),), [("a", "100.00", "1"), ("b", "0.50", "1")],
     ["a ready 100.00 (1 h)", "b over_cap 0.50 (1 h) CAP"]),
    ("whole items only: what does not fit is skipped", (limit("contract", "100.00", split="whole_item"),), [("a", "60.00", "1"), ("b", "60.00", "1"), ("c", "40.00", "1")],
     ["a ready 60.00 (1 h)", "b over_cap 60.00 (1 h) CAP", "c ready 40.00 (1 h)"]),
    ("whole items within the tolerance", (limit("contract", "100.00", split="whole_item", tolerance="20"),), [("a", "60.00", "1"), ("b", "60.00", "1"), ("c", "40.00", "1")],
     ["a ready 60.00 (1 h)", "b ready 60.00 (1 h)", "c over_cap 40.00 (1 h) CAP"]),
    ("billed whole, and taken back what is over", (limit("contract", "500.00", split="item_with_adjustment"),), [("a", "1110.00", "6"), ("b", "1.00", "1")],
     ["a ready 1110.00 (6 h)", "a ready -610.00 (-3.2973 h) CAP CAP_ADJUSTMENT", "a over_cap 610.00 (3.2973 h) CAP", "b over_cap 1.00 (1 h) CAP"]),
    ("the cap that binds says how", (limit("contract", "500.00", "ADJ", split="item_with_adjustment"), limit("line", "400.00", "CUT", line_uid="L1")), [("a", "1000.00", "10")],
     ["a ready 400.00 (4 h)", "a over_cap 600.00 (6 h) CUT"]),
    ("a soft cap binds nothing", (limit("contract", "100.00", kind="soft"),), [("a", "500.00", "5")],
     ["a ready 500.00 (5 h)"]),
    ("what gives back goes first and frees room", (limit("contract", "100.00"),), [("a", "100.00", "1"), ("b", "30.00", "1"), ("c", "-30.00", "-1")],
     ["c ready -30.00 (-1 h)", "a ready 100.00 (1 h)", "b ready 30.00 (1 h)"]),
    ("hours given back free hours", (limit("contract", "8", measure="hours"),), [("a", "800.00", "8"), ("b", "300.00", "3"), ("c", "-300.00", "-3")],
     ["c ready -300.00 (-3 h)", "a ready 800.00 (8 h)", "b ready 300.00 (3 h)"]),
    ("less money for more hours: the money goes back, the hours need room", (limit("contract", "1", measure="hours"),), [("a", "-100.00", "2")],
     ["a ready -100.00 (1 h)", "a over_cap 0.00 (1 h) CAP"]),
]  # fmt: skip


@pytest.mark.requirement("INV-04")
@pytest.mark.parametrize(("caps", "work", "expected"), [w[1:] for w in WAYS], ids=[w[0] for w in WAYS])
def test_where_work_goes(caps: tuple[Cap, ...], work: list[tuple[str, str, str]], expected: list[str]) -> None:
    shares = [piece(*row) for row in work]
    assert told(place(shares, capped(*caps), [])) == expected
    assert told(place(shares[::-1], capped(*caps), [])) == expected


def test_units_fees_and_expenses_use_up_no_hours() -> None:
    work = [
        piece("a", "900.00", "9", timed=False),
        piece("b", "900.00", "9", expense_class="hotel"),
        piece("c", "900.00", "9"),
    ]
    assert all(p.state is READY for p in place(work, capped(TEN_HOURS), []))
    assert cap_use(capped(TEN_HOURS), work, [])[0].consumed == 9


# -- holds ----------------------------------------------------------------------------------------------------------

LATER = ShareHold("DEFERRED", "H-2", deferred=True)
HOLDS = [
    ("all of it", "100.00", RECEIPT, None, ["a held 100.00 (1 h) RECEIPT_MISSING"]),
    ("for later", "100.00", LATER, None, ["a deferred 100.00 (1 h) DEFERRED"]),
    ("a part of it", "100.00", ShareHold("DISPUTE", "H", amount=Decimal("30.00")), None, ["a ready 70.00 (0.7 h)", "a held 30.00 (0.3 h) DISPUTE"]),
    ("more than there is", "100.00", ShareHold("DISPUTE", "H", amount=Decimal("300.00")), None, ["a held 100.00 (1 h) DISPUTE"]),
    ("nothing of it", "100.00", ShareHold("DISPUTE", "H", amount=Decimal("0.00")), None, ["a ready 100.00 (1 h)"]),
    ("of what gives back", "-100.00", RECEIPT, None, ["a held -100.00 (-1 h) RECEIPT_MISSING"]),
    ("a part of what gives back", "-100.00", ShareHold("DISPUTE", "H", amount=Decimal("30.00")), None, ["a ready -70.00 (-0.7 h)", "a held -30.00 (-0.3 h) DISPUTE"]),
    ("caps come first", "100.00", RECEIPT, "60.00", ["a held 60.00 (0.6 h) RECEIPT_MISSING", "a over_cap 40.00 (0.4 h) CAP"]),
    ("a part of what is within", "100.00", ShareHold("DISPUTE", "H", amount=Decimal("30.00")), "60.00", ["a ready 30.00 (0.3 h)", "a held 30.00 (0.3 h) DISPUTE", "a over_cap 40.00 (0.4 h) CAP"]),
    ("what is over a cap is not held", "100.00", RECEIPT, "0.001", ["a over_cap 100.00 (1 h) CAP"]),
]  # fmt: skip


@pytest.mark.parametrize(("net", "hold", "room", "expected"), [h[1:] for h in HOLDS], ids=[h[0] for h in HOLDS])
def test_what_is_held(net: str, hold: ShareHold, room: str | None, expected: list[str]) -> None:
    caps = (limit("contract", room),) if room else ()
    placements = place([piece("a", net, hold=hold)], capped(*caps), [])
    assert told(placements) == expected
    assert all(p.hold_id == (hold.hold_id if p.state in (HELD, DEFERRED) else "") for p in placements)


def test_a_held_item_is_not_billed_whole_with_an_adjustment() -> None:
    version = capped(limit("contract", "60.00", split="item_with_adjustment"))
    assert told(place([piece("a", "100.00", hold=RECEIPT)], version, [])) == [
        "a held 60.00 (0.6 h) RECEIPT_MISSING",
        "a over_cap 40.00 (0.4 h) CAP",
    ]


# -- how full ------------------------------------------------------------------------------------------------------

USES = [
    ("nothing yet", {}, "0.00", "0", (), False),
    ("just below an alert", {}, "749.99", "749.99", (), False),
    ("three quarters", {}, "750.00", "750.00", (75,), False),
    ("full", {}, "1000.00", "1000.00", (75, 90, 100), False),
    ("a hard cap is never exceeded", {}, "1300.00", "1000.00", (75, 90, 100), False),
    ("a soft cap is", {"kind": "soft"}, "1300.00", "1300.00", (75, 90, 100), True),
    ("a soft cap that is just full is not", {"kind": "soft"}, "1000.00", "1000.00", (75, 90, 100), False),
    ("nor within its tolerance", {"kind": "soft", "tolerance": "5"}, "1005.00", "1005.00", (75, 90, 100), False),
    ("alerts are terms", {"alerts_percent": (100, 50)}, "600.00", "600.00", (50,), False),
    ("hours", {"measure": "hours", "limit": "8"}, "700.00", "7", (75,), False),
]


@pytest.mark.parametrize(
    ("terms", "net", "consumed", "alerts", "exceeded"), [u[1:] for u in USES], ids=[u[0] for u in USES]
)
def test_how_full_a_cap_is(terms: Any, net: str, consumed: str, alerts: tuple[int, ...], exceeded: bool) -> None:
    cap = limit("contract", "1000.00").model_copy(update={})
    cap = Cap.model_validate({**cap.model_dump(), **terms})
    version, half = capped(cap), piece("a", str(Decimal(net) / 2))
    rest = piece("b", str(Decimal(net) - half.net))
    expected = [CapUse("CAP", Decimal(consumed), cap.limit, alerts, exceeded)]
    assert cap_use(version, [half, rest], []) == cap_use(version, [rest], [half]) == expected
    assert cap_use(version, [half, rest], [], place([half, rest], version, [])) == expected


def test_what_is_over_or_held_counts_as_the_caps_say() -> None:
    caps = (limit("contract", "100.00", "HARD"), limit("contract", "50.00", "SOFT", kind="soft"))
    uses = cap_use(capped(*caps), [piece("a", "80.00", hold=RECEIPT), piece("b", "80.00")], [])
    assert [(u.cap_id, u.consumed, u.soft_exceeded) for u in uses] == [("HARD", 100, False), ("SOFT", 100, True)]


def test_a_cap_lowered_below_what_is_billed_is_told_and_credits_nothing() -> None:
    caps = (
        limit("contract", "100.00", "LOW"),
        limit("contract", "149.50", "NEAR", tolerance="0.50"),
        limit("contract", "90.00", "SOFT", kind="soft"),
    )
    billed = [piece("x", "150.00")]
    assert [u.cap_id for u in below_billed(capped(*caps), billed)] == ["LOW"]
    assert told(place([piece("a", "10.00")], capped(caps[0]), billed)) == [
        "a over_cap 10.00 (0.1 h) CAP".replace("CAP", "LOW")
    ]


# -- before a contract is set up ------------------------------------------------------------------------------------

WRONG = [
    (limit("line", "1.00"), "cap CAP is for a line and names no line_uid"),
    (limit("line", "1.00", line_uid="L9"), "cap CAP is for line L9, which the contract does not have"),
    (limit("payer_on_line", "1.00", payer="A"), "cap CAP is for a payer_on_line and names no line_uid"),
    (limit("contract", "1.00", line_uid="L1"), "cap CAP is for a contract, which has nothing to do with line_uid L1"),
    (limit("role", "1.00", role="r", phase="p"), "cap CAP is for a role, which has nothing to do with phase p"),
    (limit("contract", "1.00", valid_from="2026-02-01", valid_to="2026-01-31"), "cap CAP ends on 2026-01-31, before it begins on 2026-02-01"),
    (limit("contract", "1.00", tolerance="-1"), "cap CAP has a tolerance of -1"),
    (limit("contract", "1.00005", measure="hours"), "cap CAP is 1.00005 hours, which four decimals cannot hold"),
    (limit("contract", "1.005"), "cap CAP is 1.005, which USD cannot hold"),
    (limit("contract", "0"), "cap CAP is 0"),
]  # fmt: skip


@pytest.mark.parametrize(("cap", "problem"), WRONG, ids=[w[1] for w in WRONG])
def test_a_cap_that_would_bind_nothing_stops_the_contract(cap: Cap, problem: str) -> None:
    with pytest.raises(NeedsDecision) as stopped:
        check_terms(capped(cap))
    assert stopped.value.context["problems"] == [problem]


def test_hours_may_have_more_decimals_than_the_currency() -> None:
    version = capped(limit("contract", "1.005", measure="hours"))
    assert check_terms(version) == version


# -- laws -----------------------------------------------------------------------------------------------------------

letters = st.sampled_from(["", "A", "B"])
facts = st.fixed_dictionaries(
    {"payer": letters, "role": letters, "expense_class": letters, "service_date": st.sampled_from([day("2026-04-15"), day("2026-05-15")])}
)  # fmt: skip
holds = st.none() | st.builds(
    ShareHold, st.just("DISPUTE"), st.just("H"), st.booleans(), st.none() | st.integers(0, 300).map(Decimal)
)
cents = st.integers(1, 2_000_00).map(lambda n: Decimal(n) / 100)
quarters = st.integers(1, 24_00).map(lambda n: Decimal(n) / 100) | st.decimals("0.0001", "24", places=4)


@st.composite
def works(draw: st.DrawFn) -> list[Share]:
    """Hours and money that come and go together, as entries, corrections and price differences do."""
    found = []
    for n in range(draw(st.integers(0, 12))):
        net, hours = draw(cents), draw(quarters)
        net, hours = draw(
            st.sampled_from([(net, hours), (net, hours), (-net, -hours), (net, Decimal(0)), (Decimal(0), hours)])
        )
        uid, turn, more = draw(st.sampled_from(["L1", "L2"])), str(draw(st.integers(0, 5))), draw(facts)
        found.append(Share(f"i{n:02}", uid, turn, hours, net, hold=draw(holds), **more))
    return found


@st.composite
def some_caps(draw: st.DrawFn) -> ContractVersion:
    found = []
    for n in range(draw(st.integers(0, 4))):
        scope = draw(st.sampled_from(["contract", "line", "payer", "payer_on_line", "role", "expense_class"]))
        chosen = {
            name: draw(st.sampled_from(["L1", "L2"] if name == "line_uid" else ["A", "B"])) for name in SELECTORS[scope]
        }
        hours = draw(st.booleans())
        found.append(
            limit(
                scope,
                str(draw(st.integers(1, 30)) if hours else draw(cents)),
                f"CAP-{n}",
                measure="hours" if hours else "amount",
                kind=draw(st.sampled_from(["hard", "hard", "hard", "soft"])),
                tolerance=draw(st.sampled_from(["0", "0", "5.00"])),
                split=draw(st.sampled_from(["split_item", "split_item", "whole_item", "item_with_adjustment"])),
                valid_to=draw(st.sampled_from([None, None, "2026-04-30"])),
                **chosen,
            )
        )
    return capped(*found)


def used(cap: Cap, shares: list[Share], placements: list[Placement] | None = None) -> Decimal:
    """What a cap has used up, counted by its definition alone: of shares, or of what became of them."""
    total, by_item = Decimal(0), {s.item_id: s for s in shares}
    rows = [(s, s.quantity, s.net) for s in shares] if placements is None else [
        (by_item[p.item_id], p.quantity, p.net) for p in placements if p.state is not OVER
    ]  # fmt: skip
    for share, quantity, net in rows:
        inside = all(getattr(cap, name) == getattr(share, name) for name in SELECTORS[cap.scope])
        if inside and (cap.valid_to is None or share.service_date <= cap.valid_to):
            total += net if cap.measure == "amount" else Decimal(0) if share.expense_class else quantity
    return total


@pytest.mark.requirement("INV-01")
@given(works(), some_caps())
def test_pieces_add_up_to_the_share_in_money_and_in_hours(shares: list[Share], version: ContractVersion) -> None:
    placements = place(shares, version, [])
    assert {p.item_id for p in placements} == {s.item_id for s in shares}
    for share in shares:
        mine = [p for p in placements if p.item_id == share.item_id]
        assert sum(p.net for p in mine) == share.net and sum(p.quantity for p in mine) == share.quantity
        for p in mine:
            assert p.quantity == p.quantity.quantize(Decimal("0.0001")) and p.net == p.net.quantize(Decimal("0.01"))
            assert p.reason == CAP_ADJUSTMENT or (p.net * share.net >= 0 and p.quantity * share.quantity >= 0)
            assert bool(p.cap_id) is (p.state is OVER or p.reason == CAP_ADJUSTMENT)
            assert p.state in (READY, OVER) or share.hold is not None


@pytest.mark.requirement("INV-04")
@given(works(), some_caps(), works())
def test_no_hard_cap_is_exceeded_and_nothing_is_over_a_cap_that_has_room(
    shares: list[Share], version: ContractVersion, billed: list[Share]
) -> None:
    placements = place(shares, version, billed)
    by_item = {s.item_id: s for s in shares}
    rooms = {}
    for cap in version.caps:
        if cap.kind == "hard":
            before = used(cap, billed)
            now = before + used(cap, shares, placements)
            assert now <= max(cap.limit + cap.tolerance, before), f"{cap.cap_id} is exceeded"
            rooms[cap.cap_id] = (cap, cap.limit - now)
    for p in placements:
        if p.state is OVER:
            cap, room = rooms[p.cap_id]
            smallest = Decimal("0.01") if cap.measure == "amount" else Decimal("0.0001")
            if cap.split == "whole_item":
                share = by_item[p.item_id]
                smallest = share.net if cap.measure == "amount" else share.quantity
            assert room < smallest, f"{p.item_id} is over {p.cap_id}, which has room for {room}"


@given(works().flatmap(lambda w: st.tuples(st.just(w), st.permutations(w))), some_caps(), works())
def test_the_order_of_arrival_never_matters(orders: Any, version: ContractVersion, billed: list[Share]) -> None:
    assert place(orders[0], version, billed) == place(orders[1], version, billed[::-1])


@given(works(), some_caps())
def test_when_what_is_within_is_billed_the_rest_is_still_over(shares: list[Share], version: ContractVersion) -> None:
    by_item, billed, rest = {s.item_id: s for s in shares}, [], []
    for n, p in enumerate(place(shares, version, [])):
        origin = by_item[p.item_id]
        more = {name: getattr(origin, name) for name in ("payer", "role", "expense_class", "service_date")}
        share = Share(f"{p.item_id}/{n}", origin.line_uid, origin.order_key, p.quantity, p.net, **more)
        (rest if p.state is OVER else billed).append(share)
    again = place(rest, version, billed)
    assert sorted((p.item_id, p.quantity, p.net, p.state) for p in again) == sorted(
        (s.item_id, s.quantity, s.net, OVER) for s in rest
    )


@given(works(), some_caps())
def test_how_full_a_cap_is_agrees_with_a_count_by_hand(shares: list[Share], version: ContractVersion) -> None:
    placements = place(shares, version, [])
    for use, cap in zip(cap_use(version, shares, [], placements), version.caps, strict=True):
        assert use.consumed == used(cap, shares, placements)
