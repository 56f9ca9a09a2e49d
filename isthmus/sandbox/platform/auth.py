"""OAuth 2.0 of the organisation: JWT bearer and client credentials, access tokens with a lifetime.

Modelled from the vendor's published material; not certified. Tokens live a fixed time here; the vendor's sessions
also slide while they are used.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from isthmus.sandbox.platform import ids
from isthmus.sandbox.platform.calls import Answer

if TYPE_CHECKING:
    from isthmus.sandbox.platform.box import PlatformSandbox

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LOGIN_HOSTS = ("https://login.salesforce.com", "https://test.salesforce.com")
_ASSERTION_WINDOW = 300  # seconds an assertion may be valid for; the vendor documents three to five minutes


@lru_cache(maxsize=1)
def key_pair() -> tuple[str, str]:
    """(private key, self-signed certificate) of the connected app in PEM, made once per process."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hub.firm.example")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode()


class Refused(Exception):
    """A token request the platform turns down: error and description of OAuth."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.body = {"error": error, "error_description": description}


class Auth:
    """The connected apps and the access tokens handed out."""

    def __init__(self, box: PlatformSandbox) -> None:
        self._box = box
        self.org_id = ids.make("00D", 1, box.package.pod)
        self._certificates: dict[str, str] = {}
        self._secrets = {box.consumer_key: box.consumer_secret}
        self._tokens: dict[str, datetime] = {}
        self._issued = 0

    def register_certificate(self, consumer_key: str, certificate_pem: str) -> None:
        """Register the certificate of another connected app, or replace one."""
        self._certificates[consumer_key] = certificate_pem

    def expire_all(self) -> None:
        """End every session, as an administrator may."""
        self._tokens.clear()

    def valid(self, authorization: str) -> bool:
        """True when the Authorization header carries a live token."""
        scheme, _, token = authorization.partition(" ")
        issued = self._tokens.get(token.strip()) if scheme in ("Bearer", "OAuth") else None
        lifetime = timedelta(seconds=self._box.token_lifetime)
        return issued is not None and self._box.now() < issued + lifetime

    def token(self, body: bytes, authorization: str) -> Answer:
        """Answer POST /services/oauth2/token."""
        form = {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        try:
            grant = form.get("grant_type")
            if grant == JWT_BEARER:
                self._check_assertion(form.get("assertion", ""))
            elif grant == "client_credentials":
                self._check_secret(form, authorization)
            else:
                raise Refused("unsupported_grant_type", "grant type not supported")
        except Refused as exc:
            return Answer(400, exc.body)
        return Answer(200, self._issue(), {"Cache-Control": "no-cache, no-store"})

    def revoke(self, token: str) -> Answer:
        """Answer POST /services/oauth2/revoke."""
        if self._tokens.pop(token, None) is None:
            return Answer(400, {"error": "unsupported_token_type", "error_description": "invalid token"})
        return Answer(200)

    def identity(self) -> dict[str, Any]:
        """Who the user of this organisation is, and where its APIs are."""
        base, user = self._box.base_url, self._box.store.user_id
        rest = f"{base}/services/data/v{{version}}/"
        return {
            "id": f"{base}/id/{self.org_id}/{user}",
            "sub": f"{base}/id/{self.org_id}/{user}",
            "asserted_user": True,
            "user_id": user,
            "organization_id": self.org_id,
            "username": self._box.username,
            "preferred_username": self._box.username,
            "display_name": "Integration Hub",
            "name": "Integration Hub",
            "email": self._box.username,
            "active": True,
            "user_type": "STANDARD",
            "urls": {"rest": rest, "sobjects": f"{rest}sobjects/", "query": f"{rest}query/"},
        }

    def _issue(self) -> dict[str, Any]:
        # Derived from a counter: two equal runs hand out equal tokens.
        self._issued += 1
        secret = hashlib.sha256(f"token {self._issued}".encode()).digest()
        token = f"{self.org_id[:15]}!{base64.urlsafe_b64encode(secret).decode().rstrip('=')}"
        now = self._box.now()
        self._tokens[token] = now
        base = self._box.base_url
        return {
            "access_token": token,
            "scope": "api",
            "instance_url": base,
            "id": f"{base}/id/{self.org_id}/{self._box.store.user_id}",
            "token_type": "Bearer",
            "issued_at": str(int(now.timestamp() * 1000)),
        }

    def _check_assertion(self, assertion: str) -> None:
        try:
            issuer = jwt.decode(assertion, options={"verify_signature": False}).get("iss")
        except jwt.PyJWTError:
            raise Refused("invalid_grant", "invalid assertion") from None
        pem = self._certificates.get(str(issuer)) or (key_pair()[1] if issuer == self._box.consumer_key else None)
        if pem is None:
            raise Refused("invalid_client_id", "client identifier invalid")
        public_key = x509.load_pem_x509_certificate(pem.encode()).public_key()
        if not isinstance(public_key, rsa.RSAPublicKey):
            raise Refused("invalid_client", "invalid client credentials")
        options: Any = {"verify_exp": False, "verify_aud": False, "verify_iat": False, "verify_nbf": False}
        try:
            claims = jwt.decode(assertion, public_key, algorithms=["RS256"], options=options)
        except jwt.PyJWTError:
            raise Refused("invalid_grant", "invalid assertion") from None
        self._check_claims(claims)

    def _check_claims(self, claims: dict[str, Any]) -> None:
        audience = str(claims.get("aud", "")).rstrip("/")
        if audience not in (*LOGIN_HOSTS, self._box.base_url):
            raise Refused("invalid_grant", "audience is invalid")
        if claims.get("sub") != self._box.username:
            raise Refused("invalid_grant", "user hasn't approved this consumer")
        try:
            expires = float(claims["exp"])
        except (KeyError, TypeError, ValueError):
            raise Refused("invalid_grant", "invalid assertion") from None
        # While the sandbox's clock stands, a caller may live on that clock or on the wall's.
        clocks = (self._box.now().timestamp(), time.time())
        if all(expires <= clock for clock in clocks):
            raise Refused("invalid_grant", "expired authorization code")
        if all(not 0 < expires - clock <= _ASSERTION_WINDOW for clock in clocks):
            raise Refused("invalid_grant", "invalid assertion")

    def _check_secret(self, form: dict[str, str], authorization: str) -> None:
        key, secret = form.get("client_id", ""), form.get("client_secret", "")
        if authorization.startswith("Basic "):
            try:
                key, _, secret = base64.b64decode(authorization[6:]).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                raise Refused("invalid_client", "invalid client credentials") from None
        if key not in self._secrets:
            raise Refused("invalid_client_id", "client identifier invalid")
        if self._secrets[key] != secret:
            raise Refused("invalid_client", "invalid client credentials")
