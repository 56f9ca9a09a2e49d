"""What surrounds every request: its trace and correlation id, the size of its body, and the headers of its answer."""

from __future__ import annotations

import re
import secrets
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from isthmus.app.api.problems import problem

BODY_MAX = 10 * 1024 * 1024
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_CORRELATION = re.compile(r"[!-~]{1,128}")


def next_traceparent(given: str) -> str:
    """W3C Trace Context: the same trace with a new parent id; a new trace when what was given is not valid."""
    found = _TRACEPARENT.fullmatch(given.strip())
    valid = found is not None and found[1] != "ff" and set(found[2]) != {"0"} and set(found[3]) != {"0"}
    if found is None or not valid or (found[1] == "00" and found[5]):
        return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
    return f"00-{found[2]}-{secrets.token_hex(8)}-{int(found[4], 16) & 1:02x}"


class Envelope:
    """Pure ASGI, because it must see the body before anybody reads it whole."""

    def __init__(self, app: ASGIApp, body_max: int = BODY_MAX) -> None:
        self.app = app
        self.body_max = body_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        trace = next_traceparent(headers.get("traceparent", ""))
        given = headers.get("x-correlation-id", "")
        correlation = given if _CORRELATION.fullmatch(given) else trace.split("-")[1]
        state: dict[str, Any] = scope.setdefault("state", {})
        sealed = self._sealing(send, {"traceparent": trace, "x-correlation-id": correlation}, state)
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > self.body_max:
            refusal = problem(413, "too_large", self._too_large(), headers={"connection": "close"})
            await refusal(scope, receive, sealed)
            return
        with structlog.contextvars.bound_contextvars(request_correlation=correlation):
            await self.app(scope, self._counting(receive), sealed)

    def _too_large(self) -> str:
        return f"a body may have {self.body_max} bytes; send less at a time"

    def _counting(self, receive: Receive) -> Receive:
        """Stops reading where the limit is passed: a chunked body does not say its size beforehand."""
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.body_max:
                raise HTTPException(413, self._too_large())
            return message

        return counted

    def _sealing(self, send: Send, added: dict[str, str], state: dict[str, Any]) -> Send:
        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in {**added, **state.get("allowance_headers", {})}.items():
                    headers[name] = value
            await send(message)

        return sealed
