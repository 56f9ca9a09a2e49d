"""Secrets are nowhere: not in logs, not in the trail of exchanges, not in cassettes, not in errors or reprs."""

from __future__ import annotations

import io
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import structlog
from structlog.testing import capture_logs

from isthmus.app.conformance.bench import Bench
from isthmus.app.conformance.verdict import expect
from isthmus.app.conformance.weather import Weather
from isthmus.domain.errors import IsthmusError
from isthmus.kit.auth import IDENTIFIERS
from isthmus.kit.executor import Connection
from isthmus.kit.masking import spellings
from isthmus.ports.calls import Exchange, exchanges_of_call


def secrets_nowhere(bench: Bench, kind: str) -> str:
    """Every verb in fine weather and in bad, with everything written down; then all that was written is searched."""
    weather = Weather(bench.counterpart.transport(), bench.manifest)
    written: list[str] = []
    with tempfile.TemporaryDirectory() as folder, _everything_logged() as logs:
        cassette = Path(folder) / "tape.jsonl"
        connection = bench.connect(kind, transport=weather, cassette=cassette)
        seen: list[Exchange] = []
        noted = exchanges_of_call.set(seen)
        for verb in (*bench.manifest.verbs, *bench.manifest.reads):
            bench.reset()
            written.append(_called(bench, verb, connection, weather))
        exchanges_of_call.reset(noted)
        written += [repr(seen), cassette.read_text(), repr(connection), repr(connection.auth)]
    written.append(repr(logs))
    proofs = (name for name in connection.secrets.names() if name not in IDENTIFIERS)
    secrets = {name: connection.secrets[name] for name in proofs}
    secrets |= {"the token of the session": connection.auth.token}
    text = "\n".join(written)
    for name, secret in secrets.items():
        leaked = [spelling for spelling in spellings(secret) if len(spelling) > 3 and spelling in text]
        expect(not leaked, f"{name} can be read in logs, trail, cassette or errors")
    return f"{len(seen)} exchanges, {len(logs)} log lines, {len(text)} characters written"


@contextmanager
def _everything_logged() -> Iterator[list[Any]]:
    """All that is logged or printed, down to the last detail, by whichever library, whatever is usually written."""
    usual, root, printed = structlog.get_config(), logging.getLogger(), io.StringIO()
    others, level = logging.StreamHandler(printed), root.level
    structlog.configure(**{**usual, "wrapper_class": structlog.make_filtering_bound_logger(logging.DEBUG)})
    root.addHandler(others)
    root.setLevel(logging.DEBUG)
    try:
        with capture_logs() as logs, redirect_stdout(printed), redirect_stderr(printed):
            yield logs
        logs.extend({"event": line} for line in printed.getvalue().splitlines())
    finally:
        root.setLevel(level)
        root.removeHandler(others)
        structlog.configure(**usual)


def _called(bench: Bench, verb: str, connection: Connection, weather: Weather) -> str:
    """Call a verb, and again with its answer lost; what the second error says."""
    weather.plan = lambda request, place: None
    trial = bench.prepare(verb, 1, connection)
    getattr(connection, verb.split(".")[1])(*trial.arguments)
    weather.plan = lambda request, place: "gateway_after"
    try:
        getattr(connection, verb.split(".")[1])(*trial.arguments)
    except IsthmusError as error:
        return repr(error)
    return ""
