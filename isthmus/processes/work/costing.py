"""Hours as cost: every hour worked, billable or not, once per revision of its entry."""

from __future__ import annotations

from isthmus.domain.errors import Retryable
from isthmus.domain.objects import BillableItem
from isthmus.ports.messages import TimeCost
from isthmus.runtime.books import Books
from isthmus.store.records import Effect, EffectState

ON_ITS_WAY = (EffectState.INTENDED, EffectState.NOT_SENT, EffectState.IN_DOUBT)


def costs_of(books: Books, items: list[BillableItem]) -> list[list[TimeCost]]:
    """P2.2: raw hours of each revision, one list per revision, earlier ones first.

    Only the item that brings an entry's revision carries its raw hours: a re-rate or another band is no new cost. A
    revision replaces the one before it in the ERP, so it is sent only when that one is there: an earlier revision must
    never arrive last.
    """
    by_revision: dict[int, list[TimeCost]] = {}
    carriers = [item for item in items if item.source_type == "time" and item.raw_quantity is not None]
    here = {(item.entry_key, item.entry_revision) for item in carriers}
    for item in carriers:
        assert item.raw_quantity is not None
        if item.entry_revision > 1 and (item.entry_key, item.entry_revision - 1) not in here:
            _earlier_cost_is_there(books, item)
        cost = TimeCost(
            entry_key=item.entry_key,
            revision=item.entry_revision,
            project_code=item.project_code,
            task_code=item.task_code,
            person=item.person,
            role=item.role,
            service_date=item.service_date,
            hours=item.raw_quantity,
            billable=item.billable,
            bill_rate=item.unit_price,
        )
        by_revision.setdefault(item.entry_revision, []).append(cost)
    return [by_revision[revision] for revision in sorted(by_revision)]


def _earlier_cost_is_there(books: Books, item: BillableItem) -> None:
    """Retryable while the revision before is still on its way."""
    key = f"{item.entry_key}#{item.entry_revision - 1}"
    effects = books.tx.find(Effect, business_key=key, verb="Erp.put_time")
    if not effects or any(effect.state in ON_ITS_WAY for effect in effects):
        raise Retryable(f"{item.item_id} waits until the cost of {key} is in the ERP")
