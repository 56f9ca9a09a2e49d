"""From money received to a settled invoice that everybody sees as paid."""

from __future__ import annotations

from typing import Any

from isthmus.domain.objects import Payment
from isthmus.processes.work import cash, invoicing
from isthmus.runtime.process import process
from isthmus.runtime.run import Run


@process(
    starts="a payment the ERP has recorded (change capture)",
    owner="Receivables; collections for short payments",
    key="the payment's id in its source",
    parks=("EX-CASH-UNMATCHED", "EX-FX-RATE", "EX-SHORT-PAY", "EX-WHT-CERT", "EX-WRITEBACK"),
    undo="nothing: an allocation is reversed by a new one, never edited",
    lane="financial",
)
def invoice_to_cash(run: Run, payment: dict[str, Any]) -> str:
    """P3, steps 1 to 4."""
    received = run.decide("Take the payment in", cash.receive, Payment.model_validate(payment))
    shares = run.decide("Allocate it to open invoices", cash.allocate, received)
    contracts = run.decide("Judge what is left open", cash.judge_differences, received, shares)
    run.decide("Keep the certificates of tax withheld", cash.keep_certificates, received)
    for contract_no in contracts:
        invoicing.show_in_crm(run, "Show the payment in the CRM", contract_no)
    return f"{len(shares)} invoices settled"


@process(
    starts="a payment the ERP has changed after it had reported it (change capture)",
    owner="Receivables",
    key="the payment's id in its source and its new content",
    parks=("EX-PAY-CHANGED",),
    undo="nothing: what was allocated is only changed by a person",
    lane="financial",
)
def payment_changed(run: Run, payment: dict[str, Any]) -> str:
    """P3: an allocation made later in the ERP answers the open case; any other change is a person's."""
    return run.decide("Judge what has changed", cash.judge_change, Payment.model_validate(payment))
