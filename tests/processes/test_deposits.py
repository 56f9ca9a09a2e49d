"""A deposit: what can be drawn follows what is paid; money that bounces takes back what nobody has drawn (INV-12)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from isthmus.app.controls import audit
from isthmus.domain.journals import Journal
from isthmus.domain.objects import Allocation, ContractVersion, Invoice, LedgerEntry
from isthmus.domain.states import InvoiceLife
from isthmus.domain.terms import Deposit
from isthmus.processes import clock
from isthmus.processes.work.earned import totals_of
from tests.processes.hub import Hub, contract, entry
from tests.processes.test_credits import answer_all
from tests.processes.test_invoice_to_cash import pay
from tests.processes.test_new_shares import amend, answer
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


# -- money on account ------------------------------------------------------------------------------------------


def on_account(**terms: object) -> Hub:
    """A hub whose contract has a cash advance of 1,000.00, issued and paid."""
    hub = advanced(mode="cash_advance", **terms)
    paid(hub)
    return hub


def standard(hub: Hub) -> Invoice:
    return next(i for i in hub.rows(Invoice) if i.kind == "standard")  # type: ignore[no-any-return]


def credit(hub: Hub, invoice: Invoice, amounts: dict[str, str], reason: str, name: str = "first") -> None:
    """A credit that another person approves."""
    args = {"amounts": amounts, "reason": reason, "requested_by": "ana"}
    hub.start("credit_invoice", f"{invoice.number}/{name}", invoice_id=invoice.invoice_id, **args)
    hub.resolve("approve")


def journals(hub: Hub) -> dict[str, list[tuple[str, str, str]]]:
    """What the ERP has booked: account, debit, credit, by the hub's number."""
    return {row["key"]: row["lines"] for row in hub.systems.erp.things.get("journal", [])}


def test_a_cash_advance_is_not_taxed_and_no_revenue_and_no_engine_is_asked() -> None:
    hub = advanced(mode="cash_advance")
    advance = hub.rows(Invoice)[0]
    assert (advance.net, advance.tax, advance.total) == (Decimal("1000.00"), 0, Decimal("1000.00"))
    assert [(c.code, c.rate, c.taxable, c.tax) for c in advance.tax_breakdown] == [("O", 0, Decimal("1000.00"), 0)]
    assert not hub.systems.tax.things.get("document") and left(hub) == 0
    paid(hub)
    assert left(hub) == 1000 and hub.systems.crm.things["status"][0]["shown"]["billed"] == "0"


def test_an_invoice_is_paid_from_it_after_tax() -> None:
    hub = on_account()
    hub.capture(entry(1, "2.0"))
    hub.bill("2026-03")
    invoice = standard(hub)
    assert [line.net for line in invoice.lines] == [Decimal("370.00")], "nothing is taken off before tax"
    assert (invoice.tax, invoice.total, invoice.open) == (Decimal("32.84"), Decimal("402.84"), 0)
    assert invoice.settlement == "paid" and left(hub) == Decimal("597.16")
    assert [(s.kind, s.amount) for s in hub.rows(Allocation, invoice_id=invoice.invoice_id)] == [
        ("deposit", Decimal("402.84"))
    ]
    assert journals(hub) == {
        f"deposit/{invoice.number}": [("customer_deposits", "402.84", "0"), ("receivables", "0", "402.84")]
    }
    assert audit(hub.kernel) == []


def test_what_it_does_not_cover_stays_open_and_is_settled_by_money() -> None:
    hub = on_account()
    hub.capture(*(entry(n, "4", day=n) for n in (3, 4)))
    hub.bill("2026-03")
    invoice = standard(hub)
    assert (invoice.total, invoice.open, left(hub)) == (Decimal("1611.35"), Decimal("611.35"), 0)
    assert invoice.settlement == "partially_paid"
    pay(hub, "611.35", date(2026, 4, 20), number=2, reference=invoice.number)
    assert standard(hub).settlement == "paid" and audit(hub.kernel) == []


def test_a_credit_gives_back_to_the_advance_what_the_advance_has_paid() -> None:
    hub = on_account()
    hub.capture(entry(1, "2.0"))
    hub.bill("2026-03")
    credit(hub, standard(hub), {"1": "185.00"}, "concession")
    invoice = standard(hub)
    assert (invoice.credited, invoice.open, left(hub)) == (Decimal("201.42"), 0, Decimal("798.58"))
    credit(hub, invoice, {"1": "185.00"}, "concession", "second")
    assert left(hub) == 1000 and standard(hub).life is InvoiceLife.CREDITED
    booked = [lines[0] for lines in journals(hub).values()]
    assert booked == [
        ("customer_deposits", "402.84", "0"),
        ("receivables", "201.42", "0"),
        ("receivables", "201.42", "0"),
    ]
    assert audit(hub.kernel) == []


def test_an_advance_itself_is_credited_without_tax() -> None:
    hub = on_account()
    credit(hub, hub.rows(Invoice, kind="advance")[0], {"1": "400.00"}, "concession")
    memo = hub.rows(Invoice, kind="credit")[0]
    assert (memo.net, memo.tax, left(hub)) == (Decimal("400.00"), 0, 600)
    assert audit(hub.kernel) == []


def test_without_a_port_for_journals_a_person_books_it_and_says_as_what() -> None:
    hub = advanced(mode="cash_advance", available="issued")
    del hub.systems.by_port["JournalBook"]
    hub.capture(entry(1, "2.0"))
    hub.bill("2026-03")
    case = hub.case()
    assert case.exception == "EX-JOURNAL" and case.amount == Decimal("402.84")
    hub.resolve("booked", reference="JE-88")
    (kept,) = hub.rows(Journal)
    assert (kept.booked_as, kept.booked_by) == ("JE-88", "finn")


# -- what nobody draws -----------------------------------------------------------------------------------------


def expired(**terms: object) -> Hub:
    """An advance of 1,000.00 that could be drawn until the end of April; 370.00 of it was. It is May."""
    hub = advanced(expires=date(2026, 4, 30), **terms)
    paid(hub)
    hub.capture(entry(1, "2.0"))
    hub.bill("2026-03")
    hub.later(days=59)
    assert clock.expire_deposits(hub.kernel) == 0, "on its last day it can still be drawn"
    hub.later(days=2)
    assert clock.expire_deposits(hub.kernel) == 1
    hub.go()
    assert clock.expire_deposits(hub.kernel) == 0
    return hub


@pytest.mark.requirement("INV-12")
def test_what_expires_of_a_taxed_deposit_is_revenue_of_that_month_once() -> None:
    hub = expired()
    assert left(hub) == 0
    with hub.store.transaction() as tx:
        books = hub.kernel.books(tx, key="x", actor="x")
        may, april = totals_of(books, "US01", "2026-05"), totals_of(books, "US01", "2026-04")
    assert may == {"breakage USD": "630.00", "revenue USD": "630.00"} and "revenue USD" not in april
    assert list(journals(hub).values()) == [[("customer_deposits", "630.00", "0"), ("breakage_revenue", "0", "630.00")]]
    hub.later(days=1)
    clock.expire_deposits(hub.kernel)
    hub.go()
    assert left(hub) == 0 and len(journals(hub)) == 1 and audit(hub.kernel) == []


def test_what_expires_of_a_cash_advance_waits_for_the_tax_desk() -> None:
    hub = expired(mode="cash_advance")
    case = hub.case()
    assert (case.exception, case.amount, left(hub)) == ("EX-BREAKAGE", Decimal("597.16"), Decimal("597.16"))
    hub.resolve("book", tax="48.68")
    assert left(hub) == 0
    assert journals(hub)[f"breakage/{hub.rows(LedgerEntry, kind='grant')[0].entry_id}"] == [
        ("customer_deposits", "548.48", "0"),
        ("breakage_revenue", "0", "548.48"),
        ("customer_deposits", "48.68", "0"),
        ("tax_payable", "0", "48.68"),
    ]
    assert audit(hub.kernel) == []


@pytest.mark.requirement("INV-12")
def test_the_audit_finds_an_advance_that_pays_more_than_it_was_drawn() -> None:
    hub = on_account()
    hub.capture(entry(1, "2.0"))
    hub.bill("2026-03")
    with hub.store.transaction() as tx:
        (share,) = tx.find(Allocation, kind="deposit")
        tx.update(share.model_copy(update={"amount": share.amount - Decimal("0.01")}))
    assert "INV-12" in {finding.control for finding in audit(hub.kernel)}


@pytest.mark.parametrize("mode", ["cash_advance", None], ids=["another mode", "no deposit"])
def test_a_deposit_that_is_not_drawn_keeps_its_mode(mode: str | None) -> None:
    """Paid, or only asked for: an amendment waits until it is drawn or credited, and says so."""
    for is_paid in (True, False):
        hub = advanced()
        if is_paid:
            paid(hub)
        line = contract().lines[0]
        deposit = Deposit(amount=Decimal("1000.00"), mode=mode) if mode else None
        changed = contract(version=2, lines=(line.model_copy(update={"deposit": deposit}),))
        amend(hub, changed)
        case = hub.case()
        assert case.exception == "EX-DEPOSIT-MODE" and "US01-INV-2026-00001 is tax_deposit" in case.cause
        assert case.amount == (Decimal("1000.00") if is_paid else Decimal("1088.75"))
        assert len(hub.rows(ContractVersion)) == 1, "nothing of it is in force"
        advance = hub.rows(Invoice, kind="advance")[0]
        args = {"amounts": {}, "reason": "error_rebill", "requested_by": "ana"}
        hub.start("credit_invoice", "back", invoice_id=advance.invoice_id, **args)
        answer(hub, "EX-CREDIT-REVIEW")
        hub.start("amend_contract", "again", contract_no="K-1", version=2)
        answer_all(hub, "retry")
        assert len(hub.rows(ContractVersion)) == 2
        assert audit(hub.kernel) == []


def test_a_deposit_that_is_drawn_may_become_another() -> None:
    hub = advanced()
    paid(hub)
    hub.capture(entry(1, "8.0"))
    hub.bill("a")
    deposit = Deposit(amount=Decimal("1000.00"), mode="cash_advance")
    amend(hub, contract(version=2, lines=(contract().lines[0].model_copy(update={"deposit": deposit}),)))
    assert len(hub.rows(ContractVersion)) == 2
