"""The one read model: what stands where, in numbers, the same wherever it is shown.

A figure equals the ledger at the instant it is read: sums of parts are kept by the database in the transactions that
change them, everything else is counted when asked for.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel

from isthmus.domain.money import Exact
from isthmus.domain.objects import Engagement
from isthmus.domain.states import PartState
from isthmus.policies.authority import Actor
from isthmus.store.postgres import PostgresTx
from isthmus.store.tables import PART_SUM, TABLES


class Evidence(BaseModel):
    """Hours and amount in one state and currency."""

    state: PartState
    currency: str
    hours: Exact
    net: Exact
    parts: int


def foreign_contracts(actor: Actor) -> Any:
    """Contracts of legal entities the actor does not serve; None for an actor without limits."""
    if actor.entities is None:
        return None
    engagement = TABLES[Engagement]
    return sa.select(engagement.c.contract_no).where(engagement.c.entity.not_in(["", *sorted(actor.entities)]))


def mine(query: Any, column: Any, actor: Actor) -> Any:
    """The query without contracts of other legal entities."""
    foreign = foreign_contracts(actor)
    return query if foreign is None else query.where(column.not_in(foreign))


def evidence(tx: PostgresTx, actor: Actor) -> list[Evidence]:
    """Evidence by state and currency; superseded parts are history and count nowhere."""
    labels = (PART_SUM.c.state, PART_SUM.c.currency)
    sums = [sa.func.sum(PART_SUM.c[name]).label(told) for name, told in SUMMED.items()]
    query = sa.select(*labels, *sums).where(PART_SUM.c.state != PartState.SUPERSEDED)
    query = mine(query, PART_SUM.c.contract_no, actor).group_by(*labels).order_by(*labels)
    rows = [dict(row) for row in tx.raw.execute(query).mappings()]
    return [Evidence.model_validate(row) for row in rows if row["parts"] or row["net"] != Decimal(0)]


SUMMED = {"quantity": "hours", "net": "net", "parts": "parts"}
