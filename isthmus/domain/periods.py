"""Fiscal periods with what they added up to, and exchange rates."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from isthmus.domain.base import Canonical
from isthmus.domain.money import Exact
from isthmus.domain.states import PeriodState

Domain = Literal["time", "expense", "billing", "revenue", "receivables", "ledger"]


class FiscalPeriod(Canonical):
    """A month (YYYY-MM) of one legal entity for one domain. approvals: who has agreed to reopen it; it takes two."""

    entity: str
    domain: Domain
    period: str
    state: PeriodState
    changed_by: str
    changed_at: datetime
    approvals: tuple[str, ...] = ()


class PeriodSnapshot(Canonical):
    """What a period added up to when it was closed. Closing it again makes the next version; earlier ones stay."""

    entity: str
    period: str
    version: int
    totals: dict[str, str]
    content_hash: str
    taken_at: datetime


class FxRate(Canonical):
    """Units of to_currency for one unit of from_currency on a day, and where that is written."""

    rate_type: str
    from_currency: str
    to_currency: str
    day: date
    rate: Exact
    source: str
