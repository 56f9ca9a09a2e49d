"""Envelopes: made, sent, seen, signed, declined and voided; each step is stamped and told to Connect.

Modelled from the vendor's published material; not certified. Every value of an envelope is a text, numbers too.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from isthmus.sandbox.base import Record, Records
from isthmus.sandbox.docusign.errors import Refused, bad_body, no_envelope

COLLECTION = "envelopes"
FINAL = ("completed", "declined", "voided")
KINDS = ("signers", "carbonCopies", "certifiedDeliveries", "agents", "editors", "intermediaries", "inPersonSigners")
Teller = Callable[[str, Record, str], None]  # event, envelope, recipient's GUID or nothing


def stamp(moment: datetime) -> str:
    """A moment as the vendor writes it: UTC, seven digits of a second."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}0Z"


class Envelopes:
    """The envelopes of one account. teller: told of every event."""

    def __init__(self, records: Records, now: Callable[[], datetime], sender: Record) -> None:
        self._records = records
        self._now = now
        self._sender = sender
        self.teller: Teller = lambda event, envelope, recipient: None
        self._count = 0
        self._contents: dict[tuple[str, str], bytes] = {}

    # -- reading -------------------------------------------------------------------------------------------------
    def get(self, envelope_id: str) -> Record:
        """One envelope, from the primary."""
        found = self._records.get(COLLECTION, envelope_id)
        if found is None:
            raise no_envelope()
        return found

    def all(self) -> Iterator[Record]:
        """Envelopes as a list shows them: what is newest may be missing."""
        return (envelope for _, envelope in self._records.all(COLLECTION))

    def content(self, envelope: Record, document_id: str) -> bytes:
        """A document's bytes; once somebody has signed they are others than those that were sent."""
        names = [one["documentId"] for one in envelope["envelopeDocuments"]]
        if document_id in ("combined", "archive", "portfolio"):
            parts = [self._contents[envelope["envelopeId"], name] for name in names if name != "certificate"]
        elif document_id in names:
            parts = [self._contents[envelope["envelopeId"], document_id]]
        else:
            raise Refused(404, "DOCUMENT_DOES_NOT_EXIST", "The document specified was not found.")
        marks = [
            f"% signed by {s['email']} at {s['signedDateTime']}\n" for s in signers(envelope) if "signedDateTime" in s
        ]
        return b"%PDF-1.7\n" + b"\n".join(parts) + "".join(marks).encode() + b"%%EOF\n"

    # -- making --------------------------------------------------------------------------------------------------
    def create(self, given: Record) -> Record:
        """A new envelope from its definition, sent when it says so."""
        status = str(given.get("status") or "created")
        if status not in ("created", "sent"):
            raise bad_body(f"status {status}: an envelope begins as created or sent")
        recipients = (
            {kind: [dict(one) for one in given["recipients"].get(kind) or []] for kind in KINDS}
            if given.get("recipients")
            else {kind: [] for kind in KINDS}
        )
        documents = [dict(one) for one in given.get("documents") or []]
        if status == "sent" and not (documents or given.get("templateId")):
            raise Refused(400, "ENVELOPE_HAS_NO_DOCUMENTS", "The Envelope has no documents.")
        if status == "sent" and not any(recipients.values()):
            raise Refused(400, "ENVELOPE_IS_INCOMPLETE", "The Envelope is not Complete. It has no recipients.")
        self._count += 1
        envelope_id, now = _guid(f"envelope {self._count}"), stamp(self._now())
        envelope: Record = {
            "envelopeId": envelope_id,
            "status": "created",
            "emailSubject": str(given.get("emailSubject") or ""),
            "createdDateTime": now,
            "lastModifiedDateTime": now,
            "statusChangedDateTime": now,
            "transactionId": str(given.get("transactionId") or ""),
            "sender": self._sender,
            "purgeState": "unpurged",
            "customFields": self._fields(given.get("customFields") or {}),
            "recipients": self._recipients(envelope_id, recipients),
            "envelopeDocuments": self._documents(envelope_id, documents),
        }
        envelope["eventNotifications"] = [
            *(given.get("eventNotifications") or []),
            *_listed(given, "eventNotification"),
        ]
        self._records.put(COLLECTION, envelope_id, envelope)
        if status == "sent":
            self.send(envelope)
        return envelope

    def _fields(self, given: Record) -> Record:
        made: Record = {"textCustomFields": [], "listCustomFields": []}
        for kind in made:
            for one in given.get(kind) or []:
                self._count += 1
                field = {"fieldId": str(10_000 + self._count), "show": "true", "required": "false"}
                made[kind].append({**field, **{name: str(value) for name, value in one.items() if name != "listItems"}})
        return made

    def _recipients(self, envelope_id: str, given: dict[str, list[Record]]) -> Record:
        count = 0
        made: Record = {}
        for kind, people in given.items():
            made[kind] = []
            for one in people:
                count += 1
                known = {name: str(value) for name, value in one.items() if not isinstance(value, dict | list)}
                known.setdefault("recipientId", str(count))
                known.setdefault("routingOrder", "1")
                guid = _guid(f"{envelope_id} {known['recipientId']}")
                made[kind].append({"roleName": "", **known, "recipientIdGuid": guid, "status": "created"})
        return {**made, "recipientCount": str(count), "currentRoutingOrder": "1"}

    def _documents(self, envelope_id: str, given: list[Record]) -> list[Record]:
        made = []
        for place, one in enumerate(given, start=1):
            document_id = str(one.get("documentId") or place)
            raw = str(one.get("documentBase64") or "")
            self._contents[envelope_id, document_id] = base64.b64decode(raw) if raw else b"(empty)"
            named = {"documentId": document_id, "name": str(one.get("name") or f"Document {place}")}
            made.append({**named, "documentIdGuid": _guid(f"{envelope_id} document {document_id}"), "type": "content",
                         "order": str(place), "uri": f"/envelopes/{envelope_id}/documents/{document_id}"})  # fmt: skip
        self._contents[envelope_id, "certificate"] = f"certificate of {envelope_id}\n".encode()
        certificate = {"documentId": "certificate", "name": "Summary", "type": "summary", "order": "999"}
        return [*made, {**certificate, "uri": f"/envelopes/{envelope_id}/documents/certificate"}]

    # -- what happens --------------------------------------------------------------------------------------------
    def send(self, envelope: Record) -> None:
        """On its way to those who are first in line."""
        now = stamp(self._now())
        envelope |= {"sentDateTime": now, "initialSentDateTime": now}
        self._become(envelope, "sent")
        self._next_in_line(envelope)

    def see(self, envelope: Record, recipient: Record) -> None:
        """A recipient has opened it."""
        if recipient["status"] == "sent":
            recipient |= {"status": "delivered", "deliveredDateTime": stamp(self._now())}
            self.teller("recipient-delivered", envelope, recipient["recipientIdGuid"])
        waiting = [one for one in everybody(envelope) if one["status"] in ("created", "sent")]
        if not waiting and envelope["status"] == "sent":
            envelope["deliveredDateTime"] = stamp(self._now())
            self._become(envelope, "delivered")

    def sign(self, envelope: Record, recipient: Record) -> None:
        """A recipient has signed; the last one completes the envelope."""
        if envelope["status"] in FINAL or recipient["status"] not in ("sent", "delivered"):
            told = f"envelope {envelope['status']}, recipient {recipient['status']}"
            raise Refused(400, "RECIPIENT_NOT_IN_SEQUENCE", f"It is not this recipient's turn: {told}")
        self.see(envelope, recipient)
        recipient |= {"status": "completed", "signedDateTime": stamp(self._now())}
        self.teller("recipient-completed", envelope, recipient["recipientIdGuid"])
        self._next_in_line(envelope)
        if all(one["status"] == "completed" for one in signers(envelope)):
            for one in everybody(envelope):
                one["status"] = "completed"
            envelope["completedDateTime"] = stamp(self._now())
            self._become(envelope, "completed")

    def decline(self, envelope: Record, recipient: Record, reason: str) -> None:
        """A recipient will not sign: the envelope is declined."""
        now = stamp(self._now())
        recipient |= {"status": "declined", "declinedDateTime": now, "declinedReason": reason}
        self.teller("recipient-declined", envelope, recipient["recipientIdGuid"])
        envelope["declinedDateTime"] = now
        self._become(envelope, "declined")

    def void(self, envelope: Record, reason: str) -> None:
        """The sender takes it back, which is only possible while it is under way."""
        if envelope["status"] not in ("sent", "delivered"):
            message = "The Envelope is in a state that cannot be voided."
            raise Refused(400, "ENVELOPE_CANNOT_VOID_INVALID_STATE", message)
        if not reason:
            raise Refused(400, "ENVELOPE_VOID_REASON_REQUIRED", "The reason for voiding the envelope is missing.")
        envelope |= {"voidedDateTime": stamp(self._now()), "voidedReason": reason}
        self._become(envelope, "voided")

    def put_fields(self, envelope: Record, given: Record) -> Record:
        """Custom fields added, or changed by their id."""
        for kind, fields in self._fields(given).items():
            for made, asked in zip(fields, given.get(kind) or [], strict=True):
                known = [one for one in envelope["customFields"][kind] if one["fieldId"] == asked.get("fieldId")]
                if known:
                    known[0] |= {name: str(value) for name, value in asked.items()}
                else:
                    envelope["customFields"][kind].append(made)
        envelope["lastModifiedDateTime"] = stamp(self._now())
        return envelope["customFields"]  # type: ignore[no-any-return]

    def _next_in_line(self, envelope: Record) -> None:
        left = [one for one in everybody(envelope) if one["status"] == "created"]
        busy = [one for one in everybody(envelope) if one["status"] in ("sent", "delivered")]
        if busy or not left:
            return
        turn = min(int(one["routingOrder"]) for one in left)
        envelope["recipients"]["currentRoutingOrder"] = str(turn)
        for one in left:
            if int(one["routingOrder"]) == turn:
                one |= {"status": "sent", "sentDateTime": stamp(self._now())}
                self.teller("recipient-sent", envelope, one["recipientIdGuid"])

    def _become(self, envelope: Record, status: str) -> None:
        now = stamp(self._now())
        envelope |= {"status": status, "statusChangedDateTime": now, "lastModifiedDateTime": now}
        self.teller(f"envelope-{status}", envelope, "")


def everybody(envelope: Record) -> list[Record]:
    """All recipients."""
    return [one for kind in KINDS for one in envelope["recipients"][kind]]


def signers(envelope: Record) -> list[Record]:
    """Those who sign."""
    people: list[Record] = envelope["recipients"]["signers"] + envelope["recipients"]["inPersonSigners"]
    return people


def recipient_of(envelope: Record, who: str) -> Record:
    """A recipient by id, e-mail address or role."""
    for one in everybody(envelope):
        if who in (one["recipientId"], one.get("email"), one["roleName"]):
            return one
    raise Refused(400, "UNKNOWN_ENVELOPE_RECIPIENT", f"The recipient {who} is not known in this envelope.")


def shown(envelope: Record, account: str, include: set[str]) -> Record:
    """An envelope as the API shows it. include: the parts that are only shown when they are asked for."""
    envelope_id = envelope["envelopeId"]
    parts = {"custom_fields": "customFields", "recipients": "recipients", "documents": "envelopeDocuments"}
    hidden = {*(name for part, name in parts.items() if part not in include), "eventNotifications"}
    body = {name: value for name, value in envelope.items() if name not in hidden and value != ""}
    root = f"/envelopes/{envelope_id}"
    links: dict[str, Any] = {
        "envelopeUri": root,
        "documentsUri": f"{root}/documents",
        "documentsCombinedUri": f"{root}/documents/combined",
        "certificateUri": f"{root}/documents/certificate",
        "recipientsUri": f"{root}/recipients",
        "customFieldsUri": f"{root}/custom_fields",
        "templatesUri": f"{root}/templates",
        "notificationUri": f"{root}/notification",
        "attachmentsUri": f"{root}/attachments",
        "signingLocation": "online",
        "enableWetSign": "true",
        "allowMarkup": "false",
        "allowReassign": "true",
        "is21CFRPart11": "false",
        "isSignatureProviderEnvelope": "false",
    }
    return {**links, **body}


def _listed(given: Record, name: str) -> list[Any]:
    return [given[name]] if given.get(name) else []


def _guid(text: str) -> str:
    """A GUID, the same in two equal runs."""
    return str(uuid.UUID(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()))
