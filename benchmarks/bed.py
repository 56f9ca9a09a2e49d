"""The test bed of the benchmarks: its own embedded PostgreSQL, sandboxes and hub processes, all on loopback."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import psutil
import psycopg

from isthmus.app import bootstrap
from isthmus.app.demo import world
from isthmus.app.demo.firm import write_folder
from isthmus.store import embedded

ISTHMUS = [sys.executable, "-c", "from isthmus.app.cli import main; main()"]
SYSTEMS = ("salesforce", "kantata", "netsuite", "avalara")


def plain(url: str) -> str:
    """The URL as psycopg wants it."""
    return url.replace("postgresql+psycopg://", "postgresql://")


class Bed:
    """One PostgreSQL, and what runs on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = embedded.ensure(folder / "postgres")
        self.served: dict[str, Any] = {}
        self.children: list[subprocess.Popen[str]] = []

    def database(self, name: str) -> str:
        """A fresh, prepared database."""
        with psycopg.connect(plain(self.url), autocommit=True) as connection:
            connection.execute(f'drop database if exists "{name}" with (force)')
        url = embedded.ensure(self.folder / "postgres", name)
        bootstrap.prepare(url)
        return url

    def child(self, *arguments: str, url: str = "") -> subprocess.Popen[str]:
        """Start an isthmus command; its standard output is JSON lines."""
        environment = {**os.environ, "ISTHMUS_DATABASE_URL": url, "ISTHMUS_HOME": str(self.folder)}
        child = subprocess.Popen(
            [*ISTHMUS, *arguments, "--json"], stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
        )
        self.children.append(child)
        return child

    def start_sandboxes(self) -> None:
        """All four, in one process of their own."""
        child = self.child("sandbox", *SYSTEMS, "--port", "0")
        assert child.stdout is not None
        for _ in SYSTEMS:
            told = json.loads(child.stdout.readline())
            credentials = told["credentials"]
            stand_in = SimpleNamespace(credentials=lambda credentials=credentials: credentials)
            self.served[told["name"]] = SimpleNamespace(url=told["base_url"], sandbox=stand_in)

    def control(self, system: str, path: str, body: Any) -> Any:
        """Speak to a sandbox's control surface."""
        answer = httpx.post(f"{self.served[system].url}/_control/{path}", json=body, timeout=30, trust_env=False)
        return answer.raise_for_status().json()

    def seen_by(self, system: str) -> tuple[int, int]:
        """How many requests a sandbox has had, and how many at once at most."""
        told = httpx.get(f"{self.served[system].url}/_control/log", trust_env=False, timeout=60).json()
        return len(told["requests"]), int(told["concurrent_max"])

    def firm_folder(self) -> Path:
        """The demo firm on these sandboxes."""
        people = sorted({person for _, person in world.TEAM.values()})
        return write_folder(self.folder / "firm", self.served, {p: str(11 + n % 4) for n, p in enumerate(people)})

    def start_hub(self, command: str, url: str, *arguments: str) -> tuple[subprocess.Popen[str], str]:
        """`isthmus up` or `isthmus api`; the process and its address."""
        child = self.child(command, "--port", "0", *arguments, url=url)
        assert child.stdout is not None
        while line := child.stdout.readline():
            told = json.loads(line)
            if told.get("url"):
                return child, str(told["url"])
        raise RuntimeError(f"isthmus {command} did not start")

    def win(self, deal: world.Deal) -> None:
        """Put a signed contract into the CRM."""
        ids: dict[str, str] = {}
        for name, record in world.salesforce_records(deal, world.price_list(), ids):
            filled = {
                k: ids.get(v[1:], v) if isinstance(v, str) and v.startswith("@") else v for k, v in record.items()
            }
            ids[name] = self.control("salesforce", "seed", {name: [filled]})[name][0]["Id"]

    def slow_sweeps(self) -> None:
        """Ask other systems for changes as often as the product does by itself, not as often as the demo."""
        connections = self.folder / "firm" / "connections.toml"
        connections.write_text(connections.read_text().replace("sweep_seconds = 0.3", "sweep_seconds = 5.0"))

    def cpu_of_postgres(self) -> float:
        """Seconds all server processes have used so far."""
        return cpu_of_postgres(self.folder)

    def close(self) -> None:
        """End everything and remove the folder."""
        for child in self.children:
            child.kill()
            child.wait()
        embedded.stop(self.folder / "postgres")
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def bed() -> Iterator[Bed]:
    """A bed for the length of a with-block."""
    folder = Path(tempfile.mkdtemp(prefix="isthmus-bench-"))
    folder.chmod(0o755)
    made = Bed(folder)
    try:
        yield made
    finally:
        made.close()


def cpu_seconds(pid: int) -> float:
    """What a process has used so far; 0 when it is gone."""
    try:
        spent = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(spent.user + spent.system)


def cpu_of_postgres(folder: Path) -> float:
    """Seconds all processes of the server of a bed have used so far."""
    pid = next((folder / "postgres").rglob("postmaster.pid")).read_text().split()[0]
    root = psutil.Process(int(pid))
    return cpu_seconds(root.pid) + sum(cpu_seconds(child.pid) for child in root.children(recursive=True))


def count(url: str, query: str) -> int:
    """The one number a query gives."""
    with psycopg.connect(plain(url)) as connection:
        row = connection.execute(query).fetchone()  # type: ignore[call-overload]
    return int(row[0]) if row else 0


def wait_for(url: str, query: str, wanted: int, seconds: float) -> float:
    """Seconds until the query gives at least the wanted number; raises when it takes too long."""
    started = time.perf_counter()
    with psycopg.connect(plain(url), autocommit=True) as connection:
        while time.perf_counter() - started < seconds:
            row = connection.execute(query).fetchone()  # type: ignore[call-overload]
            if row and int(row[0]) >= wanted:
                return time.perf_counter() - started
            time.sleep(0.01)
    raise RuntimeError(f"{query}: not {wanted} within {seconds:g} s")


def peak_memory_mib(pid: int) -> float:
    """Highest resident memory of a process so far (VmHWM)."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found.group(1)) / 1024 if found else 0.0
