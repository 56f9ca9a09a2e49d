"""The status on the source record: the CRM shows that a contract waits for a person, for whom, and when it goes on."""

from __future__ import annotations

from typing import Any

from isthmus.store.records import Case, RunRow
from tests.desk.stage import FAY, FINN, TARA, Desk
from tests.processes.hub import contract, entry


class Watched(Desk):
    """Keeps every status the CRM is told."""

    def __init__(self, own: dict[str, Any] | None = None) -> None:
        super().__init__(own)
        self.seen: list[str] = []
        plain = self.systems.crm.report_status

        def report(status: Any) -> Any:
            self.seen.append(status.state)
            return plain(status)

        self.systems.crm.report_status = report  # type: ignore[method-assign]


def test_the_crm_shows_for_whom_a_contract_waits_and_then_that_it_goes_on() -> None:
    desk = Watched()
    desk.set_up(contract(dimensions={"practice": "DIGITAL"}))
    desk.hand_on()
    assert desk.seen == ["waits for finance-master-data (CASE-00001)"]
    desk.decide(FINN, "fill", cost_center="CC-9")
    desk.hand_on()
    assert desk.seen[1:] and set(desk.seen[1:]) == {"active"}
    statuses = desk.systems.crm.things["status"]
    assert [one["shown"]["state"] for one in statuses] == ["active"], "one record, brought up to date"


def test_an_invoice_that_is_stuck_is_shown_on_its_contract() -> None:
    desk = Watched()
    bare = contract().lines[0].model_copy(update={"tax_code": ""})
    desk.set_up(contract(lines=(bare,)))
    desk.capture(entry(1, "8"))
    desk.bill("2026-03")
    desk.hand_on()
    assert desk.seen[-1] == "waits for tax (CASE-00001)"
    _, proposal = desk.decide(TARA, "fill", tax_code="SERVICES")
    desk.agree(FINN, proposal)
    desk.hand_on()
    assert desk.seen[-1] == "active"


def test_several_cases_are_counted_and_what_does_not_hold_it_up_is_not_shown() -> None:
    desk = Watched()
    bare = contract().lines[0].model_copy(update={"tax_code": ""})
    desk.set_up(contract(lines=(bare,)))
    for number, month in ((1, "2026-03"), (2, "2026-04")):
        desk.capture(entry(number, "8", day=number + 2))
        desk.bill(month)
    desk.capture(entry(9, "8", day=3))  # the same hour again: a case about an hour
    desk.hand_on()
    assert len([case for case in desk.rows(Case) if case.record.startswith("time:")]) == 1
    assert desk.seen[-1] == "waits for tax (CASE-00001 and 1 more)"


def test_what_the_source_itself_must_cure_is_not_written_there() -> None:
    """Its run asks again when the source changes: our own mark would be a change, and go round in circles."""
    desk = Watched()
    desk.set_up(contract(legal_approved_by=""))
    desk.hand_on()
    assert desk.case().exception == "EX-APPROVAL-INCOMPLETE" and desk.seen == []


def test_a_refused_report_is_not_reported_in_turn() -> None:
    from tests.runtime.test_edits import refuse

    desk = Desk()
    refuse(desk, "crm", "report_status", lambda status: status.state == "active")
    desk.set_up(contract(dimensions={"practice": "DIGITAL"}))
    for _ in range(3):
        desk.hand_on()
    assert sorted(case.exception for case in desk.rows(Case)) == ["EX-DIM", "EX-WRITEBACK"]
    assert len([run for run in desk.rows(RunRow) if run.process == "show_standing"]) == 1
    assert FAY.may("case.read")


def test_a_firm_may_leave_it_out() -> None:
    desk = Watched({"write_back": {"cases": False}})
    desk.set_up(contract(dimensions={"practice": "DIGITAL"}))
    desk.hand_on()
    assert desk.seen == []
