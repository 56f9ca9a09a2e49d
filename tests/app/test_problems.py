"""Every answer of 400 and above is a documented problem; headers of every answer; health and metrics."""

from __future__ import annotations

import re
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.app.api.access import ROUTES
from isthmus.app.api.envelope import next_traceparent
from isthmus.app.api.problems import of_error
from isthmus.domain import errors
from isthmus.store.records import InboxMessage
from tests.app.stage import PEOPLE, Stage, an_entry, problem_of, time_approved
from tests.processes.hub import contract

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


# -- problems ---------------------------------------------------------------------------------------------------


def test_an_address_or_method_that_is_not_there_is_a_problem_too(stage: Stage) -> None:
    assert problem_of(stage.get("/nowhere"), 404)["code"] == "not_found"
    wrong = stage.client.delete("/v1/clients")
    assert problem_of(wrong, 405)["code"] == "method_not_allowed" and "GET" in wrong.headers["allow"]


def test_wrong_input_names_the_place(stage: Stage) -> None:
    told = problem_of(stage.post("/v1/billing-runs", {"contract_no": "K-1", "name": "m"}, by="ana"), 422)
    assert told["errors"] == [{"where": "body.cutoff", "reason": "Field required"}]
    broken = stage.post("/v1/billing-runs", by="ana", content=b"{", headers={"content-type": "application/json"})
    problem_of(broken, 422)


def _all_errors(kind: type[errors.IsthmusError]) -> list[type[errors.IsthmusError]]:
    return [kind, *(one for sub in kind.__subclasses__() for one in _all_errors(sub))]


ARGUMENTS: dict[str, Any] = {
    "NotOwner": lambda c: c("no", rule="r", owner="o", route="w"),
    "NeedsDecision": lambda c: c("EX-X", "no", queue="q"),
    "TooManyRequests": lambda c: c("no", 3),
    "NotUsable": lambda c: c("no", "m"),
    "Underway": lambda c: c("no", job="7"),
}


@pytest.mark.requirement("API-06")
@pytest.mark.parametrize("kind", _all_errors(errors.IsthmusError), ids=lambda kind: kind.__name__)
def test_every_error_of_the_house_has_its_problem(kind: type[errors.IsthmusError]) -> None:
    error = ARGUMENTS.get(kind.__name__, lambda c: c("no"))(kind)
    import json

    answer = of_error(error)
    body = json.loads(bytes(answer.body))
    assert answer.status_code == body["status"] == kind.status and body["code"] == kind.code
    assert body["owner"] and {"type", "title", "detail"} <= set(body)
    assert answer.headers["content-type"] == "application/problem+json"
    retryable = issubclass(kind, errors.Retryable | errors.OutcomeUnknown) or kind.status == 429
    assert body["retryable"] is retryable and ("retry-after" in answer.headers) is retryable


def test_a_database_that_is_away_is_a_problem_to_try_again(stage: Stage, monkeypatch: Any) -> None:
    def away() -> Any:
        raise sa.exc.OperationalError("select 1", {}, Exception("connection refused"))

    monkeypatch.setattr(stage.hub.store, "transaction", away)
    for path in ("/v1/clients", "/readyz"):
        told = stage.get(path)
        assert problem_of(told, 503)["retryable"] is True and told.headers["retry-after"] == "5"
    assert stage.get("/healthz").status_code == 200


def test_a_bug_tells_nothing_of_its_inside(stage: Stage, monkeypatch: Any) -> None:
    monkeypatch.setattr(stage.hub.store, "transaction", lambda: 1 / 0)
    told = problem_of(stage.get("/v1/clients"), 500)
    assert told["code"] == "bug" and "division" not in str(told)


# -- the description --------------------------------------------------------------------------------------------


def test_the_description_is_openapi_3_1_and_every_reference_resolves(stage: Stage) -> None:
    document = stage.client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for name in re.findall(r"#/components/schemas/([^\"']+)", str(document)):
        assert name in document["components"]["schemas"], name
    for path, methods in document["paths"].items():
        for method, one in methods.items():
            refusals = {s for s in one["responses"] if int(s) >= 400}
            assert {"500", "503"} <= refusals
            for status in refusals:
                assert list(one["responses"][status]["content"]) == ["application/problem+json"], (path, method)
            access = ROUTES[f"{method.upper()} {path}"]
            assert ("security" in one) is bool(access.roles)
            header = [p for p in one.get("parameters", []) if p["name"] == "Idempotency-Key"]
            assert bool(header) is (access.key != "none")


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=12), st.lists(st.integers(), max_size=2), st.floats()
)
NAMES = ["contract_no", "version", "cutoff", "name", "dry_run", "amount", "state", "reason", "action", "values"]
NAMES += ["cap_delta", "change_order", "accepted_on", "evidence", "subscriber", "source", "message_id", "since"]
BODIES = st.one_of(JUNK, st.dictionaries(st.sampled_from(NAMES), JUNK, max_size=6))
QUERIES = st.dictionaries(
    st.sampled_from(["limit", "cursor", "state", "after", "date", "connection", "queue", "contract"]),
    st.text(max_size=8),
    max_size=3,
)


@pytest.mark.requirement("API-06")
def test_whatever_is_sent_the_answer_is_documented(stage: Stage) -> None:
    """A compact fuzz over every operation: documented status, problem document, never a bug."""
    stage.set_up(contract(dimensions={}))
    document = stage.client.get("/openapi.json").json()
    operations = [(m, p, one) for p, methods in document["paths"].items() for m, one in methods.items()]

    @settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(
        st.sampled_from(operations),
        st.sampled_from(sorted(PEOPLE)),
        st.sampled_from(["K-1", "CASE-00001", "contract_to_project/K-1@1", "%00", "é", "a b", "psa"]),
        QUERIES,
        BODIES,
        st.text("abc", max_size=3),
    )
    def check(operation: Any, person: str, key: str, query: dict[str, str], body: Any, own_key: str) -> None:
        method, path, described = operation
        import json

        address = re.sub(r"\{\w+\}", key, path)
        headers = {"Authorization": f"Bearer {person}-token", "Idempotency-Key": own_key}
        content = {"content": json.dumps(body).encode()} if method == "post" else {}
        headers |= {"content-type": "application/json"} if method == "post" else {}
        answer = stage.client.request(method, address, headers=headers, params=query, **content)
        assert str(answer.status_code) in described["responses"], (method, address, answer.status_code, answer.text)
        if answer.status_code >= 400:
            assert problem_of(answer, answer.status_code)["code"] != "bug", (method, address, query, body)

    check()


# -- headers ----------------------------------------------------------------------------------------------------


def test_the_trace_goes_on_and_the_correlation_id_comes_back(stage: Stage) -> None:
    headers = {"traceparent": TRACE, "X-Correlation-Id": "order-7"}
    for path in ("/healthz", "/nowhere", "/v1/clients"):
        answer = stage.client.get(path, headers=headers)
        _, trace, parent, _ = answer.headers["traceparent"].split("-")
        assert trace == TRACE.split("-")[1] and parent != TRACE.split("-")[2]
        assert answer.headers["x-correlation-id"] == "order-7"
    anew = stage.client.get("/healthz", headers={"X-Correlation-Id": "two words"})
    assert anew.headers["x-correlation-id"] == anew.headers["traceparent"].split("-")[1]


@pytest.mark.parametrize(
    "wrong",
    ["", "x", TRACE.upper(), TRACE.replace("00-0a", "ff-0a"), "00-" + "0" * 32 + TRACE[35:], TRACE + "-extra",
     TRACE.replace("b7ad6b7169203331", "0" * 16), TRACE[:-1]],
)  # fmt: skip
def test_a_trace_that_is_not_valid_begins_anew(wrong: str) -> None:
    found = next_traceparent(wrong)
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", found) and TRACE.split("-")[1] not in found


def test_a_later_version_of_the_trace_format_is_understood() -> None:
    assert next_traceparent(TRACE.replace("00-", "01-", 1) + "-more").split("-")[1] == TRACE.split("-")[1]


# -- health -----------------------------------------------------------------------------------------------------


def test_metrics_are_counted_in_the_books(stage: Stage) -> None:
    stage.set_up(contract(dimensions={}))
    stage.record(an_entry(1))
    stage.webhook("psa", time_approved(an_entry(1)))
    stage.webhook("psa", "{", "msg_bad")
    told = stage.client.get("/metrics").text
    assert 'isthmus_messages_accepted{source="psa"} 2.0' in told and len(stage.rows(InboxMessage)) == 3
    assert 'isthmus_messages_duplicate{source="psa"} 1.0' in told
    assert 'isthmus_messages_quarantined{source="psa"} 1.0' in told
    assert 'isthmus_runs{process="contract_to_project",state="parked"} 1.0' in told
    assert 'isthmus_cases_open{queue="finance-master-data"} 1.0' in told
    assert "isthmus_effects{" not in told
    stage.set_up(contract(contract_no="K-2"))
    assert 'isthmus_effects{connection="erp",state="done"}' in stage.client.get("/metrics").text


def test_ready_tells_which_firm_runs_and_which_is_in_force(stage: Stage) -> None:
    assert stage.client.get("/readyz").json() == {"status": "ready", "firm_version": 1, "applied_version": 0}
