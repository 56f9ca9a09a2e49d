"""The canonical objects: what a client, a contract, an hour, an evidence part and an invoice are to the hub.

All are immutable. A change is a new version or a new object; nothing approved is ever edited. Four dates are kept
apart and never stand in for each other: *commercial* (effective_from, signed_on), *service* (service_date),
*accounting* (accounting_date) and *recorded* (recorded_at, always an instant in UTC).

Keys are the business's own: client number, contract number and version, project code, source system and entry id.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from isthmus.domain.errors import BadInput
from isthmus.domain.money import Exact, is_exact_amount, minor_units
from isthmus.domain.states import (
    Composition,
    Delivery,
    EngagementState,
    InvoiceLife,
    PartState,
    Posting,
    Settlement,
    TaxTrack,
)


class Canonical(BaseModel):
    """Base of all canonical objects: frozen, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class ExternalRef(Canonical):
    """Where an object lives in another system. url_id is the id the other system assigned."""

    system: str
    object_type: str
    external_id: str
    version: str = ""


class Address(Canonical):
    """A postal address; country is ISO 3166-1 alpha-2."""

    street: str = ""
    city: str = ""
    region: str = ""
    postal_code: str = ""
    country: str = ""


# -- reference and party --------------------------------------------------------------------------------------


class LegalEntity(Canonical):
    """A company of the firm. Codes of terms, currencies and dimensions are what its ERP accepts.

    invoice_approval_limit: invoices above this net need a second person (0: none does). payment_tolerance: a
    difference up to this amount on the last payment is written off as a small difference. payment_days: days until
    due, per payment term.
    """

    code: str
    name: str
    functional_currency: str
    country: str
    time_zone: str
    currencies: tuple[str, ...]
    payment_terms: tuple[str, ...]
    dimensions_required: tuple[str, ...] = ("practice", "cost_center")
    tax_registrations: tuple[str, ...] = ()
    invoice_series: str = "INV"
    invoice_approval_limit: Exact = Decimal("0")
    payment_tolerance: Exact = Decimal("0")
    payment_days: dict[str, int] = Field(default_factory=dict)
    address: Address = Address()
    active: bool = True


class Client(Canonical):
    """Who buys. tax_ids are as given; validation is a separate fact."""

    client_no: str
    legal_name: str
    country: str
    tax_id: str = ""
    tax_exempt: bool = False
    exemption_certificate: str = ""
    parent_no: str = ""
    currency: str = ""
    payment_terms: str = ""
    address: Address = Address()
    blocked: bool = False
    recorded_at: datetime | None = None


# -- commercial -----------------------------------------------------------------------------------------------


class BillingType(StrEnum):
    """How a contract line earns money."""

    TM = "tm"
    FIXED_MILESTONE = "fixed_milestone"
    NON_BILLABLE = "non_billable"


class CapKind(StrEnum):
    """A hard cap stops billing; a soft cap bills and warns."""

    HARD = "hard"
    SOFT = "soft"


class Cap(Canonical):
    """A not-to-exceed of the contract or of one line, in net amount before tax."""

    cap_id: str
    scope: Literal["contract", "line"]
    line_uid: str = ""
    kind: CapKind = CapKind.HARD
    limit: Exact


class Rate(Canonical):
    """One price: for a role (and, if given, one person) from a day on, up to but not including another day."""

    role: str
    bill_rate: Exact
    person: str = ""
    unit: Literal["hour", "day"] = "hour"
    effective_from: date
    effective_to: date | None = None

    def covers(self, day: date) -> bool:
        """Half-open window [effective_from, effective_to)."""
        return self.effective_from <= day and (self.effective_to is None or day < self.effective_to)


class Milestone(Canonical):
    """A fixed amount that becomes billable when accepted."""

    number: int
    name: str
    amount: Exact
    due: date


class ContractLine(Canonical):
    """One line of a contract version. line_uid stays the same across versions."""

    line_uid: str
    description: str
    billing_type: BillingType
    rates: tuple[Rate, ...] = ()
    milestones: tuple[Milestone, ...] = ()
    roles: tuple[str, ...] = ()
    price: Exact | None = None
    tax_code: str = ""
    deliverable: str = ""


class ContractVersion(Canonical):
    """Immutable terms of a contract. effective_from may precede signed_on; service dates are priced by the former.

    dimensions: financial dimensions by name (practice, cost_center). approvals: who approved, legal and finance.
    """

    contract_no: str
    version: int
    client_no: str
    client: Client
    entity: str
    currency: str
    effective_from: date
    effective_to: date | None = None
    signed_on: date
    legal_approved_by: str = ""
    finance_approved_by: str = ""
    payment_terms: str = ""
    po_number: str = ""
    template: str = ""
    dimensions: dict[str, str] = Field(default_factory=dict)
    lines: tuple[ContractLine, ...]
    caps: tuple[Cap, ...] = ()
    transaction_price: Exact | None = None
    document_ref: str = ""
    document_hash: str = ""
    opportunity_ref: str = ""
    source_ref: str = ""
    change_order: str = ""

    @property
    def key(self) -> str:
        """Business key of this version."""
        return f"{self.contract_no}@{self.version}"

    def line(self, line_uid: str) -> ContractLine:
        """The line with this uid; BadInput when the version has none."""
        for line in self.lines:
            if line.line_uid == line_uid:
                return line
        raise BadInput(f"contract {self.key} has no line {line_uid}")


class Engagement(Canonical):
    """The journey of one contract through the firm."""

    engagement_no: str
    contract_no: str
    client_no: str
    entity: str
    state: EngagementState = EngagementState.REQUESTED
    project_code: str = ""
    sold_value: Exact | None = None
    currency: str = ""


# -- delivery -------------------------------------------------------------------------------------------------


class Task(Canonical):
    """One piece of work of a project, for one contract line."""

    code: str
    name: str
    line_uid: str
    billable: bool = True
    milestone: int | None = None


class Project(Canonical):
    """What is set up in PSA and ERP for an engagement."""

    project_code: str
    name: str
    contract_no: str
    contract_version: int
    client_no: str
    entity: str
    currency: str
    start: date
    end: date | None = None
    dimensions: dict[str, str] = Field(default_factory=dict)
    template: str = ""
    budget: Exact | None = None
    tasks: tuple[Task, ...] = ()
    rates: tuple[Rate, ...] = ()


class TimeEntry(Canonical):
    """Approved time as its owner (the PSA) has it. A correction is a higher revision with the new total hours.

    hours: four decimals, never negative; service_date: in the worker's own calendar; approved_at: an instant, with
    its offset, because a later approval wins over an earlier one.
    """

    source: str
    source_id: str
    revision: int = 1
    project_code: str
    task_code: str = ""
    person: str
    role: str
    service_date: date
    hours: Exact
    note: str = ""
    approved_by: str
    approved_at: datetime
    cost_rate: Exact | None = None
    cost_currency: str = ""

    @model_validator(mode="after")
    def _a_days_work(self) -> TimeEntry:
        if self.hours < 0:
            raise BadInput(f"time entry {self.source_id}: {self.hours} hours: a quantity cannot be negative")
        if self.hours > 24:
            raise BadInput(f"time entry {self.source_id}: {self.hours} hours: a day has 24")
        if self.hours != self.hours.quantize(Decimal("0.0001")):
            raise BadInput(f"time entry {self.source_id}: {self.hours} hours: at most four decimals")
        if self.approved_at.tzinfo is None:
            raise BadInput(f"time entry {self.source_id}: approved at {self.approved_at}: its offset is missing")
        return self

    @property
    def key(self) -> str:
        """Business key of the entry over all its revisions."""
        return f"{self.source}:{self.source_id}"


# -- billing --------------------------------------------------------------------------------------------------


class BillableItem(Canonical):
    """Immutable evidence: one revision of an entry (or milestone), priced.

    entry_quantity and entry_net are the whole revision: entry_net = round(entry_quantity * unit_price). quantity and
    net are what this item has to place: the same for a first revision, the difference to what earlier revisions
    already have on paper for a correction.
    """

    item_id: str
    source_key: str
    revision: int
    contract_no: str
    contract_version: int
    line_uid: str
    project_code: str
    task_code: str = ""
    person: str = ""
    role: str = ""
    service_date: date
    entry_quantity: Exact
    entry_net: Exact
    quantity: Exact
    unit_price: Exact
    net: Exact
    currency: str
    billable: bool = True
    price_trace: dict[str, Any] = Field(default_factory=dict)
    approved_by: str = ""
    approved_at: datetime | None = None

    @model_validator(mode="after")
    def _net_fits(self) -> BillableItem:
        if not is_exact_amount(self.net, self.currency):
            raise BadInput(f"{self.net} {self.currency}: {minor_units(self.currency)} decimals")
        return self


class BillablePart(Canonical):
    """A share of an item in exactly one state. The parts of an item that are not superseded add up to it exactly."""

    part_id: str
    item_id: str
    contract_no: str
    quantity: Exact
    net: Exact
    currency: str
    state: PartState
    service_date: date
    order_key: str
    cap_id: str = ""
    reason: str = ""
    invoice_id: str = ""
    origin_part: str = ""


class InvoiceLine(Canonical):
    """One line: its net is the sum of the rounded nets of its parts."""

    number: int
    description: str
    quantity: Exact
    unit_price: Exact
    net: Exact
    tax_code: str = ""
    line_uid: str = ""
    part_ids: tuple[str, ...] = ()
    tax: Exact = Decimal("0")


class TaxAnswer(Canonical):
    """What the tax engine said about a document."""

    document_code: str
    net: Exact
    tax: Exact
    currency: str
    status: str
    line_taxes: dict[int, Exact] = Field(default_factory=dict)
    rates: dict[str, Exact] = Field(default_factory=dict)


class Invoice(Canonical):
    """A claim on the client: five independent tracks and a life. number is empty until issue, then never changes."""

    invoice_id: str
    contract_no: str
    contract_version: int
    client_no: str
    entity: str
    project_code: str
    currency: str
    period: str
    lines: tuple[InvoiceLine, ...]
    net: Exact
    tax: Exact = Decimal("0")
    total: Exact = Decimal("0")
    open: Exact = Decimal("0")
    number: str = ""
    issue_date: date | None = None
    due_date: date | None = None
    accounting_date: date | None = None
    po_number: str = ""
    payment_terms: str = ""
    prepared_by: str = ""
    approved_by: str = ""
    life: InvoiceLife = InvoiceLife.DRAFT
    composition: Composition = Composition.DRAFTED
    tax_track: TaxTrack = TaxTrack.PENDING
    posting: Posting = Posting.NOT_POSTED
    delivery: Delivery = Delivery.NOT_SENT
    settlement: Settlement = Settlement.OPEN


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
    kind: Literal["payment", "small_difference"] = "payment"
