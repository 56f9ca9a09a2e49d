"""Who may call: OAuth tokens that never expire, the administrator's rights, requests per token and window.

Modelled from the vendor's published material, not certified.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from starlette.responses import JSONResponse, RedirectResponse, Response

from isthmus.sandbox.kantata.answer import Refused

CLIENT_ID = "isthmus-sandbox-application"
CLIENT_SECRET = "synthetic-client-secret"
REDIRECT_URI = "http://127.0.0.1/oauth/callback"
AUTHORIZATION_CODE = "synthetic-code-0"
ADMIN_ID = "1"
CONSULTANT_ID = "11"


@dataclass(frozen=True)
class Caller:
    """The user a token speaks for."""

    user_id: str
    admin: bool


def _token(label: str) -> str:
    """Synthetic, but as long and opaque as a real one."""
    return hashlib.sha256(f"kantata sandbox {label}".encode()).hexdigest()


ADMIN_TOKEN = _token("administrator")
CONSULTANT_TOKEN = _token("consultant")


@dataclass
class Access:
    """The tokens given out and, per token, the times of its latest requests.

    rate_limit: requests per window, None for no limit. The vendor keeps its numbers to customers, so it is off.
    """

    rate_limit: int | None = None
    rate_window_seconds: float = 60.0
    _tokens: dict[str, Caller] = field(default_factory=dict)
    _codes: set[str] = field(default_factory=lambda: {AUTHORIZATION_CODE})
    _recent: dict[str, deque[float]] = field(default_factory=dict)
    _granted: int = 0

    def __post_init__(self) -> None:
        self._tokens[ADMIN_TOKEN] = Caller(ADMIN_ID, admin=True)
        self._tokens[CONSULTANT_TOKEN] = Caller(CONSULTANT_ID, admin=False)

    def caller(self, authorization: str) -> Caller:
        """The user behind an Authorization header; 401 for an unknown token, 429 for a busy one."""
        scheme, _, token = authorization.partition(" ")
        found = self._tokens.get(token.strip()) if scheme.lower() == "bearer" else None
        if found is None:
            raise Refused(401)
        if self.rate_limit is not None:
            self._count(token, self.rate_limit)
        return found

    def _count(self, token: str, limit: int) -> None:
        now = time.monotonic()
        recent = self._recent.setdefault(token, deque())
        while recent and recent[0] <= now - self.rate_window_seconds:
            recent.popleft()
        if len(recent) >= limit:
            raise Refused(429)
        recent.append(now)

    def revoke(self, token: str) -> None:
        """What happens when a user takes the application's access back."""
        self._tokens.pop(token, None)

    def authorize(self, params: Mapping[str, str]) -> Response:
        """The consent page, with consent taken for granted: sends a code to the application."""
        known = params.get("client_id") == CLIENT_ID and params.get("response_type") == "code"
        if not known or params.get("redirect_uri") != REDIRECT_URI:
            return _oauth_error("invalid_request", "The request is missing a required parameter")
        self._granted += 1
        code = _token(f"code {self._granted}")[:32]
        self._codes.add(code)
        return RedirectResponse(f"{REDIRECT_URI}?{urlencode({'code': code})}", status_code=302)

    def grant(self, form: Mapping[str, str]) -> Response:
        """POST /oauth/token: a code or the application's own credentials against a token."""
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return _oauth_error("invalid_client", "Client authentication failed", status=401)
        kind = form.get("grant_type")
        if kind == "authorization_code":
            code = form.get("code", "")
            if code not in self._codes or form.get("redirect_uri") != REDIRECT_URI:
                return _oauth_error("invalid_grant", "The authorization grant is invalid")
            self._codes.discard(code)
        elif kind != "client_credentials":
            return _oauth_error("unsupported_grant_type", "The grant type is not supported")
        self._granted += 1
        token = _token(f"granted {self._granted}")
        self._tokens[token] = Caller(ADMIN_ID, admin=True)
        return JSONResponse({"access_token": token, "token_type": "bearer"})


def _oauth_error(error: str, description: str, status: int = 400) -> Response:
    return JSONResponse({"error": error, "error_description": description}, status_code=status)
