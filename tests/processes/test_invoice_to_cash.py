"""P3: a payment settles what it is for; parts, differences, short payments and strangers each get their answer."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from isthmus.domain.objects import Allocation, Invoice, Payment
from isthmus.domain.states import CaseState, Settlement
from isthmus.processes import sweeps
from isthmus.store.records import Case, OutboxEvent, RunRow, RunState
from tests.processes.hub import ENTITY, Hub, entry


def billed(**entity: object) -> Hub:
    """A hub with one issued invoice of 1,611.35 due on 2026-04-01."""
    hub = Hub(ENTITY.model_copy(update=entity))
    hub.set_up()
    hub.capture(entry(1, "8.0"))
    hub.bill("2026-03")
    return hub


def pay(hub: Hub, amount: str, day: date, number: int = 1, **facts: object) -> None:
    """The ERP reports money; the hub sweeps it twice."""
    payment = {
        "source": "erp",
        "source_id": str(number),
        "client_no": "C-1",
        "amount": amount,
        "currency": "USD",
        "value_date": day,
        "reference": "US01-INV-2026-00001",
        **facts,
    }
    hub.systems.erp.__dict__.setdefault("payments", []).append(Payment.model_validate(payment))
    for _ in range(2):
        sweeps.sweep_payments(hub.kernel, hub.systems.erp)
        hub.go()


@pytest.mark.requirement("EVT-10")
def test_an_exact_payment_settles_once_and_the_crm_shows_it() -> None:
    hub = billed()
    pay(hub, "1611.35", date(2026, 3, 20))
    invoice = hub.rows(Invoice)[0]
    assert (invoice.settlement, invoice.open) == (Settlement.PAID, Decimal(0))
    assert [a.amount for a in hub.rows(Allocation)] == [Decimal("1611.35")]
    shown = hub.systems.crm.things["status"][0]["shown"]
    assert (shown["state"], shown["paid"]) == ("paid", "1611.35")
    told = [e.type for e in hub.rows(OutboxEvent) if e.type.startswith("payment.")]
    assert told == ["payment.received", "payment.applied"], "once, though it was reported twice"


def test_part_payments_before_the_due_date_leave_the_rest_open() -> None:
    hub = billed()
    pay(hub, "600.00", date(2026, 3, 10))
    invoice = hub.rows(Invoice)[0]
    assert (invoice.settlement, invoice.open) == (Settlement.PARTIALLY_PAID, Decimal("1011.35"))
    pay(hub, "1011.35", date(2026, 3, 30), number=2)
    assert hub.rows(Invoice)[0].settlement is Settlement.PAID


@pytest.mark.requirement("WF-55")
def test_a_short_payment_after_the_due_date_is_the_collectors_case() -> None:
    hub = billed()
    pay(hub, "1500.00", date(2026, 4, 3))
    case = hub.case()
    assert (case.exception, case.queue, case.amount) == ("EX-SHORT-PAY", "collections", Decimal("111.35"))
    hub.resolve("chase")
    assert hub.run("invoice_to_cash/erp:1").state is RunState.DONE
    assert hub.rows(Invoice)[0].open == Decimal("111.35")
    assert [a.amount for a in hub.rows(Allocation)] == [Decimal("1500.00")], "allocated once"


def test_a_small_difference_within_tolerance_is_written_off_by_rule() -> None:
    hub = billed(payment_tolerance=Decimal("1.00"))
    pay(hub, "1610.90", date(2026, 4, 3))
    assert hub.rows(Invoice)[0].settlement is Settlement.PAID
    assert sorted((a.kind, str(a.amount)) for a in hub.rows(Allocation)) == [
        ("payment", "1610.90"),
        ("small_difference", "0.45"),
    ]


def test_over_payment_stays_on_account_and_nothing_is_over_allocated() -> None:
    hub = billed()
    pay(hub, "2000.00", date(2026, 3, 20))
    assert sum(a.amount for a in hub.rows(Allocation)) == Decimal("1611.35")


def test_money_nobody_can_match_waits_for_a_persons_allocation() -> None:
    hub = billed()
    pay(hub, "77.00", date(2026, 3, 20), reference="thank you")
    assert hub.case().exception == "EX-CASH-UNMATCHED"
    hub.resolve("allocate", allocate={"US01-INV-2026-00001": "77.00"})
    assert hub.rows(Invoice)[0].open == Decimal("1534.35")


# -- a payment that changes after it was reported --------------------------------------------------------------


def change(hub: Hub, number: int = 1, **facts: object) -> None:
    """The ERP changes a payment it has reported; the hub sweeps it twice, with a new one behind it."""
    payments = hub.systems.erp.__dict__["payments"]
    payments[:] = [p.model_copy(update=facts) if p.source_id == str(number) else p for p in payments]
    for _ in range(2):
        sweeps.sweep_payments(hub.kernel, hub.systems.erp)
        hub.go()


def test_an_allocation_made_later_in_the_erp_answers_the_open_case() -> None:
    hub = billed()
    pay(hub, "1600.00", date(2026, 3, 20), reference="thank you")
    assert hub.case().exception == "EX-CASH-UNMATCHED"
    change(hub, applies={"US01-INV-2026-00001": Decimal("1600.00")})
    assert hub.rows(Case, state=CaseState.OPEN) == []
    invoice = hub.rows(Invoice)[0]
    assert (invoice.settlement, invoice.open) == (Settlement.PARTIALLY_PAID, Decimal("11.35"))
    assert [a.amount for a in hub.rows(Allocation)] == [Decimal("1600.00")], "once, though it was reported twice"


def test_an_allocation_that_says_what_the_books_have_changes_nothing() -> None:
    hub = billed()
    pay(hub, "1611.35", date(2026, 3, 20))
    before = (hub.rows(Invoice), hub.rows(Allocation))
    change(hub, applies={"US01-INV-2026-00001": Decimal("1611.35")})
    assert (hub.rows(Invoice), hub.rows(Allocation)) == before
    assert hub.rows(Case) == []


def test_a_changed_amount_is_receivables_case_and_holds_no_other_payment_up() -> None:
    hub = billed()
    pay(hub, "600.00", date(2026, 3, 10))
    change(hub, amount=Decimal("500.00"))
    case = hub.case()
    assert (case.exception, case.queue, case.amount) == ("EX-PAY-CHANGED", "receivables", Decimal("600.00"))
    assert "amount 600.00 is now 500.00" in case.cause
    assert hub.rows(Invoice)[0].open == Decimal("1011.35"), "money is not moved by itself"
    pay(hub, "1011.35", date(2026, 3, 12), number=2)
    assert hub.rows(Invoice)[0].settlement is Settlement.PAID
    hub.resolve("accept")
    assert hub.rows(RunRow, process="payment_changed")[0].state is RunState.DONE


def test_tax_withheld_settles_in_kind_and_waits_for_its_certificate() -> None:
    hub = billed()
    invoice = hub.rows(Invoice)[0]
    withheld = Decimal("100.00")
    pay(hub, str(invoice.total - withheld), date(2026, 3, 20), withheld={invoice.number: withheld})
    assert (hub.rows(Invoice)[0].open, hub.case().exception) == (Decimal(0), "EX-WHT-CERT")
    hub.resolve("certificate", certificate="CERT-7")
    kinds = {a.kind: (a.amount, a.certificate) for a in hub.rows(Allocation)}
    assert kinds["withholding"] == (withheld, "CERT-7")


@pytest.mark.requirement("INV-32")
def test_money_that_bounces_opens_the_invoice_again_by_mirrored_allocations() -> None:
    hub = billed()
    invoice = hub.rows(Invoice)[0]
    pay(hub, str(invoice.total), date(2026, 3, 20))
    assert hub.rows(Invoice)[0].open == 0
    pay(hub, str(invoice.total), date(2026, 3, 20), reversed_on=date(2026, 4, 9))
    after = hub.rows(Invoice)[0]
    assert (after.open, after.settlement) == (invoice.total, Settlement.OPEN)
    assert sorted(a.amount for a in hub.rows(Allocation)) == [-invoice.total, invoice.total]
    assert [e.type for e in hub.rows(OutboxEvent) if e.type.startswith("payment.")][-1] == "payment.reversed"
