"""What a billing run would do now: it is done in a transaction of its own, looked at, and taken back.

So a dry run shows fees that the run derives first, credit memos for what gives back, and every invoice with its lines,
as the run would make them, and nothing is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import BaseModel

from isthmus.domain.errors import NotFound
from isthmus.domain.money import Exact
from isthmus.domain.objects import BillableItem, BillablePart, ContractVersion, Invoice
from isthmus.domain.states import PartState
from isthmus.processes.work import billing
from isthmus.processes.work.invoicing import STILL_OPEN
from isthmus.runtime.books import Books
from isthmus.runtime.kernel import Kernel

T = TypeVar("T")


class Fee(BaseModel):
    """What the run works out of terms and facts before it drafts: a milestone, a month's fee, a minimum, a discount."""

    contract_no: str
    line_uid: str
    kind: str
    day: date
    net: Exact
    description: str


class PlannedInvoice(BaseModel):
    """An invoice of the run. hold: why it waits. apart: why it is not on an invoice with other contracts of the client
    that may share one: which of the five conditions fails, and with what.
    """

    group: str
    contracts: list[str]
    bill_to: str
    net: Exact
    hold: str
    apart: list[str]
    invoice: Invoice | None


class Evidence(BillablePart):
    """A part that would be billed, with why it has its price."""

    person: str
    unit_price: Exact
    price_trace: dict[str, Any]


class Left(BillablePart):
    """A part that would not be billed, and why."""

    why: str


class Preview(BaseModel):
    """What a billing run would do. invoice: the first it would draft, None when nothing is ready.

    own: contracts of a client that do not share invoices; each would get a run of its own.
    """

    invoice: Invoice | None
    invoices: list[PlannedInvoice] = []
    credits: list[Invoice] = []
    fees: list[Fee] = []
    evidence: list[Evidence] = []
    not_billed: list[Left] = []
    own: list[str] = []


class _TakenBack(Exception):
    """Raised at the end, so that the transaction rolls back."""


def preview_contract(kernel: Kernel, contract_no: str, cutoff: date, key: str, by: str) -> Preview:
    """What a billing run of a contract would do now."""

    def work(books: Books) -> list[billing.Drafted]:
        billing.derive_shared(books, [contract_no], cutoff)
        return billing.prepare(books, contract_no, cutoff, key, by)

    return _rehearsed(kernel, [contract_no], cutoff, key, by, work)


def preview_client(kernel: Kernel, client_no: str, cutoff: date, name: str, by: str) -> dict[str, Preview]:
    """What a billing run of a client would do now, by legal entity. NotFound for a client without running contracts."""
    found = {}
    for entity, versions in contracts_of_client(kernel, client_no).items():
        shared = [version.contract_no for version in versions if version.invoicing.consolidate]
        own = [version.contract_no for version in versions if not version.invoicing.consolidate]
        key = f"{client_no}:{entity}:{name}"

        def work(
            books: Books, shared: Sequence[str] = shared, key: str = key, entity: str = entity
        ) -> list[billing.Drafted]:
            billing.derive_shared(books, shared, cutoff)
            args = {"client_no": client_no, "entity": entity, "cutoff": str(cutoff), "prepared_by": by}
            return billing.prepare_shared(books, shared, cutoff, key, args)

        found[entity] = _rehearsed(kernel, shared, cutoff, key, by, work).model_copy(update={"own": own})
    return found


def contracts_of_client(kernel: Kernel, client_no: str) -> dict[str, list[ContractVersion]]:
    """A client's running contracts by legal entity. NotFound where there is none."""
    with kernel.store.transaction() as tx:
        books = kernel.books(tx, key="client", actor="hub")
        entities = {version.entity for version in tx.find(ContractVersion, client_no=client_no)}
        found = {entity: billing.active_contracts(books, client_no, entity) for entity in sorted(entities)}
    running = {entity: versions for entity, versions in found.items() if versions}
    if not running:
        raise NotFound(f"client {client_no} has no running contract")
    return running


def _rehearsed(
    kernel: Kernel,
    contracts: Sequence[str],
    cutoff: date,
    key: str,
    by: str,
    work: Callable[[Books], list[billing.Drafted]],
) -> Preview:
    def look(books: Books) -> Preview:
        before = _items(books, contracts)
        drafted = work(books)
        after = _items(books, contracts)
        return _told(books, contracts, cutoff, drafted, [after[i] for i in sorted(after.keys() - before)])

    return taken_back(kernel, key, by, look)


def taken_back(kernel: Kernel, key: str, by: str, look: Callable[[Books], T]) -> T:
    """What look finds in a transaction of its own, which is then taken back: nothing is kept."""
    made: list[T] = []
    try:
        with kernel.store.transaction() as tx:
            made.append(look(kernel.books(tx, key=key, actor=by)))
            raise _TakenBack
    except _TakenBack:
        return made[0]


def _items(books: Books, contracts: Sequence[str]) -> dict[str, BillableItem]:
    found = books.tx.find(BillableItem, contract_no=tuple(contracts)) if contracts else []
    return {item.item_id: item for item in found}


def _told(
    books: Books,
    contracts: Sequence[str],
    cutoff: date,
    drafted: Sequence[billing.Drafted],
    new: Sequence[BillableItem],
) -> Preview:
    invoices = [one.invoice for one in drafted if one.invoice is not None]
    billed = {part_id for invoice in invoices for line in invoice.lines for part_id in line.part_ids}
    items = _items(books, contracts)
    order = ("service_date", "part_id")
    states = (*STILL_OPEN, PartState.ON_DRAFT)
    parts = books.tx.find(BillablePart, contract_no=tuple(contracts), state=states, order=order) if contracts else []
    return Preview(
        invoice=invoices[0] if invoices else None,
        invoices=[planned(one) for one in drafted if one.plan.evidence],
        credits=[credit for one in drafted for credit in one.credits],
        fees=[_fee(item) for item in new if item.source_type not in ("time", "expense")],
        evidence=[_evidence(part, items[part.item_id]) for part in parts if part.part_id in billed],
        not_billed=[
            Left(**part.model_dump(), why=why_not(part, cutoff)) for part in parts if part.part_id not in billed
        ],
    )


def planned(one: billing.Drafted) -> PlannedInvoice:
    """A drafted invoice as it is shown."""
    plan = one.plan
    return PlannedInvoice(
        group=plan.key,
        contracts=list(plan.contracts),
        bill_to=plan.bill_to,
        net=plan.net,
        hold=plan.hold or ("" if one.invoice else "AFTER_CREDIT" if one.credits else "NOT_ABOVE_ZERO"),
        apart=list(plan.apart),
        invoice=one.invoice,
    )


def _fee(item: BillableItem) -> Fee:
    return Fee(
        contract_no=item.contract_no,
        line_uid=item.line_uid,
        kind=item.source_type,
        day=item.service_date,
        net=item.net,
        description=item.description,
    )


def _evidence(part: BillablePart, item: BillableItem) -> Evidence:
    more = {"person": item.person, "unit_price": item.unit_price, "price_trace": item.price_trace}
    return Evidence(**part.model_dump(), **more)


def why_not(part: BillablePart, day: date) -> str:
    """Why a part would not be billed by a run up to a day, in words."""
    if part.state is PartState.READY:
        waits = "after the cut-off" if part.service_date > day else "the total waits"
        return f"{waits}: it gives back" if part.net < Decimal(0) else waits
    words = {"over_cap": f"over the cap {part.cap_id}", "on_draft": f"on the draft {part.invoice_id}"}
    return " ".join(word for word in (words.get(part.state, part.state), part.reason) if word)
