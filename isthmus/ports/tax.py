"""What the hub asks of a tax engine."""

from __future__ import annotations

from typing import Protocol

from isthmus.domain.objects import TaxAnswer
from isthmus.ports.messages import Registrations, TaxDocument
from isthmus.ports.verbs import reads, writes


class TaxEngine(Protocol):
    """Owner of the tax amount where the ownership map says so."""

    @reads
    def registrations(self, entity: str) -> Registrations:
        """Where the entity is registered."""
        ...

    @writes(
        key=lambda document: document.code,
        find="find_document",
        exception="EX-TAX-REJECT",
        queue="tax",
        amount=lambda document: (sum(line.net for line in document.lines), document.currency),
    )
    def calculate(self, document: TaxDocument) -> TaxAnswer:
        """Calculate and keep the document uncommitted under its code."""
        ...

    @reads
    def find_document(self, document: TaxDocument) -> TaxAnswer | None:
        """The engine's answer for this code, if it has one that is not cancelled."""
        ...

    @writes(
        key=lambda document: f"{document.code}:commit", find="find_committed", exception="EX-TAX-REJECT", queue="tax"
    )
    def commit(self, document: TaxDocument) -> TaxAnswer:
        """Commit the document for reporting."""
        ...

    @reads
    def find_committed(self, document: TaxDocument) -> TaxAnswer | None:
        """The document, if it is committed."""
        ...

    @writes(key=lambda document: f"{document.code}:void", find="find_void", exception="EX-TAX-REJECT", queue="tax")
    def void(self, document: TaxDocument) -> TaxAnswer:
        """Undo of calculate: cancel the uncommitted document."""
        ...

    @reads
    def find_void(self, document: TaxDocument) -> TaxAnswer | None:
        """The document, if it is cancelled."""
        ...
