"""The command that answers why a line is what it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.app.cli.amounts import plain
from isthmus.app.cli.shell import PERSON, common, show, table

if TYPE_CHECKING:
    from rich.console import Console

    from isthmus.app.explain import Explained, Lineage, LineExplained

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
    under = f", bill to {told.bill_to}" if told.bill_to else ""
    console.print(f"{told.number or told.invoice_id}  {told.kind}, contract {told.contract}{under}", style="bold")
    console.print(f"  net {told.net:,} + tax {told.tax:,} = {told.total:,} {told.currency}; open {told.open:,}")
    console.print(f"  prepared by {told.prepared_by}, approved by {told.approved_by}")
    for reference in told.external:
        console.print(f"  {reference}")
    if not told.external:
        console.print("  in no other system yet", style="yellow")
    for category in told.tax_breakdown:
        why = f": {category.reason}" if category.reason else ""
        rate = f"{(category.rate * 100).normalize():f} % {category.code}".strip()
        console.print(f"  tax {category.tax:,} on {category.taxable:,} at {rate}{why}")
    for line in told.lines:
        _print_line(console, line)
    verdict = "every amount was worked out again from its source and is the one that was billed"
    console.print(f"\n{verdict if told.agrees else 'not every amount is the one that was billed'}", style="bold")


def _print_line(console: Console, line: LineExplained) -> None:
    held = f" less {line.held:,} held back" if line.held else ""
    credited = f", {line.credited:,} credited" if line.credited else ""
    told = f"line {line.number}  {line.description}: {line.net:,}{held}, tax {line.tax:,}{credited}"
    console.print(f"\n{told}", style="bold")
    if not line.agrees:
        console.print("  does not add up", style="red")
    if not line.parts:
        return
    shown = line.parts[:PARTS_MAX]
    grid = table("day", "who", "quantity", "at", "net", "source", "approved by", right=("quantity", "at", "net"))
    for part in shown:
        source, share = part.source, f" of {part.item_net:,}" if part.net != part.item_net else ""
        off = f" less {part.discount:,}" if part.discount else ""
        grid.add_row(
            str(source.day),
            source.person or source.kind,
            plain(part.quantity),
            plain(part.unit_price),
            f"{part.net:,}{share}{off}",
            f"{source.kind} {source.key} r{source.revision}",
            source.approved_by,
        )
    console.print(grid)
    if len(line.parts) > PARTS_MAX:
        console.print(f"  and {len(line.parts) - PARTS_MAX} more: --json shows them all")
    _print_reasons(console, line.parts)


def _print_reasons(console: Console, parts: Sequence[Lineage]) -> None:
    """What many parts have in common is said once: the price and what it stands on, and where the rest of them lies."""
    for reason, count in Counter(_reason(part) for part in parts).items():
        console.print(f"  {_times(count, parts)}{reason}", style="dim")
    for part in parts:
        for other in part.elsewhere:
            console.print(f"  {part.source.key}: the rest is {other}", style="yellow")
    wrong = [part for part in parts if not part.agrees]
    if not wrong:
        console.print(f"  worked out again: all {len(parts)} the same", style="dim")
    for part in wrong:
        console.print(f"  {part.source.key}: {part.item_net:,}, worked out again {part.recomputed}", style="red")


def _times(count: int, parts: Sequence[Lineage]) -> str:
    return "" if count == len(parts) else f"{count} of them: "


def _reason(part: Lineage) -> str:
    """The rate line, why it won, the policy that said so, and the clause."""
    trace = part.price_trace
    named = {name: value for name, value in trace.get("winner", {}).items() if value}
    since = f" from {named.pop('from')}" if "from" in named else ""
    winner = ", ".join(f"{name} {value}" for name, value in sorted(named.items())) + since
    told = [
        f"price: {trace.get('reason') or 'as agreed'}",
        f"rate of {winner}" if winner else "",
        f"level {trace['level']}" if trace.get("level") else "",
        f"cards {', '.join(trace['cards'])}" if trace.get("cards") else "",
        _exchange(trace),
        f"policy {trace['policy']}" if trace.get("policy") else "",
        f"contract {part.contract}{f', {part.clause}' if part.clause else ''}",
        part.document,
    ]
    return "; ".join(word for word in told if word)


def _exchange(trace: Mapping[str, Any]) -> str:
    """At which rate an amount in another currency was converted, of which day, and who says so."""
    how = trace.get("convert", trace)
    if "fx_rate" not in how:
        return ""
    amount = f"{how['bill_rate']} {how['from']}" if "bill_rate" in how else str(how.get("cost", ""))
    return f"{amount} at {how['fx_rate']} {how.get('fx_date', '')} ({how.get('fx_source', 'as told')})"
