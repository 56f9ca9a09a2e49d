"""How heavy a case is, 0 to 10: severity, money at stake, and how much of its service level has passed."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from iso4217 import Currency

from isthmus.desk.config import DeskConfig, Weights
from isthmus.desk.types import SEVERITIES
from isthmus.domain.money import can_bill_in, minor_units
from isthmus.store.records import Case
from isthmus.store.tables import TABLES

CASE = TABLES[Case]
# Currencies whose amounts have another number of decimals than two, and what the steps of weight count in them.
_UNITS = {c.code: Decimal(10) ** (2 - minor_units(c.code)) for c in Currency if can_bill_in(c.code)}
_UNITS = {code: unit for code, unit in _UNITS.items() if unit != 1}


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


def weight_sql(config: DeskConfig, now: datetime) -> Any:
    """weight_of as the database computes it; a test holds both to the same."""
    weights = config.weight
    severity = sa.case(*((CASE.c.severity == name, points) for name, points in weights.severity.items()), else_=0)
    unit = sa.case(*((CASE.c.currency == name, count) for name, count in _UNITS.items()), else_=1)
    money = sum((_point(sa.func.abs(CASE.c.amount) >= step * unit) for step in weights.money), sa.literal(0))
    until = sa.func.coalesce(CASE.c.waiting_since, sa.literal(now))
    passed = sa.extract("epoch", until - CASE.c.opened_at)
    allowed = sa.extract("epoch", CASE.c.due_at - CASE.c.opened_at)
    age = sum((_point(passed >= allowed * share) for share in weights.age), sa.literal(0))
    return sa.func.least(severity + money + age, 10)


def _point(condition: Any) -> Any:
    return sa.case((condition, 1), else_=0)
