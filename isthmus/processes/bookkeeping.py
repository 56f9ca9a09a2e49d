"""What the general ledger and the tax desk hear of that no invoice carries: journals, forfeited deposits, lent hours,
registration thresholds.
"""

from __future__ import annotations

from isthmus.ports import JournalBook
from isthmus.processes.work import expiring, journals, lending, thresholds
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


@process(
    starts="the hours that people of one legal entity have worked for another are to be charged (API, CLI)",
    owner="Project accounting",
    key="lender, borrower, month and the request's name",
    parks=("EX-TRANSFER-PRICE",),
    undo="nothing: a charge is taken back by its mirror, when its entry is corrected",
    lane="financial",
)
def charge_between_entities(run: Run, lender: str, borrower: str, period: str) -> str:
    """Revenue of the lender and cost of the borrower, the same amount; a journal in the books of each."""
    return run.decide("Charge the hours that were lent", lending.charge_hours, lender, borrower, period, final=True)


@process(
    starts="sales of a legal entity come near a registration threshold, or cross it (clock)",
    owner="Tax desk",
    key="legal entity, state, level and year",
    parks=("EX-NEXUS",),
    undo="nothing",
    lane="financial",
)
def nexus_alert(run: Run, entity: str, state: str, level: str) -> str:
    """The tax desk is told once a year for each level, with the figures it was reached with."""
    return run.decide("Have the tax desk see to it", thresholds.tell_tax_desk, entity, state, level)
