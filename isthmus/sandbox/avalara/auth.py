"""Who is calling: basic authentication with account id and licence key or user and password, or a bearer token."""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass

from starlette.requests import Request

from isthmus.sandbox.avalara.errors import Refusal

# Synthetic: they open this sandbox on loopback and nothing else.
ACCOUNT_ID = "2000123456"
LICENSE_KEY = "5A1DB0C4E7F29368"
USERNAME = "isthmus.hub@example.com"
PASSWORD = "synthetic-password-1"
BEARER_TOKEN = "synthetic-bearer-token-1"
USER_ID = 288963


@dataclass(frozen=True)
class Identity:
    """The authenticated caller; kind is the vendor's AuthenticationTypeId."""

    kind: str
    user_name: str


def authenticate(request: Request) -> Identity:
    """The caller of a request, or the vendor's 401."""
    header = request.headers.get("authorization", "")
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer" and value:
        if not _same(value.strip(), BEARER_TOKEN):
            raise Refusal("BearerTokenInvalid", "The bearer token is not valid.")
        return Identity("OpenIdBearerToken", USERNAME)
    if scheme.lower() != "basic" or not value:
        raise Refusal("AuthenticationIncomplete", "Authentication Incomplete.", "Send Basic or Bearer.")
    try:
        user, colon, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if not colon:
        raise Refusal("BasicAuthIncorrect", "The Basic header is not base64 of name:secret.")
    if _same(user, ACCOUNT_ID) and _same(secret, LICENSE_KEY):
        return Identity("AccountIdLicenseKey", f"AccountId {ACCOUNT_ID}")
    if _same(user.lower(), USERNAME) and _same(secret, PASSWORD):
        return Identity("UsernamePassword", USERNAME)
    raise Refusal("AuthenticationException", "Authentication failed.", "The user or account is not known.")


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
