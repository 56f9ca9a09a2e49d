"""What a control reports."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal


@dataclass(frozen=True)
class Finding:
    """A break between two things that should agree. amount is the money at risk in currency; owner is a queue.

    kind: between the hub and another system, what it is: missing, differs, duplicate, unknown, or that the system did
    not say (unasked). entity, client_no: whose it is, since: the day of the document, as far as they are known.
    """

    control: str
    key: str
    problem: str
    owner: str
    amount: Decimal = Decimal(0)
    currency: str = ""
    kind: str = ""
    entity: str = ""
    client_no: str = ""
    since: date | None = None
