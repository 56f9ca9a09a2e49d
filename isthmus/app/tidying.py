"""What grows with use and is of no use any more is put together or forgotten, now and then, by any worker."""

from __future__ import annotations

from isthmus.app import figures
from isthmus.app.bootstrap import Hub
from isthmus.app.console.sessions import forget_old
from isthmus.runtime.clock import SystemClock


def tidy(hub: Hub) -> int:
    """One turn; returns how many rows of sums were put together. Changes no figure and forgets nothing of the audit."""
    forget_old(hub, SystemClock().now())
    with hub.store.transaction() as tx:
        return figures.condense(tx)
