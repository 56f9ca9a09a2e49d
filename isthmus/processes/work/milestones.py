"""Takes in how far milestones are, and checks what must be done before one may be billed."""

from __future__ import annotations

import json
from decimal import Decimal

from pydantic import ValidationError

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.objects import (
    ContractLine,
    ContractVersion,
    Milestone,
    MilestoneStatus,
    Project,
    SubmittedTime,
    TimeEntry,
)
from isthmus.policies.fixed import OpenWork, check_prerequisites, milestone_amounts
from isthmus.processes.work.drafting import latest_version
from isthmus.runtime import inbox
from isthmus.runtime.books import Books
from isthmus.store.records import InboxMessage, MessageState


def take_in(books: Books, source: str, message_id: str) -> list[MilestoneStatus]:
    """The statuses a message carries that were not known; each is an event."""
    message = books.tx.get(InboxMessage, source, message_id)
    assert message is not None
    try:
        carried = [MilestoneStatus.model_validate(one) for one in json.loads(message.raw)["milestones"]]
    except (ValidationError, KeyError, TypeError, ValueError) as wrong:
        inbox.settle(books, [message], MessageState.QUARANTINED, reason=str(wrong))
        return []
    new = [status for status in carried if books.tx.insert_new(status)]
    for status in new:
        if status.state in ("completed", "accepted", "rejected"):
            about = f"milestone:{status.contract_no or status.project_code}/{status.number}"
            facts = {"milestone": status.number, "by": status.by, "contract": contract_of(books, status)}
            books.emit(f"milestone.{status.state}", about, facts)
    inbox.settle(books, [message], MessageState.APPLIED)
    return carried


def contract_of(books: Books, status: MilestoneStatus) -> str:
    """The contract a milestone belongs to. EX-UNKNOWN-PROJECT when its project is not known."""
    if status.contract_no:
        return status.contract_no
    project = books.tx.get(Project, status.project_code)
    if project is None:
        cause = f"milestone {status.number} is of project {status.project_code or '(none)'}, which is not known"
        raise NeedsDecision("EX-UNKNOWN-PROJECT", cause, queue="pmo", context={"entry": status.key})
    return project.contract_no


def check_ready(books: Books, status: MilestoneStatus) -> str:
    """A completed or accepted milestone waits until all time of its tasks is approved: EX-MILESTONE-PREREQ lists it."""
    if status.state not in ("completed", "accepted"):
        return f"milestone {status.number} is {status.state}"
    version = latest_version(books, contract_of(books, status))
    line, milestone = find(version, status)
    price = line.price if line.price is not None else sum((m.amount for m in line.milestones), Decimal(0))
    amount = milestone_amounts(price, line.milestones, version.currency)[milestone.number]
    check_prerequisites(milestone, open_work(books, version.contract_no), amount, version.currency)
    return f"milestone {status.number} is {status.state}: all time of its tasks is approved"


def find(version: ContractVersion, status: MilestoneStatus) -> tuple[ContractLine, Milestone]:
    """The line and the milestone a status is about. EX-SOW-UNMAPPED when the contract has none of that number."""
    for line in version.lines:
        for milestone in line.milestones:
            if milestone.number == status.number and status.line_uid in ("", line.line_uid):
                return line, milestone
    raise NeedsDecision(
        "EX-SOW-UNMAPPED",
        f"contract {version.key} has no milestone {status.number} on line {status.line_uid or '(any)'}",
        queue="pmo",
        context={"entry": status.key},
    )


def open_work(books: Books, contract_no: str) -> list[OpenWork]:
    """Time that was handed in for the contract's projects and is not approved."""
    codes = tuple(p.project_code for p in books.tx.find(Project, contract_no=contract_no))
    waiting = books.tx.find(SubmittedTime, project_code=codes) if codes else []
    ids = tuple(sorted({time.source_id for time in waiting}))
    approved = {entry.key for entry in books.tx.find(TimeEntry, source_id=ids)} if ids else set()
    return [
        OpenWork(time.key, time.task_code, time.person, time.service_date, time.hours)
        for time in waiting
        if time.key not in approved
    ]
