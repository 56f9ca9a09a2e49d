"""A process that holds the four sandboxes and serves copies of them: fork() copies what they remember.

Commands come as lines of JSON on standard input, answers go to standard output. ``serve`` serves the original until
``freeze``; from then on each ``fork`` serves a copy on the same ports, until ``end``. One thread, so forking is safe.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import signal
import socket
import sys
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from isthmus.sandbox.server import make

HOST = "127.0.0.1"
NAMES = ("avalara", "kantata", "netsuite", "salesforce")


class Cut:
    """Breaks one connection in the middle of its answer, before or after the work was done: a reset, not a status."""

    def __init__(self, inner: ASGIApp) -> None:
        self.inner = inner
        self.plans: list[dict[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        plan = next((p for p in self.plans if self._strikes(p, scope)), None)
        if plan is None:
            await self.inner(scope, receive, send)
            return
        if plan["done"]:
            await self.inner(scope, receive, _swallow)
        length = [(b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        # Returning with 1000 bytes owed makes the server close the connection.

    def _strikes(self, plan: dict[str, Any], scope: Scope) -> bool:
        if plan["method"] != scope["method"] or not re.search(plan["path"], scope["path"]) or plan.get("spent"):
            return False
        plan["skip"] -= 1
        plan["spent"] = plan["skip"] < 0
        return bool(plan["spent"])


async def _swallow(message: Message) -> None:
    """Drop the answer."""


class Farm:
    """The four sandboxes in one event loop."""

    def __init__(self) -> None:
        self.boxes = {name: make(name) for name in NAMES}
        self.ports = {name: _free_port() for name in NAMES}
        for name, box in self.boxes.items():
            box.base_url = f"http://{HOST}:{self.ports[name]}"
        # app() puts the standing data in, so it is called once: a copy must keep what the original was given.
        self.cuts = {name: Cut(box.app()) for name, box in self.boxes.items()}
        self.child = 0

    def serve(self, until: int | None) -> None:
        """Serve all four; until a line is waiting at this file descriptor, or for ever."""
        asyncio.run(self._serve(until))

    async def _serve(self, until: int | None) -> None:
        servers = []
        for name, app in self.cuts.items():
            config = uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off")
            servers.append((uvicorn.Server(config), _listen(self.ports[name])))
        tasks = [asyncio.create_task(server.serve([listener])) for server, listener in servers]
        while not all(server.started for server, _ in servers):
            await asyncio.sleep(0.002)
        _say({"ready": os.getpid()})
        if until is None:
            await asyncio.gather(*tasks)
        asked = asyncio.Event()
        asyncio.get_running_loop().add_reader(until or 0, asked.set)
        await asked.wait()
        for server, _ in servers:
            server.should_exit = server.force_exit = True
        await asyncio.gather(*tasks)

    def fork(self, cuts: dict[str, list[dict[str, Any]]]) -> None:
        """Serve a copy of the original as it stands."""
        self.end()
        self.child = os.fork()
        if self.child == 0:
            for name, plans in cuts.items():
                self.cuts[name].plans = plans
            try:
                self.serve(None)
            finally:
                os._exit(0)

    def end(self) -> None:
        """End the copy as suddenly as it came."""
        if self.child:
            os.kill(self.child, signal.SIGKILL)
            os.waitpid(self.child, 0)
            self.child = 0


def _free_port() -> int:
    """A port below those that outgoing connections get: it must stay free while nobody listens on it."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    return listener


def _say(answer: Any) -> None:
    os.write(1, (json.dumps(answer) + "\n").encode())


def main() -> None:
    """Obey until standard input ends."""
    farm = Farm()
    known = {
        n: {"url": f"http://{HOST}:{farm.ports[n]}", "credentials": b.credentials()} for n, b in farm.boxes.items()
    }
    _say(known)
    # Unbuffered: the reader that ends serve() must see a line that is waiting.
    for line in os.fdopen(0, "rb", buffering=0):
        command = json.loads(line)
        if command["do"] == "serve":
            farm.serve(0)
        elif command["do"] == "fork":
            farm.fork(command["cuts"])
        elif command["do"] == "end":
            farm.end()
            _say({})
    farm.end()


if __name__ == "__main__":
    sys.exit(main())
