"""Which invoices a payment settles: as the payer said, as the reference says, by the one equal amount; or a person."""

# A table is read row by row: its rows stay on one line each.
# ruff: noqa: E501

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.objects import Payment
from isthmus.domain.states import Settlement
from isthmus.policies.cash import match_payment, settlement_after
from tests.policies.builders import invoice, payment

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
