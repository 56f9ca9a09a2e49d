"""The record service: collections, instances, upserts, transforms, each as one call without HTTP around it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from starlette.responses import Response

from isthmus.sandbox.base import Record
from isthmus.sandbox.netsuite import catalog, transforms, views
from isthmus.sandbox.netsuite.books import Books, check_external_id
from isthmus.sandbox.netsuite.filters import compile_filter
from isthmus.sandbox.netsuite.intake import Intake
from isthmus.sandbox.netsuite.ledger import Ledger
from isthmus.sandbox.netsuite.schema import RecordType, named
from isthmus.sandbox.netsuite.shapes import (
    REST,
    Refusal,
    answer,
    empty,
    link,
    page,
    page_bounds,
    parse,
    render,
    unexpected,
)

MAX_BATCH = 100
_SELECT_OPTIONS = "type=select-options"


@dataclass(frozen=True)
class Call:
    """One request to the record service; parts are the URL segments after /record/v1."""

    method: str
    parts: tuple[str, ...]
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes
    base: str

    @property
    def root(self) -> str:
        """URL of the record service."""
        return f"{self.base}{REST}/record/v1"

    def wants(self, preference: str) -> bool:
        """True when the Prefer header names the preference."""
        return preference in self.headers.get("prefer", "").replace(" ", "").lower().split(",")


class RecordService:
    """Everything under /record/v1."""

    def __init__(self, ledger: Ledger, books: Books) -> None:
        self.ledger = ledger
        self.books = books

    def serve(self, call: Call) -> Response:
        """Answer one synchronous call, or raise Refusal."""
        parts = call.parts
        if parts and parts[0] == "metadata-catalog":
            return self._metadata(call)
        record_type = named(parts[0]) if parts else None
        if record_type is None:
            name = parts[0] if parts else ""
            raise Refusal(404, "NOT_FOUND", f"Record type {name!r} does not exist.", url=name)
        if call.method in ("GET", "POST", "PATCH") and _SELECT_OPTIONS in call.headers.get("accept", ""):
            fields = [name for name in call.query.get("fields", "").split(",") if name]
            return answer(catalog.select_options(self.ledger, record_type, fields))
        if len(parts) == 1:
            return self._collection(call, record_type)
        if len(parts) == 2:
            return self._instance(call, record_type, parts[1])
        if parts[2] == "!transform" and len(parts) == 4 and call.method == "POST":
            return self._transform(call, record_type)
        if len(parts) == 3 and call.method == "GET":
            return self._sublist(call, record_type)
        raise unexpected(404)

    def split_batch(self, call: Call) -> list[Call]:
        """The single calls a batch stands for. The vendor runs a batch only asynchronously."""
        body = parse(call.body)
        items = body.get("items") if isinstance(body, dict) else None
        if call.method == "DELETE" and call.query.get("id"):
            items = [{"id": record_id} for record_id in call.query["id"].split(",")]
        if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
            raise Refusal(400, "INVALID_CONTENT", "The request body must have an items array.", path="items")
        if len(items) > MAX_BATCH:
            text = f"A batch holds at most {MAX_BATCH} records, not {len(items)}."
            raise Refusal(400, "INVALID_CONTENT", text, path="items")
        return [_single(call, item) for item in items]

    # -- collection --------------------------------------------------------------------------------------------
    def _collection(self, call: Call, record_type: RecordType) -> Response:
        if call.method == "GET":
            return self._list(call, record_type)
        if call.method != "POST":
            text = f"{call.method} on a record collection is a batch and needs the header Prefer: respond-async."
            raise Refusal(400, "INVALID_HEADER", text, header="Prefer")
        intake = _intake(self.ledger, call)
        values = intake.clean(record_type, parse(call.body))
        record = self.books.create(record_type, values)
        return self._written(call, record_type, record, intake)

    def _list(self, call: Call, record_type: RecordType) -> Response:
        limit, offset = page_bounds(call.query)
        q = call.query.get("q")
        test = compile_filter(record_type, q) if q else None
        found = [i for i, record in self.ledger.all(record_type.name) if test is None or test(record)]
        found.sort(key=int)
        url = f"{call.root}/{record_type.name}"
        items = [{"links": link(f"{url}/{i}"), "id": i} for i in found[offset : offset + limit]]
        asked = {"q": q} if q else {}
        return answer(page(url, asked, items, len(found), limit, offset))

    # -- instance ----------------------------------------------------------------------------------------------
    def _instance(self, call: Call, record_type: RecordType, key: str) -> Response:
        if call.method == "PUT":
            return self._upsert(call, record_type, key)
        record = self._find(record_type, key)
        if call.method == "GET":
            expand = call.query.get("expandSubResources", "").lower() == "true"
            only = {name for name in call.query.get("fields", "").split(",") if name} or None
            return answer(views.instance(call.root, self.ledger, record_type, record, expand, only))
        if call.method == "DELETE":
            self.books.remove(record_type, record)
            return empty(204)
        if call.method == "PATCH":
            intake = _intake(self.ledger, call)
            values = intake.clean(record_type, parse(call.body))
            record = self.books.update(record_type, record, values, _replaced(call))
            return self._written(call, record_type, record, intake)
        raise _not_allowed(call.method)

    def _upsert(self, call: Call, record_type: RecordType, key: str) -> Response:
        if not key.startswith("eid:"):
            text = "PUT is supported with an external id only: use eid:<external id>."
            raise Refusal(400, "INVALID_REQUEST", text, url=key)
        external_id = check_external_id(key[4:])
        intake = _intake(self.ledger, call)
        values = intake.clean(record_type, parse(call.body)) | {"externalId": external_id}
        known = self.ledger.by_external(record_type.name, external_id)
        before = self.ledger.get(record_type.name, known) if known else None
        if before is None:
            record = self.books.create(record_type, values)
        else:
            record = self.books.update(record_type, before, values, _replaced(call))
        return self._written(call, record_type, record, intake)

    def _sublist(self, call: Call, record_type: RecordType) -> Response:
        record = self._find(record_type, call.parts[1])
        made = record_type.fields.get(call.parts[2])
        if made is None or made.kind != "lines":
            raise unexpected(404)
        url = f"{call.root}/{record_type.name}/{record['id']}/{made.name}"
        lines = record.get(made.name) or []
        shown = views.sublist(call.root, self.ledger, made, lines, url, expand=True)
        if call.query.get("expandSubResources", "").lower() != "true":
            shown["items"] = [{"links": line["links"]} for line in shown["items"]]
        return answer(shown)

    def _transform(self, call: Call, record_type: RecordType) -> Response:
        record = self._find(record_type, call.parts[1])
        target = named(call.parts[3])
        if target is None:
            raise Refusal(404, "NOT_FOUND", f"Record type {call.parts[3]!r} does not exist.", url=call.parts[3])
        start = transforms.starting_point(self.ledger, record_type, record, target)
        intake = _intake(self.ledger, call)
        values = intake.clean(target, parse(call.body) or {})
        for name in _replaced(call) & values.keys():
            start.pop(name, None)
        made = self.books.create(target, values, start)
        return self._written(call, target, made, intake)

    def _find(self, record_type: RecordType, key: str) -> Record:
        found: str | None = key
        if key.startswith("eid:"):
            found = self.ledger.by_external(record_type.name, check_external_id(key[4:]))
        record = self.ledger.get(record_type.name, found) if found else None
        if record is None:
            raise unexpected(404)
        return record

    def _written(self, call: Call, record_type: RecordType, record: Record, intake: Intake) -> Response:
        # The name of the header that carries warnings is not published; this is the standard one.
        headers = {"Warning": f'299 - "{intake.warnings[0]}"'} if intake.warnings else None
        return empty(204, f"{call.root}/{record_type.name}/{record['id']}", headers)

    def _metadata(self, call: Call) -> Response:
        if call.method != "GET":
            raise _not_allowed(call.method)
        accept = call.headers.get("accept", "")
        media = next((m for m in ("application/swagger+json", "application/schema+json") if m in accept), None)
        selected = [name for name in call.query.get("select", "").split(",") if name]
        if len(call.parts) == 2:
            record_type = named(call.parts[1])
            if record_type is None:
                raise Refusal(404, "NOT_FOUND", f"Record type {call.parts[1]!r} does not exist.")
            if media == "application/swagger+json":
                return answer(catalog.open_api(call.root, [record_type.name]), media_type=media)
            schema = catalog.json_schema(call.root, record_type)
            return answer(schema, media_type=media or "application/schema+json")
        if media == "application/swagger+json" or selected:
            document = catalog.open_api(call.root, selected)
            return answer(document, media_type="application/swagger+json")
        return answer(catalog.listing(call.root))


def _intake(ledger: Ledger, call: Call) -> Intake:
    names = call.headers.get("x-netsuite-propertynamevalidation", "warning")
    values = call.headers.get("x-netsuite-propertyvaluevalidation", "error")
    return Intake(ledger, names, values)


def _replaced(call: Call) -> frozenset[str]:
    return frozenset(name.strip() for name in call.query.get("replace", "").split(",") if name.strip())


def _single(call: Call, item: dict[str, Any]) -> Call:
    """The call one item of a batch stands for."""
    keys = dict(item)
    if call.method == "POST":
        key: tuple[str, ...] = ()
    elif call.method == "PUT" or "id" not in keys:
        key = (f"eid:{keys.pop('externalId', '')}",)
    else:
        key = (str(keys.pop("id")),)
    return replace(call, parts=(call.parts[0], *key), body=render(keys))


def _not_allowed(method: str) -> Refusal:
    return Refusal(405, "INVALID_REQUEST", f"The method {method} is not allowed here.")


def is_batch(call: Call) -> bool:
    """True for a call on a collection that carries several records."""
    kind = call.headers.get("content-type", "")
    return len(call.parts) == 1 and (
        call.method in ("PATCH", "PUT", "DELETE") or re.search(r"type=collection", kind) is not None
    )
