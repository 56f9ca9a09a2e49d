"""Cases that nobody need decide any more close themselves: what they were about has succeeded another way."""

from __future__ import annotations

from isthmus.desk.notes import note
from isthmus.domain.states import CaseState
from isthmus.runtime.books import Books
from isthmus.store.records import Case, OutboxEvent, RunRow, RunState

# The event that says a record has succeeded, and what its record is called: the aggregate's kind is replaced.
SUCCESSES: dict[str, tuple[str, str]] = {
    "time.approved": ("time:", "time:"),
    "time.corrected": ("time:", "time:"),
    "engagement.activated": ("engagement:", "contract:"),
    "invoice.posted": ("invoice:", "invoice:"),
    "payment.applied": ("payment:", "payment:"),
}
OVER = (RunState.DONE, RunState.CANCELLED)


def close_older(books: Books, event: OutboxEvent) -> None:
    """Close open cases of the record that were opened before it succeeded, by another run than theirs.

    Their run is set aside with them. One that has written something elsewhere stays: a person looks at what it left.
    """
    theirs, ours = SUCCESSES[event.type]
    record = ours + event.aggregate.removeprefix(theirs)
    for case in books.tx.find(Case, record=record, state=CaseState.OPEN, order=("case_no",)):
        if case.opened_at <= event.occurred_at and case.run_id != event.causation_id:
            _close(books, case, event)


def _close(books: Books, case: Case, event: OutboxEvent) -> None:
    kernel = books.kernel
    books.tx.lock(f"case:{case.case_no}")
    run = books.tx.get(RunRow, case.run_id)
    if run is not None and run.state not in OVER and not kernel.set_aside(books.tx, run.run_id):
        return
    told = f"{event.aggregate} has succeeded meanwhile ({event.type} by {event.causation_id})"
    kernel.casework.close_by_itself(books.tx, case, told)
    note(books, case.case_no, "close", told)
