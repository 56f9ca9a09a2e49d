"""What a person may change about a write that was refused: some of its facts, never its key; or leave it out.

The decision names the step (seq) and the thing (key) it is about, so it changes that one write and no later one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_type_hints

from pydantic import BaseModel, ValidationError

from isthmus.domain.errors import BadInput
from isthmus.domain.objects import ExternalRef
from isthmus.ports.verbs import spec_of

EDIT, SKIP = "edit", "skip"


def short_of(args: Sequence[Any]) -> dict[str, Any]:
    """The facts of a write that a person may look at and correct: no lists, which may be thousands of lines."""
    sent = args[0] if args else None
    facts = sent.model_dump(mode="json") if isinstance(sent, BaseModel) else {}
    return {name: value for name, value in facts.items() if not isinstance(value, list)}


def edited(verb: Callable[..., Any], args: tuple[Any, ...], decision: Mapping[str, Any]) -> tuple[Any, ...]:
    """The arguments as the decision wants them; as they were when it is about something else.

    changes: values by path, such as {"dimensions.region": "EMEA"}. BadInput when they do not fit, or touch the key.
    """
    key = spec_of(verb).key
    assert key is not None
    if decision.get("action") != EDIT or key(*args) != decision.get("key"):
        return args
    changed = (with_changes(args[0], decision.get("changes", {})), *args[1:])
    if key(*changed) != decision["key"]:
        raise BadInput(f"{decision['key']}: an edit may not change what the write is about")
    return changed


def with_changes(sent: BaseModel, changes: Mapping[str, Any]) -> BaseModel:
    """The same message with other values at these paths. BadInput says which value does not fit."""
    facts = sent.model_dump(mode="python")
    for path, value in changes.items():
        inner, *names = facts, *path.split(".")
        for name in names[:-1]:
            inner = inner.setdefault(name, {}) if isinstance(inner, dict) else {}
        inner[names[-1]] = value
    try:
        return type(sent).model_validate(facts)
    except ValidationError as wrong:
        told = "; ".join(f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in wrong.errors())
        raise BadInput(f"the edit does not fit: {told}") from wrong


def may_be_skipped(verb: Callable[..., Any]) -> bool:
    """True for a write whose answer is only a reference: nothing later needs what it would have said."""
    return get_type_hints(verb).get("return") is ExternalRef


def left_out(verb: Callable[..., Any], system: str) -> ExternalRef:
    """What stands for the answer of a write that a person has left out."""
    assert may_be_skipped(verb), f"{spec_of(verb).name} cannot be left out: what it answers is needed"
    return ExternalRef(system=system, object_type="left out", external_id="")
