"""The step of a billing run that puts ready evidence on a draft, and what gives back more than it bills on credits."""

from __future__ import annotations

from datetime import date

from isthmus.domain.objects import BillablePart, Invoice
from isthmus.domain.states import PartState
from isthmus.processes.work import giving_back, prepaying
from isthmus.processes.work.drafting import composed, facts, latest_version, plans, run_key
from isthmus.processes.work.evidence import place_contract
from isthmus.processes.work.partition import move_parts
from isthmus.runtime.books import Books


def draft(books: Books, contract_no: str, cutoff: date, prepared_by: str, group: str = "") -> Invoice | None:
    """P2.9: ready evidence up to the cut-off goes on a draft; each part on one draft only.

    What belongs on other invoices (another payer, another order) gets a run of its own for each. The invoice's id is
    the billing run's business key, so a second attempt finds the first one's draft.
    """
    version = latest_version(books, contract_no)
    place_contract(books, contract_no)  # a hold may have ended since
    mine = [plan for plan in plans(books, contract_no, cutoff) if plan.key == group or not group]
    planned = [giving_back.parted(books, plan, version, prepared_by, run_key(books)) for plan in mine]
    drafts = [(plan, composed(books, plan, cutoff, run_key(books), prepared_by)) for plan in planned]
    billable = [(plan, invoice) for plan, invoice in drafts if invoice is not None]
    if not billable:
        return None
    for plan, _ in billable[1:] if not group else ():
        args = {"contract_no": contract_no, "cutoff": str(cutoff), "prepared_by": prepared_by, "group": plan.key}
        books.start("bill_contract", f"{run_key(books)}/{plan.key}", args, entity=billable[0][1].entity)
    plan, invoice = billable[0]
    assert invoice is not None
    books.tx.insert(invoice)
    prepaying.keep_draws(books, invoice)
    on_it = tuple(sorted(part_id for line in invoice.lines for part_id in line.part_ids))
    ready = books.tx.find(BillablePart, part_id=on_it, state=PartState.READY, order=("part_id",))
    move_parts(books, ready, PartState.ON_DRAFT, invoice_id=invoice.invoice_id)
    books.emit("invoice.drafted", f"invoice:{invoice.invoice_id}", facts(invoice), entity=invoice.entity)
    return invoice
