"""The demo in the terminal: one line per step in finance's words, and the summary."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

from isthmus.runtime.clock import Clock
from isthmus.runtime.telling import NOTHING_NEW
from isthmus.store.records import RunRow, RunStep

QUIET_STEPS = ("Prepare ", "Keep the posting", "Keep the tax", "Sum up", "Find the entries", "Work out", "Place it")
SHOWN = {"contract_to_project": "cyan", "capture_time": "white", "bill_contract": "green"}
SHOWN |= {"invoice_to_cash": "magenta", "payment_changed": "magenta"}


class Timeline:
    """Prints steps as they happen. A console with no terminal prints plain lines."""

    def __init__(self, clock: Clock, console: Console, *, every_step: bool = False) -> None:
        self.clock = clock
        self.console = console
        self.every_step = every_step
        self.steps = 0
        self.progress = ""

    def told(self, run: RunRow, step: RunStep) -> None:
        """Kernel hook: a step is finished."""
        self.steps += 1
        quiet = step.phrase.startswith(QUIET_STEPS) or step.summary == NOTHING_NEW
        if quiet and not self.every_step:
            return
        subject = run.correlation_id.removeprefix("contract:")[:10]
        money = f"{step.amount:>12,.2f} {step.currency}" if step.amount is not None and step.currency else " " * 16
        color = SHOWN.get(run.process, "yellow")
        when = f"{self.clock.now():%d %b %H:%M}"
        self.console.print(
            f"[dim]{when}[/dim]  [{color}]{subject:<10}[/{color}]  {step.phrase:<58} {money}  [dim]{step.summary}",
            highlight=False,
            soft_wrap=True,
        )

    def say(self, text: str) -> None:
        """A line of the narrator."""
        act = f"[dim]{self.progress}[/dim] " if self.progress else ""
        self.console.print(f"\n{act}[bold]{self.clock.now():%A %d %B}[/bold]  {text}", highlight=False, soft_wrap=True)

    def summary(self, totals: dict[str, Any]) -> None:
        """The end of the month."""
        table = Table(title="The month", show_header=False, title_justify="left")
        for name, value in flatten(totals):
            table.add_row(name, value)
        self.console.print(table)


def flatten(totals: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested totals as rows."""
    rows: list[tuple[str, str]] = []
    for name, value in totals.items():
        label = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, dict):
            rows += flatten(value, f"{label}: ")
        else:
            rows.append((label, f"{value:,}" if isinstance(value, Decimal | int) else str(value)))
    return rows
