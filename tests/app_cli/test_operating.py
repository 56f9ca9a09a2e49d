"""Doctor, database and audit commands, and the commands that go on running, as real processes."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from isthmus.app import doctor
from isthmus.app.bootstrap import apply_firm
from isthmus.app.cli.serving import _wait
from isthmus.app.demo.firm import write_folder
from isthmus.app.firm import FirmConfig, read_folder
from isthmus.domain.errors import IsthmusError
from isthmus.runtime import audit
from isthmus.runtime.clock import SystemClock
from isthmus.sandbox.server import NAMES, Running, running
from isthmus.store import embedded, migrate
from isthmus.store.records import ConnectionState, Executor, FirmVersion, RunRow, RunState
from tests.app_cli.conftest import Isthmus, World

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60.0
CommandLine = tuple[str, ...]


@pytest.fixture(scope="module")
def systems() -> Iterator[dict[str, Running]]:
    with running(*NAMES) as served:
        yield served


@pytest.fixture
def demo_folder(systems: dict[str, Running], tmp_path: Path) -> Path:
    """A firm folder whose systems are sandboxes."""
    return write_folder(tmp_path / "demo", systems, {})


def checks(outcome: Any) -> dict[str, dict[str, str]]:
    return {line["name"]: line for line in outcome.json["checks"]}


# -- doctor ---------------------------------------------------------------------------------------------------------


def test_doctor_of_a_healthy_hub_finds_nothing(
    database: str, isthmus: Isthmus, demo_folder: Path, world: World, systems: dict[str, Running]
) -> None:
    apply_firm(world.store, read_folder(demo_folder), by="ines", approved_by="carla", clock=SystemClock())
    with world.store.transaction() as tx:
        now = datetime.now(UTC)
        # Nobody beats for it here: it is seen in an hour, so that a slow machine does not outlast its lease.
        later = now + timedelta(hours=1)
        tx.put(Executor(executor_id="w-1", host="here", pid=1, version="0", started_at=now, seen_at=later))
    before = {name: one.sandbox.records.snapshot() for name, one in systems.items()}
    done = isthmus("doctor", "--json")
    assert {line["level"] for line in done.json["checks"]} == {"ok"}, done.json
    assert done.code == 0 and done.json["ok"] is True
    asked = {"salesforce Crm", "kantata Psa", "netsuite Erp", "avalara TaxEngine"}
    lanes = {"lane financial", "lane standard", "lane bulk"}
    assert {*checks(done)} >= asked | lanes | {"database", "schema", "engine", "clocks", "workers", "audit", "disk"}
    assert {name: one.sandbox.records.snapshot() for name, one in systems.items()} == before
    assert "doctor" not in json.dumps(before)


def broken(firm: FirmConfig, name: str, **changes: Any) -> FirmConfig:
    """The firm with one connection changed."""
    connections = tuple(c.model_copy(update=changes) if c.name == name else c for c in firm.connections)
    return firm.model_copy(update={"connections": connections})


def _dead_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{one.getsockname()[1]}"


def test_doctor_names_a_connection_that_does_not_answer_lets_nobody_in_or_has_another_address(
    demo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    firm = read_folder(demo_folder)
    kantata = next(c for c in firm.connections if c.name == "kantata")
    monkeypatch.delenv("NOT_SET", raising=False)
    for changes, name, says in (
        ({"base_url": _dead_port()}, "kantata", "no connection"),
        ({"secrets": {"token": "demo:wrong-token"}}, "kantata", "401"),
        ({"secrets": {"token": "env:NOT_SET"}}, "kantata", "NOT_SET is not set"),
        ({"base_url": kantata.base_url.replace("/api/v1", "/api/v9")}, "kantata", "404"),
        ({"base_url": kantata.base_url + "/nowhere"}, "netsuite", ""),
        ({"base_url": kantata.base_url + "/nowhere"}, "avalara", ""),
    ):
        lines = {line.name.split()[0]: line for line in doctor.ask_connections(broken(firm, name, **changes), {})}
        assert lines[name].level == "fail" and says in lines[name].said, lines[name]
        assert lines[name].remedy and "wrong-token" not in lines[name].said
        assert {line.level for other, line in lines.items() if other != name} == {"ok"}
    paused = {line.name: line for line in doctor.ask_connections(firm, {"netsuite": "login refused"})}
    assert paused["netsuite Erp"].level == "fail" and "resume" in paused["netsuite Erp"].remedy


def test_doctor_sees_stuck_work_and_says_what_to_do(world: World, isthmus: Isthmus) -> None:
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    world.set_up(dimensions={"practice": "DIGITAL"})
    with world.store.transaction() as tx:
        row = tx.find(RunRow)[0]
        queued = {"run_id": "bill_contract/x", "key": "x", "state": RunState.QUEUED, "lane": "financial"}
        tx.insert(row.model_copy(update={**queued, "updated_at": long_ago}))
        tx.put(ConnectionState(connection="erp", paused=True, reason="login refused", changed_at=long_ago))
        tx.put(Executor(executor_id="w-0", host="h", pid=1, version="0", started_at=long_ago, seen_at=long_ago))
    told = checks(isthmus("doctor", "--json"))
    assert told["workers"]["level"] == "warn" and "isthmus worker" in told["workers"]["remedy"]
    assert told["lane financial"]["level"] == "warn" and "1 queued" in told["lane financial"]["said"]
    assert told["lane bulk"]["level"] == "ok"
    assert told["cases"]["level"] == "warn" and told["cases"]["said"].startswith("1 open")
    with world.store.transaction() as tx:
        tx.update(tx.find(RunRow, key="x")[0].model_copy(update={"state": RunState.FAILED}))
    again = isthmus("doctor", "--json")
    assert again.code == 1 and checks(again)["cases"]["level"] == "fail"
    assert all(line["remedy"] for line in again.json["checks"] if line["level"] != "ok")


def test_doctor_of_a_database_that_is_not_prepared(
    isthmus: Isthmus, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISTHMUS_DATABASE_URL", empty_database)
    done = isthmus("doctor", "--json")
    told = checks(done)
    assert done.code == 1 and told["schema"]["level"] == told["engine"]["level"] == "fail"
    assert "isthmus up" in told["schema"]["remedy"]
    assert "fail" in isthmus("doctor").out


def test_doctor_without_a_database_says_so_and_stops(isthmus: Isthmus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISTHMUS_DATABASE_URL", "postgresql://u:hidden@127.0.0.1:1/x")
    done = isthmus("doctor", "--json")
    assert done.code == 1 and [*checks(done)] == ["database", "disk"]
    assert "hidden" not in done.out


@pytest.mark.parametrize(("seconds", "level"), [(0.0, "ok"), (2.0, "warn"), (30.0, "fail")])
def test_doctor_compares_the_clocks(seconds: float, level: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Skewed(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) - timedelta(seconds=seconds)

    monkeypatch.setattr(doctor, "datetime", Skewed)
    assert doctor._clocks(world.store).level == level


# -- audit and database ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("SEC-04")
def test_audit_verify_names_the_entry_that_was_changed(world: World, isthmus: Isthmus) -> None:
    world.set_up(dimensions={"practice": "DIGITAL"})
    assert isthmus("cancel", "contract_to_project/K-1@1", "--reason", "withdrew", "--as", "paula").code == 0
    open_ones = isthmus("audit", "verify", "--json").json
    assert open_ones["sealed"] == 0 and open_ones["not_sealed"] >= 2
    audit.seal(world.store)
    whole = isthmus("audit", "verify", "--json")
    assert whole.code == 0 and whole.json["sealed"] == open_ones["not_sealed"] and whole.json["not_sealed"] == 0
    with world.store.transaction() as tx:
        tx.raw.execute(sa.text("set local session_replication_role = replica"))  # past the guard, as an intruder
        tx.raw.execute(sa.text("update hub.audit set actor = 'nobody' where actor = 'paula' and action = 'run.cancel'"))
    wrong = isthmus("audit", "verify", "--json")
    assert wrong.code == 1 and "run.cancel of contract_to_project/K-1@1" in wrong.json["wrong"][0]
    assert checks(isthmus("doctor", "--json"))["audit"]["level"] == "fail"


def test_a_backup_is_whole_private_and_never_overwrites(world: World, isthmus: Isthmus, tmp_path: Path) -> None:
    target = tmp_path / "hub.dump"
    assert isthmus("db", "backup", target).code == 0
    listed = subprocess.run(
        [embedded.binary_dir() / "pg_restore", "--list", target], check=True, capture_output=True, text=True
    )
    assert "TABLE DATA hub firm_version" in listed.stdout and "dbos workflow_status" in listed.stdout
    assert target.stat().st_mode & 0o077 == 0
    before = target.read_bytes()
    assert isthmus("db", "backup", target).code == 1
    assert target.read_bytes() == before and [*tmp_path.glob("*.part")] == []
    assert isthmus("db", "backup", tmp_path / "none" / "x").code == 1


def test_a_failed_backup_leaves_nothing(isthmus: Isthmus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISTHMUS_DATABASE_URL", "postgresql://u:hidden@127.0.0.1:1/x")
    done = isthmus("db", "backup", tmp_path / "hub.dump")
    assert done.code == 1 and "pg_dump failed" in done.err and "hidden" not in done.err
    assert [*tmp_path.iterdir()] == []


def test_the_embedded_database_is_started_shown_and_stopped(
    pg_server: str, isthmus: Isthmus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the tests' own server; it is stopped only in the last step of what is asked, and never here."""
    home = re.search(r"host=([^&]+)", pg_server)
    assert home is not None
    monkeypatch.delenv("ISTHMUS_DATABASE_URL", raising=False)
    monkeypatch.setenv("ISTHMUS_HOME", str(Path(home[1]).parent))
    assert isthmus("db", "start", "--json").json["running"] is True
    status = isthmus("db", "status", "--json")
    assert status.code == 0 and status.json["kind"] == "embedded" and status.json["pid"]
    monkeypatch.setenv("ISTHMUS_HOME", "/nonexistent")
    assert isthmus("db", "stop", "--json").json == {"running": False}  # nothing there is nothing to stop
    assert isthmus("db", "status", "--json").code == 1


def test_the_status_of_an_external_database(database: str, isthmus: Isthmus, monkeypatch: pytest.MonkeyPatch) -> None:
    status = isthmus("db", "status", "--json")
    assert status.code == 0 and status.json["kind"] == "external" and status.json["version"].startswith("18")
    monkeypatch.setenv("ISTHMUS_DATABASE_URL", "postgresql://u:hidden@127.0.0.1:1/x")
    down = isthmus("db", "status", "--json")
    assert down.code == 1 and down.json["running"] is False and "hidden" not in down.out


def test_version_names_what_it_is_made_of(isthmus: Isthmus) -> None:
    told = isthmus("version", "--json").json
    assert set(told) == {"isthmus", "python", "dbos", "schema"} and all(told.values())


# -- what goes on running -------------------------------------------------------------------------------------------


class Process:
    """isthmus in a process of its own; its stdout line by line."""

    def __init__(self, *args: Any, **env: str) -> None:
        command = [sys.executable, "-c", "from isthmus.app.cli import main; main()", *(str(arg) for arg in args)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "bufsize": 0}  # or select would miss a line
        self.process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **env}, **pipes)  # type: ignore[call-overload]

    def line(self) -> str:
        out = self.process.stdout
        assert out is not None
        ready, _, _ = select.select([out], [], [], PATIENCE_SECONDS)
        assert ready, "nothing was said in time"
        said = str(out.readline().decode())
        assert said, "it has ended"
        return said

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Exit code after a signal, and stderr."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, err.decode()


@pytest.fixture
def start() -> Iterator[Any]:
    started: list[Process] = []

    def run(*args: Any, **env: str) -> Process:
        started.append(Process(*args, **env))
        return started[-1]

    yield run
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def _until(true: Any) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


def test_up_applies_the_folder_serves_works_and_ends_cleanly(
    database: str, demo_folder: Path, start: Any, systems: dict[str, Running]
) -> None:
    """A served hub with a worker, a second worker beside it, and both end on SIGTERM."""
    hub = start("up", "--firm", demo_folder, "--port", "0", "--json")
    told = json.loads(hub.line())
    assert told["firm_version"] == 1 and told["firm"].startswith("Narrows")
    assert httpx.get(f"{told['url']}/healthz", trust_env=False).status_code == 200
    engine = sa.create_engine(database)

    def value(statement: str) -> Any:
        with engine.connect() as connection:
            return connection.execute(sa.text(statement)).scalar()

    _until(lambda: value("select count(*) from hub.watermark") >= 3)  # it sweeps
    more = start("worker", "--no-sweep", "--json")
    assert json.loads(more.line())["worker"] != told["worker"]
    assert value("select count(*) from hub.executor") == 2
    assert value("select applied_by from hub.firm_version") != value("select approved_by from hub.firm_version")
    for process in (more, hub):
        code, err = process.end()
        assert code == 0 and "Traceback" not in err, err
    assert value("select count(*) from hub.executor") == 0  # both gave their lease back
    engine.dispose()


def test_a_start_prepares_the_database_and_without_a_firm_says_what_to_do(empty_database: str, start: Any) -> None:
    one = start("worker", ISTHMUS_DATABASE_URL=empty_database)
    _, err = one.process.communicate(timeout=PATIENCE_SECONDS)
    assert one.process.returncode == 3 and b"isthmus apply DIR" in err
    assert migrate.current(empty_database) == migrate.head()


def test_a_port_that_is_taken_is_explained(database: str, isthmus: Isthmus) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for args in (("up", "--port", port), ("api", "--port", port), ("sandbox", "kantata", "--port", port)):
            done = isthmus(*args)
            assert (done.code, done.exception) == (1, None)
            assert str(port) in done.err and "--port 0" in done.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sandboxes_say_where_they_are_and_end_cleanly(number: int, start: Any) -> None:
    served = start("sandbox", "kantata", "avalara", "--port", "0", "--json")
    lines = [json.loads(served.line()) for _ in range(2)]
    assert [line["name"] for line in lines] == ["kantata", "avalara"]
    for line in lines:
        assert line["credentials"] and httpx.get(f"{line['control_url']}/log", trust_env=False).status_code == 200
    code, err = served.end(number)
    assert (code, err) == (0, "")


def _two_free_ports() -> int:
    """The first of two; below the range from which the system gives ports to others meanwhile."""
    for port in range(20_000 + os.getpid() % 5_000, 30_000, 2):
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise AssertionError("no two ports are free")


def test_sandboxes_listen_on_consecutive_ports(start: Any) -> None:
    port = _two_free_ports()
    served = start("sandbox", "netsuite", "kantata", "--port", port, "--tls")
    said = ""
    while f"https://127.0.0.1:{port + 1}/_control" not in said:
        said += served.line()
    assert f"https://127.0.0.1:{port}\n" in said and "ca.pem" in said and "BEGIN PRIVATE KEY" in said
    assert served.end()[0] == 0


def test_the_folder_is_applied_by_up_only_when_it_changed(database: str, demo_folder: Path, world: World) -> None:
    from isthmus.app.cli.serving import _apply_when_safe

    before = len(world.rows(FirmVersion))
    _apply_when_safe(demo_folder)
    _apply_when_safe(demo_folder)
    versions = world.rows(FirmVersion, order=("version",)) if before else []
    assert len(versions) == before + 1 and versions[-1].approved_by == "rule: no change is dangerous"


def test_a_part_that_ends_unasked_ends_the_whole_with_an_error() -> None:
    ended, gone = threading.Event(), threading.Thread(target=lambda: None)
    gone.start()
    gone.join()
    worker = SimpleNamespace(broken=threading.Event())
    with pytest.raises(IsthmusError, match="API has ended"):
        _wait(ended, worker, gone)  # type: ignore[arg-type]
    worker.broken.set()
    with pytest.raises(IsthmusError, match="loop of this worker has ended"):
        _wait(ended, worker)  # type: ignore[arg-type]
    ended.set()
    _wait(ended, worker, gone)  # type: ignore[arg-type]
