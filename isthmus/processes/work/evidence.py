"""Steps that turn approved time into billable parts: take it in, price it, place it under its caps."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from isthmus.domain.errors import BadInput, IsthmusError, NeedsDecision
from isthmus.domain.objects import BillableItem, BillablePart, ContractVersion, Engagement, Project, TimeEntry
from isthmus.domain.states import EngagementState, PartState, move
from isthmus.policies.billing import PLACED, Placement, Share, as_correction, place_under_caps, price_entry
from isthmus.ports.messages import TimeCost
from isthmus.runtime import inbox
from isthmus.runtime.books import Books
from isthmus.store.records import InboxMessage, MessageState

OPEN = (PartState.READY, PartState.OVER_CAP)
SAME_CONTENT = ("project_code", "task_code", "person", "role", "service_date", "hours")


def entries_of(message: InboxMessage) -> list[TimeEntry]:
    """The entries a message carries. BadInput says which one is wrong and why."""
    try:
        content = json.loads(message.raw)
        return [TimeEntry.model_validate(entry) for entry in content["entries"]]
    except (ValidationError, KeyError, TypeError, json.JSONDecodeError) as wrong:
        raise BadInput(f"message {message.message_id}: {wrong}") from wrong


def capture(books: Books, messages: list[tuple[str, str]], alone: str) -> list[BillableItem]:
    """P2.1 and P2.3 to P2.5: new entries and revisions become priced evidence; known ones are a quiet decision.

    An entry that needs a person gets a run of its own, which parks with its case; the others are not held up. alone is
    the key of the one entry such a run is about.
    """
    items: list[BillableItem] = []
    for source, message_id in messages:
        message = books.tx.get(InboxMessage, source, message_id)
        assert message is not None, f"message {message_id} of {source} is gone"
        for entry in _entries_or_quarantine(books, message):
            if alone in ("", entry.key):
                item = _capture_one(books, entry, message, alone)
                items += [item] if item is not None else []
        if not alone and message.state is MessageState.TAKEN:
            inbox.settle(books, message, MessageState.APPLIED)
    return sorted(items, key=lambda item: item.item_id)


def _entries_or_quarantine(books: Books, message: InboxMessage) -> list[TimeEntry]:
    try:
        return entries_of(message)
    except BadInput as wrong:
        inbox.settle(books, message, MessageState.QUARANTINED, reason=wrong.message)
        return []


def _capture_one(books: Books, entry: TimeEntry, message: InboxMessage, alone: str) -> BillableItem | None:
    try:
        books.tx.lock(f"entry:{entry.key}")
        engagement = _engagement_of(books, entry)
        new = _as_new_revision(books, entry)
        return _keep(books, new, _priced(books, new), engagement) if new is not None else None
    except IsthmusError:
        if alone:
            raise
        args: dict[str, Any] = {"messages": [[message.source, message.message_id]], "alone": entry.key}
        books.start("capture_time", f"{entry.key}<{message.source}:{message.message_id}", args)
        return None


def _as_new_revision(books: Books, entry: TimeEntry) -> TimeEntry | None:
    """The entry under its next revision number; None when its content is known or older than what is known."""
    known = books.tx.find(TimeEntry, source=entry.source, source_id=entry.source_id, order=("-revision",), limit=1)
    if not known:
        _refuse_a_twin(books, entry)
        return entry.model_copy(update={"revision": 1})
    if all(getattr(known[0], name) == getattr(entry, name) for name in SAME_CONTENT):
        books.quiet("duplicate", f"time:{entry.key}", f"revision {known[0].revision} has this content already")
        return None
    if entry.approved_at < known[0].approved_at:
        books.quiet("stale", f"time:{entry.key}", f"approved {entry.approved_at}, before revision {known[0].revision}")
        return None
    return entry.model_copy(update={"revision": known[0].revision + 1})


def _keep(books: Books, entry: TimeEntry, item: BillableItem, engagement: Engagement) -> BillableItem:
    books.tx.insert(entry)
    books.tx.insert(item)
    event = "time.corrected" if entry.revision > 1 else "time.approved"
    payload = {"entry": entry.key, "revision": entry.revision, "hours": str(entry.hours), "project": entry.project_code}
    books.emit(event, f"time:{entry.key}", payload, entity=engagement.entity)
    return item


def _engagement_of(books: Books, entry: TimeEntry) -> Engagement:
    found = books.tx.find(Engagement, project_code=entry.project_code) if entry.project_code else []
    hours = f"{entry.hours} h of {entry.person} on {entry.service_date}"
    if not found:
        cause = f"time entry {entry.key}: {hours} on project {entry.project_code or '(none)'}, which is not known"
        raise NeedsDecision("EX-UNKNOWN-PROJECT", cause, queue="pmo", context={"entry": entry.key})
    if found[0].state is not EngagementState.ACTIVE:
        cause = f"time entry {entry.key}: {hours}: engagement {found[0].engagement_no} is {found[0].state}, not active"
        raise NeedsDecision("EX-NOT-READY", cause, queue="pmo", context={"entry": entry.key})
    return found[0]


def _refuse_a_twin(books: Books, entry: TimeEntry) -> None:
    """The same work under another id is suspected to be the same hour reported twice: a person confirms."""
    if books.answers.get("EX-DUP-SUSPECT", {}).get("action") == "accept":
        return
    same_day = books.tx.find(TimeEntry, project_code=entry.project_code, service_date=entry.service_date)
    names = (*SAME_CONTENT, "note")
    twins = [e for e in same_day if e.key != entry.key and all(getattr(e, n) == getattr(entry, n) for n in names)]
    if twins:
        raise NeedsDecision(
            "EX-DUP-SUSPECT",
            f"time entry {entry.key} has the same person, task, day, hours and note as {twins[0].key}",
            queue="pmo",
            context={"entry": entry.key, "twin": twins[0].key},
            actions=("accept", "cancel"),
        )


def _priced(books: Books, entry: TimeEntry) -> BillableItem:
    project = books.tx.get(Project, entry.project_code)
    assert project is not None
    tasks = {task.code: task for task in project.tasks}
    task = tasks.get(entry.task_code)
    if entry.task_code and task is None:
        cause = f"time entry {entry.key}: project {project.project_code} has no task {entry.task_code}"
        raise NeedsDecision("EX-NO-CONTRACT-LINE", cause, queue="contract-operations", context={"entry": entry.key})
    versions = books.tx.find(ContractVersion, contract_no=project.contract_no, order=("version",))
    item = price_entry(
        entry,
        versions,
        item_id=f"{entry.key}#{entry.revision}",
        task_line_uid=task.line_uid if task else "",
        task_billable=task.billable if task else True,
    )
    earlier = books.tx.find(BillableItem, source_key=entry.key)
    return _correct(books, item, earlier) if earlier else item


def _correct(books: Books, item: BillableItem, earlier: list[BillableItem]) -> BillableItem:
    """Earlier revisions keep what is on paper; what was still open is superseded, and this item places the rest."""
    quantity, net = Decimal(0), Decimal(0)
    for part in books.tx.find(BillablePart, item_id=tuple(i.item_id for i in earlier)):
        if part.state in PLACED:
            quantity, net = quantity + part.quantity, net + part.net
        elif part.state is not PartState.SUPERSEDED:
            books.tx.update(move(part, "state", PartState.SUPERSEDED))
    return as_correction(item, quantity, net)


def place(books: Books, items: list[BillableItem]) -> str:
    """P2.6: give every contract's open evidence its place under the caps. Returns the legal entity of the batch."""
    entities = set()
    for contract_no in sorted({item.contract_no for item in items}):
        place_contract(books, contract_no)
        engagement = books.tx.get(Engagement, contract_no)
        entities.add(engagement.entity if engagement else "")
    assert len(entities) <= 1, "a batch is of one legal entity"
    return entities.pop() if entities else ""


def order_key(item: BillableItem) -> str:
    """Caps are filled by service date, then approval, then entry: whatever the order of arrival."""
    approved = item.approved_at.isoformat() if item.approved_at else ""
    return f"{item.service_date}|{approved}|{item.source_key}|{item.revision}"


def place_contract(books: Books, contract_no: str) -> str:
    """Place again everything of a contract that no invoice holds. Idempotent: equal places are left as they are."""
    books.tx.lock(f"contract:{contract_no}")
    version = books.tx.find(ContractVersion, contract_no=contract_no, order=("-version",), limit=1)[0]
    items = {i.item_id: i for i in books.tx.find(BillableItem, contract_no=contract_no) if i.billable}
    parts: dict[str, list[BillablePart]] = {}
    for part in books.tx.find(BillablePart, contract_no=contract_no, order=("part_id",)):
        parts.setdefault(part.item_id, []).append(part)
    latest = {i.source_key: max(i.revision, 0) for i in sorted(items.values(), key=lambda i: i.revision)}
    placed: dict[str, Decimal] = {}
    shares: list[Share] = []
    for item in items.values():
        fixed = [p for p in parts.get(item.item_id, []) if p.state in PLACED or p.state is PartState.HELD]
        consuming = [p for p in fixed if p.state not in (PartState.WRITTEN_OFF, PartState.CREDITED)]
        placed[item.line_uid] = placed.get(item.line_uid, Decimal(0)) + sum((p.net for p in consuming), Decimal(0))
        quantity = item.quantity - sum((p.quantity for p in fixed), Decimal(0))
        net = item.net - sum((p.net for p in fixed), Decimal(0))
        if latest[item.source_key] == item.revision and (quantity or net):
            shares.append(Share(item.item_id, item.line_uid, order_key(item), quantity, net))
    placements = place_under_caps(shares, version, placed)
    return _write_places(books, version, items, parts, placements)


def _write_places(
    books: Books,
    version: ContractVersion,
    items: dict[str, BillableItem],
    parts: dict[str, list[BillablePart]],
    placements: list[Placement],
) -> str:
    wanted: dict[str, list[Placement]] = {}
    for placement in placements:
        wanted.setdefault(placement.item_id, []).append(placement)
    for item_id, places in wanted.items():
        current = [p for p in parts.get(item_id, []) if p.state in OPEN]
        now = sorted((p.state, p.quantity, p.net, p.cap_id) for p in current)
        if now == sorted((w.state, w.quantity, w.net, w.cap_id) for w in places):
            continue
        for part in current:
            books.tx.update(move(part, "state", PartState.SUPERSEDED))
        _insert_parts(books, items[item_id], len(parts.get(item_id, [])), places)
    _announce(books, version, placements)
    ready = sum((p.net for p in placements if p.state is PartState.READY), Decimal(0))
    over = sum((p.net for p in placements if p.state is PartState.OVER_CAP), Decimal(0))
    return f"ready {ready}, over cap {over} {version.currency}"


def _insert_parts(books: Books, item: BillableItem, count: int, places: list[Placement]) -> None:
    for offset, place in enumerate(places, start=1):
        part = BillablePart(
            part_id=f"{item.item_id}/{count + offset}",
            item_id=item.item_id,
            contract_no=item.contract_no,
            quantity=place.quantity,
            net=place.net,
            currency=item.currency,
            state=place.state,
            service_date=item.service_date,
            order_key=order_key(item),
            cap_id=place.cap_id,
        )
        books.tx.insert(part)
        payload = {"part": part.part_id, "to": str(part.state), "net": str(part.net), "cap": part.cap_id}
        books.emit("billing.part_state_changed", f"contract:{item.contract_no}", payload)


def _announce(books: Books, version: ContractVersion, placements: list[Placement]) -> None:
    """cap.hard_reached once per cap and limit."""
    for cap_id in sorted({p.cap_id for p in placements if p.state is PartState.OVER_CAP}):
        limit = next(cap.limit for cap in version.caps if cap.cap_id == cap_id)
        if books.tx.next(f"reached:{cap_id}:{limit}") == 1:
            payload = {"cap": cap_id, "limit": str(limit), "currency": version.currency}
            books.emit("cap.hard_reached", f"contract:{version.contract_no}", payload, entity=version.entity)


def costs_of(books: Books, items: list[BillableItem]) -> list[TimeCost]:
    """P2.2: every hour is cost, billable or not; raw hours of the revision."""
    return [
        TimeCost(
            entry_key=item.source_key,
            revision=item.revision,
            project_code=item.project_code,
            task_code=item.task_code,
            person=item.person,
            role=item.role,
            service_date=item.service_date,
            hours=item.entry_quantity,
            billable=item.billable,
            bill_rate=item.unit_price,
        )
        for item in items
    ]
