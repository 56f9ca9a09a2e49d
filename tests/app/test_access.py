"""Who may do what: every route for every role, tokens, allowances, and that no endpoint is without an owner."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from isthmus.app.api.access import ROUTES
from isthmus.app.api.admission import Allowances, Door
from isthmus.app.api.endpoints import ENDPOINTS, Endpoint
from isthmus.domain.errors import NeedsSetup
from isthmus.policies.authority import EVERYBODY, QUEUES, ROLES
from isthmus.runtime.process import PROCESSES
from tests.app.stage import LIMITED_PER_MINUTE, PEOPLE, Stage, an_entry, problem_of

DOCUMENT = Path(__file__).parents[2] / "docs" / "lookup" / "access.md"
OPEN = {"GET /healthz", "GET /readyz", "GET /metrics", "POST /webhooks/{connection}"}
GUARDED = sorted(set(ROUTES) - OPEN)
BY_ROLE = {role: name for name, role in PEOPLE.items() if name != "bert"}
# What is refused after admission for an empty request: seen by the role, then found wanting.
SERVED = {200, 202, 404, 422}


def call(stage: Stage, route: str, headers: dict[str, str]) -> Any:
    """The route with made-up keys and an empty body."""
    method, path = route.split(" ")
    path = re.sub(r"\{\w+\}", "nothing", path)
    content = {"json": {}} if method == "POST" else {}
    return stage.client.request(method, path, headers={"Idempotency-Key": "k", **headers}, **content)


@pytest.mark.requirement("SEC-01", "GOV-01")
def test_every_route_serves_the_roles_of_the_table_and_no_other(stage: Stage) -> None:
    """The whole matrix; the table itself is checked against the document below."""
    wrong = []
    for route in GUARDED:
        for role in ROLES:
            answer = call(stage, route, {"Authorization": f"Bearer {BY_ROLE[role]}-token"})
            served = answer.status_code in SERVED
            if served is not (role in ROUTES[route].roles) or (not served and answer.status_code != 403):
                wrong.append(f"{route} for {role}: {answer.status_code}")
    assert not wrong


@pytest.mark.parametrize(
    "header", ["", "Bearer nobody-token", "Bearer ", "Basic YTpi", "ana-token", "Bearer\tana-token"]
)
def test_nobody_is_let_in_without_a_token(stage: Stage, header: str) -> None:
    for route in GUARDED:
        answer = call(stage, route, {"Authorization": header})
        assert problem_of(answer, 401)["code"] == "unauthenticated", route
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_denied_attempt_is_kept(stage: Stage) -> None:
    told = problem_of(stage.post("/v1/billing-runs", {}, by="rita"), 403)
    assert told["code"] == "not_permitted" and "billing" in told["detail"]
    (entry,) = stage.audited("api.denied")
    assert (entry.actor, (entry.after or {})["place"]) == ("rita", "POST /v1/billing-runs")


def test_a_stranger_is_turned_away_before_the_body_is_looked_at(stage: Stage) -> None:
    answer = stage.client.post("/v1/billing-runs", content=b"{", headers={"content-type": "application/json"})
    problem_of(answer, 401)


def test_no_role_holds_a_pair_that_two_must_share() -> None:
    """Who asks for a write-off does not decide it; who operates the hub moves no money."""
    assert not ROUTES["POST /v1/write-offs"].roles & QUEUES["finance"]
    for route in ("billing-runs", "write-offs", "change-orders", "invoices/{invoice_id}/release"):
        assert not ROUTES[f"POST /v1/{route}"].roles & {"admin", "integration", "reader"}
    assert all("admin" not in deciders for queue, deciders in QUEUES.items() if queue != "integration")
    assert all("reader" not in access.roles for route, access in ROUTES.items() if access.key != "none")


def test_reading_is_for_every_role() -> None:
    assert {route for route, a in ROUTES.items() if route.startswith("GET /v1/") and a.roles != EVERYBODY} == set()


def test_every_queue_a_case_may_have_has_deciders() -> None:
    import isthmus

    rooms = [
        p
        for room in ("policies", "processes", "ports", "runtime")
        for p in Path(isthmus.__path__[0], room).rglob("*.py")
    ]
    named = {q for p in rooms for q in re.findall(r'queue="([a-z-]+)"', p.read_text())}
    readiness = Path(isthmus.__path__[0], "policies", "readiness.py").read_text()
    named |= set(re.findall(r'"EX-[A-Z-]+", .*?, "([a-z-]+)"[,)]', readiness)) & set(QUEUES)
    assert PROCESSES and named and named <= set(QUEUES)


# -- privacy ----------------------------------------------------------------------------------------------------


def test_cost_rates_are_for_those_with_a_need(stage: Stage) -> None:
    stage.set_up()
    stage.record(an_entry(1, cost_rate="70.00", cost_currency="USD"))
    for person in PEOPLE:
        (entry,) = stage.get("/v1/time-entries?project=P-K-1", by=person).json()["items"]
        assert entry["cost_rate"] == ("70.00" if PEOPLE[person] in ("finance", "controller") else None)
    assert "70.00" not in stage.get("/v1/journeys/K-1").text
    assert "70.00" not in stage.get("/v1/runs/contract_to_project/K-1@1").text


# -- the table and the application ------------------------------------------------------------------------------


@pytest.mark.requirement("API-04", "GOV-10")
def test_every_endpoint_has_a_layer_an_owner_and_a_summary(stage: Stage) -> None:
    document = stage.client.get("/openapi.json").json()
    found = {}
    for path, methods in document["paths"].items():
        for method, one in methods.items():
            found[f"{method.upper()} {path}"] = one
    assert set(found) == set(ROUTES) == set(ENDPOINTS)
    for route, one in found.items():
        assert one["tags"] == [ROUTES[route].layer] and one["tags"][0] in ("system", "process", "experience")
        assert ROUTES[route].owner and one["x-owner"] == ROUTES[route].owner and one["summary"], route


@pytest.mark.requirement("API-04")
def test_an_unclassified_endpoint_cannot_be_added(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from isthmus.app.api import create_app

    def nothing() -> None:
        """Nothing."""

    monkeypatch.setitem(ENDPOINTS, "GET /v1/secret", Endpoint("GET /v1/secret", nothing, "/v1/secret", 200, None))
    with pytest.raises(KeyError, match="GET /v1/secret"):
        create_app(stage.hub)

    async def plain() -> None:
        """Nothing."""

    with pytest.raises(KeyError, match="GET /v1/hidden"):
        stage.app.get("/v1/hidden")(plain)


def test_the_document_shows_the_table_as_it_is() -> None:
    spec = importlib.util.spec_from_file_location("docs_access", DOCUMENT.parents[2] / "scripts" / "docs_access.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert DOCUMENT.read_text() == script.page(), "run python scripts/docs_access.py"
    for route, access in ROUTES.items():
        assert f"| `{route}` | {access.layer} | {access.owner} |" in DOCUMENT.read_text()


def test_a_caller_whose_token_is_missing_stops_the_start(stage: Stage) -> None:
    missing = stage.hub.firm.callers[0].model_copy(update={"token": "env:ISTHMUS_NO_SUCH_TOKEN"})
    stage.hub.firm = stage.hub.firm.model_copy(update={"callers": (missing,)})
    with pytest.raises(NeedsSetup):
        Door(stage.hub)


def test_an_empty_token_opens_nothing(stage: Stage) -> None:
    empty = stage.hub.firm.callers[0].model_copy(update={"token": "demo:"})
    stage.hub.firm = stage.hub.firm.model_copy(update={"callers": (empty,)})
    with pytest.raises(NeedsSetup, match="rita"):
        Door(stage.hub)


# -- allowances -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("API-09")
def test_a_flood_of_one_caller_takes_nothing_from_another(stage: Stage) -> None:
    answers = [stage.get("/v1/clients", by="flood") for _ in range(LIMITED_PER_MINUTE + 3)]
    assert [a.status_code for a in answers] == [200] * LIMITED_PER_MINUTE + [429] * 3
    told = problem_of(answers[-1], 429)
    assert told["code"] == "too_many_requests" and told["retryable"] is True
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 12
    assert answers[-1].headers["ratelimit-policy"] == f'"caller";q={LIMITED_PER_MINUTE};w=60'
    assert answers[-1].headers["ratelimit"].startswith('"caller";r=0;t=')
    assert stage.get("/v1/clients", by="finn").status_code == 200


def test_an_allowance_refills_over_the_minute() -> None:
    now = [0.0]
    allowances = Allowances(lambda: now[0])
    assert [allowances.take("a", 2).granted for _ in range(3)] == [True, True, False]
    refused = allowances.take("a", 2)
    assert (refused.left, refused.after_seconds) == (0, 30)
    now[0] = 29.0
    assert not allowances.take("a", 2).granted
    now[0] = 30.5
    assert allowances.take("a", 2).granted
    now[0] = 10_000.0
    assert [allowances.take("a", 2).granted for _ in range(3)] == [True, True, False]
