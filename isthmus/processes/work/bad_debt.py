"""Steps of a bad debt: what a client will not pay of an issued invoice is given up, and claimed again if it can be.

The invoice stays as it is. What is given up settles it in the hub's books and leaves the receivable in the ledger for
an expense, gross; where the law lets the firm have the tax within it back, that follows (``tax_relief``).
"""

from __future__ import annotations

from decimal import Decimal

from isthmus.domain.errors import BadInput, NeedsDecision
from isthmus.domain.journals import booking
from isthmus.domain.money import is_exact_amount
from isthmus.domain.objects import Allocation, Invoice
from isthmus.domain.states import InvoiceLife, Settlement, move
from isthmus.policies.approvals import approvers
from isthmus.policies.cash import settlement_after
from isthmus.policies.fx import convert
from isthmus.processes.work import journals, tax_relief
from isthmus.processes.work.drafting import facts, run_key
from isthmus.processes.work.reading import invoice_of
from isthmus.runtime.books import Books

ZERO = Decimal(0)


def doubtful(invoice: Invoice, amount: Decimal | None) -> Decimal:
    """What would be given up: all that is open, or this amount of it. BadInput for more, or without a claim."""
    if invoice.kind == "credit" or invoice.life is not InvoiceLife.ISSUED or not invoice.number:
        raise BadInput(f"{invoice.number or invoice.invoice_id} is no issued invoice: there is no debt to give up")
    wanted = invoice.open if amount is None else amount
    if not ZERO < wanted <= invoice.open or not is_exact_amount(wanted, invoice.currency):
        raise BadInput(f"{wanted} {invoice.currency} cannot be given up: {invoice.open} of {invoice.number} is open")
    return wanted


def ask(books: Books, invoice_id: str, amount: Decimal | None, requested_by: str, reason: str) -> Decimal:
    """EX-BAD-DEBT until another person agrees, by the entity's approval matrix. Returns what is given up."""
    invoice = invoice_of(books, invoice_id)
    wanted = doubtful(invoice, amount)
    answer = books.answers.get("EX-BAD-DEBT", {})
    if answer.get("action") == "approve":
        return wanted
    entity = books.entity(invoice.entity)
    raise NeedsDecision(
        "EX-BAD-DEBT",
        f"{requested_by} asks to give up {wanted} {invoice.currency} of the {invoice.open} open of invoice"
        f" {invoice.number}, due {invoice.due_date}: {reason}",
        queue="receivables",
        money=(wanted, invoice.currency),
        context={
            "invoice": invoice.number,
            "client": invoice.client_no,
            "prepared_by": requested_by,
            "approvers": approvers(entity.approval_matrix, "bad_debt", _in_own_currency(books, invoice, wanted)),
        },
        actions=("approve", "cancel"),
    )


def _in_own_currency(books: Books, invoice: Invoice, amount: Decimal) -> Decimal:
    own = invoice.functional_currency
    if own in ("", invoice.currency) or invoice.fx_rate is None:
        return amount
    return convert(amount, invoice.currency, own, invoice.fx_rate)


def give_up(books: Books, invoice_id: str, amount: Decimal, reason: str) -> str:
    """The debt leaves the receivables for an expense, under a number of its own."""
    invoice = invoice_of(books, invoice_id)
    given = doubtful(invoice, amount)
    share = Allocation(
        allocation_id=f"{run_key(books)}>{invoice_id}:bad_debt",
        payment_key=f"bad-debt:{run_key(books)}",
        invoice_id=invoice_id,
        amount=given,
        kind="bad_debt",
    )
    books.tx.insert(share)
    left = invoice.open - given
    state = settlement_after(invoice.total, left) if left else Settlement.WRITTEN_OFF
    _settled(books, invoice, left, state, "invoice.written_off", given)
    _book(books, invoice, f"bad-debt/{run_key(books)}", given, f"bad debt of invoice {invoice.number}: {reason}")
    books.audit(
        "invoice.bad_debt", f"invoice:{invoice.number}", after={"amount": str(given)}, reason=reason,
        actor=str(books.answers.get("EX-BAD-DEBT", {}).get("by", "")),
    )  # fmt: skip
    return f"{given} {invoice.currency} of {invoice.number} is given up"


def claim_again(books: Books, invoice_id: str, requested_by: str, reason: str) -> str:
    """Everything given up of an invoice is open again, by reversals that mirror it; a payment can settle it then."""
    invoice = invoice_of(books, invoice_id)
    known = books.tx.find(Allocation, invoice_id=invoice_id, order=("allocation_id",))
    gone = {share.reverses for share in known if share.kind == "reversal"}
    back = [share for share in known if share.kind == "bad_debt" and share.allocation_id not in gone]
    if not back:
        raise BadInput(f"nothing of invoice {invoice.number} was given up")
    for share in back:
        mirrored = {"allocation_id": f"{share.allocation_id}:reversal", "amount": -share.amount, "kind": "reversal"}
        books.tx.insert(share.model_copy(update={**mirrored, "reverses": share.allocation_id}))
    amount = sum((share.amount for share in back), ZERO)
    left = invoice.open + amount
    _settled(books, invoice, left, settlement_after(invoice.total, left), "invoice.reopened", amount)
    # A number of its own: a request to claim again may bear the name of the one that gave up.
    _book(
        books,
        invoice,
        f"bad-debt/{run_key(books)}/claimed-again",
        -amount,
        f"invoice {invoice.number} is claimed again: {reason}",
    )
    told = {"amount": str(amount)}
    for share in back:
        args, about = {"allocation_id": share.allocation_id}, f"contract:{invoice.contract_no}"
        books.start(tax_relief.RETURN, share.allocation_id, args, entity=invoice.entity, correlation_id=about)
    books.audit("invoice.claim_again", f"invoice:{invoice.number}", actor=requested_by, after=told, reason=reason)
    return f"{amount} {invoice.currency} of {invoice.number} is claimed again"


def _settled(books: Books, invoice: Invoice, left: Decimal, state: Settlement, event: str, amount: Decimal) -> None:
    changed = move(invoice, "settlement", state) if state is not invoice.settlement else invoice
    changed = changed.model_copy(update={"open": left})
    books.tx.update(changed)
    told = {**facts(changed), "amount": str(amount)}
    books.emit(event, f"invoice:{invoice.invoice_id}", told, entity=invoice.entity)


def _book(books: Books, invoice: Invoice, journal_no: str, amount: Decimal, memo: str) -> None:
    lines = booking("bad_debt_expense", "receivables", amount, memo, **journals.about(invoice))
    day = books.today(invoice.entity)
    journals.keep(books, journal_no, "bad_debt", invoice.entity, invoice.currency, lines, memo, day)
