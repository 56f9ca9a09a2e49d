"""A new cluster: made beside its place and renamed when complete, so that a half-made one is never there."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from isthmus.store.server.account import as_account
from isthmus.store.server.place import (
    MAJOR,
    ROLE,
    EmbeddedPostgresError,
    Place,
    clean_environment,
    identifier_on_disk,
    recorded_identifier,
    sync_folder,
    write_durably,
)

# An operator may tune these in postgresql.conf, so they are written there once.
_TUNABLE = {
    "shared_buffers": "256MB",
    "max_connections": "200",
    "max_wal_size": "2GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}


def insist_startable(place: Place) -> None:
    """Refuse a cluster of another version, and one that is not the one recorded for this place."""
    version = (place.data / "PG_VERSION").read_text().strip()
    if version != MAJOR:
        raise EmbeddedPostgresError(
            f"the cluster is of PostgreSQL {version}, the programs are of {MAJOR}",
            place.data,
            "Dump it with the old programs and restore it into a fresh data directory.",
        )
    found, expected = identifier_on_disk(place.data), recorded_identifier(place)
    if found != expected:
        raise EmbeddedPostgresError(
            f"the cluster here has system identifier {found}, expected {expected}",
            place.data,
            f"Bring the right cluster back, or correct {place.identity} if this one is right.",
        )


def create_cluster(place: Place, account: pwd.struct_passwd | None, programs: Path) -> None:
    """initdb into a directory beside, then rename: a half-made cluster is never at the real place."""
    _insist_vacant(place)
    fresh = place.beside("init")
    if not _was_completed(place, fresh):
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if account is not None:
            os.chown(fresh, account.pw_uid, account.pw_gid)
        _initdb(place, fresh, account, programs)
        # Recorded before the rename: no crash can leave a cluster in place that nobody can recognise.
        write_durably(place.identity, f"{identifier_on_disk(fresh)}\n")
    fresh.rename(place.data)
    sync_folder(place.data.parent)


def _insist_vacant(place: Place) -> None:
    """Refuse to start afresh where a cluster should be, or on top of something else."""
    fresh = place.beside("init")
    if place.identity.exists() and not _was_completed(place, fresh):
        raise EmbeddedPostgresError(
            "a cluster is recorded for this place but it is not there",
            place.data,
            f"Mount its volume or restore it; to start with an empty database remove {place.identity}.",
        )
    if not place.data.exists():
        return
    if os.path.ismount(place.data):
        remedy = "Mount the volume at its parent, or point ISTHMUS_HOME at the volume."
        raise EmbeddedPostgresError("the data directory is a mount point", place.data, remedy)
    if any(place.data.iterdir()):
        raise EmbeddedPostgresError(
            "the directory holds files but no cluster", place.data, "Name an empty or absent directory."
        )


def _was_completed(place: Place, fresh: Path) -> bool:
    """Whether a starter died between recording a complete new cluster and renaming it."""
    try:
        return int(place.identity.read_text()) == identifier_on_disk(fresh)
    except (FileNotFoundError, ValueError, EmbeddedPostgresError):
        return False


def _initdb(place: Place, fresh: Path, account: pwd.struct_passwd | None, programs: Path) -> None:
    # The built-in C.UTF-8 sorts alike on every machine; a libc locale changes with the machine and breaks indexes.
    locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8"]
    access = [f"--username={ROLE}", "--auth-local=trust", "--auth-host=reject"]
    settings = [f"--set={name}={value}" for name, value in _TUNABLE.items()]
    made = subprocess.run(
        [str(programs / "initdb"), "-D", str(fresh), "--no-instructions", *locale, *access, *settings],
        cwd="/",
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        **as_account(account),
    )
    if made.returncode != 0:
        raise EmbeddedPostgresError(
            f"initdb failed: {made.stderr.strip()}", place.data, "Check free space and the folder, then try again."
        )
