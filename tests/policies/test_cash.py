"""Which invoices a payment settles: as the payer said, as the reference says, by the one equal amount; or a person."""

# A table is read row by row: its rows stay on one line each.
# ruff: noqa: E501

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import BadAmount, NeedsDecision
from isthmus.domain.objects import Allocation, Payment
from isthmus.domain.states import Settlement
from isthmus.policies.cash import (
    Settling,
    check_certificate,
    discount_split,
    expected_withholding,
    fx_difference,
    in_currency,
    match_payment,
    open_after,
    plan_settlement,
    reversals,
    settlement_after,
    unapplied,
)
from tests.policies.builders import invoice, payment
from tests.policies.tables import number, rows

ZERO = Decimal(0)

OPEN = [
    invoice("US-INV-2026-00001", "600.00", due="2026-04-30"),
    invoice("US-INV-2026-00002", "250.00", due="2026-03-31"),
    invoice("US-INV-2026-00003", "250.00", due="2026-05-31"),
    invoice("US-INV-2026-00004", "99.00", currency="EUR"),
    invoice("US-INV-2026-000011", "40.00"),
]
ONE, TWO, THREE, EURO, LONG = (i.number for i in OPEN)
MATCHED = [
    ("the payer's own allocation", payment("700.00", applies={ONE: "600.00", TWO: "100.00"}), {ONE: "600.00", TWO: "100.00"}, "0.00"),
    ("it wins over the reference", payment("250.00", reference=TWO, applies={THREE: "250.00"}), {THREE: "250.00"}, "0.00"),
    ("part of it stays on account", payment("700.00", applies={ONE: "600.00"}), {ONE: "600.00"}, "100.00"),
    ("more than is open stays on account", payment("700.00", applies={ONE: "700.00"}), {ONE: "600.00"}, "100.00"),
    ("a number in the reference", payment("250.00", reference=f"thanks, {TWO}!"), {TWO: "250.00"}, "0.00"),
    ("a part payment by reference", payment("100.00", reference=ONE), {ONE: "100.00"}, "0.00"),
    ("an over-payment by reference", payment("300.00", reference=TWO), {TWO: "250.00"}, "50.00"),
    ("two numbers: the earlier due date first", payment("400.00", reference=f"{ONE} {TWO}"), {TWO: "250.00", ONE: "150.00"}, "0.00"),
    ("two numbers and too much", payment("900.00", reference=f"{ONE}/{TWO}"), {ONE: "600.00", TWO: "250.00"}, "50.00"),
    ("a number that begins like another", payment("40.00", reference=LONG), {LONG: "40.00"}, "0.00"),
    ("exactly one equal open amount", payment("600.00", reference="March"), {ONE: "600.00"}, "0.00"),
    ("another currency is another amount", payment("99.00", currency="EUR"), {EURO: "99.00"}, "0.00"),
]  # fmt: skip


@pytest.mark.requirement("INV-32")
@pytest.mark.parametrize(("paid", "shares", "on_account"), [m[1:] for m in MATCHED], ids=[m[0] for m in MATCHED])
def test_what_a_payment_settles(paid: Payment, shares: dict[str, str], on_account: str) -> None:
    match = match_payment(paid, OPEN)
    assert dict(match.shares) == {f"id:{number}": Decimal(amount) for number, amount in shares.items()}
    assert match.on_account == Decimal(on_account)
    assert sum(amount for _, amount in match.shares) + match.on_account == paid.amount


UNMATCHED = [
    ("nothing says what it is for", payment("123.45", reference="thanks"), "its reference is 'thanks'"),
    ("two invoices are open by this amount", payment("250.00", reference="March"), "fits no open invoice"),
    ("the payer names an invoice that is not open", payment("10.00", applies={"US-INV-2026-00099": "10.00"}), "00099"),
    ("an amount equal in another currency", payment("99.00"), "fits no open invoice"),
    ("a number only inside a longer word", payment("1.00", reference=f"X{ONE}X"), "fits no open invoice"),
    ("the payer allocates more than was paid", payment("700.00", applies={ONE: "600.00", TWO: "250.00"}), "cannot be allocated"),
    ("the payer allocates less than nothing", payment("500.00", applies={ONE: "600.00", TWO: "-100.00"}), "cannot be allocated"),
    ("an allocation of nothing", payment("500.00", applies={ONE: "0.00"}), "cannot be allocated"),
    ("a payment of less than nothing", payment("-250.00", reference=TWO), "fits no open invoice"),
]  # fmt: skip


@pytest.mark.parametrize(("paid", "cause"), [u[1:] for u in UNMATCHED], ids=[u[0] for u in UNMATCHED])
def test_what_fits_nothing_goes_to_receivables_with_its_money(paid: Payment, cause: str) -> None:
    with pytest.raises(NeedsDecision) as stopped:
        match_payment(paid, OPEN)
    case = stopped.value
    assert (case.exception, case.queue) == ("EX-CASH-UNMATCHED", "receivables")
    assert case.actions == ("allocate", "retry", "cancel")
    assert case.money == (paid.amount, paid.currency)
    assert cause in case.message and "erp:PAY-1" in case.message
    assert case.context["open"] == {i.number: str(i.open) for i in OPEN if i.currency == paid.currency}


@pytest.mark.requirement("INV-32")
@given(
    st.integers(1, 2_000_00).map(lambda n: Decimal(n) / 100),
    st.dictionaries(st.sampled_from([ONE, TWO, THREE]), st.integers(-10_00, 900_00).map(lambda n: Decimal(n) / 100)),
    st.lists(st.sampled_from([ONE, TWO, THREE, LONG]), max_size=3).map(" ".join),
)
def test_a_payment_never_settles_more_than_itself_or_an_invoice(
    amount: Decimal, applies: dict[str, Decimal], reference: str
) -> None:
    paid = payment(str(amount), reference=reference, applies={n: str(a) for n, a in applies.items()})
    try:
        match = match_payment(paid, OPEN)
    except NeedsDecision:
        return
    opens = {i.invoice_id: i.open for i in OPEN}
    assert all(0 < share <= opens[invoice_id] for invoice_id, share in match.shares)
    assert match.on_account >= 0
    assert sum(share for _, share in match.shares) + match.on_account == amount


def test_the_order_invoices_are_read_in_decides_nothing() -> None:
    paid = payment("400.00", reference=f"{ONE} {TWO}")
    assert match_payment(paid, OPEN) == match_payment(paid, list(reversed(OPEN)))


@pytest.mark.parametrize(
    ("open_amount", "state"),
    [("0.00", Settlement.PAID), ("0.01", Settlement.PARTIALLY_PAID), ("600.00", Settlement.OPEN)],
)
def test_the_settlement_an_open_amount_means(open_amount: str, state: Settlement) -> None:
    assert settlement_after(Decimal("600.00"), Decimal(open_amount)) is state


# -- with what beside money ---------------------------------------------------------------------------------------------

# An invoice of 1,000.00 net and 1,210.00 in all is open; 24.20 may be kept for paying early, 0.50 is written off.
BESIDE = rows("""
| paid     | withheld | discount | tolerance | settles                                                 | left     | on account |
| 1,210.00 | 0        | 0        | 0         | payment 1,210.00                                        | 0        | 0          |
| 1,000.00 | 0        | 0        | 0         | payment 1,000.00                                        | 210.00   | 0          |
| 1,110.00 | 100.00   | 0        | 0         | withholding 100.00, payment 1,110.00                    | 0        | 0          |
| 1,210.00 | 100.00   | 0        | 0         | withholding 100.00, payment 1,110.00                    | 0        | 100.00     |
| 1,185.80 | 0        | 24.20    | 0         | payment 1,185.80, early_payment 24.20                   | 0        | 0          |
| 1,190.00 | 0        | 24.20    | 0         | payment 1,190.00, early_payment 20.00                   | 0        | 0          |
| 1,185.79 | 0        | 24.20    | 0         | payment 1,185.79                                        | 24.21    | 0          |
| 1,185.79 | 0        | 24.20    | 0.50      | payment 1,185.79, early_payment 24.20, small_difference 0.01 | 0   | 0          |
| 1,185.79 | 0        | 0        | 0.50      | payment 1,185.79                                        | 24.21    | 0          |
| 1,209.50 | 0        | 0        | 0.50      | payment 1,209.50, small_difference 0.50                 | 0        | 0          |
| 1,209.49 | 0        | 0        | 0.50      | payment 1,209.49                                        | 0.51     | 0          |
| 1,300.00 | 0        | 24.20    | 0.50      | payment 1,210.00                                        | 0        | 90.00      |
| 1,085.80 | 100.00   | 24.20    | 0         | withholding 100.00, payment 1,085.80, early_payment 24.20 | 0      | 0          |
""")


@pytest.mark.requirement("INV-32", "INV-05")
@pytest.mark.parametrize("row", BESIDE, ids=lambda row: f"{row['paid']} + {row['withheld']} - {row['discount']}")
def test_what_settles_an_invoice_beside_money(row: dict[str, str]) -> None:
    (one,) = [invoice(ONE, "1210.00", net=Decimal("1000.00"))]
    withheld = {ONE: str(number(row["withheld"]))} if number(row["withheld"]) else {}
    paid = payment(str(number(row["paid"])), reference=ONE, withheld=withheld)
    discounts = {one.invoice_id: number(row["discount"])}
    plan = plan_settlement(paid, [one], tolerance=number(row["tolerance"]), discounts=discounts)
    told = [(kind, number(amount)) for kind, amount in (piece.split() for piece in row["settles"].split(", "))]
    assert [(s.kind, s.amount) for s in plan.settlings] == told
    assert (plan.left, plan.on_account) == ({one.invoice_id: number(row["left"])}, number(row["on account"]))
    assert sum((s.amount for s in plan.settlings), ZERO) + plan.left[one.invoice_id] == one.total


def test_withheld_tax_makes_an_amount_equal_again() -> None:
    """90.00 with no reference, 10.00 withheld: the one invoice that is open by 100.00."""
    known = [invoice(ONE, "100.00"), invoice(TWO, "100.00")]
    paid = payment("90.00", withheld={TWO: "10.00"})
    plan = plan_settlement(paid, known, certificates={TWO: "194J-7"})
    assert [(s.invoice_id, s.kind, s.certificate) for s in plan.settlings] == [
        (f"id:{TWO}", "withholding", "194J-7"),
        (f"id:{TWO}", "payment", ""),
    ]


@pytest.mark.parametrize("withheld", [{ONE: "0"}, {ONE: "600.01"}, {"US-INV-2026-00099": "1.00"}, {EURO: "1.00"}])
def test_tax_withheld_on_what_is_not_open_is_receivables(withheld: dict[str, str]) -> None:
    with pytest.raises(NeedsDecision, match=r"says that .* of tax was withheld on") as stopped:
        plan_settlement(payment("500.00", reference=ONE, withheld=withheld), OPEN)
    assert stopped.value.exception == "EX-CASH-UNMATCHED"


def test_money_for_what_withheld_tax_has_settled_already_is_receivables() -> None:
    twice = payment("600.00", applies={ONE: "600.00"}, withheld={ONE: "600.00"})
    with pytest.raises(NeedsDecision, match="it names US-INV-2026-00001"):
        plan_settlement(twice, OPEN)


def test_withheld_tax_is_a_case_until_its_certificate_is_there() -> None:
    withheld = Settling(f"id:{ONE}", Decimal("100.00"), "withholding")
    with pytest.raises(NeedsDecision) as stopped:
        check_certificate(ONE, withheld, "INR")
    case = stopped.value
    assert (case.exception, case.queue, case.money) == ("EX-WHT-CERT", "receivables", (Decimal("100.00"), "INR"))
    assert ONE in case.message and case.context["withheld"] == "100.00"
    proved = replace(withheld, certificate="194J-7")
    assert check_certificate(ONE, proved, "INR") is proved
    money = replace(withheld, kind="payment")
    assert check_certificate(ONE, money, "INR") is money


@pytest.mark.parametrize(("percent", "amount"), [("10", "100.01"), ("20", "200.01")])
def test_withholding_is_of_the_net(percent: str, amount: str) -> None:
    assert expected_withholding(Decimal("1000.05"), Decimal(percent), "INR") == Decimal(amount)


@pytest.mark.parametrize(
    ("amount", "net", "tax"), [("24.20", "20.00", "4.20"), ("0.01", "0.01", "0.00"), ("1210.00", "1000.00", "210.00")]
)
def test_a_discount_is_net_and_tax_as_its_invoice_is(amount: str, net: str, tax: str) -> None:
    one = invoice(ONE, "1210.00", net=Decimal("1000.00"))
    assert discount_split(one, Decimal(amount)) == (Decimal(net), Decimal(tax))


@pytest.mark.parametrize("amount", ["0", "1210.01"])
def test_a_discount_is_no_more_than_its_invoice(amount: str) -> None:
    with pytest.raises(BadAmount, match="on an invoice of 1210"):
        discount_split(invoice(ONE, "1210.00", net=Decimal("1000.00")), Decimal(amount))


def allocation(allocation_id: str, invoice_id: str, amount: str, kind: str = "payment", **changes: Any) -> Allocation:
    facts = {"payment_key": "erp:PAY-1", "invoice_id": invoice_id, "amount": amount, "kind": kind}
    return Allocation.model_validate({**facts, "allocation_id": allocation_id, **changes})


MADE = [
    allocation("a", "id:1", "90.00", fx_difference="1.25"),
    allocation("b", "id:1", "10.00", "withholding"),
    allocation("c", "id:2", "50.00"),
    allocation("d", "id:2", "0.20", "small_difference"),
    allocation("x", "id:2", "7.00", payment_key="erp:PAY-2"),
]


@pytest.mark.requirement("INV-32")
def test_a_reversal_restores_what_was_open() -> None:
    paid = payment("150.00")
    assert unapplied(paid, MADE) == Decimal("10.00")
    back = reversals(paid, MADE)
    assert [(a.allocation_id, a.reverses, a.amount, a.kind) for a in back] == [
        ("a:reversal", "a", Decimal("-90.00"), "reversal"),
        ("b:reversal", "b", Decimal("-10.00"), "reversal"),
        ("c:reversal", "c", Decimal("-50.00"), "reversal"),
        ("d:reversal", "d", Decimal("-0.20"), "reversal"),
    ]
    assert back[0].fx_difference == Decimal("-1.25") and back[1].fx_difference is None
    after = [*MADE, *back]
    assert unapplied(paid, after) == paid.amount
    for invoice_id, total, others in (("id:1", "100.00", "0"), ("id:2", "57.20", "7.00")):
        of_it = [a for a in MADE if a.invoice_id == invoice_id]
        assert open_after(Decimal(total), of_it) == 0
        again = [a for a in after if a.invoice_id == invoice_id]
        assert open_after(Decimal(total), again) == Decimal(total) - Decimal(others)
    assert reversals(paid, after) == []


def test_more_than_there_is_cannot_be_allocated() -> None:
    with pytest.raises(BadAmount, match=r"payment erp:PAY-1 of 139.99 is allocated by 0.01 more than it is"):
        unapplied(payment("139.99"), MADE)
    with pytest.raises(BadAmount, match=r"allocations of 100.00 do not fit an invoice of 99.99"):
        open_after(Decimal("99.99"), MADE[:2])
    with pytest.raises(BadAmount):
        open_after(Decimal("100.00"), [allocation("r", "id:1", "-0.01", "reversal")])


def test_money_of_another_currency_is_that_of_its_invoices() -> None:
    dollars = payment("1150.00", applies={EURO: "99.00"})
    euros = in_currency(dollars, "EUR", Decimal("0.86"))
    assert (euros.amount, euros.currency, euros.applies) == (Decimal("989.00"), "EUR", dollars.applies)
    assert in_currency(dollars, "USD", Decimal("5")) is dollars


def test_what_the_rate_made_of_a_payment() -> None:
    abroad = invoice(ONE, "1210.00", currency="EUR", functional_currency="USD", functional_total="1403.60")
    assert fx_difference(abroad, ZERO, Decimal("400.01"), Decimal("1.15")) == Decimal("-4.00")
    assert fx_difference(abroad, Decimal("400.01"), Decimal("809.99"), Decimal("1.15")) == Decimal("-8.10")
    assert fx_difference(invoice(ONE, "1.00"), ZERO, Decimal("1.00"), Decimal(1)) is None
    at_home = abroad.model_copy(update={"functional_currency": "EUR"})
    assert fx_difference(at_home, ZERO, Decimal("1.00"), Decimal(1)) is None


cents = st.integers(1, 2000_00).map(lambda n: Decimal(n) / 100)
few_cents = st.integers(0, 100).map(lambda n: Decimal(n) / 100)


@pytest.mark.requirement("INV-05", "INV-32")
@given(cents, cents, st.integers(0, 100), few_cents, st.integers(0, 10), st.sampled_from([ONE, f"{ONE} {TWO}", ""]))
def test_what_settles_and_what_is_open_are_the_invoice(
    paid_amount: Decimal, total: Decimal, withheld_percent: int, tolerance: Decimal, discount: int, reference: str
) -> None:
    known = [invoice(ONE, str(total)), invoice(TWO, "250.00")]
    kept = (total * withheld_percent / 100).quantize(Decimal("0.01"))
    paid = payment(str(paid_amount), reference=reference, withheld={ONE: str(kept)} if kept else {})
    discounts = {i.invoice_id: (i.total * discount / 100).quantize(Decimal("0.01")) for i in known}
    try:
        plan = plan_settlement(paid, known, tolerance=tolerance, discounts=discounts)
    except NeedsDecision:
        return
    assert all(s.amount > 0 for s in plan.settlings) and plan.on_account >= 0
    money = sum((s.amount for s in plan.settlings if s.kind == "payment"), ZERO)
    assert money + plan.on_account == paid.amount
    for one in known:
        settled = sum((s.amount for s in plan.settlings if s.invoice_id == one.invoice_id), ZERO)
        assert settled + plan.left.get(one.invoice_id, one.open) == one.total
        assert plan.left.get(one.invoice_id, ZERO) >= 0
    for settling in plan.settlings:
        if settling.kind in ("early_payment", "small_difference"):
            assert plan.left[settling.invoice_id] == 0
            limit = tolerance if settling.kind == "small_difference" else discounts[settling.invoice_id]
            assert settling.amount <= limit
