"""The account server: tokens for a signed assertion (JWT grant), and which account lies where.

Modelled from the vendor's published material; not certified. The user's consent to the application is given from the
start; ``consented = False`` takes it away.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from isthmus.sandbox.docusign.errors import NoGrant, bad_token

INTEGRATION_KEY = "00000000-aaaa-4bbb-8ccc-0000000000d1"
USER_ID = "00000000-aaaa-4bbb-8ccc-0000000000d2"
ACCOUNT_ID = "00000000-aaaa-4bbb-8ccc-0000000000d3"
OTHER_ACCOUNT_ID = "00000000-aaaa-4bbb-8ccc-0000000000d4"
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
HOSTS = ("account-d.docusign.com", "account.docusign.com")
ASSERTION_SECONDS_MAX = 3600
SCOPES = {"signature", "impersonation"}


@lru_cache(maxsize=1)
def private_key() -> str:
    """The application's key pair, made once per process: the private half in PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def _public_key() -> Any:
    return serialization.load_pem_private_key(private_key().encode(), None).public_key()


class Login:
    """The application and the tokens handed out. lifetime_seconds: how long one lasts."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.clear()

    def clear(self) -> None:
        """No tokens; the user has consented."""
        self.consented = True
        self.lifetime_seconds = 3600
        self._tokens: dict[str, datetime] = {}
        self._issued = 0

    def expire_all(self) -> None:
        """End every session."""
        self._tokens.clear()

    def check(self, authorization: str) -> None:
        """Refused unless the header carries a live token."""
        scheme, _, token = authorization.partition(" ")
        issued = self._tokens.get(token.strip()) if scheme.lower() == "bearer" else None
        if issued is None or self._now() >= issued + timedelta(seconds=self.lifetime_seconds):
            raise bad_token()

    def grant(self, form: dict[str, str], base_url: str) -> dict[str, Any]:
        """Answer POST /oauth/token."""
        if form.get("grant_type") != JWT_GRANT:
            raise NoGrant("unsupported_grant_type")
        self._check_assertion(form.get("assertion", ""), base_url)
        # Derived from a counter: two equal runs hand out equal tokens.
        self._issued += 1
        token = "eyJ0eXAiOiJNVCJ9." + hashlib.sha256(f"token {self._issued}".encode()).hexdigest()
        self._tokens[token] = self._now()
        return {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": self.lifetime_seconds,
            "scope": "signature",
        }

    def _check_assertion(self, assertion: str, base_url: str) -> None:
        try:
            issuer = jwt.decode(assertion, options={"verify_signature": False}).get("iss")
        except jwt.PyJWTError:
            raise NoGrant("invalid_grant", "invalid_jwt") from None
        if issuer != INTEGRATION_KEY:
            raise NoGrant("invalid_grant", "issuer_not_found")
        options: Any = {f"verify_{claim}": False for claim in ("exp", "aud", "iat", "nbf")}
        try:
            claims = jwt.decode(assertion, _public_key(), algorithms=["RS256"], options=options)
        except jwt.PyJWTError:
            raise NoGrant("invalid_grant", "no_valid_keys_or_signatures") from None
        if claims.get("aud") not in (*HOSTS, urlsplit(base_url).netloc):
            raise NoGrant("invalid_grant", "audience_not_found")
        if claims.get("sub") != USER_ID:
            raise NoGrant("invalid_grant", "user_not_found")
        self._check_times(claims)
        # impersonation has to be consented to; a request need not name it again.
        asked = set(str(claims.get("scope", "")).split())
        if not self.consented or "signature" not in asked or asked - SCOPES:
            raise NoGrant("consent_required")

    def _check_times(self, claims: dict[str, Any]) -> None:
        try:
            issued, ends = float(claims["iat"]), float(claims["exp"])
        except (KeyError, TypeError, ValueError):
            raise NoGrant("invalid_grant", "missing_claims") from None
        # While the sandbox' clock stands, a caller may live on that clock or on the wall's.
        if all(ends <= clock for clock in (self._now().timestamp(), time.time())):
            raise NoGrant("invalid_grant", "expired_jwt")
        if ends - issued > ASSERTION_SECONDS_MAX:
            raise NoGrant("invalid_grant", "invalid_lifetime")

    def user_info(self, base_url: str) -> dict[str, Any]:
        """Answer GET /oauth/userinfo: the accounts of the user and where each of them lies."""
        accounts = [
            {
                "account_id": OTHER_ACCOUNT_ID,
                "is_default": False,
                "account_name": "Other",
                "base_uri": "https://eu.example",
            },
            {"account_id": ACCOUNT_ID, "is_default": True, "account_name": "Firm (synthetic)", "base_uri": base_url},
        ]
        names = {"name": "Hub", "given_name": "Hub", "family_name": "User", "email": "hub@firm.example"}
        return {"sub": USER_ID, **names, "created": "2025-10-01T14:00:00.000", "accounts": accounts}
