"""Who listens to the hub's own events. Each subscriber is independent, durable, and can replay history.

A subscriber is a function of one transaction that gives the same result when an event comes twice. One that is added
later starts with what happens from then on; ``isthmus replay --subscriber NAME`` gives it the past.
"""

from __future__ import annotations

from collections.abc import Sequence

from isthmus.domain.states import CaseState
from isthmus.processes.work.bouncing import look_at_bills
from isthmus.processes.work.differing import corrected, of_paid_hours
from isthmus.processes.work.evidence import place_contract
from isthmus.processes.work.full_caps import HANDED_IN
from isthmus.runtime.books import Books
from isthmus.runtime.kernel import Subscriber
from isthmus.store.records import Case, Notice, OutboxEvent, RunRow, StageTime
from isthmus.store.tx import Tx

# The first event of each type on a contract's way: lead times follow from them.
STAGES = {
    "contract.approved": "approved",
    "engagement.activated": "active",
    "time.approved": "first time",
    "invoice.drafted": "first draft",
    "invoice.issued": "first invoice",
    "invoice.posted": "first posting",
    "invoice.paid": "first payment in full",
}


def keep_stage(books: Books, event: OutboxEvent) -> None:
    """The first time a contract reaches a stage, kept once."""
    contract_no = event.correlation_id.removeprefix("contract:")
    if contract_no == event.correlation_id:
        return  # not on the way of one contract
    row = StageTime(contract_no=contract_no, stage=STAGES[event.type], at=event.occurred_at, event_id=event.event_id)
    known = books.tx.get(StageTime, contract_no, row.stage)
    if known is None or row.at < known.at:
        books.tx.put(row)


def first_of_each(tx: Tx, events: Sequence[OutboxEvent]) -> list[OutboxEvent]:
    """Of each contract and stage the earliest event, unless the contract was there before."""
    first: dict[tuple[str, str], OutboxEvent] = {}
    for event in sorted(events, key=lambda e: e.occurred_at, reverse=True):
        if event.correlation_id.startswith("contract:"):
            first[event.correlation_id, STAGES[event.type]] = event
    contracts = tuple({correlation.removeprefix("contract:") for correlation, _ in first})
    known = {(f"contract:{row.contract_no}", row.stage): row.at for row in tx.find(StageTime, contract_no=contracts)}
    return [event for place, event in first.items() if place not in known or event.occurred_at < known[place]]


def notify_queue(books: Books, event: OutboxEvent) -> None:
    """A notice to the queue that owns a new case, in plain words, once."""
    facts = event.payload
    text = f"{facts['case']}: {facts['cause']}"
    notice = Notice(
        case_no=facts["case"], queue=facts["queue"], text=text, at=event.occurred_at, event_id=event.event_id
    )
    books.tx.insert_new(notice)


def look_at_caps_again(books: Books, event: OutboxEvent) -> None:
    """A change order or write-off was called off: what it was about is over its cap still, and somebody's to decide."""
    case = books.tx.get(Case, event.payload["case"])
    run = books.tx.get(RunRow, case.run_id) if case is not None else None
    if run is not None:
        place_contract(books, run.args["contract_no"])


def called_off(tx: Tx, events: Sequence[OutboxEvent]) -> list[OutboxEvent]:
    """Of many decisions those that end a change order or write-off."""
    numbers = tuple(sorted({str(event.payload["case"]) for event in events}))
    cases = tx.find(Case, case_no=numbers, state=CaseState.CANCELLED)
    ended = {case.case_no for case in cases if case.run_id.split("/")[0] in HANDED_IN.values()}
    return [event for event in events if event.payload["case"] in ended]


SUBSCRIBERS: dict[str, Subscriber] = {
    "stages": Subscriber(frozenset(STAGES), keep_stage, first_of_each),
    "notices": Subscriber(frozenset({"case.opened"}), notify_queue),
    "bounced": Subscriber(frozenset({"invoice.reopened", "bill.payable"}), look_at_bills),
    "full_caps": Subscriber(frozenset({"case.resolved"}), look_at_caps_again, called_off),
    "paid_hours": Subscriber(frozenset({"time.corrected"}), corrected, of_paid_hours),
}
