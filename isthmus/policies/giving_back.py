"""Where an amount belongs that a correction gives back: the lines of issued invoices that billed it.

A total below zero is no invoice. By the contract's ``below_zero`` it becomes a credit memo for each invoice that it
corrects, or waits for work to be netted with. Each amount goes to the line that billed its own source, then to the
newest line of the same contract line and payer: a tier that was crossed has no source of its own. A line gives back at
most what is left of it and of its invoice, which discounts make less (INV-10). What no line can bear is left over, and
said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from isthmus.domain.objects import Invoice, InvoiceLine
from isthmus.policies.credits import creditable, give_back_of, held_left
from isthmus.policies.layouts import Evidence

POLICY = "giving_back/1"
ZERO = Decimal(0)
Balances = Mapping[tuple[str, str], Decimal]  # what is held back, by contract and line
NOTHING_HELD: Balances = {}
Lines = Mapping[tuple[str, int], InvoiceLine]


@dataclass(frozen=True)
class Share:
    """How much of a negative part which line of which invoice gives back; net is negative, as the part's.

    held: what of it reduces the line's holdback instead of being credited.
    """

    part_id: str
    invoice_id: str
    line: int
    net: Decimal
    held: Decimal = ZERO


def source_of(part_id: str) -> str:
    """The source a part is evidence of, over all its revisions: psa:7 of psa:7#2/1."""
    return part_id.rsplit("#", 1)[0]


def give_back(
    owed: Sequence[Evidence], invoices: Sequence[Invoice], balances: Balances = NOTHING_HELD
) -> tuple[list[Share], Decimal]:
    """What each line gives back of the negative evidence, and what is left over (zero or negative).

    owed: of one payer. invoices: issued to that payer, newest first. balances: what is held now, by contract and line.
    A line that holds back gives back in its own proportion, as long as something is held; what was released meanwhile
    comes back of the invoice that released it.
    """
    held = dict(balances)
    lines = {(i.invoice_id, line.number): line for i in invoices for line in i.lines if _bears(line)}
    room = {i.invoice_id: sum((creditable(line) for line in i.lines), ZERO) for i in invoices}
    shares: list[Share] = []
    unborne = ZERO
    for piece in owed:
        rest = -piece.net
        for invoice, numbered in _fitting(piece, invoices, lines):
            line = lines[invoice.invoice_id, numbered]
            place = (line.contract_no or invoice.contract_no, line.line_uid)
            there = held_left(line, held.get(place, ZERO))
            taken = min(rest, creditable(line) + there)
            net, _ = give_back_of(line, taken, there, invoice.currency) if taken > 0 else (ZERO, ZERO)
            taken = min(taken, room[invoice.invoice_id]) if net > room[invoice.invoice_id] else taken
            if taken > 0:
                net, of_held = give_back_of(line, taken, there, invoice.currency)
                given = {"credited": line.credited + net, "unheld": line.unheld + of_held}
                lines[invoice.invoice_id, numbered] = line.model_copy(update=given)
                held[place] = held.get(place, ZERO) - of_held
                room[invoice.invoice_id] -= net
                rest -= taken
                shares.append(Share(piece.part_id, invoice.invoice_id, numbered, -taken, of_held))
        unborne -= rest
    return shares, unborne


def _bears(line: InvoiceLine) -> bool:
    """Work that was billed, and what was released of its holdback."""
    return line.kind in ("evidence", "holdback") and creditable(line) + held_left(line) > 0


def _fitting(piece: Evidence, invoices: Sequence[Invoice], known: Lines) -> list[tuple[Invoice, int]]:
    """Lines that billed the same source, then those of the same contract line, then what was released of it."""
    source = source_of(piece.part_id)
    lines = [(i, line) for i in invoices for line in reversed(i.lines) if (i.invoice_id, line.number) in known]
    own = [(i, line) for i, line in lines if source in {source_of(part_id) for part_id in line.part_ids}]
    same = [
        (i, line)
        for i, line in lines
        if line.line_uid == piece.line_uid
        and (line.contract_no or i.contract_no) == piece.contract_no
        and (i, line) not in own
    ]
    same.sort(key=lambda pair: pair[1].kind == "holdback")
    return [(invoice, line.number) for invoice, line in (*own, *same)]
