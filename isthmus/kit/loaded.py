"""Records that come side by side in one answer, each once, under its collection and id.

    {"results": [{"key": "stories", "id": "7"}], "stories": {"7": {...}}, "users": {"3": {...}}}

results says which of them the answer is about; the others are what those refer to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isthmus.domain.errors import BadInput
from isthmus.kit.wire import Row


class Loaded:
    """The records of any number of answers."""

    def __init__(self) -> None:
        self._records: dict[str, dict[str, Row]] = {}

    def take(self, body: Mapping[str, Any]) -> list[Row]:
        """Keep every record of an answer; those it is about, in its order."""
        for name, value in body.items():
            if isinstance(value, dict) and name != "meta":
                self._records.setdefault(name, {}).update(value)
        return [body[result["key"]][result["id"]] for result in body["results"]]

    def all(self, collection: str) -> Mapping[str, Row]:
        """Every record of a collection by id."""
        return self._records.get(collection, {})

    def one(self, collection: str, record_id: Any, what: str) -> Row:
        """The record with this id. BadInput, in our words for it, when it did not come."""
        found = self.all(collection).get(str(record_id))
        if found is None:
            raise BadInput(f"its {what} {record_id} cannot be read")
        return found
