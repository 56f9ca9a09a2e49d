"""Drift: what the mapping tables name and the vendor no longer has, told before a run meets it.

A connector that can read the vendor's metadata has ``describe(there)``: a verb that returns the fields of an object
there. Names in tables that are not among them, or cannot be written though a table sends them, are broken mappings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from isthmus.kit.mapping import Table

Described = dict[str, "RemoteField"]


@dataclass(frozen=True)
class RemoteField:
    """A field as the vendor describes it. writable: a write may set it."""

    writable: bool = True


@dataclass(frozen=True)
class Broken:
    """A row of a mapping table that no longer fits."""

    table: str
    ours: str
    theirs: str
    why: str

    def told(self) -> str:
        """In words, with what to do."""
        return f"{self.table}: {self.ours} is {self.theirs} there: {self.why}; change the table or the setting"


def broken_mappings(tables: Mapping[str, Table], describe: Callable[[str], Mapping[str, RemoteField]]) -> list[Broken]:
    """Rows that no longer fit. describe: the fields of an object there; each object is asked for once.

    A dotted path is judged by its first step: what lies behind it is another object.
    """
    known = {there: describe(there) for there in dict.fromkeys(table.there for table in tables.values()) if there}
    found = []
    for name, table in tables.items():
        fields = known.get(table.there)
        for row in table.fields if fields is not None else ():
            remote = fields.get(row.theirs.split(".")[0]) if fields else None
            if remote is None:
                found.append(Broken(name, row.ours, row.theirs, f"{table.there} has no such field"))
            elif table.of is not None and not remote.writable:
                found.append(Broken(name, row.ours, row.theirs, f"{table.there} does not let it be written"))
    return found
