"""The nightly time file: the same entries as by API, control totals, and refusals that can be acted on."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.domain.errors import BadInput
from isthmus.domain.objects import TimeEntry
from isthmus.kit.time_file import TimeFile, read_time_file, require_complete
from tests.kit.workbooks import as_workbook

COLUMNS = [
    "source_entry_id",
    "project_code",
    "task_code",
    "person",
    "role",
    "service_date",
    "hours",
    "note",
    "approved_by",
    "approved_at",
]
OPTIONAL = ["cost_rate", "cost_currency", "revision"]
GOOD = {
    "source_entry_id": "E1",
    "project_code": "P-1",
    "task_code": "T-1",
    "person": "ana",
    "role": "Architect",
    "service_date": "2026-03-09",
    "hours": "7.5",
    "note": "",
    "approved_by": "bea",
    "approved_at": "2026-03-10T09:00:00+01:00",
    "cost_rate": "70.00",
    "cost_currency": "EUR",
    "revision": "",
}


def line(**cells: str) -> str:
    return ",".join({**GOOD, **cells}.values())


def read(*lines: str, header: str = ",".join(COLUMNS + OPTIONAL), require_totals: bool = False) -> TimeFile:
    content = "\n".join([header, *lines]).encode()
    return read_time_file(content, "night.csv", system="psa", require_totals=require_totals)


# -- good files -----------------------------------------------------------------------------------------------


def test_a_row_becomes_the_canonical_entry() -> None:
    found = read(line(note='"design, part ""two"""'))
    assert found.rejected == ()
    assert found.entries == (
        TimeEntry(
            source="psa",
            source_id="E1",
            revision=1,
            project_code="P-1",
            task_code="T-1",
            person="ana",
            role="Architect",
            service_date=date(2026, 3, 9),
            hours=Decimal("7.5"),
            note='design, part "two"',
            approved_by="bea",
            approved_at=datetime(2026, 3, 10, 8, tzinfo=UTC),
            cost_rate=Decimal("70.00"),
            cost_currency="EUR",
        ),
    )
    assert found.entries[0].approved_at.utcoffset() == timedelta(0)
    assert (found.count, found.hours, found.controlled, found.repeated) == (1, Decimal("7.5"), False, ())
    assert require_complete(found) is found


def test_optional_columns_may_be_left_out_and_columns_may_change_places() -> None:
    titles = COLUMNS[::-1]
    found = read(",".join(GOOD[title] for title in titles), header=",".join(titles))
    entry = found.entries[0]
    assert (entry.person, entry.revision, entry.cost_rate, entry.cost_currency) == ("ana", 1, None, "")


def test_the_file_is_the_source_when_no_system_is_named() -> None:
    content = f"{','.join(COLUMNS + OPTIONAL)}\r\n{line()}\r\n".encode("utf-8-sig")
    found = read_time_file(content, "night.csv")
    assert found.entries[0].key == "night.csv:E1"
    assert (found.source, found.sha256) == ("night.csv", hashlib.sha256(content).hexdigest())


def test_line_breaks_inside_a_note_stay_as_they_were_written() -> None:
    assert read(line(note='"one\r\ntwo\nthree"')).entries[0].note == "one\r\ntwo\nthree"


def test_the_example_of_the_manual_is_good() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "lookup" / "files.md").read_text()
    example = next(block for block in re.findall(r"```csv\n(.*?)```", manual, re.DOTALL) if "#TOTAL" in block)
    found = require_complete(read_time_file(example.encode(), "files.md", require_totals=True))
    assert [entry.source_id for entry in found.entries] == ["E1", "E2"]


@pytest.mark.parametrize("hours", ["0", "24", "0.0001", "7.50", "24.0000"])
def test_hours_at_the_edges_are_taken(hours: str) -> None:
    assert read(line(hours=hours)).entries[0].hours == Decimal(hours)


def test_a_quiet_night_is_no_error() -> None:
    found = read("#TOTAL,0,0", require_totals=True)
    assert (found.entries, found.count, found.hours, found.controlled) == ((), 0, Decimal(0), True)


def test_another_revision_of_an_entry_is_another_row() -> None:
    found = read(line(revision="1"), line(revision="2", hours="6"))
    assert [(entry.revision, entry.hours) for entry in found.entries] == [(1, Decimal("7.5")), (2, Decimal("6"))]
    assert (found.rejected, found.repeated) == ((), ())


# -- control totals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trailer", ["#TOTAL,2,15.5", "#TOTAL,2,15.50,,,,", "#total,02, 15.5\n\n"])
def test_totals_that_agree(trailer: str) -> None:
    found = read(line(), line(source_entry_id="E2", hours="8"), trailer)
    assert (len(found.entries), found.count, found.hours, found.controlled) == (2, 2, Decimal("15.5"), True)


@pytest.mark.parametrize(
    ("trailer", "reason"),
    [
        ("#TOTAL,3,15.5", r"line 4: control totals: expected 3 rows and 15\.5 hours, found 2 rows and 15\.5 hours"),
        ("#TOTAL,2,15.6", r"expected 2 rows and 15\.6 hours, found 2 rows and 15\.5 hours"),
        ("#TOTAL,2,15.5001", r"expected 2 rows and 15\.5001 hours"),
        ("#TOTAL", "expected #TOTAL,<rows>,<hours> and found '#TOTAL'"),
        ("#TOTAL,2", "expected #TOTAL,<rows>,<hours>"),
        ("#TOTAL,2,15.5,9", "expected #TOTAL,<rows>,<hours>"),
        ("#TOTAL,two,15.5", "'two,15.5' is not a whole number"),
        ("#TOTAL,2,NaN", "'2,NaN' is not a number"),
    ],
)
def test_totals_that_disagree_refuse_the_file(trailer: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        read(line(), line(source_entry_id="E2", hours="8"), trailer)


def test_totals_count_rows_as_sent_also_rejected_and_repeated_ones() -> None:
    found = read(line(), line(), line(source_entry_id="E2", hours="25"), "#TOTAL,3,40")
    assert (len(found.entries), found.repeated, {r.line for r in found.rejected}) == (1, (3,), {4})
    assert (found.count, found.hours) == (3, Decimal("40.0"))


def test_hours_that_cannot_be_read_are_named_when_the_totals_disagree() -> None:
    with pytest.raises(BadInput, match=r"found 2 rows and 7\.5 hours; hours cannot be read on line 3"):
        read(line(), line(source_entry_id="E2", hours="8h"), "#TOTAL,2,15.5")


@pytest.mark.parametrize("after", [line(source_entry_id="E2"), "#TOTAL,1,7.5"])
def test_nothing_may_follow_the_totals(after: str) -> None:
    with pytest.raises(BadInput, match="line 3: #TOTAL must be the last line, and the only one"):
        read(line(), "#TOTAL,1,7.5", after)


def test_totals_may_be_missing_unless_required() -> None:
    assert len(read(line()).entries) == 1
    with pytest.raises(BadInput, match="the last line is not #TOTAL"):
        read(line(), require_totals=True)


# -- bad rows -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        ("source_entry_id", "", "is empty"),
        ("project_code", "", "is empty"),
        ("person", " ", "is empty"),
        ("role", "", "is empty"),
        ("hours", "", "is empty"),
        ("hours", "-1", "negative"),
        ("hours", "25", "more than the 24 hours"),
        ("hours", "24.0001", "more than the 24 hours"),
        ("hours", "1.00001", "four decimals"),
        ("hours", "7:30", "not a number"),
        ("hours", "NaN", "not a number"),
        ("hours", "1e1", "not a number"),
        ("hours", "٨", "not a number"),
        ("service_date", "9.3.2026", "not a date"),
        ("service_date", "20260309", "not a date"),
        ("service_date", "2026-02-30", "calendar"),
        ("service_date", "", "is empty"),
        ("approved_by", "", "is empty"),
        ("approved_at", "", "is empty"),
        ("approved_at", "2026-03-10T09:00:00", "no offset"),
        ("approved_at", "2026-03-10", "not an instant"),
        ("approved_at", "2026-03-10T25:00:00Z", "not an instant"),
        ("approved_at", "0001-01-01T00:00:00+14:00", "not an instant"),
        ("cost_rate", "-70", "negative"),
        ("cost_rate", "70.0000001", "six decimals"),
        ("cost_currency", "EURO", "not an ISO 4217"),
        ("revision", "0", "first one is 1"),
        ("revision", "1.5", "whole number"),
    ],
)
def test_a_bad_cell_rejects_its_row_and_no_other(column: str, cell: str, reason: str) -> None:
    found = read(line(source_entry_id="E0"), line(**{column: cell}), line(source_entry_id="E2"))
    assert [(rejection.line, rejection.column, rejection.value) for rejection in found.rejected] == [
        (3, column, cell.strip())
    ]
    assert reason in found.rejected[0].reason
    assert [entry.source_id for entry in found.entries] == ["E0", "E2"]
    assert found.count == 3


def test_a_cost_without_currency_is_rejected_and_a_currency_without_cost_is_not() -> None:
    found = read(line(cost_currency=""), line(source_entry_id="E2", cost_rate=""))
    assert [(rejection.line, rejection.column) for rejection in found.rejected] == [(2, "cost_rate")]
    assert (found.entries[0].cost_rate, found.entries[0].cost_currency) == (None, "EUR")


def test_every_bad_cell_is_listed_when_the_whole_file_is_required() -> None:
    found = read(line(hours="-1", approved_by=""), line(source_entry_id="E2", hours="25"))
    with pytest.raises(BadInput) as told:
        require_complete(found)
    for part in ("night.csv: 2 rejected rows", "line 2, hours", "line 2, approved_by", "line 3, hours", "'25'"):
        assert part in str(told.value)


def test_a_comma_that_is_not_quoted_rejects_the_row_also_when_the_last_cell_is_blank() -> None:
    found = read(line(note="design, part two", revision=""), line(source_entry_id="E2"), "#TOTAL,2,15")
    assert [(rejection.line, rejection.column) for rejection in found.rejected] == [(2, "(row)")]
    assert "14 cells under 13 titles" in found.rejected[0].reason
    assert len(found.entries) == 1


# -- the same entry twice -------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", [{"hours": "8"}, {"note": "more"}, {"hours": "8h"}, {"revision": "01", "hours": "8"}])
def test_an_entry_with_two_contents_is_rejected_on_both_lines(other: dict[str, str]) -> None:
    found = read(line(), line(source_entry_id="E2"), line(**other))
    told = {rejection.line: rejection.reason for rejection in found.rejected if rejection.column == "source_entry_id"}
    assert list(told) == [2, 4]
    assert all("entry E1 stands on lines 2 and 4" in reason for reason in told.values())
    assert [entry.source_id for entry in found.entries] == ["E2"]


def test_broken_rows_are_rejected_and_never_count_as_repeated() -> None:
    found = read(line(hours="8h"), line(hours="8h"), line(source_entry_id=""), line(source_entry_id=""))
    assert [(rejection.line, rejection.column) for rejection in found.rejected] == [
        (2, "hours"),
        (2, "source_entry_id"),
        (3, "hours"),
        (3, "source_entry_id"),
        (4, "source_entry_id"),
        (5, "source_entry_id"),
    ]
    assert [rejection.reason for rejection in found.rejected[4:]] == ["is empty", "is empty"]
    assert (found.entries, found.repeated) == ((), ())


def test_an_entry_said_twice_in_the_same_words_is_taken_once() -> None:
    found = read(line(), line(hours="7.50", approved_at="2026-03-10T08:00Z"))
    assert ([entry.source_id for entry in found.entries], found.repeated, found.rejected) == (["E1"], (3,), ())


# -- files refused as a whole ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (",".join([*COLUMNS, "overtime"]), "unknown columns: overtime"),
        (",".join([*COLUMNS, "", "revision"]), r"unknown columns: \(no title\)"),
        (",".join(COLUMNS).replace("hours", "hours (estimated)"), r"missing columns: hours; unknown .*estimated"),
        (",".join(COLUMNS[:-1]), "missing columns: approved_at; found: source_entry_id, project_code"),
        (",".join([*COLUMNS, "hours"]), "columns given twice: hours"),
    ],
)
def test_a_wrong_header_refuses_the_file(header: str, reason: str) -> None:
    with pytest.raises(BadInput, match=f"night.csv: line 1: .*{reason}"):
        read(line(), header=header)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"PK\x03\x04rest", "workbook"),
        (b"\xff\xfeh\x00", "UTF-16"),
        (b"a,b\x00", "control character"),
    ],
)
def test_what_is_no_csv_file_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        read_time_file(content, "night.csv")


def test_ten_megabytes_are_read_and_one_byte_more_is_not() -> None:
    head = f"{','.join(COLUMNS + OPTIONAL)}\n{line()}\n".encode()
    blank_lines = (b" " * 9_999 + b"\n") * 1_100
    full = (head + blank_lines)[: 10 * 1024 * 1024]
    assert len(full) == 10 * 1024 * 1024
    assert len(read_time_file(full, "night.csv").entries) == 1
    with pytest.raises(BadInput, match="10,485,761 bytes; at most 10,485,760"):
        read_time_file(full + b"\n", "night.csv")


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda body: f"{','.join(COLUMNS)}\n{body}".encode()))
def test_any_bytes_give_a_file_or_bad_input(content: bytes) -> None:
    try:
        found = read_time_file(content, "night.csv")
    except BadInput:
        return
    lines = {rejection.line for rejection in found.rejected}
    assert found.count == len(found.entries) + len(lines) + len(found.repeated)


def test_hours_that_are_not_there_are_not_zero() -> None:
    with pytest.raises(BadInput, match="hours cannot be read on line 3"):
        read(line(), line(source_entry_id="E2", hours=""), "#TOTAL,2,8")


# -- what stands twice, and what is too much ------------------------------------------------------------------------


def test_the_same_content_under_another_id_is_taken_and_named() -> None:
    found = read(line(), line(source_entry_id="E2"), line(source_entry_id="E3", note="other"))
    assert len(found.entries) == 3
    assert [(s.line, s.value, s.reason) for s in found.suspects] == [
        (2, "E1", "has the content of another entry on line 3"),
        (3, "E2", "has the content of another entry on line 2"),
    ]


def test_a_correction_that_says_what_another_entry_says_is_compared_by_its_latest_revision() -> None:
    other = line(source_entry_id="E2", hours="4")
    assert len(read(line(hours="3"), line(hours="4", revision="2"), other).suspects) == 2
    assert read(line(hours="4"), line(hours="3", revision="2"), other).suspects == ()
    assert read(line(hours="3", revision="2"), line(hours="4"), other).suspects == ()


def test_a_day_of_25_hours_is_refused_with_all_its_rows() -> None:
    day = [line(hours="13"), line(source_entry_id="E2", hours="12", note="b"), line(source_entry_id="E3", person="bob")]
    found = read(*day)
    assert [entry.source_id for entry in found.entries] == ["E3"]
    assert [str(rejection) for rejection in found.rejected] == [
        "line 2, hours: ana has 25 hours on 2026-03-09 (lines 2 and 3); a day has 24 (found '13')",
        "line 3, hours: ana has 25 hours on 2026-03-09 (lines 2 and 3); a day has 24 (found '12')",
    ]
    assert len(read(line(hours="13"), line(source_entry_id="E2", hours="11")).entries) == 2
    corrected = [line(hours="13"), line(hours="5", revision="2"), line(source_entry_id="E2", hours="12")]
    assert len(read(*corrected).entries) == 3


def test_a_workbook_says_the_same_as_a_csv_file() -> None:
    text = "\n".join([",".join(COLUMNS + OPTIONAL), line(), "#TOTAL,1,7.5"])
    found = read_time_file(as_workbook(text), "night.xlsx", system="psa", require_totals=True)
    assert found.entries == read(line()).entries and found.controlled


# -- round trip -----------------------------------------------------------------------------------------------

words = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]) | st.sampled_from('",;\n#'), min_size=1, max_size=20
).map(lambda word: f"x{word}x")
offsets = st.integers(min_value=-14 * 60, max_value=14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
entries = st.builds(
    TimeEntry,
    source=st.just("psa"),
    source_id=words,
    revision=st.integers(min_value=1, max_value=999),
    project_code=words,
    task_code=words | st.just(""),
    person=words,
    role=words,
    service_date=st.dates(),
    hours=st.decimals(min_value=0, max_value=24, places=4),
    note=words | st.just(""),
    approved_by=words,
    approved_at=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=offsets),
    cost_rate=st.decimals(min_value=0, max_value=9999, places=6),
    cost_currency=st.sampled_from(["USD", "JPY", "KWD"]),
)


def written(rows: list[TimeEntry], line_break: str) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=line_break)
    writer.writerow(COLUMNS + OPTIONAL)
    for row in rows:
        fields = ["source_id" if title == "source_entry_id" else title for title in COLUMNS + OPTIONAL]
        cells = [getattr(row, field) for field in fields]
        writer.writerow([cell.isoformat() if isinstance(cell, date) else cell for cell in cells])
    writer.writerow(["#TOTAL", len(rows), sum((row.hours for row in rows), Decimal(0))])
    return out.getvalue().encode()


@settings(max_examples=60)
@given(
    st.lists(
        entries,
        max_size=6,
        unique_by=(lambda e: (e.source_id, e.revision), lambda e: (e.person, e.service_date)),
    ),
    st.booleans(),
)
def test_what_is_written_comes_back(rows: list[TimeEntry], windows: bool) -> None:
    content = written(rows, "\r\n" if windows else "\n")
    found = read_time_file(content, "night.csv", system="psa", require_totals=True)
    assert found.entries == tuple(rows)
    assert (found.rejected, found.repeated, found.count) == ((), (), len(rows))
    assert found.hours == sum((row.hours for row in rows), Decimal(0))
