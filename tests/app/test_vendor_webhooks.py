"""A day of HubSpot and DocuSign: webhooks of both come twice, out of order or never, by the vendors' own signatures.

Each deal ends in one engagement, whatever became of its webhooks; and the whole day once more changes no money.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from isthmus.app.api import create_app
from isthmus.app.conformance.counterpart import Emulated
from isthmus.app.worker import SWEEPS
from isthmus.connectors.docusign import connector as Docusign
from isthmus.connectors.hubspot import connector as Hubspot
from isthmus.domain.envelopes import ApprovalEvidence
from isthmus.domain.objects import BillableItem, BillablePart, ContractVersion, Engagement, Invoice, Project
from isthmus.domain.states import CaseState, EngagementState
from isthmus.kit.executor import Connection
from isthmus.sandbox.docusign import DocusignSandbox
from isthmus.sandbox.hubspot import HubspotSandbox
from isthmus.sandbox.push import Push
from isthmus.store.records import AuditEntry, Case, Effect, RunRow, Watermark
from tests.app.stage import Stage, an_entry, problem_of

HUB = "https://hub.example"
DEALS = 6
SIGNED_FOR = (1, 2, 3)  # in the CRM nobody has approved these: their envelopes have to
CAPTURED = {"crm": "Crm", "esign": "Esign"}
Happening = Callable[[], Any]


class Day:
    """A stage with HubSpot and DocuSign beside it; each letter they deliver that rings makes the hub look, at once."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.hubspot, self.docusign = HubspotSandbox(), DocusignSandbox()
        self.deals: dict[int, str] = {}
        self.now = datetime(2026, 3, 2, 8, tzinfo=UTC)
        self.rung = dict.fromkeys(CAPTURED, 0)
        self._connect()
        self._subscribe()
        self.tick()
        self.company = self.hubspot.seed("companies", COMPANY)["id"]

    def _connect(self) -> None:
        there = {"crm": Emulated(self.hubspot), "esign": Emulated(self.docusign)}
        crm, esign = self.hubspot.credentials(), self.docusign.credentials()
        proofs = {
            "crm": {"token": crm["access_token"]},
            "esign": {name: esign[name] for name in ("integration_key", "user_id", "private_key")},
        }
        kinds = {"crm": (Hubspot(), "bearer"), "esign": (Docusign(), "jwt_grant")}
        self.connections = {}
        for name, (kind, auth) in kinds.items():
            box = there[name]
            made = Connection(name, kind, base_url=box.url, auth_kind=auth, secrets=proofs[name],
                              transport=box.transport(), writes_as=name)  # fmt: skip
            self.connections[name] = made
            self.stage.systems.by_port[CAPTURED[name]] = made  # type: ignore[assignment]
        secrets = {"crm": crm["client_secret"], "esign": f"retired-key {esign['hmac_key_2']}"}
        known = {config.name: config for config in self.stage.hub.firm.connections}
        known["esign"] = known["crm"]
        for name, connector in (("crm", "hubspot"), ("esign", "docusign")):
            changes = {"name": name, "connector": connector, "fills": (CAPTURED[name],), "writes_as": name}
            changes |= {"webhook_secret": f"demo:{secrets[name]}", "webhook_url": f"{HUB}/webhooks/{name}"}
            known[name] = known[name].model_copy(update=changes)
        self.stage.hub.firm = self.stage.hub.firm.model_copy(update={"connections": tuple(known.values())})
        self.client = TestClient(create_app(self.stage.hub), base_url=HUB, raise_server_exceptions=False)
        self.stage.client = self.client

    def _subscribe(self) -> None:
        """The application hears of deals and their stages, the account's receiver of envelopes that ended."""
        given = self.hubspot.credentials()
        api = httpx.Client(transport=Emulated(self.hubspot).transport(), base_url=self.hubspot.base_url)
        query, app = {"hapikey": given["developer_api_key"]}, f"/webhooks/v3/{given['app_id']}"
        throttling = {"period": "SECONDLY", "maxConcurrentRequests": 10}
        asked = {"targetUrl": f"{HUB}/webhooks/crm", "throttling": throttling}
        assert api.put(f"{app}/settings", params=query, json=asked).status_code == 200
        for kind in ({"eventType": "deal.creation"}, {"eventType": "deal.propertyChange", "propertyName": "dealstage"}):
            answer = api.post(f"{app}/subscriptions", params=query, json={"active": True, **kind})
            assert answer.status_code == 201
        events = [f"envelope-{state}" for state in ("completed", "declined", "voided")]
        self.docusign.connect.create(
            {"urlToPublishTo": f"{HUB}/webhooks/esign", "events": events, "includeHMAC": "true"}
        )
        self.hubspot.hooks.push._together = 2
        bells = {name: self.stage.hub.bells.hang(name) for name in CAPTURED}
        for push in self.pushes:
            push.held, push.client = True, Door(self, bells)  # type: ignore[assignment]

    @property
    def pushes(self) -> tuple[Push, Push]:
        return self.hubspot.hooks.push, self.docusign.connect.push

    # -- what people do ------------------------------------------------------------------------------------------

    def tick(self, seconds: int = 40) -> None:
        """Time goes by over there."""
        self.now += timedelta(seconds=seconds)
        for box in (self.hubspot, self.docusign):
            box._set_clock({"now": self.now.isoformat()})

    def offer(self, n: int) -> None:
        """A deal with its line, still being negotiated."""
        approved = {} if n in SIGNED_FOR else {"legal_approved_by": "lena", "finance_approved_by": "fritz"}
        line = self.hubspot.seed("line_items", {**LINE, "line_uid": "L1"})
        deal = {**DEAL, **approved, "dealname": f"Deal {n}", "contract_no": f"K-{n}", "dealstage": "contractsent"}
        links = {"companies": [[self.company, 5]], "line_items": [line["id"]]}
        self.deals[n] = self.hubspot.seed("deals", {**deal, "associations": links})["id"]

    def move(self, n: int, stage: str) -> None:
        self.hubspot.seed("deals", {"id": self.deals[n], "dealstage": stage})

    def sign(self, n: int, status: str = "completed", **more: str) -> None:
        fields = {"contract_no": f"K-{n}", "contract_version": "1", **more}
        self.docusign.seed("envelopes", {"fields": fields, "signers": SIGNERS, "status": status})

    def happenings(self) -> list[Happening]:
        """The day in its order: deals go back and forth before they are won, an envelope is declined and sent again."""
        numbers = range(1, DEALS + 1)
        offers = [lambda n=n: self.offer(n) for n in numbers]
        moves = [
            lambda n=n, stage=stage: self.move(n, stage)
            for stage in ("closedwon", "decisionmakerboughtin", "closedwon")
            for n in numbers
        ]
        signatures = [lambda: self.sign(2, "declined"), *(lambda n=n: self.sign(n) for n in SIGNED_FOR)]
        between = random.Random(3)
        for each in signatures:
            moves.insert(between.randrange(len(moves) + 1), each)
        return [*offers, *moves]

    # -- what the hub does ---------------------------------------------------------------------------------------

    def look(self, *names: str) -> None:
        """A regular look at these systems."""
        for name in names or tuple(CAPTURED):
            while SWEEPS[CAPTURED[name]](self.stage.kernel, self.connections[name]):
                pass
        self.stage.go()

    def bill(self) -> None:
        """A month of work on every deal, and its invoices."""
        for n in range(1, DEALS + 1):
            entry = an_entry(n, project_code=f"P-K-{n}", task_code="L1")
            self.stage.record(entry, message_id=f"msg_{n}")
            body = {"contract_no": f"K-{n}", "cutoff": "2026-03-31", "name": "2026-03"}
            assert self.stage.post("/v1/billing-runs", body, by="ana").status_code == 202
        self.stage.go()

    def money(self) -> dict[str, Any]:
        """See money_of."""
        return money_of(self.stage)


def money_of(stage: Stage) -> dict[str, Any]:
    """Everything that stands for money, for work and for agreement, and every write to another system."""
    kept = (Engagement, ContractVersion, Project, BillableItem, BillablePart, Invoice, ApprovalEvidence, Effect, RunRow)
    rows = {kind.__name__: [row.model_dump() for row in stage.rows(kind)] for kind in kept}
    systems = (stage.systems.psa, stage.systems.erp, stage.systems.tax)
    writes = {
        box.name: {verb: n for verb, n in box.calls.items() if "put" in verb or "post" in verb} for box in systems
    }
    return {**{name: sorted(found, key=repr) for name, found in rows.items()}, "writes": writes}


class Door:
    """What carries a letter to the hub's door; when it rang, the worker's loop looks at once."""

    def __init__(self, day: Any, bells: dict[str, Callable[[float], bool]]) -> None:
        self.day, self.bells = day, bells

    def post(self, url: str, **letter: Any) -> httpx.Response:
        answer = self.day.client.post(url, **letter)
        assert answer.status_code == 202, answer.text
        for name, rang in self.bells.items():
            if rang(0.0):
                self.day.rung[name] += 1
                self.day.look(name)
        return answer


COMPANY = {
    "name": "Harbor Mutual",
    "client_no": "C-1",
    "address": "1 Main St",
    "city": "New York",
    "state": "NY",
    "zip": "10001",
    "hs_country_code": "US",
    "tax_id": "US-77",
}
LINE = {
    "name": "Advice",
    "billing_type": "tm",
    "role": "Consultant",
    "billing_unit": "Hour",
    "bill_rate": "185",
    "tax_class": "SERVICES",
    "hs_line_item_currency_code": "USD",
}
DEAL = {
    "contract_version": 1,
    "deal_currency_code": "USD",
    "legal_entity": "US01",
    "payment_terms": "NET30",
    "effective_date": "2026-03-01",
    "signed_on": "2026-02-20",
    "practice": "DIGITAL",
    "cost_center": "CC-1",
    "billing_cap": 10000,
}
SIGNERS = [
    {"name": "Lea Legal", "email": "lea@firm.example", "roleName": "Legal"},
    {"name": "Fred Finance", "email": "fred@firm.example", "roleName": "Finance", "routingOrder": "2"},
    {"name": "Carl Client", "email": "carl@client.example", "roleName": "Client", "routingOrder": "3"},
]


@pytest.fixture
def day(stage: Stage) -> Day:
    return Day(stage)


@pytest.mark.requirement("SYS-02", "SYS-24", "PAT-05")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_day_of_lost_doubled_and_shuffled_webhooks_ends_in_one_engagement_per_deal(day: Day, seed: int) -> None:
    chance = random.Random(seed)
    day.hubspot.store.search_lag = timedelta(seconds=30)
    for happening in day.happenings():
        happening()
        if chance.random() < 0.3:
            for push in day.pushes:
                push.send("shuffled", seed=chance.randrange(1000), drop=0.3, repeat=0.5)
        if chance.random() < 0.8:
            day.tick(chance.randrange(5, 60))
    for push in day.pushes:
        push.send("reversed", drop=0.3, repeat=0.5)
    assert all(push.lost for push in day.pushes) and all(day.rung.values())
    day.tick()
    day.look()
    day.look("crm")
    stage = day.stage
    engagements = {e.contract_no: e.state for e in stage.rows(Engagement)}
    assert engagements == {f"K-{n}": EngagementState.ACTIVE for n in range(1, DEALS + 1)}
    assert sorted(row["key"] for row in stage.systems.psa.things["project"]) == sorted(f"P-{no}" for no in engagements)
    assert stage.systems.psa.duplicates() + stage.systems.erp.duplicates() == []
    assert stage.rows(Case, state=CaseState.OPEN) == []
    approved = {v.contract_no: (v.legal_approved_by, v.finance_approved_by) for v in stage.rows(ContractVersion)}
    signed = ("lea@firm.example", "fred@firm.example")
    assert approved == {f"K-{n}": signed if n in SIGNED_FOR else ("lena", "fritz") for n in range(1, DEALS + 1)}
    evidence = [(e.contract_no, e.state) for e in stage.rows(ApprovalEvidence)]
    assert sorted(evidence) == sorted([("K-2", "declined"), *((f"K-{n}", "completed") for n in SIGNED_FOR)])
    assert day.docusign.counters.violations == []
    shown = {n: day.hubspot.store.get(day.hubspot.schema.of("deals"), day.deals[n]) for n in day.deals}
    assert {record["properties"]["hub_status"] for record in shown.values() if record} == {"active"}


@pytest.mark.requirement("SYS-02", "SYS-24")
def test_the_whole_day_once_more_changes_no_money(day: Day) -> None:
    for happening in day.happenings():
        happening()
    for push in day.pushes:
        push.send("shuffled", drop=0.2)
    day.tick()
    day.look()
    day.bill()
    day.tick()
    day.look()
    before = day.money()
    assert len(before["Invoice"]) == DEALS and all(row["number"] for row in before["Invoice"])
    decided = len(day.stage.rows(AuditEntry, action="case.resolve"))
    for push in day.pushes:
        push.waiting += [*push.sent, *push.lost]
        push.sent.clear()
        push.lost.clear()
        assert push.send("shuffled", seed=9, repeat=0.5)["refused"] == 0
    day.look()
    assert day.money() == before
    with day.stage.hub.store.transaction() as tx:  # and with every change read anew, as after a restored backup
        for mark in tx.find(Watermark):
            tx.put(mark.model_copy(update={"value": ""}))
    day.look()
    assert day.money() == before
    assert len(day.stage.rows(AuditEntry, action="case.resolve")) == decided


@pytest.mark.requirement("SYS-24")
def test_change_orders_of_the_day_are_signed_once_or_are_a_case(day: Day) -> None:
    for happening in day.happenings():
        happening()
    for push in day.pushes:
        push.send()
    day.tick()
    day.look()
    more = {"change_order": "CO-1", "cap_delta": "2500.00"}
    day.sign(1, **more)
    day.sign(4, "declined", **more)
    day.docusign.connect.push.send("shuffled", repeat=1.0)
    day.tick()
    day.look()
    day.look()
    limits = [
        (v.contract_no, v.version, str(v.caps[0].limit)) for v in day.stage.rows(ContractVersion) if v.version > 1
    ]
    assert limits == [("K-1", 2, "12500.00")]
    [case] = day.stage.rows(Case, state=CaseState.OPEN)
    assert (case.exception, case.queue) == ("EX-NOT-SIGNED", "contract-operations") and "CO-1 of K-4@1" in case.cause
    before = day.money()
    for push in day.pushes:
        push.waiting += [*push.sent]
        push.sent.clear()
        push.send("reversed", repeat=0.5)
    day.look()
    assert day.money() == before


def test_a_webhook_that_is_not_the_vendors_rings_nothing(day: Day) -> None:
    day.offer(1)
    day.move(1, "closedwon")
    (push, connect), body = day.pushes, b'{"event":"envelope-completed"}'
    headers = {"X-DocuSign-Signature-1": "bm90IHRoZSBzaWduYXR1cmU=", "X-Authorization-Digest": "HMACSHA256"}
    problem_of(day.client.post("/webhooks/esign", content=body, headers=headers), 401)
    day.hubspot.hooks.push.client = _Tampering(day)  # type: ignore[assignment]
    assert push.send()["taken"] == 0
    assert day.rung == {"crm": 0, "esign": 0} and day.stage.rows(RunRow) == []
    assert connect.waiting == []


class _Tampering:
    """On its way, somebody changes a letter."""

    def __init__(self, day: Day) -> None:
        self.day = day

    def post(self, url: str, content: bytes, headers: dict[str, str]) -> httpx.Response:
        return self.day.client.post(url, content=content + b" ", headers=headers)
