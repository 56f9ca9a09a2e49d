"""A deposit: what can be drawn follows what is paid; money that bounces takes back what nobody has drawn (INV-12)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from isthmus.domain.objects import Invoice, LedgerEntry
from isthmus.domain.states import InvoiceLife
from isthmus.domain.terms import Deposit
from tests.processes.hub import Hub, contract, entry
from tests.processes.test_invoice_to_cash import pay
from tests.runtime.test_edits import refuse


def advanced(**terms: object) -> Hub:
    """A hub whose contract has an advance of 1,000.00 net, issued and not paid."""
    hub = Hub()
    deposit = Deposit.model_validate({"amount": "1000.00", **terms})
    hub.set_up(contract(lines=(contract().lines[0].model_copy(update={"deposit": deposit}),)))
    hub.start("bill_advance", "C-1:advance", contract_no=contract().contract_no, line_uid="L1", asked_by="ana")
    return hub


def left(hub: Hub) -> Decimal:
    return sum((e.amount for e in hub.rows(LedgerEntry, ledger="deposit")), Decimal(0))


def paid(hub: Hub, share: str = "1", **facts: object) -> None:
    advance = hub.rows(Invoice, kind="advance")[0]
    amount = (advance.total * Decimal(share)).quantize(Decimal("0.01"))
    pay(hub, str(amount), date(2026, 3, 20), **facts)


def test_nothing_can_be_drawn_before_it_is_paid_unless_the_terms_say_issued() -> None:
    assert left(advanced()) == 0
    assert left(advanced(available="issued")) == 1000


def test_money_that_bounces_takes_the_grant_back() -> None:
    hub = advanced()
    paid(hub)
    assert left(hub) == 1000
    paid(hub, reversed_on=date(2026, 4, 9))
    assert left(hub) == 0
    assert [e.kind for e in hub.rows(LedgerEntry, ledger="deposit")] == ["grant", "refund"]


def test_what_was_drawn_stays_drawn_when_the_money_bounces() -> None:
    hub = advanced()
    paid(hub)
    hub.capture(entry(1, "2.0"))
    hub.bill("2026-03")
    drawn = next(i for i in hub.rows(Invoice) if i.kind == "standard")
    assert [line.net for line in drawn.lines] == [Decimal("370.00"), Decimal("-370.00")]
    paid(hub, reversed_on=date(2026, 4, 9))
    assert left(hub) == 0
    advance = hub.rows(Invoice, kind="advance")[0]
    assert advance.open == advance.total


def test_a_draft_draws_before_it_is_issued_and_gives_back_when_it_is_discarded() -> None:
    hub = advanced()
    paid(hub)
    hub.capture(entry(1, "8.0"))
    refuse(hub, "tax", "calculate", lambda document: False)
    run = hub.bill("first")
    assert left(hub) == 0, "the draft has drawn before it is issued"
    hub.resolve("cancel")
    hub.go()
    assert hub.run(run.run_id).state == "cancelled" and left(hub) == 1000
    assert [i.life for i in hub.rows(Invoice) if i.kind == "standard"] == [InvoiceLife.DISCARDED]


@pytest.mark.parametrize("hours", ["1", "5.4", "5.5", "30"])
def test_an_invoice_draws_the_lesser_of_balance_and_work(hours: str) -> None:
    hub = advanced()
    paid(hub)
    parts = [entry(n, "10", service_date=date(2026, 3, 2 + n)) for n in range(int(Decimal(hours) // 10))]
    hub.capture(*(parts or [entry(1, hours)]))
    hub.bill("2026-03")
    invoice = next(i for i in hub.rows(Invoice) if i.kind == "standard")
    work = sum(line.net for line in invoice.lines if line.net > 0)
    assert invoice.net == work - min(work, Decimal(1000))
    assert left(hub) == Decimal(1000) - min(work, Decimal(1000))


def test_a_cash_advance_is_refused_rather_than_billed_and_forgotten() -> None:
    hub = advanced(mode="cash_advance")
    assert not hub.rows(Invoice)
    assert "not drawn by invoices yet" in hub.case().cause
