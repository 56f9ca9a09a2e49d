"""The Jira sandbox: driven by the published client jira, its answers checked against the vendor's specification."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from atlassian import Jira
from jira import JIRA
from jira.exceptions import JIRAError

from isthmus.sandbox.jira import JiraSandbox
from isthmus.sandbox.jira.reference import AMARA, BELA, HUB
from isthmus.sandbox.server import Running, running
from tests.sandbox.receiver import Receiver, receiving
from tests.vendor_specs import OpenApi, specification

Record = dict[str, Any]
ADF = {"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": [{"type": "text", "text": "Done"}]}]}
NOW = "2026-03-04T18:00:00+00:00"


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running("jira") as boxes:
        yield boxes["jira"]


@pytest.fixture
def box(served: Running) -> JiraSandbox:
    made = served.sandbox
    assert isinstance(made, JiraSandbox)
    made.reset()
    made.access.burst_limit, made.knobs.changes_page, made.knobs.numbered_moments = None, 1000, False
    return made


def client(served: Running, version: str = "2", **options: Any) -> JIRA:
    """The published client, signed in with e-mail and API token."""
    known = served.sandbox.credentials()
    given = {"server": served.url, "rest_api_version": version, "check_update": False}
    return JIRA(options=given, basic_auth=(known["email"], known["api_token"]), max_retries=0, **options)


@pytest.fixture
def jira(served: Running, box: JiraSandbox) -> JIRA:
    return client(served)


@pytest.fixture
def api(served: Running, box: JiraSandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{served.url}/rest/api/3", auth=integration(box), trust_env=False) as http:
        yield http


def said(answer: httpx.Response) -> tuple[int, list[str], dict[str, str]]:
    body = answer.json()
    return answer.status_code, body["errorMessages"], body["errors"]


# -- the published client ----------------------------------------------------------------------------------------
def test_published_client_knows_the_site_and_works_with_issues(jira: JIRA) -> None:
    assert jira.server_info()["deploymentType"] == "Cloud"
    assert jira.myself()["accountId"] == HUB
    assert [project.key for project in jira.projects()] == ["CONS", "INT"]
    epic = jira.create_issue(project="CONS", summary="Data platform", issuetype="Epic", labels=["isthmus"])
    task = jira.create_issue(project="CONS", summary="Discovery", issuetype="Task", parent={"key": epic.key})
    assert (epic.key, task.key) == ("CONS-1", "CONS-2")
    assert task.fields.parent.key == "CONS-1" and task.fields.status.name == "To Do"
    assert task.fields.description is None
    task.update(summary="Discovery phase", description="Two lines\nof text", labels=["one", "two"])
    again = jira.issue("CONS-2")
    assert (again.fields.summary, again.fields.description) == ("Discovery phase", "Two lines\nof text")
    jira.transition_issue(task, "Approved")
    assert jira.issue("CONS-2").fields.status.statusCategory.key == "done"
    jira.add_issue_property(task.key, "isthmus", {"key": "P-1:T1"})
    assert jira.issue_property(task.key, "isthmus").value.key == "P-1:T1"
    task.delete()
    with pytest.raises(JIRAError) as gone:
        jira.issue("CONS-2")
    assert (gone.value.status_code, gone.value.text) == (
        404,
        "Issue does not exist or you do not have permission to see it.",
    )


def test_published_client_logs_changes_and_deletes_work(jira: JIRA, box: JiraSandbox) -> None:
    issue = jira.create_issue(project="CONS", summary="T", issuetype="Task")
    started = datetime(2026, 3, 4, 9, 30, tzinfo=UTC)
    first = jira.add_worklog(issue.key, timeSpentSeconds=5400, started=started, comment="Workshop")
    jira.add_worklog(issue.key, timeSpent="1h 15m")
    assert [w.timeSpentSeconds for w in jira.worklogs(issue.key)] == [5400, 4500]
    # The caller lives in Los Angeles, and sees moments in that time zone.
    assert (first.timeSpent, first.started) == ("1h 30m", "2026-03-04T01:30:00.000-0800")
    assert first.comment == "Workshop"
    first.update(timeSpentSeconds=3600)
    assert jira.worklog(issue.key, first.id).timeSpentSeconds == 3600
    assert jira.issue(issue.key).fields.timespent == 8100
    first.delete()
    assert len(jira.worklogs(issue.key)) == 1
    with pytest.raises(JIRAError, match="Invalid time duration"):
        jira.add_worklog(issue.key, timeSpent="soon")


def test_published_client_searches_with_page_tokens(jira: JIRA) -> None:
    for number in range(7):
        jira.create_issue(project="CONS", summary=f"S{number}", issuetype="Task", prefetch=False)
    found = jira.enhanced_search_issues("project = CONS ORDER BY key ASC", maxResults=3, fields="summary")
    assert [issue.fields.summary for issue in found] == ["S0", "S1", "S2"]
    everything = jira.enhanced_search_issues("project = CONS ORDER BY key DESC", maxResults=0, fields="summary")
    assert [issue.fields.summary for issue in everything] == [f"S{n}" for n in reversed(range(7))]
    assert jira.approximate_issue_count("project = CONS AND summary ~ 's1'") == 1
    with pytest.raises(JIRAError, match="Unbounded JQL"):
        jira.enhanced_search_issues("ORDER BY key")


def test_another_published_client_works_as_well(served: Running, box: JiraSandbox) -> None:
    known = box.credentials()
    site = Jira(url=served.url, username=known["email"], password=known["api_token"], cloud=True)
    kinds = {each["name"]: each["id"] for each in site.issue_createmeta_issuetypes("CONS")["issueTypes"]}
    shown = site.issue_createmeta_fieldtypes("CONS", kinds["Task"])["fields"]
    assert {each["fieldId"] for each in shown if each["required"]} == {"summary", "issuetype", "project"}
    made = site.issue_create({"project": {"key": "CONS"}, "issuetype": {"id": kinds["Task"]}, "summary": "Plan"})["key"]
    [bela] = site.user_find_by_user_string(query="Bela")
    site.assign_issue(made, bela["accountId"])
    site.issue_add_comment(made, "Begun")
    assert [each["body"] for each in site.issue_get_comments(made)["comments"]] == ["Begun"]
    assert site.issue(made)["fields"]["assignee"]["displayName"] == "Bela Kovacs"
    site.issue_worklog(made, "2026-03-02T15:00:00.000+0000", 3600, "work")
    assert [each["timeSpentSeconds"] for each in site.issue_get_worklog(made)["worklogs"]] == [3600]
    site.set_issue_status(made, "In Progress")
    assert (site.get_issue_status(made), site.issue_exists("CONS-99")) == ("In Progress", False)
    assert [each["key"] for each in site.enhanced_jql_get_list_of_tickets("project = CONS")] == [made]
    assert (site.get_project_versions("CONS"), site.get_project_components("CONS")) == ([], [])


def test_published_client_is_refused_with_a_wrong_token(served: Running, box: JiraSandbox) -> None:
    given = {"server": served.url, "check_update": False}
    with pytest.raises(JIRAError) as refused:
        JIRA(options=given, basic_auth=("hub@consulting.example", "wrong"), max_retries=0)
    assert refused.value.status_code == 401


def test_published_client_writes_documents_in_version_3(served: Running, box: JiraSandbox) -> None:
    jira = client(served, "3")
    issue = jira.create_issue(project="CONS", summary="T", issuetype="Task", description=ADF)
    assert issue.raw["fields"]["description"] == ADF
    worklog = jira.add_worklog(issue.key, timeSpentSeconds=60, comment=ADF)  # type: ignore[arg-type]
    assert worklog.raw["comment"] == ADF
    assert client(served).worklog(issue.key, worklog.id).comment == "Done"
    with pytest.raises(JIRAError, match="Atlassian Document"):
        jira.create_issue(project="CONS", summary="T", issuetype="Task", description="plain")


# -- refusals ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"issuetype": {"name": "Task"}, "summary": "A"}, "project"),
        ({"project": {"key": "NONE"}, "issuetype": {"name": "Task"}, "summary": "A"}, "project"),
        ({"project": {"key": "CONS"}, "issuetype": {"name": "Story"}, "summary": "A"}, "issuetype"),
        ({"project": {"key": "CONS"}, "issuetype": {"name": "Task"}, "summary": " "}, "summary"),
        ({"project": {"key": "CONS"}, "issuetype": {"name": "Task"}, "summary": "A", "labels": ["a b"]}, "labels"),
        ({"project": {"key": "CONS"}, "issuetype": {"name": "Task"}, "summary": "A", "rank": 1}, "rank"),
        ({"project": {"key": "CONS"}, "issuetype": {"name": "Task"}, "summary": "A", "duedate": "soon"}, "duedate"),
        ({"project": {"key": "CONS"}, "issuetype": {"name": "Sub-task"}, "summary": "A"}, "parent"),
    ],
)
def test_a_refused_issue_names_the_field(api: httpx.Client, box: JiraSandbox, fields: Record, field: str) -> None:
    status, messages, errors = said(api.post("/issue", json={"fields": fields}))
    assert (status, messages, [*errors]) == (400, [], [field])
    assert box.records.count("issue") == 0


def test_a_body_that_is_no_json_and_an_address_nobody_knows(api: httpx.Client) -> None:
    assert said(api.post("/issue", content=b"{"))[0] == 400
    assert said(api.get("/nothing"))[0] == 404
    assert said(api.delete("/issue"))[0] == 405
    assert said(api.get("/search", params={"jql": "project = CONS"}))[0] == 410
    assert said(api.post("/webhook", json={}))[0] == 403
    assert api.get("/myself", auth=("hub@consulting.example", "no")).text.startswith("Client must be authenticated")


# -- JQL ---------------------------------------------------------------------------------------------------------
@pytest.fixture
def five(box: JiraSandbox) -> dict[str, str]:
    """Five issues by summary, their updates an hour apart."""
    box._set_clock({"now": NOW})
    epic = box.seed("issue", {"project": "CONS", "type": "Epic", "summary": "epic", "labels": ["isthmus"]})["id"]
    made = {"epic": epic}
    for hour, (name, status) in enumerate((("a", "To Do"), ("b", "In Progress"), ("c", "Done"))):
        at = f"2026-03-04T1{hour}:00:00+00:00"
        issue = {"project": "CONS", "summary": name, "parent": {"id": epic}, "created": at, "updated": at}
        made[name] = box.seed("issue", {**issue, "labels": [name, "isthmus"]})["id"]
        if status != "To Do":
            box.seed("issue", {"id": made[name], "status": status, "status_at": at})
    made["other"] = box.seed("issue", {"project": "INT", "summary": "other"})["id"]
    return made


@pytest.mark.parametrize(
    ("jql", "names"),
    [
        ("project = CONS", ["epic", "a", "b", "c"]),
        ("project in (CONS, INT) AND labels = isthmus AND issuetype != Epic", ["a", "b", "c"]),
        ("labels in ('a', \"c\")", ["a", "c"]),
        ("project = INT OR status = 'In Progress'", ["b", "other"]),
        ("project = CONS AND NOT statusCategory = Done AND type = Task", ["a", "b"]),
        ("parent = CONS-1 AND status not in (Done, 'To Do')", ["b"]),
        ("parent is EMPTY AND labels is not EMPTY", ["epic"]),
        # Moments are in the caller's time zone: 3 in the morning in Los Angeles is 11 in UTC.
        ('project = CONS AND type = Task AND updated >= "2026/03/04 03:00"', ["b", "c"]),
        ('project = CONS AND type = Task AND updated < "2026-03-04 03:01"', ["a", "b"]),
        ("project = CONS AND updated >= -7h AND type = Task", ["b", "c"]),
        ("key = cons-2", ["a"]),
        ("project = CONS AND (summary ~ 'A' OR summary ~ 'c')", ["a", "c", "epic"]),
    ],
)
def test_queries_find_what_they_say(api: httpx.Client, five: dict[str, str], jql: str, names: list[str]) -> None:
    answer = api.post("/search/jql", json={"jql": f"{jql} ORDER BY created ASC", "fields": ["summary"]}).json()
    assert sorted(issue["fields"]["summary"] for issue in answer["issues"]) == sorted(names)


@pytest.mark.parametrize(
    ("jql", "message"),
    [
        ("", "Unbounded JQL"),
        ("ORDER BY created", "Unbounded JQL"),
        ("project = NONE", "The value 'NONE' does not exist for the field 'project'."),
        ("colour = red", "Field 'colour' does not exist"),
        ("summary = a", "The operator '=' is not supported by the 'summary' field."),
        ("project = CONS AND", "ends too early"),
        ("project = CONS labels = a", "expecting operator"),
        ("updated > 'yesterday'", "Date value 'yesterday'"),
        ("issue.property[isthmus].key = 'P-1'", "does not exist"),
        ("status is Done", "expecting EMPTY"),
    ],
)
def test_bad_queries_are_refused(api: httpx.Client, jql: str, message: str) -> None:
    status, messages, _ = said(api.post("/search/jql", json={"jql": jql}))
    assert status == 400 and message in messages[0]


def test_the_index_may_be_late_and_reconciled(api: httpx.Client, box: JiraSandbox, served: Running) -> None:
    made = box.seed("issue", {"project": "CONS", "summary": "new"})["id"]
    stale = {"kind": "stale_read", "path": "search/jql", "times": 2}
    httpx.post(f"{served.url}/_control/faults", json=stale)
    asked = {"jql": "project = CONS"}
    assert api.post("/search/jql", json=asked).json()["issues"] == []
    assert len(api.post("/search/jql", json={**asked, "reconcileIssues": [int(made)]}).json()["issues"]) == 1
    assert len(api.post("/search/jql", json=asked).json()["issues"]) == 1


# -- work logs -----------------------------------------------------------------------------------------------------
def since(api: httpx.Client, what: str, moment: int = 0, **params: Any) -> Record:
    answer: Record = api.get(f"/worklog/{what}", params={"since": moment, **params}).json()
    return answer


def test_changed_work_logs_are_listed_after_a_minute_page_by_page(
    api: httpx.Client, box: JiraSandbox, served: Running
) -> None:
    issue = box.seed("issue", {"project": "CONS", "summary": "T"})["id"]
    box.knobs.changes_page = 2
    ids = []
    for second in range(5):
        box._set_clock({"now": f"2026-03-04T09:00:0{second}+00:00"})
        ids.append(int(box.seed("worklog", {"issue": issue, "timeSpentSeconds": 3600})["id"]))
    assert since(api, "updated")["values"] == []
    box._set_clock({"now": "2026-03-04T09:01:03+00:00"})
    page, seen = since(api, "updated"), []
    for _ in range(2):
        seen += [value["worklogId"] for value in page["values"]]
        if page["lastPage"]:
            break
        page = api.get(page["nextPage"]).json()
    assert seen == ids[:4] and page["lastPage"]  # the fifth is not a minute old
    assert since(api, "updated", page["until"])["values"] == []
    box.seed("worklog", {"id": ids[0], "deleted": True})
    assert since(api, "deleted")["values"] == []
    box._set_clock({"now": "2026-03-04T09:10:00+00:00"})
    assert [value["worklogId"] for value in since(api, "deleted")["values"]] == ids[:1]
    assert [value["worklogId"] for value in since(api, "updated", page["until"])["values"]] == ids[4:]


def test_people_show_what_they_like_and_hidden_work_is_not_shown(api: httpx.Client, box: JiraSandbox) -> None:
    issue = box.seed("issue", {"project": "CONS", "summary": "T"})["id"]
    day = {"issue": issue, "timeSpentSeconds": 60, "updated": "2026-03-04T09:00:00+00:00"}
    shown = [int(box.seed("worklog", {**day, "author": who})["id"]) for who in (AMARA, BELA)]
    secret = {"type": "group", "value": "legal", "identifier": "legal"}
    hidden = int(box.seed("worklog", {**day, "visibility": secret})["id"])
    rows = api.post("/worklog/list", json={"ids": [*shown, hidden, 999]}).json()
    assert [row["id"] for row in rows] == [str(i) for i in shown]
    amara, bela = (row["author"] for row in rows)
    assert (amara["emailAddress"], bela.get("emailAddress")) == ("amara.osei@consulting.example", None)
    assert bela["timeZone"] == "Europe/Berlin"
    assert [value["worklogId"] for value in since(api, "updated")["values"]] == shown
    assert said(api.post("/worklog/list", json={"ids": []}))[0] == 400


def test_a_property_of_a_work_log_is_kept_and_moves_it_in_the_list(api: httpx.Client, box: JiraSandbox) -> None:
    issue = box.seed("issue", {"project": "CONS", "summary": "T"})["id"]
    old = "2026-03-01T09:00:00+00:00"
    worklog = box.seed("worklog", {"issue": issue, "timeSpentSeconds": 60, "created": old, "updated": old})["id"]
    first = since(api, "updated")["until"]
    address = f"/issue/{issue}/worklog/{worklog}/properties/approval"
    box._set_clock({"now": "2026-03-04T09:00:00+00:00"})
    assert [api.put(address, json={"by": who}).status_code for who in ("pia", "petra")] == [201, 200]
    assert api.get(address).json() == {"key": "approval", "value": {"by": "petra"}}
    box._set_clock({"now": "2026-03-04T09:05:00+00:00"})
    [value] = since(api, "updated", first, expand="properties")["values"]
    assert value["properties"] == [{"key": "approval", "value": {"by": "petra"}}]
    [row] = api.post("/worklog/list", params={"expand": "properties"}, json={"ids": [int(worklog)]}).json()
    assert row["properties"][0]["key"] == "approval" and row["updated"] == "2026-03-01T01:00:00.000-0800"
    assert api.delete(address).status_code == 204 and said(api.get(address))[0] == 404
    assert said(api.put(address, content=b'""'))[0] == 400


# -- sign-in, limits, webhooks, control ---------------------------------------------------------------------------
def test_a_refresh_token_is_good_once(served: Running, box: JiraSandbox, api: httpx.Client) -> None:
    known = box.credentials()
    form = {name: known[name] for name in ("client_id", "client_secret", "refresh_token")}
    form["grant_type"] = "refresh_token"
    token_url = f"{served.url}/oauth/token"
    first = httpx.post(token_url, data=form).json()
    bearer = {"Authorization": f"Bearer {first['access_token']}"}
    assert httpx.get(f"{served.url}/rest/api/3/myself", headers=bearer).status_code == 200
    again = httpx.post(token_url, json=form)
    assert (again.status_code, again.json()["error"]) == (403, "invalid_grant")
    assert httpx.post(token_url, json={**form, "refresh_token": first["refresh_token"]}).status_code == 200
    box._set_clock({"now": "2099-01-01T00:00:00+00:00"})
    assert httpx.get(f"{served.url}/rest/api/3/myself", headers=bearer).status_code == 401


def test_a_burst_is_told_with_the_vendors_headers(api: httpx.Client, box: JiraSandbox) -> None:
    box.access.burst_limit, box.access.burst_seconds = 2, 5.0
    box._set_clock({"now": NOW})
    assert [api.get("/myself").status_code for _ in range(3)] == [200, 200, 429]
    headers = api.get("/myself").headers
    assert (headers["Retry-After"], headers["RateLimit-Reason"]) == ("5", "jira-burst-based")
    assert headers["X-RateLimit-Remaining"] == "0" and headers["X-RateLimit-Reset"].endswith("Z")
    assert api.get("/serverInfo").status_code == 200  # each kind of request is counted for itself


def integration(box: JiraSandbox) -> tuple[str, str]:
    known = box.credentials()
    return known["email"], known["api_token"]


def administrator(box: JiraSandbox) -> tuple[str, str]:
    known = box.credentials()
    return known["admin_email"], known["admin_api_token"]


def test_webhooks_are_signed_with_the_secret_and_filtered_by_their_query(
    served: Running, box: JiraSandbox, api: httpx.Client
) -> None:
    address = f"{served.url}/rest/webhooks/1.0/webhook"
    with receiving() as receiver:
        hook = {"name": "hub", "url": receiver.url, "secret": "hush", "excludeBody": False}
        hook |= {
            "events": ["jira:issue_updated", "worklog_created", "worklog_deleted"],
            "filters": {"issue-related-events-section": "project = CONS"},
        }
        assert httpx.post(address, json=hook, auth=integration(box)).status_code == 403
        made = httpx.post(address, json=hook, auth=administrator(box))
        assert made.status_code == 201 and "secret" not in made.text
        issue = box.seed("issue", {"project": "CONS", "summary": "T"})["id"]
        worklog = box.seed("worklog", {"issue": issue, "timeSpentSeconds": 3600})["id"]
        box.seed("issue", {"id": issue, "status": "Approved"})
        box.seed("issue", {"id": box.seed("issue", {"project": "INT", "summary": "I"})["id"], "status": "Done"})
        box.seed("worklog", {"id": worklog, "deleted": True})
        got = _wait_for(receiver, 3)
    kinds = [json.loads(each.body)["webhookEvent"] for each in got]
    assert kinds == ["worklog_created", "jira:issue_updated", "worklog_deleted"]
    for each in got:
        digest = hmac.new(b"hush", each.body, hashlib.sha256).hexdigest()
        assert each.headers["x-hub-signature"] == f"sha256={digest}"
    assert len({each.headers["x-atlassian-webhook-identifier"] for each in got}) == 3
    assert json.loads(got[1].body)["changelog"]["items"][0]["toString"] == "Approved"
    gone = httpx.delete(made.json()["self"], auth=administrator(box))
    assert gone.status_code == 204 and httpx.get(address, auth=administrator(box)).json() == []


def _wait_for(receiver: Receiver, number: int) -> list[Any]:
    deadline = time.monotonic() + 60
    while len(receiver.letters) < number and time.monotonic() < deadline:
        time.sleep(0.01)
    return list(receiver.letters)


def test_faults_outage_and_state_are_controlled(served: Running, box: JiraSandbox, api: httpx.Client) -> None:
    control = f"{served.url}/_control"
    httpx.post(f"{control}/outage", json={"on": True})
    assert said(api.get("/myself"))[0] == 503
    httpx.post(f"{control}/outage", json={"on": False})
    made = httpx.post(f"{control}/seed", json={"issue": [{"project": "CONS", "summary": "S"}]}).json()
    assert httpx.get(f"{control}/state").json()["issue"][0]["id"] == made["issue"][0]["id"]
    fields = {"project": {"key": "CONS"}, "issuetype": {"name": "Task"}, "summary": "A"}
    httpx.post(f"{control}/faults", json={"kind": "timeout_after_commit", "method": "POST"})
    assert api.post("/issue", json={"fields": fields}).status_code == 504
    assert box.records.count("issue") == 2
    httpx.post(f"{control}/faults", json={"kind": "duplicate", "method": "POST"})
    api.post("/issue", json={"fields": fields})
    assert box.records.count("issue") == 4  # nothing at this vendor makes a create happen once


def _without_nulls(told: Any) -> Any:
    """Histories say null for what has no id, in the specification's own example too; its schema says text."""
    if isinstance(told, list):
        return [_without_nulls(one) for one in told]
    if not isinstance(told, dict):
        return told
    return {n: _without_nulls(v) for n, v in told.items() if not (n in ("from", "to", "fromString") and v is None)}


# -- against the specification -------------------------------------------------------------------------------------
def test_requests_and_answers_are_as_the_specification_has_them(api: httpx.Client, box: JiraSandbox) -> None:
    spec = OpenApi(specification("jira", "jira-platform-swagger-v3.v3.json"))

    def call(method: str, path: str, body: Any = None, **params: Any) -> Any:
        answer = api.request(method, path, json=body, params=params)
        told = answer.json() if answer.content else None
        spec.check(method, f"/rest/api/3{path}", body, answer.status_code, _without_nulls(told))
        return told

    fields = {"project": {"key": "CONS"}, "issuetype": {"name": "Epic"}, "summary": "Platform", "labels": ["isthmus"]}
    told = [{"key": "isthmus", "value": {"key": "P-1"}}]
    epic = call("POST", "/issue", {"fields": {**fields, "description": ADF}, "properties": told})
    task = call("POST", "/issue", {"fields": {**fields, "issuetype": {"name": "Task"}, "parent": {"key": epic["key"]}}})
    call("POST", "/issue", {"fields": {}})
    call("PUT", f"/issue/{task['id']}", {"fields": {"summary": "T"}, "update": {"labels": [{"add": "x"}]}})
    moves = call("GET", f"/issue/{task['id']}/transitions")["transitions"]
    call("POST", f"/issue/{task['id']}/transitions", {"transition": {"id": moves[3]["id"]}})
    call("GET", f"/issue/{task['id']}", expand="changelog", properties="isthmus")
    call("GET", "/issue/CONS-404")
    call("GET", f"/issue/{task['id']}/changelog")
    body = {"timeSpentSeconds": 3600, "started": "2026-03-04T09:00:00.000+0000", "comment": ADF}
    worklog = call("POST", f"/issue/{task['id']}/worklog", body)
    call("PUT", f"/issue/{task['id']}/worklog/{worklog['id']}", {"timeSpentSeconds": 7200})
    call("GET", f"/issue/{task['id']}/worklog", expand="properties")
    here = f"/issue/{task['id']}/worklog/{worklog['id']}/properties"
    call("PUT", f"{here}/approval", {"by": "pia"})
    call("GET", f"{here}/approval")
    call("GET", here)
    call("PUT", f"/issue/{epic['id']}/properties/isthmus-invoice", {"number": "INV-1"})
    call("GET", f"/issue/{epic['id']}/properties/isthmus-invoice")
    call("GET", f"/issue/{epic['id']}/properties")
    box._set_clock({"now": "2099-01-01T00:00:00+00:00"})
    call("GET", "/worklog/updated", since=0, expand="properties")
    call("POST", "/worklog/list", {"ids": [int(worklog["id"])]}, expand="properties")
    asked = {"jql": "project = CONS", "fields": ["*all"], "properties": ["isthmus"], "maxResults": 1}
    page = call("POST", "/search/jql", asked)
    call("POST", "/search/jql", {**asked, "nextPageToken": page["nextPageToken"]})
    call("POST", "/search/jql", {"jql": ""})
    call("POST", "/search/approximate-count", {"jql": "project = CONS"})
    call("POST", "/issue/bulkfetch", {"issueIdsOrKeys": [epic["id"], "CONS-2", "CONS-9"], "properties": ["isthmus"]})
    call("POST", "/changelog/bulkfetch", {"issueIdsOrKeys": [task["id"]], "fieldIds": ["status"]})
    call("DELETE", f"/issue/{task['id']}/worklog/{worklog['id']}")
    call("GET", "/worklog/deleted", since=0)
    assert [each["key"] for each in call("GET", "/project/search", query="cons", maxResults=1)["values"]] == ["CONS"]
    assert not call("GET", "/project/search", maxResults=1)["isLast"]
    for path in ("/serverInfo", "/myself", "/field", "/status", "/issuetype", "/project", "/project/CONS"):
        call("GET", path)
    call("GET", "/issue/createmeta/CONS/issuetypes")
    call("GET", "/issue/createmeta/CONS/issuetypes/10001", maxResults=3)
    call("GET", f"/issue/{task['id']}/editmeta")
    call("PUT", f"/issue/{task['id']}/assignee", {"accountId": BELA})
    call("POST", f"/issue/{task['id']}/comment", {"body": ADF})
    call("GET", f"/issue/{task['id']}/comment")
    call("GET", "/user/search", query="bela")
    call("GET", "/user/search")
    call("GET", "/project/CONS/statuses")
    call("GET", "/project/CONS/versions")
    call("GET", "/project/CONS/components")
    two = [{"fields": {**fields, "summary": "One of two"}}, {"fields": {**fields, "summary": ""}}]
    call("POST", "/issue/bulk", {"issueUpdates": two})
    call("DELETE", f"/issue/{task['id']}")
    print(f"{len(spec.seen)} operations checked")
