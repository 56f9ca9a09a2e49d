"""A stage per test, on a database with both schemas, copied from a template made once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from isthmus.app.firm import FirmConfig
from tests.app.stage import Stage
from tests.conftest import url_of

_NUMBERS = itertools.count(1)


def _run(server: str, statement: str) -> None:
    with psycopg.connect(url_of(server, "postgres").replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(statement)


@contextmanager
def made_stage(server: str, template: str, config: FirmConfig | None = None) -> Iterator[Stage]:
    """A hub with an API, on an empty database that goes with it. config: of another firm than the usual one."""
    name = f"api_{next(_NUMBERS)}"
    _run(server, f"create database {name} template {template}")
    stage = Stage(url_of(server, name), config)
    yield stage
    stage.close()
    _run(server, f"drop database {name} with (force)")


@pytest.fixture
def stage(pg_server: str, api_template: str) -> Iterator[Stage]:
    """A hub with an API, on an empty database."""
    with made_stage(pg_server, api_template) as made:
        yield made
