"""A fixed amount off is a line of the period's invoices: once, never below nothing, and what is not used is lost."""

from __future__ import annotations

from decimal import Decimal

import pytest

from isthmus.app.controls import audit
from isthmus.domain.objects import Invoice
from isthmus.domain.terms import Discount, Payer
from tests.processes.hub import Hub, contract, entry
from tests.processes.test_deposits import credit

OFF = (Discount(kind="amount", amount=Decimal("500.00")),)


def agreed(**changes: object) -> Hub:
    hub = Hub()
    line = contract().lines[0].model_copy(update={"discounts": OFF, **changes})
    hub.set_up(contract(lines=(line,), caps=()))
    return hub


def nets(hub: Hub) -> list[list[Decimal]]:
    return [[line.net for line in i.lines] for i in hub.rows(Invoice, kind="standard", order=("number",))]


HOURS = [("8.0", ["1480.00", "-500.00"]), ("2.0", []), ("2.8", ["518.00", "-500.00"])]


@pytest.mark.parametrize(("hours", "lines"), HOURS)
def test_it_is_taken_off_the_first_invoice_of_the_period(hours: str, lines: list[str]) -> None:
    hub = agreed()
    hub.capture(entry(1, hours))
    hub.bill("a")
    assert nets(hub) == ([[Decimal(net) for net in lines]] if lines else [])
    assert audit(hub.kernel) == []


def test_the_rest_of_it_is_taken_off_the_next_invoice_of_the_same_period_and_all_of_it_in_the_next_one() -> None:
    hub = agreed()
    hub.capture(entry(1, "2.5"))
    hub.bill("a")
    assert nets(hub) == [], "462.50 less 462.50 is no invoice: it waits for more work of the period"
    hub.capture(entry(2, "2.5", day=4))
    hub.bill("b")
    assert nets(hub) == [[Decimal("925.00"), Decimal("-500.00")]]
    hub.capture(entry(3, "1", day=5))
    hub.bill("c")
    assert nets(hub)[1] == [Decimal("185.00")]
    hub.capture(entry(4, "8", day=6))
    hub.bill("d", "2026-04-30")
    assert nets(hub)[2] == [Decimal("1480.00"), Decimal("-500.00")]
    assert audit(hub.kernel) == []


def test_payers_share_one_amount_and_a_credit_gives_all_back() -> None:
    payers = (Payer(bill_to="B-1", percent=Decimal(60)), Payer(bill_to="B-2", percent=Decimal(40)))
    hub = agreed(payers=payers)
    hub.capture(entry(1, "8.0"))
    hub.bill("a")
    off = [net for lines in nets(hub) for net in lines if net < 0]
    assert off == [Decimal("-500.00")], "the first payer's invoice has it; agreed is one amount a period"
    invoice = next(i for i in hub.rows(Invoice) if any(line.kind == "discount" for line in i.lines))
    credit(hub, invoice, {}, "error_rebill")
    (memo,) = hub.rows(Invoice, kind="credit")
    assert memo.net == invoice.net and memo.total == invoice.total
    assert audit(hub.kernel) == []
