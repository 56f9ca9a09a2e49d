"""What answers mean: by status, by header, by body; errors inside a success; how long to wait."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest

from isthmus.domain.errors import (
    IsthmusError,
    LostRace,
    NeedsSetup,
    NotFound,
    OutcomeUnknown,
    RemoteRefusal,
    Throttled,
    Unreachable,
)
from isthmus.kit.manifest import Manifest
from isthmus.kit.masking import masked
from isthmus.kit.meaning import meaning, patience_of
from isthmus.kit.wire import Answer, Request, decode
from tests.kit.model import manifest

TABLE = """
[[errors]]
status = 403
code = "REQUEST_LIMIT_EXCEEDED"
raises = "Throttled"
after_seconds = 600
[[errors]]
status = 400
code = "HOURLY_APIINVOCATION_LIMIT_EXCEEDED"
raises = "Throttled"
[[errors]]
status = 429
header = "RateLimit-Reason"
header_contains = "quota"
raises = "Throttled"
after_seconds = 3600
[[errors]]
status = 200
contains = "rate_limited"
raises = "Throttled"
"""
FACTS = manifest(top='error_code_path = "code"\nerror_message_path = "said"', more=TABLE)
RPC = manifest(
    top='error_code_path = "error.0"\nerror_message_path = "error.1"\nerrors_in_success = true',
    more='[[errors]]\nstatus = 200\ncode = "ConcurrencyException"\nraises = "LostRace"',
)


def meant(
    status: int, text: str = "{}", method: str = "POST", facts: Manifest = FACTS, **headers: str
) -> IsthmusError | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = Answer(status, httpx.Headers(named), decode(text), text)
    return meaning(facts, "conn", Request(method, "x"), answer, lambda said: masked(said, ["hush-hush"]))


def test_a_limit_is_told_by_status_body_or_header() -> None:
    by_body = meant(403, '{"code": "REQUEST_LIMIT_EXCEEDED"}')
    assert isinstance(by_body, Throttled) and by_body.after_seconds == 600
    assert isinstance(meant(403, '{"code": "INSUFFICIENT_ACCESS"}'), NeedsSetup)
    assert isinstance(meant(400, '{"code": "HOURLY_APIINVOCATION_LIMIT_EXCEEDED"}'), Throttled)
    assert isinstance(meant(400, '{"code": "VALIDATION"}'), RemoteRefusal)
    by_header = meant(429, RateLimit_Reason="jira-quota-tenant-based")
    assert isinstance(by_header, Throttled) and by_header.after_seconds == 3600
    burst = meant(429, RateLimit_Reason="jira-burst-based", Retry_After="3")
    assert isinstance(burst, Throttled) and burst.after_seconds == 3
    assert isinstance(meant(200, '{"said": "rate_limited"}'), Throttled)
    assert meant(200, '{"said": "fine"}') is None


def test_what_the_table_does_not_say_follows_the_common_rules() -> None:
    for status, method, kind in (
        (401, "GET", NeedsSetup),
        (404, "GET", NotFound),
        (412, "PATCH", LostRace),
        (408, "POST", OutcomeUnknown),
        (503, "POST", OutcomeUnknown),
        (503, "GET", Unreachable),
        (409, "POST", RemoteRefusal),
        (302, "GET", RemoteRefusal),
    ):
        assert type(meant(status, method=method)) is kind, status


def test_an_error_inside_a_success_is_an_error() -> None:
    refused = meant(200, '{"id": 1, "error": ["UserError", "The invoice is posted.", ""]}', facts=RPC)
    assert isinstance(refused, RemoteRefusal) and "The invoice is posted." in refused.message
    assert refused.remote_code == "UserError"
    assert isinstance(meant(200, '{"error": ["ConcurrencyException", "changed"]}', facts=RPC), LostRace)
    assert meant(200, '{"id": 1, "result": [1]}', facts=RPC) is None


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ('{"code": "X", "fields": ["Status__c", "Name"]}', "Status__c"),
        ('{"code": "X", "fields": {"summary": "is required"}}', "summary"),
        ('{"code": "X", "fields": "name"}', "name"),
        ('{"code": "X", "fields": []}', ""),
        ('{"code": "X"}', ""),
    ],
)
def test_a_refusal_names_the_field_it_is_about(said: str, field: str) -> None:
    facts = manifest(top='error_code_path = "code"\nerror_field_path = "fields"')
    refused = meant(400, said, facts=facts)
    assert isinstance(refused, RemoteRefusal) and refused.context["field"] == field


def test_secrets_are_masked_even_where_the_text_is_cut() -> None:
    told = meant(418, "x" * 295 + "hush-hush")
    assert told is not None and "hush" not in told.message


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7.0),
        ("1.5", 1.5),
        ("Fri, 06 Mar 2026 12:01:30 GMT", 90.0),
        ("2026-03-06T12:02Z", 120.0),
        (str(int(datetime(2026, 3, 6, 12, 0, 5, tzinfo=UTC).timestamp())), 5.0),
        (str(int(datetime(2026, 3, 6, 12, 0, 5, tzinfo=UTC).timestamp() * 1000)), 5.0),
        ("2026-03-06T11:00Z", 0.0),
        ("soon", None),
        ("", None),
    ],
)
def test_how_long_to_wait_is_read_as_vendors_write_it(said: str, seconds: float | None) -> None:
    facts = manifest(limits='kind = "none"\npatience_headers = ["X-Reset", "Retry-After"]')
    now = datetime(2026, 3, 6, 12, tzinfo=UTC)
    for headers in ({"X-Reset": said, "Retry-After": "99"}, {"Retry-After": said}):
        if said or "X-Reset" not in headers:
            assert patience_of(facts, Answer(429, httpx.Headers(headers), None, ""), now) == seconds


@pytest.mark.parametrize(
    "text",
    ["key=a%2Fb%22c%0Ad", '{"key": "a/b\\"c\\nd"}', "YS9iImMKZA==", 'raw a/b"c\nd!'],
)
def test_a_secret_is_masked_however_it_is_written(text: str) -> None:
    assert "***" in masked(text, ['a/b"c\nd'])
    assert masked("abc", ["abc"]) == "abc", "what is that short is no secret"
