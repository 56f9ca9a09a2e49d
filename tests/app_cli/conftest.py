"""A prepared database per test, the command line in this process, and a hub whose runs a test advances by hand."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from isthmus.app import bootstrap
from isthmus.app.cli.application import app
from isthmus.app.firm import FirmConfig
from isthmus.domain.objects import TimeEntry
from isthmus.processes import sweeps
from isthmus.runtime.clock import HandClock
from isthmus.runtime.engine import MemoryEngine
from isthmus.runtime.kernel import Kernel
from isthmus.store.postgres import PostgresStore
from isthmus.store.records import RunRow
from tests.conftest import url_of
from tests.processes.hub import ENTITY, contract
from tests.simulation.fakes import FakeSystems

_NUMBERS = itertools.count(1)
NOW = datetime(2026, 3, 20, 15, tzinfo=UTC)


@dataclass
class Outcome:
    """What a command said."""

    code: int
    out: str
    err: str
    exception: BaseException | None

    @property
    def json(self) -> Any:
        if self.exception is not None:
            raise self.exception
        try:
            return json.loads(self.out)
        except json.JSONDecodeError as no_json:
            raise AssertionError(f"exit code {self.code}, on stdout {self.out!r}, on stderr {self.err!r}") from no_json


Isthmus = Callable[..., Outcome]


@pytest.fixture
def isthmus(monkeypatch: pytest.MonkeyPatch) -> Isthmus:
    """isthmus("cases", "--json"): the outcome. An unexpected exception is left in it."""
    monkeypatch.setenv("COLUMNS", "160")

    def run(*args: Any) -> Outcome:
        done = CliRunner().invoke(app, [str(arg) for arg in args], prog_name="isthmus")
        broken = None if isinstance(done.exception, SystemExit) else done.exception
        return Outcome(done.exit_code, done.stdout, done.stderr, broken)

    return run


@pytest.fixture(scope="session")
def prepared(pg_server: str, pg_template: str) -> str:
    """The name of a database with both schemas, to be copied: DBOS takes seconds to make its own."""
    name = "isthmus_cli_template"
    _execute(pg_server, f"create database {name} template {pg_template}")
    bootstrap.prepare(url_of(pg_server, name))
    return name


def _execute(server: str, statement: str) -> None:
    with psycopg.connect(url_of(server, "postgres").replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture
def database(pg_server: str, prepared: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A prepared database, named by ISTHMUS_DATABASE_URL."""
    name = f"cli_{next(_NUMBERS)}"
    _execute(pg_server, f"create database {name} template {prepared}")
    url = url_of(pg_server, name)
    monkeypatch.setenv("ISTHMUS_DATABASE_URL", url)
    yield url
    _execute(pg_server, f"drop database {name} with (force)")


class World:
    """The applied firm and a kernel on the test's database, with model systems."""

    def __init__(self, url: str) -> None:
        self.store = PostgresStore(url, pool_size=2)
        self.clock = HandClock(NOW)
        self.engine = MemoryEngine()
        self.systems = FakeSystems()
        self.kernel = Kernel(self.store, self.clock, self.engine, self.systems)
        self.apply()

    def apply(self, **entity: Any) -> None:
        firm = FirmConfig(name="Narrows", entities=(ENTITY.model_copy(update=entity),), connections=())
        bootstrap.apply_firm(self.store, firm, by="ines", approved_by="carla", clock=self.clock)

    def go(self) -> None:
        while taken := self.engine.take():
            self.kernel.advance(*taken)

    def set_up(self, **terms: Any) -> None:
        """A contract goes through contract_to_project as far as it can."""
        self.systems.crm.put_contract(contract(**terms))
        sweeps.sweep_contracts(self.kernel, self.systems.crm)
        self.go()

    def capture(self, *hours: str, day: date = date(2026, 3, 10)) -> None:
        """Approved time arrives, some hours later."""
        self.clock.move(timedelta(hours=2))
        entries = [
            TimeEntry(
                source="psa",
                source_id=f"te-{day}-{number}",
                project_code="P-K-1",
                task_code="L1",
                person="amara",
                role="Consultant",
                service_date=day,
                hours=Decimal(amount),
                approved_by="pm",
                approved_at=NOW,
            )
            for number, amount in enumerate(hours)
        ]
        with self.store.transaction() as tx:
            sweeps.accept_time(self.kernel.books(tx, key="test", actor="psa"), "psa", entries)
        sweeps.drain_time(self.kernel)
        self.go()

    def advance(self, run_id: str) -> RunRow:
        """Carry on a run that a command has queued."""
        self.kernel.advance(run_id, self.run(run_id).attempt)
        return self.run(run_id)

    def run(self, run_id: str) -> RunRow:
        with self.store.transaction() as tx:
            row = tx.get(RunRow, run_id)
        assert row is not None
        return row

    def rows(self, model: Any, **equals: Any) -> list[Any]:
        with self.store.transaction() as tx:
            return tx.find(model, **equals)


@pytest.fixture
def world(database: str) -> Iterator[World]:
    made = World(database)
    yield made
    made.store.close()


@pytest.fixture
def folder(tmp_path: Path, isthmus: Isthmus) -> Path:
    """A new firm folder."""
    place = tmp_path / "firm"
    assert isthmus("init", place).code == 0
    return place
