"""The Certinia connector, every verb over HTTP against the sandbox: effects, look-ups, refusals, changes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from isthmus.connectors.certinia import connector as Certinia
from isthmus.domain.errors import BadInput, NeedsSetup, NotFound, OutcomeUnknown, RemoteRefusal, Throttled, Unreachable
from isthmus.domain.objects import Project, Rate, Task
from isthmus.kit.executor import Connection
from isthmus.ports.messages import ContestedLines, InvoicedTime, RateCardIn, TaskIn
from isthmus.sandbox.base import Fault
from isthmus.sandbox.certinia import CertiniaSandbox
from isthmus.sandbox.certinia.reference import approver_id
from isthmus.sandbox.server import Running, running

PROJECT = Project(
    project_code="P-100",
    name="Data platform",
    contract_no="K-1",
    contract_version=2,
    client_no="C-100",
    entity="US",
    currency="USD",
    start=date(2026, 3, 1),
    end=date(2026, 10, 1),
    dimensions={"practice": "DATA", "cost_center": "CC-1"},
)
TASK = TaskIn(project_code="P-100", task=Task(code="L1", name="Discovery", line_uid="L1"))
GOAL = TaskIn(project_code="P-100", task=Task(code="L2-M1", name="Go-live", line_uid="L2", billable=False, milestone=1))
WEEK = {"pse__Start_Date__c": "2026-03-30", "pse__End_Date__c": "2026-04-05"}  # two days in March, five in April


def rate(role: str, amount: str, start: date, end: date | None = None, **more: Any) -> Rate:
    return Rate(role=role, bill_rate=Decimal(amount), effective_from=start, effective_to=end, **more)


MARCH, JULY = date(2026, 3, 1), date(2026, 7, 1)
RATES = RateCardIn(
    project_code="P-100",
    currency="USD",
    rates=(rate("Lead", "250.5025", MARCH, JULY), rate("Lead", "260", JULY), rate("Analyst", "180.25", MARCH)),
)


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running("certinia") as boxes:
        yield boxes["certinia"]


@pytest.fixture
def box(served: Running) -> CertiniaSandbox:
    made = served.sandbox
    assert isinstance(made, CertiniaSandbox)
    made.reset()
    made.daily_limit, made.token_lifetime = 100_000, 7200
    return made


def connect(served: Running, **settings: Any) -> Connection:
    known = served.sandbox.credentials()
    secrets = {name: known[name] for name in ("consumer_key", "username", "private_key", "audience")}
    return Connection("psa", Certinia(settings), base_url=served.url, auth_kind="jwt_bearer", secrets=secrets)


@pytest.fixture
def psa(served: Running, box: CertiniaSandbox) -> Connection:
    """An organisation that knows the client."""
    box.seed("Account", {"Name": "Meridian", "Client_No__c": "C-100"})
    return connect(served)


@pytest.fixture
def set_up(psa: Connection) -> Connection:
    psa.put_project(PROJECT)
    psa.put_task(TASK)
    return psa


def rows(box: CertiniaSandbox, entity: str) -> list[dict[str, Any]]:
    return [record for _, record in box.records.all(entity) if not record["IsDeleted"]]


def staffed(box: CertiniaSandbox, **fields: Any) -> dict[str, Any]:
    """Amara's assignment on the project, for the task."""
    project = next(row for row in rows(box, "pse__Proj__c") if row["Hub_Id__c"] == "P-100")
    amara = next(row for row in rows(box, "Contact") if row["FirstName"] == "Amara")
    facts = {"pse__Role__c": "Lead", "pse__Is_Billable__c": True, "pse__Bill_Rate__c": 250.5025}
    facts |= {"pse__Cost_Rate_Amount__c": 95.5, "pse__Cost_Rate_Currency_Code__c": "USD", "Hub_Task__c": "P-100:L1"}
    place = {"pse__Project__c": project["Id"], "pse__Resource__c": amara["Id"]}
    return box.seed("pse__Assignment__c", {**place, **facts, **fields})


def week(box: CertiniaSandbox, assignment: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """An approved week on the assignment; its splits' ids are under ``splits``."""
    place = {name: assignment[name] for name in ("pse__Project__c", "pse__Resource__c")}
    hours = {"pse__Monday_Hours__c": 7.5, "pse__Wednesday_Hours__c": 8, "pse__Wednesday_Notes__c": "Workshop"}
    approved = {"pse__Status__c": "Approved", "pse__Approver__c": approver_id("Cp4")}
    card = {**WEEK, **place, **hours, **approved, "pse__Assignment__c": assignment["Id"], **fields}
    return box.seed("pse__Timecard_Header__c", card)


def billed(*keys: str, number: str = "INV-1") -> InvoicedTime:
    return InvoicedTime(
        project_code="P-100",
        number=number,
        issue_date=date(2026, 4, 30),
        total=Decimal("1878.75"),
        currency="USD",
        entry_keys=keys,
    )


# -- projects, tasks, milestones ---------------------------------------------------------------------------------
def test_a_project_is_made_with_client_dates_and_dimensions_and_read_back(
    served: Running, psa: Connection, box: CertiniaSandbox
) -> None:
    psa = connect(served, dimensions={"practice": "pse__Practice__c"}, billing_type="Time and Materials")
    made = psa.put_project(PROJECT)
    [row] = rows(box, "pse__Proj__c")
    practice = next(r["Id"] for r in rows(box, "pse__Practice__c") if r["Name"] == "DATA")
    assert (row["Name"], row["CurrencyIsoCode"], row["Hub_Id__c"]) == ("Data platform", "USD", "P-100")
    # The end is the last day; the hub's own is the day after.
    assert (row["pse__Start_Date__c"], row["pse__End_Date__c"]) == ("2026-03-01", "2026-09-30")
    assert (row["pse__Practice__c"], row["pse__Billing_Type__c"]) == (practice, "Time and Materials")
    psa.put_task(TASK)
    psa.put_task(GOAL)
    facts = psa.read_project("P-100")
    assert (facts.ref, facts.client_no, facts.active) == (made, "C-100", True)
    assert facts.tasks == ("L1", "L2-M1")
    assert psa.find_project(PROJECT) == made and psa.find_closed(PROJECT) is None


def test_the_same_project_again_is_changed_and_not_doubled(psa: Connection, box: CertiniaSandbox) -> None:
    first = psa.put_project(PROJECT)
    again = psa.put_project(PROJECT.model_copy(update={"name": "Renamed", "end": None}))
    assert first == again
    assert [row["Name"] for row in rows(box, "pse__Proj__c")] == ["Renamed"]


def test_a_project_whose_client_is_not_there_is_refused_and_none_is_made_up(
    psa: Connection, box: CertiniaSandbox
) -> None:
    with pytest.raises(RemoteRefusal, match="C-999"):
        psa.put_project(PROJECT.model_copy(update={"client_no": "C-999"}))
    assert rows(box, "pse__Proj__c") == []


def test_what_is_contested_is_shown_in_the_firms_own_field(served: Running, set_up: Connection) -> None:
    told = ContestedLines(project_code="P-100", revision=1, lines=("INV-1 line 2: 480.00 USD, too many hours",))
    with pytest.raises(NeedsSetup, match="dispute_field is missing"):
        set_up.show_contested(told)
    psa = connect(served, dispute_field="Hub_Contested__c")
    assert psa.find_contested(told) is None
    assert psa.show_contested(told) == psa.find_project(PROJECT) == psa.find_contested(told)
    decided = ContestedLines(project_code="P-100", revision=2)
    psa.show_contested(decided)
    assert psa.find_contested(told) is None and psa.find_contested(decided) is not None
    with pytest.raises(NotFound):
        psa.show_contested(ContestedLines(project_code="P-9"))
    assert psa.find_contested(ContestedLines(project_code="P-9")) is None


def test_a_dimension_that_is_not_there_is_refused_by_name(served: Running, psa: Connection) -> None:
    psa = connect(served, dimensions={"practice": "pse__Practice__c"})
    with pytest.raises(RemoteRefusal, match="no practice CLOUD"):
        psa.put_project(PROJECT.model_copy(update={"dimensions": {"practice": "CLOUD"}}))
    with pytest.raises(NeedsSetup, match="Practice__c is not among pse__Region__c"):
        connect(served, dimensions={"practice": "Practice__c"})


def test_another_currency_is_refused_with_the_rules_words_and_field(set_up: Connection) -> None:
    with pytest.raises(RemoteRefusal, match="A Project's Currency field value may not be updated") as caught:
        set_up.put_project(PROJECT.model_copy(update={"currency": "EUR"}))
    assert caught.value.remote_code == "FIELD_CUSTOM_VALIDATION_EXCEPTION"
    assert caught.value.context["field"] == "CurrencyIsoCode"


def test_closing_ends_time_entry_and_deletes_nothing(set_up: Connection, box: CertiniaSandbox) -> None:
    made = set_up.find_project(PROJECT)
    assert set_up.close_project(PROJECT) == made
    [row] = rows(box, "pse__Proj__c")
    assert (row["pse__Stage__c"], row["pse__Is_Active__c"]) == ("Canceled", False)
    assert row["pse__Closed_for_Time_Entry__c"] and row["pse__Closed_for_Expense_Entry__c"]
    assert set_up.find_project(PROJECT) is None and set_up.find_closed(PROJECT) == made
    with pytest.raises(NotFound):
        set_up.close_project(PROJECT.model_copy(update={"project_code": "P-404"}))
    assert len(rows(box, "pse__Proj__c")) == 1


def test_a_milestone_keeps_the_target_date_people_gave_it(set_up: Connection, box: CertiniaSandbox) -> None:
    set_up.put_task(GOAL)
    [row] = rows(box, "pse__Milestone__c")
    assert row["pse__Target_Date__c"] == "2026-09-30"
    box.seed("pse__Milestone__c", {"Id": row["Id"], "pse__Target_Date__c": "2026-06-15"})
    set_up.put_task(GOAL)
    assert [r["pse__Target_Date__c"] for r in rows(box, "pse__Milestone__c")] == ["2026-06-15"]


@pytest.mark.parametrize("lost", ["timeout_before_commit", "timeout_after_commit"])
def test_after_a_lost_answer_the_look_up_tells(psa: Connection, box: CertiniaSandbox, lost: Any) -> None:
    box.faults.append(Fault(lost, method="PATCH"))
    with pytest.raises(OutcomeUnknown):
        psa.put_project(PROJECT)
    assert (psa.find_project(PROJECT) is not None) is (lost == "timeout_after_commit")
    psa.put_project(PROJECT)
    assert len(rows(box, "pse__Proj__c")) == 1


# -- rates -------------------------------------------------------------------------------------------------------
def test_rates_are_cards_of_the_projects_own_set(set_up: Connection, box: CertiniaSandbox) -> None:
    assert set_up.find_rates(RATES) is None
    made = set_up.put_rates(RATES)
    cards = {
        (c["pse__Role__c"], c["pse__Start_Date__c"], c["pse__End_Date__c"]): c["pse__Suggested_Bill_Rate__c"]
        for c in rows(box, "pse__Rate_Card__c")
    }
    assert cards == {
        ("Lead", "2026-03-01", "2026-06-30"): 250.5025,
        ("Lead", "2026-07-01", None): 260.0,
        ("Analyst", "2026-03-01", None): 180.25,
    }
    assert rows(box, "pse__Proj__c")[0]["pse__Rate_Card_Set__c"] == made.external_id
    assert set_up.find_rates(RATES) == made


def test_new_rates_replace_the_old_ones_in_the_set(set_up: Connection, box: CertiniaSandbox) -> None:
    set_up.put_rates(RATES)
    raised = RATES.model_copy(update={"rates": (rate("Lead", "275", MARCH), rate("Analyst", "180.25", MARCH))})
    set_up.put_rates(raised)
    assert set_up.find_rates(RATES) is None
    assert set_up.find_rates(raised) is not None
    assert len(rows(box, "pse__Rate_Card_Set_Junction__c")) == 2
    box.seed("pse__Rate_Card__c", {"Id": rows(box, "pse__Rate_Card__c")[-1]["Id"], "pse__Suggested_Bill_Rate__c": 1})
    assert set_up.find_rates(raised) is None  # somebody has changed a card there


@pytest.mark.parametrize(
    "wrong",
    [
        rate("Lead", "250", MARCH, person="ann"),
        rate("Lead", "2000", MARCH, unit="day"),
        rate("Lead", "250.12345", MARCH),
        rate("Lead", "250", MARCH, date(2026, 3, 2)),
    ],
)
def test_what_no_rate_card_can_hold_is_refused_and_not_left_out(
    set_up: Connection, box: CertiniaSandbox, wrong: Rate
) -> None:
    with pytest.raises(RemoteRefusal):
        set_up.put_rates(RATES.model_copy(update={"rates": (rate("Analyst", "1", MARCH), wrong)}))
    assert rows(box, "pse__Rate_Card__c") == []


# -- time --------------------------------------------------------------------------------------------------------
@pytest.mark.requirement("SYS-05")
def test_days_of_approved_splits_come_as_entries_and_the_flags_go_back(
    set_up: Connection, box: CertiniaSandbox
) -> None:
    card = week(box, staffed(box))
    page = set_up.approved_time("")
    march, april = card["splits"]
    first, second = page.entries
    assert (first.source_id, first.hours, first.service_date) == (
        f"{march}-2026-03-30",
        Decimal("7.5"),
        date(2026, 3, 30),
    )
    assert (second.source_id, second.hours, second.note) == (f"{april}-2026-04-01", Decimal("8.0"), "Workshop")
    assert (first.project_code, first.task_code, first.person, first.role) == (
        "P-100",
        "L1",
        "amara.osei@consulting.example",
        "Lead",
    )
    assert (first.cost_rate, first.cost_currency, first.approved_by) == (Decimal("95.5"), "USD", "Petra Lindqvist")
    assert first.approved_at.tzinfo is not None and page.unreadable == ()
    assert set_up.find_invoiced(billed(first.key)) is None
    set_up.mark_invoiced(billed(first.key))
    row = box.records.get("pse__Timecard__c", march) or {}
    assert (row["pse__Billed__c"], row["pse__Invoiced__c"], row["pse__Invoice_Number__c"]) == (True, True, "INV-1")
    assert row["pse__Invoice_Date__c"] == "2026-04-30"
    assert not (box.records.get("pse__Timecard__c", april) or {})["pse__Billed__c"]
    assert set_up.find_invoiced(billed(first.key)) == set_up.mark_invoiced(billed(first.key))
    box.seed("pse__Milestone__c", _goal(box, "P-100:L2-M1", pse__Status__c="Completed"))
    [goal] = set_up.milestones_changed("").milestones
    assert (goal.line_uid, goal.number, goal.state) == ("L2", 1, "completed")


def test_what_is_not_approved_any_more_is_withdrawn_day_by_day(set_up: Connection, box: CertiniaSandbox) -> None:
    card = week(box, staffed(box))
    before = set_up.approved_time("")
    worked = {entry.source_id for entry in before.entries}
    assert worked.isdisjoint(one.source_id for one in before.withdrawn)
    box.seed("pse__Timecard_Header__c", {"Id": card["Id"], "pse__Status__c": "Rejected"})
    after = set_up.approved_time(before.watermark)
    assert after.entries == ()
    told = {one.source_id: one for one in after.withdrawn}
    assert worked <= set(told)
    assert {told[i].by for i in worked} == {"certinia: not approved any more"}
    assert all(one.at > before.entries[0].approved_at for one in told.values())


def test_a_day_set_to_nothing_and_a_deleted_week_are_withdrawn(set_up: Connection, box: CertiniaSandbox) -> None:
    card = week(box, staffed(box))
    first = set_up.approved_time("")
    box.seed("pse__Timecard_Header__c", {"Id": card["Id"], "pse__Monday_Hours__c": 0})
    page = set_up.approved_time(first.watermark)
    march = card["splits"][0]
    told = {one.source_id: one.by for one in page.withdrawn}
    assert told[f"{march}-2026-03-30"] == "certinia: nothing left"
    box.seed("pse__Timecard_Header__c", {"Id": card["Id"], "IsDeleted": True})
    gone = set_up.approved_time(page.watermark)
    assert gone.entries == ()
    assert {one.by for one in gone.withdrawn} == {"certinia: deleted"}
    assert f"{card['splits'][1]}-2026-04-01" in {one.source_id for one in gone.withdrawn}


def test_time_of_other_projects_is_not_ours_and_what_cannot_be_read_is_told(
    set_up: Connection, box: CertiniaSandbox
) -> None:
    mine = staffed(box)
    other = box.seed("pse__Proj__c", {"Name": "Internal", "pse__Is_Billable__c": True})
    week(box, staffed_on(box, other["Id"]))
    nobody = box.seed("Contact", {"LastName": "Nobody", "pse__Is_Resource_Active__c": True})
    unknown = staffed(box, pse__Resource__c=nobody["Id"])
    bad = week(box, unknown, pse__Wednesday_Hours__c=0)
    adjusted = week(box, mine, pse__Monday_Hours__c=-2, pse__Wednesday_Hours__c=0)
    page = set_up.approved_time("")
    assert page.entries == ()
    why = dict(page.unreadable)
    assert set(why) == {f"{bad['splits'][0]}-2026-03-30", f"{adjusted['splits'][0]}-2026-03-30"}
    assert "person" in why[f"{bad['splits'][0]}-2026-03-30"]
    assert "negative" in why[f"{adjusted['splits'][0]}-2026-03-30"]


def staffed_on(box: CertiniaSandbox, project_id: str) -> dict[str, Any]:
    amara = next(row for row in rows(box, "Contact") if row["FirstName"] == "Amara")
    facts = {"pse__Is_Billable__c": True, "pse__Bill_Rate__c": 1}
    return box.seed("pse__Assignment__c", {"pse__Project__c": project_id, "pse__Resource__c": amara["Id"], **facts})


def test_roles_tasks_and_billability_come_from_where_the_firm_keeps_them(
    served: Running, set_up: Connection, box: CertiniaSandbox
) -> None:
    set_up.put_task(GOAL)
    goal = rows(box, "pse__Milestone__c")[0]["Id"]
    assignment = staffed(box, pse__Role__c="Senior Lead", Hub_Task__c=None)
    week(box, assignment, pse__Milestone__c=goal, pse__Billable__c=False, pse__Wednesday_Hours__c=0)
    [entry] = connect(served, roles={"Lead": "Senior Lead"}).approved_time("").entries
    assert (entry.role, entry.task_code, entry.work_type) == ("Lead", "L2-M1", "non_billable")
    box.seed(
        "pse__Timecard_Header__c", {"Id": rows(box, "pse__Timecard_Header__c")[0]["Id"], "pse__Milestone__c": None}
    )
    [entry] = set_up.approved_time("").entries
    assert (entry.role, entry.task_code) == ("Senior Lead", "")


def test_changes_are_read_again_within_the_overlap_and_not_before_it(set_up: Connection, box: CertiniaSandbox) -> None:
    box._set_clock({"now": "2026-04-06T09:00:00Z"})
    week(box, staffed(box))
    first = set_up.approved_time("")
    assert len(set_up.approved_time(first.watermark).entries) == 2
    box._set_clock({"now": "2026-04-06T10:00:00Z"})
    box.seed("pse__Milestone__c", _goal(box, "P-100:L2-M1"))
    later = first.watermark.replace("T09:00", "T09:06")
    assert set_up.approved_time(later).entries == ()
    assert set_up.approved_time(later).watermark == later


def test_pages_of_time_are_read_to_their_end(set_up: Connection, box: CertiniaSandbox) -> None:
    box.page_size = 3
    mine = staffed(box)
    for _ in range(4):
        week(box, mine)
    page = set_up.approved_time("")
    box.page_size = 2000
    assert len(page.entries) == 8
    assert len({entry.source_id for entry in page.entries}) == 8


# -- invoiced ----------------------------------------------------------------------------------------------------
def test_the_chains_refusal_names_the_rule_and_the_field_and_marks_nothing(
    set_up: Connection, box: CertiniaSandbox
) -> None:
    mine = staffed(box)
    good, bad = week(box, mine), week(box, mine, pse__Status__c="Submitted")
    keys = [f"certinia:{card['splits'][0]}-2026-03-30" for card in (good, bad)]
    with pytest.raises(RemoteRefusal, match="must also be marked as Included in Financials and Approved") as caught:
        set_up.mark_invoiced(billed(*keys))
    assert caught.value.context["field"] == "pse__Billed__c"
    assert caught.value.remote_code == "FIELD_CUSTOM_VALIDATION_EXCEPTION"
    assert not any(row["pse__Billed__c"] for row in rows(box, "pse__Timecard__c"))
    assert set_up.find_invoiced(billed(*keys)) is None


def test_days_of_one_split_on_two_invoices_carry_both_numbers(set_up: Connection, box: CertiniaSandbox) -> None:
    april = week(box, staffed(box), pse__Friday_Hours__c=4)["splits"][1]
    set_up.mark_invoiced(billed(f"certinia:{april}-2026-04-01"))
    later = billed(f"certinia:{april}-2026-04-03", number="INV-2").model_copy(update={"issue_date": date(2026, 5, 31)})
    assert set_up.find_invoiced(later) is None
    set_up.mark_invoiced(later)
    row = box.records.get("pse__Timecard__c", april) or {}
    assert (row["pse__Invoice_Number__c"], row["pse__Invoice_Date__c"]) == ("INV-1, INV-2", "2026-04-30")
    assert set_up.find_invoiced(later) and set_up.find_invoiced(billed(f"certinia:{april}-2026-04-01"))


def test_a_split_that_is_gone_and_a_key_of_another_system_are_refused(set_up: Connection, box: CertiniaSandbox) -> None:
    card = week(box, staffed(box))
    keys = [f"certinia:{split}-2026-03-30" for split in card["splits"]]
    box.seed("pse__Timecard_Header__c", {"Id": card["Id"], "IsDeleted": True})
    with pytest.raises(RemoteRefusal, match=f"no timecard split {card['splits'][0]}"):
        set_up.mark_invoiced(billed(*keys))
    with pytest.raises(BadInput, match="is not one of certinia"):
        set_up.mark_invoiced(billed("kantata:7"))


def test_many_splits_are_marked_in_requests_of_two_hundred(set_up: Connection, box: CertiniaSandbox) -> None:
    mine = staffed(box)
    keys = [f"certinia:{week(box, mine)['splits'][0]}-2026-03-30" for _ in range(205)]
    box.log.clear()
    set_up.mark_invoiced(billed(*keys))
    writes = [entry["path"] for entry in box.log if entry["method"] == "PATCH"]
    assert len(writes) == 2 and all(path.endswith("/composite/sobjects") for path in writes)
    assert set_up.find_invoiced(billed(*keys)) is not None


# -- expenses and milestones -------------------------------------------------------------------------------------
def _report(box: CertiniaSandbox, assignment: dict[str, Any], **fields: Any) -> str:
    place = {name: assignment[name] for name in ("pse__Project__c", "pse__Resource__c")}
    facts = {"Name": "March", "pse__Billable__c": True, "pse__Approver__c": approver_id("Cp4")}
    report = {**place, **facts, "pse__Assignment__c": assignment["Id"], **fields}
    return str(box.seed("pse__Expense_Report__c", report)["Id"])


def test_approved_expenses_come_with_their_tax_and_go_when_they_are_gone(
    set_up: Connection, box: CertiniaSandbox
) -> None:
    report = _report(box, staffed(box), pse__Status__c="Approved")
    line = {"pse__Expense_Report__c": report, "pse__Expense_Date__c": "2026-03-03", "pse__Amount__c": 118.0}
    line |= {"pse__Type__c": "Lodging", "pse__Billable__c": True, "CurrencyIsoCode": "EUR"}
    made = box.seed("pse__Expense__c", {**line, "pse__Incurred_Tax__c": 18, "pse__Non_Billable_Incurred_Amount__c": 8})
    page = set_up.approved_expenses("")
    [expense] = page.expenses
    assert (expense.source_id, expense.gross, expense.tax) == (made["Id"], Decimal("118.0"), Decimal("18.0"))
    assert (expense.personal, expense.currency, expense.category) == (Decimal("8.0"), "EUR", "Lodging")
    assert (expense.task_code, expense.tax_recoverable, expense.billable) == ("L1", False, True)
    assert (expense.approved_by, expense.expense_date) == ("Petra Lindqvist", date(2026, 3, 3))
    box.seed("pse__Expense__c", {"Id": made["Id"], "IsDeleted": True})
    after = set_up.approved_expenses(page.watermark)
    assert after.expenses == ()
    assert [(one.source_id, one.by) for one in after.withdrawn] == [(made["Id"], "certinia: deleted")]


def test_an_expense_without_a_type_is_told_and_unapproved_ones_are_not_entries(
    set_up: Connection, box: CertiniaSandbox
) -> None:
    mine = staffed(box)
    line = {"pse__Expense_Date__c": "2026-03-03", "pse__Amount__c": 10}
    bad = box.seed("pse__Expense__c", {**line, "pse__Expense_Report__c": _report(box, mine, pse__Status__c="Approved")})
    box.seed("pse__Expense__c", {**line, "pse__Expense_Report__c": _report(box, mine), "pse__Type__c": "Air"})
    page = set_up.approved_expenses("")
    assert page.expenses == ()
    assert [what for what, _ in page.unreadable] == [bad["Id"]]
    assert "category" in page.unreadable[0][1]
    assert len(page.withdrawn) == 1  # the hub has never heard of it, so nothing follows


def _goal(box: CertiniaSandbox, key: str, **fields: Any) -> dict[str, Any]:
    [project] = rows(box, "pse__Proj__c")
    facts = {"Name": "Go-live", "pse__Target_Date__c": "2026-06-01", "Hub_Id__c": key}
    return {**facts, "pse__Project__c": project["Id"], **fields}


def test_milestones_say_how_far_they_are_and_unmapped_states_are_not_guessed(
    served: Running, set_up: Connection, box: CertiniaSandbox
) -> None:
    box._set_clock({"now": "2026-06-02T08:00:00Z"})
    box.seed("pse__Milestone__c", _goal(box, "P-100:L2-M1", pse__Status__c="Completed"))
    approved = box.seed("pse__Milestone__c", _goal(box, "P-100:L2-M2", pse__Status__c="Approved"))
    box.seed("pse__Milestone__c", _goal(box, "not ours") | {"Hub_Id__c": None})
    page = set_up.milestones_changed("")
    [done] = page.milestones
    assert (done.project_code, done.line_uid, done.number, done.state) == ("P-100", "L2", 1, "completed")
    assert (done.by, done.at) == ("Hub Integration", datetime(2026, 6, 2, 8, tzinfo=UTC))
    assert [what for what, _ in page.unreadable] == [approved["Id"]]
    assert "'Approved'" in page.unreadable[0][1] and "milestone_states" in page.unreadable[0][1]
    told = connect(served, milestone_states={"Approved": "accepted"}).milestones_changed("")
    assert [m.state for m in told.milestones] == ["completed", "accepted"]


# -- limits and sign-in ------------------------------------------------------------------------------------------
def test_the_days_requests_used_up_are_waited_for_and_a_session_that_ended_is_renewed(
    set_up: Connection, box: CertiniaSandbox
) -> None:
    box.auth.expire_all()
    assert set_up.find_project(PROJECT) is not None
    box.daily_limit = 0
    with pytest.raises(Throttled, match="TotalRequests Limit exceeded"):
        set_up.find_project(PROJECT)


def test_a_row_that_is_locked_is_tried_again_and_not_refused(set_up: Connection, box: CertiniaSandbox) -> None:
    split = week(box, staffed(box))["splits"][0]
    result = {"success": False, "errors": [{"statusCode": "UNABLE_TO_LOCK_ROW", "message": "locked", "fields": []}]}
    box.faults.append(Fault("status", method="PATCH", path="composite/sobjects", status=200, body=[result]))
    with pytest.raises(Unreachable, match="UNABLE_TO_LOCK_ROW"):
        set_up.mark_invoiced(billed(f"certinia:{split}-2026-03-30"))
    set_up.mark_invoiced(billed(f"certinia:{split}-2026-03-30"))
    assert set_up.find_invoiced(billed(f"certinia:{split}-2026-03-30")) is not None
