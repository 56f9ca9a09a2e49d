"""Webhooks of a sandbox on their way: kept, signed when they are sent, and made to go wrong on demand.

A vendor that pushes puts what has happened in here. By itself it is sent at once, in order. A test holds it back and
decides what becomes of it, at the control surface beside that of :mod:`isthmus.sandbox.base`:

====== ======================== ===================================================================================
GET    /_control/webhooks       {"waiting": [...], "sent": [...], "lost": [...]}: content, attempts and last answer
POST   /_control/webhooks       {"held": true} keeps what happens from now on until it is sent by hand
POST   /_control/webhooks/send  sends what waits: {"order": "kept" | "reversed" | "shuffled", "seed": 1,
                                "drop": 0.1, "repeat": 0.1}: shares of it that never arrive, and that arrive twice
====== ======================== ===================================================================================

What the receiver does not take (no 2xx) waits for the next sending, at most as often as the vendor tries.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

Content = dict[str, Any]


@dataclass
class Notice:
    """One thing that has happened, for one receiver. context: what signing needs and nobody sends."""

    url: str
    content: Content
    context: Any = None
    attempts: int = 0
    answer: int | None = None

    def told(self) -> Content:
        """As the control surface shows it."""
        return {"url": self.url, "content": self.content, "attempts": self.attempts, "answer": self.answer}


Letter = tuple[bytes, dict[str, str]]  # body and headers of one request


class Push:
    """What a sandbox pushes. letter: body and headers for the notices of one request, made anew for every attempt.

    together: how many notices one request carries at most; attempts_max: how often the vendor tries. held: whether they
    wait until they are sent by hand. client: replaced by a test whose receiver has no address of its own.
    """

    def __init__(
        self, letter: Callable[[str, Sequence[Notice]], Letter], *, together: int = 1, attempts_max: int = 10
    ) -> None:
        self._letter = letter
        self._together = together
        self._attempts_max = attempts_max
        self._lock = threading.RLock()
        self._sender: threading.Thread | None = None
        self.client = httpx.Client(trust_env=False, timeout=5.0)
        self.held = False
        self.waiting: list[Notice] = []
        self.sent: list[Notice] = []
        self.lost: list[Notice] = []

    def put(self, url: str, content: Content, context: Any = None) -> None:
        """Something has happened; it is sent soon unless notices are held."""
        with self._lock:
            self.waiting.append(Notice(url, content, context))
            if not self.held and (self._sender is None or not self._sender.is_alive()):
                self._sender = threading.Thread(target=self._send_all, name="sandbox-push", daemon=True)
                self._sender.start()

    def clear(self) -> None:
        """Forget everything, and send by itself again."""
        with self._lock:
            self.held = False
            for heap in (self.waiting, self.sent, self.lost):
                heap.clear()

    def send(self, order: str = "kept", seed: int = 1, drop: float = 0.0, repeat: float = 0.0) -> Content:
        """Send what waits, once; how many were taken, refused, dropped and sent twice."""
        chance = random.Random(seed)
        with self._lock:
            notices, self.waiting[:] = list(self.waiting), []
        dropped = chance.sample(notices, round(len(notices) * drop))
        kept = [notice for notice in notices if all(notice is not one for one in dropped)]
        twice = chance.sample(kept, round(len(kept) * repeat))
        if order == "reversed":
            kept.reverse()
        if order == "shuffled":
            chance.shuffle(kept)
        self.lost += dropped
        taken = self._deliver(kept)
        self._deliver([notice for notice in twice if notice in self.sent], again=True)
        return {"taken": taken, "refused": len(kept) - taken, "dropped": len(dropped), "repeated": len(twice)}

    def routes(self) -> list[BaseRoute]:
        """The control surface."""
        return [
            Route("/_control/webhooks", self._show, methods=["GET"]),
            Route("/_control/webhooks", self._hold, methods=["POST"]),
            Route("/_control/webhooks/send", self._send, methods=["POST"]),
        ]

    # -- sending -------------------------------------------------------------------------------------------------
    def _send_all(self) -> None:
        """Until nothing waits, or the receiver takes nothing: then the next notice starts it again."""
        while self.waiting and not self.held and self.send()["taken"]:
            pass

    def _deliver(self, notices: list[Notice], again: bool = False) -> int:
        taken = 0
        for url in dict.fromkeys(notice.url for notice in notices):
            mine = [notice for notice in notices if notice.url == url]
            for start in range(0, len(mine), self._together):
                batch = mine[start : start + self._together]
                self._try(url, batch)
                if batch[0].answer is not None and 200 <= batch[0].answer < 300:
                    taken += len(batch)
                    self.sent += [] if again else batch
                elif not again:
                    self._keep(batch)
        return taken

    def _try(self, url: str, batch: list[Notice]) -> None:
        body, headers = self._letter(url, batch)
        for notice in batch:
            notice.attempts += 1
        try:
            answer: int | None = self.client.post(url, content=body, headers=headers).status_code
        except httpx.HTTPError:
            answer = None
        for notice in batch:
            notice.answer = answer

    def _keep(self, batch: list[Notice]) -> None:
        with self._lock:
            for notice in batch:
                (self.waiting if notice.attempts < self._attempts_max else self.lost).append(notice)

    # -- control -------------------------------------------------------------------------------------------------
    async def _show(self, _: Request) -> Response:
        heaps = {"waiting": self.waiting, "sent": self.sent, "lost": self.lost}
        return JSONResponse({name: [notice.told() for notice in heap] for name, heap in heaps.items()})

    async def _hold(self, request: Request) -> Response:
        self.held = bool((await request.json())["held"])
        return JSONResponse({"held": self.held})

    async def _send(self, request: Request) -> Response:
        body = await request.body()
        # In a thread: the receiver may ask this very sandbox before it answers.
        return JSONResponse(await run_in_threadpool(self.send, **(json.loads(body) if body else {})))
