"""Which invoices a payment settles, with what beside money, and what is left over.

An invoice is settled by money, by tax the client has withheld for it, by a discount for paying early, and by a
difference too small to chase. Money that no invoice takes stays on the client's account. What was allocated is taken
back, never edited: the same allocations with the sign turned. So total = allocations + open at any time (INV-05), and
what is allocated of a payment is never more than the payment (INV-32).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from isthmus.domain.errors import BadAmount, NeedsDecision
from isthmus.domain.money import round_half_away
from isthmus.domain.objects import Allocation, Invoice, Payment
from isthmus.domain.states import Settlement
from isthmus.policies.fx import convert, realised

POLICY = "cash/2"
ZERO = Decimal(0)


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


# -- what settles an invoice beside money ----------------------------------------------------------------------


@dataclass(frozen=True)
class Settling:
    """One piece of what settles an invoice. kind: payment, withholding, early_payment or small_difference."""

    invoice_id: str
    amount: Decimal
    kind: str
    certificate: str = ""


@dataclass(frozen=True)
class Plan:
    """What a payment does. left: what stays open of each invoice it touches; on_account: money no invoice takes."""

    settlings: tuple[Settling, ...]
    left: Mapping[str, Decimal]
    on_account: Decimal


def plan_settlement(
    payment: Payment,
    open_invoices: Sequence[Invoice],
    *,
    tolerance: Decimal = ZERO,
    discounts: Mapping[str, Decimal] | None = None,
    certificates: Mapping[str, str] | None = None,
) -> Plan:
    """The whole effect of a payment on open invoices.

    tolerance: the largest difference that is written off, per invoice. discounts: what the client may keep for paying
    this early, by invoice_id; it is taken only where it (and the tolerance) settles the invoice. certificates: of tax
    withheld, by invoice number. Raises NeedsDecision EX-CASH-UNMATCHED as ``match_payment`` does, also for tax withheld
    on an invoice that is not open by that much.
    """
    withheld = _withheld(payment, open_invoices, certificates or {})
    kept_back = {settling.invoice_id: settling.amount for settling in withheld}
    after = [i.model_copy(update={"open": i.open - kept_back.get(i.invoice_id, ZERO)}) for i in open_invoices]
    match = match_payment(payment, [invoice for invoice in after if invoice.open > 0])
    money = dict(match.shares)
    settlings, left = list(withheld), {}
    for invoice in after:
        if invoice.invoice_id in money or invoice.invoice_id in kept_back:
            paid = money.get(invoice.invoice_id, ZERO)
            beside = _beside_money(invoice, invoice.open - paid, tolerance, (discounts or {}).get(invoice.invoice_id))
            settlings += [Settling(invoice.invoice_id, paid, "payment")] if paid else []
            settlings += beside
            left[invoice.invoice_id] = invoice.open - paid - sum((s.amount for s in beside), ZERO)
    return Plan(tuple(settlings), left, match.on_account)


def _withheld(payment: Payment, invoices: Sequence[Invoice], certificates: Mapping[str, str]) -> list[Settling]:
    by_number = {invoice.number: invoice for invoice in invoices if invoice.currency == payment.currency}
    found = []
    for number, amount in sorted(payment.withheld.items()):
        invoice = by_number.get(number)
        if invoice is None or not ZERO < amount <= invoice.open:
            raise _unmatched(payment, by_number, f"says that {amount} of tax was withheld on {number}")
        found.append(Settling(invoice.invoice_id, amount, "withholding", certificates.get(number, "")))
    return found


def _beside_money(invoice: Invoice, left: Decimal, tolerance: Decimal, discount: Decimal | None) -> list[Settling]:
    """A discount and a small difference, where they close the invoice; nothing where they do not."""
    allowed = discount or ZERO
    if not ZERO < left <= allowed + tolerance:
        return []
    kept = min(left, allowed)
    pieces = [Settling(invoice.invoice_id, kept, "early_payment")] if kept else []
    if left > kept:
        pieces.append(Settling(invoice.invoice_id, left - kept, "small_difference"))
    return pieces


def check_certificate(invoice_number: str, settling: Settling, currency: str) -> Settling:
    """The settling, if it is no withholding or its certificate is there. NeedsDecision EX-WHT-CERT otherwise: without
    the certificate the firm cannot reclaim the tax.
    """
    if settling.kind == "withholding" and not settling.certificate:
        raise NeedsDecision(
            "EX-WHT-CERT",
            f"invoice {invoice_number}: {settling.amount} {currency} of tax was withheld, its certificate is missing",
            queue="receivables",
            money=(settling.amount, currency),
            context={"invoice": invoice_number, "withheld": str(settling.amount)},
            actions=("certificate", "chase", "cancel"),
        )
    return settling


def expected_withholding(net: Decimal, percent: Decimal, currency: str) -> Decimal:
    """What a client withholds of an invoice: a percentage of its net. Tax that is shown apart is not in the base
    (section 194J of the Indian Income-tax Act, as an example).
    """
    return round_half_away(net * percent / 100, currency)


def discount_split(invoice: Invoice, amount: Decimal) -> tuple[Decimal, Decimal]:
    """An early payment discount as net and tax, in the proportion of the invoice: it makes the supply cheaper."""
    if not ZERO < amount <= invoice.total:
        raise BadAmount(f"a discount of {amount} on an invoice of {invoice.total} {invoice.currency}")
    net = round_half_away(amount * invoice.net / invoice.total, invoice.currency)
    return net, amount - net


# -- what is left, and taking it back --------------------------------------------------------------------------


def open_after(total: Decimal, allocations: Sequence[Allocation]) -> Decimal:
    """What stays open of an invoice after its allocations, reversals among them. BadAmount beyond nothing or all."""
    left = total - sum((allocation.amount for allocation in allocations), ZERO)
    if not min(ZERO, total) <= left <= max(ZERO, total):
        raise BadAmount(f"allocations of {total - left} do not fit an invoice of {total}")
    return left


def unapplied(payment: Payment, allocations: Sequence[Allocation]) -> Decimal:
    """What of a payment is on account: its amount less the money of it that is allocated and not reversed (INV-32)."""
    money = {a.allocation_id: a.amount for a in allocations if a.payment_key == payment.key and a.kind == "payment"}
    back = [a.amount for a in allocations if a.kind == "reversal" and a.reverses in money]
    left = payment.amount - sum(money.values(), ZERO) - sum(back, ZERO)
    if left < 0:
        raise BadAmount(f"payment {payment.key} of {payment.amount} is allocated by {-left} more than it is")
    return left


def reversals(payment: Payment, allocations: Sequence[Allocation]) -> list[Allocation]:
    """The mirror of everything a payment has settled, with it or beside it, that is not reversed yet: the invoices are
    open again as they were before it.
    """
    gone = {allocation.reverses for allocation in allocations if allocation.kind == "reversal"}
    return [
        allocation.model_copy(
            update={
                "allocation_id": f"{allocation.allocation_id}:reversal",
                "amount": -allocation.amount,
                "kind": "reversal",
                "reverses": allocation.allocation_id,
                "fx_difference": None if allocation.fx_difference is None else -allocation.fx_difference,
            }
        )
        for allocation in allocations
        if allocation.payment_key == payment.key
        and allocation.kind != "reversal"
        and allocation.allocation_id not in gone
    ]


# -- other currencies ------------------------------------------------------------------------------------------


def in_currency(payment: Payment, currency: str, rate: Decimal) -> Payment:
    """A payment as money of the currency its invoices are in; what the payer says it is for is in that one already."""
    if payment.currency == currency:
        return payment
    amount = convert(payment.amount, payment.currency, currency, rate)
    return payment.model_copy(update={"amount": amount, "currency": currency})


def fx_difference(invoice: Invoice, settled_before: Decimal, amount: Decimal, rate: Decimal) -> Decimal | None:
    """The realised exchange gain (loss below zero) of settling an amount of an invoice, in the functional currency.

    rate: functional units for one of the invoice's currency on the day the money came. None when the invoice is in the
    functional currency, or was issued without one.
    """
    if invoice.functional_total is None or invoice.functional_currency in ("", invoice.currency):
        return None
    return realised(
        amount,
        total=invoice.total,
        functional_total=invoice.functional_total,
        settled_before=settled_before,
        rate=rate,
        currency=invoice.functional_currency,
    ).gain
