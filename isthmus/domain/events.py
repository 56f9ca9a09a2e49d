"""Business events: one envelope for all, and the list of types with what each means and who publishes it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1

# type -> what has happened, in the words of the business. An event that is not listed cannot be emitted.
EVENT_TYPES: dict[str, str] = {
    "contract.approved": "Legal and finance have approved a contract version",
    "contract.version_activated": "A contract version is in force",
    "contract.amended": "A running contract has an amended version",
    "change_order.accepted": "The client has accepted a change order",
    "envelope.completed": "All have signed an envelope: evidence that a contract version or change order is agreed",
    "envelope.declined": "A signer has declined: the envelope approves nothing",
    "envelope.voided": "The sender has taken an envelope back, or it has expired: it approves nothing",
    "client.created": "A client is known to the hub",
    "engagement.requested": "An approved contract asks for an engagement",
    "engagement.paused": "The engagement waits for a decision",
    "engagement.ready": "Every readiness check has passed",
    "engagement.activated": "Time may be recorded",
    "engagement.cancelled": "The engagement was called off and its set-up undone",
    "project.provisioned": "The project exists in another system",
    "time.received": "A system has reported approved time, not yet checked",
    "time.approved": "Approved time has become evidence",
    "time.corrected": "Approved time has a new revision",
    "billing.part_state_changed": "A billable part has moved",
    "billing.parts_billed": "Many new parts of a contract took the same way of states together",
    "billing.ready": "A contract has amounts ready to bill",
    "cap.hard_reached": "A hard cap is full",
    "cap.alert": "A cap is used up to a share that its owner wants to know of",
    "cap.soft_exceeded": "A soft cap is exceeded",
    "cap.raised": "A cap has more room and was evaluated again",
    "invoice.drafted": "A draft invoice holds ready parts",
    "invoice.approved": "The draft may be issued",
    "invoice.issued": "The invoice has its number",
    "invoice.tax_failed": "The tax engine cannot answer",
    "invoice.posted": "The ERP has the receivable",
    "invoice.post_rejected": "The ERP has refused the receivable",
    "invoice.delivered": "The invoice and its status went back to CRM and PSA",
    "invoice.partially_paid": "Part of the invoice is paid",
    "invoice.paid": "Nothing is open any more",
    "payment.received": "Money has come in",
    "payment.applied": "A payment settles invoices",
    "expense.approved": "An approved expense has become evidence",
    "milestone.completed": "The PSA says a milestone is completed",
    "milestone.accepted": "A milestone is accepted and may be billed",
    "milestone.rejected": "A milestone is not accepted and goes on",
    "invoice.credited": "A credit memo gives back part of an invoice",
    "dispute.opened": "A client contests a line of an invoice",
    "dispute.resolved": "A dispute is decided",
    "period.state_changed": "A fiscal period was closed or opened",
    "journal.kept": "An amount is to be booked in the general ledger",
    "journal.booked": "A journal is booked in the ERP",
    "subcontract.agreed": "What a supplier's people cost is agreed, or agreed anew",
    "bill.received": "A subcontractor's bill has come in",
    "bill.matched": "A subcontractor's bill is approved time at the purchase rate, or was let pass",
    "bill.disputed": "A subcontractor's bill is contested",
    "bill.confirmed": "The hours of a subcontractor's bill are paid",
    "bill.posted": "The ERP has a subcontractor's bill",
    "bill.payable": "Nothing holds the payment of a subcontractor's bill",
    "bill.cancelled": "A subcontractor's bill is not paid",
    "deposit.expired": "What was left of a deposit is forfeited and is revenue",
    "payment.reversed": "Money that had come in was taken back",
    "invoice.written_off": "What the client will not pay is given up",
    "invoice.reopened": "What had settled an invoice was taken back",
    "rate_card.activated": "A version of a rate card prices from now on",
    "write_down.approved": "A second person has approved that ready work is billed at less",
    "write_off.approved": "A second person has approved a write-off",
    "case.opened": "A person must decide",
    "case.resolved": "A person has decided",
    "case.escalated": "A case is past its service level",
    "case.proposed": "A decision on a case waits for a second person",
}


class Event(BaseModel):
    """The envelope. sequence counts per aggregate from 1; subscribers get an aggregate's events in this order."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    event_id: str
    type: str
    schema_version: int = SCHEMA_VERSION
    occurred_at: datetime
    entity: str = ""
    aggregate: str
    sequence: int
    correlation_id: str
    causation_id: str = ""
    actor: str
    payload: dict[str, Any]

    def cloudevent(self) -> dict[str, Any]:
        """The event as CloudEvents 1.0 JSON."""
        return {
            "specversion": "1.0",
            "id": self.event_id,
            "source": "/isthmus",
            "type": f"isthmus.{self.type}.v{self.schema_version}",
            "subject": self.aggregate,
            "time": self.occurred_at.isoformat(),
            "datacontenttype": "application/json",
            "correlationid": self.correlation_id,
            "sequence": str(self.sequence),
            "data": self.payload,
        }
