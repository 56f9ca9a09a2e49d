"""Two batches with hours of one person's day are judged one after the other: neither misses what the other brings."""

from __future__ import annotations

import threading

import pytest

from isthmus.domain.objects import BillableItem, TimeEntry
from isthmus.processes import sweeps
from isthmus.processes.work import intake
from isthmus.store.postgres import PostgresStore
from isthmus.store.records import RunRow
from tests.processes.hub import entry
from tests.processes.test_month_billing import FOUR, Firm


@pytest.mark.slow
def test_one_hour_under_two_ids_in_two_batches_at_once_is_suspected(fresh_database: str) -> None:
    store = PostgresStore(fresh_database)
    firm = Firm(dict.fromkeys(FOUR, "plain"), store=store)
    twins = [entry(n, "2.5", project_code="P-K-1", note="workshop") for n in (1, 2)]
    with store.transaction() as tx:
        sweeps.accept_time(firm.kernel.books(tx, key="test", actor="psa"), "psa", twins)

    def capture(one: TimeEntry) -> None:
        with store.transaction() as tx:
            books = firm.kernel.books(tx, key=one.key, actor="hub")
            intake.capture(books, [("psa", sweeps.arrival_of("psa", one).message_id)], "")
            if one is twins[0]:
                other.start()
                other.join(0.5)  # the second batch comes before the first is committed

    other = threading.Thread(target=capture, args=(twins[1],))
    capture(twins[0])
    other.join(10)
    items, runs = firm.rows(BillableItem), firm.rows(RunRow, process="capture_time")
    store.close()
    assert [item.entry_key for item in items] == ["psa:1"]
    assert [run.args["alone"] for run in runs] == ["psa:2"]
