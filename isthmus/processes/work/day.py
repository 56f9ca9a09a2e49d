"""What an approved entry is worth, with those of the person's day that it changes or has left."""

from __future__ import annotations

from datetime import date

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.objects import BillableItem, ContractVersion, Engagement, TimeEntry
from isthmus.policies.charges import NO_RATES, Terms, by_the_day, charge_time, items_of, place_of
from isthmus.processes.work.batch import Batch, beside, day_of, distinct, is_evidence, latest_of, read_batch
from isthmus.processes.work.charging import bring_to, chains_of, chosen_lines
from isthmus.processes.work.closing import flag_prior_period
from isthmus.runtime.books import Books


def charged(books: Books, batch: Batch, entry: TimeEntry) -> list[BillableItem]:
    """New items that bring the books to what the entry is worth, and those of its day that it changes."""
    terms = _terms(books, batch, entry)
    _, line = place_of(entry, terms)
    earlier = batch.earlier.get(entry.key, ())
    if earlier and (day_of(earlier[-1]), earlier[-1].line_uid) != (day_of(entry), line.line_uid):
        batch.left.append((day_of(earlier[-1]), f"{entry.key}#{entry.revision}"))
    group = _charged_together(batch, entry, terms)
    wanted = [item for charge in charge_time(group, terms) for item in items_of(charge)]
    known = [item for one in group for item in batch.earlier.get(one.key, ())]
    new = bring_to(books, wanted, chains_of(known))
    # The hours of the entries beside it are cost already.
    return [i if i.entry_key == entry.key else i.model_copy(update={"raw_quantity": None}) for i in new]


def _terms(books: Books, batch: Batch, entry: TimeEntry) -> Terms:
    project = batch.projects[entry.project_code]
    tasks = {task.code: task for task in project.tasks}
    if entry.task_code and entry.task_code not in tasks:
        cause = f"time entry {entry.key}: project {project.project_code} has no task {entry.task_code}"
        raise NeedsDecision("EX-NO-CONTRACT-LINE", cause, queue="contract-operations", context={"entry": entry.key})
    assigned = _assigned_line(books)
    beside_it = batch.same_day.get(day_of(entry), ()) if batch.by_day else ()
    keys = {entry.key, *(other.key for other in beside_it)}
    return Terms(
        versions=batch.versions.get(project.contract_no, []),
        tasks=tasks,
        cards=batch.cards.get(project.contract_no, ()),
        fx=batch.fx.get(project.contract_no, NO_RATES),
        assigned={entry.key: assigned} if assigned else {},
        chosen=chosen_lines((i for key in keys for i in batch.earlier.get(key, ())), project.contract_no),
    )


def _charged_together(batch: Batch, entry: TimeEntry, terms: Terms) -> list[TimeEntry]:
    """The entry, and on a line that is billed by the day the person's other entries of that day and line."""
    _, line = place_of(entry, terms)
    if not by_the_day(line):
        return [entry]
    return [entry, *(e for e in beside(batch, entry) if place_of(e, terms)[1].line_uid == line.line_uid)]


def _assigned_line(books: Books) -> str:
    """The contract line a person has chosen for the entry of this run; empty when nobody had to."""
    answers = books.answers
    told = answers.get("EX-LINE-AMBIGUOUS") or answers.get("EX-NO-CONTRACT-LINE") or {}
    return str(told.get("line_uid", ""))


# -- days that hours have left -----------------------------------------------------------------------------------


def charge_again_what_stays(books: Books, batch: Batch) -> None:
    """A run for each day of a person that hours have left by a correction, where a line there is billed by the day."""
    projects = _billed_by_day(books, {code for (code, _, _), _ in batch.left})
    for (code, person, day), revision in sorted(set(batch.left)):
        if code in projects:
            args = {"project_code": code, "person": person, "day": str(day)}
            books.start("charge_day_again", f"{code}/{person}/{day}<{revision}", args, entity=projects[code])


def _billed_by_day(books: Books, codes: set[str]) -> dict[str, str]:
    """Projects with a line that is billed by the day, and their legal entity."""
    found = {}
    for engagement in books.tx.find(Engagement, project_code=distinct(codes)) if codes else []:
        versions = books.tx.find(ContractVersion, contract_no=engagement.contract_no)
        if any(by_the_day(line) for version in versions for line in version.lines):
            found[engagement.project_code] = engagement.entity
    return found


def charge_again(books: Books, project_code: str, person: str, day: str) -> list[BillableItem]:
    """The items that bring a person's day on a project to what its hours are worth without those that have left."""
    wanted = (project_code, person, date.fromisoformat(day))
    kept = books.tx.find(TimeEntry, project_code=project_code, service_date=wanted[2], order=("revision",))
    batch = read_batch(books, [e for e in kept if day_of(e) == wanted], evidence_of_all=True)
    staying = [e for e in latest_of(books, kept).values() if day_of(e) == wanted and is_evidence(batch, e)]
    for entry in sorted(staying, key=lambda e: e.key):
        _, line = place_of(entry, _terms(books, batch, entry))
        for item in charged(books, batch, entry) if by_the_day(line) else ():
            batch.earlier[item.entry_key].append(item)
            batch.items.append(item.model_copy(update={"raw_quantity": None}))
    items = flag_prior_period(books, batch.items)
    books.tx.insert_many(items)
    return items
