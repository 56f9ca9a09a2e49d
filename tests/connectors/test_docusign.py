"""The DocuSign connector against the sandbox, over HTTP on loopback, every verb and every way it can go wrong."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import docusign_esign
import httpx
import pytest

from isthmus.connectors.docusign import connector as Docusign
from isthmus.domain.errors import BadInput, NeedsSetup, NotFound, SignatureInvalid, Throttled, Unreachable
from isthmus.kit.executor import Connection
from isthmus.kit.signatures import verify
from isthmus.sandbox.docusign import DocusignSandbox
from isthmus.sandbox.docusign.limits import Limits
from isthmus.sandbox.server import Running, running
from tests.sandbox.receiver import receiving

Record = dict[str, Any]
CLIENT = httpx.Client(trust_env=False, timeout=60)
LEGAL: Record = {"name": "Lea Legal", "email": "lea@firm.example", "roleName": "Legal"}
FINANCE: Record = {"name": "Fred", "email": "fred@firm.example", "roleName": "Finance", "routingOrder": "2"}
CARL: Record = {"name": "Carl Client", "email": "carl@client.example", "roleName": "Client", "routingOrder": "3"}
FIELDS = {"contract_no": "CT-1", "contract_version": "2"}


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running("docusign") as boxes:
        yield boxes["docusign"]


@pytest.fixture
def box(served: Running) -> DocusignSandbox:
    """An empty account."""
    made = served.sandbox
    assert isinstance(made, DocusignSandbox)
    made.reset()
    return made


def connect(
    served: Running, settings: Record | None = None, client: httpx.Client | None = None, **changes: str
) -> Connection:
    given = {**served.sandbox.credentials(), "account_id": "", **changes}
    secrets = {name: given[name] for name in ("integration_key", "user_id", "private_key", "account_id")}
    return Connection(
        "esign",
        Docusign(settings),
        base_url=served.url,
        auth_kind="jwt_grant",
        secrets=secrets,
        client=client or CLIENT,
    )


@pytest.fixture
def esign(served: Running, box: DocusignSandbox) -> Connection:
    return connect(served)


def seed(box: DocusignSandbox, **changes: Any) -> str:
    record = {"fields": FIELDS, "signers": [LEGAL, FINANCE, CARL], "status": "completed", **changes}
    return str(box.seed("envelopes", record)["envelopeId"])


def at(box: DocusignSandbox, clock: str) -> None:
    box._set_clock({"now": f"2026-03-02T{clock}Z"})


def paths(box: DocusignSandbox) -> list[str]:
    return [f"{seen['method']} {seen['path']}" for seen in box.log if seen["path"].startswith(("/oauth", "/restapi"))]


# -- signing in --------------------------------------------------------------------------------------------------


def test_the_account_tells_where_the_api_lies_and_is_asked_again_with_each_token(
    served: Running, box: DocusignSandbox
) -> None:
    esign = connect(served)
    esign.envelopes_ended("")
    esign.envelopes_ended("")
    account = box.credentials()["account_id"]
    lists = f"GET /restapi/v2.1/accounts/{account}/envelopes"
    assert paths(box) == ["POST /oauth/token", "GET /oauth/userinfo", lists, lists]
    box.login.expire_all()
    esign.envelopes_ended("")
    assert paths(box)[4:] == [lists, "POST /oauth/token", "GET /oauth/userinfo", lists]


def test_the_account_that_is_named_counts_and_one_the_user_does_not_have_is_told(
    served: Running, box: DocusignSandbox
) -> None:
    account = box.credentials()["account_id"]
    assert connect(served, account_id=account).envelopes_ended("").envelopes == ()
    with pytest.raises(NeedsSetup, match=rf"no account elsewhere; there are: .*{account} \(Firm"):
        connect(served, account_id="elsewhere").envelopes_ended("")


def test_an_account_without_an_address_is_not_guessed(served: Running, box: DocusignSandbox) -> None:
    told = box.login.user_info
    box.login.user_info = lambda base_url: {  # type: ignore[method-assign]
        "accounts": [{**one, "base_uri": ""} for one in told(base_url)["accounts"]]
    }
    try:
        with pytest.raises(NeedsSetup, match="no account that is the default one"):
            connect(served).envelopes_ended("")
    finally:
        box.login.user_info = told  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"integration_key": "other"}, "issuer_not_found"), ({"user_id": "other"}, "user_not_found")],
)
def test_what_is_wrong_with_the_application_is_told(
    served: Running, box: DocusignSandbox, changes: dict[str, str], told: str
) -> None:
    with pytest.raises(NeedsSetup, match=told):
        connect(served, **changes).envelopes_ended("")


def test_without_consent_an_administrator_acts(served: Running, box: DocusignSandbox) -> None:
    box.login.consented = False
    with pytest.raises(NeedsSetup, match="consent_required"):
        connect(served).envelopes_ended("")


# -- the list ----------------------------------------------------------------------------------------------------


def test_envelopes_that_ended_come_with_what_they_are_about_and_who_signed(
    esign: Connection, box: DocusignSandbox
) -> None:
    at(box, "09:00:00")
    done = seed(box)
    at(box, "10:00:00")
    refused = seed(box, status="declined", reason="the cap is wrong")
    recalled = seed(box, status="voided", reason="sent twice", fields={**FIELDS, "change_order": "CO-1"})
    seed(box, status="sent")
    page = esign.envelopes_ended("")
    assert [(one.envelope_id, one.state) for one in page.envelopes] == [
        (done, "completed"),
        *sorted([(refused, "declined"), (recalled, "voided")]),
    ]
    first = page.envelopes[0]
    assert (first.contract_no, first.version, first.change_order) == ("CT-1", 2, "")
    assert first.completed_at == datetime(2026, 3, 2, 9, tzinfo=UTC) and first.document_hash == ""
    assert [(one.role, one.name, one.email) for one in first.signatures] == [
        ("legal", "Lea Legal", "lea@firm.example"),
        ("finance", "Fred", "fred@firm.example"),
        ("client", "Carl Client", "carl@client.example"),
    ]
    by_id = {one.envelope_id: one for one in page.envelopes}
    assert by_id[refused].reason == "Lea Legal: the cap is wrong" and by_id[refused].signatures == ()
    assert by_id[recalled].reason == "sent twice" and by_id[recalled].change_order == "CO-1"
    assert page.watermark == "2026-03-02T10:00:00+00:00" and page.unreadable == ()


def test_reading_goes_on_from_the_watermark_less_the_overlap(esign: Connection, box: DocusignSandbox) -> None:
    for clock, number in (("09:00:00", "CT-1"), ("10:00:00", "CT-2"), ("10:04:00", "CT-3")):
        at(box, clock)
        seed(box, fields={**FIELDS, "contract_no": number})
    page = esign.envelopes_ended("2026-03-02T10:04:00+00:00")
    assert [one.contract_no for one in page.envelopes] == ["CT-2", "CT-3"]
    assert esign.envelopes_ended("2026-03-02T12:00:00+00:00") == page.model_copy(
        update={"envelopes": (), "watermark": "2026-03-02T12:00:00+00:00"}
    )


def test_a_first_look_begins_where_the_firm_says(served: Running, box: DocusignSandbox) -> None:
    at(box, "09:00:00")
    seed(box)
    at(box, "10:00:00")
    later = seed(box)
    page = connect(served, {"since": "2026-03-02T09:30:00Z"}).envelopes_ended("")
    assert [one.envelope_id for one in page.envelopes] == [later]


def test_the_list_asks_for_no_envelope_by_itself(esign: Connection, box: DocusignSandbox) -> None:
    ids = {seed(box) for _ in range(7)}
    esign.connector.manifest = esign.connector.manifest.model_copy(update={"page_size": 3})
    for _ in range(3):
        assert {one.envelope_id for one in esign.envelopes_ended("").envelopes} == ids
    assert not [path for path in paths(box) if any(one in path for one in ids)]
    assert box.counters.violations == []


def test_others_letters_are_passed_over_and_ours_without_a_version_are_told(
    esign: Connection, box: DocusignSandbox
) -> None:
    at(box, "09:00:00")
    seed(box, fields={"employee": "E-7"})
    ours = seed(box)
    nameless = seed(box, fields={"contract_no": "CT-9"})
    spelt = seed(box, fields={"contract_no": "CT-9", "contract_version": "two"})
    page = esign.envelopes_ended("")
    assert [one.envelope_id for one in page.envelopes] == [ours]
    assert sorted(page.unreadable) == sorted(
        [
            (nameless, f"envelope {nameless}: the custom field contract_version is empty"),
            (spelt, f"envelope {spelt}: contract_version is 'two', which is no version"),
        ]
    )


def test_a_row_of_another_state_than_asked_for_is_no_end_and_a_new_state_is_told(
    esign: Connection, box: DocusignSandbox
) -> None:
    under_way, new = seed(box), seed(box)
    box.envelopes.get(under_way)["status"] = "correct"
    box.envelopes.get(new)["status"] = "notarized"

    def everything(request: httpx.Request) -> None:
        request.url = request.url.copy_remove_param("status")

    esign = connect_with(esign, box, everything)
    page = esign.envelopes_ended("")
    assert page.envelopes == ()
    ((told, why),) = page.unreadable
    assert told == new and "unknown state 'notarized'" in why


def connect_with(esign: Connection, box: DocusignSandbox, change: Any) -> Connection:
    client = httpx.Client(trust_env=False, event_hooks={"request": [change]})
    given = box.credentials()
    secrets = {name: given[name] for name in ("integration_key", "user_id", "private_key")}
    return Connection("esign", Docusign(), base_url=box.base_url, auth_kind="jwt_grant", secrets=secrets, client=client)


def test_the_firms_own_names_of_fields_and_roles(served: Running, box: DocusignSandbox) -> None:
    fields = {"contract_no": "SOW number", "version": "SOW version"}
    esign = connect(served, {"fields": fields, "roles": {"General Counsel": "legal", "CFO": "finance"}})
    people = [{**LEGAL, "roleName": "general counsel"}, {**FINANCE, "roleName": "CFO"}, {**CARL, "roleName": "Witness"}]
    seed(box, fields={"SOW number": "CT-7", "SOW version": "1"}, signers=people)
    (found,) = esign.envelopes_ended("").envelopes
    assert (found.contract_no, found.version) == ("CT-7", 1)
    assert [one.role for one in found.signatures] == ["legal", "finance", "Witness"]


def test_a_field_may_be_a_list_and_a_signer_may_sign_in_person(esign: Connection, box: DocusignSandbox) -> None:
    host = {"hostName": "Hanna", "hostEmail": "hanna@firm.example", "name": "Hanna", "email": "hanna@firm.example"}
    person = {**host, "signerName": "Carl Client", "signerEmail": "carl@client.example", "roleName": "client"}
    made = box.envelopes.create(
        {
            "status": "sent",
            "documents": [{"documentId": "1", "documentBase64": base64.b64encode(b"terms").decode()}],
            "recipients": {"inPersonSigners": [{"recipientId": "1", **person}]},
            "customFields": {"listCustomFields": [{"name": name, "value": value} for name, value in FIELDS.items()]},
        }
    )
    box.envelopes.sign(made, made["recipients"]["inPersonSigners"][0])
    (found,) = esign.envelopes_ended("").envelopes
    assert [(one.name, one.email, one.role) for one in found.signatures] == [
        ("Carl Client", "carl@client.example", "client")
    ]


# -- one envelope ------------------------------------------------------------------------------------------------


def test_a_completed_envelope_has_the_hash_of_its_signed_documents(esign: Connection, box: DocusignSandbox) -> None:
    envelope_id = seed(box, document="the terms")
    found = esign.read_envelope(envelope_id)
    signed = box.envelopes.content(box.envelopes.get(envelope_id), "combined")
    assert found.document_hash == hashlib.sha256(signed).hexdigest()
    assert found.document_ref == f"docusign:{envelope_id}"
    assert found.model_copy(update={"document_hash": ""}) == esign.envelopes_ended("").envelopes[0]
    assert box.counters.violations == []


def test_what_is_not_signed_has_no_hash_and_neither_has_what_the_firm_does_not_read(
    served: Running, esign: Connection, box: DocusignSandbox
) -> None:
    under_way, done = seed(box, status="sent"), seed(box)
    assert (esign.read_envelope(under_way).state, esign.read_envelope(under_way).document_hash) == ("sent", "")
    assert connect(served, {"read_documents": "no"}).read_envelope(done).document_hash == ""
    assert not [path for path in paths(box) if "documents" in path]


def test_an_empty_document_is_no_evidence(esign: Connection, box: DocusignSandbox) -> None:
    envelope_id = seed(box)
    box.envelopes.content = lambda *_: b""  # type: ignore[method-assign]
    with pytest.raises(BadInput, match="its signed document is empty"):
        esign.read_envelope(envelope_id)


def test_an_envelope_that_is_not_there_or_not_ours(esign: Connection, box: DocusignSandbox) -> None:
    with pytest.raises(NotFound):
        esign.read_envelope("00000000-0000-4000-8000-000000000000")
    with pytest.raises(BadInput, match="the custom field contract_no is empty"):
        esign.read_envelope(seed(box, fields={"employee": "E-7"}))


# -- what goes wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [({"hourly": 0}, 600), ({"burst": 0}, 30), ({"envelope_reads": 0}, 900)],
)
def test_limits_are_told_by_the_code_of_a_400(
    esign: Connection, box: DocusignSandbox, limits: Record, seconds: int
) -> None:
    envelope_id = seed(box)
    box.counters.limits = Limits(**limits)
    with pytest.raises(Throttled) as told:
        esign.read_envelope(envelope_id)
    assert told.value.after_seconds == seconds
    box.counters.limits = Limits()
    esign.traffic.resume()
    assert esign.read_envelope(envelope_id).state == "completed"


def test_a_401_that_no_new_token_cures_needs_an_administrator(esign: Connection, box: DocusignSandbox) -> None:
    esign.envelopes_ended("")
    box._add_faults({"kind": "status", "status": 401, "path": "/envelopes", "times": 9})
    with pytest.raises(NeedsSetup):
        esign.envelopes_ended("")


def test_an_account_server_that_is_down_is_waited_for(served: Running, box: DocusignSandbox) -> None:
    for path in ("/oauth/token", "/oauth/userinfo"):
        box._add_faults({"kind": "status", "status": 503, "path": path})
    for _ in range(2):
        with pytest.raises(Unreachable, match="503"):
            connect(served).envelopes_ended("")


# -- Connect -----------------------------------------------------------------------------------------------------


def test_messages_of_connect_are_known_by_any_of_the_active_keys(box: DocusignSandbox) -> None:
    facts = Docusign.read_manifest().capture.signature
    assert facts is not None
    given = box.credentials()
    first, second = given["hmac_key_1"], given["hmac_key_2"]
    with receiving() as receiver:
        asked = {"urlToPublishTo": receiver.url, "events": ["envelope-completed"], "includeHMAC": "true"}
        box.connect.create(asked)
        box.connect.push.held = True
        seed(box)
        box.connect.push.send()
        (letter,) = receiver.letters

    def check(*keys: str, body: bytes = letter.body) -> str:
        now = datetime.now(UTC)
        return verify(facts, keys, method="POST", url=receiver.url, headers=letter.headers, body=body, now=now)

    assert check(first) == check("retired", second)
    for wrong in (lambda: check("retired"), lambda: check(first, second, body=letter.body + b" ")):
        with pytest.raises(SignatureInvalid):
            wrong()


# -- what is published -------------------------------------------------------------------------------------------


def test_every_field_that_is_read_is_one_of_the_published_client() -> None:
    """The client is generated from the vendor's specification: a misspelt field would be in none of its models."""
    read = {
        docusign_esign.EnvelopesInformation: {"envelopes", "nextUri", "totalSetSize"},
        docusign_esign.Envelope: {
            *{"envelopeId", "status", "statusChangedDateTime", "completedDateTime", "voidedReason"},
            *{"customFields", "recipients"},
        },
        docusign_esign.CustomFields: {"textCustomFields", "listCustomFields"},
        docusign_esign.Recipients: {"signers", "inPersonSigners"},
        docusign_esign.Signer: {"name", "email", "roleName", "signedDateTime", "declinedReason"},
        docusign_esign.InPersonSigner: {"signerName", "signerEmail", "roleName", "signedDateTime", "declinedReason"},
    }
    for model, names in read.items():
        assert names - set(model.attribute_map.values()) == set(), model.__name__


def test_every_field_that_is_answered_is_one_of_the_published_client(served: Running, box: DocusignSandbox) -> None:
    """What the sandbox answers to the connector's requests, field by field down to the recipients' tabs."""
    seen: set[str] = set()

    def check(response: httpx.Response) -> None:
        response.read()
        path = response.request.url.path
        if path.startswith("/restapi") and not path.endswith("/combined"):
            kind = "Envelope" if "/envelopes/" in path else "EnvelopesInformation"
            seen.update({kind}, unknown(response.json(), getattr(docusign_esign, kind)))

    esign = connect(served, client=httpx.Client(trust_env=False, event_hooks={"response": [check]}))
    esign.read_envelope(seed(box))
    esign.envelopes_ended("")
    assert seen == {"Envelope", "EnvelopesInformation"}


def unknown(value: Any, model: Any, where: str = "") -> set[str]:
    """Fields of an answer that the client's model of it does not have."""
    names = {theirs: ours for ours, theirs in model.attribute_map.items()}
    found = {f"{where}.{name}" for name in value if name not in names}
    for name in value.keys() & names.keys():
        inner = getattr(docusign_esign, model.swagger_types[names[name]].removeprefix("list[").removesuffix("]"), None)
        rows = value[name] if isinstance(value[name], list) else [value[name]]
        if inner is not None:
            found |= {each for row in rows if isinstance(row, dict) for each in unknown(row, inner, f"{where}.{name}")}
    return found
