"""Mapping tables: what they lose on the way out and back, and names that are gone over there."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import BadInput
from isthmus.domain.objects import Project
from isthmus.kit.drift import RemoteField, broken_mappings
from isthmus.kit.loss import losses
from isthmus.kit.mapping import CLOCK, DAY, NEGATED, Field, Table, clock_to_hours

PROJECT = Project(
    project_code="P-1",
    name="Data platform",
    contract_no="K-1",
    contract_version=1,
    client_no="C-1",
    entity="US01",
    currency="USD",
    start=date(2026, 3, 1),
    budget=Decimal("120000.50"),
)


def told(*fields: Field) -> dict[str, str]:
    return {loss.field: loss.kind for loss in losses(Table(*fields, of=Project), PROJECT)}


def test_what_survives_what_is_one_way_and_what_is_not_carried() -> None:
    found = told(
        Field("project_code", "code"),
        Field("name", "info.title"),
        Field("start", "from", *DAY),
        Field("budget", "money", out=str, back=Decimal),
        Field("currency", "cur", back=None),
        Field("end", "to", *DAY),
    )
    assert found == {
        "currency": "one way",
        "contract_no": "not carried",
        "contract_version": "not carried",
        "client_no": "not carried",
        "entity": "not carried",
    }


@pytest.mark.parametrize(
    "field",
    [
        Field("start", "from", out=lambda day: day.isoformat()),  # reads back as text
        Field("budget", "money", out=int, back=Decimal),  # loses cents
        Field("name", "title", out=str.upper),
        Field("budget", "money", out=str, back=lambda text: Decimal(text[:3])),
        Field("start", "from", *DAY[:1], back=lambda text: date.fromisoformat(text + "x")),  # fails
    ],
)
def test_a_field_that_reads_back_as_something_else_is_a_mistake(field: Field) -> None:
    assert told(field)[field.ours] == "changed"


@given(st.decimals(0, 24, places=4))
def test_pairs_undo_each_other_for_whole_minutes(hours: Decimal) -> None:
    minutes = Decimal(int(hours * 60))
    whole = (minutes / 60).quantize(Decimal("0.0001"))
    assert CLOCK[1](CLOCK[0](whole)) == whole
    assert NEGATED[1](NEGATED[0](True)) is True
    assert DAY[1](DAY[0](date(2026, 2, 28))) == date(2026, 2, 28) == DAY[1]("2026-02-28T23:00:00Z")


def test_what_is_no_clock_is_told() -> None:
    for text in ("7.5", "seven", "", "7:"):
        with pytest.raises(BadInput, match="no time such as 7:30"):
            clock_to_hours(text)


def test_a_name_that_is_gone_or_cannot_be_written_is_listed_before_a_run_meets_it() -> None:
    asked: list[str] = []

    def describe(there: str) -> dict[str, RemoteField]:
        asked.append(there)
        return {"code": RemoteField(), "sum": RemoteField(writable=False), "Parent": RemoteField()}

    sent = Table(Field("project_code", "code"), Field("budget", "sum"), Field("name", "title"), of=Project, there="Job")
    only_read = Table(Field("budget", "sum"), Field("parent", "Parent.No"), there="Job")
    elsewhere = Table(Field("x", "y"))
    found = broken_mappings({"SENT": sent, "READ": only_read, "ELSE": elsewhere}, describe)
    assert [(row.table, row.ours, row.why) for row in found] == [
        ("SENT", "budget", "Job does not let it be written"),
        ("SENT", "name", "Job has no such field"),
    ]
    assert asked == ["Job"], "each object is asked for once"
    assert "title there: Job has no such field; change the table or the setting" in found[1].told()


def test_tables_of_a_firm_keep_what_they_are_about() -> None:
    table = Table(Field("a", "A"), Field("b", "B"), of=Project, there="Job")
    for other in (
        table.extended({"c": "C"}),
        table.renamed({"a": "X", "b": ""}),
        table.changed(Field("a", "Z"), Field("d", "D")),
        table.replaced({"e": "E"}),
    ):
        assert (other.of, other.there) == (Project, "Job")
    assert [(f.ours, f.theirs) for f in table.changed(Field("a", "Z"), Field("d", "D")).fields] == [
        ("a", "Z"),
        ("b", "B"),
        ("d", "D"),
    ]


def test_a_row_is_named_by_our_field_alone_or_with_its_converters() -> None:
    named = Table(of=Project, there="jobs", name="title", start=("from", *DAY), template=("pattern", str, None))
    assert named == Table(
        Field("name", "title"),
        Field("start", "from", *DAY),
        Field("template", "pattern", out=str, back=None),
        of=Project,
        there="jobs",
    )
    first = Table(Field("name", "title"), end="until")
    assert [field.ours for field in first.fields] == ["name", "end"], "fields come before rows"
