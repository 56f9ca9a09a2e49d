"""The command that hands an amended contract version in, or shows what it would credit, bill and price anew."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.app.cli.shell import PERSON, WrongUsage, common, show, table

if TYPE_CHECKING:
    from rich.console import Console

    from isthmus.app.amending import AmendmentPreview

PANEL = "Decide"
SHOWN = 60


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("amend", rich_help_panel=PANEL)(common(amend))


def amend(
    file: Annotated[Path, typer.Argument(help="The version with all its terms, as TOML or JSON.", show_default=False)],
    by: Annotated[
        str, typer.Option("--as", metavar="USER", help="Who hands it in; goes into the audit.", show_default=False)
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what it would credit, bill and price anew; start nothing.")
    ] = False,
) -> None:
    """Hand in an amended version of a running contract, complete with its terms, as 'isthmus rehearse' has them.

    From its effective day on, work is priced by it and shared among its payers. What is billed is never edited: a
    difference is reviewed, who pays less gets a credit memo that another person approves, who pays more an invoice.
    Exit code 3 when a dry run finds that it would wait for a person.

    Example: isthmus amend K-1001-v3.toml --dry-run --as ines
    """
    from isthmus.app.amending import content_of, hand_in, preview_amendment, version_of
    from isthmus.app.cli.books import desk
    from isthmus.domain.objects import ContractVersion

    if not by.strip():
        raise WrongUsage("--as names who hands the version in")
    with desk() as kernel:
        told = content_of(file)
        with kernel.store.transaction() as tx:
            named = str(told.get("contract_no", ""))
            known = tx.find(ContractVersion, contract_no=named, order=("-version",), limit=1)
        contract = version_of(told, file.name, known[0] if known else None)
        if dry_run:
            shown = preview_amendment(kernel, contract, by)
            show(shown.model_dump(mode="json"), lambda console: _print(console, shown, contract.currency))
            if shown.waits:
                raise typer.Exit(PERSON)
            return
        with kernel.store.transaction() as tx:
            books = kernel.books(tx, key=f"amend/{contract.key}", actor=by)
            row = hand_in(books, contract, by)
            books.audit("contract.hand_in", f"contract:{contract.key}", reason=file.name)
    show(row.model_dump(mode="json"), lambda console: console.print(f"{row.run_id} is {row.state}"))


def _print(console: Console, shown: AmendmentPreview, currency: str) -> None:
    console.print(f"{shown.contract} takes effect on {shown.effective_from}", style="bold")
    grid = table("source", "payer", "was", "now", "", right=("was", "now"))
    for change in shown.changes[:SHOWN]:
        grid.add_row(change.source, change.payer, f"{change.was:,}", f"{change.now:,}", "billed" * change.on_paper)
    if shown.changes:
        console.print(grid)
    if len(shown.changes) > SHOWN:
        console.print(f"and {len(shown.changes) - SHOWN} more: --json shows them all", style="dim")
    for credit in shown.credits:
        of = credit.bill_to or credit.client_no
        told = f"credit memo of {credit.net:,} {currency} net to {of} on {credit.invoice_id.rsplit('/', 1)[-1]}"
        console.print(f"{told}, approved by another person", style="bold")
    for planned in shown.invoices:
        console.print(f"invoice of {planned.net:,} {currency} net to {planned.bill_to}", style="bold")
    if shown.paid > Decimal(0):
        console.print(f"{shown.paid:,} {currency} of it is paid: where that money goes is decided", style="yellow")
    if not shown.changes:
        console.print("no evidence changes by it")
    if shown.waits:
        console.print(f"would wait: {shown.waits}", style="yellow")
