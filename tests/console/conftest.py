"""A stage per test, as for the API."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest

from isthmus.app.firm import FirmConfig
from tests.conftest import url_of
from tests.console.stage import ConsoleStage

_NUMBERS = itertools.count(1)


def _run(server: str, statement: str) -> None:
    with psycopg.connect(url_of(server, "postgres").replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(statement)


@contextmanager
def stage_on(server: str, template: str, config: FirmConfig | None = None) -> Iterator[ConsoleStage]:
    """A stage on a database of its own."""
    name = f"console_{next(_NUMBERS)}"
    _run(server, f"create database {name} template {template}")
    stage = ConsoleStage(url_of(server, name), config)
    try:
        yield stage
    finally:
        stage.close()
        _run(server, f"drop database {name} with (force)")


@pytest.fixture
def staged(pg_server: str, api_template: str) -> Iterator[Callable[..., ConsoleStage]]:
    """Makes a stage, with a firm of one's own if need be; all are taken down at the end."""
    with ExitStack() as stages:
        yield lambda config=None: stages.enter_context(stage_on(pg_server, api_template, config))


@pytest.fixture
def stage(staged: Callable[..., ConsoleStage]) -> ConsoleStage:
    """The usual firm."""
    return staged()
