"""The page about terms names every term with its default, and its examples are what the policies compute."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from isthmus.domain import objects, terms
from isthmus.domain.terms import (
    Band,
    Cap,
    CostPlus,
    DayRule,
    Deposit,
    Discount,
    ExpenseTerms,
    Holdback,
    Increment,
    InvoiceTerms,
    Milestone,
    MinimumCommitment,
    Payer,
    PerDiem,
    Retainer,
    Subscription,
    Tier,
    TransferPrice,
)
from isthmus.domain.work import Expense
from isthmus.policies.caps import Share, place
from isthmus.policies.chargeability import chargeable
from isthmus.policies.composition import plan_invoices
from isthmus.policies.costs import cost_plus, transfer_price
from isthmus.policies.deposits import draw
from isthmus.policies.discounts import discount_item, retroactive_credit
from isthmus.policies.expenses import price_expense
from isthmus.policies.fixed import milestone_amounts
from isthmus.policies.fx import convert
from isthmus.policies.holdback import hold_back
from isthmus.policies.layouts import Evidence, compose
from isthmus.policies.quantities import DayEntry, bill_day, extend
from isthmus.policies.rates import resolve_rate
from isthmus.policies.recurring import fees, true_ups
from isthmus.policies.retainers import statement
from isthmus.policies.splits import split
from tests.policies.builders import contract, day, line, rate
from tests.policies.test_deposits import ledger

PAGE = (Path(__file__).parents[2] / "docs" / "learn" / "terms.md").read_text()
D = Decimal

# What belongs to a contract version beside its commercial terms: who, when, where it is written.
IDENTITY = {
    "contract_no", "version", "client_no", "client", "entity", "signed_on", "legal_approved_by", "finance_approved_by",
    "template", "dimensions", "lines", "document_ref", "document_hash", "opportunity_ref", "source_ref", "change_order",
}  # fmt: skip
MODELS: dict[str, type[BaseModel]] = {
    name: model
    for name, model in vars(terms).items()
    if isinstance(model, type) and issubclass(model, BaseModel) and model.__module__ == terms.__name__
} | {"ContractLine": objects.ContractLine, "ContractVersion": objects.ContractVersion}


def sections() -> dict[str, str]:
    """The text below each heading that is a class."""
    parts = re.split(r"^### `(\w+)`\n", re.sub(r"^## .*\n", "", PAGE, flags=re.MULTILINE), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def rows(section: str) -> Iterator[tuple[str, str, str]]:
    """Field, what it does, default; a row may be about several fields."""
    for text in section.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", text.strip().strip("|"))]
        if len(cells) == 3 and cells[0].startswith("`"):
            for field in re.findall(r"`(\w+)`", cells[0]):
                yield field, cells[1], cells[2]


def told(field: FieldInfo) -> str:
    """A default in the words of the page."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "its defaults"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple) and value:
        return ", ".join(str(v) for v in value)
    return "none" if value in (None, "", (), {}) else str(value)


def test_every_kind_of_term_has_its_section_and_no_other() -> None:
    assert set(sections()) == set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_every_term_is_there_with_what_it_does_and_its_default(name: str) -> None:
    documented = {field: default for field, _, default in rows(sections()[name])}
    fields = {n: told(f) for n, f in MODELS[name].model_fields.items()}
    if name == "ContractVersion":
        fields = {n: default for n, default in fields.items() if n not in IDENTITY}
        fields["payment_terms"] = "none"
    assert documented == fields
    assert all(len(what.split()) >= 2 for _, what, _ in rows(sections()[name]))


# -- the examples ---------------------------------------------------------------------------------------------------


def money(amount: Decimal) -> str:
    return f"{amount:,.2f}"


def clock(*times: str) -> list[DayEntry]:
    hours = [D(t.split(":")[0]) + D(t.split(":")[1]) / 60 for t in times]
    return [DayEntry(str(n), h.quantize(D("0.0001"))) for n, h in enumerate(hours)]


def worth(entries: list[DayEntry], rule: DayRule | None = None) -> Decimal:
    segments = [s for t in bill_day(entries, None, rule).values() for s in t.segments]
    return sum((extend(s.quantity, D(120), "USD", s.multiplier) for s in segments), D(0))


def increments() -> list[str]:
    day_ = clock("3:07", "2:40", "3:20")
    ways = (Increment(minutes=15), Increment(minutes=15, mode="nearest"), Increment(minutes=15, basis="person_day"))
    sums = [sum(s.minutes for t in bill_day(day_, way, None).values() for s in t.segments) / 60 for way in ways]
    corrected = bill_day([DayEntry("a", D("1.1"), corrected=True)], ways[0], None)["a"].segments[0].quantity
    return [f"**{total:.2f} h**" for total in (*sums, corrected)]


def bands() -> list[str]:
    rule = DayRule(bands=(Band(up_to_hours=8), Band(up_to_hours=10, multiplier="1.5")))
    return [f"**{money(worth(entries, rule))}**" for entries in (clock("12:00"), clock("9:07"))]


def charged() -> list[str]:
    terms_ = line("L1", chargeable={"roles": ("consultant",)})
    facts: dict[str, Any] = {"evidence_class": "time", "task_code": "", "task_billable": True}
    hours = {"consultant": 8, "trainee": 2}
    return [f"**{sum(h for role, h in hours.items() if chargeable(terms_, role=role, **facts)[0])} h**"]


def rates() -> list[str]:
    card = (
        rate("consultant", "185.00"),
        rate("consultant", "199.00", grade="senior"),
        rate("consultant", "170.00", region="EMEA"),
    )
    terms_ = line("L1", *card)
    work = {"person": "ada", "role": "consultant", "grade": "senior", "region": "EMEA"}
    return [f"**{resolve_rate(contract(terms_), terms_, service_date=day('2026-03-09'), **work)[0]}**"]


def tiers() -> list[str]:
    steps = (Tier(from_net=10000, percent=5), Tier(from_net=25000, percent=10))
    ahead, back = Discount(kind="volume_prospective", tiers=steps), Discount(kind="volume_retroactive", tiers=steps)
    facts: dict[str, Any] = {"extended": D(1000), "quantity": D(10), "currency": "USD", "before": D(9500)}
    granted = discount_item((back,), **facts).discount
    credit = retroactive_credit(back, before=D(9500), after=D(10500), granted=granted, currency="USD")
    return [f"**{money(discount_item((ahead,), **facts).net)}**", f"**{money(credit)}**"]


def payers() -> list[str]:
    thirds = [Payer(bill_to=n, percent=p) for n, p in (("A", "33.33"), ("B", "33.33"), ("C", "33.34"))]
    return [f"**{money(share.net)}**" for share in split(D(1), D("1240.05"), thirds, "USD")]


def caps() -> list[str]:
    cap = Cap(cap_id="NTE", scope="contract", limit="500.00")
    pieces = place([Share("E", "L1", "", D(6), D(1110))], contract(caps=(cap,)), [])
    found = [f"**{money(p.net)}** and {p.quantity} h" for p in pieces]
    adjusted = cap.model_copy(update={"split": "item_with_adjustment"})
    whole = place([Share("E", "L1", "", D(6), D(1110))], contract(caps=(adjusted,)), [])
    found.append(f"{money(whole[0].net)} and {money(whole[1].net)} are billed".replace("-", "−"))
    tolerant = cap.model_copy(update={"tolerance": D(610)})
    assert len(place([Share("E", "L1", "", D(6), D(1110))], contract(caps=(tolerant,)), [])) == 1
    return found


def held() -> list[str]:
    share = hold_back(D(36000), Holdback(percent=10), "EUR")
    return [f"**{money(share.held)}**", f"**{money(share.net)}**", money(share.taxable * D("0.21"))]


def spread() -> list[str]:
    due = day("2026-03-31")
    parts = [Milestone(number=n, name="M", percent=p, due=due) for n, p in enumerate(("33.33", "33.33", "33.34"), 1)]
    amounts = list(milestone_amounts(D(10000), parts, "USD").values())
    return [*map(money, amounts), f"**{money(amounts[-1])}**"]


def retainer() -> list[str]:
    months = statement(
        Retainer(
            quota_hours=40,
            fee=8000,
            overage_rate=220,
            rollover="capped",
            rollover_max_hours=10,
            start=day("2026-01-01"),
        ),
        {"2026-01": D(34), "2026-02": D(49)},
        "2026-02",
        currency="USD",
    )
    return [
        f"{months[0].rolled_out:.0f} h go over",
        f"**{money(months[0].revenue)}**",
        f"**{money(months[1].invoiced)}**",
    ]


def deposit() -> list[str]:
    movements, found = ["grant 10000"], []
    for _ in range(2):
        facts: dict[str, Any] = {"net": D(6000), "total": D(7260), "day": day("2026-03-31"), "currency": "EUR"}
        amount = draw(Deposit(amount=10000), ledger(*movements), **facts).amount
        found.append(f"**{money(amount)}**")
        movements.append(f"draw {amount}")
    return found


def expenses() -> list[str]:
    facts: dict[str, Any] = {
        "source": "x", "source_id": "1", "project_code": "P", "person": "ada", "category": "hotel", "currency": "GBP",
        "expense_date": day("2026-03-09"), "gross": "240", "tax": "40",
        "approved_by": "bea", "approved_at": datetime(2026, 3, 10, tzinfo=UTC),
    }  # fmt: skip
    hotel = ExpenseTerms(markup_percent={"hotel": "10"})
    ways = [price_expense(Expense(**facts, tax_recoverable=back), hotel, "GBP") for back in (True, False)]
    return [f"**{money(priced.net)}**" for priced in ways]


def per_diem() -> list[str]:
    trip = ExpenseTerms(per_diems={"Paris": PerDiem(daily=60, currency="EUR")})
    nets = []
    for kind, meals in (("first", ()), ("full", ("breakfast",)), ("last", ("lunch",))):
        expense = Expense(
            source="x", source_id="1", project_code="P", person="ada", category="per_diem", currency="EUR",
            expense_date=day("2026-03-09"), location="Paris", per_diem_day=kind, meals_provided=meals,
            approved_by="bea", approved_at=datetime(2026, 3, 10, tzinfo=UTC),
        )  # fmt: skip
        nets.append(price_expense(expense, trip, "EUR").net)
    return [*map(money, nets), f"**{money(sum(nets, D(0)))}**"]


def layouts() -> list[str]:
    parts = [
        Evidence(f"p{n}", "L1", "consultant", D("133.33"), D("0.35"), extend(D("0.35"), D("133.33"), "USD"))
        for n in "abc"
    ]
    version = contract(invoicing=InvoiceTerms(minimum=200))
    assert [x.net for x in compose(parts, [version], "detailed")] == [D("46.67")] * 3
    (one,) = compose(parts, [version])
    assert plan_invoices(parts, [version])[0].hold == "MIN_INVOICE"
    return [f"{one.quantity} h and **{money(one.net)}**"]


def by_days() -> list[str]:
    months = fees(Subscription(amount=3100, start=day("2026-03-16")), day("2026-04-30"), "USD")
    return [f"**{money(months[0].amount)}**", f"then {money(months[1].amount)}"]


def commitment() -> list[str]:
    terms_ = MinimumCommitment(amount=5000, start=day("2026-03-01"))
    (owed,) = true_ups(terms_, [(day("2026-03-09"), D(3800))], day("2026-03-31"), "USD")
    return [f"**{money(owed.amount)}**"]


def transfer() -> list[str]:
    price = transfer_price(TransferPrice(kind="percent_of_bill_rate", percent=70), cost_rate=None, bill_rate=D(200))
    return [f"**{money(extend(D(8), price, 'USD'))}**"]


EXAMPLES: dict[str, Callable[[], list[str]]] = {
    "Increment": increments,
    "Band": bands,
    "Chargeable": charged,
    "Rate": rates,
    "FxPolicy": lambda: [f"**{money(convert(D(60), 'EUR', 'GBP', D('0.86')))}**"],
    "Tier": tiers,
    "Payer": payers,
    "Cap": caps,
    "Holdback": held,
    "Milestone": spread,
    "Retainer": retainer,
    "Deposit": deposit,
    "Subscription": by_days,
    "MinimumCommitment": commitment,
    "CostPlus": lambda: [f"**{money(cost_plus(D(700), CostPlus(markup_percent=15), 'USD').net)}**"],
    "TransferPrice": transfer,
    "ExpenseTerms": expenses,
    "PerDiem": per_diem,
    "InvoiceTerms": layouts,
}


def test_every_example_is_computed() -> None:
    assert {name for name, text in sections().items() if "In numbers:" in text} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_what_the_policy_says(name: str) -> None:
    text = " ".join(sections()[name].partition("In numbers:")[2].split())
    computed = EXAMPLES[name]()
    assert [number for number in computed if number not in text] == []
    assert set(re.findall(r"\*\*[^*]+\*\*", text)) <= set(re.findall(r"\*\*[^*]+\*\*", " ".join(computed)))


def test_the_example_in_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert code
    exec(code[1], {})
    printed = capsys.readouterr().out
    assert "Decimal('390.00')" in printed and "Decimal('315.00')" in printed
