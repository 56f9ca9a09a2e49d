"""What every record of SuiteTalk REST shares: its address by external id, its description, and queries in SuiteQL."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import ClassVar

from isthmus.domain.errors import NeedsSetup
from isthmus.kit.drift import Described, RemoteField
from isthmus.kit.keyed import KeyedConnector
from isthmus.kit.keys import from_external_id, to_external_id
from isthmus.kit.paging import Page, after_last_row, all_pages, in_batches
from isthmus.kit.wire import Request, Row, Verb

# The database takes at most 1,000 values in a list.
BATCH = 500
TERMS_SQL = "SELECT id, name FROM term WHERE isinactive = 'F' ORDER BY id"


def applied(record: Row) -> list[Row]:
    """The lines of a payment or credit that settle something. KeyError when the answer does not hold all of them."""
    sublist = record.get("apply") or {"items": []}
    if sublist.get("hasMore"):
        raise KeyError("the rest of apply.items")
    return [line for line in sublist["items"] if line["apply"]]


def changed_sql(kind: str, since: datetime, after: str) -> str:
    """Transactions of a type changed after a moment, or at it with an id above the given one, oldest first."""
    # Written out, because plain text follows the date format of the account.
    moment = f"TO_TIMESTAMP('{since:%Y-%m-%d %H:%M:%S}', 'YYYY-MM-DD HH24:MI:SS')"
    return (
        "SELECT id, TO_CHAR(lastmodifieddate, 'YYYY-MM-DD\"T\"HH24:MI:SS') AS modified FROM transaction"
        f" WHERE type = '{kind}' AND (lastmodifieddate > {moment} OR (lastmodifieddate = {moment} AND id > {after}))"
        " ORDER BY lastmodifieddate, id"
    )


def receivables_sql(since: date, subsidiary: str) -> str:
    """Invoices and credit memos dated on or after a day, of customers with an external id; of one subsidiary, or of all
    when it is empty. The subsidiary of a transaction stands on its lines.
    """
    of_one = f" AND l.subsidiary = {int(subsidiary)}" if subsidiary else ""
    return (
        "SELECT t.id, t.type, t.tranid, t.externalid, t.status, t.currency, t.foreigntotal AS total,"
        " NVL(t.foreignamountunpaid, t.foreignpaymentamountunused) AS unsettled,"
        " TO_CHAR(t.trandate, 'YYYY-MM-DD') AS day, c.externalid AS client"
        " FROM transaction t JOIN transactionline l ON l.transaction = t.id AND l.mainline = 'T'"
        " JOIN customer c ON c.id = t.entity AND c.externalid IS NOT NULL"
        f" WHERE t.type IN ('CustInvc', 'CustCred') AND t.trandate >= TO_DATE('{since}', 'YYYY-MM-DD'){of_one}"
        " ORDER BY t.id"
    )


class SuiteTalk(KeyedConnector):
    """The record and query services of one account."""

    # By default an unknown property is dropped with a warning only: a misspelt custom field would lose its dimension.
    write_headers: ClassVar[dict[str, str]] = {"X-NetSuite-PropertyNameValidation": "error"}

    def path_of(self, kind: str, key: str) -> str:
        """The address of the record whose external id is our key."""
        return f"record/v1/{kind}/eid:{to_external_id(key)}"

    def describe(self, there: str) -> Verb[Described]:
        """The fields of a record type, the account's custom ones among them."""
        where, as_schema = f"record/v1/metadata-catalog/{there}", {"Accept": "application/schema+json"}
        answer = yield Request("GET", where, headers=as_schema)
        return {name: RemoteField(not facts.get("readOnly")) for name, facts in answer.body["properties"].items()}

    def query(self, sql: str) -> Verb[list[Row]]:
        """All rows of a query that has an unambiguous order."""
        return all_pages(lambda place: self.page(sql, place * self.manifest.page_size))

    def page(self, sql: str, offset: int = 0) -> Verb[Page]:
        """Some rows of a query, from a place on."""
        query, headers = {"limit": self.manifest.page_size, "offset": offset}, {"Prefer": "transient"}
        answer = yield Request("POST", "query/v1/suiteql", query=query, json={"q": sql}, headers=headers, writes=False)
        return Page(rows=answer.body["items"], more=answer.body["hasMore"])

    def keys_of(self, table: str, otherwise: str, ids: Iterable[str]) -> Verb[dict[str, str]]:
        """Our key of each record by internal id; of a record that is not ours the other column, or nothing."""
        sql = f"SELECT id, externalid, {otherwise} AS other FROM {table} WHERE id IN ({{}}) ORDER BY id"
        rows = yield from in_batches(ids, BATCH, lambda some: self.query(sql.format(", ".join(some))))
        return {row["id"]: from_external_id(row.get("externalid") or row.get("other") or "") for row in rows}

    def terms(self) -> Verb[list[Row]]:
        """The account's active payment terms."""
        return self.query(TERMS_SQL)

    def changed(self, kind: str, since: datetime | None) -> Verb[list[Row]]:
        """Id and time of every transaction of a type that was changed since."""
        return after_last_row(lambda last, i: self.page(changed_sql(kind, last, i)), since, "modified")

    def read_each(self, kind: str, rows: Iterable[Row]) -> Verb[list[Row]]:
        """The transactions of these ids with their sublists; one that was deleted meanwhile is left out.

        NeedsSetup for one that is listed all the same: then the role may list and not open it, and it would be lost.
        """
        records = []
        for row in rows:
            there, query = f"record/v1/{kind}/{row['id']}", {"expandSubResources": "true"}
            answer = yield Request("GET", there, query=query, allow=(404,))
            if answer.status != 404:
                records.append(answer.body)
            elif (yield from self.query(f"SELECT id FROM transaction WHERE id = {row['id']} ORDER BY id")):
                raise NeedsSetup(
                    f"{self.system} lists {kind} {row['id']} and does not show it: check the role's rights"
                )
        return records
