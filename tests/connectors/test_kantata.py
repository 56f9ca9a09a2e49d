"""The Kantata connector, every verb over HTTP against the sandbox: effects, look-ups, refusals, paging, login."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from isthmus.connectors.kantata import connector as Kantata
from isthmus.connectors.kantata import mapping as m
from isthmus.domain.errors import (
    BadInput,
    NeedsSetup,
    NotFound,
    OutcomeUnknown,
    RemoteRefusal,
    Throttled,
    Unreachable,
)
from isthmus.domain.objects import Project, Rate, Task
from isthmus.kit.connector import missing_verbs
from isthmus.kit.executor import Connection
from isthmus.ports import Delivery, DisputeBoard, ExpenseSource, Psa, RateBook, TimeSource
from isthmus.ports.messages import ContestedLines, InvoicedTime, RateCardIn, TaskIn
from isthmus.ports.verbs import spec_of
from isthmus.sandbox.kantata.schema import TIME_ENTRIES
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
    end=date(2026, 9, 30),
    budget=Decimal("120000.50"),
)
TASK = TaskIn(project_code="P-100", task=Task(code="T1", name="Discovery", line_uid="L1"))
MILESTONE = TaskIn(project_code="P-100", task=Task(code="M1", name="Go live", line_uid="L2", milestone=1))


def rate(role: str, amount: str, start: date, end: date | None = None, **more: Any) -> Rate:
    return Rate(role=role, bill_rate=Decimal(amount), effective_from=start, effective_to=end, **more)


RATES = RateCardIn(
    project_code="P-100",
    currency="USD",
    rates=(
        rate("Architect II", "250.50", date(2026, 3, 1), date(2026, 7, 1)),
        rate("Architect II", "260", date(2026, 7, 1)),
        rate("Software Engineer II", "180.25", date(2026, 3, 1)),
    ),
)


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running("kantata") as boxes:
        yield boxes["kantata"]


@pytest.fixture
def control(served: Running) -> Callable[..., Any]:
    """POST to the control surface of an empty sandbox."""

    def post(path: str, body: Any = None) -> Any:
        return httpx.post(f"{served.url}/_control/{path}", json=body).raise_for_status().json()

    post("reset")
    return post


def connect(served: Running, kind: str = "bearer", **settings: Any) -> Connection:
    known = served.sandbox.credentials()
    secrets = {"token": known["access_token"]}
    if kind == "client_credentials":
        secrets = {name: known[name] for name in ("client_id", "client_secret")}
        secrets["token_url"] = f"{served.url}/oauth/token"
    base = f"{served.url}/api/v1"
    return Connection("psa", Kantata(settings), base_url=base, auth_kind=kind, secrets=secrets)


@pytest.fixture
def psa(served: Running, control: Callable[..., Any]) -> Connection:
    return connect(served)


@pytest.fixture
def set_up(psa: Connection) -> Connection:
    """An account with the project and its task."""
    psa.put_project(PROJECT)
    psa.put_task(TASK)
    return psa


def state(served: Running, collection: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = httpx.get(f"{served.url}/_control/state").json().get(collection, [])
    return rows


def id_of(psa: Connection) -> str:
    return str(psa.find_project(PROJECT).external_id)


def entry(workspace_id: str, **more: Any) -> dict[str, Any]:
    basic = {"workspace_id": workspace_id, "date_performed": "2026-03-04", "time_in_minutes": 440, "user_id": "14"}
    return {**basic, "approved": True, "cost_rate_in_cents": 9550, "role_id": "104", **more}


# -- the manifest ----------------------------------------------------------------------------------------------


def test_the_manifest_names_every_verb_of_the_port() -> None:
    manifest = Kantata.read_manifest()
    verbs = {}
    for port in (Psa, DisputeBoard, RateBook, TimeSource, ExpenseSource, Delivery):
        assert missing_verbs(Kantata, port.__name__) == []
        verbs |= {f"{port.__name__}.{name}": verb for name, verb in vars(port).items() if hasattr(verb, "__verb__")}
    finds = {name: spec_of(verb).find for name, verb in verbs.items() if spec_of(verb).writes}
    looked_up = {f"{name.split('.')[0]}.{find}" for name, find in finds.items()}
    assert {name: facts.find for name, facts in manifest.verbs.items()} == finds
    assert set(manifest.reads) | set(finds) | looked_up == set(verbs)


# -- project ---------------------------------------------------------------------------------------------------


def test_a_project_is_put_found_changed_closed_and_opened_again(served: Running, psa: Connection) -> None:
    assert psa.find_project(PROJECT) is None
    with pytest.raises(NotFound, match="P-100"):
        psa.read_project("P-100")
    made = psa.put_project(PROJECT)
    assert psa.find_project(PROJECT) == made
    assert psa.put_project(PROJECT.model_copy(update={"name": "Platform"})) == made
    [row] = state(served, "workspaces")
    assert (row["title"], row["price_in_cents"], row["status_key"]) == ("Platform", 12000050, 300)
    psa.put_task(TASK)
    psa.put_task(MILESTONE)
    facts = psa.read_project("P-100")
    assert (facts.name, facts.currency, facts.active, facts.tasks) == ("Platform", "USD", True, ("T1", "M1"))
    assert psa.find_closed(PROJECT) is None
    assert psa.close_project(PROJECT) == made == psa.find_closed(PROJECT)
    assert psa.find_project(PROJECT) is None
    assert not psa.read_project("P-100").active
    assert psa.put_project(PROJECT) == made == psa.find_project(PROJECT)
    assert len(state(served, "workspaces")) == 1


def test_a_title_or_the_key_of_another_service_proves_nothing(control: Callable[..., Any], psa: Connection) -> None:
    other = {"service_name": "salesforce", "service_model": "project", "service_model_ref": "P-100"}
    control("seed", {"workspaces": [{"title": PROJECT.name}, {"title": "x", "external_reference": other}]})
    assert psa.find_project(PROJECT) is None


def test_a_filter_that_is_ignored_there_does_not_mislead(
    served: Running, control: Callable[..., Any], set_up: Connection
) -> None:
    token = {"Authorization": f"Bearer {set_up.secrets['token']}"}
    unfiltered = httpx.get(
        f"{served.url}/api/v1/external_references", params={"subject_type": "Workspace"}, headers=token
    ).json()
    control("faults", {"kind": "status", "status": 200, "path": "external_references", "body": unfiltered})
    assert set_up.find_project(PROJECT.model_copy(update={"project_code": "P-999"})) is None
    control("seed", {"time_entries": [entry(id_of(set_up), approved=False)]})
    unapproved = httpx.get(f"{served.url}/api/v1/time_entries?include=user,role", headers=token).json()
    control("faults", {"kind": "status", "status": 200, "path": "time_entries", "body": unapproved})
    page = set_up.approved_time("")
    assert len(unapproved["results"]) == 1 and (page.entries, page.unreadable) == ((), ())


def test_an_archived_project_is_still_known(served: Running, set_up: Connection) -> None:
    made = set_up.find_project(PROJECT)
    row = served.sandbox.records.get("workspaces", made.external_id)
    assert row is not None
    row["archived"] = True
    assert set_up.find_project(PROJECT) == made


def test_two_projects_with_one_key_are_for_a_person(control: Callable[..., Any], set_up: Connection) -> None:
    twin = {"title": "Twin", "external_reference": m.to_reference("workspace", "P-100")}
    control("seed", {"workspaces": [twin]})
    with pytest.raises(RemoteRefusal, match="2 records") as refused:
        set_up.put_project(PROJECT)
    assert refused.value.remote_code == "DUPLICATE"


def test_what_is_contested_is_shown_in_the_firms_custom_field(served: Running, set_up: Connection) -> None:
    told = ContestedLines(project_code="P-100", revision=1, lines=("INV-1 line 2: 480.00 USD, too many hours",))
    with pytest.raises(NeedsSetup, match="dispute_field is missing"):
        set_up.show_contested(told)
    psa = connect(served, dispute_field="501")
    assert psa.find_contested(told) is None
    assert psa.show_contested(told) == psa.find_project(PROJECT) == psa.find_contested(told)
    decided = ContestedLines(project_code="P-100", revision=2)
    psa.show_contested(decided)
    assert psa.find_contested(told) is None and psa.find_contested(decided) is not None
    [value] = state(served, "custom_field_values")
    assert (value["custom_field_id"], value["value"]) == ("501", "nothing is contested")
    with pytest.raises(NotFound, match="P-9"):
        psa.show_contested(ContestedLines(project_code="P-9"))
    assert psa.find_contested(ContestedLines(project_code="P-9")) is None


def test_an_unknown_status_color_raises(control: Callable[..., Any], set_up: Connection) -> None:
    body = {
        "results": [{"key": "workspaces", "id": "1"}],
        "workspaces": {"1": {"id": "1", "status_key": 777, "status": {"color": "mauve"}}},
    }
    control("faults", {"kind": "status", "path": "/workspaces/", "status": 200, "body": body})
    with pytest.raises(BadInput, match="unknown state 'mauve'"):
        set_up.find_project(PROJECT)


def test_a_task_is_put_once_and_only_into_a_project_that_is_there(served: Running, set_up: Connection) -> None:
    made = set_up.find_task(TASK)
    assert made == set_up.put_task(TASK)
    set_up.put_task(MILESTONE)
    assert [row["story_type"] for row in state(served, "stories")] == ["task", "milestone"]
    with pytest.raises(NotFound, match="P-9"):
        set_up.put_task(TASK.model_copy(update={"project_code": "P-9"}))
    with pytest.raises(NotFound, match="P-9"):
        set_up.close_project(PROJECT.model_copy(update={"project_code": "P-9"}))


def test_a_refused_project_says_why(psa: Connection) -> None:
    with pytest.raises(RemoteRefusal, match="Currency is not supported") as refused:
        psa.put_project(PROJECT.model_copy(update={"currency": "KWD", "budget": None}))
    assert refused.value.remote_code == "validation"


def test_a_list_is_read_over_many_pages(served: Running, set_up: Connection) -> None:
    codes = tuple(f"T{n}" for n in range(2, 9))
    for code in codes:
        set_up.put_task(TASK.model_copy(update={"task": TASK.task.model_copy(update={"code": code})}))
    set_up.connector.manifest = set_up.connector.manifest.model_copy(update={"page_size": 3})
    assert set_up.read_project("P-100").tasks == ("T1", *codes)


# -- rates -----------------------------------------------------------------------------------------------------


def test_rates_are_set_by_day_and_role_and_compared_to_the_cent(served: Running, set_up: Connection) -> None:
    assert set_up.find_rates(RATES) is None
    made = set_up.put_rates(RATES)
    assert set_up.find_rates(RATES) == made == set_up.put_rates(RATES)
    assert len(state(served, "rate_card_sets")) == 1
    assert sorted(row["rate"] for row in state(served, "rate_card_roles")) == [18025, 18025, 25050, 26000]
    for changed in (
        (RATES.rates[0].model_copy(update={"bill_rate": Decimal("250.51")}), *RATES.rates[1:]),
        RATES.rates[:2],
        (RATES.rates[0].model_copy(update={"role": "Architect"}), *RATES.rates[1:]),
        (*RATES.rates[:2], RATES.rates[2].model_copy(update={"effective_from": date(2026, 7, 1)})),
    ):
        assert set_up.find_rates(RATES.model_copy(update={"rates": changed})) is None
    assert set_up.find_rates(RATES.model_copy(update={"currency": "EUR"})) is None


def test_a_role_may_have_another_name_there(served: Running, set_up: Connection) -> None:
    card = RATES.model_copy(update={"rates": (rate("Partner", "400", date(2026, 3, 1)),)})
    with pytest.raises(RemoteRefusal, match="no role Partner"):
        set_up.put_rates(card)
    named = connect(served, roles={"Partner": "Consultant"})
    assert named.put_rates(card) == named.find_rates(card)


# -- time ------------------------------------------------------------------------------------------------------


def test_approved_time_is_read_with_who_approved_it(
    served: Running, control: Callable[..., Any], set_up: Connection
) -> None:
    assert set_up.approved_time("").entries == ()
    control("clock", {"now": "2026-03-06T17:00:00Z"})
    workspace, story = id_of(set_up), set_up.find_task(TASK).external_id
    rows = [
        entry(workspace, story_id=story, approved=False, notes="Workshop"),
        entry(workspace, time_in_minutes=20, approved=False, cost_rate_in_cents=None),
    ]
    first, second = [row["id"] for row in control("seed", {"time_entries": rows})["time_entries"]]
    assert set_up.approved_time("").entries == ()
    control("clock", {"now": "2026-03-06T17:30:00Z"})
    api = httpx.Client(base_url=f"{served.url}/api/v1", headers={"Authorization": f"Bearer {set_up.secrets['token']}"})
    sheet = {"title": "Week 10", "workspace_id": workspace, "line_item_ids": [first]}
    body = api.post("/timesheet_submissions", json={"timesheet_submission": sheet}).json()
    control("clock", {"now": "2026-03-06T18:00:00Z"})
    api.put(f"/timesheet_submissions/{body['results'][0]['id']}/approve").raise_for_status()
    page = set_up.approved_time("")
    assert page.unreadable == () and page.watermark == "2026-03-06T18:00:00+00:00"
    [got] = page.entries
    assert (got.key, got.revision, got.project_code, got.task_code) == (f"kantata:{first}", 1, "P-100", "T1")
    assert (got.person, got.role) == ("dmitri.castellanos@consulting.example", "Architect II")
    assert (got.hours, got.service_date, got.note) == (Decimal("7.3333"), date(2026, 3, 4), "Workshop")
    assert (got.cost_rate, got.cost_currency) == (Decimal("95.5"), "USD")
    assert got.approved_by == "integration@consulting.example"
    assert got.approved_at == datetime(2026, 3, 6, 18, tzinfo=UTC)
    assert set_up.approved_time("2026-03-06T18:04:00+00:00").entries == page.entries
    late = set_up.approved_time("2026-03-06T18:06:00+00:00")
    assert (late.entries, late.watermark) == ((), "2026-03-06T18:06:00+00:00")
    row = served.sandbox.records.get("workspaces", workspace)
    assert row is not None
    row["require_time_approvals"] = False
    both = {e.source_id: e for e in set_up.approved_time("").entries}
    assert both[second].approved_by == "kantata: no approval required" and both[second].cost_rate is None


def test_time_of_other_projects_is_not_ours_and_what_cannot_be_read_is_told(
    served: Running, control: Callable[..., Any], set_up: Connection
) -> None:
    workspace = id_of(set_up)
    [other] = control("seed", {"workspaces": [{"title": "Internal"}]})["workspaces"]
    rows = [entry(workspace), entry(workspace), entry(other["id"]), entry(workspace), entry(workspace)]
    ids = [row["id"] for row in control("seed", {"time_entries": rows})["time_entries"]]
    served.sandbox.records.get("time_entries", ids[1])["user_id"] = "999"  # type: ignore[index]
    served.sandbox.records.get("time_entries", ids[3])["workspace_id"] = "998"  # type: ignore[index]
    served.sandbox.records.get("time_entries", ids[4])["time_in_minutes"] = 1500  # type: ignore[index]
    page = set_up.approved_time("")
    assert [e.source_id for e in page.entries] == [ids[0]]
    told = dict(page.unreadable)
    assert told.keys() == {ids[1], ids[3], ids[4]}
    assert told[ids[1]] == "its user 999 cannot be read"
    assert told[ids[3]] == "its project 998 cannot be read"
    assert "a day has 24" in told[ids[4]]


def test_an_unknown_submission_status_is_told(served: Running, control: Callable[..., Any], set_up: Connection) -> None:
    workspace = id_of(set_up)
    [made] = control("seed", {"time_entries": [entry(workspace)]})["time_entries"]
    sheet = {"title": "w", "workspace_id": workspace, "line_item_ids": [made["id"]], "status": "waiting"}
    [sheet] = control("seed", {"timesheet_submissions": [sheet]})["timesheet_submissions"]
    served.sandbox.records.get("time_entries", made["id"])["active_submission_id"] = sheet["id"]  # type: ignore[index]
    assert "unknown state 'waiting'" in dict(set_up.approved_time("").unreadable)[made["id"]]


class Office:
    """People at work over there: time and expenses that are handed in and resolved."""

    def __init__(self, served: Running, control: Callable[..., Any], psa: Connection) -> None:
        headers = {"Authorization": f"Bearer {psa.secrets['token']}"}
        self.http = httpx.Client(base_url=f"{served.url}/api/v1", headers=headers)
        self.control, self.workspace = control, id_of(psa)

    def at(self, now: str) -> None:
        self.control("clock", {"now": now})

    def call(self, method: str, path: str, **body: Any) -> Any:
        answer = self.http.request(method, path, json=body or None).raise_for_status()
        return answer.json() if answer.content else None

    def new(self, collection: str, singular: str, **given: Any) -> str:
        return str(self.call("POST", f"/{collection}", **{singular: given})["results"][0]["id"])

    def time(self, **more: Any) -> str:
        day = {"date_performed": "2026-03-04", "time_in_minutes": 440}
        return self.new("time_entries", "time_entry", workspace_id=self.workspace, user_id=14, **day, **more)

    def expense(self, **more: Any) -> str:
        spent = {"date": "2026-03-03", "category": "Lodging", "amount_in_cents": 11800, **more}
        return self.new("expenses", "expense", workspace_id=self.workspace, user_id=14, **spent)

    def submit(self, collection: str, *items: str) -> str:
        given = {"title": "March", "workspace_id": self.workspace, "line_item_ids": list(items)}
        return self.new(collection, collection.removesuffix("s"), **given)

    def resolve(self, collection: str, submission: str, verb: str) -> None:
        self.call("PUT", f"/{collection}/{submission}/{verb}")


@pytest.fixture
def office(served: Running, control: Callable[..., Any], set_up: Connection) -> Office:
    made = Office(served, control, set_up)
    made.at("2026-03-05T09:00:00Z")
    return made


def test_time_that_is_rejected_after_its_approval_is_withdrawn(set_up: Connection, office: Office) -> None:
    entry_id = office.time()
    sheet = office.submit("timesheet_submissions", entry_id)
    office.resolve("timesheet_submissions", sheet, "approve")
    first = set_up.approved_time("")
    assert [e.source_id for e in first.entries] == [entry_id] and first.withdrawn == ()
    office.at("2026-03-06T09:00:00Z")
    office.resolve("timesheet_submissions", sheet, "reject")
    page = set_up.approved_time(first.watermark)
    assert page.entries == ()
    [gone] = page.withdrawn
    assert (gone.key, gone.by) == (f"kantata:{entry_id}", "kantata: not approved")
    assert gone.at == datetime(2026, 3, 6, 9, tzinfo=UTC) and page.watermark == "2026-03-06T09:00:00+00:00"


@pytest.mark.parametrize(
    ("read", "items", "submissions"),
    [
        ("approved_time", "time_entries", "timesheet_submissions"),
        ("approved_expenses", "expenses", "expense_report_submissions"),
    ],
)
def test_an_approval_that_leaves_the_item_as_it_was_is_still_seen(
    served: Running, set_up: Connection, office: Office, read: str, items: str, submissions: str
) -> None:
    """Nothing published says that approving a submission changes the stamps of what is on it."""
    item_id = office.time() if items == "time_entries" else office.expense()
    submission = office.submit(submissions, item_id)
    first = getattr(set_up, read)("")
    assert [one.source_id for one in first.withdrawn] == [item_id]
    store = served.sandbox.store  # type: ignore[attr-defined]
    kept = store._times[items, item_id]
    office.at("2026-03-06T09:00:00Z")
    office.resolve(submissions, submission, "approve")
    store._times[items, item_id] = kept
    page = getattr(set_up, read)("2026-03-05T09:10:00+00:00")
    [got] = page.entries if items == "time_entries" else page.expenses
    assert (got.source_id, got.approved_at) == (item_id, datetime(2026, 3, 6, 9, tzinfo=UTC))
    assert got.person == "dmitri.castellanos@consulting.example"


def test_deleted_time_and_expenses_are_withdrawn_though_their_events_come_late_and_twice(
    served: Running, set_up: Connection, office: Office
) -> None:
    served.sandbox.duplicate_events = True  # type: ignore[attr-defined]
    entry_id, expense_id = office.time(), office.expense()
    times, expenses = set_up.approved_time(""), set_up.approved_expenses("")
    office.at("2026-03-05T10:00:00Z")
    office.call("DELETE", f"/time_entries/{entry_id}")
    office.call("DELETE", f"/expenses/{expense_id}")
    office.at("2026-03-05T20:00:00Z")
    office.time(notes="later")
    for read, mark, key in ((set_up.approved_time, times, entry_id), (set_up.approved_expenses, expenses, expense_id)):
        told = [one for one in read(mark.watermark).withdrawn if one.source_id == key]
        assert [(one.by, one.at) for one in told] == [("kantata: deleted", datetime(2026, 3, 5, 10, tzinfo=UTC))]
    # Ten hours after the last change seen, the event of the morning is still asked for.
    again = set_up.approved_time(set_up.approved_time("").watermark)
    assert entry_id in {one.source_id for one in again.withdrawn}


def test_approved_expenses_come_with_amount_category_and_approver(
    served: Running, set_up: Connection, office: Office
) -> None:
    assert set_up.approved_expenses("") == set_up.approved_expenses("")
    story = set_up.find_task(TASK).external_id
    one = office.expense(story_id=story, notes="Two nights", billable=False, receipt_id="77")
    other = office.expense(amount_in_cents=4550, category="Food")
    report = office.submit("expense_report_submissions", one)
    first = set_up.approved_expenses("")
    assert first.expenses == () and {each.source_id for each in first.withdrawn} == {one, other}
    office.at("2026-03-06T18:00:00Z")
    office.resolve("expense_report_submissions", report, "approve")
    [got] = set_up.approved_expenses(first.watermark).expenses
    assert (got.key, got.project_code, got.task_code) == (f"kantata:{one}", "P-100", "T1")
    assert (got.gross, got.currency, got.tax) == (Decimal("118"), "USD", Decimal("0"))
    assert (got.category, got.expense_date, got.note) == ("Lodging", date(2026, 3, 3), "Two nights")
    assert (got.billable, got.receipt_ref, got.person) == (False, "77", "dmitri.castellanos@consulting.example")
    assert got.approved_by == "integration@consulting.example"
    assert got.approved_at == datetime(2026, 3, 6, 18, tzinfo=UTC)
    row = served.sandbox.records.get("workspaces", office.workspace)
    assert row is not None
    row["require_expense_approvals"] = False
    both = {each.source_id: each for each in set_up.approved_expenses("").expenses}
    assert both[other].approved_by == "kantata: no approval required" and both[other].billable
    row["currency"], row["currency_base_unit"] = "JPY", 1
    yen = office.expense(amount_in_cents=11800)
    assert {e.source_id: e.gross for e in set_up.approved_expenses("").expenses}[yen] == Decimal("11800")


def test_expenses_of_other_people_are_seen_when_their_report_is_resolved(set_up: Connection, office: Office) -> None:
    """A list of reports shows one's own unless it is asked for those of the account."""
    expense_id = office.expense()
    report = office.submit("expense_report_submissions", expense_id)
    office.resolve("expense_report_submissions", report, "approve")
    first = set_up.approved_expenses("")
    assert [e.source_id for e in first.expenses] == [expense_id]
    office.at("2026-03-07T09:00:00Z")
    office.resolve("expense_report_submissions", report, "reject")
    assert [one.source_id for one in set_up.approved_expenses(first.watermark).withdrawn] == [expense_id]


def test_expenses_of_archived_projects_and_of_others_are_told_apart(
    served: Running, control: Callable[..., Any], set_up: Connection, office: Office
) -> None:
    mine = office.expense()
    [other] = control("seed", {"workspaces": [{"title": "Internal", "require_expense_approvals": False}]})["workspaces"]
    office.new("expenses", "expense", workspace_id=other["id"], date="2026-03-03", category="Food", amount_in_cents=1)
    row = served.sandbox.records.get("workspaces", office.workspace)
    assert row is not None
    row["archived"], row["require_expense_approvals"] = True, False
    served.sandbox.records.get("expenses", mine)["user_id"] = "999"  # type: ignore[index]
    page = set_up.approved_expenses("")
    assert page.expenses == () and dict(page.unreadable) == {mine: "its user 999 cannot be read"}


# -- milestones ------------------------------------------------------------------------------------------------
GOAL = TaskIn(project_code="P-100", task=Task(code="L2-M1", name="Go live", line_uid="L2", milestone=1))


def test_a_milestones_state_comes_with_who_set_it_and_when(set_up: Connection, office: Office) -> None:
    goal = str(set_up.put_task(GOAL).external_id)
    first = set_up.milestones_changed("")
    [planned] = first.milestones
    assert (planned.project_code, planned.line_uid, planned.number, planned.state) == ("P-100", "L2", 1, "planned")
    assert (planned.by, planned.at) == ("kantata: nobody has moved it", datetime(2026, 3, 5, 9, tzinfo=UTC))
    office.at("2026-03-06T09:00:00Z")
    office.call("PUT", f"/stories/{goal}", story={"state": "started"})
    office.at("2026-03-07T09:00:00Z")
    office.call("PUT", f"/stories/{goal}", story={"state": "completed"})
    office.at("2026-03-08T09:00:00Z")
    office.call("PUT", f"/stories/{goal}", story={"title": "Go live!"})
    page = set_up.milestones_changed(first.watermark)
    [done] = page.milestones
    assert (done.state, done.by) == ("completed", "integration@consulting.example")
    assert done.at == datetime(2026, 3, 7, 9, tzinfo=UTC) and page.watermark == "2026-03-08T09:00:00+00:00"
    assert set_up.milestones_changed("2026-03-08T09:06:00+00:00").milestones == ()


def test_a_milestones_state_nobody_has_mapped_waits_for_a_person(
    served: Running, set_up: Connection, office: Office
) -> None:
    goal = str(set_up.put_task(GOAL).external_id)
    office.call("PUT", f"/stories/{goal}", story={"state": "needs info"})
    office.new("stories", "story", title="Ours not", story_type="milestone", workspace_id=office.workspace)
    page = set_up.milestones_changed("")
    assert page.milestones == () and list(dict(page.unreadable)) == [goal]
    assert "unknown state 'needs info'" in dict(page.unreadable)[goal]
    [told] = connect(served, milestone_states={"needs info": "in_progress"}).milestones_changed("").milestones
    assert told.state == "in_progress"


@pytest.mark.parametrize("same_second", [True, False])
def test_time_is_read_over_many_pages_while_it_changes(
    served: Running, control: Callable[..., Any], set_up: Connection, same_second: bool
) -> None:
    workspace = id_of(set_up)
    rows = [
        entry(
            workspace, updated_at=f"2026-03-06T18:00:{0 if same_second else n:02d}Z", created_at="2026-03-05T09:00:00Z"
        )
        for n in range(11)
    ]
    ids = [row["id"] for row in control("seed", {"time_entries": rows})["time_entries"]]
    set_up.connector.manifest = set_up.connector.manifest.model_copy(update={"page_size": 3})
    steps = set_up.connector.approved_time("")
    request = next(steps)
    pages = 0
    try:
        while True:
            answer = set_up.send(request)
            if request.path == "time_entries":
                pages += 1
                if pages == 1:  # someone edits the first row between two pages: it moves to the end
                    store = served.sandbox.store  # type: ignore[attr-defined]
                    row = served.sandbox.records.get("time_entries", ids[0])
                    store.change(TIME_ENTRIES, row, {"notes": "later"}, "1")
            request = steps.send(answer)
    except StopIteration as done:
        page = done.value
    assert pages > 3
    missed = set(ids) - {e.source_id for e in page.entries}
    assert missed == set()
    assert [e.note for e in page.entries if e.source_id == ids[0]] == ["later"]


# -- billing ---------------------------------------------------------------------------------------------------


@pytest.fixture
def billed(control: Callable[..., Any], set_up: Connection) -> InvoicedTime:
    rows = control("seed", {"time_entries": [entry(id_of(set_up)), entry(id_of(set_up))]})["time_entries"]
    return InvoicedTime(
        project_code="P-100",
        number="INV-2026-0001",
        issue_date=date(2026, 3, 31),
        total=Decimal("261.30"),
        currency="USD",
        entry_keys=tuple(f"kantata:{row['id']}" for row in rows),
    )


def test_entries_are_marked_once_and_a_cancelled_mark_is_none(
    served: Running, control: Callable[..., Any], set_up: Connection, billed: InvoicedTime
) -> None:
    assert set_up.find_invoiced(billed) is None
    made = set_up.mark_invoiced(billed)
    assert set_up.find_invoiced(billed) == made == set_up.mark_invoiced(billed)
    [row] = state(served, "invoices")
    assert (row["user_invoice_number"], row["message"]) == ("INV-2026-0001", "Invoiced INV-2026-0001")
    assert [row["is_invoiced"] for row in state(served, "time_entries")] == [True, True]
    more = billed.model_copy(update={"entry_keys": (*billed.entry_keys, "kantata:5")})
    assert set_up.find_invoiced(more) is None
    token = {"Authorization": f"Bearer {set_up.secrets['token']}"}
    httpx.put(f"{served.url}/api/v1/invoices/{made.external_id}/cancel", headers=token).raise_for_status()
    assert set_up.find_invoiced(billed) is None
    again = set_up.mark_invoiced(billed)
    assert again != made and set_up.find_invoiced(billed) == again


def test_an_entry_on_another_invoice_is_a_refusal(set_up: Connection, billed: InvoicedTime) -> None:
    set_up.mark_invoiced(billed)
    with pytest.raises(RemoteRefusal, match="already on an invoice"):
        set_up.mark_invoiced(billed.model_copy(update={"number": "INV-2026-0002"}))


def test_an_invoice_without_time_is_marked_too_and_a_foreign_key_is_refused(
    set_up: Connection, billed: InvoicedTime
) -> None:
    fixed = billed.model_copy(update={"entry_keys": (), "number": "INV-2026-0003"})
    assert set_up.mark_invoiced(fixed) == set_up.find_invoiced(fixed)
    assert m.lump_sum(fixed)["amount_in_cents"] == 26130
    with pytest.raises(BadInput, match="harvest:1"):
        set_up.mark_invoiced(billed.model_copy(update={"entry_keys": ("harvest:1",)}))


# -- faults ----------------------------------------------------------------------------------------------------

NEW_TASK = TASK.model_copy(update={"task": TASK.task.model_copy(update={"code": "T2"})})
WRITES: list[tuple[str, Any, str, str, str]] = [
    ("put_project", PROJECT.model_copy(update={"project_code": "P-200"}), "find_project", "POST", "workspaces"),
    ("close_project", PROJECT, "find_closed", "PUT", "workspaces"),
    ("put_task", NEW_TASK, "find_task", "POST", "stories"),
    ("put_rates", RATES, "find_rates", "PUT", "workspaces"),
    ("mark_invoiced", None, "find_invoiced", "POST", "invoices"),
]


@pytest.mark.parametrize(("verb", "argument", "find", "method", "kind"), WRITES, ids=[w[0] for w in WRITES])
def test_a_lost_answer_is_unknown_and_the_look_up_decides(
    served: Running,
    control: Callable[..., Any],
    set_up: Connection,
    billed: InvoicedTime,
    verb: str,
    argument: Any,
    find: str,
    method: str,
    kind: str,
) -> None:
    argument = argument or billed
    before = len(state(served, kind))
    control("faults", {"kind": "timeout_before_commit", "method": method})
    with pytest.raises(OutcomeUnknown):
        getattr(set_up, verb)(argument)
    assert getattr(set_up, find)(argument) is None
    assert len(state(served, kind)) == before
    control("faults", {"kind": "timeout_after_commit", "method": method})
    with pytest.raises(OutcomeUnknown):
        getattr(set_up, verb)(argument)
    found = getattr(set_up, find)(argument)
    assert found is not None
    after = {name: len(rows) for name, rows in httpx.get(f"{served.url}/_control/state").json().items()}
    assert getattr(set_up, verb)(argument) == found
    assert {name: len(rows) for name, rows in httpx.get(f"{served.url}/_control/state").json().items()} == after


def test_rates_lost_half_way_are_not_taken_for_the_projects(control: Callable[..., Any], set_up: Connection) -> None:
    control("faults", {"kind": "timeout_after_commit", "method": "POST", "path": "rate_card_roles", "skip": 1})
    with pytest.raises(OutcomeUnknown):
        set_up.put_rates(RATES)
    assert set_up.find_rates(RATES) is None
    assert set_up.put_rates(RATES) == set_up.find_rates(RATES)


@pytest.mark.parametrize(
    ("status", "reading", "writing"),
    [
        (400, RemoteRefusal, RemoteRefusal),
        (401, NeedsSetup, NeedsSetup),
        (403, NeedsSetup, NeedsSetup),
        (404, NotFound, NotFound),
        (422, RemoteRefusal, RemoteRefusal),
        (429, Throttled, Throttled),
        (500, Unreachable, OutcomeUnknown),
        (503, Unreachable, OutcomeUnknown),
    ],
)
def test_each_error_row_raises_its_class(
    control: Callable[..., Any], set_up: Connection, status: int, reading: type[Exception], writing: type[Exception]
) -> None:
    control("faults", {"kind": "status", "status": status, "method": "PUT"})
    with pytest.raises(writing):
        set_up.put_project(PROJECT)
    control("faults", {"kind": "status", "status": status, "method": "GET"})
    with pytest.raises(reading):
        set_up.approved_time("")


def test_an_answer_without_its_record_is_unknown(control: Callable[..., Any], psa: Connection) -> None:
    body: dict[str, Any] = {"results": [], "workspaces": {}}
    control("faults", {"kind": "status", "status": 200, "method": "POST", "body": body})
    with pytest.raises(OutcomeUnknown, match="without"):
        psa.put_project(PROJECT)


def test_an_expired_token_is_renewed_and_a_busy_account_throttles(served: Running, control: Callable[..., Any]) -> None:
    psa = connect(served, "client_credentials")
    made = psa.put_project(PROJECT)
    access = served.sandbox.access  # type: ignore[attr-defined]
    access.revoke(psa.auth.token)
    assert psa.find_project(PROJECT) == made
    asked = [(row["path"].rsplit("/", 1)[-1], row["status"]) for row in served.sandbox.log[-4:]]
    assert asked[:3] == [("external_references", 401), ("token", 200), ("external_references", 200)]
    access.rate_limit = 0
    try:
        with pytest.raises(Throttled):
            psa.put_project(PROJECT)
    finally:
        access.rate_limit = None


def test_a_revoked_long_lived_token_needs_setup_and_stays_secret(served: Running, control: Callable[..., Any]) -> None:
    base = f"{served.url}/api/v1"
    psa = Connection("psa", Kantata(), base_url=base, auth_kind="bearer", secrets={"token": "gone-token-7"})
    with pytest.raises(NeedsSetup) as refused:
        psa.find_project(PROJECT)
    assert "gone-token-7" not in str(refused.value)
