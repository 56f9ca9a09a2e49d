"""The gateway: faults before it, the real Tryton behind it, and the control surface that every sandbox has."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import httpx
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from isthmus.sandbox.base import Record, Records, Sandbox
from isthmus.sandbox.tryton import people
from isthmus.sandbox.tryton.ledger import Ledger
from isthmus.sandbox.tryton.rpc import Office
from isthmus.sandbox.tryton.template import Backend

ROOT = Path(__file__).resolve().parents[3]
NOT_CARRIED = {"host", "content-length", "connection", "transfer-encoding", "content-encoding", "accept-encoding"}
_STARTING = threading.Lock()  # two that ask first at once ask one server
_RUNNING: dict[Backend, Server] = {}


@dataclass
class Server:
    """A running Tryton: where it is, a client to it, its tables, and a session of its administrator. It ends with end,
    at the latest with the process.
    """

    url: str
    key: str
    database: str
    client: httpx.Client
    office: Office
    alone: threading.Lock
    end: Callable[[], None]

    @cached_property
    def ledger(self) -> Ledger:
        """The tables, of a Tryton on PostgreSQL."""
        return Ledger(self.database)


def server(backend: Backend = "postgresql") -> Server:
    """The Tryton of this process on this kind of database, started now if it is not there yet. RuntimeError if it
    cannot be started.
    """
    with _STARTING:
        if backend not in _RUNNING:
            _RUNNING[backend] = _started(backend)
        return _RUNNING[backend]


def _started(backend: Backend) -> Server:
    keeper = subprocess.Popen(
        [sys.executable, "-m", "isthmus.sandbox.tryton.keeper", backend],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    assert keeper.stdout is not None and keeper.stdin is not None
    said = json.loads(keeper.stdout.readline() or '{"wrong": "its keeper said nothing"}')
    if "wrong" in said:
        keeper.stdin.close()
        raise RuntimeError(f"Tryton cannot be started: {said['wrong']}")
    limits = httpx.Limits(max_connections=32, max_keepalive_connections=32)
    client = httpx.Client(base_url=said["url"], timeout=120, trust_env=False, limits=limits)
    office = Office(said["url"])

    def end() -> None:
        atexit.unregister(end)
        client.close()
        office.close()
        assert keeper.stdin is not None
        keeper.stdin.close()
        keeper.wait(60)

    atexit.register(end)
    return Server(said["url"], said["key"], said["database"], client, office, threading.Lock(), end)


class RealRecords(Records):
    """What Tryton holds, as a control surface shows it. Nobody can put anything in but Tryton itself."""

    def census(self) -> dict[str, int]:
        """See Records."""
        with server().alone:
            return server().ledger.census()

    def snapshot(self) -> dict[str, list[Record]]:
        """See Records. As somebody sees it who signs in."""
        with server().alone:
            return people.seen(server().office)

    def clear(self) -> None:
        """See Records."""
        with server().alone:
            server().ledger.empty()


class FileRecords(Records):
    """What a Tryton on a file holds. Emptied, the next that is asked something begins with a file as it was kept."""

    def census(self) -> dict[str, int]:
        """See Records."""
        return {kind: len(rows) for kind, rows in self.snapshot().items()}

    def snapshot(self) -> dict[str, list[Record]]:
        """See Records. As somebody sees it who signs in."""
        return people.seen(server("sqlite").office)

    def clear(self) -> None:
        """See Records."""
        with _STARTING:
            if running := _RUNNING.pop("sqlite", None):
                running.end()


class TrytonSandbox(Sandbox):
    """Tryton behind the fault gate. Its clock is the machine's, whatever a control surface says."""

    name = "tryton"
    real = True

    def __init__(self, backend: Backend = "postgresql") -> None:
        super().__init__()
        self.backend: Backend = backend
        self.records = RealRecords() if backend == "postgresql" else FileRecords()

    def credentials(self) -> dict[str, str]:
        """See Sandbox. The key that an administrator gave the hub's user."""
        return {"token": server(self.backend).key}

    def seed(self, collection: str, record: Record) -> Record:
        """See Sandbox. Done by people, see people."""
        there = server(self.backend)
        with there.alone:
            return people.seed(there.office, collection, record)

    def error(self, status: int) -> Response:
        """See Sandbox. What a proxy before Tryton says."""
        return PlainTextResponse(f"{status}: upstream", status_code=status)

    def routes(self) -> list[BaseRoute]:
        """See Sandbox. Every address is Tryton's own."""
        return [Route("/{path:path}", self._carry, methods=["GET", "POST", "PUT", "DELETE"])]

    async def _carry(self, request: Request) -> Response:
        """Ask Tryton and give its answer back as it is."""
        headers = {name: value for name, value in request.headers.items() if name not in NOT_CARRIED}
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        content = await request.body()

        def ask() -> httpx.Response:
            return server(self.backend).client.request(request.method, path, content=content, headers=headers)

        answer = await run_in_threadpool(ask)
        kept = {name: value for name, value in answer.headers.items() if name not in NOT_CARRIED}
        return Response(answer.content, answer.status_code, kept)
