"""Canonical objects: immutable, strict about what they are given, keyed by the business."""

from __future__ import annotations

import inspect
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from isthmus.domain import objects
from isthmus.domain.errors import BadInput
from isthmus.domain.objects import BillableItem, Canonical, Rate, TimeEntry
from tests.policies.builders import contract, entry, line

CANONICAL = [
    cls
    for _, cls in inspect.getmembers(objects, inspect.isclass)
    if issubclass(cls, Canonical) and cls is not Canonical
]
BERLIN_MORNING = datetime.fromisoformat("2026-03-10T09:00:00+01:00")


@pytest.mark.parametrize("cls", CANONICAL, ids=lambda cls: cls.__name__)
def test_no_field_of_a_canonical_object_can_be_changed_or_invented(cls: type[Canonical]) -> None:
    thing = cls.model_construct()
    for name in cls.model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(thing, name, "changed")
    with pytest.raises(ValidationError, match="extra_forbidden"):
        cls.model_validate({"no_such_field": 1})


def test_a_new_version_leaves_the_old_one_as_it_was() -> None:
    first = contract(line("L1"))
    second = first.model_copy(update={"version": 2, "po_number": "PO-9"})
    assert (first.version, first.po_number, first.key) == (1, "", "C-1@1")
    assert second.key == "C-1@2"
    assert first.line("L1").line_uid == "L1"
    with pytest.raises(BadInput, match="C-1@1 has no line L9"):
        first.line("L9")


HOURS = [
    ("a whole day", "24", True),
    ("nothing, which takes an entry back", "0", True),
    ("four decimals", "7.3333", True),
    ("trailing zeros beyond four decimals", "7.50000", True),
    ("a minute more than a day", "24.0167", False),
    ("less than nothing", "-0.0001", False),
    ("five decimals", "7.33333", False),
    ("not a number", "eight", False),
    ("infinite", "Infinity", False),
    ("a float", 7.5, False),
    ("a comma", "7,5", False),
]


@pytest.mark.parametrize(("hours", "good"), [h[1:] for h in HOURS], ids=[h[0] for h in HOURS])
def test_the_hours_of_an_entry(hours: Any, good: bool) -> None:
    if good:
        assert entry(hours=hours).hours == Decimal(str(hours))
    else:
        with pytest.raises((BadInput, ValidationError)):
            entry(hours=hours)


@pytest.mark.parametrize(
    "missing", ["source", "source_id", "project_code", "person", "role", "service_date", "approved_by", "approved_at"]
)
def test_an_entry_without_a_required_fact_is_refused(missing: str) -> None:
    facts = entry().model_dump(exclude={missing})
    with pytest.raises(ValidationError, match=missing):
        TimeEntry.model_validate(facts)


def test_an_approval_without_offset_is_refused_because_later_approvals_win() -> None:
    with pytest.raises(BadInput, match="offset"):
        entry(approved_at=datetime(2026, 3, 10, 9))
    assert entry(approved_at=BERLIN_MORNING).approved_at == datetime(2026, 3, 10, 8, tzinfo=UTC)


def test_an_entry_keeps_its_key_over_all_its_revisions() -> None:
    assert entry(revision=1).key == entry(revision=2).key == "psa:E-1"


@given(st.decimals("0", "24", places=4))
def test_an_entry_survives_json_to_the_last_digit(hours: Decimal) -> None:
    before = entry(hours=hours)
    after = TimeEntry.model_validate_json(before.model_dump_json())
    assert after == before and str(after.hours) == str(before.hours)


@pytest.mark.parametrize(
    ("day", "covered"),
    [("2026-02-28", False), ("2026-03-01", True), ("2026-03-31", True), ("2026-04-01", False)],
    ids=["the day before", "the first day", "the last day", "the end is not included"],
)
def test_a_rate_covers_a_half_open_window(day: str, covered: bool) -> None:
    rate = Rate(role="x", bill_rate="1", effective_from=date(2026, 3, 1), effective_to=date(2026, 4, 1))
    assert rate.covers(date.fromisoformat(day)) is covered


def test_evidence_with_a_net_its_currency_cannot_hold_is_refused() -> None:
    facts: dict[str, Any] = {
        "item_id": "i",
        "source_key": "s",
        "revision": 1,
        "contract_no": "C-1",
        "contract_version": 1,
        "line_uid": "L1",
        "project_code": "P-1",
        "service_date": "2026-03-09",
        "entry_quantity": "1",
        "entry_net": "10.5",
        "quantity": "1",
        "unit_price": "10.5",
        "net": "10.5",
    }
    assert BillableItem.model_validate({**facts, "currency": "USD"}).net == Decimal("10.5")
    with pytest.raises(BadInput, match="0 decimals"):
        BillableItem.model_validate({**facts, "currency": "JPY"})
