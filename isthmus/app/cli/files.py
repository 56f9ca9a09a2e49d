"""Commands that try a file before anything depends on it: what it would bring in, and which of its cells are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.app.cli.shell import REFUSED, common, show, table
from isthmus.domain.errors import BadInput

if TYPE_CHECKING:
    from rich.console import Console

    from isthmus.kit.price_list import PriceList

PANEL = "See"


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("prices", rich_help_panel=PANEL)(common(prices))


def prices(
    file: Annotated[Path, typer.Argument(help="A GSA schedule price list (CSV).", show_default=False)],
) -> None:
    """Read a price list: the prices it holds, and each wrong cell with its line, column and reason. Takes nothing over.

    Exit code 1 when a row is wrong, or when there is none.

    Example: isthmus prices s70_sample.csv
    """
    from isthmus.kit.price_list import read_price_list

    try:
        content = file.read_bytes()
    except OSError as unreadable:
        raise BadInput(f"{file} cannot be read: {unreadable.strerror}") from unreadable
    read = read_price_list(content, file.name)
    show(_as_data(read), lambda console: _print(console, read))
    if read.rejected or read.empty:
        raise typer.Exit(REFUSED)


def _as_data(read: PriceList) -> dict[str, Any]:
    return {
        "source": read.source,
        "sha256": read.sha256,
        "rows": read.rows_read,
        "usable": len(read.rows),
        "empty": read.empty,
        "rejected": [{"line": r.line, "column": r.column, "value": r.value, "reason": r.reason} for r in read.rejected],
        "prices": [
            {
                "line": p.line,
                "labor_category": p.labor_category,
                "price": str(p.price),
                "currency": p.currency,
                "contract_no": p.contract_no,
                "valid_from": str(p.valid_from),
                "valid_to": str(p.valid_to),
            }
            for p in read.rows
        ],
    }


def _print(console: Console, read: PriceList) -> None:
    lines = table("line", "labor category", "an hour", "contract", "from", "up to", right=("line", "an hour"))
    for p in read.rows:
        price = f"{p.price:,} {p.currency}"
        lines.add_row(str(p.line), p.labor_category, price, p.contract_no, str(p.valid_from), str(p.valid_to))
    if read.rows:
        console.print(lines)
    for wrong in read.rejected:
        console.print(f"line {wrong.line}, {wrong.column}: {wrong.value!r} {wrong.reason}", style="red")
    console.print(read.empty or f"{len(read.rows)} of {read.rows_read} rows can be used")
