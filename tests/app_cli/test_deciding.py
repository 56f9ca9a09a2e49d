"""Looking and deciding from the command line, on a hub whose runs the test advances by hand."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from isthmus.domain.objects import BillableItem, BillablePart, Invoice
from isthmus.domain.states import CaseState, PartState
from isthmus.domain.terms import Discount, MinimumCommitment, Tier
from isthmus.store.records import (
    AuditEntry,
    Case,
    Decision,
    InboxMessage,
    MessageState,
    OutboxEvent,
    RunRow,
    RunState,
)
from tests.app_cli.conftest import Isthmus, World
from tests.processes.hub import contract

SETUP = "contract_to_project/K-1@1"


def queued(world: World) -> set[str]:
    """Ids of the attempts the engine holds."""
    with world.store.transaction() as tx:
        rows = tx.raw.execute(sa.text("select workflow_uuid from dbos.workflow_status where status = 'ENQUEUED'"))
        return {row[0] for row in rows}


@pytest.fixture
def parked(world: World) -> World:
    """A contract whose cost centre is missing: its run waits for a person."""
    world.set_up(dimensions={"practice": "DIGITAL"})
    return world


@pytest.fixture
def billable(world: World) -> World:
    """A contract with three approved entries, one of them after the month."""
    world.set_up()
    world.capture("6", "2")
    world.capture("3", day=date(2026, 4, 2))
    return world


# -- looking --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("OWN-12")
def test_trace_shows_where_work_is_stuck_and_what_to_do(parked: World, isthmus: Isthmus) -> None:
    shown = isthmus("trace", "K-1@1")
    assert shown.code == 3
    assert "Read the approved contract and its terms" in shown.out
    assert "EX-DIM" in shown.out and "CASE-00001 waits for" in shown.out
    assert "isthmus resolve CASE-00001" in shown.out


def test_trace_of_a_finished_journey_is_a_timeline_in_order(billable: World, isthmus: Isthmus) -> None:
    shown = isthmus("trace", "K-1")
    assert shown.code == 0
    story = ["Read the approved contract", "Set up the project in the PSA", "Activate the engagement", "capture_time"]
    places = [shown.out.index(line) for line in story]
    assert places == sorted(places)
    line = next(line for line in shown.out.splitlines() if "Set up the project in the PSA" in line)
    assert line.rstrip().endswith("psa")  # the system, not the verb
    told = isthmus("trace", "K-1", "--json")
    assert told.json["correlation_ids"] == ["contract:K-1"] and told.json["runs"]


def test_trace_of_nothing_is_refused(world: World, isthmus: Isthmus) -> None:
    done = isthmus("trace", "K-404", "--json")
    assert (done.code, done.json["code"]) == (1, "not_found")


def test_runs_are_listed_by_state_and_process_and_shown_with_steps(parked: World, isthmus: Isthmus) -> None:
    assert [row["run_id"] for row in isthmus("runs", "--json").json] == [SETUP]
    assert isthmus("runs", "--state", "done", "--json").json == []
    assert isthmus("runs", "--process", "bill_contract", "--json").json == []
    assert SETUP in isthmus("runs", "--state", "parked").out
    one = isthmus("runs", SETUP, "--json")
    assert one.code == 3
    assert one.json["run"]["state"] == "parked" and one.json["cases"][0]["exception"] == "EX-DIM"
    assert one.json["steps"][0]["phrase"] == "Look for the terms as they were handed in"
    assert "isthmus resolve CASE-00001" in isthmus("runs", SETUP).out


def test_a_case_shows_what_a_person_needs_to_decide_it(parked: World, isthmus: Isthmus) -> None:
    case = parked.rows(Case)[0]
    listed = isthmus("cases", "--json").json
    assert [c["case_no"] for c in listed] == [case.case_no]
    assert isthmus("cases", "--queue", "nobody", "--json").json == []
    shown = isthmus("cases", case.case_no).out
    assert case.cause in shown and case.queue in shown and SETUP in shown
    assert "--set cost_center=..." in shown
    assert isthmus("cases", case.case_no, "--json").json["actions"] == case.actions


# -- deciding -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("WF-19")
def test_a_resolved_case_lets_its_run_go_on_at_the_same_step(parked: World, isthmus: Isthmus) -> None:
    decided = (
        "resolve",
        "CASE-00001",
        "fill",
        "--set",
        "cost_center=CC-1",
        "--reason",
        "from the order",
        "--as",
        "finn",
    )
    assert isthmus(*decided).code == 0
    assert f"{SETUP}#2" in queued(parked)
    done = parked.advance(SETUP)
    assert done.state is RunState.DONE
    assert parked.systems.crm.calls["read_contract"] == 1  # the earlier steps were not done again
    case = parked.rows(Case)[0]
    assert (case.state, case.resolved_by) == (CaseState.RESOLVED, "finn")
    entry = parked.rows(AuditEntry, action="case.resolve")[0]
    assert (entry.actor, entry.reason) == ("finn", "from the order")
    again = isthmus(*decided, "--json")
    assert (again.code, again.json["code"]) == (1, "illegal_transition")
    assert isthmus("cases", "--json").json == []
    assert len(isthmus("cases", "--all", "--json").json) == 1


def test_a_resolution_that_its_form_does_not_allow_changes_nothing(parked: World, isthmus: Isthmus) -> None:
    for action, values in (("fill", ()), ("fill", ("--set", "colour=red")), ("approve", ())):
        done = isthmus("resolve", "CASE-00001", action, *values, "--reason", "x", "--as", "finn")
        assert (done.code, done.exception) == (1, None)
    assert parked.rows(Case)[0].state is CaseState.OPEN
    assert parked.rows(Decision) == []


@pytest.mark.requirement("GOV-02")
def test_who_prepared_an_invoice_cannot_approve_it(billable: World, isthmus: Isthmus) -> None:
    billable.apply(invoice_approval_limit=Decimal("100"))
    assert isthmus("bill", "K-1", "--cutoff", "2026-03-31", "--as", "ana").code == 0
    billable.advance("bill_contract/K-1:2026-03")
    case = billable.rows(Case, state=CaseState.OPEN)[0]
    own = isthmus("resolve", case.case_no, "approve", "--reason", "fine", "--as", "ana", "--json")
    assert (own.code, own.json["code"]) == (1, "not_permitted")
    assert isthmus("resolve", case.case_no, "approve", "--reason", "fine", "--as", "finn").code == 0
    billable.advance("bill_contract/K-1:2026-03")
    assert billable.rows(Invoice)[0].approved_by == "finn"


def test_a_cancelled_run_is_undone_and_says_by_whom(parked: World, isthmus: Isthmus) -> None:
    assert isthmus("cancel", SETUP, "--reason", "client withdrew", "--as", "paula").code == 0
    assert parked.advance(SETUP).state is RunState.CANCELLED
    assert parked.rows(Case)[0].state is CaseState.CANCELLED
    assert [(e.actor, e.reason) for e in parked.rows(AuditEntry, action="run.cancel")] == [("paula", "client withdrew")]
    again = isthmus("cancel", SETUP, "--reason", "again", "--as", "paula", "--json")
    assert (again.code, again.json["code"]) == (1, "illegal_transition")


# -- billing --------------------------------------------------------------------------------------------------------


def test_a_dry_run_shows_the_lines_and_why_and_starts_nothing(billable: World, isthmus: Isthmus) -> None:
    shown = isthmus("bill", "K-1", "--cutoff", "2026-03-31", "--dry-run", "--as", "ana", "--json").json
    assert Decimal(shown["invoice"]["net"]) == Decimal("1480.00")
    assert [Decimal(part["net"]) for part in shown["evidence"]] == [Decimal("1110.00"), Decimal("370.00")]
    assert all(part["price_trace"] for part in shown["evidence"])
    assert [part["why"] for part in shown["not_billed"]] == ["after the cut-off"]
    picture = isthmus("bill", "K-1", "--cutoff", "2026-03-31", "--dry-run", "--as", "ana").out
    assert "1,480.00 USD" in picture and "not billed: 2026-04-02 555.00 USD: after the cut-off" in picture
    assert billable.rows(RunRow, process="bill_contract") == []
    assert {part.state for part in billable.rows(BillablePart)} == {PartState.READY}


def test_a_dry_run_works_out_fees_and_tiers_and_takes_them_back(world: World, isthmus: Isthmus) -> None:
    """1,110.00 of work less 10 %, and the least that was agreed of the month that is over."""
    terms = {
        "discounts": (Discount(kind="volume_retroactive", tiers=(Tier(from_net=Decimal(0), percent=Decimal(10)),)),),
        "commitment": MinimumCommitment(amount=Decimal(2000), start=date(2026, 3, 1)),
    }
    world.set_up(lines=(contract().lines[0].model_copy(update=terms),))
    world.capture("6")
    before = len(world.rows(BillableItem)), len(world.rows(OutboxEvent))
    asked = ("bill", "K-1", "--cutoff", "2026-03-31", "--dry-run", "--as", "ana")
    (invoice,) = isthmus(*asked, "--json").json["invoices"]
    assert Decimal(invoice["net"]) == Decimal("2000.00")
    picture = isthmus(*asked).out
    assert "Advice: volume discount" in picture and "-111.00" in picture and "1,001.00" in picture
    assert (len(world.rows(BillableItem)), len(world.rows(OutboxEvent))) == before


def test_many_pieces_of_one_reason_are_summed_up(world: World, isthmus: Isthmus) -> None:
    world.set_up(caps=(contract().caps[0].model_copy(update={"limit": Decimal("100.00")}),))
    world.capture("1", "1.1", "1.2", "1.3", "1.4")
    picture = isthmus("bill", "K-1", "--cutoff", "2026-03-31", "--dry-run", "--as", "ana").out
    assert "not billed: 5 pieces, 2026-03-10 to 2026-03-10, 1,010.00 USD in all: over the cap K-1:cap" in picture


def test_a_dry_run_of_nothing_says_so(world: World, isthmus: Isthmus) -> None:
    world.set_up()
    shown = isthmus("bill", "K-1", "--cutoff", "2026-03-31", "--dry-run", "--as", "ana")
    assert shown.code == 0 and "nothing of K-1 is ready up to 2026-03-31" in shown.out


def test_what_is_over_the_cap_is_shown_with_its_cap(world: World, isthmus: Isthmus) -> None:
    cap = contract().caps[0].model_copy(update={"limit": Decimal("1000.00")})
    world.set_up(caps=(cap,))
    world.capture("6")
    shown = isthmus("bill", "K-1", "--cutoff", "2026-03-31", "--dry-run", "--as", "ana", "--json").json
    assert Decimal(shown["invoice"]["net"]) == Decimal("1000.00")
    assert [(p["net"], p["why"].split(" K-1")[0]) for p in shown["not_billed"]] == [("110.00", "over the cap")]


def test_the_same_billing_run_is_found_and_not_made_twice(billable: World, isthmus: Isthmus) -> None:
    asked = ("bill", "K-1", "--cutoff", "2026-03-31", "--as", "ana")
    assert isthmus(*asked).code == isthmus(*asked).code == 0
    assert [run.run_id for run in billable.rows(RunRow, process="bill_contract")] == ["bill_contract/K-1:2026-03"]
    other = isthmus("bill", "K-1", "--cutoff", "2026-03-30", "--as", "ana", "--json")
    assert (other.code, other.json["code"]) == (1, "same_key_other_content")
    assert "by ana up to 2026-03-31, and is queued" in other.json["detail"] and "--name" in other.json["detail"]
    billable.advance("bill_contract/K-1:2026-03")
    assert [invoice.net for invoice in billable.rows(Invoice)] == [Decimal("1480.00")]
    waited = isthmus(*asked, "--wait", "1", "--json")
    assert (waited.code, waited.json["state"]) == (0, "done")


def test_waiting_for_a_run_that_nobody_advances_fails_and_for_a_parked_one_needs_a_person(
    billable: World, isthmus: Isthmus
) -> None:
    billable.apply(invoice_approval_limit=Decimal("100"))
    asked = ("bill", "K-1", "--cutoff", "2026-03-31", "--as", "ana", "--wait", "0.2")
    assert isthmus(*asked).code == 1
    billable.advance("bill_contract/K-1:2026-03")
    assert isthmus(*asked).code == 3


# -- replay ---------------------------------------------------------------------------------------------------------


def test_a_message_is_taken_again_but_not_in_a_dry_run(billable: World, isthmus: Isthmus) -> None:
    message = billable.rows(InboxMessage, kind="time.approved")[0]
    asked = ("replay", "--message", message.source, message.message_id, "--reason", "rate mended", "--as", "ines")

    def state() -> MessageState:
        return next(m.state for m in billable.rows(InboxMessage) if m.message_id == message.message_id)

    before = state()
    assert isthmus(*asked, "--dry-run", "--json").json["dry_run"] is True
    assert state() is before is not MessageState.ACCEPTED
    assert billable.rows(AuditEntry, action="message.replay") == []
    assert isthmus(*asked).code == 0
    assert state() is MessageState.ACCEPTED
    assert [(e.actor, e.reason) for e in billable.rows(AuditEntry, action="message.replay")] == [
        ("ines", "rate mended")
    ]


def test_a_subscriber_gets_its_events_again(billable: World, isthmus: Isthmus, monkeypatch: pytest.MonkeyPatch) -> None:
    from isthmus.runtime.kernel import Kernel, Subscriber
    from isthmus.store.records import EventDelivery

    ready = Kernel.__post_init__

    def subscribed(kernel: Any) -> None:
        ready(kernel)
        kernel.subscribers["warehouse"] = Subscriber(
            frozenset({"billing.part_state_changed"}), lambda books, event: None
        )

    monkeypatch.setattr(Kernel, "__post_init__", subscribed)
    asked = ("replay", "--subscriber", "warehouse", "--reason", "new warehouse", "--as", "ines", "--json")
    count = isthmus(*asked, "--dry-run").json["count"]
    assert count > 0 and billable.rows(EventDelivery, subscriber="warehouse") == []
    assert isthmus(*asked, "--aggregate", "contract:K-2").json["count"] == 0
    assert isthmus(*asked, "--since", "2099-01-01").json["count"] == 0
    assert isthmus(*asked).json["count"] == count == len(billable.rows(EventDelivery, subscriber="warehouse"))


def test_a_client_is_billed_as_a_whole_and_never_beside_a_contract(billable: World, isthmus: Isthmus) -> None:
    told = isthmus("bill", "--client", "C-1", "--cutoff", "2026-03-31", "--dry-run", "--as", "ana").out
    assert "K-1 shares no invoice by its terms" in told
    started = isthmus("bill", "--client", "C-1", "--cutoff", "2026-03-31", "--as", "ana", "--json").json
    assert [row["run_id"] for row in started] == ["bill_client/C-1:US01:2026-03"]
    both = isthmus("bill", "K-1", "--client", "C-1", "--cutoff", "2026-03-31", "--as", "ana")
    assert both.code == 2 and "either" in both.err
