"""A real PostgreSQL for the tests that want one: one server per test process, one fresh database per test."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.end_of_run import pytest_terminal_summary  # noqa: F401 - a hook of this test run
from tests.requirements_plugin import (  # noqa: F401 - hooks of this test run
    pytest_runtest_logreport,
    pytest_runtest_setup,
    pytest_sessionfinish,
)

# How fast examples come is a figure of the machine and of what else it does, not of the law that is tested.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("house")

_TEMPLATE, _API_TEMPLATE = "isthmus_template", "isthmus_api_template"
_NUMBERS = itertools.count(1)

# Ends the server and removes its folder when the test process has gone, however it went: its end of the pipe closes.
_GUARDIAN = """
import pathlib, shutil, sys
sys.stdin.read()
from isthmus.store import embedded
embedded.stop(pathlib.Path(sys.argv[1]) / "postgres")
shutil.rmtree(sys.argv[1])
"""


def _open_folder() -> Path:
    """A folder that the server's account can enter; pytest's own tmp_path is closed to it."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2**30
    folder = Path(tempfile.mkdtemp(prefix="isthmus-test-", dir=memory if roomy else "/tmp"))
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def pg_server() -> Iterator[str]:
    """The URL of the empty database `isthmus` in a server of this test process; each xdist worker has its own."""
    from isthmus.store import embedded

    folder, root = _open_folder(), Path(embedded.__file__).parents[2]
    guardian = subprocess.Popen(
        [sys.executable, "-c", _GUARDIAN, str(folder)],
        stdin=subprocess.PIPE,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        start_new_session=True,
    )
    yield embedded.ensure(folder / "postgres")
    assert guardian.stdin is not None
    guardian.stdin.close()
    guardian.wait(60)


def url_of(server: str, database: str) -> str:
    """The URL of another database of the same server."""
    return server.replace("/isthmus?", f"/{database}?")


def _run(server: str, statement: str) -> None:
    import psycopg

    with psycopg.connect(url_of(server, "postgres").replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture(scope="session")
def pg_template(pg_server: str) -> str:
    """The name of a migrated database with nothing in it, to be copied."""
    from isthmus.store import migrate

    _run(pg_server, f"create database {_TEMPLATE} template template0")
    migrate.upgrade(url_of(pg_server, _TEMPLATE))
    return _TEMPLATE


@pytest.fixture(scope="session")
def api_template(pg_server: str, pg_template: str) -> str:
    """The name of a database with the hub's and the engine's schema, to be copied."""
    from isthmus.runtime.engine_dbos import prepare_database

    _run(pg_server, f"create database {_API_TEMPLATE} template {pg_template}")
    prepare_database(url_of(pg_server, _API_TEMPLATE))
    # A pooled connection of the migration would stand in the way of copying.
    _run(pg_server, f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{_API_TEMPLATE}'")
    return _API_TEMPLATE


@pytest.fixture
def fresh_database(pg_server: str, pg_template: str) -> Iterator[str]:
    """The URL of a migrated, empty database for this test alone."""
    name = f"test_{next(_NUMBERS)}"
    _run(pg_server, f"create database {name} template {pg_template}")
    yield url_of(pg_server, name)
    _run(pg_server, f"drop database {name} with (force)")


@pytest.fixture
def empty_database(pg_server: str) -> Iterator[str]:
    """The URL of a database that was never migrated."""
    name = f"test_{next(_NUMBERS)}"
    _run(pg_server, f"create database {name} template template0")
    yield url_of(pg_server, name)
    _run(pg_server, f"drop database {name} with (force)")
