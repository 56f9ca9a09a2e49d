"""SC-12: exactly once under timeouts, duplicates and a crash. From outside, read back from the systems and the API."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from benchmarks.bed import bed
from tests.scenarios.outside import Outside, days_ago, entry

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("scenarios"), pytest.mark.timeout(300)]
HOURS = ("12", "8", "6.5", "5.5")
HEADER = "source_entry_id,project_code,task_code,person,role,service_date,hours,note,approved_by,approved_at"


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    with bed() as made:
        made.start_sandboxes()
        one = Outside(made, "sc12")
        one.start_hub()
        yield one
        one.end()


def nightly_file(entries: list[dict[str, Any]]) -> bytes:
    """The same entries as the PSA's nightly export, with control totals."""
    names = ("source_id", "project_code", "task_code", "person", "role", "service_date", "hours", "note", "approved_by")
    rows = [",".join([*(e[n] for n in names), e["approved_at"]]) for e in entries]
    total = sum(Decimal(e["hours"]) for e in entries)
    return "\n".join([HEADER, *rows, f"#TOTAL,{len(rows)},{total}"]).encode()


@pytest.mark.requirement("SC-12", "WF-44", "EXC-06", "INV-19")
def test_exactly_once_under_timeouts_duplicates_and_a_crash(outside: Outside) -> None:
    outside.sign_contract("K-SC12", [("L1", "Architect II", "201.00")])
    work: list[tuple[date, str]] = [(days_ago(10 - n), hours) for n, hours in enumerate(HOURS)]
    ids = outside.record_time("K-SC12", "L1", work)
    entries = [
        entry(i, "P-K-SC12", "L1", day, hours, n) for n, (i, (day, hours)) in enumerate(zip(ids, work, strict=True))
    ]

    # The approval is announced three times: two in parallel, one late and out of order; then the nightly file comes.
    with ThreadPoolExecutor(2) as both:
        answers = list(both.map(lambda _: outside.webhook("approval-1", entries), range(2)))
    assert [a.status_code for a in answers] == [202, 202]
    assert answers[0].json() == answers[1].json(), "the same answer to both"
    late = outside.webhook("approval-0", list(reversed(entries)))
    assert late.status_code == 202
    taken = outside.post(
        "/v1/files/time?connection=kantata",
        None,
        by="ines",
        content=nightly_file(entries),
        headers={"content-type": "text/csv"},
    )
    assert taken.status_code == 202, taken.text

    def ready() -> bool:
        rows = outside.get("/v1/billable-parts?contract=K-SC12&state=ready")["items"]
        return sum((Decimal(r["net"]) for r in rows), Decimal(0)) == Decimal("6432.00")

    outside.until("6,432.00 ready", ready)
    outside.until("cost in the ERP", lambda: len(outside.state("netsuite", "timeBill")) == 4)

    # The tax engine answers too late, the ERP commits and is silent; the hub is killed meanwhile.
    outside.bed.control(
        "avalara", "faults", {"kind": "timeout_after_commit", "method": "POST", "path": "transactions/create"}
    )
    silent = {"kind": "timeout_after_commit", "method": "PUT", "path": "/record/v1/invoice/eid", "seconds": 20}
    outside.bed.control("netsuite", "faults", silent)
    asked = {"contract_no": "K-SC12", "cutoff": days_ago(0).isoformat(), "name": "month"}
    first, again = (outside.post("/v1/billing-runs", asked, by="ana", key="billing-1") for _ in range(2))
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    other = outside.post("/v1/billing-runs", {**asked, "name": "other"}, by="ana", key="billing-1")
    assert other.status_code == 422, "the same key with another body is refused"
    outside.until("the ERP has it", lambda: outside.state("netsuite", "invoice"))
    outside.kill_hub()
    outside.start_hub()
    outside.run("bill_contract/K-SC12:month", "done")
    outside.webhook("approval-1", entries)

    invoice = outside.state("netsuite", "invoice")
    assert [Decimal(str(i["total"])) for i in invoice] == [Decimal("7002.84")]
    documents = [d for d in outside.state("avalara", "transactions") if d["status"] == "Committed"]
    assert [Decimal(str(d["totalTax"])) for d in documents] == [Decimal("570.84")]
    assert len(outside.state("avalara", "transactions")) == 1
    assert len(outside.state("kantata", "invoices")) == 1, "written back once"

    # The issued event is delivered a second time.
    twice = {"subscriber": "stages", "aggregate": "invoice:K-SC12:month", "reason": "delivered twice"}
    assert outside.post("/v1/replays", twice, by="ines").json()["count"] >= 1
    (owed,) = outside.get("/v1/invoices")["items"]
    assert owed["open"] == "7002.84"
    invoiced = outside.get("/v1/billable-parts?contract=K-SC12&state=invoiced")["items"]
    assert (len(invoiced), sum(Decimal(p["net"]) for p in invoiced)) == (4, Decimal("6432.00"))

    remote = invoice[0]
    paid = {
        "customer": {"id": remote["entity"]["id"]},
        "payment": 7002.84,
        "currency": {"id": "1"},
        "tranDate": days_ago(0).isoformat(),
        "apply": [{"doc": {"id": str(remote["id"])}, "apply": True, "amount": 7002.84}],
    }
    outside.bed.control("netsuite", "seed", {"customerPayment": [paid]})
    outside.until("paid", lambda: outside.get("/v1/invoices")["items"][0]["settlement"] == "paid")

    issued = outside.get("/v1/invoices")["items"]
    assert [(i["net"], i["tax"], i["total"], i["open"]) for i in issued] == [("6432.00", "570.84", "7002.84", "0.00")]
    assert issued[0]["number"].endswith("-00001")
    kept = outside.get("/v1/time-entries?project=P-K-SC12")["items"]
    assert len(kept) == 4, "\n".join(map(str, kept))
    assert len(outside.state("netsuite", "timeBill")) == 4
    effects = {e["verb"]: e for e in outside.get("/v1/effects?run=bill_contract/K-SC12:month")["items"]}
    assert effects["Erp.post_invoice"]["lookups"] >= 1
    assert effects["Erp.post_invoice"]["state"] == "found"
    journey = outside.get(f"/v1/journeys/{issued[0]['number']}")
    assert "contract:K-SC12" in str(journey)

    outside.record_time("K-SC12", "L1", [(days_ago(1), "1")])
    outside.until("one more hour", lambda: outside.get("/v1/billable-parts?contract=K-SC12&state=ready")["items"])
    assert outside.post("/v1/billing-runs", {**asked, "name": "next"}, by="ana").status_code == 202
    outside.run("bill_contract/K-SC12:next", "done")
    numbers = sorted(i["number"][-6:] for i in outside.get("/v1/invoices")["items"])
    assert numbers == ["-00001", "-00002"], "the next number is one more"
