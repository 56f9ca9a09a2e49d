"""Commands between the firm's legal entities: charge lent hours, see how near thresholds to register for tax are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.app.cli.shell import WrongUsage, common, show, table

if TYPE_CHECKING:
    from rich.console import Console

    from isthmus.policies.nexus import Standing


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("charge-entities", rich_help_panel="Decide")(common(charge_entities))
    app.command("thresholds", rich_help_panel="See")(common(thresholds))


def charge_entities(
    lender: Annotated[str, typer.Argument(metavar="LENDER", help="Whose people worked.", show_default=False)],
    borrower: Annotated[str, typer.Argument(metavar="BORROWER", help="Whose contracts for.", show_default=False)],
    period: Annotated[str, typer.Option(metavar="YYYY-MM", help="The month of the hours.", show_default=False)],
    by: Annotated[
        str, typer.Option("--as", metavar="USER", help="Who decides; goes into the audit.", show_default=False)
    ],
    name: Annotated[str, typer.Option(help="Name of the request; a later one charges what came since.")] = "first",
) -> None:
    """Charge the hours of a month that people of one legal entity have worked for another, by their agreements.

    Each hour is charged once; a corrected one is reversed as it was charged and charged anew.

    Example: isthmus charge-entities UK01 US01 --period 2026-03 --as paula
    """
    from isthmus.app.cli.books import desk
    from isthmus.policies.proration import last_day

    if not by.strip():
        raise WrongUsage("--as names the person who decides")
    if lender == borrower:
        raise WrongUsage(f"{lender} lends to itself: there is nothing to charge")
    last_day(period)
    key = f"{lender}>{borrower}:{period}:{name}"
    with desk() as kernel, kernel.store.transaction() as tx:
        books = kernel.books(tx, key=key, actor=by, correlation_id=f"lending:{lender}>{borrower}")
        for code in (lender, borrower):
            books.entity(code)
        args = {"lender": lender, "borrower": borrower, "period": period}
        row = books.start("charge_between_entities", key, args, entity=lender)
        books.audit("lending.charge", key, reason=period)
    show(row.model_dump(mode="json"), lambda console: console.print(f"{row.run_id} is {row.state}"))


def thresholds(
    entity: Annotated[str, typer.Argument(metavar="ENTITY", help="The legal entity.", show_default=False)],
) -> None:
    """Show how near a legal entity's sales are to the thresholds to register for tax that the tax desk keeps.

    Example: isthmus thresholds US01
    """
    from isthmus.app.cli.books import desk
    from isthmus.processes.work.thresholds import standings_of

    with desk() as kernel, kernel.store.transaction() as tx:
        books = kernel.books(tx, key="thresholds", actor="operator")
        books.entity(entity)
        found = standings_of(books, entity, books.today(entity))
    show([_facts(one) for one in found], lambda console: _print(console, entity, found))


def _facts(one: Standing) -> dict[str, Any]:
    limit = one.threshold
    return {
        "state": limit.state,
        "amount": str(one.amount),
        "count": one.count,
        "limit_amount": str(limit.amount) if limit.amount is not None else None,
        "limit_count": limit.count,
        "since": str(one.since),
        "percent": f"{one.percent:.1f}",
        "level": one.level,
    }


def _print(console: Console, entity: str, found: list[Standing]) -> None:
    if not found:
        console.print(f"{entity} has no sales in a state with a threshold")
        return
    rows = table("state", "sales", "number", "of", "since", "%", "level", right=("sales", "number", "%"))
    for one in found:
        limit = one.threshold
        wanted = [f"{limit.amount:,}"] if limit.amount is not None else []
        wanted += [f"{limit.count} sales"] if limit.count is not None else []
        of = (" and " if limit.both else " or ").join(wanted)
        sums = (f"{one.amount:,}", str(one.count), of, str(one.since), f"{one.percent:.1f}")
        rows.add_row(limit.state, *sums, one.level)
    console.print(rows)
