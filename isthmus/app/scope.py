"""What an actor limited to legal entities may see: a condition for lists, a demand for single objects.

Only what belongs to another legal entity is left out; what has none yet is firm-wide.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel

from isthmus.domain.objects import (
    Allocation,
    BillablePart,
    Engagement,
    Invoice,
    LegalEntity,
    Payment,
    Project,
    TimeEntry,
)
from isthmus.policies.authority import Actor, demand_entity
from isthmus.store.postgres import PostgresTx
from isthmus.store.records import Case, Effect, OutboxEvent, RunRow
from isthmus.store.tables import TABLES

Condition = sa.ColumnElement[bool]


def within(actor: Actor, model: type[BaseModel]) -> list[Condition]:
    """Conditions on a list of this model; none for an actor without limits."""
    if actor.entities is None:
        return []
    table = TABLES[model]
    if model is Payment:
        return [_payments(actor, table)]
    if model is Effect:
        return [table.c.run_id.not_in(_foreign_runs(actor))]
    if model is TimeEntry:
        return [table.c.project_code.not_in(_foreign(actor, "project_code"))]
    if model is BillablePart:
        return [table.c.contract_no.not_in(_foreign(actor, "contract_no"))]
    conditions: list[Condition] = [table.c.entity.in_(["", *sorted(actor.entities)])] if "entity" in table.c else []
    if "correlation_id" in table.c:
        conditions.append(table.c.correlation_id.not_in(_foreign_correlations(actor)))
    return conditions


def _foreign(actor: Actor, column: str) -> Any:
    """Keys of engagements of other legal entities."""
    engagement = TABLES[Engagement]
    return sa.select(engagement.c[column]).where(engagement.c.entity.not_in(["", *sorted(actor.entities or ())]))


def _foreign_correlations(actor: Actor) -> Any:
    contract_no = _foreign(actor, "contract_no").subquery().c[0]
    return sa.select(sa.literal("contract:") + contract_no)


def _foreign_runs(actor: Actor) -> Any:
    run = TABLES[RunRow]
    elsewhere = run.c.entity.not_in(["", *sorted(actor.entities or ())])
    return sa.select(run.c.run_id).where(sa.or_(elsewhere, run.c.correlation_id.in_(_foreign_correlations(actor))))


def _payments(actor: Actor, payment: sa.Table) -> Condition:
    """A payment is of the legal entities whose invoices it settles."""
    share, invoice = TABLES[Allocation], TABLES[Invoice]
    settles = sa.select(sa.literal(1)).join(invoice, invoice.c.invoice_id == share.c.invoice_id)
    settles = settles.where(
        share.c.payment_key == payment.c.source + ":" + payment.c.source_id,
        invoice.c.entity.not_in(["", *sorted(actor.entities or ())]),
    )
    return ~sa.exists(settles.select_from(share))


def entity_of(tx: PostgresTx, found: BaseModel | None) -> str:
    """The legal entity a single object belongs to; empty when it has none (yet)."""
    if isinstance(found, LegalEntity):
        return found.code
    own = str(getattr(found, "entity", "") or "")
    if own or found is None:
        return own
    if isinstance(found, TimeEntry | Project):
        engagements = tx.find(Engagement, project_code=found.project_code, limit=1)
        return engagements[0].entity if engagements else ""
    contract_no = str(getattr(found, "contract_no", "") or "")
    if isinstance(found, RunRow | Case | OutboxEvent) and found.correlation_id.startswith("contract:"):
        contract_no = found.correlation_id.removeprefix("contract:")
    engagement = tx.get(Engagement, contract_no) if contract_no else None
    return engagement.entity if engagement else ""


def demand_sight(actor: Actor, tx: PostgresTx, found: BaseModel | None) -> None:
    """NotPermitted when the object belongs to a legal entity the actor does not serve."""
    if actor.entities is not None:
        demand_entity(actor, entity_of(tx, found))
