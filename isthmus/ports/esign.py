"""What the hub asks of an e-signature service: who has signed what, as approval evidence."""

from __future__ import annotations

from typing import Protocol

from isthmus.domain.envelopes import SignedEnvelope
from isthmus.ports.messages import SignedPage
from isthmus.ports.verbs import reads


class Esign(Protocol):
    """Owner of signatures. A completed envelope is the evidence that a contract version or change order is agreed."""

    @reads
    def envelopes_ended(self, watermark: str) -> SignedPage:
        """Envelopes completed, declined or voided after the watermark, oldest first, without document_hash.

        Those that name no contract at all are nobody's of ours and left out; what names one and cannot be read is in
        unreadable. The service may limit how often one envelope is asked for: this asks for lists only.
        """
        ...

    @reads
    def read_envelope(self, envelope_id: str) -> SignedEnvelope:
        """One envelope as it stands, a completed one with its document_hash. NotFound when there is none."""
        ...
