"""Business keys in a vendor's fields: they come back as they were, and what is not ours is left alone."""

from __future__ import annotations

import pytest

from isthmus.domain.errors import BadInput
from isthmus.kit.keys import (
    from_external_id,
    revision_of,
    source_id,
    task_codes,
    task_key,
    to_external_id,
    to_revision_text,
)


@pytest.mark.parametrize("key", ["kantata:123#1", "INV-2026-0001", "C_1", "Zürich/7 | a", ""])
def test_a_key_survives_as_external_id(key: str) -> None:
    safe = to_external_id(key)
    assert set(safe) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
    assert from_external_id(safe) == key


@pytest.mark.parametrize("foreign", ["A_4112", "X_FF", "plain"])
def test_an_external_id_of_others_is_left_alone(foreign: str) -> None:
    assert from_external_id(foreign) == foreign


def test_the_tasks_of_a_project_are_those_with_its_key() -> None:
    keys = [task_key("P-1", "T1"), task_key("P-10", "T2"), task_key("P-1", "T:3"), "other"]
    assert task_codes("P-1", keys) == ("T1", "T:3")


def test_a_key_of_another_system_has_no_id_here() -> None:
    assert source_id("kantata:12:3", "kantata") == "12:3"
    for foreign in ("netsuite:12", "kantata:", "kantata", ""):
        with pytest.raises(BadInput, match="not one of kantata"):
            source_id(foreign, "kantata")


def test_a_revision_is_read_to_its_end() -> None:
    assert to_revision_text("kantata:123", 2, "") == "kantata:123#2"
    assert revision_of(to_revision_text("kantata:123", 12, "Workshop"), "kantata:123") == 12
    assert revision_of("kantata:1234#1", "kantata:123") == 0
    assert revision_of("kantata:123#1x", "kantata:123") == 0
    assert revision_of(None, "kantata:123") == 0
