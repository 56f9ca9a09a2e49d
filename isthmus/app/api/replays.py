"""A message taken again, by API or command line: held to ownership and to today's rules like the first time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from isthmus.app.api.intake import KIND, Delivery, keep_message, understand
from isthmus.app.firm import ConnectionConfig, FirmConfig
from isthmus.app.taking import bills, cards, records
from isthmus.app.taking.kept import file_of
from isthmus.app.taking.said import Said, check_owner
from isthmus.domain.errors import IllegalTransition, NotFound
from isthmus.domain.objects import Payment
from isthmus.processes import sweeps
from isthmus.runtime import inbox
from isthmus.runtime.books import Books
from isthmus.store.records import InboxMessage, MessageState

FILES = (*records.FILES, cards.KIND, bills.KIND)
# What the worker gathers by itself once it is accepted again, and the object the gate is asked about.
GATHERED = {"time.approved": "time_entry", "expense.approved": "expense", "milestone.changed": "milestone"}


@dataclass(frozen=True)
class Again:
    """How much of a message is taken in again, and under which ids."""

    count: int
    message_ids: list[str]


def take_again(
    firm: FirmConfig, books: Books, source: str, message_id: str, reason: str, *, dry_run: bool = False
) -> Again:
    """Take one message again. What it did before is recognised, and not done twice."""
    books.tx.lock(f"replay:{source}:{message_id}")
    message = books.tx.get(InboxMessage, source, message_id)
    if message is None:
        raise NotFound(f"no message {message_id} of {source}")
    if message.kind not in (KIND, sweeps.PAYMENT, *GATHERED, *FILES):
        raise IllegalTransition(f"messages of kind {message.kind} have done all they can: start the process instead")
    if message.kind in FILES:
        return _file(firm, books, message, reason, dry_run)
    config = next((c for c in firm.connections if c.name == source), None)
    if dry_run:
        return Again(1, [message_id])
    if message.kind == KIND:
        return _whole(_known(config, source), books, message, reason)
    if message.kind == sweeps.PAYMENT:
        return _payment(_known(config, source), books, message, reason)
    if config is not None:  # a source that is no connection any more can only have been let in when it was one
        check_owner(books.kernel.gate, books.tx, config.writes_as, _about(message))
    inbox.replay(books, source, message_id, reason)
    return Again(1, [message_id])


def _file(firm: FirmConfig, books: Books, message: InboxMessage, reason: str, dry_run: bool) -> Again:
    """A kept file read again: by today's rules, with its good rows taken and its bad ones named once more."""
    file = file_of(inbox.replay(books, message.source, message.message_id, reason)) if not dry_run else file_of(message)
    if message.kind == cards.KIND:
        taken = cards.take(books, file, cards.read(file), books.actor, dry_run=dry_run)
    elif message.kind == bills.KIND:
        taken = bills.take(books, file, bills.read(file), books.actor, dry_run=dry_run)
    else:
        options = records.Options(dry_run=dry_run)
        taken = records.take(books, records.read(firm, file, options), options)
    return Again(taken.accepted, [message.message_id, *taken.message_ids])


def _known(config: ConnectionConfig | None, source: str) -> ConnectionConfig:
    if config is None:
        raise NotFound(f"no connection {source}")
    return config


def _whole(config: ConnectionConfig, books: Books, message: InboxMessage, reason: str) -> Again:
    said = understand(Delivery(config, message.message_id, message.raw))
    check_owner(books.kernel.gate, books.tx, config.writes_as, said)
    answer = keep_message(books, inbox.replay(books, message.source, message.message_id, reason), said)
    return Again(answer["accepted"], answer["message_ids"])


def _payment(config: ConnectionConfig, books: Books, message: InboxMessage, reason: str) -> Again:
    payment = Payment.model_validate_json(message.raw)
    gate, entity = books.kernel.gate, sweeps.entity_of(books, payment)
    gate.check_captured("Erp", writer=config.writes_as, entities=(entity,))
    again = inbox.replay(books, message.source, message.message_id, reason)
    new = sweeps.take_payment(books, payment)
    inbox.settle(books, [again], MessageState.APPLIED)
    return Again(int(new), [message.message_id])


def _about(message: InboxMessage) -> Said:
    """What the gate is asked of a message about one fact; one that cannot be read says nothing, and is quarantined."""
    try:
        facts: Any = next(iter(json.loads(message.raw).values()))
        projects = tuple(sorted({str(fact["project_code"]) for fact in facts}))
    except (ValueError, AttributeError, LookupError, TypeError, StopIteration):
        projects = ()
    return Said(GATHERED[message.kind], ("*",), projects, lambda books: {})
