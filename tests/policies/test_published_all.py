"""Every case of the collection of published cases: worked out to the figure, or named as a later one with the reason.

A clone has only the cases of published.toml and published_b.toml, with their sources. Where the collection itself lies
beside the repository (shared/cases/published.json) its figures are held against them.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.policies import test_published, test_published_b

WORKED = {**test_published.CASES, **test_published_b.CASES}
CALCULATED = {**test_published.WORKED, **test_published_b.WORKED}
# Recognising revenue is a subject of its own: these say when revenue is earned, not what is billed.
LATER = {
    "R01": "modification: cumulative catch-up with a variable bonus",
    "R04": "modification: blended rate of hours that are not distinct",
    "R06": "modification: catch-up up and down",
    "R08": "modification: priced and unpriced change orders, claim and settlement",
    "R10": "progress by cost, uninstalled materials left out",
    "R12": "progress by hours with a revised estimate",
    "R13": "right to invoice: revenue of a month that is invoiced in the next",
    "R16": "provision for a contract that will lose",
    "R17": "expected value of a bonus",
    "R20": "contract liability and receivable of a non-cancellable advance",
    "R22": "contract asset until both parts are delivered",
    "R26": "price allocated by stand-alone prices, discount to a part",
}
OURS = {"CH"}  # published by a vendor, not in the collection


def collection() -> list[dict[str, Any]] | None:
    """The collection, when it lies beside the repository."""
    for folder in Path(__file__).resolve().parents:
        place = folder / "shared" / "cases" / "published.json"
        if place.is_file():
            found: list[dict[str, Any]] = json.loads(place.read_text())
            return found
    return None


def test_every_case_is_worked_out_or_named_as_a_later_one() -> None:
    assert len(WORKED) == len(test_published.CASES) + len(test_published_b.CASES) and not set(WORKED) & set(LATER)
    for case, told in WORKED.items():
        expected = {name: Decimal(number) for name, number in told["expected"].items()}
        assert CALCULATED[case](**told["given"]) == expected, case
    print(f"\npublished cases: {len(WORKED)} worked out ({', '.join(sorted(WORKED))}), {len(LATER)} later:")
    for case, why in LATER.items():
        print(f"  {case}  {why}")


def test_the_collection_has_no_other_case_and_no_other_figure() -> None:
    found = collection()
    if found is None:
        pytest.skip("the collection (shared/cases/published.json) does not lie beside this repository")
    assert {case["id"] for case in found} == (set(WORKED) | set(LATER)) - OURS
    for case in found:
        if case["id"] in WORKED:
            ours = {Decimal(number) for number in WORKED[case["id"]]["expected"].values()}
            theirs = {Decimal(number) for number in case["expected"].values()}
            assert theirs <= ours, f"{case['id']}: {theirs - ours} is not worked out"
    worked = sum(case["id"] in WORKED for case in found)
    print(f"\ncollection: {len(found)} cases, {worked} worked out to the figure, {len(found) - worked} later")
