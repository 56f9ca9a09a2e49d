"""The file of subcontractors' bills: each bill whole or not at all, every refusal with its line, column and reason."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from isthmus.domain.errors import BadInput
from isthmus.kit.bill_file import COLUMNS, BillFile, read_bill_file
from tests.kit.workbooks import as_workbook

HEADER = ",".join(column.title for column in COLUMNS)
GOOD = "B-7,SUBS,SC-1,2026-03-31,USD,ann,2026-03-01,2026-03-31,16,1280.00"


def read(*lines: str, header: str = HEADER, **more: bool) -> BillFile:
    return read_bill_file("\n".join([header, *lines]).encode(), "march.csv", **more)  # type: ignore[arg-type]


def test_rows_of_one_number_are_one_bill() -> None:
    second = GOOD.replace("ann", "bo").replace("16,1280.00", "8,760.00")
    found = read(GOOD, GOOD.replace("B-7", "B-8"), second, "#TOTAL,3,3320.00")
    assert found.controlled and not found.rejected and (found.count, found.amount) == (3, Decimal("3320.00"))
    first, other = found.bills
    assert (first.bill_no, first.at, [line.person for line in first.lines]) == ("B-7", (2, 4), ["ann", "bo"])
    assert (first.billed_on, first.currency, first.subcontract_no) == (date(2026, 3, 31), "USD", "SC-1")
    assert other.bill_no == "B-8" and other.lines[0].end == date(2026, 3, 31)


def test_a_credit_has_hours_and_amount_below_nothing() -> None:
    (bill,) = read(GOOD.replace("16,1280.00", "-2,-160.00")).bills
    assert (bill.lines[0].hours, bill.lines[0].amount) == (Decimal(-2), Decimal("-160.00"))


BAD = [
    ("negative hours alone", GOOD.replace("16,", "-16,"), "hours", "different signs"),
    ("no hours", GOOD.replace(",16,", ",0,"), "hours", "is nothing"),
    ("five decimals", GOOD.replace(",16,", ",16.00001,"), "hours", "four decimals"),
    ("hours as a clock", GOOD.replace(",16,", ",7:30,"), "hours", "is not a number"),
    ("a cent too fine", GOOD.replace("1280.00", "1280.005"), "amount", "more decimals than USD"),
    ("no amount", GOOD.replace("1280.00", ""), "amount", "is empty"),
    ("a currency that is none", GOOD.replace("USD", "usd"), "currency", "usd"),
    ("the days the wrong way round", GOOD.replace("2026-03-01,2026-03-31", "2026-03-31,2026-03-01"), "to", "is before"),
    ("no such day", GOOD.replace("2026-03-01", "2026-02-30"), "from", "calendar"),
    ("no number", GOOD.replace("B-7", ""), "bill_no", "is empty"),
]


@pytest.mark.parametrize(("line", "column", "words"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_a_bad_cell_is_named_and_its_bill_is_not_taken(line: str, column: str, words: str) -> None:
    number = line.split(",")[0]
    other = GOOD.replace("B-7", number).replace("ann", "bo")
    found = read(line, other, GOOD.replace("B-7", "B-9"))
    assert [bill.bill_no for bill in found.bills] == ["B-9"]
    at = {(one.line, one.column): one.reason for one in found.rejected}
    assert words in at[2, column]
    assert {line for line, _ in at} == {2, 3}, "the other row of the bill is refused with it"
    if number:
        assert "taken whole or not at all; see line 2" in at[3, "bill_no"]


CONTRADICTIONS = [
    ("another day", ("2026-03-31,USD", "2026-03-30,USD"), "bill_date", "is not the same on lines 2 and 3"),
    ("another currency", ("USD", "EUR"), "currency", "is not the same"),
    ("another subcontract", ("SC-1", "SC-2"), "subcontract_no", "is not the same"),
    ("the same line again", ("", ""), "person", "has the same days on line 2"),
]


@pytest.mark.parametrize(
    ("change", "column", "words"), [c[1:] for c in CONTRADICTIONS], ids=[c[0] for c in CONTRADICTIONS]
)
def test_rows_that_contradict_each_other_are_no_bill(change: tuple[str, str], column: str, words: str) -> None:
    found = read(GOOD, GOOD.replace(*change) if change[0] else GOOD)
    assert not found.bills and {one.line for one in found.rejected} == {2, 3}
    assert any(one.column == column and words in one.reason for one in found.rejected)


WHOLE = [
    ("a column too many", HEADER + ",note", "unknown columns: note"),
    ("a column too few", HEADER.replace(",amount", ""), "missing columns: amount"),
]


@pytest.mark.parametrize(("header", "words"), [w[1:] for w in WHOLE], ids=[w[0] for w in WHOLE])
def test_a_wrong_header_refuses_the_file(header: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read(GOOD, header=header)


def test_control_totals_that_are_off_refuse_the_file() -> None:
    with pytest.raises(BadInput, match=r"expected 1 rows and 1281.00 amount, found 1 rows and 1280.00 amount"):
        read(GOOD, "#TOTAL,1,1281.00")
    with pytest.raises(BadInput, match="the last line is not #TOTAL"):
        read(GOOD, require_totals=True)


def test_a_workbook_says_the_same() -> None:
    text = "\n".join([HEADER, GOOD, "#TOTAL,1,1280.00"])
    found = read_bill_file(as_workbook(text), "march.xlsx")
    assert found.bills == read(GOOD).bills and found.controlled
