"""Retainers: a fee a month for a quota of hours, what is used, what goes over, what is lost and what is earned.

In a month, hours consume what was rolled over, oldest first, then the quota; the rest is overage at its own rate. What
of the quota is left goes over (capped), is given back in money (credit) or is forfeit (none). Rolled hours may be used
in the next ``rollover_periods`` months, then they are forfeit too; forfeited hours are revenue of the month in which
they are lost (breakage). At most ``rollover_max_hours`` go over at a month's end: quota rolls only as far as room is
left above hours that already wait. When the term ends nothing goes over any more.

An hour of the quota is worth fee / quota of the month that granted it. Revenue is what was billed less what is still
owed: fee + overage + deferred at the start - deferred at the end - credited. So nothing is lost to rounding.

    statement(terms, {"2026-01": Decimal(34)}, "2026-02", currency="USD")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from isthmus.domain.errors import BadInput, NeedsDecision
from isthmus.domain.money import round_half_away
from isthmus.domain.terms import Retainer
from isthmus.policies.proration import first_day, last_day, later, month_of, periods

POLICY = "retainers/1"
ZERO = Decimal(0)


@dataclass(frozen=True)
class LateHours:
    """Hours of one month that were approved after it was closed, and the month (YYYY-MM) they are posted in.

    Negative hours are a correction that takes hours back.
    """

    period_worked: str
    posted_in: str
    hours: Decimal


@dataclass(frozen=True)
class RetainerMonth:
    """One month of a retainer. Hours: quota + rolled_in = from_rolled + from_quota + rolled_out + forfeited + credited,
    and used = from_rolled + from_quota + overage (INV-12). Amounts are net, in the currency of the contract.

    fee and overage_net are billed, credited_net is given back (rollover credit); revenue includes breakage, the value
    of forfeited hours; deferred_end is the value of the hours that go over.
    """

    period: str
    used: Decimal
    from_rolled: Decimal
    from_quota: Decimal
    overage: Decimal
    rolled_out: Decimal
    forfeited: Decimal
    fee: Decimal
    overage_net: Decimal
    revenue: Decimal
    deferred_end: Decimal
    quota: Decimal
    rolled_in: Decimal
    credited: Decimal
    credited_net: Decimal
    breakage: Decimal

    @property
    def invoiced(self) -> Decimal:
        """What the client is asked for: the fee and the overage, less what is given back."""
        return self.fee + self.overage_net - self.credited_net


@dataclass(frozen=True)
class _Grant:
    """Hours that one month granted and nobody has used, with what the whole quota of that month cost."""

    month: str
    hours: Decimal
    fee: Decimal
    quota: Decimal

    def worth(self) -> Decimal:
        return self.hours * self.fee / self.quota if self.quota else ZERO


NO_EARLIER: Mapping[str, Retainer] = {}


def statement(
    terms: Retainer,
    hours: Mapping[str, Decimal],
    through: str,
    late: Sequence[LateHours] = (),
    closed: frozenset[str] = frozenset(),
    *,
    currency: str,
    earlier: Mapping[str, Retainer] = NO_EARLIER,
) -> list[RetainerMonth]:
    """The months of a retainer up to and including through, each from what the month before left.

    hours: approved hours by month worked (YYYY-MM), for a closed month what was approved when it closed. late: hours
    approved after their month was closed; hours of a month that is not closed simply count there. Late hours consume
    what their own month had left over, if it is not expired; otherwise they are overage of the month they are posted
    in. A first or last month covered in part has its share of fee and quota by days. earlier: months that were under
    other terms, before an amendment.

    Raises BadInput for hours outside the term, NeedsDecision EX-RETAINER-CORRECTION when late corrections take back
    more than their month of posting has.
    """
    worked, posted = _sorted((terms, *earlier.values()), hours, late, closed)
    own = {p.label: p for p in periods(terms.start, terms.end, 1, last_day(through))}
    before = {
        p.label: p
        for month, then in earlier.items()
        for p in periods(then.start, then.end, 1, last_day(through))
        if p.label == month
    }
    granted = {**own, **before}
    after_the_end = {month for month in posted if month not in granted and month <= through}
    months: list[RetainerMonth] = []
    waiting: list[_Grant] = []
    for month in sorted(granted.keys() | after_the_end):
        period, then = granted.get(month), earlier.get(month, terms)
        quota = period.share_of_hours(then.quota_hours) if period else ZERO
        grant = _Grant(month, quota, period.share(then.fee, currency) if period else ZERO, quota)
        row, waiting = _month(then, grant, worked.get(month, ZERO), posted.get(month, ()), waiting, currency)
        months.append(row)
    return months


def _sorted(
    terms: Sequence[Retainer], hours: Mapping[str, Decimal], late: Sequence[LateHours], closed: frozenset[str]
) -> tuple[dict[str, Decimal], dict[str, list[LateHours]]]:
    """Hours by the month they count in: worked as themselves, and posted later because their month is closed."""
    worked = dict(hours)
    posted: dict[str, list[LateHours]] = {}
    for entry in late:
        if entry.posted_in <= entry.period_worked:
            raise BadInput(f"hours of {entry.period_worked} are not late when they are posted in {entry.posted_in}")
        if entry.period_worked in closed:
            posted.setdefault(entry.posted_in, []).append(entry)
        else:
            worked[entry.period_worked] = worked.get(entry.period_worked, ZERO) + entry.hours
    for month in [*worked, *(entry.period_worked for entry in late)]:
        start, end = min(one.start for one in terms), terms[0].end
        if first_day(month) < first_day(month_of(start)) or (end and first_day(month) > end):
            raise BadInput(f"hours of {month} are outside the retainer from {start} to {end or 'no end'}")
        if worked.get(month, ZERO) < 0:
            raise BadInput(f"{worked[month]} hours in {month}: a month's total cannot be negative")
    return worked, posted


def _month(
    terms: Retainer,
    grant: _Grant,
    worked: Decimal,
    late: Sequence[LateHours],
    waiting: list[_Grant],
    currency: str,
) -> tuple[RetainerMonth, list[_Grant]]:
    rolled_in, deferred_start = _hours(waiting), _deferred(waiting, currency)
    waiting, overage, hours = _late(grant.month, worked, late, waiting)
    waiting, beyond_rolled = _draw(waiting, hours)
    left, beyond_quota = _draw([grant], beyond_rolled)
    overage += beyond_quota
    from_rolled, from_quota = rolled_in - _hours(waiting), grant.hours - _hours(left)
    over, lost, credited = _month_end(terms, grant.month, left, waiting)
    overage_net = round_half_away(overage * terms.overage_rate, currency)
    credited_net, deferred_end = round_half_away(_worth(credited), currency), _deferred(over, currency)
    row = RetainerMonth(
        period=grant.month,
        used=from_rolled + from_quota + overage,
        from_rolled=from_rolled,
        from_quota=from_quota,
        overage=overage,
        rolled_out=_hours(over),
        forfeited=_hours(lost),
        fee=grant.fee,
        overage_net=overage_net,
        revenue=grant.fee + overage_net + deferred_start - deferred_end - credited_net,
        deferred_end=deferred_end,
        quota=grant.hours,
        rolled_in=rolled_in,
        credited=_hours(credited),
        credited_net=credited_net,
        breakage=round_half_away(_worth(lost), currency),
    )
    return row, over


def _late(
    month: str, worked: Decimal, late: Sequence[LateHours], waiting: list[_Grant]
) -> tuple[list[_Grant], Decimal, Decimal]:
    """After the late hours of a month: what still waits, their overage, and the hours of the month itself."""
    net: dict[str, Decimal] = {}
    for entry in late:
        net[entry.period_worked] = net.get(entry.period_worked, ZERO) + entry.hours
    overage = ZERO
    for worked_in, hours in sorted(net.items()):
        if hours < 0:
            worked += hours
            continue
        # What a later month has granted was never theirs to use.
        theirs, missing = _draw([g for g in waiting if g.month <= worked_in], hours)
        waiting = theirs + [g for g in waiting if g.month > worked_in]
        overage += missing
    if worked < 0:
        raise NeedsDecision(
            "EX-RETAINER-CORRECTION",
            f"corrections of closed months take {-worked} hours more back than {month} has: credit them by hand",
            queue="billing",
            context={"month": month, "hours": str(-worked)},
            actions=("credit", "retry", "cancel"),
        )
    return waiting, overage, worked


def _draw(grants: Sequence[_Grant], hours: Decimal) -> tuple[list[_Grant], Decimal]:
    """Grants after hours are taken from them, oldest first, and the hours that found none."""
    left: list[_Grant] = []
    for grant in grants:
        taken = min(grant.hours, hours)
        hours -= taken
        left.append(replace(grant, hours=grant.hours - taken))
    return left, hours


def _month_end(
    terms: Retainer, month: str, quota: list[_Grant], waiting: list[_Grant]
) -> tuple[list[_Grant], list[_Grant], list[_Grant]]:
    """What goes over into the next month, what is lost, and what is given back in money."""
    ends = terms.end is not None and later(month, 1) > month_of(terms.end)
    alive = [g for g in waiting if not ends and later(g.month, terms.rollover_periods) > month]
    lost = [g for g in waiting if g not in alive]
    if terms.rollover == "credit":
        return _some(alive), _some(lost), _some(quota)
    room = ZERO if ends or terms.rollover == "none" else max(terms.rollover_max_hours - _hours(alive), ZERO)
    over = [replace(g, hours=min(g.hours, room)) for g in quota]
    lost += [replace(g, hours=g.hours - o.hours) for g, o in zip(quota, over, strict=True)]
    return _some([*alive, *over]), _some(lost), []


def _some(grants: Sequence[_Grant]) -> list[_Grant]:
    return [grant for grant in grants if grant.hours]


def _hours(grants: Sequence[_Grant]) -> Decimal:
    return sum((grant.hours for grant in grants), ZERO)


def _worth(grants: Sequence[_Grant]) -> Decimal:
    return sum((grant.worth() for grant in grants), ZERO)


def _deferred(grants: Sequence[_Grant], currency: str) -> Decimal:
    return round_half_away(_worth(grants), currency)
