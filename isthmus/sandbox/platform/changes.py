"""The change event log: what Change Data Capture publishes, kept 72 hours, read by replay id.

Modelled from the vendor's published material; not certified. The stream is numbered without holes; the vendor only
promises that replay ids grow.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

RETENTION = timedelta(hours=72)


class ReplayExpired(Exception):
    """The asked replay id lies before the retained events or after the newest one."""


@dataclass
class Change:
    """One record written inside a transaction, before it is numbered."""

    entity: str
    record_id: str
    kind: str
    fields: dict[str, Any] = field(default_factory=dict)


def topic(entity: str) -> str:
    """The channel of one object: custom objects end in __ChangeEvent."""
    if entity.endswith("__c"):
        return f"/data/{entity[:-3]}__ChangeEvent"
    return f"/data/{entity}ChangeEvent"


class ChangeLog:
    """Published change events in commit order."""

    def __init__(self, now: Callable[[], datetime], user_id: str) -> None:
        self._now = now
        self._user_id = user_id
        self._events: list[dict[str, Any]] = []
        self._transactions = 0
        self.latest = 0

    def publish(self, changes: list[Change], origin: str) -> None:
        """Number and keep the changes of one committed transaction."""
        if not changes:
            return
        self._transactions += 1
        digest = hashlib.sha256(f"transaction {self._transactions}".encode()).hexdigest()
        key = "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))
        milliseconds = int(self._now().timestamp() * 1000)
        for sequence, change in enumerate(changes, start=1):
            self.latest += 1
            names = list(change.fields) if change.kind == "UPDATE" else []
            header = {
                "entityName": change.entity,
                "recordIds": [change.record_id],
                "changeType": change.kind,
                "changeOrigin": origin,
                "transactionKey": key,
                "sequenceNumber": sequence,
                "commitTimestamp": milliseconds,
                "commitNumber": self._transactions,
                "commitUser": self._user_id,
                "nulledFields": [n for n in names if change.fields[n] is None],
                "diffFields": [],
                "changedFields": names,
            }
            event = {"replayId": self.latest, "topic": topic(change.entity), "ChangeEventHeader": header}
            self._events.append({**event, "payload": change.fields})
        self._forget()

    def clear(self) -> None:
        """Forget everything."""
        self._events.clear()
        self.latest = 0

    def since(self, replay_id: int, limit: int = 1000) -> list[dict[str, Any]]:
        """Events after a replay id (-2 for the earliest kept); ReplayExpired when some of them are gone."""
        self._forget()
        if replay_id == -2:
            return self._events[:limit]
        earliest = self._events[0]["replayId"] if self._events else self.latest + 1
        if not earliest - 1 <= replay_id <= self.latest:
            raise ReplayExpired(f"replay id {replay_id} is not within {earliest - 1}..{self.latest}")
        start = bisect_right(self._events, replay_id, key=lambda event: int(event["replayId"]))
        return self._events[start : start + limit]

    def _forget(self) -> None:
        horizon = int((self._now() - RETENTION).timestamp() * 1000)
        if self._events and self._events[0]["ChangeEventHeader"]["commitTimestamp"] < horizon:
            self._events = [e for e in self._events if e["ChangeEventHeader"]["commitTimestamp"] >= horizon]
