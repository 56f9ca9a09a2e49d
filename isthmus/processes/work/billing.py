"""The step of a billing run that puts ready evidence on a draft, and what gives back more than it bills on credits.

A run is for one contract, or for the contracts of a client that share invoices. One run makes one invoice: what belongs
on others gets runs of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from isthmus.domain.objects import BillablePart, ContractVersion, Engagement, Invoice
from isthmus.domain.states import EngagementState, PartState
from isthmus.policies.composition import InvoicePlan, plan_invoices
from isthmus.processes.work import deriving, giving_back, prepaying
from isthmus.processes.work.drafting import composed, evidence_of, facts, latest_version, plans, run_key, versions_of
from isthmus.processes.work.evidence import place, place_contract
from isthmus.processes.work.intake import price_stored, unpriced
from isthmus.processes.work.partition import move_parts
from isthmus.runtime.books import Books

Others = Callable[[str], tuple[str, dict[str, str]]]


@dataclass(frozen=True)
class Drafted:
    """A planned invoice with what it would be; None where it waits. credits: drawn up for what it gives back."""

    plan: InvoicePlan
    invoice: Invoice | None
    credits: tuple[Invoice, ...] = ()


def draft(books: Books, contract_no: str, cutoff: date, prepared_by: str, group: str = "") -> Invoice | None:
    """P2.9: ready evidence up to the cut-off goes on a draft; each part on one draft only.

    What belongs on other invoices (another payer, another order) gets a run of its own for each. The invoice's id is
    the billing run's business key, so a second attempt finds the first one's draft.
    """
    found = prepare(books, contract_no, cutoff, run_key(books), prepared_by, group)

    def others(key: str) -> tuple[str, dict[str, str]]:
        args = {"contract_no": contract_no, "cutoff": str(cutoff), "prepared_by": prepared_by, "group": key}
        return "bill_contract", args

    return _put_on_draft(books, found, group, others)


def prepare(books: Books, contract_no: str, cutoff: date, key: str, prepared_by: str, group: str = "") -> list[Drafted]:
    """The invoices a billing run makes of a contract now, and the credit memos drawn up for what they give back."""
    version = latest_version(books, contract_no)
    place_contract(books, contract_no)  # a hold may have ended since
    then = {"contract_no": contract_no, "cutoff": str(cutoff), "prepared_by": prepared_by}
    found = plans(books, contract_no, cutoff)
    return _drafts(found, group, lambda plan: _drafted(books, plan, version, cutoff, key, ("bill_contract", then)))


def _drafts(found: Sequence[InvoicePlan], group: str, drafted: Callable[[InvoicePlan], Drafted]) -> list[Drafted]:
    """What the plans make. A run for one group makes its next invoice: as long as others of it are billed meanwhile,
    which of them that is does not matter.
    """
    made = []
    for plan in (plan for plan in found if group in ("", plan.group)):
        made.append(drafted(plan))
        if group and (made[-1].invoice is not None or made[-1].credits):
            return made[-1:]
    return made


def _drafted(
    books: Books, plan: InvoicePlan, version: ContractVersion, cutoff: date, key: str, then: giving_back.Then
) -> Drafted:
    """What a plan makes now. Beside credit memos it makes no invoice: a run of its own bills the rest after them."""
    process, args = then
    by = args["prepared_by"]
    rest, credits = giving_back.parted(books, plan, version, by, key, (process, {**args, "group": plan.group}))
    return Drafted(rest, None if credits else composed(books, rest, cutoff, key, by), tuple(credits))


def _put_on_draft(books: Books, found: Sequence[Drafted], group: str, others: Others) -> Invoice | None:
    """Keep the first invoice with its parts; a run for each other one."""
    billable = [(one.plan, one.invoice) for one in found if one.invoice is not None]
    if not billable:
        return None
    for plan, invoice in billable[1:] if not group else ():
        process, args = others(plan.group)
        books.start(process, f"{run_key(books)}/{plan.key}", args, entity=invoice.entity)
    _, invoice = billable[0]
    books.tx.insert(invoice)
    prepaying.keep_draws(books, invoice)
    on_it = tuple(sorted(part_id for line in invoice.lines for part_id in line.part_ids))
    ready = books.tx.find(BillablePart, part_id=on_it, state=PartState.READY, order=("part_id",))
    move_parts(books, ready, PartState.ON_DRAFT, invoice_id=invoice.invoice_id)
    books.emit("invoice.drafted", f"invoice:{invoice.invoice_id}", facts(invoice), entity=invoice.entity)
    return invoice


# -- contracts that share invoices -----------------------------------------------------------------------------


def active_contracts(books: Books, client_no: str, entity: str) -> list[ContractVersion]:
    """The newest terms of a client's running contracts with a legal entity, by number."""
    engagements = books.tx.find(
        Engagement, client_no=client_no, entity=entity, state=EngagementState.ACTIVE, order=("contract_no",)
    )
    return [latest_version(books, engagement.contract_no) for engagement in engagements]


def share_out(books: Books, client_no: str, entity: str, cutoff: date, prepared_by: str, group: str) -> list[str]:
    """The contracts of a client that may share invoices; every other running one gets a billing run of its own.

    Not by a run for one group: the run that has found the group has started them.
    """
    shared = []
    for version in active_contracts(books, client_no, entity):
        if version.invoicing.consolidate:
            shared.append(version.contract_no)
            continue
        if group:
            continue
        args = {"contract_no": version.contract_no, "cutoff": str(cutoff), "prepared_by": prepared_by}
        about = f"contract:{version.contract_no}"
        key = f"{version.contract_no}:{run_key(books).rsplit(':', 1)[-1]}"
        books.start("bill_contract", key, args, entity=entity, correlation_id=about)
    return shared


def derive_shared(books: Books, contracts: Sequence[str], cutoff: date) -> int:
    """Price what is kept and is no evidence yet, and bring the books to what the terms of each contract add up to."""
    count = 0
    for contract_no in contracts:
        waiting = unpriced(books, contract_no, cutoff)
        items = price_stored(books, waiting) if waiting else []
        if items:
            place(books, items)
        count += len(items) + deriving.derive(books, contract_no, cutoff)
    return count


def draft_shared(
    books: Books, contracts: list[str], client_no: str, entity: str, cutoff: date, prepared_by: str, group: str
) -> Invoice | None:
    """As draft, for several contracts of a client: one invoice where the five conditions hold."""
    args = {"client_no": client_no, "entity": entity, "cutoff": str(cutoff), "prepared_by": prepared_by}
    found = prepare_shared(books, contracts, cutoff, run_key(books), args, group)

    def others(key: str) -> tuple[str, dict[str, str]]:
        return "bill_client", {**args, "group": key}

    return _put_on_draft(books, found, group, others)


def prepare_shared(
    books: Books, contracts: Sequence[str], cutoff: date, key: str, args: dict[str, str], group: str = ""
) -> list[Drafted]:
    """The invoices that contracts make together now. args: of the bill_client run."""
    books.tx.lock_all(f"contract:{contract_no}" for contract_no in contracts)
    for contract_no in contracts:
        place_contract(books, contract_no)
    versions = {contract_no: versions_of(books, contract_no) for contract_no in contracts}
    evidence = [piece for contract_no in contracts for piece in evidence_of(books, contract_no, cutoff)]
    planned = plan_invoices(evidence, [version for known in versions.values() for version in known])
    then = ("bill_client", args)
    return _drafts(
        planned, group, lambda plan: _drafted(books, plan, versions[plan.contracts[0]][-1], cutoff, key, then)
    )
