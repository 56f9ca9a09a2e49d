"""Business events at HTTPS endpoints: light, unsigned, tried once and three times more, numbered with gaps.

From Microsoft's "Business events overview" and published payloads. The fields of the invoice event beside the common
ones are an assumption.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime

from isthmus.sandbox.base import Record
from isthmus.sandbox.push import Letter, Notice, Push

INVOICE_POSTED = "CustFreeTextInvoicePostedBusinessEvent"
ATTEMPTS_MAX = 4
_FIRST_CONTROL_NUMBER = 5637144576


class Events:
    """Active events by endpoint. An endpoint without legal entity gets those of all."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self.push = Push(_letter, attempts_max=ATTEMPTS_MAX)
        self.active: list[tuple[str, str, str]] = []
        self._control_number = _FIRST_CONTROL_NUMBER

    def clear(self) -> None:
        """No endpoints, nothing on its way."""
        self.active.clear()
        self.push.clear()

    def activate(self, url: str, event: str = INVOICE_POSTED, legal_entity: str = "") -> None:
        """Send an event to an endpoint from now on."""
        self.active.append((url, event, legal_entity.lower()))

    def invoice_posted(self, header: Record) -> None:
        """A free text invoice has been posted."""
        fields = {
            "InvoiceAccount": header["InvoiceAccount"],
            "InvoiceDate": header["InvoiceDate"],
            "InvoiceId": header["InvoiceId"],
        }
        self._happened(INVOICE_POSTED, header["dataAreaId"], fields)

    def _happened(self, event: str, company: str, fields: Record) -> None:
        for url, wanted, legal_entity in self.active:
            if wanted == event and legal_entity in ("", company):
                self._control_number += 3  # upwards, with gaps
                now = self.now()
                common = {
                    "BusinessEventId": event,
                    "BusinessEventLegalEntity": company.upper(),
                    "ContextRecordSubject": "",
                    "ControlNumber": self._control_number,
                    "EventId": str(uuid.uuid4()).upper(),
                    "EventTime": f"/Date({int(now.timestamp() * 1000)})/",
                    "EventTimeIso8601": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "InitiatingUserAADObjectId": "{00000000-0000-0000-0000-000000000000}",
                    "MajorVersion": 0,
                    "MinorVersion": 0,
                    "ParentContextRecordSubjects": [],
                }
                self.push.put(url, common | fields)


def _letter(_: str, notices: Sequence[Notice]) -> Letter:
    return json.dumps(notices[0].content).encode(), {"Content-Type": "application/json"}
