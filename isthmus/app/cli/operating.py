"""Commands for whoever keeps the hub running: doctor, the database, the audit chain, the version."""

from __future__ import annotations

import os
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.app.cli.controls import audits
from isthmus.app.cli.shell import REFUSED, common, show, table
from isthmus.domain.errors import BadInput, IsthmusError, NeedsSetup

if TYPE_CHECKING:
    from rich.console import Console

PANEL = "Operate"
LEVELS = {"ok": "green", "warn": "yellow", "fail": "bold red"}
db = typer.Typer(help="The database: start and stop the embedded one, see how it is, back it up.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("doctor", rich_help_panel=PANEL)(common(doctor))
    app.add_typer(db, name="db", rich_help_panel=PANEL)
    app.command("version", rich_help_panel=PANEL)(common(version))


def external() -> bool:
    """True when ISTHMUS_DATABASE_URL names a database that is not ours to start and stop."""
    return bool(os.environ.get("ISTHMUS_DATABASE_URL"))


def doctor() -> None:
    """Examine everything the hub needs and say what to do: database, clocks, workers, lanes, audit, connections.

    Changes nothing. Exit code 1 when a check fails; warnings alone are 0.

    Example: isthmus doctor --json
    """
    from isthmus.app.bootstrap import database_url
    from isthmus.app.doctor import Line, examine
    from isthmus.store.embedded import EmbeddedPostgresError

    try:
        lines = list(examine(database_url(), external()))
    except EmbeddedPostgresError as down:
        lines = [Line("database", "fail", f"embedded: {down.what} (at {down.where})", down.remedy)]

    def human(console: Console) -> None:
        report = table("", "check", "seen", "what to do")
        for line in lines:
            report.add_row(
                line.level, line.name, line.said, line.remedy, style=LEVELS[line.level] if line.remedy else None
            )
        console.print(report)
        counts = {level: sum(line.level == level for line in lines) for level in LEVELS}
        console.print(", ".join(f"{count} {level}" for level, count in counts.items()))

    failed = any(line.level == "fail" for line in lines)
    show({"ok": not failed, "checks": [line.as_dict() for line in lines]}, human)
    if failed:
        raise typer.Exit(REFUSED)


def version() -> None:
    """Say which version this is, and of what it is made.

    Example: isthmus version --json
    """
    import platform
    from importlib.metadata import version as of

    from isthmus import __version__
    from isthmus.store import migrate

    facts = {"isthmus": __version__, "python": platform.python_version(), "dbos": of("dbos"), "schema": migrate.head()}
    show(facts, lambda console: console.print("  ".join(f"{name} {value}" for name, value in facts.items())))


@audits.command("verify")
@common
def audit_verify() -> None:
    """Recompute the audit's hash chain. Exit code 1, and the place, when an entry was changed or removed.

    Example: isthmus audit verify
    """
    from isthmus.app.cli.books import opened
    from isthmus.runtime.audit import verify
    from isthmus.store.records import AuditEntry

    with opened() as store:
        wrong = verify(store)
        with store.transaction() as tx:
            entries = tx.find(AuditEntry)
    sealed = sum(entry.chain > 0 for entry in entries)

    def human(console: Console) -> None:
        console.print(
            "\n".join(wrong) if wrong else f"the chain is whole: {sealed} entries", style="red" if wrong else "green"
        )
        if len(entries) > sealed:
            console.print(f"{len(entries) - sealed} entries are not chained yet: a worker does that every second")

    show({"ok": not wrong, "wrong": wrong, "sealed": sealed, "not_sealed": len(entries) - sealed}, human)
    if wrong:
        raise typer.Exit(REFUSED)


# -- the database ---------------------------------------------------------------------------------------------------


def _insist_embedded(what: str) -> None:
    if external():
        raise BadInput(f"ISTHMUS_DATABASE_URL names an external database: {what} it where it runs")


@db.command("start")
@common
def db_start() -> None:
    """Start the embedded PostgreSQL; it goes on when this command ends. Running already is fine.

    Example: isthmus db start
    """
    from isthmus.store import embedded

    _insist_embedded("start")
    url = embedded.ensure(embedded.default_data_dir())
    show({"running": True, "url": url}, lambda console: console.print(f"running: {url}"))


@db.command("stop")
@common
def db_stop() -> None:
    """Stop the embedded PostgreSQL. Open transactions roll back; everything committed stays.

    Example: isthmus db stop
    """
    from isthmus.store import embedded

    _insist_embedded("stop")
    embedded.stop(embedded.default_data_dir())
    show({"running": False}, lambda console: console.print("stopped"))


@db.command("status")
@common
def db_status() -> None:
    """Say where the database is and how it is. Exit code 1 when it does not run.

    Example: isthmus db status --json
    """
    facts = _external_status() if external() else _embedded_status()

    def human(console: Console) -> None:
        lines = table("", "")
        lines.show_header = False
        for name, fact in facts.items():
            lines.add_row(name.replace("_", " "), "" if fact is None else str(fact))
        console.print(lines)

    show(facts, human)
    if not facts["running"]:
        raise typer.Exit(REFUSED)


def _embedded_status() -> dict[str, Any]:
    from isthmus.store import embedded

    status = asdict(embedded.status(embedded.default_data_dir()))
    return {"kind": "embedded", **{k: str(v) if isinstance(v, Path) else v for k, v in status.items()}}


def _external_status() -> dict[str, Any]:
    import sqlalchemy as sa

    from isthmus.app.bootstrap import database_url
    from isthmus.app.cli.books import masked

    url = database_url()
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            version = connection.execute(sa.text("show server_version")).scalar_one()
    except sa.exc.OperationalError as error:
        said = str(error.orig).strip().splitlines()[-1].strip()
        return {"kind": "external", "running": False, "url": masked(url), "version": None, "detail": said}
    return {"kind": "external", "running": True, "url": masked(url), "version": version, "detail": "answers"}


@db.command("backup")
@common
def db_backup(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not exist.", show_default=False)],
) -> None:
    """Write everything to one file while the hub runs (pg_dump, custom format). Restoring: docs/operate/database.md.

    Example: isthmus db backup isthmus-2026-03-31.dump
    """
    from isthmus.app.bootstrap import database_url

    if file.exists():
        raise BadInput(f"{file} exists already: a backup never overwrites another")
    if not file.parent.is_dir():
        raise BadInput(f"{file.parent} is no folder")
    part = file.with_name(f"{file.name}.part")
    try:
        _dump(database_url(), part)
        part.rename(file)
    finally:
        part.unlink(missing_ok=True)
    size = file.stat().st_size
    show({"file": str(file), "bytes": size}, lambda console: console.print(f"wrote {file}, {size / 2**20:.1f} MiB"))


def _dump(url: str, target: Path) -> None:
    """pg_dump of the shipped version. The password goes by the environment: arguments are seen by every user."""
    from sqlalchemy import make_url

    from isthmus.store import embedded

    address = make_url(url).set(drivername="postgresql")
    environment = {**os.environ, **({"PGPASSWORD": str(address.password)} if address.password else {})}
    target.touch(mode=0o600)
    shown = address.set(password=None).render_as_string(hide_password=False)
    program = embedded.binary_dir() / "pg_dump"
    if not program.exists():
        raise NeedsSetup(f"{program} is missing: install isthmus again")
    command = [str(program), "-Fc", "--dbname", shown]
    with target.open("wb") as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, env=environment, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise IsthmusError(f"pg_dump failed, nothing was written: {said[-1] if said else done.returncode}")
