"""The form of each action of a case, made from its type: fields with options, what was sent, who else must agree."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

from isthmus.desk.options import LOOK_BACK, Option, options_for
from isthmus.desk.types import Action, FormField, action_of, correctable
from isthmus.domain.objects import LegalEntity, Project
from isthmus.store.records import Case
from isthmus.store.tx import Tx

SAME = "left empty, it stays in each case as it is"


@dataclass(frozen=True)
class FieldView:
    """One field as people see it. value: what it holds now; required: an action cannot do without it.

    aside: it may be corrected too, but the refusal does not speak of it.
    """

    name: str
    label: str
    kind: str
    options: tuple[Option, ...] = ()
    hint: str = ""
    value: str = ""
    required: bool = True
    aside: bool = False


@dataclass(frozen=True)
class FormView:
    """The form of one action."""

    action: str
    label: str
    says: str
    tone: str
    rule: bool
    fields: tuple[FieldView, ...] = field(default=())


def forms_of(tx: Tx, case: Case) -> list[FormView]:
    """A form for every action the case offers, in its order."""
    return [form_of(tx, case, action) for action in case.actions]


def form_of(tx: Tx, case: Case, action: str) -> FormView:
    """The form of one action."""
    known = action_of(case.exception, action)
    fields = _sent(tx, case) if known.edits else _asked(tx, case, known)
    return FormView(action, known.label, known.says, known.tone, known.rule, tuple(fields))


def forms_for_many(tx: Tx, sample: Case) -> list[FormView]:
    """The forms for cases of one cause. What was sent differs from case to case: a correction says only what is the
    same for all, and a field left empty stays in each case as it is.
    """
    return [
        replace(form, fields=tuple(replace(one, value="", required=True, hint=one.hint or SAME) for one in form.fields))
        if action_of(sample.exception, form.action).edits
        else form
        for form in forms_of(tx, sample)
    ]


def names_of(case: Case, action: str) -> tuple[str, ...]:
    """The names of the values an action needs; none for one that corrects, where each is optional."""
    known = action_of(case.exception, action)
    return tuple(name for one in known.fields for name in _names(case, one))


def _names(case: Case, one: FormField) -> list[str]:
    return [str(name) for name in case.context.get(one.each, ())] if one.each else [one.name]


def _asked(tx: Tx, case: Case, known: Action) -> list[FieldView]:
    views = []
    for one in known.fields:
        for name in _names(case, one):
            options = tuple(options_for(tx, case, one.options, name))
            kind = "text" if one.kind in ("choice", "client") and not options else one.kind
            views.append(FieldView(name, one.label or words(name), kind, options, one.hint))
    return views


def _sent(tx: Tx, case: Case) -> list[FieldView]:
    """What was sent and may be corrected; the fields the other system complained about come first."""
    possible, sent = sorted(correctable_paths(tx, case)), case.context.get("sent", {})
    named = [path for path in possible if complained(case, path)]
    paths = named + [path for path in possible if path not in named]
    return [
        FieldView(
            path,
            words(path.removeprefix("dimensions.")),
            "pick" if path.startswith("dimensions.") else "text",
            tuple(options_for(tx, case, "dimension_values", path.removeprefix("dimensions.")))
            if path.startswith("dimensions.")
            else (),
            value=value_at(sent, path),
            hint="the other system asks for this" if path in named else "",
            required=False,
            aside=bool(named) and path not in named,
        )
        for path in paths
    ]


def complained(case: Case, path: str) -> bool:
    """True when the other system complained about this field of ours, by its name or in its own words."""
    name = path.rpartition(".")[2].replace("_", " ")
    told = f"{case.context.get('field', '')} {case.context.get('words', '')}".replace("_", " ")
    return re.search(rf"\b{re.escape(name)}\b", told, re.IGNORECASE) is not None


def correctable_paths(tx: Tx, case: Case) -> set[str]:
    """Paths of the refused write that may be corrected, dimensions written out."""
    paths = set(correctable(str(case.context.get("verb", ""))))
    if "dimensions.*" in paths:
        paths.remove("dimensions.*")
        paths |= {f"dimensions.{name}" for name in _dimensions(tx, case)}
    return paths


def _dimensions(tx: Tx, case: Case) -> set[str]:
    """Dimensions that were sent, that the legal entity requires, or that its other projects have."""
    entity = tx.get(LegalEntity, case.entity)
    projects = tx.find(Project, entity=case.entity, order=("-project_code",), limit=LOOK_BACK)
    used = {name for project in projects for name, value in project.dimensions.items() if value}
    return {*case.context.get("sent", {}).get("dimensions", {}), *(entity.dimensions_required if entity else ()), *used}


def value_at(sent: dict[str, Any], path: str) -> str:
    """The value under a path; empty when there is none."""
    inner: Any = sent
    for name in path.split("."):
        inner = inner.get(name) if isinstance(inner, dict) else None
    return "" if inner is None else str(inner)


def words(name: str) -> str:
    """cost_center as 'Cost center', address.city as 'Address: city'."""
    told = name.replace("_", " ").replace(".", ": ")
    return told[:1].upper() + told[1:]
