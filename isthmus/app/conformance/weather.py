"""Bad weather between a connector and its counterpart: requests lost, answers lost, gateways that give up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import httpx

from isthmus.kit.manifest import Manifest

# Before: nothing was done over there. After: it was done, and nobody heard of it.
# Twice: a proxy on the way sends it again; the second answer is the one that arrives.
Trouble = Literal["lost_before", "lost_after", "gateway_before", "gateway_after", "reset_after", "twice"]
TROUBLES: tuple[Trouble, ...] = ("lost_before", "lost_after", "gateway_before", "gateway_after", "reset_after")
AFTER: tuple[Trouble, ...] = ("lost_after", "gateway_after", "reset_after")


def fine(request: httpx.Request, place: int) -> Trouble | None:
    """No trouble at all."""
    return None


@dataclass
class Weather(httpx.BaseTransport):
    """Carries requests on, with the trouble a plan names for each. place: requests since the plan was made, from 0.

    Sign-ins are let through and not counted: what they lose is told by the checks of tokens.
    """

    inner: httpx.BaseTransport
    manifest: Manifest
    plan: Callable[[httpx.Request, int], Trouble | None] = fine
    met: list[Trouble] = field(default_factory=list)
    seen: list[httpx.Request] = field(default_factory=list)

    def under(self, plan: Callable[[httpx.Request, int], Trouble | None]) -> None:
        """Begin anew with another plan."""
        self.plan, self.met, self.seen = plan, [], []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The counterpart's answer, or what becomes of it."""
        if is_sign_in(request, self.manifest):
            return self.inner.handle_request(request)
        trouble = self.plan(request, len(self.seen))
        self.seen.append(request)
        if trouble is None:
            return self.inner.handle_request(request)
        self.met.append(trouble)
        if trouble == "twice":
            self.inner.handle_request(request)
            return self.inner.handle_request(request)
        if trouble in AFTER:
            self.inner.handle_request(request)
        if trouble.startswith("gateway"):
            return httpx.Response(504, text="<html>upstream timed out</html>", request=request)
        kind = httpx.RemoteProtocolError if trouble == "reset_after" else httpx.ReadTimeout
        raise kind(trouble, request=request)

    def close(self) -> None:
        """The inner transport is the counterpart's own."""


def is_sign_in(request: httpx.Request, manifest: Manifest) -> bool:
    """True for a request to the token endpoint, and for one that asks which accounts a token opens."""
    auth = manifest.auth
    path = (auth.accounts_path if request.method == "GET" else auth.token_path).rpartition("/")[2]
    return bool(path) and request.method in ("GET", "POST") and request.url.path.endswith(f"/{path}")
