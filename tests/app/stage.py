"""A hub on a real database with model systems and an API in front: what the tests of the API stand on."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

import httpx
from fastapi.testclient import TestClient
from standardwebhooks.webhooks import Webhook

from isthmus.app.api import create_app
from isthmus.app.bootstrap import ConnectedSystems, Hub
from isthmus.app.firm import Caller, ConnectionConfig, FirmConfig
from isthmus.desk.config import desk_config
from isthmus.desk.filing import filer
from isthmus.domain.objects import ContractVersion
from isthmus.processes import sweeps
from isthmus.runtime.clock import HandClock
from isthmus.runtime.engine_dbos import DbosEngine
from isthmus.runtime.gate import Gate
from isthmus.runtime.kernel import Kernel
from isthmus.store.postgres import PostgresStore
from isthmus.store.records import AuditEntry, RunRow, RunState
from tests.processes.hub import ENTITY, contract
from tests.simulation.fakes import FakeSystems

SECRET = "whsec_" + base64.b64encode(b"a secret of at least 24 bytes").decode()
LIMITED_PER_MINUTE = 5
PEOPLE = {
    "rita": "reader",
    "ines": "integration",
    "ana": "billing",
    "bert": "billing",
    "pia": "project_manager",
    "finn": "finance",
    "stella": "steward",
    "adam": "admin",
    "sam": "sales",
    "tara": "tax",
    "cora": "controller",
    "eve": "executive",
}


def _connection(name: str, connector: str, port: str, **more: Any) -> ConnectionConfig:
    facts = {"base_url": "http://127.0.0.1:9", "auth": "bearer", "fills": (port,), "writes_as": name}
    return ConnectionConfig(name=name, connector=connector, **{**facts, **more})


def firm() -> FirmConfig:
    """Four systems, one caller per role, one that speaks for the CRM, one with a small allowance."""
    signed = {"webhook_secret": f"demo:{SECRET}"}
    callers = [Caller(name=name, token=f"demo:{name}-token", roles=(role,)) for name, role in PEOPLE.items()]
    everything = tuple(sorted(set(PEOPLE.values())))
    callers.append(Caller(name="crm-app", token="demo:crm-app-token", roles=everything, writes_as="crm"))
    limited = {"roles": ("reader",), "requests_per_minute": LIMITED_PER_MINUTE}
    callers.append(Caller(name="flood", token="demo:flood-token", **limited))
    return FirmConfig(
        name="Narrows",
        entities=(ENTITY,),
        connections=(
            _connection("crm", "salesforce", "Crm", **signed),
            _connection("psa", "kantata", "Psa", **signed),
            _connection("erp", "netsuite", "Erp", **signed),
            _connection("tax", "avalara", "TaxEngine"),
        ),
        callers=tuple(callers),
    )


class Stage:
    """The hub, its model systems, and clients of the API."""

    def __init__(self, url: str, config: FirmConfig | None = None) -> None:
        self.clock = HandClock(datetime(2026, 3, 2, 15, tzinfo=UTC))
        self.systems = FakeSystems()
        store, engine, config = PostgresStore(url), DbosEngine(url), config or firm()
        gate = Gate(config.ownership)
        self.kernel = Kernel(store, self.clock, engine, self.systems, gate=gate, filed=filer(desk_config()))
        systems = cast(ConnectedSystems, self.systems)
        self.hub = Hub(url, store, engine, self.kernel, config, 1, systems, gate)
        with store.transaction() as tx:
            for entity in config.entities:
                tx.insert(entity)
        self.app = create_app(self.hub)
        self.client = TestClient(self.app, raise_server_exceptions=False)
        self._keys = 0

    # -- calling ------------------------------------------------------------------------------------------------

    def get(self, path: str, by: str = "rita", **more: Any) -> httpx.Response:
        """Ask as a person."""
        return self.client.get(path, headers={"Authorization": f"Bearer {by}-token"}, **more)

    def post(
        self, path: str, body: Any = None, by: str = "adam", key: str | None = None, **more: Any
    ) -> httpx.Response:
        """Write as a person, under a new key unless one is given ("" for none)."""
        self._keys += 1
        key = f"key-{self._keys}" if key is None else key
        headers = {"Authorization": f"Bearer {by}-token", **({"Idempotency-Key": key} if key else {})}
        headers |= more.pop("headers", {})
        content = {"json": body} if body is not None else {}
        return self.client.post(path, headers=headers, **content, **more)

    def webhook(
        self, connection: str, content: Any, message_id: str = "msg_1", secret: str = SECRET, **headers: str
    ) -> httpx.Response:
        """Deliver a signed message; content is sent as it is when it is text."""
        body = content if isinstance(content, str) else json.dumps(content)
        now = datetime.now(UTC)
        signed = {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(secret).sign(message_id, now, body),
            "content-type": "application/json",
        }
        given = {**signed, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.client.post(f"/webhooks/{connection}", content=body.encode(), headers=given)

    # -- the hub's own side ---------------------------------------------------------------------------------------

    def go(self) -> None:
        """Gather messages and advance everything that is due, as a worker would."""
        sweeps.drain_time(self.kernel)
        while due := self.rows(RunRow, state=RunState.QUEUED):
            for run in due:
                self.kernel.advance(run.run_id, run.attempt)

    def set_up(self, terms: ContractVersion | None = None) -> None:
        """A contract whose project is set up, or which is parked."""
        terms = terms or contract()
        self.systems.crm.put_contract(terms)
        body = {"contract_no": terms.contract_no, "version": terms.version}
        assert self.post("/v1/processes/contract-to-project", body).status_code == 202
        self.go()

    def record(self, *entries: dict[str, Any], message_id: str = "msg_1") -> None:
        """Approved time by webhook, taken in."""
        assert self.webhook("psa", time_approved(*entries), message_id).status_code == 202
        self.go()

    def bill(self, name: str = "2026-03", by: str = "ana", **more: Any) -> httpx.Response:
        """A billing run."""
        body = {"contract_no": "K-1", "cutoff": "2026-03-31", "name": name, **more}
        return self.post("/v1/billing-runs", body, by=by)

    def rows(self, model: Any, **equals: Any) -> list[Any]:
        """Rows of the hub's books."""
        with self.hub.store.transaction() as tx:
            return tx.find(model, **equals)

    def audited(self, action: str) -> list[AuditEntry]:
        """Audit entries of an action."""
        return self.rows(AuditEntry, action=action, order=("at", "audit_id"))

    def close(self) -> None:
        """Give everything back."""
        self.client.close()
        self.hub.close()


def an_entry(number: int = 1, hours: str = "8", day: int = 3, **changes: Any) -> dict[str, Any]:
    """An approved entry as a PSA sends it."""
    facts = {
        "source_id": str(number),
        "project_code": "P-K-1",
        "task_code": "L1",
        "person": "ann",
        "role": "Consultant",
        "service_date": f"2026-03-{day:02d}",
        "hours": hours,
        "note": f"work {number}",
        "approved_by": "pia",
        "approved_at": f"2026-03-{day:02d}T18:00:00+01:00",
    }
    return {**facts, **changes}


def time_approved(*entries: dict[str, Any]) -> dict[str, Any]:
    """The message of approved time."""
    return {"type": "time.approved", "schema_version": 1, "data": {"entries": list(entries)}}


def problem_of(response: httpx.Response, status: int) -> dict[str, Any]:
    """The problem document of a refusal, checked for its form."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail", "code", "owner", "retryable"} <= set(body)
    assert body["status"] == status and body["type"] == f"urn:isthmus:problem:{body['code']}"
    return body


def money(text: str) -> Decimal:
    """An amount from an answer."""
    return Decimal(text)
