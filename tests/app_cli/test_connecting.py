"""isthmus connector: the list, a new connector in a folder of its own, the suite at a sandbox and at a tenant."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from isthmus.app.conformance import suite
from isthmus.app.conformance.bench import Bench
from isthmus.app.connecting.new import write
from isthmus.app.demo.firm import write_folder
from isthmus.kit.cassette import read
from isthmus.sandbox.server import Running, running
from tests.app_cli.conftest import Isthmus
from tests.connectors.test_changes_of_a_vendor import two_shapes

ROOT = Path(__file__).parents[2]


def test_the_list_names_every_connector_and_what_it_fills(isthmus: Isthmus) -> None:
    rows = {row["name"]: row for row in isthmus("connector", "list", "--json").json}
    assert (
        rows["netsuite"]["fills"] == ["Erp", "JournalBook", "ReceivableList", "ScheduleBook", "VendorBillBook"]
        and "tba" in rows["netsuite"]["auth"]
    )
    assert "Avalara AvaTax" in isthmus("connector", "list").out


@pytest.mark.requirement("SYS-33")
@pytest.mark.slow
def test_a_new_connector_passes_the_suite_and_its_own_tests_as_it_was_written(tmp_path: Path, isthmus: Isthmus) -> None:
    made = isthmus("connector", "new", "acme_time", "--into", tmp_path)
    assert made.code == 0 and "isthmus connector check" in made.out
    project = tmp_path / "acme_time"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert tests.returncode == 0, tests.stdout[-2000:]
    checked = isthmus("connector", "check", project, "--outcomes", "30", "--json")
    assert checked.code == 0, checked.out[-2000:]
    verdicts = checked.json
    assert {each["check"] for each in verdicts} == {each.name for each in suite.SUITE} | {"30 unknown outcomes"}
    rules = ["--isolated", "--select", "E,F,I,B,UP,SIM,C4", "--line-length", "120"]
    style = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *rules, "."], cwd=project, capture_output=True, timeout=60, text=True
    )
    assert style.returncode == 0, style.stdout


def test_what_is_there_is_not_written_over_and_a_bad_name_is_refused(tmp_path: Path, isthmus: Isthmus) -> None:
    assert isthmus("connector", "new", "acme", "--into", tmp_path).code == 0
    again = isthmus("connector", "new", "acme", "--into", tmp_path)
    assert again.code == 1 and "is there already" in again.err
    for name in ("Acme", "1acme", "class", "a/b", "x", "json", "httpx", "netsuite"):
        assert isthmus("connector", "new", name, "--into", tmp_path).code == 1, name
    assert "such as acme_time" in isthmus("connector", "new", "ACME-Time", "--into", tmp_path).err
    assert [path.name for path in tmp_path.iterdir()] == ["acme"]


@pytest.mark.parametrize("name", ["page", "request", "time_entry", "match", "a__b", "connector", "acme_"])
def test_a_name_that_the_code_uses_itself_is_a_name_like_any_other(name: str, tmp_path: Path) -> None:
    write(name, tmp_path)
    bench = Bench(str(tmp_path / name))
    checks = [check for check in suite.SUITE if check.name in ("manifest", "code", "write", "read", "mapping losses")]
    assert [verdict for verdict in suite.run(bench, tuple(checks)) if verdict.problem] == []


def test_a_broken_promise_is_exit_code_1_and_names_itself(tmp_path: Path, isthmus: Isthmus) -> None:
    isthmus("connector", "new", "acme_broken", "--into", tmp_path)
    notes = tmp_path / "acme_broken" / "acme_broken" / "NOTES.md"
    notes.unlink()
    done = isthmus("connector", "check", tmp_path / "acme_broken")
    assert done.code == 1 and "FAIL  code: Broken: NOTES.md is missing" in done.out


def test_a_name_nobody_knows_lists_the_known_ones(isthmus: Isthmus) -> None:
    done = isthmus("connector", "check", "netsweet")
    assert done.code == 3 and "netsuite" in done.err
    assert isthmus("connector", "check", "./nowhere").code == 3


# -- a real tenant, read only --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tenants() -> Iterator[dict[str, Running]]:
    with running("salesforce", "kantata", "netsuite", "avalara") as served:
        yield served


@pytest.mark.parametrize("name", ["salesforce", "kantata", "netsuite", "avalara"])
def test_a_tenant_is_asked_and_not_changed(
    name: str, tenants: dict[str, Running], tmp_path: Path, isthmus: Isthmus
) -> None:
    folder = write_folder(tmp_path / "firm", tenants, {})
    before = tenants[name].sandbox.records.census()
    done = isthmus("connector", "check", name, "--firm", folder, "--json")
    assert done.code == 0, done.out + done.err
    verdicts: list[dict[str, Any]] = done.json
    assert all(each["said"] and not each["problem"] for each in verdicts)
    assert tenants[name].sandbox.records.census() == before
    sent = [entry for entry in tenants[name].sandbox.log if entry["method"] in ("PUT", "PATCH", "DELETE")]
    assert sent == []


def test_what_a_tenant_answered_is_written_down_without_secrets(
    tenants: dict[str, Running], tmp_path: Path, isthmus: Isthmus
) -> None:
    folder, tape = write_folder(tmp_path / "firm", tenants, {}), tmp_path / "tape.jsonl"
    assert isthmus("connector", "check", "kantata", "--firm", folder, "--record", tape).code == 0
    recorded = list(read(tape))
    assert {one.method for one in recorded} == {"GET"} and len(recorded) > 5
    assert tenants["kantata"].sandbox.credentials()["access_token"] not in tape.read_text()
    assert isthmus("connector", "check", "kantata", "--record", tape).code == 2


def test_recorded_answers_are_read_again_under_another_mapping_version(tmp_path: Path, isthmus: Isthmus) -> None:
    project, tape = two_shapes("shapestold", tmp_path), tmp_path / "tape.jsonl"
    bench = Bench(str(project))
    bench.counterpart.sandbox.schema = 2  # type: ignore[attr-defined]
    bench.prepare("TimeSource.approved_time", 1, bench.connect())
    bench.connect(cassette=tape).approved_time("")
    asked = ("connector", "compare", project, tape, "TimeSource.approved_time")
    told = isthmus(*asked, "", "--old", "1", "--json").json
    assert told[0].startswith("entries: () became (TimeEntry(") and told[-1].startswith("unreadable: ((")
    assert isthmus(*asked, "", "--old", "2", "--new", "2").out.strip() == "the same under both"
    wrong = isthmus("connector", "compare", project, tape, "Psa.put_task", "--old", "1")
    assert wrong.code == 2 and "TimeSource.approved_time" in wrong.err
    assert isthmus(*asked, "", "--old", "7").code == 3


def test_a_tenant_with_wrong_credentials_says_so(tenants: dict[str, Running], tmp_path: Path, isthmus: Isthmus) -> None:
    folder = write_folder(tmp_path / "firm", tenants, {})
    path = folder / "connections.toml"
    path.write_text(path.read_text().replace(tenants["kantata"].sandbox.credentials()["access_token"], "wrong-token"))
    done = isthmus("connector", "check", "kantata", "--firm", folder)
    assert done.code == 1 and "FAIL  read" in done.out and "wrong-token" not in done.out


def test_a_request_that_would_write_is_refused_before_it_is_sent(tenants: dict[str, Running], tmp_path: Path) -> None:
    from isthmus.app.bootstrap import connect
    from isthmus.app.conformance.tenant import ReadOnly
    from isthmus.app.firm import read_folder
    from isthmus.domain.errors import NeedsSetup
    from isthmus.kit.wire import Request

    firm = read_folder(write_folder(tmp_path / "firm", tenants, {}))
    connection = connect(next(c for c in firm.connections if c.name == "kantata"))
    ReadOnly(connection)
    sent = len(tenants["kantata"].sandbox.log)
    with pytest.raises(NeedsSetup, match="a check only reads"):
        connection.send(Request("POST", "workspaces", json={}))
    assert len(tenants["kantata"].sandbox.log) == sent
