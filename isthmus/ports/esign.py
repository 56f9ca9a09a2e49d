"""What the hub asks of an e-signature service: who has signed what, as approval evidence."""

from __future__ import annotations

from typing import Protocol

from isthmus.ports.messages import SignedEnvelope, SignedPage
from isthmus.ports.verbs import reads


class Esign(Protocol):
    """Owner of signatures. A completed envelope is the evidence that a contract version or change order is agreed."""

    @reads
    def signed_since(self, watermark: str) -> SignedPage:
        """Envelopes completed after the watermark, oldest first."""
        ...

    @reads
    def read_envelope(self, envelope_id: str) -> SignedEnvelope:
        """One envelope as it stands. NotFound when there is none."""
        ...
