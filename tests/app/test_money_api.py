"""Billing over HTTP: hand in, readiness, holds, credits, disputes, periods, explanations; bad input is named."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from isthmus.domain.objects import (
    BillableItem,
    BillablePart,
    ContractLine,
    Dispute,
    Expense,
    FiledContract,
    Invoice,
    MilestoneStatus,
    UsageRecord,
)
from isthmus.domain.periods import FiscalPeriod, PeriodSnapshot
from isthmus.domain.states import DisputeState, InvoiceLife, PartState, PeriodState
from isthmus.domain.terms import BillingType, ExpenseTerms
from isthmus.processes import sweeps
from isthmus.store.records import Case, RunRow, RunState
from tests.app.stage import Stage, an_entry, money, problem_of
from tests.processes.hub import contract


def resolve(stage: Stage, exception: str, action: str, by: str, **values: Any) -> None:
    (case,) = stage.rows(Case, exception=exception, state="open")
    with stage.hub.store.transaction() as tx:
        stage.kernel.resolve(tx, case.case_no, action=action, actor=by, reason="test", values=values)
    stage.go()


def billed(stage: Stage) -> Invoice:
    """A contract with one invoice of 1,480.00."""
    stage.set_up()
    stage.record(an_entry(1))
    stage.bill()
    stage.go()
    return stage.rows(Invoice, life=InvoiceLife.ISSUED)[0]  # type: ignore[no-any-return]


def handed_in(**changes: Any) -> dict[str, Any]:
    return {"contract": contract(**changes).model_dump(mode="json")}


# -- handing in ------------------------------------------------------------------------------------------------


def test_a_contract_handed_in_is_set_up_and_a_later_version_amends_it(stage: Stage) -> None:
    first = stage.post("/v1/contract-versions", handed_in(), by="ines")
    assert first.status_code == 202 and first.json()["process"] == "contract_to_project"
    stage.go()
    line = contract().lines[0]
    dearer = line.rates[0].model_copy(update={"bill_rate": Decimal("190.00")})
    second = handed_in(version=2, lines=(line.model_copy(update={"rates": (dearer,)}),))
    stage.record(an_entry(1))
    tried = stage.post("/v1/contract-versions", {**second, "dry_run": True}, by="ines")
    assert [(c["was"], c["now"]) for c in tried.json()["changes"]] == [("1480.00", "1520.00")]
    assert stage.post("/v1/contract-versions", second, by="ines").json()["process"] == "amend_contract"
    stage.go()
    ready = [p.net for p in stage.rows(BillablePart, state=PartState.READY)]
    assert ready == [money("1520.00")], "what is not billed is priced by the amended terms"


def test_other_terms_under_a_version_that_is_known_are_refused(stage: Stage) -> None:
    stage.post("/v1/contract-versions", handed_in(), by="ines")
    told = problem_of(stage.post("/v1/contract-versions", handed_in(payment_terms="NET60"), by="ines"), 422)
    assert "hand in a new version" in told["detail"] and len(stage.rows(FiledContract)) == 1


def test_a_milestone_is_somebody_s_own_word_or_has_its_evidence(stage: Stage) -> None:
    """The name was the caller's to choose; who is logged in is kept beside it, whatever the message says."""
    stage.set_up()
    told = {"contract_no": "K-1", "line_uid": "L1", "number": 1, "at": "2026-03-04T18:00:00Z"}

    def report(by: str, **more: str) -> Any:
        facts = {"source": "tool", "source_id": "M1", "state": "accepted", "by": by, **told, **more}
        return stage.post("/v1/milestones", {"source": "tool", "milestones": [facts]}, by="pia")

    detail = problem_of(report("emma"), 422)["detail"]
    assert "accepted by emma" in detail and "pia who says so" in detail and "evidence" in detail
    assert report("emma", evidence="mail of 4 March", reported_by="emma").status_code == 202
    assert report(" PIA ", source_id="M2").status_code == 202
    assert report("emma", source_id="M3", state="in_progress").status_code == 202
    sweeps.drain_facts(stage.kernel)
    stage.go()
    kept = [(m.source_id, m.by, m.reported_by) for m in stage.rows(MilestoneStatus, order=("source_id",))]
    assert kept == [("M1", "emma", "pia"), ("M2", "PIA", "pia"), ("M3", "emma", "pia")]


def test_expenses_are_priced_by_their_terms_and_a_fact_of_another_source_is_refused(stage: Stage) -> None:
    line = ContractLine(
        line_uid="X1",
        description="Expenses",
        billing_type=BillingType.TM,
        tax_code="SERVICES",
        rates=contract().lines[0].rates,
        expenses=ExpenseTerms(markup_percent={"hotel": Decimal(10)}),
    )
    stage.post("/v1/contract-versions", handed_in(lines=(line,), caps=()), by="ines")
    stage.go()
    hotel = {
        "source": "tool",
        "source_id": "E1",
        "project_code": "P-K-1",
        "person": "ann",
        "category": "hotel",
        "expense_date": "2026-03-04",
        "gross": "240.00",
        "tax": "40.00",
        "tax_recoverable": True,
        "currency": "USD",
        "approved_by": "pia",
        "approved_at": "2026-03-05T10:00:00+00:00",
    }
    answer = stage.post("/v1/expenses", {"source": "tool", "expenses": [hotel]}, by="ines")
    assert answer.json() == {"received": 1, "new": 1}
    sweeps.drain_facts(stage.kernel)
    stage.go()
    assert [item.net for item in stage.rows(BillableItem)] == [money("220.00")]
    assert stage.post("/v1/expenses", {"source": "tool", "expenses": [hotel]}, by="ines").json()["new"] == 0
    problem_of(stage.post("/v1/expenses", {"source": "other", "expenses": [hotel]}, by="ines"), 422)
    problem_of(stage.post("/v1/expenses", {"source": "tool", "expenses": [{**hotel, "gross": "-1"}]}, by="ines"), 422)
    assert len(stage.rows(Expense)) == 1


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("progress", {"contract_no": "K-1", "line_uid": "L1", "as_of": "2026-03-04", "percent": "101"}, "0 to 100"),
        ("progress", {"contract_no": "K-1", "line_uid": "L9", "as_of": "2026-03-04", "percent": "10"}, "no line L9"),
        ("milestones", {"source": "psa", "milestones": []}, "milestones"),
    ],
    ids=["more than all", "unknown line", "nothing"],
)
def test_facts_that_cannot_be_are_refused(stage: Stage, path: str, body: dict[str, Any], told: str) -> None:
    stage.set_up()
    assert told in problem_of(stage.post(f"/v1/{path}", body, by="pia"), 422)["detail"]


def test_usage_needs_the_hash_of_its_evidence(stage: Stage) -> None:
    stage.set_up()
    record = {
        "contract_no": "K-1",
        "line_uid": "L1",
        "period_start": "2026-03-01",
        "period_end": "2026-03-31",
        "quantity": "10",
        "unit_price": "3.00",
        "evidence_ref": "meter",
        "evidence_hash": "no hash",
        "source": "meter",
        "source_id": "1",
    }
    assert "SHA-256" in problem_of(stage.post("/v1/usage", {"record": record}, by="ines"), 422)["detail"]
    good = {**record, "evidence_hash": "a" * 64}
    assert stage.post("/v1/usage", {"record": good}, by="ines").json() == {"received": 1, "new": 1}
    assert stage.post("/v1/usage", {"record": good}, by="ines").json() == {"received": 1, "new": 0}
    assert len(stage.rows(UsageRecord)) == 1


# -- readiness and holds ---------------------------------------------------------------------------------------


def test_readiness_tells_what_is_ready_what_waits_and_which_invoices_follow(stage: Stage) -> None:
    stage.set_up()
    stage.record(an_entry(1), an_entry(2, day=4))
    hold = {"contract_no": "K-1", "name": "H1", "reason": "CLIENT_REQUEST", "source_key": "kantata:1", "note": "asked"}
    assert stage.post("/v1/holds", hold, by="ana").status_code == 201
    told = stage.get("/v1/contracts/K-1/readiness?cutoff=2026-03-31", by="ana").json()
    assert [(w["state"], w["reason"], w["net"]) for w in told["waiting"]] == [("held", "CLIENT_REQUEST", "1480.00")]
    assert [(i["net"], i["parts"]) for i in told["invoices"]] == [("1480.00", 1)]
    ended = stage.post("/v1/holds/K-1/H1/release", {"reason": "agreed"}, by="ana")
    assert ended.json()["released_by"] == "ana"
    assert {p.state for p in stage.rows(BillablePart)} >= {PartState.READY}
    told = stage.get("/v1/contracts/K-1/readiness?cutoff=2026-03-31", by="ana").json()
    assert told["waiting"] == [] and told["invoices"][0]["net"] == "2960.00"


# -- after issue -----------------------------------------------------------------------------------------------


def test_a_credit_needs_another_person_and_is_bounded_by_the_line(stage: Stage) -> None:
    invoice = billed(stage)
    asked = {
        "invoice": invoice.number,
        "name": "C1",
        "lines": {"1": "480.00"},
        "reason": "concession",
        "note": "goodwill",
    }
    too_much = problem_of(stage.post("/v1/credits", {**asked, "lines": {"1": "1480.01"}}, by="ana"), 422)
    assert "more than the 1480.00" in too_much["detail"]
    assert stage.post("/v1/credits", asked, by="ana").status_code == 202
    stage.go()
    resolve(stage, "EX-CREDIT-REVIEW", "approve", "finn")
    (credit,) = stage.rows(Invoice, kind="credit")
    assert (credit.net, credit.number, credit.life) == (money("480.00"), "US01-CN-2026-00001", InvoiceLife.ISSUED)
    states = {str(p.state): p.net for p in stage.rows(BillablePart) if p.state is not PartState.SUPERSEDED}
    assert states == {"invoiced": money("1000.00"), "credited": money("480.00"), "written_off": money("480.00")}
    assert stage.rows(Invoice, kind="standard")[0].open == invoice.total - credit.total
    again = problem_of(stage.post("/v1/credits", {**asked, "name": "C2", "lines": {"1": "1000.01"}}, by="ana"), 422)
    assert "more than the 1000.00" in again["detail"]


def test_a_dispute_is_decided_and_what_is_rejected_is_collected_again(stage: Stage) -> None:
    invoice = billed(stage)
    asked = {"invoice": invoice.number, "name": "D1", "line": 1, "reason": "not agreed"}
    assert stage.post("/v1/disputes", asked, by="pia").status_code == 202
    stage.go()
    assert stage.rows(Invoice)[0].disputed == invoice.total
    resolve(stage, "EX-DISPUTE", "reject", "finn")
    (dispute,) = stage.rows(Dispute)
    assert (dispute.state, stage.rows(Invoice)[0].disputed) == (DisputeState.CLOSED, Decimal(0))


def test_a_line_is_explained_and_worked_out_again(stage: Stage) -> None:
    invoice = billed(stage)
    told = stage.get(f"/v1/invoices/{invoice.number}/explanation?line=1").json()
    part = told["lines"][0]["parts"][0]
    assert (told["agrees"], part["recomputed"], part["source"]["key"]) == (True, "1480.00", "kantata:1")
    assert (part["source"]["approved_by"], part["contract"]) == ("pia", "K-1@1")
    problem_of(stage.get(f"/v1/invoices/{invoice.number}/explanation?line=9"), 404)
    problem_of(stage.get("/v1/invoices/NONE/explanation"), 404)


# -- periods ---------------------------------------------------------------------------------------------------


def test_a_month_is_closed_once_it_is_over_and_opened_again_by_two_persons(stage: Stage) -> None:
    billed(stage)
    march = {"entity": "US01", "period": "2026-03", "name": "first"}
    stage.post("/v1/periods/close", march, by="cora")
    stage.go()
    assert stage.rows(RunRow, process="close_period")[0].state is RunState.PARKED, "March is not over yet"
    stage.clock.move(stage.clock.now().replace(month=4, day=3) - stage.clock.now())
    resolve(stage, "EX-INPUT", "retry", "cora")
    assert {p.state for p in stage.rows(FiscalPeriod)} == {PeriodState.CLOSED}
    assert stage.rows(PeriodSnapshot)[0].totals["revenue USD"] == "1480.00"
    stage.post("/v1/periods/reopen", {**march, "reason": "late invoice"}, by="cora")
    stage.go()
    resolve(stage, "EX-REOPEN", "approve", "finn")
    resolve(stage, "EX-REOPEN-SECOND", "approve", "carla")
    assert {p.state for p in stage.rows(FiscalPeriod)} == {PeriodState.REOPENED}
    problem_of(stage.post("/v1/periods/close", {**march, "period": "2026-13"}, by="cora"), 422)
    problem_of(stage.post("/v1/periods/close", {**march, "entity": "XX", "name": "x"}, by="cora"), 404)
