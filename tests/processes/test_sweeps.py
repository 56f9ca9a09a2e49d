"""Change capture of expenses and milestones: kept once each, unreadable ones in quarantine, the watermark moves."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from isthmus.app.worker import SWEEPS
from isthmus.domain.errors import Unreachable
from isthmus.domain.objects import BillablePart, Expense, MilestoneStatus, TimeEntry
from isthmus.domain.states import CaseState, PartState
from isthmus.ports import PORTS
from isthmus.ports.messages import ContractNotice, ContractNotices, ExpensePage, MilestonePage, TimePage, Withdrawn
from isthmus.processes import sweeps
from isthmus.store.records import Case, InboxMessage, MessageState, RunState, Watermark
from tests.processes.hub import Hub, contract, entry

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


def expense(number: int, gross: str = "118.00") -> Expense:
    return Expense(
        source="tool",
        source_id=str(number),
        project_code="P-K-1",
        person="ann",
        category="Lodging",
        expense_date=date(2026, 3, 3),
        gross=Decimal(gross),
        currency="USD",
        approved_by="pia",
        approved_at=NOON,
    )


def milestone(state: str) -> MilestoneStatus:
    facts = {"source": "tool", "source_id": "7", "project_code": "P-K-1", "line_uid": "L1", "number": 1}
    return MilestoneStatus(**facts, state=state, by="pia", at=NOON)


class Tool:
    """A connection that has these pages to give, one after the other, and remembers what it was asked."""

    name, writes_as, entities = "tool", "psa", ()

    def __init__(self, *pages: Any) -> None:
        self.pages = list(pages)
        self.asked: list[str] = []

    def approved_expenses(self, watermark: str) -> Any:
        self.asked.append(watermark)
        page = self.pages.pop(0)
        if isinstance(page, Exception):
            raise page
        return page

    milestones_changed = approved_expenses


def messages(hub: Hub, kind: str) -> list[InboxMessage]:
    return sorted(hub.rows(InboxMessage, kind=kind), key=lambda m: m.message_id)


def test_expenses_are_kept_once_and_a_correction_is_a_message_of_its_own() -> None:
    hub = Hub()
    first = ExpensePage(expenses=(expense(1), expense(2)), watermark="w1")
    again = ExpensePage(expenses=(expense(2), expense(1, "110.00")), watermark="w2")
    tool = Tool(first, again)
    assert [sweeps.sweep_expenses(hub.kernel, tool) for _ in range(2)] == [2, 1]
    assert tool.asked == ["", "w1"]
    kept = messages(hub, "expense.approved")
    assert [m.aggregate for m in kept] == ["expense:tool:1", "expense:tool:1", "expense:tool:2"]
    read = [Expense.model_validate(json.loads(m.raw)["expenses"][0]) for m in kept]
    assert sorted(str(e.gross) for e in read) == ["110.00", "118.00", "118.00"]
    assert all(m.state is MessageState.ACCEPTED for m in kept)
    assert [(w.feed, w.value) for w in hub.rows(Watermark)] == [("expenses", "w2")]


def test_milestones_are_kept_once_per_state_and_unreadable_ones_are_quarantined() -> None:
    hub = Hub()
    tool = Tool(
        MilestonePage(milestones=(milestone("planned"),), watermark="w1", unreadable=(("9", "no project of ours"),)),
        MilestonePage(milestones=(milestone("completed"), milestone("planned")), watermark="w1"),
    )
    assert [sweeps.sweep_milestones(hub.kernel, tool) for _ in range(2)] == [1, 1]
    kept = messages(hub, "milestone.changed")
    states = {m.state: m for m in kept}
    assert states[MessageState.QUARANTINED].reason == "no project of ours"
    good = [json.loads(m.raw)["milestones"][0]["state"] for m in kept if m.state is MessageState.ACCEPTED]
    assert sorted(good) == ["completed", "planned"]


def test_a_look_that_fails_moves_no_watermark() -> None:
    hub = Hub()
    tool = Tool(ExpensePage(expenses=(), watermark="w1"), Unreachable("down"), ExpensePage(expenses=(), watermark="w2"))
    sweeps.sweep_expenses(hub.kernel, tool)
    with pytest.raises(Unreachable):
        sweeps.sweep_expenses(hub.kernel, tool)
    sweeps.sweep_expenses(hub.kernel, tool)
    assert tool.asked == ["", "w1", "w1"]


def test_every_port_that_is_asked_for_changes_has_a_sweep() -> None:
    feeds = {name for name, port in PORTS.items() for verb in vars(port) if _asks_with_a_watermark(port, verb)}
    assert feeds <= set(SWEEPS)


def _asks_with_a_watermark(port: type, verb: str) -> bool:
    member = getattr(port, verb)
    return hasattr(member, "__verb__") and "watermark" in member.__annotations__


# -- what is gone over there ---------------------------------------------------------------------------------------


def withdrawn(number: str, at: datetime = NOON) -> Withdrawn:
    return Withdrawn(source="psa", source_id=number, by="psa: deleted", at=at)


def time_page(*gone: str, entries: tuple[TimeEntry, ...] = ()) -> TimePage:
    return TimePage(entries=entries, watermark="w", withdrawn=tuple(withdrawn(number) for number in gone))


def test_deleted_time_takes_its_evidence_back_whether_or_not_it_was_worked_on_already() -> None:
    hub = Hub()
    hub.set_up()
    hub.capture(entry(1, "7.5"))
    psa = TimeTool(time_page(entries=(entry(2, "2.0"),)), time_page("1", "2", "3"), time_page("1", "2", "3"))
    assert [sweeps.sweep_time(hub.kernel, psa) for _ in range(3)] == [1, 2, 0]  # entry 3 was never approved
    sweeps.drain_time(hub.kernel)
    hub.go()
    entries = hub.rows(TimeEntry, order=("source_id", "revision"))
    assert {e.source_id: str(e.hours) for e in entries} == {"1": "0", "2": "0"}
    assert {e.approved_by for e in entries if e.hours == 0} == {"psa: deleted"}
    assert sum(part.net for part in hub.rows(BillablePart) if part.state is PartState.READY) == 0


def test_an_entry_that_is_approved_again_later_counts_again() -> None:
    hub = Hub()
    hub.set_up()
    hub.capture(entry(1, "7.5"))
    later = entry(1, "6.0", approved_at=datetime(2026, 3, 5, tzinfo=UTC))
    psa = TimeTool(time_page("1"), time_page(entries=(later,)))
    for _ in range(2):
        sweeps.sweep_time(hub.kernel, psa)
        sweeps.drain_time(hub.kernel)
        hub.go()
    hours = [str(e.hours) for e in hub.rows(TimeEntry, order=("revision",))]
    assert hours == ["7.5", "0", "6.0"]


def test_a_deleted_expense_becomes_a_correction_to_nothing_once() -> None:
    hub = Hub()
    gone = Withdrawn(source="tool", source_id="1", by="tool: deleted", at=NOON)
    page = ExpensePage(expenses=(), watermark="w2", withdrawn=(gone,))
    tool = Tool(ExpensePage(expenses=(expense(1),), watermark="w1"), page, page)
    assert [sweeps.sweep_expenses(hub.kernel, tool) for _ in range(3)] == [1, 1, 0]
    read = [Expense.model_validate(json.loads(m.raw)["expenses"][0]) for m in messages(hub, "expense.approved")]
    assert sorted(str(e.gross) for e in read) == ["0", "118.00"]


class TimeTool(Tool):
    """A tool of approved time."""

    name = "psa"
    approved_time = Tool.approved_expenses


# -- what was changed at its source -----------------------------------------------------------------------------------


def notices(*changes: str) -> ContractNotices:
    found = (ContractNotice(message_id=at, contract_no="K-1", version=1, changed_at=at) for at in changes)
    return ContractNotices(notices=tuple(found), watermark="w")


class ChangingCrm(Tool):
    """A CRM that tells of the same contract again and again."""

    name = writes_as = "crm"
    contracts_changed = Tool.approved_expenses


def test_a_contract_that_is_mended_in_the_crm_goes_on_by_itself() -> None:
    hub = Hub()
    crm = ChangingCrm(notices("09:00"), notices("09:00", "10:00"), notices("09:00", "10:00", "11:00"))
    for terms in (contract(finance_approved_by=""), contract(lines=()), contract()):
        hub.systems.crm.put_contract(terms)
        sweeps.sweep_contracts(hub.kernel, crm)
        hub.go()
    assert hub.run("contract_to_project/K-1@1").state is RunState.DONE
    cases = hub.rows(Case, order=("case_no",))
    assert [(c.exception, c.state, c.resolved_by) for c in cases] == [
        ("EX-APPROVAL-INCOMPLETE", CaseState.RESOLVED, "crm"),
        ("EX-MAP-TERMS", CaseState.RESOLVED, "crm"),
    ]
    assert cases[0].resolution["reason"] == "the contract was changed in crm: 10:00"


def test_a_change_in_the_crm_answers_no_question_that_is_not_about_it() -> None:
    hub = Hub()
    crm = ChangingCrm(notices("09:00"), notices("10:00"))
    for _ in range(2):
        hub.systems.crm.put_contract(contract(entity="XX99"))
        sweeps.sweep_contracts(hub.kernel, crm)
        hub.go()
    assert (hub.case().exception, hub.case().case_no) == ("EX-LE", "CASE-00001")
