"""Steps of a dispute: a line is contested, dunning stops for it, a person decides, what is upheld is credited."""

from __future__ import annotations

from decimal import Decimal

from isthmus.domain.errors import BadInput, NeedsDecision
from isthmus.domain.money import is_exact_amount
from isthmus.domain.objects import Dispute, Engagement, Invoice, InvoiceLine
from isthmus.domain.states import DisputeState, InvoiceLife, move
from isthmus.policies.credits import creditable, gross_of
from isthmus.ports import DisputeBoard
from isthmus.ports.messages import ContestedLines
from isthmus.processes.work.drafting import run_key, versions_of
from isthmus.processes.work.invoicing import BILLED, contract_of_line, keep_shown
from isthmus.processes.work.reading import invoice_of, invoices_of
from isthmus.runtime.books import Books
from isthmus.runtime.run import Run

ZERO = Decimal(0)


def open_dispute(
    books: Books, invoice_id: str, line: int, amount: Decimal | None, reason: str, opened_by: str
) -> Dispute:
    """P3.5: the line (or a part of its net) is contested; what is contested stays out of dunning."""
    invoice = invoice_of(books, invoice_id)
    contested, net = contestable(invoice, line, amount)
    dispute = Dispute(
        dispute_no=run_key(books),
        invoice_id=invoice_id,
        line=line,
        amount=net,
        gross=gross_of(contested, net, invoice.currency),
        currency=invoice.currency,
        reason=reason,
        opened_by=opened_by,
        opened_at=books.now,
    )
    books.tx.insert(dispute)
    _contest(books, invoice, line, net, dispute.gross)
    facts = {"dispute": dispute.dispute_no, "invoice": invoice.number, "line": line, "net": str(net)}
    facts |= {"gross": str(dispute.gross), "reason": reason, "contract": invoice.contract_no}
    books.emit("dispute.opened", f"invoice:{invoice_id}", facts, entity=invoice.entity)
    return dispute


def contestable(invoice: Invoice, number: int, amount: Decimal | None) -> tuple[InvoiceLine, Decimal]:
    """The line and the net that is contested of it: all that is left of it, or this amount. BadInput for more."""
    if not invoice.number or invoice.life is InvoiceLife.DRAFT:
        raise BadInput(f"{invoice.invoice_id} is not issued: change the draft instead")
    contested = _line(invoice, number)
    left = creditable(contested) - contested.disputed
    net = left if amount is None else amount
    if not ZERO < net <= left or not is_exact_amount(net, invoice.currency):
        told = f"{net} {invoice.currency} cannot be contested; {left} is left"
        raise BadInput(f"line {number} of {invoice.number}: {told}")
    return contested, net


def _line(invoice: Invoice, number: int) -> InvoiceLine:
    for line in invoice.lines:
        if line.number == number:
            return line
    raise BadInput(f"invoice {invoice.number} has no line {number}; it has {len(invoice.lines)}")


def _contest(books: Books, invoice: Invoice, number: int, net: Decimal, gross: Decimal) -> None:
    """More (or, negative, less) of a line is contested."""
    lines = tuple(
        line.model_copy(update={"disputed": line.disputed + net}) if line.number == number else line
        for line in invoice.lines
    )
    books.tx.update(invoice.model_copy(update={"lines": lines, "disputed": invoice.disputed + gross}))


def decide(books: Books, dispute: Dispute) -> str:
    """A person upholds it, upholds a part (amount), or rejects it. Returns the net that is given back."""
    answer = books.answers.get("EX-DISPUTE", {})
    action = str(answer.get("action", ""))
    if action == "uphold":
        return str(dispute.amount)
    if action == "reject":
        return "0"
    if action == "partial":
        amount = Decimal(str(answer.get("amount", "0")))
        if not ZERO < amount < dispute.amount or not is_exact_amount(amount, dispute.currency):
            raise BadInput(f"{amount} {dispute.currency} is no part of the {dispute.amount} contested")
        return str(amount)
    invoice = invoice_of(books, dispute.invoice_id)
    raise NeedsDecision(
        "EX-DISPUTE",
        f"the client contests {dispute.amount} {dispute.currency} net ({dispute.gross} gross) of line {dispute.line} of"
        f" invoice {invoice.number}: {dispute.reason}",
        queue="receivables",
        money=(dispute.gross, dispute.currency),
        context={"invoice": invoice.number, "line": dispute.line, "dispute": dispute.dispute_no},
        actions=("uphold", "partial", "reject"),
    )


def contested_of(books: Books, contract_no: str, shown: ContestedLines | None = None) -> ContestedLines:
    """What clients contest of a contract's project now, oldest first. The sum shown already when it still holds."""
    engagement = books.tx.get(Engagement, contract_no)
    invoices = invoices_of(books, contract_no, versions_of(books, contract_no), life=BILLED)
    numbers = {invoice.invoice_id: invoice.number for invoice in invoices if invoice.disputed}
    disputes = books.tx.find(Dispute, invoice_id=tuple(sorted(numbers)), state=DisputeState.OPEN) if numbers else []
    lines = [
        f"{numbers[dispute.invoice_id]} line {dispute.line}: {dispute.amount} {dispute.currency}, {dispute.reason}"
        for dispute in sorted(disputes, key=lambda one: (one.opened_at, one.dispute_no))
        if contract_of_line(books, dispute.invoice_id, dispute.line) == contract_no
    ]
    project_code = engagement.project_code if engagement else ""
    revision = shown.revision if shown else 0
    contested = ContestedLines(project_code=project_code, revision=revision, lines=tuple(lines))
    if contested == shown:
        return shown
    return contested.model_copy(update={"revision": books.tx.next(f"contested:{contract_no}")})


def show_to_delivery(run: Run, phrase: str, contract_no: str) -> None:
    """Show in the PSA what is contested of the project, where the PSA has a place for it."""

    def show(now: ContestedLines) -> None:
        run.effect_if_offered(phrase, DisputeBoard.show_contested, now, needed=bool(now.project_code))

    keep_shown(run, "Sum up what is contested of the project", contested_of, contract_no, show)


def close(books: Books, dispute: Dispute, given_back: str) -> Dispute:
    """The dispute ends; what was contested is collected again, less what is credited."""
    known = books.tx.get(Dispute, dispute.dispute_no)
    assert known is not None
    amount, by = Decimal(given_back), str(books.answers.get("EX-DISPUTE", {}).get("by", ""))
    state = DisputeState.UPHELD if amount == known.amount else DisputeState.PARTIALLY_UPHELD
    decided = move(known, "state", state if amount else DisputeState.REJECTED)
    decided = decided.model_copy(update={"credited": amount, "resolved_by": by, "resolved_at": books.now})
    books.tx.update(decided)
    closed = move(decided, "state", DisputeState.CLOSED)
    books.tx.update(closed)
    invoice = invoice_of(books, known.invoice_id)
    _contest(books, invoice, known.line, -known.amount, -known.gross)
    facts = {
        "dispute": known.dispute_no,
        "invoice": invoice.number,
        "state": str(decided.state),
        "credited": given_back,
    }
    books.emit("dispute.resolved", f"invoice:{known.invoice_id}", facts, entity=invoice.entity)
    if amount:
        args = {
            "invoice_id": known.invoice_id,
            "amounts": {str(known.line): given_back},
            "reason": "dispute_settlement",
            "requested_by": known.opened_by,
            "note": f"dispute {known.dispute_no}: {known.reason}",
        }
        books.start("credit_invoice", f"{known.dispute_no}/credit", args, entity=invoice.entity)
    return closed
