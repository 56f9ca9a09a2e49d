"""What happens because a day has come, and nobody asks for it: deposits that expire, holdbacks whose day has come,
thresholds that come near, bills that may be paid because the client has paid, work that was approved ahead of its day,
tax of bad debts.
"""

from __future__ import annotations

from collections.abc import Callable

from isthmus.domain.objects import Invoice, LedgerEntry
from isthmus.domain.subcontracting import SubcontractorBill
from isthmus.processes.work import ahead, bouncing, expiring, paying, releasing, tax_relief, thresholds
from isthmus.processes.work.drafting import latest_version
from isthmus.runtime.books import Books
from isthmus.runtime.kernel import Kernel
from isthmus.store.records import RunRow, RunState, Watermark


def look(kernel: Kernel) -> int:
    """Everything that a day may bring; the number of runs that were started."""
    looks = (
        expire_deposits,
        release_holdbacks,
        watch_thresholds,
        release_bills,
        take_what_was_ahead,
        relieve_bad_debts,
    )
    return sum(look_for(kernel) for look_for in looks)


def expire_deposits(kernel: Kernel) -> int:
    """Start a run for every deposit that has expired with something left; the number of new ones."""
    return _hourly(kernel, "deposits", lambda books: sum(_expire(books, grant) for grant in expiring.due(books)))


def release_holdbacks(kernel: Kernel) -> int:
    """Start a run for what is held back until a day that has come; the number of new ones."""
    return _hourly(kernel, "holdbacks", lambda books: sum(_let_go(books, *due) for due in releasing.due(books)))


def watch_thresholds(kernel: Kernel) -> int:
    """Start a run for every registration threshold that is near or crossed and was not told this year."""
    return _hourly(
        kernel, "thresholds", lambda books: sum(_alert(books, *standing) for standing in thresholds.due(books))
    )


def release_bills(kernel: Kernel) -> int:
    """Start a run for every subcontractor's bill that waited for the client's money, which is there now."""

    def settle(books: Books) -> int:
        return bouncing.paid_again(books) + sum(_release(books, bill) for bill in paying.waiting(books.tx))

    return _hourly(kernel, "bills", settle)


def take_what_was_ahead(kernel: Kernel) -> int:
    """Let approved work go on that was dated too far ahead and is not any more; the number of runs that go on."""
    return _hourly(kernel, "ahead", ahead.come_near)


def relieve_bad_debts(kernel: Kernel) -> int:
    """Start a run for every debt given up whose tax may be had back by now; the number of new ones."""
    return _hourly(kernel, "relief", lambda books: sum(_relieve(books, *share) for share in tax_relief.due(books)))


def _hourly(kernel: Kernel, what: str, work: Callable[[Books], int]) -> int:
    """Looked at once an hour: days begin at different hours in the time zones of a firm's entities."""
    hour = f"{kernel.clock.now():%Y-%m-%dT%H}"
    with kernel.store.transaction() as tx:
        seen = tx.get(Watermark, "hub", what)
        if seen is not None and seen.value == hour:
            return 0
        new = work(kernel.books(tx, key=f"clock/{what}", actor="hub"))
        tx.put(Watermark(connection="hub", feed=what, value=hour, read_at=kernel.clock.now()))
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


def _let_go(books: Books, contract_no: str, line_uid: str, key: str) -> bool:
    new = books.tx.get(RunRow, f"release_holdback/{key}") is None
    if new:
        args = {"contract_no": contract_no, "line_uid": line_uid, "asked_by": "hub", "finally_accepted": False}
        entity = latest_version(books, contract_no).entity
        books.start("release_holdback", key, args, entity=entity, correlation_id=f"contract:{contract_no}")
    return new


def _alert(books: Books, entity: str, state: str, level: str) -> bool:
    key = thresholds.alert_key(books, entity, state, level)
    new = books.tx.get(RunRow, f"nexus_alert/{key}") is None
    if new:
        args = {"entity": entity, "state": state, "level": level}
        books.start("nexus_alert", key, args, entity=entity, correlation_id=f"entity:{entity}")
    return new


def _release(books: Books, bill: SubcontractorBill) -> bool:
    first = books.tx.get(RunRow, f"{bouncing.RELEASE}/{bill.bill_id}")
    called_off = first is not None and first.state is RunState.CANCELLED
    key = bouncing.next_key(books, bouncing.RELEASE, bill.bill_id)
    if called_off or not key or paying.still_missing(books.tx, bill):
        return False
    args = {"bill_id": bill.bill_id, "asked_by": "", "why": ""}
    about = f"contract:{bill.contract_no}"
    books.start(bouncing.RELEASE, key, args, entity=bill.entity, correlation_id=about)
    return True


def _relieve(books: Books, allocation_id: str, invoice: Invoice) -> bool:
    args, about = {"allocation_id": allocation_id}, f"contract:{invoice.contract_no}"
    books.start(tax_relief.RELIEVE, allocation_id, args, entity=invoice.entity, correlation_id=about)
    return True
