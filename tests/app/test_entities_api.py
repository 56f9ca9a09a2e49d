"""Between legal entities over HTTP: lending agreements, charges, and thresholds to register for tax."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from isthmus.domain.lending import LentHours, TaxThreshold
from isthmus.domain.objects import LegalEntity
from tests.app.stage import Stage, an_entry, problem_of

AGREED: dict[str, Any] = {
    "agreement_no": "L-1",
    "lender": "UK09",
    "borrower": "US01",
    "people": ["ann"],
    "price": {"kind": "percent_of_bill_rate", "percent": "70"},
    "currency": "USD",
    "effective_from": "2026-03-01",
}
MARCH = {"lender": "UK09", "borrower": "US01", "period": "2026-03", "name": "first"}


def two_entities(stage: Stage) -> None:
    """US01 with a contract and 8 h of ann; UK09, whose person ann is."""
    stage.set_up()
    stage.record(an_entry(1))
    with stage.hub.store.transaction() as tx:
        own = tx.get(LegalEntity, "US01")
        assert own is not None
        tx.put(own.model_copy(update={"code": "UK09", "name": "Narrows Consulting Ltd"}))


def test_hours_are_charged_by_agreement(stage: Stage) -> None:
    two_entities(stage)
    agreed = stage.post("/v1/lending-agreements", AGREED, by="finn")
    assert agreed.status_code == 201 and agreed.json()["agreed_by"] == "finn"
    started = stage.post("/v1/intercompany-charges", MARCH, by="finn")
    assert started.json()["run_id"] == "charge_between_entities/UK09>US01:2026-03:first"
    stage.go()
    assert [charge.amount for charge in stage.rows(LentHours)] == [Decimal("1036.00")]


WRONG = [
    ("/v1/lending-agreements", {**AGREED, "lender": "US01"}, 422, "lends to itself"),
    ("/v1/lending-agreements", {**AGREED, "borrower": "XX99"}, 404, "XX99"),
    ("/v1/lending-agreements", {**AGREED, "people": []}, 422, "people"),
    ("/v1/intercompany-charges", {**MARCH, "lender": "US01"}, 422, "lends to itself"),
    ("/v1/intercompany-charges", {**MARCH, "period": "2026-13"}, 422, "period"),
    ("/v1/tax-thresholds", {"entity": "US01", "state": "NY"}, 422, "neither an amount nor a number"),
]


@pytest.mark.parametrize(("path", "body", "status", "why"), WRONG, ids=[f"{w[0]} {w[3]}" for w in WRONG])
def test_what_cannot_be_is_refused_by_name(
    stage: Stage, path: str, body: dict[str, Any], status: int, why: str
) -> None:
    two_entities(stage)
    by = "tara" if "tax" in path else "finn"
    assert why in str(problem_of(stage.post(path, body, by=by), status))


def test_a_threshold_is_kept_by_the_tax_desk_and_its_standing_shown(stage: Stage) -> None:
    two_entities(stage)
    body = {"entity": "US01", "state": "NY", "amount": "2000.00"}
    problem_of(stage.post("/v1/tax-thresholds", body, by="finn"), 403)
    assert stage.post("/v1/tax-thresholds", body, by="tara").status_code == 201
    stage.bill()
    stage.go()
    (row,) = stage.rows(TaxThreshold)
    assert row.kept_by == "tara"
    (shown,) = stage.get("/v1/entities/US01/tax-thresholds").json()["thresholds"]
    assert (shown["state"], shown["amount"], shown["percent"], shown["level"]) == ("NY", "1480.00", "74.0", "below")
