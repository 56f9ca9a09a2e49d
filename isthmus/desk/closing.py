"""Cases that nobody need decide any more close themselves: what they were about has succeeded another way."""

from __future__ import annotations

from collections.abc import Sequence

from isthmus.desk.notes import note
from isthmus.domain.states import CaseState
from isthmus.runtime.books import Books
from isthmus.store.records import Case, OutboxEvent, RunRow, RunState
from isthmus.store.tx import Tx

# The event that says a record has succeeded, and what its record is called: the aggregate's kind is replaced.
SUCCESSES: dict[str, tuple[str, str]] = {
    "time.approved": ("time:", "time:"),
    "time.corrected": ("time:", "time:"),
    "engagement.activated": ("engagement:", "contract:"),
    "invoice.posted": ("invoice:", "invoice:"),
    "payment.applied": ("payment:", "payment:"),
}
OVER = (RunState.DONE, RunState.CANCELLED)


def record_of(event: OutboxEvent) -> str:
    """What a case about the event's record calls it."""
    theirs, ours = SUCCESSES[event.type]
    return ours + event.aggregate.removeprefix(theirs)


def with_open_cases(tx: Tx, events: Sequence[OutboxEvent]) -> list[OutboxEvent]:
    """Events about whose record a case is open: of thousands of hours that arrive, hardly any."""
    records = tuple({record_of(event) for event in events})
    open_of = {case.record for case in tx.find(Case, record=records, state=CaseState.OPEN)}
    return [event for event in events if record_of(event) in open_of]


def close_older(books: Books, event: OutboxEvent) -> None:
    """Close open cases of the record that were opened before it succeeded, by another run than theirs.

    Their run is set aside with them. One that has written something elsewhere stays: a person looks at what it left.
    """
    for case in books.tx.find(Case, record=record_of(event), state=CaseState.OPEN, order=("case_no",)):
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
