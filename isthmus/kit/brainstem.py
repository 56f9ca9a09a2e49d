"""Base of connectors to services built with Brainstem, whose answers hold records side by side (kit.loaded)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from isthmus.kit.connector import Connector
from isthmus.kit.loaded import Loaded
from isthmus.kit.paging import Page, all_pages, batches, by_last_change
from isthmus.kit.wire import Request, Row, Verb


def collection_of(singular: str) -> str:
    """The collection of a record: stories of a story."""
    return f"{singular.removesuffix('y')}ies" if singular.endswith("y") else f"{singular}s"


class BrainstemConnector(Connector):
    """Records by collection. everything: filters that keep a service from hiding records nobody asked it to hide."""

    everything: ClassVar[Mapping[str, str]] = {}

    def write(self, singular: str, body: Row, record_id: str | None = None) -> Verb[Row]:
        """Create, or change the record with this id; the record as it is then."""
        collection = collection_of(singular)
        method, path = ("PUT", f"{collection}/{record_id}") if record_id else ("POST", collection)
        answer = yield Request(method, path, json={singular: body})
        return Loaded().take(answer.body)[0]

    def ensure(self, singular: str, owner: Row, facts: Row, more: Row | None = None) -> Verb[Row]:
        """The record of an owner with these facts: one that is there, else a new one, with more."""
        rows = yield from self.rows(collection_of(singular), owner)
        wanted = {name: str(value) for name, value in {**owner, **facts}.items()}
        there = [row for row in rows if {name: str(row[name]) for name in wanted} == wanted]
        body = {**owner, **facts, **(more or {})}
        return there[0] if there else (yield from self.write(singular, body))

    def show(
        self, collection: str, record_id: Any, include: str = "", loaded: Loaded | None = None
    ) -> Verb[Row | None]:
        """One record by id; None when it is gone."""
        query = {"include": include, **self.everything}
        answer = yield Request("GET", f"{collection}/{record_id}", query=query, allow=(404,))
        return None if answer.status == 404 else (loaded or Loaded()).take(answer.body)[0]

    def load(self, collection: str, ids: Iterable[Any], query: Row, loaded: Loaded) -> Verb[None]:
        """Records by id, with what the query includes, into loaded."""
        for some in batches(ids, self.manifest.page_size):
            yield from self.page(collection, query | {"only": ",".join(some)}, 0, loaded)

    def rows(self, collection: str, query: Row, loaded: Loaded | None = None) -> Verb[list[Row]]:
        """All rows of a list, by the time of creation: a change while we read moves none over the page edge."""
        ordered = {"order": "created_at:asc", **query}
        return all_pages(lambda place: self.page(collection, ordered, place, loaded or Loaded()))

    def changed(self, collection: str, query: Row, since: datetime | None, loaded: Loaded) -> Verb[list[Row]]:
        """Rows changed since a moment, by the time of creation, as not every list can be sorted by changes."""
        asked = {"order": "created_at:asc", **query, **({"updated_after": since.isoformat()} if since else {})}

        def page(created: datetime | None, place: int) -> Verb[Page]:
            after = {"created_after": created.isoformat()} if created else {}
            return self.page(collection, asked | after, place, loaded)

        return by_last_change(page, None, "created_at")

    def page(self, collection: str, query: Row, place: int, loaded: Loaded) -> Verb[Page]:
        """One page of a list, from 0 on."""
        paged = {**self.everything, **query, "per_page": self.manifest.page_size, "page": place + 1}
        answer = yield Request("GET", collection, query=paged)
        meta = answer.body["meta"]
        more = place + 1 < int(meta["page_count"])
        return Page(rows=loaded.take(answer.body), more=more, total=int(meta["count"]))
