"""The process that keeps one Tryton: its database and its server, until whoever started it ends, however it ends.

``python -m isthmus.sandbox.tryton.keeper postgresql`` (or sqlite) says in one line of JSON where the server and its
database are and waits for the end of its input.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import httpx
import psycopg

from isthmus.sandbox.tryton import template
from isthmus.sandbox.tryton.office import set_up
from isthmus.sandbox.tryton.rpc import DATABASE, PASSWORD, Office
from isthmus.store import embedded

START_SECONDS = 180.0  # on a machine that has much else to do


class Kept:
    """A folder with a database and a server in it."""

    def __init__(self, backend: template.Backend) -> None:
        memory = Path("/dev/shm")
        roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2**30
        self.backend = backend
        self.folder = Path(tempfile.mkdtemp(prefix="isthmus-tryton-", dir=memory if roomy else "/tmp"))
        self.folder.chmod(0o755)  # the account of the database has to enter it
        self.server: subprocess.Popen[bytes] | None = None
        self.place: template.Place | None = None
        self.url = ""

    def start(self) -> dict[str, Any]:
        """Have a new Tryton answer; what whoever started it needs to know."""
        programs = template.installed() / "bin"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        self.place = place = template.PLACES[self.backend](self.folder)
        listen = self.url.removeprefix("http://")
        text = f"[database]\n{place.settings}\n[web]\nlisten = {listen}\n"
        (self.folder / "trytond.conf").write_text(text)
        (self.folder / "password").write_text(PASSWORD)
        place.fill(lambda: self._initialise(programs, place))
        if self.server is None:
            self._serve(programs, place)
        return {"url": self.url, "database": place.address, "key": place.key()}

    def stop(self) -> None:
        """The end of the server, its database and the folder."""
        if self.server is not None:
            self.server.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.server.wait(10)
            self.server.kill()
        if self.place is not None:
            self.place.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _about(self) -> list[str]:
        return ["-c", str(self.folder / "trytond.conf"), "-d", DATABASE]

    def _initialise(self, programs: Path, place: template.Place) -> None:
        """Tables, modules and the administrator; then what an administrator sets up."""
        wanted = ["-u", *template.MODULES[self.backend], "--activate-dependencies", "--email", "admin@narrows.example"]
        environment = place.environment | {"TRYTONPASSFILE": str(self.folder / "password")}
        command = [str(programs / "trytond-admin"), *self._about(), *wanted]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"trytond-admin: {done.stderr.strip()[-1500:]}")
        self._serve(programs, place)
        office = Office(self.url)
        set_up(office)
        office.close()

    def _serve(self, programs: Path, place: template.Place) -> None:
        """The server, once it answers."""
        command = [str(programs / "trytond"), *self._about()]
        with open(self.folder / "trytond.log", "ab") as log:
            self.server = subprocess.Popen(command, env=place.environment, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.server.poll() is not None or time.monotonic() > deadline:
                said = (self.folder / "trytond.log").read_text()[-1500:]
                raise RuntimeError(f"trytond does not answer on {self.url}: {said}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            said = httpx.get(f"{self.url}/{DATABASE}/rest/model/party.party", timeout=30, trust_env=False)
        except httpx.HTTPError:
            return False
        return said.status_code == 401  # nobody is let in without a key


def main() -> None:
    """Keep one until the input ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for whoever started it; the end of the input tells
    kept = Kept(cast(template.Backend, sys.argv[1]))
    try:
        try:
            said = kept.start()
        except (RuntimeError, OSError, psycopg.Error, embedded.EmbeddedPostgresError) as wrong:
            said = {"wrong": str(wrong)}
        sys.stdout.write(f"{json.dumps(said)}\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        kept.stop()


if __name__ == "__main__":
    main()
