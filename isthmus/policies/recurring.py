"""What recurs: subscriptions, minimum commitments and metered usage.

A subscription bills a fixed amount a period; a period that the term covers in part is worth its share by days
(``proration``). A minimum commitment bills, when a period is over, what evidence has not reached of it: the true-up.
Usage is quantity times price, or the amount a billing engine has computed; either way it names its period and carries
the hash of its evidence, because nobody can recompute a meter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from isthmus.domain.errors import BadInput, NeedsDecision
from isthmus.domain.money import is_exact_amount, round_half_away
from isthmus.domain.terms import MinimumCommitment, Subscription
from isthmus.domain.work import UsageRecord
from isthmus.policies.proration import Period, periods

POLICY = "recurring/1"
ZERO = Decimal(0)


@dataclass(frozen=True)
class Fee:
    """What a period of a subscription is billed at."""

    period: Period
    amount: Decimal


def fees(terms: Subscription, through: date, currency: str) -> list[Fee]:
    """The fees of all periods that begin on or before a day, in order. None when a billing engine sets the amounts."""
    if terms.engine:
        return []
    return [
        Fee(period, period.share(terms.amount, currency))
        for period in periods(terms.start, terms.end, terms.every_months, through)
    ]


@dataclass(frozen=True)
class TrueUp:
    """What a period of a commitment still owes: committed (by days) less used, or nothing when more was used."""

    period: Period
    committed: Decimal
    used: Decimal
    amount: Decimal


def true_ups(
    terms: MinimumCommitment, used: Iterable[tuple[date, Decimal]], through: date, currency: str
) -> list[TrueUp]:
    """One for each period that is over by the end of a day. used: service date and net of evidence that counts.

    Evidence that arrives later for a period that was trued up reduces its true-up: the caller bills the difference.
    """
    evidence = list(used)
    found = []
    for period in periods(terms.start, terms.end, terms.every_months, through):
        if period.end <= through:
            net = sum((amount for day, amount in evidence if period.start <= day <= period.end), ZERO)
            committed = period.share(terms.amount, currency)
            found.append(TrueUp(period, committed, net, max(committed - net, ZERO)))
    return found


@dataclass(frozen=True)
class UsageLine:
    """A usage record as it is billed. trace: how the net came about, and what proves it."""

    source_key: str
    period_start: date
    period_end: date
    quantity: Decimal
    unit_price: Decimal
    net: Decimal
    trace: dict[str, Any]


def usage_line(record: UsageRecord, currency: str) -> UsageLine:
    """A record priced: its own amount when an engine gave one, else round(quantity * price).

    BadInput when the period, the quantity, the amount or the evidence hash is not one. An amount may be negative (an
    engine's credit), a quantity of a meter may not.
    """
    where = f"usage {record.source}:{record.source_id}"
    if record.period_end < record.period_start:
        raise BadInput(f"{where}: its period ends on {record.period_end}, before it starts on {record.period_start}")
    if not record.evidence_ref or not re.fullmatch(r"[0-9a-f]{64}", record.evidence_hash):
        raise BadInput(f"{where}: its evidence has no SHA-256 hash ({record.evidence_hash or 'none'})")
    if record.quantity < 0:
        raise BadInput(f"{where}: a quantity of {record.quantity}; send a correction as a record with its own evidence")
    net = record.amount
    if net is None:
        net = round_half_away(record.quantity * record.unit_price, currency)
    elif not is_exact_amount(net, currency):
        raise BadInput(f"{where}: {net} is no amount of {currency}")
    by = "amount of the billing engine" if record.amount is not None else "quantity * price"
    trace = {"policy": POLICY, "reason": by, "evidence": record.evidence_ref, "hash": record.evidence_hash}
    key = f"{record.source}:{record.source_id}"
    return UsageLine(key, record.period_start, record.period_end, record.quantity, record.unit_price, net, trace)


def check_usage(record: UsageRecord, known: Sequence[UsageRecord], currency: str) -> UsageRecord:
    """The record, unless another one of its line has its evidence, or covers one of its days at the same price.

    NeedsDecision EX-DUP-SUSPECT names them: two meters may well run on one line, but a person says so.
    """
    twins = [
        other
        for other in known
        if (other.source, other.source_id) != (record.source, record.source_id)
        and (other.contract_no, other.line_uid) == (record.contract_no, record.line_uid)
        and (other.evidence_hash == record.evidence_hash or _same_days_and_price(other, record))
    ]
    if twins:
        named = ", ".join(f"{t.source}:{t.source_id} ({t.period_start} to {t.period_end})" for t in twins)
        raise NeedsDecision(
            "EX-DUP-SUSPECT",
            f"usage {record.source}:{record.source_id} ({record.period_start} to {record.period_end}) is like {named}",
            queue="billing",
            money=(usage_line(record, currency).net, currency),
            context={"record": f"{record.source}:{record.source_id}", "twins": [t.source_id for t in twins]},
            actions=("accept", "cancel"),
        )
    return record


def _same_days_and_price(one: UsageRecord, other: UsageRecord) -> bool:
    overlap = one.period_start <= other.period_end and other.period_start <= one.period_end
    return overlap and one.unit_price == other.unit_price
