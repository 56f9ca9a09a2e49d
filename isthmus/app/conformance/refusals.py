"""Refusals are told: whichever request of a verb is not let in, finds nothing, is one too many or meets a fault over
there, the verb does not say that all is well. 401, 403 and 404 are never passed over.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx

from isthmus.app.conformance.bench import Bench
from isthmus.app.conformance.counterpart import Emulated
from isthmus.app.conformance.verdict import expect
from isthmus.app.conformance.weather import is_sign_in
from isthmus.domain.errors import IsthmusError, NeedsSetup, OutcomeUnknown, Throttled, Unreachable
from isthmus.kit.manifest import Manifest

REQUESTS_MAX = 60  # of one verb

# What may be made of each: the second of two is what it means when an earlier request of the verb was carried out, or
# when this one may have been.
TOLD: dict[int, tuple[type[IsthmusError], ...]] = {
    401: (NeedsSetup,),
    403: (IsthmusError,),
    404: (IsthmusError,),
    429: (Throttled, OutcomeUnknown),
    500: (Unreachable, OutcomeUnknown),
}


@dataclass
class Refusing(httpx.BaseTransport):
    """Carries requests on, up to the one at a place; this and all after it are answered with a status."""

    inner: httpx.BaseTransport
    manifest: Manifest
    answer: httpx.Response = field(default_factory=lambda: httpx.Response(200))
    at: int | None = None
    seen: int = 0
    refused: httpx.Request | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The counterpart's answer, or the refusal."""
        if is_sign_in(request, self.manifest):
            return self.inner.handle_request(request)
        self.seen += 1
        if self.at is None or self.seen <= self.at:
            return self.inner.handle_request(request)
        self.refused = request
        told = self.answer
        return httpx.Response(told.status_code, headers=told.headers, content=told.content, request=request)

    def close(self) -> None:
        """The inner transport is the counterpart's own."""


def refusals_are_told(bench: Bench, verb: str) -> str:
    """Each request of a verb, and of the look-up of a write, is refused in turn by each of these statuses."""
    row = bench.manifest.verbs.get(verb)
    asked = verb.split(".")[1]
    tried = _each_refused(bench, verb, asked, lookup=False)
    tried += _each_refused(bench, verb, row.find, lookup=True) if row else 0
    return f"{tried} requests refused, all of them told"


def _each_refused(bench: Bench, verb: str, method: str, lookup: bool) -> int:
    """How many requests were refused, each by each status. lookup: what the verb has written is looked for."""
    places = ((status, at) for status in TOLD for at in range(REQUESTS_MAX))
    done: set[int] = set()
    tried = 0
    for status, at in places:
        if status not in done and _is_refused(bench, verb, method, lookup, status, at):
            tried += 1
        else:
            done.add(status)  # it ended before this request
    return tried


def _is_refused(bench: Bench, verb: str, method: str, lookup: bool, status: int, at: int) -> bool:
    """False when the method ends before its request at this place. Broken when it takes a refusal for success."""
    bench.reset()
    refusing = Refusing(bench.counterpart.transport(), bench.manifest, _answer(bench, status))
    connection = bench.connect(transport=refusing)
    trial = bench.prepare(verb, 1, connection)
    if lookup:
        getattr(connection, verb.split(".")[1])(*trial.arguments)
    refusing.seen, refusing.at = 0, at
    try:
        found = getattr(connection, method)(*trial.arguments)
    except IsthmusError as error:
        kinds, where = TOLD[status], f"{method}, its request {at} answered {status}"
        expect(isinstance(error, kinds), f"{where}: {type(error).__name__}, not {kinds[0].__name__}: {error.message}")
        return True
    if refusing.refused is None:
        return False
    nobody = lookup and status == 404 and found is None
    expect(nobody, f"{method}, its request {at} answered {status}, says {found!r}")
    return True


def _answer(bench: Bench, status: int) -> httpx.Response:
    """A refusal in the vendor's own words, where there is an emulator that knows them."""
    there = bench.counterpart
    if not isinstance(there, Emulated) or there.real:
        return httpx.Response(status, json={})
    told = there.sandbox.error(status)
    return httpx.Response(status, headers=dict(told.headers), content=bytes(told.body))
