"""Opening the hub's books for one command. Nothing here needs the credentials of other systems."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from isthmus.domain.errors import NeedsSetup

if TYPE_CHECKING:
    from isthmus.desk.config import DeskConfig
    from isthmus.policies.authority import Actor
    from isthmus.runtime.kernel import Kernel
    from isthmus.store.postgres import PostgresStore


class _NoSystems:
    """A command decides and queues; only a worker calls other systems."""

    told_apart: frozenset[str] = frozenset()

    def filling(self, port: str, entity: str, source: str = "", about: Any = None) -> NoReturn:
        raise NeedsSetup(f"this command calls no other system ({port} for {entity}): a worker does")

    def fills(self, port: str, entity: str, source: str = "", about: Any = None) -> bool:
        return False

    def all_filling(self, port: str, entity: str) -> list[Any]:
        return []


@contextmanager
def opened() -> Iterator[PostgresStore]:
    """The store, closed at the end."""
    from isthmus.app.bootstrap import database_url
    from isthmus.store.postgres import PostgresStore

    store = PostgresStore(database_url(), pool_size=2)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def desk() -> Iterator[Kernel]:
    """A kernel that can start, cancel and replay, with the applied firm's ownership rules."""
    with deciding() as (kernel, _):
        yield kernel


@contextmanager
def deciding() -> Iterator[tuple[Kernel, DeskConfig]]:
    """A kernel as of desk, and how the desk of the applied firm works."""
    from isthmus.app.bootstrap import applied_firm
    from isthmus.app.desk_tasks import desk_subscribers
    from isthmus.app.firm import parse
    from isthmus.desk.config import desk_config
    from isthmus.desk.filing import filer
    from isthmus.processes.subscribers import SUBSCRIBERS
    from isthmus.runtime.clock import SystemClock
    from isthmus.runtime.engine_dbos import DbosEngine
    from isthmus.runtime.gate import Gate
    from isthmus.runtime.kernel import Kernel

    with opened() as store:
        applied = applied_firm(store)
        if applied is None:
            raise NeedsSetup("no firm is applied yet: 'isthmus apply DIR' applies a firm folder")
        firm = parse(applied.content, f"applied firm version {applied.version}")
        engine = DbosEngine(store.url)
        try:
            rules, listening = Gate(firm.ownership), dict(SUBSCRIBERS)
            settings = desk_config(firm.desk)
            listening |= desk_subscribers(settings)
            kernel = Kernel(store, SystemClock(), engine, _NoSystems(), gate=rules, subscribers=listening)
            kernel.filed = filer(settings)
            yield kernel, settings
        finally:
            engine.close()


def operator(name: str) -> Actor:
    """Whoever may use this machine's database may do everything; two persons are still two names."""
    from isthmus.policies.authority import EVERYBODY, Actor

    return Actor(name, EVERYBODY)


def whoami() -> str:
    """The operating system's name for who runs this command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


def masked(url: str) -> str:
    """A database URL without its password."""
    from sqlalchemy import make_url

    return make_url(url).render_as_string(hide_password=True)
