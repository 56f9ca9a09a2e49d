"""Commands that go on running: the whole hub, one more worker, the API alone, vendor sandboxes, the demo."""

from __future__ import annotations

import gc
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.app.cli.shell import SETTINGS, WrongUsage, common, write_json_line
from isthmus.domain.errors import BadInput, IsthmusError

if TYPE_CHECKING:
    import uvicorn

    from isthmus.app.bootstrap import Hub
    from isthmus.app.demo.play import Play
    from isthmus.app.worker import Worker
    from isthmus.sandbox.server import Running

PANEL = "Run"
Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")]
START_SECONDS = 60.0
GARBAGE_AT = 5_000  # new objects before the youngest are looked through; Python's 700 is for small programs


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for name, act in (("up", up), ("worker", worker), ("api", api), ("sandbox", sandbox), ("demo", demo)):
        app.command(name, rich_help_panel=PANEL)(common(act))


def up(
    host: Host = "127.0.0.1",
    port: Port = 8700,
    firm: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Apply this firm folder first, if it changed and is safe.", show_default=False
        ),
    ] = None,
) -> None:
    """Run hub, worker and API in one process until Ctrl-C or SIGTERM. Prepares the database first.

    A firm folder with dangerous changes is not applied here: exit code 3, see 'isthmus plan'.

    Example: isthmus up --firm firm --port 8700
    """
    from isthmus.app.worker import Worker

    ended = until_signal()
    listener = _bind(host, port)
    with _hub(firm) as hub:
        one = Worker(hub)
        one.start()
        try:
            with _served(hub, listener) as served:
                _announce(hub, url=_address(listener), worker=one.executor_id)
                _wait(ended, one, served)
        finally:
            one.stop()


def worker(
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Runs it advances at a time, per lane.")] = 8,
    no_sweep: Annotated[
        bool, typer.Option("--no-sweep", help="Do not ask other systems for changes; others do.")
    ] = False,
) -> None:
    """Run one more worker on the same database until Ctrl-C or SIGTERM.

    Workers share the work by themselves; when one dies, the others take its runs over within 15 seconds.

    Example: ISTHMUS_DATABASE_URL=postgresql://... isthmus worker --concurrency 16
    """
    from isthmus.app.worker import Worker

    ended = until_signal()
    with _hub(None) as hub:
        one = Worker(hub, concurrency=concurrency, sweeping=not no_sweep)
        one.start()
        try:
            _announce(hub, worker=one.executor_id)
            _wait(ended, one)
        finally:
            one.stop()


def api(host: Host = "127.0.0.1", port: Port = 8700) -> None:
    """Run the API alone until Ctrl-C or SIGTERM; workers run elsewhere on the same database.

    Example: isthmus api --host 0.0.0.0 --port 8700
    """
    ended = until_signal()
    listener = _bind(host, port)
    with _hub(None) as hub, _served(hub, listener) as served:
        _announce(hub, url=_address(listener))
        _wait(ended, None, served)


def sandbox(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Which; without any, it tells which there are.", show_default=False),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the first one, the next ones follow; 0 picks free ones.")
    ] = 8800,
    tls: Annotated[
        bool, typer.Option("--tls", help="Serve https with a certificate made now; prints its authority's file.")
    ] = False,
) -> None:
    """Run emulated vendor systems until Ctrl-C: prints address, credentials and control address of each.

    They answer over real HTTP, keep records in memory and take faults at the control address. Not vendors' software,
    but for tryton, which is a real Tryton server behind the same fault gate.

    Example: isthmus sandbox netsuite avalara --port 8800
    """
    from isthmus.sandbox.server import NAMES

    unknown = [name for name in names or [] if name not in NAMES]
    if unknown or not names:
        what = f"no sandbox named {', '.join(unknown)}." if unknown else "Which sandbox?"
        raise WrongUsage(f"{what} There are: {', '.join(NAMES)}")
    if len(set(names)) < len(names):
        raise WrongUsage("each sandbox once")
    ended = until_signal()
    with _sandboxes(names, port, tls) as served:
        for running in served:
            _describe(running)
        ended.wait()


def demo(
    headless: Annotated[
        bool, typer.Option("--headless", help="End after the month; no console. So does --json.")
    ] = False,
    seed: Annotated[int, typer.Option(help="The same seed plays the same month.")] = 20260301,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the console; 0 picks a free one.")] = 8700,
) -> None:
    """Play a month of a small consulting firm on the real hub: from won deal to paid invoice, with faults on the way.

    Everything in it is synthetic but the rates; nothing leaves this machine. It plays in a database of its own.
    Four cases are left open at the end, and the console is served until Ctrl-C for you to solve them.

    Example: isthmus demo --seed 7
    """
    from isthmus.app.demo import run

    listener = None if headless or SETTINGS.as_json else _bind("127.0.0.1", port)

    def look_around(play: Play) -> None:
        if listener is not None:
            ended = until_signal()
            with _served(play.hub, listener):
                _invite(play, _address(listener))
                ended.wait()

    code = run(seed=seed, as_json=SETTINGS.as_json, look_around=look_around)
    if code:
        raise typer.Exit(code)


def _invite(play: Play, url: str) -> None:
    """Where the console is, who may log in, and what waits there."""
    from isthmus.app.demo.left_open import WHO, open_cases

    typer.echo(f"\nThe console: {url}/")
    typer.echo("Four cases wait for you there. Everybody's password is demo.")
    for number, told in open_cases(play).items():
        typer.echo(f"  {number}  {WHO[told.split()[0]]}")
        typer.echo(f"              {told}")
    typer.echo("Ctrl-C ends it.")


# -- the pieces -----------------------------------------------------------------------------------------------------


def until_signal() -> threading.Event:
    """Set at SIGINT or SIGTERM. Asked for first, so that a signal during the start ends cleanly too."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    return ended


def _wait(ended: threading.Event, worker: Worker | None, api: threading.Thread | None = None) -> None:
    """Until a signal. What has lost a part ends with an error, so that whoever supervises it starts it anew."""
    while not ended.wait(0.5):
        if worker is not None and worker.broken.is_set():
            raise IsthmusError("a loop of this worker has ended, as its log says; start it again")
        if api is not None and not api.is_alive():
            raise IsthmusError("the API has ended, as its log says; start it again")


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as taken:
        listener.close()
        raise BadInput(f"cannot listen on {host} port {port}: {taken.strerror}; --port 0 picks a free one") from taken
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _hub(folder: Path | None) -> Iterator[Hub]:
    """The hub on its prepared database, with the folder applied when that is safe."""
    from isthmus.app.bootstrap import build, database_url, prepare

    url = database_url()
    prepare(url)
    if folder is not None:
        _apply_when_safe(folder)
    hub = build(url)
    try:
        yield hub
    finally:
        hub.close()


def _apply_when_safe(folder: Path) -> None:
    """By the rule, not by a person: a dangerous change is refused here."""
    from isthmus.app.bootstrap import apply_firm
    from isthmus.app.cli.books import opened, whoami
    from isthmus.app.cli.folder import planned, refuse_dangers, usable
    from isthmus.runtime.clock import SystemClock

    wanted = usable(folder)
    with opened() as store:
        _, changes = planned(store, wanted)
        refuse_dangers(changes)
        reason = f"isthmus up: {len(changes)} changes, none dangerous"
        apply_firm(
            store, wanted, by=whoami(), approved_by="rule: no change is dangerous", clock=SystemClock(), reason=reason
        )


@contextmanager
def _served(hub: Hub, listener: socket.socket) -> Iterator[threading.Thread]:
    """The API in a thread: uvicorn in the main thread would take the signals and end before the worker is stopped."""
    import uvicorn

    from isthmus.app.api import create_app

    # Open pages hold a stream of events each, which would never end by itself.
    config = uvicorn.Config(create_app(hub), log_level="warning", access_log=False, timeout_graceful_shutdown=3)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="isthmus-api", daemon=True)
    thread.start()
    _await_start(server, thread, _address(listener))
    try:
        yield thread
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def _await_start(server: uvicorn.Server, thread: threading.Thread, url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise IsthmusError(f"the API did not start on {url} within {START_SECONDS:g} s; --debug shows more")
        time.sleep(0.01)


def _settle() -> None:
    """What is loaded by now stays: looking for garbage in it would stop everything for a fifth of a second."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_AT, 20, 20)


def _announce(hub: Hub, **more: str) -> None:
    """What runs where, on stdout and at once: whoever started this waits for it."""
    from isthmus import __version__
    from isthmus.app.cli.books import masked

    _settle()
    facts: dict[str, Any] = {
        "isthmus": __version__,
        "database": masked(hub.url),
        "firm": hub.firm.name,
        "firm_version": hub.firm_version,
        "connections": [f"{c.name} ({c.connector})" for c in hub.firm.connections],
        **more,
    }
    if SETTINGS.as_json:
        write_json_line(facts)
        return
    for name, fact in facts.items():
        typer.echo(f"{name.replace('_', ' '):<13} {', '.join(fact) if isinstance(fact, list) else fact}")
    typer.echo("running; Ctrl-C ends it")


@contextmanager
def _sandboxes(names: list[str], port: int, tls: bool) -> Iterator[list[Running]]:
    from isthmus.sandbox.server import make, start

    served: list[Running] = []
    try:
        for offset, name in enumerate(names):
            try:
                served.append(start(make(name), port=port + offset if port else 0, tls=tls))
            except (OSError, OverflowError) as taken:
                where = f"{name} cannot listen on port {port + offset}"
                raise BadInput(f"{where}: {taken}; --port 0 picks free ones") from taken
        yield served
    finally:
        for running in served:
            running.stop()


def _describe(running: Running) -> None:
    facts = running.describe()
    if SETTINGS.as_json:
        write_json_line(facts)
        return
    credentials = facts.pop("credentials")
    assert isinstance(credentials, dict)
    for name, fact in facts.items():
        if fact is not None:
            typer.echo(f"{name:<12} {fact}")
    for name, value in credentials.items():
        first, *rest = str(value).splitlines() or [""]
        typer.echo(f"  {name:<24} {first}{' ... (--json prints all of it)' if rest else ''}")
    typer.echo("")
