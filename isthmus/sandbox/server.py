"""Serve sandboxes on loopback, over http or TLS, in a thread of this process or in the foreground."""

from __future__ import annotations

import contextlib
import importlib
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
import uvicorn

from isthmus.sandbox.base import Sandbox

# Every folder beside this file is a sandbox, but for those that several of them stand on.
SHARED = frozenset({"platform"})
NAMES = tuple(sorted({path.parent.name for path in Path(__file__).parent.glob("*/__init__.py")} - SHARED))


def make(name: str) -> Sandbox:
    """The sandbox of this name; ValueError lists the known names."""
    if name not in NAMES:
        raise ValueError(f"no sandbox named {name!r}; there are: {', '.join(NAMES)}")
    made: Sandbox = importlib.import_module(f"isthmus.sandbox.{name}").sandbox()
    return made


@dataclass
class Running:
    """One served sandbox. url has no trailing slash; ca_file is set when it serves TLS."""

    sandbox: Sandbox
    url: str
    ca_file: Path | None
    _server: uvicorn.Server
    _thread: threading.Thread

    def stop(self) -> None:
        """Stop serving and wait for the thread."""
        self.sandbox.stop_beside()
        self._server.should_exit = True
        self._thread.join(timeout=5)

    def describe(self) -> dict[str, object]:
        """What a client needs: base URL, credentials, control URL, certificate authority file."""
        return {
            "name": self.sandbox.name,
            "base_url": self.url,
            "control_url": f"{self.url}/_control",
            "credentials": self.sandbox.credentials(),
            "ca_file": str(self.ca_file) if self.ca_file else None,
        }


def start(sandbox: Sandbox, port: int = 0, tls: bool = False) -> Running:
    """Serve one sandbox on 127.0.0.1 in a daemon thread; port 0 picks a free one. Returns when it answers."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    url = f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
    sandbox.base_url = url
    ca_file, tls_files = _certificate() if tls else (None, {})
    sandbox.serve_beside(tls_files)
    config = uvicorn.Config(sandbox.app(), log_level="error", access_log=False, lifespan="off", **tls_files)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True, name=sandbox.name)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started:
        if time.monotonic() > deadline or not thread.is_alive():
            raise RuntimeError(f"the {sandbox.name} sandbox did not start on {url}")
        time.sleep(0.01)
    return Running(sandbox, url, ca_file, server, thread)


def _certificate() -> tuple[Path, dict[str, Any]]:
    """A certificate for loopback of an authority made now: the authority's file, and uvicorn's settings."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    folder = Path(tempfile.mkdtemp(prefix="isthmus-tls-"))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    for link in issued.cert_chain_pems:
        link.write_to_path(str(folder / "cert.pem"), append=True)
    return folder / "ca.pem", {"ssl_keyfile": str(folder / "key.pem"), "ssl_certfile": str(folder / "cert.pem")}


@contextlib.contextmanager
def running(*names: str, tls: bool = False) -> Iterator[dict[str, Running]]:
    """Serve the named sandboxes for the length of a with-block; yields them by name."""
    served = {name: start(make(name), tls=tls) for name in names}
    try:
        yield served
    finally:
        for one in served.values():
            one.stop()
