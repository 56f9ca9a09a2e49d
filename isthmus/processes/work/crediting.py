"""Steps of a credit memo: asked for, approved by another person, drawn up, issued; and what becomes of the evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from isthmus.domain.errors import BadAmount, BadInput, NeedsDecision
from isthmus.domain.money import round_quantity
from isthmus.domain.objects import Allocation, BillablePart, Invoice, InvoiceLine, LedgerEntry
from isthmus.domain.states import Composition, InvoiceLife, PartState, Posting, Settlement, move
from isthmus.policies.approvals import approvers
from isthmus.policies.cash import settlement_after
from isthmus.policies.credits import (
    REASONS,
    RELEASES_CAPS,
    CreditLine,
    Disposition,
    Reason,
    credit_lines,
    creditable,
    disposition_for,
    held_left,
    parts_to_credit,
    tax_credit,
)
from isthmus.processes.work import advances, prepaying
from isthmus.processes.work.closing import booking_of
from isthmus.processes.work.drafting import facts, held_of, run_key
from isthmus.processes.work.evidence import CONCEDED, place_contract
from isthmus.processes.work.exchange import functional
from isthmus.processes.work.invoicing import number_of
from isthmus.processes.work.partition import add_parts, move_parts, split_parts
from isthmus.processes.work.reading import contracts_on, invoice_of
from isthmus.runtime.books import Books

ZERO = Decimal(0)
MISTAKES = ("error_rebill", "duplicate")
TAX_ALONE = "tax"  # the reason of a credit that gives back tax and no net
STATES: dict[Disposition, PartState] = {
    "ready": PartState.READY,
    "written_off": PartState.WRITTEN_OFF,
    "transferred": PartState.TRANSFERRED,
}


def ask(
    books: Books, invoice_id: str, amounts: dict[str, str], reason: str, requested_by: str, note: str
) -> list[tuple[int, str, str]]:
    """What would be credited (line, net, tax), approved by another person than the one who asks."""
    original = invoice_of(books, invoice_id)
    if original.life is InvoiceLife.DRAFT or not original.number or original.kind == "credit":
        raise BadInput(f"{invoice_id} is no issued invoice: there is nothing to credit")
    if original.settlement is Settlement.WRITTEN_OFF:
        raise BadInput(f"invoice {original.number} was given up as a bad debt: claim it again first, then credit it")
    if reason not in REASONS:
        raise BadInput(f"{reason!r} is no reason for a credit; there are: {', '.join(REASONS)}")
    lines = wanted_of(books, original, {int(n): Decimal(a) for n, a in amounts.items()}, reason)
    told = [(c.line.number, str(c.net), str(c.tax)) for c in lines]
    prepaying.check_credit(books, original, sum((line.net for line in lines), ZERO))
    approver(books, original, told, requested_by, f"{reason}: {note}")
    return told


def wanted_of(books: Books, original: Invoice, amounts: Mapping[int, Decimal], reason: str) -> list[CreditLine]:
    """What would be given back of which line; by the reason tax its tax alone, whatever its net."""
    if reason != TAX_ALONE:
        rest = {line.number: creditable(line) for line in original.lines}
        held = _held_with(books, original, amounts or rest, reason)
        return credited(books, original, amounts, held)
    if any(amounts.values()):
        raise BadInput("a credit of tax names lines and no amounts: it gives back their tax, and nothing of their net")
    given = tax_given_back(books, original)
    wanted = sorted(amounts) or [line.number for line in original.lines if line.tax and line.number not in given]
    again = sorted(given.keys() & set(wanted))
    if again or not wanted:
        told = f"of line {again[0]} by {given[again[0]]}" if again else "of all its lines"
        raise BadInput(f"the tax {told} of invoice {original.number} was given back already")
    return tax_credit(original, wanted)


def tax_given_back(books: Books, original: Invoice) -> dict[int, str]:
    """Lines of which the tax alone was given back, with the number of the credit memo."""
    known = books.tx.find(
        Invoice,
        contract_no=original.contract_no,
        kind="credit",
        original_invoice_id=original.invoice_id,
        reason=TAX_ALONE,
        life=InvoiceLife.ISSUED,
    )
    return {line.credits_line: credit.number for credit in known for line in credit.lines}


def credited(
    books: Books, original: Invoice, amounts: Mapping[int, Decimal], held: Mapping[int, Decimal]
) -> list[CreditLine]:
    """Lines with their tax, or without it where that was given back before. BadInput where an engine would tax them."""
    given = tax_given_back(books, original)
    found = credit_lines(original, amounts, given.keys(), held)
    touched = [credit.line.number for credit in found if credit.line.number in given]
    if touched and books.kernel.systems.fills("TaxEngine", original.entity):
        raise BadInput(
            f"the tax of line {touched[0]} of {original.number} was given back by {given[touched[0]]}: the tax engine"
            " cannot be asked about its net alone; credit it where the tax documents are kept"
        )
    return found


def approver(books: Books, original: Invoice, lines: Sequence[tuple[int, str, str]], by: str, why: str) -> str:
    """Who has approved these credits (line, net, tax) of an invoice. EX-CREDIT-REVIEW while nobody has: another person
    than the one who asks, by the entity's approval matrix.
    """
    answer = books.answers.get("EX-CREDIT-REVIEW", {})
    if answer.get("action") == "approve":
        return str(answer["by"])
    entity, net = books.entity(original.entity), sum((Decimal(net) for _, net, _ in lines), ZERO)
    amount = net or sum((Decimal(tax) for _, _, tax in lines), ZERO)
    what = "" if net else "tax of "
    raise NeedsDecision(
        "EX-CREDIT-REVIEW",
        f"{by} asks to credit {what}{amount} {original.currency} of invoice {original.number} ({why})",
        queue="receivables",
        money=(amount, original.currency),
        context={
            "invoice": original.number,
            "prepared_by": by,
            "client": original.client_no,
            "approvers": approvers(entity.approval_matrix, "credit", amount),
            "lines": [{"line": line, "net": net, "tax": tax} for line, net, tax in lines],
        },
        actions=("approve", "cancel"),
    )


def draw_up(books: Books, invoice_id: str, credits: list[tuple[int, str, str]], reason: str, by: str) -> Invoice:
    """The credit memo as a draft of its own: positive amounts, each line naming the line it credits."""
    original = invoice_of(books, invoice_id)
    lines = {line.number: line for line in original.lines}
    held = _held_with(books, original, {of: Decimal(net) for of, net, _ in credits}, reason)
    made = [
        line_of(number, CreditLine(lines[of], Decimal(net), Decimal(tax), held[of]))
        for number, (of, net, tax) in enumerate(credits, start=1)
    ]
    credit = memo(original, run_key(books), reason, tuple(made), by)
    approved_by = str(books.answers["EX-CREDIT-REVIEW"]["by"])
    credit = credit.model_copy(update={"approved_by": approved_by, "composition": Composition.APPROVED})
    return keep_draft(books, credit)


def _held_with(books: Books, original: Invoice, nets: Mapping[int, Decimal], reason: str) -> dict[int, Decimal]:
    """By line, what it holds back and goes with a credit of these nets: where all of it was a mistake. It is billed
    again, or was never to be. Discounts first: what they held back less is there again for the others.
    """
    found = dict.fromkeys(nets, ZERO)
    if reason not in MISTAKES:
        return found
    balances = dict(held_of(books, contracts_on(original), original.owed_by))
    whole = [line for line in original.lines if line.held and nets.get(line.number) == creditable(line)]
    for line in sorted(whole, key=lambda line: (line.held >= 0, line.number)):
        place = (line.contract_no or original.contract_no, line.line_uid)
        balance = balances.get(place, ZERO)
        held = held_left(line, balance) if line.held > 0 else line.held - line.unheld
        found[line.number] = held
        balances[place] = balance - held
    return found


def memo(original: Invoice, key: str, reason: str, lines: tuple[InvoiceLine, ...], by: str) -> Invoice:
    """A credit memo of an invoice as a draft, under a key of its own."""
    return Invoice(
        invoice_id=key,
        kind="credit",
        original_invoice_id=original.invoice_id,
        reason=reason,
        contract_no=original.contract_no,
        contract_version=original.contract_version,
        client_no=original.client_no,
        entity=original.entity,
        project_code=original.project_code,
        currency=original.currency,
        period=original.period,
        bill_to=original.bill_to,
        po_number=original.po_number,
        payment_terms=original.payment_terms,
        lines=lines,
        net=sum((line.net for line in lines), ZERO),
        prepared_by=by,
    )


def keep_draft(books: Books, credit: Invoice) -> Invoice:
    """Keep a draft credit memo and tell of it."""
    books.tx.insert(credit)
    books.emit("invoice.drafted", f"invoice:{credit.invoice_id}", facts(credit), entity=credit.entity)
    return credit


def line_of(number: int, credit: CreditLine) -> InvoiceLine:
    """The line of a credit memo that credits a line."""
    whole = credit.net == credit.line.net
    quantity = credit.line.quantity if whole else round_quantity(credit.line.quantity * credit.net / credit.line.net)
    given = {
        "number": number,
        "kind": "credit",
        "credits_line": credit.line.number,
        "quantity": quantity,
        "net": credit.net,
        "tax": credit.tax,
        "held": credit.held,
        "taxable": _taxable_of(credit),
        "unheld": ZERO,
        "credited": ZERO,
        "disputed": ZERO,
        "part_ids": (),
    }
    return credit.line.model_copy(update=given)


def _taxable_of(credit: CreditLine) -> Decimal | None:
    """What tax falls on that a line gives back, where that is not its net: see InvoiceLine.taxable."""
    if credit.line.taxable is None:
        return None
    return credit.net + credit.held if credit.line.taxable else ZERO


def withdraw(books: Books, *_: Any) -> str:
    """Undo of draw_up: the draft is discarded; nothing else had changed."""
    credit = books.tx.get(Invoice, run_key(books))
    if credit is None:
        return "nothing was drawn up"
    books.tx.update(move(credit, "life", InvoiceLife.DISCARDED))
    return "discarded"


def issue(books: Books, credit_id: str, reason: Reason, disposition: str) -> Invoice:
    """The credit memo gets its number; the original is less by it; its evidence goes where the disposition says."""
    credit = invoice_of(books, credit_id)
    original = invoice_of(books, credit.original_invoice_id)
    books.tx.lock_all(f"contract:{contract_no}" for contract_no in contracts_on(original))
    goes_to = disposition_for(reason, disposition)
    check_left(books, original, credit)
    for line in credit.lines:
        _give_back(books, original, line, reason, goes_to)
    return number_and_settle(books, credit_id, reason)


def check_left(books: Books, original: Invoice, credit: Invoice) -> None:
    """BadAmount where another credit of the same line was issued since this one was drawn up (INV-10)."""
    if credit.reason == TAX_ALONE:
        wanted_of(books, original, {line.credits_line: ZERO for line in credit.lines}, TAX_ALONE)
        return
    held = {line.credits_line: line.held for line in credit.lines}
    left = credited(books, original, {line.credits_line: line.net for line in credit.lines}, held)
    taxed = {line.credits_line: line.tax for line in credit.lines}
    if any(not found.tax and taxed[found.line.number] for found in left):
        raise BadAmount(f"the tax of a line of {original.number} was given back since {credit.invoice_id} was drawn up")


def number_and_settle(books: Books, credit_id: str, reason: str) -> Invoice:
    """The number, the dates, and what the original is less by."""
    credit = invoice_of(books, credit_id)
    original = invoice_of(books, credit.original_invoice_id)
    check_left(books, original, credit)
    entity, today = books.entity(credit.entity), books.today(credit.entity)
    number = number_of(books, entity, "credit")
    booked = booking_of(books, entity.code, today, "receivables").accounting_date
    dates = {"issue_date": today, "accounting_date": booked, "due_date": today, "number": number}
    issued = move(credit, "life", InvoiceLife.ISSUED).model_copy(update={**dates, "open": ZERO})
    issued = issued.model_copy(update=functional(books, issued, entity, today))
    issued = move(issued, "posting", Posting.POSTING)
    issued = move(issued, "settlement", Settlement.PAID)
    books.tx.update(issued)
    _lessen(books, original, issued)
    for contract_no in contracts_on(issued):
        place_contract(books, contract_no)
    books.emit("invoice.credited", f"invoice:{original.invoice_id}", facts(issued), entity=issued.entity)
    books.audit("invoice.credit", f"invoice:{original.number}", reason=reason, after=dict(facts(issued)))
    return issued


def _give_back(books: Books, original: Invoice, line: InvoiceLine, reason: Reason, goes_to: Disposition) -> None:
    """The evidence behind a credited line: the invoiced part is credited, a new part says where it went."""
    billed = next(one for one in original.lines if one.number == line.credits_line)
    if billed.kind == "deposit":
        if billed.net < 0:
            prepaying.give_back(books, original, billed.line_uid, -line.net)
        return
    parts = books.tx.find(BillablePart, invoice_id=original.invoice_id, state=PartState.INVOICED)
    mine = set(_descendants(books, original, billed))
    share = [part for part in parts if part.part_id in mine]
    gross = line.net + line.held
    there = sum((p.net for p in share if (p.net > 0) is (gross > 0)), ZERO)
    for part, net in parts_to_credit(share, min(gross, there, key=abs)):
        whole = part if net == part.net else split_parts(books, part, net)
        why = "" if reason in RELEASES_CAPS else CONCEDED
        move_parts(books, [whole], PartState.CREDITED, reason=why or reason)
        count = len(books.tx.find(BillablePart, item_id=part.item_id))
        new = whole.model_copy(
            update={
                "part_id": f"{part.item_id}/{count + 1}",
                "state": STATES[goes_to],
                "invoice_id": "",
                "origin_part": whole.part_id,
                "reason": reason,
            }
        )
        add_parts(books, [new])


def _descendants(books: Books, original: Invoice, line: InvoiceLine) -> list[str]:
    """The parts of a line, and those they were split into since."""
    known = set(line.part_ids)
    for part in books.tx.find(BillablePart, invoice_id=original.invoice_id, order=("part_id",)):
        if part.origin_part in known:
            known.add(part.part_id)
    return sorted(known)


def _lessen(books: Books, original: Invoice, credit: Invoice) -> None:
    """Less is open of the original; what it does not take any more (it was paid) stays on the client's account."""
    original = advances.give_back(books, original, credit)
    by_line: Mapping[int, Decimal] = {line.credits_line: line.net for line in credit.lines}
    unheld = {line.credits_line: line.held for line in credit.lines}
    lines = tuple(
        line.model_copy(
            update={
                "credited": line.credited + by_line.get(line.number, ZERO),
                "unheld": line.unheld + unheld.get(line.number, ZERO),
            }
        )
        for line in original.lines
    )
    released = {line.number for line in original.lines if line.kind == "holdback"}
    for line in credit.lines:
        again = line.net if line.credits_line in released and credit.reason == "error_rebill" else ZERO
        if again != line.held:
            books.tx.insert_new(_held_now(books, original, credit, line, again - line.held))
    settled = min(original.open, credit.total)
    left = original.open - settled
    changed = original.model_copy(update={"lines": lines, "open": left, "credited": original.credited + credit.total})
    state = settlement_after(original.total, left)
    if state is not changed.settlement:
        changed = move(changed, "settlement", state)
    if changed.credited == changed.total:
        changed = move(changed, "life", InvoiceLife.CREDITED)
    books.tx.update(changed)
    prepaying.keep_grant(books, changed)
    if settled:
        share = Allocation(
            allocation_id=f"{credit.number}>{original.invoice_id}",
            payment_key=credit.number,
            invoice_id=original.invoice_id,
            amount=settled,
            kind="credit",
        )
        books.tx.insert(share)
    if credit.total > settled:
        left_over = {"amount": str(credit.total - settled), "currency": credit.currency}
        books.audit("credit.on_account", f"client:{original.client_no}", after=left_over, reason=credit.number)


def _held_now(books: Books, original: Invoice, credit: Invoice, line: InvoiceLine, amount: Decimal) -> LedgerEntry:
    """What a credited line no longer holds back, which will never be released; of a release in error, holds again."""
    return LedgerEntry(
        entry_id=f"{credit.invoice_id}/{line.number}/withheld",
        ledger="holdback",
        contract_no=line.contract_no or original.contract_no,
        line_uid=line.line_uid,
        period=credit.period,
        kind="withheld",
        amount=amount,
        currency=credit.currency,
        invoice_id=credit.invoice_id,
        recorded_at=books.now,
    )
