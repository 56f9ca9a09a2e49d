"""The NetSuite sandbox, driven over HTTP by a published client (PyPI netsuite) and by plain requests."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jwt
import pytest
from netsuite import Config, NetSuiteRestApi
from netsuite.exceptions import NetsuiteAPIRequestError

from isthmus.sandbox.netsuite import NetSuiteSandbox
from isthmus.sandbox.server import Running, running

RECORD = "/services/rest/record/v1"
TOKEN = "/services/rest/auth/oauth2/v1/token"
SUITEQL = "/services/rest/query/v1/suiteql"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASYNC = {"Prefer": "respond-async"}
CUSTOMER = {"companyName": "Meridian Bank", "subsidiary": {"id": "1"}, "terms": {"id": "2"}}
JOB = {
    "companyName": "Core Replacement",
    "parent": {"externalId": "C1"},
    "subsidiary": {"id": "1"},
    "custentity_practice": "Technology",
    "custentity_cost_center": "CC-410",
}
INVOICE = {
    "entity": {"externalId": "C1"},
    "tranDate": "2026-03-10",
    "taxDetailsOverride": True,
    "item": {"items": [{"item": {"id": "21"}, "quantity": 3, "rate": 33.335, "taxDetailsReference": "a"}]},
    "taxDetails": {"items": [{"taxDetailsReference": "a", "taxAmount": 8.25, "taxBasis": 100.01, "taxRate": 8.25}]},
}


class Client(NetSuiteRestApi):
    """The published client, pointed at loopback."""

    def __init__(self, base: str, config: Config) -> None:
        super().__init__(config)
        self.base = base

    def _make_url(self, subpath: str) -> str:
        return f"{self.base}/services/rest{subpath}"


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running("netsuite") as boxes:
        yield boxes["netsuite"]


@pytest.fixture
def box(served: Running) -> NetSuiteSandbox:
    made = served.sandbox
    assert isinstance(made, NetSuiteSandbox)
    made.reset()
    made.concurrency_limit, made.latency_seconds = 5, 0.0
    made.login.lifetime_seconds, made.jobs.pending_polls = 3600, 0
    return made


def assertion(url: str, credentials: dict[str, str], **changed: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": credentials["client_id"],
        "scope": "rest_webservices",
        "aud": url + TOKEN,
        "iat": now,
        "exp": now + 600,
    }
    headers = {"kid": changed.pop("kid", credentials["certificate_id"]), "typ": "JWT"}
    return jwt.encode(claims | changed, credentials["private_key"], credentials["algorithm"], headers)


def ask_token(url: str, signed: str, **changed: str) -> httpx.Response:
    form = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION, "client_assertion": signed}
    return httpx.post(url + TOKEN, data=form | changed)


@pytest.fixture
def http(served: Running, box: NetSuiteSandbox) -> Iterator[httpx.Client]:
    token = ask_token(served.url, assertion(served.url, box.credentials())).json()["access_token"]
    with httpx.Client(base_url=served.url, headers={"Authorization": f"Bearer {token}"}) as client:
        yield client


@pytest.fixture
def published(served: Running, box: NetSuiteSandbox) -> Client:
    names = ("consumer_key", "consumer_secret", "token_id", "token_secret")
    credentials = box.credentials()
    auth = {name: credentials[name] for name in names}
    return Client(served.url, Config(account=credentials["account"], auth=auth))


def code(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"].startswith("application/vnd.oracle.resource+json; type=error")
    body = response.json()
    assert body["status"] == response.status_code and body["type"].startswith("https://www.w3.org/")
    return response.status_code, body["o:errorDetails"][0]["o:errorCode"]


def put(http: httpx.Client, path: str, body: dict[str, Any], **params: str) -> str:
    answered = http.put(f"{RECORD}/{path}", json=body, params=params)
    assert answered.status_code == 204 and answered.content == b"", answered.text
    return answered.headers["location"].rsplit("/", 1)[1]


def get(http: httpx.Client, path: str) -> dict[str, Any]:
    answered = http.get(f"{RECORD}/{path}", params={"expandSubResources": "true"})
    assert answered.status_code == 200, answered.text
    return answered.json()


def query(http: httpx.Client, q: str, **params: Any) -> httpx.Response:
    return http.post(SUITEQL, json={"q": q}, params=params, headers={"Prefer": "transient"})


@pytest.fixture
def project(http: httpx.Client) -> str:
    put(http, "customer/eid:C1", CUSTOMER)
    return put(http, "job/eid:E1", JOB)


# -- the published client ----------------------------------------------------------------------------------------
def test_published_client_writes_reads_and_queries(published: Client) -> None:
    async def drive() -> tuple[Any, Any, Any, Any]:
        await published.put("/record/v1/customer/eid:C1", json=CUSTOMER)
        await published.put("/record/v1/job/eid:E-1", json=JOB)
        job = await published.get("/record/v1/job/eid:E-1")
        found = await published.suiteql("SELECT id, entityId FROM Job WHERE externalId = 'E-1' ORDER BY id")
        schema = await published.jsonschema("job")
        spec = await published.openapi(["customer"])
        return job, found, schema, spec

    job, found, schema, spec = asyncio.run(drive())
    assert job["companyName"] == "Core Replacement" and job["parent"]["refName"] == "Meridian Bank"
    assert found["items"] == [{"links": [], "id": job["id"], "entityid": job["entityId"]}]
    assert "custentity_practice" in schema["properties"]
    assert list(spec["components"]["schemas"]) == ["customer"]


def test_published_client_sees_a_refusal_and_strict_names(published: Client) -> None:
    body = {**CUSTOMER, "colour": "red"}  # the client sends X-NetSuite-PropertyNameValidation: error
    with pytest.raises(NetsuiteAPIRequestError, match="colour"):
        asyncio.run(published.put("/record/v1/customer/eid:C1", json=body))


def test_wrong_secret_and_used_nonce_are_refused(published: Client, served: Running) -> None:
    url = f"{served.url}{RECORD}/term"
    _, signed, _ = published._make_auth().prepare("GET", url, {}, b"")
    assert httpx.get(url, headers=signed).status_code == 200
    assert code(httpx.get(url, headers=signed)) == (401, "INVALID_LOGIN")
    published._config.auth.token_secret = "wrong"
    with pytest.raises(NetsuiteAPIRequestError, match="INVALID_LOGIN"):
        asyncio.run(published.get("/record/v1/term"))


# -- login -------------------------------------------------------------------------------------------------------
def test_token_with_the_rsa_certificate(served: Running, box: NetSuiteSandbox) -> None:
    granted = ask_token(served.url, assertion(served.url, box.rsa_credentials()))
    assert granted.status_code == 200 and granted.json()["token_type"] == "bearer"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"aud": "https://elsewhere.example"}, (400, "invalid_grant")),
        ({"exp": "too far away"}, (400, "invalid_request")),
        ({"iat": 1000, "exp": 2000}, (400, "invalid_grant")),
        ({"iss": "somebody"}, (401, "invalid_client")),
        ({"kid": "unknown"}, (401, "invalid_client")),
        ({"scope": "everything"}, (400, "invalid_scope")),
    ],
)
def test_bad_assertions(
    served: Running, box: NetSuiteSandbox, changed: dict[str, Any], expected: tuple[int, str]
) -> None:
    # Counted from when the test runs, not from when it was collected.
    claims = {name: int(time.time()) + 3700 if value == "too far away" else value for name, value in changed.items()}
    refused = ask_token(served.url, assertion(served.url, box.credentials(), **claims))
    assert (refused.status_code, refused.json()["error"]) == expected


def test_assertion_of_another_key_is_refused(served: Running, box: NetSuiteSandbox) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec

    from isthmus.sandbox.netsuite.login import pem

    forged = box.credentials() | {"private_key": pem(ec.generate_private_key(ec.SECP256R1()))}
    assert ask_token(served.url, assertion(served.url, forged)).json() == {"error": "invalid_client"}
    right = assertion(served.url, box.credentials())
    assert ask_token(served.url, right, grant_type="password").json() == {"error": "unsupported_grant_type"}


def test_bearer_token_expires_and_absence_is_refused(http: httpx.Client, box: NetSuiteSandbox, served: Running) -> None:
    assert http.get(f"{RECORD}/term").status_code == 200
    later = {"now": "2031-01-01T00:00:00Z"}
    http.post("/_control/clock", json=later)
    assert code(http.get(f"{RECORD}/term")) == (401, "INVALID_LOGIN")
    assert code(httpx.get(f"{served.url}{RECORD}/term")) == (401, "INVALID_LOGIN")


# -- records -----------------------------------------------------------------------------------------------------
def test_post_answers_204_with_location_and_dates(http: httpx.Client) -> None:
    http.post("/_control/clock", json={"now": "2026-03-02T09:00:00Z"})
    made = http.post(f"{RECORD}/customer", json=CUSTOMER)
    assert made.status_code == 204 and made.content == b"" and made.headers["location"].startswith(str(http.base_url))
    shown = http.get(made.headers["location"]).json()
    assert shown["lastModifiedDate"] == "2026-03-02T09:00:00Z"
    assert shown["subsidiary"]["refName"] == "US" and shown["currency"]["refName"] == "US Dollar"


def test_upsert_creates_then_updates_the_same_record(http: httpx.Client, project: str) -> None:
    assert put(http, "job/eid:E1", {"companyName": "Renamed", "jobPrice": 1234.56}) == project
    shown = get(http, f"job/{project}")
    assert (shown["companyName"], shown["jobPrice"], shown["externalId"]) == ("Renamed", 1234.56, "E1")
    assert get(http, "job?limit=5")["totalResults"] == 1


def test_upsert_needs_an_external_id_with_legal_characters(http: httpx.Client) -> None:
    assert code(http.put(f"{RECORD}/customer/77", json=CUSTOMER)) == (400, "INVALID_REQUEST")
    assert code(http.put(f"{RECORD}/customer/eid:A|B", json=CUSTOMER)) == (400, "INVALID_ID")


def test_missing_dimension_names_the_field(http: httpx.Client, project: str) -> None:
    bare = {k: v for k, v in JOB.items() if k != "custentity_cost_center"}
    refused = http.put(f"{RECORD}/job/eid:E2", json=bare)
    assert code(refused) == (400, "USER_ERROR")
    assert refused.json()["o:errorDetails"][0]["o:errorPath"] == "custentity_cost_center"
    assert get(http, "job?limit=5")["totalResults"] == 1


def test_external_and_entity_ids_are_unique(http: httpx.Client, project: str) -> None:
    again = http.post(f"{RECORD}/job", json={**JOB, "externalId": "E1"})
    assert code(again) == (400, "USER_ERROR") and again.json()["o:errorDetails"][0]["o:errorPath"] == "externalId"
    put(http, "customer/eid:E1", CUSTOMER)  # unique per record type only
    put(http, "job/eid:E2", {**JOB, "entityId": "P-2"})
    taken = http.put(f"{RECORD}/job/eid:E3", json={**JOB, "entityId": "p-2"})
    assert "already exists" in taken.json()["o:errorDetails"][0]["detail"]


def test_wrong_reference_and_wrong_type_point_into_the_body(http: httpx.Client, project: str) -> None:
    bad = {**INVOICE, "item": {"items": [{"item": {"id": "9999"}, "amount": 1}]}}
    refused = http.post(f"{RECORD}/invoice", json=bad)
    assert code(refused) == (400, "INVALID_CONTENT")
    assert refused.json()["o:errorDetails"][0]["o:errorPath"] == "item.items[0].item"
    hours = {"employee": {"id": "11"}, "hours": 7.5}
    assert code(http.post(f"{RECORD}/timeBill", json=hours)) == (400, "INVALID_CONTENT")
    assert code(http.post(f"{RECORD}/customer", content=b"{oops")) == (400, "INVALID_CONTENT")


def test_property_name_validation_modes(http: httpx.Client) -> None:
    header = "X-NetSuite-PropertyNameValidation"
    body = {**CUSTOMER, "colour": "red", "custentity_free": "yes"}
    strict = http.post(f"{RECORD}/customer", json=body, headers={header: "error"})
    assert code(strict) == (400, "INVALID_CONTENT") and "colour" in strict.text
    warned = http.post(f"{RECORD}/customer", json=body)
    silent = http.post(f"{RECORD}/customer", json=body, headers={header: "ignore"})
    assert "colour" in warned.headers["warning"] and "warning" not in silent.headers
    shown = http.get(silent.headers["location"]).json()
    assert "colour" not in shown and shown["custentity_free"] == "yes"


def test_patch_delete_and_unknown(http: httpx.Client, project: str) -> None:
    assert http.patch(f"{RECORD}/job/eid:E1", json={"isInactive": True}).status_code == 204
    assert get(http, "job/eid:E1")["isInactive"] is True
    assert code(http.delete(f"{RECORD}/customer/eid:C1")) == (400, "USER_ERROR")  # the project depends on it
    assert http.delete(f"{RECORD}/job/{project}").status_code == 204
    assert code(http.get(f"{RECORD}/job/{project}")) == (404, "NONEXISTENT_ID")
    assert code(http.get(f"{RECORD}/revenueArrangement")) == (404, "NOT_FOUND")
    assert code(http.get("/services/rest/nothing/v1")) == (404, "NOT_FOUND")
    assert code(http.get("/elsewhere")) == (404, "NOT_FOUND")
    assert (
        query(http, "SELECT recordid FROM deletedrecord WHERE type = 'job'").json()["items"][0]["recordid"] == project
    )


def test_collection_pages_and_filters(http: httpx.Client) -> None:
    for number in range(5):
        put(http, f"customer/eid:N{number}", {**CUSTOMER, "companyName": f"Firm {number}"})
    first = http.get(f"{RECORD}/customer", params={"limit": 2, "offset": 2}).json()
    assert (first["count"], first["totalResults"], first["hasMore"], first["offset"]) == (2, 5, True, 2)
    assert set(first["items"][0]) == {"links", "id"}
    following = next(link["href"] for link in first["links"] if link["rel"] == "next")
    last = http.get(following).json()
    assert last["hasMore"] is False and len(last["items"]) == 1
    refused = http.get(f"{RECORD}/customer", params={"limit": 2, "offset": 3})
    assert code(refused) == (400, "INVALID_PARAMETER")
    assert refused.json()["o:errorDetails"][0]["o:errorQueryParam"] == "offset"


def test_filter_operators(http: httpx.Client) -> None:
    http.post("/_control/clock", json={"now": "2026-03-02T09:00:00Z"})
    put(http, "customer/eid:A", {**CUSTOMER, "companyName": "Alder & Co"})
    http.post("/_control/clock", json={"now": "2026-03-05T09:00:00Z"})
    put(http, "customer/eid:B", {**CUSTOMER, "companyName": "Birch Ltd", "terms": {"id": "1"}})

    def names(q: str) -> list[str]:
        rows = http.get(f"{RECORD}/customer", params={"q": q}).json()["items"]
        return [get(http, f"customer/{row['id']}")["externalId"] for row in rows]

    assert names('companyName IS "Birch Ltd"') == ["B"]
    assert names("companyName CONTAIN alder OR terms ANY_OF [1, 9]") == ["A", "B"]
    assert names('lastModifiedDate ON_OR_AFTER "3/3/2026" AND isInactive IS false') == ["B"]
    assert names('lastModifiedDate BEFORE_NOT "3/2/2026" AND (companyName START_WITH "A")') == ["A"]
    assert names("email EMPTY") == ["A", "B"]
    assert code(http.get(f"{RECORD}/customer", params={"q": "colour IS red"})) == (400, "INVALID_PARAMETER")
    assert code(http.get(f"{RECORD}/customer", params={"q": "companyName AFTER 1"})) == (400, "INVALID_PARAMETER")


# -- money -------------------------------------------------------------------------------------------------------
def test_invoice_totals_terms_and_exact_numbers(http: httpx.Client, project: str) -> None:
    put(http, "invoice/eid:I1", INVOICE)
    raw = http.get(f"{RECORD}/invoice/eid:I1").text
    assert '"subtotal":100.01,' in raw and '"total":108.26,' in raw and '"taxTotal":8.25,' in raw
    shown = get(http, "invoice/eid:I1")
    assert (shown["dueDate"], shown["postingPeriod"]["refName"]) == ("2026-04-09", "Mar 2026")
    assert (shown["status"]["id"], shown["amountRemaining"]) == ("A", 108.26)
    assert http.get(f"{RECORD}/invoice/eid:I1").json()["item"].keys() == {"links"}  # folded unless asked


def test_tax_detail_must_belong_to_a_line(http: httpx.Client, project: str) -> None:
    stray = {**INVOICE, "taxDetails": {"items": [{"taxDetailsReference": "b", "taxAmount": 1}]}}
    refused = http.post(f"{RECORD}/invoice", json=stray)
    path = "taxDetails.items[0].taxDetailsReference"
    assert code(refused) == (400, "INVALID_CONTENT") and refused.json()["o:errorDetails"][0]["o:errorPath"] == path


def test_second_upsert_adds_lines_unless_replace_is_said(http: httpx.Client, project: str) -> None:
    put(http, "invoice/eid:I1", INVOICE)
    put(http, "invoice/eid:I1", INVOICE, replace="item,taxDetails")
    assert get(http, "invoice/eid:I1")["total"] == 108.26
    put(http, "invoice/eid:I1", {"item": INVOICE["item"]})
    assert get(http, "invoice/eid:I1")["subtotal"] == 200.02


def test_payments_move_the_invoice_to_paid(http: httpx.Client, box: NetSuiteSandbox, project: str) -> None:
    invoice = put(http, "invoice/eid:I1", INVOICE)
    apply = {"items": [{"doc": {"id": invoice}, "apply": True, "amount": 8.26}]}
    put(http, "customerPayment/eid:P1", {"customer": {"externalId": "C1"}, "payment": 8.26, "apply": apply})
    assert get(http, f"invoice/{invoice}")["amountRemaining"] == 100
    seeded = http.post(
        "/_control/seed",
        json={"customerPayment": [{"customer": {"externalId": "C1"}, "payment": 120.5, "autoApply": True}]},
    ).json()["customerPayment"][0]
    assert (seeded["applied"], seeded["unapplied"]) == (100, 20.5)
    paid = get(http, f"invoice/{invoice}")
    assert (paid["status"]["id"], paid["amountPaid"], paid["amountRemaining"]) == ("B", 108.26, 0)
    assert http.delete(f"{RECORD}/customerPayment/eid:P1").status_code == 204
    assert get(http, f"invoice/{invoice}")["amountRemaining"] == 8.26


def test_payment_cannot_exceed_invoice_or_itself(http: httpx.Client, project: str) -> None:
    invoice = put(http, "invoice/eid:I1", INVOICE)

    def pay(payment: float, amount: float) -> httpx.Response:
        apply = {"items": [{"doc": {"id": invoice}, "apply": True, "amount": amount}]}
        body = {"customer": {"externalId": "C1"}, "payment": payment, "apply": apply}
        return http.post(f"{RECORD}/customerPayment", json=body)

    too_much, beyond = pay(200, 108.27), pay(50, 60)
    assert code(too_much) == code(beyond) == (400, "USER_ERROR")
    assert too_much.json()["o:errorDetails"][0]["o:errorPath"] == "apply.items[0].amount"
    assert get(http, f"invoice/{invoice}")["amountPaid"] == 0


def test_transforms_bill_time_credit_and_pay(http: httpx.Client, project: str) -> None:
    time_bill = {
        "employee": {"id": "11"},
        "customer": {"id": project},
        "item": {"id": "21"},
        "hours": "7:30",
        "tranDate": "2026-03-04",
        "isBillable": True,
        "approvalStatus": {"id": "3"},
    }
    put(http, "timeBill/eid:T1", time_bill)
    put(http, "timeBill/eid:T2", {**time_bill, "approvalStatus": {"id": "2"}})
    transform = f"{RECORD}/job/eid:E1/!transform/invoice"
    made = http.post(transform, json={"externalId": "I1", "tranDate": "2026-03-31"})
    assert made.status_code == 204 and "/invoice/" in made.headers["location"]
    assert get(http, "invoice/eid:I1")["total"] == 1875  # 7.5 hours at the item's 250; the unapproved time is out
    nothing_left = http.post(transform, json={"tranDate": "2026-03-31"})
    assert code(nothing_left) == (400, "USER_ERROR") and "at least one line" in nothing_left.text
    credit = f"{RECORD}/invoice/eid:I1/!transform/creditMemo"
    part = http.post(credit, json=_credit_of(375), params={"replace": "item"})
    assert part.status_code == 204, part.text
    assert get(http, "invoice/eid:I1")["amountRemaining"] == 1500
    whole = get(http, http.post(credit, json={"tranDate": "2026-03-31"}).headers["location"].split(RECORD + "/")[1])
    assert (whole["total"], whole["applied"], whole["createdFrom"]["refName"]) == (1875, 1500, "INV10001")
    assert http.delete(f"{RECORD}/creditMemo/{whole['id']}").status_code == 204
    payment = http.post(f"{RECORD}/invoice/eid:I1/!transform/customerPayment", json={"tranDate": "2026-03-31"})
    assert get(http, payment.headers["location"].split(RECORD + "/")[1])["payment"] == 1500
    assert get(http, "invoice/eid:I1")["status"]["id"] == "B"
    assert code(http.post(f"{RECORD}/job/eid:E1/!transform/customer", json={})) == (400, "INVALID_REQUEST")


def _credit_of(amount: float) -> dict[str, Any]:
    lines = {"items": [{"item": {"id": "21"}, "amount": amount}]}
    return {"tranDate": "2026-03-31", "item": lines}


def test_closed_period_refuses_to_post(http: httpx.Client, project: str) -> None:
    http.post("/_control/seed", json={"postingPeriod": [{"periodName": "Mar 2026", "closed": True}]})
    refused = http.put(f"{RECORD}/invoice/eid:I1", json=INVOICE)
    assert code(refused) == (400, "USER_ERROR") and "Mar 2026 is closed" in refused.text
    put(http, "invoice/eid:I1", {**INVOICE, "tranDate": "2026-04-01"})


def test_journal_entry_must_balance(http: httpx.Client) -> None:
    lines = [{"account": {"id": "107"}, "debit": 10.1}, {"account": {"id": "106"}, "credit": 10.2}]
    body = {"subsidiary": {"id": "1"}, "tranDate": "2026-03-31", "line": {"items": lines}}
    assert code(http.post(f"{RECORD}/journalEntry", json=body)) == (400, "USER_ERROR")
    lines[1]["credit"] = 10.1
    put(http, "journalEntry/eid:J1", body)
    assert get(http, "journalEntry/eid:J1")["total"] == 10.1


# -- SuiteQL -----------------------------------------------------------------------------------------------------
def test_suiteql_answers_text_in_lower_case_and_pages(http: httpx.Client, project: str) -> None:
    http.post("/_control/clock", json={"now": "2026-03-12T09:00:00Z"})
    for number in range(3):
        put(http, f"invoice/eid:I{number}", INVOICE)
    q = (
        "SELECT t.externalId, t.foreignTotal, BUILTIN.DF(t.status) AS state, t.tranDate, t.memo, "
        "TO_CHAR(t.lastModifiedDate, 'YYYY-MM-DD HH24:MI:SS') AS seen FROM transaction t "
        "WHERE t.type = 'CustInvc' AND t.lastModifiedDate >= TO_DATE('2026-03-12 08:59:59', 'YYYY-MM-DD HH24:MI:SS') "
        "ORDER BY t.id"
    )
    first = query(http, q, limit=2).json()
    assert (first["count"], first["totalResults"], first["hasMore"]) == (2, 3, True)
    row = {"externalid": "I0", "foreigntotal": "108.26", "state": "Open", "trandate": "3/10/2026"}
    assert first["items"][0] == {"links": [], **row, "seen": "2026-03-12 09:00:00"}  # an empty memo is left out
    assert query(http, q, limit=2, offset=2).json()["items"][0]["externalid"] == "I2"
    assert query(http, "SELECT isInactive, custentity_practice FROM job").json()["items"] == [
        {"links": [], "isinactive": "F", "custentity_practice": "Technology"}
    ]


def test_suiteql_follows_changes_and_deletions(http: httpx.Client, project: str) -> None:
    count = "SELECT COUNT(*) AS n FROM transaction WHERE type = 'CustInvc'"
    put(http, "invoice/eid:I1", INVOICE)
    assert query(http, count).json()["items"][0]["n"] == "1"
    http.patch(f"{RECORD}/invoice/eid:I1", json={"memo": "changed"})
    assert query(http, "SELECT memo FROM transaction").json()["items"][0]["memo"] == "changed"
    http.delete(f"{RECORD}/invoice/eid:I1")
    assert query(http, count).json()["items"][0]["n"] == "0"


@pytest.mark.parametrize(
    "q",
    [
        "SELECT total FROM transaction",
        "SELECT id FROM transaction LIMIT 5",
        "SELECT id FROM transaction WHERE lastmodifieddate > '2026-01-01'",
        "DELETE FROM job",
        "SELECT name FROM sqlite_master",
    ],
)
def test_suiteql_refuses_what_the_vendor_does_not_know(http: httpx.Client, q: str) -> None:
    assert code(query(http, q)) == (400, "INVALID_PARAMETER")


def test_suiteql_needs_the_transient_preference(http: httpx.Client) -> None:
    refused = http.post(SUITEQL, json={"q": "SELECT id FROM term"})
    assert code(refused) == (400, "INVALID_HEADER")
    assert refused.json()["o:errorDetails"][0]["o:errorHeader"] == "Prefer"
    assert query(http, "SELECT id FROM term", limit=3, offset=2).status_code == 400


# -- asynchronous ------------------------------------------------------------------------------------------------
def test_batches_run_only_asynchronously(http: httpx.Client, box: NetSuiteSandbox) -> None:
    items = {"items": [{**CUSTOMER, "externalId": "A"}, {"companyName": "no subsidiary", "externalId": "B"}]}
    assert code(http.put(f"{RECORD}/customer", json=items)) == (400, "INVALID_HEADER")
    box.jobs.pending_polls = 1
    accepted = http.put(f"{RECORD}/customer", json=items, headers=ASYNC)
    assert accepted.status_code == 202 and accepted.headers["preference-applied"] == "respond-async"
    job = accepted.headers["location"]
    assert http.get(job).json()["progress"] == "pending"
    assert http.get(job).json() | {"links": 0, "task": 0} == {
        "links": 0,
        "task": 0,
        "completed": True,
        "id": "1",
        "progress": "failed",
    }
    assert http.get(f"{job}/task").json()["totalResults"] == 2
    assert http.get(f"{job}/task/1").json()["progress"] == "succeeded"
    assert code(http.get(f"{job}/task/2/result")) == (400, "USER_ERROR")
    assert get(http, "customer/eid:A")["companyName"] == "Meridian Bank"
    many = {"items": [CUSTOMER] * 101}
    assert code(http.put(f"{RECORD}/customer", json=many, headers=ASYNC)) == (400, "INVALID_CONTENT")
    assert code(http.get(f"{job}9")) == (404, "NONEXISTENT_ID")


def test_idempotency_key_counts_only_for_asynchronous_requests(http: httpx.Client) -> None:
    key = {"X-NetSuite-Idempotency-Key": "b0a1"}
    first = http.post(f"{RECORD}/customer", json=CUSTOMER, headers=ASYNC | key)
    again = http.post(f"{RECORD}/customer", json=CUSTOMER, headers=ASYNC | key)
    assert code(again) == (400, "IDEMPOTENCY_ERROR") and again.json()["title"] == "Conflict"
    assert again.headers["location"] == first.headers["location"]
    assert get(http, "customer?limit=9")["totalResults"] == 1
    for _ in range(2):  # ignored: two records
        assert http.post(f"{RECORD}/customer", json=CUSTOMER, headers=key).status_code == 204
    assert get(http, "customer?limit=9")["totalResults"] == 3


# -- account -----------------------------------------------------------------------------------------------------
def test_concurrency_limit_is_per_account(http: httpx.Client, box: NetSuiteSandbox) -> None:
    box.concurrency_limit, box.latency_seconds = 3, 0.4
    gate = threading.Barrier(4)

    def read(_: int) -> httpx.Response:
        gate.wait()
        return httpx.get(http.base_url.join(f"{RECORD}/term"), headers=dict(http.headers))

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(read, range(4)))
    refused = [a for a in answers if a.status_code != 200]
    assert len(refused) == 1 and code(refused[0]) == (429, "CONCURRENCY_LIMIT_EXCEEDED")
    assert (refused[0].json()["title"], refused[0].json()["o:errorCode"]) == ("Bad Request", "USER_ERROR")
    box.latency_seconds = 0.0
    assert http.get(f"{RECORD}/term").status_code == 200  # places are given back
    limits = http.get("/services/rest/system/v1/governanceLimits").json()
    assert (limits["accountConcurrencyLimit"], limits["integrationLimitType"]) == (3, "accountLimit")


def test_select_options_and_reference_data(http: httpx.Client) -> None:
    accept = {"Accept": "application/vnd.oracle.resource+json; type=select-options"}
    shown = http.post(f"{RECORD}/job", params={"fields": "entityStatus"}, headers=accept).json()
    assert [option["id"] for option in shown["entityStatus"]["items"]] == ["1", "2", "3", "4", "5"]
    assert get(http, "job?limit=1")["totalResults"] == 0  # asking made nothing
    terms = query(http, "SELECT name FROM term ORDER BY daysuntilnetdue DESC").json()["items"]
    assert [term["name"] for term in terms] == ["NET60", "NET45", "NET30", "NET15", "DUE"]
    assert "customerPayment" in [item["name"] for item in http.get(f"{RECORD}/metadata-catalog").json()["items"]]


# -- faults ------------------------------------------------------------------------------------------------------
def test_timeout_after_commit_leaves_one_record(http: httpx.Client) -> None:
    http.post("/_control/faults", json={"kind": "timeout_after_commit", "method": "PUT", "path": "/customer/"})
    assert code(http.put(f"{RECORD}/customer/eid:C1", json=CUSTOMER)) == (504, "UNEXPECTED_ERROR")
    put(http, "customer/eid:C1", CUSTOMER)
    assert get(http, "customer?limit=9")["totalResults"] == 1


def test_stale_read_hides_the_newest_record_from_queries_only(http: httpx.Client, project: str) -> None:
    put(http, "job/eid:E2", JOB)
    http.post("/_control/faults", json={"kind": "stale_read", "path": "suiteql|/job$", "times": 2})
    assert [row["externalid"] for row in query(http, "SELECT externalid FROM job").json()["items"]] == ["E1"]
    assert http.get(f"{RECORD}/job").json()["totalResults"] == 1
    assert query(http, "SELECT externalid FROM job").json()["totalResults"] == 2


def test_outage_and_planned_status_use_the_vendors_shape(http: httpx.Client) -> None:
    http.post("/_control/outage", json={"on": True})
    assert code(http.get(f"{RECORD}/term")) == (503, "UNEXPECTED_ERROR")
    http.post("/_control/outage", json={"on": False})
    http.post("/_control/faults", json={"kind": "status", "status": 429})
    assert code(http.get(f"{RECORD}/term")) == (429, "CONCURRENCY_LIMIT_EXCEEDED")


def test_the_same_work_from_empty_gives_the_same_state(http: httpx.Client, box: NetSuiteSandbox) -> None:
    def work() -> Any:
        http.post("/_control/clock", json={"now": "2026-11-20T09:00:00Z"})
        put(http, "customer/eid:C1", CUSTOMER)
        put(http, "job/eid:E1", JOB)
        put(http, "invoice/eid:I1", INVOICE)
        box.seed("customerPayment", {"customer": {"externalId": "C1"}, "payment": 10.1, "autoApply": True})
        return http.get("/_control/state").json()

    first = work()
    assert first["invoice"][0]["amountRemaining"] == 98.16
    http.post("/_control/reset")
    assert work() == first
