"""A month end of a whole legal entity: every contract billed, the plain ones many at a time.

``bill_month`` shares the contracts out. ``bill_share`` bills a share in one transaction, from approved entries to
issued invoices with their lineage. What needs more takes the ordinary way, contract by contract. The other systems
hear of it afterwards, each contract for itself.
"""

from __future__ import annotations

from isthmus.ports import Erp
from isthmus.processes.work import costing
from isthmus.processes.work.bulk import billing
from isthmus.processes.work.issuing import post_and_show
from isthmus.runtime.process import process
from isthmus.runtime.run import Run


@process(
    starts="billing ends a month of a legal entity (CLI)",
    owner="Billing",
    key="legal entity and the month end's name",
    undo="nothing: shares that are billed stay billed; an invoice is taken back by a credit",
    lane="financial",
)
def bill_month(run: Run, entity: str, cutoff: str, name: str, prepared_by: str) -> int:
    """All active contracts of the entity, in shares that any number of workers may take."""
    started = run.decide("Share the contracts out", billing.share_out, entity, cutoff, name, prepared_by)
    return len(started)


@process(
    starts="a month end of a legal entity",
    owner="Billing",
    key="legal entity, the month end's name and the first contract of the share",
    undo="nothing: numbers are allocated in its one transaction",
    lane="financial",
)
def bill_share(run: Run, entity: str, cutoff: str, name: str, prepared_by: str, contracts: list[str]) -> int:
    """P2, steps 3 to 12, for many contracts at once."""
    changed = run.decide(
        "Bill the contracts of the share", billing.bill, entity, cutoff, name, prepared_by, contracts, final=True
    )
    return run.decide("Hand their invoices and cost over", billing.hand_over, entity, changed)


@process(
    starts="a month end that has billed a contract, or made evidence of its hours",
    owner="Billing",
    key="the invoice's id",
    parks=("EX-POST-REJECT", "EX-POST-DIFF", "EX-WRITEBACK"),
    undo="nothing: the invoice has its number",
    lane="financial",
)
def post_month(run: Run, contract_no: str, invoice_id: str) -> str:
    """P2, steps 2, 13 and 14: the hours as cost, the invoice to ERP, PSA and CRM."""
    for costs in run.decide("Find hours whose cost is not sent", billing.costs_not_sent, contract_no):
        run.effects("Record the hours as cost in the ERP", Erp.put_time, [(cost,) for cost in costs])
    invoice = run.decide("Find the invoice to post", billing.to_post, invoice_id)
    if invoice is None:
        return "there is no invoice to post"
    post_and_show(run, invoice, None)
    return invoice.number


@process(
    starts="an entry, kept but not priced, that needs a person at a month end",
    owner="Project managers; pricing for rates",
    key="the entry and its revision",
    parks=(
        "EX-UNKNOWN-PROJECT",
        "EX-NOT-READY",
        "EX-DUP-SUSPECT",
        "EX-LONG-DAY",
        "EX-AHEAD",
        "EX-NO-CONTRACT-LINE",
        "EX-LINE-AMBIGUOUS",
        "EX-RATE-MISSING",
        "EX-RATE-AMBIGUOUS",
        "EX-TIME-SPLIT",
        "EX-COST-RATE",
        "EX-FX-RATE",
        "EX-INPUT",
    ),
    undo="nothing: evidence is corrected by a new revision, never taken back",
)
def price_entry(run: Run, source: str, entry: str) -> int:
    """P2, steps 2 to 6, for one entry."""
    items = run.decide("Price the entry by the contract in force", billing.price_alone, source, entry)
    for costs in run.decide("Work out its cost entries", costing.costs_of, items):
        run.effects("Record the hours as cost in the ERP", Erp.put_time, [(cost,) for cost in costs])
    return len(items)
