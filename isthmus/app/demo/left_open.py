"""After the month: what only a person can settle is left open for whoever has started the demo.

Three new deals meet a wall each, and work that goes on at the first client is over its cap.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from isthmus.app.demo import world
from isthmus.domain.objects import Engagement
from isthmus.domain.states import CaseState, EngagementState
from isthmus.store.records import Case

if TYPE_CHECKING:
    from isthmus.app.demo.play import Play

WALLS = ("EX-CLIENT-DUP", "EX-POST-REJECT", "EX-TAX-CODE")
FULL = "EX-CAP-REACHED"
WHO = {
    "EX-CAP-REACHED": "for pia.pmo: work goes on over a full cap; has the client raised it, or is it given up?",
    "EX-CLIENT-DUP": "for stella.steward: is this a new client, or one we have?",
    "EX-POST-REJECT": "for finn.finance, and a second person, say carla.controller: the ERP wants a region",
    "EX-TAX-CODE": "for finn.finance, and a second person, say carla.controller: what kind of service is this?",
}
WEEK = [date(2026, 5, 11) + timedelta(days=n) for n in range(5)]
# Work that goes on at the first clients, approved and not billed yet: of last month and of this one.
UNBILLED = ((date(2026, 4, 27), 3), (date(2026, 5, 11), 4))


def leave_open(play: Play) -> None:
    """Finance settles what the month has left; then three new deals meet a wall each."""
    play.move_to(date(2026, 5, 11), 9)
    _settle_short_payment(play)
    rows = [
        row
        for first, days in UNBILLED
        for n in range(days)
        for deal in world.DEALS
        for row in play.time_rows(deal, first + timedelta(days=n))
    ]
    play.work_week(date(2026, 5, 14), rows)
    play.move_to(date(2026, 5, 15), 9)
    play.timeline.say("Three more deals are won. This time three things go wrong that no program may decide.")
    play.control("netsuite", "mandatory", {"invoice": ["custbody_region"]})
    play.enter(world.LATER)
    able = world.LATER[:2]
    wanted = tuple(deal.contract_no for deal in able)
    play.until(
        "two of three contracts set up, and the third parked",
        lambda: (
            len(play.rows(Engagement, contract_no=wanted, state=(EngagementState.ACTIVE,))) == len(wanted)
            and bool(_open(play, "EX-CLIENT-DUP"))
            and play.quiet()
        ),
    )
    rows = [row for day in WEEK for deal in able for row in play.time_rows(deal, day)]
    play.work_week(WEEK[-1], rows)
    for deal in able:
        play.start_billing(deal.contract_no, "2026-05", "2026-05-15")
    play.until("three walls left for a person", lambda: _left(play) == WALLS)
    for number, told in open_cases(play).items():
        play.timeline.say(f"{number}  {told}")


def _settle_short_payment(play: Play) -> None:
    for case in _open(play, "EX-SHORT-PAY"):
        play.timeline.say(f"{case.cause}. finn.finance has it chased.")
        play.decide(case, "chase", "the client promised the rest")


def _left(play: Play) -> tuple[str, ...]:
    """The types of the open cases once all is quiet, but full caps; reviews on the way are approved."""
    for case in _open(play, "EX-REVIEW"):
        play.timeline.say(f"{case.cause}. finn.finance approves.")
        play.decide(case, "approve", "checked")
    types = sorted(case.exception for case in play.rows(Case, state=CaseState.OPEN) if case.exception != FULL)
    return tuple(types) if play.quiet() else ()


def _open(play: Play, exception: str) -> list[Case]:
    return list(play.rows(Case, state=CaseState.OPEN, exception=exception))


def open_cases(play: Play) -> dict[str, str]:
    """The open cases by number: type and cause."""
    found = play.rows(Case, state=CaseState.OPEN, order=("case_no",))
    return {case.case_no: f"{case.exception} {case.cause}" for case in found}
