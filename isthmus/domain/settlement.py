"""What happens to an issued invoice: money for it, amounts that settle it, lines the client contests."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from pydantic import Field

from isthmus.domain.base import Canonical
from isthmus.domain.money import Exact
from isthmus.domain.states import DisputeState


class Payment(Canonical):
    """Money received, as the ERP or the bank reports it. applies: what the payer said it is for, by invoice number."""

    source: str
    source_id: str
    client_no: str
    amount: Exact
    currency: str
    value_date: date
    reference: str = ""
    applies: dict[str, Exact] = Field(default_factory=dict)
    withheld: dict[str, Exact] = Field(default_factory=dict)
    reversed_on: date | None = None

    @property
    def key(self) -> str:
        """Business key of the payment."""
        return f"{self.source}:{self.source_id}"


class Allocation(Canonical):
    """How much of a payment settles which invoice."""

    allocation_id: str
    payment_key: str
    invoice_id: str
    amount: Exact
    kind: Literal[
        "payment", "small_difference", "credit", "withholding", "deposit", "bad_debt", "early_payment", "reversal"
    ] = "payment"
    reverses: str = ""
    certificate: str = ""
    fx_difference: Exact | None = None


class Dispute(Canonical):
    """A client contests a line of an invoice. amount: net contested, gross: with its tax."""

    dispute_no: str
    invoice_id: str
    line: int
    amount: Exact
    gross: Exact
    currency: str
    reason: str
    opened_by: str
    owner: str = ""
    opened_at: datetime
    state: DisputeState = DisputeState.OPEN
    credited: Exact = Decimal("0")
    resolved_by: str = ""
    resolved_at: datetime | None = None
