"""The command that ends a month of a legal entity: every active contract billed in one go."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.app.cli.shell import WrongUsage, common, show, table

if TYPE_CHECKING:
    from rich.console import Console

    from isthmus.app.previewing import Preview
    from isthmus.runtime.kernel import Kernel

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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what each contract would bill and leave; start nothing.")
    ] = False,
) -> None:
    """Bill every active contract of a legal entity up to a cut-off: plain ones many at a time, the others one by one.

    The same month end again is found, not made twice. 'isthmus runs --process bill_share' shows how far it is.

    Example: isthmus month-end US01 --cutoff 2026-03-31 --dry-run --as bianca
    """
    from isthmus.app.cli.books import desk

    if not by.strip():
        raise WrongUsage("--as names the person who decides")
    day = cutoff.date()
    called = name or f"{day:%Y-%m}"
    key = f"{entity}:{called}"
    if dry_run:
        with desk() as kernel:
            show_month(kernel, entity, day, called, by)
        return
    with desk() as kernel, kernel.store.transaction() as tx:
        books = kernel.books(tx, key=key, actor=by)
        books.entity(entity)
        args = {"entity": entity, "cutoff": day.isoformat(), "name": called, "prepared_by": by}
        row = books.start("bill_month", key, args, entity=entity)
        books.audit("billing.start", key, reason=f"cut-off {day}")
    told = f"{row.run_id} is {row.state}: 'isthmus runs --process bill_share' shows how far it is"
    show(row.model_dump(mode="json"), lambda console: console.print(told))


# -- what would be billed -------------------------------------------------------------------------------------------


def show_month(kernel: Kernel, entity: str, day: date, name: str, by: str) -> None:
    """What a month end would bill, contract by contract, and what it would leave; sums by currency."""
    from isthmus.app.previewing import preview_contract
    from isthmus.domain.errors import NeedsDecision
    from isthmus.domain.objects import Engagement
    from isthmus.domain.states import EngagementState

    with kernel.store.transaction() as tx:
        kernel.books(tx, key=name, actor=by).entity(entity)
        found = tx.find(Engagement, entity=entity, state=EngagementState.ACTIVE, order=("contract_no",))
    rows: list[dict[str, Any]] = []
    for engagement in found:
        contract = engagement.contract_no
        try:
            rows.append(_row(contract, preview_contract(kernel, contract, day, f"{contract}:{name}", by)))
        except NeedsDecision as stopped:
            rows.append({"contract": contract, "waits": f"{stopped.exception}: {stopped.message}"})
    show({"entity": entity, "cutoff": str(day), "contracts": rows}, lambda console: _print_month(console, day, rows))


def _row(contract: str, shown: Preview) -> dict[str, Any]:
    drafted = [one.invoice for one in shown.invoices if one.invoice is not None]
    left: dict[str, Decimal] = {}
    for part in shown.not_billed:
        left[part.why] = left.get(part.why, Decimal(0)) + part.net
    currencies = {invoice.currency for invoice in drafted} | {part.currency for part in shown.not_billed}
    return {
        "contract": contract,
        "invoices": len(drafted),
        "net": str(sum((invoice.net for invoice in drafted), Decimal(0))),
        "credits": str(sum((credit.net for credit in shown.credits), Decimal(0))),
        "currency": min(currencies, default=""),
        "not_billed": {why: str(amount) for why, amount in sorted(left.items())},
        "waits": "",
    }


def _print_month(console: Console, day: date, rows: Sequence[dict[str, Any]]) -> None:
    grid = table("contract", "invoices", "net", "not billed", right=("invoices", "net"))
    sums: dict[str, Decimal] = {}
    for row in rows:
        if row["waits"]:
            grid.add_row(row["contract"], "-", "-", f"would wait: {row['waits']}")
            continue
        net, currency = Decimal(row["net"]), row["currency"]
        sums[currency] = sums.get(currency, Decimal(0)) + net
        left = [f"{Decimal(amount):,} {why}" for why, amount in row["not_billed"].items()]
        left += [f"credit memos of {Decimal(row['credits']):,}"] if Decimal(row["credits"]) else []
        grid.add_row(
            row["contract"], str(row["invoices"] or "-"), f"{net:,} {currency}" if net else "-", "; ".join(left)
        )
    console.print(grid)
    told = ", ".join(f"{net:,} {currency}" for currency, net in sorted(sums.items()) if net)
    count = sum(row.get("invoices", 0) for row in rows)
    invoices = "1 invoice" if count == 1 else f"{count} invoices"
    contracts = "1 contract" if len(rows) == 1 else f"{len(rows)} contracts"
    console.print(f"{invoices} of {contracts} up to {day}: net {told or '0'}, tax on top", style="bold")
