"""What holds for every command: help, exit codes, one line per error, JSON, and no waiting for what is not needed."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import typer

from isthmus.app.cli import shell
from isthmus.app.cli.application import app
from isthmus.domain.errors import (
    BadInput,
    IsthmusError,
    NeedsDecision,
    NeedsSetup,
    OutcomeUnknown,
    Unreachable,
)
from tests.app_cli.conftest import Isthmus

ROOT = Path(__file__).parents[2]
ISTHMUS = (sys.executable, "-c", "from isthmus.app.cli import main; main()")
HELP_SECONDS_MAX = 0.5
HEAVY = ("sqlalchemy", "dbos", "httpx", "pydantic", "structlog", "isthmus.app.bootstrap", "isthmus.sandbox", "fastapi")


def commands() -> Iterator[tuple[str, Any]]:
    """(path, command) of every command."""
    root: Any = typer.main.get_command(app)

    def walk(group: Any, path: str) -> Iterator[tuple[str, Any]]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from walk(command, f"{path} {name}".strip())
            if not hasattr(command, "commands") or command.invoke_without_command:
                yield f"{path} {name}".strip(), command

    yield from walk(root, "")


COMMANDS = dict(commands())
every_command = pytest.mark.parametrize("path", COMMANDS)


def test_the_commands_are_these() -> None:
    expected = (
        "access amend api apply approve audit bill bills cancel cases charge-entities check decline demo doctor "
        "explain explain-bill firm init month-end plan prices reconcile rehearse replay resolve runs "
        "sandbox thresholds trace"
    )
    grouped = [
        "audit verify",
        "connector check",
        "connector compare",
        "connector list",
        "connector new",
        "import bills",
        "import ecb-rates",
        "import expenses",
        "import rate-card",
        "import time",
        "secret key",
        "secret list",
        "secret put",
        "secret renew",
    ]
    assert {*COMMANDS} == {*expected.split(), "up", "worker", "version", *grouped} | {
        f"db {name}" for name in ("start", "stop", "status", "backup")
    }


@every_command
def test_every_command_says_what_it_does_with_an_example_of_itself(path: str, isthmus: Isthmus) -> None:
    shown = isthmus(*path.split(), "--help")
    assert shown.code == 0
    example = COMMANDS[path].help.partition("Example: ")[2]
    assert f"isthmus {path}" in example
    assert " ".join(example.split())[:40] in " ".join(shown.out.split())
    assert {"--json", "--verbose", "--debug"} <= {word for param in COMMANDS[path].params for word in param.opts}


@every_command
def test_every_option_is_explained(path: str) -> None:
    silent = {param.name for param in COMMANDS[path].params if not getattr(param, "help", "")}
    assert silent <= set(NAMED_BY_METAVAR)


NAMED_BY_METAVAR = ("case_no", "contract_no", "proposal_no", "run_id")


def test_help_comes_at_once() -> None:
    """Measured in the processor's time: another process may have the machine."""
    before = os.times()
    subprocess.run([*ISTHMUS, "--help"], check=True, capture_output=True, cwd=ROOT)
    after = os.times()
    took = after.children_user + after.children_system - before.children_user - before.children_system
    assert took < HELP_SECONDS_MAX


def test_the_commands_load_nothing_heavy() -> None:
    told = f"import sys, isthmus.app.cli.application; print([m for m in {HEAVY} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", told], check=True, capture_output=True, text=True, cwd=ROOT)
    assert loaded.stdout.strip() == "[]"


def test_the_document_of_the_commands_is_current() -> None:
    spec = importlib.util.spec_from_file_location("commands", ROOT / "scripts" / "commands.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.TARGET.read_text() == script.render(), "run python scripts/commands.py"


# -- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (shell.WrongUsage("x"), 2),
        (BadInput("x"), 1),
        (Unreachable("x"), 1),
        (OutcomeUnknown("x"), 1),
        (IsthmusError("x"), 1),
        (NeedsSetup("x"), 3),
        (NeedsDecision("EX-CCY", "x", queue="finance"), 3),
    ],
)
def test_an_errors_class_is_its_exit_code(error: IsthmusError, code: int) -> None:
    assert shell.exit_code(error) == code


def test_an_error_is_one_line_on_stderr_and_with_json_a_problem_on_stdout(isthmus: Isthmus, tmp_path: Path) -> None:
    plain = isthmus("check", tmp_path)
    assert (plain.code, plain.out) == (1, "")
    assert plain.err.startswith("isthmus: ") and plain.err.count("\n") == 1
    assert str(tmp_path) in plain.err and "isthmus init" in plain.err
    told = isthmus("check", tmp_path, "--json")
    assert told.code == 1
    assert told.json["code"] == "bad_input" and told.json["status"] == 422
    assert told.json["type"] == "urn:isthmus:problem:bad_input" and str(tmp_path) in told.json["detail"]


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ((), 2),
        (("nonsense",), 2),
        (("runs", "--state", "asleep"), 2),
        (("runs", "--limit", "0"), 2),
        (("runs", "contract_to_project/none"), 1),
        (("cases", "CASE-99999"), 1),
        (("resolve", "CASE-1", "approve", "--as", "carla"), 2),
        (("resolve", "CASE-1", "approve", "--reason", " ", "--as", "carla"), 2),
        (("resolve", "CASE-1", "approve", "--reason", "x", "--as", "carla", "--set", "novalue"), 2),
        (("resolve", "CASE-1", "approve", "--reason", "x", "--as", "carla", "--set", "a=1", "--set", "a=2"), 2),
        (("resolve", "CASE-1", "approve", "--reason", "x", "--as", "carla", "--set", 'a={"b"'), 2),
        (("resolve", "CASE-1", "approve", "--reason", "x", "--as", "carla", "--set", "by=someone"), 2),
        (("resolve", "CASE-1", "retry", "--reason", "x", "--as", "carla", "--set", "action=approve"), 2),
        (("resolve", "CASE-99999", "approve", "--reason", "x", "--as", "carla"), 1),
        (("replay", "--reason", "x"), 2),
        (("replay", "--reason", "x", "--message", "psa", "1", "--subscriber", "s"), 2),
        (("replay", "--reason", "x", "--message", "psa", "1", "--since", "2026-01-01"), 2),
        (("replay", "--reason", "x", "--message", "psa", "none"), 1),
        (("replay", "--reason", "x", "--subscriber", "nobody"), 1),
        (("replay", "--reason", "x", "--subscriber", "nobody", "--since", "yesterday"), 2),
        (("cancel", "bill_contract/none", "--reason", "x", "--as", "paula"), 1),
        (("bill", "K-none", "--cutoff", "2026-03-31", "--as", "ana"), 1),
        (("bill", "K-1", "--cutoff", "31.03.2026", "--as", "ana"), 2),
        (("firm", "99"), 1),
        (("sandbox",), 2),
        (("sandbox", "workday"), 2),
        (("sandbox", "kantata", "kantata"), 2),
        (("sandbox", "kantata", "--port", "70000"), 2),
        (("worker", "--concurrency", "0"), 2),
        (("plan", "no-such-folder"), 1),
        (("db", "start"), 1),
        (("db", "stop"), 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_bad_input_is_refused_with_a_clear_line(
    args: tuple[str, ...], code: int, isthmus: Isthmus, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = isthmus(*args)
    assert done.exception is None
    assert done.code == code
    assert "Traceback" not in done.out + done.err
    assert args == () or done.err.strip()


@pytest.mark.parametrize(
    ("url", "code", "says"),
    [
        ("nonsense", 3, "postgresql://"),
        ("postgresql://u:hidden-pass@127.0.0.1:1/isthmus", 1, "does not answer"),
    ],
)
def test_a_database_that_is_not_there_is_explained_without_its_password(
    url: str, code: int, says: str, isthmus: Isthmus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISTHMUS_DATABASE_URL", url)
    done = isthmus("cases")
    assert (done.code, done.exception) == (code, None)
    assert says in done.err and done.err.count("\n") == 1 and "hidden-pass" not in done.err


def test_an_empty_database_is_explained(isthmus: Isthmus, empty_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISTHMUS_DATABASE_URL", empty_database)
    done = isthmus("cases")
    assert done.code == 3 and "isthmus up" in done.err


def test_a_bug_is_one_line_unless_its_traceback_is_wanted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ISTHMUS_DEBUG", raising=False)
    shell.SETTINGS.as_json, shell.SETTINGS.debug = False, False
    shell.unexpected(ZeroDivisionError, ZeroDivisionError("by nought"), None)
    told = capsys.readouterr()
    assert told.err == "isthmus: unexpected ZeroDivisionError: by nought; --debug or ISTHMUS_DEBUG=1 shows where\n"
    monkeypatch.setenv("ISTHMUS_DEBUG", "1")
    try:
        raise ZeroDivisionError("by nought")
    except ZeroDivisionError as error:
        shell.unexpected(type(error), error, error.__traceback__)
    assert "Traceback" in capsys.readouterr().err


def test_the_log_goes_to_stderr_from_warnings_up_and_names_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    shell.SETTINGS.verbose, shell.SETTINGS.debug = False, False
    shell.log_to_stderr()
    log = structlog.get_logger("isthmus.test")
    log.info("quiet")
    log.warning("loud", access_token="t0k3n-of-the-session", client_secret="s3cr3t", connection="erp")
    told = capsys.readouterr()
    assert told.out == "" and "loud" in told.err and "quiet" not in told.err
    assert "erp" in told.err and "t0k3n" not in told.err and "s3cr3t" not in told.err
    shell.SETTINGS.verbose = True
    shell.log_to_stderr()
    log.info("quiet")
    assert "quiet" in capsys.readouterr().err
    structlog.reset_defaults()


def test_no_command_prints_markup() -> None:
    """Data is never read as markup, so a tag would be printed as it stands: styles are given beside the text."""
    folder = ROOT / "isthmus" / "app" / "cli"
    tags = re.compile(r"\[/?(?:bold|dim|red|green|yellow|cyan)\]")
    assert [path.name for path in sorted(folder.glob("*.py")) if tags.search(path.read_text())] == []
