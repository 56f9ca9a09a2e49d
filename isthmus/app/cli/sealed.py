"""Commands about sealed secrets: a master key, a secret put in or replaced, what there is, another master key."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.app.cli.shell import WrongUsage, common, show, table

if TYPE_CHECKING:
    from isthmus.app.vault import Vault

PANEL = "Connect"
secret = typer.Typer(help="Secrets sealed in the database; connections name them as sealed:NAME.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(secret, name="secret", rich_help_panel=PANEL)
    for name, act in (("key", key), ("put", put), ("list", listing), ("renew", renew)):
        secret.command(name)(common(act))


def key() -> None:
    """Print a new master key. Keep it away from the database and its backups: whoever has both can open everything.

    Example: isthmus secret key > /etc/isthmus/seal.key
    """
    from isthmus.kit.sealing import new_key

    made = new_key()
    show({"key": made}, lambda out: out.print(made))


def put(
    name: Annotated[str, typer.Argument(help="How connections name it: sealed:NAME.", show_default=False)],
    by: Annotated[str, typer.Option("--as", help="Who does it, for the audit.", show_default=False)],
    reason: Annotated[str, typer.Option(help="Why, for the audit.")] = "",
) -> None:
    """Seal a secret, read from standard input, or asked for without showing it. Running workers take a new one over.

    Example: isthmus secret put hubspot-token --as ines < token.txt
    """
    value = typer.prompt(f"Value of {name}", hide_input=True) if sys.stdin.isatty() else sys.stdin.read().rstrip("\n")
    if not value:
        raise WrongUsage("the secret comes on standard input: nothing came")
    with _vault() as vault:
        version = vault.put(name, value, by=by, reason=reason)
        show({"name": name, "version": version}, lambda out: out.print(f"{name} is sealed, version {version}"))


def listing() -> None:
    """List what is sealed: names, versions and who changed them when; never a value.

    Example: isthmus secret list
    """
    with _vault() as vault:
        rows = vault.names()

        def human(out: Any, rows: Any = rows) -> None:
            shown = table("Name", "Version", "Changed by", "At", "Master key")
            for row in rows:
                at = f"{row.changed_at:%Y-%m-%d %H:%M}"
                shown.add_row(row.name, str(row.version), row.changed_by, at, row.key_id)
            out.print(shown)

        shown = ("name", "version", "changed_by", "changed_at", "key_id")
        show([{field: getattr(row, field) for field in shown} for row in rows], human)


def renew() -> None:
    """Put all sealed secrets under the newest master key, after it was added before the old one. Values stay closed.

    Example: isthmus secret renew
    """
    with _vault() as vault:
        changed = vault.renew()
        show({"renewed": changed}, lambda out: out.print(f"{changed} secrets are under the new master key now"))


@contextmanager
def _vault() -> Iterator[Vault]:
    from isthmus.app.cli.books import opened
    from isthmus.app.vault import Vault
    from isthmus.runtime.clock import SystemClock

    with opened() as store:
        yield Vault(store, SystemClock())
