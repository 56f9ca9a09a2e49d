"""Credits: how much of which line, with which tax, what becomes of the evidence; and disputes."""

# A table is read row by row: its rows stay on one line each.
# ruff: noqa: E501

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import BadAmount, BadInput
from isthmus.domain.money import round_half_away
from isthmus.domain.objects import BillablePart, Invoice, InvoiceLine
from isthmus.domain.states import DisputeState, PartState
from isthmus.policies.credits import (
    DISPOSITIONS,
    REASONS,
    cap_released,
    contest,
    credit_lines,
    creditable,
    disposition_for,
    dispute_outcome,
    gross_of,
    parts_to_credit,
    tax_credit,
    to_collect,
)
from tests.policies.builders import day, invoice, invoice_line
from tests.policies.tables import number, rows

ZERO = Decimal(0)


def billed(*lines: InvoiceLine, **changes: Any) -> Invoice:
    """An issued invoice of these lines, nothing paid."""
    net, tax = sum((line.net for line in lines), ZERO), sum((line.tax for line in lines), ZERO)
    facts = {"lines": lines, "net": net, "tax": tax, "total": net + tax, "open": net + tax, "currency": "EUR"}
    return invoice("INV-1", "0", **{**facts, **changes})


def line(no: int, net: str, tax: str, **changes: Any) -> InvoiceLine:
    return invoice_line(no, net, tax=tax, **changes)


# M2 of SC-08: lines D3 and D4 after holdback, VAT 21 %.
D3, D4 = line(1, "39000.00", "8190.00"), line(2, "15000.00", "3150.00")
M2 = billed(D3, D4)


def test_the_dispute_of_sc_08() -> None:
    contested = contest(M2, 2)
    assert (contested.net, contested.gross) == (Decimal("15000.00"), Decimal("18150.00"))
    disputed = M2.model_copy(update={"disputed": contested.gross, "open": contested.gross})  # D3 is paid
    assert to_collect(M2) == Decimal("65340.00") and to_collect(disputed) == 0
    (credit,) = credit_lines(M2, {2: Decimal("6000.00")})
    assert (credit.net, credit.tax, credit.gross) == (Decimal("6000.00"), Decimal("1260.00"), Decimal("7260.00"))
    assert dispute_outcome(contested.net, credit.net) is DisputeState.PARTIALLY_UPHELD
    assert disputed.open - credit.gross == Decimal("10890.00")


# A line of 100.00 at 8.875 % (8.88) is credited in pieces; before: net that was credited already.
PIECES = rows("""
| net    | tax  | before | credit | its tax |
| 100.00 | 8.88 | 0      | 100.00 | 8.88    |
| 100.00 | 8.88 | 0      | 50.00  | 4.44    |
| 100.00 | 8.88 | 50.00  | 50.00  | 4.44    |
| 100.00 | 8.88 | 0      | 33.33  | 2.96    |
| 100.00 | 8.88 | 33.33  | 33.33  | 2.96    |
| 100.00 | 8.88 | 66.66  | 33.34  | 2.96    |
| 0.10   | 0.01 | 0      | 0.04   | 0.00    |
| 0.10   | 0.01 | 0.04   | 0.03   | 0.01    |
| 0.10   | 0.01 | 0.07   | 0.03   | 0.00    |
| 100.00 | 0    | 0      | 12.34  | 0       |
""")


@pytest.mark.parametrize("row", PIECES, ids=lambda row: f"{row['credit']} after {row['before']}")
def test_a_credit_is_taxed_as_its_line_was_and_the_last_one_takes_the_rest(row: dict[str, str]) -> None:
    original = billed(line(1, str(number(row["net"])), str(number(row["tax"])), credited=number(row["before"])))
    (credit,) = credit_lines(original, {1: number(row["credit"])})
    assert (credit.net, credit.tax) == (number(row["credit"]), number(row["its tax"]))


def test_without_a_word_every_line_is_credited_as_far_as_it_is_left() -> None:
    known = billed(D3, D4.model_copy(update={"credited": Decimal("6000.00")}), credited=Decimal("7260.00"))
    assert [(c.line.number, c.net, c.tax) for c in credit_lines(known, {})] == [
        (1, Decimal("39000.00"), Decimal("8190.00")),
        (2, Decimal("9000.00"), Decimal("1890.00")),
    ]


def test_a_negative_line_is_given_back_with_the_others_and_never_alone() -> None:
    """1,000.00 less a deposit of 400.00: the invoice is 726.00, and no credit gives back more."""
    drawn = billed(line(1, "1000.00", "210.00"), line(2, "-400.00", "-84.00"))
    whole = credit_lines(drawn, {})
    assert [(c.net, c.tax) for c in whole] == [
        (Decimal("1000.00"), Decimal("210.00")),
        (Decimal("-400.00"), Decimal("-84.00")),
    ]
    with pytest.raises(BadAmount, match=r"1210.00 EUR is more than the 726.00 that is left of invoice INV-1"):
        credit_lines(drawn, {1: Decimal("1000.00")})
    with pytest.raises(BadAmount, match="nothing is left to credit"):
        credit_lines(drawn, {2: Decimal("-400.00")})
    for wrong in ("400.00", "-400.01"):
        with pytest.raises(BadAmount):
            credit_lines(drawn, {1: Decimal("500.00"), 2: Decimal(wrong)})


REFUSED: list[tuple[str, Invoice, dict[int, str], type[Exception], str]] = [
    ("more than the line", M2, {2: "15000.01"}, BadAmount, "line 2 of INV-1: 15000.01 is more than the 15000.00"),
    ("more than is left", billed(D3, D4.model_copy(update={"credited": Decimal("6000.00")})), {2: "9000.01"}, BadAmount, "more than the 9000.00 that is left"),
    ("nothing", M2, {2: "0"}, BadAmount, "0 EUR cannot be credited"),
    ("less than nothing", M2, {2: "-1"}, BadAmount, "-1 EUR cannot be credited"),
    ("part of a cent", M2, {2: "1.005"}, BadAmount, "1.005 EUR cannot be credited"),
    ("a line that is not there", M2, {3: "1.00"}, BadInput, "invoice INV-1 has no line 3"),
    ("all is credited", billed(D4.model_copy(update={"credited": D4.net})), {}, BadAmount, "nothing is left to credit of invoice INV-1"),
    ("more than is left of the invoice", billed(D3, D4, credited=Decimal("60000.00")), {1: "5000.00"}, BadAmount, "6050.00 EUR is more than the 5340.00"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("original", "wanted", "error", "words"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_no_more_is_given_back_than_is_left(
    original: Invoice, wanted: dict[int, str], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        credit_lines(original, {no: Decimal(net) for no, net in wanted.items()})


def test_tax_that_was_charged_by_mistake_is_credited_alone() -> None:
    untaxed = line(3, "5.00", "0")
    found = tax_credit(billed(D3, D4, untaxed))
    assert [(c.line.number, c.net, c.tax) for c in found] == [(1, ZERO, D3.tax), (2, ZERO, D4.tax)]
    assert [c.line.number for c in tax_credit(M2, [2])] == [2]
    with pytest.raises(BadAmount, match="nothing is left to credit"):
        tax_credit(billed(untaxed))
    with pytest.raises(BadAmount, match="line 2 of INV-1 was credited with its tax already"):
        tax_credit(billed(D3, D4.model_copy(update={"credited": Decimal("1.00")})))


EVIDENCE = rows("""
| reason             | wanted      | goes to     | frees under caps |
| error_rebill       | -           | ready       | 100.00           |
| error_rebill       | transferred | transferred | 100.00           |
| error_rebill       | written_off | refused     | -                |
| concession         | -           | written_off | 0                |
| concession         | ready       | refused     | -                |
| dispute_settlement | -           | written_off | 0                |
| dispute_settlement | ready       | ready       | 0                |
| dispute_settlement | transferred | refused     | -                |
| duplicate          | -           | written_off | 100.00           |
| duplicate          | ready       | refused     | -                |
| tax                | -           | ready       | 100.00           |
| goodwill           | -           | refused     | -                |
""")


@pytest.mark.parametrize("row", EVIDENCE, ids=lambda row: f"{row['reason']} {row['wanted']}")
def test_where_the_evidence_goes_and_what_of_a_cap_comes_free(row: dict[str, str]) -> None:
    wanted = "" if row["wanted"] == "-" else row["wanted"]
    if row["goes to"] == "refused":
        with pytest.raises(BadInput, match=r"goes to|is no reason"):
            disposition_for(row["reason"], wanted)
        return
    found, reason = disposition_for(row["reason"], wanted), next(r for r in REASONS if r == row["reason"])
    assert found == row["goes to"]
    assert cap_released(reason, found, Decimal("100.00")) == number(row["frees under caps"])


def test_every_reason_has_a_disposition() -> None:
    assert set(DISPOSITIONS) == set(REASONS)


def part(no: int, net: str, state: PartState = PartState.INVOICED) -> BillablePart:
    facts = {
        "item_id": f"I-{no}",
        "contract_no": "C-1",
        "quantity": "1",
        "currency": "EUR",
        "service_date": day("2026-03-01"),
    }
    return BillablePart.model_validate(
        {**facts, "part_id": f"P-{no}", "net": net, "state": state, "order_key": f"{no:02}"}
    )


PARTS = [part(1, "60.00"), part(2, "-10.00"), part(3, "40.00"), part(4, "99.00", PartState.CREDITED)]


@pytest.mark.parametrize(
    ("net", "chosen"),
    [
        ("40.00", {"P-3": "40.00"}),
        ("15.00", {"P-3": "15.00"}),
        ("70.00", {"P-3": "40.00", "P-1": "30.00"}),
        ("100.00", {"P-3": "40.00", "P-1": "60.00"}),
    ],
)
def test_the_newest_invoiced_parts_are_credited_first(net: str, chosen: dict[str, str]) -> None:
    found = parts_to_credit(PARTS, Decimal(net))
    assert {one.part_id: amount for one, amount in found} == {name: Decimal(a) for name, a in chosen.items()}


def test_no_more_evidence_is_credited_than_is_there() -> None:
    with pytest.raises(BadAmount, match=r"only 100.00 of 100.01 is there"):
        parts_to_credit(PARTS, Decimal("100.01"))


CONTESTED = rows("""
| credited | disputed | amount    | net       | gross     |
| 0        | 0        | -         | 15,000.00 | 18,150.00 |
| 0        | 0        | 1,000.00  | 1,000.00  | 1,210.00  |
| 6,000.00 | 0        | -         | 9,000.00  | 10,890.00 |
| 6,000.00 | 9,000.00 | -         | refused   | -         |
| 0        | 5,000.00 | 10,000.01 | refused   | -         |
| 0        | 0        | 0         | refused   | -         |
| 0        | 0        | 0.001     | refused   | -         |
""")


@pytest.mark.parametrize("row", CONTESTED, ids=lambda row: f"{row['amount']} of {row['credited']}/{row['disputed']}")
def test_what_a_client_contests_of_a_line(row: dict[str, str]) -> None:
    known = billed(D3, D4.model_copy(update={c: number(row[c]) for c in ("credited", "disputed")}))
    amount = None if row["amount"] == "-" else number(row["amount"])
    if row["net"] == "refused":
        with pytest.raises(BadAmount, match="cannot be contested"):
            contest(known, 2, amount)
        return
    found = contest(known, 2, amount)
    assert (found.net, found.gross) == (number(row["net"]), number(row["gross"]))


def test_a_line_that_is_not_there_cannot_be_contested() -> None:
    with pytest.raises(BadInput, match="invoice INV-1 has no line 9"):
        contest(M2, 9)


@pytest.mark.parametrize(
    ("credited", "state"),
    [("15000", DisputeState.UPHELD), ("6000", DisputeState.PARTIALLY_UPHELD), ("0", DisputeState.REJECTED)],
)
def test_how_a_dispute_ends(credited: str, state: DisputeState) -> None:
    assert dispute_outcome(Decimal(15000), Decimal(credited)) is state


@pytest.mark.parametrize("credited", ["-1", "15000.01"])
def test_no_more_is_credited_than_was_contested(credited: str) -> None:
    with pytest.raises(BadAmount, match="cannot be credited of 15000 contested"):
        dispute_outcome(Decimal(15000), Decimal(credited))


def test_what_is_dunned_for_is_never_below_nothing() -> None:
    assert to_collect(billed(D4, open=Decimal("100.00"), disputed=Decimal("150.00"))) == 0


cents = st.integers(1, 10**7).map(lambda n: Decimal(n) / 100)


@pytest.mark.requirement("INV-10", "OBJ-19", "WF-53")
@given(cents, st.sampled_from(["0", "0.08875", "0.19", "0.21"]).map(Decimal), st.lists(st.integers(1, 100), max_size=8))
def test_credits_of_a_line_never_exceed_it_and_leave_no_cent_of_tax(
    net: Decimal, rate: Decimal, percents: list[int]
) -> None:
    tax = round_half_away(net * rate, "EUR")
    original = billed(line(1, str(net), str(tax), tax_rate=rate))
    given_back: list[tuple[Decimal, Decimal]] = []
    for percent in [*percents, 100]:
        left = creditable(original.lines[0])
        wanted = max(round_half_away(left * percent / 100, "EUR"), Decimal("0.01"))
        if left == 0:
            with pytest.raises(BadAmount):
                credit_lines(original, {1: wanted})
            continue
        (credit,) = credit_lines(original, {1: min(wanted, left)})
        assert abs(credit.tax - credit.net * rate) <= Decimal("0.02")
        given_back.append((credit.net, credit.tax))
        after = original.lines[0].model_copy(update={"credited": original.lines[0].credited + credit.net})
        original = original.model_copy(update={"lines": (after,), "credited": original.credited + credit.gross})
    assert sum((n for n, _ in given_back), ZERO) == net
    assert sum((t for _, t in given_back), ZERO) == tax
    assert original.credited == original.total


@given(cents, cents, st.integers(0, 100))
def test_what_is_contested_of_a_line_and_the_rest_are_its_gross(net: Decimal, tax: Decimal, percent: int) -> None:
    one = line(1, str(net), str(tax))
    part_ = round_half_away(net * percent / 100, "EUR")
    assert gross_of(one, net, "EUR") == net + tax
    assert ZERO <= gross_of(one, part_, "EUR") <= net + tax
