"""Days of work logs in Jira: its webhooks come twice, out of order or never, signed as the vendor signs them.

Every hour that stands in the end is billed once, whatever became of its webhooks; the days once more change no money.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from isthmus.app.api import create_app
from isthmus.app.conformance.counterpart import Emulated
from isthmus.app.connecting.found import OURS, connector_class
from isthmus.connectors.jira import connector as Jira
from isthmus.domain.objects import Invoice
from isthmus.domain.states import CaseState
from isthmus.kit.executor import Connection
from isthmus.processes import sweeps
from isthmus.sandbox.jira import JiraSandbox
from isthmus.sandbox.jira.reference import AMARA, PETRA
from isthmus.store.records import Case, CrossReference, RunRow, Watermark
from tests.app.stage import Stage, problem_of
from tests.app.test_vendor_webhooks import HUB, Door, money_of

LOGS = 12
SETTINGS = {
    "projects": {"US01": "CONS"},
    "approval": "issue_status",
    "approved_statuses": "Approved",
    "roles": {"amara.osei@consulting.example": "Consultant"},
}
EVENTS = ["worklog_created", "worklog_updated", "worklog_deleted", "jira:issue_updated"]


class Days:
    """A stage with Jira as PSA and time tool; each letter it delivers that rings makes the hub look, at once."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.box = stage, JiraSandbox()
        self.now = datetime(2026, 3, 2, 8, tzinfo=UTC)
        self.rung = {"psa": 0}
        there, known = Emulated(self.box), self.box.credentials()
        self.connection = Connection(
            "psa",
            Jira(SETTINGS),
            base_url=f"{there.url}/rest/api/3",
            auth_kind="basic",
            secrets={"username": known["email"], "password": known["api_token"]},
            transport=there.transport(),
            settling_seconds=0,
            writes_as="psa",
        )
        for port in ("Psa", "TimeSource"):
            stage.systems.by_port[port] = self.connection  # type: ignore[assignment]
        del stage.systems.by_port["RateBook"]
        stage.hub.firm = stage.hub.firm.model_copy(update={"connections": self._connections()})
        self.client = TestClient(create_app(stage.hub), base_url=HUB, raise_server_exceptions=False)
        stage.client = self.client
        self.tick()
        stage.set_up()
        [self.task] = {ref.remote_id for ref in stage.rows(CrossReference, system="jira", key="P-K-1:L1")}
        self._register(there, (known["admin_email"], known["admin_api_token"]))
        self.logs: list[str] = []

    def _connections(self) -> tuple[Any, ...]:
        changes = {"connector": "jira", "settings": SETTINGS, "webhook_secret": "demo:hush"}
        return tuple(
            each.model_copy(update=changes) if each.name == "psa" else each for each in self.stage.hub.firm.connections
        )

    def _register(self, there: Emulated, administrator: tuple[str, str]) -> None:
        """An administrator registers the webhook; from now on it is kept until it is sent by hand."""
        hook = {"name": "hub", "url": f"{HUB}/webhooks/psa", "secret": "hush", "events": EVENTS}
        api = httpx.Client(transport=there.transport(), base_url=there.url, auth=administrator)
        assert api.post("/rest/webhooks/1.0/webhook", json=hook).status_code == 201
        bells: dict[str, Callable[[float], bool]] = {"psa": self.stage.hub.bells.hang("psa")}
        self.push.held, self.push.client = True, Door(self, bells)  # type: ignore[assignment]

    @property
    def push(self) -> Any:
        return self.box.hooks.push

    def tick(self, seconds: int = 90) -> None:
        """Time goes by over there; a list of changes leaves out the last minute."""
        self.now += timedelta(seconds=seconds)
        self.box._set_clock({"now": self.now.isoformat()})

    # -- what people do ------------------------------------------------------------------------------------------

    def log(self, n: int) -> None:
        """Half an hour to six hours on a day of its own."""
        row = {"issue": self.task, "author": AMARA, "started": f"2026-03-{n + 1:02d}T15:00:00.000+0000"}
        self.logs.append(self.box.seed("worklog", row | {"timeSpentSeconds": 1800 * n, "comment": f"day {n}"})["id"])

    def edit(self, n: int, seconds: int) -> None:
        self.box.seed("worklog", {"id": self.logs[n], "timeSpentSeconds": seconds})

    def delete(self, n: int) -> None:
        self.box.seed("worklog", {"id": self.logs[n], "deleted": True})

    def move(self, status: str) -> None:
        at = self.now.isoformat()
        self.box.seed("issue", {"id": self.task, "status": status, "status_at": at, "author": PETRA})

    def happenings(self) -> list[Callable[[], Any]]:
        """Hours are logged, approved, corrected after approval, taken back and approved again."""
        logged = [lambda n=n: self.log(n) for n in range(1, LOGS + 1)]
        corrected = [lambda: self.edit(2, 9000), lambda: self.delete(5), lambda: self.edit(2, 7200)]
        moved = [lambda status=status: self.move(status) for status in ("Approved", "In Progress", "Approved")]
        return [*logged[:8], moved[0], *logged[8:], *corrected, *moved[1:], lambda: self.edit(7, 3600)]

    def standing(self) -> Decimal:
        """Hours of the work logs that are there."""
        return sum((Decimal(row["seconds"]) / 3600 for _, row in self.box.records.all("worklog")), Decimal(0))

    # -- what the hub does ---------------------------------------------------------------------------------------

    def look(self, *_: str) -> None:
        """A look at the work logs, and what follows from it."""
        while sweeps.sweep_time(self.stage.kernel, self.connection):
            pass
        self.stage.go()

    def billed(self) -> Decimal:
        """Hours of the month's one invoice."""
        assert self.stage.bill().status_code == 202
        self.stage.go()
        [invoice] = self.stage.rows(Invoice)
        return sum((line.quantity for line in invoice.lines), Decimal(0))


@pytest.fixture
def days(stage: Stage) -> Days:
    return Days(stage)


@pytest.mark.requirement("PAT-05", "SYS-10")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_days_of_lost_doubled_and_shuffled_webhooks_end_in_every_hour_once(days: Days, seed: int) -> None:
    chance = random.Random(seed)
    for happening in days.happenings():
        happening()
        days.tick(chance.randrange(5, 200))
        if chance.random() < 0.5:
            days.push.send("shuffled", seed=chance.randrange(1000), drop=0.3, repeat=0.5)
    days.push.send("reversed", drop=0.3, repeat=0.5)
    assert days.push.lost and days.rung["psa"]
    days.tick()
    days.look()
    assert days.billed() == days.standing() > 0
    assert days.stage.rows(Case, state=CaseState.OPEN) == [] and days.stage.systems.erp.duplicates() == []


@pytest.mark.requirement("PAT-05")
def test_the_same_days_once_more_change_no_money(days: Days) -> None:
    for happening in days.happenings():
        happening()
        days.tick()
        days.push.send("shuffled", drop=0.2)
    days.tick()
    days.look()
    assert days.billed() == days.standing() > 0
    days.tick()
    days.look()
    before = money_of(days.stage)
    days.push.waiting += [*days.push.sent, *days.push.lost]
    assert days.push.send("shuffled", seed=9, repeat=0.5)["refused"] == 0
    days.look()
    assert money_of(days.stage) == before
    with days.stage.hub.store.transaction() as tx:  # and with every change read anew, as after a restored backup
        for mark in tx.find(Watermark):
            tx.put(mark.model_copy(update={"value": ""}))
    days.look()
    assert money_of(days.stage) == before


def test_a_webhook_that_is_not_the_sites_rings_nothing(days: Days) -> None:
    runs = len(days.stage.rows(RunRow))
    headers = {"X-Hub-Signature": "sha256=" + "0" * 64}
    problem_of(days.client.post("/webhooks/psa", content=b'{"webhookEvent":"worklog_created"}', headers=headers), 401)
    assert days.rung == {"psa": 0} and len(days.stage.rows(RunRow)) == runs


def test_every_system_that_sends_webhooks_has_such_days() -> None:
    """HubSpot and DocuSign in test_vendor_webhooks, Jira here: a fourth one needs days of its own."""
    sending = {name for name in OURS if connector_class(name).read_manifest().capture.kind == "signed_webhook"}
    assert sending == {"hubspot", "docusign", "jira"}
