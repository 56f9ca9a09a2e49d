"""The Kantata OX sandbox behaves like the vendor: no published Python client works, so plain HTTP drives it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml

from isthmus.sandbox.kantata import KantataSandbox
from isthmus.sandbox.kantata.schema_money import COLLECTIONS
from isthmus.sandbox.server import Running, running
from tests.vendor_specs import specification

NOON = "2026-03-02T12:00:00Z"


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    """One sandbox for the whole file; every test starts from a reset one."""
    with running("kantata") as boxes:
        yield boxes["kantata"]


class Api:
    """The HTTP calls of a careful integrator, with the sandbox's own control surface beside them."""

    def __init__(self, served: Running) -> None:
        assert isinstance(served.sandbox, KantataSandbox)
        self.box = served.sandbox
        self.credentials = self.box.credentials()
        token = self.credentials["access_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        # Loopback without TLS: not loading the certificate store saves most of the file's time.
        self.http = httpx.Client(base_url=f"{served.url}/api/v1", headers=bearer, verify=False)
        self.root = httpx.Client(base_url=served.url, verify=False)

    def call(self, method: str, path: str, status: int, body: Any = None, **params: Any) -> Any:
        answer = self.http.request(method, path, json=body, params=params)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def get(self, path: str, status: int = 200, **params: Any) -> Any:
        return self.call("GET", path, status, **params)

    def post(self, path: str, status: int = 200, **body: Any) -> Any:
        return self.call("POST", path, status, body)

    def put(self, path: str, status: int = 200, **body: Any) -> Any:
        return self.call("PUT", path, status, body)

    def new(self, collection: str, singular: str, **attributes: Any) -> Any:
        """The one record a creation answers."""
        answer = self.post(f"/{collection}.json", **{singular: attributes})
        assert [r["key"] for r in answer["results"]] == [collection]
        return answer[collection][answer["results"][0]["id"]]

    def workspace(self, **attributes: Any) -> Any:
        return self.new("workspaces", "workspace", **{"title": "Ledger Renewal", "creator_role": "maven"} | attributes)

    def time(self, workspace_id: str, **attributes: Any) -> Any:
        given = {"workspace_id": workspace_id, "date_performed": "2026-02-24", "time_in_minutes": 90}
        return self.new("time_entries", "time_entry", **given | attributes)

    def fault(self, **fault: Any) -> None:
        self.root.post("/_control/faults", json=fault).raise_for_status()

    def clock(self, now: str) -> None:
        self.root.post("/_control/clock", json={"now": now}).raise_for_status()


@pytest.fixture
def api(served: Running) -> Iterator[Api]:
    """A fresh account, its clock at noon."""
    made = Api(served)
    made.box.reset()
    made.box.max_per_page, made.box.access.rate_limit = 200, None
    made.box.shuffle_events = made.box.duplicate_events = True
    made.clock(NOON)
    yield made
    made.http.close()
    made.root.close()


def ids(answer: Any) -> list[str]:
    return [r["id"] for r in answer["results"]]


def field_errors(answer: Any) -> set[tuple[str, str]]:
    assert all(set(e) == {"type", "field", "message"} and e["message"] for e in answer["errors"])
    return {(e["type"], e["field"]) for e in answer["errors"]}


# -- access ----------------------------------------


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic abc"}])
def test_without_a_known_token_the_answer_is_the_oauth_error(api: Api, header: dict[str, str]) -> None:
    answer = api.root.get("/api/v1/workspaces.json", headers=header)
    assert answer.status_code == 401
    assert answer.json() == {"errors": [{"type": "oauth", "message": "Invalid OAuth 2 Request"}]}


def test_a_code_buys_one_token_and_application_credentials_buy_another(api: Api) -> None:
    application = {k: api.credentials[k] for k in ("client_id", "client_secret")}
    redirect = {"redirect_uri": api.credentials["redirect_uri"]}
    sent = api.root.get(
        "/oauth/authorize", params={"client_id": application["client_id"], "response_type": "code", **redirect}
    )
    assert sent.status_code == 302
    code = httpx.URL(sent.headers["location"]).params["code"]
    form = {**application, **redirect, "grant_type": "authorization_code", "code": code}
    first = api.root.post("/oauth/token", data=form)
    assert first.json()["token_type"] == "bearer"
    again = api.root.post("/oauth/token", data=form)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    second = api.root.post("/oauth/token", data={**application, "grant_type": "client_credentials"})
    tokens = {a.json()["access_token"] for a in (first, second)}
    assert len(tokens) == 2
    for token in tokens:
        assert api.root.get("/api/v1/users", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    wrong = api.root.post("/oauth/token", data={**application, "client_secret": "no", "grant_type": "x"})
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")


def test_too_many_requests_of_one_token_are_refused_and_others_are_served(api: Api) -> None:
    api.box.access.rate_limit = 2
    assert [api.http.get("/roles").status_code for _ in range(3)] == [200, 200, 429]
    assert api.get("/roles", 429)["errors"][0]["type"] == "system"
    other = {"Authorization": f"Bearer {api.credentials['consultant_access_token']}"}
    assert api.root.get("/api/v1/roles", headers=other).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/nonsense"),
        ("GET", "/elsewhere"),
        ("GET", "/api/v1/workspaces/77"),
        ("POST", "/api/v1/users"),
        ("PUT", "/api/v1/workspaces/77"),
        ("POST", "/api/v1/external_references"),
        ("GET", "/api/v1/workspaces/abc/def/ghi"),
    ],
)
def test_unknown_urls_and_records_answer_the_vendors_404(api: Api, method: str, path: str) -> None:
    token = {"Authorization": f"Bearer {api.credentials['access_token']}"}
    answer = api.root.request(method, path, headers=token, json={"workspace": {"title": "x"}})
    assert answer.status_code == 404
    assert [e["type"] for e in answer.json()["errors"]] == ["system"]


# -- writing ----------------------------------------


def test_attributes_must_be_wrapped_and_the_body_must_be_an_object(api: Api) -> None:
    for body in ({"title": "x"}, {"workspaces": {"title": "x"}}, [], None):
        assert api.call("POST", "/workspaces", 400, body)["errors"][0]["type"] == "system"
    answer = api.http.post("/workspaces", content=b"{oops", headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert api.get("/workspaces")["count"] == 0


def test_validation_names_every_wrong_attribute_and_writes_nothing(api: Api) -> None:
    missing = api.post("/workspaces", 422, workspace={"description": "x"})
    assert field_errors(missing) == {("validation", "title"), ("validation", "creator_role")}
    both = api.post("/workspaces", 422, workspace={"title": "x", "creator_role": "king", "currency": "XXX"})
    assert field_errors(both) == {("validation", "creator_role"), ("validation", "currency")}
    backwards = {"title": "x", "creator_role": "maven", "start_date": "2026-03-02", "due_date": "2026-03-01"}
    assert field_errors(api.post("/workspaces", 422, workspace=backwards)) == {("validation", "due_date")}
    unknown = api.post("/workspaces", 422, workspace=backwards | {"due_date": None, "primary_maven_id": 999})
    assert field_errors(unknown) == {("validation", "primary_maven_id")}
    assert api.get("/workspaces")["count"] == 0


def test_a_project_is_created_read_changed_and_deleted(api: Api) -> None:
    group = api.new("workspace_groups", "workspace_group", name="Orchid Foods", company=True)
    made = api.workspace(
        price="12,500.50",
        currency="EUR",
        start_date="2026-03-01",
        workspace_group_ids=[int(group["id"])],
        primary_workspace_group_id=int(group["id"]),
        approved_by_nobody=True,
    )
    assert (made["price_in_cents"], made["currency_symbol"], made["created_at"]) == (1250050, "€", NOON)
    assert made["primary_workspace_group_id"] == group["id"]
    assert "approved_by_nobody" not in made and "workspace_group_ids" not in made
    api.clock("2026-03-02T13:00:00Z")
    changed = api.put(f"/workspaces/{made['id']}.json", workspace={"status_key": "600"})
    now = changed["workspaces"][made["id"]]
    assert (now["status"]["color"], now["updated_at"], now["created_at"]) == ("blue", "2026-03-02T13:00:00Z", NOON)
    assert api.get(f"/workspaces/{made['id']}")["workspaces"][made["id"]] == now
    assert api.http.delete(f"/workspaces/{made['id']}").status_code == 204
    api.get(f"/workspaces/{made['id']}", 404)


def test_a_rails_form_works_as_well_as_json(api: Api) -> None:
    form = {"workspace[title]": "By form", "workspace[creator_role]": "maven", "workspace[budgeted]": "true"}
    reference = {f"workspace[external_reference][{k}]": "x1" for k in ("service_name", "service_model")}
    form |= reference | {"workspace[external_reference][service_model_ref]": "E-1"}
    answer = api.http.post("/workspaces.json", data=form)
    assert answer.status_code == 200, answer.text
    assert [w["budgeted"] for w in answer.json()["workspaces"].values()] == [True]
    assert api.get("/external_references", subject_type="Workspace", service_model_ref="E-1")["count"] == 1


def test_a_repeated_post_makes_a_duplicate_even_with_the_same_reference(api: Api) -> None:
    reference = {"service_name": "isthmus", "service_model": "engagement", "service_model_ref": "ENG-1"}
    first, second = (api.workspace(external_reference=reference) for _ in range(2))
    assert first["id"] != second["id"]
    found = api.get("/workspaces", external_reference_service_model_ref="ENG-1", include="external_references")
    assert sorted(ids(found)) == sorted([first["id"], second["id"]])
    assert len(found["external_references"]) == 2
    assert all(len(w["external_reference_ids"]) == 1 for w in found["workspaces"].values())


def test_create_or_update_creates_then_updates_the_reference(api: Api) -> None:
    workspace = api.workspace()
    given = {
        "service_name": "isthmus",
        "service_model": "engagement",
        "service_model_ref": "ENG-7",
        "subject_type": "Workspace",
        "subject_id": int(workspace["id"]),
    }
    url = "/external_references/create_or_update"
    created = api.post(url, external_reference=given | {"status": "pending"})
    updated = api.post(url, external_reference=given | {"status": "failed", "external_message": "no customer"})
    assert ids(created) == ids(updated)
    listed = api.get("/external_references", subject_type="Workspace", service_name="isthmus", include="subject")
    (record,) = listed["external_references"].values()
    assert (record["status"], record["external_message"]) == ("failed", "no customer")
    assert record["subject_id"] == int(workspace["id"])
    assert record["subject_ref"] == {"key": "workspaces", "id": workspace["id"]}
    assert workspace["id"] in listed["workspaces"]
    assert api.get("/external_references", subject_type="Story")["count"] == 0
    api.get("/external_references", 400)
    taken = api.post(url, 422, external_reference=given | {"service_model_ref": "ENG-8"})
    assert field_errors(taken) == {("validation", "service_name")}
    nobody = api.post(url, 422, external_reference=given | {"service_name": "other", "subject_id": 5})
    assert field_errors(nobody) == {("validation", "subject_id")}
    incomplete = api.post(url, 422, external_reference={"service_name": "isthmus"})
    assert ("validation", "service_model_ref") in field_errors(incomplete)


# -- time, approval, invoices ----------------------------------------


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"time_in_minutes": 0}, "time_in_minutes"),
        ({"time_in_minutes": 1441}, "time_in_minutes"),
        ({"time_in_minutes": "1.5"}, "time_in_minutes"),
        ({"date_performed": "24/02/2026"}, "date_performed"),
        ({"date_performed": None}, "date_performed"),
        ({"workspace_id": 4711}, "workspace_id"),
        ({"story_id": 4711}, "story_id"),
        ({"user_id": 4711}, "user_id"),
    ],
)
def test_time_entries_are_validated(api: Api, wrong: dict[str, Any], field: str) -> None:
    given = {"workspace_id": api.workspace()["id"], "date_performed": "2026-02-24", "time_in_minutes": 90}
    assert field_errors(api.post("/time_entries", 422, time_entry=given | wrong)) == {("validation", field)}
    assert api.get("/time_entries")["count"] == 0
    api.post("/time_entries", time_entry=given | {"time_in_minutes": 1440})


def test_time_is_refused_on_a_closed_project_and_on_the_task_of_another(api: Api) -> None:
    open_one, closed = api.workspace(), api.workspace(status_key=600)
    task = api.new("stories", "story", title="Design", story_type="task", workspace_id=closed["id"])
    late = {"workspace_id": closed["id"], "date_performed": "2026-02-24", "time_in_minutes": 30}
    assert field_errors(api.post("/time_entries", 422, time_entry=late)) == {("validation", "workspace_id")}
    stray = late | {"workspace_id": open_one["id"], "story_id": task["id"]}
    assert field_errors(api.post("/time_entries", 422, time_entry=stray)) == {("validation", "story_id")}


def test_approval_comes_from_the_timesheet_and_never_from_the_entry(api: Api) -> None:
    workspace = api.workspace()
    entry = api.time(workspace["id"], user_id=13, rate_in_cents=16000, approved=True)
    assert (entry["approved"], entry["user_id"]) == (False, "13")
    sheet = api.new(
        "timesheet_submissions",
        "timesheet_submission",
        title="Week 9",
        workspace_id=workspace["id"],
        line_item_ids=[entry["id"]],
    )
    assert (sheet["status"], sheet["line_item_total_in_cents"], sheet["user_id"]) == ("pending", 24000, "13")
    assert ids(api.get("/timesheet_submissions", statuses="new")) == [sheet["id"]]
    twice = {"title": "x", "workspace_id": workspace["id"], "line_item_ids": [entry["id"]]}
    refused = api.post("/timesheet_submissions", 422, timesheet_submission=twice)
    assert field_errors(refused) == {("validation", "line_item_ids")}
    assert ids(api.get("/time_entries", approved="false")) == []
    done = api.put(f"/timesheet_submissions/{sheet['id']}/approve", resolution={"description": "ok"})
    assert done["timesheet_submissions"][sheet["id"]]["status"] == "approved"
    # The filter's value is ignored, by contract.
    found = api.get("/time_entries", approved="false", include="active_submission,user")
    assert [e["approved"] for e in found["time_entries"].values()] == [True]
    assert found["timesheet_submissions"][sheet["id"]]["resolution_description"] == "ok"
    assert found["users"]["13"]["full_name"]
    api.put(f"/timesheet_submissions/{sheet['id']}/approve", 422, resolution={"description": "again"})
    rejected = api.post("/timesheet_rejections", resolution={"submission_ids": [int(sheet["id"])]})
    assert [r["type"] for r in rejected["resolutions"].values()] == ["rejection"]
    now = api.get(f"/time_entries/{entry['id']}")["time_entries"][entry["id"]]
    assert (now["approved"], now["active_submission_id"], now["recent_submission_id"]) == (False, None, sheet["id"])


def test_a_consultant_may_not_approve(api: Api) -> None:
    workspace = api.workspace()
    entry = api.time(workspace["id"])
    given = {"title": "Week", "workspace_id": workspace["id"], "line_item_ids": [entry["id"]]}
    sheet = api.new("timesheet_submissions", "timesheet_submission", **given)
    token = {"Authorization": f"Bearer {api.credentials['consultant_access_token']}"}
    answer = api.root.put(f"/api/v1/timesheet_submissions/{sheet['id']}/approve", headers=token)
    assert answer.status_code == 403


def test_an_invoice_claims_approved_time_which_then_cannot_be_edited(api: Api) -> None:
    workspace = api.workspace()
    seeded = {"workspace_id": workspace["id"], "date_performed": "2026-02-24", "time_in_minutes": 50}
    good = api.box.seed("time_entries", seeded | {"rate_in_cents": 20000, "approved": True, "user_id": 12})
    raw = api.time(workspace["id"])
    given = {"workspace_id": workspace["id"], "payment_schedule": 30, "invoice_date": "2026-03-01"}
    refused = api.post("/invoices", 422, invoice=given | {"time_entry_ids": [raw["id"]]})
    assert field_errors(refused) == {("validation", "time_entry_ids")}
    invoice = api.new("invoices", "invoice", **given, time_entry_ids=[good["id"]])
    assert (invoice["balance_in_cents"], invoice["due_date"]) == (16667, "2026-03-31")
    entry = api.get(f"/time_entries/{good['id']}")["time_entries"][good["id"]]
    assert (entry["is_invoiced"], entry["invoice_id"]) == (True, invoice["id"])
    locked = api.put(f"/time_entries/{good['id']}", 422, time_entry={"time_in_minutes": 60})
    assert locked["errors"][0]["type"] == "validation"
    assert api.http.delete(f"/time_entries/{good['id']}").status_code == 422
    again = api.post("/invoices", 422, invoice=given | {"time_entry_ids": [good["id"]]})
    assert field_errors(again) == {("validation", "time_entry_ids")}
    assert ids(api.get("/time_entries", uninvoiced="true")) == [raw["id"]]
    assert ids(api.get("/time_entries", invoiced="true")) == [good["id"]]
    api.put(f"/invoices/{invoice['id']}/cancel")
    assert api.put(f"/time_entries/{good['id']}", time_entry={"time_in_minutes": 60})["count"] == 1


def test_the_rate_is_the_cards_rate_of_the_day_and_is_kept(api: Api) -> None:
    card_set = api.new("rate_card_sets", "rate_card_set", title="2026")
    first = api.new("rate_card_set_versions", "rate_card_set_version", **_dated(card_set, "2026-01-01"))
    card = api.new("rate_cards", "rate_card", rate_card_set_id=card_set["id"], currency="USD", **_in(first))
    (old,) = ids(api.get("/rate_card_versions", rate_card_id=card["id"]))
    role = api.get("/roles", per_page=200)
    architect = next(r["id"] for r in role["roles"].values() if r["name"] == "Architect II")
    priced = {"role_id": architect, "rate": 21000}
    api.new("rate_card_roles", "rate_card_role", rate_card_version_id=old, **priced)
    workspace = api.workspace(rate_card_id=card["id"])
    entry = api.time(workspace["id"], user_id=14)
    assert (entry["rate_in_cents"], entry["role_id"]) == (21000, architect)
    later = _dated(card_set, "2026-02-01") | {"clone_id": first["id"]}
    second = api.new("rate_card_set_versions", "rate_card_set_version", **later)
    versions = api.get("/rate_card_versions", rate_card_set_version_id=second["id"], include="rate_card_roles")
    (copied,) = versions["rate_card_roles"].values()
    assert copied["rate"] == 21000
    api.put(f"/rate_card_roles/{copied['id']}", rate_card_role={"rate": 22500})
    assert api.time(workspace["id"], user_id=14)["rate_in_cents"] == 22500
    assert api.time(workspace["id"], user_id=14, date_performed="2026-01-31")["rate_in_cents"] == 21000
    kept = api.get(f"/time_entries/{entry['id']}")["time_entries"][entry["id"]]
    assert kept["rate_in_cents"] == 21000


def _dated(card_set: Any, day: str) -> dict[str, str]:
    return {"rate_card_set_id": card_set["id"], "effective_date": day}


def _in(version: Any) -> dict[str, str]:
    return {"rate_card_set_version_id": version["id"]}


def test_time_can_be_created_in_bulk_all_or_nothing(api: Api) -> None:
    row = {"workspace_id": api.workspace()["id"], "date_performed": "2026-02-24", "time_in_minutes": 30}
    api.post("/time_entries", 422, time_entries=[row, row | {"time_in_minutes": -1}])
    api.post("/time_entries", 400, time_entries=[row] * 101)
    assert api.get("/time_entries")["count"] == 0
    assert len(ids(api.post("/time_entries", time_entries=[row] * 100))) == 100


def test_expenses_milestones_resources_and_assignments_are_kept(api: Api) -> None:
    workspace = api.workspace(currency="EUR")
    expense = {"workspace_id": workspace["id"], "date": "2026-02-20", "category": "Travel", "amount_in_cents": 12345}
    travel = api.new("expenses", "expense", **expense, billable=False)
    assert (travel["is_billable"], travel["amount_in_cents"], travel["currency"]) == (False, 12345, "EUR")
    assert field_errors(api.post("/expenses", 422, expense=expense | {"amount_in_cents": 1.5})) == {
        ("validation", "amount_in_cents")
    }
    milestone = {"title": "M2", "amount_in_cents": 15_000_000, "workspace_id": workspace["id"]}
    assert api.new("billing_milestones", "billing_milestone", **milestone)["currency"] == "EUR"
    resource = api.new("workspace_resources", "workspace_resource", workspace_id=workspace["id"], user_id=14)
    assert (resource["role_name"], resource["user_id"]) == ("Architect II", "14")
    story = api.new("stories", "story", title="Build", story_type="task", workspace_id=workspace["id"])
    child = {"title": "Part", "story_type": "task", "workspace_id": workspace["id"], "parent_id": story["id"]}
    assert api.new("stories", "story", **child)["root_id"] == story["id"]
    api.new("assignments", "assignment", story_id=story["id"], resource_id=resource["id"], estimated_minutes=600)
    seen = api.get(f"/stories/{story['id']}", include="assignees,sub_stories,current_assignments")
    assert seen["stories"][story["id"]]["assignee_ids"] == ["14"]
    assert len(seen["stories"]) == 2 and ids(seen) == [story["id"]]
    assert [a["estimated_minutes"] for a in seen["assignments"].values()] == [600]


def test_expenses_are_approved_by_their_report_and_listed_by_what_is_published(api: Api) -> None:
    strict = api.workspace()
    free = api.new("workspaces", "workspace", title="Free", creator_role="maven", require_expense_approvals=False)
    archived = api.workspace()

    def spent(workspace: Any, cents: int, day: str, **more: Any) -> str:
        given = {"workspace_id": workspace["id"], "date": day, "category": "Travel", "amount_in_cents": cents}
        return str(api.new("expenses", "expense", **given, user_id=14, **more)["id"])

    one, two, other = spent(strict, 100, "2026-02-20"), spent(strict, 300, "2026-02-22"), spent(free, 200, "2026-02-21")
    gone = spent(archived, 50, "2026-02-23")
    api.put(f"/workspaces/{archived['id']}", workspace={"archived": True})
    assert ids(api.get("/expenses")) == [two, other, one]
    assert ids(api.get("/expenses", order="updated_at:asc")) == [two, other, one]  # no such order: the default one
    assert ids(api.get("/expenses", order="amount:asc")) == [one, other, two]
    assert gone in ids(api.get("/expenses", from_archived_workspaces="true"))
    assert ids(api.get("/expenses", approved="true")) == [other]
    report = api.new(
        "expense_report_submissions",
        "expense_report_submission",
        title="February",
        workspace_id=strict["id"],
        line_item_ids=[one],
    )
    assert (
        ids(api.get("/expenses", submitted="true"))
        == [one]
        == ids(api.get("/expenses", with_expense_report_id=report["id"]))
    )
    assert ids(api.get("/expense_report_submissions")) == []  # those of the one who asks
    listed = api.get("/expense_report_submissions", all_on_account="true", include="expenses")
    assert ids(listed) == [report["id"]] and list(listed["expenses"]) == [one]
    api.put(f"/expense_report_submissions/{report['id']}/approve")
    assert set(ids(api.get("/expenses", approved="true"))) == {one, other}
    api.put(f"/expense_report_submissions/{report['id']}/reject")
    assert ids(api.get("/expenses", approved="true")) == [other]
    assert ids(api.get("/expenses", with_recent_expense_report_ids=report["id"])) == [one]
    assert ids(api.get("/expenses", date_expensed_between="2026-02-21:")) == [two, other]
    api.call("DELETE", f"/expenses/{two}", 204)
    [event] = api.get("/subscribed_events", event_types="expense:deleted", most_recent="true")[
        "subscribed_events"
    ].values()
    assert (event["subject_type"], event["subject_id"]) == ("Expense", int(two))


def test_a_storys_states_leave_a_trail_that_names_who_and_when(api: Api) -> None:
    workspace = api.workspace()
    story = api.new("stories", "story", title="Go-live", story_type="milestone", workspace_id=workspace["id"])
    api.get("/story_state_changes", 400)
    assert ids(api.get("/story_state_changes", story_id=story["id"])) == []
    api.clock("2026-03-03T09:00:00Z")
    api.put(f"/stories/{story['id']}", story={"state": "started"})
    api.put(f"/stories/{story['id']}", story={"title": "Go-live!"})
    api.clock("2026-03-04T09:00:00Z")
    api.put(f"/stories/{story['id']}", story={"state": "completed"})
    trail = api.get("/story_state_changes", story_id=story["id"], include="user")
    rows = [trail["story_state_changes"][i] for i in ids(trail)]
    assert [(row["state"], row["created_at"]) for row in rows] == [
        ("started", "2026-03-03T09:00:00Z"),
        ("completed", "2026-03-04T09:00:00Z"),
    ]
    assert list(trail["users"]) == [rows[0]["user_id"]]
    api.put(f"/story_state_changes/{rows[0]['id']}", 404, story_state_change={"state": "new"})
    assert field_errors(api.put(f"/stories/{story['id']}", 422, story={"state": "nearly"})) == {("validation", "state")}


# -- reading ----------------------------------------


def test_lists_page_by_twenty_at_most_two_hundred_and_by_limit_and_offset(api: Api) -> None:
    made = [api.box.seed("workspaces", {"title": f"P{n:03}"})["id"] for n in range(205)]
    first = api.get("/workspaces", order="created_at:asc")
    assert first["meta"] == {"count": 205, "page_count": 11, "page_number": 1, "page_size": 20}
    assert first["count"] == 205 and ids(first) == made[:20]
    assert ids(api.get("/workspaces", order="created_at:asc", page=2)) == made[20:40]
    big = api.get("/workspaces", order="created_at:asc", per_page=5000)
    assert ids(big) == made[:200] and big["meta"]["page_size"] == 200
    assert ids(api.get("/workspaces", order="created_at:asc", per_page=5000, page=2)) == made[200:]
    assert ids(api.get("/workspaces", order="created_at:asc", limit=3, offset=10, page=9)) == made[10:13]
    assert len(ids(api.get("/workspaces", limit=3))) == 20
    assert ids(api.get("/workspaces", page=99)) == []


def test_a_write_between_two_pages_shifts_the_list(api: Api) -> None:
    made = [api.box.seed("workspaces", {"title": f"P{n}"})["id"] for n in range(4)]
    first = ids(api.get("/workspaces", per_page=2))
    assert first == [made[3], made[2]]
    api.put(f"/workspaces/{made[0]}", workspace={"title": "moved to the front"})
    assert ids(api.get("/workspaces", per_page=2, page=2)) == [made[2], made[1]]


def test_order_only_search_include_and_unknown_parameters(api: Api) -> None:
    group = api.new("workspace_groups", "workspace_group", name="Orchid")
    b, a = api.workspace(title="Beta", workspace_group_ids=[group["id"]]), api.workspace(title="Alpha one")
    assert ids(api.get("/workspaces", order="title:asc")) == [a["id"], b["id"]]
    assert ids(api.get("/workspaces", order="title:desc")) == [b["id"], a["id"]]
    assert ids(api.get("/workspaces", order="nonsense:asc", include="nonsense")) == [a["id"], b["id"]]
    only = api.get("/workspaces", only=f"{b['id']},999", include="workspace_groups,creator")
    assert ids(only) == [b["id"]]
    assert only["workspaces"][b["id"]]["workspace_group_ids"] == [group["id"]]
    assert list(only["workspace_groups"]) == [group["id"]] and "1" in only["users"]
    assert ids(api.get("/workspaces", search="ALPHA")) == [a["id"]]
    assert ids(api.get("/workspaces", matching="on al")) == [a["id"]]
    assert api.get("/time_entries", 400, search="x")["errors"][0]["type"] == "system"
    assert api.get("/workspaces", colour="blue", updated_since="2030-01-01")["count"] == 2
    members = api.get(f"/workspace_groups/{group['id']}", include="workspaces")
    assert members["workspace_groups"][group["id"]]["workspace_ids"] == [b["id"]]


def test_archived_projects_hide_from_lists_and_from_show(api: Api) -> None:
    made = api.workspace()
    api.time(made["id"])
    api.put(f"/workspaces/{made['id']}", workspace={"archived": True})
    assert api.get("/workspaces")["count"] == 0
    api.get(f"/workspaces/{made['id']}", 404)
    assert ids(api.get(f"/workspaces/{made['id']}", include_archived="true")) == [made["id"]]
    assert api.get("/time_entries")["count"] == 0
    assert api.get("/time_entries", from_archived_workspaces="true")["count"] == 1


def test_time_entry_filters(api: Api) -> None:
    one, two = api.workspace(), api.workspace()
    a = api.time(one["id"], user_id=11, date_performed="2026-02-01", external_reference=_reference("T-1"))
    api.clock("2026-03-02T14:00:00Z")
    b = api.time(one["id"], user_id=12, date_performed="2026-02-10")
    c = api.time(two["id"], user_id=13, date_performed="2026-02-20", billable=False)
    expected: list[tuple[dict[str, str], list[Any]]] = [
        ({}, [c, b, a]),
        ({"workspace_id": one["id"]}, [b, a]),
        ({"workspace_ids": f"{one['id']},{two['id']}"}, [c, b, a]),
        ({"with_user_ids": "11,13"}, [c, a]),
        ({"date_performed_between": "2026-02-01:2026-02-10"}, [b, a]),
        ({"created_after": NOON}, [c, b]),
        ({"created_before": "2026-03-02T13:00:00Z"}, [a]),
        ({"updated_after": "2026-03-02T13:00:00+00:00"}, [c, b]),
        ({"billable": "false"}, [c]),
        ({"has_external_references": "true"}, [a]),
        ({"external_reference_service_model_refs": "T-1,T-2"}, [a]),
        ({"without_external_reference_service_name": "isthmus"}, [c, b]),
    ]
    for params, found in expected:
        assert ids(api.get("/time_entries", **params)) == [e["id"] for e in found], params
    api.get("/time_entries", 400, created_after="yesterday")
    assert "user_can_edit" not in api.get("/time_entries")["time_entries"][a["id"]]
    assert api.get("/time_entries", optional_fields="user_can_edit")["time_entries"][a["id"]]["user_can_edit"] is True


def _reference(ref: str) -> dict[str, str]:
    return {"service_name": "isthmus", "service_model": "time", "service_model_ref": ref}


def test_story_type_filter(api: Api) -> None:
    workspace = api.workspace()
    kinds = {}
    for kind in ("task", "milestone", "deliverable"):
        kinds[kind] = api.new("stories", "story", title=kind, story_type=kind, workspace_id=workspace["id"])["id"]
    assert ids(api.get("/stories", story_type="milestone")) == [kinds["milestone"]]
    api.post("/stories", 422, story={"title": "x", "story_type": "epic", "workspace_id": workspace["id"]})


# -- the change feed ----------------------------------------


def test_the_feed_repeats_and_disorders_itself_in_the_same_way_every_time(api: Api) -> None:
    workspace = api.workspace()
    for _ in range(30):
        api.time(workspace["id"])
    first = api.get("/subscribed_events", per_page=200, event_types="time_entry:created")
    assert api.get("/subscribed_events", per_page=200, event_types="time_entry:created") == first
    events = [first["subscribed_events"][i] for i in ids(first)]
    subjects = [e["subject_id"] for e in events]
    assert len(set(subjects)) == 30 and len(subjects) > 30
    newest_first = sorted((int(e["id"]) for e in events), reverse=True)
    assert [int(e["id"]) for e in events] != newest_first
    assert {(e["event_type"], e["subject_type"], e["user_id"]) for e in events} == {
        ("time_entry:created", "TimeEntry", 1)
    }
    assert "current_payload" not in events[0]
    pages = [i for p in (1, 2, 3, 4) for i in ids(api.get("/subscribed_events", per_page=12, page=p))]
    assert len(set(pages)) == api.get("/subscribed_events")["count"] == len(pages)


def test_the_feed_in_order_filtered_and_with_its_subjects(api: Api) -> None:
    api.box.shuffle_events = api.box.duplicate_events = False
    workspace = api.workspace()
    entry = api.time(workspace["id"])
    api.clock("2026-03-03T12:00:00Z")
    api.put(f"/time_entries/{entry['id']}", time_entry={"time_in_minutes": 45})
    gone = api.time(workspace["id"])
    api.http.delete(f"/time_entries/{gone['id']}")

    def kinds(**params: Any) -> list[str]:
        answer = api.get("/subscribed_events", order="created_at:asc", **params)
        return [answer["subscribed_events"][i]["event_type"] for i in ids(answer)]

    time = ["time_entry:created", "time_entry:updated", "time_entry:created", "time_entry:deleted"]
    assert kinds() == ["workspace:created", *time]
    assert kinds(event_types="time_entry:updated,time_entry:deleted") == ["time_entry:updated", "time_entry:deleted"]
    assert kinds(created_before="2026-03-03T00:00:00Z") == ["workspace:created", "time_entry:created"]
    assert kinds(created_after="2026-03-03T00:00:00Z") == time[1:]
    assert kinds(most_recent="true") == ["workspace:created", "time_entry:updated", "time_entry:deleted"]
    assert kinds(subject_type="TimeEntry", subject_id=entry["id"]) == time[:2]
    api.get("/subscribed_events", 400, subject_id="1")
    seen = api.get("/subscribed_events", include="subject", optional_fields="payload_changes,current_payload")
    by_type = {e["event_type"]: e for e in seen["subscribed_events"].values()}
    assert by_type["time_entry:updated"]["subject_ref"] == {"key": "time_entries", "id": entry["id"]}
    assert '"time_in_minutes": [90, 45]' in by_type["time_entry:updated"]["payload_changes"]
    assert by_type["time_entry:deleted"]["subject_ref"] is None
    assert by_type["time_entry:deleted"]["current_payload"] == "null"
    assert seen["time_entries"][entry["id"]]["time_in_minutes"] == 45


def test_events_are_kept_nine_days_and_only_for_administrators(api: Api) -> None:
    api.box.duplicate_events = False
    api.workspace()
    api.clock("2026-03-11T11:59:59Z")
    assert api.get("/subscribed_events")["count"] == 1
    api.clock("2026-03-11T12:00:01Z")
    assert api.get("/subscribed_events")["count"] == 0
    token = {"Authorization": f"Bearer {api.credentials['consultant_access_token']}"}
    answer = api.root.get("/api/v1/subscribed_events", headers=token)
    assert answer.status_code == 403 and answer.json()["errors"]
    types = api.get("/subscribed_events/event_types")
    assert {"time_entry:created", "workspace:updated"} <= set(types["subscribed_event_types"])
    assert "time_in_minutes" in types["subscribed_event_type_schemas"]["time_entry:updated"]["properties"]


# -- faults, seeds, specification ----------------------------------------


def test_a_lost_answer_leaves_one_record_and_a_repeat_without_look_up_a_second(api: Api) -> None:
    api.fault(kind="timeout_after_commit", method="POST", path="/workspaces")
    given = {"title": "Once", "creator_role": "maven", "external_reference": _reference("W-1")}
    lost = api.post("/workspaces", 504, workspace=given)
    assert lost["errors"][0]["type"] == "system"
    assert api.get("/workspaces", external_reference_service_model_ref="W-1")["count"] == 1
    api.post("/workspaces", workspace=given)
    assert api.get("/workspaces", external_reference_service_model_ref="W-1")["count"] == 2


def test_a_stale_read_hides_the_newest_write_from_look_ups_but_not_from_show(api: Api) -> None:
    made = api.workspace(external_reference=_reference("W-2"))
    api.fault(kind="stale_read", method="GET", times=2)
    assert api.get("/external_references", subject_type="Workspace", service_model_ref="W-2")["count"] == 0
    assert ids(api.get(f"/workspaces/{made['id']}")) == [made["id"]]
    assert api.get("/external_references", subject_type="Workspace", service_model_ref="W-2")["count"] == 1


def test_a_new_value_of_a_custom_field_takes_the_place_of_the_one_before(api: Api) -> None:
    project = api.workspace()["id"]
    given = {"subject_type": "Workspace", "subject_id": project, "custom_field_id": 501}
    first = ids(api.post("/custom_field_values", custom_field_value=given | {"value": "one"}))
    [second] = ids(api.post("/custom_field_values", custom_field_value=given | {"value": "two"}))
    held = api.get(f"/workspaces/{project}", include="custom_field_values")
    assert [second] != first and {i: v["value"] for i, v in held["custom_field_values"].items()} == {second: "two"}
    assert api.get("/custom_field_values", subject_type="Workspace")["count"] == 1
    assert api.get("/custom_field_values", 400)["errors"][0]["message"] == "subject_type is required"
    for wrong, field in (({"subject_id": 999}, "subject_id"), ({"subject_type": "Invoice"}, "subject_type")):
        refused = api.post("/custom_field_values", 422, custom_field_value=given | {"value": "x"} | wrong)
        assert refused["errors"][0]["field"] == field


def test_an_outage_answers_503_in_the_vendors_shape(api: Api) -> None:
    api.root.post("/_control/outage", json={"on": True})
    assert api.get("/users", 503)["errors"] == [{"type": "system", "message": "Service is unavailable"}]


def test_seeds_keep_what_is_given_and_the_same_work_gives_the_same_state(api: Api) -> None:
    def work() -> Any:
        api.box.reset()
        api.clock(NOON)
        api.box.seed("workspaces", {"id": 500, "title": "Seeded", "external_reference": _reference("S-1")})
        given = {"workspace_id": 500, "date_performed": "2026-02-02", "time_in_minutes": 15, "user_id": 12}
        stamped = {"approved": True, "created_at": "2026-02-02T17:00:00Z"}
        api.root.post("/_control/seed", json={"time_entries": [given | stamped]}).raise_for_status()
        api.workspace()
        return api.root.get("/_control/state").json()

    state = work()
    assert work() == state
    assert [w["id"] for w in state["workspaces"]] == ["1001", "500"]
    (entry,) = state["time_entries"]
    assert entry["approved"] is True
    assert entry["created_at"] == entry["updated_at"] == "2026-02-02T17:00:00Z"
    assert (entry["workspace_id"], entry["role_id"]) == ("500", "102")
    with pytest.raises(ValueError, match="colour"):
        api.box.seed("workspaces", {"title": "x", "colour": "red"})


def test_the_account_starts_with_consultants_and_their_roles(api: Api) -> None:
    users = api.get("/users", include="role")
    assert users["count"] == 7
    assert [u["account_permission"] for u in users["users"].values()].count("administrator") == 1
    names = {r["name"] for r in api.get("/roles")["roles"].values()}
    assert {"Program Manager I", "Business Analyst II", "Software Engineer II", "Architect II"} <= names
    assert {"Visual Designer", "User Researcher", "Consultant"} <= names


STAMPS = {"created_at", "updated_at"}
# What the sandbox knows beyond the attribute file: stamps on everything, and one attribute of the newer contract.
BEYOND: dict[str, set[str]] = {
    "workspace_groups": STAMPS,
    "users": STAMPS,
    "roles": STAMPS,
    "rate_card_sets": STAMPS,
    "rate_card_set_versions": STAMPS,
    "rate_cards": STAMPS,
    "rate_card_versions": STAMPS,
    "rate_card_roles": STAMPS,
    "expense_report_submissions": {"external_reference"},
}


def test_every_attribute_accepted_or_answered_is_in_the_official_specification(api: Api) -> None:
    # The vendor's file uses lists as keys of its validations, which the plain loader cannot hold.
    text = re.sub(
        r"^(\s+)\[.*\]:$", r"\1several:", specification("kantata", "specification.yml").read_text(), flags=re.MULTILINE
    )
    beyond: dict[str, set[str]] = {}
    for name, official in ((n, o) for n, o in yaml.safe_load(text).items() if n in COLLECTIONS):
        c = COLLECTIONS[name]
        creates, updates = (set(official.get(f"{verb}_attributes", ())) for verb in ("create", "update"))
        associations = official.get("associations", {})
        keys = {a["foreign_key"] for a in associations.values()}
        assert set(c.to_one) | set(c.to_many) <= set(associations), name
        extra = (c.creates - creates) | (c.updates - updates)
        api.box.seed(name, {"subject_id": 1} if name == "external_references" else {})
        everything = ",".join([*c.to_one, *c.to_many, "external_references"])
        listed = api.get(f"/{name}", subject_type="", include=everything, only="1001")
        answered = set(listed[name]["1001"])
        extra |= answered - set(official["attributes"]) - keys - {"external_reference_ids"}
        if extra:
            beyond[name] = set(extra)
    assert beyond == BEYOND
    assert len(COLLECTIONS) == 23
