"""At the door: who calls, how often, in which role. Before the body is read, and before any business code runs."""

from __future__ import annotations

import hashlib
import hmac
import math
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import Depends, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.responses import Response

from isthmus.app.api.access import ROUTES, Access
from isthmus.app.api.problems import KeyMissing, TooManyRequests, Unauthenticated
from isthmus.app.bootstrap import Hub
from isthmus.app.firm import Caller
from isthmus.app.scope import demand_sight, within
from isthmus.domain.errors import BadInput, NeedsSetup
from isthmus.domain.objects import Engagement
from isthmus.policies.authority import Actor, demand, demand_entity
from isthmus.store.postgres import PostgresTx
from isthmus.store.tx import Tx

KEY_LENGTH_MAX = 200
STRANGERS_PER_MINUTE = 600
_BUCKETS_MAX = 10_000


@dataclass(frozen=True)
class Taken:
    """What one request found: may it go on, how many more may follow, when there is room for the next."""

    granted: bool
    limit: int
    left: int
    after_seconds: int

    def headers(self) -> dict[str, str]:
        """RateLimit header fields."""
        return {
            "ratelimit-policy": f'"caller";q={self.limit};w=60',
            "ratelimit": f'"caller";r={self.left};t={self.after_seconds}',
        }


class Allowances:
    """A bucket per caller that refills over the minute, so one caller's flood takes nothing from another's."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, name: str, per_minute: int) -> Taken:
        """Use one request of the caller's allowance, if there is one."""
        rate, now = max(per_minute, 1) / 60, self._clock()
        with self._lock:
            if len(self._buckets) > _BUCKETS_MAX:
                self._buckets.clear()
            tokens, at = self._buckets.get(name, (float(per_minute), now))
            tokens = min(float(per_minute), tokens + (now - at) * rate)
            granted = tokens >= 1
            tokens -= 1 if granted else 0
            self._buckets[name] = (tokens, now)
        after = max(1, math.ceil((1 - tokens) / rate)) if tokens < 1 else 1
        return Taken(granted, per_minute, int(tokens), after)


class Door:
    """Knows the callers by the hash of their tokens; a reference that cannot be read fails at the start."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.allowances = Allowances()
        self._known = [(_hashed(_token_of(hub, caller)), caller) for caller in hub.firm.callers]

    def caller_of(self, authorization: str) -> Caller:
        """The caller with this bearer token; every token is compared, so the time says nothing about the place."""
        scheme, _, token = authorization.partition(" ")
        presented, found = _hashed(token.strip()), None
        for known, caller in self._known:
            if hmac.compare_digest(known, presented):
                found = caller
        if scheme.lower() != "bearer" or found is None:
            raise Unauthenticated("say who calls: Authorization: Bearer <token>")
        return found

    def admit(self, request: Request, access: Access) -> None:
        """Identify, count, and check the role and the key."""
        caller = self.caller_of(request.headers.get("authorization", ""))
        request.state.caller, request.state.actor = caller, caller.name
        taken = self.allowances.take(caller.name, caller.requests_per_minute)
        request.state.allowance_headers = taken.headers()
        if not taken.granted:
            raise TooManyRequests(f"{caller.name} may send {taken.limit} requests a minute", taken.after_seconds)
        request.state.acting = self.hub.firm.actor(caller)
        demand(request.state.acting, access.permission)
        if access.key == "required" and not key_of(request):
            raise KeyMissing("a write needs an Idempotency-Key header: any text, new for each new intention")

    def stranger(self, host: str) -> None:
        """Count a failed signature against where it came from, so that guessing cannot fill the audit."""
        taken = self.allowances.take(f"stranger:{host}", STRANGERS_PER_MINUTE)
        if not taken.granted:
            raise TooManyRequests("too many messages without a valid signature", taken.after_seconds)


def _token_of(hub: Hub, caller: Caller) -> str:
    token = hub.vault.read(caller.token).strip()
    if not token:  # it would open the door to an empty one
        raise NeedsSetup(f"the token of {caller.name} is empty")
    return token


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def key_of(request: Request) -> str:
    """The Idempotency-Key, with or without the quotes of a structured field; empty when there is none."""
    key = request.headers.get("idempotency-key", "").strip().strip('"')
    if len(key) > KEY_LENGTH_MAX or not key.isprintable():
        raise BadInput(f"the Idempotency-Key may have {KEY_LENGTH_MAX} printable characters")
    return key


def is_storable(text: str) -> bool:
    """False for text no database column can hold: NUL, or half a character."""
    return "\x00" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


class GuardedRoute(APIRoute):
    """A route of the access table. One that is not in it fails when the application is put together."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See APIRoute: admission first, then FastAPI's own reading of body and parameters."""
        handle = super().get_route_handler()
        (method,) = self.methods or {"GET"}
        access = ROUTES[f"{method} {self.path_format}"]

        async def guarded(request: Request) -> Response:
            if access.permission:
                request.app.state.door.admit(request, access)
            given = [*request.path_params.values(), *request.query_params.values()]
            if not all(is_storable(str(value)) for value in given):
                raise BadInput("the address holds a character that no key has")
            return await handle(request)

        return guarded


@dataclass(frozen=True)
class Visit:
    """One admitted request: the hub, who calls, what they may, and under which key."""

    hub: Hub
    caller: Caller
    actor: Actor
    key: str
    route: str

    @property
    def sees_cost(self) -> bool:
        """Cost rates are personal: only roles with a need see them."""
        return self.actor.may("cost_rate.read")

    def within(self, model: type[BaseModel]) -> list[sa.ColumnElement[bool]]:
        """Conditions that leave out what belongs to legal entities the caller does not serve."""
        return within(self.actor, model)

    def sees(self, tx: PostgresTx, found: BaseModel | None) -> None:
        """NotPermitted when the object belongs to a legal entity the caller does not serve."""
        demand_sight(self.actor, tx, found)

    def speak_for(self, obj: str, entity: str = "") -> None:
        """Held to the legal entities they serve; a caller that speaks for a system also to what that system owns."""
        demand_entity(self.actor, entity)
        if self.caller.writes_as:
            self.hub.gate.check(writer=self.caller.writes_as, obj=obj, entity=entity)

    def speak_of(self, tx: Tx, obj: str, *, contracts: Iterable[str] = (), projects: Iterable[str] = ()) -> None:
        """The same for facts about work: held to the legal entity of every contract and project that is named.

        What nobody knows yet is of no entity, and firm-wide.
        """
        keys, codes = tuple(sorted({*contracts} - {""})), tuple(sorted({*projects} - {""}))
        named = tx.find(Engagement, contract_no=keys) if keys else []
        named += tx.find(Engagement, project_code=codes) if codes else []
        for entity in sorted({engagement.entity for engagement in named}) or [""]:
            self.speak_for(obj, entity)


async def _visit(request: Request) -> Visit:
    query = f"?{request.url.query}" if request.url.query else ""
    route = f"{request.method} {request.url.path}{query}"
    state = request.state
    return Visit(request.app.state.hub, state.caller, state.acting, key_of(request), route)


Visiting = Annotated[Visit, Depends(_visit)]
