"""The database of a new Tryton, made once for each set of versions and kept beside Tryton's environment.

Making it takes half a minute of computing, bringing it back a few seconds. On PostgreSQL it is kept as a dump; on
SQLite, where Tryton's own billing of projects is installed too, as a file.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import parse_qs, urlsplit

import psycopg

from isthmus.sandbox.tryton.office import HUB
from isthmus.sandbox.tryton.rpc import DATABASE
from isthmus.store import embedded

Backend = Literal["postgresql", "sqlite"]
ENVIRONMENT = Path(sys.prefix) / "tryton"  # scripts/setup.sh puts it there
MODULES: dict[Backend, tuple[str, ...]] = {
    "postgresql": ("account_invoice", "project"),
    "sqlite": ("account_invoice", "project_invoice"),
}
_MADE_BY = ("office.py", "rpc.py", "template.py")
_KEY = f"select key from res_user_application a join res_user u on u.id = a.user where u.login = '{HUB}'"


class NotInstalled(RuntimeError):
    """There is no Tryton beside this environment."""


def installed() -> Path:
    """Tryton's environment. NotInstalled says how it gets there."""
    if not (ENVIRONMENT / "bin/trytond").is_file():
        raise NotInstalled(f"there is no Tryton in {ENVIRONMENT}: run make setup, or sh scripts/tryton.sh")
    return ENVIRONMENT


class Place(Protocol):
    """Where the tables of one Tryton are. settings: what its server is told of it; address: for whoever reads them."""

    settings: str
    address: str
    environment: dict[str, str]

    def fill(self, make: Callable[[], None]) -> None:
        """Have a new Tryton in it: what was kept, else what make puts there, which is kept then."""
        ...

    def key(self) -> str:
        """The key of the hub's user."""
        ...

    def close(self) -> None:
        """Stop whatever keeps it."""
        ...


class Cluster:
    """A PostgreSQL server of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "postgres"
        url = urlsplit(embedded.ensure(self._folder, DATABASE))
        self.address = f"postgresql://{url.username}@{url.path}?{url.query}"
        self.settings = f"uri = postgresql://{url.username}@/?{url.query}"
        said = parse_qs(url.query)
        # What tells a program where the server's socket is.
        self.environment = {**os.environ, "PGHOST": said["host"][0], "PGPORT": said["port"][0]}

    def fill(self, make: Callable[[], None]) -> None:
        """See Place."""
        with _one_at_a_time():
            dump = kept_of_now("postgresql")
            if dump.is_file():
                _run("pg_restore", "--no-owner", "--exit-on-error", "--dbname", self.address, str(dump))
                return
            make()
            with _in_its_place(dump) as part:
                _run("pg_dump", "--format", "custom", "--no-owner", "--file", str(part), self.address)

    def key(self) -> str:
        """See Place."""
        with psycopg.connect(self.address) as connection:
            [[key]] = connection.execute(_KEY).fetchall()
        return str(key)

    def close(self) -> None:
        """See Place."""
        embedded.stop(self._folder)


class File:
    """An SQLite file. Tryton reads before it locks it: of two at once the second may not see what the first did."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / f"{DATABASE}.sqlite"
        self._file.touch()
        self.address = str(self._file)
        self.settings = f"uri = sqlite://\npath = {folder}"
        self.environment = dict(os.environ)

    def fill(self, make: Callable[[], None]) -> None:
        """See Place."""
        with _one_at_a_time():
            kept = kept_of_now("sqlite")
            if kept.is_file():
                shutil.copyfile(kept, self._file)
                return
            make()
            with (
                _in_its_place(kept) as part,
                closing(sqlite3.connect(self._file)) as made,
                closing(sqlite3.connect(part)) as copy,
            ):
                made.backup(copy)

    def key(self) -> str:
        """See Place."""
        with closing(sqlite3.connect(self._file)) as connection:
            [[key]] = connection.execute(_KEY).fetchall()
        return str(key)

    def close(self) -> None:
        """See Place. Nothing keeps a file."""


PLACES: dict[Backend, type[Cluster | File]] = {"postgresql": Cluster, "sqlite": File}


def kept_of_now(backend: Backend) -> Path:
    """Where the database of these versions is kept: another version, or another set-up, is another one."""
    versions = sorted(path.name for path in ENVIRONMENT.glob("lib/python*/site-packages/*.dist-info"))
    sources = [Path(__file__).with_name(name).read_text() for name in _MADE_BY]
    made_of = hashlib.sha256("\n".join([*versions, *sources, *MODULES[backend]]).encode()).hexdigest()[:12]
    return ENVIRONMENT / f"{backend}-{made_of}.database"


@contextmanager
def _in_its_place(kept: Path) -> Iterator[Path]:
    """A path beside it, moved there in the end: one that was broken off must not be taken for whole. Older ones go."""
    part = kept.with_suffix(".part")
    part.unlink(missing_ok=True)
    yield part
    for old in ENVIRONMENT.glob(f"{kept.name.partition('-')[0]}-*.database"):
        old.unlink()
    os.replace(part, kept)


def _run(program: str, *arguments: str) -> None:
    done = subprocess.run([embedded.binary_dir() / program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{program}: {done.stderr.strip()[-800:]}")


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Of two processes that want a database one makes it, and the other one finds the dump."""
    with open(installed() / ".making", "a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_UN)
