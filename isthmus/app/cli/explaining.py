"""The command that answers why a line is what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.app.cli.shell import PERSON, common, show

if TYPE_CHECKING:
    from rich.console import Console

    from isthmus.app.explain import Explained, Lineage

PANEL = "See"
PARTS_MAX = 40


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("explain", rich_help_panel=PANEL)(common(explain))


def explain(
    invoice: Annotated[str, typer.Argument(metavar="INVOICE[:LINE]", help="Number or id, and a line of it.")],
) -> None:
    """Why a line is what it is: entries, approvals, rate, terms, caps, tax, ERP document; recomputed.

    Exit code 3 when a recomputed amount is not the one billed.

    Example: isthmus explain US01-INV-2026-00001:2
    """
    from isthmus.app.cli.books import desk
    from isthmus.app.explain import explain as look

    name, _, line = invoice.rpartition(":") if invoice.rpartition(":")[2].isdigit() else (invoice, "", "")
    with desk() as kernel, kernel.store.transaction() as tx:
        books = kernel.books(tx, key="explain", actor="reader")
        told = look(books, name or invoice, int(line) if line else None)
    show(told.model_dump(mode="json"), lambda console: _print(console, told))
    if not told.agrees:
        raise typer.Exit(PERSON)


def _print(console: Console, told: Explained) -> None:
    console.print(f"[bold]{told.number or told.invoice_id}[/bold] {told.kind}, contract {told.contract}")
    console.print(f"  net {told.net:,} + tax {told.tax:,} = {told.total:,} {told.currency}; open {told.open:,}")
    console.print(f"  prepared by {told.prepared_by}, approved by {told.approved_by}")
    for reference in told.external:
        console.print(f"  {reference}")
    for line in told.lines:
        mark = "" if line.agrees else "  [red]does not add up[/red]"
        held = f" less {line.held:,} held back" if line.held else ""
        console.print(
            f"\n[bold]line {line.number}[/bold] {line.description}: {line.net:,}{held}, tax {line.tax:,}{mark}"
        )
        for part in line.parts[:PARTS_MAX]:
            _print_part(console, part)
        if len(line.parts) > PARTS_MAX:
            console.print(f"  and {len(line.parts) - PARTS_MAX} more: --json shows them all")


def _print_part(console: Console, part: Lineage) -> None:
    source, trace = part.source, part.price_trace
    share = f" of {part.item_net:,}" if part.net != part.item_net else ""
    console.print(
        f"  {part.net:>12,}{share}  {source.kind} {source.key} r{source.revision} {source.person} {source.day}"
    )
    console.print(
        f"      {part.quantity} at {part.unit_price}"
        f"{f' less {part.discount}' if part.discount else ''}; {trace.get('reason', '')}; contract {part.contract}"
        f"{f', {part.clause}' if part.clause else ''}; approved by {source.approved_by}"
    )
    for other in part.elsewhere:
        console.print(f"      elsewhere: {other}")
    verdict = "worked out again: the same" if part.agrees else f"worked out again: {part.recomputed}"
    console.print(f"      {verdict}")
