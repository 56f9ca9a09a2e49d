"""Retainage, tax and retainer cases that others have published, to the cent. The numbers are in published_b.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from isthmus.domain.terms import Holdback, Retainer
from isthmus.policies.fixed import to_bill
from isthmus.policies.holdback import hold_back, release
from isthmus.policies.retainers import statement
from isthmus.policies.tax_amounts import Taxable, totals, work_out
from tests.policies.builders import day

CASES: dict[str, dict[str, Any]] = tomllib.loads((Path(__file__).parent / "published_b.toml").read_text())
Worked = dict[str, Decimal]
ZERO = Decimal(0)


def retainage(price: str, budget: str, costs: list[str], held_percent: str) -> Worked:
    """R24."""
    terms = Holdback(percent=Decimal(held_percent))
    earned, cost, shares = ZERO, ZERO, []
    for more in costs:
        cost += Decimal(more)
        gross = to_bill(Decimal(price), cost * 100 / Decimal(budget), earned, currency="USD")
        earned += gross
        shares.append(hold_back(gross, terms, "USD"))
    held = [share.held for share in shares]
    freed = release("L1", sum(held, ZERO), terms, "USD")
    return {
        "asset_june": held[0],
        "asset_september": held[0] + held[1],
        "asset_december": sum(held, ZERO) - freed.net,
        "released": freed.net,
        "billed": sum((share.net for share in shares), ZERO) + freed.net,
    }


def tax_apart(net: str, rate: str) -> Worked:
    """R27."""
    taxed = work_out([Taxable(1, Decimal(net), "S", Decimal(rate))], "USD", "line")
    found = totals([Decimal(net)], taxed.breakdown, "USD")
    return {"receivable": found.due, "revenue": found.net, "tax": found.tax}


def retainer_with_overage(quota: str, fee: str, overage_rate: str, used: str) -> Worked:
    """CH."""
    terms = Retainer.model_validate(
        {"quota_hours": quota, "fee": fee, "overage_rate": overage_rate, "start": day("2026-03-01")}
    )
    (month,) = statement(terms, {"2026-03": Decimal(used)}, "2026-03", currency="USD")
    return {"overage": month.overage, "invoice": month.invoiced}


WORKED: dict[str, Callable[..., Worked]] = {
    "R24": retainage,
    "R27": tax_apart,
    "CH": retainer_with_overage,
}


@pytest.mark.parametrize("case", CASES)
def test_a_published_case(case: str) -> None:
    told = CASES[case]
    assert told["source"] and told["about"]
    expected = {name: Decimal(number) for name, number in told["expected"].items()}
    assert WORKED[case](**told["given"]) == expected


def test_every_calculation_has_its_case() -> None:
    assert set(WORKED) == set(CASES)
