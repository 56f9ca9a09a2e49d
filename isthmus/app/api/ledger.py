"""System API: billable parts, invoices, payments, the effect ledger and the event feed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import Query
from pydantic import BaseModel

from isthmus.app.api.admission import Visiting
from isthmus.app.api.contracts import ExternalId, external_ids
from isthmus.app.api.endpoints import Cursor, Limit, Page, endpoint
from isthmus.app.api.reading import page, reading
from isthmus.app.bootstrap import Hub
from isthmus.domain.errors import NotFound
from isthmus.domain.events import Event
from isthmus.domain.objects import Allocation, BillableItem, BillablePart, Invoice, Payment
from isthmus.domain.states import InvoiceLife, PartState
from isthmus.store.postgres import PostgresTx
from isthmus.store.records import Effect, EffectState, OutboxEvent
from isthmus.store.shared import bills
from isthmus.store.tables import TABLES
from isthmus.store.tx import M

# How far the clock of a hub process may be off the database's.
CLOCKS_APART_MAX = timedelta(seconds=5)


class PartView(BaseModel):
    """A part with the evidence it is a share of."""

    part: BillablePart
    source_key: str
    person: str
    role: str
    line_uid: str


class InvoiceView(BaseModel):
    """An invoice with its five tracks, its lines, the evidence on them, what settles it, and its ids elsewhere."""

    invoice: Invoice
    parts: list[PartView]
    allocations: list[Allocation]
    external: list[ExternalId]


class EventFeed(BaseModel):
    """Events as CloudEvents 1.0, oldest first. next_after: what to ask with next time."""

    events: list[dict[str, Any]]
    next_after: int


@endpoint("GET /v1/billable-parts", answer=Page[BillablePart])
def list_parts(
    visit: Visiting, contract: str = "", state: PartState | None = None, limit: Limit = 100, cursor: Cursor = ""
) -> Page[BillablePart]:
    """List billable parts by contract and state."""
    with reading(visit.hub) as tx:
        mine = visit.within(BillablePart)
        items, more = page(tx, BillablePart, limit=limit, cursor=cursor, where=mine, contract_no=contract, state=state)
    return Page(items=items, next_cursor=more)


@endpoint("GET /v1/invoices", answer=Page[Invoice])
def list_invoices(
    visit: Visiting,
    contract: str = "",
    client: str = "",
    life: InvoiceLife | None = None,
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Page[Invoice]:
    """List invoices and drafts; of a contract also those that it shares with others."""
    wanted: dict[str, Any] = {"client_no": client, "life": life}
    with reading(visit.hub) as tx:
        where = [*visit.within(Invoice), *([bills(contract)] if contract else [])]
        items, more = page(tx, Invoice, limit=limit, cursor=cursor, where=where, **wanted)
    return Page(items=items, next_cursor=more)


@endpoint("GET /v1/invoices/{key}", path="/v1/invoices/{key:path}", answer=InvoiceView)
def get_invoice(visit: Visiting, key: str) -> InvoiceView:
    """Show an invoice by its number or id."""
    with reading(visit.hub) as tx:
        invoice = invoice_by(tx, key)
        if invoice is None:
            raise NotFound(f"no invoice {key}")
        visit.sees(tx, invoice)
        keys = tuple(k for k in (invoice.number, invoice.invoice_id) if k)
        return InvoiceView(
            invoice=invoice,
            parts=_parts_of(tx, invoice),
            allocations=tx.find(Allocation, invoice_id=invoice.invoice_id, order=("allocation_id",)),
            external=external_ids(tx, keys),
        )


def invoice_by(tx: PostgresTx, key: str) -> Invoice | None:
    """The invoice with this id or number; a draft's empty number finds nothing."""
    found = tx.get(Invoice, key)
    if found is None and key:
        by_number = tx.find(Invoice, number=key, limit=1)
        found = by_number[0] if by_number else None
    return found


def _parts_of(tx: PostgresTx, invoice: Invoice) -> list[PartView]:
    parts = tx.find(BillablePart, invoice_id=invoice.invoice_id, order=("order_key", "part_id"))
    ids = tuple({part.item_id for part in parts})
    items = {item.item_id: item for item in tx.find(BillableItem, item_id=ids)} if ids else {}
    return [
        PartView(part=p, source_key=i.source_key, person=i.person, role=i.role, line_uid=i.line_uid)
        for p in parts
        for i in (items[p.item_id],)
    ]


@endpoint("GET /v1/payments", answer=Page[Payment])
def list_payments(visit: Visiting, client: str = "", limit: Limit = 100, cursor: Cursor = "") -> Page[Payment]:
    """List payments received."""
    with reading(visit.hub) as tx:
        items, more = page(tx, Payment, limit=limit, cursor=cursor, where=visit.within(Payment), client_no=client)
    return Page(items=items, next_cursor=more)


@endpoint("GET /v1/effects", answer=Page[Effect])
def list_effects(
    visit: Visiting, run: str = "", state: EffectState | None = None, limit: Limit = 100, cursor: Cursor = ""
) -> Page[Effect]:
    """List writes to other systems by run and state."""
    with reading(visit.hub) as tx:
        items, more = page(tx, Effect, limit=limit, cursor=cursor, where=visit.within(Effect), run_id=run, state=state)
    return Page(items=items, next_cursor=more)


@endpoint("GET /v1/events", answer=EventFeed)
def list_events(
    visit: Visiting,
    after: Annotated[int, Query(ge=0, lt=2**63, description="next_after of the answer before")] = 0,
    limit: Limit = 100,
) -> EventFeed:
    """List business events after a position, as CloudEvents."""
    settled = settled_before(visit.hub)
    table = TABLES[OutboxEvent]
    where = [table.c.position > after, table.c.position <= settled[0]]
    where += [table.c.occurred_at < settled[1]] if settled[1] is not None else []
    where += visit.within(OutboxEvent)
    with reading(visit.hub) as tx:
        rows, _ = page(tx, OutboxEvent, limit=limit, by=("position",), where=where)
    return EventFeed(events=[cloudevent(row) for row in rows], next_after=rows[-1].position if rows else after)


def cloudevent(row: OutboxEvent) -> dict[str, Any]:
    """A kept event as CloudEvents 1.0."""
    return _as(Event, row).cloudevent()


def _as(model: type[M], row: BaseModel) -> M:
    return model.model_validate({name: getattr(row, name) for name in model.model_fields})


def settled_before(hub: Hub) -> tuple[int, datetime | None]:
    """(position, instant) up to which the feed is complete.

    Positions are given when a row is written, not when it commits: an event may appear after one with a higher
    position. Whoever had read on would never see it. So nothing is shown that is younger than the oldest transaction
    still at work. Three looks, in this order: the last visible position, who is at work, and only then the events.
    """
    last = sa.select(sa.func.coalesce(sa.func.max(TABLES[OutboxEvent].c.position), 0))
    at_work = sa.text(
        "select min(xact_start) from pg_stat_activity where datname = current_database()"
        " and backend_xid is not null and pid <> pg_backend_pid()"
    )
    with hub.store.transaction() as tx:
        position = tx.raw.execute(last).scalar_one()
        oldest = tx.raw.execute(at_work).scalar_one()
    return position, oldest - CLOCKS_APART_MAX if oldest is not None else None
