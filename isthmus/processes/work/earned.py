"""What a period has earned and cost, and what was invoiced in it: evidence, breakage, accruals and documents."""

from __future__ import annotations

from decimal import Decimal

from isthmus.domain.objects import Engagement, Invoice, LedgerEntry
from isthmus.domain.states import InvoiceLife
from isthmus.policies.deposits import on_account
from isthmus.policies.proration import month_of
from isthmus.processes.work.by_month import booked_in
from isthmus.runtime.books import Books

ZERO = Decimal(0)


def totals_of(books: Books, entity: str, period: str) -> dict[str, str]:
    """What is booked in a period, by currency: revenue earned, cost, invoiced, tax, and accruals within them."""
    sums: dict[str, Decimal] = {}
    contracts = [e.contract_no for e in books.tx.find(Engagement, entity=entity, order=("contract_no",))]
    for contract_no in contracts:
        for currency, amounts in booked_in(books, entity, contract_no, period):
            _add(sums, f"revenue {currency}", amounts.revenue)
            _add(sums, f"cost {currency}", amounts.cost)
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


def _add_ledgers(books: Books, sums: dict[str, Decimal], contract_no: str, period: str) -> None:
    """Breakage and accruals of a contract."""
    for expired in books.tx.find(LedgerEntry, contract_no=contract_no, ledger="deposit", kind="expire", period=period):
        _add(sums, f"revenue {expired.currency}", -expired.amount)
        _add(sums, f"breakage {expired.currency}", -expired.amount)
    for entry in books.tx.find(LedgerEntry, contract_no=contract_no, ledger="accrual", period=period):
        _add(sums, f"revenue {entry.currency}", entry.amount)
        _add(sums, f"cost {entry.currency}", entry.cost)
        _add(sums, f"accrued {entry.currency}", entry.amount)
