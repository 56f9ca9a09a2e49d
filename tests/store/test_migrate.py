"""The migrations: from nothing and from every earlier revision to the schema that tables.py describes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from isthmus.domain.states import MOVES
from isthmus.store import migrate
from isthmus.store.tables import SPECS


def query(url: str, statement: str) -> list[tuple[object, ...]]:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        return [tuple(row) for row in connection.execute(sa.text(statement))]


def differences(url: str) -> list[object]:
    with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
        return migrate.differences(connection)


def test_an_empty_database_gets_the_schema_of_the_tables(empty_database: str) -> None:
    assert migrate.current(empty_database) is None
    assert migrate.upgrade(empty_database) == migrate.head() == migrate.current(empty_database)
    assert differences(empty_database) == []
    assert migrate.upgrade(empty_database) == migrate.head()


@pytest.mark.parametrize("revision", migrate.revisions())
def test_every_earlier_revision_is_brought_forward(empty_database: str, revision: str) -> None:
    assert migrate.upgrade(empty_database, revision) == revision
    assert migrate.upgrade(empty_database) == migrate.head()
    assert differences(empty_database) == []


def test_a_difference_to_the_tables_is_seen(fresh_database: str) -> None:
    engine = sa.create_engine(fresh_database, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("alter table hub.invoice drop column number"))
        connection.execute(sa.text("alter table hub.client add column nickname text"))
        connection.execute(sa.text("alter table hub.payment alter column amount type double precision"))
    found = str(differences(fresh_database))
    assert "'number'" in found and "'nickname'" in found and "modify_type" in found


def test_revisions_are_one_line_of_numbers() -> None:
    numbers = migrate.revisions()
    assert numbers == [f"{n:04}" for n in range(1, len(numbers) + 1)]
    assert ScriptDirectory(str(migrate.FOLDER)).get_heads() == [migrate.head()]


def test_two_starting_at_once_migrate_once(empty_database: str) -> None:
    gate = threading.Barrier(4)

    def start() -> str:
        gate.wait()
        return migrate.upgrade(empty_database)

    with ThreadPoolExecutor(4) as pool:
        reached = [future.result() for future in [pool.submit(start) for _ in range(4)]]
    assert reached == [migrate.head()] * 4
    assert differences(empty_database) == []


def test_a_failing_revision_leaves_the_database_as_it_was(empty_database: str) -> None:
    engine = sa.create_engine(empty_database, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("create schema hub"))
        connection.execute(sa.text("create table hub.case_file (n int)"))  # in the way of revision 0002
    with pytest.raises(sa.exc.ProgrammingError, match="case_file"):
        migrate.upgrade(empty_database)
    assert migrate.current(empty_database) is None
    assert query(empty_database, "select table_name from information_schema.tables where table_schema = 'hub'") == [
        ("case_file",)
    ]


@pytest.fixture
def odd_database(pg_server: str, empty_database: str) -> Iterator[str]:
    """A database with a name that an ini file and a URL must both quote."""
    engine = sa.create_engine(empty_database, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text('create database "50%% Büro %(x)s" template template0'))
        yield pg_server.replace("/isthmus?", "/50%25%25%20B%C3%BCro%20%25%28x%29s?")
        connection.execute(sa.text('drop database "50%% Büro %(x)s" with (force)'))


def test_a_url_with_percent_signs(odd_database: str) -> None:
    assert migrate.upgrade(odd_database) == migrate.head()
    assert query(odd_database, "select current_database()") == [("50%% Büro %(x)s",)]


def test_the_legal_moves_in_the_database_are_those_of_the_domain(fresh_database: str) -> None:
    expected = {
        (spec.table, track, str(old), str(new))
        for model, spec in SPECS.items()
        for track in spec.tracks
        for old, allowed in MOVES[model.model_fields[track].annotation].items()  # type: ignore[index]
        for new in allowed
    }
    found = query(fresh_database, "select table_name, track, old, new from hub.legal_move")
    assert set(found) == expected and len(found) == len(expected)


def test_every_track_and_every_growing_table_has_its_guard(fresh_database: str) -> None:
    found = query(
        fresh_database,
        "select c.relname, t.tgname from pg_trigger t join pg_class c on c.oid = t.tgrelid where not t.tgisinternal",
    )
    expected = {(spec.table, f"guard_moves_{track}") for spec in SPECS.values() for track in spec.tracks}
    growing = [spec for spec in SPECS.values() if spec.growing]
    expected |= {(spec.table, f"guard_growth_{each}") for spec in growing for each in ("row", "statement")}
    expected |= {(spec.table, "guard_seal") for spec in growing if spec.seal}
    expected |= {("billable_part", f"sum_parts_{operation}") for operation in ("insert", "update", "delete")}
    assert set(found) == expected


def test_text_sorts_by_code_point_whatever_the_server(fresh_database: str) -> None:
    kinds = query(
        fresh_database,
        "select distinct collation_name from information_schema.columns where table_schema = 'hub'"
        " and data_type = 'text' and table_name not in ('legal_move')",
    )
    assert kinds == [("C",)]
