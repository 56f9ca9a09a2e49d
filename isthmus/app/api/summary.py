"""Everything in numbers: contracts, hours and amounts per evidence state, invoices, cases, effects."""

from __future__ import annotations

from datetime import date

import sqlalchemy as sa
from pydantic import BaseModel

from isthmus.app.figures import Evidence, evidence, invoice_figures
from isthmus.app.scope import within
from isthmus.domain.money import Exact
from isthmus.domain.objects import Engagement
from isthmus.domain.states import CaseState
from isthmus.policies.authority import Actor
from isthmus.runtime.effects import FINISHED
from isthmus.store.postgres import PostgresTx
from isthmus.store.records import Case, Effect
from isthmus.store.tables import TABLES


class InvoiceTotals(BaseModel):
    """Invoices of one currency. net, total: issued less credited; open: what clients still owe."""

    currency: str
    drafts: int
    issued: int
    posted: int
    paid: int
    credits: int
    net: Exact
    total: Exact
    open: Exact


class EffectCount(BaseModel):
    """Writes to one system."""

    connection: str
    verb: str
    state: str
    count: int


class Duplicate(BaseModel):
    """One thing of ours that another system has under more than one id."""

    connection: str
    verb: str
    business_key: str
    external_ids: list[str]


class Summary(BaseModel):
    """See the module."""

    contracts: dict[str, int]
    evidence: list[Evidence]
    invoices: list[InvoiceTotals]
    cases_open: dict[str, int]
    effects: list[EffectCount]
    duplicates: list[Duplicate]


def summarise(tx: PostgresTx, actor: Actor, today: date) -> Summary:
    """All of it from one snapshot, of the legal entities the actor serves."""
    engagement, case, effect = TABLES[Engagement], TABLES[Case], TABLES[Effect]
    count = sa.func.count()
    by_state = sa.select(engagement.c.state, count).where(*within(actor, Engagement))
    by_state = by_state.group_by(engagement.c.state).order_by(engagement.c.state)
    queues = sa.select(case.c.queue, count).where(case.c.state == CaseState.OPEN, *within(actor, Case))
    by_queue = queues.group_by(case.c.queue).order_by(case.c.queue)
    labels = (effect.c.connection, effect.c.verb, effect.c.state)
    effects = sa.select(*labels, count.label("count")).where(*within(actor, Effect))
    effects = effects.group_by(*labels).order_by(*labels)
    return Summary(
        contracts={str(state): number for state, number in tx.raw.execute(by_state)},
        evidence=evidence(tx, actor),
        invoices=[InvoiceTotals.model_validate(one, from_attributes=True) for one in invoice_figures(tx, actor, today)],
        cases_open={str(queue): number for queue, number in tx.raw.execute(by_queue)},
        effects=[EffectCount.model_validate(dict(row)) for row in tx.raw.execute(effects).mappings()],
        duplicates=duplicates(tx, actor),
    )


def duplicates(tx: PostgresTx, actor: Actor) -> list[Duplicate]:
    """Finished writes of one business key to one system that ended in different ids over there.

    Facts that were brought up to date (a status, a client) are written again under the same id: no duplicate.
    """
    effect = TABLES[Effect]
    result = effect.c.result
    remote = sa.func.coalesce(
        result["ref"]["external_id"].astext, result["external_id"].astext, result["document_code"].astext
    )
    ids = sa.func.array_agg(sa.distinct(remote)).label("external_ids")
    labels = (effect.c.connection, effect.c.verb, effect.c.business_key)
    query = (
        sa.select(*labels, ids)
        .where(effect.c.state.in_(sorted(FINISHED)), remote.is_not(None), *within(actor, Effect))
        .group_by(*labels)
        .having(sa.func.count(sa.distinct(remote)) > 1)
        .order_by(*labels)
    )
    return [Duplicate.model_validate(dict(row)) for row in tx.raw.execute(query).mappings()]
