"""The whole journey behind any key, and everything in numbers."""

from __future__ import annotations

import pytest

from isthmus.store.records import CrossReference, Effect, EffectState
from tests.app.stage import Stage, an_entry, money, problem_of


@pytest.fixture
def paid(stage: Stage) -> Stage:
    """One contract from signature to the money."""
    stage.set_up()
    stage.record(an_entry(1))
    stage.bill()
    stage.go()
    data = {"source_id": "9", "client_no": "C-1", "amount": "1611.35", "currency": "USD", "value_date": "2026-04-01"}
    content = {"type": "payment.received", "schema_version": 1, "data": data}
    assert stage.webhook("erp", content, "msg_pay").status_code == 202
    stage.go()
    return stage


KEYS = {
    "K-1": "contract",
    "contract:K-1": "correlation id",
    "K-1@1": "contract version",
    "P-K-1": "project",
    "C-1": "client",
    "US01-INV-2026-00001": "invoice number",
    "K-1:2026-03": "invoice",
    "kantata:1": "time entry",
    "kantata:1#1": "evidence",
    "kantata:1#1/1": "billable part",
    "bill_contract/K-1:2026-03": "run",
    "netsuite:9": "payment",
    "invoice-1": "id in another system",
    "P-K-1:L1": "effect",
}


@pytest.mark.parametrize("key", KEYS)
def test_any_key_leads_to_the_whole_journey(paid: Stage, key: str) -> None:
    journey = paid.get(f"/v1/journeys/{key.replace('#', '%23')}").json()
    assert KEYS[key] in journey["found_as"]
    assert "contract:K-1" in journey["correlation_ids"]
    assert [v["contract_no"] for v in journey["contracts"]] == ["K-1"]
    processes = [run["process"] for run in journey["runs"]]
    assert sorted(processes) == ["bill_contract", "capture_time", "contract_to_project", "invoice_to_cash"]
    systems = {e["connection"] for e in journey["effects"]}
    assert systems == {"crm", "psa", "erp", "tax"}
    assert [i["settlement"] for i in journey["invoices"]] == ["paid"]
    assert [p["source_id"] for p in journey["payments"]] == ["9"]
    assert journey["truncated"] == []


def test_a_journey_tells_steps_effects_events_and_messages(paid: Stage) -> None:
    journey = paid.get("/v1/journeys/K-1").json()
    billing = next(run for run in journey["runs"] if run["process"] == "bill_contract")
    issue = next(s for s in billing["steps"] if s["phrase"] == "Issue the invoice under its number")
    assert (issue["amount"], issue["currency"]) == ("1611.35", "USD") and "US01-INV-2026-00001" in issue["summary"]
    posted = next(e for e in journey["effects"] if e["verb"] == "Erp.post_invoice")
    assert (posted["external_id"], posted["state"], posted["lookups"]) == ("invoice-1", "done", 0)
    assert posted["amount"] == "1611.35"
    taxed = next(e for e in journey["effects"] if e["verb"] == "TaxEngine.calculate")
    assert taxed["external_id"] == "K-1:2026-03"
    assert {"contract.approved", "invoice.posted"} <= {e["type"] for e in journey["events"]}
    assert {"time:kantata:1"} == {m["aggregate"] for m in journey["messages"]}
    assert all("raw" not in m for m in journey["messages"])


def test_a_stuck_entry_is_found_before_it_is_evidence(stage: Stage) -> None:
    stage.record(an_entry(1, project_code="P-NO"))
    for key in ("kantata:1", "CASE-00001"):
        journey = stage.get(f"/v1/journeys/{key}").json()
        (case,) = journey["cases"]
        assert case["exception"] == "EX-UNKNOWN-PROJECT"
    assert "case" in stage.get("/v1/journeys/CASE-00001").json()["found_as"]


def test_nothing_is_known_under_a_strange_key(paid: Stage) -> None:
    for key in ("nothing", "K-1@9", "K-1@x", "@", "K-1@99999999999999999999", "K-1@²"):
        problem_of(paid.get(f"/v1/journeys/{key}"), 404)


# -- the summary ------------------------------------------------------------------------------------------------


def test_the_summary_adds_up(paid: Stage) -> None:
    paid.record(an_entry(2, "60", 4) | {"hours": "20"}, message_id="msg_2")
    told = paid.get("/v1/summary").json()
    assert told["contracts"] == {"active": 1}
    evidence = {e["state"]: (money(e["hours"]), money(e["net"]), e["currency"]) for e in told["evidence"]}
    assert evidence == {"invoiced": (8, 1480, "USD"), "ready": (20, 3700, "USD")}
    (invoices,) = told["invoices"]
    assert (invoices["issued"], invoices["posted"], invoices["paid"], invoices["drafts"]) == (1, 1, 1, 0)
    assert (money(invoices["total"]), money(invoices["open"])) == (money("1611.35"), 0)
    assert told["cases_open"] == {}
    posted = [e for e in told["effects"] if e["verb"] == "Erp.post_invoice"]
    assert posted == [{"connection": "erp", "verb": "Erp.post_invoice", "state": "done", "count": 1}]
    assert told["duplicates"] == []


@pytest.mark.requirement("EXC-10")
def test_a_thing_that_has_two_ids_over_there_is_told_as_a_duplicate(paid: Stage) -> None:
    with paid.hub.store.transaction() as tx:
        (posted,) = tx.find(Effect, verb="Erp.post_invoice")
        result = {**posted.result, "ref": {**posted.result["ref"], "external_id": "invoice-2"}}
        twin = {"effect_key": posted.effect_key + "-again", "result": result}
        tx.insert(posted.model_copy(update=twin))
        lost = {"effect_key": posted.effect_key + "-lost", "state": EffectState.IN_DOUBT, "result": None}
        tx.insert(posted.model_copy(update=lost))
    (duplicate,) = paid.get("/v1/summary").json()["duplicates"]
    assert duplicate["business_key"] == "US01-INV-2026-00001"
    assert sorted(duplicate["external_ids"]) == ["invoice-1", "invoice-2"]
    assert paid.rows(CrossReference)
