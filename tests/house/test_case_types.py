"""The table of case types is complete and fits the code: every type the code opens, every option, every correction."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_type_hints

import pytest
from pydantic import BaseModel

from isthmus.desk.cases import CHECKS, EFFECTS
from isthmus.desk.options import LOOK_UPS
from isthmus.desk.types import SEVERITIES, CaseType, action_of, all_types, type_of, verbs_with_edits
from isthmus.policies.authority import QUEUES
from isthmus.ports import PORTS
from isthmus.ports.verbs import spec_of
from tests.house.test_shape import opened

ROOT = Path(__file__).resolve().parents[2]
TYPES = all_types()


def test_every_case_the_code_opens_has_a_row() -> None:
    assert sorted(opened() - set(TYPES)) == [], "add the type to isthmus/desk/case_types.toml"


@pytest.mark.parametrize("exception", TYPES)
def test_a_row_speaks_of_things_that_exist(exception: str) -> None:
    kind: CaseType = TYPES[exception]
    assert kind.queue in QUEUES and kind.severity in SEVERITIES and kind.title and kind.about
    for action in kind.actions.values():
        for one in action.fields:
            if one.options and not one.options.startswith("context:"):
                assert one.options in LOOK_UPS
        if action.rule:
            assert action.second in ("never", "money"), "what always takes two persons cannot become a rule"


def test_what_is_checked_or_carried_out_is_an_action_of_its_type() -> None:
    assert [key for key in {**CHECKS, **EFFECTS} if key[1] not in type_of(key[0]).actions] == []


def test_a_type_nobody_has_listed_still_has_a_form() -> None:
    kind = type_of("EX-SOMETHING-NEW")
    assert (kind.title, kind.severity) == ("Something new", "normal")
    assert action_of("EX-SOMETHING-NEW", "retry").label == "Try again"
    assert action_of("EX-SOMETHING-NEW", "choose_again").label == "Choose again"


def field_at(model: type[BaseModel], path: str) -> Any:
    """The annotation of the field under a path; KeyError when there is none."""
    name, _, rest = path.partition(".")
    annotation = model.model_fields[name].annotation
    if not rest:
        return annotation
    return str if annotation == dict[str, str] else field_at(annotation, rest)  # type: ignore[arg-type]


@pytest.mark.parametrize("verb", verbs_with_edits())
def test_what_may_be_corrected_is_a_text_of_the_message_and_not_its_key(verb: str) -> None:
    port, _, name = verb.partition(".")
    declared = getattr(PORTS[port], name)
    assert spec_of(declared).writes
    message = next(hint for given, hint in get_type_hints(declared).items() if given != "return")
    for path in verbs_with_edits()[verb]:
        assert field_at(message, path) is str, f"{verb}: {path}"


def test_the_page_of_the_api_tells_what_each_action_asks_for() -> None:
    lines = (ROOT / "docs/lookup/api.md").read_text().splitlines()
    told = dict[tuple[str, str], str]()
    for line in (line for line in lines if line.startswith("| EX-")):
        exception, action, values = (cell.strip() for cell in line.strip("|").split("|"))
        told[exception, action] = values
    asked = {
        (exception, action): form.fields
        for exception, kind in TYPES.items()
        for action, form in kind.actions.items()
        if form.fields
    }
    assert asked.keys() == told.keys() - {("EX-CCY", "add")}
    for key, fields in asked.items():
        assert all(field.name in told[key] for field in fields), key
