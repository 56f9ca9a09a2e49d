"""What somebody says of another system's objects, and whether they may: the same for messages and for files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from isthmus.app.firm import ConnectionConfig
from isthmus.domain.objects import Engagement, TimeEntry
from isthmus.runtime.books import Books
from isthmus.runtime.gate import Gate
from isthmus.store.tx import Tx

Answer = dict[str, Any]


@dataclass(frozen=True)
class Said:
    """What a message says: facts about objects of one kind. keep: how they are taken in; returns new and known ids."""

    obj: str
    fields: tuple[str, ...]
    projects: tuple[str, ...]
    keep: Callable[[Books], Answer]
    entries: tuple[TimeEntry, ...] = ()


def check_owner(gate: Gate, tx: Tx, writer: str, said: Said) -> None:
    """The write gate, for every legal entity the message speaks of; entities are only looked up when a rule asks."""
    entities = {""}
    if said.projects and any(rule.object == said.obj and rule.entity != "*" for rule in gate.rules):
        entities |= {found.entity for found in tx.find(Engagement, project_code=said.projects)}
    for entity in sorted(entities):
        gate.check(writer=writer, obj=said.obj, fields=said.fields, entity=entity)


def source_of(connection: ConnectionConfig) -> str:
    """The source in the keys of what a connection reports: the system's name, as its own change capture gives it.

    By webhook, sweep or file the same entry must have the same key, or it would be billed twice.
    """
    return connection.connector
