"""A draft before it is approved: what is unusual about it, and who has to say yes (P2.10)."""

from __future__ import annotations

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.objects import BillableItem, BillablePart, Invoice, LegalEntity
from isthmus.domain.states import Composition, InvoiceLife, move
from isthmus.policies.anomalies import Anomaly, Review, find_anomalies
from isthmus.policies.approvals import approvers
from isthmus.processes.work.drafting import facts, versions_of
from isthmus.processes.work.invoicing import rule_of
from isthmus.processes.work.reading import contracts_on, invoice_of
from isthmus.runtime.books import Books

HISTORY_MAX = 24  # invoices of a client that say what is usual
PRICED_BY_HOUR = ("tm", "cost_plus")
WORTH_KNOWING = (InvoiceLife.DRAFT, InvoiceLife.ISSUED)


def approve(books: Books, invoice_id: str) -> Invoice:
    """Above the entity's limit a second person approves, with the role its matrix asks for, and so they do when
    something is unusual; below it the rule does, and says so.
    """
    invoice = invoice_of(books, invoice_id)
    entity = books.entity(invoice.entity)
    answer = books.answers.get("EX-REVIEW", {})
    if answer.get("action") != "approve":
        _ask(books, invoice, entity)
    by = str(answer.get("by", rule_of(entity)))
    approved = move(invoice, "composition", Composition.APPROVED).model_copy(update={"approved_by": by})
    books.tx.update(approved)
    books.emit("invoice.approved", f"invoice:{invoice_id}", facts(approved), entity=invoice.entity)
    return approved


def _ask(books: Books, invoice: Invoice, entity: LegalEntity) -> None:
    """EX-REVIEW with every reason at once, or nothing."""
    review = review_of(books, invoice)
    found = find_anomalies(review)
    limit = entity.invoice_approval_limit
    most = versions_of(books, invoice.contract_no)[-1].invoicing.maximum
    reasons = [f"it is above the limit of {limit}"] if limit and invoice.net > limit else []
    reasons += [f"it is more than the {most} that an invoice may be"] if most and invoice.net > most else []
    reasons += [anomaly.reason for anomaly in found if anomaly.check in review.habits.waits]
    if not reasons:
        for anomaly in found:
            books.quiet("billing", f"invoice:{invoice.invoice_id}", anomaly.reason)
        return
    raise NeedsDecision(
        "EX-REVIEW",
        f"draft {invoice.invoice_id} of {invoice.net} {invoice.currency}: {'; '.join(reasons)}",
        queue="billing",
        money=(invoice.net, invoice.currency),
        context={
            "invoice": invoice.invoice_id,
            "prepared_by": invoice.prepared_by,
            "client": invoice.client_no,
            "approvers": approvers(entity.approval_matrix, "invoice", invoice.net),
            "unusual": [_told(anomaly) for anomaly in found],
        },
        actions=("approve", "cancel"),
    )


def review_of(books: Books, invoice: Invoice) -> Review:
    """The invoice with its evidence and what the client had before."""
    parts = books.tx.find(BillablePart, invoice_id=invoice.invoice_id)
    on_it = tuple(sorted({part.item_id for part in parts}))
    items = books.tx.find(BillableItem, item_id=on_it, order=("item_id",)) if on_it else []
    history = books.tx.find(
        Invoice, client_no=invoice.client_no, life=WORTH_KNOWING, order=("-issue_date",), limit=HISTORY_MAX
    )
    fees = {
        line.line_uid
        for contract_no in contracts_on(invoice)
        for version in versions_of(books, contract_no)
        for line in version.lines
        if line.billing_type not in PRICED_BY_HOUR
    }
    return Review(invoice, items, books.today(invoice.entity), history=history, included=fees)


def _told(anomaly: Anomaly) -> dict[str, str]:
    return {"check": anomaly.check, "reason": anomaly.reason, "amount": str(anomaly.amount)}
