"""Requests a connector builds and answers it parses. A connector never sends: its verbs are generators.

def find_client(self, client: Client) -> Verb[ExternalRef | None]:
    answer = yield Request("GET", f"customers/{client.client_no}", allow=(404,))
    return None if answer.status == 404 else self.ref("customer", answer.body["id"])
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import simplejson

T = TypeVar("T")
Row = dict[str, Any]  # one record as it is over there


@dataclass(frozen=True)
class Request:
    """One HTTP request relative to the connection's base URL.

    query: what follows the address; a list is several values of one name.
    json: body; Decimals in it go out as JSON numbers without float artefacts. content: a body that is no JSON, its type
    in headers. allow: statuses beyond 2xx that the verb itself understands and wants to see. writes: whether it changes
    something there; None means by method. if_match: write only if the record is still of this version (its ETag), else
    LostRace. key: the business key of this one write, sent as the vendor's idempotency key (manifest [idempotency]).
    timeout_seconds: for an answer that takes longer, or may take less, than the manifest says. elsewhere: the path is a
    whole address of another host, which lets in by itself: no token of this connection goes there. alone: what the
    vendor takes one request at a time for, in the whole fleet.
    """

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    form: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    allow: tuple[int, ...] = ()
    writes: bool | None = None
    content: bytes | None = None
    if_match: str = ""
    key: str = ""
    timeout_seconds: float | None = None
    elsewhere: bool = False
    alone: str = ""

    @property
    def is_write(self) -> bool:
        """True when an unknown outcome of this request may have changed something."""
        return self.method not in ("GET", "HEAD") if self.writes is None else self.writes


@dataclass(frozen=True)
class Answer:
    """One HTTP answer. body: parsed JSON, numbers as Decimal or int; None when there is none. content: as bytes."""

    status: int
    headers: httpx.Headers
    body: Any
    text: str
    content: bytes = b""


Verb = Generator[Request, Answer, T]


def record_of(answer: Answer, named: str = "id") -> Row:
    """The record an answer holds. LookupError or TypeError for what is none: it lacks what every record has."""
    body: Row = answer.body
    body[named]
    return body


def rows_of(answer: Answer) -> list[Row]:
    """The records an answer lists. TypeError for what is no list: it would read as none."""
    if not isinstance(answer.body, list):
        raise TypeError("a list of records")
    return answer.body


def dig(body: Any, path: str) -> Any:
    """The value at a dotted path ("o:errorDetails.0.detail") or None."""
    for step in path.split(".") if path else ():
        if isinstance(body, list):
            body = body[int(step)] if step.isdigit() and int(step) < len(body) else None
        elif isinstance(body, dict):
            body = body.get(step)
        else:
            return None
    return body if path else None


def encode(body: Any) -> bytes:
    """JSON bytes; a Decimal is written digit by digit (never through a float), dates as ISO 8601."""
    return bytes(simplejson.dumps(body, use_decimal=True, default=str, ensure_ascii=False).encode())


def decode(text: str) -> Any:
    """Parsed JSON, fractions as Decimal; None when the text is empty or no JSON."""
    try:
        return simplejson.loads(text, use_decimal=True) if text else None
    except simplejson.JSONDecodeError:
        return None
