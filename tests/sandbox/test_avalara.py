"""The AvaTax sandbox over loopback: the vendor's own published client drives it, raw HTTP checks the rest.

The client library is a foreign hand: it shares no code with this project, so a URL, a header or a body that only
this project understands would show here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from avalara import AvataxClient

from isthmus.sandbox.avalara.errors import CODES
from isthmus.sandbox.server import Running, running
from tests.vendor_specs import specification

NEW_YORK = {"line1": "1 Sample Plaza", "city": "New York", "region": "NY", "country": "US", "postalCode": "10004"}
TEXAS = {"line1": "1 Sample Road", "city": "Austin", "region": "TX", "country": "US", "postalCode": "78701"}
LONDON = {"line1": "1 Sample Street", "city": "London", "region": "", "country": "GB", "postalCode": "EC1A 1AA"}
CREATE = "/api/v2/transactions/create"
UPSERT = "/api/v2/transactions/createoradjust"
TRANSACTIONS = "/api/v2/companies/DEFAULT/transactions"


def invoice(code: str | None, *amounts: Any, place: dict[str, str] = NEW_YORK, **changes: Any) -> dict[str, Any]:
    """A CreateTransactionModel."""
    model: dict[str, Any] = {
        "type": "SalesInvoice",
        "companyCode": "DEFAULT",
        "date": "2026-03-01",
        "customerCode": "ACME",
        "addresses": {"singleLocation": place},
        "lines": [{"number": str(i), "amount": a, "taxCode": "P0000000"} for i, a in enumerate(amounts, 1)],
    }
    return model | ({"code": code} if code else {}) | changes


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running("avalara") as served:
        yield served["avalara"]


@pytest.fixture
def box(server: Running) -> Iterator[Running]:
    server.sandbox.reset()
    httpx.post(f"{server.url}/_control/clock", json={"now": "2026-03-02T09:00:00Z"})
    yield server
    server.sandbox.max_requests = None  # type: ignore[attr-defined]
    server.sandbox.honours_nexus = False  # type: ignore[attr-defined]


@pytest.fixture
def http(box: Running) -> Iterator[httpx.Client]:
    given = box.sandbox.credentials()
    with httpx.Client(base_url=box.url, auth=(given["accountId"], given["licenseKey"])) as client:
        yield client


@pytest.fixture
def sdk(box: Running) -> AvataxClient:
    given = box.sandbox.credentials()
    client = AvataxClient("isthmus-test", "1", "loopback", box.url)
    return client.add_credentials(given["accountId"], given["licenseKey"])


def exact(response: httpx.Response) -> dict[str, Any]:
    """The body with every number as the digits that were sent."""
    body: dict[str, Any] = json.loads(response.content, parse_float=Decimal)
    return body


def refused(response: Any, status: int, code: str, number: int) -> dict[str, Any]:
    """Checks an ErrorResult and returns its first detail."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    detail: dict[str, Any] = error["details"][0]
    assert (error["code"], detail["code"], detail["number"]) == (code, code, number)
    assert {"message", "target", "details"} <= error.keys()
    assert {"message", "description", "faultCode", "severity", "helpLink"} <= detail.keys()
    assert response.headers["x-correlation-id"]
    return detail


def put(http: httpx.Client, model: dict[str, Any]) -> dict[str, Any]:
    response = http.post(CREATE, json=model)
    assert response.status_code == 201, response.text
    return exact(response)


def act(http: httpx.Client, code: str, name: str, body: Any = None, **query: str) -> httpx.Response:
    return http.post(f"{TRANSACTIONS}/{code}/{name}", json=body, params=query)


def fault(http: httpx.Client, **planned: Any) -> None:
    http.post("/_control/faults", json=planned).raise_for_status()


# -- the published client ------------------------------------------------------------------------------------------


def test_sdk_pings_with_and_without_credentials(box: Running, sdk: AvataxClient) -> None:
    known = sdk.ping().json()
    stranger = AvataxClient("isthmus-test", "1", "loopback", box.url).add_credentials("nobody", "wrong").ping()
    assert (known["authenticated"], known["authenticationType"]) == (True, "AccountIdLicenseKey")
    assert stranger.status_code == 200
    assert stranger.json()["authenticated"] is False


def test_sdk_carries_an_invoice_through_its_life(sdk: AvataxClient) -> None:
    created = sdk.create_transaction(invoice("INV-1", 100, 50.10), {"$include": "Lines"})
    assert (created.status_code, created.json()["status"]) == (201, "Saved")
    verified = sdk.verify_transaction("DEFAULT", "INV-1", {"verifyTotalAmount": 150.10, "verifyTotalTax": 13.33})
    assert verified.json()["status"] == "Posted"
    assert sdk.commit_transaction("DEFAULT", "INV-1", {"commit": True}).json()["status"] == "Committed"
    read = sdk.get_transaction_by_code("DEFAULT", "INV-1").json()
    assert (read["status"], read["totalTax"], read["id"]) == ("Committed", 13.33, created.json()["id"])
    assert sdk.void_transaction("DEFAULT", "INV-1", {"code": "DocVoided"}).json()["status"] == "Cancelled"
    again = sdk.void_transaction("DEFAULT", "INV-1", {"code": "DocVoided"})
    refused(again, 400, "TransactionAlreadyCancelled", 198)
    assert sdk.unvoid_transaction("DEFAULT", "INV-1").json()["status"] == "Saved"


def test_sdk_creates_then_adjusts_with_one_call(sdk: AvataxClient) -> None:
    first = sdk.create_or_adjust_transaction({"createTransactionModel": invoice("INV-2", 100, commit=True)})
    second = sdk.create_or_adjust_transaction({"createTransactionModel": invoice("INV-2", 200, commit=True)})
    assert (first.status_code, first.json()["version"]) == (201, 1)
    assert (second.status_code, second.json()["version"], second.json()["totalTax"]) == (200, 2, 17.75)
    listed = sdk.list_transactions_by_company("DEFAULT", {"$filter": "code eq 'INV-2'"}).json()
    assert [(r["version"], r["status"]) for r in listed["value"]] == [(2, "Committed")]


def test_sdk_lists_companies_nexus_and_resolves(sdk: AvataxClient) -> None:
    company = sdk.query_companies().json()["value"][0]
    nexus = sdk.list_nexus_by_company(company["id"], {"$filter": "country eq 'US'"}).json()
    assert company["companyCode"] == "DEFAULT"
    assert {n["region"] for n in nexus["value"]} == {"US", "NY", "CA", "TX"}
    found = sdk.resolve_address_post({"line1": "1 sample plaza", "region": "NY", "postalCode": "10004"}).json()
    assert found["validatedAddresses"][0]["line1"] == "1 SAMPLE PLAZA"
    assert len(found["taxAuthorities"]) == 3


# -- logging in ----------------------------------------------------------------------------------------------------


def test_every_documented_login_works(box: Running) -> None:
    given = box.sandbox.credentials()
    url = f"{box.url}/api/v2/companies"
    bearer = {"Authorization": f"Bearer {given['bearerToken']}"}
    assert httpx.get(url, auth=(given["accountId"], given["licenseKey"])).status_code == 200
    assert httpx.get(url, auth=(given["username"], given["password"])).status_code == 200
    assert httpx.get(url, headers=bearer).status_code == 200


@pytest.mark.parametrize(
    ("headers", "code", "number"),
    [
        ({}, "AuthenticationIncomplete", 34),
        ({"Authorization": "Basic !!"}, "BasicAuthIncorrect", 35),
        ({"Authorization": "Basic bm9ib2R5Ondyb25n"}, "AuthenticationException", 30),
        ({"Authorization": "Basic MjAwMDEyMzQ1Njp3cm9uZw=="}, "AuthenticationException", 30),  # own account, wrong key
        ({"Authorization": "Bearer wrong"}, "BearerTokenInvalid", 37),
    ],
)
def test_a_stranger_gets_401_and_changes_nothing(box: Running, headers: dict[str, str], code: str, number: int) -> None:
    response = httpx.post(f"{box.url}{CREATE}", json=invoice("INV-1", 100), headers=headers)
    refused(response, 401, code, number)
    assert box.sandbox.records.count("transactions") == 0


# -- tax -----------------------------------------------------------------------------------------------------------


def test_new_york_is_three_jurisdictions_that_add_up(http: httpx.Client) -> None:
    made = put(http, invoice("INV-1", 100, 0.01, 33.33))
    assert [line["tax"] for line in made["lines"]] == [Decimal("8.88"), 0, Decimal("2.96")]
    assert (made["totalTax"], made["totalAmount"]) == (Decimal("11.84"), Decimal("133.34"))
    assert {s["jurisType"]: s["rate"] for s in made["summary"]} == {
        "State": Decimal("0.04"),
        "City": Decimal("0.045"),
        "Special": Decimal("0.00375"),
    }
    assert sum(s["tax"] for s in made["summary"]) == made["totalTax"]
    for line in made["lines"]:
        assert sum(d["tax"] for d in line["details"]) == line["tax"]


@pytest.mark.parametrize(
    ("place", "currency", "amount", "tax"),
    [
        (NEW_YORK, "USD", 1000, "88.75"),
        (TEXAS, "USD", 0.4, "0.03"),  # 0.025: half goes up
        (TEXAS, "USD", -0.4, "-0.03"),  # and a credit mirrors it
        (LONDON, "GBP", 99.99, "20.00"),
        ({"country": "United Kingdom", "city": "London"}, "GBP", 10, "2.00"),
        ({"postalCode": "98101"}, "USD", 10, "0"),
        ({"country": "JP"}, "JPY", 1005, "101"),
    ],
)
def test_tax_is_rounded_half_up_to_the_minor_unit(
    http: httpx.Client, place: dict[str, str], currency: str, amount: float, tax: str
) -> None:
    assert put(http, invoice("INV-1", amount, place=place, currencyCode=currency))["totalTax"] == Decimal(tax)


def test_money_has_no_float_artefacts(http: httpx.Client) -> None:
    response = http.post(CREATE, json=invoice("INV-1", *[0.1] * 3, 1234567890.12))
    sent = re.findall(r"-?\d+\.\d+", response.text)
    assert exact(response)["totalAmount"] == Decimal("1234567890.42")
    assert max(len(n.split(".")[1]) for n in sent) <= 5  # the longest is the rate 0.00375


def test_exempt_and_non_taxable_lines_carry_no_tax(http: httpx.Client) -> None:
    model = invoice("INV-1", 100, 50, 25)
    model["lines"][1]["taxCode"] = "NT"
    model["lines"][2]["entityUseCode"] = "A"
    made = put(http, model)
    assert [line["tax"] for line in made["lines"]] == [Decimal("8.88"), 0, 0]
    assert [line["isItemTaxable"] for line in made["lines"]] == [True, False, True]
    assert (made["totalExempt"], made["totalTaxable"]) == (75, 100)
    assert (made["summary"][0]["nonTaxable"], made["summary"][0]["exemption"]) == (50, 25)
    assert put(http, invoice("INV-2", 100, exemptionNo="EX-1"))["totalTax"] == 0


def test_tax_included_amounts_hold_their_own_tax(http: httpx.Client) -> None:
    model = invoice("INV-1", 108.88)
    model["lines"][0]["taxIncluded"] = True
    made = put(http, model)
    assert (made["totalAmount"], made["totalTax"]) == (Decimal("100.00"), Decimal("8.88"))


def test_discount_is_spread_over_the_marked_lines(http: httpx.Client) -> None:
    model = invoice("INV-1", 100, 50, 50, discount=10)
    refused(http.post(CREATE, json=model), 400, "NoLinesDiscounted", 190)
    model["lines"][0]["discounted"] = model["lines"][1]["discounted"] = True
    made = put(http, model)
    assert [line["discountAmount"] for line in made["lines"]] == [Decimal("6.67"), Decimal("3.33"), 0]
    assert (made["totalDiscount"], made["totalTaxable"]) == (10, 190)


def test_seeded_rate_by_tax_code_and_tax_date_of_a_credit(http: httpx.Client) -> None:
    rows = [
        {"country": "US", "region": "TX", "rate": 0.05, "taxCode": "SP140000", "endDate": "2026-01-31"},
        {"country": "US", "region": "TX", "rate": 0.06, "taxCode": "SP140000", "effectiveDate": "2026-02-01"},
    ]
    http.post("/_control/seed", json={"tax_rates": rows}).raise_for_status()
    credit = invoice("CM-1", -100, place=TEXAS, type="ReturnInvoice")
    credit["lines"][0]["taxCode"] = "SP140000"
    assert put(http, credit)["totalTax"] == -6
    credit["taxOverride"] = {"type": "TaxDate", "taxDate": "2026-01-15", "reason": "Return"}
    made = put(http, credit)
    assert (made["totalTax"], made["taxDate"], made["taxOverrideType"]) == (-5, "2026-01-15", "TaxDate")


def test_tax_amount_override_is_answered_to_the_cent(http: httpx.Client) -> None:
    override = {"type": "TaxAmount", "taxAmount": 10.03, "reason": "Migration"}
    made = put(http, invoice("INV-1", 100, 50, 50, taxOverride=override))
    assert made["totalTax"] == sum(line["tax"] for line in made["lines"]) == Decimal("10.03")
    assert made["totalTaxCalculated"] == Decimal("17.76")
    assert sum(s["tax"] for s in made["summary"]) == Decimal("10.03")


def test_nexus_decides_when_asked_to(box: Running, http: httpx.Client) -> None:
    florida = {"region": "FL", "country": "US"}
    assert put(http, invoice("INV-1", 100, place=florida))["totalTax"] == 6
    box.sandbox.honours_nexus = True  # type: ignore[attr-defined]
    assert put(http, invoice("INV-2", 100, place=florida))["totalTax"] == 0
    http.post("/_control/seed", json={"nexus": [{"country": "US", "region": "FL"}]}).raise_for_status()
    assert put(http, invoice("INV-3", 100, place=florida))["totalTax"] == 6
    assert put(http, invoice("INV-4", 100, place=LONDON))["totalTax"] == 20


# -- uniqueness and status -----------------------------------------------------------------------------------------


def test_an_order_is_an_estimate_and_not_recorded(box: Running, http: httpx.Client) -> None:
    made = put(http, invoice("EST-1", 100, type="SalesOrder", commit=True))
    assert (made["id"], made["status"], made["totalTax"]) == (0, "Temporary", Decimal("8.88"))
    assert box.sandbox.records.count("transactions") == 0
    refused(http.get(f"{TRANSACTIONS}/EST-1"), 404, "EntityNotFoundError", 4)
    untyped = invoice("EST-2", 100)
    del untyped["type"]
    assert put(http, untyped)["type"] == "SalesOrder"


def test_create_replaces_an_open_document_and_refuses_a_final_one(box: Running, http: httpx.Client) -> None:
    first = put(http, invoice("INV-1", 100))
    second = put(http, invoice("INV-1", 200, commit=True))
    assert (second["id"], second["totalAmount"]) == (first["id"], 200)
    detail = refused(http.post(CREATE, json=invoice("INV-1", 300)), 400, "GetTaxError", 300)
    assert (detail["refersTo"], detail["description"]) == ("DocStatus", "Expected Saved|Posted")
    act(http, "INV-1", "void", {"code": "DocVoided"})
    refused(http.post(CREATE, json=invoice("INV-1", 300)), 400, "GetTaxError", 300)
    assert box.sandbox.records.count("transactions") == 1


def test_code_is_unique_per_type_and_company(box: Running, http: httpx.Client) -> None:
    http.post("/_control/seed", json={"companies": [{"companyCode": "UK"}]}).raise_for_status()
    put(http, invoice("X-1", 100))
    put(http, invoice("X-1", -40, type="ReturnInvoice"))
    put(http, invoice("X-1", 70, companyCode="UK"))
    assert box.sandbox.records.count("transactions") == 3
    assert http.get(f"{TRANSACTIONS}/X-1").json()["totalAmount"] == 100
    assert http.get(f"{TRANSACTIONS}/X-1", params={"documentType": "ReturnInvoice"}).json()["totalAmount"] == -40
    assert http.get(f"{TRANSACTIONS}/X-1/types/ReturnInvoice").json()["totalAmount"] == -40
    assert http.get("/api/v2/companies/UK/transactions/X-1").json()["totalAmount"] == 70


def test_adjust_keeps_the_old_revision(http: httpx.Client) -> None:
    old = put(http, invoice("INV-1", 100, commit=True))
    new = {"adjustmentReason": "PriceAdjusted", "newTransaction": invoice("INV-1", 90, commit=True)}
    made = exact(act(http, "INV-1", "adjust", new))
    assert (made["version"], made["adjustmentReason"], made["status"]) == (2, "PriceAdjusted", "Committed")
    history = http.get("/_control/state").json()["transaction_history"]
    assert [(r["id"], r["status"], r["totalAmount"]) for r in history] == [(old["id"], "Adjusted", 100)]
    refused(act(http, "INV-1", "adjust", {"newTransaction": {}}), 400, "ValueRequiredError", 5)
    put(http, invoice("INV-2", 10))
    assert refused(act(http, "INV-2", "adjust", new), 400, "GetTaxError", 300)["description"] == "Expected Committed"


def test_refusals_of_the_status_machine(http: httpx.Client) -> None:
    put(http, invoice("INV-1", 100, commit=True))
    refused(act(http, "INV-1", "commit", {"commit": True}), 400, "GetTaxError", 300)
    refused(act(http, "INV-1", "verify", {}), 400, "InvalidDocumentStatusForVerify", 1306)
    refused(act(http, "INV-1", "unvoid"), 400, "TransactionNotCancelled", 1300)
    refused(act(http, "INV-1", "changecode", {"newCode": "INV-9"}), 400, "TransactionIsCommitted", 1313)
    refused(act(http, "INV-1", "void", {"code": "Nonsense"}), 400, "ValidationException", 32)
    assert act(http, "INV-1", "uncommit").json()["status"] == "Saved"
    refused(act(http, "INV-1", "uncommit"), 400, "DocumentNotCommitted", 313)
    refused(act(http, "INV-1", "lock", {"isLocked": True}), 400, "DocumentNotCommitted", 313)
    act(http, "INV-1", "void", {"code": "DocVoided"})
    refused(act(http, "INV-1", "commit", {"commit": True}), 400, "GetTaxError", 300)


def test_a_locked_document_stands(http: httpx.Client) -> None:
    put(http, invoice("INV-1", 100, commit=True))
    assert act(http, "INV-1", "lock", {"isLocked": True}).json()["locked"] is True
    change = {"adjustmentReason": "PriceAdjusted", "newTransaction": invoice("INV-1", 90)}
    for name, body in (("void", {"code": "DocVoided"}), ("uncommit", None), ("adjust", change)):
        refused(act(http, "INV-1", name, body), 400, "CannotModifyLockedTransaction", 1100)
    again = {"createTransactionModel": invoice("INV-1", 90)}
    refused(http.post(UPSERT, json=again), 400, "CannotModifyLockedTransaction", 1100)
    refused(http.post(CREATE, json=invoice("INV-1", 90)), 400, "CannotModifyLockedTransaction", 1100)
    assert http.get(f"{TRANSACTIONS}/INV-1").json()["totalAmount"] == 100


def test_settle_does_all_or_nothing(box: Running, http: httpx.Client) -> None:
    put(http, invoice("INV-1", 100))
    put(http, invoice("INV-3", 5))
    wrong = {"verify": {"verifyTotalTax": 1}, "commit": {"commit": True}}
    refused(act(http, "INV-1", "settle", wrong), 400, "TotalTaxMismatch", 1308)
    wrong = {"verify": {"verifyTotalAmount": 1}}
    refused(act(http, "INV-1", "settle", wrong), 400, "TotalAmountMismatch", 1307)
    refused(act(http, "INV-1", "verify", {"verifyTransactionDate": "2026-01-01"}), 400, "DateMismatch", 1305)
    refused(act(http, "INV-1", "changecode", {"newCode": "INV-3"}), 400, "TransactionAlreadyExists", 1303)
    broken = {"changeCode": {"newCode": "INV-2"}, "commit": {"commit": False}}
    refused(act(http, "INV-1", "settle", broken), 400, "ValidationException", 32)
    assert http.get(f"{TRANSACTIONS}/INV-1").json()["status"] == "Saved"
    refused(http.get(f"{TRANSACTIONS}/INV-2"), 404, "EntityNotFoundError", 4)
    good = {"changeCode": {"newCode": "INV-2"}, "verify": {"verifyTotalTax": 8.88}, "commit": {"commit": True}}
    assert act(http, "INV-1", "settle", good).json()["status"] == "Committed"
    refused(http.get(f"{TRANSACTIONS}/INV-1"), 404, "EntityNotFoundError", 4)
    assert http.get(f"{TRANSACTIONS}/INV-2").json()["status"] == "Committed"
    assert box.sandbox.records.count("transactions") == 2


def test_refunds_mirror_the_sale(http: httpx.Client) -> None:
    put(http, invoice("INV-1", 100, 33.33))
    ask = {"refundDate": "2026-03-02", "refundTransactionCode": "CM-1"}
    refused(act(http, "INV-1", "refund", ask), 400, "InvalidDocumentStatusForRefund", 700)
    act(http, "INV-1", "commit", {"commit": True})
    # The rate has moved since: the refund still returns the tax that was charged.
    http.post("/_control/seed", json={"tax_rates": [{"country": "US", "region": "NY", "rate": 0.5}]})
    full = exact(act(http, "INV-1", "refund", ask))
    assert (full["type"], full["status"], full["referenceCode"]) == ("ReturnInvoice", "Committed", "INV-1")
    assert (full["totalAmount"], full["totalTax"]) == (Decimal("-133.33"), Decimal("-11.84"))

    def refund(**more: Any) -> httpx.Response:
        return act(http, "INV-1", "refund", {"refundDate": "2026-03-02", **more})

    assert exact(refund(refundType="Partial", refundLines=["2"]))["totalTax"] == Decimal("-2.96")
    assert exact(refund(refundType="Percentage", refundPercentage=50))["totalAmount"] == Decimal("-66.67")
    tax_only = exact(refund(refundType="TaxOnly"))
    assert (tax_only["totalAmount"], tax_only["totalTax"]) == (0, Decimal("-11.84"))
    refused(refund(refundType="Partial"), 400, "RefundLinesRequired", 704)
    refused(refund(refundType="Partial", refundLines=["9"]), 400, "LineNoOutOfRange", 707)
    refused(refund(refundType="Percentage"), 400, "RefundPercentageMissing", 709)


# -- what is asked for ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code", "number", "field"),
    [
        ({"customerCode": ""}, "ValueRequiredError", 5, "customerCode"),
        ({"date": None}, "ValueRequiredError", 5, "date"),
        ({"date": "yesterday"}, "ValidationException", 32, "date"),
        ({"type": "Nonsense"}, "ValidationException", 32, "type"),
        ({"lines": []}, "MissingLine", 311, "lines"),
        ({"lines": [{"amount": "ten"}]}, "ValidationException", 32, "lines[0].amount"),
        ({"lines": [{"amount": 0.1234567890123456}]}, "InvalidDecimalValue", 48, "lines[0].amount"),
        ({"code": "X" * 51}, "StringLengthError", 13, "code"),
        ({"addresses": None}, "GetTaxError", 300, "Addresses[0]"),
        ({"addresses": {"shipTo": {"line1": "1 Sample Plaza"}}}, "GetTaxError", 300, "Addresses[0]"),
        ({"companyCode": "NOBODY"}, "GetTaxError", 300, "CompanyCode"),
        ({"taxOverride": {"type": "TaxDate", "reason": "r"}}, "ValueRequiredError", 5, "taxOverride.taxDate"),
    ],
)
def test_a_bad_request_names_the_field_and_records_nothing(
    box: Running, http: httpx.Client, changes: dict[str, Any], code: str, number: int, field: str
) -> None:
    detail = refused(http.post(CREATE, json=invoice("INV-1", 100) | changes), 400, code, number)
    assert detail["refersTo"] == field
    assert box.sandbox.records.count("transactions") == 0


def test_a_body_that_is_not_json_is_refused(http: httpx.Client) -> None:
    refused(http.post(CREATE, content=b"{"), 400, "ValidationException", 32)
    refused(http.post(CREATE, content=b"[]"), 400, "ValidationException", 32)


def test_unknown_urls_and_objects_get_the_vendors_404(http: httpx.Client) -> None:
    refused(http.get("/api/v2/nonsense"), 404, "EntityNotFoundError", 4)
    refused(http.get("/"), 404, "EntityNotFoundError", 4)
    refused(http.get("/api/v2/companies/NOBODY/transactions/INV-1"), 404, "EntityNotFoundError", 4)
    refused(http.get("/api/v2/companies/999/nexus"), 404, "EntityNotFoundError", 4)
    refused(http.get("/api/v2/transactions/999"), 404, "EntityNotFoundError", 4)


def test_escaped_codes_reach_their_document(http: httpx.Client) -> None:
    put(http, invoice("A/B+C?D%E#F G", 100))
    path = f"{TRANSACTIONS}/A_-ava2f-_B_-ava2b-_C_-ava3f-_D_-ava25-_E_-ava23-_F%20G"
    assert http.get(path).json()["code"] == "A/B+C?D%E#F G"


def test_include_decides_what_is_answered(http: httpx.Client) -> None:
    made = put(http, invoice("INV-1", 100))
    assert {"lines", "summary", "addresses"} <= made.keys()
    url = f"{TRANSACTIONS}/INV-1"
    assert not {"lines", "summary", "addresses"} & http.get(url).json().keys()
    lines = http.get(url, params={"$include": "Lines"}).json()
    assert "details" not in lines["lines"][0]
    assert "summary" not in lines
    assert http.get(url, params={"$include": "Details"}).json()["lines"][0]["details"]
    only = http.get(url, params={"$include": "SummaryOnly"}).json()
    assert "lines" not in only
    assert len(only["summary"]) == 3
    by_id = http.get(f"/api/v2/transactions/{made['id']}", params={"$include": "Addresses"}).json()
    assert by_id["addresses"][0]["region"] == "NY"


def test_lists_are_filtered_ordered_and_paged(http: httpx.Client) -> None:
    for i in range(1, 6):
        put(http, invoice(f"INV-{i}", i * 100, commit=i % 2 == 0, place=TEXAS if i > 3 else NEW_YORK))
    put(http, invoice("OLD-1", 1, date="2025-01-01"))

    def codes(text: str, **more: Any) -> list[str]:
        response = http.get(TRANSACTIONS, params={"$filter": text, **more})
        assert response.status_code == 200, response.text
        return [r["code"] for r in response.json()["value"]]

    assert codes("") == [f"INV-{i}" for i in range(1, 6)]  # the past 30 days, as documented
    assert codes("date lt '2026-01-01'") == ["OLD-1"]
    assert codes("status eq 'Committed'") == ["INV-2", "INV-4"]
    assert codes("region eq TX and totalAmount ge 500") == ["INV-5"]
    assert codes("(code in ('INV-1','INV-2') or code eq 'INV-5') and status ne Committed") == ["INV-1", "INV-5"]
    assert codes("totalAmount between 200 and 300") == ["INV-2", "INV-3"]
    assert codes("code startswith 'INV' and locked eq false", **{"$orderBy": "totalAmount DESC"})[0] == "INV-5"
    page = http.get(TRANSACTIONS, params={"$top": 2, "$skip": 1, "$filter": "code contains 'INV'"}).json()
    assert (page["@recordsetCount"], [r["code"] for r in page["value"]]) == (5, ["INV-2", "INV-3"])
    rest = http.get(page["@nextLink"]).json()
    assert [r["code"] for r in rest["value"]] == ["INV-4", "INV-5"]
    assert "@nextLink" not in rest


@pytest.mark.parametrize(
    ("text", "code", "number"),
    [
        ("nonsense eq 1", "InvalidQueryField", 17),
        ("totalDiscount eq 1", "FieldNotQueryableError", 1408),
        ("totalAmount eq ten", "InvalidQueryValue", 18),
        ("code eq", "SyntaxError", 19),
        ("code eq 'INV", "UnterminatedValueError", 21),
        ("code eq 'A' xor code eq 'B'", "UnknownConjunctionError", 189),
    ],
)
def test_a_bad_filter_is_refused(http: httpx.Client, text: str, code: str, number: int) -> None:
    put(http, invoice("INV-1", 100))
    refused(http.get(TRANSACTIONS, params={"$filter": text}), 400, code, number)


def test_a_page_is_a_thousand_at_most(box: Running, http: httpx.Client) -> None:
    for i in range(1001):
        box.sandbox.seed("transactions", invoice(f"INV-{i}", 1))
    page = http.get(TRANSACTIONS, params={"$top": 5000}).json()
    assert (page["@recordsetCount"], len(page["value"])) == (1001, 1000)


def test_committed_totals_by_region(http: httpx.Client) -> None:
    put(http, invoice("INV-1", 100, commit=True))
    put(http, invoice("INV-2", 50, commit=True))
    put(http, invoice("INV-3", 7))
    put(http, invoice("CM-1", -20, type="ReturnInvoice", commit=True))
    rows = http.get("/_control/committed_totals").json()
    assert [(r["region"], r["totalAmount"], r["totalTax"], r["transactions"]) for r in rows] == [("NY", 130, 11.54, 3)]


# -- limits and faults ---------------------------------------------------------------------------------------------


def test_the_request_limit_is_a_window(box: Running, http: httpx.Client) -> None:
    box.sandbox.max_requests = 2  # type: ignore[attr-defined]
    assert [http.get("/api/v2/companies").status_code for _ in range(2)] == [200, 200]
    refused(http.get("/api/v2/companies"), 429, "RequestLimitExceeded", 1715)
    http.post("/_control/clock", json={"now": "2026-03-02T09:01:01Z"})
    assert http.get("/api/v2/companies").status_code == 200


def test_timeout_after_commit_leaves_one_record_and_a_resend_finds_it(box: Running, http: httpx.Client) -> None:
    fault(http, kind="timeout_after_commit", path="/create")
    refused(http.post(CREATE, json=invoice("INV-1", 100, commit=True)), 504, "ServiceTimeout", 4015)
    assert http.get(f"{TRANSACTIONS}/INV-1").json()["status"] == "Committed"
    refused(http.post(CREATE, json=invoice("INV-1", 100, commit=True)), 400, "GetTaxError", 300)
    again = http.post(UPSERT, json={"createTransactionModel": invoice("INV-1", 100, commit=True)})
    assert (again.status_code, again.json()["version"]) == (200, 2)
    assert box.sandbox.records.count("transactions") == 1


def test_timeout_before_commit_leaves_nothing(box: Running, http: httpx.Client) -> None:
    fault(http, kind="timeout_before_commit", path="/create")
    refused(http.post(CREATE, json=invoice("INV-1", 100)), 504, "ServiceTimeout", 4015)
    assert box.sandbox.records.count("transactions") == 0


def test_a_doubled_request_records_once(box: Running, http: httpx.Client) -> None:
    fault(http, kind="duplicate", path="/create")
    refused(http.post(CREATE, json=invoice("INV-1", 100, commit=True)), 400, "GetTaxError", 300)
    assert box.sandbox.records.count("transactions") == 1


def test_stale_lists_hide_the_newest_but_reads_by_code_do_not(http: httpx.Client) -> None:
    put(http, invoice("INV-1", 100))
    put(http, invoice("INV-2", 100))
    fault(http, kind="stale_read", method="GET", times=2)
    assert [r["code"] for r in http.get(TRANSACTIONS).json()["value"]] == ["INV-1"]
    assert http.get(f"{TRANSACTIONS}/INV-2").status_code == 200
    assert len(http.get(TRANSACTIONS).json()["value"]) == 2


def test_outage_and_planned_statuses_speak_the_vendors_language(http: httpx.Client) -> None:
    fault(http, kind="status", status=429)
    refused(http.get(TRANSACTIONS), 429, "RequestLimitExceeded", 1715)
    http.post("/_control/outage", json={"on": True})
    refused(http.get(TRANSACTIONS), 503, "ServiceNotReady", 1718)


def test_equal_runs_end_in_equal_states(box: Running, http: httpx.Client) -> None:
    def run() -> Any:
        put(http, invoice("INV-1", 100, commit=True))
        put(http, invoice(None, 20, place=TEXAS))
        put(http, invoice("EST-1", 1, type="SalesOrder"))
        act(http, "INV-1", "refund", {"refundDate": "2026-03-02"})
        return http.get("/_control/state").json()

    first = run()
    http.post("/_control/reset")
    http.post("/_control/clock", json={"now": "2026-03-02T09:00:00Z"})
    assert run() == first
    assert len({r["id"] for r in first["transactions"]}) == 3


def test_seeded_transactions_keep_what_they_are_given(http: httpx.Client) -> None:
    seeded = invoice("INV-7", 100, id=4711, status="Cancelled", modifiedDate="2026-01-01T00:00:00.000Z")
    row = http.post("/_control/seed", json={"transactions": [seeded]}).json()["transactions"][0]
    assert (row["id"], row["status"], row["modifiedDate"]) == (4711, "Cancelled", "2026-01-01T00:00:00.000Z")
    assert http.get("/api/v2/transactions/4711").json()["code"] == "INV-7"


# -- the vendor's published models ---------------------------------------------------------------------------------


def _names(model: str) -> set[str]:
    text = specification("avalara", f"{model}.d.ts").read_text()
    return set(re.findall(r"^ {4}(\w+)\??: ", text, flags=re.MULTILINE))


# Published fields this sandbox leaves out, as the vendor leaves out nulls.
_ABSENT = {
    "TransactionModel": "apStatus apStatusCode dataSourceId deliveryTerms exchangeRateProvider "
    "varianceAmount vendorName",
    "TransactionLineModel": "accountPayableSalesTaxDetails certificateId costInsuranceFreight deemedSupplier "
    "marketplaceLiabilityType merchantSellerId merchantSellerIdentifier nonRecoverableAmount originationDocumentId "
    "originationSite recoverabilityPercentage recoverableAmount taxAmountByTaxTypes vatCode vatNumberTypeId",
    "TransactionLineDetailModel": "avtUserBIN collectedBy exemptRuleId granularDutyDetails nonRecoverableAmount "
    "recoverabilityPercentage recoverableAmount taxAuthorityId userDefinedFields vatCode",
}


def test_answered_names_are_the_published_ones(http: httpx.Client) -> None:
    include = {"$include": "Details,Summary,Addresses,TaxDetailsByTaxType"}
    made = http.post(CREATE, json=invoice("INV-1", 100), params=include).json()
    answered = {
        "TransactionModel": made.keys(),
        "TransactionLineModel": made["lines"][0].keys(),
        "TransactionLineDetailModel": made["lines"][0]["details"][0].keys(),
    }
    for model, names in answered.items():
        assert set(names) == _names(model) - set(_ABSENT[model].split()), model
    error = http.get("/api/v2/nonsense").json()["error"]
    assert set(error) == _names("ErrorInfo")
    assert set(error["details"][0]) <= _names("ErrorDetail")
    assert set(http.get("/api/v2/utilities/ping").json()) <= _names("PingResultModel")


def test_error_numbers_are_the_published_ones() -> None:
    text = specification("avalara", "enum.ErrorCodeId.d.ts").read_text()
    published = {name: int(number) for name, number in re.findall(r"(\w+) = (-?\d+)", text)}
    own_page = {"InvalidDocumentStatusForRefund": 700}  # documented on its own page, absent from the list
    assert {code: row[0] for code, row in CODES.items()}.items() <= (published | own_page).items()
