"""What the general ledger hears of that no invoice carries: journals, and deposits that nobody draws any more."""

from __future__ import annotations

from isthmus.ports import JournalBook
from isthmus.processes.work import expiring, journals
from isthmus.runtime.process import process
from isthmus.runtime.run import Run


@process(
    starts="an amount that no document carries: accruals, drawn or forfeited deposits, charges between entities",
    owner="Controlling",
    key="the journal's number",
    parks=("EX-JOURNAL",),
    undo="nothing: a journal is taken back by another one",
    lane="financial",
)
def post_journal(run: Run, journal_no: str) -> str:
    """The journal in the ERP under its own number; where the ERP takes none, booked there by a person."""
    journal = run.decide("Take the journal as it was kept", journals.to_post, journal_no)
    posted = run.effect_if_offered("Book the journal in the ERP", JournalBook.post_journal, journal)
    booked = run.decide("Keep as what it is booked", journals.keep_booked, journal_no, posted)
    return booked.booked_as


@process(
    starts="the day after the last one on which a deposit could be drawn (clock)",
    owner="Controlling; the tax desk for money that was never taxed",
    key="the grant of the deposit that has expired",
    parks=("EX-BREAKAGE",),
    undo="nothing: what is forfeited is revenue of its period",
    lane="financial",
)
def expire_deposit(run: Run, grant: str) -> str:
    """What nobody has drawn of a deposit in time is the firm's: breakage, revenue of the month it expired in."""
    return run.decide("Take what is left of the deposit as revenue", expiring.forfeit, grant, final=True)
