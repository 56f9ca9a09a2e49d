"""INV-01, INV-02, INV-11, INV-22 and INV-24: what was approved is evidence, once, whole, in exactly one state."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise

from isthmus.domain.objects import BillableItem, Expense, TimeEntry
from isthmus.policies.charges import NO_LONGER, charge_key_of
from isthmus.reconciliation.findings import Finding
from isthmus.reconciliation.view import GONE, ContractBooks, read_contracts, source_of, total
from isthmus.store.tx import Tx

ZERO = Decimal(0)
CORRECTED = ("time", "expense")


def check_partition(tx: Tx) -> list[Finding]:
    """check_parts for every contract."""
    return [finding for books in read_contracts(tx) for finding in check_parts(books)]


def check_parts(books: ContractBooks) -> list[Finding]:
    """INV-01: the parts of a source that count add up to its last revision, in money and in quantity."""
    net: dict[str, Decimal] = defaultdict(Decimal)
    quantity: dict[str, Decimal] = defaultdict(Decimal)
    for part in books.parts:
        if part.state not in GONE:
            net[source_of(part)] += part.net
            quantity[source_of(part)] += part.quantity
    findings = []
    for key, item in books.latest.items():
        wanted, count = (item.entry_net, item.entry_quantity) if item.billable else (ZERO, ZERO)
        if (net[key], quantity[key]) == (wanted, count):
            continue
        problem = f"{wanted} {item.currency} of evidence, {net[key]} in parts"
        if net[key] == wanted:
            problem = f"a quantity of {count} in evidence, {quantity[key]} in parts"
        findings.append(Finding("INV-01", key, problem, "billing", abs(wanted - net[key]), item.currency))
    orphans = [part for part in books.parts if part.item_id not in books.item and part.state not in GONE]
    findings += [Finding("INV-01", p.part_id, "no evidence", "billing", abs(p.net), p.currency) for p in orphans]
    return findings


def check_sources(books: ContractBooks) -> list[Finding]:
    """INV-02: the last approved revision of every entry and expense is evidence, with all its hours."""
    hours: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
    known = set()
    for item in books.items:
        known.add((item.entry_key, item.entry_revision))
        hours[item.entry_key, item.entry_revision] += item.raw_quantity or ZERO
    latest: dict[str, TimeEntry | Expense] = {}
    latest.update({entry.key: entry for entry in books.entries})
    latest.update({expense.key: expense for expense in books.expenses})
    findings = []
    for key, source in latest.items():
        here = (key, source.revision)
        newest = books.newest(key)
        if here not in known:
            if newest is None or newest.entry_revision < source.revision:
                findings.append(Finding("INV-02", key, f"revision {source.revision} is no evidence", "billing"))
        elif isinstance(source, TimeEntry) and hours[here] != source.hours:
            problem = f"{source.hours} h approved, {hours[here]} in evidence"
            findings.append(Finding("INV-02", key, problem, "billing"))
    return findings


def check_corrections(books: ContractBooks) -> list[Finding]:
    """INV-22: revisions follow each other without a gap; what they placed adds up to the last one, never below zero."""
    placed: dict[str, Decimal] = defaultdict(Decimal)
    chains: dict[str, list[BillableItem]] = defaultdict(list)
    for part in books.parts:
        if part.state not in GONE:
            placed[source_of(part)] += part.quantity
    for item in books.items:
        chains[item.source_key].append(item)
    findings = []
    for key, chain in chains.items():
        numbers, last = [item.revision for item in chain], chain[-1]
        problem = ""
        if not _follow_each_other(chain):
            problem = f"revisions {', '.join(map(str, numbers))}: one is missing or there twice"
        elif last.source_type in CORRECTED and last.entry_quantity < 0:
            problem = f"corrected to {last.entry_quantity}, which is less than nothing"
        elif len(chain) > 1 and last.billable and placed[key] != last.entry_quantity:
            problem = f"revisions place {placed[key]} in all, {last.entry_quantity} is approved"
        if problem:
            findings.append(Finding("INV-22", key, problem, "billing", abs(last.entry_net), last.currency))
    return findings


def _follow_each_other(chain: Sequence[BillableItem]) -> bool:
    """Each revision is one after the last; what has moved away and come back has had revisions elsewhere between."""
    return all(
        later.revision == earlier.revision + 1
        or (later.revision > earlier.revision and earlier.price_trace.get("reason") == NO_LONGER)
        for earlier, later in pairwise(chain)
    )


def check_shares(books: ContractBooks) -> list[Finding]:
    """INV-11: what the payers of a source have adds up to what it is worth: extended amount less discount."""
    charges: dict[str, list[BillableItem]] = defaultdict(list)
    for item in books.latest.values():
        if item.price_trace.get("reason") != NO_LONGER and item.extended is not None:
            charges[charge_key_of(item)].append(item)
    findings = []
    for key, items in charges.items():
        worth = {(item.extended or ZERO) - item.discount for item in items}
        shared = total(item.entry_net for item in items)
        if worth != {shared}:
            problem = f"worth {', '.join(map(str, sorted(worth)))}, its payers have {shared}"
            amount = abs(max(worth) - shared)
            findings.append(Finding("INV-11", key, problem, "billing", amount, items[0].currency))
    return findings


def check_chargeability(books: ContractBooks) -> list[Finding]:
    """INV-24: what is not billable carries hours or cost, never money."""
    return [
        Finding("INV-24", key, f"{item.entry_net} of what is not billable", "billing", item.entry_net, item.currency)
        for key, item in books.latest.items()
        if not item.billable and item.entry_net
    ]
