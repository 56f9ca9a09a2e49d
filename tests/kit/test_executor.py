"""The one executor: what a request carries, what an answer becomes, what a lost answer means."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from isthmus.domain.errors import LostRace, NeedsSetup, OutcomeUnknown, RemoteRefusal, Unreachable
from isthmus.kit.wire import Answer, Request, Verb
from isthmus.ports.calls import correlation_of_call
from tests.kit.model import connection, manifest


@pytest.fixture
def correlation() -> Iterator[str]:
    token = correlation_of_call.set("contract:K-1")
    yield "contract:K-1"
    correlation_of_call.reset(token)


def sent(request: Request, **facts: Any) -> httpx.Request:
    """The request as the vendor sees it."""
    seen: list[httpx.Request] = []

    def vendor(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={})

    connection(vendor, manifest(**facts)).send(request)
    return seen[0]


def test_all_requests_of_a_journey_are_one_trace(correlation: str) -> None:
    first, second = (sent(Request("GET", "x")).headers["traceparent"].split("-") for _ in range(2))
    assert first[0] == "00" and first[1] == hashlib.sha256(correlation.encode()).hexdigest()[:32] and first[3] == "01"
    assert first[1] == second[1] and first[2] != second[2] and len(first[2]) == 16
    assert sent(Request("GET", "x")).headers["X-Correlation-Id"] == correlation


def test_without_a_correlation_id_each_request_is_a_trace_of_its_own() -> None:
    correlation_of_call.set("")
    assert len({sent(Request("GET", "x")).headers["traceparent"].split("-")[1] for _ in range(3)}) == 3


def test_a_conditional_write_names_the_version_and_a_lost_race_changes_nothing() -> None:
    assert sent(Request("PATCH", "x", json={}, if_match='W/"7"')).headers["If-Match"] == 'W/"7"'
    with pytest.raises(LostRace):
        connection(lambda _: httpx.Response(412)).send(Request("PATCH", "x", json={}, if_match='W/"7"'))


def test_the_vendors_idempotency_key_is_the_same_for_every_attempt_and_another_for_another_write() -> None:
    more = '[idempotency]\nheader = "Idempotency-Key"\nhours = 24'
    keys = [
        sent(Request("POST", "bills", json={}, key=key), more=more).headers["Idempotency-Key"]
        for key in ("INV-1", "INV-1", "INV-2")
    ]
    assert keys[0] == keys[1] != keys[2]
    with pytest.raises(NeedsSetup, match=r"names no \[idempotency\] header"):
        sent(Request("POST", "bills", key="INV-1"))


def test_a_body_that_is_no_json_goes_as_it_is_and_comes_as_bytes() -> None:
    headers = {"Content-Type": "application/pdf", "Accept": "application/pdf"}
    request = sent(Request("POST", "x", content=b"%PDF \xff", headers=headers))
    assert (request.content, request.headers["Content-Type"]) == (b"%PDF \xff", "application/pdf")
    assert request.headers["Accept"] == "application/pdf"
    asked = Request("GET", "x", headers={"Accept": "application/pdf"})
    answer = connection(lambda _: httpx.Response(200, content=b"%PDF \xff")).send(asked)
    assert answer.content == b"%PDF \xff"


def test_a_request_may_have_a_patience_of_its_own() -> None:
    seen = sent(Request("GET", "x", timeout_seconds=0.25), top="timeout_seconds = 7.0")
    assert seen.extensions["timeout"]["read"] == 0.25


@pytest.mark.parametrize(
    ("lost", "method", "meaning"),
    [
        (httpx.ConnectError, "POST", Unreachable),
        (httpx.ConnectTimeout, "POST", Unreachable),
        (httpx.ReadTimeout, "POST", OutcomeUnknown),
        (httpx.WriteError, "POST", OutcomeUnknown),
        (httpx.RemoteProtocolError, "PATCH", OutcomeUnknown),
        (httpx.ReadTimeout, "GET", Unreachable),
    ],
)
def test_no_answer_is_told_apart_by_what_may_have_happened(
    lost: type[httpx.TransportError], method: str, meaning: type[Exception]
) -> None:
    def vendor(request: httpx.Request) -> httpx.Response:
        raise lost("gone", request=request)

    with pytest.raises(meaning):
        connection(vendor).send(Request(method, "x"))


def test_after_a_write_nothing_happened_is_no_longer_true() -> None:
    def verb(self: Any) -> Verb[Answer]:
        yield Request("POST", "first", json={})
        return (yield Request("GET", "second"))

    answers = {"/first": httpx.Response(201, json={}), "/second": httpx.Response(503)}
    with pytest.raises(OutcomeUnknown, match="an earlier request of the same call was carried out"):
        connection(lambda request: answers[request.url.path], put=verb).put()


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b"", b"null", b'"ok"'])
def test_a_success_that_holds_no_record_is_no_answer_to_a_question(body: bytes) -> None:
    page = connection(lambda _: httpx.Response(200, content=body, headers={"Content-Type": "text/html"}))
    for asked in (Request("GET", "x"), Request("POST", "search", json={}, writes=False)):
        with pytest.raises(Unreachable, match="200 with text/html"):
            page.send(asked)


def test_a_page_after_a_write_leaves_its_outcome_unknown_and_silence_does_not() -> None:
    page = connection(lambda _: httpx.Response(200, text="<html>Sign in</html>"))
    with pytest.raises(OutcomeUnknown, match="no JSON"):
        page.send(Request("PATCH", "x", json={}))
    for body in (b"", b"null", b"7", b"{}"):
        assert connection(lambda _, body=body: httpx.Response(200, content=body)).send(Request("POST", "x", json={}))


def test_an_answer_of_another_shape_is_no_bug() -> None:
    def verb(self: Any, method: str) -> Verb[str]:
        answer = yield Request(method, "x")
        return str(answer.body.get("id"))

    conn = connection(lambda _: httpx.Response(200, json=[]), ask=verb)
    for method, meaning in (("GET", Unreachable), ("POST", OutcomeUnknown)):
        with pytest.raises(meaning, match="no attribute 'get'"):
            conn.ask(method)


def test_an_answer_without_the_documented_field_is_no_success() -> None:
    def verb(self: Any, method: str) -> Verb[str]:
        answer = yield Request(method, "x")
        return str(answer.body["id"])

    conn = connection(lambda _: httpx.Response(200, json={"token": "t0ken-s3cret"}), ask=verb)
    with pytest.raises(OutcomeUnknown, match="answered 200 without 'id'"):
        conn.ask("POST")
    with pytest.raises(Unreachable, match="answered 200 without 'id'"):
        conn.ask("GET")


def test_what_lets_in_by_itself_gets_no_token_of_ours() -> None:
    where = "https://storage.example/dmf/one.zip"
    request = sent(Request("PUT", where, query={"sig": "a+b/c="}, content=b"zip", elsewhere=True))
    assert (request.url.host, request.url.params["sig"]) == ("storage.example", "a+b/c=")
    assert "authorization" not in request.headers and request.content == b"zip"
    assert sent(Request("GET", "x")).url.host == "vendor.example"


def test_a_refusal_of_a_signed_address_does_not_show_its_signature() -> None:
    where = Request("GET", "https://storage.example/f", query={"sig": "s3cr3t"}, elsewhere=True)
    echo = connection(lambda request: httpx.Response(400, text=f"cannot read {request.url}"))
    with pytest.raises(RemoteRefusal) as refused:
        echo.send(where)
    assert "sig=***" in refused.value.message and "s3cr3t" not in refused.value.message


def test_what_the_vendor_takes_one_by_one_is_sent_one_by_one_in_the_whole_fleet() -> None:
    taken: list[str] = []

    class Turn:
        @contextmanager
        def slot(self, priority: int) -> Iterator[None]:
            taken.append("in")
            yield
            taken.append("out")

    def vendor(request: httpx.Request) -> httpx.Response:
        taken.append(request.url.path)
        return httpx.Response(200, json={})

    asked: list[str] = []
    plain = connection(vendor)
    plain._one_at_a_time = lambda what: asked.append(what) or Turn()  # type: ignore[func-returns-value]
    for _ in range(2):
        plain.send(Request("POST", "import", json={}, alone="imports"))
    plain.send(Request("POST", "other", json={}))
    assert taken == ["in", "/import", "out", "in", "/import", "out", "/other"] and asked == ["imports"]
