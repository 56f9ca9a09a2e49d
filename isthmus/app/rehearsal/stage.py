"""The stage of a rehearsal: the real processes on a throwaway database, vendor sandboxes, a clock moved by hand."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psycopg
import sqlalchemy as sa

from isthmus.app import bootstrap
from isthmus.app.demo.firm import connections
from isthmus.app.firm import FirmConfig, parse
from isthmus.app.rehearsal.acts import SubcontractAct
from isthmus.app.rehearsal.script import Script, TimeAct
from isthmus.processes import clock
from isthmus.processes.subscribers import SUBSCRIBERS
from isthmus.runtime import outbox
from isthmus.runtime.clock import HandClock
from isthmus.runtime.engine import MemoryEngine
from isthmus.runtime.gate import Gate
from isthmus.runtime.kernel import Kernel
from isthmus.sandbox.server import Running, running
from isthmus.store import migrate
from isthmus.store.postgres import PostgresStore
from isthmus.store.records import RunRow

SYSTEMS = ("salesforce", "kantata", "netsuite", "avalara")
ROUNDS_MAX = 2000
_NUMBERS = itertools.count(1)


@contextmanager
def throwaway_database() -> Iterator[str]:
    """The URL of an empty, migrated database of this rehearsal alone, gone afterwards."""
    address = sa.make_url(bootstrap.database_url())
    name = f"isthmus_rehearsal_{os.getpid()}_{next(_NUMBERS)}"
    plain = address.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f'create database "{name}" template template0')
        try:
            url = address.set(database=name).render_as_string(hide_password=False)
            migrate.upgrade(url)
            yield url
        finally:
            connection.execute(f'drop database if exists "{name}" with (force)')


class Stage:
    """Everything a rehearsal stands on."""

    def __init__(self, script: Script, stack: ExitStack) -> None:
        self.script = script
        self.clock = HandClock(script.starts.astimezone(UTC))
        self.served: dict[str, Running] = stack.enter_context(running(*SYSTEMS))
        self._tell_time()
        url = stack.enter_context(throwaway_database())
        self.store = PostgresStore(url, pool_size=4)
        stack.callback(self.store.close)
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="isthmus-rehearsal-")))
        firm = _firm(script, folder, self.served)
        bootstrap.apply_firm(self.store, firm, by="rehearsal", approved_by="nobody", clock=self.clock)
        self.systems = bootstrap.ConnectedSystems(firm, lambda config: None)
        stack.callback(self.systems.close)
        self.engine = MemoryEngine()
        self.kernel = Kernel(
            self.store, self.clock, self.engine, self.systems, gate=Gate(), subscribers=dict(SUBSCRIBERS)
        )
        self._seed_crm()

    def _seed_crm(self) -> None:
        """Accounts and contracts as sales has them, so that the hub can show its status there."""
        for client in self.script.clients:
            account = {
                "Name": client.legal_name,
                "Client_No__c": client.client_no,
                "BillingCountryCode": client.country,
            }
            made = self.control("salesforce", "seed", {"Account": [account]})["Account"][0]
            numbers = {c.contract_no: c for c in self.script.contracts if c.client_no == client.client_no}
            for contract_no, terms in numbers.items():
                contract = {
                    "AccountId": made["Id"],
                    "Contract_No__c": contract_no,
                    "Version__c": 1,
                    "Status": "Draft",
                    "StartDate": terms.effective_from.isoformat(),
                    "CurrencyIsoCode": terms.currency,
                }
                self.control("salesforce", "seed", {"Contract": [contract]})

    def control(self, system: str, path: str, body: Any) -> Any:
        """Tell a sandbox something by its control surface."""
        answer = httpx.post(f"{self.served[system].url}/_control/{path}", json=body, timeout=20, trust_env=False)
        answer.raise_for_status()
        return answer.json()

    def state(self, system: str) -> dict[str, list[dict[str, Any]]]:
        """Every record a sandbox holds."""
        answer = httpx.get(f"{self.served[system].url}/_control/state", timeout=20, trust_env=False)
        state: dict[str, list[dict[str, Any]]] = answer.json()
        return state

    def _tell_time(self) -> None:
        for system in self.served:
            self.control(system, "clock", {"now": f"{self.clock.now():%Y-%m-%dT%H:%M:%SZ}"})

    def move_to(self, instant: datetime) -> None:
        """Let time pass; what was waiting goes on."""
        self.clock.move_to(instant)
        self._tell_time()
        clock.look(self.kernel)
        self.go()

    def start(self, process: str, key: str, args: dict[str, Any], entity: str, correlation: str) -> RunRow:
        """Start a run as a request would, and let everything come to rest."""
        with self.store.transaction() as tx:
            row = self.kernel.start(tx, process, key, args, entity=entity, correlation_id=correlation)
        self.go()
        return row

    def go(self) -> None:
        """Advance everything until nothing moves by itself; short waits are waited out on the clock."""
        for _ in range(ROUNDS_MAX):
            if taken := self.engine.take():
                self.kernel.advance(*taken)
            elif not self._deliver() and not self._wake():
                return
        raise AssertionError("the rehearsal does not come to rest")

    def _deliver(self) -> int:
        return sum(outbox.dispatch(self.kernel, subscriber) for subscriber in self.kernel.subscribers)

    def _wake(self) -> bool:
        """Runs that wait for a look-up or a retry within the minute are woken; longer waits are the script's."""
        due = self.kernel.next_wake()
        if due is None or due - self.clock.now() > timedelta(minutes=1):
            return False
        self.clock.move_to(due)
        return bool(self.kernel.wake_due())


def _firm(script: Script, folder: Path, served: dict[str, Running]) -> FirmConfig:
    """The firm of the script on the sandboxes: an entity with tax rates of its own needs no tax engine."""
    made = connections(folder, served)
    entities = [entity.code for entity in script.entities]
    people = {work.person for act in script.acts if isinstance(act, TimeAct) for work in act.entries}
    suppliers = {act.supplier for act in script.acts if isinstance(act, SubcontractAct)}
    engine = [entity.code for entity in script.entities if not entity.tax_rates]
    kept = []
    for connection in made:
        connection = {**connection, "entities": entities, "settling_seconds": 0}
        connection.pop("webhook_secret", None)
        if connection["name"] == "kantata":
            connection["fills"] = ["Psa"]
        if connection["name"] == "netsuite":
            settings = {
                "subsidiaries": dict.fromkeys(entities, "1"),
                "item": "21",
                "employees": dict.fromkeys(sorted(people), "11"),
                "vendors": dict.fromkeys(sorted(suppliers), "31"),
            }
            connection["settings"] = {**connection["settings"], **settings}
        if connection["name"] == "avalara":
            if not engine:
                continue
            connection["entities"] = engine
            company = connection["settings"]["companies"]["US01"]
            connection["settings"] = {**connection["settings"], "companies": dict.fromkeys(engine, company)}
        kept.append(connection)
    content = {
        "name": script.title,
        "entities": [entity.model_dump(mode="json") for entity in script.entities],
        "connections": kept,
        "callers": [],
    }
    return parse(content, "rehearsal")
