"""What ports carry beside canonical objects: pages of changes, documents to post, and what was found."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from pydantic import Field

from isthmus.domain.envelopes import SignedEnvelope
from isthmus.domain.journals import Account
from isthmus.domain.money import Exact
from isthmus.domain.objects import (
    Address,
    Canonical,
    Expense,
    ExternalRef,
    MilestoneStatus,
    Payment,
    Rate,
    Task,
    TimeEntry,
)

SHOWN_MAX = 255  # characters that a field for a line of text takes nearly everywhere


class ContractNotice(Canonical):
    """A contract changed in its owner system; read it to know how. message_id is unique per change."""

    message_id: str
    contract_no: str
    version: int
    changed_at: str


class ContractNotices(Canonical):
    """Contract changes after a watermark, oldest first; watermark is what to ask with next time."""

    notices: tuple[ContractNotice, ...]
    watermark: str


class Withdrawn(Canonical):
    """An entry or expense that is deleted over there, or approved no longer. at: when, with its offset; by: who or why.

    The other system may no longer know what it was; the hub knows, and corrects it to nothing. One it has never heard
    of means nothing.
    """

    source: str
    source_id: str
    by: str
    at: datetime

    @property
    def key(self) -> str:
        """Business key of what is withdrawn."""
        return f"{self.source}:{self.source_id}"


class TimePage(Canonical):
    """Approved time changed after a watermark. unreadable: what could not be read, with the reason: never dropped."""

    entries: tuple[TimeEntry, ...]
    watermark: str
    unreadable: tuple[tuple[str, str], ...] = ()
    withdrawn: tuple[Withdrawn, ...] = ()


class ExpensePage(Canonical):
    """Approved expenses changed after a watermark. unreadable: what could not be read, with the reason."""

    expenses: tuple[Expense, ...]
    watermark: str
    unreadable: tuple[tuple[str, str], ...] = ()
    withdrawn: tuple[Withdrawn, ...] = ()


class MilestonePage(Canonical):
    """Milestones changed after a watermark. unreadable: what could not be read, with the reason."""

    milestones: tuple[MilestoneStatus, ...]
    watermark: str
    unreadable: tuple[tuple[str, str], ...] = ()


class SignedPage(Canonical):
    """Envelopes that ended after a watermark. unreadable: what names no version of a contract, with the reason."""

    envelopes: tuple[SignedEnvelope, ...]
    watermark: str
    unreadable: tuple[tuple[str, str], ...] = ()


class PaymentPage(Canonical):
    """Payments recorded after a watermark, oldest first."""

    payments: tuple[Payment, ...]
    watermark: str


class ContractStatus(Canonical):
    """What the CRM shows its users about a contract: state, project, and money so far (net billed, gross paid).

    revision: counts the times the contract was summed up; it makes every report a write of its own.
    """

    contract_no: str
    revision: int = 0
    state: str
    project_ref: str = ""
    billed: Exact = Decimal("0")
    paid: Exact = Decimal("0")
    last_invoice: str = ""
    currency: str


class ContestedLines(Canonical):
    """What a client contests of a project's invoices at the moment: a line of text for each dispute that is open.

    revision: counts the times it was summed up; it makes every report a write of its own.
    """

    project_code: str
    revision: int = 0
    lines: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """In one text, at most 255 characters, as a field for text takes it."""
        told = "; ".join(self.lines) or "nothing is contested"
        return told if len(told) <= SHOWN_MAX else f"{told[: SHOWN_MAX - 2].rstrip()} …"


class TaskIn(Canonical):
    """A task and the project it belongs to."""

    project_code: str
    task: Task


class RateCardIn(Canonical):
    """The contract's rates for one project, one currency."""

    project_code: str
    currency: str
    rates: tuple[Rate, ...]


class ProjectFacts(Canonical):
    """What a system says about a project when asked: for read-back before the engagement may start."""

    ref: ExternalRef
    project_code: str
    name: str
    currency: str
    active: bool
    client_no: str = ""
    tasks: tuple[str, ...] = ()


class TimeCost(Canonical):
    """An hour as cost, for the ERP. key: source entry and revision; hours are this revision's, raw."""

    entry_key: str
    revision: int
    project_code: str
    task_code: str
    person: str
    role: str
    service_date: date
    hours: Exact
    billable: bool
    bill_rate: Exact
    memo: str = ""


class ScheduleIn(Canonical):
    """A billing schedule of fixed amounts for a project."""

    project_code: str
    currency: str
    milestones: tuple[tuple[str, date, Exact], ...]


class PostLine(Canonical):
    """One line of a document to post: net before tax, and its tax as the engine gave it."""

    number: int
    description: str
    quantity: Exact
    unit_price: Exact
    net: Exact
    tax: Exact
    tax_code: str = ""


class PostInvoice(Canonical):
    """An issued invoice or credit memo on its way to the ERP. number is the legal number and the external id there.

    original_number: the invoice a credit memo credits; empty for an invoice. Amounts of a credit memo are positive.
    client_no: on whose account it stands. ordered_by: the client whose project it is, where another one pays; empty
    where that is the same. dimensions: the project's financial ones, for books that want them on the document too.
    """

    number: str
    original_number: str = ""
    client_no: str
    ordered_by: str = ""
    entity: str
    project_code: str
    currency: str
    issue_date: date
    due_date: date
    payment_terms: str
    po_number: str = ""
    lines: tuple[PostLine, ...]
    net: Exact
    tax: Exact
    total: Exact
    memo: str = ""
    dimensions: dict[str, str] = Field(default_factory=dict)


class PostedInvoice(Canonical):
    """An invoice as the ERP has it. issue_date, project_code: where it is listed, as far as the ERP knows them."""

    ref: ExternalRef
    number: str
    total: Exact
    open: Exact
    currency: str
    client_no: str = ""
    state: str = "posted"
    issue_date: date | None = None
    project_code: str = ""


class VendorBillLine(Canonical):
    """One line of a supplier's bill to post, before tax. account: what it is booked on, as an account is named by what
    it is for; amount is negative where something is kept back or credited.
    """

    number: int
    account: Account
    description: str
    amount: Exact


class PostVendorBill(Canonical):
    """A supplier's bill that is agreed, on its way to the ERP. bill_id: the hub's key and the external id there.

    total: what is payable, the sum of the lines; below nothing it is posted as a credit. bill_no: the supplier's own
    number. payment_hold: it may not be paid yet. Input tax is the ERP's: amounts are before tax.
    """

    bill_id: str
    bill_no: str
    supplier: str
    entity: str
    project_code: str
    currency: str
    billed_on: date
    due_on: date
    lines: tuple[VendorBillLine, ...]
    total: Exact
    payment_hold: bool = False
    memo: str = ""


class PostedBill(Canonical):
    """A supplier's bill as the ERP has it. total: before tax, below nothing for a credit. held: payment is on hold."""

    ref: ExternalRef
    bill_no: str
    total: Exact
    currency: str
    held: bool = False
    state: str = "posted"


class TaxLineIn(Canonical):
    """One line for the tax engine."""

    number: int
    net: Exact
    tax_code: str
    description: str = ""


class TaxDocument(Canonical):
    """What is asked of a tax engine. code is the hub's document id, the same for every attempt.

    kind credit: nets are negative, original_code is the document credited, and rates are those of rate_date.
    """

    code: str
    kind: Literal["invoice", "credit"] = "invoice"
    original_code: str = ""
    rate_date: date | None = None
    entity: str
    client_no: str
    currency: str
    document_date: date
    ship_from: Address
    ship_to: Address
    exemption_certificate: str = ""
    po_number: str = ""
    lines: tuple[TaxLineIn, ...]


class InvoicedTime(Canonical):
    """Which entries of a project an invoice has billed, for the tool they came from (source, as in their keys)."""

    source: str = ""
    project_code: str
    number: str
    issue_date: date
    total: Exact
    currency: str
    entry_keys: tuple[str, ...]


class Registrations(Canonical):
    """Regions in which the entity is registered for tax, such as US-NY."""

    entity: str
    regions: tuple[str, ...] = Field(default_factory=tuple)
