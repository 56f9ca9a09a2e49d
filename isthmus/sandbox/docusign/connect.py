"""Connect: who is told of which events, messages one by one (SIM) as JSON, signed with every key of the account.

Modelled from the vendor's published material; not certified. A message holds the envelope as it was at the event. What
a receiver does not take is tried again, and listed as a failure until it is taken or given up.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from datetime import datetime
from typing import Any

from isthmus.sandbox.base import Record
from isthmus.sandbox.docusign.envelopes import shown, stamp
from isthmus.sandbox.docusign.errors import Refused, bad_body
from isthmus.sandbox.docusign.login import ACCOUNT_ID, USER_ID
from isthmus.sandbox.push import Letter, Notice, Push

ATTEMPTS_MAX = 45
EVENTS = tuple(
    f"{what}-{state}"
    for what, states in {
        "envelope": ("sent", "delivered", "completed", "declined", "voided"),
        "recipient": ("sent", "delivered", "completed", "declined"),
    }.items()
    for state in states
)
KEYS = ("synthetic-hmac-key-one", "synthetic-hmac-key-two")


class Connect:
    """The account's configurations. keys: the HMAC keys that are active."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.push = Push(self._letter, attempts_max=ATTEMPTS_MAX)
        self.clear()

    def clear(self) -> None:
        """No configurations, nothing on its way."""
        self.keys = list(KEYS)
        self.configurations: dict[str, Record] = {}
        self._last: dict[str, Record] = {}
        self._count = 0
        self.push.clear()

    # -- messages ------------------------------------------------------------------------------------------------
    def tell(self, event: str, envelope: Record, recipient: str) -> None:
        """An event has happened: a message to every configuration, and receiver of the envelope, that wants it."""
        for connect_id, one in self.configurations.items():
            if one["allowEnvelopePublish"] == "true" and event in one["events"]:
                self._put(one["urlToPublishTo"], one, connect_id, event, envelope, recipient)
        for own in envelope["eventNotifications"]:
            if event in (own.get("events") or []):
                self._put(str(own["url"]), own, "0", event, envelope, recipient)

    def _put(self, url: str, own: Record, connect_id: str, event: str, envelope: Record, recipient: str) -> None:
        wanted = set((own.get("eventData") or {}).get("includeData") or [])
        path = f"/restapi/v2.1/accounts/{ACCOUNT_ID}/envelopes/{envelope['envelopeId']}"
        data = {"accountId": ACCOUNT_ID, "userId": USER_ID, "envelopeId": envelope["envelopeId"]}
        data |= {"recipientId": recipient} if recipient else {}
        message = {
            "event": event,
            "apiVersion": "v2.1",
            "uri": path,
            "configurationId": int(connect_id),
            "generatedDateTime": stamp(self._now()),
            "data": {**data, "envelopeSummary": deepcopy(shown(envelope, ACCOUNT_ID, wanted))},
        }
        signed = str(own.get("includeHMAC", "false")).lower() == "true"
        self._last[envelope["envelopeId"]] = {"url": url, "message": message, "signed": signed}
        self.push.put(url, message, signed)

    def _letter(self, url: str, notices: Sequence[Notice]) -> Letter:
        """One message: the same content at every attempt, but for the count of them."""
        (notice,) = notices
        body = json.dumps({**notice.content, "retryCount": notice.attempts}).encode()
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "DocuSign Connect"}
        if notice.context:
            headers["X-Authorization-Digest"] = "HMACSHA256"
            for place, key in enumerate(self.keys, start=1):
                digest = hmac.new(key.encode(), body, hashlib.sha256).digest()
                headers[f"X-DocuSign-Signature-{place}"] = base64.b64encode(digest).decode()
        return body, headers

    # -- the API -------------------------------------------------------------------------------------------------
    def listed(self) -> Record:
        """GET connect."""
        return {"configurations": list(self.configurations.values()), "totalRecords": str(len(self.configurations))}

    def one(self, connect_id: str) -> Record:
        """GET connect/{id}: the vendor answers a list of one."""
        return {"configurations": [self._find(connect_id)], "totalRecords": "1"}

    def create(self, given: Record) -> Record:
        """POST connect."""
        self._count += 1
        return self._keep(str(10_000_000 + self._count), given, {})

    def update(self, given: Record) -> Record:
        """PUT connect: the configuration named by connectId."""
        connect_id = str(given.get("connectId") or "")
        return self._keep(connect_id, given, self._find(connect_id))

    def delete(self, connect_id: str) -> None:
        """DELETE connect/{id}."""
        self._find(connect_id)
        del self.configurations[connect_id]

    def _find(self, connect_id: str) -> Record:
        if connect_id not in self.configurations:
            raise Refused(400, "INVALID_CONNECT_ID", "The Connect id specified is not valid or does not exist.")
        return self.configurations[connect_id]

    def _keep(self, connect_id: str, given: Record, known: Record) -> Record:
        events: list[str] = given.get("events") or known.get("events") or []
        unknown = sorted(set(events) - set(EVENTS))
        if unknown or not given.get("urlToPublishTo", known.get("urlToPublishTo")):
            raise bad_body(f"events {', '.join(unknown)}" if unknown else "urlToPublishTo is missing")
        plain = {name: value for name, value in given.items() if value is not None}
        standing = {"configurationType": "custom", "allowEnvelopePublish": "true", "deliveryMode": "SIM"}
        made = {**standing, **known, **plain, "events": events, "connectId": connect_id}
        self.configurations[connect_id] = made
        return made

    def failures(self) -> Record:
        """GET connect/failures: what was tried and not taken."""
        tried = [one for one in (*self.push.waiting, *self.push.lost) if one.attempts]
        logs = [
            {"envelopeId": one.content["data"]["envelopeId"], "failureId": f"{place}", "accountId": ACCOUNT_ID,
             "retryCount": str(one.attempts), "status": "failed" if one in self.push.lost else "retry",
             "error": f"HTTP {one.answer}" if one.answer else "no answer", "configUrl": one.url}
            for place, one in enumerate(tried, start=1)
        ]  # fmt: skip
        return {"failures": logs, "totalRecords": str(len(logs)), "type": "ConnectFailures"}

    def republish(self, envelope_ids: list[str]) -> Record:
        """PUT connect/envelopes/…/retry_queue: the last message of these envelopes once more."""
        results: list[Any] = []
        for envelope_id in envelope_ids:
            last = self._last.get(envelope_id)
            results.append({"envelopeId": envelope_id, "status": "success" if last else "failed"})
            if last:
                self.push.put(last["url"], last["message"], last["signed"])
        return {"retryQueue": results}
