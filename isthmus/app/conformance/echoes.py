"""Secrets that an answer repeats, and credentials that are missing: nothing shows, everything is named."""

from __future__ import annotations

import json
from functools import cache

import httpx
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from isthmus.app.conformance.bench import Bench
from isthmus.app.conformance.facts import connected
from isthmus.app.conformance.verdict import Broken, expect
from isthmus.app.conformance.weather import is_sign_in
from isthmus.domain.errors import IsthmusError, NeedsSetup
from isthmus.kit.executor import Connection
from isthmus.kit.masking import spellings
from isthmus.kit.wire import Request

TOKEN = "t0k3n-of-the-session"


@cache
def made_up(name: str) -> str:
    """A credential that could be real: keys and certificates are."""
    if name == "certificate":
        return trustme.CA().cert_pem.bytes().decode()
    if name != "private_key":
        return f"s3cr3t-{name}"
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, kind, serialization.NoEncryption()).decode()


def masked_in_answers(bench: Bench, kind: str) -> str:
    """A vendor that repeats everything it was sent in a refusal: no secret, no token, no half of one can be read."""
    secrets = {name: made_up(name) for name in bench.manifest.auth.credentials}
    sent: list[str] = []

    def vendor(request: httpx.Request) -> httpx.Response:
        if is_sign_in(request, bench.manifest):
            return httpx.Response(200, json={"access_token": TOKEN, "expires_in": 3600})
        sent.append(request.headers.get("Authorization", "").partition(" ")[2])
        # Long enough that the text is cut: a secret must not survive as its first half.
        return httpx.Response(418, text=json.dumps({"you": sent[-1], "sent": [*secrets.values()] * 3}))

    connection = connected(bench, kind, vendor, **secrets)
    try:
        connection.send(Request("POST", "anything"))
    except IsthmusError as error:
        # The header of OAuth 1.0a is a signature of this one request; all others let in whoever has them.
        _nothing_shows(connection, str(error), [*secrets.values(), TOKEN, *(() if kind == "tba" else sent)])
        expect("s3cr3t" not in str(error), "half a secret can be read")
        return f"{len(secrets)} credentials and the token"
    raise Broken("a 418 is taken for success")


def masked_at_the_sign_in(bench: Bench, kind: str) -> str:
    """A token endpoint that repeats what it was sent: the sign-in is refused, NeedsSetup, and nothing can be read."""
    secrets = {name: made_up(name) for name in bench.manifest.auth.credentials}
    sent: list[str] = []

    def vendor(request: httpx.Request) -> httpx.Response:
        form = httpx.QueryParams(request.content.decode())
        sent.extend(value for name, value in form.items() if "assertion" in name and "type" not in name)
        return httpx.Response(400, json=dict(form))

    connection = connected(bench, kind, vendor, **secrets)
    signs_in = bool(bench.manifest.auth.token_path) and kind not in ("basic", "bearer", "api_key", "tba")
    try:
        connection.send(Request("GET", "anything"))
    except NeedsSetup as error:
        expect("login refused" in error.message or not signs_in, f"it does not say what is wrong: {error.message}")
        _nothing_shows(connection, str(error), [*secrets.values(), *sent])
    except IsthmusError as error:
        expect(not signs_in, f"a refused sign-in is {type(error).__name__}")
    return "signs in with every request" if not signs_in else f"{len(secrets)} credentials"


def missing_is_named(bench: Bench, kind: str) -> str:
    """Without any credential it says which one is missing, and that an administrator acts."""
    connection = connected(bench, kind, lambda _: httpx.Response(200, json={}))
    try:
        connection.send(Request("GET", "anything"))
    except NeedsSetup as error:
        expect("credential" in error.message and "missing" in error.message, f"it says {error.message}")
        return error.message
    raise Broken("without any credential it is let in")


def _nothing_shows(connection: Connection, said: str, guarded: list[str]) -> None:
    seen = " ".join([said, repr(connection), repr(connection.auth), repr(connection.secrets)])
    shown = [s[:12] for secret in guarded for s in spellings(secret) if len(s) > 3 and s in seen]
    expect(not shown, f"{len(shown)} secrets can be read in what it says")
