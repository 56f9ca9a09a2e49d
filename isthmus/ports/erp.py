"""What the hub asks of an ERP: client, project and cost, receivables and credits, and the money that came in."""

from __future__ import annotations

from datetime import date
from typing import Protocol

from isthmus.domain.journals import Journal
from isthmus.domain.objects import Client, ExternalRef, Project
from isthmus.ports.messages import (
    PaymentPage,
    PostedBill,
    PostedInvoice,
    PostInvoice,
    PostVendorBill,
    ProjectFacts,
    ScheduleIn,
    TaskIn,
    TimeCost,
)
from isthmus.ports.verbs import reads, writes


class Erp(Protocol):
    """Owner of posting, receivables, settlement and statutory reporting."""

    @writes(
        key=lambda client: client.client_no,
        find="find_client",
        exception="EX-ERP-REJECT",
        queue="finance-master-data",
        revisable=True,
    )
    def put_client(self, client: Client) -> ExternalRef:
        """Create the client or bring it to these facts."""
        ...

    @reads
    def find_client(self, client: Client) -> ExternalRef | None:
        """The client with this number, if it exists and is active."""
        ...

    @writes(
        key=lambda client: f"{client.client_no}:deactivate",
        find="find_inactive_client",
        exception="EX-ERP-REJECT",
        queue="finance-master-data",
    )
    def deactivate_client(self, client: Client) -> ExternalRef:
        """Undo of put_client for a client that was new."""
        ...

    @reads
    def find_inactive_client(self, client: Client) -> ExternalRef | None:
        """The client, if it is inactive."""
        ...

    @reads
    def payment_terms(self) -> tuple[str, ...]:
        """Codes of the payment terms this ERP knows."""
        ...

    @writes(
        key=lambda project: project.project_code,
        find="find_project",
        exception="EX-ERP-REJECT",
        queue="project-accounting",
        revisable=True,
    )
    def put_project(self, project: Project) -> ExternalRef:
        """Create the project with its financial dimensions, or bring it to these facts."""
        ...

    @reads
    def find_project(self, project: Project) -> ExternalRef | None:
        """The project with this code, if it exists and is active."""
        ...

    @reads
    def read_project(self, project_code: str) -> ProjectFacts:
        """The project as the ERP has it. NotFound when there is none."""
        ...

    @writes(
        key=lambda project: f"{project.project_code}:close",
        find="find_closed",
        exception="EX-ERP-REJECT",
        queue="project-accounting",
    )
    def close_project(self, project: Project) -> ExternalRef:
        """Undo of put_project."""
        ...

    @reads
    def find_closed(self, project: Project) -> ExternalRef | None:
        """The project, if it is closed."""
        ...

    @writes(
        key=lambda item: f"{item.project_code}:{item.task.code}",
        find="find_task",
        exception="EX-ERP-REJECT",
        queue="project-accounting",
        revisable=True,
    )
    def put_task(self, item: TaskIn) -> ExternalRef:
        """Create the project's task."""
        ...

    @reads
    def find_task(self, item: TaskIn) -> ExternalRef | None:
        """The task, if it exists."""
        ...

    @writes(
        key=lambda cost: f"{cost.entry_key}#{cost.revision}",
        find="find_time",
        exception="EX-COST-RATE",
        queue="project-accounting",
    )
    def put_time(self, cost: TimeCost) -> ExternalRef:
        """Record the hour as project cost. A higher revision replaces the lower one, and is sent after it."""
        ...

    @reads
    def find_time(self, cost: TimeCost) -> ExternalRef | None:
        """The hour of this revision, if it is recorded."""
        ...

    @writes(
        key=lambda invoice: invoice.number,
        find="find_invoice",
        exception="EX-POST-REJECT",
        queue="receivables",
        amount=lambda invoice: (invoice.total, invoice.currency),
    )
    def post_invoice(self, invoice: PostInvoice) -> PostedInvoice:
        """Post the receivable under the invoice's legal number."""
        ...

    @reads
    def find_invoice(self, invoice: PostInvoice) -> PostedInvoice | None:
        """The receivable with this number, if it exists."""
        ...

    @writes(
        key=lambda credit: credit.number,
        find="find_credit",
        exception="EX-POST-REJECT",
        queue="receivables",
        amount=lambda credit: (credit.total, credit.currency),
    )
    def post_credit(self, credit: PostInvoice) -> PostedInvoice:
        """Post the credit memo under its legal number, against the invoice it credits. Amounts are positive: what is
        given back; the answer's total is positive too.
        """
        ...

    @reads
    def find_credit(self, credit: PostInvoice) -> PostedInvoice | None:
        """The credit memo with this number, if it exists."""
        ...

    @reads
    def payments_received(self, watermark: str) -> PaymentPage:
        """Customer payments recorded after the watermark."""
        ...


class JournalBook(Protocol):
    """Takes journals into the general ledger. Not every ERP does from outside; without it a person books them."""

    @writes(
        key=lambda journal: journal.journal_no,
        find="find_journal",
        exception="EX-JOURNAL",
        queue="controlling",
        amount=lambda journal: (journal.total, journal.currency),
    )
    def post_journal(self, journal: Journal) -> ExternalRef:
        """Book the journal under its number: its accounts by what they are for, its debits and credits."""
        ...

    @reads
    def find_journal(self, journal: Journal) -> ExternalRef | None:
        """The journal with this number, if it is booked."""
        ...


class ReceivableList(Protocol):
    """Lists what its books claim of customers, whoever made it. Where no ERP does, only what the hub has issued can be
    compared: what somebody made beside the hub is not seen.
    """

    @reads
    def receivables(self, entity: str, since: date) -> tuple[PostedInvoice, ...]:
        """Every invoice and credit memo of a legal entity dated on or after that day, drafts too, cancelled ones not.

        Amounts are as the ERP has them: those of a credit memo are negative.
        """
        ...


class VendorBillBook(Protocol):
    """Takes bills of suppliers. Not every ERP does from outside; without it a person posts them."""

    @writes(
        key=lambda bill: bill.bill_id,
        find="find_bill",
        exception="EX-VENDOR-BILL",
        queue="procurement",
        amount=lambda bill: (bill.total, bill.currency),
    )
    def post_bill(self, bill: PostVendorBill) -> PostedBill:
        """Post the bill under the supplier's number, or as a credit where its total is below nothing."""
        ...

    @reads
    def find_bill(self, bill: PostVendorBill) -> PostedBill | None:
        """The bill with this key as the ERP has it, if it is there."""
        ...

    @writes(
        key=lambda bill: f"{bill.bill_id}:release",
        find="find_released",
        exception="EX-VENDOR-BILL",
        queue="procurement",
        amount=lambda bill: (bill.total, bill.currency),
    )
    def release_bill(self, bill: PostVendorBill) -> PostedBill:
        """Take the hold off the payment of a bill that was posted; nothing else is touched."""
        ...

    @reads
    def find_released(self, bill: PostVendorBill) -> PostedBill | None:
        """The bill, if it is there and its payment is not on hold."""
        ...


class ScheduleBook(Protocol):
    """Keeps the billing schedule of fixed amounts. Not every ERP has one."""

    @writes(
        key=lambda schedule: f"{schedule.project_code}:schedule",
        find="find_schedule",
        exception="EX-SCHED",
        queue="billing",
        revisable=True,
    )
    def put_schedule(self, schedule: ScheduleIn) -> ExternalRef:
        """Open the billing schedule of a fixed price."""
        ...

    @reads
    def find_schedule(self, schedule: ScheduleIn) -> ExternalRef | None:
        """The schedule, if it exists."""
        ...
