"""What every sandbox is made of: a record store with its own ids, a fault control, a request log and a server.

A sandbox is an emulator modelled from the vendor's published material. It is not the vendor's software and is not
certified by anyone. It answers over real HTTP and keeps its records in memory.

Control surface, the same for every sandbox, outside the vendor's own URL space:

====== ======================= ==================================================================
GET    /_control/state         every record, by collection (stable order), for comparison
GET    /_control/log           requests seen: method, path, status; highest concurrency seen
POST   /_control/seed          {"collection": [{...}, ...]}: records put in as the vendor's own users would
POST   /_control/faults        one fault or a list of faults, see :class:`Fault`
DELETE /_control/faults        forget all faults
POST   /_control/outage        {"on": true}: every vendor URL answers 503 until {"on": false}
POST   /_control/clock         {"now": "2026-03-02T09:00:00Z"}: the sandbox's clock stands there; {} lets it run
POST   /_control/reset         empty the sandbox
====== ======================= ==================================================================
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Record = dict[str, Any]
FaultKind = Literal["latency", "status", "timeout_before_commit", "timeout_after_commit", "stale_read", "duplicate"]


@dataclass
class Fault:
    """One planned misbehaviour.

    kind: ``latency`` waits ``seconds`` and then serves; ``status`` answers ``status`` with ``body`` and does nothing;
    ``timeout_before_commit`` does nothing and answers 504; ``timeout_after_commit`` does the work, then answers 504
    (with ``seconds`` > 0 it stays silent that long first, so that the caller's own timeout fires); ``stale_read``
    hides the newest ``lag`` writes from queries; ``duplicate`` does the work twice, as a proxy that resends would.
    method, path: regular expressions on the request; times: how often it strikes; skip: matches let through first.
    """

    kind: FaultKind
    method: str = ".*"
    path: str = ".*"
    times: int = 1
    skip: int = 0
    seconds: float = 0.0
    status: int = 500
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    lag: int = 1

    def strikes(self, method: str, path: str) -> bool:
        """True when this fault applies to the request now; counts itself down."""
        if self.times <= 0 or not re.fullmatch(self.method, method) or not re.search(self.path, path):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True


class Records:
    """Named collections of records with their own ids; knows in which order records were written."""

    def __init__(self) -> None:
        self._collections: dict[str, dict[str, Record]] = {}
        self._written_at: dict[tuple[str, str], int] = {}
        self._writes = 0
        self.hidden_writes = 0  # set by a stale_read fault for one request

    def put(self, collection: str, record_id: str, record: Record) -> Record:
        """Insert or replace one record under the vendor's own id."""
        self._writes += 1
        self._collections.setdefault(collection, {})[record_id] = record
        self._written_at.setdefault((collection, record_id), self._writes)
        return record

    def get(self, collection: str, record_id: str) -> Record | None:
        """One record by id, never stale: vendors serve reads by id from the primary."""
        return self._collections.get(collection, {}).get(record_id)

    def delete(self, collection: str, record_id: str) -> bool:
        """Remove one record; False when it was not there."""
        return self._collections.get(collection, {}).pop(record_id, None) is not None

    def all(self, collection: str) -> Iterator[tuple[str, Record]]:
        """(id, record) of a collection as a query sees it: stale while a stale_read fault is on."""
        horizon = self._writes - self.hidden_writes
        for record_id, record in list(self._collections.get(collection, {}).items()):
            if self._written_at[(collection, record_id)] <= horizon:
                yield record_id, record

    def find(self, collection: str, **equals: Any) -> list[tuple[str, Record]]:
        """(id, record) pairs whose fields equal the given values."""
        return [(i, r) for i, r in self.all(collection) if all(r.get(k) == v for k, v in equals.items())]

    def find_now(self, collection: str, **equals: Any) -> list[tuple[str, Record]]:
        """As find, never stale: what a rule of the vendor's own sees."""
        rows = list(self._collections.get(collection, {}).items())
        return [(i, r) for i, r in rows if all(r.get(k) == v for k, v in equals.items())]

    def count(self, collection: str) -> int:
        """Number of records in a collection."""
        return len(self._collections.get(collection, {}))

    def clear(self) -> None:
        """Forget everything."""
        self._collections.clear()
        self._written_at.clear()
        self._writes = 0

    @property
    def writes(self) -> int:
        """How many records were written so far."""
        return self._writes

    def census(self) -> dict[str, int]:
        """Number of records by collection."""
        return {collection: len(rows) for collection, rows in self._collections.items() if rows}

    def snapshot(self) -> dict[str, list[Record]]:
        """Every record by collection in a stable order."""
        return {c: [rows[i] for i in sorted(rows)] for c, rows in sorted(self._collections.items()) if rows}


class Sandbox:
    """Base of one emulated vendor system. A subclass names itself, lists its routes and its credentials.

    name: the vendor, lower case. real: it stands before the vendor's own software, not for it. error(status, ...) is
    overridden so that faults and outages answer in the vendor's own error shape.
    """

    name = "sandbox"
    real = False

    def __init__(self) -> None:
        self.records = Records()
        self.faults: list[Fault] = []
        self.outage = False
        self.fixed_now: datetime | None = None
        self.log: list[dict[str, Any]] = []
        self.concurrent = 0
        self.concurrent_max = 0
        self.base_url = ""

    # -- for the vendor to fill -------------------------------------------------------------------------------
    def routes(self) -> list[BaseRoute]:
        """The vendor's URLs."""
        raise NotImplementedError

    def credentials(self) -> dict[str, str]:
        """What a client needs to log in; names as the vendor calls them. Synthetic."""
        return {}

    def error(self, status: int) -> Response:
        """The vendor's own body for an unplanned answer of this status (503 in an outage, 504 after a fault)."""
        return JSONResponse({"error": f"HTTP {status}"}, status_code=status)

    def seed(self, collection: str, record: Record) -> Record:
        """Put one record in as the vendor's own user would: the vendor assigns id and stamps."""
        raise NotImplementedError

    def serve_beside(self, tls: dict[str, Any]) -> None:
        """Called when it is served: start what the vendor serves beside HTTP. tls: key and certificate, if it has."""

    def stop_beside(self) -> None:
        """Called when it is served no longer."""

    def on_reset(self) -> None:
        """Called after every reset; put standing reference data in again here."""

    # -- common ------------------------------------------------------------------------------------------------
    def now(self) -> datetime:
        """The sandbox's clock, UTC."""
        return self.fixed_now or datetime.now(UTC)

    def reset(self) -> None:
        """Empty: records, faults, outage, log, clock."""
        self.records.clear()
        self.faults.clear()
        self.outage = False
        self.fixed_now = None
        self.log.clear()
        self.concurrent_max = 0
        self.on_reset()

    def app(self) -> ASGIApp:
        """The ASGI application: control surface plus the vendor's routes behind the fault gate."""
        self.on_reset()
        inner = Starlette(routes=[*self._control_routes(), *self.routes()])
        return _FaultGate(self, inner)

    def _control_routes(self) -> list[BaseRoute]:
        def control(path: str, methods: list[str], act: Callable[[Any], Any]) -> Route:
            async def endpoint(request: Request) -> Response:
                body = await request.body()
                return JSONResponse(act(json.loads(body) if body else None))

            return Route(f"/_control/{path}", endpoint, methods=methods)

        return [
            control("state", ["GET"], lambda _: self.records.snapshot()),
            control("log", ["GET"], lambda _: {"requests": self.log, "concurrent_max": self.concurrent_max}),
            control("seed", ["POST"], self._seed_all),
            control("faults", ["POST"], self._add_faults),
            control("faults", ["DELETE"], lambda _: self.faults.clear()),
            control("outage", ["POST"], lambda body: setattr(self, "outage", bool(body["on"]))),
            control("clock", ["POST"], self._set_clock),
            control("reset", ["POST"], lambda _: self.reset()),
        ]

    def _seed_all(self, body: dict[str, Iterable[Record]]) -> dict[str, list[Record]]:
        return {c: [self.seed(c, dict(r)) for r in rows] for c, rows in body.items()}

    def _add_faults(self, body: Any) -> int:
        self.faults.extend(Fault(**f) for f in (body if isinstance(body, list) else [body]))
        return len(self.faults)

    def _set_clock(self, body: dict[str, str] | None) -> str:
        stamp = (body or {}).get("now")
        self.fixed_now = datetime.fromisoformat(stamp.replace("Z", "+00:00")) if stamp else None
        return self.now().isoformat()


class _FaultGate:
    """Stands before the vendor's routes: outage, faults, the request log and the concurrency count."""

    def __init__(self, sandbox: Sandbox, inner: ASGIApp) -> None:
        self.sandbox = sandbox
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/_control/"):
            await self.inner(scope, receive, send)
            return
        box = self.sandbox
        box.concurrent += 1
        box.concurrent_max = max(box.concurrent_max, box.concurrent)
        entry = {"method": scope["method"], "path": scope["path"], "at": box.now().isoformat()}
        box.log.append(entry)

        async def logged_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry["status"] = message["status"]
            await send(message)

        try:
            await self._serve(scope, receive, logged_send)
        finally:
            box.concurrent -= 1

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        box = self.sandbox
        if box.outage:
            await box.error(503)(scope, receive, send)
            return
        fault = next((f for f in box.faults if f.strikes(scope["method"], scope["path"])), None)
        if fault is None:
            await self.inner(scope, receive, send)
        elif fault.kind == "latency":
            await asyncio.sleep(fault.seconds)
            await self.inner(scope, receive, send)
        elif fault.kind == "status":
            answer = (
                box.error(fault.status)
                if fault.body is None
                else JSONResponse(fault.body, status_code=fault.status, headers=fault.headers)
            )
            answer.headers.update(fault.headers)
            await answer(scope, receive, send)
        elif fault.kind == "stale_read":
            box.records.hidden_writes = fault.lag
            try:
                await self.inner(scope, receive, send)
            finally:
                box.records.hidden_writes = 0
        else:
            await self._lose_the_answer(fault, scope, receive, send)

    async def _lose_the_answer(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        if fault.kind != "timeout_before_commit":
            body = await _read_body(receive)
            for _ in range(2 if fault.kind == "duplicate" else 1):
                await self.inner(scope, _replay(body), send if fault.kind == "duplicate" and _ else _swallow)
        if fault.kind != "duplicate":
            await asyncio.sleep(fault.seconds)
            await self.sandbox.error(504)(scope, receive, send)


async def _read_body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _replay(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _swallow(message: Message) -> None:
    """Drop the answer: the work was done, nobody hears of it."""


Handler = Callable[[Request], Awaitable[Response]]
