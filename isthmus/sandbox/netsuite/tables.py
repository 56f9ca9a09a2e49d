"""The tables SuiteQL sees: flattened records in an in-memory database, brought up to date before every query."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from decimal import Decimal
from typing import Any

from isthmus.sandbox.base import Record
from isthmus.sandbox.netsuite.books import hours
from isthmus.sandbox.netsuite.intake import display_name
from isthmus.sandbox.netsuite.ledger import Ledger
from isthmus.sandbox.netsuite.schema import TRANSACTION_CODES, TYPES, Field
from isthmus.sandbox.netsuite.settlement import applied

# Dates stand in the tables behind this mark: they sort among themselves and cannot be mistaken for text.
DATE_MARK = "\x1f"
_TABLES = {"serviceSaleItem": "item"} | dict.fromkeys(TRANSACTION_CODES, "transaction")
# Shown by the record service, unknown to SuiteQL, as in the vendor's own catalogue.
_NOT_QUERYABLE = frozenset(
    ["links", "refname", "total", "subtotal", "taxtotal", "amountpaid", "amountremaining", "applied", "unapplied"]
)
_EXTRA = {
    "transaction": {
        "type": "TEXT",
        "recordtype": "TEXT",
        "type__df": "TEXT",
        "foreigntotal": "NUMERIC",
        "foreignamountpaid": "NUMERIC",
        "foreignamountunpaid": "NUMERIC",
        "foreignpaymentamountused": "NUMERIC",
        "foreignpaymentamountunused": "NUMERIC",
        "entity": "NUMERIC",
    },
    "customer": {"altname": "TEXT", "fullname": "TEXT"},
    "job": {"altname": "TEXT", "customer": "NUMERIC"},
}
_LINKS = {
    "previousdoc": "NUMERIC",
    "nextdoc": "NUMERIC",
    "previoustype": "TEXT",
    "nexttype": "TEXT",
    "linktype": "TEXT",
    "foreignamount": "NUMERIC",
}
_SIDE_TABLES = {
    "transactionline": {
        "transaction": "NUMERIC",
        "id": "NUMERIC",
        "linesequencenumber": "NUMERIC",
        "mainline": "TEXT",
        "taxline": "TEXT",
        "item": "NUMERIC",
        "entity": "NUMERIC",
        "subsidiary": "NUMERIC",
        "quantity": "NUMERIC",
        "rate": "NUMERIC",
        "foreignamount": "NUMERIC",
        "memo": "TEXT",
    },
    "nexttransactionlink": _LINKS,
    "previoustransactionlink": _LINKS,
    "nexttransactionlinelink": _LINKS,
    "previoustransactionlinelink": _LINKS,
    "deletedrecord": {"recordid": "NUMERIC", "type": "TEXT", "name": "TEXT", "deleteddate": "TEXT"},
}


def date_value(text: str) -> str:
    """A date or time as the tables hold it."""
    moment = datetime.fromisoformat(text.replace("Z", "")).replace(tzinfo=None)
    return DATE_MARK + moment.isoformat(timespec="seconds")


def table_of(collection: str) -> str:
    """Name of the table a record type is queried in."""
    return _TABLES.get(collection, collection.lower())


class Tables:
    """One in-memory database that follows the ledger."""

    def __init__(self) -> None:
        self.db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._columns: dict[str, dict[str, str]] = {}
        self._generation = -1
        self._deleted_seen = 0

    def follow(self, ledger: Ledger) -> None:
        """Take over what changed since the last query."""
        if self._generation != ledger.generation:
            self._create_all()
            self._generation = ledger.generation
        changed, ledger.changed = ledger.changed, {}
        for collection, record_id in changed:
            self._take(collection, record_id, ledger.get(collection, record_id))
        for gone in ledger.deletions[self._deleted_seen :]:
            self._insert("deletedrecord", {**gone, "deleteddate": date_value(gone["deleteddate"])})
        self._deleted_seen = len(ledger.deletions)

    def load(self, ledger: Ledger) -> None:
        """Take over only what a query may see now; used while a stale read hides the newest writes."""
        self._create_all()
        for collection in TYPES:
            for record_id, record in ledger.all(collection):
                self._take(collection, record_id, record)

    def has_label(self, column: str) -> bool:
        """True when a column has a display value next to its id."""
        return any(f"{column.lower()}__df" in columns for columns in self._columns.values())

    def date_columns(self) -> set[str]:
        """Names of the columns that hold dates."""
        return _DATE_COLUMNS

    def _create_all(self) -> None:
        for table in self._columns:
            self.db.execute(f'DROP TABLE IF EXISTS "{table}"')
        self._columns = {table: dict(columns) for table, columns in _EXTRA.items()}
        for name, made in TYPES.items():
            columns = self._columns.setdefault(table_of(name), {})
            for field in made.fields.values():
                columns.update(_columns_of(field))
        self._columns |= {table: dict(columns) for table, columns in _SIDE_TABLES.items()}
        for table, columns in self._columns.items():
            shape = ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
            self.db.execute(f'CREATE TABLE "{table}" ({shape})')
            for key in ("id", "externalid", "transaction", "previousdoc", "nextdoc"):
                if key in columns:
                    self.db.execute(f'CREATE INDEX "{table}_{key}" ON "{table}" ("{key}")')
        self._deleted_seen = 0

    def _take(self, collection: str, record_id: str, record: Record | None) -> None:
        table = table_of(collection)
        self.db.execute(f'DELETE FROM "{table}" WHERE id = ?', (record_id,))
        if table == "transaction":
            self.db.execute('DELETE FROM transactionline WHERE "transaction" = ?', (record_id,))
            for links in _SIDE_TABLES:
                if links.endswith("link"):
                    self.db.execute(f'DELETE FROM "{links}" WHERE nextdoc = ?', (record_id,))
        if record is None:
            return
        row = _row(collection, record)
        if table == "transaction":
            row |= _transaction_columns(collection, record)
            self._take_lines(collection, record)
        self._insert(table, row)

    def _take_lines(self, collection: str, record: Record) -> None:
        for line in _transaction_lines(collection, record):
            self._insert("transactionline", line)
        for invoice_id, amount in applied(record).items():
            row = {
                "previousdoc": invoice_id,
                "nextdoc": record["id"],
                "previoustype": "CustInvc",
                "nexttype": TRANSACTION_CODES[collection],
                "linktype": "Payment",
                "foreignamount": float(amount),
            }
            for links in _SIDE_TABLES:
                if links.endswith("link"):
                    self._insert(links, row)

    def _insert(self, table: str, row: dict[str, Any]) -> None:
        columns = self._columns[table]
        for name in row.keys() - columns.keys():  # a custom field seen for the first time
            columns[name] = "TEXT"
            self.db.execute(f'ALTER TABLE "{table}" ADD COLUMN "{name}" TEXT')
        names = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join("?" * len(row))
        self.db.execute(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', list(row.values()))


def _columns_of(field: Field) -> dict[str, str]:
    name = field.name.lower()
    if field.kind in ("lines", "obj") or name in _NOT_QUERYABLE:
        return {}
    kind = "NUMERIC" if field.kind in ("num", "int", "ref", "duration") or name == "id" else "TEXT"
    labelled = field.kind in ("ref", "enum", "any", "dim")
    return {name: kind} | ({f"{name}__df": "TEXT"} if labelled else {})


_DATE_COLUMNS = {
    field.name.lower()
    for made in TYPES.values()
    for field in made.fields.values()
    if field.kind in ("date", "datetime")
}


def _row(collection: str, record: Record) -> dict[str, Any]:
    """A record as a row: references as ids with their labels, booleans as T and F."""
    fields = TYPES[collection].fields
    row: dict[str, Any] = {}
    for name, value in record.items():
        made = fields.get(name)
        column = name.lower()
        if name.startswith("_") or isinstance(value, list) or column in _NOT_QUERYABLE:
            continue
        if made is not None and made.kind in ("date", "datetime"):
            row[column] = date_value(value)
        elif made is not None and made.kind == "duration":
            row[column] = float(hours(value))
        elif isinstance(value, dict):
            if "id" in value:
                row |= {column: value["id"], f"{column}__df": value.get("refName", value["id"])}
        else:
            row[column] = cell(value)
    if collection in ("customer", "job"):
        row |= {"altname": display_name(record)}
    if collection == "customer":
        row |= {"fullname": display_name(record)}
    elif collection == "job" and record.get("parent"):
        row |= {"customer": record["parent"]["id"]}
    return row


def cell(value: Any) -> Any:
    """A plain value as the database keeps it."""
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def _transaction_columns(collection: str, record: Record) -> dict[str, Any]:
    columns = {
        "type": TRANSACTION_CODES[collection],
        "type__df": collection,
        "recordtype": collection.lower(),
        "foreigntotal": cell(record["total"]),
    }
    if collection == "customerPayment":
        columns |= {"entity": record["customer"]["id"], "entity__df": record["customer"].get("refName")}
    if collection == "invoice":
        columns["foreignamountpaid"] = cell(record["amountPaid"])
        columns["foreignamountunpaid"] = cell(record["amountRemaining"])
    if collection == "creditMemo":
        left = record["amountRemaining"]
        columns |= {"foreignpaymentamountunused": cell(left), "foreignpaymentamountused": cell(record["total"] - left)}
    return columns


def _transaction_lines(collection: str, record: Record) -> list[dict[str, Any]]:
    """Ledger lines: the receivable on the main line, revenue and tax with the opposite sign."""
    sign = -1 if collection in ("creditMemo", "customerPayment") else 1
    base = {"transaction": record["id"]}
    base |= {name: (record.get(name) or {}).get("id") for name in ("entity", "subsidiary")}
    lines = [{**base, "id": 0, "mainline": "T", "taxline": "F", "foreignamount": cell(sign * record["total"])}]
    for number, line in enumerate([*(record.get("item") or []), *(record.get("time") or [])], start=1):
        lines.append(
            {
                **base,
                "id": number,
                "mainline": "F",
                "taxline": "F",
                "item": (line.get("item") or {}).get("id"),
                "quantity": cell(line["quantity"]) if isinstance(line.get("quantity"), Decimal) else None,
                "rate": cell(line.get("rate")),
                "foreignamount": cell(-sign * line["amount"]),
                "memo": line.get("description") or line.get("memo"),
            }
        )
    if record.get("taxTotal"):
        tax = {"id": len(lines), "mainline": "F", "taxline": "T", "foreignamount": cell(-sign * record["taxTotal"])}
        lines.append({**base, **tax})
    return [{**line, "linesequencenumber": line["id"]} for line in lines]
