"""What a month has earned and what its work has cost: by where the evidence stands, and fixed when the month is closed.

Evidence earns in its month as far as it may be billed: what is over a hard cap, written off or moved away does not, and
a corrected source counts once, as it is now. A retainer earns what was used or is lost, not what goes over; a fee for
several months earns by days. Hours cost what they cost, billed or not. A month that is closed keeps what it had: every
later change of its evidence is booked in the first month that is open.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from isthmus.domain.money import allocate, round_half_away
from isthmus.domain.objects import (
    BillableItem,
    BillablePart,
    ContractVersion,
    Engagement,
    LedgerEntry,
    Project,
    TimeEntry,
)
from isthmus.domain.periods import FiscalPeriod
from isthmus.domain.states import PartState, PeriodState
from isthmus.policies.charges import NO_LONGER
from isthmus.policies.periods import accounting_date, is_open
from isthmus.policies.proration import first_day, later, month_of
from isthmus.processes.work.facts import Facts
from isthmus.runtime.books import Books

ZERO = Decimal(0)
LEDGER, DOMAIN = "earned", "revenue"
NOT_EARNED = frozenset(
    {PartState.OVER_CAP, PartState.WRITTEN_OFF, PartState.TRANSFERRED, PartState.SUPERSEDED, PartState.CREDITED}
)


@dataclass
class Amounts:
    """Revenue and cost of a month's evidence, in one currency."""

    revenue: Decimal = ZERO
    cost: Decimal = ZERO


Months = dict[tuple[str, str], Amounts]  # by month (2026-03) and currency


def booked_in(books: Books, entity: str, contract_no: str, period: str) -> list[tuple[str, Amounts]]:
    """What a contract adds to a month of its legal entity, by currency: what is fixed, and what has changed since."""
    fixed = books.tx.find(LedgerEntry, contract_no=contract_no, ledger=LEDGER, period=period, order=("entry_id",))
    found = [(entry.currency, Amounts(entry.amount, entry.cost)) for entry in fixed]
    states = _states(books, entity)
    if is_open(states, period, finance=True):
        found += [
            (currency, change)
            for (month, currency), change in _changes(books, contract_no).items()
            if _booked_on(month, states) == period
        ]
    return found


def fix(books: Books, entity: str, period: str, version: int) -> None:
    """Keep what a month comes to, before it is closed: from then on only its entries count."""
    states = _states(books, entity)
    for engagement in books.tx.find(Engagement, entity=entity, order=("contract_no",)):
        for (month, currency), change in sorted(_changes(books, engagement.contract_no).items()):
            if _booked_on(month, states) == period:
                entry = LedgerEntry(
                    entry_id=f"{LEDGER}/{engagement.contract_no}/{period}/{version}/{month}/{currency}",
                    ledger=LEDGER,
                    contract_no=engagement.contract_no,
                    line_uid="",
                    period=period,
                    kind="adjust",
                    amount=change.revenue,
                    cost=change.cost,
                    currency=currency,
                    source_key=month,
                    recorded_at=books.now,
                )
                books.tx.insert(entry)


def _states(books: Books, entity: str) -> dict[str, PeriodState]:
    return {row.period: row.state for row in books.tx.find(FiscalPeriod, entity=entity, domain=DOMAIN)}


def _booked_on(month: str, states: dict[str, PeriodState]) -> str:
    return month_of(accounting_date(first_day(month), states, finance=True).accounting_date)


def _changes(books: Books, contract_no: str) -> Months:
    """By month of the evidence: what it comes to now, less what closed months have kept of it."""
    found = _as_it_stands(books, contract_no)
    for entry in books.tx.find(LedgerEntry, contract_no=contract_no, ledger=LEDGER):
        kept = found[entry.source_key, entry.currency]
        kept.revenue -= entry.amount
        kept.cost -= entry.cost
    return {key: amounts for key, amounts in found.items() if amounts.revenue or amounts.cost}


def _as_it_stands(books: Books, contract_no: str) -> Months:
    found: Months = defaultdict(Amounts)
    items = books.tx.find(BillableItem, contract_no=contract_no, order=("source_key", "revision"))
    by_id = {item.item_id: item for item in items}
    versions = {v.version: v for v in books.tx.find(ContractVersion, contract_no=contract_no, order=("version",))}
    for part in books.tx.find(BillablePart, contract_no=contract_no):
        if part.state not in NOT_EARNED:
            item = by_id[part.item_id]
            for month, share in _over_months(item, part.net, versions.get(item.contract_version)):
                found[month, part.currency].revenue += share
    for month, currency, cost in _costs(books, contract_no, items):
        found[month, currency].cost += cost
    if versions:
        _defer(books, list(versions.values())[-1], items, found)
    return found


def period_of(item: BillableItem) -> str:
    """The period an item is booked in: its own month, or the first that was open when it came."""
    return str(item.price_trace.get("accounting_period") or month_of(item.service_date))


# -- fees that are for more than their own month ---------------------------------------------------------------------


def _over_months(item: BillableItem, net: Decimal, version: ContractVersion | None) -> Iterable[tuple[str, Decimal]]:
    """A fee for several months, straight-line by days; everything else in its own month."""
    lines = version.lines if version and item.source_type == "subscription" else ()
    terms = next((line.subscription for line in lines if line.line_uid == item.line_uid), None)
    if terms is None or terms.every_months == 1:
        return [(period_of(item), net)]
    until = item.price_trace.get("until")
    if until is None:
        return [(period_of(item), net)]
    months = list(_days_by_month(item.service_date, date.fromisoformat(str(until))))
    return zip(
        (month for month, _ in months),
        allocate(net, [Decimal(days) for _, days in months], item.currency),
        strict=True,
    )


def _days_by_month(first: date, last: date) -> Iterator[tuple[str, int]]:
    month = month_of(first)
    while first_day(month) <= last:
        following = later(month, 1)
        end = min(first_day(following) - timedelta(days=1), last)
        yield month, (end - max(first_day(month), first)).days + 1
        month = following


def _defer(books: Books, version: ContractVersion, items: list[BillableItem], found: Months) -> None:
    """Hours of a retainer that go over are earned where they are used or lost, not where their fee is billed."""
    from isthmus.processes.work.deriving import retainer_months  # which books what it derives by closed periods

    begun = [item for item in items if item.source_type == "retainer_fee"]
    if not begun:
        return
    for line in Facts(books, version, begun[0].service_date).lines():
        billed = [item.service_date for item in begun if item.line_uid == line.line_uid]
        if line.retainer is None or not billed:
            continue
        waiting = ZERO
        for month in retainer_months(Facts(books, version, max(billed)), line):
            found[month.period, version.currency].revenue += waiting - month.deferred_end
            waiting = month.deferred_end


# -- what the work has cost ------------------------------------------------------------------------------------------


def _costs(books: Books, contract_no: str, items: list[BillableItem]) -> Iterator[tuple[str, str, Decimal]]:
    """Every entry that is still charged on the contract, once: its last hours at its cost rate."""
    codes = tuple(project.project_code for project in books.tx.find(Project, contract_no=contract_no))
    entries = {(e.key, e.revision): e for e in books.tx.find(TimeEntry, project_code=codes)} if codes else {}
    last = {item.source_key: item for item in items if item.source_type == "time"}
    charged: dict[str, BillableItem] = {}
    for item in last.values():
        known = charged.get(item.entry_key)
        if item.price_trace.get("reason") != NO_LONGER and (
            known is None or known.entry_revision < item.entry_revision
        ):
            charged[item.entry_key] = item
    for key, item in charged.items():
        entry = entries.get((key, item.entry_revision))
        if entry is not None and entry.cost_rate is not None:
            yield period_of(item), item.currency, round_half_away(entry.hours * entry.cost_rate, item.currency)
