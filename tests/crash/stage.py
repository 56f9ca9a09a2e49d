"""Where a trial is played: one PostgreSQL, one farm of sandboxes, one nursery of hubs, and a contract already set up.

Setting the contract up is done once; a trial starts from a copy of the database and a copy of the sandboxes' memory.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import psycopg

from isthmus.app import bootstrap
from isthmus.app.demo import world
from isthmus.app.demo.firm import write_folder
from isthmus.app.firm import FirmConfig, read_folder
from isthmus.runtime.clock import HandClock
from isthmus.store.postgres import PostgresStore

ROOT = Path(__file__).resolve().parents[2]
CONTRACT, CLIENT, TASK, ROLE = "K-1201", "C-3001", "SC-12", "Software Engineer II"
RATE = Decimal("201.00")
DEAL = world.Deal(
    CONTRACT, CLIENT, "Strait Analytics (synthetic)", "New York", "10004", (world.Line(TASK, "Data hub build", ROLE),)
)
SIGNED, MONTH_END = datetime(2026, 3, 2, 13, 0, tzinfo=UTC), datetime(2026, 3, 31, 18, 0, tzinfo=UTC)
PATIENCE_SECONDS = 30.0
# Sweeps that find nothing in this story look once, at the start; the one that brings the payment looks often.
SWEEP_SECONDS = {"salesforce": 3600.0, "kantata": 3600.0, "netsuite": 0.1, "avalara": 3600.0}


class Servant:
    """A helper process that takes a line of JSON and answers with one."""

    def __init__(self, module: str) -> None:
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=env
        )
        self.hello = self.answer()

    def answer(self) -> Any:
        """The next line it says."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"{self._process.args!r} has ended"
        return json.loads(line)

    def ask(self, command: dict[str, Any]) -> Any:
        """Its answer to a command."""
        assert self._process.stdin is not None
        self._process.stdin.write((json.dumps(command) + "\n").encode())
        self._process.stdin.flush()
        return self.answer()

    def close(self) -> None:
        """It ends itself, and what it has started, when its input ends."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()


class HubProcess:
    """One hub, to be killed at any moment."""

    _numbers = itertools.count(1)

    def __init__(self, nursery: Servant, folder: Path, spec: dict[str, Any]) -> None:
        number = next(self._numbers)
        self.door, self.log = str(folder / f"door-{number}"), folder / f"hub-{number}.log"
        self.pid = int(nursery.ask({**spec, "door": self.door, "log": str(self.log)})["pid"])
        # By its handle, never by its number: a number is given again to a stranger once the process is gone.
        try:
            self._handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            self._handle = -1

    @property
    def alive(self) -> bool:
        """False once the process is gone."""
        return self._handle >= 0 and not select.select([self._handle], [], [], 0)[0]

    @property
    def stands_still(self) -> bool:
        """True while it is stopped by a signal."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"
        except OSError:
            return False

    def signal(self, number: int) -> None:
        """Send a signal; a process that is gone gets none."""
        if self._handle >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def kill(self) -> None:
        """End it as a power failure would."""
        self.signal(signal.SIGKILL)
        while self.alive:
            time.sleep(0.001)
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def wait_until_open(self) -> bool:
        """True when the door is open; False when it died before."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not Path(self.door).exists():
            assert time.monotonic() < deadline, f"the hub did not start: {self.log.read_text()[-2000:]}"
            if not self.alive:
                return False
            time.sleep(0.005)
        return True

    def send(self, do: str, by: str, **arguments: Any) -> dict[str, Any] | None:
        """The answer to a request; None when none came because the hub died."""
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(PATIENCE_SECONDS)
                line.connect(self.door)
                line.sendall((json.dumps({"do": do, "by": by, "with": arguments}) + "\n").encode())
                said = line.makefile().readline()
        except (ConnectionError, FileNotFoundError):
            return None
        return json.loads(said) if said else None


@dataclass
class Stage:
    """See the module. template: the database a trial starts from."""

    server: str
    folder: Path
    farm: Servant
    nursery: Servant
    firm: FirmConfig
    template: str = "sc12_template"

    def url_of(self, database: str) -> str:
        """The URL of a database of this server."""
        return self.server.replace("/isthmus?", f"/{database}?")

    def run_sql(self, statement: str) -> None:
        """One statement outside a transaction."""
        with psycopg.connect(self.url_of("postgres").replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(statement)

    def control(self, system: str, path: str, body: Any) -> Any:
        """Speak to a sandbox's control surface."""
        url = f"{self.farm.hello[system]['url']}/_control/{path}"
        answer = httpx.post(url, json=body, timeout=20, trust_env=False)
        answer.raise_for_status()
        return answer.json()

    def state_of(self, system: str) -> dict[str, Any]:
        """All records of a sandbox."""
        answer = httpx.get(f"{self.farm.hello[system]['url']}/_control/state", timeout=20, trust_env=False)
        found: dict[str, Any] = answer.json()
        return found

    def close(self) -> None:
        """End all helpers."""
        self.nursery.close()
        self.farm.close()


def raise_stage(server: str, folder: Path) -> Stage:
    """Everything up, the contract set up by a hub, then frozen."""
    farm, nursery = Servant("tests.crash.farm"), Servant("tests.crash.nursery")
    stage = Stage(server, folder, farm, nursery, _firm(folder, farm.hello))
    farm.ask({"do": "serve"})
    stage.run_sql(f"create database {stage.template} template template0")
    url = stage.url_of(stage.template)
    bootstrap.prepare(url)
    store = PostgresStore(url, pool_size=2)
    bootstrap.apply_firm(store, stage.firm, by="ines", approved_by="finn", clock=HandClock(SIGNED))
    store.close()
    _set_up_contract(stage, url)
    farm.ask({"do": "end"})  # frozen: from now on it serves copies only
    return stage


def _firm(folder: Path, hello: dict[str, Any]) -> FirmConfig:
    served = {
        name: SimpleNamespace(
            url=told["url"], sandbox=SimpleNamespace(credentials=lambda told=told: told["credentials"])
        )
        for name, told in hello.items()
    }
    employees = {person: str(11 + n % 4) for n, person in enumerate(sorted({p for _, p in world.TEAM.values()}))}
    firm = read_folder(write_folder(folder / "firm", served, employees))  # type: ignore[arg-type]
    # The sandboxes show at once what they have accepted, so a look-up need not wait for them to settle.
    connections = tuple(
        c.model_copy(update={"settling_seconds": 0.0, "sweep_seconds": SWEEP_SECONDS[c.name]}) for c in firm.connections
    )
    pace = firm.pace.model_copy(update={"wait_seconds_first": 0.05, "wait_seconds_max": 0.2})
    return firm.model_copy(update={"connections": connections, "pace": pace})


def _set_up_contract(stage: Stage, url: str) -> None:
    for system in stage.farm.hello:
        stage.control(system, "clock", {"now": f"{SIGNED:%Y-%m-%dT%H:%M:%SZ}"})
    ids: dict[str, str] = {}
    prices = {ROLE: SimpleNamespace(bill_rate=RATE)}
    for name, record in world.salesforce_records(DEAL, prices, ids):  # type: ignore[arg-type]
        row = {k: ids.get(v[1:], v) if isinstance(v, str) and v.startswith("@") else v for k, v in record.items()}
        ids[name] = stage.control("salesforce", "seed", {name: [row]})[name][0]["Id"]
    spec = {"url": url, "began": SIGNED.isoformat(), "elapsed": 0.0, "env": {}}
    hub = HubProcess(stage.nursery, stage.folder, spec)
    assert hub.wait_until_open(), hub.log.read_text()[-3000:]
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        done = "select count(*) from hub.run where process = 'contract_to_project' and state = 'done'"
        wait_for("the contract to be set up", lambda: connection.execute(done).fetchone() == (1,), hub)
    hub.kill()
    for system in stage.farm.hello:
        stage.control(system, "clock", {"now": f"{MONTH_END:%Y-%m-%dT%H:%M:%SZ}"})


def wait_for(what: str, true: Callable[[], bool], hub: HubProcess) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS:g} s for {what}: {hub.log.read_text()[-3000:]}"
        time.sleep(0.02)


def open_folder() -> Path:
    """A short path: the path of a socket has at most a hundred characters."""
    return Path(tempfile.mkdtemp(prefix="isthmus-crash-"))
