"""The Dynamics 365 Finance sandbox, driven over HTTP by published clients (msal, python-odata) and plain requests."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import msal
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from odata import ODataService
from odata.exceptions import ODataError

from isthmus.sandbox.dynamics_finance import FinanceSandbox
from isthmus.sandbox.dynamics_finance.posting import CannotPost
from isthmus.sandbox.dynamics_finance.schema import ENTITIES
from isthmus.sandbox.server import Running, running
from tests.vendor_specs import specification

ENUM = "Microsoft.Dynamics.DataEntities."
POST = "/api/services/IsthmusServices/FreeTextInvoice/post"
CUSTOMER = {
    "dataAreaId": "usmf",
    "CustomerAccount": "C-1",
    "OrganizationName": "Meridian Bank",
    "CustomerGroupId": "30",
    "SalesCurrencyCode": "USD",
    "PaymentTerms": "NET30",
}
HEADER = {
    "dataAreaId": "usmf",
    "ExternalInvoiceId": "INV-1",
    "InvoiceId": "INV-1",
    "CustomerAccount": "C-1",
    "InvoiceDate": "2026-03-31T12:00:00Z",
}
LINE = {
    "dataAreaId": "usmf",
    "ExternalInvoiceId": "INV-1",
    "MainAccountDisplayValue": "401100",
    "Quantity": 3,
    "UnitPrice": 33.335,
    "TransactionCurrencyAmount": 100.01,
    "OverrideSalesTax": "Yes",
    "SalesTaxItemGroupId": "EXT",
    "SalesTaxAmount": 8.25,
}


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running("dynamics_finance") as boxes:
        yield boxes["dynamics_finance"]


@pytest.fixture
def box(served: Running) -> FinanceSandbox:
    made = served.sandbox
    assert isinstance(made, FinanceSandbox)
    made.reset()
    made.priority, made.pressure, made.posts = "Medium", 0, "at_once"
    made.login.lifetime_seconds, made.login.mapped = 3599, True
    made.books.manual = {"CustomerAccount": True, "InvoiceId": True}
    made.service.page_size, made.packages.pending_polls, made.packages.shows_after = 10_000, 0, 0
    made.packages.runs_after = 1000
    made.posting.keeps_marks = True
    return made


def token(served: Running, box: FinanceSandbox, **changed: str) -> httpx.Response:
    known = box.credentials()
    form = {
        "grant_type": "client_credentials",
        "client_id": known["client_id"],
        "client_secret": known["client_secret"],
        "scope": f"{served.url}/.default",
    }
    tenant = changed.pop("tenant", known["tenant"])
    sent = {name: value for name, value in (form | changed).items() if value}
    return httpx.post(f"{served.url}/{tenant}/oauth2/v2.0/token", data=sent)


@pytest.fixture
def http(served: Running, box: FinanceSandbox) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {token(served, box).json()['access_token']}"}
    with httpx.Client(base_url=served.url, headers=headers) as client:
        yield client


def make(http: httpx.Client, collection: str, body: dict[str, Any]) -> dict[str, Any]:
    answered = http.post(f"/data/{collection}", json=body)
    assert answered.status_code == 201, answered.text
    return answered.json()


def rows(http: httpx.Client, collection: str, **options: Any) -> list[dict[str, Any]]:
    asked = {f"${name}": value for name, value in options.items()} | {"cross-company": "true"}
    answered = http.get(f"/data/{collection}", params=asked)
    assert answered.status_code == 200, answered.text
    return answered.json()["value"]


def infolog(answered: httpx.Response) -> str:
    """The text of a validation that failed."""
    error = answered.json()["error"]
    assert (error["code"], error["message"]) == ("", "An error has occurred.")
    assert error["innererror"]["type"].endswith("OData.AxODataWriteException")
    text = error["innererror"]["message"]
    assert text.startswith("Write failed for table row of type '")
    return text.partition("Infolog: ")[2]


# -- sign-in: the published client for Entra ID -------------------------------------------------------------------


@pytest.fixture(scope="module")
def secured() -> Iterator[Running]:
    with running("dynamics_finance", tls=True) as boxes:
        one = boxes["dynamics_finance"]
        one.sandbox.base_url = one.url.replace("127.0.0.1", "localhost")
        yield one


def session(secured: Running) -> requests.Session:
    made = requests.Session()
    made.trust_env, made.verify = False, str(secured.ca_file)
    return made


def application(secured: Running, credential: Any) -> msal.ConfidentialClientApplication:
    known, host = secured.sandbox.credentials(), secured.sandbox.base_url
    authority = f"{host}/{known['tenant']}"
    return msal.ConfidentialClientApplication(
        known["client_id"], credential, authority, instance_discovery=False, http_client=session(secured)
    )


@pytest.mark.parametrize("way", ["secret", "certificate"])
def test_msal_signs_in_and_its_token_opens_the_service(secured: Running, way: str) -> None:
    known, host = secured.sandbox.credentials(), secured.sandbox.base_url
    thumbprint = x509.load_pem_x509_certificate(known["certificate"].encode()).fingerprint(hashes.SHA1()).hex()
    certificate = {"private_key": known["private_key"], "thumbprint": thumbprint}
    app = application(secured, known["client_secret"] if way == "secret" else certificate)
    given = app.acquire_token_for_client([f"{host}/.default"])
    assert given["expires_in"] == 3599, given
    http = session(secured)
    http.headers["Authorization"] = f"Bearer {given['access_token']}"
    assert http.get(f"{host}/data/Companies").json()["value"][0]["DataArea"] == "gbsi"
    assert session(secured).get(f"{host}/data/Companies").status_code == 401


def test_msal_tells_a_wrong_secret_and_a_wrong_resource(secured: Running) -> None:
    known, host = secured.sandbox.credentials(), secured.sandbox.base_url
    refused = application(secured, "wrong").acquire_token_for_client([f"{host}/.default"])
    assert (refused["error"], refused["error_codes"]) == ("invalid_client", [7000215])
    app = application(secured, known["client_secret"])
    assert app.acquire_token_for_client(["https://elsewhere/.default"])["error_codes"] == [500011]


def test_the_sign_in_host_names_what_is_wrong(served: Running, box: FinanceSandbox) -> None:
    wrongs = [
        ({"client_id": "another"}, 400, "unauthorized_client", 700016),
        ({"tenant": "another"}, 400, "invalid_request", 90002),
        ({"scope": "openid"}, 400, "invalid_scope", 1002012),
        ({"grant_type": ""}, 400, "invalid_request", 900144),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", 70003),
    ]
    for changed, status, error, number in wrongs:
        answered = token(served, box, **changed)
        body = answered.json()
        assert (answered.status_code, body["error"], body["error_codes"]) == (status, error, [number])
        assert body["error_description"].startswith(f"AADSTS{number}: ")


def test_a_token_ends_and_an_unknown_application_is_turned_away(http: httpx.Client, box: FinanceSandbox) -> None:
    assert http.get("/data/Companies").status_code == 200
    box.login.mapped = False
    answered = http.get("/data/Companies")
    assert answered.status_code == 401 and "authorization_uri" in answered.headers["www-authenticate"]
    box.login.mapped = True
    http.post("/_control/clock", json={"now": "2030-01-01T00:00:00Z"})
    assert http.get("/data/Companies").status_code == 401


def test_the_older_endpoint_takes_a_resource(served: Running, box: FinanceSandbox) -> None:
    known = box.credentials()
    form = {"grant_type": "client_credentials", "client_id": known["client_id"], "resource": served.url}
    form["client_secret"] = known["client_secret"]
    given = httpx.post(f"{served.url}/{known['tenant']}/oauth2/token", data=form).json()
    assert given["expires_in"] == "3599" and given["resource"] == served.url


# -- OData: a published client that reads $metadata ----------------------------------------------------------------


@pytest.fixture
def published(served: Running, box: FinanceSandbox) -> ODataService:
    http = requests.Session()
    http.trust_env = False
    http.headers["Authorization"] = f"Bearer {token(served, box).json()['access_token']}"
    return ODataService(f"{served.url}/data/", session=http, reflect_entities=True, quiet_progress=True)


def test_a_published_client_reads_the_metadata_and_writes_by_it(published: ODataService, box: FinanceSandbox) -> None:
    Customer = published.entities["CustomersV3"]
    new = Customer()
    for name, value in CUSTOMER.items():
        setattr(new, name, value)
    published.save(new)
    assert new.PartyNumber == "P-000000001" and new.LanguageId == ""
    new.NameAlias = "Meridian"
    published.save(new)
    [found] = (
        published.query(Customer).filter(Customer.CustomerAccount == "C-1").order_by(Customer.CustomerAccount.asc())
    )
    assert (found.OrganizationName, found.NameAlias) == ("Meridian Bank", "Meridian")
    assert published.query(Customer).get(dataAreaId="usmf", CustomerAccount="C-1").PaymentTerms == "NET30"
    published.delete(found)
    assert list(published.query(Customer)) == []


def test_the_published_client_is_told_the_infolog(published: ODataService) -> None:
    Customer = published.entities["CustomersV3"]
    astray = Customer()
    for name, value in (CUSTOMER | {"CustomerGroupId": "Local"}).items():
        setattr(astray, name, value)
    with pytest.raises(ODataError) as refused:
        published.save(astray)
    assert refused.value.status_code == "HTTP 400"
    assert "'Local' in field 'Customer group' is not found in the related table" in refused.value.detailed_message


def test_the_published_client_pages_by_next_link(published: ODataService, box: FinanceSandbox) -> None:
    for n in range(7):
        box.seed("CustomersV3", CUSTOMER | {"CustomerAccount": f"C-{n}"})
    box.service.page_size = 3
    Customer = published.entities["CustomersV3"]
    found = [each.CustomerAccount for each in published.query(Customer)]
    assert found == [f"C-{n}" for n in range(7)]
    paths = [(entry["path"], entry["status"]) for entry in box.log if entry["path"] == "/data/CustomersV3"]
    assert len(paths) == 3


def test_metadata_names_every_entity_with_its_key(http: httpx.Client) -> None:
    text = http.get("/data/$metadata").text
    for entity in ENTITIES:
        assert f'<EntitySet Name="{entity.entity_set}"' in text
    assert '<PropertyRef Name="InvoiceIdentifier" />' in text
    listed = http.get("/data").json()["value"]
    assert [row["name"] for row in listed] == [entity.entity_set for entity in ENTITIES]


# -- companies and keys --------------------------------------------------------------------------------------------


def test_only_the_default_company_answers_unless_all_are_asked(http: httpx.Client) -> None:
    make(http, "CustomersV3", CUSTOMER)
    make(http, "CustomersV3", CUSTOMER | {"dataAreaId": "GBSI"})
    alone = http.get("/data/CustomersV3").json()["value"]
    assert [row["dataAreaId"] for row in alone] == ["usmf"]
    assert [row["dataAreaId"] for row in rows(http, "CustomersV3")] == ["gbsi", "usmf"]
    assert [row["dataAreaId"] for row in rows(http, "CustomersV3", filter="dataAreaId eq 'gbsi'")] == ["gbsi"]
    path = "/data/CustomersV3(dataAreaId='gbsi',CustomerAccount='C-1')"
    assert http.get(path).status_code == 404
    assert http.get(path, params={"cross-company": "true"}).json()["dataAreaId"] == "gbsi"
    assert http.patch(path, json={"NameAlias": "x"}).json()["error"]["message"].startswith("No resources were found")
    assert http.patch(path, json={"NameAlias": "x"}, params={"cross-company": "true"}).status_code == 204


def test_a_key_names_every_field(http: httpx.Client) -> None:
    make(http, "CustomersV3", CUSTOMER)
    answered = http.get("/data/CustomersV3(CustomerAccount='C-1')")
    assert answered.status_code == 400
    assert "Only 1 of 2 keys provided for lookup" in answered.json()["error"]["innererror"]["message"]


def test_slash_and_plus_in_a_key_may_be_encoded_twice(http: httpx.Client) -> None:
    make(http, "CustomersV3", CUSTOMER | {"CustomerAccount": "C/1+2"})
    for written in ("C%2F1%2B2", "C%252F1%252B2"):
        found = http.get(f"/data/CustomersV3(dataAreaId='usmf',CustomerAccount='{written}')")
        assert found.json()["CustomerAccount"] == "C/1+2"


def test_a_key_is_taken_once_without_regard_to_case(http: httpx.Client) -> None:
    make(http, "CustomersV3", CUSTOMER)
    again = http.post("/data/CustomersV3", json=CUSTOMER | {"CustomerAccount": "c-1"})
    assert again.status_code == 400
    assert infolog(again).endswith(
        "Customer account: c-1.\nThe record already exists.."
    ) or "already exists" in infolog(again)
    assert len(rows(http, "CustomersV3")) == 1


def test_an_unknown_collection_and_an_unknown_field_are_told_apart(http: httpx.Client) -> None:
    assert "No HTTP resource was found" in http.get("/data/Customers").json()["Message"]
    wrong = http.post("/data/CustomersV3", json=CUSTOMER | {"Colour": "red"})
    assert "The property 'Colour' does not exist" in wrong.json()["error"]["innererror"]["message"]
    asked = http.get("/data/CustomersV3", params={"$filter": "Colour eq 'red'"})
    assert "Could not find a property named 'Colour'" in asked.json()["error"]["innererror"]["message"]


# -- versions ------------------------------------------------------------------------------------------------------


def test_a_stale_version_is_refused_and_changes_nothing(http: httpx.Client) -> None:
    make(http, "CustomersV3", CUSTOMER)
    path = "/data/CustomersV3(dataAreaId='usmf',CustomerAccount='C-1')"
    first = http.get(path).json()["@odata.etag"]
    assert first.startswith('W/"J')
    assert http.patch(path, json={"NameAlias": "one"}, headers={"If-Match": first}).status_code == 204
    stale = http.patch(path, json={"NameAlias": "two"}, headers={"If-Match": first})
    assert stale.status_code == 412
    assert "update conflict occurred" in stale.json()["error"]["innererror"]["message"]
    assert http.get(path).json()["NameAlias"] == "one"
    assert http.delete(path, headers={"If-Match": first}).status_code == 412
    assert http.delete(path, headers={"If-Match": "*"}).status_code == 204


# -- queries -------------------------------------------------------------------------------------------------------


def test_filters_order_and_shapes(http: httpx.Client) -> None:
    for n, name in enumerate(["Alpha", "beta", "Gamma"]):
        make(http, "CustomersV3", CUSTOMER | {"CustomerAccount": f"C-{n}", "OrganizationName": name, "CreditLimit": n})

    def found(text: str) -> list[str]:
        return [row["OrganizationName"] for row in rows(http, "CustomersV3", filter=text)]

    assert found("OrganizationName eq 'BETA'") == ["beta"]
    assert found("OrganizationName eq '*a' and not CreditLimit eq 0") == ["beta", "Gamma"]
    assert found("CreditLimit ge 1 and (CustomerAccount eq 'C-1' or CustomerAccount eq 'C-0')") == ["beta"]
    assert found(f"OnHoldStatus eq {ENUM}CustVendorBlocked'No' and CreditLimit lt 1") == ["Alpha"]
    ordered = rows(http, "CustomersV3", orderby="CreditLimit desc", select="OrganizationName", top=2)
    assert [set(row) - {"@odata.etag"} for row in ordered] == [{"OrganizationName"}] * 2
    assert [row["OrganizationName"] for row in ordered] == ["Gamma", "beta"]
    counted = http.get("/data/CustomersV3", params={"$count": "true", "$top": "1"}).json()
    assert counted["@odata.count"] == 3 and len(counted["value"]) == 1


@pytest.mark.parametrize(
    "text",
    [
        "CustomerAccount in ('C-1')",
        "contains(OrganizationName,'a')",
        "OnHoldStatus eq 'No'",
        "OnHoldStatus gt Microsoft.Dynamics.DataEntities.CustVendorBlocked'No'",
        "CreditLimit eq 'many'",
        "CustomerAccount eq",
        "(CustomerAccount eq 'C-1'",
    ],
)
def test_what_the_service_does_not_understand_is_a_400(http: httpx.Client, text: str) -> None:
    assert http.get("/data/CustomersV3", params={"$filter": text}).status_code == 400


def test_pages_do_not_drift_when_records_go(http: httpx.Client, box: FinanceSandbox) -> None:
    for n in range(6):
        make(http, "CustomersV3", CUSTOMER | {"CustomerAccount": f"C-{n}"})
    box.service.page_size = 2
    first = http.get("/data/CustomersV3", params={"$orderby": "CustomerAccount desc"}).json()
    assert [row["CustomerAccount"] for row in first["value"]] == ["C-5", "C-4"]
    http.delete("/data/CustomersV3(dataAreaId='usmf',CustomerAccount='C-5')")
    second = http.get(first["@odata.nextLink"]).json()
    assert [row["CustomerAccount"] for row in second["value"]] == ["C-3", "C-2"]
    assert "@odata.nextLink" not in http.get(second["@odata.nextLink"]).json()


# -- batches -------------------------------------------------------------------------------------------------------


def batch(http: httpx.Client, *parts: tuple[str, str, dict[str, Any] | None], change_set: bool = True) -> str:
    pieces = []
    for n, (method, path, body) in enumerate(parts, 1):
        head = f"Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: {n}\r\n\r\n"
        pieces.append(f"{head}{method} {path} HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{json.dumps(body)}\r\n")
    if change_set:
        inner = "".join(f"--cs\r\n{piece}" for piece in pieces) + "--cs--\r\n"
        pieces = [f"Content-Type: multipart/mixed; boundary=cs\r\n\r\n{inner}"]
    text = "".join(f"--b\r\n{piece}\r\n" for piece in pieces) + "--b--\r\n"
    answered = http.post("/data/$batch", content=text, headers={"Content-Type": "multipart/mixed; boundary=b"})
    assert answered.status_code == 200, answered.text
    return answered.text


def test_a_change_set_is_all_or_nothing(http: httpx.Client, served: Running) -> None:
    one, two = CUSTOMER, CUSTOMER | {"CustomerAccount": "C-2"}
    said = batch(http, ("POST", "CustomersV3", one), ("POST", f"{served.url}/data/CustomersV3", two))
    assert said.count("HTTP/1.1 201 Created") == 2
    three = CUSTOMER | {"CustomerAccount": "C-3"}
    said = batch(http, ("POST", "CustomersV3", three), ("POST", "CustomersV3", one))
    assert said.count("HTTP/1.1") == 1 and "HTTP/1.1 500 Internal Server Error" in said
    assert "The record already exists" in said and "AxODataWriteException" in said
    assert [row["CustomerAccount"] for row in rows(http, "CustomersV3")] == ["C-1", "C-2"]


def test_numbers_of_a_change_set_that_failed_are_not_given_again(http: httpx.Client) -> None:
    first = make(http, "CustomersV3", CUSTOMER)["PartyNumber"]
    batch(http, ("POST", "CustomersV3", CUSTOMER | {"CustomerAccount": "C-2"}), ("POST", "CustomersV3", CUSTOMER))
    third = make(http, "CustomersV3", CUSTOMER | {"CustomerAccount": "C-2"})["PartyNumber"]
    assert (first, third > "P-000000002") == ("P-000000001", True)


def test_requests_outside_a_change_set_stand_alone(http: httpx.Client) -> None:
    two = CUSTOMER | {"CustomerAccount": "C-2"}
    wrong = CUSTOMER | {"CustomerAccount": "C-3", "CustomerGroupId": "none"}
    said = batch(http, ("POST", "CustomersV3", wrong), ("POST", "CustomersV3", two), change_set=False)
    assert said.count("HTTP/1.1") == 2 and len(rows(http, "CustomersV3")) == 1


# -- invoices ------------------------------------------------------------------------------------------------------


def invoice(http: httpx.Client, **changed: Any) -> int:
    header = make(http, "FreeTextInvoiceHeaders", HEADER | changed)
    make(
        http,
        "FreeTextInvoiceLines",
        {k: v for k, v in LINE.items() if k != "ExternalInvoiceId"} | {"ParentRecId": header["InvoiceIdentifier"]},
    )
    return header["InvoiceIdentifier"]


def post(http: httpx.Client, record: int) -> httpx.Response:
    return http.post(POST, json={"dataAreaId": "usmf", "InvoiceIdentifier": record})


def test_the_same_invoice_sent_twice_is_two(http: httpx.Client) -> None:
    make(http, "CustomersV3", CUSTOMER)
    one, two = invoice(http), invoice(http)
    assert one != two and len(rows(http, "FreeTextInvoiceHeaders")) == 2
    assert post(http, one).text == '"Posted"'
    used = post(http, two)
    assert used.status_code == 500 and "Invoice number INV-1 has been used before" in used.json()["Message"]


def test_an_invoice_is_posted_once_into_a_customer_transaction(http: httpx.Client) -> None:
    make(http, "CustomersV3", CUSTOMER)
    record = invoice(http)
    assert rows(http, "FreeTextInvoiceHeaders")[0]["IsPosted"] == "No"
    assert [post(http, record).status_code for _ in range(2)] == [200, 200]
    [header] = rows(http, "FreeTextInvoiceHeaders", expand="CustFreeTextInvoiceHeader")
    assert (header["IsPosted"], header["InvoiceId"], len(header["CustFreeTextInvoiceHeader"])) == ("Yes", "INV-1", 1)
    [transaction] = rows(http, "CustomerTransactions")
    assert (transaction["AmountCur"], transaction["SettleAmountCur"]) == (108.26, 0)
    path = f"/data/FreeTextInvoiceHeaders(dataAreaId='usmf',InvoiceIdentifier={record})"
    assert "has already been posted" in infolog(http.patch(path, json={"InvoiceName": "x"}))
    assert "has already been posted" in infolog(
        http.post("/data/FreeTextInvoiceLines", json=LINE | {"ParentRecId": record})
    )


def test_a_number_sequence_that_is_not_manual_gives_its_own_number(http: httpx.Client, box: FinanceSandbox) -> None:
    make(http, "CustomersV3", CUSTOMER)
    box.books.manual["InvoiceId"] = False
    record = invoice(http)
    post(http, record)
    assert rows(http, "FreeTextInvoiceHeaders")[0]["InvoiceId"] == "FTI00000001"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda http, box: box.posting.closed.add("2026-03"), "is not open"),
        (lambda http, box: box.seed("CustomersV3", CUSTOMER | {"OnHoldStatus": "Invoice"}), "is on hold"),
    ],
)
def test_a_posting_that_fails_changes_nothing(http: httpx.Client, box: FinanceSandbox, spoil: Any, reason: str) -> None:
    make(http, "CustomersV3", CUSTOMER)
    record = invoice(http)
    spoil(http, box)
    answered = post(http, record)
    assert answered.status_code == 500 and reason in answered.json()["Message"]
    assert answered.json()["Message"].startswith("An exception occured when invoking the operation - ")
    assert rows(http, "CustomerTransactions") == []


def test_a_queued_posting_waits_for_the_batch_job(http: httpx.Client, box: FinanceSandbox) -> None:
    make(http, "CustomersV3", CUSTOMER)
    record = invoice(http)
    box.posts = "queued"
    assert post(http, record).text == '"Queued"'
    assert rows(http, "FreeTextInvoiceHeaders")[0]["IsPosted"] == "No"
    assert box.run_posting_job() == 1
    assert rows(http, "FreeTextInvoiceHeaders")[0]["IsPosted"] == "Yes"


def test_deleting_an_unposted_invoice_takes_its_lines_along(http: httpx.Client) -> None:
    make(http, "CustomersV3", CUSTOMER)
    record = invoice(http)
    http.delete(f"/data/FreeTextInvoiceHeaders(dataAreaId='usmf',InvoiceIdentifier={record})")
    assert rows(http, "FreeTextInvoiceHeaders") == rows(http, "FreeTextInvoiceLines") == []


def test_a_payment_settles_when_its_journal_is_posted(http: httpx.Client, box: FinanceSandbox) -> None:
    make(http, "CustomersV3", CUSTOMER)
    post(http, invoice(http))
    paid = {"dataAreaId": "usmf", "account": "C-1", "amount": 50.01, "currency": "USD", "date": "2026-04-20"}
    paid |= {"settles": [{"invoice": "INV-1", "amount": 50.01}], "posted": False}
    [line] = http.post("/_control/seed", json={"CustomerPayment": [paid]}).json()["CustomerPayment"]
    assert rows(http, "CustomerTransactions")[0]["SettleAmountCur"] == 0
    assert rows(http, "CustomerPaymentJournalHeaders")[0]["IsPosted"] == "No"
    box.posting.post_journal("usmf", line["JournalBatchNumber"])
    assert rows(http, "CustomerTransactions")[0]["SettleAmountCur"] == 50.01
    assert rows(http, "CustomerPaymentJournalLineSettledInvoices")[0]["InvoiceNumber"] == "INV-1"


# -- throttling ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("priority", "lets_through"), [("Low", 0), ("Medium", 1), ("High", 2)])
def test_lower_priorities_are_throttled_first(
    http: httpx.Client, box: FinanceSandbox, priority: str, lets_through: int
) -> None:
    box.priority = priority
    for pressure in range(4):
        box.pressure = pressure
        answered = http.get("/data/Companies")
        assert answered.status_code == (200 if pressure <= lets_through else 429)
    assert answered.headers["retry-after"] == "2"
    assert "high resource utilization" in answered.json()["error"]["message"]


# -- packages ------------------------------------------------------------------------------------------------------

DMF = "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities."
MANIFEST = "http://schemas.microsoft.com/dynamics/2015/01/DataManagement"


def act(http: httpx.Client, name: str, **asked: Any) -> Any:
    answered = http.post(DMF + name, json=asked)
    assert answered.status_code == 200, answered.text
    return answered.json()["value"]


def maps(columns: list[str]) -> str:
    fields = (f"<EntityField>{name}</EntityField><XMLField>{name}</XMLField>" for name in columns)
    return "".join(f"<EntityMap>{field}</EntityMap>" for field in fields)


def package(label: str, table: list[dict[str, str]], **changed: Any) -> bytes:
    """A package as Microsoft's sample has it. changed: files by the name without its ending; None leaves one out."""
    out, text = io.BytesIO(), io.StringIO()
    writer = csv.DictWriter(text, list(table[0]))
    writer.writeheader()
    writer.writerows(table)
    entry = f"<EntityName>{label}</EntityName><InputFilePath>Data.csv</InputFilePath><SourceFormat>CSV</SourceFormat>"
    entry += f"<EntityMapList>{maps(list(table[0]))}</EntityMapList>"
    kind = "Microsoft.Dynamics.AX.Framework.Tools.DataManagement.Serialization.DataManagementPackageManifest"
    files: dict[str, Any] = {
        "Manifest": f'<DataManagementPackageManifest xmlns="{MANIFEST}"><PackageEntityList>'
        f"<DataManagementPackageEntityData>{entry}</DataManagementPackageEntityData></PackageEntityList>"
        "</DataManagementPackageManifest>",
        "PackageHeader": f'<DataManagementPackageHeader xmlns="{MANIFEST}"><ManifestType>{kind}</ManifestType>'
        "<PackageType>DefinitionGroup</PackageType><PackageVersion>2</PackageVersion></DataManagementPackageHeader>",
        "Data": text.getvalue(),
    }
    with zipfile.ZipFile(out, "w") as made:
        for name, content in (files | changed).items():
            if content is not None:
                made.writestr(f"{name}.{'csv' if name == 'Data' else 'xml'}", content)
    return out.getvalue()


def upload(http: httpx.Client, content: bytes, name: str = "one.zip") -> str:
    url = json.loads(act(http, "GetAzureWriteUrl", uniqueFileName=name))["BlobUrl"]
    assert httpx.put(url, content=content, headers={"x-ms-blob-type": "BlockBlob"}).status_code == 201
    return url


def run(http: httpx.Client, url: str, execution: str) -> httpx.Response:
    asked = {"packageUrl": url, "definitionGroupId": "Customers", "executionId": execution, "execute": True}
    return http.post(DMF + "ImportFromPackage", json=asked | {"overwrite": True, "legalEntityId": "USMF"})


ROW = {"CUSTOMERACCOUNT": "C-1", "ORGANIZATIONNAME": "Meridian", "CUSTOMERGROUPID": "30", "SALESCURRENCYCODE": "USD"}


def test_a_package_is_imported_under_the_callers_execution_id(http: httpx.Client, box: FinanceSandbox) -> None:
    box.packages.pending_polls = 1
    bad = ROW | {"CUSTOMERACCOUNT": "C-2", "CUSTOMERGROUPID": "none"}
    url = upload(http, package("Customers V3", [ROW, bad]))
    assert run(http, url, "run-1").json()["value"] == "run-1"
    assert "(DMFDefinitionGroupEntity)" in run(http, url, "run-2").text, "one at a time"
    assert rows(http, "CustomersV3") == [], "it is taken in later"
    asked = [act(http, "GetExecutionSummaryStatus", executionId="run-1") for _ in range(2)]
    assert asked == ["Executing", "PartiallySucceeded"]
    box.pressure = 3  # packages are not throttled
    assert "already exists" in run(http, url, "run-1").text
    unknown = http.post(f"{DMF}GetExecutionSummaryStatus", json={"executionId": "never"})
    assert unknown.status_code == 500 and "were not found for execution id: never" in unknown.text
    [told] = json.loads(act(http, "GetExecutionErrors", executionId="run-1"))
    assert "C-2" in told["RecordId"]
    assert "Customer group" in told["ErrorMessage"]
    errors = {"executionId": "run-1", "entityName": "Customers V3"}
    assert act(http, "GetImportStagingErrorFileUrl", **errors) == ""
    assert act(http, "GetImportTargetErrorKeysFileUrl", **errors) == ""
    assert act(http, "GenerateImportTargetErrorKeysFile", **errors) is True
    assert act(http, "GetImportTargetErrorKeysFileUrl", **errors) == ""
    assert "C-2" in httpx.get(act(http, "GetImportTargetErrorKeysFileUrl", **errors)).text
    box.pressure = 0
    assert [row["CustomerAccount"] for row in rows(http, "CustomersV3")] == ["C-1"]


def test_a_malformed_package_is_taken_by_nobody(http: httpx.Client, box: FinanceSandbox) -> None:
    whole = "<DataManagementPackageManifest/>"
    for wrong, told in (
        (b"no zip", "not a valid zip file"),
        (package("Customers V3", [ROW], PackageHeader=None), "PackageHeader.xml was not found"),
        (package("Customers V3", [ROW], Manifest=whole), "DataManagementPackageManifest of"),
        (package("Customers V3", [ROW], Data=None), "Data.csv of entity Customers V3 was not found"),
        (package("Customers V3", [ROW], Data="CUSTOMERACCOUNT\nC-1\n"), "The mapping is incorrect"),
        (package("Customers V9", [ROW]), "Entity Customers V9 does not exist in the target environment"),
    ):
        refused = run(http, upload(http, wrong), "run-1")
        assert refused.status_code in (400, 500) and told in refused.text, told
    assert box.packages.jobs == {}
    url = upload(http, package("Customers V3", [ROW]))
    assert httpx.put(url, content=b"x").status_code == 400, "what kind of blob it is"
    assert httpx.put(url.replace("synthetic", "guessed"), headers={"x-ms-blob-type": "BlockBlob"}).status_code == 403
    token_too = {"x-ms-blob-type": "BlockBlob", "Authorization": "Bearer x"}
    assert httpx.put(url, headers=token_too).status_code == 403


def test_a_file_that_cannot_be_read_or_is_not_mapped_takes_nothing_in(http: httpx.Client, box: FinanceSandbox) -> None:
    plain = package("Customers V3", [ROW])
    with zipfile.ZipFile(io.BytesIO(plain)) as files:
        manifest = files.read("Manifest.xml").decode()
    unicode = package("Customers V3", [ROW], Manifest=manifest.replace(">CSV<", ">CSV-Unicode<"))
    run(http, upload(http, unicode), "run-1")
    assert act(http, "GetExecutionSummaryStatus", executionId="run-1") == "Failed"
    errors = {"executionId": "run-1", "entityName": "Customers V3"}
    assert "not Unicode" in httpx.get(act(http, "GetImportStagingErrorFileUrl", **errors)).text
    run(http, upload(http, package("Customers V3", [ROW], Manifest=manifest.replace(maps(list(ROW)), ""))), "run-2")
    assert act(http, "GetExecutionSummaryStatus", executionId="run-2") == "Succeeded", "without a word, as published"
    assert rows(http, "CustomersV3") == []


SIDE = {
    "JOURNALNAME": "GenJrn",
    "DESCRIPTION": "accruals",
    "ACCOUNTTYPE": "Ledger",
    "ACCOUNTDISPLAYVALUE": "401100",
    "TRANSDATE": "2026-03-31",
    "CURRENCYCODE": "USD",
}


def sides(journal: str, amount: str = "10.00", voucher: str = "1", first: int = 1) -> list[dict[str, str]]:
    common = SIDE | {"JOURNALBATCHNUMBER": journal, "VOUCHER": voucher}
    return [
        common | {"LINENUMBER": str(first), "DEBITAMOUNT": amount, "CREDITAMOUNT": "0.00"},
        common | {"LINENUMBER": str(first + 1), "DEBITAMOUNT": "0.00", "CREDITAMOUNT": amount},
    ]


def taken(http: httpx.Client, execution: str, table: list[dict[str, str]]) -> list[tuple[Any, ...]]:
    assert run(http, upload(http, package("General journal", table)), execution).status_code == 200
    assert act(http, "GetExecutionSummaryStatus", executionId=execution) in ("Succeeded", "PartiallySucceeded")
    lines = rows(http, "LedgerJournalLines")
    return [(row["JournalBatchNumber"], row["LineNumber"], row["DebitAmount"], row["CreditAmount"]) for row in lines]


def test_lines_of_a_package_go_into_the_journal_they_name(http: httpx.Client, box: FinanceSandbox) -> None:
    made = make(http, "LedgerJournalHeaders", {"JournalName": "GenJrn", "IntegrationKey": "ours"})["JournalBatchNumber"]
    assert taken(http, "e1", sides(made)) == [(made, 1, 10, 0), (made, 2, 0, 10)]
    assert taken(http, "e2", sides(made, "11.00")) == [(made, 1, 11, 0), (made, 2, 0, 11)], "changed, not added"
    other = f"GJ{int(made[2:]) + 1:06d}"
    assert taken(http, "e3", sides("PLACEHOLDER"))[2:] == [(other, 1, 10, 0), (other, 2, 0, 10)]
    box.posting.post_general("usmf", made)
    numbers = {row["Voucher"] for row in rows(http, "LedgerJournalLines") if row["JournalBatchNumber"] == made}
    assert numbers == {"GNJL00000001"}, "a temporary voucher is replaced when it is posted"
    third = f"GJ{int(made[2:]) + 2:06d}"
    assert (third, 1, 10, 0) in taken(http, "e4", sides(made)), "what is posted takes no more lines in"


def test_a_voucher_that_does_not_balance_is_not_posted(http: httpx.Client, box: FinanceSandbox) -> None:
    made = make(http, "LedgerJournalHeaders", {"JournalName": "GenJrn"})["JournalBatchNumber"]
    odd = [row | {"VOUCHER": str(place)} for place, row in enumerate(sides(made))]
    bad = sides(made, first=3)
    bad[0] = bad[0] | {"ACCOUNTDISPLAYVALUE": "999999"}
    lines = taken(http, "e1", [*odd, *bad, SIDE | {"LINENUMBER": "9"}])
    assert [line[1] for line in lines] == [1, 2, 4], "the others are taken in"
    errors = act(http, "GetExecutionErrors", executionId="e1")
    assert "999999" in errors and "'VOUCHER' must be filled in" in errors
    with pytest.raises(CannotPost, match="do not balance"):
        box.posting.post_general("usmf", made)


def test_an_execution_may_show_late_and_be_cancelled(http: httpx.Client, box: FinanceSandbox) -> None:
    box.packages.shows_after, box.packages.pending_polls = 1, 1
    url = upload(http, package("Customers V3", [ROW]))
    assert run(http, url, "run-1").status_code == 200
    assert http.post(f"{DMF}GetExecutionSummaryStatus", json={"executionId": "run-1"}).status_code == 500
    assert act(http, "GetExecutionSummaryStatus", executionId="run-1") == "Executing"
    box.packages.cancel("run-1")
    assert act(http, "GetExecutionSummaryStatus", executionId="run-1") == "Canceled"
    assert rows(http, "CustomersV3") == []


def test_an_export_holds_what_has_changed_since_the_last_one(http: httpx.Client) -> None:
    make(http, "DataManagementDefinitionGroups", {"Name": "Out", "Description": "Customers V3"})
    make(http, "CustomersV3", CUSTOMER)

    def exported(execution: str) -> list[str]:
        asked = {"definitionGroupId": "Out", "packageName": f"{execution}.zip", "executionId": execution}
        assert act(http, "ExportToPackage", **asked, reExecute=False, legalEntityId="usmf")["value"] == execution
        url = act(http, "GetExportedPackageUrl", executionId=execution)["value"]
        with zipfile.ZipFile(io.BytesIO(httpx.get(url).content)) as made:
            return [
                row["CUSTOMERACCOUNT"] for row in csv.DictReader(io.StringIO(made.read("Customers V3.csv").decode()))
            ]

    assert exported("e1") == ["C-1"]
    assert exported("e2") == []
    make(http, "CustomersV3", CUSTOMER | {"CustomerAccount": "C-2"})
    assert exported("e3") == ["C-2"]


# -- business events -----------------------------------------------------------------------------------------------


def test_a_posted_invoice_is_told_to_the_endpoint_three_times_more_at_most(
    http: httpx.Client, box: FinanceSandbox
) -> None:
    answers, taken = [500, 500, 500, 200], []

    def receiver(request: httpx.Request) -> httpx.Response:
        taken.append(json.loads(request.content))
        return httpx.Response(answers.pop(0) if answers else 500)

    box.events.push.client = httpx.Client(transport=httpx.MockTransport(receiver))
    box.events.push.held = True
    make(http, "CustomersV3", CUSTOMER)
    http.post(
        "/_control/seed", json={"BusinessEventEndpoint": [{"url": "https://hub.example/e", "legal_entity": "USMF"}]}
    )
    box.events.activate("https://hub.example/other", legal_entity="gbsi")
    post(http, invoice(http))
    post(http, invoice(http, ExternalInvoiceId="INV-2", InvoiceId="INV-2"))
    for _ in range(5):
        box.events.push.send()
    first = taken[0]
    assert (first["BusinessEventId"], first["BusinessEventLegalEntity"]) == (
        "CustFreeTextInvoicePostedBusinessEvent",
        "USMF",
    )
    assert first["EventTime"].startswith("/Date(") and first["InvoiceId"] == "INV-1"
    numbers = {event["InvoiceId"]: event["ControlNumber"] for event in taken}
    assert numbers["INV-2"] > numbers["INV-1"] + 1  # upwards, with gaps
    assert [notice.attempts for notice in box.events.push.lost] == [4]


# -- faults --------------------------------------------------------------------------------------------------------


def test_faults_answer_in_the_vendors_shape(http: httpx.Client) -> None:
    http.post("/_control/faults", json=[{"kind": "timeout_after_commit", "method": "POST", "path": "CustomersV3"}])
    lost = http.post("/data/CustomersV3", json=CUSTOMER)
    assert lost.status_code == 504 and lost.json()["error"]["message"] == "An error has occurred."
    assert len(rows(http, "CustomersV3")) == 1
    http.post("/_control/faults", json={"kind": "stale_read", "lag": 1})
    assert rows(http, "CustomersV3") == [] and len(rows(http, "CustomersV3")) == 1
    http.post("/_control/outage", json={"on": True})
    assert http.get("/data/Companies").status_code == 503
    http.post("/_control/outage", json={"on": False})
    post(http, invoice(http))
    [line] = http.get("/_control/state").json()["FreeTextInvoiceLines"]
    assert (line["UnitPrice"], line["Quantity"]) == (33.335, 3)


# -- against the Common Data Model -----------------------------------------------------------------------------------

# Fields of published $metadata that the stored model, which is older, does not have yet.
NEWER = {
    ("FreeTextInvoiceHeaderEntity", "OverrideSalesTax"),
    ("FreeTextInvoiceLineEntity", "OverrideSalesTax"),
    ("ProjProjectTaskEntity", "ProjectId"),
}


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.xpp)
def test_fields_are_those_of_the_common_data_model(entity: Any) -> None:
    path = specification("dynamics365fo", "cdm", f"{entity.xpp}.cdm.json")
    attributes = json.loads(path.read_text())["definitions"][0]["hasAttributes"]
    known = {attribute["name"] for attribute in attributes if "dataType" in attribute}
    unknown = set(entity.fields) - known
    assert {(entity.xpp, name) for name in unknown} <= NEWER
