"""Steps from a payment to a settled invoice."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from isthmus.domain.errors import NeedsDecision, Retryable
from isthmus.domain.objects import Allocation, Invoice, Payment
from isthmus.domain.states import CaseState, InvoiceLife, Settlement, move
from isthmus.domain.terms import Discount
from isthmus.policies.cash import (
    Settling,
    check_certificate,
    fx_difference,
    plan_settlement,
    reversals,
    settlement_after,
)
from isthmus.policies.discounts import early_payment
from isthmus.processes.work.exchange import RATE_OF_DOCUMENTS, rates_between
from isthmus.processes.work.prepaying import keep_grant
from isthmus.processes.work.reading import contracts_on, invoice_of, versions_on
from isthmus.runtime.books import Books
from isthmus.store.records import Case


def receive(books: Books, payment: Payment) -> Payment:
    """P3.1: the payment, once, whatever it is reported by."""
    if books.tx.insert_new(payment):
        facts = {"payment": payment.key, "amount": str(payment.amount), "currency": payment.currency}
        books.emit("payment.received", f"payment:{payment.key}", facts)
    return payment


def allocate(books: Books, payment: Payment) -> list[Allocation]:
    """P3.2: to the invoices it is for, with tax withheld for them and discounts for paying early; the rest stays on
    account. A person's allocation wins over the rule. Returns the shares of money.
    """
    decided = books.answers.get("EX-CASH-UNMATCHED", {}).get("allocate")
    if decided:
        payment = payment.model_copy(update={"applies": {str(n): Decimal(str(a)) for n, a in decided.items()}})
    named = books.tx.find(Invoice, number=tuple(payment.applies)) if payment.applies else []
    _hold_accounts(books, payment, named)
    issued = owed_by(books, payment)
    still_open = [i for i in issued if i.open and i.kind != "credit"]  # what was given up is claimed again first
    plan = plan_settlement(payment, still_open, discounts=_discounts(books, payment, still_open))
    made = []
    for settling in plan.settlings:
        suffix = "" if settling.kind == "payment" else f":{settling.kind}"
        share = Allocation(
            allocation_id=f"{payment.key}>{settling.invoice_id}{suffix}",
            payment_key=payment.key,
            invoice_id=settling.invoice_id,
            amount=settling.amount,
            kind=settling.kind,
            fx_difference=_exchanged(books, payment, settling.invoice_id, settling.amount),
        )
        if books.tx.insert_new(share):
            _settle(books, settling.invoice_id, settling.amount)
        made.append(share)
    if plan.on_account:
        books.audit("payment.on_account", f"payment:{payment.key}", after={"amount": str(plan.on_account)})
    applied = {"payment": payment.key, "to": {s.invoice_id: str(s.amount) for s in made if s.kind == "payment"}}
    books.emit("payment.applied", f"payment:{payment.key}", applied)
    return [share for share in made if share.kind == "payment"]


def owed_by(books: Books, payment: Payment) -> list[Invoice]:
    """Issued invoices a payment may settle, by number: those on its client's own account; and where it names them those
    of the client's contracts that stand on another payer's account.
    """
    own = books.tx.find(Invoice, client_no=payment.client_no, life=InvoiceLife.ISSUED)
    mine = [i for i in own if i.owed_by == payment.client_no or i.number in payment.applies]
    for_others = books.tx.find(Invoice, bill_to=payment.client_no, life=InvoiceLife.ISSUED)
    found = {invoice.invoice_id: invoice for invoice in [*mine, *for_others]}
    return sorted(found.values(), key=lambda invoice: invoice.number)


def _hold_accounts(books: Books, payment: Payment, invoices: Sequence[Invoice]) -> None:
    """Whoever settles an invoice has its account to itself, also where another client's money does."""
    accounts = {payment.client_no, *(invoice.owed_by for invoice in invoices)}
    books.tx.lock_all(f"client-cash:{account}" for account in sorted(accounts))


def _discounts(books: Books, payment: Payment, invoices: Sequence[Invoice]) -> dict[str, Decimal]:
    """What clients may keep for paying this early: of each line what its terms say, of the others nothing and
    of what was credited nothing.
    """
    kept: dict[str, Decimal] = {}
    for invoice in invoices:
        assert invoice.issue_date is not None
        for terms, amount in _discounted(books, invoice).items():
            days = {"issued": invoice.issue_date, "paid": payment.value_date}
            off = early_payment(terms, amount=amount, **days, currency=invoice.currency)
            kept[invoice.invoice_id] = kept.get(invoice.invoice_id, Decimal(0)) + off
    return kept


def _discounted(books: Books, invoice: Invoice) -> dict[tuple[Discount, ...], Decimal]:
    """What of an invoice, with tax, each set of terms for early payment is about."""
    versions, found = versions_on(books, invoice), dict[tuple[Discount, ...], Decimal]()
    for line in invoice.lines:
        version = versions[line.contract_no or invoice.contract_no]
        mine = [one for one in version.lines if one.line_uid == line.line_uid]
        terms = tuple(d for one in mine for d in one.discounts if d.kind == "early_payment")
        left = Decimal(1) - line.credited / line.net if line.net else Decimal(0)
        if terms:
            found[terms] = found.get(terms, Decimal(0)) + (line.net + line.tax) * left
    return found


def _exchanged(books: Books, payment: Payment, invoice_id: str, amount: Decimal) -> Decimal | None:
    """The realised exchange difference of what is settled, at the company's rate of the day the money came."""
    invoice = invoice_of(books, invoice_id)
    if invoice.functional_currency in ("", invoice.currency):
        return None
    own = invoice.functional_currency
    rate = rates_between(books, invoice.currency, own).rate(
        RATE_OF_DOCUMENTS, invoice.currency, own, payment.value_date
    )
    return fx_difference(invoice, invoice.total - invoice.open, amount, rate.rate)


def keep_certificates(books: Books, payment: Payment) -> list[str]:
    """P3.3: tax the client withheld settles the invoice in kind; EX-WHT-CERT until its certificate is there."""
    given = books.answers.get("EX-WHT-CERT", {}).get("certificate", "")
    kept = []
    for share in books.tx.find(Allocation, payment_key=payment.key, kind="withholding", order=("allocation_id",)):
        invoice = invoice_of(books, share.invoice_id)
        settling = Settling(share.invoice_id, share.amount, share.kind, share.certificate or str(given))
        check_certificate(invoice.number, settling, invoice.currency)
        books.tx.update(share.model_copy(update={"certificate": settling.certificate}))
        kept.append(settling.certificate)
    return kept


def take_back(books: Books, payment: Payment) -> str:
    """P3.6: money that bounced: everything it settled is open again, by reversals that mirror it (INV-32)."""
    known = books.tx.find(Allocation, payment_key=payment.key, order=("allocation_id",))
    _hold_accounts(books, payment, [invoice_of(books, share.invoice_id) for share in known])
    count = 0
    for back in reversals(payment, known):
        if books.tx.insert_new(back):
            _settle(books, back.invoice_id, back.amount)
            count += 1
    facts = {"payment": payment.key, "amount": str(payment.amount), "currency": payment.currency}
    books.emit("payment.reversed", f"payment:{payment.key}", facts)
    books.audit("payment.reverse", f"payment:{payment.key}", after={**facts, "on": str(payment.reversed_on)})
    return f"{count} allocations of {payment.key} are reversed"


def _settle(books: Books, invoice_id: str, amount: Decimal) -> Invoice:
    invoice = invoice_of(books, invoice_id)
    left = invoice.open - amount
    state = settlement_after(invoice.total, left)
    if state is not invoice.settlement:
        invoice = move(invoice, "settlement", state)
    invoice = invoice.model_copy(update={"open": left})
    books.tx.update(invoice)
    keep_grant(books, invoice)
    event = "invoice.paid" if state is Settlement.PAID else "invoice.partially_paid"
    event = "invoice.reopened" if amount < 0 else event
    payload = {"number": invoice.number, "open": str(left), "currency": invoice.currency}
    books.emit(event, f"invoice:{invoice_id}", payload, entity=invoice.entity)
    return invoice


def judge_differences(books: Books, payment: Payment, shares: list[Allocation]) -> list[str]:
    """P3.3: what an allocation left open. Before the due date it is a part payment; a difference within the entity's
    tolerance is written off as small; on or after the due date it is a short payment and a collector decides.
    Returns the contracts whose status has changed.
    """
    contracts: list[str] = []
    for share in shares:
        invoice = invoice_of(books, share.invoice_id)
        assert invoice.due_date is not None
        contracts += contracts_on(invoice)
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
    if payment.reversed_on is not None:
        return take_back(books, known.model_copy(update={"reversed_on": payment.reversed_on}))
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
