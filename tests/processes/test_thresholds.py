"""Sales by state from issued invoices; the tax desk is told at 80 % and when a threshold is crossed, once a year."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from isthmus.domain.lending import TaxThreshold
from isthmus.domain.objects import Invoice
from isthmus.processes import clock
from isthmus.processes.work.thresholds import standings_of
from isthmus.store.records import RunRow
from tests.processes.hub import Hub, contract, entry
from tests.processes.test_deposits import credit


def selling(limit: str) -> Hub:
    """The tax desk keeps a threshold for New York; nothing is sold yet."""
    hub = Hub()
    hub.set_up(contract(caps=()))
    with hub.store.transaction() as tx:
        facts = {"entity": "US01", "state": "NY", "kept_by": "tina", "recorded_at": hub.clock.now()}
        tx.put(TaxThreshold(**facts, amount=Decimal(limit)))
    return hub


def sell(hub: Hub, number: int, hours: str) -> None:
    hub.capture(entry(number, hours, day=2 + number))
    hub.bill(f"run-{number}")


def look(hub: Hub) -> int:
    hub.later(hours=1)
    new = clock.watch_thresholds(hub.kernel)
    hub.go()
    return new


def test_nothing_is_told_below_80_percent_and_each_level_once() -> None:
    hub = selling("2000.00")
    sell(hub, 1, "8")
    assert look(hub) == 0
    sell(hub, 2, "1")
    assert look(hub) == 1, "1,665.00 of 2,000.00"
    case = hub.case()
    assert (case.exception, case.queue, case.amount) == ("EX-NEXUS", "tax", Decimal("1665.00"))
    assert "comes near the threshold of NY (2000.00): 1665.00 USD in 2 sales since 2026-01-01, 83 %" in case.cause
    assert look(hub) == 0
    hub.resolve("noted", note="we watch it")
    sell(hub, 3, "7")
    assert look(hub) == 1 and "has crossed" in hub.case().cause
    hub.resolve("registered", note="NY 123")
    assert look(hub) == 0
    assert {run.state for run in hub.rows(RunRow, process="nexus_alert")} == {"done"}


def test_a_credit_takes_from_the_amount_and_is_no_sale() -> None:
    hub = selling("100000.00")
    sell(hub, 1, "8")
    credit(hub, hub.rows(Invoice)[0], {"1": "480.00"}, "concession")
    with hub.store.transaction() as tx:
        (standing,) = standings_of(hub.kernel.books(tx, key="x", actor="x"), "US01", date(2026, 3, 31))
    assert (standing.amount, standing.count, standing.level) == (Decimal("1000.00"), 1, "below")
