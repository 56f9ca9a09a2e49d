"""The REST API of a Tryton server: its typed JSON, its domains, and a base of connectors to models behind it.

Sources: trytond 8.2, trytond/protocols/rest.py and jsonrpc.py. A search takes a domain (d) and an order (o) as JSON in
base64url and names its fields (f, several times, dotted into other records); a context goes in a header.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from isthmus.domain.objects import ExternalRef
from isthmus.kit.connector import Connector
from isthmus.kit.drift import Described, RemoteField
from isthmus.kit.mapping import hours_to_minutes, minutes_to_hours
from isthmus.kit.paging import by_cursor
from isthmus.kit.wire import Request, Row, Verb, rows_of

ALL = {"active_test": False}  # a context: inactive records are hidden from searches and from writes otherwise
BY_ID = [["id", "ASC"]]
_MOMENT = ("year", "month", "day", "hour", "minute", "second", "microsecond")


# -- values that JSON has no type for --------------------------------------------------------------------------------
def to_amount(amount: Decimal) -> Row:
    """A decimal number."""
    return {"__class__": "Decimal", "decimal": str(amount)}


def from_amount(value: Row) -> Decimal:
    """Undo to_amount."""
    return Decimal(str(value["decimal"]))


def to_day(day: date) -> Row:
    """A day."""
    return {"__class__": "date", "year": day.year, "month": day.month, "day": day.day}


def from_day(value: Row) -> date:
    """Undo to_day."""
    return date(value["year"], value["month"], value["day"])


def to_last_day(end: date) -> Row:
    """An exclusive end as the last day that counts."""
    return to_day(end - timedelta(days=1))


def from_last_day(value: Row) -> date:
    """Undo to_last_day."""
    return from_day(value) + timedelta(days=1)


def to_duration(hours: Decimal) -> Row:
    """Hours as a span of whole minutes. BadInput for hours that are none."""
    return {"__class__": "timedelta", "seconds": hours_to_minutes(hours) * 60}


def from_duration(value: Row) -> Decimal:
    """Undo to_duration."""
    return minutes_to_hours(int(value["seconds"]) // 60)


def to_moment(moment: datetime) -> Row:
    """A moment. Tryton keeps them in UTC and does not say so."""
    return {"__class__": "datetime"} | {name: getattr(moment.astimezone(UTC), name) for name in _MOMENT}


def from_moment(value: Row) -> datetime:
    """Undo to_moment."""
    year, month, day, hour, minute, second, microsecond = (int(value[name]) for name in _MOMENT)
    return datetime(year, month, day, hour, minute, second, microsecond, UTC)


# Converters in pairs for mapping tables, out and back.
AMOUNT, DAY, LAST_DAY = (to_amount, from_amount), (to_day, from_day), (to_last_day, from_last_day)
DURATION = (to_duration, from_duration)


# -- how records are asked for and named -----------------------------------------------------------------------------
def encoded(value: Any) -> str:
    """A domain, an order or a context as a query or a header carries it."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def starting_with(text: str) -> str:
    """A pattern of texts that start with this one."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"


def labelled(code: str, name: str) -> str:
    """A name with our code before it, as Tryton itself shows records that have a code."""
    return f"[{code}] {name}"


def code_of(label: str) -> str:
    """The code of a label; empty when it has none."""
    return label[1:].partition("] ")[0] if label.startswith("[") and "] " in label else ""


def in_place(held: list[Row], content: Row) -> list[list[Any]]:
    """The first of a record's parts with this content, made where there is none."""
    return [["write", [held[0]["id"]], content]] if held else [["create", [content]]]


class ModelConnector(Connector):
    """A connector to models. Setting companies says which company each legal entity is; the first one is the context
    of what is common to all.
    """

    def describe(self, there: str) -> Verb[Described]:
        """The fields of a model."""
        answer = yield Request("POST", f"model/{there}/fields_get", json={}, writes=False)
        return {name: RemoteField(not facts.get("readonly")) for name, facts in answer.body.items()}

    def rows(self, model: str, domain: list[Any], *fields: str, **context: Any) -> Verb[list[Row]]:
        """The records that a domain speaks of, with these fields, by id.

        By id, which no change moves: what comes while pages are read comes after, and what changes stays in its place.
        """
        size, headers = self.manifest.page_size, self.context(**context)

        def page(after: str) -> Verb[tuple[list[Row], str]]:
            wanted = [*domain, ["id", ">", int(after)]] if after else domain
            query = {"d": encoded(wanted), "f": fields, "o": encoded(BY_ID), "s": size}
            found = rows_of((yield Request("GET", f"model/{model}", query=query, headers=headers)))
            return found, str(found[-1]["id"]) if len(found) == size else ""

        return by_cursor(page)

    def put(self, model: str, held: Row | None, body: Row, first: Row | None = None) -> Verb[ExternalRef]:
        """Change the record that is there, or make one. first: what is said only when it is made."""
        headers = self.context(**ALL)
        if held:
            answer = yield Request("PUT", f"model/{model}/{held['id']}", json=body, headers=headers)
        else:
            answer = yield Request("POST", f"model/{model}", json=body | (first or {}), headers=headers)
        return self.ref(model, answer.body["id"])

    def make(self, model: str, body: Row, company: int) -> Verb[None]:
        """A new record in a company's context."""
        yield Request("POST", f"model/{model}", json=body, headers=self.context(company))

    def drop(self, model: str, held: Row) -> Verb[None]:
        """Delete a record."""
        yield Request("DELETE", f"model/{model}/{held['id']}")

    def press(self, model: str, held: Row, button: str, fields: tuple[str, ...], **context: Any) -> Verb[Row]:
        """The record after a button of it was pressed."""
        path, headers = f"model/{model}/{held['id']}/{button}", self.context(**context)
        answer = yield Request("POST", path, query={"f": fields}, json={}, headers=headers)
        pressed: Row = answer.body
        return pressed

    def ids_of(self, model: str, field: str, values: Iterable[str], *domain: Any) -> Verb[dict[str, int]]:
        """Ids of master data by the values of a field. A refusal names those that are missing."""
        wanted = sorted(set(values))
        rows = yield from self.rows(model, [[field, "in", wanted], *domain], field)
        found = self.ids_by_name([{"name": row[field], "id": row["id"]} for row in rows], wanted, model)
        return {value: int(internal) for value, internal in found.items()}

    def id_of(self, model: str, field: str, value: str) -> Verb[int]:
        """The id of one record of master data by the value of a field."""
        return (yield from self.ids_of(model, field, [value]))[value]

    def maybe_id(self, model: str, *domain: Any) -> Verb[int | None]:
        """The id of the one record of a domain; None when there is none. A refusal when there are several."""
        found = self.one_of((yield from self.rows(model, list(domain))), f"{model} {domain[0][-1]}")
        return int(found["id"]) if found else None

    def company(self, entity: str) -> int:
        """The company of a legal entity."""
        return int(self.coded("companies", entity))

    def context(self, company: int | None = None, **more: Any) -> dict[str, str]:
        """What a request is about beside its records: some fields have a value for each company."""
        first = next(iter(self.setting("companies").values()), "")
        about = {"company": company or int(first)} if company or first else {}
        return {"X-Tryton-Context": encoded(about | more), "Accept-Language": "en"}
