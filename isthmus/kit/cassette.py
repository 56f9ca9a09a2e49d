"""Cassettes: what was sent and answered, one JSON line an exchange, scrubbed before it is written, played back later.

A cassette shows a vendor's support what happened, lets a test repeat it without the vendor, and lets the same answers
be read again under another version of a mapping. Nothing in it lets anybody in: secrets of the connection are masked
wherever they stand, and headers and fields whose names speak of credentials are masked whatever they hold.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx

from isthmus.domain.errors import BadInput
from isthmus.kit.masking import MASK, masked

# Names that speak of credentials; "key" alone does not: records have keys.
_TELLING = re.compile(
    r"authoriz|passw|secret|assertion|signature|cookie|credential|api[-_]?key|(access|refresh|id|session|csrf|auth)[-_]?token"
    r"|^token$|^sid$|private[-_]?key",
    re.IGNORECASE,
)
_JWT = re.compile(r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*")
_PEM = re.compile(r"-----BEGIN [^-]+-----.*?-----END [^-]+-----", re.DOTALL)


@dataclass(frozen=True)
class Recorded:
    """One exchange, scrubbed. bodies are text."""

    method: str
    url: str
    request_headers: dict[str, str]
    request_body: str
    status: int
    response_headers: dict[str, str]
    response_body: str


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """A text, JSON or form without anything that lets anybody in."""
    text = _PEM.sub(MASK, _JWT.sub(MASK, masked(text, secrets)))
    try:
        parsed = json.loads(text)
    except ValueError:
        return _scrubbed_form(text)
    # Written again only when something was taken out, so that every other body stays as it was, digit by digit.
    clean = _without_credentials(parsed)
    return text if clean == parsed else json.dumps(clean)


def _scrubbed_form(text: str) -> str:
    pairs = parse_qsl(text, keep_blank_values=True) if "=" in text and "\n" not in text.strip() else []
    if not any(_TELLING.search(name) for name, _ in pairs):
        return text
    return urlencode([(name, MASK if _TELLING.search(name) else value) for name, value in pairs])


def _without_credentials(body: Any) -> Any:
    if isinstance(body, dict):
        return {
            name: MASK if _TELLING.search(name) and isinstance(value, str) else _without_credentials(value)
            for name, value in body.items()
        }
    if isinstance(body, list):
        return [_without_credentials(each) for each in body]
    return _scrubbed_form(body) if isinstance(body, str) else body  # a form that an answer repeats


def _headers(headers: Mapping[str, str], secrets: list[str]) -> dict[str, str]:
    return {name: MASK if _TELLING.search(name) else scrubbed(value, secrets) for name, value in headers.items()}


class Recording(httpx.BaseTransport):
    """Carries requests on and writes each exchange to a cassette. secrets: asked anew each time, as they may change."""

    def __init__(self, inner: httpx.BaseTransport, path: Path, secrets: Callable[[], Iterable[str]]) -> None:
        self._inner = inner
        self._path = path
        self._secrets = secrets
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, after it was written down."""
        sent = request.read().decode(errors="replace")
        response = self._inner.handle_request(request)
        got = response.read().decode(errors="replace")
        secrets = [secret for secret in self._secrets() if secret]
        url, _, query = str(request.url).partition("?")
        query = scrubbed(query, secrets)
        kept = Recorded(
            method=request.method,
            url=masked(f"{url}?{query}" if query else url, secrets),
            request_headers=_headers(request.headers, secrets),
            request_body=scrubbed(sent, secrets),
            status=response.status_code,
            response_headers=_headers(response.headers, secrets),
            response_body=scrubbed(got, secrets),
        )
        with self._lock, self._path.open("a") as file:
            file.write(json.dumps(asdict(kept), ensure_ascii=False) + "\n")
        return response

    def close(self) -> None:
        """Close what carries the requests."""
        self._inner.close()


def read(path: Path) -> Iterator[Recorded]:
    """The exchanges of a cassette. BadInput names the line that is none."""
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            yield Recorded(**json.loads(line))
        except (ValueError, TypeError) as wrong:
            raise BadInput(f"{path.name}:{number} is no exchange: {wrong}") from wrong


class Playing(httpx.BaseTransport):
    """Answers from a cassette: the next exchange of the same method, path and query, else of the same method and path.

    The recorded path may be longer at its beginning: where the API was then does not matter.
    """

    def __init__(self, exchanges: Iterable[Recorded]) -> None:
        self._left = list(exchanges)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The recorded answer. BadInput when there is none for this request."""
        found = self._next(request, whole=True) or self._next(request, whole=False)
        if found is None:
            raise BadInput(f"the cassette has no answer to {request.method} {request.url.path}")
        self._left.remove(found)
        kept = {name: value for name, value in found.response_headers.items() if name != "content-encoding"}
        return httpx.Response(found.status, headers=kept, text=found.response_body, request=request)

    def _next(self, request: httpx.Request, whole: bool) -> Recorded | None:
        for one in self._left:
            url = httpx.URL(one.url)
            same = one.method == request.method and url.path.endswith(request.url.path)
            if same and (not whole or url.query == request.url.query):
                return one
        return None
