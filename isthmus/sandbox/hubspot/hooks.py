"""Webhooks v3 of an application: settings, subscriptions, and the events that are pushed, signed as the vendor does.

Modelled from the vendor's published material; not certified. A request carries a JSON list of at most 100 events, at
least once, in no promised order. Three signatures are sent: v1 over secret and body, v2 over secret, method, address
and body (both hexadecimal), v3 an HMAC over method, address, body and time (base64).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from isthmus.sandbox.base import Record
from isthmus.sandbox.hubspot.access import APP_ID, CLIENT_SECRET
from isthmus.sandbox.hubspot.calls import Answer, Call
from isthmus.sandbox.hubspot.errors import Refused, invalid, not_found
from isthmus.sandbox.hubspot.schema import ObjectType
from isthmus.sandbox.hubspot.store import Change, Source
from isthmus.sandbox.hubspot.values import stamp
from isthmus.sandbox.push import Letter, Notice, Push

if TYPE_CHECKING:
    from isthmus.sandbox.hubspot.portal import HubspotSandbox

EVENTS_MAX, ATTEMPTS_MAX = 100, 10
KINDS = ("creation", "deletion", "propertyChange", "associationChange", "merge", "restore", "privacyDeletion")


class Hooks:
    """The application's webhooks."""

    def __init__(self, now: Callable[[], datetime], portal_id: int) -> None:
        self._now = now
        self._portal_id = portal_id
        self.push = Push(self._letter, together=EVENTS_MAX, attempts_max=ATTEMPTS_MAX)
        self.clear()

    def clear(self) -> None:
        """No settings, no subscriptions, nothing on its way."""
        self.settings: Record | None = None
        self.subscriptions: dict[str, Record] = {}
        self._events = 0
        self.push.clear()

    # -- what happens --------------------------------------------------------------------------------------------
    def changed(self, change: Change) -> None:
        """A record was written: an event for every active subscription to it."""
        self._tell(change.type, change.kind, change.record_id, change.source, change.name, change.value)

    def associated(self, kind: ObjectType, record_id: str, to: ObjectType, to_id: str, source: Source) -> None:
        """Two records were associated."""
        more = {"associationType": f"{kind.singular}_to_{to.singular}".upper(), "fromObjectId": int(record_id)}
        more |= {"toObjectId": int(to_id), "associationRemoved": False, "isPrimaryAssociation": False}
        self._tell(kind, "associationChange", record_id, source, more=more)

    def _tell(
        self,
        kind: ObjectType,
        what: str,
        record_id: str,
        source: Source,
        name: str = "",
        value: str = "",
        more: Record | None = None,
    ) -> None:
        event_type = f"{kind.singular}.{what}"
        for subscription in self.subscriptions.values():
            wanted = subscription["eventType"] == event_type and subscription["active"]
            if not wanted or self.settings is None or (name and subscription.get("propertyName") != name):
                continue
            self._events += 1
            event: Record = {
                "eventId": self._events,
                "subscriptionId": int(subscription["id"]),
                "portalId": self._portal_id,
                "appId": APP_ID,
                "occurredAt": int(self._now().timestamp() * 1000),
                "subscriptionType": event_type,
                "objectId": int(record_id),
                "changeSource": source.change_source,
                "sourceId": source.source_id,
                **(more or {}),
            }
            event |= {"propertyName": name, "propertyValue": value} if name else {"changeFlag": what.upper()}
            self.push.put(self.settings["targetUrl"], event)

    def _letter(self, url: str, notices: Sequence[Notice]) -> Letter:
        """One request, signed now by the wall's clock, as receivers check it with theirs."""
        events = [{**notice.content, "attemptNumber": notice.attempts} for notice in notices]
        body = json.dumps(events, separators=(",", ":")).encode()
        time = str(int(datetime.now(UTC).timestamp() * 1000))
        v3 = hmac.new(CLIENT_SECRET.encode(), b"POST" + url.encode() + body + time.encode(), hashlib.sha256).digest()
        return body, {
            "Content-Type": "application/json",
            "User-Agent": "HubSpot Connect 2.0 (http://dev.hubspot.com/) (namespace: webhooks-nio-http-client)",
            "X-HubSpot-Signature": hashlib.sha256(CLIENT_SECRET.encode() + body).hexdigest(),
            "X-HubSpot-Signature-Version": "v1",
            "X-HubSpot-Signature-v3": base64.b64encode(v3).decode(),
            "X-HubSpot-Request-Timestamp": time,
        }

    # -- settings and subscriptions ------------------------------------------------------------------------------
    def answer(self, call: Call) -> Answer:
        """/webhooks/v3/{appId}/…"""
        if call.parts["app"] != str(APP_ID):
            raise not_found(f"App {call.parts['app']} not found")
        rest = call.parts["rest"].rstrip("/")
        if rest == "settings":
            return self._settings(call)
        if rest == "subscriptions":
            return self._list(call)
        if rest == "subscriptions/batch/update" and call.method == "POST":
            return self._batch(call)
        return self._one(call, rest.removeprefix("subscriptions/"))

    def _settings(self, call: Call) -> Answer:
        if call.method == "DELETE":
            self.settings = None
            return 204, None
        if call.method == "PUT":
            given = call.document()
            if not given.get("targetUrl") or not given.get("throttling"):
                raise invalid("targetUrl and throttling are required")
            at = stamp(self._now())
            kept = {"targetUrl": given["targetUrl"], "throttling": given["throttling"]}
            self.settings = {**kept, "createdAt": (self.settings or {"createdAt": at})["createdAt"], "updatedAt": at}
        if self.settings is None:
            raise not_found(f"No webhook settings for app {APP_ID}")
        return 200, self.settings

    def _list(self, call: Call) -> Answer:
        if call.method == "GET":
            return 200, {"results": list(self.subscriptions.values())}
        given, at = call.document(), stamp(self._now())
        kind, _, what = str(given.get("eventType")).partition(".")
        if what not in KINDS or not kind:
            raise invalid(f"eventType {given.get('eventType')} is not known")
        if what == "propertyChange" and not given.get("propertyName"):
            raise invalid("propertyName is required for a propertyChange subscription")
        made: Record = {"id": str(len(self.subscriptions) + 1), "eventType": f"{kind}.{what}"}
        made |= {"active": bool(given.get("active")), "createdAt": at, "updatedAt": at}
        if given.get("propertyName"):
            made["propertyName"] = given["propertyName"]
        self.subscriptions[made["id"]] = made
        return 201, made

    def _one(self, call: Call, subscription_id: str) -> Answer:
        found: dict[str, Any] | None = self.subscriptions.get(subscription_id)
        if found is None:
            raise not_found(f"Subscription {subscription_id} not found")
        if call.method == "DELETE":
            del self.subscriptions[subscription_id]
            return 204, None
        if call.method == "PATCH":
            found["active"], found["updatedAt"] = bool(call.document().get("active")), stamp(self._now())
        return 200, found

    def _batch(self, call: Call) -> Answer:
        at, results = stamp(self._now()), []
        for entry in call.document().get("inputs") or []:
            found = self.subscriptions.get(str(entry.get("id")))
            if found is None:
                raise Refused(404, f"Subscription {entry.get('id')} not found", "OBJECT_NOT_FOUND")
            found["active"] = bool(entry.get("active"))
            results.append(found)
        return 200, {"status": "COMPLETE", "results": results, "startedAt": at, "completedAt": at}


def webhooks(box: HubspotSandbox, call: Call) -> Answer:
    """The endpoint of settings and subscriptions."""
    return box.hooks.answer(call)
