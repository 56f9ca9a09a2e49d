"""Mapping tables: what a message loses on its way out and back, and names that the vendor no longer has."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from isthmus.app.conformance.bench import Bench
from isthmus.app.conformance.samples import arguments
from isthmus.app.conformance.verdict import expect
from isthmus.kit.connector import Connector
from isthmus.kit.drift import Broken as BrokenRow
from isthmus.kit.drift import RemoteField, broken_mappings
from isthmus.kit.executor import Connection
from isthmus.kit.loss import Loss, losses
from isthmus.kit.mapping import Table
from isthmus.kit.wire import dig

EXCLUSIVE = ("end", "effective_to")  # fields of messages that name the day after the last one


class _Anything(str):
    """Stands for whatever an input refers to, and for every field of it: what is lost does not depend on it."""

    def __getattr__(self, name: str) -> _Anything:
        return self


class _AnyRecord(dict[str, Any]):
    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> Any:
        return _Anything("1")


def messages_of(bench: Bench) -> dict[type, BaseModel]:
    """One message of each type that the connector is asked with, those inside others too."""
    found: dict[type, BaseModel] = {}
    for verb in (*bench.manifest.verbs, *bench.manifest.reads):
        for argument in arguments(verb, bench.samples, _AnyRecord(n=1)):
            for message in _inside(argument):
                found.setdefault(type(message), message)
    return found


def _inside(value: Any) -> Iterator[BaseModel]:
    if isinstance(value, BaseModel):
        yield value
        for name in type(value).model_fields:
            yield from _inside(getattr(value, name))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _inside(each)


def loss_report(bench: Bench) -> dict[str, tuple[Loss, ...]]:
    """What each table that sends something loses, by its name."""
    messages, connector = messages_of(bench), bench.kind(bench.samples.settings)
    sent = {name: table for name, table in connector.tables().items() if table.of is not None}
    return {name: losses(table, messages[table.of]) for name, table in sent.items() if table.of in messages}


def losses_are_named(bench: Bench) -> str:
    """Every field that is sent reads back as it was, or its table says that it does not (back=None).

    A table that sends something says what, by ``of``: a table without it could lose everything unseen.
    """
    unsaid = _sending_without_saying(bench)
    expect(not unsaid, f"{', '.join(unsaid)} sends something: of=… says what")
    report = loss_report(bench)
    changed = [f"{name}: {loss.told()}" for name, found in report.items() for loss in found if loss.kind == "changed"]
    expect(not changed, f"{len(changed)} fields change on the way: {changed[0] if changed else ''}")
    lost = sum(len(found) for found in report.values())
    return f"{len(report)} tables that send, {lost} fields one way or not carried, none changed"


def _sending_without_saying(bench: Bench) -> list[str]:
    """Tables of the mapping module whose out() is called, and that do not say what they send."""
    module = inspect.getmodule(bench.kind)
    known: dict[str, Table] = {}
    for each in vars(module).values() if module else ():
        if inspect.ismodule(each):
            known |= {name: table for name, table in vars(each).items() if isinstance(table, Table)}
    called = {name for path in bench.folder.glob("*.py") for name in re.findall(r"\b(\w+)\.out\(", path.read_text())}
    return sorted(name for name in called & known.keys() if known[name].of is None)


def ends_are_last_days(bench: Bench) -> str:
    """Our ends are exclusive, the vendors' are the last day: a table that sends one as it is would add a day."""
    messages, connector = messages_of(bench), bench.kind(bench.samples.settings)
    sent = []
    for name, table in connector.tables().items():
        message = messages.get(table.of) if table.of else None
        for field in table.fields:
            day = getattr(message, field.ours, None) if field.ours in EXCLUSIVE else None
            if message is not None and day is not None:
                told, last = _day_of(dig(table.out(message), field.theirs)), day - timedelta(days=1)
                expect(told.startswith(last.isoformat()), f"{name}: {field.theirs} is {told}, the last day is {last}")
                sent.append(f"{name}.{field.theirs}")
    return f"last days: {', '.join(sent) or 'none is sent by a table'}"


def _day_of(value: Any) -> str:
    """A day as ISO 8601 text, also where it is sent in its parts."""
    if isinstance(value, dict):
        return f"{value['year']:04}-{value['month']:02}-{value['day']:02}"
    return str(value)


def drift(connection: Connection, connector: Connector) -> list[BrokenRow] | None:
    """Rows of the mapping that no longer fit; None when the connector cannot read the vendor's metadata."""
    if not hasattr(connector, "describe"):
        return None
    return broken_mappings(connector.tables(), connection.describe)


def no_drift(bench: Bench) -> str:
    """The vendor's metadata knows every name of the tables; a name it does not know would be listed."""
    connection = bench.connect()
    found = drift(connection, connection.connector)
    if found is None:
        return "it reads no metadata"
    expect(not found, f"{len(found)} broken mappings: {found[0].told() if found else ''}")
    tables = {name: table for name, table in connection.connector.tables().items() if table.there and table.fields}
    for name, table in tables.items():
        gone = table.fields[0].theirs.split(".")[0]

        def without(there: str, gone: str = gone) -> dict[str, RemoteField]:
            return {field: facts for field, facts in connection.describe(there).items() if field != gone}

        expect(bool(broken_mappings({name: table}, without)), f"{name}: a field that is gone is not told")
    return f"{len(tables)} tables fit, and a field less in each would be told"
