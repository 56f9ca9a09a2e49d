"""Exchange rates of the books: what work, expenses and documents are converted at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from isthmus.domain.objects import ContractVersion, Invoice, LegalEntity, Rate
from isthmus.domain.periods import FxRate
from isthmus.domain.terms import FxPolicy
from isthmus.policies.charges import NO_RATES
from isthmus.policies.fx import FxTable, convert
from isthmus.runtime.books import Books

# Documents are kept at the company's own rate of the day of issue, or of the business day before.
RATE_OF_DOCUMENTS = FxPolicy(rate_type="company", date_rule="issue_date")


def rates_between(books: Books, *currencies: str, until: str = "") -> FxTable:
    """All rates the books know between currencies, either way, and of each to the euro for cross rates.

    until: the last day (ISO 8601) whose rates count: what was known when something was priced.
    """
    names = tuple(sorted({*currencies, "EUR"}))
    rows = books.tx.find(FxRate, from_currency=names, to_currency=names, order=("day",))
    return FxTable(row for row in rows if not until or row.day.isoformat() <= until)


def rates_for(
    books: Books, versions: Sequence[ContractVersion], cards: Iterable[Rate] = (), until: str = ""
) -> FxTable:
    """The rates that hours of a contract may be converted at; none where no line of it has an exchange policy."""
    lines = [line for version in versions for line in version.lines]
    if all(line.fx is None for line in lines):
        return NO_RATES
    rates = [*cards, *(rate for line in lines for rate in line.rates)]
    named = {version.currency for version in versions} | {rate.currency for rate in rates if rate.currency}
    return rates_between(books, *named, until=until)


def functional(books: Books, invoice: Invoice, entity: LegalEntity, day: date) -> dict[str, Any]:
    """Functional currency, total, rate, its day and source of a document (INV-20). EX-FX-RATE without a rate."""
    own = entity.functional_currency
    if invoice.currency == own:
        return {"functional_currency": own, "functional_total": invoice.total}
    found = rates_between(books, invoice.currency, own).rate(RATE_OF_DOCUMENTS, invoice.currency, own, day)
    return {
        "functional_currency": own,
        "functional_total": convert(invoice.total, invoice.currency, own, found.rate),
        "fx_rate": found.rate,
        "fx_date": found.day,
        "fx_source": found.source,
    }
