"""Steps of hours lent between entities: charged once, reversed as they were and charged anew when corrected."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from isthmus.domain.journals import Account, Journal, JournalLine, booking
from isthmus.domain.lending import LendingAgreement, LentHours
from isthmus.domain.objects import BillableItem, Engagement, TimeEntry
from isthmus.policies.costs import IntercompanyCharge, charge, mirror
from isthmus.policies.proration import last_day, month_of
from isthmus.processes.work import journals
from isthmus.processes.work.batch import latest_of
from isthmus.processes.work.drafting import run_key
from isthmus.runtime.books import Books

ZERO = Decimal(0)
SIDES: dict[str, tuple[Account, Account]] = {
    "lender": ("intercompany_receivable", "intercompany_revenue"),
    "borrower": ("intercompany_cost", "intercompany_payable"),
}


def charge_hours(books: Books, lender: str, borrower: str, period: str) -> str:
    """Charge the hours of a month that no charge has yet, and correct those whose entry has a later revision.

    Both books get a journal each. EX-TRANSFER-PRICE where the agreed price of an hour comes to nothing.
    """
    books.tx.lock(f"lending:{lender}:{borrower}")
    agreements = books.tx.find(LendingAgreement, lender=lender, borrower=borrower, order=("agreement_no",))
    codes = tuple(sorted(e.project_code for e in books.tx.find(Engagement, entity=borrower) if e.project_code))
    entries = _ever_lent(books, agreements, codes, period)
    known = _charges(books, entries)
    rates = _bill_rates(books, entries)
    made: list[LentHours] = []
    for entry in entries:
        mine = agreements if entry.project_code in codes else ()
        agreement = next((a for a in mine if a.covers(entry.person, entry.service_date)), None)
        made += _brought_to(books, entry, agreement, known.get(entry.key, ()), rates.get(entry.key))
    books.tx.insert_many(made)
    _book(books, made, period)
    total = sum((one.amount for one in made), ZERO)
    return f"{len(made)} charges of {total} from {lender} to {borrower}" if made else "there is nothing to charge"


def _ever_lent(
    books: Books, agreements: Sequence[LendingAgreement], codes: tuple[str, ...], period: str
) -> list[TimeEntry]:
    """The last word, in a month, on each entry that some revision has on lent people and the borrower's projects.

    The last word may say another project or person: then it is lent no more.
    """
    people = tuple(sorted({person for agreement in agreements for person in agreement.people}))
    if not people or not codes:
        return []
    found = books.tx.find(TimeEntry, project_code=codes, person=people, order=("revision",))
    last = [entry for entry in latest_of(books, found).values() if month_of(entry.service_date) == period]
    return sorted(last, key=lambda entry: (entry.service_date, entry.key))


def _charges(books: Books, entries: Sequence[TimeEntry]) -> dict[str, list[LentHours]]:
    keys = tuple(entry.key for entry in entries)
    found: dict[str, list[LentHours]] = defaultdict(list)
    for one in books.tx.find(LentHours, source_key=keys, order=("recorded_at", "charge_id")) if keys else []:
        found[one.source_key].append(one)
    return found


def _bill_rates(books: Books, entries: Sequence[TimeEntry]) -> dict[str, BillableItem]:
    """The evidence of each entry that has some: its contract and its price."""
    keys = tuple(entry.key for entry in entries)
    found = books.tx.find(BillableItem, entry_key=keys, order=("entry_revision", "revision")) if keys else []
    return {item.entry_key: item for item in found}


def _brought_to(
    books: Books,
    entry: TimeEntry,
    agreement: LendingAgreement | None,
    known: Sequence[LentHours],
    item: BillableItem | None,
) -> list[LentHours]:
    """The reversal of what stands charged and the new charge; nothing where the charge is of this revision.

    agreement: None where the hours are lent no more. A charge that is not booked in both books yet waits: its reversal
    would stand alone in one of them.
    """
    reversed_ones = {one.reversal_of for one in known if one.reversal_of}
    standing = [one for one in known if not one.reversal_of and one.charge_id not in reversed_ones]
    if item is None or any(one.entry_revision >= entry.revision for one in known if not one.reversal_of):
        return []  # it is no evidence yet, or charged as it stands
    if agreement is None and item.entry_revision < entry.revision:
        return []  # the borrower has the hours until they are evidence elsewhere
    if any(not _is_booked(books, one) for one in standing):
        books.quiet("intercompany", f"time:{entry.key}", "its charge is not booked in both books: the correction waits")
        return []
    made = [_reversal(books, entry, one) for one in standing]
    if agreement is not None and entry.hours:
        made.append(_new(books, entry, agreement, item))
    return made


def _reversal(books: Books, entry: TimeEntry, original: LentHours) -> LentHours:
    back = mirror(_as_charge(original), f"{original.charge_id}/reversed", {original.charge_id})
    facts: dict[str, Any] = {**vars(back), "entry_revision": entry.revision}
    return original.model_copy(update={**facts, "run": run_key(books), "recorded_at": books.now})


def _new(books: Books, entry: TimeEntry, agreement: LendingAgreement, item: BillableItem) -> LentHours:
    made = charge(
        f"{entry.key}#{entry.revision}",
        lender=agreement.lender,
        borrower=agreement.borrower,
        source_key=entry.key,
        quantity=entry.hours,
        terms=agreement.price,
        currency=agreement.currency,
        cost_rate=entry.cost_rate,
        bill_rate=item.unit_price,
    )
    facts: dict[str, Any] = {**vars(made)}
    return LentHours(
        **facts,
        agreement_no=agreement.agreement_no,
        entry_revision=entry.revision,
        contract_no=item.contract_no,
        project_code=entry.project_code,
        person=entry.person,
        service_date=entry.service_date,
        run=run_key(books),
        recorded_at=books.now,
    )


def _as_charge(kept: LentHours) -> IntercompanyCharge:
    return IntercompanyCharge(
        kept.charge_id,
        kept.lender,
        kept.borrower,
        kept.source_key,
        kept.quantity,
        kept.price,
        kept.amount,
        kept.currency,
        kept.reversal_of,
        kept.trace,
    )


def journal_of(run: str, entity: str, currency: str) -> str:
    """The number of the journal that books the charges of a run in the books of an entity."""
    return f"lent/{run}/{entity}/{currency}"


def _is_booked(books: Books, kept: LentHours) -> bool:
    """True when the ledgers of both entities have the charge."""
    numbers = [journal_of(kept.run, entity, kept.currency) for entity in (kept.lender, kept.borrower)]
    booked = [books.tx.get(Journal, number) for number in numbers]
    return all(journal is not None and journal.booked_as for journal in booked)


def _book(books: Books, made: Sequence[LentHours], period: str) -> None:
    """A journal in the books of each entity, by contract; what comes to nothing needs none."""
    day: date = min(last_day(period), books.today(made[0].lender)) if made else date.min
    sums: dict[tuple[str, str, str, str], Decimal] = defaultdict(Decimal)
    for one in made:
        sums[one.lender, one.borrower, one.currency, one.contract_no] += one.amount
    for lender, borrower, currency in sorted({key[:3] for key in sums}):
        for side, entity, partner in (("lender", lender, borrower), ("borrower", borrower, lender)):
            lines: list[JournalLine] = []
            for key in sorted(key for key in sums if key[:3] == (lender, borrower, currency)):
                told = f"hours of {lender} on {key[3]} in {period}"
                lines += booking(*SIDES[side], sums[key], told, contract_no=key[3], partner=partner)
            memo = f"hours lent by {lender} to {borrower} in {period}"
            number = journal_of(run_key(books), entity, currency)
            journals.keep(books, number, "intercompany", entity, currency, lines, memo, day)
