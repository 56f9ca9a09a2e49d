"""Where an amount belongs that a correction gives back: the lines of issued invoices that billed it.

A total below zero is no invoice. By the contract's ``below_zero`` it becomes a credit memo for each invoice that it
corrects, or waits for work to be netted with. Each amount goes to the line that billed its own source, then to the
newest line of the same contract line and payer: a tier that was crossed has no source of its own. A line gives back at
most what is left of it (INV-10). What no line can bear is left over, and said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from isthmus.domain.objects import Invoice, InvoiceLine
from isthmus.policies.credits import creditable
from isthmus.policies.layouts import Evidence

POLICY = "giving_back/1"
ZERO = Decimal(0)


@dataclass(frozen=True)
class Share:
    """How much of a negative part which line of which invoice gives back; net is negative, as the part's."""

    part_id: str
    invoice_id: str
    line: int
    net: Decimal


def source_of(part_id: str) -> str:
    """The source a part is evidence of, over all its revisions: psa:7 of psa:7#2/1."""
    return part_id.rsplit("#", 1)[0]


def give_back(owed: Sequence[Evidence], invoices: Sequence[Invoice]) -> tuple[list[Share], Decimal]:
    """What each line gives back of the negative evidence, and what is left over (zero or negative).

    owed: of one payer. invoices: issued to that payer, newest first. A line that withholds a part of its net is left
    out: what it gives back depends on what was released since.
    """
    lines = [(invoice, line) for invoice in invoices for line in reversed(invoice.lines) if _bears(line)]
    left = {(invoice.invoice_id, line.number): creditable(line) for invoice, line in lines}
    shares: list[Share] = []
    unborne = ZERO
    for piece in owed:
        rest = -piece.net
        for invoice, line in _fitting(piece, lines):
            taken = min(rest, left[invoice.invoice_id, line.number])
            if taken > 0:
                left[invoice.invoice_id, line.number] -= taken
                rest -= taken
                shares.append(Share(piece.part_id, invoice.invoice_id, line.number, -taken))
        unborne -= rest
    return shares, unborne


def _bears(line: InvoiceLine) -> bool:
    return line.kind == "evidence" and not line.held and creditable(line) > 0


def _fitting(piece: Evidence, lines: Sequence[tuple[Invoice, InvoiceLine]]) -> list[tuple[Invoice, InvoiceLine]]:
    """Lines that billed the same source, then those of the same contract line."""
    source = source_of(piece.part_id)
    own = [(i, line) for i, line in lines if source in {source_of(part_id) for part_id in line.part_ids}]
    same = [(i, line) for i, line in lines if line.line_uid == piece.line_uid and (i, line) not in own]
    return own + [(i, line) for i, line in same if (line.contract_no or i.contract_no) == piece.contract_no]
