"""Records as the record service shows them: references with links, sublists folded unless asked for."""

from __future__ import annotations

from typing import Any

from isthmus.sandbox.base import Record
from isthmus.sandbox.netsuite.ledger import Ledger
from isthmus.sandbox.netsuite.schema import Field, RecordType
from isthmus.sandbox.netsuite.shapes import link


def instance(
    root: str, ledger: Ledger, record_type: RecordType, record: Record, expand: bool, only: set[str] | None
) -> Record:
    """One record. root is the URL of the record service; only limits the fields."""
    url = f"{root}/{record_type.name}/{record['id']}"
    shown: Record = {"links": link(url)}
    for name, value in record.items():
        if name.startswith("_") or (only is not None and name not in only):
            continue
        made = record_type.fields.get(name)
        if made is not None and made.kind == "lines":
            shown[name] = sublist(root, ledger, made, value, f"{url}/{name}", expand)
        else:
            shown[name] = _field(root, ledger, made, value)
    return shown


def sublist(root: str, ledger: Ledger, made: Field, lines: list[Record], url: str, expand: bool) -> Record:
    """A sublist: a link only, or its lines."""
    folded: Record = {"links": link(url)}
    if not expand:
        return folded
    items = []
    for number, line in enumerate(lines, start=1):
        key = line.get("line") or line.get("id") or number
        fields = {
            name: _field(root, ledger, made.lines.get(name), value)
            for name, value in line.items()
            if not name.startswith("_")
        }
        items.append({"links": link(f"{url}/{key}"), **fields})
    size = len(items)
    return folded | {"count": size, "hasMore": False, "items": items, "offset": 0, "totalResults": size}


def _field(root: str, ledger: Ledger, made: Field | None, value: Any) -> Any:
    if made is None or made.kind != "ref" or not isinstance(value, dict):
        return value
    target = next((t for t in made.targets if ledger.get(t, value["id"]) is not None), made.targets[0])
    return {"links": link(f"{root}/{target}/{value['id']}"), **value}
