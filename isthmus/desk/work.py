"""What people do with a case besides deciding it: take or give it, hand it over, comment, tag, wait for somebody."""

from __future__ import annotations

from datetime import datetime

from isthmus.desk.cases import open_case
from isthmus.desk.config import DeskConfig
from isthmus.desk.filing import escalation_at
from isthmus.desk.notes import change, note
from isthmus.domain.errors import BadInput
from isthmus.policies.authority import QUEUES, Actor, demand
from isthmus.runtime.books import Books
from isthmus.store.desk_records import CaseNote
from isthmus.store.records import Case

COMMENT_MAX, TAG_MAX, TAGS_MAX = 2000, 40, 12


def _workable(books: Books, who: Actor, case_no: str) -> Case:
    case = open_case(books.tx, case_no)
    demand(who, "case.work", case.entity)
    return case


def assign(books: Books, who: Actor, case_no: str, assignee: str) -> Case:
    """Give the case to a person, or to nobody (empty)."""
    case = _workable(books, who, case_no)
    name = _plain(assignee, 100)
    return change(books, case, "assign", f"given to {name}" if name else "given back to the queue", assignee=name)


def hand_over(books: Books, who: Actor, case_no: str, queue: str, reason: str) -> Case:
    """Give the case to another queue; whoever held it gives it up."""
    case = _workable(books, who, case_no)
    if queue not in QUEUES:
        raise BadInput(f"no queue {queue}: there are {', '.join(QUEUES)}")
    if not reason.strip():
        raise BadInput(f"case {case_no}: say why it is handed over")
    return change(books, case, "route", _plain(reason, COMMENT_MAX), queue=queue, assignee="")


def comment(books: Books, who: Actor, case_no: str, text: str) -> CaseNote:
    """Say something about the case; it stays in its history, decided or not."""
    from isthmus.desk.cases import case_of

    case = case_of(books.tx, case_no)
    demand(who, "case.work", case.entity)
    said = _plain(text, COMMENT_MAX)
    if not said:
        raise BadInput(f"case {case_no}: the comment is empty")
    return note(books, case_no, "comment", said)


def tag(books: Books, who: Actor, case_no: str, tags: list[str]) -> Case:
    """Set the case's tags."""
    case = _workable(books, who, case_no)
    wanted = sorted({cleaned for one in tags if (cleaned := _plain(one, TAG_MAX).lower())})
    if len(wanted) > TAGS_MAX:
        raise BadInput(f"case {case_no}: at most {TAGS_MAX} tags")
    return change(books, case, "tag", ", ".join(wanted), tags=wanted)


def wait(books: Books, who: Actor, case_no: str, waiting_for: str, until: datetime, reason: str = "") -> Case:
    """Wait for somebody outside until then: the clock of the service level stands still."""
    case = _workable(books, who, case_no)
    named = _plain(waiting_for, 100)
    if not named or until.tzinfo is None or until <= books.now:
        raise BadInput(f"case {case_no}: say for whom it waits, and until when (later than now)")
    told = f"waits for {named} until {until:%Y-%m-%d %H:%M} UTC" + (f": {_plain(reason, 500)}" if reason else "")
    since = case.waiting_since or books.now
    # The clock looks at escalate_at: while the case waits, that is when the waiting ends.
    facts = {"waiting_for": named, "waiting_since": since, "waiting_until": until, "escalate_at": until}
    return change(books, case, "wait", told, **facts)


def go_on(books: Books, case: Case, config: DeskConfig, why: str) -> Case:
    """The waiting is over: the deadline moves by as long as it lasted."""
    since = case.waiting_since or books.now
    due = case.due_at + (books.now - since) if case.due_at else None
    opened = case.opened_at + (books.now - since)
    facts = {
        "waiting_for": "",
        "waiting_since": None,
        "waiting_until": None,
        "due_at": due,
        "escalate_at": escalation_at(config, opened, due, case.escalation) if due else None,
    }
    return change(books, case, "resume", why, **facts)


def answered(books: Books, who: Actor, case_no: str, config: DeskConfig) -> Case:
    """Whoever was waited for has answered."""
    case = _workable(books, who, case_no)
    if not case.waiting_for:
        raise BadInput(f"case {case_no} waits for nobody")
    return go_on(books, case, config, f"{case.waiting_for} has answered")


def _plain(text: str, longest: int) -> str:
    """Text on one line, bounded."""
    cleaned = " ".join(text.split())
    if len(cleaned) > longest:
        raise BadInput(f"at most {longest} characters")
    return cleaned
