"""SC-01: one entry straddles a hard cap; a change order; a write-off. To the cent, from outside."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import httpx
import pytest

from benchmarks.bed import bed
from tests.scenarios.outside import Outside, days_ago

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("scenarios"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    with bed() as made:
        made.start_sandboxes()
        one = Outside(made, "sc01")
        one.start_hub()
        yield one
        one.end()


def parts(outside: Outside) -> dict[str, tuple[Decimal, Decimal]]:
    """Net and hours per state, as the API tells them."""
    rows = outside.get("/v1/billable-parts?contract=K-SC01&limit=500")["items"]
    sums: dict[str, tuple[Decimal, Decimal]] = {}
    for row in rows:
        net, hours = sums.get(row["state"], (Decimal(0), Decimal(0)))
        sums[row["state"]] = (net + Decimal(row["net"]), hours + Decimal(row["quantity"]))
    sums.pop("superseded", None)
    return sums


def bill(outside: Outside, name: str) -> None:
    cutoff = days_ago(0).isoformat()
    asked = {"contract_no": "K-SC01", "cutoff": cutoff, "name": name}
    assert outside.post("/v1/billing-runs", asked, by="ana").status_code == 202
    outside.run(f"bill_contract/K-SC01:{name}", "done")


@pytest.mark.requirement("SC-01", "OBJ-07", "WF-31", "INV-04")
def test_an_entry_straddles_the_cap_a_change_order_and_a_write_off(outside: Outside) -> None:
    # Consumed 9,500.00: 50 h of a role at 190.00. Then 6 h at 185.00 against the 500.00 that are left.
    outside.sign_contract(
        "K-SC01", [("L1", "Software Engineer II", "190.00"), ("L2", "Architect II", "185.00")], cap="10000.00"
    )
    start = days_ago(30)
    outside.record_time("K-SC01", "L1", [(start + timedelta(days=n), "10") for n in range(5)], user="13")
    outside.until("9,500.00 ready", lambda: parts(outside).get("ready") == (Decimal("9500.00"), Decimal(50)))
    bill(outside, "before")
    outside.record_time("K-SC01", "L2", [(start + timedelta(days=10), "6")], user="14")
    outside.until("the entry is split", lambda: "over_cap" in parts(outside))
    assert parts(outside) == {
        "invoiced": (Decimal("9500.00"), Decimal("50")),
        "ready": (Decimal("500.00"), Decimal("2.7027")),
        "over_cap": (Decimal("610.00"), Decimal("3.2973")),
    }
    named = {r["cap_id"] for r in outside.get("/v1/billable-parts?contract=K-SC01&state=over_cap")["items"]}
    assert named == {"K-SC01:cap"}

    bill(outside, "one")
    order = {
        "contract_no": "K-SC01",
        "change_order": "CO-1",
        "cap_delta": "400.00",
        "accepted_on": days_ago(1).isoformat(),
        "evidence": "https://documents.example/CO-1",
    }
    accepted = outside.post("/v1/change-orders", order, by="pia")
    assert accepted.status_code == 202, accepted.text
    outside.run("change_order/K-SC01:CO-1", "done")
    assert parts(outside)["ready"] == (Decimal("400.00"), Decimal("2.1622"))
    assert parts(outside)["over_cap"] == (Decimal("210.00"), Decimal("1.1351"))
    bill(outside, "two")

    request = {"contract_no": "K-SC01", "amount": "210.00", "state": "over_cap", "name": "W-1", "reason": "goodwill"}
    asked = outside.post("/v1/write-offs", request, by="pia")
    assert asked.status_code == 202, asked.text
    outside.run("write_off/K-SC01:W-1", "parked")
    cases = {c["exception"]: c for c in outside.get("/v1/cases?state=open", by="finn")["items"]}
    assert {name: c["amount"] for name, c in cases.items()} == {"EX-WRITE-OFF": "210.00", "EX-CAP-REACHED": "210.00"}
    case = cases["EX-WRITE-OFF"]
    decision = {"action": "approve", "reason": "agreed", "values": {}}
    own = outside.post(f"/v1/cases/{case['case_no']}/resolve", decision, by="pia")
    assert own.status_code == 403, "who asks does not approve"
    assert outside.post(f"/v1/cases/{case['case_no']}/resolve", decision, by="finn").status_code == 200
    outside.run("write_off/K-SC01:W-1", "done")
    assert outside.get("/v1/cases?state=open", by="finn")["items"] == [], "nothing is over the cap any more"

    end = parts(outside)
    assert end == {
        "invoiced": (Decimal("10400.00"), Decimal("54.8649")),
        "written_off": (Decimal("210.00"), Decimal("1.1351")),
    }
    assert end["invoiced"][1] + end["written_off"][1] == Decimal("56.0000")
    invoices = outside.state("netsuite", "invoice")
    assert sorted(Decimal(str(i["subtotal"])) for i in invoices) == [
        Decimal("400.00"),
        Decimal("500.00"),
        Decimal("9500.00"),
    ]
    cost = [b for b in outside.state("netsuite", "timeBill") if "6:00" in str(b["hours"])]
    assert len(cost) == 1, "cost is on all 6 hours"
    contract = outside.get("/v1/contracts/K-SC01")
    assert Decimal(str(contract["revenue_recognisable"])) == Decimal("9500.00") + Decimal("900.00")
    (cap,) = contract["caps"]
    assert (Decimal(cap["limit"]), Decimal(cap["consumed"])) == (Decimal("10400.00"), Decimal("10400.00"))
    # The feed shows nothing younger than the oldest transaction still at work, so it may be a moment behind the books.
    outside.until("both turns of the cap are told, once each", lambda: turns_of_cap(outside) == (1, 1))
    seen = httpx.get(f"{outside.bed.served['netsuite'].url}/_control/log", timeout=30, trust_env=False).json()
    assert seen["concurrent_max"] <= 5, "the ERP's limit of parallel requests is never exceeded"


def turns_of_cap(outside: Outside) -> tuple[int, int]:
    """How often the feed tells that the cap was reached, and that it was raised."""
    types = [event["type"] for event in outside.get("/v1/events?limit=500")["events"]]
    return types.count("isthmus.cap.hard_reached.v1"), types.count("isthmus.cap.raised.v1")
