"""How heavy a case is, 0 to 10: severity, money at stake, and how much of its service level has passed."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from isthmus.desk.config import DeskConfig, Weights
from isthmus.desk.types import SEVERITIES
from isthmus.domain.money import can_bill_in, minor_units
from isthmus.store.records import Case


def weight_of(case: Case, config: DeskConfig, now: datetime) -> int:
    """Points for severity, money and age added up; the table is in desk.toml."""
    weights = config.weight
    severity: int = next((weights.severity.get(s, 0) for s in SEVERITIES if s == case.severity), 0)
    points = severity + _money(weights, case) + _age(weights, case, config, now)
    return min(points, 10)


def _money(weights: Weights, case: Case) -> int:
    """A point for each step the amount reaches. The steps are in a currency of two decimals; yen count a hundredth."""
    if case.amount is None:
        return 0
    decimals = minor_units(case.currency) if can_bill_in(case.currency) else 2
    amount = abs(case.amount) / (Decimal(10) ** (2 - decimals))
    return sum(amount >= step for step in weights.money)


def _age(weights: Weights, case: Case, config: DeskConfig, now: datetime) -> int:
    """A point for each share of the service level that has passed; the clock stands still while it waits."""
    if case.due_at is None:
        return 0
    at = case.waiting_since or now
    passed = (at - case.opened_at) / (case.due_at - case.opened_at)
    return sum(passed >= share for share in weights.age)
