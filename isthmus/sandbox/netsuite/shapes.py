"""How this vendor's answers look on the wire: error bodies, links, pages, and numbers without binary artefacts."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

REST = "/services/rest"
RESOURCE_TYPE = "application/vnd.oracle.resource+json"
_RFC_SECTIONS = "https://www.w3.org/Protocols/rfc2616/rfc2616-sec10.html"
_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    429: "Bad Request",  # the vendor's own sample says so
    500: "Internal Server Error",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class Refusal(Exception):
    """The vendor says no: becomes an error body.

    path, header, parameter and url say where the trouble is, under the vendor's ``o:`` keys.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        path: str | None = None,
        header: str | None = None,
        parameter: str | None = None,
        url: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        where = {
            "o:errorPath": path,
            "o:errorHeader": header,
            "o:errorQueryParam": parameter,
            "o:errorUrl": url,
        }
        self.details = {"detail": detail, "o:errorCode": code} | {k: v for k, v in where.items() if v is not None}
        self.headers = headers or {}
        self.title = "Conflict" if code == "IDEMPOTENCY_ERROR" else _TITLES.get(status, "Error")

    def body(self) -> dict[str, Any]:
        """The error document."""
        body: dict[str, Any] = {"type": _section(self.status), "title": self.title, "status": self.status}
        if self.status == 429:
            body["o:errorCode"] = "USER_ERROR"  # stray in the vendor's sample, kept for clients that read it
        return body | {"o:errorDetails": [self.details]}

    def response(self) -> Response:
        """The error document as an HTTP answer."""
        return answer(self.body(), self.status, f"{RESOURCE_TYPE}; type=error", self.headers)


def _section(status: int) -> str:
    """The section of the HTTP standard the vendor links for a status."""
    if status == 401:
        return _RFC_SECTIONS
    family = status // 100
    return f"{_RFC_SECTIONS}#sec10.{family}.{1 if status == 429 else status % 100 + 1}"


def invalid_content(path: str, field: str, value: Any) -> Refusal:
    """A value the field cannot take."""
    shown = value.get("id", value.get("externalId", "")) if isinstance(value, dict) else value
    text = f"Error while accessing a resource. Invalid value {shown} for the field {field}."
    return Refusal(400, "INVALID_CONTENT", text, path=path)


def user_error(text: str, path: str | None = None) -> Refusal:
    """A business rule of the account said no."""
    return Refusal(400, "USER_ERROR", f"Error while accessing a resource. {text}", path=path)


def unexpected(status: int) -> Refusal:
    """What the outside sees when the service itself fails (outage, gateway, planned fault)."""
    if status == 429:
        return Refusal(429, "CONCURRENCY_LIMIT_EXCEEDED", "Concurrent request limit exceeded. Request blocked.")
    if status == 401:
        return Refusal(401, "INVALID_LOGIN", "Invalid login attempt. See the login audit trail of the account.")
    if status == 404:
        return Refusal(404, "NONEXISTENT_ID", "The record instance does not exist. Provide a valid record id.")
    code = "USER_ERROR" if status < 500 else "UNEXPECTED_ERROR"
    return Refusal(status, code, "An unexpected error occurred. Error ID: sandbox")


def parse(body: bytes) -> Any:
    """A request body with every fraction as Decimal; None when there is no body."""
    if not body:
        return None
    try:
        return json.loads(body, parse_float=Decimal)
    except ValueError:
        text = "Invalid content in the request body. The JSON cannot be read."
        raise Refusal(400, "INVALID_CONTENT", text) from None


def render(document: Any) -> bytes:
    """JSON bytes. The vendor's numbers are doubles; the shortest text of a double shows no binary artefacts."""
    return json.dumps(document, default=_plain, separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"not a vendor value: {value!r}")


def answer(
    document: Any, status: int = 200, media_type: str = RESOURCE_TYPE, headers: dict[str, str] | None = None
) -> Response:
    """A document as an HTTP answer in the vendor's media type."""
    return Response(render(document), status, headers, media_type)


def empty(status: int, location: str | None = None, headers: dict[str, str] | None = None) -> Response:
    """An answer without a body, as after every write; the id of the record is only in Location."""
    sent = dict(headers or {})
    if location is not None:
        sent["Location"] = location
    return Response(None, status, sent)


def link(href: str, rel: str = "self") -> list[dict[str, str]]:
    """The ``links`` property with one entry."""
    return [{"rel": rel, "href": href}]


def page_bounds(query: dict[str, str], maximum: int = 1000) -> tuple[int, int]:
    """(limit, offset) of a request; offset has to be a multiple of limit, as this vendor insists."""
    limit = _whole(query, "limit", maximum)
    offset = _whole(query, "offset", 0)
    if not 1 <= limit <= maximum:
        text = f"Invalid query parameter limit: {limit}. It must be from 1 to {maximum}."
        raise Refusal(400, "INVALID_PARAMETER", text, parameter="limit")
    if offset < 0 or offset % limit:
        text = f"Invalid query parameter offset: {offset}. It must be a multiple of the limit {limit}."
        raise Refusal(400, "INVALID_PARAMETER", text, parameter="offset")
    return limit, offset


def _whole(query: dict[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not text.lstrip("-").isdigit():
        raise Refusal(400, "INVALID_PARAMETER", f"Invalid query parameter {name}: {text}.", parameter=name)
    return int(text)


def page(url: str, query: dict[str, str], items: list[Any], total: int, limit: int, offset: int) -> dict[str, Any]:
    """One page of a collection with its links."""

    def at(rel: str, start: int) -> dict[str, str]:
        return {"rel": rel, "href": f"{url}?{urlencode({**query, 'limit': limit, 'offset': start})}"}

    more = offset + len(items) < total
    links = [at("self", offset)]
    if offset:
        links += [at("first", 0), at("previous", max(0, offset - limit))]
    if more:
        links += [at("next", offset + limit), at("last", (total - 1) // limit * limit)]
    return {
        "links": links,
        "count": len(items),
        "hasMore": more,
        "items": items,
        "offset": offset,
        "totalResults": total,
    }
