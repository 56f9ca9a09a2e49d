"""Terms that are kept from the entry to the ledger, not only where they are decided: numbers worked out by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from isthmus.app.controls import audit
from isthmus.app.explain import explain
from isthmus.desk import cases
from isthmus.domain.errors import BadInput
from isthmus.domain.objects import (
    BillablePart,
    BillingType,
    ContractLine,
    Expense,
    Invoice,
    Payment,
    PercentReport,
    UsageRecord,
)
from isthmus.domain.periods import FxRate
from isthmus.domain.states import CaseState
from isthmus.domain.terms import (
    CostPlus,
    Discount,
    ExpenseTerms,
    FxPolicy,
    Holdback,
    InvoiceTerms,
    MinimumCommitment,
    Rate,
    Retainer,
    Tier,
)
from isthmus.processes import clock, sweeps
from isthmus.processes.work.evidence import place_contract
from isthmus.processes.work.holding import waive_rule
from isthmus.store.records import Case
from tests.processes.hub import ENTITY, Hub, contract, entry

TAXED = ENTITY.model_copy(update={"tax_rates": {"S": Decimal("0.21")}, "tax_registrations": ("US-NY",)})
SPRING = date(2026, 3, 1)
SMALL = Retainer(quota_hours=Decimal(3), fee=Decimal(1000), overage_rate=Decimal(120), start=SPRING)


def hub() -> Hub:
    """A hub whose legal entity taxes by rates of its own."""
    made = Hub(TAXED)
    del made.systems.by_port["TaxEngine"]
    return made


def line(**changes: Any) -> ContractLine:
    (plain,) = contract().lines
    return plain.model_copy(update={"tax_category": "S", **changes})


def in_euros(rate: str = "100.00", **changes: Any) -> ContractLine:
    """A line whose one rate is in another currency than its contract."""
    rates = (Rate(role="Consultant", bill_rate=Decimal(rate), currency="EUR", effective_from=SPRING, **changes),)
    return line(fx=FxPolicy(), rates=rates)


def quote(made: Hub, day: int, rate: str) -> None:
    with made.store.transaction() as tx:
        facts = {"rate_type": "ecb", "from_currency": "EUR", "to_currency": "USD", "source": "test"}
        tx.insert(FxRate(day=date(2026, 3, day), rate=Decimal(rate), **facts))


def spend(made: Hub, name: str, gross: str, day: int = 12, **changes: Any) -> None:
    facts: dict[str, Any] = {
        "source": "psa",
        "source_id": name,
        "project_code": "P-K-1",
        "person": "ann",
        "category": "taxi",
        "expense_date": date(2026, 3, day),
        "gross": Decimal(gross),
        "currency": "USD",
        "approved_by": "pia",
        "approved_at": made.clock.now(),
    }
    with made.store.transaction() as tx:
        books = made.kernel.books(tx, key=f"spend-{name}", actor="psa")
        sweeps.accept_expenses(books, "psa", [Expense(**{**facts, **changes})])
    sweeps.drain_facts(made.kernel)
    made.go()


def nets(made: Hub) -> list[Decimal]:
    return [invoice.net for invoice in sorted(made.rows(Invoice), key=lambda i: i.number)]


def parts(made: Hub) -> dict[str, tuple[Decimal, str]]:
    """Net and state of what is not superseded, by source."""
    return {
        part.item_id.split("#")[0]: (part.net, f"{part.state} {part.reason}".strip())
        for part in made.rows(BillablePart)
        if part.state != "superseded"
    }


def explained(made: Hub) -> bool:
    """True when every line of every invoice is worked out again to the cent."""
    with made.store.transaction() as tx:
        books = made.kernel.books(tx, key="explain", actor="test")
        return all(explain(books, invoice.number).agrees for invoice in made.rows(Invoice) if invoice.number)


# -- rates in another currency ---------------------------------------------------------------------------------


def test_an_hour_at_a_rate_in_another_currency_is_converted_at_the_rate_of_its_day() -> None:
    made = hub()
    quote(made, 3, "1.0837")
    made.set_up(contract(caps=(), lines=(in_euros(),)))
    made.capture(entry(1, "8"), entry(2, "0.25", day=4))
    made.bill("first")
    # 100.00 EUR * 1.0837 = 108.37 USD: 866.96, and 0.25 h of a day without a rate by that of the day before: 27.09.
    assert nets(made) == [Decimal("894.05")]
    quote(made, 4, "1.2000")  # published after the hour was priced: what is priced stays, and can still be explained
    assert explained(made)
    assert audit(made.kernel) == []


def test_a_floor_in_another_currency_is_converted_too() -> None:
    made = hub()
    quote(made, 3, "2")
    off = (Discount(kind="percent", percent=Decimal("50")),)
    made.set_up(contract(caps=(), lines=(in_euros(floor=Decimal("80.00")).model_copy(update={"discounts": off}),)))
    made.capture(entry(1, "1"))
    made.bill("first")
    assert nets(made) == [Decimal("160.00")]
    assert audit(made.kernel) == []


@pytest.mark.parametrize("kind", ["volume_prospective", "volume_retroactive"])
def test_a_volume_discount_stops_at_the_floor(kind: str) -> None:
    """10 h at 100.00 with a floor of 90.00, and 10 h at 50.00 without one: 50 % off would be 750.00, or 725.00 of all
    above 50.00; 100.00 and 500.00 may go.
    """
    made = hub()
    tier = Tier(from_net=Decimal(50), percent=Decimal(50))
    kept = Rate(role="Consultant", bill_rate=Decimal(100), floor=Decimal(90), effective_from=SPRING)
    free = Rate(role="Analyst", bill_rate=Decimal(50), effective_from=SPRING)
    off = Discount(kind=kind, tiers=(tier,))
    made.set_up(contract(caps=(), lines=(line(rates=(kept, free), discounts=(off,)),)))
    made.capture(entry(1, "10"), entry(2, "10", role="Analyst", person="bo"))
    made.bill("first")
    assert nets(made) == [Decimal("900.00")]
    assert audit(made.kernel) == []


def enter(made: Hub, rate: str) -> None:
    """What mary answers at the desk."""
    case = made.case()
    with made.store.transaction() as tx:
        books = made.kernel.books(tx, key="desk", actor="mary")
        checked = cases.check(books, case, "enter", {"rate": rate})
        cases.carry_out(books, case.case_no, action="enter", actor="mary", reason="test", checked=checked)
    made.go()


@pytest.mark.parametrize("rate", ["", "0", "-1.1", "abc", "1,10", "1e5"])
def test_what_is_no_rate_is_refused_and_the_case_stays(rate: str) -> None:
    made = hub()
    made.set_up(contract(caps=(), lines=(in_euros(),)))
    made.capture(entry(1, "8"))
    with pytest.raises(BadInput, match="rate"):
        enter(made, rate)
    assert made.case().exception == "EX-FX-RATE" and not made.rows(FxRate)


def test_a_rate_that_a_person_enters_converts_and_is_kept() -> None:
    made = hub()
    made.set_up(contract(caps=(), lines=(in_euros(),)))
    made.capture(entry(1, "8"))
    assert made.case().context == {"rate_type": "ecb", "from": "EUR", "to": "USD", "day": "2026-03-03"}
    enter(made, "1.10")
    made.bill("first")
    assert nets(made) == [Decimal("880.00")]
    (kept,) = made.rows(FxRate)
    assert (kept.rate, kept.day, kept.source.startswith("entered by mary")) == (Decimal("1.10"), date(2026, 3, 3), True)
    assert explained(made)
    assert audit(made.kernel) == []


def test_an_expense_by_card_without_the_cards_rate_takes_the_published_one() -> None:
    made = hub()
    quote(made, 12, "1.10")
    terms = ExpenseTerms(fx=FxPolicy(rate_type="card", date_rule="expense_date"))
    made.set_up(contract(caps=(), lines=(line(expenses=terms),)))
    spend(made, "A", "100.00", currency="EUR")
    spend(made, "B", "100.00", currency="EUR", category="hotel", card_rate=Decimal("1.15"))
    assert parts(made) == {"psa:A": (Decimal("110.00"), "ready"), "psa:B": (Decimal("115.00"), "ready")}
    assert audit(made.kernel) == []


# -- expenses --------------------------------------------------------------------------------------------------


def test_what_was_paid_in_the_clients_name_is_passed_on_and_not_taxed_again() -> None:
    made = hub()
    made.set_up(contract(caps=(), lines=(line(expenses=ExpenseTerms(disbursements=("court fee",))),)))
    spend(made, "FEE", "121.00", category="court fee", tax=Decimal("21.00"), tax_recoverable=True)
    spend(made, "TAXI", "100.00")
    made.bill("first")
    (invoice,) = made.rows(Invoice)
    assert [(one.net, one.tax, one.tax_category) for one in invoice.lines] == [
        (Decimal("121.00"), Decimal("0.00"), "O"),
        (Decimal("100.00"), Decimal("21.00"), "S"),
    ]
    assert (invoice.net, invoice.tax) == (Decimal("221.00"), Decimal("21.00"))
    assert audit(made.kernel) == []


def test_a_volume_discount_is_not_taken_off_what_was_paid_in_the_clients_name() -> None:
    made = hub()
    off = Discount(kind="volume_retroactive", tiers=(Tier(from_net=Decimal(150), percent=Decimal(10)),))
    terms = ExpenseTerms(disbursements=("court fee",))
    made.set_up(contract(caps=(), lines=(line(expenses=terms, discounts=(off,)),)))
    spend(made, "FEE", "121.00", category="court fee")
    spend(made, "TAXI", "100.00")
    made.bill("first")
    spend(made, "TRAIN", "100.00", day=13)
    made.bill("second")
    assert nets(made) == [Decimal("221.00"), Decimal("80.00")]  # 10 % of 200.00 and not of 321.00
    assert audit(made.kernel) == []


def test_a_tax_engine_is_not_asked_to_tax_what_was_paid_in_the_clients_name() -> None:
    made = Hub()
    made.set_up(contract(caps=(), lines=(line(expenses=ExpenseTerms(disbursements=("court fee",))),)))
    spend(made, "FEE", "121.00", category="court fee")
    spend(made, "TAXI", "100.00")
    made.bill("first")
    (invoice,) = made.rows(Invoice)
    assert sorted((one.net, one.tax) for one in invoice.lines) == [
        (Decimal("100.00"), Decimal("8.88")),  # 8.875 %
        (Decimal("121.00"), Decimal("0.00")),
    ]
    made.start(
        "credit_invoice", "c", invoice_id=invoice.invoice_id, amounts={}, reason="error_rebill", requested_by="ana"
    )
    made.resolve("approve", actor="carla")
    (credit,) = made.rows(Invoice, kind="credit")
    assert (credit.net, credit.tax) == (Decimal("221.00"), Decimal("8.88"))
    assert audit(made.kernel) == []


def test_receipts_go_with_the_invoice_they_are_of() -> None:
    made = hub()
    terms = InvoiceTerms(attachments=("receipts", "timesheets"))
    made.set_up(contract(caps=(), invoicing=terms, lines=(line(expenses=ExpenseTerms()),)))
    spend(made, "TAXI", "40.00", receipt_ref="R-7")
    made.capture(entry(1, "1"))
    made.bill("first")
    (invoice,) = made.rows(Invoice)
    assert invoice.attachments == ("receipt:R-7", "timesheet:P-K-1:2026-03")


def test_an_expense_waits_for_each_reason_it_has() -> None:
    """Of before the change order, without a receipt: letting the receipt pass does not sign the contract."""
    made = hub()
    terms = ExpenseTerms(receipt_from=Decimal("25.00"))
    made.set_up(contract(caps=(), lines=(line(expenses=terms, billable_from=date(2026, 3, 10)),)))
    spend(made, "EARLY", "40.00", day=5)
    for reason in ("CONTRACT_UNSIGNED", "RECEIPT_MISSING"):
        assert parts(made) == {"psa:EARLY": (Decimal("40.00"), f"held {reason}")}
        with made.store.transaction() as tx:
            books = made.kernel.books(tx, key=f"waive-{reason}", actor="finn")
            waive_rule(books, "K-1", "psa:EARLY", reason, "finn")
            place_contract(books, "K-1")
    assert parts(made) == {"psa:EARLY": (Decimal("40.00"), "ready")}
    assert audit(made.kernel) == []


# -- corrections -----------------------------------------------------------------------------------------------


def test_a_correction_of_what_the_price_depends_on_is_a_correction() -> None:
    made = hub()
    night = {"bill_rate": Decimal("270.00"), "work_type": "night"}
    rates = [{"bill_rate": Decimal("185.00")}, night]
    priced = tuple(Rate(role="Consultant", effective_from=SPRING, **one) for one in rates)
    made.set_up(contract(caps=(), lines=(line(rates=priced),)))
    made.capture(entry(1, "8"))
    made.bill("first")
    later = datetime(2026, 3, 9, 9, tzinfo=UTC)
    made.capture(entry(1, "8", work_type="night", approved_at=later))
    made.bill("second")
    assert nets(made) == [Decimal("1480.00"), Decimal("680.00")]  # 8 h * (270.00 - 185.00)
    # A channel that does not know of work types takes nothing back, whenever it says so.
    made.capture(entry(1, "8", approved_at=datetime(2026, 3, 10, 9, tzinfo=UTC), cost_rate=Decimal("70.00")))
    made.bill("third")
    assert len(nets(made)) == 2
    assert audit(made.kernel) == []


# -- invoices and cash -----------------------------------------------------------------------------------------


def test_all_invoices_that_a_maximum_makes_are_billed_by_one_run() -> None:
    made = hub()
    made.set_up(contract(caps=(), invoicing=InvoiceTerms(maximum=Decimal("400.00"))))
    hours = ["1", "1.1", "1", "1.15", "0.5", "1.2", "2"]  # 185.00 + 203.50, 185.00 + 212.75, 92.50 + 222.00, 370.00
    made.capture(*(entry(n, worked, day=n + 1) for n, worked in enumerate(hours, start=1)))
    made.bill("first")
    assert sorted(nets(made)) == [Decimal(net) for net in ("314.50", "370.00", "388.50", "397.75")]
    assert {state for _, state in parts(made).values()} == {"invoiced"}
    assert audit(made.kernel) == []


def test_one_piece_that_is_more_than_an_invoice_may_be_is_seen_by_a_person() -> None:
    made = hub()
    made.set_up(contract(caps=(), invoicing=InvoiceTerms(maximum=Decimal("400.00"))))
    made.capture(entry(1, "8"))
    made.bill("first")
    case = made.case()
    assert (case.exception, case.amount) == ("EX-REVIEW", Decimal("1480.00"))
    assert "more than the 400.00 that an invoice may be" in case.cause


def test_paying_early_saves_on_the_lines_that_say_so() -> None:
    made = hub()
    early = Discount(kind="early_payment", percent=Decimal("2"), within_days=10)
    other = line(line_uid="L2", description="Build", roles=("Builder",), rates=rate_of("Builder"))
    made.set_up(contract(caps=(), lines=(line(discounts=(early,), roles=("Consultant",)), other)))
    made.capture(entry(1, "10"), entry(2, "10", role="Builder", task_code="L2", person="bob"))
    made.bill("first")
    (invoice,) = made.rows(Invoice)
    assert invoice.total == Decimal("3448.50")  # (1,850.00 + 1,000.00) * 1.21
    # 2 % of 2,238.50, not of 3,448.50: 44.77.
    paid = {"client_no": "C-1", "value_date": invoice.issue_date, "currency": "USD", "applies": {}}
    payment = Payment(source="erp", source_id="P1", amount=Decimal("3379.53"), reference=invoice.number, **paid)
    made.start("invoice_to_cash", payment.key, payment=payment)
    (invoice,) = made.rows(Invoice)
    assert invoice.open == Decimal("68.97"), "2 % of all of it is not what was agreed"


def rate_of(role: str) -> tuple[Rate, ...]:
    return (Rate(role=role, bill_rate=Decimal("100.00"), effective_from=SPRING),)


# -- terms that would do nothing -------------------------------------------------------------------------------

RETAINER = Retainer(quota_hours=Decimal(10), fee=Decimal(1000), overage_rate=Decimal(120), start=SPRING)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"billing_type": BillingType.FIXED_PERCENT}, "is fixed_percent, and price is not given"),
        ({"billing_type": BillingType.RETAINER}, "is retainer, and retainer is not given"),
        ({"billing_type": BillingType.COST_PLUS}, "is cost_plus, and cost_plus is not given"),
        ({"cost_plus": CostPlus(markup_percent=Decimal(10))}, "is tm, and its cost plus would do nothing"),
        ({"retainer": RETAINER}, "is tm, and its retainer would do nothing"),
        (
            {
                "billing_type": BillingType.RETAINER,
                "retainer": RETAINER,
                "discounts": (Discount(kind="percent", percent=Decimal(5)),),
            },
            "is retainer, and a percent discount is taken off hours",
        ),
        ({"fx": FxPolicy(date_rule="issue_date")}, "is not known when work is priced"),
        ({"fx": FxPolicy(rate_type="fixed")}, "is fixed at nothing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_term_that_would_do_nothing_stops_the_contract_with_its_line(changes: dict[str, Any], told: str) -> None:
    made = hub()
    made.set_up(contract(caps=(), lines=(line(**changes),)))
    case = made.case()
    assert case.exception == "EX-MAP-TERMS"
    assert told in case.cause


# -- progress ----------------------------------------------------------------------------------------------------


def progress(made: Hub, percent: str, day: int) -> None:
    at = datetime(2026, 3, day, 12, tzinfo=UTC)
    facts = {"contract_no": "K-1", "line_uid": "F", "as_of": at.date(), "by": "pia", "at": at}
    with made.store.transaction() as tx:
        tx.insert(PercentReport(percent=Decimal(percent), **facts))


def test_progress_that_went_backwards_holds_up_its_line_and_no_other() -> None:
    """1,000.00 at 50 %, reported as 40 %, then as 60 %: 500.00, nothing, 100.00; an hour beside it is billed."""
    made = hub()
    fixed = line(line_uid="F", billing_type=BillingType.FIXED_PERCENT, price=Decimal(1000), rates=())
    made.set_up(contract(caps=(), lines=(line(), fixed)))
    progress(made, "50", 10)
    made.bill("first")
    progress(made, "40", 20)
    made.capture(entry(1, "1", day=19))
    made.bill("second")
    assert made.case().exception == "EX-PCT-REGRESS"
    made.resolve("credit")
    progress(made, "60", 25)
    made.bill("third")
    assert nets(made) == [Decimal("500.00"), Decimal("185.00"), Decimal("100.00")]
    assert audit(made.kernel) == []


def test_progress_that_is_billed_can_be_explained_after_more_of_it_is() -> None:
    """33.3 % of 1,000.00 and usage of 10.20 in March; 40 % in April. A run for March asks nobody about April."""
    made = hub()
    fixed = line(line_uid="F", billing_type=BillingType.FIXED_PERCENT, price=Decimal(1000), rates=())
    metered = line(line_uid="U", billing_type=BillingType.USAGE, rates=())
    made.set_up(contract(caps=(), lines=(fixed, metered)))
    progress(made, "33.3", 20)
    days = {"period_start": SPRING, "period_end": date(2026, 3, 31)}
    facts = {"contract_no": "K-1", "line_uid": "U", "source": "meter", "source_id": "7", "evidence_ref": "readings"}
    priced = {"quantity": Decimal(120), "unit_price": Decimal("0.085"), "evidence_hash": "0" * 64}
    with made.store.transaction() as tx:
        tx.insert(UsageRecord(**facts, **days, **priced))
    made.bill("first")
    progress(made, "40", 31)
    made.bill("second", "2026-04-30")
    made.bill("again", "2026-03-25")
    assert not made.rows(Case, state=CaseState.OPEN)
    assert nets(made) == [Decimal("343.20"), Decimal("67.00")]
    assert explained(made)
    assert audit(made.kernel) == []


# -- holdback ----------------------------------------------------------------------------------------------------


def test_what_is_held_back_until_a_day_is_invoiced_when_it_comes() -> None:
    made = hub()
    until = Holdback(percent=Decimal(10), release="date", release_on=date(2026, 4, 10))
    made.set_up(contract(caps=(), lines=(line(holdback=until),)))
    made.capture(entry(1, "10"))
    made.bill("first")
    for on, expected in ((9, ["1665.00"]), (10, ["1665.00", "185.00"]), (11, ["1665.00", "185.00"])):
        made.clock.move_to(datetime(2026, 4, on, 16, tzinfo=UTC))
        clock.look(made.kernel)
        made.go()
        assert nets(made) == [Decimal(net) for net in expected]
    assert audit(made.kernel) == []


# -- explained later ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        # 4 h and 5 h at 185.00, the second approved after the first was billed: 10 % of what is above 500.00.
        (
            {
                "discounts": (
                    Discount(kind="volume_prospective", tiers=(Tier(from_net=Decimal(500), percent=Decimal(10)),)),
                )
            },
            ["716.00", "832.50"],
        ),
        ({"commitment": MinimumCommitment(amount=Decimal(3000), start=SPRING)}, ["3000.00"]),
        ({"billing_type": BillingType.RETAINER, "rates": (), "retainer": SMALL}, ["1120.00", "600.00"]),
    ],
    ids=["volume discount", "minimum", "overage"],
)
def test_what_adds_up_evidence_is_explained_after_more_of_it_came(terms: dict[str, Any], expected: list[str]) -> None:
    made = hub()
    made.set_up(contract(caps=(), lines=(line(**terms),)))
    made.capture(entry(1, "4", day=10))
    made.bill("first")
    made.capture(entry(2, "5", day=5, approved_at=datetime(2026, 3, 30, 9, tzinfo=UTC)))
    made.bill("second")  # which gives back of the minimum what the second entry comes to, when a person agrees
    issued = sorted((invoice.number, invoice.net) for invoice in made.rows(Invoice) if invoice.number)
    assert [net for _, net in issued] == [Decimal(net) for net in expected]
    assert explained(made)
    assert audit(made.kernel) == []
