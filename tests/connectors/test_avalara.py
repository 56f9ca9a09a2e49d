"""The Avalara connector against the sandbox, over HTTP on loopback, every verb and every way it can go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import httpx
import pytest

from isthmus.connectors.avalara import connector as Avalara
from isthmus.connectors.avalara import mapping
from isthmus.domain.errors import (
    BadInput,
    NeedsSetup,
    NotFound,
    OutcomeUnknown,
    RemoteRefusal,
    SameKeyOtherContent,
    Throttled,
    Unreachable,
)
from isthmus.domain.objects import Address
from isthmus.kit.executor import Connection
from isthmus.ports.messages import TaxDocument, TaxLineIn
from isthmus.sandbox.server import Running, running

Record = dict[str, Any]
CLIENT = httpx.Client(trust_env=False, timeout=60)
DOCUMENT = TaxDocument(
    code="INV-DRAFT/1 #7",  # characters the vendor wants escaped in its own way
    entity="US01",
    client_no="C-100",
    currency="USD",
    document_date=date(2026, 3, 31),
    ship_from=Address(street="1 Main St", city="New York", region="NY", postal_code="10001", country="US"),
    ship_to=Address(street="2 Wall St", city="New York", region="NY", postal_code="10005", country="US"),
    po_number="PO-7",
    lines=(
        TaxLineIn(number=1, net=Decimal("6432.00"), tax_code="SERVICES", description="Consulting March"),
        TaxLineIn(number=2, net=Decimal("100.10"), tax_code="NT"),
    ),
)
SETTINGS = {"companies": {"US01": "DEFAULT"}, "tax_codes": {"SERVICES": "P0000000"}}
OTHER_LINES = DOCUMENT.model_copy(update={"lines": DOCUMENT.lines[:1]})


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running("avalara") as all_of_them:
        yield all_of_them["avalara"]


@pytest.fixture
def control(served: Running) -> Any:
    """Posts to the control surface; the sandbox holds only its standing data at the start of each test."""

    def post(path: str, body: Any = None) -> Any:
        answer = CLIENT.post(f"{served.url}/_control/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    post("reset")
    return post


def connect(served: Running, settings: Record | None = None, **changes: str) -> Connection:
    given = served.sandbox.credentials()
    secrets = {"username": given["accountId"], "password": given["licenseKey"]} | changes
    return Connection(
        "tax", Avalara(settings or SETTINGS), base_url=served.url, auth_kind="basic", secrets=secrets, client=CLIENT
    )


@pytest.fixture
def tax(served: Running, control: Any) -> Connection:
    return connect(served)


def kept(served: Running) -> list[Record]:
    return [row for _, row in served.sandbox.records.all("transactions")]


# -- the life of a document --------------------------------------------------------------------------------------


def test_calculates_and_keeps_the_document_uncommitted(served: Running, tax: Connection) -> None:
    assert tax.find_document(DOCUMENT) is None
    answer = tax.calculate(DOCUMENT)
    assert (answer.document_code, answer.currency, answer.status) == (DOCUMENT.code, "USD", "calculated")
    assert (str(answer.net), str(answer.tax)) == ("6532.10", "570.84")
    assert answer.line_taxes == {1: Decimal("570.84"), 2: Decimal("0.00")}
    assert answer.rates["1"] == Decimal("0.08875")
    assert tax.find_document(DOCUMENT) == answer
    (row,) = kept(served)
    assert (row["status"], row["type"], row["customerCode"]) == ("Saved", "SalesInvoice", "C-100")
    assert (row["purchaseOrderNo"], row["date"]) == ("PO-7", "2026-03-31")
    assert [line["taxCode"] for line in row["lines"]] == ["P0000000", "NT"]


def test_an_exemption_certificate_goes_along(tax: Connection) -> None:
    exempt = DOCUMENT.model_copy(update={"exemption_certificate": "EX-1"})
    assert tax.calculate(exempt).tax == 0


def test_commits_and_finds_it_committed(served: Running, tax: Connection) -> None:
    calculated = tax.calculate(DOCUMENT)
    assert tax.find_committed(DOCUMENT) is None
    committed = tax.commit(DOCUMENT)
    assert committed == calculated.model_copy(update={"status": "committed"})
    assert tax.find_committed(DOCUMENT) == committed
    assert tax.find_document(DOCUMENT) == committed  # it is still the answer for this code
    assert tax.find_void(DOCUMENT) is None
    assert kept(served)[0]["status"] == "Committed"


def test_voids_and_finds_it_void(served: Running, tax: Connection) -> None:
    tax.calculate(DOCUMENT)
    assert tax.find_void(DOCUMENT) is None
    cancelled = tax.void(DOCUMENT)
    assert cancelled.status == "cancelled"
    assert tax.find_void(DOCUMENT) == cancelled
    assert tax.find_document(DOCUMENT) is None
    assert tax.find_committed(DOCUMENT) is None
    with pytest.raises(OutcomeUnknown, match="TransactionAlreadyCancelled"):  # the look-up then finds it
        tax.void(DOCUMENT)


def test_what_is_not_there_can_be_neither_committed_nor_voided(tax: Connection) -> None:
    assert (tax.find_committed(DOCUMENT), tax.find_void(DOCUMENT)) == (None, None)
    with pytest.raises(NotFound):
        tax.commit(DOCUMENT)
    with pytest.raises(NotFound):
        tax.void(DOCUMENT)


# -- sent again --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "find", "status"),
    [
        ("calculate", "find_document", "calculated"),
        ("commit", "find_committed", "committed"),
        ("void", "find_void", "cancelled"),
    ],
)
def test_a_lost_answer_is_unknown_and_the_look_up_decides(
    served: Running, tax: Connection, control: Any, verb: str, find: str, status: str
) -> None:
    if verb != "calculate":
        tax.calculate(DOCUMENT)
    control("faults", {"kind": "timeout_before_commit", "method": "POST"})
    with pytest.raises(OutcomeUnknown):
        getattr(tax, verb)(DOCUMENT)
    assert getattr(tax, find)(DOCUMENT) is None
    control("faults", {"kind": "timeout_after_commit", "method": "POST"})
    with pytest.raises(OutcomeUnknown):
        getattr(tax, verb)(DOCUMENT)
    assert getattr(tax, find)(DOCUMENT).status == status
    assert len(kept(served)) == 1


def test_an_open_document_is_replaced_never_doubled(served: Running, tax: Connection) -> None:
    tax.calculate(OTHER_LINES)
    assert tax.find_document(DOCUMENT) is None  # what is there was calculated for other lines
    answer = tax.calculate(DOCUMENT)
    assert tax.calculate(DOCUMENT) == answer
    assert tax.find_document(DOCUMENT) == answer
    assert len(kept(served)) == 1


def test_a_final_document_is_never_altered(served: Running, tax: Connection) -> None:
    tax.calculate(DOCUMENT)
    tax.commit(DOCUMENT)
    before = kept(served)
    with pytest.raises(RemoteRefusal, match="Saved"):
        tax.calculate(OTHER_LINES)
    with pytest.raises(SameKeyOtherContent, match="Committed"):
        tax.find_document(OTHER_LINES)
    with pytest.raises(SameKeyOtherContent, match="Committed"):
        tax.find_committed(OTHER_LINES)
    with pytest.raises(RemoteRefusal, match="Saved"):
        tax.commit(DOCUMENT)
    assert kept(served) == before


def test_a_void_document_cannot_come_back(tax: Connection) -> None:
    tax.calculate(DOCUMENT)
    tax.void(DOCUMENT)
    with pytest.raises(RemoteRefusal):
        tax.calculate(DOCUMENT)
    with pytest.raises(RemoteRefusal):
        tax.commit(DOCUMENT)


def test_a_reported_document_cannot_be_voided(served: Running, tax: Connection) -> None:
    tax.calculate(DOCUMENT)
    tax.commit(DOCUMENT)
    kept(served)[0]["locked"] = True
    with pytest.raises(RemoteRefusal, match="locked"):
        tax.void(DOCUMENT)


# -- answers nobody promised -------------------------------------------------------------------------------------


def test_an_unknown_status_is_an_error(served: Running, tax: Connection) -> None:
    tax.calculate(DOCUMENT)
    kept(served)[0]["status"] = "Frozen"
    for find in (tax.find_document, tax.find_committed, tax.find_void):
        with pytest.raises(BadInput, match="Frozen"):
            find(DOCUMENT)


def test_a_write_that_answers_another_status_is_not_done(tax: Connection, control: Any) -> None:
    line = {"lineNumber": "1", "lineAmount": 1, "tax": 0, "details": []}
    body = {"code": "X", "status": "Queued", "currencyCode": "USD", "totalAmount": 1, "totalTax": 0, "lines": [line]}
    control("faults", {"kind": "status", "status": 200, "body": body})
    with pytest.raises(OutcomeUnknown, match="queued"):
        tax.commit(DOCUMENT)


def test_a_line_without_tax_code_is_not_sent(served: Running, tax: Connection) -> None:
    bare = TaxLineIn(number=1, net=Decimal(1), tax_code="")
    with pytest.raises(BadInput, match="line 1 has no tax code"):
        tax.calculate(DOCUMENT.model_copy(update={"lines": (bare,)}))
    assert kept(served) == []


def test_every_status_of_the_vendor_is_decided() -> None:
    documented = {"Temporary", "Saved", "Posted", "Committed", "Cancelled", "Adjusted", "Queued", "PendingApproval"}
    assert set(mapping.STATUS.rows) == documented | {"Uncommitted"}


# -- registrations -----------------------------------------------------------------------------------------------


def test_registrations_are_those_in_force(tax: Connection, control: Any) -> None:
    ended = {"country": "US", "region": "WA", "endDate": "2024-12-31"}
    coming = {"country": "US", "region": "OR", "effectiveDate": "2124-01-01T00:00:00"}
    control("seed", {"nexus": [ended, coming, {"country": "DE"}]})
    registrations = tax.registrations("US01")
    assert registrations.entity == "US01"
    assert registrations.regions == ("DE", "GB", "US", "US-CA", "US-NY", "US-TX")


def test_registrations_of_all_pages(served: Running, tax: Connection) -> None:
    connector = tax.connector
    connector.manifest = connector.manifest.model_copy(update={"page_size": 2})
    assert tax.registrations("US01").regions == ("GB", "US", "US-CA", "US-NY", "US-TX")
    assert sum("/nexus" in seen["path"] for seen in served.sandbox.log) == 4


def test_an_entity_without_company_is_not_found(served: Running, control: Any) -> None:
    with pytest.raises(NotFound, match="no company O'X: see the setting companies"):
        connect(served, {"companies": {"UK01": "O'X"}}).registrations("UK01")
    control("seed", {"companies": [{"companyCode": "FR01"}]})
    assert connect(served).registrations("FR01").regions == ()  # its own code is the default


# -- the connection ----------------------------------------------------------------------------------------------


def test_a_bearer_token_lets_in_too(served: Running, control: Any) -> None:
    secrets = {"token": served.sandbox.credentials()["bearerToken"]}
    connection = Connection(
        "tax", Avalara(SETTINGS), base_url=served.url, auth_kind="bearer", secrets=secrets, client=CLIENT
    )
    assert connection.calculate(DOCUMENT).tax == Decimal("570.84")


def test_a_wrong_licence_key_needs_setup_and_is_not_shown(served: Running, control: Any) -> None:
    with pytest.raises(NeedsSetup) as caught:
        connect(served, password="wrong-licence-key").calculate(DOCUMENT)
    assert "wrong-licence-key" not in str(caught.value)


def test_a_licence_key_that_ends_mid_run_needs_setup(tax: Connection, control: Any) -> None:
    tax.calculate(DOCUMENT)
    control("faults", {"kind": "status", "status": 401})
    with pytest.raises(NeedsSetup):
        tax.commit(DOCUMENT)
    assert tax.commit(DOCUMENT).status == "committed"


def test_too_many_requests_are_throttled(served: Running, tax: Connection, control: Any) -> None:
    box: Any = served.sandbox
    box.max_requests = 1
    try:
        tax.calculate(DOCUMENT)
        with pytest.raises(Throttled):
            tax.commit(DOCUMENT)
    finally:
        box.max_requests = None
    control("faults", {"kind": "status", "status": 429, "headers": {"Retry-After": "7"}})
    with pytest.raises(Throttled) as caught:
        tax.commit(DOCUMENT)
    assert caught.value.after_seconds == 7


def refusal(status: int, code: str, description: str = "") -> Record:
    details = [{"code": code, "message": "No.", "description": description}]
    return {"kind": "status", "status": status, "body": {"error": {"code": code, "details": details}}}


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "AuthorizationException", NeedsSetup),
        (404, "EntityNotFoundError", NotFound),
        (429, "ConcurrentRequestLimitExceeded", Throttled),
        (503, "ServiceNotReady", Unreachable),
        (400, "TransactionAlreadyCancelled", OutcomeUnknown),
        (400, "GetTaxError", RemoteRefusal),
        (400, "CannotModifyLockedTransaction", RemoteRefusal),
        (400, "ValidationException", RemoteRefusal),
        (500, "InternalServerError", OutcomeUnknown),
    ],
)
def test_what_an_error_means(tax: Connection, control: Any, status: int, code: str, expected: type) -> None:
    control("faults", refusal(status, code, "said why"))
    with pytest.raises(expected, match="said why"):
        tax.commit(DOCUMENT)


def test_the_vendors_own_refusal_is_readable(tax: Connection) -> None:
    nowhere = DOCUMENT.model_copy(update={"ship_to": Address(country="US")})
    with pytest.raises(RemoteRefusal, match="Address"):
        tax.calculate(nowhere)


def test_an_outage_is_unreachable(tax: Connection, control: Any) -> None:
    control("outage", {"on": True})
    with pytest.raises(Unreachable):
        tax.calculate(DOCUMENT)
    with pytest.raises(Unreachable):
        tax.find_document(DOCUMENT)
