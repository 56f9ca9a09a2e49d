"""A call to the portal's API, and what handlers share: the view of a record, paging, the body.

Modelled from the vendor's published material; not certified.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.datastructures import QueryParams

from isthmus.sandbox.base import Record
from isthmus.sandbox.hubspot.errors import Refused, invalid
from isthmus.sandbox.hubspot.schema import ObjectType
from isthmus.sandbox.hubspot.store import Source

if TYPE_CHECKING:
    from isthmus.sandbox.hubspot.portal import HubspotSandbox

LIMIT_MAX = 100


@dataclass
class Call:
    """One call. parts: what stands in the places of the path; source: who calls, as events name it."""

    method: str
    path: str
    params: QueryParams
    raw: bytes
    parts: Mapping[str, str]
    source: Source
    base_url: str

    def document(self) -> dict[str, Any]:
        """The JSON object of the body."""
        made = self._json(b"{}")
        if not isinstance(made, dict):
            raise invalid("Invalid input JSON: an object is expected")
        return made

    def listing(self) -> list[dict[str, Any]]:
        """The JSON list of objects of the body."""
        made = self._json(b"[]")
        if not isinstance(made, list) or not all(isinstance(one, dict) for one in made):
            raise invalid("Invalid input JSON: a list of objects is expected")
        return made

    def _json(self, otherwise: bytes) -> Any:
        try:
            return json.loads(self.raw or otherwise)
        except ValueError as wrong:
            raise Refused(400, f"Invalid input JSON on line 1, column 1: {wrong}") from None

    def listed(self, name: str) -> list[str]:
        """A parameter that is a list: repeated, or with commas."""
        return [each for text in self.params.getlist(name) for each in text.split(",") if each]

    def truth(self, name: str) -> bool:
        """A parameter that is yes or no; clients write True in more than one way."""
        return self.params.get(name, "").lower() == "true"

    def limit(self, default: int = 10, most: int = LIMIT_MAX) -> int:
        """How many results a page has."""
        text = self.params.get("limit", str(default))
        if not text.isdigit() or not 0 < int(text) <= most:
            raise invalid(f"limit must be between 1 and {most}")
        return int(text)


Answer = tuple[int, Any]
Handler = Callable[["HubspotSandbox", Call], Answer]


def view(kind: ObjectType, record: Record, wanted: list[str], properties: dict[str, str] | None = None) -> Record:
    """A record as the API shows it: asked-for properties that are empty are null, unknown ones are left out."""
    held = record["properties"] if properties is None else properties
    names = [name for name in wanted if kind.find(name)] or list(kind.shown)
    names = sorted({*names, *kind.system})
    shown = {
        "id": record["id"],
        "properties": {name: held.get(name) or None for name in names},
        "createdAt": record["createdAt"],
        "updatedAt": held.get(kind.modified) or record["updatedAt"],
        "archived": record["archived"],
    }
    return {**shown, "archivedAt": record["archivedAt"]} if record["archived"] else shown


def whole(kind: ObjectType, record: Record) -> Record:
    """A record as a write answers it: every property that has a value."""
    return view(kind, record, [name for name, value in record["properties"].items() if value])


def paged(rows: list[Any], after: str | None, limit: int, link: str) -> dict[str, Any]:
    """One page of rows; after is the place of its first row."""
    start = int(after) if after and after.isdigit() else 0
    if after and not after.isdigit():
        raise invalid(f"after: {after} is no cursor of this list")
    body: dict[str, Any] = {"results": rows[start : start + limit]}
    if start + limit < len(rows):
        place = str(start + limit)
        joint = "&" if "?" in link else "?"
        body["paging"] = {"next": {"after": place, "link": f"{link}{joint}after={place}&limit={limit}"}}
    return body
