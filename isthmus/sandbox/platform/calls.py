"""A call to the data API and its answer, whether it came over the wire or as a part of a composite call.

Modelled from the vendor's published material; not certified.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from isthmus.sandbox.platform.errors import ApiError, not_found

if TYPE_CHECKING:
    from isthmus.sandbox.platform.box import PlatformSandbox

_CLIENT = re.compile(r"client\s*=\s*([^,;\s]+)")
_DATA_PATH = re.compile(r"/services/data/v(\d+\.\d)(?:/(.*))?")
VERSIONS = [f"{number}.0" for number in range(31, 68)]


@dataclass
class Call:
    """One call; path is what follows /services/data/vNN.0/ and headers have lower-case names."""

    method: str
    version: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    raw: bytes = b""

    @property
    def base(self) -> str:
        """The path of this API version, for links in answers."""
        return f"/services/data/v{self.version}"

    @property
    def origin(self) -> str:
        """Who changes data, as change events name it: the client of Sforce-Call-Options, if any."""
        client = _CLIENT.search(self.headers.get("sforce-call-options", ""))
        return f"com/salesforce/api/rest/{self.version}" + (f";client={client[1]}" if client else "")

    def document(self) -> dict[str, Any]:
        """The JSON object of the body."""
        try:
            made = json.loads(self.raw)
        except ValueError as exc:
            raise ApiError(400, "JSON_PARSER_ERROR", f"Unexpected input: {exc}") from None
        if not isinstance(made, dict):
            raise ApiError(400, "JSON_PARSER_ERROR", "The body must be a JSON object")
        return made


@dataclass
class Answer:
    """Status, body (JSON value, CSV text or nothing) and extra headers."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    media: str = "application/json;charset=UTF-8"

    def content(self) -> bytes:
        """The body as bytes."""
        if self.body is None:
            return b""
        if isinstance(self.body, str):
            return self.body.encode()
        return json.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode()


Handler = Callable[["PlatformSandbox", Call, dict[str, str]], Answer]


class Router:
    """Addresses under one API version. A part in braces is one segment; {x:rest} takes everything."""

    def __init__(self) -> None:
        self._routes: list[tuple[re.Pattern[str], dict[str, Handler]]] = []

    def add(self, path: str, **methods: Handler) -> None:
        """Register handlers by method for one address."""
        pattern = re.sub(r"\{(\w+):rest\}", r"(?P<\1>.+)", path)
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)
        self._routes.append((re.compile(pattern + "/?"), methods))

    def find(self, call: Call) -> tuple[Handler, dict[str, str]]:
        """The handler of a call; the platform's 404 or 405 when there is none."""
        for pattern, methods in self._routes:
            match = pattern.fullmatch(call.path)
            if match is None:
                continue
            if call.method not in methods:
                allowed = ", ".join(sorted(methods))
                message = f"HTTP Method '{call.method}' not allowed. Allowed are {allowed}"
                raise ApiError(405, "METHOD_NOT_ALLOWED", message)
            return methods[call.method], match.groupdict()
        raise not_found()


def split(path: str) -> tuple[str, str]:
    """(version, rest) of a decoded data path; 404 for a version that does not exist."""
    match = _DATA_PATH.fullmatch(path)
    if match is None or match[1] not in VERSIONS:
        raise not_found()
    return match[1], match[2] or ""


def row_url(call: Call, entity: str, record_id: str) -> str:
    """The address of one record."""
    return f"{call.base}/sobjects/{quote(entity)}/{record_id}"
