"""The database of a new Tryton, made once for each set of versions and kept as a dump beside Tryton's environment.

Making it takes half a minute of computing, bringing it back a few seconds.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from isthmus.store import embedded

ENVIRONMENT = Path(sys.prefix) / "tryton"  # scripts/setup.sh puts it there
MODULES = ("account_invoice", "project")
_MADE_BY = ("office.py", "rpc.py", "template.py")


class NotInstalled(RuntimeError):
    """There is no Tryton beside this environment."""


def installed() -> Path:
    """Tryton's environment. NotInstalled says how it gets there."""
    if not (ENVIRONMENT / "bin/trytond").is_file():
        raise NotInstalled(f"there is no Tryton in {ENVIRONMENT}: run make setup, or sh scripts/tryton.sh")
    return ENVIRONMENT


def dump_of_now() -> Path:
    """Where the dump of these versions is kept: another version, or another set-up, is another dump."""
    versions = sorted(path.name for path in ENVIRONMENT.glob("lib/python*/site-packages/*.dist-info"))
    sources = [Path(__file__).with_name(name).read_text() for name in _MADE_BY]
    made_of = hashlib.sha256("\n".join([*versions, *sources, *MODULES]).encode()).hexdigest()[:12]
    return ENVIRONMENT / f"database-{made_of}.dump"


def fill(url: str, make: Callable[[], None]) -> None:
    """Have the database of this URL hold a new Tryton: from the dump, else by make, which is dumped then."""
    with _one_at_a_time():
        dump = dump_of_now()
        if dump.is_file():
            _run("pg_restore", "--no-owner", "--exit-on-error", "--dbname", address(url), str(dump))
            return
        make()
        for old in ENVIRONMENT.glob("database-*.dump"):
            old.unlink()
        # Beside it first: a dump that was broken off must not be taken for one.
        _run("pg_dump", "--format", "custom", "--no-owner", "--file", f"{dump}.part", address(url))
        os.replace(f"{dump}.part", dump)


def address(url: str, database: str = "") -> str:
    """The URL of the embedded server as PostgreSQL's own programs take it."""
    parts = urlsplit(url)
    named = f"/{database}" if database else parts.path
    return f"postgresql://{parts.username}@{named}?{parts.query}"


def environment_of(url: str) -> dict[str, str]:
    """What tells a program where the server's socket is."""
    said = parse_qs(urlsplit(url).query)
    return {**os.environ, "PGHOST": said["host"][0], "PGPORT": said["port"][0]}


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
