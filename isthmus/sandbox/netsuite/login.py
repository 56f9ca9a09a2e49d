"""Both ways in: OAuth 2.0 client credentials with a signed assertion, and token-based OAuth 1.0a signatures.

The vendor documents the flows; the exact ``error`` value per fault of the token endpoint follows the OAuth standard.
"""

from __future__ import annotations

import functools
import hmac
import time
import urllib.parse
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from oauthlib.oauth1.rfc5849 import signature
from oauthlib.oauth1.rfc5849.utils import parse_authorization_header, unescape
from starlette.responses import Response

from isthmus.sandbox.netsuite.shapes import REST, answer, unexpected

TOKEN_PATH = f"{REST}/auth/oauth2/v1/token"
ACCOUNT = "7351042_SB1"
CLIENT_ID = "c1d5f0a4be6d4f6f9b1e2a7735104211"
EC_CERTIFICATE = "cert-ec-7351042"
RSA_CERTIFICATE = "cert-rsa-7351042"
TBA = {
    "consumer_key": "ck-7351042-isthmus",
    "consumer_secret": "cs-7351042-isthmus",
    "token_id": "tk-7351042-isthmus",
    "token_secret": "ts-7351042-isthmus",
}
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ALGORITHMS = ["PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
_SCOPES = {"restlets", "rest_webservices", "suite_analytics"}
_SKEW_SECONDS = 300


@functools.cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    """The fixed key of the first certificate; synthetic, derived from a constant."""
    return ec.derive_private_key(0x7351042C0FFEE7351042C0FFEE7351042, ec.SECP256R1())


@functools.cache
def rsa_key() -> rsa.RSAPrivateKey:
    """The key of the second certificate, made when first asked for: 3072 bits take a while."""
    return rsa.generate_private_key(public_exponent=65537, key_size=3072)


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    """A private key as text."""
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


@dataclass
class _Bearer:
    expires: float
    scopes: set[str]


class TokenFault(Exception):
    """The token endpoint refuses, in OAuth's own error shape."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.answer = answer({"error": error}, status, "application/json")


class Login:
    """Issues and checks credentials of one account."""

    def __init__(self) -> None:
        self.lifetime_seconds = 3600
        self._bearers: dict[str, _Bearer] = {}
        self._nonces: dict[tuple[str, str], None] = {}
        self._issued = 0

    # -- token endpoint ----------------------------------------------------------------------------------------
    def issue(self, form: bytes, token_url: str, now: datetime) -> Response:
        """Answer a request to the token endpoint."""
        fields = dict(urllib.parse.parse_qsl(form.decode("utf-8", "replace")))
        try:
            scopes = self._check_assertion(fields, token_url, now)
        except TokenFault as fault:
            return fault.answer
        self._issued += 1
        claims = {"iss": "sandbox", "sub": ACCOUNT, "jti": self._issued, "scope": sorted(scopes)}
        token = jwt.encode(claims, "sandbox-access-token-signing-secret-only", algorithm="HS256")
        self._bearers[token] = _Bearer(now.timestamp() + self.lifetime_seconds, scopes)
        body = {"access_token": token, "expires_in": str(self.lifetime_seconds), "token_type": "bearer"}
        return answer(body, media_type="application/json")

    def _check_assertion(self, fields: dict[str, str], token_url: str, now: datetime) -> set[str]:
        if fields.get("grant_type") != "client_credentials":
            raise TokenFault(400, "unsupported_grant_type")
        if fields.get("client_assertion_type") != _ASSERTION_TYPE or not fields.get("client_assertion"):
            raise TokenFault(400, "invalid_request")
        claims = _verified(fields["client_assertion"], token_url)
        issued, expires = claims["iat"], claims["exp"]
        if not 0 < expires - issued < 3600:
            raise TokenFault(400, "invalid_request")
        # A test may stand the account's clock still while its client lives in real time: either clock may agree.
        clocks = (now.timestamp(), time.time())
        if not any(issued - _SKEW_SECONDS <= clock < expires for clock in clocks):
            raise TokenFault(400, "invalid_grant")
        scope = claims.get("scope", "")
        scopes = set(scope if isinstance(scope, list) else scope.replace(",", " ").split())
        if not scopes or not scopes <= _SCOPES:
            raise TokenFault(400, "invalid_scope")
        return scopes

    # -- requests ----------------------------------------------------------------------------------------------
    def check(self, method: str, url: str, authorization: str, now: datetime) -> None:
        """Refuse a request whose Authorization header does not open the account."""
        scheme, _, rest = authorization.partition(" ")
        if scheme.lower() == "bearer":
            bearer = self._bearers.get(rest.strip())
            if bearer and bearer.expires > now.timestamp() and "rest_webservices" in bearer.scopes:
                return
        elif scheme.lower() == "oauth" and self._signed_well(method, url, authorization, now):
            return
        refusal = unexpected(401)
        refusal.headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        raise refusal

    def _signed_well(self, method: str, url: str, authorization: str, now: datetime) -> bool:
        """Verify an OAuth 1.0a header; a nonce serves once."""
        try:
            sent = {k: unescape(v) for k, v in parse_authorization_header(authorization)}
            stamp = float(sent.get("oauth_timestamp", "nan"))
        except ValueError:
            return False
        nonce = (sent.get("oauth_nonce", ""), sent.get("oauth_timestamp", ""))
        known = (
            sent.get("realm") == ACCOUNT
            and sent.get("oauth_consumer_key") == TBA["consumer_key"]
            and sent.get("oauth_token") == TBA["token_id"]
            and sent.get("oauth_signature_method") == "HMAC-SHA256"
        )
        near = any(abs(clock - stamp) <= _SKEW_SECONDS for clock in (now.timestamp(), time.time()))
        if not known or not near or nonce in self._nonces:
            return False
        expected = _signature(method, url, authorization)
        if not hmac.compare_digest(expected, sent.get("oauth_signature", "")):
            return False
        self._nonces[nonce] = None
        return True


def _signature(method: str, url: str, authorization: str) -> str:
    """The signature the request should carry."""
    parts = urllib.parse.urlsplit(url)
    headers = {"Authorization": authorization}
    collected = signature.collect_parameters(uri_query=parts.query, headers=headers)
    base = signature.signature_base_string(
        method, signature.base_string_uri(url), signature.normalize_parameters(collected)
    )
    client = _Secrets(TBA["consumer_secret"], TBA["token_secret"])
    return str(signature.sign_hmac_sha256_with_client(base, client))


@dataclass(frozen=True)
class _Secrets:
    """What the signing function asks its client for."""

    client_secret: str
    resource_owner_secret: str


def _verified(assertion: str, token_url: str) -> dict[str, Any]:
    """Claims of an assertion whose certificate, signature, issuer and audience are right."""
    try:
        header = jwt.get_unverified_header(assertion)
        algorithm = header.get("alg", "")
        kid = header.get("kid")
        if kid not in (EC_CERTIFICATE, RSA_CERTIFICATE) or algorithm not in _ALGORITHMS:
            raise TokenFault(401, "invalid_client")
        key = ec_key() if kid == EC_CERTIFICATE else rsa_key()
        options: Any = {"verify_exp": False, "verify_iat": False, "require": ["iss", "aud", "iat", "exp"]}
        claims = jwt.decode(assertion, key.public_key(), [algorithm], options, audience=token_url)
        claims |= {"iat": float(claims["iat"]), "exp": float(claims["exp"])}
    except jwt.MissingRequiredClaimError:
        raise TokenFault(400, "invalid_request") from None
    except jwt.InvalidAudienceError:
        raise TokenFault(400, "invalid_grant") from None
    except (jwt.PyJWTError, TypeError, ValueError):
        raise TokenFault(401, "invalid_client") from None
    if claims["iss"] != CLIENT_ID:
        raise TokenFault(401, "invalid_client")
    return claims
