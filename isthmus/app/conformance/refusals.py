"""Refusals are told: whichever request of a verb is not let in, finds nothing, is one too many, meets a fault or is
answered by somebody else, the verb does not say that all is well. 401, 403 and 404 are never passed over.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import httpx

from isthmus.app.conformance.bench import Bench, Trial, carried_out
from isthmus.app.conformance.counterpart import Emulated
from isthmus.app.conformance.verdict import expect
from isthmus.app.conformance.weather import is_sign_in
from isthmus.domain.errors import IsthmusError, NeedsSetup, OutcomeUnknown, Throttled, Unreachable
from isthmus.kit.manifest import Manifest

# What may be made of each: the second of two is what it means when an earlier request of the verb was carried out, or
# when this one may have been.
TOLD: dict[int, tuple[type[IsthmusError], ...]] = {
    401: (NeedsSetup,),
    403: (IsthmusError,),
    404: (IsthmusError,),
    429: (Throttled, OutcomeUnknown),
    500: (Unreachable, OutcomeUnknown),
}
AT_A_REAL_SYSTEM = (404,)
# Successes that are none: the sign-in page of a proxy; of what only asks, an object that says nothing.
PAGE = httpx.Response(200, html="<html><body>Sign in</body></html>")
NOTHING = httpx.Response(200, json={})


@dataclass
class Refusing(httpx.BaseTransport):
    """Carries requests on, up to the one at a place; this and all after it are answered with a refusal."""

    inner: httpx.BaseTransport
    manifest: Manifest
    answer: httpx.Response = field(default_factory=lambda: httpx.Response(500))
    at: int | None = None
    seen: int = 0
    refused: bool = False

    def refuse(self, at: int | None) -> None:
        """Count from now on, and refuse the request at this place, from 0 on; None: refuse nothing."""
        self.at, self.seen, self.refused = at, 0, False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The counterpart's answer, or the refusal."""
        if is_sign_in(request, self.manifest):
            return self.inner.handle_request(request)
        self.seen += 1
        if self.at is None or self.seen <= self.at:
            return self.inner.handle_request(request)
        self.refused = True
        told = self.answer
        return httpx.Response(told.status_code, headers=told.headers, content=told.content, request=request)

    def close(self) -> None:
        """The inner transport is the counterpart's own."""


def refusals_are_told(bench: Bench, verb: str) -> str:
    """Each request of a verb, and of the look-up of a write, is refused in turn by each of these statuses."""
    bench.reset()
    row = bench.manifest.verbs.get(verb)
    asked = [_Asked(bench, verb, verb.split(".")[1]), *([_Asked(bench, verb, row.find, lookup=True)] if row else [])]
    return f"{sum(each.tried() for each in asked)} requests refused, all of them told"


class _Asked:
    """One method, refused again and again. lookup: what the verb has written before is looked for.

    What only asks is asked about the same each time; what writes has something new to write each time.
    """

    numbers = itertools.count(1)

    def __init__(self, bench: Bench, verb: str, method: str, lookup: bool = False) -> None:
        self.bench, self.verb, self.method, self.lookup = bench, verb, method, lookup
        self.refusing = Refusing(bench.counterpart.transport(), bench.manifest)
        self.connection = bench.connect(transport=self.refusing)
        self.writes = verb in bench.manifest.verbs and not lookup
        self.trial = self._prepared()
        if lookup:
            carried_out(self.connection, verb, self.trial.arguments)

    def _prepared(self) -> Trial:
        return self.bench.prepare(self.verb, next(self.numbers), self.connection)

    def tried(self) -> int:
        """How many requests were refused; at a real system, which takes its time, by the status easiest to miss."""
        real = self.bench.counterpart.real
        cases = [(_answer(self.bench, status), TOLD[status]) for status in (AT_A_REAL_SYSTEM if real else TOLD)]
        cases += [(strange, (IsthmusError,)) for strange in ((PAGE,) if self.writes else (PAGE, NOTHING))]
        tried = 0
        for self.refusing.answer, kinds in cases:
            at = 0
            while self._told(kinds, at):
                at += 1
            tried += at
        return tried

    def _told(self, kinds: tuple[type[IsthmusError], ...], at: int) -> bool:
        """False when the method ends before its request at this place. Broken when it takes a refusal for success."""
        self.refusing.refuse(None)
        self.connection.traffic.resume()
        trial = self._prepared() if self.writes else self.trial
        self.refusing.refuse(at)
        status = self.refusing.answer.status_code
        where = f"{self.method}, its request {at} answered {status} {self.refusing.answer.text[:40]}"
        try:
            found = carried_out(self.connection, f"{self.verb.split('.')[0]}.{self.method}", trial.arguments)
        except IsthmusError as error:
            expect(isinstance(error, kinds), f"{where}: {type(error).__name__}, not {kinds[0].__name__}: {error}")
            return True
        nobody = self.lookup and status == 404 and found is None
        told = nobody or bool(getattr(found, "unreadable", ()))
        expect(not self.refusing.refused or told, f"{where}, says {found!r}")
        return self.refusing.refused


def _answer(bench: Bench, status: int) -> httpx.Response:
    """A refusal in the vendor's own words, where there is an emulator that knows them."""
    there = bench.counterpart
    if not isinstance(there, Emulated) or there.real:
        return httpx.Response(status, json={})
    told = there.sandbox.error(status)
    return httpx.Response(status, headers=dict(told.headers), content=bytes(told.body))
