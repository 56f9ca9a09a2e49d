"""Which rate prices an hour: resolved with a trace, never guessed.

Missing is EX-RATE-MISSING and ambiguous is EX-RATE-AMBIGUOUS; neither ever becomes zero or "the first".
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.objects import ContractLine, ContractVersion, Rate

POLICY = "rates/1"
PERSON_WEIGHT, ROLE_WEIGHT = 32, 16


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


def _weight(rate: Rate, person: str, role: str) -> int:
    if rate.person and rate.person != person:
        return -1
    if rate.role and rate.role != role:
        return -1
    return (PERSON_WEIGHT if rate.person else 0) + (ROLE_WEIGHT if rate.role else 0)


def resolve_rate(
    version: ContractVersion, line: ContractLine, *, person: str, role: str, service_date: date
) -> tuple[Decimal, dict[str, Any]]:
    """The bill rate in the contract's currency and the trace that explains it.

    Most dimensions matched wins (person 32, role 16). Two best candidates with one window are ambiguous. A daily rate
    is no answer for hours: no contract says how many make a day.
    """
    candidates = [
        (weight, rate)
        for rate in line.rates
        if rate.covers(service_date) and (weight := _weight(rate, person, role)) >= 0
    ]
    where = f"contract {version.key}, line {line.line_uid}, role {role}, {service_date}"
    if not candidates:
        raise NeedsDecision(
            "EX-RATE-MISSING", f"no rate for {where}", queue="pricing", context={"role": role, "person": person}
        )
    best = max(weight for weight, _ in candidates)
    winners = [rate for weight, rate in candidates if weight == best]
    if len(winners) > 1:
        offered = [str(rate.bill_rate) for rate in winners]
        raise NeedsDecision(
            "EX-RATE-AMBIGUOUS",
            f"{len(winners)} rates fit equally for {where}: {', '.join(offered)}",
            queue="pricing",
            context={"rates": offered},
        )
    if winners[0].unit != "hour":
        raise NeedsDecision(
            "EX-RATE-MISSING",
            f"the rate of {winners[0].bill_rate} for {where} is per {winners[0].unit}; time comes in hours",
            queue="pricing",
            context={"role": role, "person": person, "unit": winners[0].unit},
        )
    trace = {
        "policy": POLICY,
        "contract_version": version.key,
        "line_uid": line.line_uid,
        "candidates": len(candidates),
        "winner": {"role": winners[0].role, "person": winners[0].person, "from": str(winners[0].effective_from)},
        "reason": "most dimensions matched",
        "rate": str(winners[0].bill_rate),
    }
    return winners[0].bill_rate, trace
