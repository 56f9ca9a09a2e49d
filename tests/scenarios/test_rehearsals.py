"""Every scenario file in examples/, played as a firm would rehearse its own terms: all expectations in it are met."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from isthmus.app.rehearsal import read_script, rehearse
from isthmus.app.rehearsal.script import parse_script
from isthmus.domain.errors import BadInput

FOLDER = Path(__file__).parents[2] / "examples" / "scenarios"
FILES = sorted(FOLDER.glob("*.toml"))


@pytest.fixture(autouse=True)
def own_server(pg_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rehearsals make their throwaway databases on the server of this test process."""
    monkeypatch.setenv("ISTHMUS_DATABASE_URL", pg_server.replace("+psycopg", ""))


def _claimed(path: Path) -> list[pytest.MarkDecorator]:
    """The scenario a file or its variant plays, by the file's name: shown when all its files are."""
    number = re.match(r"sc(\d+)", path.stem)
    return [pytest.mark.requirement(f"SC-{number[1]}")] if number else []


@pytest.mark.parametrize("path", [pytest.param(path, marks=_claimed(path), id=path.stem) for path in FILES])
def test_a_scenario_meets_its_expectations(path: Path) -> None:
    outcome = rehearse(read_script(path))
    assert outcome.failures == []
    assert any(act.do == "expect" for act in read_script(path).acts), "a scenario that expects nothing shows nothing"


def test_an_expectation_that_is_not_met_is_told_with_its_day_and_amount() -> None:
    content = tomllib.loads((FOLDER / "sc22b-before-acceptance.toml").read_text())
    next(act for act in content["acts"] if act["do"] == "expect")["parts"]["ready"] = "331.00"
    failures = rehearse(parse_script(content, "changed")).failures
    assert [f for f in failures if "net ready is 330.00, not 331.00" in f]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: c["contracts"][0].update(currency=5), "currency"),
        (lambda c: c["contracts"][0]["lines"][0]["rates"][0].update(bill_rate=1.5), "a float is not an amount"),
        (lambda c: c["acts"].reverse(), "acts stand in order of time"),
        (lambda c: c["acts"][0].update(version=7), "version 7 is handed in, but not in [[contracts]]"),
        (lambda c: c["acts"][1].update(hourss=1), "hourss"),
        (lambda c: c["contracts"][0].update(client_no="C-9"), "names client 'C-9'"),
        (lambda c: c["entities"][0].update(tax_rates={"S": "21"}), "21 % is written 0.21"),
    ],
    ids=["type", "float", "order", "unknown version", "unknown field", "unknown client", "tax rate"],
)
def test_a_mistake_in_a_script_is_named_with_its_place(change, told) -> None:  # type: ignore[no-untyped-def]
    content = tomllib.loads((FOLDER / "sc22b-before-acceptance.toml").read_text())
    change(content)
    with pytest.raises(BadInput, match=r"problem|names") as refused:
        parse_script(content, "script.toml")
    assert told in refused.value.message


EXPECT = {"on": date(2026, 12, 31), "do": "expect"}
PAY = {"on": date(2026, 12, 31), "do": "payment", "id": "P"}


@pytest.mark.parametrize(
    ("act", "told"),
    [
        ({**EXPECT, "parts": {}}, "of which contract?"),
        ({**EXPECT, "contract": "K-9", "parts": {}}, "'K-9' is not one of: K-1"),
        ({**EXPECT, "contract": "K-1", "parts": {"redy": "0"}}, "'redy' is not one of"),
        ({**EXPECT, "contract": "K-1", "sources": {"E1": {"redy": "0"}}}, "'redy' is not one of"),
        ({**EXPECT, "contract": "K-1", "retainer": [{"usd": "0"}]}, "'usd' is not one of"),
        ({**EXPECT, "erp": {"invoice": 0}}, "'invoice' is not one of"),
        ({**EXPECT, "events": {"invoice.issue": 0}}, "'invoice.issue' is not one of"),
        ({**EXPECT, "invoices": [{"lines": [{"nett": "0"}]}]}, "'nett' is not one of"),
        ({**EXPECT, "period": {"entity": "US01", "period": "2026-03", "revenu USD": "0"}}, "'revenu USD' is no total"),
        ({**EXPECT, "period": {"entity": "XX", "period": "March"}}, "'March' is no month"),
        ({**PAY, "applies": {"first": "1.00"}}, "'first' is no number"),
        ({**PAY, "applies": {}}, "names the invoices it is for"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_expectation_under_a_name_that_nothing_has_is_refused_not_met(act: dict[str, Any], told: str) -> None:
    content = tomllib.loads((FOLDER / "sc22b-before-acceptance.toml").read_text())
    content["acts"].append(act)
    with pytest.raises(BadInput, match="problem") as refused:
        parse_script(content, "script.toml")
    assert told in refused.value.message
