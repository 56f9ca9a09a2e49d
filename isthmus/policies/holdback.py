"""Holdback (retention): what the client keeps back of each invoice line until release, and when tax falls on it.

held = round(gross * percent); net = gross - held. What is held is earned and not asked for; the release is an invoice
of its own. Taxed at release: tax falls on the net now and on what is released later. Taxed at invoice: tax falls on the
gross now and the release carries none. Which of the two applies is the tax law of the supply, so it is a term.

Withheld less released is never below zero, and nothing at completion (INV-13). Source of the arithmetic: SC-08.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from isthmus.domain.errors import BadInput
from isthmus.domain.money import is_exact_amount, round_half_away
from isthmus.domain.objects import LedgerEntry
from isthmus.domain.terms import Holdback

POLICY = "holdback/1"
ZERO = Decimal(0)


@dataclass(frozen=True)
class Share:
    """A line's gross, divided: net is asked for now, held later. taxable: what tax falls on now."""

    gross: Decimal
    held: Decimal
    net: Decimal
    taxable: Decimal


def hold_back(gross: Decimal, terms: Holdback, currency: str, left: Decimal | None = None) -> Share:
    """What of a line's gross is held. A negative line (a correction) gives back in the same proportion, of what is held
    at most what is left of it: what was released meanwhile comes back in money.
    """
    if not ZERO <= terms.percent <= 100:
        raise BadInput(f"a holdback of {terms.percent} %: it is a number from 0 to 100")
    held = round_half_away(gross * terms.percent / 100, currency)
    if gross < 0 and left is not None:
        held = max(held, -left)
    return Share(gross, held, gross - held, gross if terms.taxed == "at_invoice" else gross - held)


def held_of(entries: Iterable[LedgerEntry]) -> dict[str, Decimal]:
    """What is held now, by line_uid: withheld less released. BadInput when more was released than withheld."""
    held: dict[str, Decimal] = {}
    for entry in entries:
        if entry.ledger == "holdback":
            held[entry.line_uid] = held.get(entry.line_uid, ZERO) + entry.amount
    below = {line_uid: amount for line_uid, amount in held.items() if amount < 0}
    if below:
        raise BadInput(f"more holdback was released than withheld: {below}")
    return held


def is_due(terms: Holdback, day: date, *, finally_accepted: bool, asked_for: bool = False) -> bool:
    """Whether what is held may be invoiced on a day: by final acceptance, by date, or because a person asks for it."""
    if terms.release == "final_acceptance":
        return finally_accepted
    if terms.release == "date":
        return terms.release_on is not None and day >= terms.release_on
    return asked_for


@dataclass(frozen=True)
class Release:
    """What is invoiced of a holdback. taxable: what tax falls on; nothing when tax was paid with the invoices."""

    line_uid: str
    net: Decimal
    taxable: Decimal


def release(line_uid: str, held: Decimal, terms: Holdback, currency: str, amount: Decimal | None = None) -> Release:
    """All that is held of a line, or a part of it. BadInput for more than is held, or for nothing."""
    net = held if amount is None else amount
    if not ZERO < net <= held or not is_exact_amount(net, currency):
        raise BadInput(f"line {line_uid}: {net} {currency} cannot be released of {held} held")
    return Release(line_uid, net, net if terms.taxed == "at_release" else ZERO)
