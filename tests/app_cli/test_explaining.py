"""`isthmus explain` from the command line: a table per line, reasons said once, and the verdict."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import sqlalchemy as sa

from isthmus.domain.objects import Invoice
from isthmus.domain.periods import FxRate
from isthmus.domain.terms import FxPolicy
from tests.app_cli.conftest import Isthmus, World
from tests.processes.hub import contract


def billed(world: World, isthmus: Isthmus) -> str:
    """The number of an invoice of 1,000.00 under a cap, with 387.50 over it."""
    world.set_up(caps=(contract().caps[0].model_copy(update={"limit": Decimal("1000.00")}),))
    world.capture("4", "3.5")
    assert isthmus("bill", "K-1", "--cutoff", "2026-03-31", "--as", "ana").code == 0
    world.advance("bill_contract/K-1:2026-03")
    (invoice,) = world.rows(Invoice)
    assert invoice.number
    return str(invoice.number)


def test_a_line_is_explained_down_to_entries_rate_policy_cap_and_tax(world: World, isthmus: Isthmus) -> None:
    number = billed(world, isthmus)
    shown = isthmus("explain", f"{number}:1")
    assert shown.code == 0 and "[bold]" not in shown.out and "[red]" not in shown.out
    told = " ".join(shown.out.split())
    for words in (
        f"{number} standard, contract K-1@1",
        "net 1,000.00 + tax",
        "tax 88.75 on 1,000.00 at 8.875 %",
        "line 1 Advice: Consultant: 1,000.00",
        "2026-03-10 amara 4.00 185.00 740.00 time psa:te-2026-03-10-0 r1 pm",
        "260.00 of 647.50",
        "psa:te-2026-03-10-1: the rest is",
        "price: the only rate that fits; rate of role Consultant from 2026-03-01; level contract; policy rates/1",
        "worked out again: all 2 the same",
        "every amount was worked out again from its source and is the one that was billed",
    ):
        assert words in told, f"{words}: {shown.out}"


def test_an_amount_that_its_source_does_not_give_is_named(world: World, isthmus: Isthmus) -> None:
    number = billed(world, isthmus)
    with world.store.transaction() as tx:
        tx.raw.execute(sa.text("set local session_replication_role = replica"))  # past the guard, as an intruder
        tx.raw.execute(
            sa.text("update hub.billable_item set entry_net = entry_net + 1 where entry_key = 'psa:te-2026-03-10-0'")
        )
    shown = isthmus("explain", number)
    assert shown.code == 3 and "psa:te-2026-03-10-0: 741.00, worked out again 740.00" in shown.out
    assert "not every amount is the one that was billed" in shown.out


def test_an_invoice_or_line_that_is_not_there(world: World, isthmus: Isthmus) -> None:
    number = billed(world, isthmus)
    assert "it has 1" in isthmus("explain", f"{number}:9").err
    assert "no invoice NOPE" in isthmus("explain", "NOPE").err


def test_a_rate_in_another_currency_is_explained_with_what_it_was_converted_at(world: World, isthmus: Isthmus) -> None:
    (line,) = contract().lines
    euros = line.rates[0].model_copy(update={"currency": "EUR", "bill_rate": Decimal("100.00")})
    with world.store.transaction() as tx:
        facts = {"rate_type": "ecb", "from_currency": "EUR", "to_currency": "USD", "day": date(2026, 3, 10)}
        tx.insert(FxRate(rate=Decimal("1.0837"), source="ECB", **facts))
    world.set_up(caps=(), lines=(line.model_copy(update={"fx": FxPolicy(), "rates": (euros,)}),))
    world.capture("4")
    assert isthmus("bill", "K-1", "--cutoff", "2026-03-31", "--as", "ana").code == 0
    world.advance("bill_contract/K-1:2026-03")
    told = " ".join(isthmus("explain", world.rows(Invoice)[0].number).out.split())
    assert "433.48" in told and "100.00 EUR at 1.0837 2026-03-10 (ECB)" in told
