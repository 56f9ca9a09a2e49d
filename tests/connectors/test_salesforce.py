"""The Salesforce connector against the sandbox, over HTTP on loopback, every verb and every way it can go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import httpx
import pytest

from isthmus.connectors.salesforce import connector as Salesforce
from isthmus.domain.errors import (
    BadInput,
    NeedsSetup,
    NotFound,
    OutcomeUnknown,
    RemoteRefusal,
    StaleRead,
    Throttled,
    Unreachable,
)
from isthmus.domain.objects import CapKind
from isthmus.kit.executor import Connection
from isthmus.ports.messages import ContractStatus
from isthmus.sandbox.server import Running, running

Record = dict[str, Any]
CLIENT = httpx.Client(trust_env=False, timeout=60)
STATUS = ContractStatus(
    contract_no="CT-1",
    state="active",
    project_ref="P-1",
    billed=Decimal("6432.00"),
    paid=Decimal("0"),
    last_invoice="INV-1",
    currency="EUR",
)


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running("salesforce") as all_of_them:
        yield all_of_them["salesforce"]


@pytest.fixture
def control(served: Running) -> Any:
    """Posts to the control surface; the sandbox is empty at the start of each test."""

    def post(path: str, body: Any = None) -> Any:
        answer = CLIENT.post(f"{served.url}/_control/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    post("reset")
    return post


def connect(served: Running, settings: Record | None = None, **changes: str) -> Connection:
    given = served.sandbox.credentials()
    names = ("consumer_key", "username", "private_key", "audience")
    secrets = {name: given[name] for name in names} | changes
    return Connection(
        "crm", Salesforce(settings), base_url=served.url, auth_kind="jwt_bearer", secrets=secrets, client=CLIENT
    )


@pytest.fixture
def crm(served: Running, control: Any) -> Connection:
    return connect(served)


def seed_contract(control: Any, contract: Record | None = None, lines: list[Record] | None = None, **quote: Any) -> str:
    """A client, its quote with lines and the signed contract; returns the contract's id."""
    account = {
        "Name": "Globex GmbH",
        "Client_No__c": "C-100",
        "BillingStreet": "Ring 1",
        "BillingCity": "Berlin",
        "BillingPostalCode": "10115",
        "BillingCountryCode": "DE",
        "Tax_Id__c": "DE136695976",
        "Tax_Exempt__c": False,
        "CurrencyIsoCode": "EUR",
    }
    parent = control("seed", {"Account": [{"Name": "Globex SE", "Client_No__c": "C-1"}]})["Account"][0]
    account_id = control("seed", {"Account": [{**account, "ParentId": parent["Id"]}]})["Account"][0]["Id"]
    product = control("seed", {"Product2": [{"Name": "Consulting"}]})["Product2"][0]["Id"]
    made = control("seed", {"SBQQ__Quote__c": [{"SBQQ__Account__c": account_id, "CurrencyIsoCode": "EUR", **quote}]})
    quote_id = made["SBQQ__Quote__c"][0]["Id"]
    fixed = {"SBQQ__Quote__c": quote_id, "SBQQ__Product__c": product, "CurrencyIsoCode": "EUR"}
    rows = [{**fixed, **line} for line in (LINES if lines is None else lines)]
    control("seed", {"SBQQ__QuoteLine__c": rows})
    terms = {**CONTRACT, "AccountId": account_id, "SBQQ__Quote__c": quote_id, **(contract or {})}
    return str(control("seed", {"Contract": [terms]})["Contract"][0]["Id"])


CONTRACT: Record = {
    "Contract_No__c": "CT-1",
    "Version__c": 2,
    "Status": "Activated",
    "StartDate": "2026-01-01",
    "ContractTerm": 12,
    "Effective_Date__c": "2026-02-01",
    "CustomerSignedDate": "2026-02-10",
    "CurrencyIsoCode": "EUR",
    "Legal_Entity__c": "DE01",
    "Legal_Approved_By__c": "lena",
    "Finance_Approved_By__c": "fritz",
    "Payment_Terms__c": "NET30",
    "Practice__c": "Data",
    "Project_Template__c": "TPL-1",
    "Transaction_Price__c": 120000,
    "Billing_Cap__c": 100000,
    "Cap_Kind__c": "soft",
    "PO_Number__c": "PO-7",
    "Document_Url__c": "https://clm.example/CT-1",
    "Document_Hash__c": "abc",
}
TM: Record = {
    "Line_Uid__c": "L1",
    "SBQQ__Number__c": 1,
    "Billing_Type__c": "tm",
    "Role__c": "Senior",
    "Unit__c": "Hour",
    "Rate__c": 187.125,
    "SBQQ__Quantity__c": 100,
    "SBQQ__NetPrice__c": 190,
    "Tax_Class__c": "SERVICES",
    "Cap_Amount__c": 20000,
}
FIXED: Record = {
    "Line_Uid__c": "L2",
    "SBQQ__Number__c": 2,
    "Billing_Type__c": "fixed_milestone",
    "SBQQ__Quantity__c": 1,
    "SBQQ__NetPrice__c": 36000,
    "Milestone_Date__c": "2026-03-31",
    "Deliverable__c": "Blueprint",
}
FREE: Record = {"Line_Uid__c": "L3", "SBQQ__Number__c": 3, "Billing_Type__c": "non_billable"}
LINES = [TM, FIXED, FREE]


# -- reading -----------------------------------------------------------------------------------------------------


def test_reads_the_terms_of_a_contract(crm: Connection, control: Any) -> None:
    contract_id = seed_contract(control)
    version = crm.read_contract("CT-1")
    assert (version.key, version.client_no, version.entity, version.currency) == ("CT-1@2", "C-100", "DE01", "EUR")
    assert version.effective_from == date(2026, 2, 1)
    assert version.effective_to == date(2027, 1, 1)  # EndDate is the last day, our end is exclusive
    assert version.signed_on == date(2026, 2, 10)
    assert (version.legal_approved_by, version.finance_approved_by) == ("lena", "fritz")
    assert version.dimensions == {"practice": "Data"}  # a dimension nobody filled is absent
    assert str(version.transaction_price) == "120000.00"
    assert (version.payment_terms, version.po_number, version.template) == ("NET30", "PO-7", "TPL-1")
    assert (version.document_ref, version.document_hash) == ("https://clm.example/CT-1", "abc")
    assert version.source_ref == contract_id
    client = version.client
    assert (client.legal_name, client.country, client.tax_id) == ("Globex GmbH", "DE", "DE136695976")
    assert (client.parent_no, client.currency, client.address.city) == ("C-1", "EUR", "Berlin")


def test_reads_each_quote_line_as_a_contract_line(crm: Connection, control: Any) -> None:
    seed_contract(control)
    version = crm.read_contract("CT-1")
    tm, fixed, free = version.lines
    (rate,) = tm.rates
    assert (rate.role, rate.bill_rate, rate.unit) == ("Senior", Decimal("187.125"), "hour")
    assert rate.effective_from == version.effective_from
    assert (tm.description, tm.tax_code, tm.roles) == ("Consulting", "SERVICES", ("Senior",))
    (milestone,) = fixed.milestones
    assert (milestone.number, milestone.name, str(milestone.amount)) == (2, "Blueprint", "36000.00")
    assert milestone.due == date(2026, 3, 31)
    assert (free.rates, free.milestones) == ((), ())
    caps = {cap.cap_id: (cap.scope, cap.line_uid, cap.kind, cap.limit) for cap in version.caps}
    assert caps == {
        "CT-1:cap": ("contract", "", CapKind.SOFT, Decimal(100000)),
        "CT-1:L1:cap": ("line", "L1", CapKind.HARD, Decimal(20000)),
    }


def test_falls_back_to_net_price_and_start_date(crm: Connection, control: Any) -> None:
    seed_contract(control, {"Effective_Date__c": None}, [{**TM, "Rate__c": None}])
    version = crm.read_contract("CT-1")
    assert version.effective_from == date(2026, 1, 1)
    assert str(version.lines[0].rates[0].bill_rate) == "190.00"


@pytest.mark.parametrize(
    ("contract", "line", "named"),
    [
        ({}, {"Billing_Type__c": "retainer"}, "retainer"),
        ({}, {"Billing_Type__c": None}, "Billing_Type__c"),
        ({}, {"Unit__c": "Month"}, "Unit__c"),
        ({}, {"Role__c": None}, "Role__c"),
        ({}, {"Rate__c": None, "SBQQ__NetPrice__c": None}, "Rate__c"),
        ({}, {"Billing_Type__c": "fixed_milestone"}, "Milestone_Date__c"),
        ({}, {"Line_Uid__c": None}, "Line_Uid__c"),
        ({}, {"CurrencyIsoCode": "USD"}, "USD"),
        ({}, {"Cap_Amount__c": 10.001, "CurrencyIsoCode": "JPY"}, "JPY"),
        ({"CustomerSignedDate": None}, {}, "CustomerSignedDate"),
        ({"Version__c": None}, {}, "Version__c"),
        ({"SBQQ__Quote__c": None}, {}, "SBQQ__Quote__c"),
    ],
)
def test_a_term_that_cannot_be_read_is_named(
    crm: Connection, control: Any, contract: Record, line: Record, named: str
) -> None:
    seed_contract(control, contract, [{**TM, **line}])
    with pytest.raises(BadInput, match=named):
        crm.read_contract("CT-1")


def test_an_amount_its_currency_cannot_hold_is_refused(crm: Connection, control: Any) -> None:
    yen = {"CurrencyIsoCode": "JPY"}
    seed_contract(control, {**yen, "Transaction_Price__c": 100.5}, [{**TM, **yen}])
    with pytest.raises(BadInput, match="minor unit"):
        crm.read_contract("CT-1")


def test_a_quote_without_lines_is_refused(crm: Connection, control: Any) -> None:
    seed_contract(control, lines=[])
    with pytest.raises(BadInput, match="no lines"):
        crm.read_contract("CT-1")


def test_prices_are_not_read_while_cpq_calculates(crm: Connection, control: Any) -> None:
    seed_contract(control, SBQQ__Uncalculated__c=True)
    with pytest.raises(StaleRead, match="not calculated"):
        crm.read_contract("CT-1")


def test_an_unknown_contract_is_not_found(crm: Connection, control: Any) -> None:
    seed_contract(control)
    with pytest.raises(NotFound, match="CT-9"):
        crm.read_contract("CT-9")
    with pytest.raises(NotFound):
        crm.read_contract("x' OR Contract_No__c != '")


def test_a_firms_own_names_come_from_the_settings(served: Running, control: Any) -> None:
    field = {"object": "Contract", "name": "Client_PO__c"}
    control("seed", {"_fields": [field, {**field, "name": "Region__c"}]})
    seed_contract(control, {"Client_PO__c": "PO-8", "Region__c": "EMEA"}, [{**TM, "Billing_Type__c": "retainer"}])
    settings = {
        "fields": {"contract": {"po_number": "Client_PO__c", "document_hash": ""}},
        "dimensions": {"region": "Region__c"},
        "billing_types": {"retainer": "non_billable"},
    }
    version = connect(served, settings).read_contract("CT-1")
    assert (version.po_number, version.document_hash) == ("PO-8", "")
    assert version.dimensions == {"region": "EMEA"}
    assert version.lines[0].billing_type == "non_billable"


@pytest.mark.parametrize(
    "settings",
    [
        {"fields": {"contract": {"po_numbr": "X__c"}}},
        {"fields": {"contrat": {}}},
        {"billing_types": {"T&M": "time"}},
    ],
)
def test_a_misspelt_setting_is_refused(settings: Record) -> None:
    with pytest.raises(NeedsSetup):
        Salesforce(settings)


def test_a_field_the_organisation_lacks_needs_an_administrator(crm: Connection, control: Any) -> None:
    control("seed", {"_fields": [{"object": "Contract", "name": "Practice__c", "remove": True}]})
    with pytest.raises(NeedsSetup, match="Practice__c"):
        crm.read_contract("CT-1")


# -- changes -----------------------------------------------------------------------------------------------------


def test_tells_of_activated_contracts_once_the_overlap_is_past(crm: Connection, control: Any) -> None:
    control("clock", {"now": "2026-03-02T09:00:00Z"})
    contract_id = seed_contract(control)
    control("clock", {"now": "2026-03-02T10:00:00Z"})
    account = control("seed", {"Account": [{"Name": "Draft Ltd"}]})["Account"][0]["Id"]
    control("seed", {"Contract": [{"Contract_No__c": "CT-2", "Status": "Draft", "AccountId": account}]})
    page = crm.contracts_changed("")
    (notice,) = page.notices
    assert (notice.contract_no, notice.version) == ("CT-1", 2)
    assert notice.message_id == f"{contract_id}:{notice.changed_at}"
    assert page.watermark == notice.changed_at
    # The same change again within the overlap, under the same message id; and none when the watermark is far past it.
    assert crm.contracts_changed(page.watermark).notices == page.notices
    later = "2026-03-02T09:05:01.000+0000"
    assert crm.contracts_changed(later).notices == ()
    assert crm.contracts_changed(later).watermark == later


def test_a_contract_without_its_number_is_not_passed_over(crm: Connection, control: Any) -> None:
    contract_id = seed_contract(control, {"Contract_No__c": None, "Version__c": None})
    (notice,) = crm.contracts_changed("").notices
    assert (notice.contract_no, notice.version) == (contract_id, 0)
    with pytest.raises(NotFound):
        crm.read_contract(notice.contract_no)


def test_reads_all_pages(served: Running, crm: Connection, control: Any) -> None:
    account = control("seed", {"Account": [{"Name": "A", "Client_No__c": "C-1"}]})["Account"][0]["Id"]
    rows = [{**CONTRACT, "AccountId": account, "Contract_No__c": f"CT-{i}"} for i in range(450)]
    control("seed", {"Contract": rows})
    connector = crm.connector
    connector.manifest = connector.manifest.model_copy(update={"page_size": 200})
    page = crm.contracts_changed("")
    assert [n.contract_no for n in page.notices] == [f"CT-{i}" for i in range(450)]
    assert page.watermark == page.notices[-1].changed_at
    assert sum("/query" in seen["path"] for seen in served.sandbox.log) == 3


# -- writing back ------------------------------------------------------------------------------------------------


def shown(served: Running) -> Record:
    (row,) = [row for _, row in served.sandbox.records.all("Contract")]
    return {name: row[name] for name in row if name.startswith("Hub_")}


def test_reports_the_status_and_finds_it(served: Running, crm: Connection, control: Any) -> None:
    contract_id = seed_contract(control)
    assert crm.find_status(STATUS) is None
    ref = crm.report_status(STATUS)
    assert (ref.system, ref.object_type, ref.external_id) == ("salesforce", "Contract", contract_id)
    assert crm.find_status(STATUS) == ref
    assert shown(served) == {
        "Hub_Status__c": "active",
        "Hub_Project_Ref__c": "P-1",
        "Hub_Billed__c": 6432.0,
        "Hub_Paid__c": 0.0,
        "Hub_Last_Invoice__c": "INV-1",
    }
    assert crm.find_status(STATUS.model_copy(update={"paid": Decimal(1)})) is None


def test_an_empty_value_is_emptied_there(served: Running, crm: Connection, control: Any) -> None:
    seed_contract(control)
    crm.report_status(STATUS)
    bare = STATUS.model_copy(update={"project_ref": "", "last_invoice": ""})
    assert crm.find_status(bare) is None
    crm.report_status(bare)
    assert shown(served)["Hub_Project_Ref__c"] is None
    assert crm.find_status(bare) is not None


def test_a_wrong_number_makes_no_new_contract(served: Running, crm: Connection, control: Any) -> None:
    seed_contract(control)
    wrong = STATUS.model_copy(update={"contract_no": "CT/9 x"})
    assert crm.find_status(wrong) is None
    with pytest.raises(NotFound):
        crm.report_status(wrong)
    assert served.sandbox.records.count("Contract") == 1


def test_a_lost_answer_is_unknown_and_the_look_up_decides(served: Running, crm: Connection, control: Any) -> None:
    seed_contract(control)
    control("faults", {"kind": "timeout_before_commit", "method": "PATCH"})
    with pytest.raises(OutcomeUnknown):
        crm.report_status(STATUS)
    assert crm.find_status(STATUS) is None
    control("faults", {"kind": "timeout_after_commit", "method": "PATCH"})
    with pytest.raises(OutcomeUnknown):
        crm.report_status(STATUS)
    ref = crm.find_status(STATUS)
    assert ref is not None
    assert crm.report_status(STATUS) == ref  # sent again, it is the same record
    assert served.sandbox.records.count("Contract") == 1


def test_the_hubs_own_write_is_another_notice_of_the_same_version(crm: Connection, control: Any) -> None:
    seed_contract(control)
    (before,) = crm.contracts_changed("").notices
    crm.report_status(STATUS)
    (after,) = crm.contracts_changed("").notices
    assert after.message_id != before.message_id
    assert (after.contract_no, after.version) == (before.contract_no, before.version)


# -- the connection ----------------------------------------------------------------------------------------------


def test_a_session_that_ends_is_renewed(served: Running, crm: Connection, control: Any) -> None:
    seed_contract(control)
    crm.report_status(STATUS)
    served.sandbox.auth.expire_all()  # type: ignore[attr-defined]
    assert crm.find_status(STATUS) is not None
    asked = [seen["path"] for seen in served.sandbox.log if "oauth2" in seen["path"]]
    assert len(asked) == 2


def test_client_credentials_let_in_too(served: Running, control: Any) -> None:
    seed_contract(control)
    given = served.sandbox.credentials()
    secrets = {"client_id": given["consumer_key"], "client_secret": given["consumer_secret"]}
    connection = Connection(
        "crm", Salesforce(), base_url=served.url, auth_kind="client_credentials", secrets=secrets, client=CLIENT
    )
    assert connection.read_contract("CT-1").version == 2


def test_an_unknown_consumer_needs_setup(served: Running, control: Any) -> None:
    with pytest.raises(NeedsSetup, match="login refused"):
        connect(served, consumer_key="nobody").read_contract("CT-1")


def fault(status: int, code: str, method: str = "PATCH") -> Record:
    """The platform's error array as a planned answer; strikes twice, once more for a renewed session."""
    body = [{"message": f"because {code}", "errorCode": code}]
    return {"kind": "status", "method": method, "path": "/sobjects/", "status": status, "body": body, "times": 3}


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "REQUEST_LIMIT_EXCEEDED", Throttled),
        (503, "SERVER_UNAVAILABLE", Unreachable),
        (400, "UNABLE_TO_LOCK_ROW", Unreachable),
        (401, "INVALID_SESSION_ID", NeedsSetup),
        (403, "INSUFFICIENT_ACCESS", NeedsSetup),
        (400, "INVALID_FIELD", NeedsSetup),
        (404, "NOT_FOUND", NotFound),
        (404, "ENTITY_IS_DELETED", RemoteRefusal),
        (400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", RemoteRefusal),
        (500, "UNKNOWN_EXCEPTION", OutcomeUnknown),
    ],
)
def test_what_an_error_means(crm: Connection, control: Any, status: int, code: str, expected: type) -> None:
    seed_contract(control)
    control("faults", fault(status, code))
    with pytest.raises(expected, match=code):
        crm.report_status(STATUS)


def test_the_days_requests_used_up_is_patience_not_refusal(served: Running, crm: Connection, control: Any) -> None:
    seed_contract(control)
    box: Any = served.sandbox
    box.daily_limit = box.api_calls
    try:
        with pytest.raises(Throttled, match="TotalRequests"):
            crm.find_status(STATUS)
    finally:
        box.daily_limit = 100_000


def test_an_outage_is_unreachable(crm: Connection, control: Any) -> None:
    seed_contract(control)
    crm.find_status(STATUS)
    control("outage", {"on": True})
    with pytest.raises(Unreachable):
        crm.find_status(STATUS)
