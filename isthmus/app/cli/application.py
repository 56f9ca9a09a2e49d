"""Puts the commands together."""

from __future__ import annotations

import typer

from isthmus.app.cli import (
    amending,
    billing,
    buying,
    connecting,
    controls,
    deciding,
    entities,
    explaining,
    files,
    folder,
    looking,
    month,
    operating,
    rehearsing,
    sealed,
    serving,
)
from isthmus.app.cli.shell import Group

ABOUT = """The hub between a services firm's CRM, PSA, tax engine and ERP.

No hour lost, no invoice twice, every cent explained.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 something needs a person.
ISTHMUS_DATABASE_URL names an external PostgreSQL; without it isthmus runs its own under ISTHMUS_HOME.
"""

app = typer.Typer(cls=Group, help=ABOUT, no_args_is_help=True, add_completion=False)


@app.callback()
def _root() -> None:
    """Commands stand below; without one, the help is shown."""


ROOMS = (
    serving,
    looking,
    explaining,
    files,
    controls,
    deciding,
    billing,
    month,
    amending,
    entities,
    buying,
    folder,
    connecting,
    sealed,
    operating,
    rehearsing,
)
for room in ROOMS:
    room.register(app)
