"""What the hub asks of a PSA and of time tools: set up the work, hand over approved time, be told what was invoiced.

Several capabilities, because firms combine them freely: the tool people plan in (Psa), a rate book it may keep
(RateBook), a place where it shows what clients contest (DisputeBoard), and the tool approved time comes from
(TimeSource).
"""

from __future__ import annotations

from typing import Protocol

from isthmus.domain.objects import ExternalRef, Project, Rate
from isthmus.ports.messages import ContestedLines, InvoicedTime, ProjectFacts, RateCardIn, TaskIn, TimePage
from isthmus.ports.verbs import reads, writes


class Psa(Protocol):
    """Owner of staffing, tasks and delivery status."""

    @writes(
        key=lambda project: project.project_code,
        find="find_project",
        exception="EX-PSA-REJECT",
        queue="pmo",
        revisable=True,
    )
    def put_project(self, project: Project) -> ExternalRef:
        """Create the project, or bring an existing one to these facts."""
        ...

    @reads
    def find_project(self, project: Project) -> ExternalRef | None:
        """The project with this code, if it exists."""
        ...

    @reads
    def read_project(self, project_code: str) -> ProjectFacts:
        """The project as the PSA has it. NotFound when there is none."""
        ...

    @writes(
        key=lambda project: f"{project.project_code}:close", find="find_closed", exception="EX-PSA-REJECT", queue="pmo"
    )
    def close_project(self, project: Project) -> ExternalRef:
        """Undo of put_project: set it to cancelled; it is never deleted."""
        ...

    @reads
    def find_closed(self, project: Project) -> ExternalRef | None:
        """The project, if it is closed."""
        ...

    @writes(
        key=lambda item: f"{item.project_code}:{item.task.code}",
        find="find_task",
        exception="EX-PSA-REJECT",
        queue="pmo",
        revisable=True,
    )
    def put_task(self, item: TaskIn) -> ExternalRef:
        """Create the task."""
        ...

    @reads
    def find_task(self, item: TaskIn) -> ExternalRef | None:
        """The task with this code in this project, if it exists."""
        ...


class RateBook(Protocol):
    """Keeps a project's bill rates beside the contract's, for people to see. Not every tool has one."""

    @writes(
        key=lambda card: f"{card.project_code}:rates:{_rates_key(card.rates)}",
        find="find_rates",
        exception="EX-RATE-MISMATCH",
        queue="pricing",
    )
    def put_rates(self, card: RateCardIn) -> ExternalRef:
        """Set the project's bill rates by role."""
        ...

    @reads
    def find_rates(self, card: RateCardIn) -> ExternalRef | None:
        """The project's rate card, if its rates are exactly these."""
        ...


class DisputeBoard(Protocol):
    """Shows the people who deliver a project what the client contests of its invoices. Not every tool has a place."""

    @writes(
        key=lambda contested: f"{contested.project_code}:contested:{contested.revision}",
        find="find_contested",
        exception="EX-WRITEBACK",
        queue="billing",
    )
    def show_contested(self, contested: ContestedLines) -> ExternalRef:
        """Show on the project what is contested now, in the place of what was shown before."""
        ...

    @reads
    def find_contested(self, contested: ContestedLines) -> ExternalRef | None:
        """The project, if it shows exactly this."""
        ...


class TimeSource(Protocol):
    """Owner of approved time; shows which of it is invoiced. A firm may have several, as while it changes tools."""

    @reads
    def approved_time(self, watermark: str) -> TimePage:
        """Approved time changed after the watermark, oldest first."""
        ...

    @writes(
        key=lambda billed: f"{billed.project_code}:{billed.number}",
        source=lambda billed: billed.source,
        find="find_invoiced",
        exception="EX-WRITEBACK",
        queue="billing",
    )
    def mark_invoiced(self, billed: InvoicedTime) -> ExternalRef:
        """Show the entries as invoiced, with the number."""
        ...

    @reads
    def find_invoiced(self, billed: InvoicedTime) -> ExternalRef | None:
        """The invoice mark, if all entries carry it."""
        ...


def _rates_key(rates: tuple[Rate, ...]) -> str:
    """Rates as text that changes when any rate does."""
    return ",".join(f"{r.role}/{r.person}={r.bill_rate}@{r.effective_from}" for r in rates)
