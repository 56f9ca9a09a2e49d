"""Discounts on invoices that are credited and corrected: what they took off goes back with the work, and no more."""

from __future__ import annotations

from decimal import Decimal

import pytest

from isthmus.app.controls import audit
from isthmus.domain.objects import Cap, Invoice
from isthmus.domain.states import CaseState
from isthmus.domain.terms import Discount, Holdback, Payer, Tier
from isthmus.store.records import Case
from tests.processes.hub import Hub, contract, entry
from tests.processes.test_terms_kept import hub, line, rate_of

TIERS = (Tier(from_net=Decimal(1000), percent=Decimal(10)),)
SHARED = (Payer(bill_to="A", percent=Decimal(60), rounding=True), Payer(bill_to="B", percent=Decimal(40)))


def approve_all(made: Hub) -> None:
    for case in made.rows(Case, state=CaseState.OPEN, exception="EX-CREDIT-REVIEW"):
        with made.store.transaction() as tx:
            made.kernel.resolve(tx, case.case_no, action="approve", actor="carla", reason="test", values={})
    made.go()


def issued(made: Hub) -> list[tuple[str, Decimal, Decimal]]:
    """Number, net with what is held, and what is held of it, in the order of issue."""
    known = sorted((i for i in made.rows(Invoice) if i.number), key=lambda i: i.number)
    held = [sum((one.held for one in invoice.lines), Decimal(0)) for invoice in known]
    return [(invoice.number[5:], invoice.net + kept, kept) for invoice, kept in zip(known, held, strict=True)]


@pytest.mark.parametrize("holds", [None, Holdback(percent=Decimal(10))], ids=["plain", "with holdback"])
def test_an_invoice_that_is_billed_again_has_its_volume_discount_again(holds: Holdback | None) -> None:
    """20 h at 100.00 come to 2,000.00 less 10 % of what is above 1,000.00: A has 1,200.00 - 60.00, B 800.00 - 40.00 of
    which a cap takes 500.00.
    """
    made = hub()
    off = Discount(kind="volume_prospective", tiers=TIERS)
    shared = line(rates=rate_of("Consultant"), payers=SHARED, discounts=(off,), holdback=holds)
    made.set_up(contract(caps=(Cap(cap_id="B", scope="payer", payer="B", limit=Decimal(500)),), lines=(shared,)))
    made.capture(entry(1, "10"), entry(2, "10", day=4))
    made.bill("first")
    of_b = next(invoice for invoice in made.rows(Invoice) if invoice.bill_to == "B")
    args = {"amounts": {}, "reason": "error_rebill", "requested_by": "ana"}
    made.start("credit_invoice", "again", invoice_id=of_b.invoice_id, **args)
    approve_all(made)
    made.bill("second")
    kept = {"A": Decimal("114.00"), "B": Decimal("50.00")} if holds else {"A": Decimal(0), "B": Decimal(0)}
    assert issued(made) == [
        ("CN-2026-00001", Decimal("500.00"), kept["B"]),
        ("INV-2026-00001", Decimal("1140.00"), kept["A"]),
        ("INV-2026-00002", Decimal("500.00"), kept["B"]),
        ("INV-2026-00003", Decimal("500.00"), kept["B"]),
    ]
    assert audit(made.kernel) == []


def test_what_an_invoice_cannot_give_back_after_its_discount_the_one_before_does() -> None:
    """10 h at 100.00 are 1,000.00; ten more reach the tier: 1,000.00 less 200.00, 10 % of everything. They turn out not
    to have been worked: 800.00 and 200.00 are credited, and the discount of 200.00 is billed back. 1,000.00 are left.
    """
    made = hub()
    off = Discount(kind="volume_retroactive", tiers=(Tier(from_net=Decimal(1500), percent=Decimal(10)),))
    made.set_up(contract(caps=(), lines=(line(rates=rate_of("Consultant"), discounts=(off,)),)))
    made.capture(entry(1, "10"))
    made.bill("first")
    made.capture(entry(2, "10", day=4))
    made.bill("second")
    made.capture(entry(2, "0", day=4, approved_at=entry(2, "0", day=9).approved_at))
    made.bill("third")
    approve_all(made)
    assert [(number, net) for number, net, _ in issued(made)] == [
        ("CN-2026-00001", Decimal("800.00")),
        ("CN-2026-00002", Decimal("200.00")),
        ("INV-2026-00001", Decimal("1000.00")),
        ("INV-2026-00002", Decimal("800.00")),
        ("INV-2026-00003", Decimal("200.00")),
    ]
    assert not made.rows(Case, state=CaseState.OPEN)
    assert audit(made.kernel) == []
