"""Process API: what is handed in: contracts with all their terms, expenses, milestones, progress, usage.

Facts are kept as they came and worked on by runs; the answer says what was new.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from isthmus.app.amending import AmendmentPreview, hand_in, preview_amendment
from isthmus.app.api.admission import Visiting
from isthmus.app.api.endpoints import Asked, endpoint
from isthmus.app.api.idempotency import Reply, once
from isthmus.app.api.reading import reading
from isthmus.app.api.starts import Number, Started, known_contract, started
from isthmus.domain.errors import BadInput
from isthmus.domain.money import Exact, can_bill_in, is_exact_amount, minor_units
from isthmus.domain.names import same_person
from isthmus.domain.objects import (
    ContractVersion,
    Expense,
    MilestoneStatus,
    PercentReport,
    SubmittedTime,
    UsageRecord,
)
from isthmus.policies.recurring import check_usage, usage_line
from isthmus.processes import sweeps
from isthmus.runtime.books import Books

BATCH_MAX = 500


class Kept(BaseModel):
    """How many of the facts were new; the others were known already."""

    received: int
    new: int


class HandedIn(Asked):
    """A contract version, complete with its terms."""

    contract: ContractVersion
    dry_run: bool = False


class Expenses(Asked):
    """Approved expenses of one source."""

    source: Number
    expenses: Annotated[tuple[Expense, ...], Field(min_length=1, max_length=BATCH_MAX)]


class Milestones(Asked):
    """How far milestones are, by one source."""

    source: Number
    milestones: Annotated[tuple[MilestoneStatus, ...], Field(min_length=1, max_length=BATCH_MAX)]


class Handed(Asked):
    """Time that was handed in and is not approved yet."""

    entries: Annotated[tuple[SubmittedTime, ...], Field(min_length=1, max_length=BATCH_MAX)]


class Progress(Asked):
    """Approved progress of a fixed price on a day; percent 0 to 100."""

    contract_no: Number
    line_uid: Number
    as_of: date
    percent: Exact


class Usage(Asked):
    """A quantity a meter or a billing engine reports, with its evidence."""

    record: UsageRecord


@endpoint("POST /v1/contract-versions", answer=Started | AmendmentPreview, status=202)
def hand_in_contract(visit: Visiting, asked: HandedIn) -> Response:
    """Hand in a contract version: the first sets the project up, a later one amends the running contract; or show it.

    A dry run of an amendment shows what it would credit, bill and price anew.
    """
    contract = asked.contract
    minor_units(contract.currency)
    visit.speak_for("contract", contract.entity)
    if asked.dry_run:
        with reading(visit.hub) as tx:
            visit.speak_of(tx, "contract", contracts=[contract.contract_no])
        shown = preview_amendment(visit.hub.kernel, contract, visit.caller.name)
        return JSONResponse(shown.model_dump(mode="json"))

    def act(books: Books) -> Reply:
        visit.speak_of(books.tx, "contract", contracts=[contract.contract_no])
        return Reply(202, started(hand_in(books, contract, visit.caller.name)))

    return once(visit, asked, act)


@endpoint("POST /v1/expenses", answer=Kept, status=202)
def hand_in_expenses(visit: Visiting, asked: Expenses) -> Response:
    """Hand in approved expenses. The same content again is known; other content of an id is a correction."""
    visit.speak_for("expense")
    _of_source(asked.source, asked.expenses)
    for expense in asked.expenses:
        _check_amounts(expense)

    def act(books: Books) -> Reply:
        visit.speak_of(books.tx, "expense", projects=[expense.project_code for expense in asked.expenses])
        return _kept(sweeps.accept_expenses, books, asked.source, asked.expenses)

    return once(visit, asked, act)


@endpoint("POST /v1/milestones", answer=Kept, status=202)
def hand_in_milestones(visit: Visiting, asked: Milestones) -> Response:
    """Report milestones as completed, accepted or rejected. An accepted one is billed by the next billing run.

    by is the caller's own name; for somebody else's word `evidence` says where it is.
    """
    visit.speak_for("milestone")
    _of_source(asked.source, asked.milestones)
    for status in asked.milestones:
        _speaks_for_itself(status, visit.caller.name)
    reported = tuple(status.model_copy(update={"reported_by": visit.caller.name}) for status in asked.milestones)

    def act(books: Books) -> Reply:
        contracts = [status.contract_no for status in asked.milestones]
        projects = [status.project_code for status in asked.milestones]
        visit.speak_of(books.tx, "milestone", contracts=contracts, projects=projects)
        return _kept(sweeps.accept_milestones, books, asked.source, reported)

    return once(visit, asked, act)


def _speaks_for_itself(status: MilestoneStatus, caller: str) -> None:
    """A milestone of something, by the caller's own word or with evidence of the other's."""
    if not status.contract_no and not status.project_code:
        raise BadInput(f"milestone {status.source_id} names neither a contract nor a project")
    decided = status.state in ("completed", "accepted", "rejected")
    if decided and not same_person(status.by, caller) and not status.evidence.strip():
        raise BadInput(
            f"milestone {status.source_id} is {status.state} by {status.by or '(nobody)'}, and it is {caller} who says"
            " so: report your own word, or say in evidence where the other's is"
        )


def _check_amounts(expense: Expense) -> None:
    """As for a file: a currency that has been replaced is taken, part cents of one that one can bill in are not."""
    if not re.fullmatch("[A-Z]{3}", expense.currency):
        raise BadInput(f"expense {expense.source_id}: {expense.currency!r} is no ISO 4217 code, such as EUR")
    for amount in (expense.gross, expense.tax, expense.personal):
        if can_bill_in(expense.currency) and not is_exact_amount(amount, expense.currency):
            raise BadInput(f"expense {expense.source_id}: {amount} has more decimals than {expense.currency} has")


def _of_source(source: str, facts: tuple[Any, ...]) -> None:
    other = sorted({fact.source for fact in facts} - {source})
    if other:
        raise BadInput(f"the message is of {source}, but it carries facts of {', '.join(other)}")


def _kept(accept: Any, books: Books, source: str, facts: tuple[Any, ...]) -> Reply:
    return Reply(202, Kept(received=len(facts), new=accept(books, source, facts)))


@endpoint("POST /v1/time/submitted", answer=Kept, status=202)
def hand_in_submitted_time(visit: Visiting, asked: Handed) -> Response:
    """Report time that waits for approval: milestones wait for it, and it is accrued at the close of its month."""
    visit.speak_for("time_entry")

    def act(books: Books) -> Reply:
        visit.speak_of(books.tx, "time_entry", projects=[entry.project_code for entry in asked.entries])
        for entry in asked.entries:
            books.tx.put(entry)
        return Reply(202, Kept(received=len(asked.entries), new=len(asked.entries)))

    return once(visit, asked, act)


@endpoint("POST /v1/progress", answer=Kept, status=202)
def report_progress(visit: Visiting, asked: Progress) -> Response:
    """Report approved progress of a fixed price; the next billing run bills what it adds."""

    def act(books: Books) -> Reply:
        version = known_contract(books.tx, asked.contract_no)
        visit.speak_for("progress", version.entity)
        version.line(asked.line_uid)
        if not 0 <= asked.percent <= 100:
            raise BadInput(f"{asked.percent} % complete: it is a number from 0 to 100")
        report = PercentReport(
            contract_no=asked.contract_no,
            line_uid=asked.line_uid,
            as_of=asked.as_of,
            percent=asked.percent,
            by=visit.caller.name,
            at=books.now,
        )
        books.tx.insert(report)
        return Reply(202, Kept(received=1, new=1))

    return once(visit, asked, act)


@endpoint("POST /v1/usage", answer=Kept, status=202)
def report_usage(visit: Visiting, asked: Usage) -> Response:
    """Report a metered or engine-billed quantity with the hash of its evidence."""
    record = asked.record

    def act(books: Books) -> Reply:
        version = known_contract(books.tx, record.contract_no)
        visit.speak_for("usage", version.entity)
        version.line(record.line_uid)
        usage_line(record, version.currency)
        known = books.tx.find(UsageRecord, contract_no=record.contract_no, line_uid=record.line_uid)
        check_usage(record, known, version.currency)
        if books.tx.insert_new(record):
            return Reply(202, Kept(received=1, new=1))
        if books.tx.get(UsageRecord, record.source, record.source_id) != record:
            raise BadInput(f"usage {record.source}:{record.source_id} was reported before with other content")
        return Reply(202, Kept(received=1, new=0))

    return once(visit, asked, act)
