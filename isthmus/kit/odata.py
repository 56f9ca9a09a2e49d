"""OData v4 as Microsoft's business systems speak it: literals, addresses, pages, and change sets that happen whole.

Sources: OASIS OData 4.0 part 1 (11.7 batch requests) and part 2 (5.1.1 literals); Microsoft, finance and operations
apps, "Open Data Protocol (OData)": every key field in an address, cross-company, changesets as one transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from typing import Any, ClassVar
from urllib.parse import quote

import httpx

from isthmus.domain.errors import OutcomeUnknown
from isthmus.domain.objects import ExternalRef
from isthmus.kit.connector import Connector
from isthmus.kit.drift import Described
from isthmus.kit.edmx import collections_of
from isthmus.kit.meaning import meaning
from isthmus.kit.paging import Page, all_pages
from isthmus.kit.wire import Answer, Request, Row, Verb, decode, encode

Keys = Mapping[str, Any]
SETS_MAX = 12  # of values in one filter: many servers take at most 2,048 characters of query


def literal(value: Any) -> str:
    """A value in a key or a filter: text in quotes, which are doubled inside it; numbers as they are."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value)


def noon(day: date | None) -> str | None:
    """A date as Microsoft's business systems keep it: noon in UTC, so that no time zone moves the day."""
    return f"{day.isoformat()}T12:00:00Z" if day else None


def day_of(moment: str) -> date:
    """The date of such a moment."""
    return datetime.fromisoformat(moment).date()


def noon_of_last_day(end: date | None) -> str | None:
    """Our exclusive end as the last day that counts; kit.mapping.LAST_DAY for those who keep days as moments."""
    return noon(end - timedelta(days=1)) if end else None


def after_day_of(moment: str) -> date:
    """An exclusive end from the last day that counts, undoing noon_of_last_day."""
    return day_of(moment) + timedelta(days=1)


NOON, NOON_OF_LAST_DAY = (noon, day_of), (noon_of_last_day, after_day_of)


def same(values: Keys) -> str:
    """The filter for records that have these values."""
    return " and ".join(f"{name} eq {literal(value)}" for name, value in values.items())


def has(row: Row, values: Keys) -> bool:
    """True when a row has these values: a star in a filter's text stands for anything in some services."""
    return all(_text(row[name]) == _text(value) for name, value in values.items())


def _text(value: Any) -> str:
    return str(value).casefold()  # keys that differ by case only are the same key there


def one_of(name: str, values: Iterable[Any]) -> str:
    """The filter for records that have one of these values. ValueError when there is none to choose from."""
    tests = [f"{name} eq {literal(value)}" for value in values]
    if not tests:
        raise ValueError(f"no value of {name} is asked for")
    return f"({' or '.join(tests)})"


def address(entity_set: str, keys: Keys | None = None, options: Keys | None = None) -> str:
    """The path of a collection or of one record, with query options.

    Written out here, because a blank must go as %20: many OData services take + for a plus.
    """
    key = ",".join(f"{name}={quote(literal(value), safe='')}" for name, value in (keys or {}).items())
    asked = "&".join(f"{name}={quote(str(value), safe=',()')}" for name, value in (options or {}).items())
    return f"{entity_set}{f'({key})' if keys else ''}{f'?{asked}' if asked else ''}"


@dataclass(frozen=True)
class Part:
    """One change of a change set; path relative to the service."""

    method: str
    path: str
    body: Row | None = None
    if_match: str = ""


class ODataConnector(Connector):
    """Base of connectors to OData services. service: the path of the service; options: of every request."""

    service: ClassVar[str] = "data"
    options: ClassVar[Mapping[str, str]] = {}
    _described: Mapping[str, Described] = {}

    def at(self, entity_set: str, keys: Keys | None = None, options: Keys | None = None) -> str:
        """The address of a collection or record, below the base URL, with query options."""
        return f"{self.service}/{address(entity_set, keys, {**self.options, **(options or {})})}"

    def describe(self, there: str) -> Verb[Described]:
        """The fields of a collection. The whole service is described at once, in a document that is asked for once."""
        if not self._described:
            answer = yield Request("GET", f"{self.service}/$metadata", headers={"Accept": "application/xml"})
            self._described = collections_of(answer.text)
        return self._described.get(there, {})

    def read(self, entity_set: str, keys: Keys) -> Verb[Row | None]:
        """One record; None when there is none.

        Asked for by a filter, so that a misspelt collection (404) is never taken for a record that is not there.
        """
        rows = yield from self.rows(entity_set, same(keys))
        found = [row for row in rows if has(row, keys)]
        if len(found) > 1:
            raise self.refusal(f"{self.system} has {len(found)} {entity_set} of {dict(keys)}", "DUPLICATE", "key")
        return found[0] if found else None

    def named(self, collection: str) -> str:
        """What a collection is called that no published source names, by the setting entities."""
        return str(self.setting("entities")[collection])

    def rows(self, entity_set: str, filtered: str, order: str = "") -> Verb[list[Row]]:
        """All records a filter lets through, page after page as the service names the next one."""
        options = {"$filter": filtered} | ({"$orderby": order} if order else {})
        following = [self.at(entity_set, options=options)]

        def ask(place: int) -> Verb[Page]:
            answer = yield Request("GET", following[place])
            link = answer.body.get("@odata.nextLink", "")
            if link:
                following.append(f"{self.service}/{link.split(f'/{self.service}/', 1)[1]}")
            return Page(rows=answer.body["value"], more=bool(link))

        return all_pages(ask)

    def rows_of(self, entity_set: str, wanted: Iterable[Keys], also: str = "") -> Verb[list[Row]]:
        """All records that have one of these sets of values, a few sets at a time: an address has a limited length."""
        filters = [f"({same(values)})" for values in wanted]
        rows: list[Row] = []
        for start in range(0, len(filters), SETS_MAX):
            rows += yield from self.rows(entity_set, f"({' or '.join(filters[start : start + SETS_MAX])}){also}")
        return rows

    def create(self, entity_set: str, body: Row) -> Verb[Row]:
        """A new record, as the service answers it."""
        answer = yield Request("POST", self.at(entity_set), json=body)
        made: Row = answer.body
        return made

    def change(self, entity_set: str, keys: Keys, held: Row, body: Row) -> Verb[None]:
        """Change a record that is still as we have read it; when somebody was faster nothing is changed."""
        yield Request("PATCH", self.at(entity_set, keys), json=body, if_match=held["@odata.etag"])

    def put(self, ref: ExternalRef, keys: Keys, body: Row, first: Row | None = None) -> Verb[ExternalRef]:
        """Bring the record of these keys to these values, or create it; first: what only a new one is given besides.

        ref: what it is called here; its object type is the collection.
        """
        held = yield from self.read(ref.object_type, keys)
        if held is None:
            yield from self.create(ref.object_type, {**keys, **(first or {}), **body})
        else:
            yield from self.change(ref.object_type, keys, held, body)
        return ref

    def find(self, ref: ExternalRef, keys: Keys, holds: Callable[[Row], bool] = bool) -> Verb[ExternalRef | None]:
        """The reference, if there is a record of these keys and this holds of it."""
        held = yield from self.read(ref.object_type, keys)
        return ref if held and holds(held) else None

    def all_or_nothing(self, parts: list[Part]) -> Verb[list[Answer]]:
        """Carry out changes as one change set: the service makes all of them or none. One answer per part."""
        request = batch(f"{self.service}/$batch", parts)
        answer = yield request
        answers = answers_of(answer)
        for each in answers:
            wrong = meaning(self.manifest, self.system, request, each, str)
            if wrong is not None:
                raise wrong
        if len(answers) != len(parts):
            raise OutcomeUnknown(f"{self.system}: {len(parts)} changes were sent in one set, {len(answers)} answered")
        return answers

    def replace_all(
        self, entity_set: str, keys: Keys, field: str, held: Iterable[Row], bodies: Iterable[Row]
    ) -> Verb[None]:
        """New records in the place of those that are held, all or none; all have these keys and differ by a field."""
        gone = [self.part("DELETE", entity_set, {**keys, field: row[field]}, held=row) for row in held]
        made = [self.part("POST", entity_set, body={**keys, **body}) for body in bodies]
        yield from self.all_or_nothing(gone + made)

    def create_all(self, entity_set: str, bodies: Iterable[Row]) -> Verb[list[Row]]:
        """New records, all of them or none; as the service answers them."""
        made = yield from self.all_or_nothing([self.part("POST", entity_set, body=body) for body in bodies])
        return [dict(answer.body) for answer in made]

    def part(
        self, method: str, entity_set: str, keys: Keys | None = None, body: Row | None = None, held: Row | None = None
    ) -> Part:
        """A change of a change set; held: the record as we have read it."""
        path = address(entity_set, keys, self.options)
        return Part(method, path, body, held["@odata.etag"] if held else "")


def batch(path: str, parts: Iterable[Part]) -> Request:
    """The request that carries out changes as one change set. The same changes make the same bytes."""
    pieces = [_piece(number, part) for number, part in enumerate(parts, 1)]
    mark = hashlib.sha256(b"".join(pieces)).hexdigest()[:32]
    inner = b"".join(b"--changeset_%s\r\n%s\r\n" % (mark.encode(), piece) for piece in pieces)
    content = (
        f"--batch_{mark}\r\nContent-Type: multipart/mixed; boundary=changeset_{mark}\r\n\r\n".encode()
        + inner
        + f"--changeset_{mark}--\r\n\r\n--batch_{mark}--\r\n".encode()
    )
    headers = {"Content-Type": f"multipart/mixed; boundary=batch_{mark}", "Accept": "multipart/mixed"}
    return Request("POST", path, content=content, headers=headers)


def _piece(number: int, part: Part) -> bytes:
    lines = [
        "Content-Type: application/http",
        "Content-Transfer-Encoding: binary",
        f"Content-ID: {number}",
        "",
        f"{part.method} {part.path} HTTP/1.1",
        "Accept: application/json",
        *([f"If-Match: {part.if_match}"] if part.if_match else []),
        *(["Content-Type: application/json"] if part.body is not None else []),
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + (encode(part.body) if part.body is not None else b"")


def answers_of(answer: Answer) -> list[Answer]:
    """The answers within the answer to a batch, in order. ValueError when it is none."""
    typed = answer.headers["Content-Type"]
    whole = message_from_bytes(f"Content-Type: {typed}\r\n\r\n".encode() + answer.content)
    if not whole.is_multipart():
        raise ValueError(f"a batch was answered as {typed}")
    return [_answer_in(leaf) for leaf in whole.walk() if not leaf.is_multipart()]


def _answer_in(leaf: Message) -> Answer:
    content = leaf.get_payload(decode=True)
    assert isinstance(content, bytes)
    head, _, body = content.replace(b"\r\n", b"\n").partition(b"\n\n")
    first, *rest = head.decode().strip().split("\n")
    headers = httpx.Headers(
        [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in rest)]
    )
    text = body.decode().strip()
    return Answer(int(first.split()[1]), headers, decode(text), text, body)
