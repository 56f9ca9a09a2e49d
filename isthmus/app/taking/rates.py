"""Exchange rates of the ECB, from the table that ships with a package: kept once, never overwritten."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from pydantic import BaseModel

from isthmus.domain.errors import BadInput
from isthmus.domain.periods import FxRate
from isthmus.kit.reference import ecb_range, ecb_rates
from isthmus.runtime.books import Books

DAYS_MAX = 3700


class RatesTaken(BaseModel):
    """Rates that are new, and that were known with the same value. table_ends: the last day the package has."""

    dry_run: bool
    currencies: list[str]
    first: date
    last: date
    accepted: int
    duplicates: int
    table_ends: date
    source: str


def take_ecb(books: Books, currencies: Sequence[str], first: date, last: date, *, dry_run: bool = False) -> RatesTaken:
    """Keep the reference rates from the euro to each currency for every day in [first, last] that has one.

    BadInput when the table does not reach that far, for a currency the ECB never published, and when another rate is
    known for one of the days: a rate that documents may have used is never overwritten.
    """
    if not currencies:
        raise BadInput("name at least one currency")
    if last < first or (last - first).days > DAYS_MAX:
        raise BadInput(f"{first} to {last} are no days in order, or more than {DAYS_MAX}")
    found = ecb_rates(currencies, first, last)
    if not found:
        raise BadInput(f"the ECB has no rate of {', '.join(currencies)} from {first} to {last}")
    books.tx.lock("fx:ecb")
    known = _known(books, found)
    pairs = [(rate, known[_key(rate)]) for rate in found if _key(rate) in known]
    differing = [(rate, kept) for rate, kept in pairs if rate.rate != kept.rate]
    if differing:
        rate, kept = differing[0]
        where = f"{rate.to_currency} on {rate.day}: {kept.rate} from {kept.source}, now {rate.rate}"
        raise BadInput(f"{len(differing)} rates are known with another value, such as {where}; nothing was taken")
    new = [rate for rate in found if _key(rate) not in known]
    if not dry_run:
        books.tx.insert_many(new)
        told = {"rates": len(new), "first": str(first), "last": str(last)}
        books.audit("rates.take", "ecb", reason=", ".join(sorted(set(currencies))), after=told)
    return RatesTaken(
        dry_run=dry_run,
        currencies=sorted({rate.to_currency for rate in found}),
        first=min(rate.day for rate in found),
        last=max(rate.day for rate in found),
        accepted=len(new),
        duplicates=len(found) - len(new),
        table_ends=ecb_range()[1],
        source=found[-1].source,
    )


def _key(rate: FxRate) -> tuple[str, str, str, date]:
    return rate.rate_type, rate.from_currency, rate.to_currency, rate.day


def _known(books: Books, found: Sequence[FxRate]) -> dict[tuple[str, str, str, date], FxRate]:
    names, days = tuple(sorted({r.to_currency for r in found})), tuple(sorted({r.day for r in found}))
    rows = books.tx.find(FxRate, rate_type=found[0].rate_type, from_currency="EUR", to_currency=names, day=days)
    return {_key(row): row for row in rows}
