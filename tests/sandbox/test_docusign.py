"""The DocuSign sandbox behaves as the published material says: driven by docusign-esign over TLS and by plain HTTP."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
from docusign_esign import ApiClient, ConnectApi, EnvelopeDefinition, EnvelopesApi
from docusign_esign.client.api_exception import ApiException
from docusign_esign.client.configuration import Configuration

from isthmus.sandbox.docusign import DocusignSandbox
from isthmus.sandbox.server import Running, running
from tests.sandbox.receiver import Letter, Receiver, receiving
from tests.vendor_specs import specification

Record = dict[str, Any]
SCOPES = ("signature", "impersonation")
SIGNERS = [
    {"name": "Lea Legal", "email": "lea@firm.example", "roleName": "legal"},
    {"name": "Carl Client", "email": "carl@client.example", "roleName": "client", "routingOrder": "2"},
]
FIELDS = {"contract_no": "CT-1", "contract_version": "1"}


@pytest.fixture(scope="module")
def tls() -> Iterator[Running]:
    with running("docusign", tls=True) as boxes:
        yield boxes["docusign"]


@pytest.fixture
def box(tls: Running) -> DocusignSandbox:
    made = tls.sandbox
    assert isinstance(made, DocusignSandbox)
    made.reset()
    return made


@pytest.fixture
def client(tls: Running, box: DocusignSandbox, monkeypatch: pytest.MonkeyPatch) -> ApiClient:
    """The vendor's published client, not signed in. Its configuration is one for the whole process."""
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Configuration(), "ssl_ca_cert", str(tls.ca_file))
    return ApiClient(host=f"{tls.url}/restapi", oauth_host_name=box.credentials()["account_host"])


def sign_in(client: ApiClient, box: DocusignSandbox, **changes: Any) -> str:
    """A token by JWT grant, as the vendor's guide has it."""
    given = {**box.credentials(), **changes}
    token = client.request_jwt_user_token(
        given["integration_key"],
        given["user_id"],
        given["account_host"],
        given["private_key"].encode(),
        3600,
        changes.get("scopes", SCOPES),
    )
    return str(token.access_token)


@pytest.fixture
def envelopes(client: ApiClient, box: DocusignSandbox) -> EnvelopesApi:
    sign_in(client, box)
    return EnvelopesApi(client)


class Api:
    """Plain HTTP, signed in, with the control surface beside it. Paths are relative to the account."""

    def __init__(self, tls: Running, box: DocusignSandbox) -> None:
        self.http = httpx.Client(base_url=tls.url, verify=str(tls.ca_file), trust_env=False)
        given = box.credentials()
        now = datetime.now(UTC)
        claims = {
            "iss": given["integration_key"],
            "sub": given["user_id"],
            "aud": "account-d.docusign.com",
            "iat": now,
            "exp": now + timedelta(hours=1),
            "scope": " ".join(SCOPES),
        }
        assertion = jwt.encode(claims, given["private_key"], algorithm="RS256")
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
        token = self.http.post("/oauth/token", data=form).json()["access_token"]
        self.http.headers["Authorization"] = f"Bearer {token}"
        self.root = f"/restapi/v2.1/accounts/{given['account_id']}"

    def call(self, method: str, path: str, status: int = 200, body: Any = None, **params: Any) -> Any:
        answer = self.http.request(method, self.root + path, json=body, params=params)
        assert answer.status_code == status, answer.text
        return answer.json()

    def control(self, path: str, body: Any = None) -> Any:
        answer = self.http.request("GET" if body is None else "POST", f"/_control/{path}", json=body)
        return answer.json()

    def act(self, envelope_id: str, who: str, does: str = "sign") -> Any:
        return self.control("act", {"envelopeId": envelope_id, "who": who, "does": does})


@pytest.fixture
def api(tls: Running, box: DocusignSandbox) -> Iterator[Api]:
    made = Api(tls, box)
    yield made
    made.http.close()


def seed(box: DocusignSandbox, **changes: Any) -> str:
    record = {"fields": FIELDS, "signers": SIGNERS, "status": "sent", **changes}
    return str(box.seed("envelopes", record)["envelopeId"])


def definition(**changes: Any) -> Record:
    document = {"documentId": "1", "name": "SOW", "documentBase64": base64.b64encode(b"the terms").decode()}
    fields = {"textCustomFields": [{"name": name, "value": value} for name, value in FIELDS.items()]}
    people = {"signers": [{"recipientId": str(n), **one} for n, one in enumerate(SIGNERS, start=1)]}
    given = {"emailSubject": "Please sign", "status": "sent", "documents": [document]}
    return {**given, "recipients": people, "customFields": fields, **changes}


# -- the published client --------------------------------------------------------------------------------------------


def test_client_signs_in_by_jwt_and_finds_the_base_address_of_its_account(
    tls: Running, client: ApiClient, box: DocusignSandbox
) -> None:
    info = client.get_user_info(sign_in(client, box))
    (account,) = [one for one in info.accounts if one.is_default == "True" or one.is_default is True]
    assert (account.account_id, account.base_uri) == (box.credentials()["account_id"], tls.url)
    assert len(info.accounts) == 2


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"integration_key": "other"}, "issuer_not_found"),
        ({"user_id": "other"}, "user_not_found"),
        ({"scopes": ("signature", "organization_read")}, "consent_required"),
    ],
)
def test_client_is_told_why_it_gets_no_token(
    client: ApiClient, box: DocusignSandbox, changes: Record, told: str
) -> None:
    with pytest.raises(ApiException) as refused:
        sign_in(client, box, **changes)
    assert told in str(refused.value.body)


def test_what_was_consented_to_need_not_be_named_again(client: ApiClient, box: DocusignSandbox) -> None:
    assert sign_in(client, box, scopes=("signature",))


def test_without_the_users_consent_there_is_no_token(tls: Running, client: ApiClient, box: DocusignSandbox) -> None:
    box.login.consented = False
    with pytest.raises(ApiException) as refused:
        sign_in(client, box)
    assert json.loads(refused.value.body) == {"error": "consent_required"}
    httpx.get(f"{tls.url}/oauth/auth", verify=str(tls.ca_file), trust_env=False)
    assert sign_in(client, box)


def test_client_sends_an_envelope_and_follows_it(envelopes: EnvelopesApi, box: DocusignSandbox, api: Api) -> None:
    account = box.credentials()["account_id"]
    made = envelopes.create_envelope(account, envelope_definition=definition())
    assert made.status == "sent" and len(made.envelope_id) == 36
    found = envelopes.get_envelope(account, made.envelope_id, include="custom_fields,recipients")
    fields = {one.name: one.value for one in found.custom_fields.text_custom_fields}
    assert fields == FIELDS
    assert [(one.role_name, one.status) for one in found.recipients.signers] == [
        ("legal", "sent"),
        ("client", "created"),
    ]
    assert api.act(made.envelope_id, "client")["errorCode"] == "RECIPIENT_NOT_IN_SEQUENCE"
    api.act(made.envelope_id, "lea@firm.example")
    assert api.act(made.envelope_id, "client") == {"envelope": "completed", "recipient": "completed"}
    people = envelopes.list_recipients(account, made.envelope_id)
    assert all(one.status == "completed" and one.signed_date_time for one in people.signers)
    done = envelopes.get_envelope(account, made.envelope_id)
    assert done.status == "completed" and done.completed_date_time.endswith("Z")


def test_client_reads_documents(envelopes: EnvelopesApi, box: DocusignSandbox) -> None:
    account, envelope_id = box.credentials()["account_id"], seed(box, document="the terms")
    named = envelopes.list_documents(account, envelope_id).envelope_documents
    assert [one.document_id for one in named] == ["1", "certificate"]

    def combined() -> bytes:
        return bytes(envelopes.get_document(account, "combined", envelope_id))

    sent = combined()
    assert sent.startswith(b"%PDF") and b"the terms" in sent
    box.seed("envelopes", {"envelopeId": envelope_id, "status": "completed"})
    assert combined() != sent  # the signed document is another one
    assert combined() == combined()


def test_client_lists_what_has_changed_page_by_page(envelopes: EnvelopesApi, box: DocusignSandbox) -> None:
    account = box.credentials()["account_id"]
    ids = [seed(box, status="completed" if n % 2 else "sent", fields={"contract_no": f"CT-{n}"}) for n in range(6)]

    def listed(**asked: Any) -> Any:
        return envelopes.list_status_changes(account, from_date="2026-01-01", **asked)

    assert listed().total_set_size == "6"
    first = listed(status="completed", count="2", order_by="status_changed", order="asc", include="custom_fields")
    assert (first.result_set_size, first.total_set_size, first.end_position) == ("2", "3", "1")
    assert [one.envelope_id for one in first.envelopes] == [ids[1], ids[3]]
    assert first.envelopes[0].custom_fields.text_custom_fields[0].value == "CT-1"
    rest = listed(status="completed", count="2", start_position="2", order_by="status_changed", order="asc")
    assert [one.envelope_id for one in rest.envelopes] == [ids[5]] and rest.next_uri == ""
    assert listed(custom_field="contract_no=CT-4").envelopes[0].envelope_id == ids[4]
    assert envelopes.list_status_changes(account, envelope_ids=f"{ids[0]},{ids[1]}").total_set_size == "2"
    with pytest.raises(ApiException, match="from_date"):
        envelopes.list_status_changes(account)


def test_client_voids_what_is_under_way_only(envelopes: EnvelopesApi, box: DocusignSandbox) -> None:
    account, envelope_id = box.credentials()["account_id"], seed(box)
    envelopes.update(account, envelope_id, envelope={"status": "voided", "voidedReason": "wrong price"})
    assert envelopes.get_envelope(account, envelope_id).voided_reason == "wrong price"
    done = seed(box, status="completed")
    with pytest.raises(ApiException) as refused:
        envelopes.update(account, done, envelope={"status": "voided", "voidedReason": "late"})
    assert json.loads(refused.value.body)["errorCode"] == "ENVELOPE_CANNOT_VOID_INVALID_STATE"


def test_client_finds_an_envelope_whose_creation_it_did_not_hear_of(
    envelopes: EnvelopesApi, box: DocusignSandbox, api: Api
) -> None:
    account = box.credentials()["account_id"]
    api.control("faults", {"kind": "timeout_after_commit", "method": "POST", "path": "/envelopes"})
    with pytest.raises(ApiException):
        envelopes.create_envelope(account, envelope_definition=definition(transactionId="T-1"))
    found = envelopes.list_status_changes(account, transaction_ids="T-1")
    assert found.total_set_size == "1"
    # The transaction id is for looking up: sent again it makes another envelope.
    envelopes.create_envelope(
        account, envelope_definition=EnvelopeDefinition(**_snake(definition(transactionId="T-1")))
    )
    assert envelopes.list_status_changes(account, transaction_ids="T-1").total_set_size == "2"


def _snake(given: Record) -> Record:
    names = {"emailSubject": "email_subject", "customFields": "custom_fields", "transactionId": "transaction_id"}
    return {names.get(name, name): value for name, value in given.items()}


def test_client_sets_up_connect(client: ApiClient, envelopes: EnvelopesApi, box: DocusignSandbox) -> None:
    account, connect = box.credentials()["account_id"], ConnectApi(client)
    asked = {"urlToPublishTo": "https://hub.example/webhooks/esign", "events": ["envelope-completed"]}
    made = connect.create_configuration(account, connect_custom_configuration={**asked, "includeHMAC": "true"})
    found = connect.list_configurations(account)
    assert found.total_records == "1" and found.configurations[0].connect_id == made.connect_id
    changed = {"connectId": made.connect_id, "events": ["envelope-completed", "envelope-voided"]}
    connect.update_configuration(account, connect_custom_configuration=changed)
    assert connect.get_configuration(account, made.connect_id).configurations[0].include_hmac == "true"
    connect.delete_configuration(account, made.connect_id)
    assert connect.list_configurations(account).total_records == "0"


# -- what is refused -------------------------------------------------------------------------------------------------


def test_no_live_token_another_account_and_an_unknown_envelope(api: Api, box: DocusignSandbox) -> None:
    other = api.http.get("/restapi/v2.1/accounts/other/envelopes")
    assert (other.status_code, other.json()["errorCode"]) == (401, "USER_DOES_NOT_BELONG_TO_SPECIFIED_ACCOUNT")
    assert api.call("GET", "/envelopes/none", 404)["errorCode"] == "ENVELOPE_DOES_NOT_EXIST"
    assert api.call("POST", "/envelopes", 400, definition(documents=[]))["errorCode"] == "ENVELOPE_HAS_NO_DOCUMENTS"
    box.login.expire_all()
    assert api.call("GET", "/envelopes", 401)["errorCode"] == "AUTHORIZATION_INVALID_TOKEN"


def test_limits_are_a_400_with_a_code_and_told_by_headers(api: Api) -> None:
    api.control("clock", {"now": "2026-03-02T12:20:00Z"})
    api.control("limits", {"hourly": 4, "burst": 3})
    params = {"from_date": "2026-01-01"}
    first = api.http.get(f"{api.root}/envelopes", params=params)
    told = {name: first.headers[name] for name in ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-BurstLimit-Limit")}
    assert told == {"X-RateLimit-Limit": "4", "X-RateLimit-Remaining": "3", "X-BurstLimit-Limit": "3"}
    assert first.headers["X-RateLimit-Reset"] == str(int(datetime(2026, 3, 2, 13, tzinfo=UTC).timestamp()))
    for _ in range(2):
        api.call("GET", "/envelopes", **params)
    assert api.call("GET", "/envelopes", 400, **params)["errorCode"] == "BURST_APIINVOCATION_LIMIT_EXCEEDED"
    api.control("clock", {"now": "2026-03-02T12:20:31Z"})
    api.call("GET", "/envelopes", **params)
    assert api.call("GET", "/envelopes", 400, **params)["errorCode"] == "HOURLY_APIINVOCATION_LIMIT_EXCEEDED"
    api.control("clock", {"now": "2026-03-02T13:00:00Z"})
    api.call("GET", "/envelopes", **params)


def test_reading_an_envelope_too_often_is_noted_and_may_be_refused(api: Api, box: DocusignSandbox) -> None:
    api.control("clock", {"now": "2026-03-02T12:00:00Z"})
    envelope_id = seed(box)
    path = f"/envelopes/{envelope_id}"
    api.call("GET", path)
    api.call("GET", f"{path}/recipients")
    assert api.control("polling") == {"violations": []}
    api.control("clock", {"now": "2026-03-02T12:14:00Z"})
    api.call("GET", path)
    assert api.control("polling") == {"violations": [api.root + path]}
    api.control("limits", {"envelope_reads": 3})
    assert api.call("GET", path, 400)["errorCode"] == "Hourly_Envelope_Polling_Limit_Exceeded"
    api.call("GET", "/envelopes", from_date="2026-01-01")  # lists are not reads of an envelope


# -- Connect ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def subscribed(api: Api, box: DocusignSandbox, receiver: Receiver) -> Receiver:
    """A configuration for everything that happens to envelopes, signed; nothing is sent by itself."""
    events = [f"envelope-{state}" for state in ("sent", "completed", "declined", "voided")]
    data = {"version": "restv2.1", "includeData": ["custom_fields", "recipients"]}
    asked = {"urlToPublishTo": receiver.url, "events": events, "eventData": data, "includeHMAC": "true"}
    api.call("POST", "/connect", 201, asked)
    box.connect.push.held = True
    return receiver


def is_signed(letter: Letter, key: str, place: int) -> bool:
    """As the vendor's guide checks it: the raw body under the key, in base64."""
    digest = base64.b64encode(hmac.new(key.encode(), letter.body, hashlib.sha256).digest()).decode()
    return hmac.compare_digest(digest, letter.headers[f"x-docusign-signature-{place}"])


def test_messages_tell_what_happened_and_are_signed_with_every_key(box: DocusignSandbox, subscribed: Receiver) -> None:
    completed = seed(box, status="completed")
    declined, voided = seed(box, status="declined"), seed(box, status="voided")
    assert box.connect.push.send()["taken"] == 6
    told = [(one.json()["event"], one.json()["data"]["envelopeId"]) for one in subscribed.letters]
    assert told == [
        ("envelope-sent", completed),
        ("envelope-completed", completed),
        ("envelope-sent", declined),
        ("envelope-declined", declined),
        ("envelope-sent", voided),
        ("envelope-voided", voided),
    ]
    sent, done = (one.json()["data"]["envelopeSummary"] for one in subscribed.letters[:2])
    assert (sent["status"], done["status"]) == ("sent", "completed")  # as it was then, not as it is now
    assert {one["roleName"]: one["status"] for one in done["recipients"]["signers"]} == {
        "legal": "completed",
        "client": "completed",
    }
    assert done["customFields"]["textCustomFields"][0]["value"] == "CT-1" and "envelopeDocuments" not in done
    letter = subscribed.letters[1]
    assert letter.headers["x-authorization-digest"] == "HMACSHA256"
    given = box.credentials()
    assert is_signed(letter, given["hmac_key_1"], 1) and is_signed(letter, given["hmac_key_2"], 2)
    letter.body += b" "
    assert not is_signed(letter, given["hmac_key_1"], 1)


def test_what_is_not_taken_is_tried_again_and_listed_as_a_failure(
    api: Api, box: DocusignSandbox, subscribed: Receiver
) -> None:
    envelope_id = seed(box)
    subscribed.status = 503
    box.connect.push.send()
    failures = api.call("GET", "/connect/failures")["failures"]
    assert [(one["envelopeId"], one["status"]) for one in failures] == [(envelope_id, "retry")]
    subscribed.status = 200
    box.connect.push.send()
    assert [one.json()["retryCount"] for one in subscribed.letters] == [0, 1]
    assert api.call("GET", "/connect/failures")["totalRecords"] == "0"
    assert api.call("PUT", f"/connect/envelopes/{envelope_id}/retry_queue")["retryQueue"][0]["status"] == "success"
    box.connect.push.send()
    assert len(subscribed.letters) == 3


def test_an_envelope_may_have_a_receiver_of_its_own(api: Api, box: DocusignSandbox, receiver: Receiver) -> None:
    own = {"url": receiver.url, "events": ["envelope-completed", "recipient-completed"], "includeHMAC": "true"}
    made = api.call("POST", "/envelopes", 201, definition(eventNotification=own))
    for role in ("legal", "client"):
        api.act(made["envelopeId"], role)
    deadline = time.monotonic() + 60
    while len(receiver.letters) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [one.json()["event"] for one in receiver.letters] == [*["recipient-completed"] * 2, "envelope-completed"]
    assert "recipientId" in receiver.letters[0].json()["data"]


def test_messages_have_the_fields_of_the_published_sample(box: DocusignSandbox, subscribed: Receiver) -> None:
    sample = json.loads(specification("docusign", "docusign-connect.schema-v2.json").read_text())
    seed(box, status="completed")
    box.connect.push.send()
    assert [unknown for letter in subscribed.letters for unknown in _unknown(letter.json(), sample, "$")] == []


def _unknown(value: Any, sample: Any, where: str) -> list[str]:
    """Fields that the sample does not have, at any depth."""
    if isinstance(value, list):
        return [name for one in value for name in _unknown(one, sample[0] if sample else {}, f"{where}[]")]
    if not isinstance(value, dict):
        return []
    if not isinstance(sample, dict):
        return [f"{where} is an object"]
    found = [f"{where}.{name}" for name in value if name not in sample]
    return found + [
        n for name in value if name in sample for n in _unknown(value[name], sample[name], f"{where}.{name}")
    ]
