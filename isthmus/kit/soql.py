"""Base of connectors to an organisation on the Salesforce platform: queries, and records under a key of ours."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from datetime import timedelta
from urllib.parse import quote

from isthmus.domain.errors import Unreachable
from isthmus.domain.objects import ExternalRef
from isthmus.kit.connector import Connector
from isthmus.kit.drift import Described, RemoteField
from isthmus.kit.mapping import Table, to_utc
from isthmus.kit.paging import chunks
from isthmus.kit.wire import Answer, Request, Row, Verb

OURS = {"Sforce-Call-Options": "client=isthmus"}
PAGES_MAX = 1000  # 2,000,000 records: a query that goes on after that does not end


def soql_text(text: str) -> str:
    """A text as a SOQL literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def soql_texts(texts: Iterable[str]) -> str:
    """Texts as the right side of IN."""
    return f"({', '.join(soql_text(text) for text in texts)})"


def soql_moment(stamp: str, overlap_seconds: int) -> str:
    """A SystemModstamp as a SOQL literal, moved back by the overlap."""
    return f"{to_utc(stamp) - timedelta(seconds=overlap_seconds):%Y-%m-%dT%H:%M:%SZ}"


class SoqlConnector(Connector):
    """Subclasses ask with queries and write by external id. The manifest names the version of the REST API."""

    together = 200  # records of one collection request

    @property
    def root(self) -> str:
        """Where the data API is."""
        return f"services/data/{self.manifest.system.api_version}"

    def describe(self, there: str) -> Verb[Described]:
        """The fields of an object, and the names under which a query reaches the records they refer to."""
        answer = yield Request("GET", f"{self.root}/sobjects/{there}/describe")
        found: Described = {}
        for field in answer.body["fields"]:
            writable = bool(field["createable"] or field["updateable"])
            found |= {name: RemoteField(writable) for name in (field["name"], field["relationshipName"]) if name}
        return found

    def by_key(self, entity: str, field: str, key: str) -> str:
        """The address of the record that a key of ours names; served from the primary, not from a search index."""
        return f"{self.root}/sobjects/{entity}/{field}/{quote(key, safe='')}"

    def changed_since(self, watermark: str) -> str:
        """The condition of what has changed since the watermark less the overlap; empty at the first time."""
        if not watermark:
            return ""
        return f"SystemModstamp > {soql_moment(watermark, self.manifest.capture.overlap_seconds)}"

    def query(
        self, entity: str, columns: Iterable[str], *where: str, order: str = "Id", deleted: bool = False
    ) -> Generator[Request, Answer, list[Row]]:
        """Every record that meets all conditions, page by page, with its id as every other system has it too.

        deleted: those in the recycle bin too.
        """
        asked = " AND ".join(condition for condition in where if condition)
        soql = f"SELECT {', '.join(dict.fromkeys(('Id', *columns)))} FROM {entity}{f' WHERE {asked}' if asked else ''}"
        batch = {"Sforce-Query-Options": f"batchSize={self.manifest.page_size}"}
        path = f"{self.root}/{'queryAll' if deleted else 'query'}/"
        answer = yield Request("GET", path, query={"q": f"{soql} ORDER BY {order}"}, headers=batch)
        records: list[Row] = list(answer.body["records"])
        for _ in range(PAGES_MAX):
            if answer.body["done"]:
                return [record | {"id": record["Id"]} for record in records]
            answer = yield Request("GET", answer.body["nextRecordsUrl"])
            records += answer.body["records"]
        raise Unreachable(f"{self.system}: a query of {entity} does not end after {PAGES_MAX} pages")

    def record(self, entity: str, field: str, key: str, columns: Iterable[str]) -> Verb[Row | None]:
        """The record that a key of ours names; None when there is none."""
        query = {"fields": ",".join(["Id", *columns])}
        answer = yield Request("GET", self.by_key(entity, field, key), query=query, allow=(404,))
        return None if answer.status == 404 else answer.body | {"id": answer.body["Id"]}

    def query_each(self, entity: str, columns: Iterable[str], ids: Iterable[str], *where: str) -> Verb[list[Row]]:
        """The records of these ids that meet all conditions."""
        rows: list[Row] = []
        for some in chunks(sorted(ids), self.together):
            rows += yield from self.query(entity, columns, f"Id IN {soql_texts(some)}", *where)
        return rows

    def named(self, entity: str, name: str, what: str) -> Verb[str]:
        """The id of master data by its name. A refusal names what is missing: we make none up."""
        rows = yield from self.query(entity, ("Name",), f"Name = {soql_text(name)}")
        return self.ids_by_name([{"id": row["Id"], "name": row["Name"]} for row in rows], (name,), what)[name]

    def upsert(self, entity: str, field: str, key: str, body: Row, *, create: bool = True) -> Verb[ExternalRef]:
        """Create or change the record that a key of ours names. create=False: only change it, 404 when it is not there.

        Changes say who made them, so that a reader of change events can tell the hub's own.
        """
        query = {} if create else {"updateOnly": "true"}
        answer = yield Request("PATCH", self.by_key(entity, field, key), query=query, json=body, headers=OURS)
        return self.ref(entity, answer.body["id"])

    def save_all(self, entity: str, records: Sequence[Row], field: str = "") -> Verb[None]:
        """Create or change records by a key of ours (field), or change those with an id; the 200 of a request together
        or not at all."""
        path = "/".join(part for part in (f"{self.root}/composite/sobjects", field and entity, field) if part)
        for some in chunks(records, self.together):
            typed = [{"attributes": {"type": entity}, **record} for record in some]
            answer = yield Request("PATCH", path, json={"allOrNone": True, "records": typed}, headers=OURS)
            self._insist(answer.body)

    def delete_all(self, ids: Iterable[str]) -> Verb[None]:
        """Move records to the recycle bin, those of a request together or not at all."""
        for some in chunks(sorted(ids), self.together):
            query = {"ids": ",".join(some), "allOrNone": "true"}
            answer = yield Request("DELETE", f"{self.root}/composite/sobjects", query=query, headers=OURS)
            self._insist(answer.body)

    def _insist(self, results: list[Row]) -> None:
        """The first failure of a collection as the error it stands for; the others were only rolled back with it."""
        failures = [error for result in results if not result["success"] for error in result["errors"]]
        own = [error for error in failures if error["statusCode"] != "ALL_OR_NONE_OPERATION_ROLLED_BACK"]
        for error in own or failures:
            said = f"{self.system}: {error['statusCode']} {error['message']}"
            if error["statusCode"] == "UNABLE_TO_LOCK_ROW":
                raise Unreachable(said)
            raise self.refusal(said, error["statusCode"], next(iter(error["fields"]), ""))


def latest_stamp(records: Iterable[Row], watermark: str) -> str:
    """The watermark after these records: the latest SystemModstamp, or the old one when there is none later."""
    return max([watermark, *(str(record["SystemModstamp"]) for record in records)])


def columns_of(table: Table) -> list[str]:
    """The columns a mapping table reads."""
    return [field.theirs for field in table.fields]


def columns_under(path: str, columns: Iterable[str]) -> list[str]:
    """Columns of a parent record, as a query reaches them."""
    return [f"{path}.{column}" for column in columns]
