"""Which rate prices an hour: resolved with a trace, never guessed.

The order of domain 2.2: the version in force on the service day; the level where a price was agreed (RATE_LEVELS, from
an assignment to a person's default); within a level the rate that names most of the hour. Missing is EX-RATE-MISSING
and ambiguous is EX-RATE-AMBIGUOUS; neither ever becomes zero or "the first".
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from itertools import combinations
from typing import Any, NamedTuple

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.objects import ContractLine, ContractVersion, Rate
from isthmus.domain.terms import RATE_LEVELS

POLICY = "rates/1"

# What naming a dimension is worth. A task is worth more than all others: who prices a task on a card means just that.
WEIGHTS = {"person": 32, "role": 16, "grade": 8, "region": 4, "work_type": 2, "location": 1, "task": 64}


class Work(NamedTuple):
    """What an hour was: the dimensions a rate may name, in the order of WEIGHTS."""

    person: str
    role: str
    grade: str = ""
    region: str = ""
    work_type: str = ""
    location: str = ""
    task: str = ""


class Candidate(NamedTuple):
    """A rate that fits an hour, how much of the hour it names, and its currency."""

    rate: Rate
    weight: int
    currency: str


def version_in_force(versions: list[ContractVersion], service_date: date) -> ContractVersion:
    """The version whose commercial window holds the service date; the highest number wins where windows overlap.

    Amendment effective dates decide, not signature dates. NeedsDecision EX-NO-CONTRACT-LINE when none covers the day.
    """
    covering = [
        v
        for v in versions
        if v.effective_from <= service_date and (v.effective_to is None or service_date < v.effective_to)
    ]
    if not covering:
        known = ", ".join(f"{v.key} from {v.effective_from}" for v in versions) or "no version"
        raise NeedsDecision(
            "EX-NO-CONTRACT-LINE",
            f"no contract version is in force on {service_date} ({known})",
            queue="contract-operations",
        )
    return max(covering, key=lambda v: v.version)


def resolve_rate(
    version: ContractVersion,
    line: ContractLine,
    *,
    person: str,
    role: str,
    service_date: date,
    grade: str = "",
    region: str = "",
    work_type: str = "",
    location: str = "",
    task: str = "",
    cards: Sequence[Rate] = (),
) -> tuple[Decimal, dict[str, Any]]:
    """The bill rate of an hour and the trace that explains it. cards: rates of client, entity, project, assignment.

    The first level with a rate that fits decides; in it the most dimensions matched (WEIGHTS), then the contract's own
    currency. A rate in another currency counts only when the line has an exchange policy (fx): it is returned as it is,
    and the trace says what to convert ("convert"). A daily rate is no answer for hours: no contract says how many make
    a day. Raises NeedsDecision EX-RATE-MISSING or EX-RATE-AMBIGUOUS, queue pricing.
    """
    work = Work(person, role, grade, region, work_type, location, task)
    return LineRates(version, line, cards).resolve(work, service_date)


class LineRates:
    """The rates of one line, asked about many hours: what resolve_rate says, found once for hours that are alike."""

    def __init__(self, version: ContractVersion, line: ContractLine, cards: Sequence[Rate] = ()) -> None:
        self._version, self._line = version, line
        self._rates = (*line.rates, *cards)
        # What was asked stays known: a later version of a card must not change what was priced before it.
        self._cards = sorted({rate.card for rate in cards if rate.card})
        begun = {rate.effective_from for rate in self._rates}
        self._turns = sorted(begun | {rate.effective_to for rate in self._rates if rate.effective_to})
        self._known: dict[tuple[int, Work], tuple[Decimal, dict[str, Any]]] = {}

    def resolve(self, work: Work, service_date: date) -> tuple[Decimal, dict[str, Any]]:
        """Rate and trace of the hour. Between two days on which a rate begins or ends the answer is the same."""
        key = (bisect_right(self._turns, service_date), work)
        if key not in self._known:
            where = f"contract {self._version.key}, line {self._line.line_uid}, role {work.role}, {service_date}"
            fitting = [found for rate in self._rates if (found := self._fit(rate, work, service_date))]
            winner = self._winner(fitting, work, where)
            self._known[key] = winner.rate.bill_rate, self._trace(winner, fitting)
        rate, trace = self._known[key]
        return rate, dict(trace)

    def _fit(self, rate: Rate, work: Work, day: date) -> Candidate | None:
        if not rate.covers(day):
            return None
        weight = 0
        for (name, worth), done in zip(WEIGHTS.items(), work, strict=True):
            named = getattr(rate, name)
            if named and named != done:
                return None
            weight += worth if named else 0
        return Candidate(rate, weight, rate.currency or self._version.currency)

    def _usable(self, candidate: Candidate) -> bool:
        return candidate.currency == self._version.currency or self._line.fx is not None

    def _winner(self, fitting: Sequence[Candidate], work: Work, where: str) -> Candidate:
        """The one candidate of the first level that names most; NeedsDecision when there is none, or more than one."""
        asked = {"role": work.role, "person": work.person}
        usable = [candidate for candidate in fitting if self._usable(candidate)]
        if not usable:
            foreign = ", ".join(sorted({candidate.currency for candidate in fitting}))
            hint = f"; there is one in {foreign}, but the line has no exchange policy" if foreign else ""
            raise _missing(f"no rate for {where}{hint}", asked)
        best = min((_level(c), -c.weight, c.currency != self._version.currency) for c in usable)
        winners = [c for c in usable if (_level(c), -c.weight, c.currency != self._version.currency) == best]
        if len(winners) > 1:
            raise _ambiguous([str(c.rate.bill_rate) for c in winners], where)
        rate = winners[0].rate
        if rate.unit != "hour":
            cause = f"the rate of {rate.bill_rate} for {where} is per {rate.unit}; time comes in hours"
            raise _missing(cause, {**asked, "unit": rate.unit})
        if rate.bill_rate <= 0:
            raise _missing(f"the rate for {where} is {rate.bill_rate}; what is free is not chargeable instead", asked)
        return winners[0]

    def _trace(self, winner: Candidate, fitting: Sequence[Candidate]) -> dict[str, Any]:
        rate = winner.rate
        losers = [candidate for candidate in fitting if candidate is not winner]
        trace = {
            "policy": POLICY,
            "contract_version": self._version.key,
            "line_uid": self._line.line_uid,
            "candidates": len(fitting),
            "winner": {"role": rate.role, "person": rate.person, **_named(rate), "from": str(rate.effective_from)},
            "level": rate.level,
            "reason": self._reason(winner, losers),
            "rate": str(rate.bill_rate),
        }
        if self._cards:
            trace["cards"] = list(self._cards)
        if losers:
            trace["others"] = [self._lost(candidate, winner) for candidate in losers]
        if rate.floor is not None:
            trace["floor"] = str(rate.floor)
        if self._line.fx is not None and winner.currency != self._version.currency:
            policy = self._line.fx.model_dump(mode="json", exclude_none=True)
            trace["convert"] = {"from": winner.currency, "to": self._version.currency, **policy}
        return trace

    def _reason(self, winner: Candidate, losers: Sequence[Candidate]) -> str:
        beaten = {self._lost(candidate, winner)["lost"] for candidate in losers if self._usable(candidate)}
        if not beaten:
            return "the only rate that fits"
        at_level = beaten - {"a later level"}
        if not at_level:
            return f"level {winner.rate.level} comes first"
        return "most dimensions matched" if "names less" in at_level else "in the contract's currency"

    def _lost(self, candidate: Candidate, winner: Candidate) -> dict[str, Any]:
        """A candidate that did not win, and why."""
        rate = candidate.rate
        if not self._usable(candidate):
            why = "another currency"
        elif _level(candidate) > _level(winner):
            why = "a later level"
        else:
            why = "names less" if candidate.weight < winner.weight else "would be converted"
        facts = {"level": rate.level, "role": rate.role, "person": rate.person, **_named(rate)}
        return {**facts, "rate": f"{rate.bill_rate} {candidate.currency}", "lost": why}


def _level(candidate: Candidate) -> int:
    return RATE_LEVELS.index(candidate.rate.level)


def _named(rate: Rate) -> dict[str, str]:
    """The dimensions a rate names besides person and role."""
    return {name: getattr(rate, name) for name in WEIGHTS if name not in ("person", "role") and getattr(rate, name)}


def _missing(cause: str, asked: dict[str, Any]) -> NeedsDecision:
    return NeedsDecision("EX-RATE-MISSING", cause, queue="pricing", context=asked)


def _ambiguous(offered: list[str], where: str) -> NeedsDecision:
    cause = f"{len(offered)} rates fit equally for {where}: {', '.join(offered)}"
    return NeedsDecision("EX-RATE-AMBIGUOUS", cause, queue="pricing", context={"rates": offered})


# -- before a card is used -------------------------------------------------------------------------------------


def overlaps(rates: Sequence[Rate], currency: str = "") -> list[str]:
    """Pairs of rates that would be ambiguous on some day: same level and dimensions, windows that share a day.

    currency: the contract's, which a rate without one is in. Rates in different currencies are no overlap.
    """
    alike: dict[tuple[str, ...], list[Rate]] = {}
    for rate in rates:
        named = tuple(str(getattr(rate, name)) for name in WEIGHTS)
        alike.setdefault((rate.level, rate.currency or currency, *named), []).append(rate)
    return [
        f"rates {one.bill_rate} {_window(one)} and {other.bill_rate} {_window(other)} of {_about(one)} overlap"
        for group in alike.values()
        for one, other in combinations(sorted(group, key=lambda r: (r.effective_from, r.bill_rate)), 2)
        if one.effective_to is None or other.effective_from < one.effective_to
    ]


def check_rates(line: ContractLine, currency: str) -> list[str]:
    """What is wrong with the rates of a line of a contract in this currency; empty when nothing is."""
    problems = overlaps(line.rates, currency)
    for rate in line.rates:
        about = f"the rate {rate.bill_rate} of {_about(rate)}"
        if rate.effective_to is not None and rate.effective_to <= rate.effective_from:
            problems.append(f"{about} holds on no day: {_window(rate)}")
        if rate.floor is not None and rate.floor > rate.bill_rate:
            problems.append(f"{about} is below its own floor of {rate.floor}")
        if rate.currency not in ("", currency) and line.fx is None:
            problems.append(f"{about} is in {rate.currency}, the contract in {currency}, without an exchange policy")
    return [f"line {line.line_uid}: {problem}" for problem in problems]


def _window(rate: Rate) -> str:
    return f"from {rate.effective_from}" + (f" to {rate.effective_to}" if rate.effective_to else "")


def _about(rate: Rate) -> str:
    named = [f"{name} {getattr(rate, name)}" for name in WEIGHTS if getattr(rate, name)]
    return f"{', '.join(named) or 'everybody'} ({rate.level})"
