"""The base of a connector to records that live at an address made of the hub's own key.

A write there is an upsert, so none can double, and a look-up reads the record itself, so no index can be behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from isthmus.domain.objects import ExternalRef
from isthmus.kit.connector import Connector
from isthmus.kit.keys import from_external_id, revision_of, to_external_id
from isthmus.kit.wire import Answer, Request, Row, Verb, record_of


def by_id(internal_id: Any) -> dict[str, str]:
    """A reference, in a body, to another record by internal id."""
    return {"id": str(internal_id)}


def by_external_id(key: str) -> dict[str, str]:
    """A reference, in a body, to the record the hub has put under this key."""
    return {"externalId": to_external_id(key)}


def id_of(reference: Mapping[str, Any]) -> str:
    """The internal id of a reference, undoing by_id."""
    return str(reference["id"])


def key_of(reference: Mapping[str, Any]) -> str:
    """The hub's key of a reference, undoing by_external_id."""
    return from_external_id(reference["externalId"])


# In pairs for mapping tables, out and back.
BY_ID = (by_id, id_of)
BY_KEY = (by_external_id, key_of)


class KeyedConnector(Connector):
    """Subclasses say where the record of a key is."""

    write_headers: ClassVar[Mapping[str, str]] = {}

    def path_of(self, kind: str, key: str) -> str:
        """The address of the record under our key."""
        raise NotImplementedError

    def put_record(self, kind: str, key: str, body: Row, **query: str) -> Verb[ExternalRef]:
        """Create or change the record under our key. Its internal id is the end of the Location the answer names."""
        answer = yield Request("PUT", self.path_of(kind, key), query=query, json=body, headers=self.write_headers)
        return self.ref(kind, answer.headers["Location"].rstrip("/").rsplit("/", 1)[-1])

    def put_and_read(self, kind: str, key: str, body: Row, **query: str) -> Verb[Row]:
        """As put_record; the answer is the record as it is there afterwards."""
        yield from self.put_record(kind, key, body, **query)
        answer: Answer = yield Request("GET", self.path_of(kind, key))
        record: Row = answer.body
        return record

    def held(self, kind: str, key: str) -> Verb[Row | None]:
        """The record under our key; None when there is none."""
        answer: Answer = yield Request("GET", self.path_of(kind, key), allow=(404,))
        return None if answer.status == 404 else record_of(answer)

    def under(self, setting: str, values: Mapping[str, str]) -> Row:
        """Values under the fields that a setting names for them; what it does not name is left out."""
        fields = self.setting(setting)
        return {fields[name]: value for name, value in values.items() if name in fields}

    def referred(self, setting: str, key: str) -> Row:
        """A reference to the record a setting names for a key of ours, else to the one with it as external id."""
        known = self.setting(setting).get(key)
        return by_id(known) if known else by_external_id(key)

    def chosen(self, **settings: str) -> Row:
        """References by field, to the ids the firm has set; a setting left empty leaves its field out."""
        ids = {field: self.setting(name) for field, name in settings.items()}
        return {field: by_id(chosen) for field, chosen in ids.items() if chosen}

    def find_record(self, kind: str, key: str, holds: Callable[[Row], bool] = bool) -> Verb[ExternalRef | None]:
        """The record under our key, if it is there and this holds of it."""
        record = yield from self.held(kind, key)
        return self.ref(kind, record["id"]) if record and holds(record) else None

    def find_revision(self, kind: str, key: str, revision: int, text_field: str) -> Verb[ExternalRef | None]:
        """The record under our key, if its text says this revision or a later one; version says which."""
        record = yield from self.held(kind, key)
        held = revision_of(record.get(text_field), key) if record else 0
        return self.ref(kind, record["id"], str(held)) if record and held >= revision else None
