"""Bring a database to the schema of this version: `upgrade(url)`. Safe to call from every process at every start.

All missing revisions run in one transaction under an advisory lock: of two processes starting at once the second waits
and finds nothing left to do, and a revision that fails leaves the database as it was. The revision reached is kept in
hub.schema_revision. There is no way down: a wrong revision is mended by the next one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from isthmus.store.tables import SCHEMA, metadata

VERSION_TABLE = "schema_revision"
LEGAL_MOVES = "legal_move"
FOLDER = Path(__file__).with_name("migrations")
_LOCK = 0x15_7A_05  # any number, the same in all processes


def upgrade(url: str, revision: str = "head") -> str:
    """Run the revisions that the database lacks; the revision it has then."""
    with _connection(url) as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        connection.execute(sa.text(f"create schema if not exists {SCHEMA}"))
        command.upgrade(settings(connection), revision)
        reached = _context(connection).get_current_revision()
    assert reached is not None, "a migrated database has a revision"
    return reached


def current(url: str) -> str | None:
    """The revision of the database; None when it was never migrated."""
    with _connection(url) as connection:
        return _context(connection).get_current_revision()


def head() -> str:
    """The revision this version of the hub works with."""
    found = ScriptDirectory(str(FOLDER)).get_current_head()
    assert found is not None, "there is at least one revision"
    return found


def revisions() -> list[str]:
    """All revisions, oldest first."""
    walked = ScriptDirectory(str(FOLDER)).walk_revisions()
    return [script.revision for script in walked][::-1]


def differences(connection: sa.Connection) -> list[Any]:
    """What tables.py says and the database lacks, or the other way round; empty when they agree."""
    return list(compare_metadata(_context(connection), metadata))


def settings(connection: sa.Connection) -> Config:
    """Alembic's configuration. The connection is handed over as it is: a '%' in an ini value would be expanded."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def describe() -> dict[str, Any]:
    """How Alembic finds its own table and what it compares: the hub's schema, but not what only the migrations know."""
    return {
        "target_metadata": metadata,
        "version_table": VERSION_TABLE,
        "version_table_schema": SCHEMA,
        "include_schemas": True,
        "include_name": _ours,
        "compare_type": True,
    }


def _ours(name: str | None, kind: str, parents: Any) -> bool:
    if kind == "schema":
        return name == SCHEMA
    return not (kind == "table" and name in (VERSION_TABLE, LEGAL_MOVES))


def _context(connection: sa.Connection) -> MigrationContext:
    return MigrationContext.configure(connection, opts=describe())


@contextmanager
def _connection(url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        yield connection
