"""Who may call: private application tokens, OAuth tokens that last half an hour, scopes, and the request limits.

Modelled from the vendor's published material; not certified.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from isthmus.sandbox.hubspot.errors import NO_CREDENTIALS, Refused, missing_scopes, too_many

APP_ID = 1_234_567
DEVELOPER_KEY = "synthetic-developer-key"
CLIENT_ID = "00000000-aaaa-4bbb-8ccc-000000000001"
CLIENT_SECRET = "synthetic-client-secret"
REFRESH_TOKEN = "synthetic-refresh-token"
CODE = "synthetic-authorization-code"
PRIVATE_TOKEN = "pat-na1-00000000-1111-4222-8333-synthetic0001"
READER_TOKEN = "pat-na1-00000000-1111-4222-8333-synthetic0002"
LIFETIME = timedelta(seconds=1800)
_READS = ("crm.objects.companies.read", "crm.objects.contacts.read", "crm.objects.custom.read",
          "crm.objects.deals.read", "crm.objects.line_items.read", "crm.objects.products.read",
          "crm.objects.quotes.read", "crm.schemas.read")  # fmt: skip
_ALL = (*_READS, *(scope.replace(".read", ".write") for scope in _READS))


@dataclass(frozen=True)
class Caller:
    """Who calls. name: what limits are counted by; daily: whether the day's limit is told in headers."""

    name: str
    scopes: frozenset[str]
    daily: bool

    def need(self, scope: str) -> None:
        """Refused without this scope."""
        if scope not in self.scopes:
            raise missing_scopes([scope])


class Access:
    """Tokens of one portal."""

    def __init__(self, now: Callable[[], datetime], portal_id: int) -> None:
        self._now = now
        self._portal_id = portal_id
        self._issued: dict[str, datetime] = {}
        self._count = 0
        self._private = {
            PRIVATE_TOKEN: Caller("private app", frozenset(_ALL), True),
            READER_TOKEN: Caller("reader", frozenset(_READS), True),
        }

    def clear(self) -> None:
        """Forget what was issued."""
        self._issued.clear()
        self._count = 0

    def expire_all(self) -> None:
        """As if half an hour had passed for every OAuth token."""
        self._issued = dict.fromkeys(self._issued, self._now() - LIFETIME)

    def caller(self, authorization: str) -> Caller:
        """Who carries this header. Refused for no token, an unknown one or one past its time."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not (token in self._private or token in self._issued):
            raise Refused(401, NO_CREDENTIALS, "INVALID_AUTHENTICATION")
        if token in self._private:
            return self._private[token]
        ends = self._issued[token] + LIFETIME
        if ends <= self._now():
            seconds = int((self._now() - ends).total_seconds())
            message = f"The OAuth token used to make this call expired {seconds} second(s) ago."
            raise Refused(401, message, "EXPIRED_AUTHENTICATION", context={"expire time": [ends.isoformat()]})
        return Caller("oauth app", frozenset(_ALL), False)

    def grant(self, form: dict[str, str]) -> dict[str, Any]:
        """A token for a refresh token or an authorization code."""
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            raise Refused(400, "missing or invalid client id or secret", "BAD_CLIENT_ID", error="invalid_client")
        kind = form.get("grant_type")
        if kind not in ("refresh_token", "authorization_code"):
            raise Refused(400, f"invalid grant type {kind}", "BAD_GRANT_TYPE", error="unsupported_grant_type")
        right = REFRESH_TOKEN if kind == "refresh_token" else CODE
        if form.get("refresh_token" if kind == "refresh_token" else "code") != right:
            name = "BAD_REFRESH_TOKEN" if kind == "refresh_token" else "BAD_AUTH_CODE"
            raise Refused(400, f"missing or invalid {kind.replace('_', ' ')}", name, error="invalid_grant")
        self._count += 1
        token = "CN" + hashlib.sha256(f"token {self._count}".encode()).hexdigest()
        self._issued[token] = self._now()
        seconds = int(LIFETIME.total_seconds())
        return {"token_type": "bearer", "refresh_token": REFRESH_TOKEN, "access_token": token, "expires_in": seconds}

    def about(self, token: str) -> dict[str, Any]:
        """What an access token or the refresh token stands for."""
        if token not in self._issued and token != REFRESH_TOKEN:
            raise Refused(404, "access token not found", "OBJECT_NOT_FOUND")
        known = {"token": token, "user": "hub@firm.example", "hub_domain": "firm.example", "hub_id": self._portal_id}
        known |= {"scopes": sorted(_ALL), "user_id": 101, "app_id": APP_ID, "client_id": CLIENT_ID}
        kind = "refresh" if token == REFRESH_TOKEN else "access"
        lists = ("scope_to_scope_group_pks", "trial_scopes", "trial_scope_to_scope_group_pks")
        empty: dict[str, Any] = {name: [] for name in lists}
        return {**known, "token_type": kind, "expires_in": int(LIFETIME.total_seconds()), **empty}


@dataclass
class Limits:
    """Requests in ten seconds per application, searches in a second, requests in a day. None: no limit."""

    ten_secondly: int | None = None
    secondly: int | None = None
    daily: int | None = None


class Counters:
    """What has been used of the limits."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.limits = Limits()
        self.clear()

    def clear(self) -> None:
        """Nothing has been used, and there are no limits."""
        self.limits = Limits()
        self._windows: dict[str, deque[datetime]] = {}
        self._today = 0

    def count(self, caller: Caller, searching: bool) -> None:
        """One request more. Refused when that is one too many, by the policy that says so."""
        limits = self.limits
        self._today += 1
        if limits.daily is not None and self._today > limits.daily:
            raise too_many("DAILY")
        if searching:
            self._window("search", timedelta(seconds=1), limits.secondly, "SECONDLY")
        else:
            self._window(caller.name, timedelta(seconds=10), limits.ten_secondly, "TEN_SECONDLY_ROLLING")

    def _window(self, name: str, length: timedelta, most: int | None, policy: str) -> None:
        seen, now = self._windows.setdefault(name, deque()), self._now()
        while seen and seen[0] <= now - length:
            seen.popleft()
        if most is not None and len(seen) >= most:
            raise too_many(policy)
        seen.append(now)

    def headers(self, caller: Caller, searching: bool) -> dict[str, str]:
        """What an answer tells about the limits; searches tell nothing, OAuth applications nothing of the day."""
        limits = self.limits
        if searching or limits.ten_secondly is None:
            return {}
        left = max(0, limits.ten_secondly - len(self._windows.get(caller.name, ())))
        told = {"Max": limits.ten_secondly, "Remaining": left, "Interval-Milliseconds": 10_000}
        if caller.daily and limits.daily is not None:
            told |= {"Daily": limits.daily, "Daily-Remaining": max(0, limits.daily - self._today)}
        return {f"X-HubSpot-RateLimit-{name}": str(value) for name, value in told.items()}
