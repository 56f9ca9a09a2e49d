"""Subscribed events: the pulled change feed, nine days long, unordered and with repeats.

Modelled from the vendor's published material, not certified. Order and repeats follow from the running number of
the event and a fixed seed, so that two runs of the same work deliver the same feed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from isthmus.sandbox.base import Record
from isthmus.sandbox.kantata.answer import Refused, View, present
from isthmus.sandbox.kantata.query import moment_of, page_of
from isthmus.sandbox.kantata.schema import Collection
from isthmus.sandbox.kantata.schema_money import BY_SUBJECT, COLLECTIONS
from isthmus.sandbox.kantata.store import Store, to_precise, to_stamp

RETENTION = timedelta(days=9)
ACCOUNT_ID = 1
_SEED = 20260302
_BLOCK = 5
_REPEAT_ONE_IN = 4
_PAYLOADS = ("previous_payload", "current_payload", "payload_changes")


class Events:
    """Notes every change of a record and answers the feed."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.clock = clock
        self.shuffle = True
        self.duplicate = True
        self._events: list[Record] = []
        self._changes = 0

    def clear(self) -> None:
        """Forget the feed."""
        self._events.clear()
        self._changes = 0

    def note(self, c: Collection, action: str, before: Record | None, after: Record | None, user_id: str) -> None:
        """Record one change, now and then twice: a repeat is an event of its own with another id."""
        if c.event is None:
            return
        self._changes += 1
        repeats = self.duplicate and random.Random(_SEED + self._changes).randrange(_REPEAT_ONE_IN) == 0
        for _ in range(2 if repeats else 1):
            self._events.append(self._event(c, action, before, after, user_id))

    def _event(self, c: Collection, action: str, before: Record | None, after: Record | None, user_id: str) -> Record:
        now = self.clock()
        old, new = (None if r is None else present(c, r) for r in (before, after))
        names = sorted(set(old or {}) | set(new or {}))
        changes = {n: [(old or {}).get(n), (new or {}).get(n)] for n in names}
        subject = after or before or {}
        return {
            "id": str(5001 + len(self._events)),
            "event_type": f"{c.event}:{action}",
            "account_id": ACCOUNT_ID,
            "user_id": int(user_id),
            "subject_id": int(subject["id"]),
            "subject_type": c.subject,
            "subject_changed_at": to_stamp(now),
            "created_at": to_stamp(now),
            "previous_payload": json.dumps(old),
            "current_payload": json.dumps(new),
            "payload_changes": json.dumps({n: pair for n, pair in changes.items() if pair[0] != pair[1]}),
            "_precise": to_precise(now),
        }

    def answer(self, store: Store, params: Mapping[str, str], max_per_page: int) -> Record:
        """One page of the feed in the envelope of every list."""
        rows = self._selected(params)
        descending = params.get("order", "created_at:desc") != "created_at:asc"
        page, meta = page_of(self._delivered(rows, descending), params, max_per_page)
        view = View.of(params)
        shown: dict[str, Record] = {}
        loaded: dict[str, dict[str, Record]] = {}
        for event in page:
            shown[event["id"]] = self._shown(store, event, view, loaded)
        results = [{"key": "subscribed_events", "id": e["id"]} for e in page]
        return {"count": meta["count"], "meta": meta, "results": results, "subscribed_events": shown, **loaded}

    def _selected(self, params: Mapping[str, str]) -> list[Record]:
        oldest = to_precise(self.clock() - RETENTION)
        rows = [e for e in self._events if e["_precise"] >= oldest]
        if (after := moment_of(params, "created_after")) is not None:
            rows = [e for e in rows if e["_precise"] > after]
        if (before := moment_of(params, "created_before")) is not None:
            rows = [e for e in rows if e["_precise"] < before]
        if params.get("subject_id") and not params.get("subject_type"):
            raise Refused(400, {"type": "system", "message": "subject_id needs a subject_type"})
        for param, key in (
            ("event_types", "event_type"),
            ("subject_type", "subject_type"),
            ("subject_id", "subject_id"),
            ("user_ids", "user_id"),
            ("only", "id"),
        ):
            if asked := params.get(param):
                wanted = {part.strip() for part in asked.split(",")}
                rows = [e for e in rows if str(e[key]) in wanted]
        return _most_recent(rows, params)

    def _delivered(self, rows: list[Record], descending: bool) -> list[Record]:
        """Newest or oldest block first; inside a block the order is scrambled, always in the same way."""
        if not self.shuffle:
            return sorted(rows, key=lambda e: int(e["id"]), reverse=descending)
        blocks: dict[int, list[Record]] = {}
        for event in rows:
            blocks.setdefault(int(event["id"]) // _BLOCK, []).append(event)
        delivered: list[Record] = []
        for number in sorted(blocks, reverse=descending):
            ranks = _ranks(number)
            delivered += sorted(blocks[number], key=lambda e, ranks=ranks: ranks[int(e["id"]) % _BLOCK])  # type: ignore[misc]
        return delivered

    def _shown(self, store: Store, event: Record, view: View, loaded: dict[str, dict[str, Record]]) -> Record:
        """Payloads only when asked for; the subject beside the event, or null when it is gone."""
        hidden = {"_precise"} | {name for name in _PAYLOADS if name not in view.optional}
        shown = {k: v for k, v in event.items() if k not in hidden}
        if "subject" in view.include:
            target = BY_SUBJECT[event["subject_type"]]
            subject = store.records.get(target.name, str(event["subject_id"]))
            shown["subject_ref"] = None if subject is None else {"key": target.name, "id": subject["id"]}
            if subject is not None:
                loaded.setdefault(target.name, {})[subject["id"]] = present(target, subject)
        return shown


@lru_cache(maxsize=65536)
def _ranks(block: int) -> tuple[int, ...]:
    """The scrambled order of one block; remembered, because a long feed is asked for again and again."""
    ranks = list(range(_BLOCK))
    random.Random(_SEED * 31 + block).shuffle(ranks)
    return tuple(ranks)


def _most_recent(rows: list[Record], params: Mapping[str, str]) -> list[Record]:
    by_subject, by_type = (params.get(n) == "true" for n in ("most_recent", "most_recent_by_event_type"))
    if by_subject and by_type:
        raise Refused(400, {"type": "system", "message": "most_recent excludes most_recent_by_event_type"})
    if not (by_subject or by_type):
        return rows
    newest: dict[tuple[Any, ...], Record] = {}
    for event in rows:
        kind = event["event_type"] if by_type else None
        newest[(event["subject_type"], event["subject_id"], kind)] = event
    return list(newest.values())


def event_types() -> Record:
    """The catalogue: every event type this sandbox emits, with the fields of its payload."""
    actions = ("created", "deleted", "updated")
    schemas: Record = {
        f"{c.event}:{action}": {"properties": {n: {} for n in sorted(c.known)}}
        for c in COLLECTIONS.values()
        if c.event is not None
        for action in actions
    }
    return {"subscribed_event_types": sorted(schemas), "subscribed_event_type_schemas": schemas}
