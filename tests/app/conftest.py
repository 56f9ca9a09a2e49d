"""A stage per test, on a database with both schemas, copied from a template made once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import psycopg
import pytest

from tests.app.stage import Stage
from tests.conftest import url_of

_NUMBERS = itertools.count(1)


def _run(server: str, statement: str) -> None:
    with psycopg.connect(url_of(server, "postgres").replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture
def stage(pg_server: str, api_template: str) -> Iterator[Stage]:
    """A hub with an API, on an empty database."""
    name = f"api_{next(_NUMBERS)}"
    _run(pg_server, f"create database {name} template {api_template}")
    stage = Stage(url_of(pg_server, name))
    yield stage
    stage.close()
    _run(pg_server, f"drop database {name} with (force)")
