"""The files of one embedded cluster, the facts that identify it, and the error that names them.

For a data directory /x/postgres there are:

    /x/postgres            the cluster, with server.log and, when its path is short enough, the socket
    /x/postgres.identity   the system identifier of the cluster that belongs here
    /x/postgres.lock       held by whoever starts or stops the server
    /x/postgres.init       a cluster in the making; renamed to /x/postgres when complete
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAJOR = "18"
ROLE = "postgres"
PORT = 5432
WAIT_SECONDS = 120.0
PUZZLED_SECONDS = 10.0


class EmbeddedPostgresError(RuntimeError):
    """The embedded PostgreSQL cannot be used: what is wrong, where, and what to do about it."""

    def __init__(self, what: str, where: Path, remedy: str) -> None:
        super().__init__(f"embedded PostgreSQL: {what} (at {where}). {remedy}")
        self.what = what
        self.where = where
        self.remedy = remedy


@dataclass(frozen=True)
class Place:
    """The files of one data directory."""

    data: Path

    @classmethod
    def of(cls, data_dir: Path) -> Place:
        """The place of a data directory, whatever way its path is written."""
        # Two spellings of one directory must meet at one lock.
        return cls(data_dir.expanduser().resolve())

    def beside(self, suffix: str) -> Path:
        """A file beside the data directory, named after it."""
        return self.data.with_name(f"{self.data.name}.{suffix}")

    @property
    def identity(self) -> Path:
        """The record of the cluster that belongs here."""
        return self.beside("identity")

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.data / "server.log"

    @property
    def is_cluster(self) -> bool:
        """Whether a cluster is here."""
        return (self.data / "PG_VERSION").exists()


@contextlib.contextmanager
def lock(place: Place) -> Iterator[None]:
    """One starter or stopper at a time; the kernel drops the lock when its holder dies."""
    path = place.beside("lock")
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + WAIT_SECONDS + PUZZLED_SECONDS
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


def recorded_identifier(place: Place) -> int:
    """The system identifier that belongs at this place."""
    try:
        return int(place.identity.read_text())
    except FileNotFoundError:
        remedy = "If this is the right cluster, write the 'Database system identifier' of pg_controldata there."
        raise EmbeddedPostgresError("its identity record is missing", place.identity, remedy) from None
    except ValueError:
        remedy = "Restore the number from a backup or from pg_controldata."
        raise EmbeddedPostgresError("its identity record is unreadable", place.identity, remedy) from None


def identifier_on_disk(data: Path) -> int:
    """PostgreSQL keeps the identifier first in pg_control, in every version, so that tools can always find it."""
    with (data / "global/pg_control").open("rb") as control:
        first = control.read(8)
    if len(first) < 8:
        raise EmbeddedPostgresError("pg_control is cut off", data, "Restore the cluster from a backup.")
    return int(struct.unpack("=Q", first)[0])


def pid_on_file(place: Place) -> int | None:
    """The process id in postmaster.pid, whoever has that id now."""
    try:
        # A standalone backend writes its id negated.
        return abs(int((place.data / "postmaster.pid").read_text().split("\n")[0]))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def clean_environment() -> dict[str, str]:
    """PG* and locale settings of whoever starts first must not shape a server that others will share."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def write_durably(path: Path, text: str) -> None:
    """All of the text or none of it, also after a power cut."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(name, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in the folder outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_parents(folder: Path) -> None:
    """Make missing parents. Only those made here get a mode, whatever the umask; an existing one is never touched."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        with contextlib.suppress(FileExistsError):
            one.mkdir()
            if os.geteuid() == 0:
                one.chmod(0o755)
