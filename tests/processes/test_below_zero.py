"""A total below zero: credit memos of the invoices it corrects, or it waits by the contract's word; never silently."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from isthmus.app.controls import audit
from isthmus.app.explain import explain
from isthmus.domain.objects import BillablePart, Cap, Invoice, LedgerEntry
from isthmus.domain.states import InvoiceLife, PartState, Posting
from isthmus.domain.terms import Holdback, InvoiceTerms
from tests.processes.hub import Hub, contract, entry
from tests.processes.test_credits import answer_all

D = Decimal
APRIL = datetime(2026, 4, 1, tzinfo=UTC)


def billed(**terms: Any) -> Hub:
    """8 h and 4 h of March are invoiced: 2,220.00."""
    hub = Hub()
    hub.set_up(contract(**terms))
    hub.capture(entry(1, "8.0"), entry(2, "4.0", day=4))
    hub.bill("a")
    return hub


def documents(hub: Hub, kind: str) -> list[Invoice]:
    return [i for i in hub.rows(Invoice, kind=kind) if i.life is not InvoiceLife.DISCARDED]


def test_what_a_correction_gives_back_is_a_credit_memo_that_another_person_approves() -> None:
    hub = billed()
    hub.capture(entry(1, "6.0", approved_at=APRIL))
    hub.bill("b", "2026-04-30")
    case = hub.case()
    assert (case.exception, case.amount, case.context["prepared_by"]) == ("EX-CREDIT-REVIEW", Decimal("370.00"), "ana")
    assert [p.state for p in hub.rows(BillablePart) if p.net < 0] == [PartState.ON_DRAFT]
    hub.resolve("approve")
    (memo,) = documents(hub, "credit")
    (original,) = documents(hub, "standard")
    assert (memo.net, memo.tax, memo.number, memo.posting) == (
        Decimal("370.00"),
        Decimal("32.84"),
        "US01-CN-2026-00001",
        Posting.POSTED,
    )
    assert (original.lines[0].credited, original.open) == (Decimal("370.00"), original.total - memo.total)
    assert hub.systems.erp.things["credit"][0]["credits"] == original.number
    assert audit(hub.kernel) == []
    with hub.store.transaction() as tx:
        told = explain(hub.kernel.books(tx, key="x", actor="x"), memo.number)
    assert told.agrees and told.lines[0].parts[0].source.key == "psa:1"


def test_what_is_billed_beside_it_gets_its_own_invoice() -> None:
    hub = billed()
    hub.capture(entry(1, "6.0", approved_at=APRIL), entry(3, "1.0", day=6))
    hub.bill("b", "2026-04-30")
    hub.resolve("approve")
    assert [i.net for i in documents(hub, "standard")] == [Decimal("2220.00"), Decimal("185.00")]
    assert [i.net for i in documents(hub, "credit")] == [Decimal("370.00")]
    assert audit(hub.kernel) == []


def test_one_that_is_called_off_waits_to_be_netted() -> None:
    hub = billed()
    hub.capture(entry(1, "6.0", approved_at=APRIL))
    hub.bill("b", "2026-04-30")
    hub.resolve("cancel")
    assert not documents(hub, "credit")
    hub.capture(entry(3, "5.0", day=6))
    hub.bill("c", "2026-04-30")
    assert [i.net for i in documents(hub, "standard")] == [Decimal("2220.00"), Decimal("555.00")]
    assert audit(hub.kernel) == []


def test_two_invoices_are_corrected_by_a_credit_memo_each() -> None:
    hub = billed()
    hub.capture(entry(3, "2.0", day=10))
    hub.bill("b")
    hub.capture(entry(1, "0", approved_at=APRIL), entry(3, "0.5", day=10, approved_at=APRIL))
    hub.bill("c", "2026-04-30")
    answer_all(hub, "approve")
    memos = {memo.original_invoice_id: memo.net for memo in documents(hub, "credit")}
    assert memos == {"K-1:a": Decimal("1480.00"), "K-1:b": Decimal("277.50")}
    assert audit(hub.kernel) == []


def held_back() -> Hub:
    """2,220.00 are billed, 10 % of it is held back: 222.00."""
    return billed(lines=(contract().lines[0].model_copy(update={"holdback": Holdback(percent=Decimal(10))}),))


def held(hub: Hub) -> Decimal:
    return sum((row.amount for row in hub.rows(LedgerEntry, ledger="holdback")), Decimal(0))


def release(hub: Hub, name: str = "r") -> None:
    hub.start("release_holdback", name, contract_no="K-1", line_uid="L1", asked_by="ana", finally_accepted=True)


@pytest.mark.requirement("INV-13")
def test_a_line_that_holds_back_gives_back_in_its_own_proportion() -> None:
    hub = held_back()
    hub.capture(entry(1, "6.0", approved_at=APRIL))
    hub.bill("b", "2026-04-30")
    hub.resolve("approve")
    (memo,) = documents(hub, "credit")
    assert (memo.net, memo.lines[0].held, held(hub)) == (Decimal("333.00"), Decimal("37.00"), Decimal("185.00"))
    assert audit(hub.kernel) == []
    hub.capture(entry(1, "0", approved_at=APRIL.replace(day=2)), entry(2, "0", day=4, approved_at=APRIL))
    hub.bill("c", "2026-04-30")
    hub.resolve("approve")
    assert sum(memo.net for memo in documents(hub, "credit")) == Decimal("1998.00") and held(hub) == 0
    release(hub)
    assert not documents(hub, "release"), "nothing is held any more"
    assert audit(hub.kernel) == []


def test_a_line_billed_by_mistake_is_credited_with_what_it_holds_back() -> None:
    hub = held_back()
    (invoice,) = documents(hub, "standard")
    args = {"invoice_id": invoice.invoice_id, "amounts": {}, "reason": "error_rebill"}
    hub.start("credit_invoice", "again", requested_by="ana", **args)
    hub.resolve("approve")
    assert held(hub) == 0 and {p.net for p in hub.rows(BillablePart, state=PartState.READY)} == {D("1480"), D("740")}
    hub.bill("b")
    assert [i.net for i in documents(hub, "standard")] == [D("1998.00"), D("1998.00")] and held(hub) == D("222.00")
    assert audit(hub.kernel) == []


def test_what_was_released_meanwhile_comes_back_too() -> None:
    hub = held_back()
    release(hub)
    hub.capture(entry(1, "0", approved_at=APRIL), entry(2, "0", day=4, approved_at=APRIL))
    hub.bill("b", "2026-04-30")
    answer_all(hub, "approve")
    memos = {memo.original_invoice_id: memo.net for memo in documents(hub, "credit")}
    assert memos == {"K-1:a": Decimal("1998.00"), "r": Decimal("222.00")} and held(hub) == 0
    assert audit(hub.kernel) == []


def test_a_correction_netted_after_the_release_gives_up_no_more_than_is_held() -> None:
    hub = held_back()
    release(hub)
    hub.capture(entry(1, "6.0", approved_at=APRIL), entry(3, "3.0", day=6))
    hub.bill("b", "2026-04-30")
    (_, netted) = documents(hub, "standard")
    assert (netted.net, held(hub)) == (Decimal("166.50"), Decimal("18.50"))
    assert audit(hub.kernel) == []


def test_by_the_contract_it_waits() -> None:
    hub = billed(invoicing=InvoiceTerms(below_zero="wait"))
    hub.capture(entry(1, "6.0", approved_at=APRIL))
    hub.bill("b", "2026-04-30")
    assert not documents(hub, "credit")


@pytest.mark.parametrize("share", ["0.3333", "1.7", "7.9999"])
def test_credited_again_it_never_gives_back_more_than_was_billed(share: str) -> None:
    hub = billed()
    hub.capture(entry(1, share, approved_at=APRIL))
    hub.bill("b", "2026-04-30")
    hub.resolve("approve")
    hub.capture(entry(1, "0", approved_at=APRIL.replace(day=2)))
    hub.bill("c", "2026-04-30")
    hub.resolve("approve")
    assert sum(memo.net for memo in documents(hub, "credit")) == Decimal("1480.00")
    assert audit(hub.kernel) == []


@pytest.mark.requirement("INV-04")
def test_nothing_is_billed_ahead_of_the_credit_that_makes_room_for_it() -> None:
    hub = Hub()
    hub.set_up(contract(caps=(Cap(cap_id="K-1:cap", scope="contract", limit=Decimal("1850.00")),)))
    hub.capture(entry(1, "10", day=20))
    hub.bill("a")
    hub.capture(entry(2, "6", day=5), entry(1, "4", day=20, approved_at=APRIL))
    hub.bill("b", "2026-04-30")
    assert [i.net for i in documents(hub, "standard")] == [Decimal("1850.00")], "the credit waits, and so does the work"
    hub.resolve("approve")
    assert [i.net for i in documents(hub, "standard")] == [Decimal("1850.00"), Decimal("1110.00")]
    assert [i.net for i in documents(hub, "credit")] == [Decimal("1110.00")]
    assert audit(hub.kernel) == []
