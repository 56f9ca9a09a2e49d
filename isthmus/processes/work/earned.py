"""What a period has earned and cost, and what was invoiced in it.

Evidence is corrected by revisions. Each books what it is worth in its own period and takes back, there or in the period
that was still open then, what the revision before it was worth: so a period adds up to the last word on its work, and a
closed one to what it was when it was closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from isthmus.domain.money import round_half_away
from isthmus.domain.objects import BillableItem, Engagement, Invoice, LedgerEntry, TimeEntry
from isthmus.domain.states import InvoiceLife
from isthmus.policies.charges import NO_LONGER
from isthmus.policies.deposits import on_account
from isthmus.policies.proration import month_of
from isthmus.runtime.books import Books

ZERO = Decimal(0)
Booked = tuple[str, Decimal]  # period and amount


def period_of(item: BillableItem) -> str:
    """The period an item is booked in: its own month, or the first that was open when it came."""
    return str(item.price_trace.get("accounting_period") or month_of(item.service_date))


def totals_of(books: Books, entity: str, period: str) -> dict[str, str]:
    """What is booked in a period, by currency: revenue earned, cost, invoiced, tax, and accruals within them."""
    sums: dict[str, Decimal] = {}
    contracts = [e.contract_no for e in books.tx.find(Engagement, entity=entity, order=("contract_no",))]
    for contract_no in contracts:
        items = books.tx.find(BillableItem, contract_no=contract_no, order=("entry_revision", "revision"))
        currency = items[0].currency if items else ""
        _add_all(sums, f"revenue {currency}", period, _earned(items))
        _add_all(sums, f"cost {currency}", period, _costs(books, items))
        _add_ledgers(books, sums, contract_no, period)
    for invoice in books.tx.find(Invoice, entity=entity, life=(InvoiceLife.ISSUED, InvoiceLife.CREDITED)):
        if invoice.accounting_date and month_of(invoice.accounting_date) == period:
            sign = -1 if invoice.kind == "credit" else 1
            what = "on account" if on_account(invoice) else "invoiced"
            _add(sums, f"{what} {invoice.currency}", sign * invoice.net)
            _add(sums, f"tax {invoice.currency}", sign * invoice.tax)
    return {name: str(amount) for name, amount in sorted(sums.items())}


def _add(sums: dict[str, Decimal], name: str, amount: Decimal) -> None:
    sums[name] = sums.get(name, ZERO) + amount


def _add_all(sums: dict[str, Decimal], name: str, period: str, booked: Iterable[Booked]) -> None:
    mine = [amount for in_period, amount in booked if in_period == period]
    if mine:
        _add(sums, name, sum(mine, ZERO))


def _add_ledgers(books: Books, sums: dict[str, Decimal], contract_no: str, period: str) -> None:
    """Breakage and accruals of a contract."""
    for expired in books.tx.find(LedgerEntry, contract_no=contract_no, ledger="deposit", kind="expire", period=period):
        _add(sums, f"revenue {expired.currency}", -expired.amount)
        _add(sums, f"breakage {expired.currency}", -expired.amount)
    for entry in books.tx.find(LedgerEntry, contract_no=contract_no, ledger="accrual", period=period):
        _add(sums, f"revenue {entry.currency}", entry.amount)
        _add(sums, f"cost {entry.currency}", entry.cost)
        _add(sums, f"accrued {entry.currency}", entry.amount)


def _earned(items: Iterable[BillableItem]) -> Iterator[Booked]:
    """Each revision of a source in its period, and the one before it taken back."""
    last: dict[str, BillableItem] = {}
    for item in items:
        if item.source_key in last:
            yield _taken_back_in(item, last[item.source_key]), -_worth(last[item.source_key])
        yield period_of(item), _worth(item)
        last[item.source_key] = item


def _worth(item: BillableItem) -> Decimal:
    return item.entry_net if item.billable else ZERO


def _taken_back_in(item: BillableItem, last: BillableItem) -> str:
    return str(item.price_trace.get("reverses_in") or period_of(last))


def _costs(books: Books, items: Iterable[BillableItem]) -> Iterator[Booked]:
    """Raw hours at the cost rate of each revision of an entry, and those of the one before it taken back; all of them
    where the entry has moved to another contract.
    """
    last: dict[str, tuple[BillableItem, Decimal]] = {}
    for item in items:
        if item.source_type != "time":
            continue
        if item.raw_quantity is None:
            if not _has_moved(item) or item.entry_key not in last:
                continue
            before, cost = last.pop(item.entry_key)
            yield _taken_back_in(item, before), -cost
            continue
        if item.entry_key in last:
            before, cost = last[item.entry_key]
            yield _taken_back_in(item, before), -cost
        last[item.entry_key] = item, _cost_of(books, item, item.raw_quantity)
        yield period_of(item), last[item.entry_key][1]


def _has_moved(item: BillableItem) -> bool:
    return item.price_trace.get("reason") == NO_LONGER and bool(item.price_trace.get("moved_to"))


def _cost_of(books: Books, item: BillableItem, hours: Decimal) -> Decimal:
    source, source_id = item.entry_key.split(":", 1)
    entry = books.tx.get(TimeEntry, source, source_id, item.entry_revision)
    if entry is None or entry.cost_rate is None:
        return ZERO
    return round_half_away(hours * entry.cost_rate, item.currency)
