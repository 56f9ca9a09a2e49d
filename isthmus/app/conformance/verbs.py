"""Each verb against its counterpart: a write is found afterwards and, sent again, changes nothing; a read reads."""

from __future__ import annotations

from typing import Any

from isthmus.app.conformance.bench import Bench, Trial, carried_out
from isthmus.app.conformance.samples import VerbSample, all_verbs
from isthmus.app.conformance.verdict import expect
from isthmus.domain.errors import OutcomeUnknown, RemoteRefusal
from isthmus.domain.objects import ExternalRef
from isthmus.kit.executor import Connection
from isthmus.ports.verbs import spec_of
from isthmus.runtime.effects import result_type


def written_and_found(bench: Bench, verb: str, n: int = 1) -> str:
    """A write returns the port's message, its look-up returns the same, and a second send makes nothing new."""
    connection, spec = bench.connect(), spec_of(all_verbs()[verb])
    trial = bench.prepare(verb, n, connection)
    expect(_find(bench, verb, trial, connection) is None, f"{spec.find} finds it before {verb} has been called")
    before = bench.census()
    made = _typed(verb, carried_out(connection, verb, trial.arguments))
    found = _find(bench, verb, trial, connection)
    expect(same_object(made, found), f"{verb} returned {made!r}, {spec.find} then {found!r}")
    after = bench.census()
    if bench.manifest.verbs[verb].strategy != "find_then_create":
        again = _send_again(verb, trial, connection)
        expect(again is None or same_object(made, again), f"{verb} returned {made!r}, sent again {again!r}")
        expect(bench.census() == after, f"{verb} sent again: {grown(after, bench.census())}")
        expect(same_object(made, _find(bench, verb, trial, connection)), f"{verb} sent again: {spec.find} differs")
    return grown(before, after)


def _send_again(verb: str, trial: Trial, connection: Connection) -> Any:
    """The result of a second send; None when the other system refuses it, as some do with what is final."""
    try:
        return getattr(connection, verb.split(".")[1])(*trial.arguments)
    except (RemoteRefusal, OutcomeUnknown):
        return None


def read(bench: Bench, verb: str, n: int = 1) -> str:
    """A read returns the port's message with something in it."""
    connection = bench.connect()
    trial = bench.prepare(verb, n, connection)
    found = _typed(verb, getattr(connection, verb.split(".")[1])(*trial.arguments))
    rows, wanted = _rows(found), bench.samples.verbs.get(verb, VerbSample()).rows
    expect(rows is None or rows >= wanted, f"{verb} found {rows} rows, {wanted} were there: {found!r}")
    return f"{rows} rows" if rows is not None else type(found).__name__


def _typed(verb: str, value: Any) -> Any:
    """The value, which must be what the port says and survive being kept and read back."""
    adapter = result_type(all_verbs()[verb])
    kept = adapter.validate_python(adapter.dump_python(value, mode="json"))
    expect(kept == value, f"{verb} returned {value!r}, which reads back as {kept!r}")
    return value


def _find(bench: Bench, verb: str, trial: Trial, connection: Connection) -> Any:
    return getattr(connection, bench.manifest.verbs[verb].find)(*trial.arguments)


def same_object(one: Any, other: Any) -> bool:
    """True when two results speak of the same object over there; its version may be told by one of them only."""
    refs = [getattr(each, "ref", each) for each in (one, other)]
    if all(isinstance(ref, ExternalRef) for ref in refs):
        keys = {(ref.system, ref.object_type, ref.external_id) for ref in refs}
        return len(keys) == 1
    return bool(one == other)


def _rows(found: Any) -> int | None:
    """How many rows a page or list holds; None when it is a single object."""
    if isinstance(found, tuple):
        return len(found)
    named = [value for value in vars(found).values() if isinstance(value, tuple)] if hasattr(found, "watermark") else []
    return len(named[0]) if named else None


def grown(before: dict[str, int], after: dict[str, int]) -> str:
    """What has become more or less, in words."""
    changes = {what: after.get(what, 0) - before.get(what, 0) for what in {*before, *after}}
    told = [f"{by:+d} {what}" for what, by in sorted(changes.items()) if by]
    return ", ".join(told) or "no record more"


def over_the_network(bench: Bench, kind: str) -> str:
    """Signed in by this auth kind over a real socket, without and with TLS, a verb is answered."""
    verb = next(iter([*bench.manifest.reads, *bench.manifest.verbs]))
    for n, tls in enumerate((False, True), start=1):
        with bench.counterpart.served(tls) as (url, authority):
            bench.reset()
            connection = bench.connect(kind, url=url, verify=str(authority) if authority else True)
            trial = bench.prepare(verb, n, connection)
            carried_out(connection, verb, trial.arguments)
            connection.close()
    return f"{verb} over http and https"
