"""The controls that run over the books, by the invariant each holds, and what each asks.

Prices are worked out again and totals summed up by whoever runs the controls: ``Recompute`` says how.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from isthmus.reconciliation.balances import (
    check_advances,
    check_balances,
    check_holdback,
    check_payments,
    check_retainers,
)
from isthmus.reconciliation.closed import Totals, check_closed_periods
from isthmus.reconciliation.documents import (
    check_arithmetic,
    check_billed_once,
    check_credits,
    check_functional,
    check_lines,
    check_settled,
    check_tax,
)
from isthmus.reconciliation.findings import Finding
from isthmus.reconciliation.full_caps import check_full_caps
from isthmus.reconciliation.lending import check_lending
from isthmus.reconciliation.limits import check_caps, check_contract_value, check_milestones, check_orders
from isthmus.reconciliation.numbering import check_numbers
from isthmus.reconciliation.partition import (
    check_chargeability,
    check_corrections,
    check_parts,
    check_shares,
    check_sources,
)
from isthmus.reconciliation.payables import check_bought_hours
from isthmus.reconciliation.prices import Again, check_prices
from isthmus.reconciliation.replay import check_replay
from isthmus.reconciliation.standstill import check_standstill
from isthmus.reconciliation.versions import check_versions
from isthmus.reconciliation.view import ContractBooks, read_contracts
from isthmus.store.tx import Tx

# What each control asks, by the number its findings carry.
CONTROLS = {
    "INV-01": "Is every source in its parts, whole, in exactly one state?",
    "INV-02": "Is everything that was approved evidence?",
    "INV-03": "Is no more billed than the price or the authorised value?",
    "INV-04": "Is no hard cap exceeded, and nothing over a cap that has room?",
    "INV-05": "Do lines, tax, total, settlements and what is open add up?",
    "INV-06": "Is every part on one living line, and no source billed beyond what was approved?",
    "INV-07": "Is every line the sum of its parts?",
    "INV-08": "Can every price be worked out again?",
    "INV-09": "Is every posted invoice one document in the ERP, with the same total, and nothing else there?",
    "INV-10": "Is no line credited beyond what it bills, always at its own tax rate?",
    "INV-11": "Do the shares of payers add up to what is shared?",
    "INV-12": "Is no retainer or deposit drawn below nothing?",
    "INV-13": "Is everything withheld in the ledger, and no more released?",
    "INV-18": "Has no closed period changed?",
    "INV-19": "Are numbers without gap and given once?",
    "INV-20": "Is the total in the books' own currency the total at the kept rate?",
    "INV-21": "Is every charge between entities in both books, the same, and mirrored when it is reversed?",
    "INV-22": "Do corrections follow each other and add up to the last approved quantity?",
    "INV-23": "Is every milestone billed at most once, and only when accepted?",
    "INV-24": "Does what is not billable carry no money?",
    "INV-25": "Does the tax breakdown cover the lines, and a reverse charge have no tax and both VAT ids?",
    "INV-26": "Does no purchase order bear more than its amount, or work outside its days?",
    "INV-27": "Are projects, and what was made of them elsewhere, on the newest terms?",
    "INV-28": "Do the events alone give the same parts?",
    "INV-30": "Does everything that is not finished move, wait for a time, or have a case, money over a cap too?",
    "INV-32": "Does no payment give more than it brought?",
    "INV-33": "Is every hour a supplier is paid for approved and paid once, and every bill what its hours come to?",
    "INV-34": "Is every supplier's bill one document in the ERP, with the same total and the same hold?",
}

Control = Callable[[ContractBooks], list[Finding]]
MONEY: tuple[Control, ...] = (check_parts, check_billed_once, check_lines)
TERMS: tuple[Control, ...] = (
    check_sources,
    check_corrections,
    check_shares,
    check_chargeability,
    check_arithmetic,
    check_credits,
    check_functional,
    check_tax,
    check_caps,
    check_contract_value,
    check_milestones,
    check_orders,
    check_balances,
    check_retainers,
    check_holdback,
)


@dataclass(frozen=True)
class Recompute:
    """How the hub works things out: an item again from its source, a period's totals from all that is booked in it."""

    item: Again
    totals: Totals


def reconcile_books(tx: Tx, now: datetime) -> list[Finding]:
    """What must hold whatever the terms are: evidence, lines, numbers, and that everything moves."""
    return [*_each(tx, MONEY), *check_numbers(tx), *check_standstill(tx, now)]


def audit_books(tx: Tx, now: datetime, recompute: Recompute) -> list[Finding]:
    """Every control over the hub's own books. Reads one contract at a time."""

    def prices(books: ContractBooks) -> list[Finding]:
        return check_prices(books, recompute.item)

    def replay(books: ContractBooks) -> list[Finding]:
        return check_replay(tx, books)

    def owners(books: ContractBooks) -> list[Finding]:
        return check_full_caps(tx, books)

    return [
        *_each(tx, (*MONEY, *TERMS, prices, replay, owners)),
        *check_numbers(tx),
        *check_versions(tx),
        *check_settled(tx),
        *check_payments(tx),
        *check_advances(tx),
        *check_lending(tx),
        *check_bought_hours(tx),
        *check_closed_periods(tx, recompute.totals),
        *check_standstill(tx, now),
    ]


def _each(tx: Tx, controls: Iterable[Control]) -> list[Finding]:
    controls = tuple(controls)
    return [finding for books in read_contracts(tx) for control in controls for finding in control(books)]
