"""Starting processes: one run per business key, nothing started that cannot work, nothing changed by a preview."""

from __future__ import annotations

from typing import Any

import pytest

from isthmus.domain.objects import BillablePart, ContractVersion, Invoice
from isthmus.domain.states import InvoiceLife, PartState
from isthmus.store.records import IdempotentReply, RunRow, RunState
from tests.app.stage import Stage, an_entry, money, problem_of

CHANGE = {
    "contract_no": "K-1",
    "change_order": "CO-1",
    "cap_delta": "400.00",
    "accepted_on": "2026-03-20",
    "evidence": "https://documents.example/CO-1",
}
WRITE_OFF = {"contract_no": "K-1", "amount": "100.00", "state": "ready", "name": "W-1", "reason": "goodwill"}

WRITE_DOWN = {
    "contract_no": "K-1",
    "down_to": "1400.00",
    "cutoff": "2026-03-31",
    "name": "D-1",
    "reason": "agreed fee",
}


def test_a_contract_is_set_up_on_request(stage: Stage) -> None:
    stage.set_up()
    (run,) = stage.rows(RunRow)
    assert (run.run_id, run.state, run.correlation_id) == (
        "contract_to_project/K-1@1",
        RunState.DONE,
        "contract:K-1",
    )


def test_a_billing_run_issues_and_posts_one_invoice(stage: Stage) -> None:
    stage.set_up()
    stage.record(an_entry(1))
    answer = stage.bill()
    stage.go()

    assert answer.status_code == 202 and answer.json()["run_id"] == "bill_contract/K-1:2026-03"
    (invoice,) = stage.rows(Invoice)
    assert (invoice.life, invoice.net, invoice.prepared_by) == (InvoiceLife.ISSUED, money("1480.00"), "ana")
    assert len(stage.systems.erp.things["invoice"]) == 1


def test_the_same_business_key_under_another_idempotency_key_is_the_same_run(stage: Stage) -> None:
    stage.set_up()
    first, second = stage.bill(), stage.bill()
    assert first.json()["run_id"] == second.json()["run_id"]
    assert len(stage.rows(RunRow, process="bill_contract")) == 1


def test_the_same_business_key_with_other_content_is_refused(stage: Stage) -> None:
    stage.set_up()
    stage.bill()
    told = problem_of(stage.bill(cutoff="2026-04-30"), 422)
    assert told["code"] == "same_key_other_content"


def test_a_dry_run_shows_the_invoice_and_changes_nothing(stage: Stage) -> None:
    stage.set_up()
    stage.record(an_entry(1))
    answer = stage.bill(dry_run=True)

    assert answer.status_code == 200 and answer.json()["invoice"]["net"] == "1480.00"
    assert not stage.rows(Invoice) and not stage.rows(RunRow, process="bill_contract")
    assert [p.state for p in stage.rows(BillablePart)] == [PartState.READY]
    assert not [r for r in stage.rows(IdempotentReply) if "billing-runs" in r.route]


def test_a_dry_run_with_nothing_ready_says_so(stage: Stage) -> None:
    stage.set_up()
    shown = stage.bill(dry_run=True).json()
    assert shown["invoice"] is None and not any(shown[name] for name in ("invoices", "credits", "fees", "not_billed"))


def test_a_change_order_raises_the_cap_and_frees_what_was_over_it(stage: Stage) -> None:
    from decimal import Decimal

    from isthmus.domain.objects import Cap
    from tests.processes.hub import contract

    stage.set_up(contract(caps=(Cap(cap_id="K-1:cap", scope="contract", limit=Decimal("500.00")),)))
    stage.record(an_entry(1, hours="6"))
    assert stage.post("/v1/change-orders", CHANGE, by="pia").status_code == 202
    stage.go()

    assert len(stage.rows(ContractVersion)) == 2
    by_state = {p.state: p.net for p in stage.rows(BillablePart) if p.state is not PartState.SUPERSEDED}
    assert by_state == {PartState.READY: money("900.00"), PartState.OVER_CAP: money("210.00")}


@pytest.mark.requirement("GOV-02")
def test_a_write_off_needs_a_second_person(stage: Stage) -> None:
    stage.set_up()
    stage.record(an_entry(1))
    assert stage.post("/v1/write-offs", WRITE_OFF, by="ana").status_code == 202
    stage.go()
    assert not stage.rows(BillablePart, state=PartState.WRITTEN_OFF)

    resolve = {"action": "approve", "reason": "agreed"}
    problem_of(stage.post("/v1/cases/CASE-00001/resolve", resolve, by="ana"), 403)
    assert stage.post("/v1/cases/CASE-00001/resolve", resolve, by="finn").status_code == 200
    stage.go()
    (part,) = stage.rows(BillablePart, state=PartState.WRITTEN_OFF)
    assert part.net == money("100.00")


@pytest.mark.requirement("GOV-02")
def test_a_write_down_needs_a_second_person(stage: Stage) -> None:
    stage.set_up()
    stage.record(an_entry(1))
    asked = stage.post("/v1/write-downs", WRITE_DOWN, by="pia")
    assert (asked.status_code, asked.json()["process"]) == (202, "write_down")
    stage.go()
    resolve = {"action": "approve", "reason": "agreed"}
    problem_of(stage.post("/v1/cases/CASE-00001/resolve", resolve, by="pia"), 403)
    assert stage.post("/v1/cases/CASE-00001/resolve", resolve, by="finn").status_code == 200
    stage.go()
    assert [p.net for p in stage.rows(BillablePart, state=PartState.READY)] == [money("1400.00")]
    assert [p.net for p in stage.rows(BillablePart, state=PartState.WRITTEN_OFF)] == [money("80.00")]
    assert stage.post("/v1/write-downs", WRITE_DOWN, by="pia").json()["state"] == "done", "asked again it is known"


STARTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "billing": ("/v1/billing-runs", "ana", {"contract_no": "K-1", "cutoff": "2026-03-31", "name": "m"}),
    "change order": ("/v1/change-orders", "pia", CHANGE),
    "write-off": ("/v1/write-offs", "ana", WRITE_OFF),
    "write-down": ("/v1/write-downs", "pia", WRITE_DOWN),
}


@pytest.mark.parametrize("start", STARTS)
def test_an_unknown_contract_starts_nothing(stage: Stage, start: str) -> None:
    path, by, body = STARTS[start]
    assert problem_of(stage.post(path, body, by=by), 404)["code"] == "not_found"
    assert not stage.rows(RunRow)


REFUSED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "more written off than there is": ("/v1/write-offs", "ana", {**WRITE_OFF, "amount": "99999.00"}),
    "nothing written off": ("/v1/write-offs", "ana", {**WRITE_OFF, "amount": "0"}),
    "written down to more than there is": ("/v1/write-downs", "pia", {**WRITE_DOWN, "down_to": "1480.00"}),
    "written down below nothing": ("/v1/write-downs", "pia", {**WRITE_DOWN, "down_to": "-1.00"}),
    "written down before there is work": ("/v1/write-downs", "pia", {**WRITE_DOWN, "cutoff": "2026-03-01"}),
    "written down to part cents": ("/v1/write-downs", "pia", {**WRITE_DOWN, "down_to": "1.001"}),
    "part cents": ("/v1/write-offs", "ana", {**WRITE_OFF, "amount": "1.001"}),
    "a float": ("/v1/write-offs", "ana", {**WRITE_OFF, "amount": 1.5}),
    "no number": ("/v1/write-offs", "ana", {**WRITE_OFF, "amount": "much"}),
    "invoiced evidence": ("/v1/write-offs", "ana", {**WRITE_OFF, "state": "invoiced"}),
    "no reason": ("/v1/write-offs", "ana", {**WRITE_OFF, "reason": " "}),
    "a cap changed by nothing": ("/v1/change-orders", "pia", {**CHANGE, "cap_delta": "0.00"}),
    "a cap changed by part cents": ("/v1/change-orders", "pia", {**CHANGE, "cap_delta": "0.001"}),
    "no evidence": ("/v1/change-orders", "pia", {**CHANGE, "evidence": ""}),
    "a name with a slash": ("/v1/change-orders", "pia", {**CHANGE, "change_order": "a/b"}),
    "an unknown field": ("/v1/change-orders", "pia", {**CHANGE, "cap": "1"}),
    "a name that cannot be stored": ("/v1/write-offs", "ana", {**WRITE_OFF, "reason": "a\x00b"}),
    "no day": ("/v1/billing-runs", "ana", {"contract_no": "K-1", "cutoff": "soon", "name": "m"}),
    "no version": ("/v1/processes/contract-to-project", "pia", {"contract_no": "K-1"}),
    "version 0": ("/v1/processes/contract-to-project", "pia", {"contract_no": "K-1", "version": 0}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused_at_the_door(stage: Stage, case: str) -> None:
    stage.set_up()
    stage.record(an_entry(1))
    runs = len(stage.rows(RunRow))
    path, by, body = REFUSED[case]
    assert problem_of(stage.post(path, body, by=by), 422)["owner"] == "caller"
    assert len(stage.rows(RunRow)) == runs


def test_a_contract_without_a_cap_has_no_cap_to_change(stage: Stage) -> None:
    from tests.processes.hub import contract

    stage.set_up(contract(caps=()))
    problem_of(stage.post("/v1/change-orders", CHANGE, by="pia"), 422)


@pytest.mark.requirement("PAT-08", "SEC-07")
@pytest.mark.parametrize(
    ("path", "body", "rule", "owner"),
    [
        ("/v1/billing-runs", STARTS["billing"][2], "invoice.*@*", "hub"),
        ("/v1/billing-runs", {**STARTS["billing"][2], "dry_run": True}, "invoice.*@*", "hub"),
        ("/v1/write-offs", WRITE_OFF, "billable_part.*@*", "hub"),
        ("/v1/change-orders", CHANGE, "change_order.*@*", "pmo"),
    ],
)
def test_a_caller_that_speaks_for_the_crm_writes_no_finance(
    stage: Stage, path: str, body: dict[str, Any], rule: str, owner: str
) -> None:
    stage.set_up()
    stage.record(an_entry(1))
    runs = len(stage.rows(RunRow))
    told = problem_of(stage.post(path, body, by="crm-app"), 403)
    assert (told["rule"], told["owner"]) == (rule, owner) and told["route"]
    assert len(stage.rows(RunRow)) == runs
    assert stage.audited("api.denied")[-1].actor == "crm-app"


def test_a_caller_that_speaks_for_the_crm_may_announce_its_contract(stage: Stage) -> None:
    body = {"contract_no": "K-1", "version": 1}
    assert stage.post("/v1/processes/contract-to-project", body, by="crm-app").status_code == 202


def test_the_contracts_of_a_client_are_billed_together_or_shown(stage: Stage) -> None:
    stage.set_up()
    stage.record(an_entry(1))
    body = {"client_no": "C-1", "cutoff": "2026-03-31", "name": "2026-03"}
    shown = stage.post("/v1/client-billing-runs", {**body, "dry_run": True}, by="ana").json()["entities"]["US01"]
    assert shown["own"] == ["K-1"] and shown["invoices"] == []
    answer = stage.post("/v1/client-billing-runs", body, by="ana")
    assert answer.status_code == 202
    assert [run["run_id"] for run in answer.json()["runs"]] == ["bill_client/C-1:US01:2026-03"]
    stage.go()
    assert [str(invoice.net) for invoice in stage.rows(Invoice)] == ["1480.00"]
    problem_of(stage.post("/v1/client-billing-runs", {**body, "client_no": "C-404"}, by="ana"), 404)
