"""Envelopes of an e-signature service, and what the hub keeps of those that ended."""

from __future__ import annotations

from datetime import datetime

from isthmus.domain.base import Canonical


class Signature(Canonical):
    """One signer. role: the part played, such as client, legal or finance."""

    name: str
    email: str
    role: str = ""
    signed_at: datetime


class EnvelopeFacts(Canonical):
    """An envelope and the contract version or change order it is about.

    state: sent, completed, declined or voided; reason: why it was declined or voided; document_hash: SHA-256 of the
    signed document, empty when not offered.
    """

    envelope_id: str
    contract_no: str
    version: int
    change_order: str = ""
    state: str
    completed_at: datetime | None = None
    signatures: tuple[Signature, ...] = ()
    document_ref: str = ""
    document_hash: str = ""
    reason: str = ""


class SignedEnvelope(EnvelopeFacts):
    """An envelope as its service tells of it. cap_delta: by how much a change order changes the contract's cap, in the
    contract's currency, as people have typed it; empty when the envelope does not say.
    """

    cap_delta: str = ""


class ApprovalEvidence(EnvelopeFacts):
    """An envelope as it ended: a completed one is evidence that a contract version or change order is agreed.

    source: the connection that reported it; kept_at: when the hub learned of it.
    """

    source: str
    kept_at: datetime
