"""Commands about bought-in work: what suppliers have billed, what holds it, and why a bill is what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.app.cli.amounts import plain
from isthmus.app.cli.shell import PERSON, common, show, table

if TYPE_CHECKING:
    from rich.console import Console

    from isthmus.app.bought import BillExplained, BillLineExplained
    from isthmus.domain.subcontracting import SubcontractorBill

PANEL = "See"


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("bills", rich_help_panel=PANEL)(common(bills))
    app.command("explain-bill", rich_help_panel=PANEL)(common(explain_bill))


def bills(
    supplier: Annotated[str, typer.Option(help="Only this supplier's.")] = "",
    project: Annotated[str, typer.Option(help="Only for this project.")] = "",
    waiting: Annotated[bool, typer.Option("--waiting", help="Only those that are not payable yet.")] = False,
) -> None:
    """List subcontractors' bills: what was asked, what is kept back, what is payable, and what each waits for.

    Example: isthmus bills --waiting
    """
    from isthmus.app.cli.books import desk
    from isthmus.domain.states import BillState
    from isthmus.domain.subcontracting import SubcontractorBill
    from isthmus.processes.work.paying import still_missing

    wanted: dict[str, Any] = {
        name: value for name, value in (("supplier", supplier), ("project_code", project)) if value
    }
    over = (BillState.PAYABLE, BillState.CANCELLED)
    with desk() as kernel, kernel.store.transaction() as tx:
        found = tx.find(SubcontractorBill, order=("billed_on", "bill_id"), **wanted)
        shown = [one for one in found if not waiting or one.state not in over]
        missing = {one.bill_id: still_missing(tx, one) for one in shown if one.payment_hold}
    rows = [{**one.model_dump(mode="json"), "waits_for": missing.get(one.bill_id, [])} for one in shown]
    show(rows, lambda console: _print_all(console, shown, missing))


def explain_bill(
    name: Annotated[str, typer.Argument(metavar="BILL", help="Supplier and number (SUBS:B-7), or the number alone.")],
) -> None:
    """Explain a subcontractor's bill: the approved hours it pays, the rate, what is kept back, what it waits for.

    Exit code 3 when it is not what its hours and what is kept back come to.

    Example: isthmus explain-bill SUBS:B-7
    """
    from isthmus.app import bought
    from isthmus.app.cli.books import desk

    with desk() as kernel, kernel.store.transaction() as tx:
        told = bought.explain_bill(tx, name)
    show(told.model_dump(mode="json"), lambda console: _print(console, told))
    if not told.agrees:
        raise typer.Exit(PERSON)


def _print_all(console: Console, found: list[SubcontractorBill], missing: dict[str, list[str]]) -> None:
    rows = table(
        "bill", "of", "due", "asked", "kept back", "payable", "", "state", right=("asked", "kept back", "payable")
    )
    for one in found:
        held = " (on hold)" if one.payment_hold else ""
        kept, payable = one.retained - one.released, one.payable
        amounts = (f"{one.total:,}", f"{kept:,}", f"{payable:,}", one.currency)
        rows.add_row(one.bill_id, str(one.billed_on), str(one.due_on), *amounts, f"{one.state}{held}")
    console.print(rows)
    for bill_id, told in missing.items():
        console.print(f"{bill_id} waits for the client's money: {'; '.join(told)}", style="yellow")
    if not found:
        console.print("no bills")


def _print(console: Console, told: BillExplained) -> None:
    one = told.bill
    console.print(
        f"{one.bill_id}  {one.state}, subcontract {told.subcontract}, project {one.project_code}", style="bold"
    )
    console.print(
        f"  asked {one.total:,} - kept back {one.retained:,} + paid out {one.released:,} = payable {one.payable:,}"
        f" {one.currency}, due {one.due_on}"
    )
    console.print(f"  handed in by {one.handed_in_by}, confirmed by {one.confirmed_by or 'nobody yet'}")
    if one.accepted_by:
        console.print(f"  let pass by {one.accepted_by}: {one.accepted_why}", style="yellow")
    for line in told.lines:
        _print_line(console, line, one.currency)
    if told.held:
        console.print(f"  {told.held:,} {one.currency} is kept back under the subcontract now")
    for reference in told.external:
        console.print(f"  {reference}")
    for waits in told.waits_for:
        console.print(f"  waits for the client's money: {waits}", style="yellow")
    for case in told.open_cases:
        console.print(f"  {case}", style="yellow")
    if not told.agrees:
        console.print("  it is not what its hours and what is kept back come to", style="red")


def _print_line(console: Console, line: BillLineExplained, currency: str) -> None:
    beyond = f", {line.beyond:,} beyond them" if line.beyond else ""
    asked = f"{plain(line.hours)} h of {line.person}, {line.start} to {line.end}: {line.amount:,} {currency}"
    console.print(f"  {line.number}: {asked}; approved hours are worth {line.worth:,}{beyond}")
    for one in line.entries:
        now = f", now {plain(one.approved_now)} h" if one.hours > 0 and one.approved_now != one.hours else ""
        price = f" x {plain(one.rate)} = {one.amount:,}" if one.rate is not None else ""
        client = f"; client: {', '.join(one.client)}" if one.client else ""
        console.print(
            f"     {one.entry}#{one.revision} {one.day} {plain(one.hours)} h{price}{now},"
            f" approved by {one.approved_by}{client}",
            style="dim",
        )
