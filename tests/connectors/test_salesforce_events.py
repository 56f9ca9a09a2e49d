"""Salesforce's changes heard by the Pub/Sub API: nothing missed, the hub's own left out, gaps found by a sweep."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from isthmus.connectors.salesforce import connector as Salesforce
from isthmus.domain.errors import NeedsSetup, Throttled, Unreachable
from isthmus.kit.executor import Connection
from isthmus.ports.messages import ContractStatus
from isthmus.sandbox.base import Fault
from isthmus.sandbox.server import Running, make, start

STATUS = ContractStatus(
    contract_no="K-1",
    state="active",
    project_ref="P-1",
    billed=Decimal("64.00"),
    paid=Decimal("0"),
    last_invoice="INV-1",
    currency="USD",
)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "tls"])
def served(request: pytest.FixtureRequest) -> Iterator[Running]:
    running = start(make("salesforce"), tls=request.param)
    yield running
    running.stop()


@pytest.fixture
def box(served: Running) -> Any:
    served.sandbox.reset()
    return served.sandbox


@pytest.fixture
def crm(served: Running, box: Any) -> Iterator[Connection]:
    made = connect(served, box)
    yield made
    made.close()


def connect(served: Running, box: Any, **settings: str) -> Connection:
    given = box.credentials()
    secrets = {name: given[name] for name in ("consumer_key", "username", "private_key", "audience")}
    bus = {"event_bus": given["pubsub_url"], "organization_id": given["organization_id"], "listen_seconds": "0.3"}
    trusted = str(served.ca_file) if served.ca_file else True
    kind = Salesforce({**bus, **settings})
    return Connection("crm", kind, base_url=served.url, auth_kind="jwt_bearer", secrets=secrets, verify=trusted)


def contract(box: Any, number: str, **changes: Any) -> str:
    account = box.seed("Account", {"Name": f"Client {number}", "Client_No__c": number})
    terms = {"AccountId": account["Id"], "Contract_No__c": number, "Version__c": 1, "Status": "Activated"}
    return str(box.seed("Contract", terms | {"StartDate": "2026-03-01"} | changes)["Id"])


def asked(box: Any) -> list[str]:
    """What was asked since the last time: S for a subscription, Q for a query."""
    kinds = {"Subscribe": "S", "query/": "Q"}
    seen = [kinds[end] for row in box.log for end in kinds if row["path"].endswith(end)]
    box.log.clear()
    return seen


class Looks:
    """One look after the other, each from where the last one ended."""

    def __init__(self, crm: Connection) -> None:
        self.crm, self.watermark = crm, ""

    def __call__(self) -> list[str]:
        page = self.crm.contracts_changed(self.watermark)
        self.watermark = page.watermark
        return [notice.contract_no for notice in page.notices]

    @property
    def position(self) -> str:
        return str(json.loads(self.watermark)["position"])


def test_the_first_look_sweeps_and_the_next_ones_only_listen(crm: Connection, box: Any) -> None:
    contract(box, "K-1")
    look = Looks(crm)
    assert look() == ["K-1"] and look.position
    asked(box)
    assert look() == [] and asked(box) == ["S"], "silence costs no query"
    contract(box, "K-2")
    contract(box, "K-3", Status="Draft")
    assert look() == ["K-2"]
    assert asked(box) == ["S", "Q"]


def test_a_look_ends_as_soon_as_something_comes(served: Running, box: Any) -> None:
    crm = connect(served, box, listen_seconds="20")
    look = Looks(crm)
    contract(box, "K-1")
    look.watermark = json.dumps({"position": (0).to_bytes(8, "big").hex(), "since": ""})
    assert look() == ["K-1"]
    threading.Timer(0.4, contract, [box, "K-2"]).start()
    began = datetime.now(UTC)
    assert look() == ["K-2"] and datetime.now(UTC) - began < timedelta(seconds=10)
    crm.close()


def test_the_hubs_own_changes_are_no_news_and_a_users_right_after_is(crm: Connection, box: Any) -> None:
    record = contract(box, "K-1")
    look = Looks(crm)
    look()
    crm.report_status(STATUS)
    assert look() == []
    crm.report_status(STATUS.model_copy(update={"state": "invoiced"}))
    box.seed("Contract", {"Id": record, "PO_Number__c": "PO-7"})
    crm.report_status(STATUS.model_copy(update={"state": "paid"}))
    assert look() == ["K-1"], "by the last modifier it would have been lost"


def test_events_that_are_gone_are_made_up_for_by_a_sweep(crm: Connection, box: Any) -> None:
    box._set_clock({"now": "2026-03-02T09:00:00Z"})
    contract(box, "K-1")
    look = Looks(crm)
    look()
    for day in (3, 4, 9):  # a long weekend without the hub: what was first is forgotten
        box._set_clock({"now": f"2026-03-0{day}T09:00:00Z"})
        contract(box, f"K-{day}")
    crm.auth.forget()
    assert {"K-3", "K-4", "K-9"} <= set(look())
    assert look() == [] and look.position, "it listens again from where the log ended"


def test_an_event_that_names_no_record_is_a_gap(crm: Connection, box: Any) -> None:
    record = contract(box, "K-1")
    look = Looks(crm)
    look()
    box.seed("Contract", {"Id": record, "PO_Number__c": "PO-7"})
    header = box.store.changes._events[-1]["ChangeEventHeader"]
    header |= {"changeType": "GAP_OVERFLOW", "recordIds": ["000000000000000AAA"]}
    assert look() == ["K-1"]


def test_a_hundred_events_and_more_are_read_to_the_end(crm: Connection, box: Any) -> None:
    record = contract(box, "K-0")
    look = Looks(crm)
    look()
    for n in range(1, 131):
        contract(box, f"K-{n}")
        box.seed("Contract", {"Id": record, "PO_Number__c": f"PO-{n}"})
    seen = look()
    assert set(seen) == {f"K-{n}" for n in range(131)}


def test_a_firm_turns_the_bus_on_and_off_and_loses_nothing(served: Running, crm: Connection, box: Any) -> None:
    polling = connect(served, box, event_bus="")
    contract(box, "K-1")
    look = Looks(polling)
    assert look() == ["K-1"] and not look.watermark.startswith("{")
    contract(box, "K-2")
    look.crm = crm
    assert "K-2" in look() and look.position
    contract(box, "K-3")
    look.crm = polling
    assert "K-3" in look()


@pytest.mark.parametrize(
    ("status", "raised", "told"),
    [(503, Unreachable, "service.unavailable"), (429, Throttled, "subscription.limit.exceeded")],
)
def test_what_the_bus_refuses_means_what_it_means_elsewhere(
    crm: Connection, box: Any, status: int, raised: type[Exception], told: str
) -> None:
    look = Looks(crm)
    look()
    box.faults.append(Fault("status", method="GRPC", status=status))
    with pytest.raises(raised, match=told):
        look()


def test_a_token_taken_back_is_renewed_and_a_wrong_organisation_needs_setup(
    served: Running, crm: Connection, box: Any
) -> None:
    look = Looks(crm)
    look()
    box.auth.expire_all()
    contract(box, "K-1")
    assert look() == ["K-1"]
    wrong = connect(served, box, organization_id="00D000000000000AAA")
    with pytest.raises(NeedsSetup):
        wrong.contracts_changed("")
    missing = connect(served, box, organization_id="")
    with pytest.raises(NeedsSetup, match="organization_id"):
        missing.contracts_changed("")


def test_nobody_at_the_address_is_waited_for(served: Running, box: Any) -> None:
    lost = connect(served, box, event_bus="http://127.0.0.1:9")
    with pytest.raises(Unreachable):
        lost.contracts_changed("")
    odd = connect(served, box, event_bus="api.pubsub.salesforce.com:7443")
    with pytest.raises(NeedsSetup, match="https://host"):
        odd.contracts_changed("")
