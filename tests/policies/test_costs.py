"""Cost rates, cost plus and charges between legal entities."""

# A table is read row by row: its rows stay on one line each.

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import BadInput, NeedsDecision
from isthmus.domain.terms import CostPlus, TransferPrice
from isthmus.policies.costs import (
    CostRate,
    IntercompanyCharge,
    charge,
    cost_plus,
    cost_rate_on,
    eliminated,
    mirror,
    true_up,
)
from tests.policies.builders import day
from tests.policies.tables import number, rows

ZERO = Decimal(0)


def cost(
    price: str, *, since: str = "2026-01-01", until: str = "", person: str = "sub", currency: str = "EUR"
) -> CostRate:
    """An hour of a person, from a day on."""
    return CostRate(person, Decimal(price), currency, day(since), day(until) if until else None)


RATES = [
    cost("80.00", until="2026-03-10"),
    cost("85.00", since="2026-03-10"),
    cost("70.00", person="ada", currency="USD"),
]


@pytest.mark.parametrize(("on", "rate"), [("2026-03-09", "80.00"), ("2026-03-10", "85.00")])
def test_the_cost_rate_of_the_day(on: str, rate: str) -> None:
    assert cost_rate_on(RATES, "sub", day(on), "EUR").rate == Decimal(rate)


@pytest.mark.parametrize(
    ("person", "on", "currency", "rates", "words"),
    [
        ("sub", "2025-12-31", "EUR", RATES, "no cost rate of sub in EUR on 2025-12-31"),
        ("bob", "2026-03-09", "EUR", RATES, "no cost rate of bob"),
        ("ada", "2026-03-09", "EUR", RATES, "no cost rate of ada in EUR"),
        ("sub", "2026-03-09", "EUR", [*RATES, cost("90.00")], "2 cost rates of sub"),
    ],
)
def test_a_missing_or_ambiguous_cost_rate_is_a_case(
    person: str, on: str, currency: str, rates: list[CostRate], words: str
) -> None:
    with pytest.raises(NeedsDecision) as stopped:
        cost_rate_on(rates, person, day(on), currency)
    assert (stopped.value.exception, stopped.value.queue) == ("EX-COST-RATE", "project-accounting")
    assert words in stopped.value.message


COST_PLUS = rows("""
| cost     | currency | markup | provisional | final | billed at | net      |
| 1,000.00 | USD      | 12.5   | -           | no    | 12.5      | 1,125.00 |
| 1,000.00 | USD      | 12.5   | 10          | no    | 10        | 1,100.00 |
| 1,000.00 | USD      | 12.5   | 10          | yes   | 12.5      | 1,125.00 |
| 1,000.00 | USD      | 12.5   | 0           | no    | 0         | 1,000.00 |
| 0.30     | USD      | 15     | -           | no    | 15        | 0.35     |
| -0.30    | USD      | 15     | -           | no    | 15        | -0.35    |
| 1,001    | JPY      | 7.55   | -           | no    | 7.55      | 1,077    |
""")


@pytest.mark.parametrize("row", COST_PLUS, ids=lambda row: f"{row['cost']} + {row['markup']} % final {row['final']}")
def test_cost_plus_at_the_provisional_and_at_the_final_markup(row: dict[str, str]) -> None:
    provisional = None if row["provisional"] == "-" else row["provisional"]
    terms = CostPlus.model_validate({"markup_percent": row["markup"], "provisional_percent": provisional})
    found = cost_plus(number(row["cost"]), terms, row["currency"], final=row["final"] == "yes")
    assert (found.markup_percent, found.net) == (number(row["billed at"]), number(row["net"]))
    assert found.provisional == (provisional is not None and row["final"] == "no")


def test_the_final_markup_and_the_final_cost_are_trued_up_item_by_item() -> None:
    terms = CostPlus(markup_percent=Decimal("12.5"), provisional_percent=Decimal("10"))
    billed = {
        "E-1": (Decimal("1000.00"), Decimal("1100.00")),  # the markup is 2.5 points more
        "E-2": (Decimal("960.00"), Decimal("1100.00")),  # it cost less than it was billed for
        "E-3": (Decimal("0.00"), Decimal("0.00")),
    }
    assert true_up(billed, terms, "USD") == {"E-1": Decimal("25.00"), "E-2": Decimal("-20.00")}


def transfer(kind: Any, worth: str) -> TransferPrice:
    amount = {"rate": worth} if kind == "fixed" else {"percent": worth}
    return TransferPrice.model_validate({"kind": kind, **amount})


# 7 h 20 of a person who costs 61.37 and is billed at 150.00.
CHARGES = rows("""
| kind                 | worth | price    | amount |
| fixed                | 90.00 | 90.00    | 660.00 |
| cost_plus            | 8     | 66.2796  | 486.05 |
| percent_of_bill_rate | 70    | 105.0000 | 770.00 |
""")


def lent(kind: Any = "fixed", worth: str = "90.00", **changes: Any) -> IntercompanyCharge:
    facts: dict[str, Any] = {
        "lender": "DE01",
        "borrower": "US01",
        "source_key": "psa:E-1",
        "quantity": Decimal("7.3333"),
        "currency": "EUR",
        "cost_rate": Decimal("61.37"),
        "bill_rate": Decimal("150.00"),
    }
    return charge("IC-1", terms=transfer(kind, worth), **{**facts, **changes})


@pytest.mark.parametrize("row", CHARGES, ids=lambda row: row["kind"])
def test_what_one_entity_charges_another(row: dict[str, str]) -> None:
    found = lent(row["kind"], row["worth"])
    assert (found.price, found.amount) == (number(row["price"]), number(row["amount"]))
    assert found.trace["kind"] == row["kind"] and found.trace["price"] == str(found.price)
    assert eliminated([found]) == {"DE01": found.amount, "US01": -found.amount}


@pytest.mark.parametrize(
    ("kind", "worth", "changes"),
    [("fixed", "0", {}), ("cost_plus", "8", {"cost_rate": None}), ("percent_of_bill_rate", "70", {"bill_rate": None})],
)
def test_work_is_never_lent_for_nothing(kind: str, worth: str, changes: dict[str, Any]) -> None:
    with pytest.raises(NeedsDecision) as stopped:
        lent(kind, worth, **changes)
    assert (stopped.value.exception, stopped.value.queue) == ("EX-TRANSFER-PRICE", "project-accounting")


def test_an_entity_does_not_lend_to_itself() -> None:
    with pytest.raises(BadInput, match="DE01 lends to itself"):
        lent(borrower="DE01")


def test_a_reversal_is_the_mirror_of_its_original_and_comes_after_it() -> None:
    original = lent("cost_plus", "8")
    back = mirror(original, "IC-2", {"IC-1"})
    assert (back.quantity, back.amount, back.price) == (-original.quantity, -original.amount, original.price)
    assert (back.reversal_of, back.lender, back.borrower) == ("IC-1", "DE01", "US01")
    with pytest.raises(BadInput, match="IC-1 is not posted yet"):
        mirror(original, "IC-2", set())
    with pytest.raises(BadInput, match="IC-2 is itself the reversal of IC-1"):
        mirror(back, "IC-3", {"IC-1", "IC-2"})


quantities = st.integers(-24_0000, 24_0000).map(lambda n: Decimal(n) / 10000)
prices = st.integers(1, 10**8).map(lambda n: Decimal(n) / 10**4)


@pytest.mark.requirement("INV-21")
@given(st.lists(st.tuples(quantities, prices, st.sampled_from(["US01", "GB01"]), st.booleans()), max_size=8))
def test_charges_between_entities_are_nothing_to_the_group(
    lots: list[tuple[Decimal, Decimal, str, bool]],
) -> None:
    charges = []
    for number_, (quantity, price, borrower, reversed_) in enumerate(lots):
        one = charge(
            f"IC-{number_}",
            lender="DE01",
            borrower=borrower,
            source_key=f"psa:{number_}",
            quantity=quantity,
            terms=TransferPrice(kind="fixed", rate=price),
            currency="EUR",
        )
        charges.append(one)
        if reversed_:
            charges.append(mirror(one, f"R-{number_}", {one.charge_id}))
            assert one.amount + charges[-1].amount == 0
    sums = eliminated(charges)
    assert sum(sums.values(), ZERO) == 0
    kept = [
        one for one in charges if not one.reversal_of and f"R-{one.charge_id[3:]}" not in {c.charge_id for c in charges}
    ]
    assert sums.get("DE01", ZERO) == sum((one.amount for one in kept), ZERO)


@given(st.dates(date(2026, 1, 1), date(2026, 12, 31)))
def test_every_day_has_one_rate_or_a_case(on: date) -> None:
    assert cost_rate_on(RATES, "sub", on, "EUR").covers(on)
