"""Types of cases as data: the shipped table, and what stands for a type nobody has listed."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

Severity = Literal["critical", "high", "normal", "low"]
SEVERITIES: tuple[Severity, ...] = ("critical", "high", "normal", "low")
FieldKind = Literal["text", "choice", "pick", "client", "amounts"]
Second = Literal["never", "money", "always", "matrix", "prepared"]
Tone = Literal["primary", "quiet", "danger"]


class Strict(BaseModel):
    """Base of what is read from data files."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FormField(Strict):
    """One field of a form. each: a field for every entry of that list in the context, named after the entry."""

    name: str = ""
    each: str = ""
    label: str = ""
    kind: FieldKind = "text"
    options: str = ""
    hint: str = ""

    @model_validator(mode="after")
    def _one_of_both(self) -> FormField:
        if bool(self.name) == bool(self.each):
            raise ValueError("a field has a name, or stands for each entry of a list")
        if self.kind in ("choice", "pick", "client", "amounts") and not self.options:
            raise ValueError(f"{self.name or self.each}: where do its options come from?")
        return self


class Action(Strict):
    """What a person may choose. second: when another person must approve. rule: may become a rule. edits: the form
    shows what was sent and may be corrected.
    """

    label: str
    says: str = ""
    fields: tuple[FormField, ...] = ()
    second: Second = "never"
    rule: bool = False
    tone: Tone = "primary"
    edits: bool = False


class CaseType(Strict):
    """See case_types.toml."""

    title: str
    about: str = ""
    queue: str = "integration"
    severity: Severity = "normal"
    group_by: tuple[str, ...] = ()
    adds: tuple[str, ...] = ()
    actions: dict[str, Action] = {}


class _Table(Strict):
    common: dict[str, Action]
    types: dict[str, CaseType]
    edits: dict[str, tuple[str, ...]]


@cache
def _table() -> _Table:
    text = resources.files("isthmus.desk").joinpath("case_types.toml").read_text(encoding="utf-8")
    return _Table.model_validate(tomllib.loads(text))


def all_types() -> dict[str, CaseType]:
    """Every listed type by its exception."""
    return dict(_table().types)


def type_of(exception: str) -> CaseType:
    """The type of an exception; one that is not listed is called by its own name and decided as it is."""
    return _table().types.get(exception) or CaseType(title=_in_words(exception.removeprefix("EX-")))


def action_of(exception: str, action: str) -> Action:
    """What an action of a case is called and asks for: the type's own, else the common one, else its bare name."""
    own = type_of(exception).actions.get(action) or _table().common.get(action)
    return own or Action(label=_in_words(action), says="The run goes on with this decision.")


def correctable(verb: str) -> tuple[str, ...]:
    """Paths of a refused write's facts that may be corrected; dimensions.* is every dimension."""
    return _table().edits.get(verb, ())


def verbs_with_edits() -> dict[str, tuple[str, ...]]:
    """All writes that may be corrected."""
    return dict(_table().edits)


def _in_words(name: str) -> str:
    words = name.replace("-", " ").replace("_", " ").strip().lower()
    return words[:1].upper() + words[1:] if words else "A case"


def facts_of(context: dict[str, Any]) -> dict[str, str]:
    """The context's plain values as texts, lists joined: what grouping, rules and suggestions compare."""
    plain = {}
    for name, value in context.items():
        if isinstance(value, list | tuple):
            plain[name] = ", ".join(str(one) for one in value if not isinstance(one, dict | list))
        elif not isinstance(value, dict):
            plain[name] = str(value)
    return plain
