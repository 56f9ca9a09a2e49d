"""What another system has deleted or no longer approves: a correction to nothing of what the hub was last told.

The other system may no longer know what it was. The hub does: from its books, and from messages that wait to be worked
on. What it has never heard of was never approved, so nothing follows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import ValidationError

from isthmus.domain.objects import Expense, TimeEntry
from isthmus.ports.messages import ExpensePage, TimePage, Withdrawn
from isthmus.runtime.books import Books
from isthmus.store.records import InboxMessage, MessageState

Fact = TypeVar("Fact", TimeEntry, Expense)
NO_EXPENSE: dict[str, Any] = {
    "gross": Decimal(0),
    "tax": Decimal(0),
    "personal": Decimal(0),
    "distance": None,
    "per_diem_day": "",
    "meals_provided": (),
}


def withdrawn_time(books: Books, page: TimePage) -> list[TimeEntry]:
    """Corrections to no hours."""
    known = _known(books, page.withdrawn, TimeEntry, "time.approved", "time", "entries")
    return _corrections(page.withdrawn, known, {"hours": Decimal(0)})


def withdrawn_expenses(books: Books, page: ExpensePage) -> list[Expense]:
    """Corrections to no amount."""
    known = _known(books, page.withdrawn, Expense, "expense.approved", "expense", "expenses")
    return _corrections(page.withdrawn, known, NO_EXPENSE)


def _corrections(withdrawn: Iterable[Withdrawn], known: dict[str, Fact], nothing: dict[str, Any]) -> list[Fact]:
    made: list[Fact] = []
    for one in withdrawn:
        last = known.get(one.key)
        if last is not None and any(getattr(last, name) != value for name, value in nothing.items()):
            # What the page says is so now, so it counts after whatever the hub was told before.
            at = max(one.at, last.approved_at)
            made.append(last.model_copy(update={**nothing, "approved_by": one.by, "approved_at": at}))
    return made


def _known(
    books: Books, withdrawn: tuple[Withdrawn, ...], model: type[Fact], kind: str, name: str, under: str
) -> dict[str, Fact]:
    """The latest fact the hub was told under each key: kept in its books, or in a message not yet worked on."""
    if not withdrawn:
        return {}
    sources, ids = {one.source for one in withdrawn}, {one.source_id for one in withdrawn}
    found = books.tx.find(model, source=tuple(sorted(sources)), source_id=tuple(sorted(ids)), order=("revision",))
    aggregates = tuple(sorted(f"{name}:{one.key}" for one in withdrawn))
    for message in books.tx.find(InboxMessage, kind=kind, aggregate=aggregates, order=("received_at", "message_id")):
        if message.raw and message.state is not MessageState.QUARANTINED:
            found += _facts(message, model, under)
    latest: dict[str, Fact] = {}
    for fact in found:
        before = latest.get(fact.key)
        if before is None or fact.approved_at >= before.approved_at:
            latest[fact.key] = fact
    return latest


def _facts(message: InboxMessage, model: type[Fact], under: str) -> list[Fact]:
    """The facts of a message; one that cannot be read is its run's to quarantine."""
    try:
        return [model.model_validate(fact) for fact in json.loads(message.raw)[under]]
    except (ValidationError, KeyError, TypeError, ValueError):
        return []
