"""From an approved expense, and from an accepted milestone, to evidence that can be billed."""

from __future__ import annotations

from isthmus.processes.work import expensing, milestones
from isthmus.runtime.process import process
from isthmus.runtime.run import Run


@process(
    starts="an approved expense from webhook, change capture or file",
    owner="Project managers; billing for receipts",
    key="the expense's id in its source and its content",
    parks=(
        "EX-UNKNOWN-PROJECT",
        "EX-NOT-READY",
        "EX-AHEAD",
        "EX-DUP-SUSPECT",
        "EX-NO-CONTRACT-LINE",
        "EX-FX-RATE",
        "EX-INPUT",
    ),
    undo="nothing: evidence is corrected by a new revision, never taken back",
)
def capture_expense(run: Run, source: str, message_id: str) -> int:
    """P2, steps 1 and 3 to 7, for an expense."""
    items = run.decide("Take the approved expense in, priced by its terms", expensing.capture, source, message_id)
    return len(items)


@process(
    starts="a milestone that was completed, accepted or rejected (change capture, API)",
    owner="Engagement manager accepts; PMO for open work",
    key="the milestone's id in its source and its state",
    parks=("EX-UNKNOWN-PROJECT", "EX-SOW-UNMAPPED", "EX-MILESTONE-PREREQ", "EX-INPUT"),
    undo="nothing: a rejected milestone is reported as rejected",
)
def take_milestone(run: Run, source: str, message_id: str) -> int:
    """P2, steps 1 and 7, for a milestone. It is billed by the next billing run once it is accepted."""
    statuses = run.decide("Take the milestone in", milestones.take_in, source, message_id)
    for status in statuses:
        run.decide("Check that its work is approved", milestones.check_ready, status)
    return len(statuses)
