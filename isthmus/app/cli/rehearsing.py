"""The command that plays a scenario before it is true."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.app.cli.shell import PERSON, SETTINGS, common, show, table

if TYPE_CHECKING:
    from rich.console import Console

    from isthmus.app.rehearsal.report import Report

PANEL = "Try"


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("rehearse", rich_help_panel=PANEL)(common(rehearse))


def rehearse(
    file: Annotated[Path, typer.Argument(help="The scenario: a TOML file, see docs/operate/rehearsal.md.")],
) -> None:
    """Play a scenario through the real processes on a throwaway database, and say what it came to.

    Nothing of it touches the firm's books or systems. Exit code 3 when an expectation of the file is not met.

    Example: isthmus rehearse examples/scenarios/sc16-increments.toml
    """
    import sys

    from isthmus.app.rehearsal import read_script
    from isthmus.app.rehearsal import rehearse as play

    script = read_script(file)

    def told(line: str) -> None:
        if not SETTINGS.as_json:
            print(line, file=sys.stderr)  # noqa: T201 - progress of a long command

    outcome = play(script, told)
    show(outcome.model_dump(mode="json"), lambda console: _print(console, outcome))
    if outcome.failures:
        raise typer.Exit(PERSON)


def _print(console: Console, outcome: Report) -> None:
    console.print(f"{outcome.title}: {outcome.acts} acts", style="bold")
    for contract, states in outcome.evidence.items():
        told = ", ".join(f"{state} {amount:,.2f}" for state, amount in sorted(states.items()))
        console.print(f"  {contract}: {told}")
    if outcome.documents:
        grid = table(
            "number",
            "kind",
            "bill to",
            "issued",
            "line",
            "net",
            "held",
            "tax",
            "total",
            "open",
            right=("net", "held", "tax", "total", "open"),
        )
        for document in outcome.documents:
            head = (document.number, document.kind, document.bill_to, document.issue_date)
            grid.add_row(
                *head, "", f"{document.net:,}", "", f"{document.tax:,}", f"{document.total:,}", f"{document.open:,}"
            )
            for line in document.lines:
                grid.add_row(
                    "", "", "", "", line.description, f"{line.net:,}", f"{line.held:,}", f"{line.tax:,}", "", ""
                )
        console.print(grid)
    for case in outcome.cases:
        console.print(f"  waits for {case.queue}: {case.exception}: {case.cause}")
    if outcome.failures:
        console.print(f"{len(outcome.failures)} not as expected", style="red")
        for failure in outcome.failures:
            console.print(f"  {failure}", style="red")
    else:
        console.print("all expectations are met")
