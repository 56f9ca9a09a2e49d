"""Deposits: what can be drawn and when, by which invoice, what expires and what is given back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import BadInput
from isthmus.domain.objects import LedgerEntry
from isthmus.domain.terms import Deposit
from isthmus.policies.deposits import Movement, balance, draw, expired, granted, lots, refund
from tests.policies.builders import day
from tests.policies.tables import number, rows

ZERO = Decimal(0)
JUNE = day("2026-06-01")


def deposit(**changes: Any) -> Deposit:
    """10,000.00, taxed when asked for, available when paid."""
    return Deposit.model_validate({"amount": "10000.00", **changes})


def ledger(*movements: str) -> list[LedgerEntry]:
    """'grant 100 until 2026-06-30', 'draw 40', 'expire 60 of 1': entries 1, 2, 3 …"""
    entries = []
    for no, text in enumerate(movements, start=1):
        words = text.split()
        kind, amount = words[0], Decimal(words[1])
        facts: dict[str, Any] = {
            "entry_id": str(no),
            "ledger": "deposit",
            "contract_no": "C-1",
            "line_uid": "L1",
            "period": "2026-01",
            "kind": kind,
            "amount": amount if kind == "grant" else -amount,
            "currency": "EUR",
            "recorded_at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=no),
            "expires": words[3] if "until" in words else None,
            "source_key": words[3] if "of" in words else "",
        }
        entries.append(LedgerEntry.model_validate(facts))
    return entries


GRANTED = rows("""
| mode         | available | net       | total     | paid      | granted   |
| tax_deposit  | paid      | 10,000.00 | 12,100.00 | 0         | 0         |
| tax_deposit  | paid      | 10,000.00 | 12,100.00 | 12,100.00 | 10,000.00 |
| tax_deposit  | paid      | 10,000.00 | 12,100.00 | 4,000.00  | 3,305.79  |
| tax_deposit  | issued    | 10,000.00 | 12,100.00 | 0         | 10,000.00 |
| cash_advance | paid      | 10,000.00 | 10,000.00 | 4,000.00  | 4,000.00  |
| cash_advance | paid      | 10,000.00 | 10,000.00 | 10,000.01 | 10,000.00 |
""")


@pytest.mark.parametrize("row", GRANTED, ids=lambda row: f"{row['mode']} {row['available']} {row['paid']}")
def test_an_advance_can_be_drawn_from_payment_or_from_issue_on(row: dict[str, str]) -> None:
    terms = deposit(mode=row["mode"], available=row["available"])
    amounts = {name: number(row[name]) for name in ("net", "total", "paid")}
    assert granted(terms, **amounts, currency="EUR") == number(row["granted"])


# An invoice of net 1,000.00 and VAT 210.00 draws on 1 June.
DRAWN = rows("""
| mode         | ledger                                                 | drawn    | negative line | settles  |
| tax_deposit  | grant 10000                                            | 1,000.00 | -1,000.00     | 0        |
| tax_deposit  | grant 10000, draw 9600                                 | 400.00   | -400.00       | 0        |
| cash_advance | grant 10000                                            | 1,210.00 | 0             | 1,210.00 |
| cash_advance | grant 10000, draw 9000, refund 500                     | 500.00   | 0             | 500.00   |
| tax_deposit  | grant 10000 until 2026-06-01                           | 1,000.00 | -1,000.00     | 0        |
| tax_deposit  | grant 10000 until 2026-05-31                           | 0        | 0             | 0        |
| tax_deposit  | grant 300 until 2026-05-31, grant 200, expire 300 of 1 | 200.00   | -200.00       | 0        |
| tax_deposit  | grant 300 until 2026-05-31, grant 200                  | 200.00   | -200.00       | 0        |
""")


@pytest.mark.parametrize("row", DRAWN, ids=lambda row: f"{row['mode']}: {row['ledger']}")
def test_an_invoice_draws_what_there_is_and_no_more_than_itself(row: dict[str, str]) -> None:
    entries = ledger(*row["ledger"].split(","))
    found = draw(
        deposit(mode=row["mode"]), entries, net=Decimal("1000"), total=Decimal("1210"), day=JUNE, currency="EUR"
    )
    assert found.amount == number(row["drawn"]) == sum((m.amount for m in found.movements), ZERO)
    assert (found.net_line, found.settles) == (number(row["negative line"]), number(row["settles"]))


def test_what_expires_first_is_drawn_first() -> None:
    entries = ledger("grant 100", "grant 100 until 2026-12-31", "grant 100 until 2026-06-30", "draw 150")
    assert [(lot.entry_id, lot.left) for lot in lots(entries)] == [("3", ZERO), ("2", Decimal(50)), ("1", Decimal(100))]
    found = draw(deposit(), entries, net=Decimal(120), total=Decimal(120), day=JUNE, currency="EUR")
    assert found.movements == (Movement("2", Decimal(50)), Movement("1", Decimal(70)))


def test_a_movement_that_names_its_lot_takes_from_that_one() -> None:
    entries = ledger("grant 100", "grant 100 until 2026-06-30", "draw 30 of 1")
    assert {lot.entry_id: lot.left for lot in lots(entries)} == {"1": Decimal(70), "2": Decimal(100)}


def test_nothing_is_drawn_for_a_credit() -> None:
    found = draw(deposit(), ledger("grant 100"), net=Decimal(-5), total=Decimal(-6), day=JUNE, currency="EUR")
    assert (found.amount, found.movements) == (ZERO, ())


def test_what_is_past_its_last_day_expires_whole() -> None:
    entries = ledger("grant 100 until 2026-05-31", "draw 30", "grant 50 until 2026-06-01", "grant 20")
    assert expired(entries, JUNE) == [Movement("1", Decimal(70))]
    assert balance(entries, JUNE) == Decimal(70)
    after = [*entries, *ledger("draw 1", "draw 1", "draw 1", "draw 1", "expire 70 of 1")[-1:]]
    assert expired(after, JUNE) == []


def test_a_refund_gives_back_at_most_what_can_be_drawn() -> None:
    entries = ledger("grant 100 until 2026-05-31", "grant 50", "draw 20 of 2")
    assert refund(entries, JUNE) == [Movement("2", Decimal(30))]
    assert refund(entries, JUNE, Decimal(10)) == [Movement("2", Decimal(10))]
    for wrong in ("30.01", "0", "-1"):
        with pytest.raises(BadInput, match="cannot be refunded of a deposit of 30"):
            refund(entries, JUNE, Decimal(wrong))


def test_other_ledgers_of_the_line_are_not_the_deposits() -> None:
    retainer = ledger("grant 40")[0].model_copy(update={"ledger": "retainer"})
    assert balance([retainer], JUNE) == ZERO


def test_a_ledger_that_has_given_more_than_it_had_is_refused() -> None:
    with pytest.raises(BadInput, match=r"deposit of C-1: draw of 101 exceeds what is left"):
        lots(ledger("grant 100", "draw 101"))


def test_an_amount_the_currency_cannot_hold_is_refused() -> None:
    with pytest.raises(BadInput, match="no amount to draw"):
        draw(deposit(), ledger("grant 9"), net=Decimal("1.005"), total=ZERO, day=JUNE, currency="EUR")


amounts = st.integers(0, 10**6).map(lambda n: Decimal(n) / 100)
steps = st.lists(
    st.tuples(st.sampled_from(["grant", "draw", "refund", "expire", "wait"]), amounts, st.integers(0, 60)), max_size=15
)


@pytest.mark.requirement("INV-12")
@given(steps, st.sampled_from(["tax_deposit", "cash_advance"]))
def test_a_deposit_is_granted_less_drawn_refunded_and_expired_and_never_below_nothing(
    history: list[tuple[str, Decimal, int]], mode: Any
) -> None:
    terms, entries, today = deposit(mode=mode), list[LedgerEntry](), JUNE
    sums = dict.fromkeys(("grant", "draw", "refund", "expire"), ZERO)

    def keep(kind: str, amount: Decimal, *, lot: str = "", until: date | None = None) -> None:
        facts = {"entry_id": f"{len(entries):03}", "kind": kind, "source_key": lot, "expires": until}
        signed = {"amount": amount if kind == "grant" else -amount, "recorded_at": datetime(2026, 6, 1, tzinfo=UTC)}
        entries.append(ledger("grant 0")[0].model_copy(update={**facts, **signed}))
        sums[kind] += amount

    for kind, amount, days in history:
        if kind == "grant":
            keep(kind, amount, until=today + timedelta(days=days) if days % 2 else None)
        elif kind == "wait":
            today += timedelta(days=days)
        elif kind == "expire":
            for movement in expired(entries, today):
                keep(kind, movement.amount, lot=movement.lot)
        elif kind == "draw":
            before = balance(entries, today)
            found = draw(terms, entries, net=amount, total=amount, day=today, currency="EUR")
            assert found.amount == min(before, amount)
            for movement in found.movements:
                keep(kind, movement.amount, lot=movement.lot)
            assert balance(entries, today) == before - found.amount
        elif balance(entries, today):
            for movement in refund(entries, today, min(amount, balance(entries, today)) or None):
                keep(kind, movement.amount, lot=movement.lot)
    left = sum((lot.left for lot in lots(entries)), ZERO)
    assert left == sums["grant"] - sums["draw"] - sums["refund"] - sums["expire"] >= 0
    assert ZERO <= balance(entries, today) <= left


@given(amounts, amounts, st.lists(amounts, max_size=5))
def test_part_payments_grant_the_whole_advance_in_the_end(net: Decimal, tax: Decimal, paid: list[Decimal]) -> None:
    total, so_far, known = net + tax, ZERO, ZERO
    for part in [*paid, total]:
        so_far += part
        now = granted(deposit(), net=net, total=total, paid=so_far, currency="EUR")
        assert known <= now <= net
        known = now
    assert known == net
