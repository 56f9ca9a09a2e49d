"""The HubSpot connector against the sandbox, over HTTP on loopback, every verb and every way it can go wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import httpx
import pytest

from isthmus.connectors.hubspot import connector as Hubspot
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
from isthmus.sandbox.hubspot import HubspotSandbox
from isthmus.sandbox.server import Running, running
from tests.vendor_specs import OpenApi, specification

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
CONTRACT: Record = {
    "dealname": "Data platform",
    "contract_no": "CT-1",
    "contract_version": 2,
    "dealstage": "closedwon",
    "deal_currency_code": "EUR",
    "legal_entity": "DE01",
    "contract_start_date": "2026-01-01",
    "effective_date": "2026-02-01",
    "contract_end_date": "2026-12-31",
    "signed_on": "2026-02-10",
    "legal_approved_by": "lena",
    "finance_approved_by": "fritz",
    "payment_terms": "NET30",
    "practice": "Data",
    "project_template": "TPL-1",
    "contract_price": 120000,
    "billing_cap": 100000,
    "cap_kind": "soft",
    "po_number": "PO-7",
    "document_url": "https://clm.example/CT-1",
    "document_hash": "abc",
}
TM: Record = {
    "line_uid": "L1",
    "hs_position_on_quote": 1,
    "name": "Consulting",
    "billing_type": "tm",
    "role": "Senior",
    "billing_unit": "Hour",
    "bill_rate": "187.125",
    "price": 190,
    "quantity": 100,
    "tax_class": "SERVICES",
    "cap_amount": 20000,
    "hs_line_item_currency_code": "EUR",
}
FIXED: Record = {
    "line_uid": "L2",
    "hs_position_on_quote": 2,
    "name": "Blueprint",
    "billing_type": "fixed_milestone",
    "price": 36000,
    "quantity": 1,
    "milestone_date": "2026-03-31",
    "deliverable": "Blueprint document",
}
FREE: Record = {"line_uid": "L3", "hs_position_on_quote": 3, "name": "Onboarding", "billing_type": "non_billable"}
COMPANY: Record = {
    "name": "Globex GmbH",
    "client_no": "C-100",
    "address": "Ring 1",
    "city": "Berlin",
    "zip": "10115",
    "hs_country_code": "DE",
    "tax_id": "DE136695976",
    "tax_exempt": False,
    "parent_client_no": "C-1",
    "billing_currency": "EUR",
}


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running("hubspot") as boxes:
        yield boxes["hubspot"]


@pytest.fixture
def box(served: Running) -> HubspotSandbox:
    """An empty portal."""
    made = served.sandbox
    assert isinstance(made, HubspotSandbox)
    made.reset()
    return made


def connect(
    served: Running,
    settings: Record | None = None,
    auth: str = "bearer",
    client: httpx.Client | None = None,
    **changes: str,
) -> Connection:
    given = {**served.sandbox.credentials(), **changes}
    secrets = {"token": given["access_token"]}
    if auth == "refresh_token":
        secrets = {name: given[name] for name in ("client_id", "client_secret", "refresh_token")}
    return Connection(
        "crm", Hubspot(settings), base_url=served.url, auth_kind=auth, secrets=secrets, client=client or CLIENT
    )


@pytest.fixture
def crm(served: Running, box: HubspotSandbox) -> Connection:
    return connect(served)


def seed(
    box: HubspotSandbox,
    contract: Record | None = None,
    lines: list[Record] | None = None,
    company: Record | None = None,
) -> str:
    """A company, line items and the signed deal; returns the deal's id."""
    known = box.store.by_property(box.schema.of("companies"), "client_no", "C-100")
    client = known or box.seed("companies", {**COMPANY, **(company or {})})
    items = [box.seed("line_items", dict(line))["id"] for line in (LINES if lines is None else lines)]
    links = {"companies": [[client["id"], 5]], "line_items": items}
    return str(box.seed("deals", {**CONTRACT, **(contract or {}), "associations": links})["id"])


LINES = [TM, FIXED, FREE]


# -- reading -----------------------------------------------------------------------------------------------------


def test_reads_the_terms_of_a_contract(crm: Connection, box: HubspotSandbox) -> None:
    deal_id = seed(box)
    version = crm.read_contract("CT-1")
    assert (version.key, version.client_no, version.entity, version.currency) == ("CT-1@2", "C-100", "DE01", "EUR")
    assert version.effective_from == date(2026, 2, 1)
    assert version.effective_to == date(2027, 1, 1)  # the property is the last day, our end is exclusive
    assert version.signed_on == date(2026, 2, 10)
    assert (version.legal_approved_by, version.finance_approved_by) == ("lena", "fritz")
    assert version.dimensions == {"practice": "Data"}  # a dimension nobody filled is absent
    assert str(version.transaction_price) == "120000.00"
    assert (version.payment_terms, version.po_number, version.template) == ("NET30", "PO-7", "TPL-1")
    assert (version.document_ref, version.document_hash) == ("https://clm.example/CT-1", "abc")
    assert (version.source_ref, version.opportunity_ref) == (deal_id, deal_id)
    client = version.client
    assert (client.legal_name, client.country, client.tax_id) == ("Globex GmbH", "DE", "DE136695976")
    assert (client.parent_no, client.currency, client.address.city, client.tax_exempt) == (
        "C-1",
        "EUR",
        "Berlin",
        False,
    )


def test_reads_each_line_item_as_a_contract_line(crm: Connection, box: HubspotSandbox) -> None:
    seed(box, lines=[FREE, FIXED, TM])  # read in their order on the quote, whatever order they were made in
    version = crm.read_contract("CT-1")
    tm, fixed, free = version.lines
    (rate,) = tm.rates
    assert (rate.role, rate.bill_rate, rate.unit) == ("Senior", Decimal("187.125"), "hour")
    assert rate.effective_from == version.effective_from
    assert (tm.description, tm.tax_code, tm.roles) == ("Consulting", "SERVICES", ("Senior",))
    (milestone,) = fixed.milestones
    assert (milestone.number, milestone.name, str(milestone.amount)) == (2, "Blueprint document", "36000.00")
    assert milestone.due == date(2026, 3, 31)
    assert (free.rates, free.milestones) == ((), ())
    caps = {cap.cap_id: (cap.scope, cap.line_uid, cap.kind, cap.limit) for cap in version.caps}
    assert caps == {
        "CT-1:cap": ("contract", "", CapKind.SOFT, Decimal(100000)),
        "CT-1:L1:cap": ("line", "L1", CapKind.HARD, Decimal(20000)),
    }


def test_reads_more_lines_than_one_page_and_one_batch_hold(crm: Connection, box: HubspotSandbox) -> None:
    lines = [{**TM, "line_uid": f"L{n}", "hs_position_on_quote": n} for n in range(1, 131)]
    seed(box, lines=lines)
    box.association_page_max = 50
    version = crm.read_contract("CT-1")
    assert [line.line_uid for line in version.lines] == [f"L{n}" for n in range(1, 131)]
    paths = [seen["path"] for seen in box.log]
    assert sum(path.endswith("/associations/line_items") for path in paths) == 3
    assert sum(path.endswith("/line_items/batch/read") for path in paths) == 2


def test_falls_back_to_the_price_and_the_start_date(crm: Connection, box: HubspotSandbox) -> None:
    seed(box, {"effective_date": ""}, [{**TM, "bill_rate": ""}])
    version = crm.read_contract("CT-1")
    assert version.effective_from == date(2026, 1, 1)
    assert str(version.lines[0].rates[0].bill_rate) == "190.00"


@pytest.mark.parametrize(
    ("contract", "line", "named"),
    [
        ({}, {"billing_type": "retainer"}, "retainer"),
        ({}, {"billing_type": ""}, "billing_type"),
        ({}, {"billing_unit": "Month"}, "billing_unit"),
        ({}, {"role": ""}, "role"),
        ({}, {"bill_rate": "", "price": ""}, "bill_rate"),
        ({}, {"bill_rate": "", "discount": 10}, "discount"),
        ({}, {"bill_rate": "", "hs_discount_percentage": 10}, "discount"),
        ({}, {"billing_type": "fixed_milestone"}, "milestone_date"),
        ({}, {"line_uid": ""}, "line_uid"),
        ({}, {"hs_line_item_currency_code": "USD"}, "USD"),
        ({"signed_on": ""}, {}, "signed_on"),
        ({"contract_version": ""}, {}, "contract_version"),
        ({"contract_version": "1.5"}, {}, "1.5"),
        ({"dealstage": "contractsent"}, {}, "contractsent"),
        ({"deal_currency_code": "JPY", "contract_price": "100.5"}, {"hs_line_item_currency_code": "JPY"}, "minor unit"),
    ],
)
def test_a_term_that_cannot_be_read_is_named(
    crm: Connection, box: HubspotSandbox, contract: Record, line: Record, named: str
) -> None:
    seed(box, contract, [{**TM, **line}])
    with pytest.raises(BadInput, match=named):
        crm.read_contract("CT-1")


def test_a_discount_is_no_obstacle_once_the_net_rate_is_agreed(crm: Connection, box: HubspotSandbox) -> None:
    seed(box, lines=[{**TM, "discount": 10}, {**FIXED, "discount": 1000}])
    tm, fixed = crm.read_contract("CT-1").lines
    assert tm.rates[0].bill_rate == Decimal("187.125")
    assert str(fixed.milestones[0].amount) == "35000.00"  # the portal's own net amount


def test_a_deal_without_lines_is_refused(crm: Connection, box: HubspotSandbox) -> None:
    seed(box, lines=[])
    with pytest.raises(BadInput, match="no line items"):
        crm.read_contract("CT-1")


def test_the_company_that_buys_must_be_clear(crm: Connection, box: HubspotSandbox) -> None:
    deal_id = seed(box)
    other = box.seed("companies", {"name": "Reseller", "client_no": "C-7", "hs_country_code": "DE"})
    box.seed("deals", {"id": deal_id, "associations": {"companies": [other["id"]]}})
    assert crm.read_contract("CT-1").client_no == "C-100"  # the primary one
    lonely = box.seed("deals", {**CONTRACT, "contract_no": "CT-2"})["id"]
    line = box.seed("line_items", dict(TM))["id"]
    both = [other["id"], box.seed("companies", {"name": "Third", "client_no": "C-8", "hs_country_code": "DE"})["id"]]
    box.seed("deals", {"id": lonely, "associations": {"companies": both, "line_items": [line]}})
    with pytest.raises(BadInput, match="2 companies"):
        crm.read_contract("CT-2")


def test_an_unknown_contract_is_not_found(crm: Connection, box: HubspotSandbox) -> None:
    seed(box)
    for wrong in ("CT-9", "CT/1?x", "10000001"):  # not by the record's own id either
        with pytest.raises(NotFound):
            crm.read_contract(wrong)


def test_a_contract_that_changes_while_it_is_read_is_read_again(
    served: Running, crm: Connection, box: HubspotSandbox
) -> None:
    deal_id = seed(box)

    def meanwhile(request: httpx.Request) -> None:
        if request.url.path.endswith("/batch/read"):
            box.seed("deals", {"id": deal_id, "contract_version": 3})

    busy = httpx.Client(trust_env=False, event_hooks={"request": [meanwhile]})
    with pytest.raises(StaleRead, match="changed while it was read"):
        connect(served, client=busy).read_contract("CT-1")
    assert crm.read_contract("CT-1").version == 3


def test_a_line_that_cannot_be_read_is_not_left_out(served: Running, box: HubspotSandbox) -> None:
    seed(box)

    def hide(request: httpx.Request) -> None:
        if request.url.path.endswith("/batch/read"):
            asked = json.loads(request.content)
            asked["inputs"].append({"id": "999"})
            content = json.dumps(asked).encode()
            request.stream = httpx.ByteStream(content)
            request.headers["Content-Length"] = str(len(content))

    odd = httpx.Client(trust_env=False, event_hooks={"request": [hide]})
    with pytest.raises(BadInput, match="line items cannot be read"):
        connect(served, client=odd).read_contract("CT-1")


# -- settings ----------------------------------------------------------------------------------------------------


def test_a_firms_own_names_come_from_the_settings(served: Running, box: HubspotSandbox) -> None:
    box.seed("_properties", {"object": "deals", "name": "client_po"})
    box.seed("_properties", {"object": "deals", "name": "sales_region"})
    seed(box, {"client_po": "PO-8", "sales_region": "EMEA"}, [{**TM, "billing_type": "retainer"}])
    settings = {
        "fields": {"contract": {"po_number": "client_po", "document_hash": ""}},
        "dimensions": {"region": "sales_region"},
        "billing_types": {"retainer": "non_billable"},
    }
    version = connect(served, settings).read_contract("CT-1")
    assert (version.po_number, version.document_hash) == ("PO-8", "")
    assert version.dimensions == {"region": "EMEA"}
    assert version.lines[0].billing_type == "non_billable"


def test_dated_paths_are_a_setting(served: Running, box: HubspotSandbox) -> None:
    seed(box)
    dated = {"objects_path": "crm/objects/2026-03", "associations_path": "crm/objects/2026-03"}
    assert connect(served, dated).read_contract("CT-1").version == 2
    assert all(seen["path"].startswith("/crm/objects/2026-03/") for seen in box.log)


def test_contracts_may_be_a_custom_object(served: Running, box: HubspotSandbox) -> None:
    kind = box.schema.add_type("signed_contract", "Signed contract", "contract_no")
    for name in CONTRACT:
        unique = name == "contract_no"
        box.seed("_properties", {"object": kind.type_id, "name": name, "unique": unique})
    for name in ("cost_center", "hub_status"):
        box.seed("_properties", {"object": kind.type_id, "name": name})
    company, line = box.seed("companies", dict(COMPANY))["id"], box.seed("line_items", dict(TM))["id"]
    links = {"companies": [company], "line_items": [line]}
    box.seed(kind.type_id, {**CONTRACT, "dealstage": "signed", "associations": links})
    settings = {"objects": {"contract": kind.type_id}, "signed_stages": ["signed"]}
    crm = connect(served, settings)
    (notice,) = crm.contracts_changed("").notices
    assert (notice.contract_no, notice.version) == ("CT-1", 2)
    assert crm.read_contract("CT-1").client_no == "C-100"


@pytest.mark.parametrize(
    "settings",
    [
        {"fields": {"contract": {"po_numbr": "x"}}},
        {"fields": {"contrat": {}}},
        {"billing_types": {"T&M": "time"}},
        {"objects": {"contrat": "deals"}},
    ],
)
def test_a_misspelt_setting_is_refused(settings: Record) -> None:
    with pytest.raises(NeedsSetup):
        Hubspot(settings)


def test_a_property_the_portal_lacks_is_not_read_as_empty(served: Running, box: HubspotSandbox) -> None:
    seed(box)
    with pytest.raises(NeedsSetup, match="client_po"):
        connect(served, {"fields": {"contract": {"po_number": "client_po"}}}).read_contract("CT-1")
    box.seed("_properties", {"object": "line_items", "name": "cap_amount", "archived": True})
    with pytest.raises(NeedsSetup, match="cap_amount"):
        connect(served).read_contract("CT-1")
    with pytest.raises(NeedsSetup, match="hub_state"):
        connect(served, {"fields": {"status": {"state": "hub_state"}}}).report_status(STATUS)


# -- changes -----------------------------------------------------------------------------------------------------


def at(box: HubspotSandbox, time: str) -> None:
    box._set_clock({"now": f"2026-03-02T{time}Z"})


def test_tells_of_signed_deals_once_the_overlap_is_past(crm: Connection, box: HubspotSandbox) -> None:
    at(box, "09:00:00")
    deal_id = seed(box)
    seed(box, {"contract_no": "CT-2", "dealstage": "contractsent"})
    page = crm.contracts_changed("")
    (notice,) = page.notices
    assert (notice.contract_no, notice.version) == ("CT-1", 2)
    assert notice.message_id == f"{deal_id}:{notice.changed_at}"
    # The same change again within the overlap, under the same message id; and none when the watermark is far past it.
    assert crm.contracts_changed(page.watermark).notices == page.notices
    later = "2026-03-02T09:05:01+00:00"
    assert crm.contracts_changed(later).notices == ()
    assert crm.contracts_changed(later).watermark == later


def test_a_deal_without_its_number_is_not_passed_over(crm: Connection, box: HubspotSandbox) -> None:
    deal_id = seed(box, {"contract_no": "", "contract_version": ""})
    (notice,) = crm.contracts_changed("").notices
    assert (notice.contract_no, notice.version) == (deal_id, 0)
    with pytest.raises(NotFound):
        crm.read_contract(notice.contract_no)


def test_reads_all_pages_whatever_order_equal_stamps_come_in(crm: Connection, box: HubspotSandbox) -> None:
    crm.connector.manifest = crm.connector.manifest.model_copy(update={"page_size": 20})
    for n in range(100):
        at(box, f"09:00:{n // 25:02d}")
        box.seed("deals", {**CONTRACT, "contract_no": f"CT-{n}"})
    page = crm.contracts_changed("")
    assert {n.contract_no for n in page.notices} == {f"CT-{n}" for n in range(100)}
    assert len(page.notices) == 100
    assert page.watermark == "2026-03-02T09:00:03+00:00"


def test_what_search_shows_late_is_found_by_the_next_look(crm: Connection, box: HubspotSandbox) -> None:
    at(box, "09:00:00")
    box.seed("deals", {**CONTRACT, "contract_no": "CT-1"})
    box._set_clock({"now": "2026-03-02T09:00:10Z"})
    box.store.search_lag = box.store.search_lag.__class__(seconds=60)
    box.seed("deals", {**CONTRACT, "contract_no": "CT-2"})
    box.store.search_lag = box.store.search_lag.__class__(0)
    at(box, "09:00:20")
    box.seed("deals", {**CONTRACT, "contract_no": "CT-3"})
    first = crm.contracts_changed("")
    assert [n.contract_no for n in first.notices] == ["CT-1", "CT-3"]  # CT-2 is older than CT-3, and not shown yet
    at(box, "09:01:30")
    second = crm.contracts_changed(first.watermark)
    assert [n.contract_no for n in second.notices] == ["CT-1", "CT-2", "CT-3"]


# -- writing back ------------------------------------------------------------------------------------------------


def shown(box: HubspotSandbox) -> Record:
    (deal,) = [row for _, row in box.records.all("deals")]
    return {name: value for name, value in deal["properties"].items() if name.startswith("hub_")}


def test_reports_the_status_and_finds_it(crm: Connection, box: HubspotSandbox) -> None:
    deal_id = seed(box)
    assert crm.find_status(STATUS) is None
    ref = crm.report_status(STATUS)
    assert (ref.system, ref.object_type, ref.external_id) == ("hubspot", "deals", deal_id)
    assert crm.find_status(STATUS) == ref
    assert shown(box) == {
        "hub_status": "active",
        "hub_project_ref": "P-1",
        "hub_billed": "6432",
        "hub_paid": "0",
        "hub_last_invoice": "INV-1",
    }
    assert crm.find_status(STATUS.model_copy(update={"paid": Decimal(1)})) is None


def test_an_empty_value_is_emptied_there(crm: Connection, box: HubspotSandbox) -> None:
    seed(box)
    crm.report_status(STATUS)
    bare = STATUS.model_copy(update={"project_ref": "", "last_invoice": ""})
    assert crm.find_status(bare) is None
    crm.report_status(bare)
    assert shown(box)["hub_project_ref"] == ""
    assert crm.find_status(bare) is not None


def test_a_wrong_number_makes_no_new_deal(crm: Connection, box: HubspotSandbox) -> None:
    seed(box)
    wrong = STATUS.model_copy(update={"contract_no": "CT/9 x"})
    assert crm.find_status(wrong) is None
    with pytest.raises(NotFound):
        crm.report_status(wrong)
    assert box.records.count("deals") == 1


def test_a_lost_answer_is_unknown_and_the_look_up_decides(crm: Connection, box: HubspotSandbox) -> None:
    seed(box)
    for kind, there in (("timeout_before_commit", False), ("timeout_after_commit", True)):
        box._add_faults({"kind": kind, "method": "PATCH"})
        with pytest.raises(OutcomeUnknown):
            crm.report_status(STATUS)
        assert (crm.find_status(STATUS) is not None) is there


def test_our_own_write_is_announced_again_with_the_same_version(crm: Connection, box: HubspotSandbox) -> None:
    at(box, "09:00:00")
    seed(box)
    first = crm.contracts_changed("").notices
    at(box, "09:01:00")
    crm.report_status(STATUS)
    (again,) = crm.contracts_changed("").notices
    assert again.message_id != first[0].message_id
    assert (again.contract_no, again.version) == (first[0].contract_no, first[0].version)


# -- what goes wrong ---------------------------------------------------------------------------------------------


def test_limits_are_told_by_the_policy_in_the_body(crm: Connection, box: HubspotSandbox) -> None:
    seed(box)
    for limit, seconds, call in (
        ("ten_secondly", 10, lambda: crm.find_status(STATUS)),
        ("secondly", 1, lambda: crm.contracts_changed("")),
        ("daily", 3600, lambda: crm.contracts_changed("")),
    ):
        box.counters.limits = box.counters.limits.__class__(**{limit: 0})
        with pytest.raises(Throttled) as told:
            call()
        assert told.value.after_seconds == seconds, limit
        crm.traffic.resume()
    box.counters.limits = box.counters.limits.__class__()
    assert crm.find_status(STATUS) is None


@pytest.mark.parametrize(
    ("fault", "meaning"),
    [
        ({"kind": "status", "status": 423}, Throttled),
        ({"kind": "status", "status": 477, "headers": {"Retry-After": "7"}}, Unreachable),
        ({"kind": "status", "status": 502}, OutcomeUnknown),
        ({"kind": "status", "status": 400}, RemoteRefusal),
    ],
)
def test_an_answer_to_a_write_means_what_happened(
    crm: Connection, box: HubspotSandbox, fault: Record, meaning: type[Exception]
) -> None:
    seed(box)
    box._add_faults({**fault, "method": "PATCH"})
    with pytest.raises(meaning):
        crm.report_status(STATUS)


def test_a_token_without_the_scope_and_a_wrong_one_need_an_administrator(served: Running, box: HubspotSandbox) -> None:
    seed(box)
    reader = connect(served, access_token=box.credentials()["reader_token"])
    assert reader.read_contract("CT-1").version == 2
    with pytest.raises(NeedsSetup, match="MISSING_SCOPES"):
        reader.report_status(STATUS)
    with pytest.raises(NeedsSetup, match="INVALID_AUTHENTICATION"):
        connect(served, access_token="another").read_contract("CT-1")


def test_an_oauth_token_that_ends_in_the_middle_is_renewed(served: Running, box: HubspotSandbox) -> None:
    seed(box)
    crm = connect(served, auth="refresh_token")
    crm.report_status(STATUS)
    box.access.expire_all()
    assert crm.find_status(STATUS) is not None
    assert sum(seen["path"] == "/oauth/v1/token" for seen in box.log) == 2


# -- the specification -------------------------------------------------------------------------------------------


def test_requests_and_answers_keep_the_published_specification(served: Running, box: HubspotSandbox) -> None:
    """Every exchange of every verb. Associations v4 are in no document of the folder, and are left out."""
    folder = specification("hubspot")
    files = (folder / f"{name}.openapi.yaml" for name in ("deals", "companies", "line_items"))
    spec = OpenApi(*files, newer=frozenset({"objectWriteTraceId", "status"}))
    left_out: list[str] = []

    def check(response: httpx.Response) -> None:
        response.read()
        request = response.request
        if request.url.path.startswith("/crm/v4/"):
            left_out.append(request.url.path)
            return
        sent = json.loads(request.content) if request.content else None
        spec.check(request.method, request.url.path, sent, response.status_code, response.json())

    crm = connect(served, client=httpx.Client(trust_env=False, event_hooks={"response": [check]}))
    seed(box)
    crm.contracts_changed("")
    crm.contracts_changed("2026-03-02T09:00:00+00:00")
    crm.read_contract("CT-1")
    crm.report_status(STATUS)
    crm.find_status(STATUS)
    assert spec.seen == {
        "POST /crm/v3/objects/deals/search",
        "GET /crm/v3/objects/deals/{dealId}",
        "POST /crm/v3/objects/line_items/batch/read",
        "GET /crm/v3/objects/companies/{companyId}",
        "PATCH /crm/v3/objects/deals/{dealId}",
    }
    assert len(left_out) == 2
