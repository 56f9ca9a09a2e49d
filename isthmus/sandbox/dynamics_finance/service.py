"""The OData service under /data, one call without HTTP around it: collections, records, links, pages."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlencode

from starlette.responses import Response

from isthmus.sandbox.base import Record
from isthmus.sandbox.dynamics_finance.books import Books
from isthmus.sandbox.dynamics_finance.errors import JSON, bad_request, no_route
from isthmus.sandbox.dynamics_finance.filters import compile_filter, compile_order, literal, no_property
from isthmus.sandbox.dynamics_finance.ledger import Ledger, etag, shown
from isthmus.sandbox.dynamics_finance.schema import BY_SET, Entity
from isthmus.sandbox.dynamics_finance.values import parse, render, same, sort_key

PAGE_MAX = 10_000
_OPTIONS = {"$filter", "$orderby", "$select", "$top", "$skip", "$count", "$expand", "$skiptoken", "$format"}
_VERSION = {"OData-Version": "4.0"}


@dataclass(frozen=True)
class Call:
    """One request to the service; path is what stands after /data/."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    root: str

    @property
    def cross_company(self) -> bool:
        """True when all companies are asked, not only the user's default one."""
        return self.query.get("cross-company", "").lower() == "true"


class Service:
    """Everything under /data that is no action and no batch."""

    def __init__(self, ledger: Ledger, books: Books) -> None:
        self.ledger = ledger
        self.books = books
        self.default_company = "usmf"
        self.page_size = PAGE_MAX

    def serve(self, call: Call) -> Response:
        """Answer one call, or raise Refusal."""
        # Slash and plus in a key may come encoded twice, as a published client sends them: see the notes.
        path = unquote(call.path).replace("%2F", "/").replace("%2B", "+")
        found = re.fullmatch(r"(\w+)(?:\((.*)\))?(?:/(\w+))?", path)
        entity = BY_SET.get(found[1]) if found else None
        if found is None or entity is None:
            raise no_route(f"{call.root}/{call.path}")
        unknown = [name for name in call.query if name.startswith("$") and name not in _OPTIONS]
        if unknown:
            raise bad_request(f"The query parameter '{unknown[0]}' is not supported.")
        if found[2] is None:
            return self._collection(call, entity)
        record = self._record(call, entity, found[2])
        if found[3]:
            return self._linked(call, entity, record, found[3])
        return self._single(call, entity, record)

    # -- collections ---------------------------------------------------------------------------------------------
    def _collection(self, call: Call, entity: Entity) -> Response:
        if call.method == "GET":
            return self._page(call, entity, self._visible(call, entity), entity.entity_set)
        if call.method != "POST":
            raise no_route(f"{call.root}/{call.path}")
        made = self.books.create(entity, parse(call.body), self.default_company)
        where = f"{call.root}/{address(entity, made)}"
        body = {"@odata.context": f"{call.root}/$metadata#{entity.entity_set}/$entity", **_row(made)}
        return _answer(body, 201, {"Location": where, "OData-EntityId": where})

    def _visible(self, call: Call, entity: Entity) -> list[Record]:
        rows = [record for _, record in self.ledger.all(entity.entity_set)]
        if entity.shared or call.cross_company:
            return rows
        return [row for row in rows if row["dataAreaId"] == self.default_company]

    def _page(self, call: Call, entity: Entity, rows: list[Record], context: str) -> Response:
        query = call.query
        if query.get("$filter"):
            rows = list(filter(compile_filter(entity, query["$filter"]), rows))
        total = len(rows)
        rows = _ordered(entity, rows, query.get("$orderby", ""))
        size = min(_whole(query, "$top", self.page_size), self.page_size)
        rows = _after(entity, rows, query) if query.get("$skiptoken") else rows[_whole(query, "$skip", 0) :]
        page = rows[:size]
        body: dict[str, Any] = {"@odata.context": f"{call.root}/$metadata#{context}"}
        if query.get("$count", "").lower() == "true":
            body["@odata.count"] = total
        body["value"] = [self._shaped(call, entity, row) for row in page]
        if len(rows) > size and "$top" not in query:
            token = {"$skiptoken": _token(entity, page[-1], query.get("$orderby", ""))}
            asked = {name: value for name, value in query.items() if name not in ("$skiptoken", "$skip")}
            body["@odata.nextLink"] = f"{call.root}/{entity.entity_set}?{urlencode(asked | token, quote_via=quote)}"
        return _answer(body)

    def _shaped(self, call: Call, entity: Entity, record: Record) -> Record:
        """A record with the fields asked for and what is linked to it, one level deep."""
        row = _row(record)
        if call.query.get("$select"):
            wanted = [name.strip() for name in call.query["$select"].split(",")]
            for name in wanted:
                if name not in entity.all_fields:
                    raise no_property(entity, name)
            row = {name: value for name, value in row.items() if name in wanted or name == "@odata.etag"}
        for name in [name.strip() for name in call.query.get("$expand", "").split(",") if name.strip()]:
            row[name] = [_row(other) for other in self._links(entity, record, name)]
        return row

    def _links(self, entity: Entity, record: Record, name: str) -> list[Record]:
        if name not in entity.links:
            raise no_property(entity, name)
        collection, ours, theirs = entity.links[name]
        return [other for _, other in self.ledger.all(collection) if same(other[theirs], record[ours])]

    def _linked(self, call: Call, entity: Entity, record: Record | None, name: str) -> Response:
        if record is None or call.method != "GET":
            raise no_route(f"{call.root}/{call.path}")
        target = BY_SET[entity.links[name][0]] if name in entity.links else entity
        return self._page(call, target, self._links(entity, record, name), target.entity_set)

    # -- one record ----------------------------------------------------------------------------------------------
    def _record(self, call: Call, entity: Entity, inside: str) -> Record | None:
        """The record of a key that names every field; one of another company only across companies."""
        values = {}
        for name, token in re.findall(r"(\w+)\s*=\s*('(?:[^']|'')*'|[^,]+)", inside):
            if name not in entity.all_fields:
                raise no_property(entity, name)
            values[name] = literal(entity.all_fields[name], token.strip())
        missing = [name for name in entity.key if name not in values]
        if missing:
            shown_keys = ", ".join(entity.key)
            raise bad_request(
                f"Only {len(values)} of {len(entity.key)} keys provided for lookup, provide keys for {shown_keys}."
            )
        record = self.ledger.by_key(entity, values)
        if record and not (entity.shared or call.cross_company or record["dataAreaId"] == self.default_company):
            return None
        return record

    def _single(self, call: Call, entity: Entity, record: Record | None) -> Response:
        if call.method == "GET":
            if record is None:
                raise no_route(f"{call.root}/{call.path}")
            context = {"@odata.context": f"{call.root}/$metadata#{entity.entity_set}/$entity"}
            return _answer(context | self._shaped(call, entity, record))
        version = call.headers.get("if-match", "")
        if call.method in ("PATCH", "PUT"):
            self.books.update(entity, record, parse(call.body), version)
        elif call.method == "DELETE":
            self.books.remove(entity, record, version)
        else:
            raise no_route(f"{call.root}/{call.path}")
        return Response(None, 204, _VERSION)


def address(entity: Entity, record: Record) -> str:
    """The path of a record, every field of its key in it."""
    kinds = entity.all_fields
    parts = [f"{name}={_quoted(record[name]) if kinds[name] == 's' else record[name]}" for name in entity.key]
    return f"{entity.entity_set}({','.join(parts)})"


def _quoted(text: str) -> str:
    return "'" + quote(text.replace("'", "''"), safe="") + "'"


def _row(record: Record) -> Record:
    return {"@odata.etag": etag(record), **shown(record)}


def _answer(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(render(document), status, {**_VERSION, **(headers or {})}, JSON)


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not text.isdigit():
        raise bad_request(f"Invalid value '{text}' for {name} query option found.")
    return int(text)


def _ordered(entity: Entity, rows: list[Record], order: str) -> list[Record]:
    rows = sorted(rows, key=lambda row: [sort_key(row[name]) for name in entity.key])
    for name, descending in reversed(compile_order(entity, order)):
        rows = sorted(rows, key=lambda row, name=name: sort_key(row[name]), reverse=descending)  # type: ignore[misc]
    return rows


def _place(entity: Entity, row: Record, order: str) -> list[Any]:
    names = [name for name, _ in compile_order(entity, order)] + list(entity.key)
    return [str(row[name]) for name in names]


def _token(entity: Entity, row: Record, order: str) -> str:
    """Where the next page starts: after the values of the last row, so that no change moves it."""
    return base64.urlsafe_b64encode(json.dumps(_place(entity, row, order)).encode()).decode()


def _after(entity: Entity, rows: list[Record], query: Mapping[str, str]) -> list[Record]:
    """The rows after the place of a token; of a row that is gone meanwhile, those that would have followed it."""
    order = query.get("$orderby", "")
    try:
        place = json.loads(base64.urlsafe_b64decode(query["$skiptoken"]))
    except ValueError:
        raise bad_request("Invalid value for $skiptoken query option found.") from None
    wanted = [(name, down) for name, down in compile_order(entity, order)] + [(name, False) for name in entity.key]
    kinds = entity.all_fields

    def later(row: Record) -> bool:
        for (name, down), text in zip(wanted, place, strict=True):
            value = text if kinds[name] not in ("i", "l", "n") else type(row[name])(text)
            one, other = sort_key(row[name]), sort_key(value)
            if one != other:
                return (one < other) if down else (one > other)
        return False

    return [row for row in rows if later(row)]
