"""Bring the server up: wait for one that is coming or going, launch one where there is none, give up with its words."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from isthmus.store.server.account import as_account, hand_over, insist_reachable, server_account
from isthmus.store.server.cluster import create_cluster, insist_startable
from isthmus.store.server.place import (
    PORT,
    PUZZLED_SECONDS,
    WAIT_SECONDS,
    EmbeddedPostgresError,
    Place,
    clean_environment,
    lock,
    make_parents,
    pid_on_file,
)
from isthmus.store.server.presence import ask, children, postmaster
from isthmus.store.server.programs import usable_programs
from isthmus.store.server.sockets import SOCKET, make_socket_dir

_LAUNCHES = 4
_LOG_BYTES = 16 * 1024 * 1024
# Safety and the way in are not for tuning: on the command line they win over any file.
_FIXED = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "logging_collector": "off",
    "log_destination": "stderr",
}
_COMING_OR_GOING = re.compile(r"starting up|shutting down|recovery|not yet accepting|too many clients|timeout")
# Said when backends of a killed postmaster still live: they end by themselves, so only time helps.
_ORPHANS = "still in use"


def bring_up(place: Place) -> None:
    """Have our server answering when this returns, whoever starts it."""
    make_parents(place.data.parent)
    with lock(place):
        _await_server(place)


def _await_server(place: Place) -> None:
    """Under the lock: wait for a server that is coming or going, launch one where there is none."""
    launcher = _Launcher(place)
    started = time.monotonic()
    sure_until = started + PUZZLED_SECONDS
    while True:
        answer = ask(place)
        if answer.version is not None:
            return
        now = time.monotonic()
        if not answer.words and not launcher.alive and postmaster(place) is None:
            launcher.launch()
            sure_until = time.monotonic() + PUZZLED_SECONDS
        elif launcher.alive or _COMING_OR_GOING.search(answer.words):
            sure_until = now + PUZZLED_SECONDS
        if now > min(sure_until, started + WAIT_SECONDS):
            raise EmbeddedPostgresError(
                f"a server is there but did not become ready: {answer.words or 'its socket is silent'}",
                place.data,
                f"Read {place.log}; end the process named in postmaster.pid with SIGINT, then try again.",
            )
        time.sleep(0.03)


class _Launcher:
    """Launches the server, again when it exits early, and gives up with the server's own words."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.child: subprocess.Popen[bytes] | None = None
        self.launches = 0
        self.log_start = 0
        self.deadline = time.monotonic() + WAIT_SECONDS
        self.account: pwd.struct_passwd | None = None
        self.programs = Path()

    @property
    def alive(self) -> bool:
        """Whether the last one launched still runs."""
        return self.child is not None and self.child.poll() is None

    def launch(self) -> None:
        """Start postgres in a session of its own, so that it outlives this process and its terminal."""
        if self.child is None:
            self._prepare()
        else:
            self._insist_hope()
        place, env = self.place, clean_environment()
        stale = pid_on_file(place)
        if stale is not None:
            # postgres refuses while the id on file lives, whoever has it, unless told it is its own grandparent.
            # Safe here: postmaster() has shown that it is no postmaster of ours.
            env["PG_GRANDPARENT_PID"] = str(stale)
        folder = make_socket_dir(place, self.account)
        for name in (SOCKET, f"{SOCKET}.lock"):
            # Nobody listens there, and the lock file may name a living stranger too.
            (folder / name).unlink(missing_ok=True)
        with _open_log(place, self.account) as log:
            self.log_start = os.fstat(log).st_size
            self.child = subprocess.Popen(
                [str(self.programs / "postgres"), "-D", str(place.data), *_options(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=env,
                start_new_session=True,
                **as_account(self.account),
            )
        children.append(self.child)
        self.launches += 1

    def _prepare(self) -> None:
        """Account, programs and cluster, checked before the first launch."""
        place = self.place
        self.account = server_account(place)
        if self.account is not None:
            insist_reachable(place.data.parent, self.account)
        self.programs = usable_programs(place, self.account)
        if not place.is_cluster:
            create_cluster(place, self.account, self.programs)
        insist_startable(place)
        if self.account is not None:
            hand_over(place.data, self.account)
            # A hub that runs as this very account must be able to lock and recognise its cluster.
            for path in (place.beside("lock"), place.identity):
                os.chown(path, self.account.pw_uid, self.account.pw_gid, follow_symlinks=False)

    def _insist_hope(self) -> None:
        """After an early exit: pause, or give up when another try cannot help."""
        words = _tail(self.place.log, self.log_start)
        hopeless = self.launches >= _LAUNCHES and _ORPHANS not in words
        if hopeless or time.monotonic() > self.deadline:
            raise EmbeddedPostgresError(
                f"the server exits while starting: {words or 'it left no message'}",
                self.place.data,
                f"Repair what {self.place.log} names, then try again.",
            )
        time.sleep(0.5)


def _options(folder: Path) -> list[str]:
    settings = {**_FIXED, "unix_socket_directories": f'"{folder}"'}
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


@contextlib.contextmanager
def _open_log(place: Place, account: pwd.struct_passwd | None) -> Iterator[int]:
    """server.log for appending. It grows without end while serving, so a start puts a big one aside."""
    path = place.log
    if path.is_file() and path.stat().st_size > _LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    # The directory belongs to the server's account: root must not follow a link planted there.
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if account is not None:
            os.fchown(handle, account.pw_uid, account.pw_gid)
        yield handle
    finally:
        os.close(handle)


def _tail(log: Path, start: int) -> str:
    """The last lines written to the log since start."""
    with contextlib.suppress(FileNotFoundError), log.open("rb") as file:
        file.seek(start)
        return " | ".join(file.read().decode(errors="replace").strip().splitlines()[-4:])
    return ""
