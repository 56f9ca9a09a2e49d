"""Signed webhooks by the schemes of real vendors; what is not signed, not fresh or signed by another is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import SignatureInvalid
from isthmus.kit.manifest import SignatureFacts
from isthmus.kit.signatures import verify

NOW = datetime(2026, 3, 6, 12, tzinfo=UTC)
URL = "https://hub.example/webhooks/crm?x=1"
BODY = b'[{"eventId": 1}]'
HUBSPOT = SignatureFacts(
    header="X-HubSpot-Signature-v3",
    encoding="base64",
    over=("method", "url", "body", "timestamp"),
    timestamp_header="X-HubSpot-Request-Timestamp",
    timestamp_unit="ms",
)
DOCUSIGN = SignatureFacts(header="X-DocuSign-Signature-{n}", encoding="base64")
JIRA = SignatureFacts(header="X-Hub-Signature", prefix="sha256=", id_header="X-Atlassian-Webhook-Identifier")
SHARED = SignatureFacts(header="X-Shared-Secret", algorithm="plain")


def mac(secret: str, signed: bytes) -> bytes:
    return hmac.new(secret.encode(), signed, hashlib.sha256).digest()


def hubspot(secret: str = "app-secret", at: datetime = NOW, body: bytes = BODY) -> dict[str, str]:
    stamp = str(int(at.timestamp() * 1000))
    signed = base64.b64encode(mac(secret, b"POST" + URL.encode() + body + stamp.encode())).decode()
    return {"x-hubspot-signature-v3": signed, "x-hubspot-request-timestamp": stamp}


def check(facts: SignatureFacts, headers: dict[str, str], *secrets: str, **changes: Any) -> str:
    asked: dict[str, Any] = {"method": "POST", "url": URL, "headers": headers, "body": BODY, "now": NOW, **changes}
    return verify(facts, secrets, **asked)


def test_over_method_address_body_and_time() -> None:
    assert check(HUBSPOT, hubspot(), "app-secret") == hashlib.sha256(BODY).hexdigest()[:32]
    changes: list[dict[str, Any]] = [{"body": BODY + b" "}, {"url": URL + "2"}, {"method": "PUT"}]
    for change in changes:
        with pytest.raises(SignatureInvalid, match="no signature is right"):
            check(HUBSPOT, hubspot(), "app-secret", **change)
    with pytest.raises(SignatureInvalid, match="no signature is right"):
        check(HUBSPOT, hubspot(), "another-secret")


@pytest.mark.parametrize("minutes", [-6, 6])
def test_what_was_signed_long_ago_or_is_from_the_future_is_refused(minutes: int) -> None:
    at = datetime.fromtimestamp(NOW.timestamp() + minutes * 60, UTC)
    with pytest.raises(SignatureInvalid, match="more than 300 s"):
        check(HUBSPOT, hubspot(at=at), "app-secret")
    with pytest.raises(SignatureInvalid, match="no number"):
        check(HUBSPOT, hubspot() | {"x-hubspot-request-timestamp": "soon"}, "app-secret")


def test_several_signatures_and_several_secrets_while_one_is_rotated() -> None:
    headers = {
        f"x-docusign-signature-{n}": base64.b64encode(mac(secret, BODY)).decode()
        for n, secret in enumerate(("old-key", "new-key"), start=1)
    }
    for known in (("old-key",), ("new-key",), ("third", "new-key")):
        assert check(DOCUSIGN, headers, *known)
    with pytest.raises(SignatureInvalid):
        check(DOCUSIGN, headers, "third")


def test_hex_with_a_prefix_and_the_vendors_own_message_id() -> None:
    headers = {"x-hub-signature": f"sha256={mac('hush', BODY).hex()}", "x-atlassian-webhook-identifier": "w-7"}
    assert check(JIRA, headers, "hush") == "w-7"
    with pytest.raises(SignatureInvalid, match="is missing"):
        check(JIRA, {"x-hub-signature": mac("hush", BODY).hex()}, "hush")  # another scheme than announced


def test_a_shared_secret_in_a_header() -> None:
    assert check(SHARED, {"x-shared-secret": "hush"}, "hush")
    with pytest.raises(SignatureInvalid):
        check(SHARED, {"x-shared-secret": "hus"}, "hush")


@pytest.mark.parametrize("facts", [HUBSPOT, DOCUSIGN, JIRA, SHARED])
@given(
    headers=st.dictionaries(
        st.sampled_from(
            [
                "x-hubspot-signature-v3",
                "x-hubspot-request-timestamp",
                "x-docusign-signature-1",
                "x-hub-signature",
                "x-shared-secret",
            ]
        ),
        st.text(max_size=60),
    )
)
def test_nothing_that_was_made_up_gets_in(facts: SignatureFacts, headers: dict[str, str]) -> None:
    with pytest.raises(SignatureInvalid):
        check(facts, headers, "a-secret-nobody-guesses")


def test_without_a_secret_nothing_is_right() -> None:
    with pytest.raises(SignatureInvalid):
        check(HUBSPOT, hubspot())
