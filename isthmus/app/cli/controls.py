"""Commands that control: do the books agree with themselves and with the other systems?"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.app.cli.shell import PERSON, common, show, table

if TYPE_CHECKING:
    from rich.console import Console

    from isthmus.reconciliation import Finding

PANEL = "See"


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("reconcile", rich_help_panel=PANEL)(common(reconcile))


def reconcile(
    no_ask: Annotated[bool, typer.Option("--no-ask", help="Only the hub's own books; ask no other system.")] = False,
) -> None:
    """Check that nothing is lost, doubled or stuck: evidence, lines, numbers, runs, and each invoice in the ERP.

    Changes nothing. Exit code 3 when there are findings.

    Example: isthmus reconcile
    """
    from isthmus.app.bootstrap import build, database_url
    from isthmus.app.cli.books import desk
    from isthmus.app.controls import reconcile as run_controls

    if no_ask:
        with desk() as kernel:
            findings = run_controls(kernel, ask_systems=False)
    else:
        hub = build(database_url())
        findings = run_controls(hub.kernel)
        hub.close()
    told = [{**asdict(finding), "amount": str(finding.amount)} for finding in findings]
    show({"findings": told}, lambda console: _print(console, findings))
    if findings:
        raise typer.Exit(PERSON)


def _print(console: Console, findings: list[Finding]) -> None:
    if not findings:
        console.print("no findings: evidence, lines, numbers, runs and receivables agree")
        return
    grid = table("control", "key", "problem", "at risk", "owner", right=("at risk",))
    for finding in findings:
        amount = f"{finding.amount:,} {finding.currency}".strip()
        grid.add_row(finding.control, finding.key, finding.problem, amount, finding.owner)
    console.print(grid)
