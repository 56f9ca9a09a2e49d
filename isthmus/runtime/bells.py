"""Bells: a webhook says that something has changed over there; whichever worker asks that system looks now.

A bell carries nothing and may be lost: the next regular look finds the same. Within a process it is an event; between
processes PostgreSQL's NOTIFY.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable

import psycopg
import sqlalchemy as sa
import structlog

log = structlog.get_logger("isthmus.bells")
CHANNEL = "isthmus_bell"
LISTEN_SECONDS = 1.0
AGAIN_SECONDS = 5.0


class Bells:
    """The bells of this process, by connection: one for each loop that asks it for changes."""

    def __init__(self) -> None:
        self._bells: dict[str, list[threading.Event]] = defaultdict(list)

    def hang(self, connection: str) -> Callable[[float], bool]:
        """A new bell: a function that waits for it, at most so many seconds. A ring meanwhile is not lost."""
        bell = threading.Event()
        self._bells[connection].append(bell)

        def wait(seconds: float) -> bool:
            rang = bell.wait(seconds)
            bell.clear()
            return rang

        return wait

    def ring(self, connection: str) -> None:
        """Make the loops of this connection go on at once."""
        for bell in self._bells[connection]:
            bell.set()

    def ring_all(self) -> None:
        """Make all loops go on, for the end of the process."""
        for connection in list(self._bells):
            self.ring(connection)


def ring_everywhere(engine: sa.Engine, connection: str) -> None:
    """Ring in every process that listens on this database."""
    with engine.begin() as transaction:
        transaction.execute(sa.text("select pg_notify(:channel, :name)"), {"channel": CHANNEL, "name": connection})


def listen(url: str, bells: Bells, stopping: Callable[[], bool]) -> None:
    """Hand rings of other processes on until stopping. A lost database connection costs the rings meanwhile."""
    hear(url, CHANNEL, bells.ring, stopping)


def hear(
    url: str,
    channel: str,
    heard: Callable[[str], None],
    stopping: Callable[[], bool],
    listening: Callable[[bool], None] = lambda _: None,
) -> None:
    """Hand on what is said on a channel until stopping. listening: told when it begins, and when it broke off."""
    plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
    while not stopping():
        try:
            with psycopg.connect(plain, autocommit=True) as held:
                held.execute(f"listen {channel}")
                listening(True)
                while not stopping():
                    for word in held.notifies(timeout=LISTEN_SECONDS):
                        heard(word.payload)
        except psycopg.OperationalError as broken:
            listening(False)
            log.warning("bells", problem="the connection that listens broke", channel=channel, reason=str(broken))
            threading.Event().wait(AGAIN_SECONDS)
