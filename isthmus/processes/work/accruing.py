"""What a closed month accrues, in the general ledger: unapproved time, taken back as it is approved."""

from __future__ import annotations

from decimal import Decimal

from isthmus.domain.journals import Journal, JournalLine, booking
from isthmus.domain.objects import Engagement, LedgerEntry
from isthmus.domain.periods import PeriodSnapshot
from isthmus.policies.proration import last_day
from isthmus.processes.work import journals
from isthmus.runtime.books import Books

ZERO = Decimal(0)


def book(books: Books, entity: str, period: str) -> list[str]:
    """A journal, by currency, of what the period accrues less what it takes back, as far as no journal has it yet.

    While the ledger of the month is open; closed again, it books only the difference. The numbers of the journals.
    """
    version = len(books.tx.find(PeriodSnapshot, entity=entity, period=period)) + 1
    contracts = {e.contract_no: e.project_code for e in books.tx.find(Engagement, entity=entity)}
    due: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
    for contract_no in sorted(contracts):
        for entry in books.tx.find(LedgerEntry, contract_no=contract_no, ledger="accrual", period=period):
            revenue, cost = due.get((entry.currency, contract_no), (ZERO, ZERO))
            due[entry.currency, contract_no] = (revenue + entry.amount, cost + entry.cost)
    booked = _booked(books, entity, period)
    made = []
    for currency in sorted({currency for currency, _ in {*due, *booked}}):
        lines: list[JournalLine] = []
        for contract_no in sorted({number for name, number in {*due, *booked} if name == currency}):
            revenue, cost = due.get((currency, contract_no), (ZERO, ZERO))
            had_revenue, had_cost = booked.get((currency, contract_no), (ZERO, ZERO))
            about = {"contract_no": contract_no, "project_code": contracts.get(contract_no, "")}
            told = f"unapproved time of {contract_no} in {period}"
            lines += booking("accrued_revenue", "revenue", revenue - had_revenue, told, **about)
            lines += booking("cost_of_services", "accrued_cost", cost - had_cost, told, **about)
        number = f"accrual/{entity}/{period}/{version}/{currency}"
        memo = f"accruals of {entity} {period}"
        if journals.keep(books, number, "accrual", entity, currency, lines, memo, last_day(period)):
            made.append(number)
    return made


def _booked(books: Books, entity: str, period: str) -> dict[tuple[str, str], tuple[Decimal, Decimal]]:
    """What earlier journals of the period hold, by currency and contract: revenue and cost."""
    held: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
    for journal in books.tx.find(Journal, entity=entity, kind="accrual"):
        if not journal.journal_no.startswith(f"accrual/{entity}/{period}/"):
            continue
        for line in journal.lines:
            revenue, cost = held.get((journal.currency, line.contract_no), (ZERO, ZERO))
            if line.account == "accrued_revenue":
                revenue += line.debit - line.credit
            elif line.account == "accrued_cost":
                cost += line.credit - line.debit
            held[journal.currency, line.contract_no] = (revenue, cost)
    return held
