"""Acts between legal entities, for a whole client and with suppliers; and what every act of a script is made of."""

from __future__ import annotations

from datetime import date, time
from typing import Literal

from pydantic import BaseModel, ConfigDict

from isthmus.domain.money import Exact
from isthmus.domain.subcontracting import BillLine, PurchaseRate, RetentionTerm
from isthmus.domain.terms import TransferPrice


class Part(BaseModel):
    """Base of everything in a script: unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Act(Part):
    """Something that happens on a day, at a time of day (UTC)."""

    on: date
    at: time = time(12, 0)
    note: str = ""


class BillClientAct(Act):
    """A billing run for the contracts of a client with a legal entity: those that may share an invoice together."""

    do: Literal["bill_client"]
    client: str
    entity: str
    cutoff: date
    name: str = ""
    prepared_by: str = "ana.billing"


class LendAct(Act):
    """What one legal entity charges another for hours of its people is agreed."""

    do: Literal["lend"]
    number: str
    lender: str
    borrower: str
    people: tuple[str, ...]
    price: TransferPrice
    currency: str
    effective_from: date
    effective_to: date | None = None
    by: str = "finn.finance"


class ChargeEntitiesAct(Act):
    """The hours of a month that people of one legal entity have worked for another are charged."""

    do: Literal["charge_entities"]
    lender: str
    borrower: str
    period: str
    name: str = ""


class ThresholdAct(Act):
    """The tax desk keeps a threshold from which a legal entity must register for tax in a state."""

    do: Literal["threshold"]
    entity: str
    state: str
    amount: Exact | None = None
    count: int | None = None
    both: bool = False
    window: Literal["calendar_year", "rolling_12_months"] = "calendar_year"
    services: bool = True
    by: str = "tara.tax"


class SubcontractAct(Act):
    """What is agreed with a supplier for a contract's project; the same number again is its next version."""

    do: Literal["subcontract"]
    contract: str
    number: str
    supplier: str
    currency: str = "USD"
    rates: tuple[PurchaseRate, ...]
    tolerance_hours: Exact | None = None
    tolerance_amount: Exact | None = None
    payment: Literal["when_due", "when_paid"] = "when_due"
    payment_days: int = 30
    ordered_hours: Exact | None = None
    retention: tuple[RetentionTerm, ...] = ()
    by: str = "prue.procurement"


class SupplierBillAct(Act):
    """A supplier's bill comes in."""

    do: Literal["supplier_bill"]
    subcontract: str
    number: str
    lines: tuple[BillLine, ...]
    by: str = "rita.payables"


class SupplierReleaseAct(Act):
    """A person asks to pay a bill before the client has paid, or to pay out what is kept back (amount: a part)."""

    do: Literal["release_bill", "release_retention"]
    subcontract: str
    number: str = ""
    amount: Exact | None = None
    reason: str = "asked for"
    by: str = "rita.payables"
