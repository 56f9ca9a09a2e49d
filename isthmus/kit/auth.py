"""Auth kinds. Each builds its token request and signs requests; none sends. Secrets never appear in a repr.

Sources: OAuth 2.0 JWT bearer (RFC 7523), OAuth 2.0 client credentials (RFC 6749 4.4), NetSuite M2M client assertion,
OAuth 1.0a (RFC 5849) for NetSuite token-based authentication, HTTP basic (RFC 7617).
"""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime, timedelta

import jwt
from oauthlib.oauth1 import SIGNATURE_HMAC_SHA256, Client

from isthmus.domain.errors import NeedsSetup
from isthmus.kit.manifest import AuthFacts
from isthmus.kit.wire import Answer, Request


class Secrets:
    """Credentials of one connection by name. Prints as names only."""

    def __init__(self, values: Mapping[str, str], connection: str) -> None:
        self._values = dict(values)
        self._connection = connection

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self._values))})"

    def __getitem__(self, name: str) -> str:
        if not self._values.get(name):
            raise NeedsSetup(f"connection {self._connection}: credential {name!r} is missing", self._connection)
        return self._values[name]

    def __contains__(self, name: str) -> bool:
        return bool(self._values.get(name))

    def get(self, name: str, default: str) -> str:
        """The credential, or a default when the connection does not set it."""
        return self._values.get(name) or default

    def values(self) -> list[str]:
        """Every secret value, for masking."""
        return [v for v in self._values.values() if v]


class Auth(ABC):
    """One way to be let in."""

    def __init__(self, secrets: Secrets, base_url: str, facts: AuthFacts) -> None:
        self.secrets = secrets
        self.base_url = base_url.rstrip("/")
        self.facts = facts
        self.token = ""
        self.expires: datetime | None = None

    def token_request(self, now: datetime) -> Request | None:
        """The request that gets a token, or None when this kind needs none or has one that lasts."""
        return None

    def accept(self, answer: Answer, now: datetime) -> str | None:
        """Take the token from the answer; returns another base URL when the vendor names one."""
        self.token = str(answer.body["access_token"])
        lasts = int(answer.body.get("expires_in", 1800))
        self.expires = now + timedelta(seconds=max(lasts - 30, 1))
        named = answer.body.get("instance_url")
        return str(named) if named else None

    def forget(self) -> None:
        """The vendor no longer accepts the token: get a new one at the next request."""
        self.expires = None

    def _fresh(self, now: datetime) -> bool:
        return self.expires is not None and now < self.expires

    @abstractmethod
    def headers(self, method: str, url: str) -> dict[str, str]:
        """Headers that let a request in."""


class Bearer(Auth):
    """A long-lived token that the vendor's administrator issued."""

    def headers(self, method: str, url: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secrets['token']}"}


class Basic(Auth):
    """User and password, or account id and licence key."""

    def headers(self, method: str, url: str) -> dict[str, str]:
        pair = f"{self.secrets['username']}:{self.secrets['password']}"
        self.token = base64.b64encode(pair.encode()).decode()  # kept so that an echo of it is masked
        return {"Authorization": f"Basic {self.token}"}


class _Token(Auth):
    def headers(self, method: str, url: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


class ClientCredentials(_Token):
    """OAuth 2.0 client credentials with a secret."""

    def token_request(self, now: datetime) -> Request | None:
        if self._fresh(now):
            return None
        form = {
            "grant_type": "client_credentials",
            "client_id": self.secrets["client_id"],
            "client_secret": self.secrets["client_secret"],
        }
        return Request("POST", self.secrets.get("token_url", self.facts.token_path), form=form, writes=False)


class JwtBearer(_Token):
    """OAuth 2.0 JWT bearer as Salesforce has it: RS256, iss = consumer key, sub = user, aud = login URL."""

    def token_request(self, now: datetime) -> Request | None:
        if self._fresh(now):
            return None
        claims = {
            "iss": self.secrets["consumer_key"],
            "sub": self.secrets["username"],
            "aud": self.secrets.get("audience", self.base_url),
            "exp": int((now + timedelta(minutes=3)).timestamp()),
        }
        assertion = jwt.encode(claims, self.secrets["private_key"], algorithm="RS256")
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
        return Request("POST", self.facts.token_path, form=form, writes=False)


class MachineToMachine(_Token):
    """NetSuite OAuth 2.0 M2M: a PS256 client assertion whose kid is the certificate id, at most 60 minutes long."""

    def token_request(self, now: datetime) -> Request | None:
        if self._fresh(now):
            return None
        url = f"{self.base_url}/{self.facts.token_path.lstrip('/')}"
        claims = {
            "iss": self.secrets["client_id"],
            "scope": "rest_webservices",
            "aud": self.secrets.get("audience", url),
            "iat": int(now.timestamp()),
            "exp": int((now + timedelta(minutes=5)).timestamp()),
        }
        headers = {"kid": self.secrets["certificate_id"], "typ": "JWT"}
        algorithm = self.secrets.get("algorithm", "PS256")
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": jwt.encode(claims, self.secrets["private_key"], algorithm=algorithm, headers=headers),
        }
        return Request("POST", self.facts.token_path, form=form, writes=False)


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
    "bearer": Bearer,
    "basic": Basic,
    "client_credentials": ClientCredentials,
    "jwt_bearer": JwtBearer,
    "m2m": MachineToMachine,
    "tba": TokenBased,
}


def make_auth(kind: str, secrets: Secrets, base_url: str, facts: AuthFacts) -> Auth:
    """The auth of a connection. NeedsSetup when the connector does not offer this kind."""
    if kind not in facts.kinds:
        raise NeedsSetup(f"auth kind {kind!r} is not offered; there are: {', '.join(facts.kinds)}")
    return _KINDS[kind](secrets, base_url, facts)
