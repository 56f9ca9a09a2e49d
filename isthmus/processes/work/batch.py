"""What a batch of approved time is judged by: everything its evidence depends on, read once for all entries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from isthmus.domain.objects import (
    BillableItem,
    ContractVersion,
    Engagement,
    LegalEntity,
    Project,
    Rate,
    RateCard,
    TimeEntry,
)
from isthmus.policies.charges import by_the_day
from isthmus.policies.fx import FxTable
from isthmus.processes.work.exchange import rates_for
from isthmus.runtime.books import Books
from isthmus.store.records import EntrySeen

Day = tuple[str, str, date]  # of one person, however they are spelled, on one project


@dataclass
class Batch:
    """What is known about a batch's entries, and what it adds."""

    engagements: dict[str, Engagement]
    projects: dict[str, Project]
    versions: dict[str, list[ContractVersion]]
    latest: dict[str, TimeEntry]
    same_day: dict[Day, list[TimeEntry]]
    earlier: dict[str, list[BillableItem]]
    seen: dict[str, datetime]
    cards: dict[str, list[Rate]]
    fx: dict[str, FxTable]
    approved_again: set[str] = field(default_factory=set)
    entries: list[TimeEntry] = field(default_factory=list)
    items: list[BillableItem] = field(default_factory=list)
    left: list[tuple[Day, str]] = field(default_factory=list)  # days hours have moved away from, and by which revision
    by_day: bool = False  # a line of theirs bills by the day
    entities: dict[str, LegalEntity] = field(default_factory=dict)

    def stands(self, entry: TimeEntry) -> bool:
        """True for the last word on an entry; a later revision may say another day, or other work."""
        return self.latest.get(entry.key, entry).revision == entry.revision


def day_of(entry: TimeEntry | BillableItem) -> Day:
    """The day an entry or its evidence is about: what else was worked on it matters."""
    return entry.project_code, entry.person.casefold(), entry.service_date


def read_batch(books: Books, entries: Iterable[TimeEntry], *, evidence_of_all: bool = False) -> Batch:
    """Lock the entries and their days, and read everything their evidence depends on.

    evidence_of_all: also the evidence of what was worked beside the entries, whether or not it may change with them.
    """
    entries = list(entries)
    days = {day_of(entry) for entry in entries}
    locks = [f"entry:{entry.key}" for entry in entries] + [f"day:{code}/{who}/{day}" for code, who, day in days]
    books.tx.lock_all(locks)
    codes = distinct(entry.project_code for entry in entries if entry.project_code)
    engagements = books.tx.find(Engagement, project_code=codes)
    contracts = distinct(engagement.contract_no for engagement in engagements)
    versions: dict[str, list[ContractVersion]] = defaultdict(list)
    for version in books.tx.find(ContractVersion, contract_no=contracts, order=("version",)):
        versions[version.contract_no].append(version)
    same_day = _worked_on(books, entries)
    beside = [known for day in same_day.values() for known in day]
    latest = latest_of(books, beside, entries)
    earlier: dict[str, list[BillableItem]] = defaultdict(list)
    by_day = _any_by_the_day(versions)
    concerned = [*entries, *beside] if evidence_of_all or by_day else entries
    wanted = {entry.key for entry in concerned} & set(latest)
    for item in books.tx.find(BillableItem, entry_key=distinct(wanted), order=("revision",)):
        earlier[item.entry_key].append(item)
    # A correction changes parts that billing runs and placing read under these locks.
    books.tx.lock_all(f"contract:{contract_no}" for contract_no in _corrected_contracts(earlier))
    projects = {project.project_code: project for project in books.tx.find(Project, project_code=codes)}
    ids, sources = distinct(e.source_id for e in entries), distinct(e.source for e in entries)
    marks = books.tx.find(EntrySeen, source=sources, source_id=ids)
    seen = {f"{mark.source}:{mark.source_id}": mark.approved_at for mark in marks}
    cards = cards_of(books, versions)
    by_code = {engagement.project_code: engagement for engagement in engagements}
    fx = {contract_no: rates_for(books, known, cards.get(contract_no, ())) for contract_no, known in versions.items()}
    entities = {code: books.entity(code) for code in sorted({engagement.entity for engagement in engagements})}
    return Batch(
        by_code, projects, versions, latest, same_day, earlier, seen, cards, fx, by_day=by_day, entities=entities
    )


def _worked_on(books: Books, entries: list[TimeEntry]) -> dict[Day, list[TimeEntry]]:
    """All revisions that are kept of entries of these days: how a line bills and how long a day may be depend on them.

    Whoever keeps another one waits for the lock of its day.
    """
    days, known = {day_of(entry) for entry in entries}, defaultdict[Day, list[TimeEntry]](list)
    codes, people = distinct(entry.project_code for entry in entries), distinct(entry.person for entry in entries)
    dates = distinct(entry.service_date for entry in entries)
    for entry in books.tx.find(TimeEntry, project_code=codes, person=people, service_date=dates):
        if day_of(entry) in days:
            known[day_of(entry)].append(entry)
    return known


def beside(batch: Batch, entry: TimeEntry) -> list[TimeEntry]:
    """The person's other entries of the day on the project, as they stand now."""
    keys = {e.key for e in batch.same_day.get(day_of(entry), ())} - {entry.key}
    known = [batch.latest[key] for key in sorted(keys) if key in batch.latest]
    return [e for e in known if e.person == entry.person and day_of(e) == day_of(entry)]


def is_evidence(batch: Batch, entry: TimeEntry) -> bool:
    """True for an entry whose revision has been priced."""
    return any(item.entry_revision >= entry.revision for item in batch.earlier.get(entry.key, ()))


def latest_of(books: Books, kept: Sequence[TimeEntry], arrived: Sequence[TimeEntry] = ()) -> dict[str, TimeEntry]:
    """The latest revision kept of each entry: it may have moved the hours to another day, person or project.

    arrived: entries that may be kept under the same name, and are themselves not kept yet.
    """
    concerned = [*kept, *arrived]
    named = {"source": distinct(e.source for e in concerned), "source_id": distinct(e.source_id for e in concerned)}
    revisions: dict[tuple[str, str], int] = {}
    for source, source_id, revision in books.tx.tuples(TimeEntry, ("source", "source_id", "revision"), **named):
        revisions[source, source_id] = max(revision, revisions.get((source, source_id), 0))
    latest = {e.key: e for e in kept if revisions[e.source, e.source_id] == e.revision}
    others = [
        (e.source, e.source_id) for e in concerned if e.key not in latest and (e.source, e.source_id) in revisions
    ]
    sources, ids = distinct(source for source, _ in others), distinct(name for _, name in others)
    for entry in books.tx.find(TimeEntry, source=sources, source_id=ids):
        if revisions[entry.source, entry.source_id] == entry.revision:
            latest[entry.key] = entry
    return latest


def _any_by_the_day(versions: dict[str, list[ContractVersion]]) -> bool:
    """True when a line bills by the day: then what was billed beside an entry may change with it."""
    return any(by_the_day(line) for known in versions.values() for version in known for line in version.lines)


def cards_of(
    books: Books, versions: dict[str, list[ContractVersion]], as_priced: Sequence[str] | None = None
) -> dict[str, list[Rate]]:
    """Rates agreed beside the contract, with the client or for the whole entity, by contract.

    as_priced: the cards (code@version) to read instead of the active ones: those that something was priced by.
    """
    latest = {contract_no: known[-1] for contract_no, known in versions.items() if known}
    if as_priced is None:
        found = books.tx.find(RateCard, state="active") if latest else []
    else:
        codes = distinct(key.rpartition("@")[0] for key in as_priced)
        found = [card for card in books.tx.find(RateCard, code=codes) if card.key in as_priced]
    return {
        contract_no: [
            rate.model_copy(update={"currency": rate.currency or card.currency, "level": card.scope, "card": card.key})
            for card in found
            if (card.client_no == v.client_no if card.scope == "client" else card.entity == v.entity)
            for rate in card.rates
        ]
        for contract_no, v in latest.items()
    }


def _corrected_contracts(earlier: dict[str, list[BillableItem]]) -> tuple[str, ...]:
    return distinct(item.contract_no for items in earlier.values() for item in items)


def distinct(values: Iterable[Any]) -> tuple[Any, ...]:
    """The values, each once and in order: how a question names them."""
    return tuple(sorted(set(values)))
