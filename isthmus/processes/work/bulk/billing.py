"""Steps of a month end over a whole legal entity: contracts shared out, each share billed in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from isthmus.domain.objects import BillableItem, Invoice
from isthmus.domain.states import PartState, Posting
from isthmus.policies.caps import cap_use
from isthmus.ports.messages import TimeCost
from isthmus.processes.work import full_caps
from isthmus.processes.work.bulk.making import Made, make
from isthmus.processes.work.bulk.reading import Case, Month, month_of_entity, read_share, shares_of
from isthmus.processes.work.costing import costs_of
from isthmus.processes.work.drafting import facts
from isthmus.processes.work.evidence import announce_caps, place
from isthmus.processes.work.intake import price_stored
from isthmus.processes.work.invoicing import numbers_of
from isthmus.processes.work.partition import Billed, add_billed
from isthmus.processes.work.reading import invoice_of
from isthmus.runtime.books import Books
from isthmus.store.records import Effect


def share_out(books: Books, entity: str, cutoff: str, name: str, prepared_by: str) -> list[str]:
    """A run for each share of the entity's active contracts; the run's business keys."""
    books.entity(entity)
    started = []
    for contracts in shares_of(books, entity):
        args = {"entity": entity, "cutoff": cutoff, "name": name, "prepared_by": prepared_by, "contracts": contracts}
        row = books.start("bill_share", f"{entity}:{name}:{contracts[0]}", args, entity=entity)
        started.append(row.key)
    return started


def bill(
    books: Books, entity: str, cutoff: str, name: str, prepared_by: str, contracts: list[str]
) -> list[tuple[str, str]]:
    """Bill these contracts, all in this transaction; (contract, invoice or empty) of those that changed.

    Who cannot take the quick way is priced here and gets its ordinary billing run. Again, it finds nothing to do.
    """
    month = month_of_entity(books, entity, cutoff, name, prepared_by)
    quick: list[Made] = []
    slow: list[Case] = []
    for case in read_share(books, month, contracts):
        made = make(books, month, case)
        if made is None:
            slow.append(case)
        elif made.items:
            quick.append(made)
    _keep(books, month, quick)
    changed = [(made.case.contract_no, made.issued.invoice_id if made.issued else "") for made in quick]
    return changed + [(case.contract_no, "") for case in slow if _the_ordinary_way(books, month, case)]


def _keep(books: Books, month: Month, quick: Sequence[Made]) -> None:
    """Write what was made. The numbers come last, because other shares of the entity wait for them."""
    if not quick:
        return
    books.tx.copy(BillableItem, (item for made in quick for item in made.items))
    add_billed(books, [_billed(month, made) for made in quick])
    for made in quick:
        if made.placements:
            _tell_caps(books, made)
    _tell(books, "invoice.drafted", [made.draft for made in quick if made.draft], month)
    _tell(books, "invoice.approved", [made.approved for made in quick if made.approved], month)
    for made in quick:  # as late as the numbers: who opens a case makes every other one wait
        full_caps.settle(books, made.case.versions[-1], made.placements, ())
    drafts = [made.issued for made in quick if made.issued]
    numbers = numbers_of(books, month.entity, "standard", len(drafts))
    issued = [draft.model_copy(update={"number": no}) for draft, no in zip(drafts, numbers, strict=True)]
    books.tx.insert_many(issued)
    _tell(books, "invoice.issued", issued, month)
    said = [(f"invoice:{i.number}", dict(facts(i)), f"approved by {i.approved_by}") for i in issued]
    books.audit_many("invoice.issue", said)


def _tell(books: Books, event: str, invoices: Sequence[Invoice], month: Month) -> None:
    told: list[tuple[str, dict[str, Any]]] = [(f"invoice:{i.invoice_id}", dict(facts(i))) for i in invoices]
    books.emit_many(event, told, entity=month.entity.code)


def _billed(month: Month, made: Made) -> Billed:
    version = made.case.versions[-1]
    return Billed(
        contract_no=version.contract_no,
        entity=month.entity.code,
        invoice_id=month.invoice_id(version.contract_no),
        currency=version.currency,
        payer="",
        po_number=version.po_number,
        parts=made.parts,
    )


def _tell_caps(books: Books, made: Made) -> None:
    """Only where there is something to tell: a cap that is full, or used up to one of its alerts."""
    version = made.case.versions[-1]
    over = any(p.state is PartState.OVER_CAP for p in made.placements)
    used = cap_use(version, made.shares, (), made.placements)
    if over or any(use.alerts_crossed or use.soft_exceeded for use in used):
        announce_caps(books, version, made.shares, (), made.placements)


def _the_ordinary_way(books: Books, month: Month, case: Case) -> bool:
    """Price and place what is waiting, one contract at a time, and start its billing run. True when hours were priced.

    A contract that this month end has billed already keeps what came since for the next one.
    """
    items = price_stored(books, [(row[0], row[1]) for row in case.entries]) if case.entries else []
    if items:
        place(books, items)
    if case.versions[-1].invoicing.consolidate:
        _bill_client(books, month, case.versions[-1].client_no)
    elif not case.billed:
        args = {"contract_no": case.contract_no, "cutoff": str(month.cutoff), "prepared_by": month.prepared_by}
        books.start("bill_contract", month.invoice_id(case.contract_no), args, entity=month.entity.code)
    return bool(items)


def _bill_client(books: Books, month: Month, client_no: str) -> None:
    """One run for all contracts of a client that share invoices, whichever share of the month end comes to it first.

    It prices what the other shares have not come to yet, so that nothing is left for the next month.
    """
    entity = month.entity.code
    args = {"client_no": client_no, "entity": entity, "cutoff": str(month.cutoff), "prepared_by": month.prepared_by}
    about = f"client:{client_no}"
    books.start("bill_client", f"{client_no}:{entity}:{month.name}", args, entity=entity, correlation_id=about)


def hand_over(books: Books, entity: str, changed: Sequence[tuple[str, str]]) -> int:
    """A run for each contract that has changed: its cost and its invoice go to the other systems."""
    for contract_no, invoice_id in changed:
        args = {"contract_no": contract_no, "invoice_id": invoice_id}
        about = f"contract:{contract_no}"
        books.start(
            "post_month", invoice_id or f"{books.run_id}/{contract_no}", args, entity=entity, correlation_id=about
        )
    return len(changed)


# -- one contract, afterwards ----------------------------------------------------------------------------------


def price_alone(books: Books, source: str, entry: str) -> list[BillableItem]:
    """One kept entry that needed a person."""
    items = price_stored(books, [(source, entry)], alone=entry)
    if items:
        place(books, items)
    return items


def costs_not_sent(books: Books, contract_no: str) -> list[list[TimeCost]]:
    """Hours of a contract whose cost no run has sent to the ERP yet, earlier revisions first."""
    items = books.tx.find(BillableItem, contract_no=contract_no, source_type="time")
    carriers = [item for item in items if item.raw_quantity is not None]
    keys = tuple(f"{item.entry_key}#{item.entry_revision}" for item in carriers)
    sent = {e.business_key for e in books.tx.find(Effect, verb="Erp.put_time", business_key=keys)} if keys else set()
    return costs_of(books, [i for i in carriers if f"{i.entry_key}#{i.entry_revision}" not in sent])


def to_post(books: Books, invoice_id: str) -> Invoice | None:
    """The issued invoice that is still to be posted; None where there is none."""
    if not invoice_id:
        return None
    invoice = invoice_of(books, invoice_id)
    return invoice if invoice.posting is Posting.POSTING else None
