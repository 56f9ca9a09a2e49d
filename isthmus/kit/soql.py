"""Base of connectors to an organisation on the Salesforce platform: queries, and records under a key of ours."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from datetime import timedelta
from urllib.parse import quote

from isthmus.domain.errors import Unreachable
from isthmus.kit.connector import Connector
from isthmus.kit.mapping import to_utc
from isthmus.kit.wire import Answer, Request, Row

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

    @property
    def root(self) -> str:
        """Where the data API is."""
        return f"services/data/{self.manifest.system.api_version}"

    def by_key(self, entity: str, field: str, key: str) -> str:
        """The address of the record that a key of ours names; served from the primary, not from a search index."""
        return f"{self.root}/sobjects/{entity}/{field}/{quote(key, safe='')}"

    def changed_since(self, watermark: str) -> str:
        """The condition of what has changed since the watermark less the overlap; empty at the first time."""
        if not watermark:
            return ""
        return f"SystemModstamp > {soql_moment(watermark, self.manifest.capture.overlap_seconds)}"

    def query(
        self, columns: Iterable[str], entity: str, where: Sequence[str], order: str, *, deleted: bool = False
    ) -> Generator[Request, Answer, list[Row]]:
        """Every record that meets all conditions, page by page. deleted: those in the recycle bin too."""
        asked = " AND ".join(condition for condition in where if condition)
        soql = f"SELECT {', '.join(dict.fromkeys(columns))} FROM {entity}{f' WHERE {asked}' if asked else ''}"
        batch = {"Sforce-Query-Options": f"batchSize={self.manifest.page_size}"}
        path = f"{self.root}/{'queryAll' if deleted else 'query'}/"
        answer = yield Request("GET", path, query={"q": f"{soql} ORDER BY {order}"}, headers=batch)
        records: list[Row] = list(answer.body["records"])
        for _ in range(PAGES_MAX):
            if answer.body["done"]:
                return records
            answer = yield Request("GET", answer.body["nextRecordsUrl"])
            records += answer.body["records"]
        raise Unreachable(f"{self.system}: a query of {entity} does not end after {PAGES_MAX} pages")


def latest_stamp(records: Iterable[Row], watermark: str) -> str:
    """The watermark after these records: the latest SystemModstamp, or the old one when there is none later."""
    return max([watermark, *(str(record["SystemModstamp"]) for record in records)])


def columns_under(path: str, columns: Iterable[str]) -> list[str]:
    """Columns of a parent record, as a query reaches them."""
    return [f"{path}.{column}" for column in columns]
