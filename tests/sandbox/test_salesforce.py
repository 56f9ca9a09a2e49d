"""The Salesforce sandbox behaves as the published guides say: driven by simple-salesforce over TLS and by httpx."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest
from simple_salesforce import Salesforce, SalesforceAuthenticationFailed
from simple_salesforce.exceptions import SalesforceExpiredSession, SalesforceMoreThanOneRecord

from isthmus.sandbox import server
from isthmus.sandbox.platform import ids
from isthmus.sandbox.salesforce import SalesforceSandbox
from tests.sandbox.platform_client import published_client

DATA = "/services/data/v67.0"
WIRE = httpx.Client(verify=False, trust_env=False)  # plain http; one client spares a certificate store per call
FIRM_CLIENT = {"Sforce-Call-Options": "client=hub"}


@pytest.fixture(scope="module")
def tls() -> Iterator[server.Running]:
    with server.running("salesforce", tls=True) as served:
        yield served["salesforce"]


@pytest.fixture(scope="module")
def plain() -> Iterator[server.Running]:
    with server.running("salesforce") as served:
        yield served["salesforce"]


@pytest.fixture
def box(plain: server.Running) -> SalesforceSandbox:
    made = plain.sandbox
    assert isinstance(made, SalesforceSandbox)
    made.page_size, made.daily_limit, made.token_lifetime = 2000, 100_000, 7200
    made.reset()
    return made


@pytest.fixture
def http(plain: server.Running, box: SalesforceSandbox) -> Iterator[httpx.Client]:
    """A signed-in client whose paths are relative to the API version."""
    with httpx.Client(base_url=plain.url, timeout=60, verify=False, trust_env=False) as client:
        answer = client.post("/services/oauth2/token", data={"grant_type": "client_credentials"}, auth=_app(box))
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        client.base_url = plain.url + DATA
        yield client


@pytest.fixture
def sf(tls: server.Running) -> Salesforce:
    tls.sandbox.reset()
    return published_client(tls)


def _app(box: SalesforceSandbox) -> tuple[str, str]:
    given = box.credentials()
    return given["consumer_key"], given["consumer_secret"]


def _codes(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()[0]["errorCode"]


def _account(http: httpx.Client, hub_id: str, **fields: Any) -> str:
    answer = http.patch(f"/sobjects/Account/Hub_Id__c/{hub_id}", json={"Name": hub_id, **fields})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def _query(http: httpx.Client, text: str, resource: str = "query") -> dict[str, Any]:
    answer = http.get(f"/{resource}", params={"q": text})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def _names(http: httpx.Client, where: str) -> list[str]:
    return [r["Name"] for r in _query(http, f"SELECT Name FROM Account {where}")["records"]]


# -- the published client ----------------------------------------------------------------------------------------
def test_published_client_signs_in_by_jwt_and_works_with_records(sf: Salesforce) -> None:
    created = sf.Account.create({"Name": "Alpine AG", "Hub_Id__c": "C-1", "BillingCountryCode": "CH"})
    assert created["success"] and created["id"].startswith("001") and len(created["id"]) == 18
    assert sf.Account.update(created["id"], {"BillingCity": "Bern"}) == 204
    assert sf.Account.get(created["id"])["BillingCity"] == "Bern"
    assert sf.Account.get_by_custom_id("Hub_Id__c", "c-1")["Id"] == created["id"]
    assert sf.Account.upsert("Hub_Id__c/C-1", {"Name": "Alpine SA"}) == 200
    assert sf.Account.upsert("Hub_Id__c/C-2", {"Name": "Second"}) == 201
    assert sf.Account.delete(created["id"]) == 204
    assert sf.query("SELECT COUNT() FROM Account")["totalSize"] == 1
    assert sf.limits()["DailyApiRequests"]["Max"] == 100_000
    assert sf.api_usage["api-usage"].total == 100_000


def test_published_client_pages_through_a_query(sf: Salesforce, tls: server.Running) -> None:
    for number in range(7):
        tls.sandbox.seed("Account", {"Name": f"A{number}"})
    tls.sandbox.page_size = 3  # type: ignore[attr-defined]
    first = sf.query("SELECT Name FROM Account ORDER BY Name")
    assert (first["totalSize"], first["done"], len(first["records"])) == (7, False, 3)
    everything = sf.query_all("SELECT Name FROM Account ORDER BY Name DESC")
    assert [r["Name"] for r in everything["records"]] == [f"A{n}" for n in reversed(range(7))]
    tls.sandbox.page_size = 2000  # type: ignore[attr-defined]


def test_published_client_upserts_in_bulk(sf: Salesforce, tls: server.Running) -> None:
    tls.sandbox.bulk_polls = 0  # type: ignore[attr-defined]
    tls.sandbox.seed("Account", {"Name": "Old", "Hub_Id__c": "B-1"})
    rows = [
        {"Hub_Id__c": "B-1", "Name": "New", "Tax_Exempt__c": "true"},
        {"Hub_Id__c": "B-2", "Name": "Second", "Tax_Exempt__c": "false"},
        {"Hub_Id__c": "B-3", "Name": "Third", "Tax_Exempt__c": "perhaps"},
    ]
    (outcome,) = sf.bulk2.Account.upsert(records=rows, external_id_field="Hub_Id__c", wait=0.05)
    assert outcome["numberRecordsProcessed"] == 3
    assert outcome["numberRecordsFailed"] == 1
    done = sf.bulk2.Account.get_successful_records(outcome["job_id"])
    assert sorted(line.split(",")[1] for line in done.splitlines()) == ['"false"', '"sf__Created"', '"true"']
    failed = sf.bulk2.Account.get_failed_records(outcome["job_id"])
    assert "JSON_PARSER_ERROR" in failed and "B-3" in failed
    assert [r["Name"] for r in sf.query("SELECT Name FROM Account ORDER BY Name")["records"]] == ["New", "Second"]


def test_published_client_queries_in_bulk_by_parts(sf: Salesforce, tls: server.Running) -> None:
    tls.sandbox.bulk_polls = 0  # type: ignore[attr-defined]
    parent = tls.sandbox.seed("Account", {"Name": "Group, Inc."})
    for number in range(5):
        tls.sandbox.seed("Account", {"Name": f"A{number}", "Hub_Id__c": f"B-{number}", "ParentId": parent["Id"]})
    asked = "SELECT Name, Parent.Name FROM Account WHERE Hub_Id__c != null ORDER BY Name"
    parts = list(sf.bulk2.Account.query(asked, max_records=2, wait=0.05))
    lines = [part.splitlines() for part in parts]
    assert [len(part) for part in lines] == [3, 3, 2], "each part has its header"
    assert {part[0] for part in lines} == {'"Name","Parent.Name"'}
    assert [row for part in lines for row in part[1:]] == [f'"A{n}","Group, Inc."' for n in range(5)]


def test_bulk_query_jobs_have_their_states(http: httpx.Client, box: SalesforceSandbox) -> None:
    _account(http, "Q-1")
    opened = http.post("/jobs/query", json={"operation": "query", "query": "SELECT Id FROM Account"})
    job = f"/jobs/query/{opened.json()['id']}"
    assert (opened.status_code, opened.json()["state"], opened.json()["object"]) == (200, "UploadComplete", "Account")
    assert _codes(http.get(f"{job}/results")) == (400, "INVALIDJOBSTATE")
    assert [http.get(job).json()["state"] for _ in range(2)] == ["InProgress", "JobComplete"]
    result = http.get(f"{job}/results")
    assert (result.headers["Sforce-NumberOfRecords"], result.headers["Sforce-Locator"]) == ("1", "null")
    assert _codes(http.patch(job, json={"state": "Aborted"})) == (400, "INVALIDJOBSTATE")
    assert [each["id"] for each in http.get("/jobs/query").json()["records"]] == [opened.json()["id"]]
    assert http.get("/jobs/ingest").json()["records"] == []
    assert (http.delete(job).status_code, http.get(job).status_code) == (204, 404)
    for wrong in ({"operation": "insert"}, {"operation": "query", "query": "SELECT COUNT() FROM Account"}):
        assert http.post("/jobs/query", json=wrong).status_code == 400
    assert _codes(http.post("/jobs/query", json={"operation": "query", "query": "SELECT"}))[1] == "MALFORMED_QUERY"


def test_a_token_says_whose_it_is_at_the_address_the_sign_in_names(
    http: httpx.Client, box: SalesforceSandbox, plain: server.Running
) -> None:
    signed_in = WIRE.post(
        f"{plain.url}/services/oauth2/token", data={"grant_type": "client_credentials"}, auth=_app(box)
    ).json()
    who = WIRE.get(signed_in["id"], headers={"Authorization": f"Bearer {signed_in['access_token']}"})
    assert who.json()["username"] == box.username and who.json()["organization_id"] == box.auth.org_id
    assert WIRE.get(signed_in["id"], headers={"Authorization": "Bearer nobody"}).status_code == 403
    stranger = signed_in["id"][:-3] + "AAA"
    assert WIRE.get(stranger, headers={"Authorization": f"Bearer {signed_in['access_token']}"}).status_code == 404


def test_records_are_read_together_by_a_body_too(http: httpx.Client) -> None:
    first, second = _account(http, "R-1"), _account(http, "R-2")
    asked = {"ids": [second, "001000000000000AAA", first], "fields": ["Name"]}
    found = http.post("/composite/sobjects/Account", json=asked).json()
    assert [each and each["Name"] for each in found] == ["R-2", None, "R-1"]
    assert _codes(http.post("/composite/sobjects/Account", json={"ids": [first]})) == (400, "MISSING_ARGUMENT")


def test_published_client_hears_of_bad_sign_in_and_expired_session(tls: server.Running) -> None:
    with pytest.raises(SalesforceAuthenticationFailed, match="user hasn't approved this consumer"):
        published_client(tls, username="stranger@firm.example")
    with pytest.raises(SalesforceAuthenticationFailed, match="client identifier invalid"):
        published_client(tls, consumer_key="unknown")
    client = published_client(tls)
    tls.sandbox.auth.expire_all()  # type: ignore[attr-defined]
    with pytest.raises(SalesforceExpiredSession):
        client.query("SELECT Id FROM Account")


def test_published_client_hears_of_an_ambiguous_external_id(sf: Salesforce, tls: server.Running) -> None:
    deal = {"Name": "D", "StageName": "Prospecting", "CloseDate": "2026-03-01", "Engagement_No__c": "E-1"}
    for _ in range(2):
        tls.sandbox.seed("Opportunity", deal)
    with pytest.raises(SalesforceMoreThanOneRecord):
        sf.Opportunity.upsert("Engagement_No__c/E-1", {"Name": "X"})


# -- signing in --------------------------------------------------------------------------------------------------
def _assertion(box: SalesforceSandbox, key: str | None = None, **changes: Any) -> dict[str, str]:
    given = box.credentials()
    claims = {
        "iss": given["consumer_key"],
        "sub": given["username"],
        "aud": given["audience"],
        "exp": int(time.time()) + 120,
        **changes,
    }
    signed = jwt.encode(claims, key or given["private_key"], algorithm="RS256")
    return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": signed}


def _other_key() -> str:
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()).decode()


def test_token_endpoint_refuses_bad_assertions(box: SalesforceSandbox, plain: server.Running) -> None:
    def refusal(form: dict[str, str]) -> str:
        answer = WIRE.post(f"{plain.url}/services/oauth2/token", data=form)
        assert answer.status_code == 400
        return f"{answer.json()['error']}: {answer.json()['error_description']}"

    assert refusal(_assertion(box, exp=int(time.time()) - 1)) == "invalid_grant: expired authorization code"
    assert refusal(_assertion(box, exp=int(time.time()) + 3600)) == "invalid_grant: invalid assertion"
    assert refusal(_assertion(box, aud="https://elsewhere.example")) == "invalid_grant: audience is invalid"
    assert refusal(_assertion(box, key=_other_key())) == "invalid_grant: invalid assertion"
    assert refusal({"grant_type": "magic"}).startswith("unsupported_grant_type")
    wrong = {"grant_type": "client_credentials", "client_id": _app(box)[0], "client_secret": "no"}
    assert refusal(wrong).startswith("invalid_client:")
    good = WIRE.post(f"{plain.url}/services/oauth2/token", data=_assertion(box)).json()
    assert good["instance_url"] == plain.url and good["token_type"] == "Bearer"


def test_tokens_end_with_their_lifetime_and_bad_ones_are_refused(http: httpx.Client, box: SalesforceSandbox) -> None:
    assert http.get("/limits").status_code == 200
    assert _codes(http.get("/limits", headers={"Authorization": "Bearer nonsense"})) == (401, "INVALID_SESSION_ID")
    box.token_lifetime = 0
    assert _codes(http.get("/limits")) == (401, "INVALID_SESSION_ID")


# -- records -----------------------------------------------------------------------------------------------------
def test_ids_carry_the_published_case_checksum() -> None:
    # The pairs are examples from the vendor's REST guide and its well-known ones.
    assert "001R00000064wdt" + ids.checksum("001R00000064wdt") == "001R00000064wdtIAA"
    assert "0012o00003OBzVS" + ids.checksum("0012o00003OBzVS") == "0012o00003OBzVSAA1"
    made = ids.make("001", 62)
    assert made[:15] == "001Hs0000000010" and ids.canonical(made[:15]) == made
    assert ids.canonical(made.lower()) is None


def test_upsert_tells_created_from_updated(http: httpx.Client) -> None:
    path = "/sobjects/Account/Hub_Id__c/C%2F1"
    first = http.patch(path, json={"Name": "One"})
    assert first.status_code == 201 and first.json()["created"] is True
    assert first.headers["Location"] == f"{DATA}/sobjects/Account/{first.json()['id']}"
    again = http.patch(path, json={"Name": "Two"})
    assert again.status_code == 200
    assert again.json() == {"id": first.json()["id"], "success": True, "errors": [], "created": False}
    only = http.patch("/sobjects/Account/Hub_Id__c/C-9", params={"updateOnly": "true"}, json={"Name": "X"})
    assert _codes(only) == (404, "NOT_FOUND")
    assert _codes(http.patch(path, json={"Hub_Id__c": "C/1"})) == (400, "INVALID_FIELD")
    assert _codes(http.patch("/sobjects/Account/Tax_Id__c/1", json={"Name": "X"})) == (404, "NOT_FOUND")
    assert _names(http, "") == ["Two"]


def test_ambiguous_external_id_answers_300_with_addresses(http: httpx.Client, box: SalesforceSandbox) -> None:
    deal = {"Name": "D", "StageName": "Prospecting", "CloseDate": "2026-03-01", "Engagement_No__c": "E-1"}
    made = [box.seed("Opportunity", deal)["Id"] for _ in range(2)]
    answer = http.patch("/sobjects/Opportunity/Engagement_No__c/E-1", json={"Name": "X"})
    assert answer.status_code == 300
    assert answer.json() == [f"{DATA}/sobjects/Opportunity/{i}" for i in made]


@pytest.mark.parametrize(
    ("body", "code", "fields"),
    [
        ({"Name": "A", "Shoe__c": 1}, "INVALID_FIELD", None),
        ({"Industry": "Energy"}, "REQUIRED_FIELD_MISSING", ["Name"]),
        ({"Name": "x" * 256}, "STRING_TOO_LONG", ["Name"]),
        ({"Name": "A", "Hub_Id__c": "taken"}, "DUPLICATE_VALUE", []),
        ({"Name": "A", "Tax_Exempt__c": "perhaps"}, "JSON_PARSER_ERROR", None),
        ({"Name": "A", "CurrencyIsoCode": "XXX"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", ["CurrencyIsoCode"]),
        ({"Name": "A", "ParentId": "nonsense"}, "MALFORMED_ID", ["ParentId"]),
        ({"Name": "A", "ParentId": ids.make("001", 999)}, "INVALID_CROSS_REFERENCE_KEY", []),
        ({"Name": "A", "CreatedDate": "2026-01-01T00:00:00Z"}, "INVALID_FIELD_FOR_INSERT_UPDATE", ["CreatedDate"]),
        ({"Name": "A", "Parent": {"Hub_Id__c": "nobody"}}, "INVALID_FIELD", []),
    ],
)
def test_bad_records_are_refused(http: httpx.Client, body: dict[str, Any], code: str, fields: Any) -> None:
    _account(http, "taken")
    answer = http.post("/sobjects/Account", json=body)
    assert _codes(answer) == (400, code)
    assert answer.json()[0].get("fields") == fields
    assert _names(http, "") == ["taken"]


def test_numbers_dates_and_derived_fields(http: httpx.Client) -> None:
    deal = {"Name": "D", "StageName": "Closed Won", "CloseDate": "2026-03-31", "Amount": "1200.005"}
    _account(http, "C-1")
    deal_id = http.post("/sobjects/Opportunity", json={**deal, "Account": {"Hub_Id__c": "C-1"}}).json()["id"]
    row = _query(http, "SELECT Amount, IsWon, IsClosed, Account.Hub_Id__c FROM Opportunity")["records"][0]
    assert (row["Amount"], row["IsWon"], row["IsClosed"]) == (1200.01, True, True)
    assert row["Account"]["Hub_Id__c"] == "C-1"
    for bad in ({"CloseDate": "31.03.2026"}, {"Amount": "lots"}, {"Amount": "NaN"}):
        assert _codes(http.patch(f"/sobjects/Opportunity/{deal_id}", json=bad)) == (400, "JSON_PARSER_ERROR")
    too_big = http.patch(f"/sobjects/Opportunity/{deal_id}", json={"Amount": 10**17})
    assert _codes(too_big) == (400, "NUMBER_OUTSIDE_VALID_RANGE")
    emptied = http.patch(f"/sobjects/Opportunity/{deal_id}", json={"CloseDate": None})
    assert _codes(emptied) == (400, "REQUIRED_FIELD_MISSING")


def test_a_contract_is_born_as_a_draft_and_activated(http: httpx.Client) -> None:
    account = _account(http, "C-1")
    body = {"AccountId": account, "StartDate": "2026-01-31", "ContractTerm": 13, "Contract_No__c": "K-1"}
    refused = http.post("/sobjects/Contract", json={**body, "Status": "Activated"})
    assert _codes(refused) == (400, "FAILED_ACTIVATION")
    contract = http.post("/sobjects/Contract", json=body).json()["id"]
    http.patch(f"/sobjects/Contract/{contract}", json={"Status": "Activated"})
    row = http.get("/sobjects/Contract/Contract_No__c/K-1").json()
    assert (row["Status"], row["EndDate"], row["ContractNumber"]) == ("Activated", "2027-02-27", "00000001")
    assert row["ActivatedDate"] == row["SystemModstamp"]
    assert http.patch(f"/sobjects/Contract/{contract}", json={"Status": "Draft"}).status_code == 400


def test_missing_and_deleted_records_and_unknown_addresses(http: httpx.Client, plain: server.Running) -> None:
    gone = _account(http, "C-1")
    assert http.delete(f"/sobjects/Account/{gone}").status_code == 204
    assert _codes(http.get(f"/sobjects/Account/{gone}")) == (404, "NOT_FOUND")
    assert _codes(http.patch(f"/sobjects/Account/{gone}", json={})) == (404, "ENTITY_IS_DELETED")
    assert _codes(http.get("/sobjects/Nothing__c/x")) == (404, "NOT_FOUND")
    assert _codes(http.get("/nowhere")) == (404, "NOT_FOUND")
    assert _codes(WIRE.get(f"{plain.url}/services/apexrest/none")) == (404, "NOT_FOUND")
    assert _codes(http.put("/query")) == (405, "METHOD_NOT_ALLOWED")
    assert _codes(http.post("/sobjects/Account", content=b"{")) == (400, "JSON_PARSER_ERROR")
    again = http.patch("/sobjects/Account/Hub_Id__c/C-1", json={"Name": "reborn"})
    assert again.status_code == 201 and again.json()["id"] != gone


def test_account_rows_honour_entity_tags(http: httpx.Client) -> None:
    path = f"/sobjects/Account/{_account(http, 'C-1')}"
    tag = http.get(path).headers["ETag"]
    assert http.get(path, headers={"If-None-Match": tag}).status_code == 304
    assert http.patch(path, json={"Name": "Two"}, headers={"If-Match": tag}).status_code == 204
    assert http.patch(path, json={"Name": "Three"}, headers={"If-Match": tag}).status_code == 412
    assert http.patch(path, json={"Name": "Three"}, headers={"If-Match": "junk"}).status_code == 400
    old = {"If-Unmodified-Since": "Mon, 02 Mar 2020 09:00:00 GMT"}
    assert http.patch(path, json={"Name": "Three"}, headers=old).status_code == 412
    assert http.get(path).json()["Name"] == "Two"


def test_describe_shows_the_schema_and_its_drift(http: httpx.Client, box: SalesforceSandbox) -> None:
    def field(name: str) -> dict[str, Any] | None:
        described = http.get("/sobjects/Contract/describe").json()["fields"]
        return next((f for f in described if f["name"] == name), None)

    number = field("Contract_No__c")
    assert number is not None
    assert (number["type"], number["length"], number["externalId"], number["unique"]) == ("string", 40, True, True)
    account = field("AccountId")
    assert account is not None and account["referenceTo"] == ["Account"] and account["nillable"] is False
    box.seed("_fields", {"object": "Contract", "name": "Region__c", "length": 10})
    region = field("Region__c")
    assert region is not None and region["length"] == 10
    contract = box.seed("Contract", {"AccountId": _account(http, "C-1"), "Region__c": "North"})
    assert http.get(f"/sobjects/Contract/{contract['Id']}").json()["Region__c"] == "North"
    box.seed("_fields", {"object": "Contract", "name": "PO_Number__c", "remove": True})
    assert field("PO_Number__c") is None
    assert "SBQQ__QuoteLine__c" in {o["name"] for o in http.get("/sobjects").json()["sobjects"]}


# -- queries -----------------------------------------------------------------------------------------------------
@pytest.fixture
def cities(box: SalesforceSandbox) -> None:
    rows = [("Bern", 1), ("O'Neil\\Co", None), ("50% Club", 3), ("berlin", 4)]
    for name, term in rows:
        account = box.seed("Account", {"Name": name, "BillingCity": name[:3], "Tax_Exempt__c": bool(term)})
        opened = {"AccountId": account["Id"], "StartDate": "2026-01-01", "ContractTerm": term}
        box.seed("Contract", {**opened, "Transaction_Price__c": (term or 0) * 1000.5, "PO_Number__c": name})


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("WHERE Name = 'BERN'", ["Bern"]),
        ("WHERE Name LIKE 'ber%' ORDER BY Name DESC", ["Bern", "berlin"]),
        (r"WHERE Name LIKE '50\% %'", ["50% Club"]),
        ("WHERE Name LIKE '_ern'", ["Bern"]),
        (r"WHERE Name = 'O\'Neil\\Co'", ["O'Neil\\Co"]),
        ("WHERE Name IN ('Bern', '50% Club')", ["Bern", "50% Club"]),
        ("WHERE Name NOT IN ('Bern') AND Tax_Exempt__c = TRUE", ["50% Club", "berlin"]),
        ("WHERE (Name = 'Bern' OR Name = 'berlin') AND NOT BillingCity = 'ber'", []),
        ("WHERE Tax_Exempt__c = false OR Name = 'Bern'", ["Bern", "O'Neil\\Co"]),
        ("WHERE Hub_Id__c = null AND Name != 'Bern' ORDER BY Name LIMIT 2", ["50% Club", "berlin"]),
        ("ORDER BY Name LIMIT 2 OFFSET 3", ["O'Neil\\Co"]),
        ("WHERE CreatedDate > 2099-01-01T00:00:00Z", []),
        ("WHERE CreatedDate >= 2020-01-01T01:00:00+01:00 AND Name < 'C' ORDER BY Name", ["50% Club", "berlin", "Bern"]),
    ],
)
def test_queries_select(http: httpx.Client, cities: None, where: str, names: list[str]) -> None:
    assert _names(http, where) == names


def test_queries_reach_parents_numbers_dates_and_nulls(http: httpx.Client, cities: None) -> None:
    text = "SELECT ContractTerm, Account.Name FROM Contract WHERE Account.Name = 'bern' AND EndDate = 2026-01-31"
    (row,) = _query(http, text)["records"]
    assert row["Account"]["Name"] == "Bern" and row["attributes"]["type"] == "Contract"
    rich = "SELECT PO_Number__c FROM Contract WHERE Transaction_Price__c >= 3001.5 AND Transaction_Price__c < 4000"
    assert [r["PO_Number__c"] for r in _query(http, rich)["records"]] == ["50% Club"]
    ordered = _query(http, "SELECT ContractTerm FROM Contract ORDER BY ContractTerm DESC NULLS LAST")["records"]
    assert [r["ContractTerm"] for r in ordered] == [4, 3, 1, None]
    nulls_first = _query(http, "SELECT ContractTerm FROM Contract ORDER BY ContractTerm")["records"]
    assert [r["ContractTerm"] for r in nulls_first] == [None, 1, 3, 4]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("SELEKT Id FROM Account", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE Name = 'open", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE Name = 'a' AND Name = 'b' OR Name = 'c'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account LIMIT many", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE CreatedDate > 2026-13-01T00:00:00Z", "MALFORMED_QUERY"),
        ("SELECT Shoe__c FROM Account", "INVALID_FIELD"),
        ("SELECT Id, Owner2.Name FROM Account", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE CloseDate = '2026-01-01'", "INVALID_FIELD"),
        ("SELECT Id FROM Nothing__c", "INVALID_TYPE"),
        ("SELECT Id FROM Account WHERE Id = 'x'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM Account OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE"),
    ],
)
def test_bad_queries_are_refused(http: httpx.Client, text: str, code: str) -> None:
    assert _codes(http.get("/query", params={"q": text})) == (400, code)


def test_paging_by_next_records_url(http: httpx.Client, box: SalesforceSandbox, plain: server.Running) -> None:
    for number in range(5):
        box.seed("Account", {"Name": f"A{number}"})
    box.page_size = 2
    seen: list[str] = []
    page = _query(http, "SELECT Name FROM Account ORDER BY Name")
    for _ in range(3):
        assert page["totalSize"] == 5
        seen += [r["Name"] for r in page["records"]]
        if page["done"]:
            break
        page = http.get(plain.url + page["nextRecordsUrl"]).json()
    assert seen == [f"A{n}" for n in range(5)] and page["done"] and "nextRecordsUrl" not in page
    assert _codes(http.get("/query/01gnonsense-2")) == (400, "INVALID_QUERY_LOCATOR")


def test_deleted_records_show_in_query_all_only(http: httpx.Client) -> None:
    gone = _account(http, "C-1")
    _account(http, "C-2")
    http.delete(f"/sobjects/Account/{gone}")
    assert _names(http, "") == ["C-2"]
    everything = _query(http, "SELECT Name, IsDeleted FROM Account ORDER BY Name", "queryAll")["records"]
    assert [(r["Name"], r["IsDeleted"]) for r in everything] == [("C-1", True), ("C-2", False)]


def test_watermark_polling_sees_every_write_once(http: httpx.Client, box: SalesforceSandbox) -> None:
    box._set_clock({"now": "2026-03-02T09:00:00Z"})
    account = _account(http, "C-1")
    _account(http, "C-2")

    def poll(since: str) -> list[tuple[str, str]]:
        where = f"WHERE SystemModstamp > {since} ORDER BY SystemModstamp, Id"
        rows = _query(http, f"SELECT Name, SystemModstamp FROM Account {where}")["records"]
        return [(r["Name"], r["SystemModstamp"]) for r in rows]

    first = poll("2026-03-01T00:00:00Z")
    assert [name for name, _ in first] == ["C-1", "C-2"]
    assert first[0][1] == "2026-03-02T09:00:00.000+0000"
    http.patch(f"/sobjects/Account/{account}", json={"BillingCity": "Bern"})
    second = poll(first[-1][1])
    assert [name for name, _ in second] == ["C-1"]
    assert poll(second[-1][1]) == []
    row = http.get(f"/sobjects/Account/{account}").json()
    assert row["CreatedDate"] == first[0][1] and row["LastModifiedDate"] == second[0][1]


# -- many at once ------------------------------------------------------------------------------------------------
def _batch(*rows: tuple[str, str | None], together: bool = False) -> dict[str, Any]:
    kind = {"attributes": {"type": "Account"}}
    return {"allOrNone": together, "records": [{**kind, "Hub_Id__c": key, "Name": name} for key, name in rows]}


def test_collection_upsert_for_each_alone_or_all_together(http: httpx.Client) -> None:
    path = "/composite/sobjects/Account/Hub_Id__c"
    _account(http, "C-1")
    mixed = http.patch(path, json=_batch(("C-1", "One"), ("C-2", "Two"), ("C-3", None))).json()
    assert [(r["success"], r.get("created")) for r in mixed] == [(True, False), (True, True), (False, None)]
    assert mixed[2]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    undone = http.patch(path, json=_batch(("C-1", "Changed"), ("C-4", "Four"), ("C-5", None), together=True)).json()
    codes = [r["errors"][0]["statusCode"] for r in undone]
    assert codes == ["ALL_OR_NONE_OPERATION_ROLLED_BACK"] * 2 + ["REQUIRED_FIELD_MISSING"]
    assert _names(http, "ORDER BY Name") == ["One", "Two"]
    assert _names(http, "WHERE Hub_Id__c = 'C-4'") == []
    twice = http.patch(path, json=_batch(("C-7", "a"), ("C-7", "b"))).json()
    assert [r["errors"][0]["statusCode"] for r in twice] == ["DUPLICATE_VALUE"] * 2
    many = http.patch(path, json=_batch(*((f"M-{n}", "m") for n in range(201))))
    assert many.status_code == 400 and _query(http, "SELECT COUNT() FROM Account")["totalSize"] == 2


def _part(name: str, method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"referenceId": name, "method": method, "url": f"{DATA}{url}", **({"body": body} if body else {})}


def test_composite_passes_results_on_and_halts(http: httpx.Client) -> None:
    parts = [
        _part("client", "PATCH", "/sobjects/Account/Hub_Id__c/C-1", {"Name": "One"}),
        _part("deal", "POST", "/sobjects/Contract", {"AccountId": "@{client.id}", "Contract_No__c": "K-1"}),
        _part("read", "GET", "/query/?q=SELECT+Id+FROM+Contract+WHERE+AccountId='@{client.id}'"),
        _part("bad", "POST", "/sobjects/Account", {"Industry": "Energy"}),
        _part("after", "GET", "/sobjects/Account/@{bad[0].errorCode}"),
        _part("deep", "GET", "/sobjects/Contract/@{read.records[0].Id}"),
    ]
    answer = http.post("/composite", json={"allOrNone": False, "compositeRequest": parts})
    results = answer.json()["compositeResponse"]
    assert answer.status_code == 200
    assert [r["httpStatusCode"] for r in results] == [201, 201, 200, 400, 400, 200]
    assert results[4]["body"][0]["errorCode"] == "PROCESSING_HALTED"
    assert results[5]["body"]["Contract_No__c"] == "K-1"


def test_composite_all_or_none_undoes_everything(http: httpx.Client, box: SalesforceSandbox) -> None:
    parts = [
        _part("one", "POST", "/sobjects/Account", {"Name": "One", "Hub_Id__c": "C-1"}),
        _part("bad", "POST", "/sobjects/Account", {"Industry": "Energy"}),
        _part("three", "POST", "/sobjects/Account", {"Name": "Three"}),
    ]
    results = http.post("/composite", json={"allOrNone": True, "compositeRequest": parts}).json()["compositeResponse"]
    codes = [r["body"][0]["errorCode"] for r in results]
    assert codes == ["PROCESSING_HALTED", "REQUIRED_FIELD_MISSING", "PROCESSING_HALTED"]
    assert _names(http, "") == [] and box.store.changes.latest == 0
    assert http.patch("/sobjects/Account/Hub_Id__c/C-1", json={"Name": "free"}).status_code == 201
    copies = [{**parts[0], "referenceId": f"p{n}"} for n in range(26)]
    assert http.post("/composite", json={"compositeRequest": copies}).status_code == 400


# -- limits, changes, faults -------------------------------------------------------------------------------------
def test_a_batch_of_calls_that_know_nothing_of_each_other(http: httpx.Client) -> None:
    made = {"method": "POST", "url": "v60.0/sobjects/Account", "richInput": {"Name": "A"}}
    asked = {"method": "GET", "url": f"{DATA}/query?q=SELECT+Name+FROM+Account"}
    wrong = {"method": "GET", "url": "v60.0/sobjects/Nothing"}
    told = http.post("/composite/batch", json={"batchRequests": [made, wrong, asked]}).json()
    assert told["hasErrors"] and [each["statusCode"] for each in told["results"]] == [201, 404, 200]
    assert [row["Name"] for row in told["results"][2]["result"]["records"]] == ["A"]
    halted = http.post("/composite/batch", json={"haltOnError": True, "batchRequests": [wrong, made]}).json()
    assert [each["statusCode"] for each in halted["results"]] == [404, 412]
    assert halted["results"][1]["result"][0]["errorCode"] == "BATCH_PROCESSING_HALTED"
    assert len(_names(http, "")) == 1


def test_the_daily_limit_is_shown_and_enforced(http: httpx.Client, box: SalesforceSandbox) -> None:
    box.daily_limit = 2
    assert http.get("/limits").headers["Sforce-Limit-Info"] == "api-usage=1/2"
    assert http.get("/limits").json()["DailyApiRequests"] == {"Max": 2, "Remaining": 0}
    assert _codes(http.get("/limits")) == (403, "REQUEST_LIMIT_EXCEEDED")


def _changes(plain: server.Running, since: int) -> httpx.Response:
    return WIRE.get(f"{plain.url}/_control/changes", params={"since": since})


def test_change_events_name_their_author(http: httpx.Client, box: SalesforceSandbox, plain: server.Running) -> None:
    deal = {"Name": "D", "StageName": "Prospecting", "CloseDate": "2026-03-01", "Engagement_No__c": "E-1"}
    seeded = box.seed("Opportunity", deal)["Id"]
    http.patch(f"/sobjects/Opportunity/{seeded}", json={"Engagement_No__c": None}, headers=FIRM_CLIENT)
    http.delete(f"/sobjects/Opportunity/{seeded}")
    events = _changes(plain, 0).json()["events"]
    headers = [e["ChangeEventHeader"] for e in events]
    assert [h["changeType"] for h in headers] == ["CREATE", "UPDATE", "DELETE"]
    assert [e["replayId"] for e in events] == [1, 2, 3]
    assert all(h["recordIds"] == [seeded] and h["entityName"] == "Opportunity" for h in headers)
    assert set(headers[1]["changedFields"]) == {"Engagement_No__c", "LastModifiedDate"}
    assert headers[1]["nulledFields"] == ["Engagement_No__c"]
    assert "client=hub" in headers[1]["changeOrigin"] and "client=hub" not in headers[0]["changeOrigin"]
    assert len({h["transactionKey"] for h in headers}) == 3
    assert [e["replayId"] for e in _changes(plain, 2).json()["events"]] == [3]


def test_change_events_are_kept_for_72_hours(http: httpx.Client, box: SalesforceSandbox, plain: server.Running) -> None:
    box._set_clock({"now": "2026-03-02T09:00:00Z"})
    box.seed("Account", {"Name": "Old"})
    box._set_clock({"now": "2026-03-05T08:59:00Z"})
    box.seed("Account", {"Name": "New"})
    assert len(_changes(plain, 0).json()["events"]) == 2
    box._set_clock({"now": "2026-03-05T09:01:00Z"})
    assert _changes(plain, 0).status_code == 400
    assert [e["payload"]["Name"] for e in _changes(plain, 1).json()["events"]] == ["New"]


def test_events_of_one_transaction_share_a_key(http: httpx.Client, plain: server.Running) -> None:
    http.patch("/composite/sobjects/Account/Hub_Id__c", json=_batch(("C-1", "a"), ("C-2", "b")))
    headers = [e["ChangeEventHeader"] for e in _changes(plain, 0).json()["events"]]
    assert [h["sequenceNumber"] for h in headers] == [1, 2]
    assert len({h["transactionKey"] for h in headers}) == 1


def test_a_lost_answer_leaves_one_record(http: httpx.Client, plain: server.Running) -> None:
    WIRE.post(f"{plain.url}/_control/faults", json={"kind": "timeout_after_commit", "method": "PATCH"})
    path = "/sobjects/Account/Hub_Id__c/C-1"
    assert http.patch(path, json={"Name": "One"}).status_code == 504
    assert http.patch(path, json={"Name": "One"}).status_code == 200
    assert _names(http, "") == ["One"]


def test_a_stale_read_hides_the_newest_record_from_queries(http: httpx.Client, plain: server.Running) -> None:
    _account(http, "C-1")
    newest = _account(http, "C-2")
    stale = {"kind": "stale_read", "path": "/query", "times": 2}
    WIRE.post(f"{plain.url}/_control/faults", json=stale)
    assert _names(http, "") == ["C-1"]
    assert _names(http, "WHERE Hub_Id__c = 'C-2'") == []
    assert _names(http, "WHERE Hub_Id__c = 'C-2'") == ["C-2"]
    assert http.get(f"/sobjects/Account/{newest}").status_code == 200


def test_outage_and_planned_status_answer_in_the_vendors_shape(http: httpx.Client, plain: server.Running) -> None:
    WIRE.post(f"{plain.url}/_control/outage", json={"on": True})
    assert _codes(http.get("/limits")) == (503, "SERVER_UNAVAILABLE")
    WIRE.post(f"{plain.url}/_control/outage", json={"on": False})
    assert http.get("/limits").status_code == 200


def test_seeding_keeps_what_is_given_and_edits_by_id(box: SalesforceSandbox, plain: server.Running) -> None:
    given = {"Id": ids.make("800", 5000), "CreatedDate": "2025-01-01T00:00:00Z", "ContractNumber": "X-1"}
    account = box.seed("Account", {"Name": "One", "Hub_Id__c": "C-1"})
    contract = {**given, "Account": {"Hub_Id__c": "C-1"}, "Status": "Activated", "EndDate": "2026-12-31"}
    body = {"Contract": [contract, {"Id": given["Id"], "PO_Number__c": "PO-7"}]}
    first, edited = WIRE.post(f"{plain.url}/_control/seed", json=body).json()["Contract"]
    assert first["CreatedDate"] == "2025-01-01T00:00:00.000+0000" and first["ContractNumber"] == "X-1"
    assert (first["AccountId"], first["EndDate"], first["Status"]) == (account["Id"], "2026-12-31", "Activated")
    assert edited["Id"] == first["Id"] and edited["PO_Number__c"] == "PO-7"
    assert edited["SystemModstamp"] > first["SystemModstamp"]


def test_a_quote_takes_its_lines_with_it(http: httpx.Client, box: SalesforceSandbox) -> None:
    quote = box.seed("SBQQ__Quote__c", {"SBQQ__NetAmount__c": 900})["Id"]
    line = {"SBQQ__Quote__c": quote, "SBQQ__Quantity__c": 3, "SBQQ__NetPrice__c": 300.335, "Line_Uid__c": "L-1"}
    made = http.post("/sobjects/SBQQ__QuoteLine__c", json=line)
    row = http.get(f"/sobjects/SBQQ__QuoteLine__c/{made.json()['id']}").json()
    assert (row["SBQQ__NetTotal__c"], row["Name"]) == (901.02, "QL-0000001")
    where = "FROM SBQQ__QuoteLine__c WHERE SBQQ__Quote__r.SBQQ__Status__c = 'Draft'"
    assert _query(http, f"SELECT COUNT() {where}")["totalSize"] == 1
    http.delete(f"/sobjects/SBQQ__Quote__c/{quote}")
    assert _query(http, "SELECT COUNT() FROM SBQQ__QuoteLine__c")["totalSize"] == 0


def test_equal_runs_give_equal_state(box: SalesforceSandbox, plain: server.Running) -> None:
    states = []
    for _ in range(2):
        WIRE.post(f"{plain.url}/_control/reset")
        WIRE.post(f"{plain.url}/_control/clock", json={"now": "2026-03-02T09:00:00Z"})
        for number, name in itertools.product(range(3), ("Account", "Product2")):
            box.seed(name, {"Name": f"N{number}"})
        states.append(WIRE.get(f"{plain.url}/_control/state").json())
    assert states[0] == states[1] and len(states[0]["Account"]) == 3
