"""What the desk's watch tells people about: one shape for what did not come, what does not move, what is not ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

SILENCE, WEDGE = "EX-SILENCE", "EX-WEDGE"
DUPLICATE, UNKNOWN = "EX-DUPLICATE", "EX-UNKNOWN-RECEIVABLE"


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
