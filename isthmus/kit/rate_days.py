"""A contract's rates as the rate card of a PSA: from each day on which a rate changes, the rate of every role.

What such a card cannot hold is refused before anything is sent, like a refusal of the system itself: a person decides
(EX-RATE-MISMATCH) whether the contract goes on without its rates in the PSA.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from isthmus.domain.errors import BadInput, RemoteRefusal
from isthmus.domain.objects import Rate
from isthmus.kit.mapping import to_minor_units


def hourly_by_role(rates: Iterable[Rate]) -> list[Rate]:
    """The rates, if a rate card can hold them: at least one, each by role and hour. RemoteRefusal names others."""
    known = list(rates)
    if not known:
        raise BadInput("a rate card without rates")
    for rate in known:
        if rate.person or rate.unit != "hour":
            of_whom = f"{rate.role} {rate.person}".strip()
            raise cannot_hold(f"a rate card holds hourly rates by role, not {of_whom} by {rate.unit}")
    return known


def role_rates_by_day(rates: Iterable[Rate], currency: str, names: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Day -> role -> hourly rate in minor units, by day. names: roles that are called otherwise over there.

    RemoteRefusal names what such a card cannot hold: it is refused, never left out.
    """
    known = hourly_by_role(rates)
    days = {rate.effective_from for rate in known} | {rate.effective_to for rate in known if rate.effective_to}
    by_day: dict[str, dict[str, int]] = {day.isoformat(): {} for day in sorted(days)}
    for day in days:
        held = by_day[day.isoformat()]
        for rate in (rate for rate in known if rate.covers(day)):
            name = names.get(rate.role, rate.role)
            if name in held:
                raise cannot_hold(f"two rates for {rate.role} on {day}")
            held[name] = _in_minor_units(rate, currency)
    return by_day


def _in_minor_units(rate: Rate, currency: str) -> int:
    try:
        return to_minor_units(rate.bill_rate, currency)
    except BadInput as wrong:
        raise cannot_hold(wrong.message) from wrong


def cannot_hold(what: str) -> RemoteRefusal:
    """The refusal of a rate card that could not say what the contract says."""
    return RemoteRefusal(what, remote_code="cannot_hold", field="rates", words=what)
