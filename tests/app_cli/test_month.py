"""The month end of a legal entity from the command line."""

from __future__ import annotations

from decimal import Decimal

from isthmus.domain.objects import Invoice
from isthmus.store.records import AuditEntry, RunRow
from tests.app_cli.conftest import Isthmus, World
from tests.processes.hub import contract

ASKED = ("month-end", "US01", "--cutoff", "2026-03-31", "--as", "ana")


def test_a_month_end_is_started_once_and_bills_every_contract(world: World, isthmus: Isthmus) -> None:
    world.set_up()
    world.capture("6", "2")
    assert isthmus(*ASKED, "--json").json["run_id"] == "bill_month/US01:2026-03"
    assert isthmus(*ASKED).code == 0 and len(world.rows(RunRow, process="bill_month")) == 1
    world.advance("bill_month/US01:2026-03")
    for share in world.rows(RunRow, process="bill_share"):
        world.advance(share.run_id)
    world.advance("bill_contract/K-1:2026-03")
    assert [invoice.invoice_id for invoice in world.rows(Invoice)] == ["K-1:2026-03"]
    started = world.rows(AuditEntry, action="billing.start")
    assert {(entry.actor, entry.subject) for entry in started} == {("ana", "US01:2026-03")}


def test_an_entity_nobody_has_set_up_is_refused(world: World, isthmus: Isthmus) -> None:
    shown = isthmus("month-end", "XX99", "--cutoff", "2026-03-31", "--as", "ana")
    assert shown.code == 1 and "XX99" in shown.err


def test_a_dry_run_shows_every_contract_and_starts_nothing(world: World, isthmus: Isthmus) -> None:
    world.set_up(caps=(contract().caps[0].model_copy(update={"limit": Decimal("1000.00")}),))
    world.capture("6", "2")
    shown = isthmus(*ASKED, "--dry-run", "--json").json
    assert shown["contracts"] == [
        {
            "contract": "K-1",
            "invoices": 1,
            "net": "1000.00",
            "credits": "0",
            "currency": "USD",
            "not_billed": {"over the cap K-1:cap": "480.00"},
            "waits": "",
        }
    ]
    picture = isthmus(*ASKED, "--dry-run").out
    assert "480.00 over the cap K-1:cap" in picture
    assert "1 invoice of 1 contract up to 2026-03-31: net 1,000.00 USD, tax on top" in picture
    assert not world.rows(RunRow, process="bill_month")
    assert isthmus("month-end", "XX99", "--cutoff", "2026-03-31", "--dry-run", "--as", "ana").code == 1


def test_nobody_lends_to_itself_and_thresholds_are_shown(world: World, isthmus: Isthmus) -> None:
    world.set_up()
    assert isthmus("charge-entities", "US01", "US01", "--period", "2026-03", "--as", "finn").code == 2
    assert isthmus("charge-entities", "US01", "XX99", "--period", "2026-03", "--as", "finn").code == 1
    assert "no sales in a state with a threshold" in isthmus("thresholds", "US01").out
