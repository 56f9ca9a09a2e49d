"""Which invoices a payment settles, and what is left over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.objects import Invoice, Payment
from isthmus.domain.states import Settlement

POLICY = "cash/1"


@dataclass(frozen=True)
class Match:
    """How much of the payment goes to which invoice; on_account is what no invoice takes."""

    shares: tuple[tuple[str, Decimal], ...]
    on_account: Decimal


def match_payment(payment: Payment, open_invoices: Sequence[Invoice]) -> Match:
    """By the payer's own allocation, else by an invoice number in the reference, else by exactly one equal open amount.

    Never by guess: NeedsDecision EX-CASH-UNMATCHED when none of the three fits.
    """
    by_number = {invoice.number: invoice for invoice in open_invoices if invoice.currency == payment.currency}
    wanted = dict(payment.applies)
    if not wanted:
        named = [number for number in by_number if number and number in payment.reference]
        equal = [number for number, invoice in by_number.items() if invoice.open == payment.amount]
        chosen = named or (equal if len(equal) == 1 else [])
        wanted = _oldest_first(payment.amount, [by_number[n] for n in chosen])
    unknown = [number for number in wanted if number not in by_number]
    if unknown or not wanted:
        about = f"it names {', '.join(unknown)}" if unknown else f"its reference is {payment.reference!r}"
        raise NeedsDecision(
            "EX-CASH-UNMATCHED",
            f"payment {payment.key} of {payment.amount} {payment.currency} fits no open invoice: {about}",
            queue="receivables",
            money=(payment.amount, payment.currency),
            context={"payment": payment.key, "open": {n: str(i.open) for n, i in by_number.items()}},
            actions=("allocate", "retry", "cancel"),
        )
    shares = tuple((by_number[n].invoice_id, min(amount, by_number[n].open)) for n, amount in sorted(wanted.items()))
    return Match(shares, payment.amount - sum((amount for _, amount in shares), Decimal(0)))


def _oldest_first(amount: Decimal, invoices: Sequence[Invoice]) -> dict[str, Decimal]:
    wanted: dict[str, Decimal] = {}
    for invoice in sorted(invoices, key=lambda i: (str(i.due_date), i.number)):
        share = min(amount, invoice.open)
        if share > 0:
            wanted[invoice.number] = share
            amount -= share
    return wanted


def settlement_after(total: Decimal, open_amount: Decimal) -> Settlement:
    """The settlement state an open amount means."""
    if open_amount == 0:
        return Settlement.PAID
    return Settlement.OPEN if open_amount == total else Settlement.PARTIALLY_PAID
