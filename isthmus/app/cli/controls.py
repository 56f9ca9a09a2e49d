"""Commands that control: do the books agree with themselves and with the other systems?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.app.cli.shell import PERSON, common, show, table

if TYPE_CHECKING:
    from rich.console import Console

    from isthmus.reconciliation import Finding

PANEL = "See"
ASKS_SYSTEMS = "INV-09"
audits = typer.Typer()  # the audit of the money is the command itself; others check other things


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("reconcile", rich_help_panel=PANEL)(common(reconcile))
    audits.callback(invoke_without_command=True)(common(audit))
    app.add_typer(audits, name="audit", rich_help_panel=PANEL)


NoAsk = Annotated[bool, typer.Option("--no-ask", help="Only the hub's own books; ask no other system.")]


def reconcile(no_ask: NoAsk = False) -> None:
    """Check that nothing is lost, doubled or stuck: evidence, lines, numbers, runs, and each invoice in the ERP.

    Changes nothing. Exit code 3 when there are findings.

    Example: isthmus reconcile
    """
    from isthmus.app.controls import reconcile as run_controls

    _tell(_findings(run_controls, no_ask), "no findings: evidence, lines, numbers, runs and receivables agree")


def audit(context: typer.Context, no_ask: NoAsk = False) -> None:
    """Check every invariant of billing: all of reconcile, and prices, caps, credits, balances, periods and events.

    Every price is worked out again from its source, one contract at a time. Changes nothing. Exit code 3 when there
    are findings.

    Example: isthmus audit --no-ask
    """
    if context.invoked_subcommand is not None:
        return
    from isthmus.app.controls import audit as run_controls
    from isthmus.reconciliation import CONTROLS

    asked = {name: words for name, words in CONTROLS.items() if not (no_ask and name == ASKS_SYSTEMS)}
    found = _findings(run_controls, no_ask)
    _tell(found, f"no findings: {len(asked)} controls agree", asked)


def _findings(run_controls: Callable[..., list[Finding]], no_ask: bool) -> list[Finding]:
    from isthmus.app.bootstrap import build, database_url
    from isthmus.app.cli.books import desk

    if no_ask:
        with desk() as kernel:
            return run_controls(kernel, ask_systems=False)
    hub = build(database_url())
    try:
        return run_controls(hub.kernel)
    finally:
        hub.close()


def _tell(findings: list[Finding], all_is_well: str, asked: Mapping[str, str] | None = None) -> None:
    told = [{**asdict(finding), "amount": str(finding.amount)} for finding in findings]
    show({"findings": told}, lambda console: _print(console, findings, all_is_well, asked or {}))
    if findings:
        raise typer.Exit(PERSON)


def _print(console: Console, findings: list[Finding], all_is_well: str, asked: Mapping[str, str]) -> None:
    count = Counter(finding.control for finding in findings)
    for name, words in asked.items():
        says = f"{count[name]} findings" if count[name] else "yes"
        console.print(f"{name}  {words} {says}", style="red" if count[name] else "dim")
    if not findings:
        console.print(all_is_well)
        return
    grid = table("control", "key", "problem", "at risk", "owner", right=("at risk",))
    for finding in findings:
        amount = f"{finding.amount:,} {finding.currency}".strip()
        grid.add_row(finding.control, finding.key, finding.problem, amount, finding.owner)
    console.print(grid)
