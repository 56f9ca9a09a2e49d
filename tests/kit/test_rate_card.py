"""Rate cards as files: rows become rates; wrong currency, wrong column and overlapping lines are named."""

# A table is read row by row: its rows stay on one line each.
# ruff: noqa: E501

from __future__ import annotations

import hashlib
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import BadInput
from isthmus.domain.objects import Rate
from isthmus.kit.rate_card import RateCardFile, read_rate_card, require_complete
from tests.kit.workbooks import as_workbook, workbook

HEADER = "role,person,level,bill_rate,currency,unit,floor,valid_from,valid_to"
ARCHITECT = "Architect,,contract,150.00,EUR,hour,120.00,2026-01-01,2026-12-31"


def read(
    *lines: str, currency: str = "EUR", other_currencies: bool = False, require_totals: bool = False
) -> RateCardFile:
    content = "\n".join([HEADER, *lines]).encode()
    return read_rate_card(
        content, "card.csv", currency=currency, other_currencies=other_currencies, require_totals=require_totals
    )


def test_a_row_becomes_a_rate_that_ends_on_the_day_after_its_last() -> None:
    found = read(ARCHITECT)
    assert found.rates == (
        Rate(
            role="Architect",
            bill_rate=Decimal("150.00"),
            currency="EUR",
            floor=Decimal("120.00"),
            effective_from=date(2026, 1, 1),
            effective_to=date(2027, 1, 1),
        ),
    )
    assert (found.rejected, found.count, found.total, found.controlled) == ((), 1, Decimal("150.00"), False)
    assert found.sha256 == hashlib.sha256(f"{HEADER}\n{ARCHITECT}".encode()).hexdigest()


def test_only_what_a_price_needs_must_be_there() -> None:
    found = read_rate_card(b"role,bill_rate,currency,valid_from,valid_to\nWriter,80,USD,2026-01-01,\n", "card.csv")
    assert found.rates == (Rate(role="Writer", bill_rate=Decimal(80), currency="USD", effective_from=date(2026, 1, 1)),)


def test_a_workbook_says_the_same_as_a_csv_file() -> None:
    cells = [
        HEADER.split(","),
        ["Architect", "", "contract", 150, "EUR", "hour", 120, date(2026, 1, 1), date(2026, 12, 31)],
    ]
    assert read_rate_card(workbook(cells), "card.xlsx", currency="EUR").rates == read(ARCHITECT).rates
    texts = as_workbook(f"{HEADER}\n{ARCHITECT}\n#TOTAL,1,150")
    assert read_rate_card(texts, "card.xlsx", require_totals=True).controlled


REFUSED = [
    ("wrong currency", "Architect,,,150,USD,,,2026-01-01,", "currency: is not EUR, which the contract is priced in (found 'USD')"),
    ("no currency", "Architect,,,150,,,,2026-01-01,", "currency: is empty"),
    ("a currency nobody bills in", "Architect,,,150,XAU,,,2026-01-01,", "currency: 'XAU' is not an ISO 4217 currency"),
    ("a rate of nothing", "Architect,,,0,EUR,,,2026-01-01,", "bill_rate: is a price of zero"),
    ("a negative rate", "Architect,,,-1,EUR,,,2026-01-01,", "bill_rate: is negative"),
    ("no number", "Architect,,,on request,EUR,,,2026-01-01,", "bill_rate: is not a number"),
    ("too exact", "Architect,,,1.0000001,EUR,,,2026-01-01,", "bill_rate: has more than six decimals"),
    ("for nobody", ",,,150,EUR,,,2026-01-01,", "role: is blank, and so is everything else"),
    ("an unknown level", "Architect,,global,150,EUR,,,2026-01-01,", "level: is no level of a rate; there are: assignment"),
    ("an unknown unit", "Architect,,,150,EUR,week,,2026-01-01,", "unit: is no unit of a rate; there are: hour, day"),
    ("a floor above the rate", "Architect,,,150,EUR,,150.01,2026-01-01,", "floor: is above the bill rate of 150"),
    ("it ends before it starts", "Architect,,,150,EUR,,,2026-01-02,2026-01-01", "valid_to: is before 2026-01-02, when the price starts"),
    ("no date", "Architect,,,150,EUR,,,1/2/2026,", "valid_from: is not a date"),
    ("no start", "Architect,,,150,EUR,,,,", "valid_from: is empty"),
    ("the end of time", "Architect,,,150,EUR,,,2026-01-01,9999-12-31", "valid_to: is the last day of the calendar"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "reason"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_a_bad_row_is_named_with_line_column_and_reason_and_the_others_are_taken(line: str, reason: str) -> None:
    found = read("Writer,,,80,EUR,,,2026-01-01,", line)
    assert [rate.role for rate in found.rates] == ["Writer"]
    assert str(found.rejected[0]).startswith(f"line 3, {reason}")
    with pytest.raises(BadInput, match=r"card.csv: 1 rejected row, nothing was imported"):
        require_complete(found)


def test_another_currency_is_taken_where_the_contract_has_an_exchange_policy() -> None:
    line = "Architect,,,150,USD,,,2026-01-01,"
    assert read(line, other_currencies=True).rates[0].currency == "USD"
    assert read(line, currency="").rates[0].currency == "USD"


OVERLAPS = [
    ("the same role twice", ["Architect,,,150,EUR,,,2026-01-01,", "Architect,,,160,EUR,,,2026-07-01,"], [2, 3], "2026-07-01"),
    ("one day in common", ["Architect,,,150,EUR,,,2026-01-01,2026-07-01", "Architect,,,160,EUR,,,2026-07-01,"], [2, 3], "2026-07-01"),
    ("the same price, another window", ["Architect,,,150,EUR,,,2026-01-01,", "Architect,,,150,EUR,,,2026-07-01,"], [2, 3], "2026-07-01"),
    ("three of them", ["Architect,,,1,EUR,,,2026-01-01,", "Architect,,,2,EUR,,,2026-02-01,2026-03-31", "Architect,,,3,EUR,,,2026-12-01,"], [2, 3, 4], "2026-02-01"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "refused", "since"), [o[1:] for o in OVERLAPS], ids=[o[0] for o in OVERLAPS])
def test_rate_lines_that_overlap_are_refused_by_name(lines: list[str], refused: list[int], since: str) -> None:
    found = read(*lines, "Writer,,,80,EUR,,,2026-01-01,")
    assert [rate.role for rate in found.rates] == ["Writer"]
    assert [rejection.line for rejection in found.rejected] == refused
    assert f"overlaps: lines 2 and 3 price the same work from {since} on" in found.rejected[0].reason


APART = [
    ["Architect,,,150,EUR,,,2026-01-01,2026-06-30", "Architect,,,160,EUR,,,2026-07-01,"],
    ["Architect,,,150,EUR,,,2026-01-01,", "Architect,ada,,160,EUR,,,2026-01-01,"],
    ["Architect,,contract,150,EUR,,,2026-01-01,", "Architect,,client,160,EUR,,,2026-01-01,"],
    ["Architect,,,150,EUR,hour,,2026-01-01,", "Architect,,,1000,EUR,day,,2026-01-01,"],
]


@pytest.mark.parametrize("lines", APART, ids=["one after the other", "for a person", "another level", "another unit"])
def test_rate_lines_that_do_not_price_the_same_work_are_taken(lines: list[str]) -> None:
    assert len(read(*lines).rates) == 2


def test_the_same_line_again_is_taken_once() -> None:
    found = read(ARCHITECT, ARCHITECT, ARCHITECT)
    assert (len(found.rates), found.repeated, found.rejected) == (1, (3, 4), ())


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (HEADER.replace("bill_rate", "rate"), "missing columns: bill_rate; unknown columns: rate"),
        (f"{HEADER},discount", "unknown columns: discount"),
        (HEADER.replace(",valid_to", ""), "missing columns: valid_to"),
    ],
)
def test_a_wrong_column_refuses_the_file(header: str, words: str) -> None:
    with pytest.raises(BadInput, match=f"card.csv: line 1: {words}"):
        read_rate_card(f"{header}\n{ARCHITECT}".encode(), "card.csv")


@pytest.mark.parametrize(
    ("trailer", "words"),
    [
        ("#TOTAL,2,150", "expected 2 rows and 150 bill rates, found 1 rows and 150.00 bill rates"),
        ("#TOTAL,1,149.99", "expected 1 rows and 149.99 bill rates"),
        ("#TOTAL,1", "expected #TOTAL,<rows>,<bill rates>"),
    ],
)
def test_control_totals_that_disagree_refuse_the_file(trailer: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read(ARCHITECT, trailer)


def test_control_totals_may_be_required() -> None:
    assert read(ARCHITECT, "#TOTAL,1,150", require_totals=True).controlled
    with pytest.raises(BadInput, match="the last line is not #TOTAL,<rows>,<bill rates>"):
        read(ARCHITECT, require_totals=True)


days = st.dates(date(2026, 1, 1), date(2026, 12, 31))
row = st.tuples(st.sampled_from(["Architect", "Writer"]), st.integers(1, 3), days, st.none() | days)


@given(st.lists(row, max_size=8))
def test_every_row_is_taken_named_or_repeated_and_no_day_has_two_prices(
    rows: list[tuple[str, int, date, date | None]],
) -> None:
    lines = [f"{role},,,{rate},EUR,,,{start},{end or ''}" for role, rate, start, end in rows]
    found = read(*lines)
    refused = {rejection.line for rejection in found.rejected}
    assert len(found.rates) + len(refused) + len(set(found.repeated) - refused) == found.count == len(rows)
    for role in ("Architect", "Writer"):
        for day in {rate.effective_from for rate in found.rates}:
            assert sum(rate.role == role and rate.covers(day) for rate in found.rates) <= 1
