"""P2: evidence, caps, corrections, approval, tax, number, posting; each park and each way back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from isthmus.app.controls import audit
from isthmus.domain.errors import IllegalTransition, NotPermitted
from isthmus.domain.objects import (
    BillableItem,
    BillablePart,
    Cap,
    ContractVersion,
    Invoice,
    Project,
    Rate,
    RateCard,
    TimeEntry,
)
from isthmus.domain.states import CaseState, InvoiceLife, PartState, Posting, TaxTrack
from isthmus.domain.terms import Discount, InvoiceTerms, MinimumCommitment, Tier
from isthmus.store.records import Case, Effect, EffectState, OutboxEvent, QuietDecision, RunState
from tests.processes.hub import ENTITY, Hub, contract, entry


def parts(hub: Hub) -> list[tuple[str, str, str]]:
    """(state, net, quantity) of parts that count."""
    rows = sorted(hub.rows(BillablePart), key=lambda p: p.part_id)
    return [(str(p.state), str(p.net), str(p.quantity)) for p in rows if p.state is not PartState.SUPERSEDED]


def net_of_states(hub: Hub) -> dict[str, Decimal]:
    """Net per state."""
    sums: dict[str, Decimal] = {}
    for state, net, _ in parts(hub):
        sums[state] = sums.get(state, Decimal(0)) + Decimal(net)
    return sums


@pytest.mark.requirement("WF-21", "INV-08")
def test_approved_time_becomes_priced_evidence_and_cost() -> None:
    hub = Hub()
    hub.set_up()
    hub.capture(entry(1, "7.5"))
    item = hub.rows(BillableItem)[0]
    assert (item.net, item.unit_price, item.contract_version) == (Decimal("1387.50"), Decimal("185.00"), 1)
    assert item.price_trace["winner"]["role"] == "Consultant"
    trace = item.price_trace
    assert (trace["contract_version"], Decimal(trace["rate"]) * item.quantity) == ("K-1@1", item.net)
    assert parts(hub) == [("ready", "1387.50", "7.5")]
    assert [(t["key"], t["hours"]) for t in hub.systems.erp.things["time"]] == [("psa:1#1", "7.5")]


def test_the_same_entry_again_is_a_quiet_decision_and_costs_nothing() -> None:
    hub = Hub()
    hub.set_up()
    hub.capture(entry(1, "7.5"))
    hub.capture(entry(1, "7.5", note="sent again by the nightly file"))
    assert len(hub.rows(BillableItem)) == 1
    assert [q.kind for q in hub.rows(QuietDecision)] == ["duplicate"]
    assert len(hub.systems.erp.things["time"]) == 1


def test_the_same_work_under_another_id_waits_for_a_person_and_others_go_on() -> None:
    hub = Hub()
    hub.set_up()
    hub.capture(entry(1, "7.5"))
    hub.capture(entry(2, "7.5"), entry(3, "2.0", day=4))
    assert hub.case().exception == "EX-DUP-SUSPECT"
    assert net_of_states(hub) == {"ready": Decimal("1757.50")}
    hub.resolve("accept")
    assert net_of_states(hub) == {"ready": Decimal("3145.00")}


def test_another_tool_with_the_same_day_and_task_waits_whatever_it_calls_the_hours() -> None:
    """While two time tools are connected an hour may be in both: other minutes and words prove nothing."""
    hub = Hub()
    hub.set_up()
    hub.capture(entry(1, "7.5", note="Claims portal"))
    hub.capture(entry(1, "7.25", source="jira", note="PORTAL-17"), entry(2, "2.0", day=4, source="jira"))
    assert hub.case().exception == "EX-DUP-SUSPECT"
    assert net_of_states(hub) == {"ready": Decimal("1757.50")}, "another day is no double"
    hub.resolve("cancel")
    assert net_of_states(hub) == {"ready": Decimal("1757.50")}


def test_what_the_other_tool_has_taken_back_is_no_double() -> None:
    hub = Hub()
    hub.set_up()
    hub.capture(entry(1, "7.5"))
    hub.capture(entry(1, "0", approved_at=datetime(2026, 3, 5, tzinfo=UTC)))
    hub.capture(entry(1, "7.25", source="jira"))
    assert net_of_states(hub) == {"ready": Decimal("1341.25")}


@pytest.mark.requirement("EVT-16")
@pytest.mark.parametrize("reverse", [False, True], ids=["in order", "correction first"])
def test_a_correction_before_billing_replaces_and_the_older_one_never_wins(reverse: bool) -> None:
    hub = Hub()
    hub.set_up()
    first = entry(1, "7.5")
    later = entry(1, "6.0", approved_at=datetime(2026, 3, 5, tzinfo=UTC))
    for one in (later, first) if reverse else (first, later):
        hub.capture(one)
    assert net_of_states(hub) == {"ready": Decimal("1110.00")}


def test_a_correction_after_billing_is_a_delta_and_the_invoice_stays_as_it_is() -> None:
    hub = Hub()
    hub.set_up(contract(invoicing=InvoiceTerms(below_zero="wait")))
    hub.capture(entry(1, "8.0"), entry(2, "4.0", day=4))
    hub.bill("a")
    hub.capture(entry(1, "6.0", approved_at=datetime(2026, 4, 1, tzinfo=UTC)))
    assert net_of_states(hub) == {"invoiced": Decimal("2220.00"), "ready": Decimal("-370.00")}
    hub.bill("b", "2026-04-30")
    assert len(hub.rows(Invoice)) == 1, "a negative total waits for evidence to net against"
    hub.capture(entry(3, "5.0", day=6))
    hub.bill("c", "2026-04-30")
    assert [invoice.net for invoice in hub.rows(Invoice)] == [Decimal("2220.00"), Decimal("555.00")]


UNPRICEABLE: list[tuple[str, str, dict[str, Any]]] = [
    ("unknown project", "EX-UNKNOWN-PROJECT", {"project_code": "P-NOWHERE"}),
    ("unknown task", "EX-NO-CONTRACT-LINE", {"task_code": "L9"}),
    ("no rate for the role", "EX-RATE-MISSING", {"role": "Partner"}),
    ("before the contract begins", "EX-NO-CONTRACT-LINE", {"service_date": date(2026, 2, 27)}),
]


@pytest.mark.parametrize(("exception", "wrong"), [c[1:] for c in UNPRICEABLE], ids=[c[0] for c in UNPRICEABLE])
def test_an_entry_that_cannot_be_priced_parks_alone(exception: str, wrong: dict[str, Any]) -> None:
    hub = Hub()
    hub.set_up()
    hub.capture(entry(1, "8.0"), entry(2, "3.0", day=4, **wrong))
    case = hub.case()
    assert case.exception == exception
    assert "psa:2" in case.cause or "Partner" in case.cause or "2026-02-27" in case.cause
    assert net_of_states(hub) == {"ready": Decimal("1480.00")}
    assert [t.source_id for t in hub.rows(TimeEntry)] == ["1"], "what is not priced is not half imported"


def test_rates_that_overlap_stop_the_contract_before_an_hour_is_priced() -> None:
    line = contract().lines[0]
    twice = line.model_copy(
        update={
            "rates": (*line.rates, Rate(role="Consultant", bill_rate=Decimal("190"), effective_from=date(2026, 3, 2)))
        }
    )
    hub = Hub()
    hub.set_up(contract(lines=(twice,)))
    assert hub.case().exception == "EX-MAP-TERMS"
    assert "190 from 2026-03-02 of role Consultant (contract) overlap" in hub.case().cause


def test_an_ambiguous_rate_is_never_resolved_silently() -> None:
    partner = Rate(role="Partner", bill_rate=Decimal("300"), effective_from=date(2026, 3, 1))
    hub = Hub()
    hub.set_up(contract(lines=(contract().lines[0].model_copy(update={"rates": (partner,)}),)))
    with hub.store.transaction() as tx:  # two cards agreed with the client say two prices
        for code, price in (("C-1/a", "185"), ("C-1/b", "190")):
            rate = Rate(role="Consultant", bill_rate=Decimal(price), effective_from=date(2026, 3, 1))
            tx.insert(RateCard(code=code, version=1, scope="client", client_no="C-1", currency="USD", rates=(rate,)))
    hub.capture(entry(1, "8.0"))
    assert hub.case().exception == "EX-RATE-AMBIGUOUS"
    assert parts(hub) == []


def test_a_commitment_counts_the_volume_discount_of_the_same_run() -> None:
    """1,480.00 of work less 10 % are 1,332.00 of 2,000.00: 668.00 at once, and nothing on the run after it."""
    terms = {
        "discounts": (Discount(kind="volume_retroactive", tiers=(Tier(from_net=Decimal(0), percent=Decimal(10)),)),),
        "commitment": MinimumCommitment(amount=Decimal(2000), start=date(2026, 3, 1)),
    }
    hub = Hub()
    hub.set_up(contract(lines=(contract().lines[0].model_copy(update=terms),)))
    hub.capture(entry(1, "8"))
    hub.later(days=31)
    hub.bill("2026-03")
    (invoice,) = hub.rows(Invoice)
    assert sorted(line.net for line in invoice.lines) == [Decimal("-148.00"), Decimal("668.00"), Decimal("1480.00")]
    hub.bill("again")
    assert len(hub.rows(Invoice)) == 1 and audit(hub.kernel) == []


def test_a_week_without_a_split_by_day_is_priced_when_no_price_changes_within_it() -> None:
    hub = Hub()
    hub.set_up(contract())
    hub.capture(entry(1, "40", day=2, days=tuple(date(2026, 3, day) for day in range(2, 7))))
    assert hub.rows(Case, state=CaseState.OPEN) == [] and parts(hub) == [("ready", "7400.00", "40")]
    assert audit(hub.kernel) == []


@pytest.mark.requirement("INV-04", "OBJ-04")
def test_a_cap_is_split_to_the_cent_raised_and_the_rest_written_off() -> None:
    line = contract().lines[0]
    builder = Rate(role="Builder", bill_rate=Decimal("190.00"), effective_from=date(2026, 3, 1))
    hub = Hub()
    hub.set_up(contract(lines=(line.model_copy(update={"rates": (*line.rates, builder)}),)))
    hub.capture(*(entry(n, "10.0", day=2 + n, role="Builder") for n in range(5)))
    hub.capture(entry(9, "6.0", day=20))
    assert parts(hub)[-2:] == [("ready", "500.00", "2.7027"), ("over_cap", "610.00", "3.2973")]
    hub.bill("one")
    args = {"contract_no": "K-1", "change_order": "CO-1", "cap_delta": "400.00", "accepted_on": "2026-04-01"}
    hub.start("change_order", "K-1:CO-1", **args, evidence="mail")
    assert net_of_states(hub) == {
        "invoiced": Decimal("10000.00"),
        "ready": Decimal("400.00"),
        "over_cap": Decimal("210.00"),
    }
    assert [str(p.quantity) for p in hub.rows(BillablePart, state=PartState.OVER_CAP)] == ["1.1351"]
    hub.bill("two", "2026-04-30")
    args = {"contract_no": "K-1", "amount": "210.00", "state": "over_cap", "requested_by": "pia", "reason": "goodwill"}
    run = hub.start("write_off", "K-1:W-1", **args)
    with pytest.raises(NotPermitted, match="another person"):
        hub.resolve("approve", actor="pia", exception="EX-WRITE-OFF")
    hub.resolve("approve", actor="finn", exception="EX-WRITE-OFF")
    assert hub.run(run.run_id).state is RunState.DONE
    assert not hub.rows(Case, state=CaseState.OPEN), "nothing is over the cap: its case has closed itself"
    assert net_of_states(hub) == {"invoiced": Decimal("10400.00"), "written_off": Decimal("210.00")}
    types = [event.type for event in hub.rows(OutboxEvent)]
    assert (types.count("cap.hard_reached"), types.count("cap.raised")) == (1, 1)
    versions = sorted(hub.rows(ContractVersion), key=lambda v: v.version)
    assert [v.caps[0].limit for v in versions] == [Decimal("10000.00"), Decimal("10400.00")]
    assert {item.contract_version for item in hub.rows(BillableItem)} == {1}
    assert sorted(invoice.contract_version for invoice in hub.rows(Invoice)) == [1, 2]
    assert [project.contract_version for project in hub.rows(Project)] == [2], "the project follows the change order"


def test_a_cap_below_what_is_billed_is_a_case_and_never_a_silent_credit() -> None:
    hub = Hub()
    hub.set_up()
    hub.capture(entry(1, "10.0"))
    hub.bill("one")
    args = {"contract_no": "K-1", "change_order": "CO-9", "cap_delta": "-9000.00", "accepted_on": "2026-04-01"}
    run = hub.start("change_order", "K-1:CO-9", **args, evidence="mail")
    assert (run.state, hub.case().exception) == (RunState.PARKED, "EX-CAP-BELOW-BILLED")


@pytest.mark.requirement("WF-45", "EVT-09")
def test_a_billing_run_moves_all_five_tracks_and_tells_every_system() -> None:
    hub = Hub()
    hub.set_up()
    hub.capture(entry(1, "8.0"), entry(2, "4.25", day=4))
    hub.bill("2026-03")
    invoice = hub.rows(Invoice)[0]
    assert (invoice.net, invoice.tax, invoice.total) == (Decimal("2266.25"), Decimal("201.13"), Decimal("2467.38"))
    assert invoice.number == "US01-INV-2026-00001"
    assert (invoice.life, invoice.posting, invoice.tax_track) == (
        InvoiceLife.ISSUED,
        Posting.POSTED,
        TaxTrack.COMMITTED,
    )
    assert (invoice.issue_date, invoice.due_date) == (date(2026, 3, 2), date(2026, 4, 1))
    assert hub.systems.erp.things["invoice"][0]["total"] == "2467.38"
    assert hub.systems.tax.things["document"][0]["status"] == "committed"
    (mark,) = hub.systems.psa.things["mark"]
    assert (mark["key"], mark["entries"]) == ("P-K-1:US01-INV-2026-00001", ["psa:1", "psa:2"])
    assert hub.systems.erp.things["invoice"][0]["key"] == "US01-INV-2026-00001"
    told = [e.type for e in hub.rows(OutboxEvent) if e.type in ("invoice.approved", "invoice.issued", "invoice.posted")]
    assert told == ["invoice.approved", "invoice.issued", "invoice.posted"]
    assert hub.systems.crm.things["status"][0]["shown"]["billed"] == "2266.25"
    assert invoice.approved_by == "rule: no limit is set"


@pytest.mark.requirement("GOV-02")
def test_above_the_limit_another_person_approves_and_never_the_preparer() -> None:
    hub = Hub(ENTITY.model_copy(update={"invoice_approval_limit": Decimal("1000.00")}))
    hub.set_up()
    hub.capture(entry(1, "8.0"))
    run = hub.bill("one")
    case = hub.case()
    assert (case.exception, case.amount, case.queue) == ("EX-REVIEW", Decimal("1480.00"), "billing")
    with pytest.raises(NotPermitted):
        hub.resolve("approve", actor="ana")
    assert hub.rows(Invoice)[0].number == ""
    hub.resolve("approve", actor="finn")
    assert hub.run(run.run_id).state is RunState.DONE
    assert hub.rows(Invoice)[0].approved_by == "finn"


def test_a_billing_run_called_off_before_the_number_gives_everything_back() -> None:
    hub = Hub(ENTITY.model_copy(update={"invoice_approval_limit": Decimal("1000.00")}))
    hub.set_up()
    hub.capture(entry(1, "8.0"))
    run = hub.bill("one")
    hub.resolve("cancel")
    assert hub.run(run.run_id).state is RunState.CANCELLED
    assert (hub.rows(Invoice)[0].life, hub.rows(Invoice)[0].number) == (InvoiceLife.DISCARDED, "")
    assert parts(hub) == [("ready", "1480.00", "8.0")]


@pytest.mark.requirement("EXC-06", "WF-44")
def test_a_refused_posting_keeps_the_number_cannot_be_called_off_and_is_posted_once_mended() -> None:
    hub = Hub()
    hub.set_up()
    hub.capture(entry(1, "8.0"))
    hub.systems.erp.closed_periods = frozenset({"2026-03"})
    run = hub.bill("one")
    case = hub.case()
    assert (case.exception, case.queue, case.amount) == ("EX-POST-REJECT", "receivables", Decimal("1611.35"))
    assert case.actions == ["retry"]
    with hub.store.transaction() as tx, pytest.raises(IllegalTransition, match="only a credit helps"):
        hub.kernel.cancel(tx, run.run_id, actor="finn", reason="no")
    hub.systems.erp.closed_periods = frozenset()
    hub.resolve("retry")
    assert hub.run(run.run_id).state is RunState.DONE
    assert [i["key"] for i in hub.systems.erp.things["invoice"]] == ["US01-INV-2026-00001"]


@pytest.mark.requirement("SC-12", "SYS-22", "RES-11", "WF-41")
def test_tax_down_for_45_minutes_waits_alerts_finance_and_goes_on_by_itself() -> None:
    hub = Hub()
    hub.set_up()
    hub.capture(entry(1, "8.0"))
    hub.systems.weather.next_fault = lambda system, verb, write: "unreachable" if system == "tax" else None
    run, begun = hub.bill("one"), hub.clock.now()
    assert run.state is RunState.WAITING
    for _ in range(14):
        hub.later(minutes=1)
    assert hub.rows(Case, state=CaseState.OPEN) == [], "not before a quarter of an hour"
    for _ in range(31):
        hub.later(minutes=1)
    alert = hub.case()
    assert timedelta(minutes=15) <= alert.opened_at - begun < timedelta(minutes=20)
    assert (alert.exception, alert.queue) == ("EX-WAITING", "finance")
    invoice = hub.rows(Invoice)[0]
    assert (invoice.tax_track, invoice.number) == (TaxTrack.PENDING, "")
    hub.systems.weather.next_fault = lambda system, verb, write: None
    hub.later(minutes=2)
    assert hub.run(run.run_id).state is RunState.DONE
    assert len(hub.rows(Invoice)) == len(hub.systems.tax.things["document"]) == 1
    assert hub.rows(Case, state=CaseState.OPEN) == []


@pytest.mark.parametrize("fault", ["lost_before", "lost_after"])
@pytest.mark.parametrize("verb", ["calculate", "post_invoice", "commit", "mark_invoiced", "report_status", "put_time"])
def test_a_lost_answer_is_looked_up_and_nothing_is_made_twice(verb: str, fault: str) -> None:
    hub = Hub()
    hub.set_up()
    struck: list[str] = []

    def strike_once(system: str, called: str, write: bool) -> str | None:
        if called == verb and not struck:
            struck.append(called)
            return fault
        return None

    hub.systems.weather.next_fault = strike_once
    hub.capture(entry(1, "8.0"))
    hub.later(seconds=10)
    run = hub.bill("one")
    for _ in range(3):
        hub.later(seconds=10)
    assert struck and hub.run(run.run_id).state is RunState.DONE
    for system in hub.systems.by_port.values():
        assert system.duplicates() == []
    looked_up = [e for e in hub.rows(Effect) if e.verb.endswith(f".{verb}") and e.lookups]
    assert looked_up, "the hub looked before it sent again"
    expected = EffectState.FOUND if fault == "lost_after" else EffectState.RESENT
    assert looked_up[0].state is expected


def test_a_second_billing_run_finds_nothing_and_makes_no_empty_invoice() -> None:
    hub = Hub()
    hub.set_up()
    hub.capture(entry(1, "8.0"))
    hub.bill("one")
    assert hub.bill("two").state is RunState.DONE
    assert len(hub.rows(Invoice)) == 1


def test_a_soft_cap_bills_on() -> None:
    hub = Hub()
    hub.set_up(contract(caps=(Cap(cap_id="s", scope="contract", kind="soft", limit=Decimal("100.00")),)))
    hub.capture(entry(1, "8.0"))
    assert net_of_states(hub) == {"ready": Decimal("1480.00")}


def test_the_cost_of_a_correction_waits_for_the_cost_it_replaces() -> None:
    hub = Hub()
    hub.set_up()
    down = {"erp": True}
    hub.systems.weather.next_fault = lambda system, verb, write: "unreachable" if down.get(system) else None
    hub.capture(entry(1, "8.0"))
    hub.capture(entry(1, "6.0", approved_at=datetime(2026, 3, 5, tzinfo=UTC)))
    assert "time" not in hub.systems.erp.things
    down.clear()
    for _ in range(6):
        hub.later(minutes=1)
    assert [t["key"] for t in hub.systems.erp.things["time"]] == ["psa:1#1", "psa:1#2"]
