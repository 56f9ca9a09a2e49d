"""The envelope of events, against the text of CloudEvents 1.0."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from isthmus.domain.events import EVENT_TYPES, Event

REQUIRED = {"id", "source", "specversion", "type"}
OPTIONAL = {"datacontenttype", "dataschema", "subject", "time", "data"}


def event(**changes: Any) -> Event:
    facts: dict[str, Any] = {
        "event_id": "invoice:I-1/3",
        "type": "invoice.posted",
        "occurred_at": datetime(2026, 3, 31, 22, 0, tzinfo=UTC),
        "aggregate": "invoice:I-1",
        "sequence": 3,
        "correlation_id": "contract:C-1",
        "actor": "hub",
        "payload": {"total": "570.84", "currency": "USD"},
    }
    return Event.model_validate({**facts, **changes})


def test_it_has_every_attribute_cloudevents_requires_and_each_is_a_text() -> None:
    envelope = event().cloudevent()
    assert set(envelope) >= REQUIRED
    for name in set(envelope) - {"data"}:
        assert isinstance(envelope[name], str) and envelope[name], name
    assert envelope["specversion"] == "1.0"
    assert envelope["type"] == "isthmus.invoice.posted.v1"
    assert envelope["data"] == {"total": "570.84", "currency": "USD"}


def test_names_are_lower_case_letters_and_digits_as_the_standard_says() -> None:
    for name in event().cloudevent():
        assert re.fullmatch(r"[a-z0-9]{1,20}", name), name
    assert REQUIRED | OPTIONAL | {"correlationid", "sequence"} >= set(event().cloudevent())


def test_its_time_is_rfc_3339_with_an_offset() -> None:
    stamp = datetime.fromisoformat(event().cloudevent()["time"])
    assert stamp == datetime(2026, 3, 31, 22, 0, tzinfo=UTC) and stamp.utcoffset() is not None


def test_id_and_sequence_tell_two_events_of_one_aggregate_apart() -> None:
    one, two = event().cloudevent(), event(event_id="invoice:I-1/4", sequence=4).cloudevent()
    assert (one["source"], one["id"]) != (two["source"], two["id"])
    assert one["subject"] == two["subject"] and (one["sequence"], two["sequence"]) == ("3", "4")


def test_another_schema_version_is_another_type() -> None:
    assert event(schema_version=2).cloudevent()["type"] == "isthmus.invoice.posted.v2"


def test_it_is_json_and_cannot_be_changed_or_extended() -> None:
    assert json.loads(json.dumps(event().cloudevent())) == event().cloudevent()
    with pytest.raises(ValidationError):
        event().sequence = 4  # type: ignore[misc]
    with pytest.raises(ValidationError):
        event(mood="good")


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_a_type_is_a_thing_and_what_happened_to_it_and_says_what_it_means(name: str) -> None:
    assert re.fullmatch(r"[a-z_]+\.[a-z_]+", name)
    assert len(EVENT_TYPES[name].split()) >= 3 and not EVENT_TYPES[name].endswith(".")
