"""Whether two names are one person's: how one's own name is written makes nobody else of it."""

from __future__ import annotations

import pytest

from isthmus.domain.names import same_person

ONE = [
    ("bianca", "Bianca"),
    ("bianca", "  bianca "),
    ("bianca", "ｂｉａｎｃａ"),
    ("bianca", "bian\u200bca"),
    ("ana lopez", "Ana\u00a0 Lopez"),
    ("zoë", "zoe\u0308"),
    ("straße", "STRASSE"),
]


@pytest.mark.parametrize(("one", "other"), ONE, ids=[ascii(other) for _, other in ONE])
def test_another_spelling_of_a_name_is_the_same_person(one: str, other: str) -> None:
    assert same_person(one, other) and same_person(other, one)


def test_other_people_are_other_people_and_nobody_is_nobody() -> None:
    assert not same_person("bianca", "blanca")
    assert not same_person("zoë", "zoe"), "an accent is a letter of the name"
    assert not same_person("", "") and not same_person("", "bianca") and not same_person("\u200b", "")
