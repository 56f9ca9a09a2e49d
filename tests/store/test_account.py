"""The server's account is made once, however many hubs start at the same moment on a machine that has none yet."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from isthmus.store.server import account
from isthmus.store.server.place import EmbeddedPostgresError, Place

STARTERS, ROUNDS = 6, 2
PLACE = Place(Path("/nonexistent/postgres"))
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("embedded")]
needs_useradd = pytest.mark.skipif(
    os.geteuid() != 0 or not (shutil.which("useradd") and shutil.which("userdel")),
    reason="needs root with useradd and userdel: accounts are made",
)


@pytest.fixture
def absent() -> Iterator[str]:
    """A name that no account has; the account that gets it is removed at the end. Never the one that serves a hub."""
    name = f"isthmus-t{os.getpid()}"
    _remove(name)
    yield name
    _remove(name)


def _remove(name: str) -> None:
    with contextlib.suppress(KeyError):
        pwd.getpwnam(name)
        subprocess.run(["userdel", name], check=True, capture_output=True)


def _ask_at_once(name: str, gate: Any, pipe: Connection) -> None:
    gate.wait()
    found = account.server_account(PLACE, name)
    assert found is not None
    pipe.send((found.pw_name, found.pw_uid, found.pw_gid))


def _answers(name: str, ask: Callable[[str, Any, Connection], None]) -> list[tuple[str, int, int]]:
    """What starters of separate processes are told when they ask in the same moment."""
    context = multiprocessing.get_context("fork")
    gate, pipes, starters = context.Barrier(STARTERS), [], []
    for _ in range(STARTERS):
        ours, theirs = context.Pipe()
        starters.append(context.Process(target=ask, args=(name, gate, theirs)))
        pipes.append(ours)
    for starter in starters:
        starter.start()
    told = [pipe.recv() for pipe in pipes if pipe.poll(30)]
    for starter in starters:
        starter.join(30)
    return told


@needs_useradd
@pytest.mark.parametrize("attempt", range(ROUNDS))
def test_starters_at_once_all_get_the_one_account(absent: str, attempt: int) -> None:
    told = _answers(absent, _ask_at_once)
    entry = pwd.getpwnam(absent)
    assert told == [(absent, entry.pw_uid, entry.pw_gid)] * STARTERS
    lines = [line for line in Path("/etc/passwd").read_text().splitlines() if line.startswith(f"{absent}:")]
    assert len(lines) == 1, lines


@needs_useradd
def test_the_account_can_neither_log_in_nor_write_a_home(absent: str) -> None:
    made = account.server_account(PLACE, absent)
    assert made is not None
    assert made.pw_shell == "/usr/sbin/nologin" and not Path(made.pw_dir).exists()
    assert made.pw_uid < 1000, "a system account: it shows on no login screen"


def test_an_ordinary_user_needs_no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert account.server_account(PLACE, "isthmus-nobody-at-all") is None


def test_without_a_way_to_make_one_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> pwd.struct_passwd:
        raise KeyError(name)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(account, "_one_at_a_time", contextlib.nullcontext)
    monkeypatch.setattr(account, "_add_account", lambda name: None)
    monkeypatch.setattr(pwd, "getpwnam", unknown)
    with pytest.raises(EmbeddedPostgresError, match="useradd --system isthmus-x"):
        account.server_account(PLACE, "isthmus-x")
