"""docs/lookup/api.md lists every endpoint as the API describes itself now."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from isthmus.app.api.access import ROUTES

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_api", ROOT / "scripts" / "docs_api.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_the_page_is_what_the_script_makes(script: ModuleType) -> None:
    assert script.PAGE.read_text() == script.page(), "run python scripts/docs_api.py"


def test_every_endpoint_has_its_row_with_what_it_must_be_asked_with(script: ModuleType) -> None:
    text = script.PAGE.read_text()
    for route in ROUTES:
        assert text.count(f"| `{route}` |") == 1
    spec = script.described()
    assert sum(len(methods) for methods in spec["paths"].values()) == len(ROUTES)
    bill = next(line for line in text.splitlines() if line.startswith("| `POST /v1/billing-runs`"))
    assert "**`contract_no`**, **`cutoff`**, **`name`**, `dry_run`" in bill
