"""The conformance suite over every connector under isthmus/connectors, with no test code of any single one.

The promises and how they are tried are in isthmus/app/conformance; `isthmus connector check NAME` runs the same. How a
connector is met at its sandbox is told by its samples.toml (docs/extend/connector.md).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

import isthmus.connectors
from isthmus.app.bootstrap import CONNECTORS
from isthmus.app.conformance import doubt
from isthmus.app.conformance.bench import Bench
from isthmus.app.conformance.suite import SUITE, Check
from isthmus.kit.manifest import load
from tests.connectors.conftest import figures
from tests.end_of_run import DOUBTS

ROOT = Path(isthmus.connectors.__file__).parent
DOCS = ROOT.parents[1] / "docs" / "connect"
OUTCOMES = int(os.environ.get("ISTHMUS_OUTCOMES", "50"))  # unknown outcomes per verb
OF_A_RELEASE = 1000


@lru_cache
def bench_of(name: str, variant: str = "") -> Bench:
    return Bench(name, variant)


def variants(name: str) -> list[str]:
    """The connector as it is, and set otherwise."""
    return ["", *bench_of(name).samples.variants]


def _trials() -> list[Any]:
    """Every connector, every promise, everything it is tried on."""
    return [
        pytest.param(
            *(name, variant, check, subject),
            id="-".join(part for part in (name, variant, check.name, subject) if part),
            marks=[pytest.mark.timeout(900)] if bench_of(name).counterpart.real else [],  # it takes its time
        )
        for name in CONNECTORS
        for variant in variants(name)
        for check in SUITE
        for subject in check.subjects(bench_of(name, variant))
    ]


@pytest.mark.parametrize(("name", "variant", "check", "subject"), _trials())
def test_a_connector_keeps_its_promise(name: str, variant: str, check: Check, subject: str) -> None:
    bench = bench_of(name, variant)
    if check.sandbox:
        bench.reset()
    print(f"{name} {subject}: {check.run(bench, subject) if subject else check.run(bench)}")


def _writes() -> list[Any]:
    """Every write of every connector; one that goes another way in a variant, in each of them."""
    return [
        pytest.param(name, variant, verb, id="-".join(filter(None, (name, variant, verb))))
        for name in CONNECTORS
        for variant in variants(name)
        for verb in bench_of(name, variant).only or load(ROOT / name).verbs
    ]


@pytest.mark.slow
@pytest.mark.timeout(0)  # seconds on an idle machine, minutes on a busy one; it ends by the number of its writes
@pytest.mark.parametrize(("name", "variant", "verb"), _writes())
def test_many_unknown_outcomes_leave_no_duplicate_and_lose_nothing(
    name: str, variant: str, verb: str, record_property: Callable[[str, object], None]
) -> None:
    """A thousand per verb; fewer in `make test`, fewest at a real server. The end of the run shows them all."""
    began = time.process_time()
    bench = bench_of(name, variant)
    bench.reset()
    outcomes = OUTCOMES if OUTCOMES >= OF_A_RELEASE else min(OUTCOMES, bench.samples.outcomes)
    doubts = doubt.many_doubts(bench, verb, outcomes)
    shown = f"{verb} ({variant})" if variant else verb
    record_property(DOUBTS, [name, shown, *figures(doubts), round(time.process_time() - began, 1)])
    print(f"{name} {verb}: {doubts.told()}")
    assert (doubts.duplicates, doubts.lost, doubts.problems) == (0, 0, [])
    assert doubts.outcomes >= outcomes and doubts.look_ups > 0


@pytest.mark.parametrize("name", CONNECTORS)
def test_every_setting_and_credential_is_documented(name: str) -> None:
    page = (DOCS / f"{name}.md").read_text()
    auth = load(ROOT / name).auth
    named = {*bench_of(name).kind.settings_known, *auth.credentials, *auth.optional}
    assert [each for each in sorted(named) if each not in page] == [], "undocumented"
