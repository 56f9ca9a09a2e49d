"""What stands opposite a connector under test: an emulated vendor in this process, or a real system beside it."""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

import httpx
from starlette.types import ASGIApp

from isthmus.sandbox import server
from isthmus.sandbox.base import Fault, Record, Sandbox

ADDRESS = "http://sandbox.example"


class Counterpart(Protocol):
    """The other side. url has no trailing slash. real: it is the vendor's own software, where everything takes longer
    and nothing that is committed can be hidden.
    """

    url: str
    real: bool

    def credentials(self) -> dict[str, str]:
        """What a client needs to log in."""
        ...

    def transport(self) -> httpx.BaseTransport:
        """What carries requests there."""
        ...

    def seed(self, collection: str, record: Record) -> Record:
        """Put a record in as people over there would; the record as it is then."""
        ...

    def census(self) -> dict[str, int]:
        """Number of records by collection."""
        ...

    def fault(self, fault: Fault) -> None:
        """Plan a misbehaviour."""
        ...

    def reset(self) -> None:
        """Empty it, faults too."""
        ...

    def served(self, tls: bool) -> AbstractContextManager[tuple[str, Path | None]]:
        """Serve it on loopback for the length of a with-block: its address, and its authority's file when it is TLS."""
        ...


class Emulated:
    """A sandbox of this package, called without a network in between."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.url = ADDRESS
        self.real = sandbox.real
        self._sandbox = sandbox
        sandbox.base_url = ADDRESS
        self._transport = InProcess(sandbox.app())

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox itself, for checks that need its log."""
        return self._sandbox

    def credentials(self) -> dict[str, str]:
        """See Counterpart."""
        return self._sandbox.credentials()

    def transport(self) -> httpx.BaseTransport:
        """See Counterpart."""
        return self._transport

    def seed(self, collection: str, record: Record) -> Record:
        """See Counterpart."""
        return self._sandbox.seed(collection, record)

    def census(self) -> dict[str, int]:
        """See Counterpart."""
        return self._sandbox.records.census()

    def fault(self, fault: Fault) -> None:
        """See Counterpart."""
        self._sandbox.faults.append(fault)

    def forgive(self) -> None:
        """Forget all planned misbehaviour."""
        self._sandbox.faults.clear()

    def writes(self) -> int:
        """How many records were written so far: what a stale read may hide."""
        return self._sandbox.records.writes

    def reset(self) -> None:
        """See Counterpart."""
        self._sandbox.reset()

    @contextmanager
    def served(self, tls: bool) -> Iterator[tuple[str, Path | None]]:
        """See Counterpart."""
        running = server.start(self._sandbox, tls=tls)
        try:
            yield running.url, running.ca_file
        finally:
            running.stop()
            self._sandbox.base_url = ADDRESS


class InProcess(httpx.BaseTransport):
    """Carries requests to an ASGI application in this thread, one at a time."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The application's answer."""
        content, parts = request.read(), list[bytes]()
        start: dict[str, Any] = {}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                parts.append(message.get("body", b""))

        with self._lock:
            self._loop.run_until_complete(self._app(_scope(request), receive, send))
        headers = [*start["headers"], (b"date", format_datetime(datetime.now(UTC), usegmt=True).encode())]
        return httpx.Response(start["status"], headers=headers, content=b"".join(parts), request=request)

    def close(self) -> None:
        """It is used again by the next client; the loop ends with the process."""


def _scope(request: httpx.Request) -> dict[str, Any]:
    path = request.url.raw_path.split(b"?")[0]
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": unquote(path.decode()),
        "raw_path": path,
        "root_path": "",
        "query_string": request.url.query,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": ("127.0.0.1", 1),
        "server": (request.url.host, request.url.port or 80),
    }


def counterpart_of(name: str) -> Counterpart:
    """The other side of a connector: the sandbox of this name, or ``module:function`` that makes one."""
    module, _, function = name.partition(":")
    if not function:
        return Emulated(server.make(name))
    made: Counterpart = getattr(importlib.import_module(module), function)()
    return made
