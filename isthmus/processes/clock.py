"""What happens because a day has come, and nobody asks for it: deposits that can no longer be drawn."""

from __future__ import annotations

from isthmus.domain.objects import LedgerEntry
from isthmus.processes.work import expiring
from isthmus.processes.work.drafting import latest_version
from isthmus.runtime.books import Books
from isthmus.runtime.kernel import Kernel
from isthmus.store.records import RunRow, Watermark


def expire_deposits(kernel: Kernel) -> int:
    """Start a run for every deposit that has expired with something left; the number of new ones.

    Looked for once an hour: days begin at different hours in the time zones of a firm's entities.
    """
    hour = f"{kernel.clock.now():%Y-%m-%dT%H}"
    with kernel.store.transaction() as tx:
        seen = tx.get(Watermark, "hub", "deposits")
        if seen is not None and seen.value == hour:
            return 0
        books = kernel.books(tx, key="clock/deposits", actor="hub")
        new = sum(_expire(books, grant) for grant in expiring.due(books))
        tx.put(Watermark(connection="hub", feed="deposits", value=hour, read_at=kernel.clock.now()))
    return new


def _expire(books: Books, grant: str) -> bool:
    lot = books.tx.get(LedgerEntry, grant)
    assert lot is not None
    new = books.tx.get(RunRow, f"expire_deposit/{grant}") is None
    if new:
        entity = latest_version(books, lot.contract_no).entity
        about = f"contract:{lot.contract_no}"
        books.start("expire_deposit", grant, {"grant": grant}, entity=entity, correlation_id=about)
    return new
