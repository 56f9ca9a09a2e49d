"""Change capture by asking: what other systems have changed since the last look. Repairs whatever a webhook missed.

A sweep reads first and writes after: messages and the watermark in one transaction. Asked twice, it keeps once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from isthmus.domain.envelopes import ApprovalEvidence, SignedEnvelope
from isthmus.domain.errors import Refused, StaleRead
from isthmus.domain.objects import Engagement, Expense, Invoice, MilestoneStatus, Payment, TimeEntry
from isthmus.ports.messages import ContractNotice
from isthmus.processes.work import asking, signing
from isthmus.processes.work.withdrawing import withdrawn_expenses, withdrawn_time
from isthmus.runtime import inbox
from isthmus.runtime.books import Books
from isthmus.runtime.hashing import canonical_json, content_hash
from isthmus.runtime.kernel import Kernel
from isthmus.store.records import InboxMessage, MessageState, RunRow, RunState, Watermark
from isthmus.store.tx import Tx

BATCH_MAX = 200
BATCHES_AT_ONCE = 4
PAYMENT = "payment.received"
Dated = TypeVar("Dated", TimeEntry, Expense)


def _watermark(kernel: Kernel, connection: str, feed: str) -> str:
    with kernel.store.transaction() as tx:
        known = tx.get(Watermark, connection, feed)
    return known.value if known else ""


def _checkpoint(kernel: Kernel, name: str, new: int) -> None:
    """A look that found nothing is no point at which anything could be lost."""
    if new:
        kernel.checkpoint(name)


def _move_watermark(kernel: Kernel, tx: Tx, connection: str, feed: str, value: str) -> None:
    tx.put(Watermark(connection=connection, feed=feed, value=value, read_at=kernel.clock.now()))


def _ask_gate(kernel: Kernel, connection: Any, port: str) -> None:
    """The write gate at this door: what is captured is a write to the hub by the system it comes from."""
    kernel.gate.check_captured(port, writer=connection.writes_as, entities=connection.entities)


def _of_its_entities(
    books: Books, connection: Any, port: str, facts: Sequence[Dated], arrival: Callable[[Dated], inbox.Arrival]
) -> list[inbox.Arrival]:
    """Messages of facts of legal entities this system may speak for; the others are quarantined with the rule."""
    gate = books.kernel.gate
    if not gate.differs_by_entity(port):
        return [arrival(fact) for fact in facts]
    codes = tuple(sorted({fact.project_code for fact in facts}))
    entities = {e.project_code: e.entity for e in books.tx.find(Engagement, project_code=codes)} if codes else {}
    allowed = []
    for fact in facts:
        message = arrival(fact)
        refused = gate.refusal(port, writer=connection.writes_as, entity=entities.get(fact.project_code, ""))
        if refused:
            _refuse(books, message, refused)
        else:
            allowed.append(message)
    return allowed


def _refuse(books: Books, message: inbox.Arrival, reason: str) -> None:
    """Kept as it came: once the rule or the connection is mended it can be replayed."""
    kept = {"source": message.source, "kind": message.kind, "raw": message.raw, "message_id": message.message_id}
    inbox.quarantine(books, reason=reason, **kept)


def sweep_contracts(kernel: Kernel, connection: Any) -> int:
    """Contracts changed in the CRM: each version starts contract_to_project once; the number of new changes.

    A run that stands still for what the CRM said asks again when its contract is changed there.
    """
    _ask_gate(kernel, connection, "Crm")
    page, new = connection.contracts_changed(_watermark(kernel, connection.name, "contracts")), 0
    with kernel.store.transaction() as tx:
        for notice in page.notices:
            books = kernel.books(tx, key=notice.message_id, actor=connection.name)
            new += _start_contract(books, connection.name, notice)
        _move_watermark(kernel, tx, connection.name, "contracts", page.watermark)
        _checkpoint(kernel, "committing swept contracts", new)
    _checkpoint(kernel, "swept contracts", new)
    return new


def _start_contract(books: Books, source: str, notice: ContractNotice) -> bool:
    message = inbox.accept(
        books,
        source=source,
        message_id=notice.message_id,
        kind="contract.changed",
        aggregate=f"contract:{notice.contract_no}",
        raw=canonical_json(notice),
    )
    if message.state is not MessageState.ACCEPTED:
        return False
    key = f"{notice.contract_no}@{notice.version}"
    correlation = f"contract:{notice.contract_no}"
    args = {"contract_no": notice.contract_no, "version": notice.version}
    run = books.start("contract_to_project", key, args, correlation_id=correlation)
    asking.source_has_changed(books, run.run_id, f"the contract was changed in {source}: {notice.changed_at}")
    inbox.settle(books, [message], MessageState.APPLIED, run_id=run.run_id)
    return True


def sweep_time(kernel: Kernel, connection: Any) -> int:
    """Approved time in the PSA since the last look. What cannot be read is quarantined, not dropped.

    An entry that is gone there becomes a correction to no hours.
    """
    _ask_gate(kernel, connection, "TimeSource")
    page = connection.approved_time(_watermark(kernel, connection.name, "time"))

    def arrivals(books: Books) -> list[inbox.Arrival]:
        found = [*page.entries, *withdrawn_time(books, page)]
        return _of_its_entities(books, connection, "TimeSource", found, partial(arrival_of, connection.name))

    return _keep_page(kernel, connection.name, "time", "time.approved", arrivals, page)


def sweep_expenses(kernel: Kernel, connection: Any) -> int:
    """Approved expenses in the expense tool since the last look. What cannot be read is quarantined, not dropped."""
    _ask_gate(kernel, connection, "ExpenseSource")
    page = connection.approved_expenses(_watermark(kernel, connection.name, "expenses"))

    def arrivals(books: Books) -> list[inbox.Arrival]:
        expenses = [*page.expenses, *withdrawn_expenses(books, page)]
        arrival = partial(arrival_of_expense, connection.name)
        return _of_its_entities(books, connection, "ExpenseSource", expenses, arrival)

    return _keep_page(kernel, connection.name, "expenses", "expense.approved", arrivals, page)


def sweep_milestones(kernel: Kernel, connection: Any) -> int:
    """Milestones that moved in the delivery tool since the last look. What cannot be read is quarantined."""
    _ask_gate(kernel, connection, "Delivery")
    page = connection.milestones_changed(_watermark(kernel, connection.name, "milestones"))

    def arrivals(_: Books) -> list[inbox.Arrival]:
        return [_arrival(connection.name, "milestone", "changed", each) for each in page.milestones]

    return _keep_page(kernel, connection.name, "milestones", "milestone.changed", arrivals, page)


def _keep_page(
    kernel: Kernel, source: str, feed: str, kind: str, arrivals: Callable[[Books], list[inbox.Arrival]], page: Any
) -> int:
    """Messages of a page, what could not be read of it, and the watermark, in one transaction."""
    with kernel.store.transaction() as tx:
        books = kernel.books(tx, key=f"sweep/{source}", actor=source)
        new = _accept_new(books, arrivals(books))
        for what, why in page.unreadable:
            inbox.quarantine(books, source=source, kind=kind, raw=what, reason=why)
        _move_watermark(kernel, tx, source, feed, page.watermark)
        _checkpoint(kernel, f"committing swept {feed}", new)
    _checkpoint(kernel, f"swept {feed}", new)
    return new


def arrival_of(source: str, entry: TimeEntry) -> inbox.Arrival:
    """An entry as a message. Its id follows from its content: the same by whichever way it comes in."""
    raw = canonical_json({"entries": [entry]})
    message_id = f"{entry.key}:{content_hash(raw)[:16]}"
    return inbox.Arrival(source, message_id, "time.approved", f"time:{entry.key}", raw)


def arrival_of_expense(source: str, expense: Expense) -> inbox.Arrival:
    """An expense as a message; its id follows from its content, as for an entry."""
    return _arrival(source, "expense", "approved", expense)


def _arrival(source: str, what: str, happened: str, fact: Expense | MilestoneStatus) -> inbox.Arrival:
    """An expense or a milestone as a message, under ``expenses`` or ``milestones``, as entries are."""
    raw = canonical_json({f"{what}s": [fact]})
    message_id = f"{fact.key}:{content_hash(raw)[:16]}"
    return inbox.Arrival(source, message_id, f"{what}.{happened}", f"{what}:{fact.key}", raw)


def accept_time(books: Books, source: str, entries: Sequence[TimeEntry]) -> int:
    """Put entries in the inbox, one message each; the number of new ones."""
    return _accept_new(books, [arrival_of(source, entry) for entry in entries])


def accept_expenses(books: Books, source: str, expenses: Sequence[Expense]) -> int:
    """Put expenses in the inbox, one message each; the number of new ones."""
    return _accept_new(books, [arrival_of_expense(source, each) for each in expenses])


def accept_milestones(books: Books, source: str, milestones: Sequence[MilestoneStatus]) -> int:
    """Put milestones in the inbox, one message each; the number of new ones."""
    return _accept_new(books, [_arrival(source, "milestone", "changed", each) for each in milestones])


def _accept_new(books: Books, arrivals: list[inbox.Arrival]) -> int:
    messages = inbox.accept_many(books, arrivals)
    new = sum(message.duplicates == 0 for message in messages)
    _checkpoint(books.kernel, "committing messages", new)
    return new


def sweep_signatures(kernel: Kernel, connection: Any) -> int:
    """Envelopes that ended: each is kept once as evidence, and a contract that waits for an approval they hold goes on.

    Returns the number of envelopes and of cases. Each envelope is kept by itself: reading a signed document takes time.
    """
    _ask_gate(kernel, connection, "Esign")
    page = connection.envelopes_ended(_watermark(kernel, connection.name, "signatures"))
    new = sum(_keep_envelope(kernel, connection, envelope) for envelope in page.envelopes)
    with kernel.store.transaction() as tx:
        books = kernel.books(tx, key=f"sweep/{connection.name}", actor=connection.name)
        for what, why in page.unreadable:
            inbox.quarantine(books, source=connection.name, kind="envelope.ended", raw=what, reason=why)
        new += signing.answer_waiting_approvals(books) + signing.answer_refused(books)
        _move_watermark(kernel, tx, connection.name, "signatures", page.watermark)
        _checkpoint(kernel, "committing swept signatures", new)
    _checkpoint(kernel, "swept signatures", new)
    return new


def _keep_envelope(kernel: Kernel, connection: Any, envelope: SignedEnvelope) -> bool:
    with kernel.store.transaction() as tx:
        if tx.get(ApprovalEvidence, connection.name, envelope.envelope_id) is not None:
            return False
    whole = _with_document(connection, envelope)
    with kernel.store.transaction() as tx:
        correlation = f"contract:{envelope.contract_no}"
        key = f"envelope/{envelope.envelope_id}"
        books = kernel.books(tx, key=key, actor=connection.name, correlation_id=correlation)
        new = signing.keep_envelope(books, connection.name, whole)
        _checkpoint(kernel, "keeping an envelope", new)
    return new


def _with_document(connection: Any, envelope: SignedEnvelope) -> SignedEnvelope:
    """A completed envelope with the hash of what was signed; without, and with the reason, where that is gone."""
    if envelope.state != "completed":
        return envelope
    try:
        whole: SignedEnvelope = connection.read_envelope(envelope.envelope_id)
    except Refused as gone:
        return envelope.model_copy(update={"reason": f"the signed document cannot be read: {gone.message}"})
    if whole.state != envelope.state:
        raise StaleRead(f"envelope {envelope.envelope_id} is {envelope.state} in the list and {whole.state} by itself")
    return whole


def sweep_payments(kernel: Kernel, connection: Any) -> int:
    """Payments recorded in the ERP: each starts invoice_to_cash once."""
    _ask_gate(kernel, connection, "Erp")
    page = connection.payments_received(_watermark(kernel, connection.name, "payments"))
    with kernel.store.transaction() as tx:
        new = 0
        for payment in page.payments:
            books = kernel.books(tx, key=f"payment/{payment.key}", actor=connection.name)
            refused = kernel.gate.refusal("Erp", writer=connection.writes_as, entity=entity_of(books, payment))
            if refused:
                raw = canonical_json(payment)
                name = f"{payment.key}:{content_hash(raw)[:16]}"
                _refuse(books, inbox.Arrival(connection.name, name, PAYMENT, f"payment:{payment.key}", raw), refused)
            else:
                new += take_payment(books, payment)
        _move_watermark(kernel, tx, connection.name, "payments", page.watermark)
        _checkpoint(kernel, "committing swept payments", new)
    _checkpoint(kernel, "swept payments", new)
    return new


def entity_of(books: Books, payment: Payment) -> str:
    """The legal entity a payment is for, by the invoices it names, else by its client's; empty when it has none yet."""
    named = _named(books, payment)
    client_no = payment.client_no
    invoices = named or [
        *books.tx.find(Invoice, client_no=client_no, limit=1),
        *books.tx.find(Invoice, bill_to=client_no, limit=1),
    ]
    return invoices[0].entity if invoices else ""


def _named(books: Books, payment: Payment) -> list[Invoice]:
    return books.tx.find(Invoice, number=tuple(payment.applies), limit=1) if payment.applies else []


def take_payment(books: Books, payment: Payment) -> bool:
    """Start what a reported payment means; True when it says anything new. A payment may change after it was reported:
    that must not hold up the ones behind it.
    """
    named = _named(books, payment)
    books.correlation_id = f"contract:{named[0].contract_no}" if named else f"payment:{payment.key}"
    args, entity = {"payment": payment.model_dump(mode="json")}, entity_of(books, payment)
    known = books.tx.get(RunRow, f"invoice_to_cash/{payment.key}")
    if known is None:
        books.start("invoice_to_cash", payment.key, args, entity=entity)
        return True
    if known.args_hash == content_hash(args):
        return False
    key = f"{payment.key}@{content_hash(args)[:12]}"
    new = books.tx.get(RunRow, f"payment_changed/{key}") is None
    books.start("payment_changed", key, args, entity=entity)
    return new


def drain_time(kernel: Kernel, limit: int = BATCH_MAX) -> int:
    """Gather accepted time messages into one run per legal entity; the number of messages taken.

    What arrives together is worked on together; each entry keeps its own evidence and its own effect.
    """
    with kernel.store.transaction() as tx:
        books = kernel.books(tx, key="drain/time", actor="hub")
        if _enough_under_way(tx):
            return 0
        messages = inbox.take(books, kind="time.approved", limit=limit)
        codes = {message.message_id: _projects_of(message) for message in messages}
        wanted = tuple(sorted({code for each in codes.values() for code in each}))
        known = {e.project_code: e for e in books.tx.find(Engagement, project_code=wanted)} if wanted else {}
        batches: dict[tuple[str, str], list[InboxMessage]] = {}
        for message in messages:
            engagements = [known[code] for code in codes[message.message_id] if code in known]
            batches.setdefault(_entity_and_contract(message, engagements), []).append(message)
        for (entity, correlation), batch in sorted(batches.items()):
            _start_batch(books, entity, correlation, batch)
        _checkpoint(kernel, "committing gathered time", len(messages))
    _checkpoint(kernel, "gathered time", len(messages))
    return len(messages)


def _enough_under_way(tx: Tx) -> bool:
    """While some batches are worked on, what arrives meanwhile makes the next ones larger, and each hour cheaper."""
    moving = (RunState.QUEUED, RunState.RUNNING)
    return len(tx.tuples(RunRow, ("run_id",), process="capture_time", state=moving)) >= BATCHES_AT_ONCE


def drain_facts(kernel: Kernel, limit: int = BATCH_MAX) -> int:
    """Accepted expenses and milestones, one run each; the number of messages taken."""
    taken = 0
    with kernel.store.transaction() as tx:
        books = kernel.books(tx, key="drain/facts", actor="hub")
        for kind, process_name in (("expense.approved", "capture_expense"), ("milestone.changed", "take_milestone")):
            for message in inbox.take(books, kind=kind, limit=limit):
                replays = books.tx.next(f"fact:{message.source}:{message.message_id}")
                key = f"{message.source}:{message.message_id}" + (f"/{replays}" if replays > 1 else "")
                args = {"source": message.source, "message_id": message.message_id}
                run = books.start(process_name, key, args, correlation_id=_correlation_of(books, message))
                inbox.settle(books, [message], MessageState.TAKEN, run_id=run.run_id)
                taken += 1
        _checkpoint(kernel, "committing gathered facts", taken)
    _checkpoint(kernel, "gathered facts", taken)
    return taken


def _correlation_of(books: Books, message: InboxMessage) -> str:
    """The contract a fact is about, where its project is known."""
    try:
        carried = json.loads(message.raw)
        fact = (carried.get("expenses") or carried.get("milestones") or [{}])[0]
    except (ValueError, AttributeError):
        return f"message:{message.message_id}"
    if fact.get("contract_no"):
        return f"contract:{fact['contract_no']}"
    known = books.tx.find(Engagement, project_code=str(fact.get("project_code", "")))
    return f"contract:{known[0].contract_no}" if known else f"message:{message.message_id}"


def _projects_of(message: InboxMessage) -> set[str]:
    """Codes of the projects a message names. Its run reads it as a whole, and quarantines what cannot be read."""
    try:
        return {str(entry["project_code"]) for entry in json.loads(message.raw)["entries"]}
    except (ValueError, KeyError, TypeError):
        return set()


def _entity_and_contract(message: InboxMessage, engagements: list[Engagement]) -> tuple[str, str]:
    entities = sorted({engagement.entity for engagement in engagements})
    contracts = sorted({engagement.contract_no for engagement in engagements})
    correlation = f"contract:{contracts[0]}" if len(contracts) == 1 else f"message:{message.message_id}"
    return (entities[0] if len(entities) == 1 else ""), correlation


def _start_batch(books: Books, entity: str, correlation: str, batch: list[InboxMessage]) -> None:
    ids = sorted([message.source, message.message_id] for message in batch)
    replays = books.tx.next(f"batch:{content_hash(ids)}")
    key = content_hash([ids, replays])[:24]
    args = {"messages": ids, "alone": ""}
    run = books.start("capture_time", key, args, entity=entity, correlation_id=correlation)
    inbox.settle(books, batch, MessageState.TAKEN, run_id=run.run_id)
