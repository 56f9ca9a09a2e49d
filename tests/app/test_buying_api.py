"""Bought-in work over HTTP: subcontracts, files of suppliers' bills, confirmation, release and what is kept back."""

from __future__ import annotations

from typing import Any

import pytest

from isthmus.app.controls import audit
from isthmus.app.journey import journey_of
from isthmus.domain.states import BillState
from isthmus.domain.subcontracting import PaidHours, Subcontract, SubcontractorBill
from isthmus.store.records import Case, InboxMessage, MessageState
from tests.app.stage import Stage, an_entry, problem_of

AGREED: dict[str, Any] = {
    "subcontract_no": "SC-1",
    "supplier": "SUBS",
    "project_code": "P-K-1",
    "currency": "USD",
    "rates": [{"person": "ann", "rate": "80.00", "effective_from": "2026-03-01"}],
}
HEADER = "bill_no,supplier,subcontract_no,bill_date,currency,person,from,to,hours,amount\n"
FILE = "/v1/files/subcontractor-bills"


def line(number: str = "B-7", hours: str = "8", amount: str = "640.00", **changes: str) -> str:
    cells = {"supplier": "SUBS", "subcontract": "SC-1", "currency": "USD", "person": "ann", **changes}
    told = f"{cells['supplier']},{cells['subcontract']},2026-03-31,{cells['currency']},{cells['person']}"
    return f"{number},{told},2026-03-01,2026-03-31,{hours},{amount}\n"


@pytest.fixture
def buying(stage: Stage) -> Stage:
    """A project with 8 h of ann, whom SUBS has sent."""
    stage.set_up()
    stage.record(an_entry(1))
    assert stage.post("/v1/subcontracts", AGREED, by="finn").status_code == 201
    return stage


def hand_in(stage: Stage, *lines: str, by: str = "ana", query: str = "") -> dict[str, Any]:
    answer = stage.post(
        FILE + query, by=by, content=(HEADER + "".join(lines)).encode(), headers={"content-type": "text/csv"}
    )
    assert answer.is_success, answer.text
    stage.go()
    return answer.json()  # type: ignore[no-any-return]


@pytest.mark.requirement("SYS-26")
def test_a_file_is_taken_confirmed_and_explained(buying: Stage) -> None:
    tried = hand_in(buying, line(), "#TOTAL,1,640.00\n", query="?dry_run=true")
    assert (tried["accepted"], tried["controlled"]) == (1, True) and not buying.rows(SubcontractorBill)
    taken = hand_in(buying, line(), "#TOTAL,1,640.00\n")
    assert (taken["accepted"], taken["detail"]["bills"], taken["to_decide"]) == (1, ["SUBS:B-7"], [])
    again = hand_in(buying, line(), "#TOTAL,1,640.00\n", by="bert")
    assert (again["accepted"], again["duplicates"]) == (0, 1)
    path = "/v1/subcontractor-bills/SUBS:B-7"
    body = {"reason": "she was here"}
    assert buying.post(f"{path}/confirm", body, by="ana").status_code == 403
    confirmed = buying.post(f"{path}/confirm", body, by="pia")
    assert confirmed.status_code == 200, confirmed.text
    buying.go()
    told = buying.get(path, by="finn").json()
    assert (told["bill"]["state"], told["bill"]["payable"], told["agrees"]) == ("payable", "640.00", True)
    (entry,) = told["lines"][0]["entries"]
    assert (entry["entry"], entry["rate"], entry["approved_by"]) == ("kantata:1", "80.00", "pia")
    assert told["external"] == ["erp bill bill-1"]
    shorn = buying.get(path, by="rita").json()
    assert shorn["bill"]["claims"] == [] and shorn["lines"][0]["entries"][0]["rate"] is None, "what people cost"
    assert shorn["lines"][0]["amount"] == "640.00" and shorn["agrees"]
    listed = buying.get("/v1/subcontractor-bills?supplier=SUBS&state=payable", by="finn").json()["items"]
    assert [one["bill_no"] for one in listed] == ["B-7"]
    assert problem_of(buying.post(f"{path}/confirm", body, by="pia"), 409)["detail"].endswith("no confirmation")
    assert audit(buying.hub.kernel) == []
    with buying.hub.store.transaction() as tx:
        journey = journey_of(tx, "B-7")
    assert [bill.bill_id for bill in journey.bills] == ["SUBS:B-7"] and journey.contracts[0].contract_no == "K-1"
    assert "pay_subcontractor" in {run.process for run in journey.runs}


REFUSED = [
    ("another currency", line(currency="EUR"), "currency", "is not USD, in which SC-1 is agreed"),
    ("another supplier", line(supplier="OTHER"), "supplier", "is not SUBS, with whom SC-1 is agreed"),
    ("no such subcontract", line(subcontract="SC-9"), "subcontract_no", "is no subcontract"),
    ("negative hours", line(hours="-8"), "hours", "different signs"),
]


@pytest.mark.parametrize(("bad", "column", "words"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_a_bill_that_fits_nothing_agreed_is_refused_by_name(buying: Stage, bad: str, column: str, words: str) -> None:
    report = hand_in(buying, bad, line("B-8"))
    (refused,) = report["rejected"]
    assert (refused["line"], refused["column"]) == (2, column) and words in refused["reason"]
    assert [bill.bill_no for bill in buying.rows(SubcontractorBill)] == ["B-8"]
    (kept,) = buying.rows(InboxMessage, kind="file.subcontractor_bills")
    assert kept.state is MessageState.QUARANTINED and words in kept.reason
    assert report["balance"]["refused"]["rows"] == 1


TO_DECIDE = [
    ("an unknown person", line(person="cy"), "8 h of cy, approved and not paid are 0"),
    ("too many hours", line(hours="9", amount="720.00"), "9 h of ann, approved and not paid are 8"),
]


@pytest.mark.parametrize(("bad", "words"), [t[1:] for t in TO_DECIDE], ids=[t[0] for t in TO_DECIDE])
def test_what_will_wait_for_a_person_is_told_at_the_door(buying: Stage, bad: str, words: str) -> None:
    (told,) = hand_in(buying, bad, query="?dry_run=true")["to_decide"]
    assert told["case"] == "EX-SUBCON-MATCH" and words in told["reason"]
    hand_in(buying, bad)
    (case,) = buying.rows(Case, exception="EX-SUBCON-MATCH")
    assert words in case.cause and case.queue == "procurement"


def test_the_same_content_under_another_number_is_told_and_never_paid(buying: Stage) -> None:
    hand_in(buying, line())
    (told,) = hand_in(buying, line("B-7a"), query="?dry_run=true")["to_decide"]
    assert "has the content of bill B-7" in told["reason"]
    other = hand_in(buying, line(hours="7", amount="560.00"))["rejected"][0]
    assert other["column"] == "bill_no" and "known with other content" in other["reason"]


def test_a_case_takes_a_second_person_to_let_it_pass(buying: Stage) -> None:
    hand_in(buying, line(hours="9", amount="720.00"))
    (case,) = buying.rows(Case, exception="EX-SUBCON-MATCH")
    forms = {one["form"]["action"]: one for one in buying.get(f"/v1/cases/{case.case_no}/form", by="finn").json()}
    assert [one["name"] for one in forms["accept"]["form"]["fields"]] == ["why"]
    assert forms["accept"]["second"] == "this always takes a second person"
    decided = {"action": "accept", "reason": "agreed", "values": {"why": "an hour of travel"}}
    answer = buying.post(f"/v1/cases/{case.case_no}/resolve", decided, by="finn")
    assert answer.status_code == 202, answer.text
    (bill,) = buying.rows(SubcontractorBill)
    assert bill.state is BillState.RECEIVED
    (proposal,) = buying.get("/v1/proposals?state=proposed", by="finn").json()["items"]
    own = buying.post(f"/v1/proposals/{proposal['proposal_no']}/approve", {"reason": "x"}, by="finn")
    assert own.status_code == 403


def test_totals_that_are_off_take_nothing_and_the_file_is_kept(buying: Stage) -> None:
    content = (HEADER + line() + "#TOTAL,1,641.00\n").encode()
    answer = buying.post(FILE, by="ana", content=content, headers={"content-type": "text/csv"})
    assert answer.status_code == 422 and "expected 1 rows and 641.00 amount" in answer.json()["detail"]
    assert not buying.rows(SubcontractorBill) and len(buying.rows(InboxMessage, kind="file.subcontractor_bills")) == 1


def test_a_subcontract_has_versions_and_keeps_whose_it_is(buying: Stage) -> None:
    assert buying.post("/v1/subcontracts", AGREED, by="finn").json()["version"] == 1, "the same again is no new one"
    more = {**AGREED, "rates": [{"person": "ann", "rate": "90.00", "effective_from": "2026-03-01"}]}
    assert buying.post("/v1/subcontracts", more, by="cora").json()["version"] == 2
    assert [row.version for row in buying.rows(Subcontract, order=("version",))] == [1, 2]
    hand_in(buying, line(amount="720.00"))
    buying.post("/v1/subcontractor-bills/SUBS:B-7/confirm", {"reason": "ok"}, by="pia")
    buying.go()
    assert [str(row.amount) for row in buying.rows(PaidHours)] == ["720.00"]


WRONG = [
    ({**AGREED, "supplier": "OTHER"}, 422, "is of supplier SUBS"),
    ({**AGREED, "subcontract_no": "SC-2", "project_code": "P-9"}, 404, "no project P-9"),
    ({**AGREED, "rates": []}, 422, "rates"),
    ({**AGREED, "retention": [{"until_percent": "50", "retain_percent": "10"}]}, 422, "ordered hours"),
]


@pytest.mark.parametrize(("body", "status", "why"), WRONG, ids=[w[2] for w in WRONG])
def test_what_cannot_be_agreed_is_refused_by_name(buying: Stage, body: dict[str, Any], status: int, why: str) -> None:
    assert why in str(problem_of(buying.post("/v1/subcontracts", body, by="finn"), status))


def test_a_bill_on_hold_is_released_by_two_persons(buying: Stage) -> None:
    assert buying.post("/v1/subcontracts", {**AGREED, "payment": "when_paid"}, by="finn").status_code == 201
    hand_in(buying, line())
    path = "/v1/subcontractor-bills/SUBS:B-7"
    ask = {"name": "need", "reason": "they are in need"}
    assert problem_of(buying.post(f"{path}/release", ask, by="finn"), 409)
    buying.post(f"{path}/confirm", {"reason": "ok"}, by="pia")
    buying.go()
    told = buying.get(path, by="finn").json()
    assert told["bill"]["payment_hold"] and told["waits_for"] == ["kantata:1: 1480.00 is ready, not invoiced"]
    assert buying.post(f"{path}/release", ask, by="ana").status_code == 202
    buying.go()
    (case,) = buying.rows(Case, exception="EX-SUBCON-RELEASE")
    decided = {"action": "approve", "reason": "they are"}
    assert buying.post(f"/v1/cases/{case.case_no}/resolve", decided, by="finn").status_code == 200
    buying.go()
    assert buying.get(path, by="finn").json()["bill"]["state"] == "payable"


def test_what_is_kept_back_is_paid_out_on_request(buying: Stage) -> None:
    terms = {"ordered_hours": "100", "retention": [{"until_percent": "100", "retain_percent": "10"}]}
    buying.post("/v1/subcontracts", {**AGREED, **terms}, by="finn")
    hand_in(buying, line())
    buying.post("/v1/subcontractor-bills/SUBS:B-7/confirm", {"reason": "ok"}, by="pia")
    buying.go()
    assert buying.get("/v1/subcontractor-bills/B-7", by="finn").json()["held"] == "64.00"
    asked = {"subcontract_no": "SC-1", "name": "end", "reason": "the project ends"}
    assert buying.post("/v1/retention-releases", {**asked, "subcontract_no": "SC-9"}, by="finn").status_code == 404
    assert buying.post("/v1/retention-releases", asked, by="ana").status_code == 202
    buying.go()
    (case,) = buying.rows(Case, exception="EX-SUBCON-RELEASE")
    assert buying.post(f"/v1/cases/{case.case_no}/resolve", {"action": "approve", "reason": "x"}, by="finn").is_success
    buying.go()
    told = buying.get("/v1/subcontractor-bills/SUBS:SC-1/end", by="finn").json()
    assert (told["bill"]["payable"], told["held"], told["bill"]["state"]) == ("64.00", "0.00", "payable")
    assert audit(buying.hub.kernel) == []
