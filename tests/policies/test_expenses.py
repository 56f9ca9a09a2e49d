"""Expenses: what they cost, what they are billed at, what waits for a receipt and what is not billed at all."""

# A table is read row by row: its rows stay on one line each.

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import BadInput, NeedsDecision
from isthmus.domain.periods import FxRate
from isthmus.domain.terms import ExpenseTerms
from isthmus.domain.work import Expense
from isthmus.policies.expenses import currency_of, lacks_receipt, price_expense
from isthmus.policies.fx import FxTable
from tests.policies.builders import day
from tests.policies.tables import number, rows

ZERO = Decimal(0)


def expense(**changes: Any) -> Expense:
    """A hotel bill of 240.00 GBP, 40.00 of it tax, with a receipt."""
    facts: dict[str, Any] = {
        "source": "exp",
        "source_id": "X-1",
        "project_code": "P-1",
        "person": "ada",
        "category": "hotel",
        "expense_date": "2026-03-10",
        "gross": "240.00",
        "tax": "40.00",
        "currency": "GBP",
        "receipt_ref": "receipts/1.pdf",
        "approved_by": "bea",
        "approved_at": datetime(2026, 3, 20, tzinfo=UTC),
    }
    return Expense.model_validate({**facts, **changes})


def terms(**changes: Any) -> ExpenseTerms:
    """Hotels with 10 %, receipts from 25.00 on, 60 EUR a day in Paris, 0.45 a mile."""
    facts: dict[str, Any] = {
        "markup_percent": {"hotel": "10"},
        "receipt_from": "25.00",
        "per_diems": {"Paris": {"daily": "60.00", "currency": "EUR"}},
        "mileage_rate": "0.45",
    }
    return ExpenseTerms.model_validate({**facts, **changes})


def per_diem(which: str, *meals: str, **changes: Any) -> Expense:
    facts = {"category": "per_diem", "gross": "0", "tax": "0", "receipt_ref": "", "location": "Paris"}
    return expense(**{**facts, "per_diem_day": which, "meals_provided": meals, **changes})


EURO = FxRate(
    rate_type="ecb", from_currency="EUR", to_currency="GBP", day=day("2026-03-10"), rate=Decimal("0.8600"), source="ECB"
)
TAXI: dict[str, Any] = {"category": "taxi", "gross": "38.00", "tax": "0", "receipt_ref": ""}
SC_21: list[tuple[str, Expense, str, str, str, str, str]] = [
    # what, expense, cost, base in GBP, markup, net, hold
    ("hotel, tax recoverable", expense(tax_recoverable=True), "200.00", "200.00", "20.00", "220.00", ""),
    ("hotel, tax not recoverable", expense(), "240.00", "240.00", "24.00", "264.00", ""),
    ("day 1: 75 % of 60 EUR", per_diem("first"), "45.00", "38.70", "0", "38.70", ""),
    ("day 2: breakfast given", per_diem("full", "breakfast"), "48.00", "41.28", "0", "41.28", ""),
    ("day 3: 75 % less lunch", per_diem("last", "lunch"), "21.00", "18.06", "0", "18.06", ""),
    ("taxi without receipt", expense(**TAXI), "38.00", "38.00", "0", "38.00", "RECEIPT_MISSING"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("given_", "cost", "base", "markup", "net", "hold"), [s[1:] for s in SC_21], ids=[s[0] for s in SC_21]
)
def test_the_expenses_of_sc_21(given_: Expense, cost: str, base: str, markup: str, net: str, hold: str) -> None:
    found = price_expense(given_, terms(), "GBP", EURO)
    money = (found.cost, found.base, found.markup, found.net)
    assert money == tuple(Decimal(amount) for amount in (cost, base, markup, net))
    assert (found.hold, found.billable, found.quantity) == (hold, True, Decimal(1))


def test_the_per_diems_of_sc_21_come_to_98_04() -> None:
    days = [per_diem("first"), per_diem("full", "breakfast"), per_diem("last", "lunch")]
    found = [price_expense(d, terms(), "GBP", EURO) for d in days]
    assert sum((p.cost for p in found), ZERO) == Decimal("114.00")
    assert sum((p.net for p in found), ZERO) == Decimal("98.04")
    assert {p.cost_currency for p in found} == {"EUR"}


OTHERS = rows("""
| what                                     | gross  | tax   | recovers | own    | category | cost   | net    |
| the worker's own part is not billed      | 240.00 | 0     | no       | 90.00  | taxi     | 150.00 | 150.00 |
| ... and carries its share of the tax     | 240.00 | 40.00 | yes      | 60.00  | taxi     | 150.00 | 150.00 |
| all of it is the worker's own            | 240.00 | 40.00 | yes      | 240.00 | hotel    | 0      | 0      |
| tax that is not recovered is cost        | 240.00 | 40.00 | no       | 60.00  | hotel    | 180.00 | 198.00 |
| a third of tax is rounded                | 100.00 | 20.00 | yes      | 33.33  | taxi     | 53.34  | 53.34  |
| a markup is rounded                      | 0.05   | 0     | no       | 0      | hotel    | 0.05   | 0.06   |
| nothing was spent                        | 0      | 0     | yes      | 0      | taxi     | 0      | 0      |
""")


@pytest.mark.parametrize("row", OTHERS, ids=lambda row: row["what"])
def test_the_base_is_what_it_cost_the_firm(row: dict[str, str]) -> None:
    facts = {"gross": number(row["gross"]), "tax": number(row["tax"]), "personal": number(row["own"])}
    one = expense(**facts, tax_recoverable=row["recovers"] == "yes", category=row["category"])
    found = price_expense(one, terms(), "GBP")
    assert (found.cost, found.net) == (number(row["cost"]), number(row["net"]))


ALLOWANCES = rows("""
| day   | meals                   | allowance |
| full  | -                       | 60.00     |
| first | breakfast               | 33.00     |
| last  | lunch dinner            | 0         |
| full  | breakfast lunch dinner  | 0.00      |
| full  | dinner dinner           | 36.00     |
""")


@pytest.mark.parametrize("row", ALLOWANCES, ids=lambda row: f"{row['day']} {row['meals']}")
def test_a_days_allowance_is_less_for_travel_and_for_meals_and_never_below_nothing(row: dict[str, str]) -> None:
    meals = [] if row["meals"] == "-" else row["meals"].split()
    found = price_expense(per_diem(row["day"], *meals), terms(), "EUR")
    assert (found.cost, found.net) == (number(row["allowance"]), number(row["allowance"]))


def test_a_distance_is_what_the_terms_pay_for_it() -> None:
    drive = expense(category="mileage", gross="0", tax="0", receipt_ref="", distance="123.4", currency="USD")
    found = price_expense(drive, terms(), "GBP")
    assert (found.quantity, found.unit_price, found.net, found.hold) == (
        Decimal("123.4"),
        Decimal("0.45"),
        Decimal("55.53"),
        "",
    )
    marked = price_expense(drive, terms(markup_percent={"mileage": "10"}), "GBP")
    assert (marked.base, marked.markup, marked.net) == (Decimal("55.53"), Decimal("5.55"), Decimal("61.08"))
    assert currency_of(drive, terms(), "GBP") == "GBP"


MISSING: list[tuple[str, Expense, dict[str, Any], str]] = [
    ("no allowance for the place", per_diem("full", location="Rome"), {}, "no rate for a day in Rome"),
    ("no place", per_diem("full", location=""), {}, r"a day in \(no location\)"),
    ("no mileage", expense(distance="10"), {"mileage_rate": None}, "no rate for 10 of distance"),
]


@pytest.mark.parametrize(("given_", "changes", "words"), [m[1:] for m in MISSING], ids=[m[0] for m in MISSING])
def test_an_allowance_without_a_rate_is_a_case_and_never_nothing(
    given_: Expense, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(NeedsDecision, match=words) as stopped:
        price_expense(given_, terms(**changes), "GBP", EURO)
    assert (stopped.value.exception, stopped.value.queue) == ("EX-RATE-MISSING", "pricing")


RECEIPTS = rows("""
| gross | receipt | hash | from | waits |
| 24.99 | no      | no   | 25   | no    |
| 25.00 | no      | no   | 25   | yes   |
| 25.00 | yes     | no   | 25   | no    |
| 25.00 | no      | yes  | 25   | no    |
| 9,000 | no      | no   | -    | no    |
| 0.01  | no      | no   | 0    | yes   |
""")


@pytest.mark.parametrize("row", RECEIPTS, ids=lambda row: f"{row['gross']} from {row['from']}")
def test_what_needs_a_receipt_waits_for_it(row: dict[str, str]) -> None:
    facts = {"receipt_ref": "r" if row["receipt"] == "yes" else "", "receipt_hash": "h" if row["hash"] == "yes" else ""}
    one = expense(gross=number(row["gross"]), tax="0", **facts)
    limit = None if row["from"] == "-" else number(row["from"])
    assert price_expense(one, terms(receipt_from=limit), "GBP").hold == (
        "RECEIPT_MISSING" if row["waits"] == "yes" else ""
    )


@pytest.mark.parametrize(
    "allowance", [per_diem("full", gross="99.00"), expense(distance="100", gross="99.00", receipt_ref="")]
)
def test_an_allowance_needs_no_receipt(allowance: Expense) -> None:
    assert not lacks_receipt(allowance, terms())


NOT_BILLED: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("the worker says so", {"billable": False}, {}, "reported as not billable"),
    ("not a category of the contract", {}, {"billable": ("taxi",)}, "category hotel is not billed"),
]


@pytest.mark.parametrize(("facts", "changes", "why"), [n[1:] for n in NOT_BILLED], ids=[n[0] for n in NOT_BILLED])
def test_what_is_not_billed_keeps_its_cost_and_says_why(
    facts: dict[str, Any], changes: dict[str, Any], why: str
) -> None:
    found = price_expense(expense(receipt_ref="", **facts), terms(**changes), "GBP")
    assert (found.cost, found.markup, found.net, found.billable, found.hold) == (
        Decimal("240.00"),
        ZERO,
        ZERO,
        False,
        "",
    )
    assert why in found.trace["reason"]


def test_a_disbursement_is_passed_on_as_it_was() -> None:
    court = expense(category="court_fee", tax_recoverable=True, personal="40.00")
    found = price_expense(court, terms(disbursements=("court_fee",)), "GBP")
    assert (found.cost, found.net, found.disbursement) == (Decimal("200.00"), Decimal("200.00"), True)
    assert not price_expense(expense(), terms(disbursements=("court_fee",)), "GBP").disbursement
    with pytest.raises(BadInput, match="hotel is a disbursement and has a markup of 10 %"):
        price_expense(expense(), terms(disbursements=("hotel",)), "GBP")


FX = rows("""
| type    | card rate | looked up | fixed  | net    | source                 |
| ecb     | -         | 0.8600    | -      | 86.00  | ECB                    |
| ecb     | 0.8700    | 0.8600    | -      | 86.00  | ECB                    |
| card    | 0.8700    | 0.8600    | -      | 87.00  | card settlement        |
| card    | -         | 0.8600    | -      | 86.00  | ECB                    |
| fixed   | 0.8700    | -         | 0.9    | 90.00  | agreed in the contract |
""")


@pytest.mark.parametrize("row", FX, ids=lambda row: f"{row['type']} {row['card rate']} {row['looked up']}")
def test_which_exchange_rate_an_expense_has(row: dict[str, str]) -> None:
    policy = {"rate_type": row["type"], "fixed_rate": None if row["fixed"] == "-" else row["fixed"]}
    card = None if row["card rate"] == "-" else row["card rate"]
    abroad = expense(category="taxi", currency="EUR", gross="100.00", tax="0", card_rate=card)
    rate = None if row["looked up"] == "-" else EURO
    found = price_expense(abroad, terms(fx=policy), "GBP", rate)
    assert (found.cost, found.net, found.trace["fx_source"]) == (Decimal("100.00"), number(row["net"]), row["source"])


LOOKED_UP = rows("""
| type | expense date | net    | source |
| ecb  | 2026-03-10   | 86.00  | ECB    |
| ecb  | 2026-03-14   | 86.00  | ECB    |
| card | 2026-03-10   | 86.00  | ECB    |
""")


@pytest.mark.parametrize("row", LOOKED_UP, ids=lambda row: f"{row['type']} {row['expense date']}")
def test_a_rate_is_looked_up_for_the_day_of_the_expense(row: dict[str, str]) -> None:
    abroad = expense(category="taxi", currency="EUR", gross="100.00", tax="0", expense_date=row["expense date"])
    found = price_expense(
        abroad, terms(fx={"rate_type": row["type"], "date_rule": "expense_date"}), "GBP", FxTable([EURO])
    )
    assert (found.net, found.trace["fx_source"], found.trace["fx_date"]) == (number(row["net"]), "ECB", "2026-03-10")
    with pytest.raises(NeedsDecision, match="no ecb rate from EUR to GBP"):
        price_expense(abroad, terms(), "GBP", FxTable([]))


def test_a_plain_rate_will_do() -> None:
    abroad = expense(category="taxi", currency="EUR", gross="100.00", tax="0")
    assert price_expense(abroad, terms(), "GBP", Decimal("0.5")).net == Decimal("50.00")


def test_an_expense_abroad_without_a_rate_is_a_case_with_its_money() -> None:
    with pytest.raises(NeedsDecision) as stopped:
        price_expense(expense(currency="EUR"), terms(), "GBP")
    case = stopped.value
    assert (case.exception, case.queue, case.money) == ("EX-FX-RATE", "finance-master-data", (Decimal("240.00"), "EUR"))
    asked = {"from": "EUR", "to": "GBP", "rate_type": "ecb", "day": "2026-03-10"}
    assert case.context == {"expense": "exp:X-1", **asked}


def test_a_rate_of_another_pair_and_a_dead_currency_are_refused() -> None:
    with pytest.raises(BadInput, match="a rate from EUR to GBP is none from USD"):
        price_expense(expense(currency="USD"), terms(), "GBP", EURO)
    with pytest.raises(BadInput, match="HRK was replaced by EUR on 2023-01-01"):
        price_expense(expense(currency="HRK"), terms(), "GBP", Decimal("0.1"))
    old = expense(currency="HRK", expense_date="2022-12-30", category="taxi", gross="100.00", tax="0")
    assert price_expense(old, terms(), "GBP", Decimal("0.1")).net == Decimal("10.00")


cents = st.integers(0, 10**7).map(lambda n: Decimal(n) / 100)


@given(cents, cents, cents, st.booleans(), st.integers(0, 5000).map(lambda n: Decimal(n) / 100))
def test_a_price_is_base_and_markup_and_never_more_than_was_spent(
    gross: Decimal, tax: Decimal, own: Decimal, recovers: bool, percent: Decimal
) -> None:
    one = expense(gross=gross, tax=min(tax, gross), personal=min(own, gross), tax_recoverable=recovers)
    found = price_expense(one, terms(markup_percent={"hotel": percent}), "GBP")
    assert found.net == found.base + found.markup == found.quantity * found.unit_price
    assert found.net >= found.base == found.cost
    assert ZERO <= found.cost <= one.gross - one.personal
    assert recovers or found.cost == one.gross - one.personal
