"""Steps from ready evidence to a draft: what goes on which invoice, and back again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

from isthmus.domain.errors import BadInput
from isthmus.domain.objects import (
    BillableItem,
    BillablePart,
    ContractLine,
    ContractVersion,
    Invoice,
    InvoiceLine,
    LedgerEntry,
    Project,
)
from isthmus.domain.states import InvoiceLife, PartState, move
from isthmus.policies.composition import InvoicePlan, plan_invoices
from isthmus.policies.discounts import amount_off
from isthmus.policies.holdback import hold_back
from isthmus.policies.layouts import Evidence, compose
from isthmus.processes.work import prepaying
from isthmus.processes.work.correcting import reunite
from isthmus.processes.work.evidence import place_contract
from isthmus.processes.work.partition import move_parts
from isthmus.processes.work.prepaying import with_deposits
from isthmus.processes.work.reading import contracts_on, invoices_of
from isthmus.runtime.books import Books

ZERO = Decimal(0)


def latest_version(books: Books, contract_no: str) -> ContractVersion:
    """The newest terms of a contract. BadInput when nobody has kept such a contract yet."""
    found = books.tx.find(ContractVersion, contract_no=contract_no, order=("-version",), limit=1)
    if not found:
        raise BadInput(f"no contract {contract_no}: it is not set up, or not yet")
    return found[0]


def evidence_of(books: Books, contract_no: str, cutoff: date) -> list[Evidence]:
    """What is ready to bill up to the cut-off.

    What gives back is netted whatever the cut-off: the room it frees under a cap may be taken by what is billed here.
    """
    parts = [
        part
        for part in books.tx.find(BillablePart, contract_no=contract_no, state=PartState.READY, order=("part_id",))
        if part.service_date <= cutoff or part.net < 0
    ]
    items: Mapping[str, BillableItem] = (
        {item.item_id: item for item in books.tx.find(BillableItem, contract_no=contract_no)} if parts else {}
    )
    return [evidence(part, items[part.item_id]) for part in parts]


def evidence(part: BillablePart, item: BillableItem) -> Evidence:
    """A part with what an invoice shows of its item."""
    return Evidence(
        part_id=part.part_id,
        line_uid=item.line_uid,
        role=item.role,
        unit_price=item.unit_price,
        quantity=part.quantity,
        net=part.net,
        contract_no=item.contract_no,
        contract_version=item.contract_version,
        project_code=item.project_code,
        task_code=item.task_code,
        person=item.person,
        service_date=item.service_date,
        payer=item.payer,
        po_number=item.po_number,
        tax_category=item.tax_category,
        source_type=item.source_type,
        expense_class=item.expense_class,
        description=item.description,
        receipt_ref=str(item.price_trace.get("receipt", "")),
    )


def plans(books: Books, contract_no: str, cutoff: date) -> list[InvoicePlan]:
    """The invoices a billing run would draft now, in a stable order."""
    return plan_invoices(evidence_of(books, contract_no, cutoff), versions_of(books, contract_no))


def versions_of(books: Books, contract_no: str) -> list[ContractVersion]:
    """All terms of a contract, oldest first: a line that the newest no longer has may still be billed."""
    return books.tx.find(ContractVersion, contract_no=contract_no, order=("version",))


def composed(books: Books, plan: InvoicePlan, cutoff: date, invoice_id: str, prepared_by: str) -> Invoice | None:
    """The invoice of a plan; None for a total that is not billed: below the contract's minimum, negative, or
    zero without a deposit that pays for it.
    """
    contract_no = plan.contracts[0]
    known = [version for number in plan.contracts for version in versions_of(books, number)]
    version = [version for version in known if version.contract_no == contract_no][-1]
    period = f"{cutoff:%Y-%m}"
    held = held_of(books, plan.contracts, plan.bill_to)
    lines = with_holdback(compose(plan.evidence, known, plan.layout), known, held)
    lines = with_amounts_off(books, lines, known, period)
    lines = tuple(with_deposits(books, lines, known, plan.bill_to))
    net = sum((line.net for line in lines), ZERO)
    if plan.hold:
        books.quiet("billing", f"contract:{contract_no}", f"{net} waits: {plan.hold} {version.invoicing.minimum}")
    drawn = any(line.kind == "deposit" for line in lines)
    if net < 0 or (net == 0 and not drawn) or plan.hold:
        return None
    project = books.tx.find(Project, contract_no=contract_no, limit=1)[0]
    return invoice_for(plan, lines, version, project.project_code, cutoff, invoice_id, prepared_by)


def invoice_for(
    plan: InvoicePlan,
    lines: tuple[InvoiceLine, ...],
    version: ContractVersion,
    project_code: str,
    cutoff: date,
    invoice_id: str,
    prepared_by: str,
) -> Invoice:
    """The draft of a plan with its lines, under the newest version of the contract."""
    return Invoice(
        invoice_id=invoice_id,
        contract_no=version.contract_no,
        contract_version=version.version,
        client_no=version.client_no,
        entity=version.entity,
        project_code=project_code,
        currency=version.currency,
        period=f"{cutoff:%Y-%m}",
        lines=lines,
        net=sum((line.net for line in lines), ZERO),
        po_number=plan.po_number or (version.po_number if len(plan.contracts) == 1 else ""),
        payment_terms=version.payment_terms,
        prepared_by=prepared_by,
        bill_to=plan.bill_to,
        group=plan.key,
        attachments=plan.attachments,
    )


Held = Mapping[tuple[str, str], Decimal]  # by contract and line


def held_of(books: Books, contracts: Sequence[str], payer: str) -> Held:
    """What a payer holds back of contracts now."""
    found: dict[tuple[str, str], Decimal] = {}
    entries = books.tx.find(LedgerEntry, contract_no=tuple(contracts), ledger="holdback")
    for entry in held_by_payer(books, entries).get(payer, ()):
        place = (entry.contract_no, entry.line_uid)
        found[place] = found.get(place, ZERO) + entry.amount
    return found


def held_by_payer(books: Books, entries: Sequence[LedgerEntry]) -> dict[str, list[LedgerEntry]]:
    """Entries of the holdback ledger by who holds it back: the payer of the invoice each was written with."""
    ids = tuple({entry.invoice_id for entry in entries})
    owed_by = {i.invoice_id: i.owed_by for i in books.tx.find(Invoice, invoice_id=ids)} if ids else {}
    found: dict[str, list[LedgerEntry]] = {}
    for entry in entries:
        found.setdefault(owed_by[entry.invoice_id], []).append(entry)
    return found


def with_holdback(
    lines: Sequence[InvoiceLine], versions: Sequence[ContractVersion], held: Held | None = None
) -> tuple[InvoiceLine, ...]:
    """Lines less what the client keeps back until release. versions: of the contracts on the invoice, oldest first.

    held: what is held now. A line that gives back takes at most that, and what its invoice holds, with it.
    """
    kept = []
    left = dict(held or {})
    terms = {(version.contract_no, line.line_uid): line.holdback for version in versions for line in version.lines}
    only = versions[-1].contract_no
    for line in sorted(lines, key=lambda line: line.net < 0):
        place = (line.contract_no or only, line.line_uid)
        holdback = terms[place]
        if holdback is None:
            kept.append(line)
            continue
        share = hold_back(
            line.net, holdback, versions[-1].currency, left.get(place, ZERO) if held is not None else None
        )
        left[place] = left.get(place, ZERO) + share.held
        taxable = share.taxable if share.taxable != share.net else None
        kept.append(line.model_copy(update={"net": share.net, "held": share.held, "taxable": taxable}))
    return tuple(sorted(kept, key=lambda line: line.number))


def with_amounts_off(
    books: Books, lines: Sequence[InvoiceLine], versions: Sequence[ContractVersion], period: str
) -> tuple[InvoiceLine, ...]:
    """Lines, and for each contract line with a fixed amount off a negative one: once a period, never below nothing.

    What a period's invoices do not use is lost. The agreed amount is of the contract line's newest terms.
    """
    made = list(lines)
    terms = {(v.contract_no, line.line_uid): (v, line) for v in versions for line in v.lines if _amount_off(line)}
    only = versions[-1].contract_no
    places = {(line.contract_no or only, line.line_uid) for line in lines}
    for place in sorted(places & terms.keys()):
        version, line = terms[place]
        net = sum((one.net for one in lines if (one.contract_no or only, one.line_uid) == place), ZERO)
        off = amount_off(line.discounts, net=net, taken=_taken_off(books, version, line.line_uid, period))
        if off:
            made.append(_off_line(len(made) + 1, version, line, off, period))
    return tuple(made)


def _amount_off(line: ContractLine) -> bool:
    return any(discount.kind == "amount" for discount in line.discounts)


def _taken_off(books: Books, version: ContractVersion, line_uid: str, period: str) -> Decimal:
    """What the invoices of a period have had off already, drafts among them, less what credits took back of it."""
    living = (InvoiceLife.DRAFT, InvoiceLife.ISSUED, InvoiceLife.CREDITED)
    versions = versions_of(books, version.contract_no)
    had = ZERO
    for invoice in invoices_of(books, version.contract_no, versions, period=period, kind="standard", life=living):
        mine = [line for line in invoice.lines if line.kind == "discount" and line.line_uid == line_uid]
        of = [line for line in mine if (line.contract_no or invoice.contract_no) == version.contract_no]
        had += sum((line.credited - line.net for line in of), ZERO)
    return had


def _off_line(number: int, version: ContractVersion, line: ContractLine, off: Decimal, period: str) -> InvoiceLine:
    return InvoiceLine(
        number=number,
        description=f"{line.description}: discount of {period}",
        quantity=Decimal(1),
        unit_price=-off,
        net=-off,
        tax_code=line.tax_code,
        tax_category=line.tax_category,
        line_uid=line.line_uid,
        kind="discount",
        contract_no=version.contract_no,
        contract_version=version.version,
    )


def run_key(books: Books) -> str:
    """The business key of the run a step belongs to."""
    return books.run_id.split("/", 1)[1]


def discard(books: Books, *_: object) -> str:
    """Undo of a draft of evidence: the parts are ready again, the draft is discarded."""
    invoice = books.tx.get(Invoice, run_key(books))
    if invoice is None:
        return "nothing was drafted"
    books.tx.lock_all(f"contract:{number}" for number in contracts_on(invoice))
    parts = books.tx.find(BillablePart, invoice_id=invoice.invoice_id, state=PartState.ON_DRAFT)
    reunite(books, move_parts(books, parts, PartState.READY, invoice_id=""))
    books.tx.update(move(invoice, "life", InvoiceLife.DISCARDED))
    prepaying.give_back(books, invoice)
    for number in contracts_on(invoice):
        place_contract(books, number)  # what is ready again takes its turn with what has come since
    return f"{len(parts)} parts are ready again"


def facts(invoice: Invoice) -> dict[str, str]:
    """What events and audit say of an invoice."""
    return {
        "invoice": invoice.invoice_id,
        "number": invoice.number,
        "net": str(invoice.net),
        "tax": str(invoice.tax),
        "total": str(invoice.total),
        "open": str(invoice.open),
        "currency": invoice.currency,
        "contract": f"{invoice.contract_no}@{invoice.contract_version}",
    }
