"""Auth kinds. Each builds its token request and signs requests; none sends. Secrets never appear in a repr.

Sources: OAuth 2.0 JWT bearer (RFC 7523), OAuth 2.0 client credentials (RFC 6749 4.4) and refresh tokens (6), client
assertions (RFC 7523 2.2; NetSuite M2M names its certificate by kid, Entra ID by its thumbprint x5t#S256, RFC 7515
4.1.8), OAuth 1.0a (RFC 5849) for NetSuite token-based authentication, HTTP basic (RFC 7617).
"""

from __future__ import annotations

import base64
import logging
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from oauthlib.oauth1 import SIGNATURE_HMAC_SHA256, Client

from isthmus.domain.errors import NeedsSetup
from isthmus.kit.manifest import AuthFacts
from isthmus.kit.secrets import Secrets
from isthmus.kit.wire import Answer, Request

# At debug level it writes down which token it signs with.
logging.getLogger("oauthlib").setLevel(logging.INFO)

__all__ = ["IDENTIFIERS", "Auth", "Secrets", "make_auth"]
# Credentials that say who somebody is and prove nothing: they may be seen.
IDENTIFIERS = frozenset(
    {"account", "account_id", "audience", "algorithm", "certificate", "certificate_id", "client_id", "consumer_key"}
    | {"integration_key", "tenant", "token_url", "user_id", "username"}
)
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Auth(ABC):
    """One way to be let in."""

    def __init__(self, secrets: Secrets, base_url: str, facts: AuthFacts) -> None:
        self.secrets = secrets
        self.base_url = base_url.rstrip("/")
        self.facts = facts
        self.token = ""
        self.expires: datetime | None = None

    def token_request(self, now: datetime) -> Request | None:
        """The next request of a sign-in: None when this kind needs none, or has a token that lasts. Most take one."""
        return None

    def given(self, body: dict[str, Any]) -> bool:
        """True when an answer of the token endpoint holds a token."""
        return "access_token" in body

    def accept(self, answer: Answer, now: datetime) -> str | None:
        """Take the token from the answer; returns another base URL when the vendor names one."""
        self.token = str(answer.body["access_token"])
        lasts = int(answer.body.get("expires_in", 1800))
        self.expires = now + timedelta(seconds=max(lasts - 30, 1))
        named = answer.body.get("instance_url")
        return str(named) if named else None

    def forget(self) -> None:
        """The vendor no longer accepts the token: get a new one at the next request."""
        if self.expires is not None:
            self.expires = datetime.min.replace(tzinfo=UTC)

    @property
    def signed_in(self) -> bool:
        """True when there has been a token, whether it still lasts or not."""
        return self.expires is not None

    def alone(self) -> AbstractContextManager[None]:
        """What keeps other workers from getting a token at the same time, where only one of them could use it."""
        return nullcontext()

    def parameters(self) -> dict[str, str]:
        """Query parameters that let a request in; most kinds use headers only."""
        return {}

    @abstractmethod
    def headers(self, method: str, url: str) -> dict[str, str]:
        """Headers that let a request in."""


class Bearer(Auth):
    """A long-lived token that the vendor's administrator issued."""

    def headers(self, method: str, url: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secrets['token']}"}


class ApiKey(Auth):
    """A key in a header of the vendor's choice, or in the query."""

    def parameters(self) -> dict[str, str]:
        return {self.facts.key_query: self.secrets["api_key"]} if self.facts.key_query else {}

    def headers(self, method: str, url: str) -> dict[str, str]:
        key = f"{self.facts.key_prefix}{self.secrets['api_key']}"
        return {} if self.facts.key_query else {self.facts.key_header: key}


class Basic(Auth):
    """User and password, or account id and licence key."""

    def headers(self, method: str, url: str) -> dict[str, str]:
        pair = f"{self.secrets['username']}:{self.secrets['password']}"
        self.token = base64.b64encode(pair.encode()).decode()  # kept so that an echo of it is masked
        return {"Authorization": f"Basic {self.token}"}


class _Token(Auth):
    """Kinds that get a token which lasts a while."""

    def headers(self, method: str, url: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def token_request(self, now: datetime) -> Request | None:
        if self.expires is not None and now < self.expires:
            return None
        form, headers = self.form(now), {}
        if self.facts.scope:
            form.setdefault("scope", self.facts.scope.replace("{base_url}", self.base_url))
        if self.facts.client_in == "header" and "client_secret" in form:
            pair = f"{form.pop('client_id')}:{form.pop('client_secret')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return Request("POST", self.token_path, form=form, headers=headers, writes=False)

    @abstractmethod
    def form(self, now: datetime) -> dict[str, str]:
        """What is sent to the token endpoint."""

    @property
    def token_path(self) -> str:
        """Where tokens come from: the connection's token_url, else the manifest's, with {tenant} and the like."""
        path = self.secrets.get("token_url", self.facts.token_path)
        for name in self.facts.credentials + self.facts.optional:
            if f"{{{name}}}" in path:
                path = path.replace(f"{{{name}}}", self.secrets[name])
        return path

    @property
    def token_url(self) -> str:
        """The whole address of the token endpoint."""
        path = self.token_path
        return path if "://" in path else f"{self.base_url}/{path.lstrip('/')}"

    def assertion(self, now: datetime, claims: dict[str, Any], algorithm: str, **header: str) -> str:
        """A signed assertion that lasts as long as the manifest says."""
        times = {"iat": int(now.timestamp()), "exp": int(now.timestamp()) + self.facts.assertion_seconds}
        named = self.secrets.get("algorithm", algorithm)
        return jwt.encode(claims | times, self.secrets["private_key"], algorithm=named, headers=header or None)


class ClientCredentials(_Token):
    """OAuth 2.0 client credentials with a secret."""

    def form(self, now: datetime) -> dict[str, str]:
        return {
            "grant_type": "client_credentials",
            "client_id": self.secrets["client_id"],
            "client_secret": self.secrets["client_secret"],
        }


class RefreshToken(_Token):
    """OAuth 2.0 refresh token. A vendor that rotates it takes each one once: the new one is kept before it is used."""

    def alone(self) -> AbstractContextManager[None]:
        return self.secrets.alone("refresh_token")

    def form(self, now: datetime) -> dict[str, str]:
        self.secrets.reread()  # another worker may have rotated it
        return {
            "grant_type": "refresh_token",
            "client_id": self.secrets["client_id"],
            "client_secret": self.secrets["client_secret"],
            "refresh_token": self.secrets["refresh_token"],
        }

    def accept(self, answer: Answer, now: datetime) -> str | None:
        rotated = answer.body.get("refresh_token")
        if rotated and rotated != self.secrets["refresh_token"]:
            self.secrets.replace("refresh_token", str(rotated))
        return super().accept(answer, now)


class JwtBearer(_Token):
    """OAuth 2.0 JWT bearer: RS256, iss the application's key, sub the user, aud the login address."""

    def form(self, now: datetime) -> dict[str, str]:
        grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
        return {"grant_type": grant, "assertion": self.assertion(now, self.claims(), "RS256")}

    def claims(self) -> dict[str, str]:
        """Who asks, and for whom."""
        claims = {
            "iss": self.secrets["consumer_key"],
            "sub": self.secrets["username"],
            "aud": self.secrets.get("audience", self.facts.audience or self.base_url),
        }
        return claims | ({"scope": self.facts.scope} if self.facts.scope else {})


class MachineToMachine(_Token):
    """NetSuite OAuth 2.0 M2M: a PS256 client assertion whose kid is the certificate id, at most 60 minutes long."""

    def form(self, now: datetime) -> dict[str, str]:
        claims = {
            "iss": self.secrets["client_id"],
            "scope": "rest_webservices",
            "aud": self.secrets.get("audience", self.token_url),
        }
        signed = self.assertion(now, claims, "PS256", kid=self.secrets["certificate_id"], typ="JWT")
        return {"grant_type": "client_credentials", "client_assertion_type": _ASSERTION, "client_assertion": signed}


class ClientAssertion(_Token):
    """OAuth 2.0 client credentials with a certificate, as Entra ID wants it: the assertion names its thumbprint."""

    def form(self, now: datetime) -> dict[str, str]:
        client_id = self.secrets["client_id"]
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": self.secrets.get("audience", self.token_url),
            "jti": str(uuid.uuid4()),
            "nbf": int(now.timestamp()),
        }
        certificate = x509.load_pem_x509_certificate(self.secrets["certificate"].encode())
        thumbprint = base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).decode().rstrip("=")
        signed = self.assertion(now, claims, "PS256", **{"x5t#S256": thumbprint, "typ": "JWT"})
        return {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_assertion_type": _ASSERTION,
            "client_assertion": signed,
        }


class TokenBased(Auth):
    """NetSuite TBA: OAuth 1.0a, HMAC-SHA256 over method, URL and query."""

    def headers(self, method: str, url: str) -> dict[str, str]:
        client = Client(
            self.secrets["consumer_key"],
            client_secret=self.secrets["consumer_secret"],
            resource_owner_key=self.secrets["token_id"],
            resource_owner_secret=self.secrets["token_secret"],
            realm=self.secrets["account"],
            signature_method=SIGNATURE_HMAC_SHA256,
        )
        _, headers, _ = client.sign(url, http_method=method)
        return {str(k): str(v) for k, v in headers.items()}


_KINDS: dict[str, type[Auth]] = {
    "api_key": ApiKey,
    "basic": Basic,
    "bearer": Bearer,
    "client_assertion": ClientAssertion,
    "client_credentials": ClientCredentials,
    "jwt_bearer": JwtBearer,
    "m2m": MachineToMachine,
    "refresh_token": RefreshToken,
    "tba": TokenBased,
}


def make_auth(
    kind: str, secrets: Secrets, base_url: str, facts: AuthFacts, own: Mapping[str, type[Auth]] | None = None
) -> Auth:
    """The auth of a connection. own: kinds that only this connector has.

    NeedsSetup when the connector does not offer this kind.
    """
    if kind not in facts.kinds:
        raise NeedsSetup(f"auth kind {kind!r} is not offered; there are: {', '.join(facts.kinds)}")
    kinds = {**_KINDS, **(own or {})}
    if kind not in kinds:
        raise NeedsSetup(f"auth kind {kind!r} is in the manifest, but nobody has written it")
    return kinds[kind](secrets, base_url, facts)
