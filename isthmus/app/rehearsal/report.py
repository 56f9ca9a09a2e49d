"""What a rehearsal came to: evidence by state, documents with lines, tax and numbers, settlements, cases, effects."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from pydantic import BaseModel

from isthmus.app.rehearsal.script import Script
from isthmus.app.rehearsal.stage import Stage
from isthmus.domain.objects import Allocation, BillablePart, Invoice
from isthmus.domain.states import CaseState, InvoiceLife, PartState
from isthmus.store.records import Case, OutboxEvent


class DocumentLine(BaseModel):
    """One line of a document."""

    number: int
    description: str
    quantity: Decimal
    unit_price: Decimal
    net: Decimal
    held: Decimal
    tax: Decimal


class Document(BaseModel):
    """An issued invoice or credit memo."""

    number: str
    kind: str
    contract_no: str
    bill_to: str
    issue_date: str
    currency: str
    net: Decimal
    tax: Decimal
    total: Decimal
    open: Decimal
    settlement: str
    lines: list[DocumentLine]


class OpenCase(BaseModel):
    """What still waits for a person."""

    exception: str
    cause: str
    queue: str


class Report(BaseModel):
    """The outcome. failures: expectations that were not met, and acts that were refused."""

    title: str
    acts: int
    evidence: dict[str, dict[str, Decimal]]
    documents: list[Document]
    settlements: list[dict[str, str]]
    cases: list[OpenCase]
    events: dict[str, int]
    remote: dict[str, dict[str, int]]
    failures: list[str]


def report(stage: Stage, script: Script, failures: list[str]) -> Report:
    """Everything a controller wants to see at the end."""
    with stage.store.transaction() as tx:
        evidence: dict[str, dict[str, Decimal]] = {}
        for part in tx.find(BillablePart):
            if part.state not in (PartState.SUPERSEDED, PartState.CREDITED):
                states = evidence.setdefault(part.contract_no, {})
                states[str(part.state)] = states.get(str(part.state), Decimal(0)) + part.net
        issued = tx.find(Invoice, life=(InvoiceLife.ISSUED, InvoiceLife.CREDITED), order=("number",))
        shares = tx.find(Allocation, order=("allocation_id",))
        numbers = {invoice.invoice_id: invoice.number for invoice in issued}
        cases = tx.find(Case, state=CaseState.OPEN, order=("case_no",))
        events = Counter(event.type for event in tx.find(OutboxEvent))
    return Report(
        title=script.title,
        acts=len(script.acts),
        evidence=evidence,
        documents=[_document(invoice) for invoice in issued],
        settlements=[
            {"of": share.payment_key, "to": numbers.get(share.invoice_id, ""), "amount": str(share.amount)}
            | {"kind": share.kind}
            for share in shares
        ],
        cases=[OpenCase(exception=case.exception, cause=case.cause, queue=case.queue) for case in cases],
        events=dict(sorted(events.items())),
        remote={
            system: {name: len(rows) for name, rows in stage.state(system).items() if rows} for system in stage.served
        },
        failures=failures,
    )


def _document(invoice: Invoice) -> Document:
    lines = [
        DocumentLine(
            number=line.number,
            description=line.description,
            quantity=line.quantity,
            unit_price=line.unit_price,
            net=line.net,
            held=line.held,
            tax=line.tax,
        )
        for line in invoice.lines
    ]
    return Document(
        number=invoice.number,
        kind=invoice.kind,
        contract_no=invoice.contract_no,
        bill_to=invoice.bill_to,
        issue_date=str(invoice.issue_date),
        currency=invoice.currency,
        net=invoice.net,
        tax=invoice.tax,
        total=invoice.total,
        open=invoice.open,
        settlement=str(invoice.settlement),
        lines=lines,
    )
