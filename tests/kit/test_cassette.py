"""Cassettes: written without secrets, played back as they were recorded."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import BadInput
from isthmus.kit.cassette import Playing, Recording, read, scrubbed
from isthmus.kit.masking import spellings

SECRET = "s3cr3t/with+signs and space"


def record(path: Path, **sent: str) -> httpx.Response:
    def vendor(request: httpx.Request) -> httpx.Response:
        headers = {"Set-Cookie": "sid=abc", "ETag": '"7"', "X-Echo": request.headers.get("X-Any", "")}
        echo = {"you": request.content.decode(), "access_token": "new-token", "total": 10.10, "key": "INV-1"}
        return httpx.Response(200, json=echo, headers=headers)

    transport = Recording(httpx.MockTransport(vendor), path, lambda: [SECRET, ""])
    headers = {"Authorization": f"Bearer {SECRET}", "X-API-Key": SECRET, "X-Any": SECRET}
    with httpx.Client(transport=transport) as client:
        return client.post("https://vendor.example/bills?a=1&api_key=zzz", headers=headers, data=sent)


def test_no_secret_is_written_wherever_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "tape.jsonl"
    answer = record(path, password="hush-hush-hush", note=f"before {SECRET} after", number="INV-1")
    text = path.read_text()
    for spelling in spellings(SECRET):
        assert spelling not in text, spelling
    assert not [word for word in ("hush-hush", "new-token", "zzz", "sid=abc") if word in text]
    (one,) = read(path)
    assert one.request_headers["authorization"] == one.response_headers["set-cookie"] == "***"
    assert "number=INV-1" in one.request_body and '"key": "INV-1"' in one.response_body and "a=1" in one.url
    assert answer.json()["access_token"] == "new-token", "what the hub gets is not touched"


def test_what_holds_no_secret_is_kept_to_the_digit() -> None:
    body = '{"total": 10.10, "rate": 0.070000, "key":"A"}'
    assert scrubbed(body, [SECRET]) == body
    assert scrubbed("plain = text", []) == "plain = text"


@given(st.recursive(st.text(max_size=5), lambda inner: st.dictionaries(st.text(max_size=8), inner, max_size=4)))
def test_scrubbing_never_fails_and_ends(body: object) -> None:
    import json

    text = json.dumps(body)
    assert scrubbed(scrubbed(text, [SECRET]), [SECRET]) == scrubbed(text, [SECRET])


def test_tokens_and_keys_are_known_by_their_looks() -> None:
    jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJodWIifQ.c2lnbmF0dXJl"
    key = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----"
    assert scrubbed(f"got {jwt} and {key}", []) == "got *** and ***"


def test_a_cassette_plays_what_was_recorded_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    for number in ("INV-1", "INV-2"):
        record(path, number=number)
    client = httpx.Client(transport=Playing(read(path)))
    for number in ("INV-1", "INV-2"):
        again = client.post("https://elsewhere.example/bills?b=2")
        assert number in again.json()["you"] and again.headers["etag"] == '"7"'
    with pytest.raises(BadInput, match="no answer to POST /bills"):
        client.post("https://elsewhere.example/bills")


def test_a_line_that_is_no_exchange_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    path.write_text("{}\n")
    with pytest.raises(BadInput, match=r"tape\.jsonl:1"):
        list(read(path))
