"""What the desk's watch tells people about: one shape for what did not come and for what does not move."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

SILENCE, WEDGE = "EX-SILENCE", "EX-WEDGE"


@dataclass(frozen=True)
class Alarm:
    """Something to tell: what it is about, since when, and in words why. money: what is at stake."""

    exception: str
    run_id: str
    subject: str
    since: datetime
    cause: str
    queue: str
    tried: str
    money: tuple[Decimal, str] | None = None
    entity: str = ""
    correlation_id: str = ""
    context: dict[str, Any] = field(default_factory=dict)
