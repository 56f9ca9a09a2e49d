"""Is a server there, and is it ours? Proven by a connection and the cluster's own identifier, never by a process id."""

from __future__ import annotations

import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg

from isthmus.store.server.place import PORT, ROLE, EmbeddedPostgresError, Place, pid_on_file, recorded_identifier
from isthmus.store.server.sockets import SOCKET, socket_dir

# Popen objects of servers this process launched: a dead child stays a zombie until somebody polls it.
children: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Answer:
    """What our socket says: nothing (words empty), not ready (words of the server), or our cluster (version set)."""

    words: str = ""
    version: str | None = None


def ask(place: Place) -> Answer:
    """Connect for real: a process id or a socket file proves nothing. Raises when another cluster answers."""
    folder = socket_dir(place)
    if folder is None:
        return Answer()
    try:
        with connect(folder) as connection:
            row = connection.execute(
                "select system_identifier, current_setting('data_directory'), current_setting('server_version')"
                " from pg_control_system()"
            ).fetchone()
    except psycopg.OperationalError as error:
        return Answer(words=str(error).strip()) if _listening(folder / SOCKET) else Answer()
    assert row is not None, "pg_control_system() always has a row"
    _insist_ours(place, int(row[0]), Path(row[1]))
    return Answer(version=str(row[2]).split()[0])


def connect(folder: Path) -> psycopg.Connection[Any]:
    """A connection through the socket in this folder, each statement its own transaction."""
    return psycopg.connect(
        host=str(folder), port=PORT, user=ROLE, dbname="postgres", connect_timeout=5, autocommit=True
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


def _insist_ours(place: Place, identifier: int, served: Path) -> None:
    """Refuse a server of another cluster, and one of a copy: a copied cluster has the same system identifier."""
    expected = recorded_identifier(place)
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


def insist_silent(place: Place) -> None:
    """Refuse to call a server stopped that answers although its process cannot be seen from here."""
    if ask(place).version is not None:
        raise EmbeddedPostgresError(
            "a server answers but its process is not visible from here",
            place.data,
            "It was started in another container: stop it there.",
        )


def postmaster(place: Place) -> psutil.Process | None:
    """The living postmaster of this directory. The id on file may be stale and belong to anybody by now."""
    children[:] = [child for child in children if child.poll() is None]
    pid = pid_on_file(place)
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
        # A postmaster works in its data directory; another PostgreSQL works elsewhere, a zombie nowhere.
        ours = process.name() == "postgres" and Path(process.cwd()).samefile(place.data)
        return process if ours else None
    except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
        return None
