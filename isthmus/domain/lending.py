"""Work between the firm's legal entities, and thresholds from which an entity must register for tax elsewhere."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field, model_validator

from isthmus.domain.base import Canonical
from isthmus.domain.errors import BadInput
from isthmus.domain.money import Exact
from isthmus.domain.terms import TransferPrice


class LendingAgreement(Canonical):
    """What one legal entity charges another for hours of its people on the other's contracts.

    people: as time names them. Half-open window [effective_from, effective_to) of days of service. currency: of the
    charge, and of the rate where the price is fixed.
    """

    agreement_no: str
    lender: str
    borrower: str
    people: tuple[str, ...]
    price: TransferPrice
    currency: str
    effective_from: date
    effective_to: date | None = None
    agreed_by: str
    recorded_at: datetime

    @model_validator(mode="after")
    def _two_entities(self) -> LendingAgreement:
        if self.lender == self.borrower:
            raise BadInput(f"{self.agreement_no}: {self.lender} lends to itself; there is nothing to charge")
        return self

    def covers(self, person: str, day: date) -> bool:
        """True for a person and a day of service of the agreement."""
        in_window = self.effective_from <= day and (self.effective_to is None or day < self.effective_to)
        return person in self.people and in_window


class LentHours(Canonical):
    """The hours of one revision of an entry as a charge: revenue of the lender, cost of the borrower, the same amount.

    A reversal is the mirror of the charge that it names; run: the charging run, whose journals book it in both books.
    """

    charge_id: str
    agreement_no: str
    lender: str
    borrower: str
    source_key: str
    entry_revision: int
    contract_no: str
    project_code: str
    person: str
    service_date: date
    quantity: Exact
    price: Exact
    amount: Exact
    currency: str
    reversal_of: str = ""
    trace: dict[str, Any] = Field(default_factory=dict)
    run: str
    recorded_at: datetime


class TaxThreshold(Canonical):
    """From how much sales an entity must register for tax in a state; the tax desk's data, see policies.nexus.

    amount is in the currency of the entity's books.
    """

    entity: str
    state: str
    amount: Exact | None = None
    count: int | None = None
    both: bool = False
    window: Literal["calendar_year", "rolling_12_months"] = "calendar_year"
    services: bool = True
    kept_by: str
    recorded_at: datetime

    @model_validator(mode="after")
    def _something_counts(self) -> TaxThreshold:
        if (self.amount or Decimal(0)) <= 0 and (self.count or 0) <= 0:
            raise BadInput(f"the threshold of {self.entity} in {self.state} is neither an amount nor a number of sales")
        return self
