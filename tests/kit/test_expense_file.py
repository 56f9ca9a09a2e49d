"""The expense file: rows become expenses; what is wrong with one is named; what looks like another is a suspect."""

# A table is read row by row: its rows stay on one line each.
# ruff: noqa: E501

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import BadInput
from isthmus.domain.objects import Expense
from isthmus.kit.expense_file import COLUMNS, ExpenseFile, read_expense_file, require_complete
from tests.kit.workbooks import as_workbook

TITLES = [column.title for column in COLUMNS]
GOOD = {
    **dict.fromkeys(TITLES, ""),
    "source_expense_id": "X1",
    "project_code": "P-1",
    "person": "ada",
    "category": "hotel",
    "expense_date": "2026-03-10",
    "gross": "240.00",
    "currency": "GBP",
    "tax": "40.00",
    "tax_recoverable": "yes",
    "receipt_ref": "receipts/1.pdf",
    "note": "two nights",
    "approved_by": "bea",
    "approved_at": "2026-03-20T09:00:00+01:00",
}


def line(**cells: str) -> str:
    return ",".join({**GOOD, **cells}.values())


def read(*lines: str, require_totals: bool = False) -> ExpenseFile:
    content = "\n".join([",".join(TITLES), *lines]).encode()
    return read_expense_file(content, "expenses.csv", system="exp", require_totals=require_totals)


def test_a_row_becomes_the_canonical_expense() -> None:
    found = read(line())
    assert found.expenses == (
        Expense(
            source="exp",
            source_id="X1",
            project_code="P-1",
            person="ada",
            category="hotel",
            expense_date=date(2026, 3, 10),
            gross=Decimal("240.00"),
            tax=Decimal("40.00"),
            tax_recoverable=True,
            currency="GBP",
            receipt_ref="receipts/1.pdf",
            note="two nights",
            approved_by="bea",
            approved_at=datetime(2026, 3, 20, 8, tzinfo=UTC),
        ),
    )
    assert (found.rejected, found.suspects, found.count, found.gross) == ((), (), 1, Decimal("240.00"))
    assert require_complete(found) is found


def test_allowances_need_no_amount() -> None:
    day = line(
        gross="",
        tax="",
        per_diem_day="First",
        location="Paris",
        meals_provided="breakfast + lunch",
        category="per_diem",
    )
    drive = line(source_expense_id="X2", gross="", tax="", distance="123.4", category="mileage", billable="no")
    one, other = read(day, drive, "#TOTAL,2,0").expenses
    assert (one.per_diem_day, one.meals_provided, one.gross) == ("first", ("breakfast", "lunch"), 0)
    assert (other.distance, other.billable) == (Decimal("123.4"), False)


def test_a_workbook_says_the_same() -> None:
    content = as_workbook("\n".join([",".join(TITLES), line()]))
    assert read_expense_file(content, "expenses.xlsx", system="exp").expenses == read(line()).expenses


def test_the_example_of_the_manual_is_good() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "lookup" / "files.md").read_text()
    example = next(block for block in manual.split("```csv\n")[1:] if block.startswith("source_expense_id"))
    found = require_complete(read_expense_file(example.split("```")[0].encode(), "files.md", require_totals=True))
    assert [expense.category for expense in found.expenses] == ["hotel", "per_diem", "mileage"]


REFUSED = [
    ("no currency", {"currency": ""}, "currency: is empty"),
    ("not a currency", {"currency": "pounds"}, "currency: is not a currency"),
    ("more decimals than the currency", {"gross": "240.005"}, "gross: has more decimals than GBP has"),
    ("yen have no sen", {"currency": "JPY", "gross": "240.5", "tax": "0"}, "gross: has more decimals than JPY has"),
    ("less than nothing", {"gross": "-1"}, "gross: is negative; send a correction as a higher revision"),
    ("nothing", {"gross": "", "tax": ""}, "gross: is nothing; only a correction"),
    ("more tax than gross", {"tax": "240.01"}, "tax: is more than the gross of 240.00"),
    ("more of one's own than gross", {"personal": "240.01"}, "personal: is more than the gross of 240.00"),
    ("neither yes nor no", {"tax_recoverable": "maybe"}, "tax_recoverable: is neither yes nor no"),
    ("no such meal", {"meals_provided": "brunch"}, "meals_provided: names no meal with 'brunch'"),
    ("no such day", {"per_diem_day": "half"}, "per_diem_day: is no day of a per diem"),
    ("a per diem nowhere", {"per_diem_day": "full"}, "per_diem_day: has no location"),
    ("a per diem and a drive", {"per_diem_day": "full", "location": "Paris", "distance": "5"}, "distance: and a per diem are two expenses"),
    ("a drive to nowhere", {"distance": "0"}, "distance: is a distance of zero"),
    ("no date", {"expense_date": "10.3.2026"}, "expense_date: is not a date"),
    ("no offset", {"approved_at": "2026-03-20T09:00:00"}, "approved_at: has no offset from UTC"),
    ("a rate of nothing", {"card_rate": "0"}, "card_rate: is a price of zero"),
    ("nobody approved it", {"approved_by": ""}, "approved_by: is empty"),
]  # fmt: skip


@pytest.mark.parametrize(("cells", "reason"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_a_bad_row_is_named_with_line_column_and_reason_and_the_others_are_taken(
    cells: dict[str, str], reason: str
) -> None:
    found = read(line(source_expense_id="X0", note="other"), line(**cells))
    assert [expense.source_id for expense in found.expenses] == ["X0"]
    assert str(found.rejected[0]).startswith(f"line 3, {reason}")


def test_an_amount_of_a_currency_that_is_no_more_is_kept_as_written() -> None:
    assert read(line(currency="HRK", expense_date="2022-12-30")).expenses[0].currency == "HRK"


def test_a_correction_may_bring_an_expense_to_nothing() -> None:
    found = read(line(), line(gross="0", tax="0", revision="2"))
    assert [expense.gross for expense in found.expenses] == [Decimal("240.00"), Decimal(0)]
    assert found.suspects == ()


def test_the_same_expense_twice_is_taken_once_and_with_other_content_not_at_all() -> None:
    again = read(line(), line())
    assert (len(again.expenses), again.repeated, again.rejected) == (1, (3,), ())
    other = read(line(), line(gross="241.00"))
    assert other.expenses == ()
    assert [str(r)[:60] for r in other.rejected] == [
        "line 2, source_expense_id: expense X1 stands on lines 2 and ",
        "line 3, source_expense_id: expense X1 stands on lines 2 and ",
    ]


def test_the_same_content_under_another_id_is_taken_and_named() -> None:
    found = read(line(), line(source_expense_id="X2"), line(source_expense_id="X3", note="other"))
    assert len(found.expenses) == 3
    assert [(s.line, s.reason) for s in found.suspects] == [
        (2, "has the content of another expense on line 3"),
        (3, "has the content of another expense on line 2"),
    ]


@pytest.mark.parametrize(
    ("trailer", "good"), [("#TOTAL,2,480", True), ("#TOTAL,2,479.99", False), ("#TOTAL,3,480", False)]
)
def test_control_totals_are_of_rows_and_gross(trailer: str, good: bool) -> None:
    lines = [line(), line(source_expense_id="X2", currency="EUR"), trailer]
    if good:
        assert read(*lines, require_totals=True).controlled
    else:
        with pytest.raises(BadInput, match=r"rows and 480\.00 gross; nothing was taken"):
            read(*lines)


def test_a_wrong_column_refuses_the_file() -> None:
    with pytest.raises(BadInput, match=r"missing columns: gross; unknown columns: amount"):
        read_expense_file(",".join(TITLES).replace("gross", "amount").encode() + b"\n" + line().encode(), "e.csv")


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda body: f"{','.join(TITLES)}\n{body}".encode()))
def test_any_bytes_give_a_file_or_bad_input(content: bytes) -> None:
    try:
        found = read_expense_file(content, "expenses.csv")
    except BadInput:
        return
    assert found.count == len(found.expenses) + len({r.line for r in found.rejected}) + len(found.repeated)
