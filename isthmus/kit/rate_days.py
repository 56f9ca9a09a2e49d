"""A contract's rates as the rate card of a PSA: from each day on which a rate changes, the rate of every role."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from isthmus.domain.errors import BadInput
from isthmus.domain.objects import Rate
from isthmus.kit.mapping import to_minor_units


def hourly_by_role(rates: Iterable[Rate]) -> list[Rate]:
    """The rates, if a rate card can hold them: at least one, each by role and hour. BadInput names what it cannot."""
    known = list(rates)
    if not known:
        raise BadInput("a rate card without rates")
    for rate in known:
        if rate.person or rate.unit != "hour":
            raise BadInput(f"a rate card holds hourly rates by role, not {rate.role} {rate.person} by {rate.unit}")
    return known


def role_rates_by_day(rates: Iterable[Rate], currency: str, names: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Day -> role -> hourly rate in minor units, by day. names: roles that are called otherwise over there.

    BadInput names what such a card cannot hold: it is refused, never left out.
    """
    known = hourly_by_role(rates)
    days = {rate.effective_from for rate in known} | {rate.effective_to for rate in known if rate.effective_to}
    by_day: dict[str, dict[str, int]] = {day.isoformat(): {} for day in sorted(days)}
    for day in days:
        held = by_day[day.isoformat()]
        for rate in (rate for rate in known if rate.covers(day)):
            name = names.get(rate.role, rate.role)
            if name in held:
                raise BadInput(f"two rates for {rate.role} on {day}")
            held[name] = to_minor_units(rate.bill_rate, currency)
    return by_day
