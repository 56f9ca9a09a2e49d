"""What the hub asks of expense tools and delivery tools: approved expenses, and how far milestones are."""

from __future__ import annotations

from typing import Protocol

from isthmus.ports.messages import ExpensePage, MilestonePage
from isthmus.ports.verbs import reads


class ExpenseSource(Protocol):
    """Owner of approved expenses."""

    @reads
    def approved_expenses(self, watermark: str) -> ExpensePage:
        """Approved expenses changed after the watermark, oldest first."""
        ...


class Delivery(Protocol):
    """Owner of delivery status up to completion; acceptance is the engagement manager's and the client's."""

    @reads
    def milestones_changed(self, watermark: str) -> MilestonePage:
        """Milestones whose state changed after the watermark, oldest first."""
        ...
