"""The check at a real tenant, at every sandbox: all reads and look-ups answer, and not one record is touched."""

from __future__ import annotations

import pytest

from isthmus.app.bootstrap import CONNECTORS
from isthmus.app.conformance import tenant
from isthmus.app.conformance.bench import Bench
from isthmus.app.conformance.counterpart import Emulated
from isthmus.app.conformance.samples import common_inputs
from isthmus.app.conformance.tenant import ReadOnly
from isthmus.domain.errors import NeedsSetup
from isthmus.kit.wire import Request
from isthmus.sandbox.server import make

EMULATED = [name for name in CONNECTORS if not make(name).real]


@pytest.mark.parametrize("name", EMULATED)
def test_a_tenant_with_records_is_asked_and_stays_as_it_is(name: str) -> None:
    bench = Bench(name)
    bench.reset()
    for n, verb in enumerate((*bench.manifest.verbs, *bench.manifest.reads), start=1):
        bench.prepare(verb, n, bench.connect())
    there = bench.counterpart
    assert isinstance(there, Emulated)
    before, seen = there.sandbox.records.snapshot(), len(there.sandbox.log)
    entity = bench.samples.inputs.get("entity", common_inputs()["arguments"]["entity"])
    verdicts = list(tenant.ask(bench.connect(), entity, "2026-03-01T00:00:00+00:00"))
    assert [each for each in verdicts if each.problem] == []
    assert len(verdicts) == len(bench.manifest.verbs) + len(bench.manifest.reads) + 1
    uncounted = bench.samples.uncounted
    after = there.sandbox.records.snapshot()
    assert {k: v for k, v in after.items() if k not in uncounted} == {
        k: v for k, v in before.items() if k not in uncounted
    }
    assert {entry["method"] for entry in list(there.sandbox.log)[seen:]} <= {"GET", "POST"}


@pytest.mark.parametrize(
    "request_",
    [
        Request("POST", "workspaces", json={}),
        *(Request(m, "workspaces/1", writes=False) for m in ("PUT", "PATCH", "DELETE")),
    ],
)
def test_what_would_write_is_refused_whatever_it_says_of_itself(request_: Request) -> None:
    connection = Bench("kantata").connect()
    ReadOnly(connection)
    with pytest.raises(NeedsSetup, match="a check only reads"):
        connection.send(request_)
