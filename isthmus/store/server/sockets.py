"""Where the socket of a server is: in its data directory, or in a short private directory recorded there."""

from __future__ import annotations

import json
import os
import pwd
import stat
import sys
import tempfile
from pathlib import Path

from isthmus.store.server.account import first_closed
from isthmus.store.server.place import PORT, EmbeddedPostgresError, Place, write_durably

SOCKET = f".s.PGSQL.{PORT}"
_SOCKET_PATH_BYTES = 103 if sys.platform == "darwin" else 107


def _fits(folder: Path) -> bool:
    """Whether a socket can live there: the kernel limits the path, and libpq splits a host at commas."""
    short = len(os.fsencode(folder / SOCKET)) <= _SOCKET_PATH_BYTES
    return short and not set(str(folder)) & set(',"')


def socket_dir(place: Place) -> Path | None:
    """The data directory itself, or the short directory recorded in it; None when that is gone or not private."""
    if _fits(place.data):
        return place.data
    try:
        record = json.loads((place.data / "isthmus.socket.json").read_text())
        folder = Path(record["socket_dir"])
        seen, owner = folder.lstat(), place.data.stat().st_uid
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    private = stat.S_ISDIR(seen.st_mode) and seen.st_uid == owner and not stat.S_IMODE(seen.st_mode) & 0o077
    # A copied data directory carries the record of its original, whose server must not be taken for ours.
    return folder if private and record.get("data_dir") == str(place.data) else None


def make_socket_dir(place: Place, account: pwd.struct_passwd | None) -> Path:
    """The socket directory, made and recorded when the data directory's path is too long."""
    folder = socket_dir(place)
    if folder is not None:
        return folder
    # The configured temporary directory may itself be deep or closed to the server's account.
    for root in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if not _fits(Path(root) / "isthmus-pg-12345678"):
            continue
        if account is None or first_closed([Path(root), *Path(root).parents], account) is None:
            break
    else:
        remedy = "Set ISTHMUS_HOME to a folder with a short path."
        raise EmbeddedPostgresError("no directory is short enough for its socket", place.data, remedy)
    folder = Path(tempfile.mkdtemp(prefix="isthmus-pg-", dir=root))
    record = place.data / "isthmus.socket.json"
    write_durably(record, json.dumps({"data_dir": str(place.data), "socket_dir": str(folder)}))
    if account is not None:
        os.chown(folder, account.pw_uid, account.pw_gid)
        os.chown(record, account.pw_uid, account.pw_gid, follow_symlinks=False)
    return folder
