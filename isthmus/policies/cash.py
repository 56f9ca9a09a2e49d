"""Which invoices a payment settles, and what is left over."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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

    Never by guess: NeedsDecision EX-CASH-UNMATCHED when none of the three fits, or when the allocation is not one of
    this money: more than the payment, or less than nothing (INV-32).
    """
    by_number = {invoice.number: invoice for invoice in open_invoices if invoice.currency == payment.currency}
    wanted = dict(payment.applies)
    if not wanted:
        named = [number for number in by_number if _names(payment.reference, number)]
        equal = [number for number, invoice in by_number.items() if invoice.open == payment.amount]
        chosen = named or (equal if len(equal) == 1 else [])
        wanted = _oldest_first(payment.amount, [by_number[n] for n in chosen])
    unknown = [number for number in wanted if number not in by_number]
    if unknown or not wanted:
        about = f"it names {', '.join(unknown)}" if unknown else f"its reference is {payment.reference!r}"
        raise _unmatched(payment, by_number, f"fits no open invoice: {about}")
    if sum(wanted.values()) > payment.amount or min(wanted.values()) <= 0:
        told = ", ".join(f"{amount} to {number}" for number, amount in sorted(wanted.items()))
        raise _unmatched(payment, by_number, f"cannot be allocated as {told}")
    shares = tuple((by_number[n].invoice_id, min(amount, by_number[n].open)) for n, amount in sorted(wanted.items()))
    return Match(shares, payment.amount - sum((amount for _, amount in shares), Decimal(0)))


def _names(reference: str, number: str) -> bool:
    """True when the reference holds this number as a whole: 100 is not in 1001."""
    return bool(number) and re.search(rf"(?<![^\W_]){re.escape(number)}(?![^\W_])", reference) is not None


def _unmatched(payment: Payment, by_number: Mapping[str, Invoice], why: str) -> NeedsDecision:
    return NeedsDecision(
        "EX-CASH-UNMATCHED",
        f"payment {payment.key} of {payment.amount} {payment.currency} {why}",
        queue="receivables",
        money=(payment.amount, payment.currency),
        context={"payment": payment.key, "open": {number: str(i.open) for number, i in by_number.items()}},
        actions=("allocate", "retry", "cancel"),
    )


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
