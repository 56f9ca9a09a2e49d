"""What recurs: fees of a subscription, true-ups of a commitment, lines of metered usage."""

# A table is read row by row: its rows stay on one line each.
# ruff: noqa: E501

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import BadInput, NeedsDecision
from isthmus.domain.terms import MinimumCommitment, Subscription
from isthmus.domain.work import UsageRecord
from isthmus.policies.recurring import check_usage, fees, true_ups, usage_line
from tests.policies.builders import day
from tests.policies.tables import number, rows

ZERO = Decimal(0)

FEES = rows("""
| amount    | currency | every | start      | end        | through    | periods                                   | fees                           |
| 1,000.00  | EUR      | 1     | 2026-01-01 | -          | 2026-03-01 | 2026-01 2026-02 2026-03                   | 1,000.00 1,000.00 1,000.00     |
| 1,000.00  | EUR      | 1     | 2026-01-16 | 2026-03-15 | 2026-12-31 | 2026-01 2026-02 2026-03                   | 516.13 1,000.00 483.87         |
| 3,000.00  | EUR      | 3     | 2026-02-15 | -          | 2026-05-01 | 2026-02/2026-04 2026-05/2026-07           | 2,528.09 3,000.00              |
| 12,000.00 | USD      | 12    | 2026-01-01 | 2026-06-30 | 2026-12-31 | 2026-01/2026-12                           | 5,950.68                       |
| 100,000   | JPY      | 1     | 2026-02-28 | -          | 2026-02-28 | 2026-02                                   | 3,571                          |
| 10.000    | KWD      | 1     | 2026-01-01 | 2026-01-01 | 2026-02-28 | 2026-01                                   | 0.323                          |
""")


@pytest.mark.parametrize("row", FEES, ids=lambda row: f"{row['amount']} {row['start']} to {row['end']}")
def test_the_fees_of_a_subscription(row: dict[str, str]) -> None:
    end = None if row["end"] == "-" else row["end"]
    terms = Subscription.model_validate(
        {"amount": str(number(row["amount"])), "every_months": int(row["every"]), "start": row["start"], "end": end}
    )
    found = fees(terms, day(row["through"]), row["currency"])
    assert [fee.period.label for fee in found] == row["periods"].split()
    assert [fee.amount for fee in found] == [number(fee) for fee in row["fees"].split()]


def test_a_subscription_of_a_billing_engine_has_no_fees_of_its_own() -> None:
    assert fees(Subscription(amount=Decimal(100), start=day("2026-01-01"), engine=True), day("2026-12-31"), "EUR") == []


# A commitment of 10,000.00 a month from 16 January to 10 March.
TRUE_UPS = rows("""
| evidence                              | through    | committed                    | used                    | true-ups                     |
| -                                     | 2026-01-30 |                              |                         |                              |
| 2026-01-20 4,000.00                   | 2026-01-31 | 5,161.29                     | 4,000.00                | 1,161.29                     |
| 2026-01-20 4,000.00 2026-01-31 2,000  | 2026-01-31 | 5,161.29                     | 6,000.00                | 0                            |
| 2026-01-15 9,000.00                   | 2026-01-31 | 5,161.29                     | 0                       | 5,161.29                     |
| 2026-02-01 9,999.99 2026-02-28 -99.99 | 2026-03-10 | 5,161.29 10,000.00 3,225.81  | 0 9,900.00 0            | 5,161.29 100.00 3,225.81     |
""")
COMMITMENT = MinimumCommitment(amount=Decimal("10000.00"), start=day("2026-01-16"), end=day("2026-03-10"))


@pytest.mark.parametrize("row", TRUE_UPS, ids=lambda row: f"{row['evidence']} by {row['through']}")
def test_what_evidence_does_not_reach_is_trued_up_when_the_period_is_over(row: dict[str, str]) -> None:
    words = [w for w in row["evidence"].split() if w != "-"]
    used = [(day(words[n]), number(words[n + 1])) for n in range(0, len(words), 2)]
    found = true_ups(COMMITMENT, used, day(row["through"]), "EUR")
    for title, name in (("committed", "committed"), ("used", "used"), ("true-ups", "amount")):
        assert [getattr(t, name) for t in found] == [number(cell) for cell in row[title].split()], title


def usage(**changes: Any) -> UsageRecord:
    """1,000 calls of March at 0.0125."""
    facts: dict[str, Any] = {
        "contract_no": "C-1",
        "line_uid": "L1",
        "period_start": "2026-03-01",
        "period_end": "2026-03-31",
        "quantity": "1000",
        "unit_price": "0.0125",
        "evidence_ref": "meter/2026-03.csv",
        "evidence_hash": "a" * 64,
        "source": "meter",
        "source_id": "U-1",
    }
    return UsageRecord.model_validate({**facts, **changes})


@pytest.mark.parametrize(
    ("changes", "currency", "net", "reason"),
    [
        ({}, "EUR", "12.50", "quantity * price"),
        ({"quantity": "1000.4"}, "EUR", "12.51", "quantity * price"),
        ({}, "JPY", "13", "quantity * price"),
        ({"quantity": "0"}, "EUR", "0", "quantity * price"),
        ({"amount": "99.99"}, "EUR", "99.99", "amount of the billing engine"),
        ({"amount": "0.00"}, "EUR", "0.00", "amount of the billing engine"),
        ({"amount": "-3.10"}, "EUR", "-3.10", "amount of the billing engine"),
    ],
)
def test_usage_is_quantity_times_price_or_what_the_engine_says(
    changes: dict[str, str], currency: str, net: str, reason: str
) -> None:
    line = usage_line(usage(**changes), currency)
    assert (line.source_key, line.net, line.trace["reason"]) == ("meter:U-1", Decimal(net), reason)
    assert (line.trace["evidence"], line.trace["hash"]) == ("meter/2026-03.csv", "a" * 64)
    assert (line.period_start, line.period_end) == (day("2026-03-01"), day("2026-03-31"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evidence_hash": ""}, r"usage meter:U-1: its evidence has no SHA-256 hash \(none\)"),
        ({"evidence_hash": "abc"}, r"no SHA-256 hash \(abc\)"),
        ({"evidence_ref": ""}, "no SHA-256 hash"),
        ({"period_end": "2026-02-28"}, "ends on 2026-02-28, before it starts on 2026-03-01"),
        ({"quantity": "-1"}, "a quantity of -1"),
        ({"amount": "1.005"}, "1.005 is no amount of EUR"),
    ],
)
def test_usage_that_proves_nothing_is_refused(changes: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        usage_line(usage(**changes), "EUR")


APART: list[tuple[str, dict[str, Any], bool]] = [
    ("the record itself", {}, False),
    ("another id, the same evidence", {"source_id": "U-2", "period_start": "2026-01-01", "period_end": "2026-01-31"}, True),
    ("another id, an overlapping period, the same price", {"source_id": "U-2", "evidence_hash": "b" * 64}, True),
    ("one day in common", {"source_id": "U-2", "evidence_hash": "b" * 64, "period_start": "2026-03-31", "period_end": "2026-04-30"}, True),
    ("the next month", {"source_id": "U-2", "evidence_hash": "b" * 64, "period_start": "2026-04-01", "period_end": "2026-04-30"}, False),
    ("another meter at another price", {"source_id": "U-2", "evidence_hash": "b" * 64, "unit_price": "1"}, False),
    ("another line", {"source_id": "U-2", "line_uid": "L2"}, False),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "suspect"), [a[1:] for a in APART], ids=[a[0] for a in APART])
def test_usage_that_may_be_there_twice_is_a_persons_to_decide(changes: dict[str, Any], suspect: bool) -> None:
    known = [usage(**changes)]
    if not suspect:
        assert check_usage(usage(), known, "EUR") == usage()
        return
    with pytest.raises(NeedsDecision) as stopped:
        check_usage(usage(), known, "EUR")
    case = stopped.value
    assert (case.exception, case.queue, case.money) == ("EX-DUP-SUSPECT", "billing", (Decimal("12.50"), "EUR"))
    assert case.context["twins"] == ["U-2"] and "meter:U-2" in case.message


amounts = st.integers(0, 10**8).map(lambda n: Decimal(n) / 100)
starts = st.dates(date(2024, 1, 1), date(2027, 12, 31))


@given(amounts, st.sampled_from([1, 3, 6, 12]), starts, st.integers(0, 900))
def test_a_subscription_bills_whole_periods_whole_and_parts_in_proportion(
    amount: Decimal, every: Any, start: date, length: int
) -> None:
    end = start + timedelta(days=length)
    found = fees(Subscription(amount=amount, every_months=every, start=start, end=end), date.max, "EUR")
    for fee in found:
        assert abs(fee.amount * fee.period.of_days - amount * fee.period.days) <= fee.period.of_days * Decimal("0.005")
        assert fee.amount == amount or fee.period.days < fee.period.of_days
    assert sum(fee.period.days for fee in found) == length + 1


@given(st.lists(st.tuples(starts, amounts), max_size=6), amounts, starts)
def test_evidence_and_true_up_reach_the_commitment(
    used: list[tuple[date, Decimal]], amount: Decimal, start: date
) -> None:
    for found in true_ups(MinimumCommitment(amount=amount, start=start), used, day("2027-12-31"), "EUR"):
        assert found.used + found.amount == max(found.committed, found.used)
        assert found.amount >= 0
