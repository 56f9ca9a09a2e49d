"""Takes approved time in: new entries and revisions become priced evidence; what is known becomes a quiet decision.

A batch reads what it needs once and writes once, however many entries arrive together.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from isthmus.domain.errors import BadInput, IsthmusError, NeedsDecision
from isthmus.domain.objects import BillableItem, Project, TimeEntry
from isthmus.domain.states import EngagementState
from isthmus.processes.work import ahead
from isthmus.processes.work.batch import Batch, beside, day_of, distinct, is_evidence, read_batch
from isthmus.processes.work.closing import flag_prior_period, reverse_accruals
from isthmus.processes.work.day import charge_again_what_stays, charged
from isthmus.processes.work.evidence import place_in_new_order
from isthmus.runtime import inbox
from isthmus.runtime.books import Books
from isthmus.store.records import EntrySeen, InboxMessage, MessageState

SAME_CONTENT = ("project_code", "task_code", "person", "role", "service_date", "hours")
SAME_WORK = (*SAME_CONTENT, "note")
# What a price may depend on beside it. One channel knows less of it than another: what is not said changes nothing, and
# what only one of them says of costs and times is no correction either.
SAME_PRICE = ("grade", "region", "work_type", "location")
SAME_FACTS = ("started_at", "days", "cost_rate", "cost_currency")


def entries_of(message: InboxMessage) -> list[TimeEntry]:
    """The entries a message carries. BadInput says which one is wrong and why."""
    try:
        content = json.loads(message.raw)
        return [TimeEntry.model_validate(entry) for entry in content["entries"]]
    except (ValidationError, KeyError, TypeError, json.JSONDecodeError) as wrong:
        raise BadInput(f"message {message.message_id}: {wrong}") from wrong


def capture(books: Books, messages: list[tuple[str, str]], alone: str) -> list[BillableItem]:
    """P2.1 and P2.3 to P2.5: the priced evidence of a batch of messages.

    An entry that needs a person gets a run of its own, which parks with its case; the others are not held up. alone is
    the key of the one entry such a run is about.
    """
    taken = _messages(books, messages)
    read = [(message, _entries_or_quarantine(books, message)) for message in taken]
    if not alone:
        good = [m for m, entries in read if entries is not None and m.state is MessageState.TAKEN]
        inbox.settle(books, good, MessageState.APPLIED)
    carried = [(e, message) for message, entries in read for e in entries or () if alone in ("", e.key)]
    # In the order of approval, as price_stored: of two that look like one hour, the later is the one in question.
    carried.sort(key=lambda arrived: (arrived[0].approved_at, arrived[0].key))
    batch = read_batch(books, (entry for entry, _ in carried))
    for entry, message in carried:
        _capture_one(books, batch, entry, message, alone)
    batch.items = flag_prior_period(books, batch.items)
    books.tx.insert_many(batch.entries)
    books.tx.insert_many(batch.items)
    for entity in {e.entity for e in batch.engagements.values()}:
        reverse_accruals(books, batch.items, entity)
    charge_again_what_stays(books, batch)
    for contract_no in sorted(batch.approved_again):
        place_in_new_order(books, contract_no)
    _announce(books, batch)
    return sorted(batch.items, key=lambda item: item.item_id)


def price_stored(books: Books, keys: Sequence[tuple[str, str]], alone: str = "") -> list[BillableItem]:
    """P2.3 to P2.5 for approved entries (source, source_id) that are kept already and are no evidence yet.

    In the order of their approval, as if each arrived now. An entry that needs a person gets a run of its own.
    """
    sources, ids = distinct(source for source, _ in keys), distinct(name for _, name in keys)
    wanted = set(keys)
    kept = {e.key: e for e in books.tx.find(TimeEntry, source=sources, source_id=ids, order=("revision",))}
    entries = [e for e in kept.values() if (e.source, e.source_id) in wanted]
    batch = read_batch(books, entries, evidence_of_all=True)
    new = [e for e in entries if e.revision > max((i.entry_revision for i in batch.earlier.get(e.key, ())), default=0)]
    # What waits for a person is kept too, but as long as it is no evidence it is nobody's twin and fills nobody's day.
    for day, known in batch.same_day.items():
        batch.same_day[day] = [e for e in known if is_evidence(batch, e)]
    for entry in sorted(new, key=lambda e: (e.approved_at, e.key)):
        _price_one(books, batch, entry, alone)
    batch.items = flag_prior_period(books, batch.items)
    books.tx.insert_many(batch.items)
    for entity in {e.entity for e in batch.engagements.values()}:
        reverse_accruals(books, batch.items, entity)
    charge_again_what_stays(books, batch)
    return sorted(batch.items, key=lambda item: item.item_id)


def unpriced(books: Books, contract_no: str, through: date) -> list[tuple[str, str]]:
    """Entries (source, source_id) of a contract up to a day that are kept and are no evidence yet."""
    codes = tuple(sorted(project.project_code for project in books.tx.find(Project, contract_no=contract_no)))
    if not codes:
        return []
    priced: dict[str, int] = {}
    for key, revision in books.tx.tuples(BillableItem, ("entry_key", "entry_revision"), contract_no=contract_no):
        priced[key] = max(revision, priced.get(key, 0))
    fields = ("source", "source_id", "revision", "service_date")
    kept = books.tx.tuples(TimeEntry, fields, project_code=codes)
    return sorted(
        {(s, name) for s, name, revision, day in kept if day <= through and priced.get(f"{s}:{name}", 0) < revision}
    )


def _price_one(books: Books, batch: Batch, entry: TimeEntry, alone: str) -> None:
    try:
        _check_engagement(batch, entry)
        _refuse_the_future(books, batch, entry)
        _refuse_a_long_day(books, batch, entry)
        if entry.revision == 1:
            _refuse_a_twin(books, batch, entry)
        items = charged(books, batch, entry)
    except IsthmusError:
        if alone:
            raise
        books.start("price_entry", f"{entry.key}#{entry.revision}", {"source": entry.source, "entry": entry.source_id})
        return
    batch.same_day[day_of(entry)].append(entry)
    batch.items += items
    for item in items:
        batch.earlier.setdefault(item.entry_key, []).append(item)


def _messages(books: Books, ids: list[tuple[str, str]]) -> list[InboxMessage]:
    sources, names = distinct(source for source, _ in ids), distinct(name for _, name in ids)
    found = {(m.source, m.message_id): m for m in books.tx.find(InboxMessage, source=sources, message_id=names)}
    return [found[source, name] for source, name in ids]


def _entries_or_quarantine(books: Books, message: InboxMessage) -> list[TimeEntry] | None:
    try:
        return entries_of(message)
    except BadInput as wrong:
        inbox.set_aside(books, message, wrong.message)
        return None


def _capture_one(books: Books, batch: Batch, entry: TimeEntry, message: InboxMessage, alone: str) -> None:
    try:
        _check_engagement(batch, entry)
        new = _as_new_revision(books, batch, entry)
        if new is not None:
            items = charged(books, batch, new)
            batch.entries.append(new)
            batch.latest[new.key] = new
            batch.same_day[day_of(new)].append(new)
            for item in items:
                batch.items.append(item)
                batch.earlier.setdefault(item.entry_key, []).append(item)
    except IsthmusError:
        if alone:
            raise
        args: dict[str, Any] = {"messages": [[message.source, message.message_id]], "alone": entry.key}
        books.start("capture_time", f"{entry.key}<{message.source}:{message.message_id}", args)


def _check_engagement(batch: Batch, entry: TimeEntry) -> None:
    engagement = batch.engagements.get(entry.project_code)
    hours = f"{entry.hours} h of {entry.person} on {entry.service_date}"
    if engagement is None:
        cause = f"time entry {entry.key}: {hours} on project {entry.project_code or '(none)'}, which is not known"
        raise NeedsDecision("EX-UNKNOWN-PROJECT", cause, queue="pmo", context={"entry": entry.key})
    if engagement.state is not EngagementState.ACTIVE:
        cause = (
            f"time entry {entry.key}: {hours}: engagement {engagement.engagement_no} is {engagement.state}, not active"
        )
        raise NeedsDecision("EX-NOT-READY", cause, queue="pmo", context={"entry": entry.key})


def _as_new_revision(books: Books, batch: Batch, entry: TimeEntry) -> TimeEntry | None:
    """The entry under its next revision number; None when its content is known or older than what is known.

    The same content approved later is no revision, but it is remembered: an older correction may still be on its way,
    and must be recognised as older.
    """
    known = batch.latest.get(entry.key)
    _refuse_a_long_day(books, batch, entry)
    if known is None:
        _refuse_the_future(books, batch, entry)
        _refuse_a_twin(books, batch, entry)
        return entry.model_copy(update={"revision": 1})
    seen = max(known.approved_at, batch.seen.get(entry.key, known.approved_at))
    if _says_the_same(known, entry):
        books.quiet("duplicate", f"time:{entry.key}", f"revision {known.revision} has this content already")
        if entry.approved_at > seen:
            batch.seen[entry.key] = entry.approved_at
            batch.approved_again.add(batch.earlier[entry.key][-1].contract_no)
            books.tx.put(EntrySeen(source=entry.source, source_id=entry.source_id, approved_at=entry.approved_at))
        return None
    if entry.approved_at < seen:
        books.quiet("stale", f"time:{entry.key}", f"approved {entry.approved_at}, before what is known ({seen})")
        return None
    _refuse_the_future(books, batch, entry)
    return entry.model_copy(update={"revision": known.revision + 1})


def _says_the_same(known: TimeEntry, entry: TimeEntry) -> bool:
    told = [name for name in SAME_PRICE if getattr(entry, name)]
    told += [name for name in SAME_FACTS if getattr(entry, name) and getattr(known, name)]
    return all(getattr(known, name) == getattr(entry, name) for name in (*SAME_CONTENT, *told))


def _refuse_the_future(books: Books, batch: Batch, entry: TimeEntry) -> None:
    """Hours of a day that is far away were hardly worked: EX-AHEAD, until it comes near or a person says so."""
    if entry.hours:
        what = f"time entry {entry.key}: {entry.hours} h of {entry.person}"
        entity = batch.entities[batch.engagements[entry.project_code].entity]
        ahead.refuse(books, entity, what, entry.key, max((entry.service_date, *entry.days)))


def _refuse_a_long_day(books: Books, batch: Batch, entry: TimeEntry) -> None:
    """More than 24 hours of one person on one day of a project cannot all be true: a person looks."""
    others = [e for e in beside(batch, entry) if not e.days]
    hours = entry.hours + sum((e.hours for e in others), Decimal(0))
    if hours > 24 and not entry.days and books.answers.get("EX-LONG-DAY", {}).get("action") != "accept":
        raise NeedsDecision(
            "EX-LONG-DAY",
            f"time entry {entry.key}: {entry.person} has {hours} hours on {entry.service_date}; a day has 24",
            queue="pmo",
            context={"entry": entry.key, "others": [e.key for e in others]},
            actions=("accept", "retry", "cancel"),
        )


def _refuse_a_twin(books: Books, batch: Batch, entry: TimeEntry) -> None:
    """The same work under another id is suspected to be the same hour reported twice: a person confirms.

    Two tools tell the same hour in words of their own, each by the minutes its people have put down: there the person,
    the task and the day are enough.
    """
    same_day = [e for e in batch.same_day.get(day_of(entry), ()) if e.key != entry.key]
    twins = [e for e in same_day if all(getattr(e, n) == getattr(entry, n) for n in SAME_WORK) and batch.stands(e)]
    told = "task, day, hours and note"
    if not twins and entry.hours:
        others = [e for e in same_day if e.source != entry.source and e.hours and batch.stands(e)]
        twins, told = [e for e in others if _same_in_other_words(e, entry)], "task and day"
    if twins and books.answers.get("EX-DUP-SUSPECT", {}).get("action") != "accept":
        raise NeedsDecision(
            "EX-DUP-SUSPECT",
            f"time entry {entry.key} ({entry.hours} h): same person, {told} as {twins[0].key} ({twins[0].hours} h)",
            queue="pmo",
            context={"entry": entry.key, "twin": twins[0].key},
            actions=("accept", "cancel"),
        )


def _same_in_other_words(one: TimeEntry, other: TimeEntry) -> bool:
    """Two tools about one person's day on one task; a tool that knows no task may mean any."""
    facts = (one.project_code, one.person.casefold(), one.service_date)
    if facts != (other.project_code, other.person.casefold(), other.service_date):
        return False
    return one.task_code == other.task_code or not (one.task_code and other.task_code)


def _announce(books: Books, batch: Batch) -> None:
    for event, wanted in (("time.approved", False), ("time.corrected", True)):
        facts = [
            (
                f"time:{entry.key}",
                {
                    "entry": entry.key,
                    "revision": entry.revision,
                    "hours": str(entry.hours),
                    "project": entry.project_code,
                },
            )
            for entry in batch.entries
            if (entry.revision > 1) is wanted
        ]
        entities = {batch.engagements[entry.project_code].entity for entry in batch.entries}
        books.emit_many(event, facts, entities.pop() if len(entities) == 1 else "")
