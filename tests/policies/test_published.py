"""Cases that others have published, worked out by the policies to the cent. The numbers are in published.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import pytest

from isthmus.domain.objects import Cap
from isthmus.domain.terms import Milestone
from isthmus.domain.work import MilestoneStatus, UsageRecord
from isthmus.policies import measures
from isthmus.policies.caps import Share, cap_use, place
from isthmus.policies.fixed import Category, acceptance, earned_by_category, milestone_amounts, to_bill
from isthmus.policies.quantities import extend
from isthmus.policies.recurring import usage_line
from isthmus.policies.tax_amounts import Taxable, work_out
from tests.policies.builders import contract, day, line

CASES: dict[str, dict[str, Any]] = tomllib.loads((Path(__file__).parent / "published.toml").read_text())
Worked = dict[str, Decimal]


def units(units: int, price: str) -> Worked:
    """B01."""
    nets = []
    for number in range(units):
        record = UsageRecord(
            contract_no="C-1",
            line_uid="L1",
            period_start=day("2026-03-01"),
            period_end=day("2026-03-31"),
            quantity="1",
            unit_price=price,
            evidence_ref=f"unit-{number}",
            evidence_hash="0" * 64,
            source="file",
            source_id=str(number),
        )
        nets.append(usage_line(record, "USD").net)
    return {"first_invoice": nets[0], "total": sum(nets, Decimal(0))}


def progress(price: str, percent: str) -> Worked:
    """B02."""
    return {"invoice": to_bill(Decimal(price), Decimal(percent), Decimal(0), currency="USD")}


def progress_by_category(categories: list[dict[str, str]]) -> Worked:
    """B03."""
    read = [Category(**{name: Decimal(number) for name, number in row.items()}) for row in categories]
    earned = earned_by_category(read, "USD")
    return {"earned": earned, "whole_dollars": earned.quantize(Decimal(1))}


def milestones(amounts: list[str], accepted_by_march: list[int]) -> Worked:
    """B04."""
    terms = [Milestone(number=n, name=f"M{n}", amount=a, due=day("2026-03-31")) for n, a in enumerate(amounts, start=1)]
    worth = milestone_amounts(sum(map(Decimal, amounts), Decimal(0)), terms, "USD")
    at = datetime(2026, 3, 31, 12, tzinfo=UTC)
    words = [
        MilestoneStatus(source="psa", source_id=str(m.number), number=m.number, state="completed", by="pm", at=at)
        for m in terms
    ]
    words += [
        w.model_copy(update={"state": "accepted", "by": "em", "at": at.replace(hour=13)})
        for w in words
        if w.number in accepted_by_march
    ]
    march = sum((worth[m.number] for m in terms if acceptance(m, words).billable), Decimal(0))
    return {"end_of_march": march, "total": sum(worth.values(), Decimal(0))}


def time_and_expenses(hours: str, rate: str, expenses: str, expense_limit: str) -> Worked:
    """B06."""
    cap = Cap(cap_id="EXP", scope="expense_class", expense_class="*", limit=Decimal(expense_limit))
    version = contract(line("L1"), caps=(cap,))
    work = Share("time", "L1", "1", Decimal(hours), extend(Decimal(hours), Decimal(rate), "USD"))
    supplies = Share("supplies", "L1", "2", Decimal(1), Decimal(expenses), expense_class="supplies")
    ready = [p.net for p in place([work, supplies], version, []) if p.state == "ready"]
    (use,) = cap_use(version, [work, supplies], [])
    return {"invoice": sum(ready, Decimal(0)), "limit_left": use.limit - use.consumed}


def tax_by_line_and_document(nets: list[str], rates: list[str]) -> Worked:
    """T01."""
    rows = [Taxable(n, Decimal(net), rate, Decimal(rate)) for rate in rates for n, net in enumerate(nets, start=1)]
    return {"by_line": work_out(rows, "USD", "line").tax, "by_category": work_out(rows, "USD", "category").tax}


def tax_of_half_cents(lines: list[dict[str, str]]) -> Worked:
    """T02."""
    rows = [Taxable(n, Decimal(x["net"]), x["rate"], Decimal(x["rate"])) for n, x in enumerate(lines, start=1)]
    even = [(row.net * row.rate).quantize(Decimal("0.01"), ROUND_HALF_EVEN) for row in rows]
    return {"tax": work_out(rows, "USD", "line").tax, "half_even": sum(even, Decimal(0))}


def utilised(hours: str, available: str) -> Worked:
    """K01."""
    percent = measures.utilisation(Decimal(hours), Decimal(available))
    assert percent is not None
    return {"percent": percent}


def outstanding(receivables: str, billed: str, days: int) -> Worked:
    """K02."""
    found = measures.days_sales_outstanding(Decimal(receivables), Decimal(billed), days)
    assert found is not None
    return {"days": found}


WORKED: dict[str, Callable[..., Worked]] = {
    "B01": units,
    "B02": progress,
    "B03": progress_by_category,
    "B04": milestones,
    "B06": time_and_expenses,
    "K01": utilised,
    "K02": outstanding,
    "T01": tax_by_line_and_document,
    "T02": tax_of_half_cents,
}


@pytest.mark.parametrize("case", CASES)
def test_a_published_case(case: str) -> None:
    told = CASES[case]
    assert told["source"] and told["about"]
    expected = {name: Decimal(number) for name, number in told["expected"].items()}
    assert WORKED[case](**told["given"]) == expected


def test_every_calculation_has_its_case() -> None:
    assert set(WORKED) == set(CASES)
