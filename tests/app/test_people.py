"""Runs, cases, replays and releases through the API, and what the desk asks of a decision."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from isthmus.desk import cases as desk
from isthmus.domain.errors import NotFound
from isthmus.domain.objects import BillableItem, BillablePart, Client, Engagement, Invoice, LegalEntity, Payment
from isthmus.domain.states import EngagementState, InvoiceLife
from isthmus.policies.ownership import OwnershipRule
from isthmus.policies.readiness import check_currency
from isthmus.processes import sweeps
from isthmus.store.records import Case, Decision, InboxMessage, MessageState, RunRow, RunState
from tests.app.stage import Stage, an_entry, problem_of, time_approved
from tests.processes.hub import CLIENT, ENTITY, NEW_YORK, contract

TWIN = CLIENT.model_copy(update={"client_no": "C-9"})
SMALL_LIMIT = ENTITY.model_copy(update={"invoice_approval_limit": Decimal("100")})


def resolve(stage: Stage, person: str, action: str, **values: Any) -> Any:
    """Decide the newest open case."""
    case = stage.rows(Case, state="open", order=("-case_no",))[0]
    body = {"action": action, "reason": "looked into it", "values": values}
    return stage.post(f"/v1/cases/{case.case_no}/resolve", body, by=person)


def agree(stage: Stage, person: str, answer: str = "approve") -> Any:
    """Answer the proposal that waits."""
    (case,) = (case for case in stage.rows(Case, state="open") if case.pending)
    return stage.post(f"/v1/proposals/{case.pending}/{answer}", {"reason": "looked into it too"}, by=person)


def active(stage: Stage) -> bool:
    """Whether the contract's engagement has become active."""
    stage.go()
    return bool(stage.rows(Engagement, state=EngagementState.ACTIVE))


# -- cases ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("EXC-03", "WF-05")
def test_adding_the_currency_lets_the_contract_go_on(stage: Stage) -> None:
    stage.set_up(contract(currency="EUR", lines=contract().lines))
    case = stage.get("/v1/cases?queue=finance-master-data&state=open").json()["items"][0]
    assert (case["exception"], case["amount"], case["currency"]) == ("EX-CCY", "10000.00", "EUR")
    assert case["actions"] == ["add", "retry", "cancel"] and "Harbor Mutual" in json.dumps(case["context"])
    assert case["cause"].startswith("contract K-1@1: ") and "EUR" in case["cause"]

    assert resolve(stage, "stella", "add").status_code == 200
    (entity,) = stage.rows(LegalEntity)
    assert entity.currencies == ("USD", "EUR")
    (kept,) = stage.audited("entity.add_currency")
    assert kept.actor == "stella" and kept.before == {"currencies": ["USD"]}
    assert active(stage)


def test_a_currency_that_does_not_exist_cannot_be_added() -> None:
    from isthmus.domain.errors import NeedsDecision

    with pytest.raises(NeedsDecision) as parked:
        check_currency(contract(currency="XXX"), ENTITY)
    assert "add" not in parked.value.actions


def test_an_exempt_client_needs_its_certificate(stage: Stage) -> None:
    texan = CLIENT.model_copy(update={"address": NEW_YORK.model_copy(update={"region": "TX"})})
    stage.set_up(contract(client=texan))
    told = problem_of(resolve(stage, "finn", "exempt"), 422)
    assert "needs exemption_certificate" in told["detail"]
    assert resolve(stage, "finn", "exempt", exemption_certificate="CERT-1").status_code == 202
    assert not active(stage)  # it takes a second person
    assert agree(stage, "tara").status_code == 200
    assert active(stage)


def test_a_link_needs_a_client_that_is_known(stage: Stage) -> None:
    with stage.hub.store.transaction() as tx:
        tx.insert(TWIN)
    stage.set_up()
    assert "needs client_no" in problem_of(resolve(stage, "stella", "link"), 422)["detail"]
    assert "no client C-8" in problem_of(resolve(stage, "stella", "link", client_no="C-8"), 422)["detail"]
    assert resolve(stage, "stella", "link", client_no="C-9").status_code == 200
    assert active(stage)
    assert [c.client_no for c in stage.rows(Client)] == ["C-9"]


def test_missing_dimensions_are_asked_for_by_name(stage: Stage) -> None:
    stage.set_up(contract(dimensions={"practice": "DIGITAL"}))
    (case,) = stage.rows(Case)
    assert desk.asks_for(case) == {"fill": ["cost_center"], "retry": [], "cancel": []}
    assert "needs cost_center" in problem_of(resolve(stage, "finn", "fill"), 422)["detail"]
    told = problem_of(resolve(stage, "finn", "fill", cost_center="CC-1", by="someone else"), 422)
    assert "takes no by" in told["detail"]
    assert resolve(stage, "finn", "fill", cost_center="CC-1").status_code == 200
    assert active(stage)


def test_terms_are_mapped_to_what_the_erp_knows(stage: Stage) -> None:
    stage.set_up(contract(payment_terms="WHENEVER"))
    problem_of(resolve(stage, "finn", "map", payment_terms="SOME DAY"), 422)
    problem_of(resolve(stage, "finn", "map", payment_terms=["NET30"]), 422)
    assert resolve(stage, "finn", "map", payment_terms="NET30").status_code == 200
    assert active(stage)


def test_the_entity_chosen_must_be_active(stage: Stage) -> None:
    stage.set_up(contract(entity="FR01"))
    problem_of(resolve(stage, "finn", "choose", entity="FR02"), 422)
    assert resolve(stage, "finn", "choose", entity="US01").status_code == 200
    assert active(stage)


def test_a_client_without_a_number_gets_one(stage: Stage) -> None:
    stage.set_up(contract(client_no="", client=CLIENT.model_copy(update={"client_no": ""})))
    problem_of(resolve(stage, "stella", "create", client_no="C-5"), 422)
    given = {"client_no": "C-5", "legal_name": "Harbor Mutual"}
    assert resolve(stage, "stella", "create", **given).status_code == 200
    assert active(stage) and stage.rows(Client, client_no="C-5")


def test_an_entry_between_two_lines_is_assigned_by_a_person(stage: Stage) -> None:
    first = contract().lines[0]
    second = first.model_copy(update={"line_uid": "L2"})
    stage.set_up(contract(lines=(first, second)))
    stage.record(an_entry(1, task_code=""))
    assert "L1, L2" in problem_of(resolve(stage, "pia", "assign", line_uid="L3"), 422)["detail"]
    assert resolve(stage, "pia", "assign", line_uid="L2").status_code == 200
    stage.go()
    (item,) = stage.rows(BillableItem)
    assert item.line_uid == "L2"


def unmatched(stage: Stage) -> Invoice:
    """An issued invoice of 1,611.35 and a payment that names nothing."""
    stage.set_up()
    stage.record(an_entry(1))
    stage.bill()
    stage.go()
    (invoice,) = stage.rows(Invoice)
    data = {"source_id": "9", "client_no": "C-1", "amount": "1000.00", "currency": "USD", "value_date": "2026-04-01"}
    content = {"type": "payment.received", "schema_version": 1, "data": data}
    assert stage.webhook("erp", content, "msg_p").status_code == 202
    stage.go()
    return invoice  # type: ignore[no-any-return]


WRONG_SHARES = {
    "another invoice": {"NO-1": "1.00"},
    "more than is open": {"@": "99999.00"},
    "more than was paid": {"@": "1000.01"},
    "less than nothing": {"@": "-1.00"},
    "part cents": {"@": "1.001"},
    "no number": {"@": "half"},
    "a float": {"@": 0.5},
}


@pytest.mark.parametrize("case", WRONG_SHARES)
def test_an_allocation_must_fit_the_payment_and_the_invoices(stage: Stage, case: str) -> None:
    invoice = unmatched(stage)
    shares = {number.replace("@", invoice.number): amount for number, amount in WRONG_SHARES[case].items()}
    problem_of(resolve(stage, "finn", "allocate", allocate=shares), 422)
    assert stage.rows(Case, state="open")


def test_an_allocation_by_hand_settles_the_invoice(stage: Stage) -> None:
    invoice = unmatched(stage)
    problem_of(resolve(stage, "finn", "allocate", allocate="all"), 422)
    assert resolve(stage, "finn", "allocate", allocate={invoice.number: "1000.00"}).status_code == 202
    assert agree(stage, "ana").status_code == 200
    stage.go()
    (settled,) = stage.rows(Invoice)
    assert settled.open == settled.total - 1000 and stage.rows(Payment)


def test_a_decision_says_nothing_it_is_not_asked_for(stage: Stage) -> None:
    """Values are what steps read: "by" would forge who approved."""
    with stage.hub.store.transaction() as tx:
        tx.update(SMALL_LIMIT)
    stage.set_up()
    stage.record(an_entry(1))
    stage.bill()
    stage.go()
    assert "takes no by" in problem_of(resolve(stage, "finn", "approve", by="the cfo"), 422)["detail"]
    assert resolve(stage, "finn", "approve").status_code == 200
    (decision,) = stage.rows(Decision)
    assert decision.values["by"] == "finn"


@pytest.mark.requirement("GOV-02", "SEC-01")
def test_who_prepared_an_invoice_does_not_approve_it(stage: Stage) -> None:
    with stage.hub.store.transaction() as tx:
        tx.update(SMALL_LIMIT)
    stage.set_up()
    stage.record(an_entry(1))
    stage.bill(by="ana")
    stage.go()
    told = problem_of(resolve(stage, "ana", "approve"), 403)
    assert told["code"] == "not_permitted" and "ana prepared it" in told["detail"]
    assert stage.audited("api.denied")[-1].actor == "ana"
    assert resolve(stage, "bert", "approve").status_code == 200
    stage.go()
    (invoice,) = stage.rows(Invoice)
    assert (invoice.life, invoice.approved_by) == (InvoiceLife.ISSUED, "bert")


def test_a_case_is_decided_by_the_owners_of_its_queue(stage: Stage) -> None:
    stage.set_up(contract(dimensions={}))
    for stranger in ("ana", "pia", "ines", "adam"):
        told = problem_of(resolve(stage, stranger, "cancel"), 403)
        assert "finance-master-data" in told["detail"]
    assert stage.rows(Case, state="open")


def test_refused_decisions(stage: Stage) -> None:
    stage.set_up(contract(dimensions={}))
    assert "offers fill" in problem_of(resolve(stage, "finn", "approve"), 422)["detail"]
    problem_of(stage.post("/v1/cases/CASE-00001/resolve", {"action": "cancel"}, by="finn"), 422)
    problem_of(stage.post("/v1/cases/CASE-99999/resolve", {"action": "x", "reason": "y"}, by="finn"), 404)
    assert resolve(stage, "finn", "cancel").status_code == 200
    again = {"action": "cancel", "reason": "again"}
    told = problem_of(stage.post("/v1/cases/CASE-00001/resolve", again, by="finn"), 409)
    assert told["code"] == "illegal_transition"


def test_a_case_is_shown(stage: Stage) -> None:
    stage.set_up(contract(dimensions={}))
    assert stage.get("/v1/cases/CASE-00001").json()["exception"] == "EX-DIM"
    problem_of(stage.get("/v1/cases/CASE-00002"), 404)
    assert stage.get("/v1/cases?queue=tax").json()["items"] == []
    with stage.hub.store.transaction() as tx, pytest.raises(NotFound):
        desk.case_of(tx, "CASE-00002")


# -- runs -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("OWN-12")
def test_a_run_tells_its_steps_effects_and_what_it_waits_for(stage: Stage) -> None:
    stage.set_up(contract(dimensions={}))
    told = stage.get("/v1/runs/contract_to_project/K-1@1").json()
    assert told["run"]["state"] == "parked" and told["waits_for"].startswith("EX-DIM")
    assert [step["phrase"] for step in told["steps"]][:2] == [
        "Look for the terms as they were handed in",
        "Read the approved contract and its terms",
    ]
    assert told["cases"][0]["case_no"] == "CASE-00001" and told["effects"] == []
    resolve(stage, "finn", "fill", practice="A", cost_center="B")
    stage.go()
    effects = stage.get("/v1/runs/contract_to_project/K-1@1").json()["effects"]
    assert {e["verb"] for e in effects} >= {"Erp.put_client", "Psa.put_project"}
    problem_of(stage.get("/v1/runs/contract_to_project/K-2@1"), 404)


def test_a_cancelled_run_takes_back_what_it_did(stage: Stage) -> None:
    stage.set_up(contract(dimensions={}))
    answer = stage.post("/v1/runs/contract_to_project/K-1@1/cancel", {"reason": "deal is off"}, by="pia")
    assert answer.status_code == 202
    stage.go()
    assert stage.get("/v1/runs/contract_to_project/K-1@1").json()["run"]["state"] == "cancelled"
    assert stage.rows(Engagement)[0].state is EngagementState.CANCELLED
    (kept,) = stage.audited("run.cancel")
    assert (kept.actor, kept.reason) == ("pia", "deal is off")


def test_only_a_parked_or_waiting_run_is_cancelled(stage: Stage) -> None:
    stage.set_up()
    told = problem_of(stage.post("/v1/runs/contract_to_project/K-1@1/cancel", {"reason": "x"}), 409)
    assert told["code"] == "illegal_transition"
    problem_of(stage.post("/v1/runs/nothing/cancel", {"reason": "x"}), 404)
    problem_of(stage.post("/v1/runs/nothing/cancel", {}), 422)


def test_runs_are_listed_by_state_and_journey(stage: Stage) -> None:
    stage.set_up()
    stage.record(an_entry(1))
    done = stage.get("/v1/runs?state=done").json()["items"]
    assert {run["process"] for run in done} == {"contract_to_project", "capture_time"}
    assert len(stage.get("/v1/runs?process=capture_time&correlation_id=contract:K-1").json()["items"]) == 1
    assert stage.get("/v1/runs?state=parked").json()["items"] == []


# -- replays ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("EVT-15", "RES-04")
def test_a_subscriber_gets_its_events_again(stage: Stage) -> None:
    from isthmus.runtime import outbox
    from isthmus.runtime.kernel import Subscriber

    seen: list[str] = []
    stage.kernel.subscribers["audit"] = Subscriber(
        frozenset({"engagement.activated"}), lambda _, event: seen.append(event.type)
    )
    stage.set_up()
    outbox.dispatch(stage.kernel, "audit")
    body = {"subscriber": "audit", "reason": "lost its database"}

    dry = stage.post("/v1/replays", {**body, "dry_run": True})
    assert dry.json() == {"count": 1, "dry_run": True, "message_ids": []}
    outbox.dispatch(stage.kernel, "audit")
    assert len(seen) == 1
    assert stage.post("/v1/replays", body).json()["count"] == 1
    outbox.dispatch(stage.kernel, "audit")
    assert len(seen) == 2
    later = {**body, "since": "2027-01-01T00:00:00Z", "dry_run": True}
    assert stage.post("/v1/replays", later).json()["count"] == 0
    other = {**body, "aggregate": "engagement:K-2", "dry_run": True}
    assert stage.post("/v1/replays", other).json()["count"] == 0


def test_a_quarantined_message_is_replayed_once_its_cause_is_mended(stage: Stage, monkeypatch: Any) -> None:
    stage.set_up()
    monkeypatch.setattr("isthmus.app.api.intake.TYPES", {})
    problem_of(stage.webhook("psa", time_approved(an_entry(1))), 422)
    body = {"source": "psa", "message_id": "msg_1", "reason": "type is known now"}
    problem_of(stage.post("/v1/replays", body), 422)
    assert stage.rows(InboxMessage)[0].state is MessageState.QUARANTINED

    monkeypatch.undo()
    assert stage.post("/v1/replays", {**body, "dry_run": True}).json()["count"] == 1
    assert stage.rows(InboxMessage)[0].state is MessageState.QUARANTINED
    assert stage.post("/v1/replays", body).json()["count"] == 1
    stage.go()
    assert len(stage.rows(BillableItem)) == 1
    assert {m.state for m in stage.rows(InboxMessage)} == {MessageState.APPLIED}


def test_the_sender_may_repeat_a_quarantined_message_once_its_cause_is_mended(stage: Stage, monkeypatch: Any) -> None:
    monkeypatch.setattr("isthmus.app.api.intake.TYPES", {})
    problem_of(stage.webhook("psa", time_approved(an_entry(1))), 422)
    monkeypatch.undo()
    assert stage.webhook("psa", time_approved(an_entry(1))).json()["accepted"] == 1


@pytest.mark.requirement("RES-04")
def test_replaying_what_was_applied_changes_no_money(stage: Stage) -> None:
    stage.set_up()
    stage.record(an_entry(1))
    (message,) = stage.rows(InboxMessage, kind="time.approved")
    body = {"source": "psa", "message_id": message.message_id, "reason": "drill"}
    assert stage.post("/v1/replays", body).status_code == 200
    stage.go()
    assert len(stage.rows(BillableItem)) == 1 and len(stage.rows(BillablePart)) == 1
    assert len(stage.systems.erp.things["time"]) == 1


@pytest.mark.parametrize("kind", ["webhook", "time.approved"])
def test_a_replay_is_held_to_today_s_ownership(stage: Stage, kind: str) -> None:
    stage.set_up()
    stage.record(an_entry(1))
    (message,) = stage.rows(InboxMessage, kind=kind)
    rules = stage.hub.gate.rules
    stage.hub.gate.rules = (*rules, OwnershipRule(object="time_entry", entity="US01", owner="tempo", route="ask IT"))
    body = {"source": "psa", "message_id": message.message_id, "reason": "drill"}
    assert problem_of(stage.post("/v1/replays", body), 403)["rule"] == "time_entry.*@US01"
    assert stage.rows(InboxMessage, kind=kind)[0].state is MessageState.APPLIED
    stage.hub.gate.rules = rules
    assert stage.post("/v1/replays", body).status_code == 200


def test_a_payment_refused_at_the_gate_is_taken_again_once_the_rule_is_mended(stage: Stage) -> None:
    stage.set_up()
    stage.record(an_entry(1))
    stage.bill()
    stage.go()
    (invoice,) = stage.rows(Invoice)
    paid = {"source": "erp", "source_id": "1", "client_no": "C-1", "amount": invoice.total, "currency": "USD"}
    payment = Payment(**paid, value_date=date(2026, 3, 20), reference=invoice.number)
    stage.systems.erp.__dict__.setdefault("payments", []).append(payment)
    rules = stage.hub.gate.rules
    stage.hub.gate.rules = (*rules, OwnershipRule(object="payment", entity="US01", owner="bank", route="ask IT"))
    sweeps.sweep_payments(stage.kernel, stage.systems.erp)
    (refused,) = stage.rows(InboxMessage, kind=sweeps.PAYMENT)
    assert refused.state is MessageState.QUARANTINED and "owner bank" in refused.reason
    body = {"source": "erp", "message_id": refused.message_id, "reason": "rule mended"}
    problem_of(stage.post("/v1/replays", body), 403)
    stage.hub.gate.rules = rules
    assert stage.post("/v1/replays", body).json()["count"] == 1
    stage.go()
    assert stage.rows(Invoice)[0].open == 0


def test_refused_replays(stage: Stage) -> None:
    for body, status in (
        ({"reason": "x"}, 422),
        ({"reason": "x", "subscriber": "a", "source": "b", "message_id": "c"}, 422),
        ({"reason": "x", "subscriber": "a", "since": "2026-01-01T00:00:00"}, 422),
        ({"reason": "x", "subscriber": "nobody"}, 404),
        ({"reason": "x", "source": "psa", "message_id": "nothing"}, 404),
    ):
        problem_of(stage.post("/v1/replays", body), status)


def test_a_message_that_only_starts_a_process_is_not_replayed(stage: Stage) -> None:
    from isthmus.processes import sweeps

    stage.systems.crm.put_contract(contract())
    sweeps.sweep_contracts(stage.kernel, stage.systems.crm)
    (message,) = stage.rows(InboxMessage)
    body = {"source": "crm", "message_id": message.message_id, "reason": "x"}
    problem_of(stage.post("/v1/replays", body), 409)


# -- release ----------------------------------------------------------------------------------------------------


def drafted(stage: Stage) -> None:
    """A draft whose billing run waits for the tax engine."""
    stage.set_up()
    stage.record(an_entry(1))
    stage.systems.weather.next_fault = lambda system, verb, write: "unreachable" if system == "tax" else None
    stage.bill()
    stage.go()


def release(stage: Stage, invoice: str = "K-1:2026-03", by: str = "finn") -> Any:
    """Ask for the release of an invoice."""
    return stage.post(f"/v1/invoices/{invoice}/release", {"reason": "quick"}, by=by)


@pytest.mark.requirement("SC-12")
def test_a_manual_release_during_the_outage_only_makes_the_run_ask_again(stage: Stage) -> None:
    drafted(stage)
    assert release(stage).status_code == 202
    stage.go()
    assert stage.rows(Invoice)[0].number == "", "no number while the tax is not known"
    assert stage.rows(RunRow, process="bill_contract")[0].state is RunState.WAITING
    stage.systems.weather.next_fault = lambda system, verb, write: None
    assert release(stage).status_code == 202
    stage.go()
    assert [invoice.number for invoice in stage.rows(Invoice)] == ["US01-INV-2026-00001"]
    assert [entry.reason for entry in stage.audited("invoice.release")] == ["quick", "quick"]


def test_what_does_not_wait_is_not_released(stage: Stage) -> None:
    drafted(stage)
    stage.systems.weather.next_fault = lambda system, verb, write: None
    release(stage)
    stage.go()
    told = problem_of(release(stage), 409)
    assert told["code"] == "illegal_transition"
    problem_of(release(stage, invoice="nothing"), 404)
    problem_of(release(stage, by="crm-app"), 403)
