"""The account of the server: PostgreSQL refuses to run as root, so root gives it one, and opens no folder for it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from isthmus.store.server.place import EmbeddedPostgresError, Place

_USER = "isthmus"
_LOCK = "/run/isthmus-account.lock"  # /run is root's own, so nobody else can hold it


def owner_of(path: Path) -> str:
    """A name for the owner of the nearest ancestor that can be seen."""
    for folder in (path, *path.parents):
        with contextlib.suppress(OSError):
            uid = folder.stat().st_uid
            try:
                return f"user {pwd.getpwuid(uid).pw_name}"
            except KeyError:
                return f"user id {uid}"
    return "its owner"


def server_account(place: Place, name: str = _USER) -> pwd.struct_passwd | None:
    """The account to run under when we are root, which PostgreSQL refuses; None means as ourselves."""
    if os.geteuid() != 0:
        return None
    with _one_at_a_time():
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
        _add_account(name)
    for known in (name, "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(known)
    raise EmbeddedPostgresError(
        f"PostgreSQL refuses to run as root and there is no account {name!r}",
        place.data,
        f"Create it: useradd --system {name}; or run isthmus as an ordinary user.",
    )


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two useradd at once may both succeed, and the later one replaces the account the earlier one has handed out."""
    handle = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _add_account(name: str) -> None:
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if useradd is not None:
        nowhere = ["--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
        subprocess.run([useradd, "--system", "--user-group", *nowhere, name], capture_output=True, check=False)


def as_account(account: pwd.struct_passwd | None) -> dict[str, Any]:
    """Arguments of Popen and run that make the program run as the account; none for ourselves."""
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def first_closed(folders: list[Path], account: pwd.struct_passwd) -> Path | None:
    """The first folder the account cannot enter, asked as that account, since mode bits alone miss ACLs."""
    script = 'for d do test -x "$d" || { printf %s "$d"; exit 0; }; done'
    asked = subprocess.run(
        ["/bin/sh", "-c", script, "sh", *(str(one) for one in folders)],
        cwd="/",
        capture_output=True,
        check=True,
        **as_account(account),
    )
    return Path(os.fsdecode(asked.stdout)) if asked.stdout else None


def insist_reachable(folder: Path, account: pwd.struct_passwd) -> None:
    """Refuse a place the account cannot reach; opening somebody's folders is not ours to do."""
    closed = first_closed([*reversed(folder.parents), folder], account)
    if closed is not None:
        raise EmbeddedPostgresError(
            f"the account {account.pw_name} that runs the server cannot enter {closed}",
            folder,
            f"Allow it with 'chmod o+x {closed}', or set ISTHMUS_HOME to a reachable folder such as /var/lib/isthmus.",
        )


def hand_over(folder: Path, account: pwd.struct_passwd) -> None:
    """Give a cluster to the account. The top comes last, so that an interrupted hand-over starts again."""
    if folder.stat().st_uid == account.pw_uid:
        return
    for root, folders, files in os.walk(folder, topdown=False):
        for name in (*files, *folders):
            os.chown(Path(root, name), account.pw_uid, account.pw_gid, follow_symlinks=False)
    os.chown(folder, account.pw_uid, account.pw_gid)
