"""What is taken off an item, an invoice and a payment, and how far down."""

# A table is read row by row: its rows stay on one line each.
# ruff: noqa: E501

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.terms import Discount, Tier
from isthmus.policies.discounts import amount_off, check_discounts, discount_item, early_payment, retroactive_credit
from isthmus.policies.readiness import check_terms
from tests.policies.builders import contract, day, line

# From 10,000 on 5 %, from 25,000 on 10 %.
TIERS = (Tier(from_net="10000", percent="5"), Tier(from_net="25000", percent="10"))


def percent(text: str) -> Discount:
    return Discount(kind="percent", percent=text)


def volume(kind: str, tiers: tuple[Tier, ...] = TIERS) -> Discount:
    return Discount.model_validate({"kind": f"volume_{kind}", "tiers": tiers})


AHEAD, BACK = volume("prospective"), volume("retroactive")
ITEMS = [
    # the case, discounts, extended, hours, floor, before, net, steps
    ("nothing agreed", (), "1110.00", "6", None, "0", "1110.00", []),
    ("ten percent", (percent("10"),), "1110.00", "6", None, "0", "999.00", [("percent", "111.00")]),
    ("half a cent goes up", (percent("2.5"),), "0.20", "1", None, "0", "0.19", [("percent", "0.01")]),
    ("a credit mirrors it", (percent("2.5"),), "-0.20", "-1", None, "0", "-0.19", [("percent", "-0.01")]),
    ("the second is of what the first left", (percent("10"), percent("10")), "100.00", "1", None, "0", "81.00", [("percent", "10.00"), ("percent", "9.00")]),
    ("an amount is off the invoice, not the item", (Discount(kind="amount", amount="50"),), "100.00", "1", None, "0", "100.00", []),
    ("early payment is off the payment, not the item", (Discount(kind="early_payment", percent="2", within_days=10),), "100.00", "1", None, "0", "100.00", []),
    ("below the first tier", (AHEAD,), "1000.00", "10", None, "9000.00", "1000.00", [("volume_prospective", "0.00")]),
    ("across the first tier: only what is above", (AHEAD,), "1000.00", "10", None, "9500.00", "975.00", [("volume_prospective", "25.00")]),
    ("within a tier", (AHEAD,), "1000.00", "10", None, "10000.00", "950.00", [("volume_prospective", "50.00")]),
    ("across two tiers at once", (AHEAD,), "20000.00", "100", None, "8000.00", "18950.00", [("volume_prospective", "1050.00")]),
    ("back across a tier", (AHEAD,), "-1000.00", "-10", None, "10500.00", "-975.00", [("volume_prospective", "-25.00")]),
    ("retroactive: the tier that was reached before", (BACK,), "1000.00", "10", None, "9500.00", "1000.00", [("volume_retroactive", "0.00")]),
    ("retroactive: a tier begins with its first cent", (BACK,), "1000.00", "10", None, "10000.00", "950.00", [("volume_retroactive", "50.00")]),
    ("retroactive: within the tier", (BACK,), "1000.00", "10", None, "10500.00", "950.00", [("volume_retroactive", "50.00")]),
    ("percent first, then volume on the rest", (percent("10"), AHEAD), "1000.00", "10", None, "10000.00", "855.00", [("percent", "100.00"), ("volume_prospective", "45.00")]),
    ("down to the floor", (percent("50"),), "1110.00", "6", "150.00", "0", "900.00", [("percent", "555.00"), ("floor", "-345.00")]),
    ("above the floor", (percent("10"),), "1110.00", "6", "150.00", "0", "999.00", [("percent", "111.00")]),
    ("a credit stops at the floor too", (percent("50"),), "-1110.00", "-6", "150.00", "0", "-900.00", [("percent", "-555.00"), ("floor", "345.00")]),
    ("a price below the floor is not raised", (percent("50"),), "600.00", "6", "150.00", "0", "600.00", [("percent", "300.00"), ("floor", "-300.00")]),
    ("the floor counts minutes", (percent("90"),), "201.00", "1.1167", "120.00", "0", "134.00", [("percent", "180.90"), ("floor", "-113.90")]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("discounts", "extended", "hours", "floor", "before", "net", "steps"),
    [i[1:] for i in ITEMS],
    ids=[i[0] for i in ITEMS],
)
def test_what_is_taken_off_an_item(
    discounts: tuple[Discount, ...], extended: str, hours: str, floor: str | None, before: str, net: str, steps: Any
) -> None:
    found = discount_item(
        discounts,
        extended=Decimal(extended),
        quantity=Decimal(hours),
        currency="USD",
        floor=Decimal(floor) if floor else None,
        before=Decimal(before),
    )
    assert found.net == Decimal(net)
    assert found.steps == tuple((kind, Decimal(amount)) for kind, amount in steps)
    assert found.discount == Decimal(extended) - Decimal(net) == sum(amount for _, amount in found.steps)


CREDITS = [
    ("no tier was crossed", BACK, "10500.00", "12000.00", "75.00", None, "0"),
    ("the first tier: five percent on everything", BACK, "9500.00", "12000.00", "0.00", None, "600.00"),
    ("less what items have had", BACK, "24000.00", "26000.00", "800.00", None, "1800.00"),
    ("fallen back by a correction", BACK, "26000.00", "24000.00", "2600.00", None, "-1400.00"),
    ("fallen back below all tiers", BACK, "12000.00", "9000.00", "600.00", None, "-600.00"),
    ("the floor stops it", BACK, "24000.00", "26000.00", "800.00", "25000.00", "200.00"),
    ("a prospective tier credits nothing", AHEAD, "9500.00", "12000.00", "0.00", None, "0"),
]


@pytest.mark.parametrize(
    ("discount", "before", "after", "granted", "least", "credit"), [c[1:] for c in CREDITS], ids=[c[0] for c in CREDITS]
)
def test_what_a_crossed_tier_credits(
    discount: Discount, before: str, after: str, granted: str, least: str | None, credit: str
) -> None:
    found = retroactive_credit(
        discount,
        before=Decimal(before),
        after=Decimal(after),
        granted=Decimal(granted),
        currency="USD",
        least=Decimal(least) if least else None,
    )
    assert found == Decimal(credit)


OFF = [
    ("once a period", "50.00", "900.00", "0", "50.00"),
    ("the period has had some", "50.00", "900.00", "30.00", "20.00"),
    ("the period has had it all", "50.00", "900.00", "50.00", "0"),
    ("never more than the invoice", "50.00", "20.00", "0", "20.00"),
    ("nothing off a credit", "50.00", "-20.00", "0", "0"),
]


@pytest.mark.parametrize(("agreed", "net", "taken", "off"), [o[1:] for o in OFF], ids=[o[0] for o in OFF])
def test_an_amount_off_an_invoice(agreed: str, net: str, taken: str, off: str) -> None:
    discounts = (percent("10"), Discount(kind="amount", amount=agreed))
    assert amount_off(discounts, net=Decimal(net), taken=Decimal(taken)) == Decimal(off)


TWO_TEN = (
    Discount(kind="early_payment", percent="2", within_days=10),
    Discount(kind="early_payment", percent="1", within_days=20),
)
PAID = [("2026-04-10", "28.34"), ("2026-04-11", "28.34"), ("2026-04-12", "14.17"), ("2026-04-21", "14.17"), ("2026-04-22", "0.00")]  # fmt: skip


@pytest.mark.parametrize(("paid", "kept"), PAID)
def test_an_early_payment_keeps_its_percentage(paid: str, kept: str) -> None:
    found = early_payment(
        (percent("50"), *TWO_TEN), amount=Decimal("1416.96"), issued=day("2026-04-01"), paid=day(paid), currency="USD"
    )
    assert found == Decimal(kept)


WRONG = [
    (percent("0"), "a discount is 0 %"),
    (percent("100.5"), "a discount is 100.5 %"),
    (Discount(kind="amount"), "a discount takes 0 off"),
    (Discount(kind="early_payment", percent="2"), "an early payment is one within 0 days"),
    (volume("prospective", ()), "tiers must rise from 0 on: none"),
    (volume("prospective", TIERS[::-1]), "tiers must rise from 0 on: 25000, 10000"),
    (volume("retroactive", (TIERS[0], TIERS[0])), "tiers must rise from 0 on: 10000, 10000"),
    (volume("retroactive", (Tier(from_net="-1", percent="5"),)), "tiers must rise from 0 on: -1"),
    (volume("retroactive", (Tier(from_net="0", percent="101"),)), "a tier is 101 %"),
]


@pytest.mark.parametrize(("discount", "problem"), WRONG, ids=[w[1] for w in WRONG])
def test_a_discount_that_makes_no_sense_stops_the_contract(discount: Discount, problem: str) -> None:
    assert check_discounts((discount,)) == [problem]
    with pytest.raises(NeedsDecision) as stopped:
        check_terms(contract(line("L1", discounts=(discount,))))
    assert stopped.value.context["problems"] == [f"line L1: {problem}"]


def test_two_volume_discounts_would_read_each_others_tiers() -> None:
    assert check_discounts((AHEAD, percent("10"), *TWO_TEN)) == []
    assert check_discounts((AHEAD, BACK)) == [
        "there is more than one volume discount; their tiers would be read from each other"
    ]


# -- laws -----------------------------------------------------------------------------------------------------------

cents = st.integers(-5000_00, 20000_00).map(lambda n: Decimal(n) / 100)
percents = st.integers(1, 100_00).map(lambda n: Discount(kind="percent", percent=Decimal(n) / 100))


@given(st.lists(cents, min_size=1, max_size=8).flatmap(lambda a: st.tuples(st.just(a), st.permutations(a))))
def test_prospective_tiers_take_the_same_in_any_order_and_no_cent_more(orders: Any) -> None:
    totals = []
    for amounts in orders:
        before = discounts = Decimal(0)
        for amount in amounts:
            discounts += discount_item(
                (AHEAD,), extended=amount, quantity=amount, currency="USD", before=before
            ).discount
            before += amount
        totals.append(discounts)
    whole = discount_item((AHEAD,), extended=before, quantity=before, currency="USD").discount
    assert totals == [whole, whole]


@given(
    st.lists(percents | st.just(AHEAD), max_size=3),
    cents,
    st.none() | st.integers(0, 300).map(Decimal),
    st.integers(0, 30000),
)
def test_a_discount_never_goes_below_the_floor_nor_turns_the_sign_and_is_mirrored(
    discounts: list[Discount], extended: Decimal, floor: Decimal | None, before: Decimal
) -> None:
    hours = (extended / 185).quantize(Decimal("0.01"))
    one = discount_item(discounts, extended=extended, quantity=hours, currency="USD", floor=floor, before=before)
    assert one.net + one.discount == extended == one.net + sum(amount for _, amount in one.steps)
    assert one.net * extended >= 0 and abs(one.net) <= abs(extended)
    if floor is not None:
        assert abs(one.net) >= min(abs(extended), abs(hours * floor) - Decimal("0.005"))
    if len(discounts) == 1:
        undone = discount_item(
            discounts, extended=-extended, quantity=-hours, currency="USD", floor=floor, before=before + extended
        )
        assert undone.net == -one.net
