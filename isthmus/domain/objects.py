"""The canonical objects: what a client, a contract, an hour, an evidence part and an invoice are to the hub.

All are immutable. A change is a new version or a new object; nothing approved is ever edited. Four dates are kept
apart and never stand in for each other: *commercial* (effective_from, signed_on), *service* (service_date),
*accounting* (accounting_date) and *recorded* (recorded_at, always an instant in UTC).

Keys are the business's own: client number, contract number and version, project code, source system and entry id.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field, model_validator

from isthmus.domain.base import Canonical
from isthmus.domain.errors import BadInput
from isthmus.domain.money import Exact, is_exact_amount, minor_units
from isthmus.domain.party import Address, Approval, Client, ExternalRef, LegalEntity
from isthmus.domain.settlement import Allocation, Dispute, Payment
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
from isthmus.domain.terms import (
    BillingType,
    Cap,
    CapKind,
    Chargeable,
    CostPlus,
    DayRule,
    Deposit,
    Discount,
    ExpenseTerms,
    FxPolicy,
    Holdback,
    Increment,
    InvoiceTerms,
    Milestone,
    MinimumCommitment,
    Payer,
    PurchaseOrder,
    Rate,
    Retainer,
    Subscription,
)
from isthmus.domain.work import (
    Expense,
    MilestoneStatus,
    PercentReport,
    Project,
    SubmittedTime,
    Task,
    TimeEntry,
    UsageRecord,
)

__all__ = [
    "Address",
    "Allocation",
    "Approval",
    "BillableItem",
    "BillablePart",
    "BillingType",
    "Canonical",
    "Cap",
    "CapKind",
    "Client",
    "ContractLine",
    "ContractVersion",
    "Dispute",
    "Engagement",
    "Expense",
    "ExternalRef",
    "FiledContract",
    "Hold",
    "Invoice",
    "InvoiceLine",
    "LedgerEntry",
    "LegalEntity",
    "Milestone",
    "MilestoneStatus",
    "Payment",
    "PercentReport",
    "Project",
    "Rate",
    "RateCard",
    "SubmittedTime",
    "Task",
    "TaxAnswer",
    "TaxCategory",
    "TimeEntry",
    "UsageRecord",
]


# -- commercial -----------------------------------------------------------------------------------------------


class ContractLine(Canonical):
    """One line of a contract version. line_uid stays the same across versions.

    Which terms a line may have follows from its billing_type; policies.readiness refuses the others. billable_from:
    work before this day (a change order's acceptance) is held. clause: where the signed document says so.
    """

    line_uid: str
    description: str
    billing_type: BillingType
    rates: tuple[Rate, ...] = ()
    milestones: tuple[Milestone, ...] = ()
    roles: tuple[str, ...] = ()
    price: Exact | None = None
    tax_code: str = ""
    tax_category: str = ""
    deliverable: str = ""
    increment: Increment | None = None
    day_rule: DayRule | None = None
    chargeable: Chargeable = Chargeable()
    discounts: tuple[Discount, ...] = ()
    payers: tuple[Payer, ...] = ()
    fx: FxPolicy | None = None
    holdback: Holdback | None = None
    retainer: Retainer | None = None
    deposit: Deposit | None = None
    subscription: Subscription | None = None
    commitment: MinimumCommitment | None = None
    cost_plus: CostPlus | None = None
    expenses: ExpenseTerms | None = None
    billable_from: date | None = None
    respread: Literal["keep_percent", "keep_amounts"] = "keep_percent"
    clause: str = ""


class ContractVersion(Canonical):
    """Immutable terms of a contract. effective_from may precede signed_on; service dates are priced by the former.

    dimensions: financial dimensions by name (practice, cost_center). approvals: who approved, legal and finance.
    payers: who pays beside the client; whom lines and caps name as such is one of them or the client.
    """

    contract_no: str
    version: int
    client_no: str
    client: Client
    payers: tuple[Client, ...] = ()
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
    purchase_orders: tuple[PurchaseOrder, ...] = ()
    invoicing: InvoiceTerms = InvoiceTerms()
    authorised_value: Exact | None = None
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

    def taxed(self, bill_to: str) -> Client:
        """Whose establishment and status decide the tax of what is billed to a payer: see InvoiceTerms.tax_party."""
        payers = self.payers if self.invoicing.tax_party == "payer" else ()
        return next((payer for payer in payers if payer.client_no == bill_to), self.client)


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


# -- billing --------------------------------------------------------------------------------------------------


class Hold(Canonical):
    """Why evidence is not billed yet. It covers one source (entry, expense …) or a whole line; amount None: all of it.

    A deferral is a hold that ends by itself on until. A released hold stays as it was, with who released it.
    """

    hold_id: str
    contract_no: str
    line_uid: str = ""
    source_key: str = ""
    reason: Literal[
        "MILESTONE",
        "PO_MISSING",
        "PO_LIMIT",
        "PO_EXPIRED",
        "RECEIPT_MISSING",
        "CLIENT_REQUEST",
        "DISPUTE",
        "CREDIT",
        "TAX",
        "CONTRACT_UNSIGNED",
        "PRIOR_PERIOD",
        "RERATE",
        "MIN_INVOICE",
        "MANUAL",
        "DEFERRED",
    ]
    amount: Exact | None = None
    owner: str = ""
    placed_by: str
    placed_at: datetime
    until: date | None = None
    released_by: str = ""
    released_at: datetime | None = None


class LedgerEntry(Canonical):
    """One movement of a balance that belongs to a contract line: retainer hours, a deposit, a holdback, a commitment;
    or what a closed month keeps of a contract (accrual, earned).

    Append-only; the balance is the sum. hours and amount are signed from the client's point of view: a grant is plus.
    """

    entry_id: str
    ledger: Literal["retainer", "deposit", "holdback", "commitment", "accrual", "earned"]
    contract_no: str
    line_uid: str
    period: str
    kind: Literal[
        "grant", "draw", "rollover", "expire", "refund", "adjust", "withheld", "released", "accrued", "reversed"
    ]
    hours: Exact = Decimal("0")
    amount: Exact = Decimal("0")
    cost: Exact = Decimal("0")
    currency: str
    expires: date | None = None
    invoice_id: str = ""
    source_key: str = ""
    recorded_at: datetime


class BillableItem(Canonical):
    """Immutable evidence: one revision of a source (entry, expense, milestone, fee …), priced, for one payer.

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
    source_type: str = "time"
    entry_key: str = ""
    entry_revision: int = 0
    raw_quantity: Exact | None = None
    extended: Exact | None = None
    discount: Exact = Decimal("0")
    payer: str = ""
    po_number: str = ""
    phase: str = ""
    expense_class: str = ""
    tax_category: str = ""
    description: str = ""
    refers_to: str = ""
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
    hold_id: str = ""
    invoice_id: str = ""
    origin_part: str = ""
    payer: str = ""
    po_number: str = ""


class InvoiceLine(Canonical):
    """One line: its net is the sum of the rounded nets of its parts less what is held back.

    credited and disputed: net of this line that was given back, or that the client contests. unheld: what of held went
    back with it. taxable: what tax falls on where that is not the net (a holdback taxed with the invoice, its release).
    """

    number: int
    description: str
    quantity: Exact
    unit_price: Exact
    net: Exact
    tax_code: str = ""
    line_uid: str = ""
    part_ids: tuple[str, ...] = ()
    tax: Exact = Decimal("0")
    tax_category: str = ""
    tax_rate: Exact | None = None
    held: Exact = Decimal("0")
    kind: Literal["evidence", "holdback", "deposit", "discount", "rounding", "credit"] = "evidence"
    contract_no: str = ""
    contract_version: int = 0
    project_code: str = ""
    credits_line: int = 0
    credited: Exact = Decimal("0")
    disputed: Exact = Decimal("0")
    unheld: Exact = Decimal("0")
    taxable: Exact | None = None

    @property
    def taxed_net(self) -> Decimal:
        """What tax falls on."""
        return self.net if self.taxable is None else self.taxable

    @property
    def asked_net(self) -> Decimal:
        """What a tax engine is asked about: nothing of what is outside the scope of tax, such as a disbursement."""
        return Decimal("0") if self.tax_category == "O" else self.taxed_net


class TaxCategory(Canonical):
    """One row of an invoice's tax breakdown. code: EN 16931 category (S, AE, E, O, Z) or an engine's jurisdiction."""

    code: str
    rate: Exact
    taxable: Exact
    tax: Exact
    reason: str = ""


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
    """A claim on the client, or on who pays beside it (bill_to): five independent tracks and a life. number is empty
    until issue, then never changes.
    """

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
    kind: Literal["standard", "advance", "credit", "rebill", "release", "intercompany"] = "standard"
    bill_to: str = ""
    group: str = ""
    original_invoice_id: str = ""
    reason: str = ""
    tax_breakdown: tuple[TaxCategory, ...] = ()
    tax_decision: dict[str, Any] = Field(default_factory=dict)
    functional_currency: str = ""
    functional_total: Exact | None = None
    fx_rate: Exact | None = None
    fx_date: date | None = None
    fx_source: str = ""
    attachments: tuple[str, ...] = ()
    disputed: Exact = Decimal("0")
    credited: Exact = Decimal("0")
    life: InvoiceLife = InvoiceLife.DRAFT
    composition: Composition = Composition.DRAFTED
    tax_track: TaxTrack = TaxTrack.PENDING
    posting: Posting = Posting.NOT_POSTED
    delivery: Delivery = Delivery.NOT_SENT
    settlement: Settlement = Settlement.OPEN

    @property
    def owed_by(self) -> str:
        """The number of the client on whose account in the ERP it stands, and who pays it."""
        return self.bill_to or self.client_no


class RateCard(Canonical):
    """Prices agreed beside a contract: with a client, or for a whole legal entity. A new version replaces the last.

    Only an active card prices; a retired one says what was priced while it was. source: the file it came in, and the
    hash of its content.
    """

    code: str
    version: int
    scope: Literal["client", "entity"]
    client_no: str = ""
    entity: str = ""
    currency: str
    rates: tuple[Rate, ...]
    state: Literal["draft", "approved", "active", "retired"] = "active"
    approved_by: tuple[str, ...] = ()
    source: str = ""

    @property
    def key(self) -> str:
        """Code and version."""
        return f"{self.code}@{self.version}"


class FiledContract(Canonical):
    """A contract version as it was handed in (CLM, API, rehearsal), complete with its terms; the CRM has less."""

    contract_no: str
    version: int
    content: ContractVersion
    filed_by: str
    filed_at: datetime
