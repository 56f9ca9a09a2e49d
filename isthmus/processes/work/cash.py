"""Steps from a payment to a settled invoice."""

from __future__ import annotations

from decimal import Decimal

from isthmus.domain.errors import NeedsDecision, Retryable
from isthmus.domain.objects import Allocation, Invoice, Payment
from isthmus.domain.states import CaseState, InvoiceLife, Settlement, move
from isthmus.policies.cash import match_payment, settlement_after
from isthmus.processes.work.reading import invoice_of
from isthmus.runtime.books import Books
from isthmus.store.records import Case


def receive(books: Books, payment: Payment) -> Payment:
    """P3.1: the payment, once, whatever it is reported by."""
    if books.tx.insert_new(payment):
        facts = {"payment": payment.key, "amount": str(payment.amount), "currency": payment.currency}
        books.emit("payment.received", f"payment:{payment.key}", facts)
    return payment


def allocate(books: Books, payment: Payment) -> list[Allocation]:
    """P3.2: to the invoices it is for; the rest stays on account. A person's allocation wins over the rule."""
    books.tx.lock(f"client-cash:{payment.client_no}")
    decided = books.answers.get("EX-CASH-UNMATCHED", {}).get("allocate")
    if decided:
        payment = payment.model_copy(update={"applies": {str(n): Decimal(str(a)) for n, a in decided.items()}})
    issued = books.tx.find(Invoice, client_no=payment.client_no, life=InvoiceLife.ISSUED, order=("number",))
    match = match_payment(payment, [invoice for invoice in issued if invoice.settlement is not Settlement.PAID])
    made = []
    for invoice_id, amount in match.shares:
        share = Allocation(
            allocation_id=f"{payment.key}>{invoice_id}", payment_key=payment.key, invoice_id=invoice_id, amount=amount
        )
        if books.tx.insert_new(share):
            _settle(books, invoice_id, amount)
        made.append(share)
    if match.on_account:
        books.audit("payment.on_account", f"payment:{payment.key}", after={"amount": str(match.on_account)})
    applied = {"payment": payment.key, "to": {s.invoice_id: str(s.amount) for s in made}}
    books.emit("payment.applied", f"payment:{payment.key}", applied)
    return made


def _settle(books: Books, invoice_id: str, amount: Decimal) -> Invoice:
    invoice = invoice_of(books, invoice_id)
    left = invoice.open - amount
    state = settlement_after(invoice.total, left)
    if state is not invoice.settlement:
        invoice = move(invoice, "settlement", state)
    invoice = invoice.model_copy(update={"open": left})
    books.tx.update(invoice)
    event = "invoice.paid" if state is Settlement.PAID else "invoice.partially_paid"
    payload = {"number": invoice.number, "open": str(left), "currency": invoice.currency}
    books.emit(event, f"invoice:{invoice_id}", payload, entity=invoice.entity)
    return invoice


def judge_differences(books: Books, payment: Payment, shares: list[Allocation]) -> list[str]:
    """P3.3: what an allocation left open. Before the due date it is a part payment; a difference within the entity's
    tolerance is written off as small; on or after the due date it is a short payment and a collector decides.
    Returns the contracts whose status has changed.
    """
    contracts = []
    for share in shares:
        invoice = invoice_of(books, share.invoice_id)
        assert invoice.due_date is not None
        contracts.append(invoice.contract_no)
        if invoice.open == 0:
            continue
        entity = books.entity(invoice.entity)
        if invoice.open <= entity.payment_tolerance:
            _write_small_difference(books, payment, invoice)
        elif payment.value_date >= invoice.due_date and "EX-SHORT-PAY" not in books.answers:
            raise NeedsDecision(
                "EX-SHORT-PAY",
                f"invoice {invoice.number}: {share.amount} of {invoice.total} {invoice.currency} paid on"
                f" {payment.value_date}, due {invoice.due_date}; {invoice.open} is open",
                queue="collections",
                money=(invoice.open, invoice.currency),
                context={"invoice": invoice.number, "payment": payment.key},
                actions=("chase", "accept_partial"),
            )
    return sorted(set(contracts))


def judge_change(books: Books, payment: Payment) -> str:
    """What the ERP has changed in a payment: what it is applied to, as the hub has it; as nobody could tell before; or
    otherwise, which is EX-PAY-CHANGED: money that is allocated already is not moved by itself.
    """
    known = books.tx.get(Payment, payment.source, payment.source_id)
    if known is None:
        raise Retryable(f"payment {payment.key} is not taken in yet")
    waiting = books.tx.find(
        Case, run_id=f"invoice_to_cash/{payment.key}", exception="EX-CASH-UNMATCHED", state=CaseState.OPEN
    )
    same_money = all(getattr(known, name) == getattr(payment, name) for name in ("client_no", "amount", "currency"))
    if waiting and same_money and payment.applies:
        told = {number: str(amount) for number, amount in payment.applies.items()}
        case, values = waiting[0].case_no, {"allocate": told}
        reason = f"applied in {payment.source} meanwhile"
        books.kernel.resolve(books.tx, case, action="allocate", actor=payment.source, reason=reason, values=values)
        return f"{payment.key} is applied to {', '.join(told)}: {case} is answered"
    if same_money and payment.applies in ({}, known.applies, _allocated(books, payment)):
        books.quiet("payment", payment.key, "changed in the ERP in nothing the books depend on")
        return f"{payment.key} is as the books have it"
    if "EX-PAY-CHANGED" in books.answers:
        return f"{payment.key} was seen to"
    raise _changed(known, payment)


def _allocated(books: Books, payment: Payment) -> dict[str, Decimal]:
    """By invoice number, what the hub has allocated of the payment."""
    shares = {s.invoice_id: s.amount for s in books.tx.find(Allocation, payment_key=payment.key, kind="payment")}
    invoices = books.tx.find(Invoice, invoice_id=tuple(sorted(shares))) if shares else []
    return {invoice.number: shares[invoice.invoice_id] for invoice in invoices}


def _changed(known: Payment, payment: Payment) -> NeedsDecision:
    before, after = known.model_dump(mode="json"), payment.model_dump(mode="json")
    fields = [name for name in after if before[name] != after[name]]
    told = "; ".join(f"{name} {before[name]} is now {after[name]}" for name in fields)
    return NeedsDecision(
        "EX-PAY-CHANGED",
        f"payment {payment.key} was changed in {payment.source} after it had been taken in: {told}",
        queue="receivables",
        money=(max(known.amount, payment.amount), payment.currency),
        context={"payment": payment.key, "before": before, "after": after},
        actions=("accept",),
    )


def _write_small_difference(books: Books, payment: Payment, invoice: Invoice) -> None:
    small = Allocation(
        allocation_id=f"{payment.key}>{invoice.invoice_id}:difference",
        payment_key=payment.key,
        invoice_id=invoice.invoice_id,
        amount=invoice.open,
        kind="small_difference",
    )
    if books.tx.insert_new(small):
        amount = {"amount": str(invoice.open), "currency": invoice.currency}
        books.audit("payment.small_difference", f"invoice:{invoice.number}", after=amount, reason="within tolerance")
        _settle(books, invoice.invoice_id, invoice.open)
