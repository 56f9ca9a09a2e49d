"""The HubSpot sandbox behaves as the published material says: driven by hubspot-api-client and by plain HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hubspot import HubSpot
from hubspot.crm.deals import ApiException
from hubspot.exceptions import InvalidSignatureTimestampError
from hubspot.utils.signature import Signature

from isthmus.sandbox.hubspot import HubspotSandbox
from isthmus.sandbox.server import Running, running
from tests.sandbox.receiver import Receiver, receiving
from tests.vendor_specs import OpenApi, specification

Record = dict[str, Any]
MODIFIED = "hs_lastmodifieddate"


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running("hubspot") as boxes:
        yield boxes["hubspot"]


@pytest.fixture
def box(served: Running) -> HubspotSandbox:
    made = served.sandbox
    assert isinstance(made, HubspotSandbox)
    made.reset()
    return made


@pytest.fixture
def hub(served: Running, box: HubspotSandbox) -> HubSpot:
    """The vendor's published client, signed in as a private application."""
    return HubSpot(access_token=box.credentials()["access_token"], host=served.url)


class Api:
    """Plain HTTP with the control surface beside it."""

    def __init__(self, url: str, token: str) -> None:
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False)

    def call(self, method: str, path: str, status: int, body: Any = None, **params: Any) -> Any:
        answer = self.http.request(method, path, json=body, params=params)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def post(self, path: str, body: Any = None, status: int = 200) -> Any:
        return self.call("POST", path, status, body)


@pytest.fixture
def api(served: Running, box: HubspotSandbox) -> Iterator[Api]:
    made = Api(served.url, box.credentials()["access_token"])
    yield made
    made.http.close()


def deal(hub: HubSpot, contract_no: str, **properties: str) -> str:
    given = {"dealname": f"Deal {contract_no}", "contract_no": contract_no, **properties}
    made = hub.crm.deals.basic_api.create(simple_public_object_input_for_create={"properties": given})
    return str(made.id)


def search(api: Api, body: Record, status: int = 200, kind: str = "deals") -> Any:
    return api.post(f"/crm/v3/objects/{kind}/search", body, status)


def where(*filters: tuple[str, str, Any]) -> Record:
    return {"filterGroups": [{"filters": [{"propertyName": n, "operator": o, "value": v} for n, o, v in filters]}]}


def numbers(answer: Any) -> list[str]:
    return [one["properties"]["contract_no"] for one in answer["results"]]


# -- the published client: records ---------------------------------------------------------------------------------


def test_client_creates_reads_changes_and_archives_a_record(hub: HubSpot, box: HubspotSandbox) -> None:
    deal_id = deal(hub, "CT-1", dealstage="closedwon", amount="120000.50")
    found = hub.crm.deals.basic_api.get_by_id(
        "CT-1", id_property="contract_no", properties=["amount", "po_number", "no"]
    )
    assert found.id == deal_id and found.archived is False
    assert found.properties["amount"] == "120000.5"
    assert found.properties["po_number"] is None  # asked for and empty
    assert "no" not in found.properties  # asked for and not there: left out without a word
    changed = hub.crm.deals.basic_api.update(
        "CT-1", id_property="contract_no", simple_public_object_input={"properties": {"amount": "", "po_number": "P-7"}}
    )
    assert changed.id == deal_id and changed.properties["po_number"] == "P-7"
    assert "amount" not in changed.properties
    hub.crm.deals.basic_api.archive(deal_id)
    with pytest.raises(ApiException) as gone:
        hub.crm.deals.basic_api.get_by_id(deal_id)
    assert gone.value.status == 404 and json.loads(gone.value.body)["message"] == "resource not found"
    assert hub.crm.deals.basic_api.get_by_id(deal_id, archived=True).archived is True


def test_client_pages_through_all_records(hub: HubSpot, box: HubspotSandbox) -> None:
    inputs = [{"properties": {"dealname": f"D{n}"}} for n in range(100)]
    for _ in range(2):
        hub.crm.deals.batch_api.create({"inputs": inputs})
    page = hub.crm.deals.basic_api.get_page(limit=100)
    assert len(page.results) == 100 and page.paging.next.after == "100"
    assert len({one.id for one in hub.crm.deals.get_all()}) == 200
    # 200 records on two full pages: the client asks for no third one, the last page has no cursor.
    assert sum(seen["path"] == "/crm/v3/objects/deals" for seen in box.log) == 3


def test_client_upserts_a_batch_by_a_unique_property(hub: HubSpot, box: HubspotSandbox) -> None:
    def upsert(*numbers: str) -> Any:
        inputs = [
            {"idProperty": "contract_no", "id": n, "properties": {"dealname": n, "po_number": "P-1"}} for n in numbers
        ]
        return hub.crm.deals.batch_api.upsert({"inputs": inputs})

    first = upsert("CT-1", "CT-2")
    assert [(one.new, one.properties["contract_no"]) for one in first.results] == [(True, "CT-1"), (True, "CT-2")]
    second = upsert("CT-2", "CT-3")
    assert [one.new for one in second.results] == [False, True]
    assert second.results[0].id == first.results[1].id
    assert box.records.count("deals") == 3
    with pytest.raises(ApiException, match="Duplicate"):
        upsert("CT-4", "CT-4")


def test_client_reads_a_batch_and_is_told_what_is_missing(hub: HubSpot) -> None:
    deal(hub, "CT-1")
    asked = {"idProperty": "contract_no", "properties": ["contract_no"], "propertiesWithHistory": []}
    answer = hub.crm.deals.batch_api.read({**asked, "inputs": [{"id": "CT-1"}, {"id": "CT-9"}]})
    assert [one.properties["contract_no"] for one in answer.results] == ["CT-1"]
    assert answer.num_errors == 1 and answer.errors[0].context == {"ids": ["CT-9"]}


def test_client_sees_associations_with_the_record(hub: HubSpot, box: HubspotSandbox) -> None:
    deal_id = deal(hub, "CT-1")
    company = hub.crm.companies.basic_api.create(
        simple_public_object_input_for_create={
            "properties": {"name": "Meridian"},
            "associations": [
                {
                    "to": {"id": deal_id},
                    "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 6}],
                }
            ],
        }
    )
    item = hub.crm.line_items.basic_api.create(
        simple_public_object_input_for_create={
            "properties": {"name": "Advice", "price": "100", "quantity": "3"},
            "associations": [
                {
                    "to": {"id": deal_id},
                    "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 20}],
                }
            ],
        }
    )
    assert item.properties["amount"] == "300"
    found = hub.crm.deals.basic_api.get_by_id(deal_id, associations=["companies", "line_items", "contacts"])
    assert [one.id for one in found.associations["companies"].results] == [company.id]
    assert [one.id for one in found.associations["line_items"].results] == [item.id]
    assert "contacts" not in found.associations


def test_client_pages_through_associations(hub: HubSpot, box: HubspotSandbox) -> None:
    deal_id = deal(hub, "CT-1")
    kind = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 20}
    inputs = [
        {"properties": {"name": f"L{n}"}, "associations": [{"to": {"id": deal_id}, "types": [kind]}]} for n in range(7)
    ]
    hub.crm.line_items.batch_api.create({"inputs": inputs})
    box.association_page_max = 3
    seen, after = [], None
    while True:
        page = hub.crm.associations.v4.basic_api.get_page("deals", deal_id, "line_items", after=after)
        seen += [one.to_object_id for one in page.results]
        if page.paging is None:
            break
        after = page.paging.next.after
    assert len(set(seen)) == 7
    labels = hub.crm.associations.v4.batch_api.get_page(
        "deals", "line_items", batch_input_public_fetch_associations_batch_request={"inputs": [{"id": deal_id}]}
    )
    assert len(labels.results[0].to) == 7
    assert labels.results[0].to[0].association_types[0].type_id == 19


def test_client_makes_the_default_association(hub: HubSpot) -> None:
    deal_id = deal(hub, "CT-1")
    company = hub.crm.companies.basic_api.create(
        simple_public_object_input_for_create={"properties": {"name": "Meridian"}}
    )
    hub.crm.associations.v4.basic_api.create_default("deals", deal_id, "companies", company.id)
    page = hub.crm.associations.v4.basic_api.get_page("companies", company.id, "deals")
    assert [str(one.to_object_id) for one in page.results] == [deal_id]
    hub.crm.associations.v4.basic_api.archive("deals", deal_id, "companies", company.id)
    assert hub.crm.associations.v4.basic_api.get_page("companies", company.id, "deals").results == []


def test_client_sets_properties_pipelines_and_owners(hub: HubSpot) -> None:
    made = hub.crm.properties.core_api.create(
        "deals",
        property_create={
            "name": "region",
            "label": "Region",
            "type": "string",
            "fieldType": "text",
            "groupName": "dealinformation",
        },
    )
    assert made.name == "region" and made.hubspot_defined is False
    names = {one.name for one in hub.crm.properties.core_api.get_all("deals").results}
    assert {"dealname", "contract_no", "region"} <= names
    hub.crm.properties.core_api.archive("deals", "region")
    with pytest.raises(Exception, match="region"):
        hub.crm.properties.core_api.get_by_name("deals", "region")
    (pipeline,) = hub.crm.pipelines.pipelines_api.get_all("deals").results
    assert "closedwon" in {stage.id for stage in pipeline.stages}
    (owner,) = hub.crm.owners.owners_api.get_page().results
    assert owner.email == "sales@firm.example"
    assert hub.crm.owners.owners_api.get_by_id(int(owner.id)).email == owner.email
    with pytest.raises(Exception, match="Could not find owner 7"):
        hub.crm.owners.owners_api.get_by_id(7)


def test_dated_addresses_and_kinds_of_association(api: Api) -> None:
    for owners in ("/crm/v3/owners", "/crm/owners/2026-03"):
        assert [each["email"] for each in api.call("GET", owners, 200)["results"]] == ["sales@firm.example"]
    assert api.call("GET", "/crm-object-schemas/2026-03/schemas", 200) == {"results": []}
    assert "dealinformation" in str(api.call("GET", "/crm/v3/properties/deals/groups", 200))
    kinds = api.call("GET", "/crm/v4/associations/deals/companies/labels", 200)["results"]
    assert {"category": "HUBSPOT_DEFINED", "typeId": 5, "label": None} in kinds


def test_client_works_with_a_custom_object(hub: HubSpot) -> None:
    schema = hub.crm.schemas.core_api.create(
        object_schema_egg={
            "name": "signed_contract",
            "labels": {"singular": "Signed contract", "plural": "Signed contracts"},
            "primaryDisplayProperty": "number",
            "requiredProperties": [],
            "properties": [
                {
                    "name": "number",
                    "label": "Number",
                    "type": "string",
                    "fieldType": "text",
                    "hasUniqueValue": True,
                }
            ],
            "associatedObjects": ["DEAL"],
        }
    )
    kind = schema.object_type_id
    hub.crm.objects.batch_api.upsert(
        kind, {"inputs": [{"idProperty": "number", "id": "SC-1", "properties": {"number": "SC-1"}}]}
    )
    found = hub.crm.objects.basic_api.get_by_id(kind, "SC-1", id_property="number", properties=["number"])
    assert found.properties["number"] == "SC-1"


# -- what is refused -----------------------------------------------------------------------------------------------


def test_a_value_another_record_has_is_refused_by_name(hub: HubSpot, box: HubspotSandbox) -> None:
    first = deal(hub, "CT-1")
    with pytest.raises(ApiException) as refused:
        deal(hub, "CT-1")
    body = json.loads(refused.value.body)
    assert (refused.value.status, body["category"]) == (400, "VALIDATION_ERROR")
    assert body["errors"][0]["code"] == "CONFLICTING_UNIQUE_VALUE" and first in body["message"]
    assert box.records.count("deals") == 1


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"no_such": "1"}, "PROPERTY_DOESNT_EXIST"),
        ({"hs_object_id": "7"}, "READ_ONLY_VALUE"),
        ({"amount": "much"}, "INVALID_FLOAT"),
        ({"signed_on": "soon"}, "INVALID_DATE"),
        ({"closedate": "soon"}, "INVALID_LONG"),
        ({"cap_kind": "leaky"}, "INVALID_OPTION"),
        ({"dealstage": "won_somehow"}, "INVALID_OPTION"),
    ],
)
def test_a_wrong_value_is_refused_with_its_code(hub: HubSpot, properties: Record, code: str) -> None:
    with pytest.raises(ApiException) as refused:
        deal(hub, "CT-1", **properties)
    assert json.loads(refused.value.body)["errors"][0]["code"] == code


def test_a_batch_of_creations_is_all_or_nothing_unless_each_is_traced(api: Api, box: HubspotSandbox) -> None:
    good, bad = {"properties": {"dealname": "good"}}, {"properties": {"no_such": "1"}}
    api.post("/crm/v3/objects/deals/batch/create", {"inputs": [good, bad]}, 400)
    assert box.records.count("deals") == 0
    traced = [{**good, "objectWriteTraceId": "a"}, {**bad, "objectWriteTraceId": "b"}]
    answer = api.post("/crm/v3/objects/deals/batch/create", {"inputs": traced}, 207)
    assert [one["objectWriteTraceId"] for one in answer["results"]] == ["a"]
    assert answer["numErrors"] == 1 and answer["errors"][0]["context"]["objectWriteTraceId"] == ["b"]
    assert box.records.count("deals") == 1


def test_a_batch_holds_at_most_a_hundred(api: Api) -> None:
    inputs = [{"properties": {"dealname": "x"}}] * 101
    assert api.post("/crm/v3/objects/deals/batch/create", {"inputs": inputs}, 400)["category"] == "VALIDATION_ERROR"


def test_no_token_an_unknown_and_an_expired_one_are_not_let_in(served: Running, api: Api, box: HubspotSandbox) -> None:
    path = "/crm/v3/objects/deals"
    for header in ({"Authorization": ""}, {"Authorization": "Bearer other"}):
        answer = httpx.get(served.url + path, headers=header, trust_env=False)
        assert (answer.status_code, answer.json()["category"]) == (401, "INVALID_AUTHENTICATION")
    given = box.credentials()
    form = {"grant_type": "refresh_token", **{n: given[n] for n in ("client_id", "client_secret", "refresh_token")}}
    token = api.http.post("/oauth/v1/token", data=form).json()
    assert token["expires_in"] == 1800
    bearer = {"Authorization": f"Bearer {token['access_token']}"}
    assert api.http.get(path, headers=bearer).status_code == 200
    box.access.expire_all()
    late = api.http.get(path, headers=bearer)
    assert (late.status_code, late.json()["category"]) == (401, "EXPIRED_AUTHENTICATION")


def test_client_gets_a_token_for_a_refresh_token(served: Running, box: HubspotSandbox) -> None:
    given = box.credentials()
    hub = HubSpot(host=served.url)
    token = hub.oauth.tokens_api.create(
        grant_type="refresh_token",
        client_id=given["client_id"],
        client_secret=given["client_secret"],
        refresh_token=given["refresh_token"],
    )
    hub.access_token = token.access_token
    assert hub.crm.deals.basic_api.get_page().results == []
    assert hub.oauth.access_tokens_api.get(token.access_token).hub_id == int(given["portal_id"])


def test_a_token_without_the_scope_is_refused(served: Running, box: HubspotSandbox) -> None:
    reader = HubSpot(access_token=box.credentials()["reader_token"], host=served.url)
    assert reader.crm.deals.basic_api.get_page().results == []
    with pytest.raises(ApiException) as refused:
        deal(reader, "CT-1")
    assert (refused.value.status, json.loads(refused.value.body)["category"]) == (403, "MISSING_SCOPES")


# -- search --------------------------------------------------------------------------------------------------------


def test_client_searches_with_filters_sorts_and_pages(hub: HubSpot, api: Api) -> None:
    for n in range(5):
        deal(hub, f"CT-{n}", dealstage="closedwon" if n % 2 == 0 else "contractsent", amount=str(100 * n))
    found = hub.crm.deals.search_api.do_search(
        public_object_search_request={
            **where(("dealstage", "EQ", "closedwon")),
            "sorts": [{"propertyName": "amount", "direction": "DESCENDING"}],
            "properties": ["contract_no"],
            "limit": 2,
            "after": "0",
        }
    )
    assert found.total == 3 and found.paging.next.after == "2"
    assert [one.properties["contract_no"] for one in found.results] == ["CT-4", "CT-2"]
    both = {
        "filterGroups": [
            where(("amount", "LT", "100"))["filterGroups"][0],
            *where(("amount", "GTE", "400"))["filterGroups"],
        ]
    }
    assert sorted(numbers(search(api, {**both, "properties": ["contract_no"]}))) == ["CT-0", "CT-4"]
    among = {
        "filterGroups": [{"filters": [{"propertyName": "dealstage", "operator": "IN", "values": ["contractsent"]}]}]
    }
    assert sorted(numbers(search(api, {**among, "properties": ["contract_no"]}))) == ["CT-1", "CT-3"]


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 201},
        {"limit": 200, "after": "9900"},
        {"sorts": ["amount", "dealname"]},
        {"filterGroups": [{"filters": []}] * 6},
        where(("no_such", "EQ", "1")),
        where(("amount", "LIKE", "1")),
    ],
)
def test_what_search_cannot_do_is_refused(api: Api, body: Record) -> None:
    assert search(api, body, 400)["category"] == "VALIDATION_ERROR"


def test_search_takes_a_change_in_late_while_reads_by_id_see_it(hub: HubSpot, api: Api, box: HubspotSandbox) -> None:
    api.post("/_control/clock", {"now": "2026-03-02T12:00:00Z"})
    api.post("/_control/search", {"lag_seconds": 30})
    deal_id = deal(hub, "CT-1", dealstage="contractsent")
    won = {**where(("dealstage", "EQ", "closedwon")), "properties": ["contract_no"]}
    assert search(api, {})["total"] == 0
    assert hub.crm.deals.basic_api.get_by_id(deal_id).id == deal_id
    api.post("/_control/clock", {"now": "2026-03-02T12:00:30Z"})
    assert search(api, {})["total"] == 1
    hub.crm.deals.basic_api.update(deal_id, simple_public_object_input={"properties": {"dealstage": "closedwon"}})
    assert search(api, won)["total"] == 0  # it still shows the stage before
    api.post("/_control/clock", {"now": "2026-03-02T12:01:00Z"})
    assert numbers(search(api, won)) == ["CT-1"]
    api.post("/_control/faults", {"kind": "stale_read", "path": "/search", "lag": 1})
    assert search(api, won)["total"] == 0


# -- limits --------------------------------------------------------------------------------------------------------


def test_limits_are_told_by_header_and_named_in_the_body(api: Api) -> None:
    api.post("/_control/clock", {"now": "2026-03-02T12:00:00Z"})
    api.post("/_control/limits", {"ten_secondly": 3, "secondly": 1, "daily": 1000})
    first = api.http.get("/crm/v3/objects/deals")
    told = {
        name: first.headers[f"x-hubspot-ratelimit-{name}"] for name in ("max", "remaining", "interval-milliseconds")
    }
    assert told == {"max": "3", "remaining": "2", "interval-milliseconds": "10000"}
    assert first.headers["x-hubspot-ratelimit-daily-remaining"] == "999"
    for _ in range(2):
        api.call("GET", "/crm/v3/objects/deals", 200)
    over = api.call("GET", "/crm/v3/objects/deals", 429)
    assert (over["policyName"], over["errorType"]) == ("TEN_SECONDLY_ROLLING", "RATE_LIMIT")
    # Searches are counted for themselves, per second, and tell nothing in headers.
    answer = api.http.post("/crm/v3/objects/deals/search", json={})
    assert answer.status_code == 200 and "x-hubspot-ratelimit-max" not in answer.headers
    assert search(api, {}, 429)["message"] == "You have reached your secondly limit."
    api.post("/_control/clock", {"now": "2026-03-02T12:00:11Z"})
    api.call("GET", "/crm/v3/objects/deals", 200)
    assert search(api, {})["total"] == 0


def test_the_day_has_a_limit_too(api: Api) -> None:
    api.post("/_control/limits", {"daily": 1})
    api.call("GET", "/crm/v3/objects/deals", 200)
    assert api.call("GET", "/crm/v3/objects/deals", 429)["policyName"] == "DAILY"


# -- webhooks ------------------------------------------------------------------------------------------------------


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def subscribed(served: Running, box: HubspotSandbox, receiver: Receiver) -> Receiver:
    """The application wants to hear of new deals, their stages and their associations; nothing is sent by itself."""
    given = box.credentials()
    hub = HubSpot(api_key=given["developer_api_key"], host=served.url)
    throttling = {"period": "SECONDLY", "maxConcurrentRequests": 10}
    app = int(given["app_id"])
    hub.webhooks.settings_api.configure(app, {"targetUrl": receiver.url, "throttling": throttling})
    for kind in ({"eventType": "deal.creation"}, {"eventType": "deal.propertyChange", "propertyName": "dealstage"}):
        hub.webhooks.subscriptions_api.create(app, {"active": True, **kind})
    assert len(hub.webhooks.subscriptions_api.get_all(app).results) == 2
    box.hooks.push.held = True
    return receiver


def is_signed(receiver: Receiver, box: HubspotSandbox, version: str) -> bool:
    """The vendor's own check of the last request."""
    letter = receiver.letters[-1]
    header = "x-hubspot-signature-v3" if version == "v3" else "x-hubspot-signature"
    return Signature.is_valid(
        letter.headers[header],
        box.credentials()["client_secret"],
        letter.body.decode(),
        http_uri=receiver.url,
        signature_version=version,
        timestamp=letter.headers["x-hubspot-request-timestamp"],
    )


def test_webhooks_carry_the_vendors_signature(hub: HubSpot, box: HubspotSandbox, subscribed: Receiver) -> None:
    deal_id = deal(hub, "CT-1", dealstage="contractsent")
    hub.crm.deals.basic_api.update(deal_id, simple_public_object_input={"properties": {"dealstage": "closedwon"}})
    assert box.hooks.push.send() == {"taken": 3, "refused": 0, "dropped": 0, "repeated": 0}
    (letter,) = subscribed.letters
    events = letter.json()
    assert [one["subscriptionType"] for one in events] == ["deal.creation", *["deal.propertyChange"] * 2]
    assert [one.get("propertyValue") for one in events] == [None, "contractsent", "closedwon"]
    assert {one["objectId"] for one in events} == {int(deal_id)}
    assert {one["attemptNumber"] for one in events} == {0} and len({one["eventId"] for one in events}) == 3
    assert {one["changeSource"] for one in events} == {"INTEGRATION"}
    assert is_signed(subscribed, box, "v1") and is_signed(subscribed, box, "v3")
    letter.body += b" "
    assert not is_signed(subscribed, box, "v3")
    letter.headers["x-hubspot-request-timestamp"] = str(int(time.time() * 1000) - 301_000)
    with pytest.raises(InvalidSignatureTimestampError):
        is_signed(subscribed, box, "v3")


def test_what_the_receiver_refuses_comes_again_with_a_higher_attempt(
    hub: HubSpot, box: HubspotSandbox, subscribed: Receiver
) -> None:
    deal(hub, "CT-1")
    subscribed.status = 500
    for _ in range(12):
        box.hooks.push.send()
    assert [letter.json()[0]["attemptNumber"] for letter in subscribed.letters] == list(range(10))
    assert len(box.hooks.push.lost) == 1


def test_webhooks_can_be_lost_repeated_and_out_of_order(
    hub: HubSpot, api: Api, box: HubspotSandbox, subscribed: Receiver
) -> None:
    for n in range(10):
        deal(hub, f"CT-{n}")
    told = api.post("/_control/webhooks/send", {"order": "shuffled", "drop": 0.2, "repeat": 0.25})
    assert told == {"taken": 8, "refused": 0, "dropped": 2, "repeated": 2}
    ids = [event["eventId"] for letter in subscribed.letters for event in letter.json()]
    assert len(ids) == 10 and len(set(ids)) == 8 and ids != sorted(ids)
    assert len(api.call("GET", "/_control/webhooks", 200)["lost"]) == 2


def test_webhooks_go_by_themselves_unless_they_are_held(
    hub: HubSpot, box: HubspotSandbox, subscribed: Receiver
) -> None:
    box.hooks.push.held = False
    deal(hub, "CT-1")
    deadline = time.monotonic() + 60
    while not subscribed.letters and time.monotonic() < deadline:
        time.sleep(0.01)
    assert subscribed.letters[0].json()[0]["subscriptionType"] == "deal.creation"


# -- faults and specification ----------------------------------------------------------------------------------------


def test_faults_and_outages_answer_as_the_vendor_would(api: Api, box: HubspotSandbox) -> None:
    body = {"properties": {"dealname": "x"}}
    api.post("/_control/faults", {"kind": "timeout_after_commit", "method": "POST", "path": "/deals"})
    lost = api.post("/crm/v3/objects/deals", body, 504)
    assert lost["status"] == "error" and box.records.count("deals") == 1
    api.post("/_control/faults", {"kind": "timeout_before_commit", "method": "POST", "path": "/deals"})
    api.post("/crm/v3/objects/deals", body, 504)
    assert box.records.count("deals") == 1
    api.post("/_control/outage", {"on": True})
    assert api.call("GET", "/crm/v3/objects/deals", 503)["correlationId"]


def test_answers_keep_the_published_specification(api: Api, box: HubspotSandbox) -> None:
    """Everything a client does in a day, each request and answer against the vendor's OpenAPI documents."""
    folder = specification("hubspot")
    names = ("deals", "companies", "line_items", "properties", "pipelines", "owners", "associations")
    # The documents are of 2024; trace ids and batch answers with numErrors came later, status of errors is in none.
    newer = frozenset({"objectWriteTraceId", "hasUniqueValue", "numErrors", "errors", "status"})
    spec = OpenApi(*(folder / f"{name}.openapi.yaml" for name in names), newer=newer)

    def call(method: str, path: str, body: Any = None, **params: Any) -> Any:
        answer = api.http.request(method, path, json=body, params=params)
        told = answer.json() if answer.content else None
        spec.check(method, path, body, answer.status_code, told)
        return told

    deals = "/crm/v3/objects/deals"
    made = call("POST", deals, {"properties": {"dealname": "A", "contract_no": "CT-1"}, "associations": []})
    call("POST", f"{deals}/batch/create", {"inputs": [{"properties": {"dealname": "B"}, "associations": []}]})
    company = call("POST", "/crm/v3/objects/companies", {"properties": {"name": "C"}, "associations": []})
    link = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 20}
    item = {"properties": {"name": "L"}, "associations": [{"to": {"id": made["id"]}, "types": [link]}]}
    call("POST", "/crm/v3/objects/line_items", item)
    call("GET", f"{deals}/{made['id']}", properties="contract_no,amount", associations="line_items")
    call("GET", deals, limit=1)
    call("PATCH", f"{deals}/{made['id']}", {"properties": {"amount": "7"}})
    ids = {"inputs": [{"id": made["id"]}, {"id": "999"}], "properties": ["amount"], "propertiesWithHistory": []}
    call("POST", f"{deals}/batch/read", ids)
    call("POST", f"{deals}/batch/update", {"inputs": [{"id": made["id"], "properties": {"amount": "8"}}]})
    asked = {"limit": 1, "after": "0", "sorts": ["amount"], "properties": ["amount"], "filterGroups": []}
    call("POST", f"{deals}/search", asked)
    call("POST", "/crm/v3/associations/deals/line_items/batch/read", {"inputs": [{"id": made["id"]}]})
    call("GET", f"{deals}/nothing")
    call("PATCH", f"{deals}/{made['id']}", {"properties": {"no_such": "7"}})
    call("GET", "/crm/v3/properties/deals")
    call("GET", "/crm/v3/properties/deals/groups")
    call("GET", "/crm/v3/properties/deals/contract_no")
    call("GET", "/crm/v3/pipelines/deals")
    (owner,) = call("GET", "/crm/v3/owners/")["results"]
    call("GET", f"/crm/v3/owners/{owner['id']}")
    call("DELETE", f"/crm/v3/objects/companies/{company['id']}")
    call("POST", f"{deals}/batch/archive", {"inputs": [{"id": made["id"]}]})
    assert len(spec.seen) >= 15


def test_settings_of_webhooks_keep_the_published_specification(api: Api, box: HubspotSandbox) -> None:
    spec = OpenApi(specification("hubspot", "webhooks.openapi.yaml"), newer=frozenset({"status"}))
    given = box.credentials()
    root = f"/webhooks/v3/{given['app_id']}"

    def call(method: str, path: str, body: Any = None) -> Any:
        answer = api.http.request(method, root + path, json=body, params={"hapikey": given["developer_api_key"]})
        told = answer.json() if answer.content else None
        spec.check(method, root + path, body, answer.status_code, told)
        return told

    throttling = {"period": "SECONDLY", "maxConcurrentRequests": 10}
    call("PUT", "/settings", {"targetUrl": "https://hub.example/webhooks/crm", "throttling": throttling})
    call("GET", "/settings")
    made = call("POST", "/subscriptions", {"eventType": "deal.creation", "active": True})
    call("PATCH", f"/subscriptions/{made['id']}", {"active": False})
    call("GET", f"/subscriptions/{made['id']}")
    call("POST", "/subscriptions/batch/update", {"inputs": [{"id": int(made["id"]), "active": True}]})
    call("GET", "/subscriptions")
    call("DELETE", f"/subscriptions/{made['id']}")
    call("GET", f"/subscriptions/{made['id']}")
