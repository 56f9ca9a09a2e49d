"""What a document is worth in the books' own currency, and at which rate."""

from __future__ import annotations

from datetime import date
from typing import Any

from isthmus.domain.objects import Invoice, LegalEntity
from isthmus.domain.periods import FxRate
from isthmus.domain.terms import FxPolicy
from isthmus.policies.fx import FxTable, convert
from isthmus.runtime.books import Books

# Documents are kept at the company's own rate of the day of issue, or of the business day before.
RATE_OF_DOCUMENTS = FxPolicy(rate_type="company", date_rule="issue_date")


def rates_between(books: Books, one: str, other: str) -> FxTable:
    """All rates the books know between two currencies, either way, and of each to the euro for cross rates."""
    names = tuple(sorted({one, other, "EUR"}))
    return FxTable(books.tx.find(FxRate, from_currency=names, to_currency=names, order=("day",)))


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
