"""The sign-in side: Microsoft Entra ID's token endpoints for an application, with a secret or a certificate.

Error numbers (AADSTS...) are those of Microsoft's list of authentication and authorization error codes.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from starlette.responses import JSONResponse, Response

from isthmus.sandbox.dynamics_finance.errors import Refusal

TENANT = "7c1d2f4e-0000-4000-8000-0000000f1a2b"
CLIENT_ID = "0f9a1b2c-0000-4000-8000-000000d365f0"
CLIENT_SECRET = "Sy~8Q.synthetic-secret-of-the-sandbox"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_TITLES = {400: "invalid_request", 401: "invalid_client"}


@lru_cache(maxsize=1)
def certificate() -> tuple[str, str]:
    """A self-signed certificate of the application and its private key, as PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "isthmus")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(20260101)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private = key.private_bytes(pem, plain, serialization.NoEncryption())
    return made.public_bytes(pem).decode(), private.decode()


class Login:
    """Issues and checks tokens. mapped: the application is on the environment's list of known ones."""

    def __init__(self) -> None:
        self.lifetime_seconds = 3599
        self.mapped = True
        self._tokens: dict[str, datetime] = {}

    def forget(self) -> None:
        """No token is good any more."""
        self._tokens.clear()

    # -- the two endpoints and their discovery -------------------------------------------------------------------
    def serve(self, method: str, path: str, body: bytes, base: str, now: datetime) -> Response | None:
        """The answer of the sign-in host; None when the path is not one of its."""
        tenant, _, rest = path.lstrip("/").partition("/")
        if rest == "v2.0/.well-known/openid-configuration" and method == "GET":
            return JSONResponse(_configuration(base, tenant))
        if rest not in ("oauth2/v2.0/token", "oauth2/token") or method != "POST":
            return None
        form = dict(parse_qsl(body.decode()))
        try:
            self._check_client(tenant, form, f"{base}{path}", now)
            self._check_resource(form, base, rest)
        except Refusal as refusal:
            return JSONResponse(refusal.body, refusal.status)
        token = secrets.token_urlsafe(32)
        self._tokens[token] = now + timedelta(seconds=self.lifetime_seconds)
        given: dict[str, Any] = {"token_type": "Bearer", "access_token": token}
        seconds: Any = self.lifetime_seconds
        if rest == "oauth2/token":  # the older endpoint answers numbers as text
            seconds, given["resource"] = str(seconds), form.get("resource", "")
        return JSONResponse(given | {"expires_in": seconds, "ext_expires_in": seconds})

    def _check_client(self, tenant: str, form: Mapping[str, str], url: str, now: datetime) -> None:
        for name in ("grant_type", "client_id"):
            if not form.get(name):
                text = f"The request body must contain the following parameter: '{name}'."
                raise _refused(400, 900144, text, now)
        if form["grant_type"] != "client_credentials":
            text = f"The app requested an unsupported grant type '{form['grant_type']}'."
            raise _refused(400, 70003, text, now, "unsupported_grant_type")
        if tenant != TENANT:
            text = f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID."
            raise _refused(400, 90002, text, now)
        if form["client_id"] != CLIENT_ID:
            text = f"Application with identifier '{form['client_id']}' was not found in the directory."
            raise _refused(400, 700016, text, now, "unauthorized_client")
        if form.get("client_assertion_type") == ASSERTION:
            self._check_assertion(form.get("client_assertion", ""), url, now)
        elif form.get("client_secret") != CLIENT_SECRET:
            raise _refused(401, 7000215, "Invalid client secret provided.", now)

    def _check_assertion(self, assertion: str, url: str, now: datetime) -> None:
        pem, _ = certificate()
        loaded = x509.load_pem_x509_certificate(pem.encode())
        prints = {
            "x5t": loaded.fingerprint(hashes.SHA1()),
            "x5t#S256": loaded.fingerprint(hashes.SHA256()),
        }
        try:
            header = jwt.get_unverified_header(assertion)
            named = [name for name in prints if header.get(name)]
            known = [_encoded(prints[name]) == str(header[name]).rstrip("=") for name in named]
            options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
            algorithms, key = ["PS256", "RS256"], loaded.public_key()
            claims = jwt.decode(assertion, key, algorithms, audience=url, options=options)  # type: ignore[arg-type]
        except jwt.PyJWTError as wrong:
            raise _refused(401, 700027, f"Client assertion failed signature validation. {wrong}", now) from None
        if not known or not all(known):
            raise _refused(401, 700027, "The key was not found by its thumbprint.", now)
        if claims.get("iss") != CLIENT_ID or claims.get("sub") != CLIENT_ID or claims["exp"] < now.timestamp():
            raise _refused(401, 700024, "Client assertion is not within its valid time range.", now)

    def _check_resource(self, form: Mapping[str, str], base: str, endpoint: str) -> None:
        now = datetime.now(UTC)
        if endpoint == "oauth2/token":
            if form.get("resource", "").rstrip("/") != base:
                raise _refused(400, 500011, f"The resource principal named {form.get('resource')} was not found.", now)
            return
        scope = form.get("scope", "")
        if not scope.endswith("/.default"):
            text = f"The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid."
            raise _refused(400, 1002012, text, now, "invalid_scope")
        if scope.removesuffix("/.default").rstrip("/") != base:
            raise _refused(400, 500011, f"The resource principal named {scope} was not found in the tenant.", now)

    # -- the environment's door ----------------------------------------------------------------------------------
    def check(self, authorization: str, now: datetime) -> None:
        """A request without a good token of a known application is turned away."""
        token = authorization.removeprefix("Bearer ")
        if not self.mapped or self._tokens.get(token, now) <= now:
            where = f'Bearer authorization_uri="https://login.windows.net/{TENANT}"'
            raise Refusal(401, None, headers={"WWW-Authenticate": where})


def _encoded(thumbprint: bytes) -> str:
    return base64.urlsafe_b64encode(thumbprint).decode().rstrip("=")


def _configuration(base: str, tenant: str) -> dict[str, Any]:
    return {
        "token_endpoint": f"{base}/{tenant}/oauth2/v2.0/token",
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "authorization_endpoint": f"{base}/{tenant}/oauth2/v2.0/authorize",
        "device_authorization_endpoint": f"{base}/{tenant}/oauth2/v2.0/devicecode",
        "issuer": f"{base}/{tenant}/v2.0",
        "jwks_uri": f"{base}/{tenant}/discovery/v2.0/keys",
        "tenant_region_scope": None,
    }


def _refused(status: int, number: int, text: str, now: datetime, error: str = "") -> Refusal:
    body = {
        "error": error or _TITLES[status],
        "error_description": f"AADSTS{number}: {text}",
        "error_codes": [number],
        "timestamp": now.strftime("%Y-%m-%d %H:%M:%SZ"),
        "trace_id": "00000000-0000-0000-0000-000000000000",
        "correlation_id": "00000000-0000-0000-0000-000000000000",
        "error_uri": "https://login.microsoftonline.com/error?code=" + str(number),
    }
    return Refusal(status, body)
