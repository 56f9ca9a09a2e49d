"""INV-08: every price can be worked out again from what is kept: entry, terms, cards and rates."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from isthmus.domain.objects import BillableItem
from isthmus.policies.charges import NO_LONGER
from isthmus.reconciliation.findings import Finding
from isthmus.reconciliation.view import ContractBooks

# An item as its source, terms and policies make it now; None when they make none.
Again = Callable[[BillableItem], BillableItem | None]
# What depends on all other evidence (volume, commitment, overage, progress) is brought up to date by billing runs.
OF_ITSELF = ("time", "expense", "milestone", "retainer_fee", "subscription", "usage")


def check_prices(books: ContractBooks, again: Again) -> list[Finding]:
    """The last word on each source, worked out anew; a correction to nothing has nothing to work out."""
    findings = []
    for key, item in books.latest.items():
        if item.source_type not in OF_ITSELF or item.price_trace.get("reason") == NO_LONGER:
            continue
        anew = again(item)
        worth = anew.entry_net if anew else Decimal(0)
        if worth != item.entry_net or (anew is not None and anew.unit_price != item.unit_price):
            price = anew.unit_price if anew else Decimal(0)
            problem = f"{item.entry_net} at {item.unit_price}, its terms say {worth} at {price}"
            gap = abs(worth - item.entry_net)
            findings.append(Finding("INV-08", key, problem, "pricing", gap, item.currency))
    return findings
