"""Limits: never exceeded by a connection that keeps its budget, obeyed when the other system asks for patience."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from isthmus.app.conformance.bench import Bench
from isthmus.app.conformance.verdict import expect
from isthmus.app.conformance.weather import is_sign_in
from isthmus.domain.errors import IsthmusError, Throttled
from isthmus.kit.limits import make_budget
from isthmus.kit.manifest import LimitFacts, Manifest
from isthmus.ports.calls import BULK, FINANCIAL, priority_of_call

CALLERS = 12
CALLS = 36
SMALL_WINDOW_SECONDS, SMALL_LIMIT = 0.5, 5
HELD_BACK_SECONDS = 0.1  # between the budget's leave and the request on its way, on a busy machine


class Counted(httpx.BaseTransport):
    """Carries requests on, slowly, and counts how many are under way and when each began; sign-ins are no calls."""

    def __init__(self, inner: httpx.BaseTransport, manifest: Manifest, seconds: float) -> None:
        self.inner, self.manifest, self.seconds = inner, manifest, seconds
        self.under_way = self.most = 0
        self.begun: list[float] = []
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The counterpart's answer, after a while."""
        if is_sign_in(request, self.manifest):
            return self.inner.handle_request(request)
        with self._lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            self.begun.append(time.monotonic())
        try:
            time.sleep(self.seconds)
            return self.inner.handle_request(request)
        finally:
            with self._lock:
                self.under_way -= 1

    def close(self) -> None:
        """The inner transport is the counterpart's own."""


def never_exceeded(bench: Bench) -> str:
    """Many callers at once of all priorities: the account never sees more than its limit allows.

    A window is shortened, so that the check takes a second and not the minutes a vendor counts in.
    """
    facts = _small(bench.manifest.limits)
    if facts.kind == "none":
        return "the vendor publishes no number"
    counted = Counted(bench.counterpart.transport(), bench.manifest, 0.005)
    connection = bench.connect(transport=counted, budget=make_budget(facts))
    verb = next(iter([*bench.manifest.reads, *bench.manifest.verbs]))
    trial = bench.prepare(verb, 1, bench.connect())
    errors: list[IsthmusError] = []

    def call(number: int) -> None:
        priority_of_call.set(BULK if number % 3 else FINANCIAL)
        try:
            getattr(connection, verb.split(".")[1])(*trial.arguments)
        except IsthmusError as error:
            errors.append(error)

    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(call, range(CALLS)))
    expect(not errors, f"{verb} under its own limit: {errors[:1]}")
    if facts.kind == "concurrency":
        expect(counted.most <= facts.limit, f"{counted.most} requests at once, the limit is {facts.limit}")
        return f"{CALLS} calls of {CALLERS} callers, at most {counted.most} at once of {facts.limit}"
    most = max(_within(counted.begun, facts.window_seconds - HELD_BACK_SECONDS))
    expect(most <= facts.limit, f"{most} requests within {facts.window_seconds} s, the limit is {facts.limit}")
    return f"{len(counted.begun)} requests, at most {most} within a window of {facts.limit}"


def _small(facts: LimitFacts) -> LimitFacts:
    if facts.kind != "window":
        return facts.model_copy(update={"limit": min(facts.limit, SMALL_LIMIT)})
    return facts.model_copy(update={"limit": SMALL_LIMIT, "window_seconds": SMALL_WINDOW_SECONDS})


def _within(moments: list[float], seconds: float) -> list[int]:
    """For each moment, how many lie within so many seconds from it on."""
    return [sum(start <= moment < start + seconds for moment in moments) for start in moments]


def patience_obeyed(bench: Bench) -> str:
    """A 429 with Retry-After is Throttled with those seconds, for a read and for a write, and nothing was done."""
    connection = bench.connect(transport=_Refusing(bench.counterpart.transport(), bench.manifest, 7))
    told: list[Any] = []
    for n, verb in enumerate((*list(bench.manifest.verbs)[:1], *bench.manifest.reads[:1]), start=1):
        trial = bench.prepare(verb, n, bench.connect())
        before = bench.census()
        try:
            getattr(connection, verb.split(".")[1])(*trial.arguments)
            told.append(None)
        except IsthmusError as error:
            told.append(error)
        connection.traffic.resume()
        expect(bench.census() == before, f"{verb} was throttled and changed something")
    for said in told:
        patient = isinstance(said, Throttled) and said.after_seconds == 7
        expect(patient, f"a 429 with Retry-After: 7 is {said!r}")
    return f"{len(told)} verbs wait the 7 seconds they are told"


class _Refusing(httpx.BaseTransport):
    def __init__(self, inner: httpx.BaseTransport, manifest: Manifest, seconds: int) -> None:
        self._inner, self._manifest, self._seconds = inner, manifest, seconds

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if is_sign_in(request, self._manifest):
            return self._inner.handle_request(request)
        return httpx.Response(429, headers={"Retry-After": str(self._seconds)}, json={}, request=request)

    def close(self) -> None:
        """The inner transport is the counterpart's own."""
