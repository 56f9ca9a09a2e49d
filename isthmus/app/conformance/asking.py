"""Asking changes nothing, and a write is conditional when it says so: whoever was faster wins, and it is tried again.

A look-up or a read that wrote would make a check at a real tenant dangerous, and every look-up after a lost answer too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import httpx

from isthmus.app.conformance.bench import Bench, carried_out
from isthmus.app.conformance.counterpart import Emulated
from isthmus.app.conformance.ledger import Writer
from isthmus.app.conformance.samples import all_verbs
from isthmus.app.conformance.verbs import grown
from isthmus.app.conformance.verdict import expect
from isthmus.domain.errors import NeedsDecision, OutcomeUnknown
from isthmus.ports.verbs import spec_of

IN_A_BATCH = re.compile(rb"If-Match: ([^\r\n]+)")
OF_NOBODY = 'W/"of-nobody"'


def asking_changes_nothing(bench: Bench, verb: str) -> str:
    """A read, and the look-up of a write before and after it: every record over there is afterwards what it was."""
    connection = bench.connect()
    trial = bench.prepare(verb, 1, connection)
    writes = spec_of(all_verbs()[verb]).writes
    asked = bench.manifest.verbs[verb].find if writes else verb.split(".")[1]
    for turn in range(2 if writes else 1):
        if turn:
            carried_out(connection, verb, trial.arguments)
        before, there = bench.census(), _picture(bench)
        getattr(connection, asked)(*trial.arguments)
        expect(bench.census() == before, f"{asked} only asks, and there is {grown(before, bench.census())}")
        changed = [what for what, rows in _picture(bench).items() if rows != there.get(what)]
        expect(not changed, f"{asked} only asks, and has changed {', '.join(changed)}")
    return f"{asked} changes nothing"


def _picture(bench: Bench) -> dict[str, str]:
    """All business records over there, by collection; of a real system, whose records are its own, none."""
    there = bench.counterpart
    held = there.sandbox.records.snapshot() if isinstance(there, Emulated) and not there.real else {}
    return {what: repr(rows) for what, rows in held.items() if what not in bench.samples.uncounted}


@dataclass
class Faster(httpx.BaseTransport):
    """Carries requests on, and notes those that depend on a version. once: the first of them comes too late."""

    inner: httpx.BaseTransport
    once: bool = False
    seen: list[str] = field(default_factory=list)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The counterpart's answer."""
        content = request.read()
        versions = [request.headers["If-Match"]] if "If-Match" in request.headers else []
        versions += [each.decode() for each in IN_A_BATCH.findall(content)]
        self.seen += [each for each in versions if each != "*"]
        if versions and self.once:
            self.once = False
            headers = {name: value for name, value in request.headers.items() if name.lower() != "content-length"}
            headers |= {"If-Match": OF_NOBODY} if "if-match" in headers else {}
            late = IN_A_BATCH.sub(b"If-Match: " + OF_NOBODY.encode(), content)
            request = httpx.Request(request.method, request.url, headers=headers, content=late)
        return self.inner.handle_request(request)

    def close(self) -> None:
        """The inner transport is the counterpart's own."""


def conditional_is_meant(bench: Bench, verb: str) -> str:
    """The manifest calls a write conditional exactly when it is; such a write gives way and tries again."""
    faster = Faster(bench.counterpart.transport())
    connection = bench.connect(transport=faster)
    trial = bench.prepare(verb, 1, connection)
    faster.seen.clear()
    for _ in range(2):  # the second one meets what the first has made
        try:
            carried_out(connection, verb, trial.arguments)
        except (NeedsDecision, OutcomeUnknown):
            break  # what is final is refused
    declared, seen = bench.manifest.verbs[verb].conditional, bool(faster.seen)
    expect(
        declared == seen,
        f"{verb} is declared conditional={declared}, and {'sends' if seen else 'never sends'} If-Match",
    )
    if not declared:
        return "not conditional"
    before, faster.once = bench.census(), True
    Writer(connection).write(verb, trial.arguments)
    expect(not faster.once, f"{verb}, written again, sends no If-Match")
    expect(bench.census() == before, f"{verb}, somebody was faster: {grown(before, bench.census())}")
    return "gives way, and is written once"
