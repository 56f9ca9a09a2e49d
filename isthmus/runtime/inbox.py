"""Messages as they come in: kept raw, taken once. Duplicates and stale ones are quiet decisions, not errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from isthmus.domain.errors import NeedsDecision, NotFound, SameKeyOtherContent
from isthmus.runtime.books import Books
from isthmus.runtime.hashing import content_hash
from isthmus.runtime.loops import keeper
from isthmus.store.records import InboxMessage, MessageState


@dataclass(frozen=True)
class Arrival:
    """A message on its way in."""

    source: str
    message_id: str
    kind: str
    aggregate: str
    raw: str


def _message(books: Books, arrival: Arrival, state: MessageState) -> InboxMessage:
    return InboxMessage(
        source=arrival.source,
        message_id=arrival.message_id,
        kind=arrival.kind,
        aggregate=arrival.aggregate,
        content_hash=content_hash(arrival.raw),
        raw=arrival.raw,
        state=state,
        received_at=books.now,
    )


def accept_new(books: Books, arrivals: Sequence[Arrival], state: MessageState) -> list[bool]:
    """Keep the messages that are new, in the given state; which of them were."""
    return books.tx.insert_new_many([_message(books, arrival, state) for arrival in arrivals])


def accept_many(books: Books, arrivals: Sequence[Arrival]) -> list[InboxMessage]:
    """Keep messages. The same id and content again is counted; the same id with other content is refused."""
    wanted = {(a.source, a.message_id): _message(books, a, MessageState.ACCEPTED) for a in arrivals}
    messages = list(wanted.values())
    new = books.tx.insert_new_many(messages)
    return [m if fresh else _again(books, m) for m, fresh in zip(messages, new, strict=True)]


def _again(books: Books, message: InboxMessage) -> InboxMessage:
    known = books.tx.get(InboxMessage, message.source, message.message_id)
    assert known is not None
    name = f"{message.source}:{message.message_id}"
    if known.content_hash != message.content_hash:
        raise SameKeyOtherContent(f"message {name} was received before with other content")
    # Counted under the row's lock: whoever takes the message meanwhile must not have its decision overwritten. When it
    # is being taken just now, the count is not worth waiting for.
    free = books.tx.find(InboxMessage, source=message.source, message_id=message.message_id, skip_locked=True)
    counted = (free[0] if free else known).model_copy(update={"duplicates": known.duplicates + 1})
    if free:
        books.tx.update(counted)
    books.quiet("duplicate", name, "received again with the same content")
    return counted


def accept(books: Books, *, source: str, message_id: str, kind: str, aggregate: str, raw: str) -> InboxMessage:
    """accept_many for one message."""
    return accept_many(books, [Arrival(source, message_id, kind, aggregate, raw)])[0]


def quarantine(books: Books, *, source: str, kind: str, raw: str, reason: str, message_id: str = "") -> InboxMessage:
    """Keep a message that cannot be used, raw, with the reason; it can be replayed once the cause is mended."""
    hashed = content_hash(raw)
    message = InboxMessage(
        source=source,
        message_id=message_id or f"quarantine-{hashed[:24]}",
        kind=kind,
        aggregate="",
        content_hash=hashed,
        raw=raw,
        state=MessageState.QUARANTINED,
        reason=reason,
        received_at=books.now,
    )
    if books.tx.insert_new(message):
        _tell_of(books, message)
    return message


def set_aside(books: Books, message: InboxMessage, reason: str) -> None:
    """Quarantine a message that was accepted already and turns out not to be usable."""
    settle(books, [message], MessageState.QUARANTINED, reason=reason)
    _tell_of(books, message.model_copy(update={"reason": reason}))


def _tell_of(books: Books, message: InboxMessage) -> None:
    """In the audit each one; one open case per source and kind, however many there are: somebody has to look."""
    name = f"{message.source}:{message.message_id}"
    books.audit("message.quarantine", name, reason=message.reason)
    row = keeper(f"quarantine/{message.source}:{message.kind}", f"{message.source} {message.kind}", books.now)
    cause = f"a message of {message.source} cannot be used and is kept aside: {message.reason}"
    context = {"source": message.source, "kind": message.kind, "first": message.message_id}
    told = NeedsDecision("EX-QUARANTINE", cause, queue="integration", context=context, actions=("accept",))
    books.kernel.open_case(books.tx, row, 0, "take a message in", told)


def take(books: Books, *, kind: str, limit: int) -> list[InboxMessage]:
    """Accepted messages of a kind, oldest first, each by one worker only."""
    return books.tx.find(
        InboxMessage,
        kind=kind,
        state=MessageState.ACCEPTED,
        order=("received_at", "source", "message_id"),
        limit=limit,
        skip_locked=True,
    )


def settle(
    books: Books, messages: Sequence[InboxMessage], state: MessageState, *, reason: str = "", run_id: str = ""
) -> None:
    """Write what became of messages."""
    books.tx.update_many(
        [m.model_copy(update={"state": state, "reason": reason, "run_id": run_id or m.run_id}) for m in messages]
    )


def replay(books: Books, source: str, message_id: str, reason: str) -> InboxMessage:
    """Take a message again as if it had just come in; what it did before is recognised and not done twice."""
    message = books.tx.get(InboxMessage, source, message_id)
    if message is None:
        raise NotFound(f"no message {message_id} of {source}")
    if not message.raw:
        raise NotFound(f"message {message_id} of {source} was applied long ago and its content is forgotten by now")
    again = message.model_copy(update={"state": MessageState.ACCEPTED, "reason": "", "run_id": ""})
    books.tx.update(again)
    books.audit("message.replay", f"{source}:{message_id}", reason=reason)
    return again
