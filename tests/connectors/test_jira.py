"""The Jira connector, every verb over HTTP against the sandbox: effects, look-ups, approval rules, changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from isthmus.connectors.jira import connector as Jira
from isthmus.domain.errors import (
    BadInput,
    NeedsSetup,
    NotFound,
    OutcomeUnknown,
    RemoteRefusal,
    SignatureInvalid,
    Throttled,
    Unreachable,
)
from isthmus.domain.objects import Project, Task
from isthmus.kit.executor import Connection
from isthmus.kit.signatures import verify
from isthmus.ports.messages import InvoicedTime, TaskIn, TimePage
from isthmus.sandbox.base import Fault
from isthmus.sandbox.jira import JiraSandbox
from isthmus.sandbox.jira.reference import AMARA, BELA, CHIDI, PETRA
from isthmus.sandbox.server import Running, running
from tests.sandbox.receiver import receiving
from tests.vendor_specs import OpenApi, specification

Record = dict[str, Any]
PROJECT = Project(
    project_code="P-100",
    name="Data platform",
    contract_no="K-1",
    contract_version=2,
    client_no="C-100",
    entity="US01",
    currency="USD",
    start=date(2026, 3, 1),
    end=date(2026, 10, 1),
)
TASK = TaskIn(project_code="P-100", task=Task(code="L1", name="Discovery", line_uid="L1"))
GOAL = TaskIn(project_code="P-100", task=Task(code="L2-M1", name="Go-live", line_uid="L2", billable=False, milestone=1))
SETTINGS: Record = {"projects": {"US01": "CONS"}, "approval": "issue_status", "approved_statuses": "Approved, Done"}


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running("jira") as boxes:
        yield boxes["jira"]


@pytest.fixture
def box(served: Running) -> JiraSandbox:
    """An empty site, on the second of March."""
    made = served.sandbox
    assert isinstance(made, JiraSandbox)
    made.reset()
    made.access.burst_limit, made.knobs.changes_page, made.knobs.numbered_moments = None, 1000, False
    clock(made, "2026-03-02T08:00:00Z")
    return made


def clock(box: JiraSandbox, now: str) -> None:
    box._set_clock({"now": now})


def connect(served: Running, auth: str = "basic", client: httpx.Client | None = None, **settings: Any) -> Connection:
    known = served.sandbox.credentials()
    secrets = {"username": known["email"], "password": known["api_token"]}
    if auth == "refresh_token":
        secrets = {name: known[name] for name in ("client_id", "client_secret", "refresh_token", "token_url")}
    url = f"{served.url}/rest/api/3"
    made = Jira({**SETTINGS, **settings})
    return Connection("psa", made, base_url=url, auth_kind=auth, secrets=secrets, client=client)


@pytest.fixture
def psa(served: Running, box: JiraSandbox) -> Connection:
    return connect(served)


@pytest.fixture
def task(psa: Connection) -> str:
    """The id of the task of an engagement that is set up."""
    psa.put_project(PROJECT)
    return str(psa.put_task(TASK).external_id)


def issues(box: JiraSandbox) -> list[Record]:
    return [record for _, record in box.records.all("issue")]


def work(box: JiraSandbox, issue: str, **fields: Any) -> Record:
    """Two hours of Amara on the third of March, New York time."""
    facts = {"timeSpentSeconds": 7200, "started": "2026-03-03T14:30:00.000+0000", "comment": "Workshop"}
    stamp = {"created": "2026-03-03T17:00:00+00:00", "updated": "2026-03-03T17:00:00+00:00"}
    return box.seed("worklog", {"issue": issue, **facts, **stamp, **fields})


def approve(box: JiraSandbox, issue: str, at: str = "2026-03-04T09:00:00+00:00", status: str = "Approved") -> None:
    box.seed("issue", {"id": issue, "status": status, "status_at": at, "author": PETRA})


def read(box: JiraSandbox, psa: Connection, watermark: str = "", at: str = "2026-03-05T12:00:00Z") -> TimePage:
    clock(box, at)
    page = psa.approved_time(watermark)
    assert isinstance(page, TimePage)
    return page


def billed(*worklogs: Record, number: str = "INV-1") -> InvoicedTime:
    return InvoicedTime(
        project_code="P-100",
        number=number,
        issue_date=date(2026, 3, 31),
        total=Decimal("500.00"),
        currency="USD",
        entry_keys=tuple(f"jira:{each['id']}" for each in worklogs),
    )


# -- engagements, tasks, milestones ------------------------------------------------------------------------------
@pytest.mark.requirement("SYS-10")
def test_an_engagement_is_an_epic_with_its_tasks_and_its_state_flows_back(psa: Connection, box: JiraSandbox) -> None:
    made = psa.put_project(PROJECT)
    psa.put_task(TASK)
    goal = psa.put_task(GOAL)
    epic, discovery, live = issues(box)
    assert (epic["project"], epic["type"], epic["summary"]) == ("CONS", "Epic", "Data platform")
    # The end is the last day; the hub's own is the day after.
    assert (epic["duedate"], epic["labels"]) == ("2026-09-30", ["isthmus", "isthmus-P-100"])
    assert (discovery["type"], discovery["summary"], discovery["parent"]) == ("Task", "Discovery", epic["id"])
    assert live["properties"]["isthmus"]["kind"] == "milestone"
    facts = psa.read_project("P-100")
    assert (facts.ref, facts.name, facts.currency, facts.client_no) == (made, "Data platform", "USD", "C-100")
    assert facts.active and set(facts.tasks) == {"L1", "L2-M1"}
    assert psa.find_project(PROJECT) == made and psa.find_closed(PROJECT) is None
    [planned] = psa.milestones_changed("").milestones
    assert (planned.project_code, planned.line_uid, planned.number, planned.state) == ("P-100", "L2", 1, "planned")
    approve(box, goal.external_id, "2026-03-04T09:00:00+00:00", "Done")
    [done] = psa.milestones_changed("").milestones
    assert (done.state, done.by, done.at) == (
        "completed",
        "petra.lindqvist@consulting.example",
        datetime(2026, 3, 4, 9, tzinfo=UTC),
    )


def test_the_same_engagement_and_task_again_are_changed_and_not_doubled(psa: Connection, box: JiraSandbox) -> None:
    first, task = psa.put_project(PROJECT), psa.put_task(TASK)
    assert psa.put_project(PROJECT.model_copy(update={"name": "Renamed", "contract_version": 3})) == first
    assert psa.put_task(TASK.model_copy(update={"task": Task(code="L1", name="Analysis", line_uid="L1")})) == task
    epic, issue = issues(box)
    assert (epic["summary"], epic["properties"]["isthmus"]["contract_version"]) == ("Renamed", 3)
    assert issue["summary"] == "Analysis"


def test_a_copied_issue_is_not_ours_and_twins_are_refused(psa: Connection, task: str, box: JiraSandbox) -> None:
    copied = {"project": "CONS", "summary": "Copy of Discovery", "labels": ["isthmus", "isthmus-P-100-L1"]}
    box.seed("issue", copied)
    assert psa.find_task(TASK).external_id == task
    mark = next(each["properties"]["isthmus"] for each in issues(box) if each["id"] == task)
    box.seed("issue", {**copied, "labels": next(e["labels"] for e in issues(box) if e["id"] == task)})
    assert psa.find_task(TASK).external_id == task
    box.seed("issue", {**copied, "properties": {"isthmus": mark}, "labels": issues(box)[-1]["labels"]})
    with pytest.raises(RemoteRefusal, match="2 records of issue P-100:L1"):
        psa.put_task(TASK)


def test_closing_moves_the_epic_and_putting_takes_it_up_again(psa: Connection, box: JiraSandbox) -> None:
    made = psa.put_project(PROJECT)
    assert psa.close_project(PROJECT) == made == psa.close_project(PROJECT)
    assert issues(box)[0]["status"] == "Cancelled"
    assert psa.find_project(PROJECT) is None and psa.find_closed(PROJECT) == made
    assert not psa.read_project("P-100").active
    assert psa.put_project(PROJECT) == made
    assert issues(box)[0]["status"] == "To Do" and psa.find_closed(PROJECT) is None
    with pytest.raises(NotFound):
        psa.close_project(PROJECT.model_copy(update={"project_code": "P-404"}))
    with pytest.raises(NotFound):
        psa.read_project("P-404")


def test_a_status_the_workflow_does_not_lead_to_is_refused_with_those_it_does(served: Running, psa: Connection) -> None:
    psa.put_project(PROJECT)
    with pytest.raises(RemoteRefusal, match=r"CONS-1 cannot go to Withdrawn, only to .*Cancelled") as caught:
        connect(served, cancelled_status="Withdrawn").close_project(PROJECT)
    assert caught.value.context["field"] == "status"


def test_a_task_without_its_engagement_is_not_made(psa: Connection, box: JiraSandbox) -> None:
    with pytest.raises(NotFound, match="no epic P-100"):
        psa.put_task(TASK)
    assert issues(box) == []


def test_an_entity_without_project_needs_setup_and_a_wrong_type_is_refused_by_field(
    served: Running, psa: Connection
) -> None:
    with pytest.raises(NeedsSetup, match="setting projects has no 'DE01'"):
        psa.put_project(PROJECT.model_copy(update={"entity": "DE01"}))
    with pytest.raises(RemoteRefusal) as caught:
        connect(served, epic_type="Engagement").put_project(PROJECT)
    assert caught.value.context["field"] == "issuetype"


def test_fields_the_firms_screens_require_go_with_every_new_issue(served: Running, box: JiraSandbox) -> None:
    connect(served, fields={"customfield_10050": {"value": "Consulting"}}).put_project(PROJECT)
    assert issues(box)[0]["custom"] == {"customfield_10050": {"value": "Consulting"}}


@pytest.mark.parametrize("lost", ["timeout_before_commit", "timeout_after_commit"])
def test_after_a_lost_answer_the_look_up_tells(psa: Connection, box: JiraSandbox, lost: Any) -> None:
    box.faults.append(Fault(lost, method="POST", path="/issue$"))
    with pytest.raises(OutcomeUnknown):
        psa.put_project(PROJECT)
    assert (psa.find_project(PROJECT) is not None) is (lost == "timeout_after_commit")
    psa.put_project(PROJECT)
    assert len(issues(box)) == 1


# -- time: what an approved work log is --------------------------------------------------------------------------
def test_a_work_log_of_an_approved_issue_comes_as_an_entry(psa: Connection, task: str, box: JiraSandbox) -> None:
    log = work(box, task)
    approve(box, task)
    [entry] = read(box, psa).entries
    assert (entry.key, entry.project_code, entry.task_code) == (f"jira:{log['id']}", "P-100", "L1")
    assert (entry.person, entry.hours, entry.note) == ("amara.osei@consulting.example", Decimal("2"), "Workshop")
    # 14:30 UTC is 9:30 in New York, where Amara lives.
    assert (entry.service_date, entry.started_at) == (date(2026, 3, 3), "09:30")
    assert (entry.approved_by, entry.approved_at) == (
        "petra.lindqvist@consulting.example",
        datetime(2026, 3, 4, 9, tzinfo=UTC),
    )


def test_without_a_rule_no_time_is_taken_for_approved(served: Running, task: str, box: JiraSandbox) -> None:
    work(box, task)
    with pytest.raises(NeedsSetup, match="setting approval"):
        connect(served, approval="").approved_time("")
    with pytest.raises(NeedsSetup, match="approved_statuses"):
        connect(served, approved_statuses="").approved_time("")
    with pytest.raises(NeedsSetup, match="setting approval: always is not among issue_status"):
        connect(served, approval="always")


def test_an_issue_approved_later_brings_its_hours_and_one_taken_back_withdraws_them(
    psa: Connection, task: str, box: JiraSandbox
) -> None:
    log = work(box, task)
    early = read(box, psa)
    assert early.entries == () and [one.source_id for one in early.withdrawn] == [log["id"]]
    # No work log changes any more: only the issue does.
    approve(box, task, "2026-03-06T10:00:00+00:00")
    late = read(box, psa, early.watermark, "2026-03-06T12:00:00Z")
    assert [entry.source_id for entry in late.entries] == [log["id"]] and late.withdrawn == ()
    assert late.watermark == "2026-03-06T10:00:00+00:00"
    approve(box, task, "2026-03-07T10:00:00+00:00", "In Progress")
    [gone] = read(box, psa, late.watermark, "2026-03-07T12:00:00Z").withdrawn
    assert (gone.source_id, gone.by, gone.at) == (
        log["id"],
        "jira: not approved",
        datetime(2026, 3, 7, 10, tzinfo=UTC),
    )


def test_moments_of_jql_are_in_the_time_zone_of_the_integrations_account(
    psa: Connection, task: str, box: JiraSandbox
) -> None:
    """Its account is in Los Angeles, eight hours behind: a moment in UTC would find nothing for eight hours."""
    work(box, task)
    first = read(box, psa)
    approve(box, task, "2026-03-05T12:30:00+00:00")
    assert len(read(box, psa, first.watermark, "2026-03-05T13:00:00Z").entries) == 1
    assert read(box, psa, "2026-03-05T12:36:00+00:00", "2026-03-05T13:00:00Z").entries == ()


def test_approval_by_property_counts_only_for_the_hours_it_was_given_for(
    served: Running, task: str, box: JiraSandbox
) -> None:
    psa = connect(served, approval="worklog_property")
    given = {"by": "petra", "at": "2026-03-04T09:00:00+01:00", "seconds": 7200}
    approved = work(box, task, properties={"isthmus-approval": given})
    changed = work(box, task, timeSpentSeconds=9000, properties={"isthmus-approval": given})
    without = work(box, task)
    odd = work(box, task, properties={"isthmus-approval": {"by": "petra", "seconds": 7200}})
    naive = work(box, task, properties={"isthmus-approval": {**given, "at": "2026-03-04T09:00:00"}})
    page = read(box, psa)
    [entry] = page.entries
    assert (entry.source_id, entry.approved_by) == (approved["id"], "petra")
    assert entry.approved_at == datetime(2026, 3, 4, 8, tzinfo=UTC)
    assert {one.source_id for one in page.withdrawn} == {changed["id"], without["id"]}
    why = dict(page.unreadable)
    assert set(why) == {odd["id"], naive["id"]} and "offset" in why[naive["id"]]


def test_where_no_approval_is_required_every_work_log_counts_and_says_so(
    served: Running, task: str, box: JiraSandbox
) -> None:
    work(box, task)
    [entry] = read(box, connect(served, approval="not_required")).entries
    assert entry.approved_by == "jira: not_required"
    assert entry.approved_at == datetime(2026, 3, 3, 17, tzinfo=UTC)


@pytest.mark.parametrize("numbers", [False, True])
def test_moments_of_histories_may_be_text_or_milliseconds(
    psa: Connection, task: str, box: JiraSandbox, numbers: bool
) -> None:
    box.knobs.numbered_moments = numbers
    work(box, task)
    approve(box, task)
    assert [entry.approved_at for entry in read(box, psa).entries] == [datetime(2026, 3, 4, 9, tzinfo=UTC)]


def test_an_issue_that_was_made_approved_has_no_approver_and_none_is_made_up(
    psa: Connection, task: str, box: JiraSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isthmus.sandbox.jira.site.FIRST_STATUS", "Approved")
    epic = issues(box)[0]["id"]
    fields = {"parent": {"id": epic}, "summary": "Ready", "labels": []}
    work(box, box.seed("issue", {"project": "CONS", **fields})["id"])
    [entry] = read(box, psa).entries
    assert (entry.approved_by, entry.task_code) == ("jira: issue_status", "")


# -- time: who, when, where --------------------------------------------------------------------------------------
def test_persons_zones_and_roles_come_from_settings_where_jira_does_not_show_them(
    served: Running, task: str, box: JiraSandbox
) -> None:
    amara, hidden, nowhere = (work(box, task, author=author) for author in (AMARA, BELA, CHIDI))
    approve(box, task)
    page = read(box, connect(served))
    assert [entry.source_id for entry in page.entries] == [amara["id"]]
    why = dict(page.unreadable)
    assert "setting persons" in why[hidden["id"]] and BELA in why[hidden["id"]]
    assert "setting time_zone" in why[nowhere["id"]]
    settings = {"persons": {BELA: "bela@consulting.example"}, "time_zone": "Pacific/Auckland"}
    psa = connect(served, **settings, roles={"bela@consulting.example": "Lead"})
    by_id = {entry.source_id: entry for entry in read(box, psa).entries}
    assert set(by_id) == {amara["id"], hidden["id"], nowhere["id"]}
    assert (by_id[hidden["id"]].person, by_id[hidden["id"]].role) == ("bela@consulting.example", "Lead")
    assert by_id[amara["id"]].role == ""
    # 14:30 UTC on the third is half past three in the morning of the fourth in Auckland.
    assert (by_id[nowhere["id"]].service_date, by_id[nowhere["id"]].started_at) == (date(2026, 3, 4), "03:30")


def test_the_note_is_the_text_of_the_comment_with_its_people_and_lines(
    psa: Connection, task: str, box: JiraSandbox
) -> None:
    def paragraph(*nodes: Record) -> Record:
        return {"type": "paragraph", "content": list(nodes)}

    bold = {"type": "text", "text": "Workshop", "marks": [{"type": "strong"}]}
    mention = {"type": "mention", "attrs": {"id": BELA, "text": "@Bela"}}
    plain = {"type": "text", "text": " with "}
    bullets = {"type": "bulletList", "content": [{"type": "listItem", "content": [paragraph(bold)]}]}
    document = {"type": "doc", "version": 1, "content": [paragraph(bold, plain, mention), bullets]}
    log = work(box, task)
    log["comment"] = document
    work(box, task, comment=None)
    approve(box, task)
    assert [entry.note for entry in read(box, psa).entries] == ["Workshop with @Bela\nWorkshop", ""]


def test_work_under_a_task_is_the_tasks_and_work_on_the_epic_the_engagements(
    psa: Connection, task: str, box: JiraSandbox
) -> None:
    epic = issues(box)[0]["id"]
    below = box.seed("issue", {"project": "CONS", "type": "Sub-task", "summary": "Notes", "parent": {"id": task}})
    beside = box.seed("issue", {"project": "CONS", "summary": "Found on the way", "parent": {"id": epic}})
    mark = {"isthmus": {"kind": "task", "key": "P-100:L3", "code": "L3", "project": "P-100"}}
    put_under = {"project": "CONS", "type": "Sub-task", "summary": "Moved", "parent": {"id": beside["id"]}}
    moved = box.seed("issue", {**put_under, "properties": mark})  # a task of ours that people have put under another
    foreign = box.seed("issue", {"project": "INT", "summary": "Internal"})["id"]
    codes = {below["id"]: "L1", beside["id"]: "", epic: "", moved["id"]: "L3"}
    placed = {work(box, place)["id"]: code for place, code in codes.items()}
    work(box, foreign)
    for each in (*codes, foreign):
        approve(box, each)
    page = read(box, psa)
    assert {entry.source_id: entry.task_code for entry in page.entries} == placed
    assert page.unreadable == () and page.withdrawn == ()


# -- time: changes -----------------------------------------------------------------------------------------------
def test_deleted_work_is_withdrawn_and_a_changed_one_comes_again(psa: Connection, task: str, box: JiraSandbox) -> None:
    kept, deleted = work(box, task), work(box, task)
    approve(box, task)
    first = read(box, psa)
    assert len(first.entries) == 2
    clock(box, "2026-03-06T08:00:00Z")
    box.seed("worklog", {"id": kept["id"], "timeSpentSeconds": 5400})
    box.seed("worklog", {"id": deleted["id"], "deleted": True})
    page = read(box, psa, first.watermark, "2026-03-06T08:05:00Z")
    [entry] = page.entries
    assert (entry.source_id, entry.hours) == (kept["id"], Decimal("1.5"))
    # Changed after it was approved: it counts as approved with its issue, and later than before.
    assert entry.approved_at == datetime(2026, 3, 6, 8, tzinfo=UTC)
    [gone] = page.withdrawn
    assert (gone.key, gone.by, gone.at) == (
        f"jira:{deleted['id']}",
        "jira: deleted",
        datetime(2026, 3, 6, 8, tzinfo=UTC),
    )
    assert page.watermark == "2026-03-06T08:00:00+00:00" and page.unreadable == ()


def test_a_deleted_issue_withdraws_its_work(psa: Connection, task: str, box: JiraSandbox) -> None:
    log = work(box, task)
    approve(box, task)
    first = read(box, psa)
    box.seed("issue", {"id": task, "deleted": True})
    page = read(box, psa, first.watermark, "2026-03-06T08:05:00Z")
    assert [one.source_id for one in page.withdrawn] == [log["id"]] and page.unreadable == ()


def test_the_last_minute_is_read_the_next_time(psa: Connection, task: str, box: JiraSandbox) -> None:
    approve(box, task)
    work(box, task)
    fresh = work(box, task, created="2026-03-05T11:59:30+00:00", updated="2026-03-05T11:59:30+00:00")
    first = read(box, psa)
    assert fresh["id"] not in {entry.source_id for entry in first.entries}
    # Meanwhile something later was seen; the overlap reaches back for what was held back.
    later = read(box, psa, "2026-03-05T12:00:20+00:00", "2026-03-05T12:02:00Z")
    assert fresh["id"] in {entry.source_id for entry in later.entries}


@pytest.mark.parametrize("size", [3, 4])
def test_pages_of_changes_are_read_to_their_end_though_some_have_one_stamp(
    psa: Connection, task: str, box: JiraSandbox, size: int
) -> None:
    box.knobs.changes_page = size
    approve(box, task)
    stamps = [f"2026-03-03T17:00:0{second}+00:00" for second in (0, 1, 1, 2, 3)]
    logs = {work(box, task, created=stamp, updated=stamp)["id"] for stamp in stamps}
    deleted = {work(box, task)["id"] for _ in range(5)}
    for second, each in enumerate(sorted(deleted)):
        clock(box, f"2026-03-04T17:00:0{second}Z")
        box.seed("worklog", {"id": each, "deleted": True})
    page = read(box, psa)
    assert {entry.source_id for entry in page.entries} == logs
    assert {one.source_id for one in page.withdrawn} == deleted and page.unreadable == ()


def test_more_changes_of_one_stamp_than_a_page_can_list_are_told(psa: Connection, task: str, box: JiraSandbox) -> None:
    box.knobs.changes_page = 2
    approve(box, task)
    for _ in range(3):
        work(box, task)
    later = work(box, task, created="2026-03-03T18:00:00+00:00", updated="2026-03-03T18:00:00+00:00")
    clock(box, "2026-03-04T17:00:00Z")
    for _ in range(3):
        box.seed("worklog", {"id": work(box, task)["id"], "deleted": True})
    page = read(box, psa)
    assert later["id"] in {entry.source_id for entry in page.entries}
    assert [each for each, _ in page.unreadable] == [
        "updated at 1772557200000, beyond the page",
        "deleted at 1772643600000, beyond the page",
    ]


class Altered(httpx.HTTPTransport):
    """Carries requests on; what a path answers is changed on its way."""

    def __init__(self, path: str, change: Callable[[Any], Any]) -> None:
        super().__init__()
        self.path, self.change = path, change

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        if not request.url.path.endswith(self.path):
            return answer
        return httpx.Response(answer.status_code, json=self.change(json.loads(answer.read())), request=request)


def altered(served: Running, path: str, change: Callable[[Any], Any]) -> Connection:
    return connect(served, client=httpx.Client(transport=Altered(path, change)))


def test_hidden_work_and_hidden_issues_are_told_and_not_dropped(served: Running, task: str, box: JiraSandbox) -> None:
    log = work(box, task)
    approve(box, task)
    epic = issues(box)[0]["id"]

    def without(hidden: str) -> Callable[[Any], Any]:
        return lambda told: {**told, "issues": [each for each in told["issues"] if each["id"] != hidden]}

    for psa in (
        altered(served, "worklog/list", lambda told: []),
        altered(served, "issue/bulkfetch", without(task)),
        altered(served, "issue/bulkfetch", without(epic)),  # may be ours, may be not: nobody can say
    ):
        page = read(box, psa)
        assert page.entries == () and [each for each, _ in page.unreadable] == [log["id"]]
    assert len(read(box, connect(served)).entries) == 1


def test_work_of_a_moved_issue_is_read_over_all_its_pages(psa: Connection, task: str, box: JiraSandbox) -> None:
    logs = {work(box, task)["id"] for _ in range(7)}
    first = read(box, psa)
    psa.connector.manifest = psa.connector.manifest.model_copy(update={"page_size": 3})
    approve(box, task, "2026-03-06T10:00:00+00:00")
    page = read(box, psa, first.watermark, "2026-03-06T12:00:00Z")
    assert {entry.source_id for entry in page.entries} == logs


# -- invoiced ----------------------------------------------------------------------------------------------------
def test_work_logs_carry_the_invoice_and_the_epic_knows_it(psa: Connection, task: str, box: JiraSandbox) -> None:
    first, second = work(box, task), work(box, task)
    assert psa.find_invoiced(billed(first)) is None
    made = psa.mark_invoiced(billed(first))
    assert first["properties"]["isthmus-invoice"] == {"issue_date": "2026-03-31", "numbers": ["INV-1"]}
    assert "isthmus-invoice" not in second["properties"]
    epic = issues(box)[0]
    assert epic["properties"]["isthmus-invoice-INV-1"] == {
        "number": "INV-1",
        "total": "500.00",
        "currency": "USD",
        "issue_date": "2026-03-31",
    }
    assert psa.find_invoiced(billed(first)) == made == psa.mark_invoiced(billed(first))
    assert psa.find_invoiced(billed(first, second)) is None


def test_hours_on_two_invoices_carry_both_numbers(psa: Connection, task: str, box: JiraSandbox) -> None:
    log = work(box, task)
    psa.mark_invoiced(billed(log))
    psa.mark_invoiced(billed(log, number="INV-2"))
    psa.mark_invoiced(billed(log))
    assert log["properties"]["isthmus-invoice"]["numbers"] == ["INV-1", "INV-2"]
    assert psa.find_invoiced(billed(log)) and psa.find_invoiced(billed(log, number="INV-2"))


def test_an_invoice_without_hours_is_on_the_epic(psa: Connection, task: str) -> None:
    assert psa.find_invoiced(billed()) is None
    assert psa.mark_invoiced(billed()) == psa.find_invoiced(billed())


def test_work_that_is_gone_and_keys_of_other_systems_are_refused(psa: Connection, task: str, box: JiraSandbox) -> None:
    log = work(box, task)
    box.seed("worklog", {"id": log["id"], "deleted": True})
    with pytest.raises(RemoteRefusal, match=f"no work log {log['id']}") as caught:
        psa.mark_invoiced(billed(log))
    assert caught.value.context["field"] == "entry_keys"
    assert "isthmus-invoice-INV-1" not in issues(box)[0]["properties"]
    with pytest.raises(BadInput, match="is not one of jira"):
        psa.mark_invoiced(billed().model_copy(update={"entry_keys": ("kantata:7",)}))


def test_a_mark_half_made_is_not_taken_for_made(psa: Connection, task: str, box: JiraSandbox) -> None:
    first, second = work(box, task), work(box, task)
    box.faults.append(Fault("server_error", method="PUT", path=f"worklog/{second['id']}/"))
    with pytest.raises(OutcomeUnknown):
        psa.mark_invoiced(billed(first, second))
    assert psa.find_invoiced(billed(first, second)) is None
    psa.mark_invoiced(billed(first, second))
    assert psa.find_invoiced(billed(first, second)) is not None


# -- milestones --------------------------------------------------------------------------------------------------
def test_a_milestones_state_nobody_has_mapped_waits_for_a_person(
    served: Running, psa: Connection, task: str, box: JiraSandbox
) -> None:
    goal = psa.put_task(GOAL).external_id
    approve(box, goal, status="Approved")
    page = psa.milestones_changed("")
    assert page.milestones == () and "unknown state 'Approved'" in dict(page.unreadable)[goal]
    [told] = connect(served, milestone_states={"Approved": "accepted"}).milestones_changed("").milestones
    assert (told.state, told.key) == ("accepted", f"jira:{goal}")


def test_milestones_are_read_again_within_the_overlap_and_not_before_it(
    psa: Connection, task: str, box: JiraSandbox
) -> None:
    goal = psa.put_task(GOAL).external_id
    approve(box, goal, "2026-03-04T09:00:00+00:00", "Done")
    first = psa.milestones_changed("")
    assert first.watermark == "2026-03-04T09:00:00+00:00"
    assert len(psa.milestones_changed(first.watermark).milestones) == 1
    page = psa.milestones_changed("2026-03-04T09:06:00+00:00")
    assert page.milestones == () and page.watermark == "2026-03-04T09:06:00+00:00"


# -- limits and sign-in ------------------------------------------------------------------------------------------
def test_a_burst_limit_is_obeyed_for_the_seconds_it_names(psa: Connection, box: JiraSandbox) -> None:
    box.access.burst_limit, box.access.burst_seconds = 1, 7.0
    psa.find_project(PROJECT)
    with pytest.raises(Throttled) as caught:
        psa.find_project(PROJECT)
    assert caught.value.after_seconds == 7


def test_a_quota_that_does_not_say_how_long_is_left_alone_for_ten_minutes(served: Running, box: JiraSandbox) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        headers = {"RateLimit-Reason": "jira-quota-tenant-based"}
        return httpx.Response(429, headers=headers, json={"errorMessages": ["Rate limit exceeded."]})

    psa = connect(served, client=httpx.Client(transport=httpx.MockTransport(answer)))
    with pytest.raises(Throttled) as caught:
        psa.find_project(PROJECT)
    assert caught.value.after_seconds == 600


def test_a_refused_sign_in_needs_setup(served: Running, box: JiraSandbox) -> None:
    url = f"{served.url}/rest/api/3"
    secrets = {"username": "hub@consulting.example", "password": "wrong"}
    psa = Connection("psa", Jira(SETTINGS), base_url=url, auth_kind="basic", secrets=secrets)
    with pytest.raises(NeedsSetup):
        psa.find_project(PROJECT)


def test_an_oauth_token_that_ends_in_the_middle_is_renewed_with_the_next_refresh_token(
    served: Running, box: JiraSandbox
) -> None:
    psa = connect(served, "refresh_token")
    psa.put_project(PROJECT)
    for _ in range(2):
        box.access.expire_all()
        assert psa.find_project(PROJECT) is not None
    assert sum(seen["path"] == "/oauth/token" for seen in box.log) == 3


def test_an_issue_that_cannot_be_shown_now_is_asked_for_again_later(
    served: Running, task: str, box: JiraSandbox
) -> None:
    work(box, task)
    late = [{"id": task, "errorMessage": "Please try again"}]
    psa = altered(served, "issue/bulkfetch", lambda told: {**told, "issueErrors": late})
    with pytest.raises(Unreachable, match="Please try again"):
        read(box, psa)


# -- webhooks ----------------------------------------------------------------------------------------------------
def test_a_signed_webhook_of_the_site_is_known_and_a_forged_one_is_not(
    served: Running, task: str, box: JiraSandbox
) -> None:
    facts = Jira.read_manifest().capture.signature
    assert facts is not None
    known = box.credentials()
    administrator = (known["admin_email"], known["admin_api_token"])
    with receiving() as receiver:
        hook = {"name": "hub", "url": receiver.url, "secret": "hush", "events": ["worklog_created"]}
        address = f"{served.url}/rest/webhooks/1.0/webhook"
        assert httpx.post(address, json=hook, auth=administrator).status_code == 201
        box.hooks.push.held = True
        log = work(box, task)
        box.hooks.push.send()
        (letter,) = receiver.letters

    def check(secret: str, body: bytes = letter.body) -> str:
        now = datetime.now(UTC)
        return verify(facts, (secret,), method="POST", url="", headers=letter.headers, body=body, now=now)

    assert check("hush") == letter.headers["x-atlassian-webhook-identifier"]
    [told] = Jira(SETTINGS).changes_in(json.loads(letter.body))
    assert str(told["worklog"]["id"]) == log["id"]
    for secret, body in (("other", letter.body), ("hush", letter.body + b" ")):
        with pytest.raises(SignatureInvalid):
            check(secret, body)


# -- the specification -------------------------------------------------------------------------------------------
def test_requests_and_answers_keep_the_published_specification(served: Running, box: JiraSandbox) -> None:
    """Every exchange of every verb."""
    spec = OpenApi(specification("jira", "jira-platform-swagger-v3.v3.json"))

    def check(response: httpx.Response) -> None:
        response.read()
        request = response.request
        sent = json.loads(request.content) if request.content else None
        told = response.json() if response.content else None
        spec.check(request.method, request.url.path, sent, response.status_code, told)

    psa = connect(served, client=httpx.Client(trust_env=False, event_hooks={"response": [check]}))
    psa.put_project(PROJECT)
    task = psa.put_task(TASK).external_id
    psa.put_project(PROJECT)
    psa.put_task(GOAL)
    psa.read_project("P-100")
    log = work(box, task)
    approve(box, task)
    first = read(box, psa)
    read(box, psa, first.watermark)
    psa.mark_invoiced(billed(log))
    psa.find_invoiced(billed(log))
    psa.milestones_changed("")
    psa.milestones_changed(first.watermark)
    psa.close_project(PROJECT)
    assert {operation.split(" ")[1] for operation in spec.seen} == {
        f"/rest/api/3/{path}"
        for path in (
            "search/jql",
            "issue",
            "issue/{issueIdOrKey}",
            "issue/{issueIdOrKey}/transitions",
            "issue/{issueIdOrKey}/properties/{propertyKey}",
            "issue/{issueIdOrKey}/worklog",
            "issue/{issueIdOrKey}/worklog/{worklogId}/properties/{propertyKey}",
            "issue/bulkfetch",
            "changelog/bulkfetch",
            "worklog/updated",
            "worklog/deleted",
            "worklog/list",
            "myself",
        )
    }
