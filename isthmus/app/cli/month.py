"""The command that ends a month of a legal entity: every active contract billed in one go."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from isthmus.app.cli.shell import WrongUsage, common, show

PANEL = "Decide"


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("month-end", rich_help_panel=PANEL)(common(month_end))


def month_end(
    entity: Annotated[
        str, typer.Argument(metavar="ENTITY", help="The legal entity whose month ends.", show_default=False)
    ],
    cutoff: Annotated[
        datetime,
        typer.Option(formats=["%Y-%m-%d"], help="Bill what was done up to and on this day.", show_default=False),
    ],
    by: Annotated[
        str, typer.Option("--as", metavar="USER", help="Who decides; goes into the audit.", show_default=False)
    ],
    name: Annotated[
        str, typer.Option(help="Name of the billing runs; the month of the cut-off unless given.", show_default=False)
    ] = "",
) -> None:
    """Bill every active contract of a legal entity up to a cut-off: plain ones many at a time, the others one by one.

    The same month end again is found, not made twice. 'isthmus runs --process bill_share' shows how far it is.

    Example: isthmus month-end US01 --cutoff 2026-03-31 --as bianca
    """
    from isthmus.app.cli.books import desk

    if not by.strip():
        raise WrongUsage("--as names the person who decides")
    day = cutoff.date()
    called = name or f"{day:%Y-%m}"
    key = f"{entity}:{called}"
    with desk() as kernel, kernel.store.transaction() as tx:
        books = kernel.books(tx, key=key, actor=by)
        books.entity(entity)
        args = {"entity": entity, "cutoff": day.isoformat(), "name": called, "prepared_by": by}
        row = books.start("bill_month", key, args, entity=entity)
        books.audit("billing.start", key, reason=f"cut-off {day}")
    show(row.model_dump(mode="json"), lambda console: console.print(f"{row.run_id} is {row.state}"))
