"""What a connector's samples.toml says, and the inputs of its verbs made from it: plain data, references filled in."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from isthmus.domain.errors import BadInput, NeedsSetup
from isthmus.domain.objects import ExternalRef
from isthmus.ports import PORTS
from isthmus.ports.verbs import VerbSpec, spec_of

INPUTS = Path(__file__).with_name("inputs.toml")
_REFERENCE = re.compile(r"\{(\w[\w.]*)\}")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Seed(_Strict):
    """One record that people have put in over there. named: how later records and inputs refer to it."""

    collection: str
    record: dict[str, Any]
    named: str = Field(default="", alias="as")


class VerbSample(_Strict):
    """What one verb needs beyond the common inputs.

    before: verbs that come first (given: instead of the common ones). seed: records put in after those. inputs: changes
    of the common inputs, for this verb only. rows: how many rows a list holds at least.
    """

    before: tuple[str, ...] | None = None
    seed: tuple[Seed, ...] = ()
    inputs: dict[str, Any] = Field(default_factory=dict)
    rows: int = 1


class Variant(_Strict):
    """The connector set otherwise, so that some writes go another way. settings: changes of the sample firm's."""

    verbs: tuple[str, ...]
    settings: dict[str, Any]


class Samples(_Strict):
    """How the suite meets one connector. auth: by kind, each credential as text in which {name} stands for one the
    sandbox gives out and {url} for its address. seed: put in once for each trial, or once when no {n} is in it.
    uncounted: collections of the sandbox that hold no business records, such as a feed of changes. outcomes: how many
    unknown outcomes of each write the test run makes, where the other side is real and takes its time. variants: by
    name, writes that go another way where the firm has set the connector otherwise; the suite tries those once more.
    """

    counterpart: str = ""
    base_path: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    auth: dict[str, dict[str, str]]
    seed: tuple[Seed, ...] = ()
    inputs: dict[str, Any] = Field(default_factory=dict)
    verbs: dict[str, VerbSample] = Field(default_factory=dict)
    variants: dict[str, Variant] = Field(default_factory=dict)
    uncounted: tuple[str, ...] = ()
    outcomes: int = 1000


def read_samples(folder: Path) -> Samples:
    """The samples.toml of a connector's folder. NeedsSetup names the key that is wrong, or that the file is missing."""
    path = folder / "samples.toml"
    try:
        samples = Samples.model_validate(tomllib.loads(path.read_text()))
    except FileNotFoundError as missing:
        raise NeedsSetup(f"{folder.name}/samples.toml is missing: see docs/extend/connector.md") from missing
    except (ValidationError, tomllib.TOMLDecodeError) as wrong:
        raise NeedsSetup(f"{folder.name}/samples.toml: {wrong}") from wrong
    unknown = [verb for verb in samples.verbs if verb not in all_verbs()]
    if unknown:
        raise NeedsSetup(f"{folder.name}/samples.toml: no port has the verb {', '.join(unknown)}")
    return samples


@cache
def common_inputs() -> dict[str, Any]:
    """inputs.toml."""
    return tomllib.loads(INPUTS.read_text())


@cache
def all_verbs() -> dict[str, Callable[..., Any]]:
    """Every verb of every port, by ``Port.verb``."""
    return {
        f"{port}.{name}": member
        for port, protocol in PORTS.items()
        for name, member in vars(protocol).items()
        if hasattr(member, "__verb__")
    }


def verbs_of(port: str) -> dict[str, VerbSpec]:
    """The declarations of a port, by name without the port."""
    return {name.split(".")[1]: spec_of(verb) for name, verb in all_verbs().items() if name.split(".")[0] == port}


def before(verb: str, samples: Samples, ports: Collection[str]) -> tuple[str, ...]:
    """The verbs that come first: those the connector names, else the common ones of the ports it fills."""
    own = samples.verbs[verb].before if verb in samples.verbs else None
    if own is not None:
        return own
    return tuple(earlier for earlier in common_inputs()["before"].get(verb, ()) if earlier.split(".")[0] in ports)


def arguments(verb: str, samples: Samples, known: Mapping[str, Any]) -> tuple[Any, ...]:
    """The arguments of a verb, made from the common inputs, the connector's changes and what is known in this trial.

    BadInput when nobody has said what a message of this type looks like.
    """
    member = all_verbs()[verb]
    hints = get_type_hints(member)
    names = [name for name in inspect.signature(member).parameters if name != "self"]
    own = samples.verbs[verb].inputs if verb in samples.verbs else {}
    changes = merged(merged(common_inputs()["verbs"].get(verb, {}), samples.inputs), own)
    return tuple(_argument(verb, name, hints[name], changes, known) for name in names)


def _argument(verb: str, name: str, hint: Any, changes: Mapping[str, Any], known: Mapping[str, Any]) -> Any:
    common = common_inputs()
    key, given = (name, common["arguments"]) if hint is str else (getattr(hint, "__name__", str(hint)), common)
    if key not in given and key not in changes:
        raise BadInput(f"{verb}: no common input says what {key} looks like: add it to {INPUTS.name}")
    value, changed = given.get(key, {}), changes.get(key, {})
    whole = merged(value, changed) if isinstance(value, Mapping) and isinstance(changed, Mapping) else changed or value
    return TypeAdapter(hint).validate_python(filled(whole, known))


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Tables merged at every depth; any other value of the second replaces the first's."""
    both = dict(under)
    for key, value in over.items():
        deeper = isinstance(value, Mapping) and isinstance(both.get(key), Mapping)
        both[key] = merged(both[key], value) if deeper else value
    return both


def filled(value: Any, known: Mapping[str, Any]) -> Any:
    """A value with every {reference} filled in; a text that is nothing but one reference becomes what it refers to."""
    if isinstance(value, Mapping):
        return {filled(key, known): filled(inner, known) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [filled(inner, known) for inner in value]
    if not isinstance(value, str):
        return value
    alone = _REFERENCE.fullmatch(value)
    if alone:
        return _referred(alone[1], known)
    return _REFERENCE.sub(lambda found: str(_referred(found[1], known)), value)


def references(value: Any) -> set[str]:
    """Names that a value refers to, at any depth: of "{client.Id}" it is client."""
    if isinstance(value, Mapping):
        value = [inner for pair in value.items() for inner in pair]
    if isinstance(value, list | tuple):
        return set().union(*map(references, value))
    return {path.split(".")[0] for path in _REFERENCE.findall(value)} if isinstance(value, str) else set()


def _referred(path: str, known: Mapping[str, Any]) -> Any:
    """What {name.field.0} stands for; a reference to an object over there is its id."""
    first, *rest = path.split(".")
    if first not in known:
        raise BadInput(f"{{{path}}}: nothing here is named {first}; known: {', '.join(known)}")
    found = known[first]
    for step in rest:
        if isinstance(found, Mapping):
            found = found[step]
        elif isinstance(found, list | tuple):
            found = found[int(step)]
        else:
            found = getattr(found, step)
    found = getattr(found, "ref", found)
    return found.external_id if isinstance(found, ExternalRef) else found
