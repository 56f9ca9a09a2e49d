"""What a client will not pay is given up by two persons, is an expense in the ledger, and can be claimed again."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest

from isthmus.app.controls import audit
from isthmus.domain.errors import NotPermitted
from isthmus.domain.objects import Allocation, Invoice
from isthmus.domain.party import Approval
from isthmus.domain.states import InvoiceLife, Settlement
from isthmus.processes import clock
from isthmus.store.records import Case
from tests.processes.hub import ENTITY, Hub
from tests.processes.test_deposits import journals
from tests.processes.test_invoice_to_cash import billed, pay

TOTAL = Decimal("1611.35")


def owed() -> Hub:
    """An invoice of 1,480.00 net, 1,611.35 with tax."""
    hub = billed()
    assert [i.total for i in hub.rows(Invoice)] == [TOTAL]
    return hub


def invoice(hub: Hub) -> Invoice:
    return hub.rows(Invoice, life=InvoiceLife.ISSUED)[0]  # type: ignore[no-any-return]


def give_up(hub: Hub, name: str = "one", amount: str = "") -> Any:
    args = {"invoice_id": invoice(hub).invoice_id, "amount": amount, "reason": "insolvent", "requested_by": "ana"}
    return hub.start("write_off_debt", name, **args)


def test_a_debt_is_given_up_when_another_person_agrees() -> None:
    hub = owed()
    give_up(hub)
    with pytest.raises(NotPermitted):
        hub.resolve("approve", actor="ana")
    assert invoice(hub).open == TOTAL
    hub.resolve("approve")
    assert (invoice(hub).settlement, invoice(hub).open) == (Settlement.WRITTEN_OFF, 0)
    assert journals(hub)["bad-debt/one"] == [("bad_debt_expense", "1611.35", "0"), ("receivables", "0", "1611.35")]
    assert hub.systems.crm.things["status"][-1]["shown"]["paid"] == "0.00", "given up is not paid"
    assert audit(hub.kernel) == []


def test_what_is_left_after_a_part_payment_is_given_up() -> None:
    hub = owed()
    pay(hub, "611.35", invoice(hub).due_date)
    hub.resolve("chase")
    give_up(hub)
    hub.resolve("approve")
    assert [(s.kind, s.amount) for s in hub.rows(Allocation, order=("amount",))] == [
        ("payment", Decimal("611.35")),
        ("bad_debt", Decimal("1000.00")),
    ]
    assert hub.systems.crm.things["status"][-1]["shown"]["paid"] == "611.35"
    assert invoice(hub).settlement is Settlement.WRITTEN_OFF and audit(hub.kernel) == []


def test_a_part_of_it_is_given_up_and_the_rest_is_still_claimed() -> None:
    hub = owed()
    give_up(hub, amount="611.35")
    hub.resolve("approve")
    assert (invoice(hub).settlement, invoice(hub).open) == (Settlement.PARTIALLY_PAID, Decimal("1000.00"))
    pay(hub, "1000.00", invoice(hub).issue_date)
    assert invoice(hub).settlement is Settlement.PAID and audit(hub.kernel) == []


def test_a_client_who_pays_after_all_is_claimed_from_again() -> None:
    hub = owed()
    give_up(hub)
    hub.resolve("approve")
    pay(hub, str(TOTAL), invoice(hub).due_date, applies={invoice(hub).number: TOTAL})
    assert hub.case().exception == "EX-CASH-UNMATCHED", "what was given up takes no money by itself"
    hub.start("claim_again", "one", invoice_id=invoice(hub).invoice_id, reason="it pays", requested_by="ana")
    assert (invoice(hub).settlement, invoice(hub).open) == (Settlement.OPEN, TOTAL)
    assert journals(hub)["bad-debt/one/claimed-again"] == [
        ("receivables", "1611.35", "0"),
        ("bad_debt_expense", "0", "1611.35"),
    ]
    hub.resolve("retry")
    assert invoice(hub).settlement is Settlement.PAID and audit(hub.kernel) == []


def test_what_is_asked_for_twice_is_given_up_once() -> None:
    hub = owed()
    give_up(hub, "one")
    give_up(hub, "two")
    for case in hub.rows(Case, state="open"):
        with hub.store.transaction() as tx:
            hub.kernel.resolve(tx, case.case_no, action="approve", actor="finn", reason="test", values={})
        hub.go()
    assert [s.amount for s in hub.rows(Allocation)] == [TOTAL]
    assert "is open" in hub.case().cause and audit(hub.kernel) == []


def test_the_matrix_says_who_may_agree() -> None:
    hub = owed()
    row = Approval(action="bad_debt", role="cfo", up_to=Decimal("100000"))
    with hub.store.transaction() as tx:
        tx.update(ENTITY.model_copy(update={"approval_matrix": (row,)}))
    give_up(hub)
    assert hub.case().context["approvers"] == ["cfo"]


def test_what_was_given_up_is_credited_only_when_it_is_claimed_again() -> None:
    hub = owed()
    give_up(hub)
    hub.resolve("approve")
    args = {"invoice_id": invoice(hub).invoice_id, "amounts": {}, "reason": "concession", "requested_by": "ana"}
    hub.start("credit_invoice", "c", **args)
    assert "claim it again first" in hub.case().cause


def test_only_what_is_open_can_be_given_up() -> None:
    hub = owed()
    assert "cannot be given up" in give_up(hub, amount="1611.36").reason


# -- the tax within it ---------------------------------------------------------------------------------------------

RELIEF = ENTITY.model_copy(update={"bad_debt_relief_months": 6})


def relieved(by_engine: bool = False) -> Hub:
    """As owed, in a country that has the tax back; due on 2026-04-01."""
    hub = owed()
    with hub.store.transaction() as tx:
        tx.update(RELIEF)
    if not by_engine:
        del hub.systems.by_port["TaxEngine"]
    return hub


def on(hub: Hub, day: date) -> None:
    hub.clock.move(datetime.combine(day, time(15), tzinfo=UTC) - hub.clock.now())
    clock.look(hub.kernel)
    hub.go()


def test_without_the_setting_no_tax_is_had_back() -> None:
    hub = owed()
    give_up(hub)
    hub.resolve("approve")
    on(hub, date(2027, 4, 1))
    assert list(journals(hub)) == ["bad-debt/one"]


def test_tax_is_had_back_from_the_day_on_which_the_law_allows_it() -> None:
    hub = relieved()
    give_up(hub)
    hub.resolve("approve")
    on(hub, date(2026, 9, 30))
    assert list(journals(hub)) == ["bad-debt/one"]
    on(hub, date(2026, 10, 1))
    assert journals(hub)["bad-debt/one/tax-relief"] == [
        ("tax_payable", "131.35", "0"),
        ("bad_debt_expense", "0", "131.35"),
    ]
    on(hub, date(2026, 10, 2))
    assert len(journals(hub)) == 2 and audit(hub.kernel) == [] and not hub.rows(Case, state="open")


def test_parts_that_are_given_up_later_have_their_share_and_together_all_of_it() -> None:
    hub = relieved()
    give_up(hub, "z", amount="500.00")
    hub.resolve("approve")
    on(hub, date(2026, 10, 1))
    give_up(hub, "a")
    hub.resolve("approve")
    on(hub, date(2026, 10, 2))
    booked = journals(hub)
    shares = [Decimal(booked[f"bad-debt/{name}/tax-relief"][0][1]) for name in ("z", "a")]
    assert shares == [Decimal("40.76"), Decimal("90.59")] and sum(shares) == Decimal("131.35")


def test_a_claim_made_again_gives_the_relief_back_and_a_payment_settles_it() -> None:
    hub = relieved()
    give_up(hub)
    hub.resolve("approve")
    on(hub, date(2026, 10, 1))
    hub.start("claim_again", "one", invoice_id=invoice(hub).invoice_id, reason="it pays", requested_by="ana")
    assert journals(hub)["bad-debt/one/tax-relief/returned"] == [
        ("bad_debt_expense", "131.35", "0"),
        ("tax_payable", "0", "131.35"),
    ]
    pay(hub, str(TOTAL), date(2026, 10, 1), applies={invoice(hub).number: TOTAL})
    assert invoice(hub).settlement is Settlement.PAID and audit(hub.kernel) == []
    on(hub, date(2027, 10, 1))
    assert len(journals(hub)) == 4, "what was claimed again is not relieved a second time"


def test_a_claim_made_again_before_its_day_has_no_relief() -> None:
    hub = relieved()
    give_up(hub)
    hub.resolve("approve")
    hub.start("claim_again", "one", invoice_id=invoice(hub).invoice_id, reason="it pays", requested_by="ana")
    on(hub, date(2026, 10, 1))
    assert sorted(journals(hub)) == ["bad-debt/one", "bad-debt/one/claimed-again"]


def test_where_an_engine_reports_the_tax_the_tax_desk_adjusts_it_there() -> None:
    hub = relieved(by_engine=True)
    give_up(hub)
    hub.resolve("approve")
    on(hub, date(2026, 10, 1))
    case = hub.case()
    assert (case.exception, case.queue, case.amount) == ("EX-TAX-ADJUST", "tax", Decimal("131.35"))
    assert "is had back with its bad debt" in case.cause
    hub.resolve("adjusted", document="ADJ-1")
    hub.start("claim_again", "one", invoice_id=invoice(hub).invoice_id, reason="it pays", requested_by="ana")
    assert (hub.case().amount, "is owed again" in hub.case().cause) == (Decimal("-131.35"), True)
