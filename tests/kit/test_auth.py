"""Ways to be let in: what each sends, tokens renewed and rotated, credentials changed while the hub runs."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from isthmus.domain.errors import NeedsSetup
from isthmus.kit.auth import Secrets, make_auth
from isthmus.kit.manifest import AuthFacts
from isthmus.kit.wire import Request
from tests.kit.model import connection, manifest

NOW = datetime(2026, 3, 6, 12, tzinfo=UTC)
BASE = "https://vendor.example/api"


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey) -> str:
    kind = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()).decode()


def request_of(kind: str, secrets: dict[str, str], **facts: Any) -> Request:
    """The token request of an auth kind."""
    known = AuthFacts(kinds=(kind,), credentials=tuple(secrets), **facts)
    request = make_auth(kind, Secrets(secrets, "c"), BASE, known).token_request(NOW)
    assert request is not None
    return request


CLIENT = {"client_id": "me", "client_secret": "s3cret"}


def test_client_credentials_ask_for_a_scope_at_an_address_of_the_tenant() -> None:
    request = request_of(
        "client_credentials",
        CLIENT | {"tenant": "contoso"},
        token_path="https://login.example/{tenant}/token",
        scope="{base_url}/.default",
    )
    assert request.path == "https://login.example/contoso/token"
    assert request.form == {**CLIENT, "grant_type": "client_credentials", "scope": f"{BASE}/.default"}


def test_a_connection_may_name_another_token_address() -> None:
    request = request_of("client_credentials", CLIENT | {"token_url": "https://other.example/t"}, token_path="token")
    assert request.path == "https://other.example/t"


def test_client_and_secret_may_go_in_the_header() -> None:
    request = request_of("client_credentials", CLIENT, token_path="token", client_in="header")
    assert request.form == {"grant_type": "client_credentials"}
    assert request.headers["Authorization"] == f"Basic {base64.b64encode(b'me:s3cret').decode()}"


def test_a_jwt_bearer_says_who_for_whom_to_whom_and_what_for(key: rsa.RSAPrivateKey) -> None:
    secrets = {"consumer_key": "app", "username": "user-guid", "private_key": pem(key)}
    request = request_of("jwt_bearer", secrets, token_path="t", audience="account.example", scope="signature")
    assert request.form is not None
    claims = jwt.decode(
        request.form["assertion"],
        key.public_key(),
        ["RS256"],
        audience="account.example",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert (claims["iss"], claims["sub"], claims["scope"]) == ("app", "user-guid", "signature")
    assert claims["exp"] - claims["iat"] == 180


def test_a_client_assertion_names_the_certificate_by_its_thumbprint(key: rsa.RSAPrivateKey) -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hub")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    certificate = made.sign(key, hashes.SHA256())
    secrets = {
        "client_id": "app",
        "private_key": pem(key),
        "certificate": certificate.public_bytes(serialization.Encoding.PEM).decode(),
    }
    request = request_of("client_assertion", secrets, token_path="token")
    assert request.form is not None and request.form["client_id"] == "app"
    signed = request.form["client_assertion"]
    thumbprint = base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).decode().rstrip("=")
    assert jwt.get_unverified_header(signed)["x5t#S256"] == thumbprint
    options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    claims = jwt.decode(signed, key.public_key(), ["PS256"], audience=f"{BASE}/token", options=options)
    assert claims["iss"] == claims["sub"] == "app" and claims["jti"]


def test_an_api_key_goes_where_the_vendor_wants_it() -> None:
    seen: list[httpx.Request] = []

    def vendor(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={})

    for place in ('key_header = "X-Key"\nkey_prefix = "k "', 'key_query = "apikey"'):
        facts = manifest(auth=f'kinds = ["api_key"]\ncredentials = ["api_key"]\n{place}')
        connection(vendor, facts, "api_key", secrets={"api_key": "abc"}).send(Request("GET", "x"))
    assert seen[0].headers["X-Key"] == "k abc" and "apikey" not in seen[0].url.params
    assert seen[1].url.params["apikey"] == "abc" and "X-API-Key" not in seen[1].headers


# -- tokens that the vendor rotates ------------------------------------------------------------------------------


class Safe:
    """A keeper in memory."""

    def __init__(self, **values: str) -> None:
        self.values, self.held = dict(values), 0

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        self.held += 1
        yield
        self.held -= 1

    def keep(self, name: str, value: str) -> None:
        assert self.held == 1, "kept while others may rotate it too"
        self.values[name] = value


_NAMES = '"client_id", "client_secret", "refresh_token"'
ROTATED = manifest(auth=f'kinds = ["refresh_token"]\ntoken_path = "token"\ncredentials = [{_NAMES}]')


class Rotating:
    """A vendor that takes each refresh token once, and makes everything invalid when an old one is used."""

    def __init__(self) -> None:
        self.refresh, self.access, self.stolen = "r-1", "", False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            given = httpx.QueryParams(request.content.decode())["refresh_token"]
            self.stolen = self.stolen or given != self.refresh
            if self.stolen:
                return httpx.Response(400, json={"error": "invalid_grant"})
            number = int(given.split("-")[1]) + 1
            self.refresh, self.access = f"r-{number}", f"a-{number}"
            tokens = {"access_token": self.access, "refresh_token": self.refresh, "expires_in": 3600}
            return httpx.Response(200, json=tokens)
        good = request.headers["Authorization"] == f"Bearer {self.access}"
        return httpx.Response(200 if good else 401, json={})


def test_a_rotated_refresh_token_is_kept_before_it_is_used_and_shared_by_all_workers() -> None:
    vendor, safe = Rotating(), Safe(refresh_token="r-1", **CLIENT)
    workers = [
        connection(
            vendor, ROTATED, "refresh_token", secrets=dict(safe.values), reread=lambda: dict(safe.values), keeper=safe
        )
        for _ in range(2)
    ]
    for turn in range(6):
        # Each worker's token makes the other's worthless; the second must not come with the refresh token it has read.
        assert workers[turn % 2].send(Request("GET", "x")).status == 200
        assert safe.values["refresh_token"] == vendor.refresh
    assert not vendor.stolen


def test_without_a_shared_place_the_second_worker_is_told_that_its_token_is_spent() -> None:
    vendor = Rotating()
    secrets = {"refresh_token": "r-1", **CLIENT}
    first, second = (connection(vendor, ROTATED, "refresh_token", secrets=secrets) for _ in range(2))
    assert first.send(Request("GET", "x")).status == 200
    with pytest.raises(NeedsSetup, match="login refused"):
        second.send(Request("GET", "x"))


def test_requests_that_meet_one_dead_token_together_all_go_on_with_a_new_one() -> None:
    """The second to be turned away must not take the token, already given up by the first, for a refused login."""
    facts = manifest(
        auth='kinds = ["client_credentials"]\ntoken_path = "token"\ncredentials = ["client_id", "client_secret"]'
    )
    callers = 4
    given, together = [0], threading.Barrier(callers)

    def vendor(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            given[0] += 1
            return httpx.Response(200, json={"access_token": f"t-{given[0]}", "expires_in": 3600})
        if request.headers["Authorization"] == "Bearer t-1" and request.url.path != "/first":
            together.wait(10)
            return httpx.Response(401, json={})
        return httpx.Response(200, json={})

    conn = connection(vendor, facts, "client_credentials", secrets=CLIENT)
    assert conn.send(Request("GET", "first")).status == 200
    with ThreadPoolExecutor(callers) as pool:
        told = list(pool.map(lambda _: conn.send(Request("GET", "x")).status, range(callers)))
    assert told == [200] * callers


# -- credentials changed while the hub runs ----------------------------------------------------------------------


def test_a_changed_password_is_taken_over_without_a_restart() -> None:
    source = {"username": "hub", "password": "old-password"}
    facts = manifest(auth='kinds = ["basic"]\ncredentials = ["username", "password"]')
    wanted = ["old-password"]

    def vendor(request: httpx.Request) -> httpx.Response:
        pair = base64.b64decode(request.headers["Authorization"].split()[1]).decode()
        return httpx.Response(200 if pair == f"hub:{wanted[0]}" else 401, json={"you": pair})

    conn = connection(vendor, facts, "basic", secrets=source, reread=lambda: dict(source))
    assert conn.send(Request("GET", "x")).status == 200
    wanted[0] = source["password"] = "new-password"
    assert conn.send(Request("GET", "x")).status == 200
    wanted[0] = "another-one"
    with pytest.raises(NeedsSetup) as told:
        conn.send(Request("GET", "x"))
    assert "password" not in str(told.value), "neither the old nor the new one shows"


def test_a_changed_client_secret_is_taken_over_at_the_sign_in() -> None:
    source = dict(CLIENT)
    facts = manifest(
        auth='kinds = ["client_credentials"]\ntoken_path = "token"\ncredentials = ["client_id", "client_secret"]'
    )

    def vendor(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/token":
            return httpx.Response(200, json={})
        good = httpx.QueryParams(request.content.decode())["client_secret"] == "rotated-secret"
        return httpx.Response(200 if good else 401, json={"access_token": "t"} if good else {"error": "invalid_client"})

    conn = connection(vendor, facts, "client_credentials", secrets=CLIENT, reread=lambda: dict(source))
    with pytest.raises(NeedsSetup):
        conn.send(Request("GET", "x"))
    source["client_secret"] = "rotated-secret"
    assert conn.send(Request("GET", "x")).status == 200


def test_a_kind_of_its_own_and_a_kind_nobody_wrote() -> None:
    from isthmus.kit.auth import Auth

    class Cookie(Auth):
        def headers(self, method: str, url: str) -> dict[str, str]:
            return {"Cookie": f"sid={self.secrets['token']}"}

    facts = manifest(auth='kinds = ["cookie"]\ncredentials = ["token"]')
    seen: list[str] = []

    def vendor(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["Cookie"])
        return httpx.Response(200, json={})

    connection(vendor, facts, "cookie", auth_kinds={"cookie": Cookie}).send(Request("GET", "x"))
    assert seen == ["sid=t0ken-s3cret"]
    with pytest.raises(NeedsSetup, match="nobody has written it"):
        connection(vendor, facts, "cookie")
