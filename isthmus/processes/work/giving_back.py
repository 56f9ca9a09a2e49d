"""Steps from a total below zero to credit memos: each for one invoice, made of the evidence that gives back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from isthmus.domain.objects import BillablePart, ContractVersion, Invoice, InvoiceLine
from isthmus.domain.states import Composition, InvoiceLife, PartState, move
from isthmus.policies.composition import InvoicePlan
from isthmus.policies.credits import CreditLine
from isthmus.policies.giving_back import Share, give_back
from isthmus.processes.work import crediting
from isthmus.processes.work.correcting import reunite
from isthmus.processes.work.drafting import held_of, versions_of
from isthmus.processes.work.evidence import place_contract
from isthmus.processes.work.partition import move_parts, split_parts
from isthmus.processes.work.reading import contracts_on, invoice_of, invoices_of
from isthmus.runtime.books import Books

ZERO = Decimal(0)
Then = tuple[str, Mapping[str, str]]  # a process and its arguments
REASON = "correction"
BEARS = ("standard", "release")
CORRECTED = "corrections give back more than there is to bill"


@dataclass(frozen=True)
class Memos:
    """Who draws credit memos up, and in which run; what their lines say; the process that sees to each, and what runs
    after the last of them is issued.
    """

    prepared_by: str
    run_key: str
    then: Then
    told: str = "corrected"
    process: str = "credit_correction"


def parted(
    books: Books, plan: InvoicePlan, version: ContractVersion, prepared_by: str, run_key: str, then: Then
) -> tuple[InvoicePlan, list[Invoice]]:
    """The plan without what it gives back, where that is more than it bills, and the credit memos drawn up for that.

    By the contract's below_zero; a plan that waits stays as it is. then: the billing run of what is left. It starts
    when the last of the credit memos is issued: no cap is exceeded by billing ahead of the credit that makes room.
    """
    owed = [piece for piece in plan.evidence if piece.net < 0]
    if plan.net > 0 or not owed or version.invoicing.below_zero == "wait":
        return plan, []
    held = held_of(books, plan.contracts, plan.bill_to)
    shares, unborne = give_back(owed, issued_to(books, plan.bill_to, plan.contracts), held)
    if unborne:
        why = "no line of an issued invoice can bear it: credit it by hand, or it is netted with later work"
        books.quiet("billing", f"contract:{version.contract_no}", f"{unborne} waits: {why}")
    credits = draw_up(books, shares, Memos(prepared_by, run_key, then))
    given = {share.part_id for share in shares}
    rest = tuple(piece for piece in plan.evidence if piece.part_id not in given)
    return replace(plan, evidence=rest, net=sum((piece.net for piece in rest), ZERO)), credits


def issued_to(books: Books, bill_to: str, contracts: Sequence[str]) -> list[Invoice]:
    """What was issued to a payer for these contracts and is not credited in full, newest first."""
    known = {
        invoice.invoice_id: invoice
        for number in contracts
        for invoice in invoices_of(books, number, versions_of(books, number), kind=BEARS, life=InvoiceLife.ISSUED)
    }
    newest = sorted(known.values(), key=lambda i: (i.issue_date or date.min, i.number), reverse=True)
    return [invoice for invoice in newest if (invoice.bill_to or invoice.client_no) == bill_to]


def draw_up(books: Books, shares: Sequence[Share], memos: Memos) -> list[Invoice]:
    """A credit memo for each invoice that gives something back, with a run of its own."""
    by_invoice: dict[str, list[Share]] = defaultdict(list)
    for share in shares:
        by_invoice[share.invoice_id].append(share)
    parts = _parts_of(books, shares)
    return [_draw_up(books, name, mine, parts, memos) for name, mine in by_invoice.items()]


def _parts_of(books: Books, shares: Sequence[Share]) -> dict[Share, BillablePart]:
    """A part for each share; one that several lines give back is divided."""
    wanted: dict[str, list[Share]] = defaultdict(list)
    for share in shares:
        wanted[share.part_id].append(share)
    found: dict[Share, BillablePart] = {}
    for part_id, mine in wanted.items():
        part = books.tx.get(BillablePart, part_id)
        assert part is not None
        for share in mine:
            if share.net == part.net:
                found[share] = part
                continue
            taken = split_parts(books, part, share.net)
            found[share] = taken
            others = books.tx.find(BillablePart, item_id=part.item_id, origin_part=part.part_id)
            part = next(other for other in others if other.part_id != taken.part_id)
    return found


def _draw_up(
    books: Books,
    invoice_id: str,
    shares: Sequence[Share],
    parts: dict[Share, BillablePart],
    memos: Memos,
) -> Invoice:
    """A draft credit memo with a line for each line it credits, holding the parts; its run has it approved."""
    original = invoice_of(books, invoice_id)
    by_line: dict[int, list[Share]] = defaultdict(list)
    for share in shares:
        by_line[share.line].append(share)
    held = {number: sum((share.held for share in given), ZERO) for number, given in by_line.items()}
    wanted = {n: -sum((share.net for share in given), ZERO) - held[n] for n, given in by_line.items()}
    credited = crediting.credited(books, original, wanted, held)
    lines = tuple(
        _line(number, credit, [parts[share] for share in by_line[credit.line.number]], memos.told)
        for number, credit in enumerate(credited, start=1)
    )
    key = f"{memos.run_key}/credit/{original.number}"
    credit = crediting.memo(original, key, REASON, lines, memos.prepared_by)
    crediting.keep_draft(books, credit)
    on_it = [parts[share] for share in shares]
    move_parts(books, on_it, PartState.ON_DRAFT, invoice_id=key)
    process, args = memos.then
    books.start(memos.process, key, {"credit_id": key, "process": process, "args": dict(args)}, entity=credit.entity)
    return credit


def _line(number: int, credit: CreditLine, parts: Sequence[BillablePart], why: str) -> InvoiceLine:
    line = crediting.line_of(number, credit)
    told = {
        "quantity": -sum((part.quantity for part in parts), ZERO),
        "part_ids": tuple(sorted(part.part_id for part in parts)),
        "description": f"{line.description}: {why}",
    }
    return line.model_copy(update=told)


# -- its run ---------------------------------------------------------------------------------------------------


def take(books: Books, credit_id: str) -> Invoice:
    """The credit memo as a billing run has drawn it up."""
    return invoice_of(books, credit_id)


def approve(books: Books, credit_id: str, why: str = CORRECTED) -> Invoice:
    """Another person than the one who prepared it agrees (EX-CREDIT-REVIEW)."""
    credit = invoice_of(books, credit_id)
    original = invoice_of(books, credit.original_invoice_id)
    told = [(line.credits_line, str(line.net), str(line.tax)) for line in credit.lines]
    by = crediting.approver(books, original, told, credit.prepared_by, why)
    approved = move(credit, "composition", Composition.APPROVED).model_copy(update={"approved_by": by})
    books.tx.update(approved)
    return approved


def issue(books: Books, credit_id: str) -> Invoice:
    """The credit memo gets its number; the evidence on it is invoiced, as what it gives back."""
    credit = invoice_of(books, credit_id)
    books.tx.lock_all(f"contract:{contract_no}" for contract_no in contracts_on(credit))
    parts = books.tx.find(BillablePart, invoice_id=credit_id, state=PartState.ON_DRAFT, order=("part_id",))
    move_parts(books, parts, PartState.INVOICED, invoice_id=credit_id)
    return crediting.number_and_settle(books, credit_id, REASON)


def bill_the_rest(books: Books, credit_id: str, process: str, args: dict[str, str]) -> str:
    """Start the billing run of what was beside it, once no credit memo of its contract waits for its approval."""
    credit = invoice_of(books, credit_id)
    waiting = books.tx.find(
        Invoice, contract_no=credit.contract_no, kind="credit", reason=REASON, life=InvoiceLife.DRAFT
    )
    if waiting:
        return f"after {waiting[0].invoice_id}"
    books.start(process, f"{credit_id}/then", args, entity=credit.entity)
    return f"{process}/{credit_id}/then"


def discard(books: Books, credit_id: str, *_: object) -> str:
    """Undo until the number is allocated: the evidence is ready again and waits to be netted."""
    credit = invoice_of(books, credit_id)
    books.tx.lock_all(f"contract:{contract_no}" for contract_no in contracts_on(credit))
    parts = books.tx.find(BillablePart, invoice_id=credit_id, state=PartState.ON_DRAFT, order=("part_id",))
    reunite(books, move_parts(books, parts, PartState.READY, invoice_id=""))
    books.tx.update(move(credit, "life", InvoiceLife.DISCARDED))
    for contract_no in contracts_on(credit):
        place_contract(books, contract_no)
    return f"{len(parts)} parts are ready again"
