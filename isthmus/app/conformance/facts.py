"""What can be told without a counterpart: the manifest is whole, code keeps to its place, errors mean what it says."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from isthmus.app.conformance.bench import Bench
from isthmus.app.conformance.samples import all_verbs, verbs_of
from isthmus.app.conformance.verdict import Broken, expect
from isthmus.domain.errors import (
    IsthmusError,
    LostRace,
    NeedsSetup,
    NotFound,
    OutcomeUnknown,
    RemoteRefusal,
    StaleRead,
    Throttled,
    Unreachable,
)
from isthmus.kit.connector import missing_verbs
from isthmus.kit.executor import Connection
from isthmus.kit.manifest import ErrorRow, Manifest
from isthmus.kit.meaning import meaning
from isthmus.kit.wire import Answer, Request, decode, encode
from isthmus.ports import PORTS

LINES_MAX = 400
NOT_FOR_CONNECTORS = {"httpx", "requests", "urllib3", "aiohttp", "socket", "time", "logging", "structlog"}
MEANINGS: dict[str, type[IsthmusError]] = {
    "Unreachable": Unreachable,
    "Throttled": Throttled,
    "OutcomeUnknown": OutcomeUnknown,
    "RemoteRefusal": RemoteRefusal,
    "NeedsSetup": NeedsSetup,
    "StaleRead": StaleRead,
    "LostRace": LostRace,
    "Absent": NotFound,
    "Exists": OutcomeUnknown,  # it is there: the look-up finds it
}
NOTHING_HAPPENED = ("Unreachable", "Throttled", "StaleRead", "LostRace")  # sent again without a look-up
COMMON_RULES = (
    (599, "POST", OutcomeUnknown),
    (599, "GET", Unreachable),
    (404, "GET", NotFound),
    (412, "PUT", LostRace),
    (429, "GET", Throttled),
)


def manifest_is_whole(bench: Bench) -> str:
    """Every verb of every port it fills is declared and written, with the port's arguments and look-up; no other is."""
    facts = bench.manifest
    expect(facts.system.name == bench.folder.name, f"its name is {facts.system.name}, its folder {bench.folder.name}")
    unknown = [port for port in facts.system.ports if port not in PORTS]
    expect(bool(facts.system.ports) and not unknown, f"it fills no port, or an unknown one: {unknown}")
    writes = {f"{p}.{n}": s.find for p in facts.system.ports for n, s in verbs_of(p).items() if s.writes}
    asks = {f"{p}.{n}" for p in facts.system.ports for n, s in verbs_of(p).items() if not s.writes}
    declared = {verb: row.find for verb, row in facts.verbs.items()}
    expect(declared == writes, f"[verbs] has {_differing(declared, writes)}")
    looked_up = {f"{verb.split('.')[0]}.{find}" for verb, find in writes.items()}
    reads = {*facts.reads} | looked_up
    expect(reads == asks, f"reads has {sorted(reads ^ asks)} too much or too little")
    missing = [name for port in facts.system.ports for name in missing_verbs(bench.kind, port)]
    expect(not missing, f"these verbs are not written: {missing}")
    for verb in (*writes, *asks):
        _same_arguments(bench, verb)
    polls = [row.poll for row in facts.verbs.values() if row.poll and not hasattr(bench.kind, row.poll)]
    expect(not polls, f"these polls are not written: {polls}")
    expect(all(url.startswith("https://") for url in facts.base_url.values()), "an address is not https")
    expect(bool(facts.errors) and bool(facts.auth.kinds) and bool(facts.auth.credentials), "errors or auth are missing")
    return f"{len(writes)} writes and {len(asks)} reads of {', '.join(facts.system.ports)}"


def _differing(ours: dict[str, str], theirs: dict[str, str]) -> str:
    return ", ".join(sorted(f"{verb}: {find}" for verb, find in ours.items() ^ theirs.items()))


def _same_arguments(bench: Bench, verb: str) -> None:
    ours, theirs = getattr(bench.kind, verb.split(".")[1]), all_verbs()[verb]
    returns = str(inspect.signature(ours).return_annotation)
    expect(returns.startswith("Verb["), f"{verb} returns {returns}, not Verb[…]: it must yield its requests")
    same = [*inspect.signature(ours).parameters] == [*inspect.signature(theirs).parameters]
    expect(same, f"{verb} has other arguments than its port")


def code_keeps_to_its_place(bench: Bench) -> str:
    """At most 400 lines of Python that neither send nor wait nor log nor know a sandbox; notes beside them."""
    files = [path for path in bench.folder.glob("*.py") if not path.name.startswith(("test_", "sandbox"))]
    lines = sum(len(path.read_text().splitlines()) for path in files)
    expect(lines <= LINES_MAX, f"{lines} lines of Python, {LINES_MAX} are the most")
    expect((bench.folder / "NOTES.md").is_file(), "NOTES.md is missing")
    for path in files:
        for name in _imported(path):
            root = name.split(".")[0]
            expect(root not in NOT_FOR_CONNECTORS, f"{path.name} imports {name}")
            expect(not name.startswith("isthmus.sandbox"), f"{path.name} imports {name}: a sandbox proves nothing then")
        expect("sleep" not in path.read_text(), f"{path.name} sleeps")
    return f"{lines} lines of Python"


def _imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def unknown_setting_is_refused(bench: Bench) -> str:
    """A misspelt setting must not fall back to a default."""
    try:
        bench.kind({"no_such_setting": 1})
    except NeedsSetup as refused:
        expect("no_such_setting" in refused.message, f"it does not say which setting: {refused.message}")
        return f"{len(bench.kind.settings_known)} settings known"
    raise Broken("an unknown setting is taken without a word")


def each_error_row_raises_its_class(bench: Bench) -> str:
    """An answer made from each row of the error table is what the row says, and what no row says follows the rules."""
    tried = 0
    for row in bench.manifest.errors:
        _row_is_possible(row)
        for method in ("GET", "POST"):
            if (row.writes_only and method == "GET") or (row.reads_only and method == "POST"):
                continue
            found = meaning(bench.manifest, "conn", Request(method, "x"), answer_for(bench.manifest, row), str)
            named = f"the row {row.status} {row.code or row.contains or row.header}"
            wanted = MEANINGS[row.raises]
            expect(type(found) is wanted, f"{named} for {method} is {type(found).__name__}, not {wanted.__name__}")
            tried += 1
    for status, method, wanted in COMMON_RULES:
        if not any(row.matches(status, "", "", method != "GET", {}) for row in bench.manifest.errors):
            found = meaning(
                bench.manifest, "conn", Request(method, "x"), Answer(status, httpx.Headers(), {}, "{}"), str
            )
            expect(type(found) is wanted, f"{status} of {method} is {type(found).__name__}, not {wanted.__name__}")
    return f"{tried} answers by {len(bench.manifest.errors)} rows"


def _row_is_possible(row: ErrorRow) -> None:
    """No row says of a status what would lose or double something, or never end."""
    named = bool(row.code or row.contains or row.header)
    said = f"the row {row.status} says {row.raises}"
    expect(row.status != 401 or row.raises == "NeedsSetup", f"{said}: who is not let in needs setup")
    expect(row.status != 429 or row.raises == "Throttled", f"{said}: too many requests is patience, no refusal")
    harmless = row.raises in NOTHING_HAPPENED and not named
    fault = str(row.status).startswith("5") or row.status == 408
    expect(
        not (fault and harmless and not row.reads_only), f"{said} of writes, by the status alone: it may have happened"
    )
    refused = row.status in (400, 403, 404, 422, "4xx")
    waits = row.raises in ("Unreachable", "Throttled", "StaleRead") and not named
    expect(not (refused and waits), f"{said}, by the status alone: it would be sent again for ever")


def answer_for(facts: Manifest, row: ErrorRow) -> Answer:
    """An answer of which this row of the error table speaks."""
    body: Any = None
    if facts.error_code_path:
        body = placed(body, facts.error_code_path, row.code or "SOME_OTHER_CODE")
    if facts.error_message_path:
        body = placed(body, facts.error_message_path, f"it said {row.contains}")
    body = body if body is not None else {"said": row.contains}
    text = encode(body).decode()
    headers = httpx.Headers({row.header: f"x {row.header_contains} x"} if row.header else {})
    return Answer(int(str(row.status).replace("xx", "99")), headers, decode(text), text)


def placed(body: Any, path: str, value: str) -> Any:
    """A body with a value at a dotted path; digits are places of a list."""
    if not path:
        return value
    step, _, rest = path.partition(".")
    if step.isdigit():
        rows = list(body or []) + [{}] * (int(step) + 1 - len(body or []))
        rows[int(step)] = placed(rows[int(step)], rest, value)
        return rows
    return {**(body or {}), step: placed((body or {}).get(step), rest, value)}


def connected(bench: Bench, kind: str, vendor: Callable[[httpx.Request], httpx.Response], **secrets: str) -> Connection:
    """A connection whose vendor is a function."""
    return Connection(
        "under-test",
        bench.kind(bench.samples.settings),
        base_url="https://vendor.example",
        auth_kind=kind,
        secrets=secrets,
        transport=httpx.MockTransport(vendor),
    )
