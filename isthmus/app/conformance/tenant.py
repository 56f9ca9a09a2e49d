"""A connector at a real tenant, without changing anything there: signed in, asked, its mapping compared.

Nothing that writes is sent: what a request says of itself decides, which the suite holds against a sandbox ("asking
changes nothing"); PUT, PATCH and DELETE are refused whatever it says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_type_hints

from isthmus.app.conformance.drift import is_page
from isthmus.app.conformance.samples import INPUTS, Samples, all_verbs, arguments
from isthmus.app.conformance.suite import WRONG, Verdict
from isthmus.app.conformance.tables import drift
from isthmus.domain.errors import BadInput, IsthmusError, NeedsSetup, NotFound
from isthmus.kit.executor import Connection
from isthmus.kit.wire import Answer, Request

ALWAYS_WRITE = ("PUT", "PATCH", "DELETE")
NOBODY = "isthmus-check-asks"  # a key that no system has


class ReadOnly:
    """A connection whose every request that writes is refused before it is sent. sent: how many were."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.sent = 0
        self._send = connection.send
        connection.send = self._refuse_writes  # type: ignore[method-assign]

    def _refuse_writes(self, request: Request) -> Answer:
        if request.is_write or request.method in ALWAYS_WRITE:
            raise NeedsSetup(f"{request.method} {request.path} would change something: a check only reads")
        self.sent += 1
        return self._send(request)


def ask(connection: Connection, entity: str, since: str) -> Iterator[Verdict]:
    """One verdict per read, per look-up and for the mapping. since: where lists of changes start (ISO 8601)."""
    reader = ReadOnly(connection)
    facts = connection.connector.manifest
    for verb in facts.reads:
        yield _asked(reader, verb, verb.split(".")[1], entity, since)
    for verb, row in facts.verbs.items():
        yield _asked(reader, verb, row.find, entity, since)
    yield _mapping(connection)


def _asked(reader: ReadOnly, verb: str, method: str, entity: str, since: str) -> Verdict:
    """A read answers, with rows or by saying that nobody of this name is there; a look-up finds nobody."""
    subject, sent = f"{verb.split('.')[0]}.{method}", reader.sent
    try:
        found = getattr(reader.connection, method)(*_arguments(verb, entity, since))
    except NotFound:
        return Verdict("read", subject, "answers that it has no such thing")
    except BadInput as odd:
        if not is_page(get_type_hints(all_verbs()[verb])["return"]):
            return Verdict("read", subject, "", odd.message)
        return Verdict("read", subject, "its watermark is its own: not asked")
    except WRONG as wrong:
        return Verdict("read", subject, "", wrong.message if isinstance(wrong, IsthmusError) else repr(wrong))
    if method != verb.split(".")[1] and found is not None and reader.sent == sent:
        return Verdict("read", subject, "has nothing to look for in a message of nobody")
    if method != verb.split(".")[1] and found is not None:
        return Verdict("read", subject, "", f"a look-up of {NOBODY} found {found!r}")
    return Verdict("read", subject, _told(found))


def _arguments(verb: str, entity: str, since: str) -> tuple[Any, ...]:
    """The common inputs of nobody, of this legal entity."""
    nobody = Samples(auth={}, inputs={"watermark": since, "entity": entity, "envelope_id": NOBODY})
    return arguments(verb, nobody, {"n": NOBODY, "url": INPUTS.name})


def _told(found: Any) -> str:
    rows = next((value for value in vars(found).values() if isinstance(value, tuple)), None) if _holds(found) else found
    if isinstance(rows, tuple):
        return f"{len(rows)} rows"
    return "answers" if found is not None else "finds nobody"


def _holds(found: Any) -> bool:
    return hasattr(found, "__dict__") and not isinstance(found, tuple)


def _mapping(connection: Connection) -> Verdict:
    try:
        broken = drift(connection, connection.connector)
    except WRONG as wrong:
        return Verdict("mapping drift", "", "", str(wrong))
    if broken is None:
        return Verdict("mapping drift", "", "it reads no metadata")
    if broken:
        return Verdict("mapping drift", "", "", "; ".join(row.told() for row in broken))
    return Verdict("mapping drift", "", f"{len(connection.connector.tables())} tables fit")
