"""Answers that are not as documented: new fields, missing fields, states nobody has heard of.

A vendor adds fields at any time: they change nothing. A field that is missing, or a state that no table knows, is an
error of the house with a plan for what happens next; it is never success, and never a bug of the connector.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, is_dataclass
from typing import Any

import httpx
import simplejson

from isthmus.app.conformance.bench import Bench, Trial, carried_out
from isthmus.app.conformance.samples import all_verbs
from isthmus.app.conformance.verdict import expect
from isthmus.app.conformance.weather import is_sign_in
from isthmus.domain.errors import IsthmusError
from isthmus.kit.executor import Connection
from isthmus.kit.manifest import Manifest
from isthmus.kit.mapping import StatusTable
from isthmus.kit.wire import decode
from isthmus.ports.verbs import spec_of

Path = tuple[str | int, ...]
NEW_FIELD = "isthmusHasNeverHeardOfThis"
SURPRISE = "a-state-of-next-year"
_OWN_STATES = re.compile(r"own_state\(\"(\w+)\"")


@dataclass
class Rewriting(httpx.BaseTransport):
    """Carries requests on and changes the JSON of the answers."""

    inner: httpx.BaseTransport
    manifest: Manifest
    change: Callable[[Any, int], Any] = lambda body, place: body
    place: int = -1

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The counterpart's answer, changed."""
        answer = self.inner.handle_request(request)
        body = decode(answer.text) if not is_sign_in(request, self.manifest) else None
        if body is None:
            return answer
        self.place += 1
        headers = {name: value for name, value in answer.headers.items() if name.lower() != "content-length"}
        content = simplejson.dumps(self.change(body, self.place), use_decimal=True).encode()
        return httpx.Response(answer.status_code, headers=headers, content=content, request=request)

    def close(self) -> None:
        """The inner transport is the counterpart's own."""


class Reader:
    """A verb asked again and again of one counterpart, each time with other answers."""

    def __init__(self, bench: Bench, verb: str) -> None:
        """verb: a read, or a write that is looked up."""
        self.bench, self.verb = bench, verb
        self.rewriting = Rewriting(bench.counterpart.transport(), bench.manifest)
        self.connection: Connection = bench.connect(transport=self.rewriting)
        self.trial: Trial = bench.prepare(verb, 1, self.connection)
        self.asks = verb.split(".")[1]
        if spec_of(all_verbs()[verb]).writes:
            carried_out(self.connection, verb, self.trial.arguments)
            self.asks = bench.manifest.verbs[verb].find

    def ask(self, change: Callable[[Any, int], Any]) -> Any:
        """What the verb makes of changed answers; an error of the house is returned, a bug is raised."""
        self.rewriting.change, self.rewriting.place = change, -1
        try:
            return getattr(self.connection, self.asks)(*self.trial.arguments)
        except IsthmusError as error:
            return error

    def bodies(self) -> list[Any]:
        """The answers as they are."""
        seen: list[Any] = []

        def keep(body: Any, place: int) -> Any:
            seen.append(body)
            return body

        self.ask(keep)
        return seen


def new_fields(bench: Bench, verb: str) -> str:
    """Every object of every answer has a field more: nothing changes."""
    reader = Reader(bench, verb)
    plain = reader.ask(lambda body, _: body)
    added = reader.ask(lambda body, _: _with_new_fields(body))
    expect(plain == added, f"{verb}: with a field more in each answer {added!r} instead of {plain!r}")
    return f"the same with {NEW_FIELD} everywhere"


def missing_fields(bench: Bench, verb: str) -> str:
    """Each field of each answer is missing in turn: the same result, or an error with a plan; never a bug."""
    reader = Reader(bench, verb)
    plain = reader.ask(lambda body, _: body)
    tried = errors = 0
    for place, body in enumerate(reader.bodies()):
        for path in _paths(body):
            tried += 1
            found = reader.ask(lambda b, at, p=path, where=place: _without(b, p) if at == where else b)  # type: ignore[misc]
            errors += isinstance(found, IsthmusError)
            if not isinstance(found, IsthmusError):
                expect(type(found) is type(plain) or found is None, f"{verb} without {path}: {found!r}")
    return f"{tried} fields missing in turn, {errors} of them an error, none a bug"


def unknown_states(bench: Bench) -> str:
    """A state that no table knows, wherever one stands in an answer: for each table some verb says so.

    A value that looks like a state may be something else, and a verb may load what it does not read, so each place
    proves nothing by itself; a table whose unknown states no verb ever notices is one that guesses.
    """
    tables = status_tables(bench)
    noticed: dict[str, bool] = {}
    for verb in (*bench.manifest.verbs, *bench.manifest.reads):
        bench.reset()
        for name, seen in _states_noticed(Reader(bench, verb), tables).items():
            noticed[name] = noticed.get(name, False) or seen
    unmet = sorted({table.name for table in tables} - set(noticed))
    expect(not unmet, f"no answer has a state of {', '.join(unmet)}: put one into a record of samples.toml")
    passed = sorted(name for name, seen in noticed.items() if not seen)
    expect(not passed, f"a new state of {', '.join(passed)} passes without a word")
    return f"{len(noticed)} state tables met, each refuses what it does not know"


def _states_noticed(reader: Reader, tables: list[StatusTable]) -> dict[str, bool]:
    noticed: dict[str, bool] = {}
    for place, body in enumerate(reader.bodies()):
        for path, value in _values(body):
            for table in (t for t in tables if isinstance(value, str) and value in t.rows):
                found = reader.ask(lambda b, at, p=path, w=place: _replaced(b, p, SURPRISE) if at == w else b)  # type: ignore[misc]
                told = isinstance(found, IsthmusError) or bool(getattr(found, "unreadable", ()))
                noticed[table.name] = noticed.get(table.name, False) or told
    return noticed


def status_tables(bench: Bench) -> list[StatusTable]:
    """The state tables of the connector: of its manifest, of its mapping, and those its settings hold."""
    module = inspect.getmodule(bench.kind)
    members = {**vars(module)} if module else {}
    for each in [value for value in members.values() if inspect.ismodule(value)]:
        members |= vars(each)
    connector = bench.kind(bench.samples.settings)
    declared = [StatusTable(f"{bench.name} {kind}", rows) for kind, rows in bench.manifest.states.items()]
    code = "\n".join(path.read_text() for path in bench.folder.glob("*.py"))
    declared += [StatusTable(f"{bench.name} {name}", connector.setting(name)) for name in _OWN_STATES.findall(code)]
    found = {id(table): table for table in declared}
    for value in members.values():
        for table in _held(value):
            if isinstance(table, StatusTable):
                found[id(table)] = table
    return list(found.values())


def _held(value: Any) -> Iterable[Any]:
    """A value of a module, or what is in it: tables may stand in a mapping or in what a base class is given."""
    if isinstance(value, dict):
        return value.values()
    return vars(value).values() if is_dataclass(value) and not isinstance(value, type | StatusTable) else [value]


def _with_new_fields(body: Any) -> Any:
    if isinstance(body, dict):
        # Records keyed by their ids are a list in another form: a key more would be a record more.
        keyed = all(str(name).isdigit() for name in body)
        added = {} if keyed else {NEW_FIELD: {"since": 2027}}
        return {name: _with_new_fields(value) for name, value in body.items()} | added
    return [_with_new_fields(each) for each in body] if isinstance(body, list) else body


def _paths(body: Any, under: Path = ()) -> Iterator[Path]:
    """The place of every field; of a list, its first element stands for all."""
    if isinstance(body, dict):
        for name, value in body.items():
            yield (*under, name)
            yield from _paths(value, (*under, name))
    elif isinstance(body, list) and body:
        yield from _paths(body[0], (*under, 0))


def _values(body: Any, under: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(body, dict | list):
        for name, value in body.items() if isinstance(body, dict) else enumerate(body):
            yield from _values(value, (*under, name))
    else:
        yield under, body


def _without(body: Any, path: Path) -> Any:
    first, *rest = path
    if isinstance(body, dict):
        if not rest:
            return {name: value for name, value in body.items() if name != first}
        return {name: _without(value, tuple(rest)) if name == first else value for name, value in body.items()}
    return [_without(value, tuple(rest)) if place == first else value for place, value in enumerate(body)]


def _replaced(body: Any, path: Path, by: Any) -> Any:
    if not path:
        return by
    first, *rest = path
    if isinstance(body, dict):
        return {name: _replaced(value, tuple(rest), by) if name == first else value for name, value in body.items()}
    return [_replaced(value, tuple(rest), by) if place == first else value for place, value in enumerate(body)]
