"""Tokens that expire in the middle: a renewed token goes on where the old one ended; what has none needs setup."""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx

from isthmus.app.conformance.bench import Bench
from isthmus.app.conformance.samples import all_verbs
from isthmus.app.conformance.verbs import grown, same_object
from isthmus.app.conformance.verdict import expect
from isthmus.app.conformance.weather import is_sign_in
from isthmus.domain.errors import NeedsSetup
from isthmus.kit.manifest import Manifest
from isthmus.ports.verbs import spec_of


@dataclass
class Expiring(httpx.BaseTransport):
    """Carries requests on; the one at a place comes with a token that the counterpart no longer knows."""

    inner: httpx.BaseTransport
    manifest: Manifest
    at: int = -1
    place: int = field(default=-1)
    sign_ins: int = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The counterpart's own answer, also to the expired token."""
        if is_sign_in(request, self.manifest):
            self.sign_ins += 1
            return self.inner.handle_request(request)
        self.place += 1
        if self.place == self.at:
            for name in ("Authorization", self.manifest.auth.key_header):
                if name in request.headers:
                    request.headers[name] = _expired(request.headers[name])
        return self.inner.handle_request(request)

    def close(self) -> None:
        """The inner transport is the counterpart's own."""


def _expired(credentials: str) -> str:
    """The same kind of credentials, with something in them that is known to nobody."""
    kind, _, secret = credentials.partition(" ")
    return f"{kind} expired" if secret and "=" not in secret else f"{credentials}expired"


def expire_in_mid_run(bench: Bench, kind: str) -> str:
    """Each request of each verb in turn finds its token expired: the verb ends as it would have, and once."""
    tried = renewed = 0
    for verb in (*bench.manifest.verbs, *bench.manifest.reads):
        clean, requests = _without_expiry(bench, verb, kind)
        for at in range(requests):
            tried += 1
            renewed += _expired_at(bench, verb, kind, at, clean)
    return f"{tried} requests with an expired token, {renewed} renewed, the others need setup"


def _without_expiry(bench: Bench, verb: str, kind: str) -> tuple[dict[str, int], int]:
    bench.reset()
    expiring = Expiring(bench.counterpart.transport(), bench.manifest)
    connection = bench.connect(kind, transport=expiring)
    trial = bench.prepare(verb, 1, connection)
    before, expiring.place = bench.census(), -1
    getattr(connection, verb.split(".")[1])(*trial.arguments)
    return _more(before, bench.census()), expiring.place + 1


def _expired_at(bench: Bench, verb: str, kind: str, at: int, clean: dict[str, int]) -> bool:
    """True when the token was renewed. Broken when the verb then did something else than without expiry."""
    bench.reset()
    expiring = Expiring(bench.counterpart.transport(), bench.manifest)
    connection = bench.connect(kind, transport=expiring)
    trial = bench.prepare(verb, 1, connection)
    before, expiring.place, expiring.at, sign_ins = bench.census(), -1, at, expiring.sign_ins
    lasts = connection.auth.expires is not None
    try:
        made = getattr(connection, verb.split(".")[1])(*trial.arguments)
    except NeedsSetup:
        expect(not lasts, f"{verb}: the token expired at request {at} and was not renewed")
        return False
    expect(expiring.sign_ins > sign_ins, f"{verb}: an expired token at request {at} was let in")
    left = _more(before, bench.census())
    expect(left == clean, f"{verb}, its token expired at request {at}: {grown(clean, left)} than without")
    if spec_of(all_verbs()[verb]).writes:
        found = getattr(connection, bench.manifest.verbs[verb].find)(*trial.arguments)
        expect(same_object(made, found), f"{verb}, its token expired at request {at}: {made!r}, there is {found!r}")
    return True


def _more(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {what: after.get(what, 0) - before.get(what, 0) for what in {*before, *after}}
