"""The end of a month: what is not approved is accrued, the period is closed, and may be opened again by two persons."""

from __future__ import annotations

from isthmus.processes.work import accruing, closing
from isthmus.runtime.process import process
from isthmus.runtime.run import Run


@process(
    starts="the controller closes a month of a legal entity (API, CLI)",
    owner="Controller",
    key="legal entity, month and the time it is closed",
    undo="nothing: a closed period is opened again by two persons",
    lane="financial",
)
def close_period(run: Run, entity: str, period: str, closed_by: str) -> str:
    """P6, steps 3, 4 and 9."""
    run.decide("Close time and expense to people", closing.soft_close, entity, period, closed_by)
    run.decide("Accrue what is not approved", closing.accrue_unapproved, entity, period)
    run.decide("Book what it accrues", accruing.book, entity, period)
    snapshot = run.decide("Take the snapshot and close", closing.close, entity, period, closed_by, final=True)
    return snapshot.content_hash


@process(
    starts="a request to open a closed month again (API, CLI)",
    owner="Controller; two persons beside the one who asks",
    key="legal entity, month and the request's name",
    parks=("EX-REOPEN", "EX-REOPEN-SECOND"),
    undo="nothing: it is closed again, which makes a new snapshot",
    lane="financial",
)
def reopen_period(run: Run, entity: str, period: str, asked_by: str, reason: str) -> str:
    """Two approvals, then the month is open again; both snapshots are kept."""
    approvers = run.decide("Have two persons agree", closing.ask_to_reopen, entity, period, asked_by, reason)
    return run.decide("Open the period again", closing.reopen, entity, period, approvers, final=True)


@process(
    starts="approved work of a closed period that is large enough for the controller",
    owner="Controller",
    key="the hold on it",
    parks=("EX-PRIOR-PERIOD",),
    undo="nothing",
    lane="financial",
)
def prior_period(run: Run, hold_id: str, booked_on: str) -> str:
    """P6, step 10: seen, then billed in an open period."""
    return run.decide("Have the controller see it", closing.ask_about_prior_period, hold_id, booked_on)
