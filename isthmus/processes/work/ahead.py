"""Approved work that is dated far ahead waits for its day, or for a person who says that the date is right.

Leave or travel of the coming days is approved ahead, and that is well; a date months away is mostly a slip of the pen,
and would be billed at the rates of a day that is not there yet. Nothing is lost meanwhile: the entry is kept with its
case, and goes on by itself when its day is near enough.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.objects import LegalEntity
from isthmus.domain.states import CaseState
from isthmus.processes.work.asking import ask_again
from isthmus.runtime.books import Books
from isthmus.runtime.clock import local_day
from isthmus.store.records import Case

AHEAD = "EX-AHEAD"


def last_day(entity: LegalEntity, now: datetime) -> date | None:
    """The last day of service that is taken in now, in the calendar of the entity; None where any is."""
    if entity.days_ahead is None:
        return None
    return local_day(now, entity.time_zone) + timedelta(days=entity.days_ahead)


def refuse(
    books: Books, entity: LegalEntity, what: str, key: str, day: date, money: tuple[Decimal, str] | None = None
) -> None:
    """EX-AHEAD for work of a day that is too far away, unless a person has said that it is right."""
    last = last_day(entity, books.now)
    if last is None or day <= last or books.answers.get(AHEAD, {}).get("action") == "accept":
        return
    raise NeedsDecision(
        AHEAD,
        f"{what} is dated {day}, more than {entity.days_ahead} days after today in {entity.code}; it goes on by itself"
        f" on {day - timedelta(days=entity.days_ahead or 0)}",
        queue="pmo",
        money=money,
        context={"entry": key, "day": str(day), "entity": entity.code},
        actions=("accept", "retry", "cancel"),
    )


def come_near(books: Books) -> int:
    """Let everything go on whose day is near enough by now; the number of cases that were answered so."""
    entities = books.entities()
    return sum(_go_on(books, case, entities) for case in books.tx.find(Case, state=CaseState.OPEN, exception=AHEAD))


def _go_on(books: Books, case: Case, entities: dict[str, LegalEntity]) -> bool:
    day, entity = date.fromisoformat(str(case.context["day"])), entities[str(case.context["entity"])]
    last = last_day(entity, books.now)
    near = last is None or day <= last
    return near and ask_again(books, case.case_no, f"{day} is no more than {entity.days_ahead} days away")
