"""What a control reports."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Finding:
    """A break between two things that should agree. amount is the money at risk in currency; owner is a queue."""

    control: str
    key: str
    problem: str
    owner: str
    amount: Decimal = Decimal(0)
    currency: str = ""
