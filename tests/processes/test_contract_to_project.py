"""P1: every governed exception parks with a case and goes on at the same step; a cancellation leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from isthmus.desk.types import type_of
from isthmus.domain.errors import RemoteRefusal
from isthmus.domain.objects import BillableItem, Cap, ContractLine, Engagement, LegalEntity
from isthmus.domain.states import CaseState, EngagementState
from isthmus.kit.rate_days import role_rates_by_day
from isthmus.ports.messages import ProjectFacts, RateCardIn
from isthmus.processes import sweeps
from isthmus.store.records import Case, Effect, EffectState, OutboxEvent, RunRow, RunState, RunStep
from tests.processes.hub import CLIENT, ENTITY, Hub, contract, entry


@pytest.mark.requirement("WF-09", "WF-12")
def test_an_approved_contract_becomes_an_active_engagement() -> None:
    hub = Hub()
    run = hub.set_up()
    assert run.state is RunState.DONE
    assert hub.rows(Engagement)[0].state is EngagementState.ACTIVE
    assert [p["key"] for p in hub.systems.psa.things["project"]] == ["P-K-1"]
    assert [r["rates"]["rates"][0]["bill_rate"] for r in hub.systems.psa.things["rates"]] == ["185.00"]
    assert hub.systems.erp.things["project"][0]["dimensions"] == {"practice": "DIGITAL", "cost_center": "CC-1"}
    assert hub.systems.crm.things["status"][0]["shown"]["state"] == "active"
    done = hub.steps(run.run_id)
    assert done.index("Pass the readiness gate") < done.index("Activate the engagement")
    assert done.index("Activate the engagement") < done.index("Show the engagement in the CRM")


FEES: list[dict[str, Any]] = [
    {
        "billing_type": "fixed_milestone",
        "milestones": [{"number": 1, "name": "M", "amount": "9.00", "due": "2026-04-01"}],
    },
    {
        "billing_type": "retainer",
        "retainer": {"quota_hours": "40", "fee": "8000", "overage_rate": "220", "start": "2026-03-01"},
    },
    {"billing_type": "subscription", "subscription": {"amount": "100.00", "start": "2026-03-01"}},
    {"billing_type": "cost_plus", "cost_plus": {"markup_percent": "15"}},
]


@pytest.mark.parametrize("fee", FEES, ids=[fee["billing_type"] for fee in FEES])
def test_a_contract_without_hourly_rates_is_set_up_where_the_psa_keeps_rates(fee: dict[str, Any]) -> None:
    hub = Hub()
    line = ContractLine(line_uid="L1", description="Fee", tax_code="SERVICES", **fee)
    run = hub.set_up(contract(lines=(line,)))
    assert run.state is RunState.DONE, run.reason
    assert hub.rows(Engagement)[0].state is EngagementState.ACTIVE
    assert "rates" not in hub.systems.psa.things and "Push the rates to the PSA" not in hub.steps(run.run_id)


@pytest.mark.requirement("WF-09")
def test_the_same_contract_announced_three_times_is_set_up_once() -> None:
    hub = Hub()
    hub.set_up()
    for _ in range(2):
        sweeps.sweep_contracts(hub.kernel, hub.systems.crm)
        hub.go()
    assert hub.systems.psa.calls["put_project"] == 1
    assert len(hub.rows(Engagement)) == 1
    assert [task["key"] for task in hub.systems.psa.things["task"]] == ["P-K-1:L1"]
    assert hub.systems.psa.duplicates() + hub.systems.erp.duplicates() == []


def _approve(hub: Hub) -> dict[str, Any]:
    hub.systems.crm.put_contract(contract())
    return {"action": "retry"}


def _known_client(hub: Hub) -> None:
    with hub.store.transaction() as tx:
        tx.insert(CLIENT.model_copy(update={"client_no": "C-0", "legal_name": "Harbour Mutual"}))


def _add_currency(hub: Hub) -> dict[str, Any]:
    with hub.store.transaction() as tx:
        tx.update(ENTITY.model_copy(update={"currencies": ("USD", "EUR")}))
    return {"action": "retry"}


Fix = Callable[[Hub], dict[str, Any]]
NONE = lambda hub: None  # noqa: E731
CASES: list[tuple[str, str, str, dict[str, Any], Callable[[Hub], Any], Fix, int]] = [
    (
        "approval incomplete",
        "EX-APPROVAL-INCOMPLETE",
        "contract-operations",
        {"finance_approved_by": ""},
        NONE,
        _approve,
        1,
    ),
    (
        "milestones do not add up",
        "EX-MAP-TERMS",
        "contract-operations",
        {"caps": (Cap(cap_id="c", scope="contract", limit=Decimal("-5.00")),)},
        NONE,
        _approve,
        1,
    ),
    (
        "a client like a known one",
        "EX-CLIENT-DUP",
        "data-steward",
        {},
        _known_client,
        lambda hub: {"action": "link", "client_no": "C-0"},
        3,
    ),
    (
        "no such legal entity",
        "EX-LE",
        "finance-master-data",
        {"entity": "XX99"},
        NONE,
        lambda hub: {"action": "choose", "entity": "US01"},
        4,
    ),
    ("currency not supported", "EX-CCY", "finance-master-data", {"currency": "EUR"}, NONE, _add_currency, 5),
    (
        "dimension missing",
        "EX-DIM",
        "finance-master-data",
        {"dimensions": {"practice": "DIGITAL"}},
        NONE,
        lambda hub: {"action": "fill", "cost_center": "CC-9"},
        6,
    ),
    (
        "no tax registration",
        "EX-TAX-REG",
        "tax",
        {"client": CLIENT.model_copy(update={"address": CLIENT.address.model_copy(update={"region": "CA"})})},
        NONE,
        lambda hub: {"action": "exempt", "exemption_certificate": "CERT-1"},
        8,
    ),
    (
        "payment terms unknown",
        "EX-TERMS",
        "receivables",
        {"payment_terms": "NET33"},
        NONE,
        lambda hub: {"action": "map", "payment_terms": "NET30"},
        10,
    ),
    (
        "client blocked",
        "EX-CREDIT",
        "receivables",
        {"client": CLIENT.model_copy(update={"blocked": True})},
        NONE,
        lambda hub: {"action": "override"},
        10,
    ),
]


def test_what_was_mended_in_another_system_counts_at_the_next_retry() -> None:
    """A registration and payment terms made meanwhile: the answer of before is not believed for ever."""
    hub = Hub()
    california = CLIENT.model_copy(update={"address": CLIENT.address.model_copy(update={"region": "CA"})})
    hub.set_up(contract(client=california, payment_terms="NET15"))
    assert hub.case().exception == "EX-TAX-REG"
    hub.systems.tax.regions = ("US-NY", "US-CA")
    hub.systems.erp.terms = ("NET30",)
    hub.resolve("retry")
    assert hub.case().exception == "EX-TERMS" and "unknown to the ERP" in hub.case().cause
    hub.systems.erp.terms = ("NET15", "NET30")
    with hub.store.transaction() as tx:
        entity = tx.get(LegalEntity, "US01")
        assert entity is not None
        tx.update(entity.model_copy(update={"payment_days": {"NET15": 15, "NET30": 30}}))
    hub.resolve("retry")
    assert hub.run("contract_to_project/K-1@1").state is RunState.DONE


@pytest.mark.requirement("WF-01", "WF-02", "WF-04", "WF-05", "WF-06", "WF-07", "WF-19", "OBJ-24", "OBJ-25")
@pytest.mark.parametrize(
    ("exception", "queue", "terms", "before", "fix", "steps_done"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_a_failed_check_parks_and_goes_on_at_the_same_step(
    exception: str, queue: str, terms: dict[str, Any], before: Callable[[Hub], Any], fix: Fix, steps_done: int
) -> None:
    hub = Hub()
    before(hub)
    run = hub.set_up(contract(**terms))
    assert run.state is RunState.PARKED
    case = hub.case()
    assert (case.exception, case.queue) == (exception, queue)
    assert case.cause.startswith("contract K-1@1: ")
    assert len(hub.steps(run.run_id)) == steps_done
    assert hub.rows(Effect) == [], "nothing is set up before every check has passed"
    told_before = list(hub.told)
    hub.resolve(**fix(hub))
    assert hub.run(run.run_id).state is RunState.DONE
    done = hub.steps(run.run_id)
    assert hub.told == [*told_before, *done[steps_done:]], "earlier steps were not executed again"
    assert hub.rows(Case, state=CaseState.OPEN) == []


@pytest.mark.requirement("WF-12", "RES-05")
def test_calling_off_a_refused_set_up_undoes_it_in_reverse_and_leaves_no_orphan() -> None:
    hub = Hub()
    refused = hub.systems.erp

    def refuse(project: Any) -> Any:
        raise RemoteRefusal("project code is taken", remote_code="DUP", system="erp")

    refused.put_project = refuse  # type: ignore[method-assign]
    run = hub.set_up()
    case = hub.case()
    assert (case.exception, case.queue) == ("EX-ERP-REJECT", "project-accounting")
    hub.resolve("cancel")
    assert hub.run(run.run_id).state is RunState.CANCELLED
    assert [p["active"] for p in hub.systems.psa.things["project"]] == [False]
    assert [c["active"] for c in hub.systems.erp.things["client"]] == [False]
    undone = [phrase for phrase in hub.steps(run.run_id) if phrase.startswith("Undo") and phrase.count(":") == 1]
    assert undone == [
        "Undo: Set up the project in the PSA",
        "Undo: Create the client in the ERP",
        "Undo: Request the engagement",
    ]
    assert hub.rows(Engagement)[0].state is EngagementState.CANCELLED
    assert "engagement.cancelled" in {event.type for event in hub.rows(OutboxEvent)}
    assert {e.state for e in hub.rows(Effect) if e.verb == "Psa.put_project"} == {EffectState.UNDONE}


def test_an_undo_is_believed_only_when_the_other_system_shows_it() -> None:
    hub = Hub()
    psa, shows = hub.systems.psa, []
    closed = psa.find_closed
    psa.find_closed = lambda project: closed(project) if shows else None  # type: ignore[method-assign]

    def refuse(project: Any) -> Any:
        raise RemoteRefusal("project code is taken", remote_code="DUP", system="erp")

    hub.systems.erp.put_project = refuse  # type: ignore[method-assign]
    run = hub.set_up()
    hub.resolve("cancel")
    waiting = hub.run(run.run_id)
    assert waiting.state is RunState.WAITING and "does not show it undone yet" in waiting.reason
    assert "Undo: Create the client in the ERP" not in hub.steps(run.run_id), "last first: this one comes after it"
    shows.append(True)
    hub.later(minutes=2)
    assert hub.run(run.run_id).state is RunState.CANCELLED


def test_a_client_that_was_there_before_is_not_deactivated() -> None:
    hub = Hub()
    with hub.store.transaction() as tx:
        tx.insert(CLIENT)
    hub.systems.erp.terms = ()
    run = hub.set_up()
    hub.resolve("cancel")
    assert hub.run(run.run_id).state is RunState.CANCELLED
    assert "deactivate_client" not in hub.systems.erp.calls


@pytest.mark.requirement("WF-18")
def test_time_on_an_engagement_that_is_not_ready_is_held_and_goes_on_when_it_is() -> None:
    from tests.processes.hub import entry

    hub = Hub()
    hub.set_up(contract(payment_terms="NET33"))
    with hub.store.transaction() as tx:
        tx.update(hub.rows(Engagement)[0].model_copy(update={"project_code": "P-K-1"}))
    hub.capture(entry(1, "4.0"))
    cases = {case.exception: case for case in hub.rows(Case, state=CaseState.OPEN)}
    assert set(cases) == {"EX-TERMS", "EX-NOT-READY"}
    for name, action, values in (("EX-TERMS", "map", {"payment_terms": "NET30"}), ("EX-NOT-READY", "retry", {})):
        with hub.store.transaction() as tx:
            hub.kernel.resolve(tx, cases[name].case_no, action=action, actor="finn", reason="ok", values=values)
        hub.go()
    from isthmus.domain.objects import BillablePart

    assert [part.net for part in hub.rows(BillablePart)] == [Decimal("740.00")]


def test_a_system_that_needs_setting_up_pauses_with_one_case_for_all_its_runs() -> None:
    from isthmus.domain.errors import NeedsSetup

    hub = Hub()
    real = hub.systems.psa.put_project

    def refuse(project: Any) -> Any:
        raise NeedsSetup("psa: login refused", "psa")

    hub.systems.psa.put_project = refuse  # type: ignore[method-assign]
    hub.systems.crm.put_contract(contract(contract_no="K-2", lines=contract().lines))
    first = hub.set_up()
    second = hub.run("contract_to_project/K-2@1")
    assert (first.state, second.state) == (RunState.WAITING, RunState.WAITING)
    assert hub.case().exception == "EX-SETUP"
    hub.systems.psa.put_project = real  # type: ignore[method-assign]
    hub.resolve("resume")
    assert {hub.run(r).state for r in (first.run_id, second.run_id)} == {RunState.DONE}


def test_dates_of_the_contract_are_kept_apart() -> None:
    hub = Hub()
    hub.set_up(contract(effective_from=date(2026, 2, 1), signed_on=date(2026, 2, 20)))
    from isthmus.domain.objects import ContractVersion

    kept = hub.rows(ContractVersion)[0]
    assert (kept.effective_from, kept.signed_on) == (date(2026, 2, 1), date(2026, 2, 20))


def test_a_clause_nobody_has_mapped_is_contract_operations_case_and_read_again_once_mended() -> None:
    from isthmus.domain.errors import BadInput

    hub = Hub()
    real = hub.systems.crm.read_contract

    def unmapped(contract_no: str) -> Any:
        raise BadInput("quote line L1: billing type 'Success Fee' is not mapped")

    hub.systems.crm.read_contract = unmapped  # type: ignore[method-assign]
    run = hub.set_up()
    case = hub.case()
    assert (case.exception, case.queue) == ("EX-MAP-TERMS", "contract-operations")
    assert "Success Fee" in case.cause
    hub.systems.crm.read_contract = real  # type: ignore[method-assign]
    hub.resolve("retry")
    assert hub.run(run.run_id).state is RunState.DONE


def test_a_new_version_of_a_running_contract_is_a_case_and_prices_nothing() -> None:
    from isthmus.domain.objects import ContractVersion

    hub = Hub()
    hub.set_up()
    run = hub.set_up(contract(version=2, caps=()))
    assert (run.state, hub.case().exception) == (RunState.PARKED, "EX-AMENDMENT")
    assert [version.version for version in hub.rows(ContractVersion)] == [1], "its terms are not in force"
    assert hub.systems.psa.calls["put_project"] == 1
    hub.resolve("cancel")
    assert hub.rows(Engagement)[0].state is EngagementState.ACTIVE


def test_rates_that_somebody_changed_in_the_psa_hold_the_gate_until_they_are_the_agreed_ones() -> None:
    hub = Hub()
    psa, agreed = hub.systems.psa, {}

    def meddle(_: object, step: RunStep) -> None:
        if step.phrase == "Push the rates to the PSA":
            agreed.update(psa.things["rates"][0]["rates"])
            psa.things["rates"][0]["rates"] = {**agreed, "currency": "EUR"}

    hub.kernel.told = meddle
    run = hub.set_up()
    assert run.state is RunState.WAITING and "does not show the agreed rates" in run.reason
    hub.later(minutes=20)
    assert hub.case().exception == "EX-WAITING"
    psa.things["rates"][0]["rates"] = agreed
    hub.later(minutes=2)
    assert hub.run(run.run_id).state is RunState.DONE


def test_a_project_that_the_erp_shows_for_another_client_is_not_ready() -> None:
    hub = Hub()
    read = hub.systems.erp.read_project
    other = ["C-9"]

    def wrong(code: str) -> ProjectFacts:
        return read(code).model_copy(update={"client_no": other[0]})

    hub.systems.erp.read_project = wrong  # type: ignore[method-assign]
    assert hub.set_up().state is RunState.PARKED
    assert hub.case().exception == "EX-READY" and "for C-9" in hub.case().cause
    other[0] = "C-1"
    hub.resolve("retry")
    assert hub.rows(RunRow)[0].state is RunState.DONE


def test_a_contract_whose_rates_the_psa_cannot_hold_goes_on_without_them_when_a_person_says_so() -> None:
    """Rates by person or by the day: the PSA's card holds hourly rates by role, what is billed is the contract's."""
    hub = Hub()

    def put_rates(card: RateCardIn) -> None:
        role_rates_by_day(card.rates, card.currency, {})

    hub.systems.psa.put_rates = put_rates  # type: ignore[method-assign, assignment]
    (line,) = contract().lines
    by_person = line.rates[0].model_copy(update={"person": "ann"})
    run = hub.set_up(contract(lines=(line.model_copy(update={"rates": (by_person,)}),)))
    case = hub.case()
    assert (run.state, case.exception) == (RunState.PARKED, "EX-RATE-MISMATCH"), case.cause
    assert "hourly rates by role, not Consultant ann" in case.cause
    assert "skip" in type_of("EX-RATE-MISMATCH").adds
    with hub.store.transaction() as tx:
        tx.update(case.model_copy(update={"actions": [*case.actions, "skip"]}))  # as the desk files it
    hub.resolve("skip")
    assert hub.run(run.run_id).state is RunState.DONE
    hub.capture(entry(1, "8"))
    assert [item.entry_net for item in hub.rows(BillableItem)] == [Decimal("1480.00")]
