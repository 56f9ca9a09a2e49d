"""What a careful biller stops at before an invoice is approved."""

# A table is read row by row: its rows stay on one line each.
# ruff: noqa: E501

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from isthmus.domain.objects import BillableItem, Invoice
from isthmus.policies.anomalies import CHECKS, Anomaly, Habits, Review, find_anomalies
from tests.policies.builders import day, invoice

TODAY = day("2026-04-02")


def item(item_id: str = "E-1#1", hours: str = "8", price: str = "185.00", **facts: Any) -> BillableItem:
    """Eight hours of Ada on 9 March at the price her trace says."""
    net = str(Decimal(hours) * Decimal(price))
    rest = {
        "source_key": item_id.split("#")[0],
        "revision": 1,
        "contract_no": "C-1",
        "contract_version": 1,
        "line_uid": "L1",
        "project_code": "P-C-1",
        "person": "ada",
        "service_date": "2026-03-09",
        "entry_quantity": hours,
        "entry_net": net,
        "quantity": hours,
        "net": net,
        "currency": "USD",
        "price_trace": {"rate": price},
    }
    return BillableItem.model_validate({"item_id": item_id, "unit_price": price, **rest, **facts})


def bill(net: str = "1480.00", **facts: Any) -> Invoice:
    """The draft under review."""
    return invoice("", net, invoice_id="draft", **facts)


def past(number: str, net: str, on: str = "2026-03-15", **facts: Any) -> Invoice:
    return invoice(number, net, issue_date=day(on), **facts)


def told(found: list[Anomaly]) -> list[tuple[str, str]]:
    return [(a.check, a.reason) for a in found]


TRACE = {"price_trace": {"rate": "195.00"}}
CASES: list[tuple[str, dict[str, Any], list[tuple[str, str]]]] = [
    ("an invoice like any other", {"items": [item()], "history": [past("INV-1", "1480.01")]}, []),
    # -- rates
    ("a price that was changed by hand", {"items": [item(**TRACE)]}, [("rate_differs", "ada on 2026-03-09: billed at 185.00, the contract says 195.00; that is 80.00 USD too little")]),
    ("a price above the card of today", {"items": [item()], "card": {"E-1#1": Decimal("180.00")}}, [("rate_differs", "ada on 2026-03-09: billed at 185.00, the contract says 180.00; that is 40.00 USD too much")]),
    ("the card of today before the trace", {"items": [item(**TRACE)], "card": {"E-1#1": Decimal("185.00")}}, []),
    ("overtime is the rate times its multiplier", {"items": [item(price="277.50", price_trace={"rate": "185.00", "multiplier": "1.5"})]}, []),
    ("a converted price is its rate in the contract's currency", {"items": [item(price_trace={"rate": "185.00", "convert": {"from": "EUR", "bill_rate": "170.00"}})]}, []),
    ("fees have no rate", {"items": [item(source_type="milestone", **TRACE)]}, []),
    ("nor has what is not billable", {"items": [item(billable=False, **TRACE)]}, []),
    # -- days
    ("a full day and no more", {"items": [item("a#1", "16"), item("b#1", "8")]}, []),
    ("25 hours of one person on one day", {"items": [item("a#1", "16"), item("b#1", "9")]}, [("long_day", "ada has 25 hours on 2026-03-09: a day has 24")]),
    ("of two persons", {"items": [item("a#1", "16"), item("b#1", "9", person="bob")]}, []),
    ("on two days", {"items": [item("a#1", "16"), item("b#1", "9", service_date="2026-03-10")]}, []),
    ("with hours on other contracts", {"items": [item("a#1", "16")], "hours_elsewhere": {("ada", day("2026-03-09")): Decimal("8.5")}}, [("long_day", "ada has 24.5 hours on 2026-03-09, 8.5 of them elsewhere: a day has 24")]),
    ("a correction replaces what it corrects", {"items": [item("a#1", "16"), item("a#2", "20", revision=2)]}, []),
    ("an entry that two payers share counts once", {"items": [item("a#1/A", "8", entry_key="a", raw_quantity="16"), item("a#1/B", "8", entry_key="a", raw_quantity="16")]}, []),
    ("raw hours count, not rounded ones", {"items": [item("a#1", "25", raw_quantity="23.9")]}, []),
    ("expenses have no hours", {"items": [item("a#1", "30", "1.00", source_type="expense")]}, []),
    # -- duplicates
    ("the same net a fortnight ago", {"history": [past("INV-1", "1480.00", "2026-03-20")]}, [("duplicate", "invoice INV-1 of 2026-03-20 is of 1,480.00 USD for CL-1 too")]),
    ("on the last suspicious day", {"history": [past("INV-1", "1480.00", "2026-02-16")]}, [("duplicate", "invoice INV-1 of 2026-02-16 is of 1,480.00 USD for CL-1 too")]),
    ("a day earlier is long ago", {"history": [past("INV-1", "1480.00", "2026-02-15")]}, []),
    ("another draft", {"history": [invoice("", "1480.00", invoice_id="other")]}, [("duplicate", "draft other is of 1,480.00 USD for CL-1 too")]),
    ("the same month's work again, of another month", {"history": [past("INV-1", "1480.00", period="2026-02")]}, []),
    ("the same net under another contract", {"history": [past("INV-1", "1480.00", "2026-03-20", contract_no="K-9")]}, [("same_net", "invoice INV-1 of 2026-03-20 is of 1,480.00 USD for CL-1 too")]),
    ("the other payer's half", {"history": [past("INV-1", "1480.00", bill_to="CL-7")]}, []),
    ("the draft itself", {"history": [bill()]}, []),
    ("another client's", {"history": [past("INV-1", "1480.00", client_no="CL-2")]}, []),
    ("another currency", {"history": [past("INV-1", "1480.00", currency="EUR")]}, []),
    ("its credit", {"history": [past("INV-1", "1480.00", kind="credit")]}, []),
    # -- prices of nothing
    ("work for nothing", {"items": [item(price="0")]}, [("zero_price", "ada on 2026-03-09: 8 for nothing")]),
    ("hours that a fee pays", {"items": [item(price="0")], "included": ("L1",)}, []),
    ("work that nobody charges for", {"items": [item(price="0", billable=False)]}, []),
    ("a price correction without a price of its own", {"items": [item(hours="0", price="0", net="-80.00")]}, []),
    # -- negative
    ("a negative invoice", {"invoice": bill("-160.00")}, [("negative_invoice", "the invoice is of -160.00 USD: it should be a credit, or wait to be netted")]),
    ("a credit is negative", {"invoice": bill("-160.00", kind="credit")}, []),
    ("nothing is not negative", {"invoice": bill("0.00")}, []),
    # -- size
    ("three times the usual", {"invoice": bill("3000.00"), "history": [past(n, "1000.00", "2025-12-01") for n in "abc"]}, []),
    ("more than that", {"invoice": bill("4200.00"), "history": [past(n, "1000.00", "2025-12-01") for n in "abc"]}, [("unusually_large", "the invoice of 4,200.00 USD is 4.2 times the usual 1,000.00 USD (median of 3) of CL-1")]),
    ("two invoices are no history", {"invoice": bill("9000.00"), "history": [past(n, "1000.00", "2025-12-01") for n in "ab"]}, []),
    ("one large one before does not make it usual", {"invoice": bill("9000.00"), "history": [past("a", "9000.00", "2025-01-01"), *(past(n, "1000.00", "2025-12-01") for n in "bcd")]}, [("unusually_large", "the invoice of 9,000.00 USD is 9.0 times the usual 1,000.00 USD (median of 4) of CL-1")]),
    ("what came to nothing is no history", {"invoice": bill("9000.00"), "history": [past("a", "0.00"), *(past(n, "1000.00", "2025-12-01") for n in "bc")]}, []),
    ("credits are no history", {"invoice": bill("9000.00"), "history": [past("a", "-1000.00", kind="credit"), *(past(n, "1000.00", "2025-12-01") for n in "bc")]}, []),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_what_is_unusual(facts: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    review = Review(**{"invoice": bill(), "items": [], "on": TODAY, **facts})
    assert told(find_anomalies(review)) == expected


def test_several_are_told_in_the_order_of_the_checks_with_their_money() -> None:
    review = Review(bill("-5.00"), [item("a#1", "20", **TRACE), item("b#1", "5", "0")], TODAY, [past("INV-1", "-5.00")])
    found = find_anomalies(review)
    assert [a.check for a in found] == ["rate_differs", "long_day", "duplicate", "zero_price", "negative_invoice"]
    assert [a.amount for a in found] == [200, 0, 5, 0, 5]
    assert found[0].about == ("a#1",) and found[1].about == ("ada", "2026-03-09")


def test_habits_are_the_firms() -> None:
    habits = Habits(duplicate_days=5, times_median=Decimal(2), least_history=1)
    review = Review(bill("2100.00"), [], TODAY, [past("INV-1", "2100.00"), past("INV-2", "0.01")], habits=habits)
    assert told(find_anomalies(review)) == []
    strict = Review(bill("2100.01"), [], TODAY, [past("INV-2", "1050.00")], habits=habits)
    assert [a.check for a in find_anomalies(strict)] == ["unusually_large"]


def test_every_check_has_a_case() -> None:
    shown = {check for *_, expected in CASES for check, _ in expected}
    assert len(shown) == len(CHECKS) + 1  # duplicates tells two things
