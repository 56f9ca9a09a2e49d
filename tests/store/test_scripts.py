"""The scripts that keep migrations and documentation in step with the models."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import sqlalchemy as sa

from isthmus.store import migrate

ROOT = Path(__file__).parents[2]


def test_the_page_of_tables_is_current() -> None:
    page = runpy.run_path(str(ROOT / "scripts/docs_tables.py"))["page"]()
    assert (ROOT / "docs/lookup/tables.md").read_text() == page, "run scripts/docs_tables.py"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the migrations to write into, in a folder whose name an ini file would expand."""
    copy = tmp_path / "50% %(x)s" / "migrations"
    for file in migrate.FOLDER.rglob("*.*"):
        if file.suffix in (".py", ".mako"):
            (copy / file.relative_to(migrate.FOLDER)).parent.mkdir(parents=True, exist_ok=True)
            (copy / file.relative_to(migrate.FOLDER)).write_text(file.read_text())
    monkeypatch.setattr(migrate, "FOLDER", copy)
    return copy


def test_the_next_revision_says_what_is_missing(fresh_database: str, folder: Path) -> None:
    write = runpy.run_path(str(ROOT / "scripts/new_migration.py"))["write"]
    number = f"{int(migrate.head()) + 1:04}"
    with sa.create_engine(fresh_database, poolclass=sa.NullPool).connect() as connection:
        assert write(connection, "Nothing") is None
    with sa.create_engine(fresh_database, poolclass=sa.NullPool).begin() as connection:
        connection.execute(sa.text("alter table hub.client drop column tax_id"))
        connection.execute(sa.text("delete from hub.legal_move where track = 'delivery'"))
        connection.execute(sa.text("drop trigger guard_moves_life on hub.invoice"))
        connection.execute(sa.text("drop trigger guard_growth_row on hub.event"))
        connection.execute(sa.text("drop trigger guard_growth_statement on hub.event"))
    with sa.create_engine(fresh_database, poolclass=sa.NullPool).connect() as connection:
        made = write(connection, "What was lost")
    assert made == folder / "versions" / f"{number}_what_was_lost.py"
    assert migrate.head() == number
    assert migrate.upgrade(fresh_database) == number
    with sa.create_engine(fresh_database, poolclass=sa.NullPool).connect() as connection:
        assert migrate.differences(connection) == []
        assert write(connection, "Nothing") is None
