"""What a signed message says, and taking it in: checked, held to ownership, kept; one commit, or nothing.

A message that cannot be used is quarantined raw under its id, so that it can be replayed once the cause is mended.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from isthmus.app.api.admission import is_storable
from isthmus.app.api.endpoints import texts_in
from isthmus.app.api.idempotency import in_transaction
from isthmus.app.api.problems import NotUsable, told
from isthmus.app.bootstrap import Hub
from isthmus.app.firm import ConnectionConfig
from isthmus.app.taking.said import Answer, Said, check_owner, source_of
from isthmus.domain.errors import BadInput
from isthmus.domain.money import RATE_EXPONENT, is_exact_amount, minor_units
from isthmus.domain.objects import Payment, TimeEntry
from isthmus.processes import sweeps
from isthmus.runtime import inbox
from isthmus.runtime.books import Books
from isthmus.store.records import IdempotentReply, InboxMessage, MessageState
from isthmus.store.tx import Tx

ENTRIES_MAX = 10_000
KIND = "webhook"


@dataclass(frozen=True)
class Delivery:
    """One message at the door of a connection, its signature checked."""

    connection: ConnectionConfig
    message_id: str
    raw: str


def take_in(hub: Hub, delivery: Delivery) -> Answer:
    """Take the message in; NotUsable when it was quarantined instead."""
    try:
        said = understand(delivery)
    except BadInput as wrong:
        quarantine(hub, delivery, wrong.message)
        raise NotUsable(wrong.message, delivery.message_id) from wrong
    answer: Answer = in_transaction(hub.store.transaction, lambda tx: _keep(hub, tx, delivery, said))
    return answer


def quarantine(hub: Hub, delivery: Delivery, reason: str) -> None:
    """Keep what cannot be used, raw. Characters that no column holds are written out."""
    raw = delivery.raw.replace("\x00", "\\u0000")
    with hub.store.transaction() as tx:
        name = delivery.connection.name
        books = hub.kernel.books(tx, key=f"webhook/{delivery.message_id}", actor=name)
        inbox.quarantine(books, source=name, kind=KIND, raw=raw, reason=reason, message_id=delivery.message_id)


def _keep(hub: Hub, tx: Tx, delivery: Delivery, said: Said) -> Answer:
    name = delivery.connection.name
    check_owner(hub.gate, tx, delivery.connection.writes_as, said)
    books = hub.kernel.books(tx, key=f"webhook/{delivery.message_id}", actor=name)
    message = inbox.accept(
        books, source=name, message_id=delivery.message_id, kind=KIND, aggregate="", raw=delivery.raw
    )
    if message.duplicates and message.state is not MessageState.QUARANTINED:
        return _answered(tx, delivery)
    return keep_message(books, message, said)


def keep_message(books: Books, message: InboxMessage, said: Said) -> Answer:
    """Take a new (or mended) message in and keep what is answered for it."""
    answer = said.keep(books)
    answer["message_ids"] = [message.message_id, *answer["message_ids"]]
    inbox.settle(books, [message], MessageState.APPLIED)
    reply = IdempotentReply(
        caller=f"connection:{message.source}",
        idempotency_key=message.message_id,
        route=KIND,
        body_hash=message.content_hash,
        status=202,
        reply=answer,
        created_at=books.now,
    )
    books.tx.put(reply)
    return answer


def _answered(tx: Tx, delivery: Delivery) -> Answer:
    """What was answered the first time; when that is no longer kept, that there is nothing new."""
    known = tx.get(IdempotentReply, f"connection:{delivery.connection.name}", KIND, delivery.message_id)
    if known is not None:
        answer: Answer = known.reply
        return answer
    return {"accepted": 0, "duplicates": 1, "message_ids": [delivery.message_id]}


# -- reading ----------------------------------------------------------------------------------------------------


def understand(delivery: Delivery) -> Said:
    """The message by its type and schema version. BadInput says what is wrong with it."""
    content = _json(delivery.raw)
    if not isinstance(content, dict):
        raise BadInput("the body is no JSON object")
    unknown = set(content) - {"type", "schema_version", "data", "timestamp"}
    if unknown:
        raise BadInput(f"the message has fields that are not known: {', '.join(sorted(unknown))}")
    kind, version, data = content.get("type"), content.get("schema_version"), content.get("data")
    if not isinstance(kind, str) or kind not in TYPES:
        raise BadInput(f"type {kind!r} is not known; there are: {', '.join(sorted(TYPES))}")
    if type(version) is not int or version != 1:
        raise BadInput(f"schema_version {version!r} of {kind} is not known; there is: 1")
    if not isinstance(data, dict):
        raise BadInput(f"data of {kind} is no JSON object")
    try:
        return TYPES[kind](delivery, data)
    except ValidationError as wrong:
        raise BadInput(f"{kind}: {told(wrong.errors())}") from wrong


def _json(raw: str) -> Any:
    try:
        # Numbers with a point become exact decimals: a float would already have lost cents.
        content = json.loads(raw, parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, RecursionError) as wrong:
        raise BadInput(f"the body is no JSON: {wrong}") from wrong
    if not all(is_storable(text) for text in texts_in(content)):
        raise BadInput("a text holds a character that cannot be stored")
    return content


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def _time(delivery: Delivery, data: dict[str, Any]) -> Said:
    raw = data.get("entries")
    if not isinstance(raw, list) or not raw or len(raw) > ENTRIES_MAX or set(data) != {"entries"}:
        raise BadInput(f"data of time.approved is a list 'entries' of 1 to {ENTRIES_MAX} time entries, nothing else")
    name = delivery.connection.name
    entries = [_entry(index, one, delivery.connection) for index, one in enumerate(raw)]
    fields = tuple(sorted({field for one in raw for field in one if field not in ("source", "source_id")}))
    projects = tuple(sorted({entry.project_code for entry in entries}))
    return Said("time_entry", fields, projects, lambda books: keep_time(books, name, entries), tuple(entries))


def _of_itself(connection: ConnectionConfig, source: Any) -> str:
    if source not in (None, connection.name, connection.connector):
        raise BadInput(f"source {source!r}, but {connection.name} speaks only for itself")
    return source_of(connection)


def _entry(index: int, raw: Any, connection: ConnectionConfig) -> TimeEntry:
    if not isinstance(raw, dict):
        raise BadInput(f"entries.{index} is no JSON object")
    try:
        return sound(TimeEntry.model_validate({**raw, "source": _of_itself(connection, raw.get("source"))}))
    except ValidationError as wrong:
        raise BadInput(f"entries.{index}: {told(wrong.errors())}") from wrong
    except BadInput as wrong:
        raise BadInput(f"entries.{index}: {wrong.message}") from wrong


def sound(entry: TimeEntry) -> TimeEntry:
    """An entry the hub can stand behind: named, approved by somebody, its cost in a real currency; instants in UTC."""
    blank = [name for name in ("source_id", "person", "role", "approved_by") if not getattr(entry, name)]
    if blank:
        raise BadInput(f"{' and '.join(blank)} is empty")
    if entry.revision < 1 or entry.revision > 2**31:
        raise BadInput(f"{entry.revision} is not a revision; the first one is 1")
    if entry.cost_rate is not None:
        minor_units(entry.cost_currency)
        if entry.cost_rate < 0 or entry.cost_rate != entry.cost_rate.quantize(RATE_EXPONENT):
            raise BadInput(f"cost_rate {entry.cost_rate} is negative or has more than six decimals")
    elif entry.cost_currency:
        minor_units(entry.cost_currency)
    return entry.model_copy(update={"approved_at": entry.approved_at.astimezone(UTC)})


def keep_time(books: Books, source: str, entries: list[TimeEntry]) -> Answer:
    """One message per entry, its id from its content: by webhook, sweep or file the same entry is the same message."""
    # In the order of their messages' ids, here and where messages are gathered, so that nobody locks crosswise.
    ordered = sorted(entries, key=lambda entry: f"{entry.key}:")
    new = sweeps.accept_time(books, source, ordered)
    ids = [sweeps.arrival_of(source, entry).message_id for entry in entries]
    return {"accepted": new, "duplicates": len(entries) - new, "message_ids": ids}


def _contract(delivery: Delivery, data: dict[str, Any]) -> Said:
    contract_no, version = data.get("contract_no"), data.get("version")
    good = isinstance(contract_no, str) and contract_no.strip() and type(version) is int and 0 < version < 2**31
    if set(data) != {"contract_no", "version"} or not good:
        raise BadInput("data of contract.approved is contract_no (text) and version (a number from 1), nothing else")

    def keep(books: Books) -> Answer:
        args = {"contract_no": contract_no, "version": version}
        correlation = f"contract:{contract_no}"
        books.start("contract_to_project", f"{contract_no}@{version}", args, correlation_id=correlation)
        return {"accepted": 1, "duplicates": 0, "message_ids": []}

    return Said("contract", ("*",), (), keep)


def _payment(delivery: Delivery, data: dict[str, Any]) -> Said:
    payment = Payment.model_validate({**data, "source": _of_itself(delivery.connection, data.get("source"))})
    for amount in (payment.amount, *payment.applies.values()):
        if amount <= 0 or not is_exact_amount(amount, payment.currency):
            units = minor_units(payment.currency)
            why = f"{payment.currency} has {units} decimals, and what is received is more than nothing"
            raise BadInput(f"{amount} {payment.currency} is no amount received: {why}")

    def keep(books: Books) -> Answer:
        new = sweeps.take_payment(books, payment)
        return {"accepted": int(new), "duplicates": int(not new), "message_ids": []}

    return Said("payment", ("*",), (), keep)


TYPES: dict[str, Callable[[Delivery, dict[str, Any]], Said]] = {
    "time.approved": _time,
    "contract.approved": _contract,
    "payment.received": _payment,
}
