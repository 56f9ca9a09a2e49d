"""Hours lent between entities: revenue here is cost there, once; a correction mirrors the charge and charges anew."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from isthmus.app.controls import audit
from isthmus.domain.journals import Journal
from isthmus.domain.lending import LendingAgreement, LentHours
from isthmus.store.records import QuietDecision
from tests.processes.hub import ENTITY, Hub, contract, entry
from tests.processes.test_deposits import journals

UK = ENTITY.model_copy(update={"code": "UK01", "name": "Narrows Consulting Ltd"})
APRIL = datetime(2026, 4, 1, tzinfo=UTC)


def lent(price: dict[str, Any], *hours: str) -> Hub:
    """US01 has the contract; ann is UK01's."""
    hub = Hub()
    hub.set_up(contract(caps=()))
    with hub.store.transaction() as tx:
        tx.insert(UK)
        facts = {"agreement_no": "L-1", "lender": "UK01", "borrower": "US01", "people": ("ann",), "currency": "USD"}
        agreed = {
            "price": price,
            "effective_from": date(2026, 3, 1),
            "agreed_by": "finn",
            "recorded_at": hub.clock.now(),
        }
        tx.insert(LendingAgreement.model_validate({**facts, **agreed}))
    hub.capture(*(entry(n, h, day=2 + n, cost_rate=Decimal("70.00")) for n, h in enumerate(hours, start=1)))
    return hub


def charge(hub: Hub, name: str = "first") -> str:
    key = f"UK01>US01:2026-03:{name}"
    return str(hub.start("charge_between_entities", key, lender="UK01", borrower="US01", period="2026-03").state)


PRICES = [
    ({"kind": "fixed", "rate": "100.00"}, "1000.00"),
    ({"kind": "cost_plus", "percent": "8"}, "756.00"),
    ({"kind": "percent_of_bill_rate", "percent": "70"}, "1295.00"),
]


@pytest.mark.requirement("INV-21")
@pytest.mark.parametrize(("price", "amount"), PRICES, ids=[p["kind"] for p, _ in PRICES])
def test_ten_hours_are_revenue_of_the_lender_and_cost_of_the_borrower(price: dict[str, Any], amount: str) -> None:
    hub = lent(price, "8", "2")
    assert charge(hub) == "done"
    run = "UK01>US01:2026-03:first"
    assert journals(hub) == {
        f"lent/{run}/UK01/USD": [("intercompany_receivable", amount, "0"), ("intercompany_revenue", "0", amount)],
        f"lent/{run}/US01/USD": [("intercompany_cost", amount, "0"), ("intercompany_payable", "0", amount)],
    }
    assert [j.entity for j in hub.rows(Journal, order=("journal_no",))] == ["UK01", "US01"]
    charge(hub, "again")
    assert len(hub.rows(LentHours)) == 2 and len(journals(hub)) == 2, "charged once"
    assert audit(hub.kernel) == []


def test_a_corrected_hour_is_reversed_as_it_was_and_charged_anew() -> None:
    hub = lent({"kind": "percent_of_bill_rate", "percent": "70"}, "8", "2")
    charge(hub)
    hub.capture(entry(1, "6", day=3, approved_at=APRIL, cost_rate=Decimal("70.00")))
    charge(hub, "second")
    told = [(c.charge_id, c.quantity, c.amount) for c in hub.rows(LentHours, source_key="psa:1", order=("charge_id",))]
    assert told == [
        ("psa:1#1", Decimal(8), Decimal("1036.00")),
        ("psa:1#1/reversed", Decimal(-8), Decimal("-1036.00")),
        ("psa:1#2", Decimal(6), Decimal("777.00")),
    ]
    assert journals(hub)["lent/UK01>US01:2026-03:second/UK01/USD"] == [
        ("intercompany_revenue", "259.00", "0"),
        ("intercompany_receivable", "0", "259.00"),
    ]
    assert audit(hub.kernel) == []


@pytest.mark.parametrize("moved", [{"project_code": "P-K-2"}, {"person": "bob"}], ids=["project", "person"])
def test_hours_that_are_lent_no_more_are_reversed_and_not_charged_anew(moved: dict[str, Any]) -> None:
    hub = lent({"kind": "fixed", "rate": "100.00"}, "8", "2")
    hub.set_up(contract(contract_no="K-2", entity="UK01", caps=()))
    charge(hub)
    hub.capture(entry(1, "8", day=3, approved_at=APRIL, **moved))
    charge(hub, "second")
    told = [(c.charge_id, c.amount) for c in hub.rows(LentHours, source_key="psa:1", order=("charge_id",))]
    assert told == [("psa:1#1", Decimal("800.00")), ("psa:1#1/reversed", Decimal("-800.00"))]
    charge(hub, "third")
    assert len(hub.rows(LentHours)) == 3 and audit(hub.kernel) == []


def test_hours_that_were_moved_away_in_time_are_never_charged() -> None:
    hub = lent({"kind": "fixed", "rate": "100.00"}, "8")
    hub.set_up(contract(contract_no="K-2", entity="UK01", caps=()))
    hub.capture(entry(1, "8", day=3, approved_at=APRIL, project_code="P-K-2"))
    charge(hub)
    assert hub.rows(LentHours) == []


def test_a_correction_waits_until_both_books_have_the_charge() -> None:
    hub = lent({"kind": "fixed", "rate": "100.00"}, "8")
    del hub.systems.by_port["JournalBook"]
    charge(hub)
    hub.capture(entry(1, "6", day=3, approved_at=APRIL, cost_rate=Decimal("70.00")))
    charge(hub, "second")
    assert len(hub.rows(LentHours)) == 1
    assert "the correction waits" in [q.reason for q in hub.rows(QuietDecision)][-1]


def test_a_price_that_comes_to_nothing_is_a_case() -> None:
    hub = lent({"kind": "cost_plus", "percent": "8"})
    hub.capture(entry(1, "8"))
    assert charge(hub) == "parked" and hub.case().exception == "EX-TRANSFER-PRICE"
    assert not hub.rows(LentHours)


@pytest.mark.requirement("INV-21")
def test_the_audit_finds_a_charge_that_only_one_side_has() -> None:
    hub = lent({"kind": "fixed", "rate": "100.00"}, "8")
    charge(hub)
    with hub.store.transaction() as tx:
        journal = tx.get(Journal, "lent/UK01>US01:2026-03:first/US01/USD")
        assert journal is not None
        half = tuple(
            line.model_copy(update={"debit": line.debit / 2, "credit": line.credit / 2}) for line in journal.lines
        )
        tx.update(journal.model_copy(update={"lines": half}))
    assert [(f.control, f.amount) for f in audit(hub.kernel)] == [("INV-21", Decimal("400.00"))]
