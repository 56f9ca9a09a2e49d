"""A hub seen from outside: real processes, real PostgreSQL, sandboxes; spoken to by HTTP and files alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
from standardwebhooks.webhooks import Webhook

from benchmarks.bed import Bed
from isthmus.app.demo import world
from isthmus.app.demo.firm import WEBHOOK_SECRET

PATIENCE_SECONDS = 60.0
PEOPLE = {"ana": "billing", "finn": "finance", "ines": "integration", "pia": "pmo"}


class Outside:
    """The firm's people and systems around one hub."""

    def __init__(self, bed: Bed, name: str) -> None:
        self.bed = bed
        self.url = bed.database(name)
        self.hub: subprocess.Popen[str] | None = None
        self.address = ""
        self.keys = 0

    # -- the hub as a process -----------------------------------------------------------------------------------

    def start_hub(self) -> None:
        """`isthmus up` with the firm's folder."""
        self.hub, self.address = self.bed.start_hub("up", self.url, "--firm", str(self.bed.firm_folder()))

    def kill_hub(self) -> None:
        """kill -9."""
        assert self.hub is not None
        os.kill(self.hub.pid, signal.SIGKILL)
        self.hub.wait()

    def end(self) -> None:
        """Let it finish."""
        if self.hub is not None and self.hub.poll() is None:
            self.hub.terminate()
            self.hub.wait(30)

    # -- HTTP ---------------------------------------------------------------------------------------------------

    def get(self, path: str, by: str = "ines") -> Any:
        """Ask the API."""
        headers = {"Authorization": f"Bearer demo-token-{PEOPLE[by]}"}
        answer = httpx.get(f"{self.address}{path}", headers=headers, timeout=30, trust_env=False)
        assert answer.status_code == 200, answer.text
        return json.loads(answer.text, parse_float=Decimal)

    def post(self, path: str, body: Any, by: str, key: str = "", **more: Any) -> httpx.Response:
        """Write through the API."""
        self.keys += 1
        headers = {
            "Authorization": f"Bearer demo-token-{PEOPLE[by]}",
            "Idempotency-Key": key or f"k{self.keys}",
            **more.pop("headers", {}),
        }
        content = {"json": body} if body is not None else {}
        return httpx.post(f"{self.address}{path}", headers=headers, timeout=30, trust_env=False, **content, **more)

    def webhook(self, message_id: str, entries: list[dict[str, Any]]) -> httpx.Response:
        """The PSA announces approved time, signed."""
        body, now = (
            json.dumps({"type": "time.approved", "schema_version": 1, "data": {"entries": entries}}),
            datetime.now(UTC),
        )
        headers = {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(WEBHOOK_SECRET).sign(message_id, now, body),
        }
        return httpx.post(
            f"{self.address}/webhooks/kantata", content=body, headers=headers, timeout=30, trust_env=False
        )

    def until(self, what: str, true: Callable[[], Any]) -> Any:
        """Wait until something is so."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := true()):
            if time.monotonic() > deadline:
                runs = [(r["run_id"], r["state"], r["reason"]) for r in self.get("/v1/runs")["items"]]
                raise AssertionError(f"waited {PATIENCE_SECONDS:g} s for: {what}; runs: {runs}")
            time.sleep(0.05)
        return found

    def run(self, run_id: str, *states: str) -> dict[str, Any]:
        """The run, once it is in one of the states."""

        def there() -> dict[str, Any] | None:
            found = [
                r for r in self.get("/v1/runs?limit=500")["items"] if r["run_id"] == run_id and r["state"] in states
            ]
            return found[0] if found else None

        return self.until(f"{run_id} {states}", there)  # type: ignore[no-any-return]

    # -- the other systems --------------------------------------------------------------------------------------

    def state(self, system: str, collection: str) -> list[dict[str, Any]]:
        """What a sandbox holds."""
        answer = httpx.get(f"{self.bed.served[system].url}/_control/state", timeout=30, trust_env=False)
        rows: list[dict[str, Any]] = json.loads(answer.text, parse_float=Decimal).get(collection, [])
        return rows

    def reset(self) -> None:
        """Empty all sandboxes."""
        for system in self.bed.served:
            self.bed.control(system, "reset", None)

    def sign_contract(self, contract_no: str, lines: list[tuple[str, str, str]], cap: str = "") -> None:
        """A won deal with time-and-materials lines (uid, role, rate), both approvals given."""
        sides = tuple(world.Line(uid, f"Work of {role}", role) for uid, role, _ in lines)
        deal = world.Deal(
            contract_no, f"C-{contract_no}", f"Client of {contract_no} (synthetic)", "New York", "10001", sides
        )
        rates = {role: Decimal(rate) for _, role, rate in lines}
        ids: dict[str, str] = {}
        for name, record in world.salesforce_records(deal, world.price_list(), ids):
            row = {k: ids.get(v[1:], v) if isinstance(v, str) and v.startswith("@") else v for k, v in record.items()}
            if name == "SBQQ__QuoteLine__c":
                row["Rate__c"] = float(rates[row["Role__c"]])
            if name == "Contract" and cap:
                row |= {"Billing_Cap__c": float(cap), "Cap_Kind__c": "hard"}
            ids[name] = self.bed.control("salesforce", "seed", {name: [row]})[name][0]["Id"]
        self.run(f"contract_to_project/{contract_no}@1", "done")

    def workspace_and_story(self, contract_no: str, line: str) -> tuple[str, str]:
        """The PSA's ids of the project and of a task."""
        references = {r["service_model_ref"]: r["subject_id"] for r in self.state("kantata", "external_references")}
        project = f"P-{contract_no}"
        return str(references[project]), str(references[f"{project}:{line}"])

    def record_time(self, contract_no: str, line: str, work: list[tuple[date, str]], user: str = "14") -> list[str]:
        """Time entries in the PSA, approved (day, hours); their ids."""
        workspace, story = self.workspace_and_story(contract_no, line)
        rows = [
            {
                "workspace_id": workspace,
                "story_id": story,
                "user_id": user,
                "date_performed": day.isoformat(),
                "time_in_minutes": int(Decimal(hours) * 60),
                "notes": f"Work {n}",
                "approved": True,
                "billable": True,
            }
            for n, (day, hours) in enumerate(work)
        ]
        made = self.bed.control("kantata", "seed", {"time_entries": rows})["time_entries"]
        return [str(row["id"]) for row in made]


def entry(source_id: str, project: str, task: str, day: date, hours: str, number: int) -> dict[str, Any]:
    """What a webhook or the nightly file says of such an entry."""
    return {
        "source_id": source_id,
        "project_code": project,
        "task_code": task,
        "person": "dmitri.castellanos@consulting.example",
        "role": "Architect II",
        "service_date": day.isoformat(),
        "hours": hours,
        "note": f"Work {number}",
        "approved_by": "pia",
        "approved_at": datetime.now(UTC).isoformat(),
    }


def days_ago(number: int) -> date:
    """A day in the recent past: never in the future of a machine's clock."""
    return datetime.now(UTC).date() - timedelta(days=number)
