"""What a source is worth, worked out again from what is kept: the proof behind a line, and a control in production."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from isthmus.domain.objects import BillableItem, ContractVersion, Expense, Project, TimeEntry
from isthmus.policies.charges import (
    NO_LONGER,
    Charge,
    Terms,
    by_the_day,
    charge_time,
    is_same_share,
    items_of,
    place_of,
)
from isthmus.processes.work.batch import cards_of, day_of, distinct, latest_of
from isthmus.processes.work.charging import chosen_lines
from isthmus.processes.work.deriving import DERIVED, charges_of
from isthmus.processes.work.exchange import rates_for
from isthmus.processes.work.expensing import charge as charge_expense
from isthmus.processes.work.facts import Facts
from isthmus.runtime.books import Books


def worked_out_again(books: Books, item: BillableItem) -> BillableItem | None:
    """The item as its source, terms and policies make it under the contract version it names; None when they make none.

    Nothing is read from the item but its key and version: entry, contract, cards and rates are read anew.
    """
    version = books.tx.get(ContractVersion, item.contract_no, item.contract_version)
    client = version.client_no if version else ""
    made = [one for charge in _charges(books, item) for one in items_of(charge)]
    mine = [one for one in made if is_same_share(one, item, client)]
    return max(mine, key=lambda one: one.source_key == item.source_key, default=None)


def _charges(books: Books, item: BillableItem) -> list[Charge]:
    if item.source_type == "time":
        return _of_time(books, item)
    if item.source_type == "expense":
        return _of_expense(books, item)
    if item.source_type in DERIVED:
        version = books.tx.get(ContractVersion, item.contract_no, item.contract_version)
        assert version is not None
        facts = Facts(books, version, item.service_date, only_then=True)
        return [charge for line in facts.lines() for charge in charges_of(facts, line)]
    return []


def _known_versions(books: Books, item: BillableItem) -> list[ContractVersion]:
    """The terms as far as they went when the item was priced: later amendments make revisions of their own."""
    found = books.tx.find(ContractVersion, contract_no=item.contract_no, order=("version",))
    return [version for version in found if version.version <= item.contract_version]


def _of_time(books: Books, item: BillableItem) -> list[Charge]:
    source, source_id = item.entry_key.split(":", 1)
    entry = books.tx.get(TimeEntry, source, source_id, item.entry_revision)
    project = books.tx.get(Project, item.project_code)
    if entry is None or project is None:
        return []
    versions = _known_versions(books, item)
    cards = cards_of(books, {item.contract_no: versions}, item.price_trace.get("cards", ()))[item.contract_no]
    terms = Terms(
        versions=versions,
        tasks={task.code: task for task in project.tasks},
        cards=cards,
        fx=rates_for(books, versions, cards, until=str(item.price_trace.get("convert", {}).get("fx_date", ""))),
        assigned={entry.key: item.line_uid},
    )
    _, line = place_of(entry, terms)
    if not by_the_day(line):
        return charge_time([entry], terms)
    others = _beside(books, entry)
    evidence = books.tx.find(BillableItem, entry_key=distinct(e.key for e in others)) if others else []
    terms = replace(terms, chosen=chosen_lines(evidence, item.contract_no))
    same_line = [e for e in others if place_of(e, terms)[1].line_uid == line.line_uid]
    return charge_time([entry, *same_line], terms)


def _beside(books: Books, entry: TimeEntry) -> list[TimeEntry]:
    """The person's other entries of that day, each by its last revision."""
    same_day = books.tx.find(
        TimeEntry, project_code=entry.project_code, service_date=entry.service_date, order=("revision",)
    )
    latest = latest_of(books, same_day).values()
    return [e for e in latest if e.person == entry.person and e.key != entry.key and day_of(e) == day_of(entry)]


def _of_expense(books: Books, item: BillableItem) -> list[Charge]:
    source, source_id = item.entry_key.split(":", 1)
    expense = books.tx.get(Expense, source, source_id, item.entry_revision)
    project = books.tx.get(Project, item.project_code)
    version = books.tx.get(ContractVersion, item.contract_no, item.contract_version)
    if expense is None or project is None or version is None:
        return []
    line, until = version.line(item.line_uid), str(item.price_trace.get("fx_date", ""))
    return [charge_expense(books, expense, version, line, project, until)]


def net_again(books: Books, item: BillableItem) -> Decimal | None:
    """What the item is worth by its source; None when the source gives nothing.

    A charge that adds evidence up grows with it: an earlier word on it is the last one, worked out again, less what was
    added since.
    """
    last = item
    if item.source_type in DERIVED:
        chain = books.tx.find(BillableItem, source_key=item.source_key, contract_no=item.contract_no)
        last = max(chain, key=lambda one: one.revision)
    again = worked_out_again(books, last)
    if again is None and last.price_trace.get("reason") != NO_LONGER:
        return None
    return (again.entry_net if again else Decimal(0)) - (last.entry_net - item.entry_net)


def difference(books: Books, item: BillableItem) -> Decimal:
    """What is kept less what the terms make of it: zero, or the books cannot say why."""
    return item.entry_net - (net_again(books, item) or Decimal(0))
