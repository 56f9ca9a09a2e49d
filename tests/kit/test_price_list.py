"""GSA price lists: what is read, what is refused with which words, and that nothing is taken by halves."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import BadInput
from isthmus.kit.price_list import PriceList, parse_date, parse_price, rates, read_price_list, require_complete

HEADER = (
    "SERVICE PROPOSED (e.g. Job Title/Task),MINIMUM EDUCATION/ CERTIFICATION LEVEL,MINIMUM YEARS OF EXPERIENCE,"
    '"UNIT OF ISSUE (e.g. Hour, Task, Sq ft)",PRICE OFFERED TO GSA (including IFF),CONTRACT NUMBER,VENDOR NAME,'
    "CONTRACT START DATE ,CONTRACT END DATE"
)
GUIDANCE = (
    "Spell out,Only degrees,Whole numbers only. No range.,Hour,Price with two decimal places,"
    "Must be full contract number,Spelled out,Month/Day/Year,Month/Day/Year"
)
GOOD = {
    "category": "Architect",
    "education": "Bachelors",
    "years": "9",
    "unit": "Hour",
    "price": "$147.00",
    "contract": "GS-1",
    "vendor": '"I-Link, Inc"',
    "start": "4/29/15",
    "end": "4/28/20",
}


def shipped(name: str) -> bytes:
    return (files("isthmus.app") / "data" / "price_lists" / name).read_bytes()


def line(**cells: str) -> str:
    return ",".join({**GOOD, **cells}.values())


def read(*lines: str, header: str = HEADER) -> PriceList:
    return read_price_list("\n".join([header, *lines]).encode(), "list.csv")


def refused(found: PriceList) -> list[tuple[int, str, str]]:
    return [(rejection.line, rejection.column, rejection.value) for rejection in found.rejected]


# -- the published files --------------------------------------------------------------------------------------


def test_the_published_sample_is_read_whole() -> None:
    content = shipped("s70_sample.csv")
    found = read_price_list(content, "s70_sample.csv")
    assert (len(found.rows), found.rows_read, found.rejected, found.empty) == (20, 20, (), "")
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    assert found.source == "s70_sample.csv"
    assert sum(row.price for row in found.rows) == Decimal("2553.84")
    first = found.rows[0]
    assert (first.line, first.labor_category, first.vendor) == (3, "Product Manager", "Pink Frog Interactive, Inc.")
    assert (first.unit, first.price, first.currency) == ("hour", Decimal("125.44"), "USD")
    assert (first.contract_no, first.education, first.years_min) == ("GS-35F-376CA", "Bachelors", 5)
    assert (first.valid_from, first.valid_to) == (date(2015, 6, 24), date(2020, 6, 24))
    assert require_complete(found) is found


def test_the_published_bad_sample_names_its_two_bad_cells_and_keeps_the_rest() -> None:
    found = read_price_list(shipped("s70_bad_sample.csv"), "s70_bad_sample.csv")
    assert refused(found) == [
        (3, "PRICE OFFERED TO GSA (including IFF)", "BAD_PRICE_DATA"),
        (13, "CONTRACT START DATE", "BAD_DATE_DATA"),
    ]
    assert (len(found.rows), found.rows_read) == (18, 20)
    assert not {"Product Manager", "Program Manager I"} & {row.labor_category for row in found.rows}


def test_require_complete_lists_every_rejection() -> None:
    found = read_price_list(shipped("s70_bad_sample.csv"), "s70_bad_sample.csv")
    with pytest.raises(BadInput) as told:
        require_complete(found)
    message = str(told.value)
    assert "s70_bad_sample.csv: 2 rejected rows" in message
    assert "line 3" in message and "BAD_PRICE_DATA" in message
    assert "line 13" in message and "BAD_DATE_DATA" in message


def test_a_list_without_prices_is_empty_and_says_why() -> None:
    found = read_price_list(shipped("s70_empty.csv"), "s70_empty.csv")
    assert (found.rows, found.rejected, found.rows_read) == ((), (), 0)
    assert found.empty == "the file has a header and no prices below it"
    assert require_complete(found) is found


def test_source_md_names_each_file_with_its_hash_and_license() -> None:
    told = shipped("SOURCE.md").decode()
    assert "CC0 1.0" in told
    for name in ("s70_sample.csv", "s70_bad_sample.csv", "s70_empty.csv"):
        assert f"`{name}`" in told
        assert hashlib.sha256(shipped(name)).hexdigest() in told


def test_the_example_of_the_manual_is_good() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "lookup" / "files.md").read_text()
    example = next(block for block in re.findall(r"```csv\n(.*?)```", manual, re.DOTALL) if "CONTRACT" in block)
    assert len(require_complete(read_price_list(example.encode(), "files.md")).rows) == 1


# -- shapes of a good file ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(f"{HEADER}\n{line()}\n".encode(), id="plain"),
        pytest.param(f"{HEADER}\n{line()}".encode(), id="no last line break"),
        pytest.param(f"\ufeff{HEADER}\n{line()}\n".encode(), id="byte order mark"),
        pytest.param(f"{HEADER}\r\n{GUIDANCE}\r\n{line()}\r\n".encode(), id="CRLF and guidance"),
        pytest.param(f"{HEADER}\r{line()}\r".encode(), id="CR"),
        pytest.param(f"Price list of 2015,,\n\n{HEADER}\n\n,,,\n{line()}\n,,,\n".encode(), id="prose and blank lines"),
        pytest.param(f"{HEADER},,\n{line()},,\n".encode(), id="padded with commas"),
        pytest.param(f"{HEADER.lower()}\n{line()}\n".encode(), id="titles in lower case"),
        pytest.param(f"SIN,{HEADER}\nx,{line()}\n".encode(), id="a column that is not needed"),
    ],
)
def test_shapes_that_say_the_same(content: bytes) -> None:
    found = read_price_list(content, "list.csv")
    assert (found.rows_read, found.rejected) == (1, ())
    expected = read(line()).rows[0]
    assert replace(found.rows[0], line=expected.line) == expected


def test_line_numbers_are_those_of_the_file_also_after_a_cell_of_two_lines_and_a_blank_line() -> None:
    found = read(line(vendor='"Two\nLines"'), "", line(category="Writer", price="free"), line(category="Editor"))
    assert [row.line for row in found.rows] == [2, 6]
    assert [rejection.line for rejection in found.rejected] == [5]


@pytest.mark.parametrize("contract", ["GS-1", "GS 1", "unknown"])
def test_a_bad_first_row_is_rejected_and_not_taken_for_guidance(contract: str) -> None:
    found = read(line(price="to be agreed", start="soon", end="never", years="no range", contract=contract))
    assert [rejection.line for rejection in found.rejected] == [2, 2, 2, 2]
    assert found.rows_read == 1


def test_guidance_is_guidance_only_right_below_the_titles() -> None:
    found = read(line(), GUIDANCE)
    assert len(found.rows) == 1
    assert {rejection.line for rejection in found.rejected} == {3}


# -- cells ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "price"),
    [
        ("$125.44", "125.44"),
        ("$ 125.44", "125.44"),
        ("125", "125.00"),
        ("$1,234.50", "1234.50"),
        ("1,234,567.8", "1234567.80"),
        ("$69.000", "69.00"),
        ("0.01", "0.01"),
    ],
)
def test_prices_that_are_read(cell: str, price: str) -> None:
    assert str(parse_price(cell)) == price


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("BAD_PRICE_DATA", "not a price"),
        ("-5.00", "not a price"),
        ("$-5.00", "not a price"),
        ("(5.00)", "not a price"),
        ("€125.44", "not a price"),
        ("1.234,50", "not a price"),
        ("12,34.50", "not a price"),
        ("1,2345", "not a price"),
        ("1e3", "not a price"),
        ("NaN", "not a price"),
        ("١٢", "not a price"),
        ("9" * 40, "not a price"),
        ("1.", "not a price"),
        ("98.740554", "part cents"),
        ("$0.00", "zero"),
    ],
)
def test_prices_that_are_refused(cell: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        parse_price(cell)


@given(st.integers(min_value=1, max_value=99_999_999_999), st.sampled_from(["", "$", "$ "]), st.booleans())
def test_every_price_written_in_dollars_and_cents_comes_back(cents: int, sign: str, grouped: bool) -> None:
    price = Decimal(cents) / 100
    assert parse_price(f"{sign}{price:,.2f}" if grouped else f"{sign}{price:.2f}") == price


@given(st.text(alphabet="$ 0123456789.,-+eE_٣NaInf()", max_size=25))
def test_any_text_is_a_positive_price_in_whole_cents_or_bad_input(cell: str) -> None:
    try:
        price = parse_price(cell)
    except BadInput:
        return
    assert price > 0
    assert price == price.quantize(Decimal("0.01"))
    assert f"{price:.2f}".rstrip("0.") == cell.lstrip("$ ").replace(",", "").lstrip("0").rstrip("0.") or price < 1


@pytest.mark.parametrize(
    ("cell", "day"),
    [
        ("6/24/15", date(2015, 6, 24)),
        ("06/04/2015", date(2015, 6, 4)),
        ("1/1/00", date(2000, 1, 1)),
        ("1/1/68", date(2068, 1, 1)),
        ("1/1/69", date(1969, 1, 1)),
        ("12/31/99", date(1999, 12, 31)),
        ("2/29/20", date(2020, 2, 29)),
    ],
)
def test_dates_and_the_pivot_of_two_digit_years(cell: str, day: date) -> None:
    assert parse_date(cell) == day


@given(st.dates(min_value=date(1969, 1, 1), max_value=date(2068, 12, 31)))
def test_every_day_of_the_hundred_years_comes_back_from_two_digits(day: date) -> None:
    assert parse_date(f"{day.month}/{day.day}/{day.year % 100:02}") == day


@pytest.mark.parametrize(
    ("cells", "column", "reason"),
    [
        ({"category": ""}, "SERVICE PROPOSED (e.g. Job Title/Task)", "is empty"),
        ({"vendor": ""}, "VENDOR NAME", "is empty"),
        ({"contract": " "}, "CONTRACT NUMBER", "is empty"),
        ({"price": ""}, "PRICE OFFERED TO GSA (including IFF)", "is empty"),
        ({"years": "5-7"}, "MINIMUM YEARS OF EXPERIENCE", "whole number"),
        ({"unit": "Task"}, "UNIT OF ISSUE (e.g. Hour, Task, Sq ft)", "not priced by the hour"),
        ({"start": "24/6/15"}, "CONTRACT START DATE", "month/day/year"),
        ({"start": "2/29/15"}, "CONTRACT START DATE", "calendar"),
        ({"end": "2020-04-28"}, "CONTRACT END DATE", "not a date"),
        ({"end": "12/31/9999"}, "CONTRACT END DATE", "last day of the calendar"),
        ({"end": "4/28/15"}, "CONTRACT END DATE", "ends before it starts"),
        ({"end": "4/28/69"}, "CONTRACT END DATE", "ends before it starts"),
        ({"vendor": "I-Link, Inc"}, "(row)", "10 cells under 9 titles"),
    ],
)
def test_a_bad_cell_rejects_its_whole_row_and_no_other(cells: dict[str, str], column: str, reason: str) -> None:
    found = read(line(category="Writer"), line(**cells), line(category="Editor"))
    assert [(rejection.line, rejection.column) for rejection in found.rejected] == [(3, column)]
    assert reason in found.rejected[0].reason
    assert [row.labor_category for row in found.rows] == ["Writer", "Editor"]
    assert found.rows_read == 3


def test_a_row_cut_off_is_rejected() -> None:
    found = read("Architect,Bachelors,9,Hour,$147.00")
    assert [rejection.column for rejection in found.rejected] == ["(row)"]
    assert "5 cells under 9 titles" in found.rejected[0].reason


def test_every_bad_cell_of_a_row_is_named() -> None:
    found = read(line(price="free", start="soon"))
    assert [rejection.value for rejection in found.rejected] == ["free", "soon"]
    assert (found.rows, found.rows_read) == ((), 1)


def test_blank_education_and_experience_are_unknown_and_not_made_up() -> None:
    row = read(line(education="", years="")).rows[0]
    assert (row.education, row.years_min) == ("", None)


def test_one_day_contract_covers_exactly_that_day() -> None:
    row = read(line(start="4/29/15", end="4/29/15")).rows[0]
    assert [row.covers(date(2015, 4, day)) for day in (28, 29, 30)] == [False, True, False]


def test_a_huge_cell_makes_a_short_rejection() -> None:
    assert len(read(line(price="x" * 100_000)).rejected[0].value) <= 120


# -- files refused as a whole ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b" \r\n\r\n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b",,,\n,,\n", "no header"),
        (b"PK\x03\x04\x14\x00\x06\x00", "workbook"),
        (HEADER.encode("utf-16"), "UTF-16"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "not UTF-8"),
        ("category,Caf\u00e9".encode("latin-1"), "byte 13 is not UTF-8"),
        (b"a,b\nc,\x00d", "line 2 holds control character 0x00"),
        (f'{HEADER}\n{line()}\n"never closed'.encode(), "line 3: broken quoting"),
        (f'{HEADER}\n"a"b,c'.encode(), "line 2: broken quoting"),
        (b"x" * (10 * 1024 * 1024 + 1), "at most 10,485,760"),
        (b"x," + b"y" * 200_000, "endless cell"),
    ],
)
def test_what_is_no_csv_file_is_refused_whole(content: bytes, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        read_price_list(content, "list.csv")


def test_missing_columns_are_named_with_those_found() -> None:
    header = HEADER.replace("VENDOR NAME", "SUPPLIER").replace(",CONTRACT END DATE", "")
    with pytest.raises(BadInput) as told:
        read(line(), header=header)
    message = str(told.value)
    assert "list.csv: line 1: missing columns: VENDOR NAME, CONTRACT END DATE; found: " in message
    assert "SUPPLIER" in message and "CONTRACT NUMBER" in message


def test_a_file_of_something_else_names_all_columns() -> None:
    with pytest.raises(BadInput, match=r"missing columns: SERVICE PROPOSED, .*; found: <html>"):
        read_price_list(b"<html>\n<body>busy</body>\n", "list.csv")


def test_a_column_given_twice_is_refused() -> None:
    with pytest.raises(BadInput, match="columns given twice: CONTRACT NUMBER"):
        read(line() + ",x", header=HEADER + ",CONTRACT NUMBER")


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda body: f"{HEADER}\n{body}".encode()))
def test_any_bytes_give_a_list_or_bad_input_and_every_row_is_accounted_for(content: bytes) -> None:
    try:
        found = read_price_list(content, "list.csv")
    except BadInput:
        return
    assert found.rows_read == len(found.rows) + len({rejection.line for rejection in found.rejected})


# -- duplicates -----------------------------------------------------------------------------------------------


def test_two_prices_for_one_category_and_window_are_both_rejected_naming_both_lines() -> None:
    found = read(line(), line(category="Writer"), line(category=" ARCHITECT", price="$150.00"))
    assert [(rejection.line, rejection.value) for rejection in found.rejected] == [(2, "$147.00"), (4, "$150.00")]
    assert all("ambiguous: lines 2 and 4" in rejection.reason for rejection in found.rejected)
    assert [row.labor_category for row in found.rows] == ["Writer"]


@pytest.mark.parametrize("other", [{"contract": "GS-2"}, {"end": "4/28/19"}, {"category": "Writer"}, {"price": "147"}])
def test_what_is_no_contradiction_is_kept(other: dict[str, str]) -> None:
    found = read(line(price="$147.00"), line(**{"price": "$150.00", **other}))
    assert (len(found.rows), found.rejected) == (2, ())


def test_many_contradictions_name_only_the_first_lines() -> None:
    found = read(*(line(price=f"{100 + i}") for i in range(50)))
    assert len(found.rejected) == 50
    assert "lines 2, 3, 4, 5, 6 and 45 more" in found.rejected[0].reason


# -- rates ----------------------------------------------------------------------------------------------------


def test_rates_start_on_the_chosen_day_and_end_with_the_list() -> None:
    prices = read_price_list(shipped("s70_sample.csv"), "s70_sample.csv")
    day = date(2019, 7, 1)
    found = rates(prices, "GS-35F-308CA", from_date=day, roles=["QA Analyst II", "architect iii"])
    assert [(rate.role, rate.bill_rate, rate.unit) for rate in found] == [
        ("QA Analyst II", Decimal("109.00"), "hour"),
        ("architect iii", Decimal("179.00"), "hour"),
    ]
    assert {(rate.effective_from, rate.effective_to) for rate in found} == {(day, date(2020, 4, 29))}
    assert found[0].covers(date(2020, 4, 28)) and not found[0].covers(date(2020, 4, 29))


def test_rates_take_the_house_name_of_a_role() -> None:
    (rate,) = rates(read(line()), from_date=date(2016, 1, 1), roles={"lead": "Architect"})
    assert (rate.role, rate.bill_rate) == ("lead", Decimal("147.00"))


def test_a_price_is_not_used_outside_its_window_unless_adopted() -> None:
    day = date(2026, 1, 1)
    with pytest.raises(BadInput, match=r"no price for 'Architect' on 2026-01-01.*2015-04-29 until before 2020-04-29"):
        rates(read(line()), from_date=day, roles=["Architect"])
    (rate,) = rates(read(line()), from_date=day, roles=["Architect"], adopt=True)
    assert (rate.effective_from, rate.effective_to) == (day, None)


def test_rates_of_the_window_that_covers_the_day() -> None:
    prices = read(line(end="4/28/16"), line(start="4/29/16", price="$150.00"))
    assert [
        rates(prices, from_date=day, roles=["Architect"], adopt=adopt)[0].bill_rate
        for day, adopt in [(date(2016, 4, 28), False), (date(2016, 4, 29), False), (date(2016, 4, 29), True)]
    ] == [Decimal("147.00"), Decimal("150.00"), Decimal("150.00")]


def test_the_same_price_in_two_windows_holds_until_the_later_end() -> None:
    prices = read(line(end="4/28/16"), line())
    assert rates(prices, from_date=date(2016, 1, 1), roles=["Architect"])[0].effective_to == date(2020, 4, 29)


def test_a_role_with_two_prices_is_refused_until_the_contract_is_named() -> None:
    prices = read(line(), line(contract="GS-2", price="$150.00"))
    day = date(2016, 1, 1)
    with pytest.raises(BadInput, match="several prices for 'Architect' on 2016-01-01: lines 2 and 3"):
        rates(prices, from_date=day, roles=["Architect"])
    assert rates(prices, "gs-2", from_date=day, roles=["Architect"])[0].bill_rate == Decimal("150.00")


def test_an_unknown_role_is_refused_with_those_known_under_the_contract() -> None:
    prices = read(line(), line(contract="GS-2", category="Writer"))
    with pytest.raises(BadInput, match=r"no labor category 'Writer' under contract GS-1; known: Architect$"):
        rates(prices, "GS-1", from_date=date(2016, 1, 1), roles=["Writer"])
