"""Who may call, and how often: e-mail and API token, OAuth tokens with a rotating refresh token, burst limits.

Modelled from the vendor's published material; not certified. Limits are off unless a test sets them: the vendor
publishes how they are signalled, not their numbers.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.responses import JSONResponse, Response

from isthmus.sandbox.jira.errors import Refused
from isthmus.sandbox.jira.reference import HUB, PEOPLE, PETRA, Person

CLIENT_ID, CLIENT_SECRET = "synthetic-oauth-client", "synthetic-oauth-secret"
API_TOKENS = {HUB: "ATATT3xSyntheticHubToken", PETRA: "ATATT3xSyntheticPetraToken"}
TOKEN_SECONDS = 3600


class Access:
    """Tokens of the site. burst_limit: requests of one kind within burst_seconds; None for no limit."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.burst_limit: int | None = None
        self.burst_seconds = 1.0
        self._issued = 0
        self._tokens: dict[str, datetime] = {}
        self.refresh_token = self._secret("refresh")
        self._recent: dict[str, deque[datetime]] = defaultdict(deque)

    def expire_all(self) -> None:
        """End every session."""
        self._tokens.clear()

    def caller(self, authorization: str) -> Person:
        """The person behind an Authorization header; 401 when there is none."""
        scheme, _, given = authorization.partition(" ")
        if scheme == "Bearer" and self._tokens.get(given, self._now()) > self._now():
            return PEOPLE[HUB]
        if scheme == "Basic":
            try:
                email, _, token = base64.b64decode(given, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                raise Refused(401) from None
            for account_id, secret in API_TOKENS.items():
                if PEOPLE[account_id].email == email and secret == token:
                    return PEOPLE[account_id]
        raise Refused(401)

    def grant(self, form: Mapping[str, Any]) -> Response:
        """Answer the token endpoint: each refresh token is good once and replaced by the next."""
        wrong = {"error": "invalid_grant", "error_description": "Unknown or invalid refresh token."}
        if form.get("grant_type") != "refresh_token":
            return JSONResponse({"error": "unsupported_grant_type"}, 400)
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return JSONResponse({"error": "access_denied", "error_description": "Unauthorized"}, 401)
        if form.get("refresh_token") != self.refresh_token:
            return JSONResponse(wrong, 403)
        token = self._secret("access")
        self._tokens[token] = self._now() + timedelta(seconds=TOKEN_SECONDS)
        self.refresh_token = self._secret("refresh")
        scope = "read:jira-work write:jira-work read:jira-user offline_access"
        body = {"access_token": token, "refresh_token": self.refresh_token, "expires_in": TOKEN_SECONDS, "scope": scope}
        return JSONResponse(body | {"token_type": "Bearer"})

    def count(self, kind: str) -> None:
        """One request of a kind; 429 with the vendor's headers when there were too many."""
        if self.burst_limit is None:
            return
        now, recent = self._now(), self._recent[kind]
        while recent and recent[0] <= now - timedelta(seconds=self.burst_seconds):
            recent.popleft()
        if len(recent) < self.burst_limit:
            recent.append(now)
            return
        free = recent[0] + timedelta(seconds=self.burst_seconds)
        headers = {
            "Retry-After": str(max(1, round((free - now).total_seconds()))),
            "X-RateLimit-Limit": str(self.burst_limit),
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": free.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ"),
            "RateLimit-Reason": "jira-burst-based",
        }
        refused = Refused(429, "Rate limit exceeded.")
        refused.headers = headers
        raise refused

    def _secret(self, kind: str) -> str:
        """Derived from a counter: two equal runs hand out equal tokens."""
        self._issued += 1
        return f"{kind}-{hashlib.sha256(f'jira sandbox {kind} {self._issued}'.encode()).hexdigest()}"
