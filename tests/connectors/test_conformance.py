"""What every connector promises, checked for each folder under isthmus/connectors without knowing the vendor.

Fixtures are made from the manifest: a credential per name it lists, an answer per row of its error table. How a
connector is met at its sandbox is told by its samples.toml (docs/extend/connector.md).
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import isthmus.connectors
from isthmus.app.conformance import verbs
from isthmus.app.conformance.bench import Bench
from isthmus.domain.errors import (
    IsthmusError,
    NeedsSetup,
    NotFound,
    OutcomeUnknown,
    RemoteRefusal,
    StaleRead,
    Throttled,
    Unreachable,
)
from isthmus.kit.connector import Connector, missing_verbs
from isthmus.kit.executor import Connection
from isthmus.kit.manifest import ErrorRow, load
from isthmus.kit.wire import Request
from isthmus.ports import PORTS
from isthmus.ports.verbs import VerbSpec, spec_of

ROOT = Path(isthmus.connectors.__file__).parent
DOCS = ROOT.parents[1] / "docs" / "connect"
FOLDERS = sorted(p for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith("_"))
LINES_MAX = 400
URL = "https://vendor.example"
TOKEN = "t0k3n-of-the-session"
MEANINGS: dict[str, type[IsthmusError]] = {
    "Unreachable": Unreachable,
    "Throttled": Throttled,
    "OutcomeUnknown": OutcomeUnknown,
    "RemoteRefusal": RemoteRefusal,
    "NeedsSetup": NeedsSetup,
    "StaleRead": StaleRead,
    "Absent": NotFound,
    "Exists": OutcomeUnknown,  # it is there: the look-up finds it
}
every_connector = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


# -- fixtures from the manifest ----------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, kind, serialization.NoEncryption()).decode()


@lru_cache(maxsize=1)
def certificate() -> str:
    return str(trustme.CA().cert_pem.bytes().decode())


def connector_of(folder: Path) -> type[Connector]:
    made: type[Connector] = importlib.import_module(f"isthmus.connectors.{folder.name}").connector
    return made


def secrets_of(folder: Path) -> dict[str, str]:
    names = load(folder).auth.credentials
    made = {"private_key": private_key, "certificate": certificate}
    return {name: made[name]() if name in made else f"s3cr3t-{name}" for name in names}


def connect(folder: Path, kind: str, handler: Callable[[httpx.Request], httpx.Response]) -> Connection:
    """A connection whose vendor is the handler; signing in always works."""
    token_path = load(folder).auth.token_path

    def vendor(request: httpx.Request) -> httpx.Response:
        if token_path and str(request.url).endswith(token_path):
            return httpx.Response(200, json={"access_token": TOKEN, "expires_in": 3600})
        return handler(request)

    client = httpx.Client(transport=httpx.MockTransport(vendor))
    made = connector_of(folder)()
    return Connection("under-test", made, base_url=URL, auth_kind=kind, secrets=secrets_of(folder), client=client)


def verbs_of(port: str) -> dict[str, VerbSpec]:
    """The declarations of a port, by name."""
    return {name: spec_of(verb) for name, verb in vars(PORTS[port]).items() if hasattr(verb, "__verb__")}


def put(body: Any, path: str, value: str) -> Any:
    """A body with a value at a dotted path; digits are places of a list."""
    if not path:
        return value
    step, _, rest = path.partition(".")
    if step.isdigit():
        rows = list(body or []) + [{}] * (int(step) + 1 - len(body or []))
        rows[int(step)] = put(rows[int(step)], rest, value)
        return rows
    return {**(body or {}), step: put((body or {}).get(step), rest, value)}


# -- the manifest ------------------------------------------------------------------------------------------------


@every_connector
def test_the_manifest_declares_every_verb_of_its_ports_and_no_other(folder: Path) -> None:
    manifest = load(folder)
    assert manifest.system.name == folder.name
    assert manifest.system.ports
    writes, asks = {}, set()
    for port in manifest.system.ports:
        for name, spec in verbs_of(port).items():
            if spec.writes:
                writes[f"{port}.{name}"] = spec.find
            else:
                asks.add(f"{port}.{name}")
    assert {verb: facts.find for verb, facts in manifest.verbs.items()} == writes
    looked_up = {f"{verb.split('.')[0]}.{find}" for verb, find in writes.items()}
    assert set(manifest.reads) | looked_up == asks


@every_connector
def test_every_verb_yields_its_requests_and_has_the_ports_arguments(folder: Path) -> None:
    connector = connector_of(folder)
    for port in load(folder).system.ports:
        assert missing_verbs(connector, port) == []
        for name in verbs_of(port):
            ours, theirs = getattr(connector, name), getattr(PORTS[port], name)
            assert str(inspect.signature(ours).return_annotation).startswith("Verb["), f"{name} does not yield requests"
            assert [*inspect.signature(ours).parameters] == [*inspect.signature(theirs).parameters], name


@every_connector
def test_credentials_and_addresses_are_named(folder: Path) -> None:
    manifest = load(folder)
    assert manifest.auth.kinds
    assert manifest.auth.credentials
    assert manifest.base_url
    assert all(url.startswith("https://") for url in manifest.base_url.values())
    assert manifest.errors
    assert manifest.capture.kind != "watermark" or manifest.capture.overlap_seconds > 0


# -- each verb at its sandbox ------------------------------------------------------------------------------------


@lru_cache
def bench_of(name: str) -> Bench:
    return Bench(name)


def _verbs(writes: bool) -> list[Any]:
    """Every connector with each of its writes, or with each of its reads that is no look-up of a write."""
    found = []
    for folder in FOLDERS:
        manifest = load(folder) if (folder / "manifest.toml").exists() else None
        named = () if manifest is None else manifest.verbs if writes else manifest.reads
        found += [pytest.param(folder.name, verb, id=f"{folder.name}-{verb}") for verb in named]
    return found


@pytest.mark.parametrize(("name", "verb"), _verbs(writes=True))
def test_a_write_is_found_afterwards_and_sent_again_makes_nothing_new(name: str, verb: str) -> None:
    bench = bench_of(name)
    bench.reset()
    print(f"{name} {verb}: {verbs.written_and_found(bench, verb)}")


@pytest.mark.parametrize(("name", "verb"), _verbs(writes=False))
def test_a_read_returns_what_is_there(name: str, verb: str) -> None:
    bench = bench_of(name)
    bench.reset()
    print(f"{name} {verb}: {verbs.read(bench, verb)}")


WAYS_IN = [(f.name, kind) for f in FOLDERS if (f / "manifest.toml").exists() for kind in load(f).auth.kinds]


@pytest.mark.parametrize(("name", "kind"), WAYS_IN)
def test_every_way_to_log_in_is_let_in_by_the_sandbox(name: str, kind: str) -> None:
    bench = bench_of(name)
    bench.reset()
    verb = next(iter([*bench.manifest.reads, *bench.manifest.verbs]))
    connection = bench.connect(kind)
    bench.call(connection, verb, bench.prepare(verb, 1, connection).known)


# -- the code ----------------------------------------------------------------------------------------------------


@every_connector
def test_a_connector_is_small_and_written_about(folder: Path) -> None:
    lines = sum(len(path.read_text().splitlines()) for path in folder.rglob("*.py"))
    print(f"{folder.name}: {lines} lines of Python")
    assert lines <= LINES_MAX
    assert (folder / "NOTES.md").read_text().strip()
    page = (DOCS / f"{folder.name}.md").read_text()
    auth = load(folder).auth
    named = {*connector_of(folder).settings_known, *auth.credentials, *auth.optional}
    assert [name for name in sorted(named) if name not in page] == [], "undocumented"


@every_connector
def test_a_connector_neither_sends_nor_waits_nor_logs(folder: Path) -> None:
    for path in folder.rglob("*.py"):
        source = path.read_text()
        imported = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module or "")
        for name in imported:
            assert name.split(".")[0] not in {"httpx", "requests", "time", "logging", "structlog"}, f"{path}: {name}"
            assert not name.startswith("isthmus.sandbox"), f"{path}: {name}"
        assert "sleep" not in source, path


@every_connector
def test_an_unknown_setting_is_refused_by_name(folder: Path) -> None:
    with pytest.raises(NeedsSetup, match="no_such_setting"):
        connector_of(folder)({"no_such_setting": 1})


# -- what answers mean -------------------------------------------------------------------------------------------


def _rows() -> list[Any]:
    found = []
    for folder in FOLDERS:
        rows = load(folder).errors if (folder / "manifest.toml").exists() else ()
        for row in rows:
            for method in ("GET", "POST"):
                if not (row.writes_only and method == "GET") and not (row.reads_only and method == "POST"):
                    name = f"{folder.name}-{row.status}-{row.code or row.contains}-{method}"
                    found.append(pytest.param(folder, row, method, id=name))
    return found


@pytest.mark.parametrize(("folder", "row", "method"), _rows())
def test_every_row_of_the_error_table_raises_its_class(folder: Path, row: ErrorRow, method: str) -> None:
    manifest = load(folder)
    status = int(str(row.status).replace("xx", "99"))
    body: Any = None
    if manifest.error_code_path:
        body = put(body, manifest.error_code_path, row.code or "SOME_OTHER_CODE")
    if manifest.error_message_path:
        body = put(body, manifest.error_message_path, f"it said {row.contains}")
    body = body if body is not None else {"said": row.contains}
    connection = connect(folder, manifest.auth.kinds[0], lambda _: httpx.Response(status, json=body))
    with pytest.raises(IsthmusError) as caught:
        connection.send(Request(method, "anything"))
    assert type(caught.value) is MEANINGS[row.raises]


@every_connector
def test_what_the_table_does_not_say_follows_the_common_rules(folder: Path) -> None:
    rules = [(599, "POST", OutcomeUnknown), (599, "GET", Unreachable), (404, "GET", NotFound), (429, "GET", Throttled)]
    for status, method, meaning in rules:
        if any(row.matches(status, "", "", method == "POST") for row in load(folder).errors):
            continue
        answer = httpx.Response(status, json={"unheard": "of"})
        connection = connect(folder, load(folder).auth.kinds[0], lambda _, answer=answer: answer)
        with pytest.raises(meaning):
            connection.send(Request(method, "anything"))


# -- secrets -----------------------------------------------------------------------------------------------------


def _kinds(*only: str) -> list[Any]:
    """Every connector with each of its auth kinds, or with those named."""
    folders = [folder for folder in FOLDERS if (folder / "manifest.toml").exists()]
    return [
        pytest.param(f, kind, id=f"{f.name}-{kind}")
        for f in folders
        for kind in load(f).auth.kinds
        if not only or kind in only
    ]


def _leaks(folder: Path, connection: Connection, error: BaseException, *more: str) -> list[str]:
    """Names of the secrets that anybody who sees the error or the objects could read."""
    seen = " ".join([str(error), repr(error), repr(connection), repr(connection.auth), repr(connection.secrets)])
    guarded = {**secrets_of(folder), "token of the session": TOKEN, **{text: text for text in more}}
    return [name for name, value in guarded.items() if value in seen]


@pytest.mark.parametrize(("folder", "kind"), _kinds())
def test_secrets_an_answer_echoes_are_masked(folder: Path, kind: str) -> None:
    sent: list[str] = []

    def echo(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers["Authorization"].partition(" ")[2])
        # Long enough that the text is cut: a secret must not survive as its first half.
        said = json.dumps({"you": sent[-1], "sent": [*secrets_of(folder).values()] * 3})
        return httpx.Response(418, text=said)

    connection = connect(folder, kind, echo)
    with pytest.raises(IsthmusError) as caught:
        connection.send(Request("POST", "anything"))
    # The header of OAuth 1.0a is a signature of this one request; all others let in whoever has them.
    assert _leaks(folder, connection, caught.value, *(() if kind == "tba" else sent)) == []
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(("folder", "kind"), _kinds("client_credentials", "jwt_bearer", "m2m"))
def test_secrets_a_refused_sign_in_echoes_are_masked(folder: Path, kind: str) -> None:
    sent: list[str] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        form = httpx.QueryParams(request.content.decode())
        sent.extend(value for name, value in form.items() if name in ("assertion", "client_assertion"))
        return httpx.Response(400, json=dict(form))

    client = httpx.Client(transport=httpx.MockTransport(refuse))
    made = connector_of(folder)()
    connection = Connection("x", made, base_url=URL, auth_kind=kind, secrets=secrets_of(folder), client=client)
    with pytest.raises(NeedsSetup, match="login refused") as caught:
        connection.send(Request("GET", "anything"))
    assert _leaks(folder, connection, caught.value, *sent) == []


@every_connector
def test_a_missing_credential_is_named_and_needs_setup(folder: Path) -> None:
    kind = load(folder).auth.kinds[0]
    connection = Connection("x", connector_of(folder)(), base_url=URL, auth_kind=kind, secrets={})
    with pytest.raises(NeedsSetup, match=r"credential '\w+' is missing"):
        connection.send(Request("GET", "anything"))
