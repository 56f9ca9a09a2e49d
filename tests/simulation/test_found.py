"""Histories that the simulation, or the thinking it took, has found: each written down as a short story of its own.

They are rare combinations, which thousands of seeds may miss on a given day.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from isthmus.domain.errors import Unreachable
from isthmus.domain.objects import BillablePart, Cap, Invoice
from isthmus.domain.states import CaseState, InvoiceLife, PartState
from isthmus.domain.terms import InvoiceTerms
from isthmus.store.records import Case, Effect, EffectState, RunRow, RunState
from tests.processes.hub import ENTITY, Hub, contract, entry
from tests.simulation.fakes import FakeSystems

CAPPED = contract(
    caps=(Cap(cap_id="K-1:cap", scope="contract", limit=Decimal("1850.00")),),
    invoicing=InvoiceTerms(below_zero="wait"),
)  # ten hours
LATER = datetime(2026, 4, 1, tzinfo=UTC)


def placed(hub: Hub) -> list[tuple[str, str, Decimal]]:
    """(entry, state, hours) of every part that counts."""
    living = [part for part in hub.rows(BillablePart) if part.state is not PartState.SUPERSEDED]
    return sorted((part.item_id.split("#")[0], str(part.state), part.quantity) for part in living)


@pytest.mark.requirement("INV-04")
def test_a_cap_is_not_exceeded_by_billing_ahead_of_the_credit_that_makes_room() -> None:
    hub = Hub()
    hub.set_up(CAPPED)
    hub.capture(entry(1, "10", day=20))
    hub.bill("a")
    hub.capture(entry(2, "6", day=5), entry(1, "4", day=20, approved_at=LATER))
    assert ("psa:2", "ready", Decimal(6)) in placed(hub), "the credit of six hours makes room for six others"
    hub.bill("b", "2026-03-10")
    hub.capture(entry(1, "10", day=20, approved_at=LATER + timedelta(hours=1)))
    states = [part for part in hub.rows(BillablePart) if part.state in (PartState.INVOICED, PartState.READY)]
    assert sum(part.net for part in states) == Decimal("1850.00")
    assert ("psa:2", "over_cap", Decimal(6)) in placed(hub), "the correction was taken back, and the room with it"


@pytest.mark.requirement("INV-04")
def test_a_discarded_draft_gives_its_room_to_what_comes_first() -> None:
    hub = Hub(ENTITY.model_copy(update={"invoice_approval_limit": Decimal("100")}))
    hub.set_up(CAPPED)
    hub.capture(entry(1, "10", day=20))
    hub.bill("a")
    hub.capture(entry(2, "6", day=5))
    assert placed(hub) == [("psa:1", "on_draft", Decimal(10)), ("psa:2", "over_cap", Decimal(6))]
    hub.resolve("cancel", exception="EX-REVIEW")
    assert hub.rows(Invoice)[0].life is InvoiceLife.DISCARDED
    assert placed(hub) == [
        ("psa:1", "over_cap", Decimal(6)),
        ("psa:1", "ready", Decimal(4)),
        ("psa:2", "ready", Decimal(6)),
    ]


def test_a_discarded_draft_is_one_amount_with_the_correction_that_came_meanwhile() -> None:
    """Ten hours on a draft, corrected to none; the draft goes, and an earlier entry takes the room under the cap."""
    hub = Hub(ENTITY.model_copy(update={"invoice_approval_limit": Decimal("100")}))
    hub.set_up(CAPPED)
    hub.capture(entry(1, "10", day=20))
    hub.bill("a")
    hub.capture(entry(1, "0", day=20, approved_at=LATER), entry(2, "12", day=5))
    hub.resolve("cancel", exception="EX-REVIEW")
    assert placed(hub) == [("psa:2", "over_cap", Decimal(2)), ("psa:2", "ready", Decimal(10))]


@pytest.mark.requirement("INV-04")
def test_hours_back_from_a_discarded_draft_are_under_the_cap_though_their_correction_is_billed() -> None:
    hub = Hub(ENTITY.model_copy(update={"invoice_approval_limit": Decimal("1000")}))
    hub.set_up(CAPPED)
    hub.capture(entry(1, "8"))
    hub.bill("a")
    hub.capture(entry(1, "9", approved_at=LATER))
    hub.bill("b")
    hub.capture(entry(2, "12", day=2))
    hub.resolve("cancel", exception="EX-REVIEW")
    states = [part for part in hub.rows(BillablePart) if part.state in (PartState.INVOICED, PartState.READY)]
    assert sum(part.net for part in states) == Decimal("1850.00")


def test_approved_again_after_an_older_correction_that_comes_last() -> None:
    """Ten hours, corrected to eight, corrected back to ten: the eight come last and are older all the same."""
    hub = Hub()
    hub.set_up()
    hub.capture(entry(1, "10"))
    hub.capture(entry(1, "10", approved_at=LATER + timedelta(hours=2)))
    hub.capture(entry(1, "8", approved_at=LATER))
    assert placed(hub) == [("psa:1", "ready", Decimal(10))]


def test_approved_again_takes_its_later_turn_under_a_cap() -> None:
    hub = Hub()
    hub.set_up(CAPPED)
    hub.capture(entry(1, "6"), entry(2, "7", approved_at=LATER))
    assert ("psa:1", "ready", Decimal(6)) in placed(hub)
    hub.capture(entry(1, "6", approved_at=LATER + timedelta(hours=1)))
    assert ("psa:2", "ready", Decimal(7)) in placed(hub)
    assert ("psa:1", "over_cap", Decimal(3)) in placed(hub)


def test_a_write_off_never_becomes_money_given_back() -> None:
    hub = Hub()
    hub.set_up(CAPPED)
    hub.capture(entry(1, "14"))
    hub.start("write_off", "W", contract_no="K-1", amount="740", state="over_cap", requested_by="pm", reason="goodwill")
    hub.resolve("approve", exception="EX-WRITE-OFF")
    hub.bill("a")
    hub.capture(entry(1, "12", approved_at=LATER))
    assert placed(hub) == [("psa:1", "invoiced", Decimal(10)), ("psa:1", "written_off", Decimal(2))]
    hub.capture(entry(1, "9", approved_at=LATER + timedelta(hours=1)))
    assert placed(hub) == [("psa:1", "invoiced", Decimal(10)), ("psa:1", "ready", Decimal(-1))]


def test_an_alert_about_waiting_closes_when_the_run_is_called_off() -> None:
    hub, down = Hub(), [True]

    def out_of_reach(contract_no: str) -> None:
        if down[0]:
            raise Unreachable("the CRM is down")

    crm = hub.systems.crm
    read, crm.read_contract = crm.read_contract, lambda no: out_of_reach(no) or read(no)  # type: ignore[method-assign, func-returns-value, assignment]
    run = hub.set_up()
    while not hub.rows(Case, exception="EX-WAITING"):
        hub.later(minutes=2)
    down[0] = False
    crm.read_contract = lambda no: contract(legal_approved_by="")  # type: ignore[method-assign, assignment]
    hub.later(minutes=2)
    refused = next(c for c in hub.rows(Case, state=CaseState.OPEN) if c.exception == "EX-APPROVAL-INCOMPLETE")
    with hub.store.transaction() as tx:
        hub.kernel.resolve(tx, refused.case_no, action="cancel", actor="finn", reason="test", values={})
    hub.go()
    assert hub.run(run.run_id).state is RunState.CANCELLED
    assert hub.rows(Case, state=CaseState.OPEN) == []


def test_a_write_without_an_answer_is_finished_before_it_is_taken_back() -> None:
    hub = Hub()
    faults = iter(["lost_after"])
    hub.systems.weather.next_fault = lambda system, verb, write: (
        next(faults, None) if (system, verb) == ("psa", "put_project") else None
    )
    hub.systems.weather.now = lambda: hub.clock.now() - datetime(2026, 3, 1, tzinfo=UTC)
    original = hub.systems.psa.find_project
    hub.systems.psa.find_project = lambda project: None  # type: ignore[method-assign, assignment]
    run = hub.set_up()
    assert run.state is RunState.WAITING
    with hub.store.transaction() as tx:
        hub.kernel.cancel(tx, run.run_id, actor="finn", reason="called off")
    hub.systems.psa.find_project = original  # type: ignore[method-assign]
    hub.go()
    for _ in range(5):
        hub.later(minutes=1)
    assert hub.run(run.run_id).state is RunState.CANCELLED
    assert [row["active"] for row in hub.systems.psa.things["project"]] == [False]
    tasks = [e for e in hub.rows(Effect) if e.verb == "Psa.put_task"]
    assert tasks == [], "what was not begun is not begun any more"


def test_a_write_refused_after_a_lost_answer_is_looked_for_and_taken_back() -> None:
    """The first attempt made the project and lost the answer; sent again it is refused, and the run is called off."""
    hub = Hub()
    faults = iter(["lost_after", "refused", "refused"])
    hub.systems.weather.next_fault = lambda system, verb, write: (
        next(faults, None) if (system, verb) == ("psa", "put_project") else None
    )
    hub.set_up()
    for _ in range(3):
        hub.later(minutes=1)
    hub.resolve("retry")
    hub.resolve("cancel")
    assert [row["active"] for row in hub.systems.psa.things["project"]] == [False]


def test_only_what_was_taken_back_may_be_written_again() -> None:
    hub = Hub()
    hub.systems.erp.terms = ("NET30",)
    hub.systems.weather.next_fault = lambda system, verb, write: (
        "refused" if (system, verb) == ("erp", "put_project") else None
    )
    run: RunRow = hub.set_up()
    hub.resolve("cancel")
    assert hub.run(run.run_id).state is RunState.CANCELLED
    states = {effect.verb: effect.state for effect in hub.rows(Effect)}
    assert states["Psa.put_project"] is EffectState.UNDONE
    assert states["Psa.put_task"] is EffectState.DONE, "the tasks are in the closed project still"


def test_a_second_lost_answer_gets_its_own_settling_time() -> None:
    """The first send is lost before, the second after it was carried out: a stale look-up at once proves nothing."""
    hub = Hub()
    systems: FakeSystems = hub.systems
    systems.weather.now = lambda: hub.clock.now() - datetime(2026, 3, 1, tzinfo=UTC)
    hub.set_up()
    hub.capture(entry(1, "4"))
    sends = iter(["lost_before", "lost_after"])

    def fault(system: str, verb: str, write: bool) -> str | None:
        if verb == "post_invoice":
            return next(sends, None)
        return "stale" if verb == "find_invoice" else None

    systems.weather.next_fault = fault
    hub.bill("a")
    for _ in range(10):
        hub.later(seconds=5)
    assert len(systems.erp.things["invoice"]) == 1 and systems.erp.duplicates() == []


def test_a_change_order_does_not_open_the_project_of_an_engagement_that_was_called_off() -> None:
    hub = Hub()
    hub.systems.weather.next_fault = lambda system, verb, write: (
        "refused" if (system, verb) == ("erp", "put_project") else None
    )
    hub.set_up()
    hub.resolve("cancel")
    facts = {"cap_delta": "400.00", "accepted_on": "2026-03-05", "evidence": "mail"}
    hub.start("change_order", "K-1:CO1", contract_no="K-1", change_order="CO1", **facts)
    assert hub.case().exception == "EX-INPUT"
    assert [row["active"] for row in hub.systems.psa.things["project"]] == [False]
