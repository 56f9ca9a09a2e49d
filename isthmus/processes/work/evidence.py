"""Steps that place evidence: under its caps, as parts in exactly one state each, and as cost."""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal

from isthmus.domain.errors import Retryable
from isthmus.domain.objects import BillableItem, BillablePart, CapKind, ContractVersion, Engagement
from isthmus.domain.states import PartState
from isthmus.policies.billing import PLACED, place_under_caps
from isthmus.policies.caps import Placement, Share
from isthmus.ports.messages import TimeCost
from isthmus.processes.work.partition import add_parts, move_parts
from isthmus.runtime.books import Books
from isthmus.store.records import Effect, EffectState, EntrySeen

ON_ITS_WAY = (EffectState.INTENDED, EffectState.NOT_SENT, EffectState.IN_DOUBT)
OPEN = (PartState.READY, PartState.OVER_CAP)
FIXED = (*sorted(PLACED), PartState.HELD)
CORRECTED = "corrected"  # why a part was superseded: a later revision of its entry has taken its place over


def place(books: Books, items: list[BillableItem]) -> str:
    """P2.6: give every contract's open evidence its place under the caps. Returns the legal entity of the batch."""
    entities = set()
    for contract_no in sorted({item.contract_no for item in items}):
        version = _latest_version(books, contract_no)
        if _is_capped(version):
            _announce(books, version, place_contract(books, contract_no))
        else:
            _place_all_ready(books, contract_no, [item for item in items if item.contract_no == contract_no])
        engagement = books.tx.get(Engagement, contract_no)
        entities.add(engagement.entity if engagement else "")
    assert len(entities) <= 1, "a batch is of one legal entity"
    return entities.pop() if entities else ""


def place_in_new_order(books: Books, contract_no: str) -> None:
    """An entry of the contract was approved again: under a hard cap its turn may be another one now."""
    if _is_capped(_latest_version(books, contract_no)):
        place_contract(books, contract_no)


def _latest_version(books: Books, contract_no: str) -> ContractVersion:
    return books.tx.find(ContractVersion, contract_no=contract_no, order=("-version",), limit=1)[0]


def _is_capped(version: ContractVersion) -> bool:
    return any(cap.kind is CapKind.HARD for cap in version.caps)


def _place_all_ready(books: Books, contract_no: str, items: list[BillableItem]) -> None:
    """Without a hard cap nothing that came earlier has to move: only items that have no part yet get theirs."""
    books.tx.lock(f"contract:{contract_no}")
    placed = {part.item_id for part in books.tx.find(BillablePart, item_id=tuple(item.item_id for item in items))}
    open_items = [item for item in items if item.item_id not in placed and _has_to_be_placed(item)]
    whole = {i.item_id: [Placement(i.item_id, i.quantity, i.net, PartState.READY)] for i in open_items}
    _insert_parts(books, [(item, 0, whole[item.item_id]) for item in open_items])


def order_key(item: BillableItem) -> str:
    """Caps are filled by service date, then approval, then entry: whatever the order of arrival."""
    approved = item.approved_at.astimezone(UTC).isoformat() if item.approved_at else ""
    return f"{item.service_date}|{approved}|{item.source_key}|{item.revision}"


def place_contract(books: Books, contract_no: str) -> list[Placement]:
    """Place again everything of a contract that no invoice holds. Idempotent: equal places are left as they are."""
    books.tx.lock(f"contract:{contract_no}")
    version = _latest_version(books, contract_no)
    items = _as_last_approved(books, books.tx.find(BillableItem, contract_no=contract_no))
    parts: dict[str, list[BillablePart]] = {}
    for part in books.tx.find(BillablePart, contract_no=contract_no, order=("part_id",)):
        parts.setdefault(part.item_id, []).append(part)
    placed: dict[str, Decimal] = {}
    shares: list[Share] = []
    for item in items.values():
        mine = parts.get(item.item_id, [])
        consuming = [p for p in mine if p.state in FIXED and p.state not in (PartState.WRITTEN_OFF, PartState.CREDITED)]
        placed[item.line_uid] = placed.get(item.line_uid, Decimal(0)) + sum((p.net for p in consuming), Decimal(0))
        quantity, net = _left_to_place(item, mine)
        if quantity or net:
            shares.append(Share(item.item_id, item.line_uid, order_key(item), quantity, net))
    placements = place_under_caps(shares, version, placed)
    _write_places(books, items, parts, placements)
    return placements


def _as_last_approved(books: Books, items: list[BillableItem]) -> dict[str, BillableItem]:
    """By id, with the latest approval that was seen of each entry: which of them came first must not matter."""
    ids = tuple(sorted({item.source_key.split(":", 1)[1] for item in items}))
    marks = books.tx.find(EntrySeen, source_id=ids) if ids else []
    seen = {f"{mark.source}:{mark.source_id}": mark.approved_at for mark in marks}
    placed_as = {}
    for item in items:
        again = seen.get(item.source_key)
        later = again is not None and (item.approved_at is None or again > item.approved_at)
        placed_as[item.item_id] = item.model_copy(update={"approved_at": again}) if later else item
    return placed_as


def _has_to_be_placed(item: BillableItem) -> bool:
    """Non-billable hours have no place; the credit for hours that became non-billable has one."""
    return bool(item.net) or (item.billable and bool(item.quantity))


def _left_to_place(item: BillableItem, parts: list[BillablePart]) -> tuple[Decimal, Decimal]:
    """Quantity and net of an item that nothing holds. A corrected item has handed its rest over to the next revision:
    only what came back to it from a discarded draft is left.
    """
    if any(part.reason == CORRECTED for part in parts):
        back = [part for part in parts if part.state in OPEN]
        return sum((p.quantity for p in back), Decimal(0)), sum((p.net for p in back), Decimal(0))
    if not _has_to_be_placed(item):
        return Decimal(0), Decimal(0)
    fixed = [part for part in parts if part.state in FIXED]
    quantity = item.quantity - sum((p.quantity for p in fixed), Decimal(0))
    return quantity, item.net - sum((p.net for p in fixed), Decimal(0))


def _write_places(
    books: Books,
    items: dict[str, BillableItem],
    parts: dict[str, list[BillablePart]],
    placements: list[Placement],
) -> None:
    wanted: dict[str, list[Placement]] = {}
    for placement in placements:
        wanted.setdefault(placement.item_id, []).append(placement)
    stale: list[BillablePart] = []
    fresh: list[tuple[BillableItem, int, list[Placement]]] = []
    for item_id, places in wanted.items():
        current = [p for p in parts.get(item_id, []) if p.state in OPEN]
        now = sorted((p.state, p.quantity, p.net, p.cap_id) for p in current)
        if now != sorted((w.state, w.quantity, w.net, w.cap_id) for w in places):
            stale += current
            fresh.append((items[item_id], len(parts.get(item_id, [])), places))
    move_parts(books, stale, PartState.SUPERSEDED)
    _insert_parts(books, fresh)


def _insert_parts(books: Books, placed: list[tuple[BillableItem, int, list[Placement]]]) -> None:
    """New parts of items (item, parts it had before, places), and their events."""
    parts = [
        BillablePart(
            part_id=f"{item.item_id}/{count + offset}",
            item_id=item.item_id,
            contract_no=item.contract_no,
            quantity=place.quantity,
            net=place.net,
            currency=item.currency,
            state=place.state,
            service_date=item.service_date,
            order_key=order_key(item),
            cap_id=place.cap_id,
        )
        for item, count, places in placed
        for offset, place in enumerate(places, start=1)
    ]
    add_parts(books, parts)


def _announce(books: Books, version: ContractVersion, placements: list[Placement]) -> None:
    """cap.hard_reached once per cap and limit."""
    for cap_id in sorted({p.cap_id for p in placements if p.state is PartState.OVER_CAP}):
        limit = next(cap.limit for cap in version.caps if cap.cap_id == cap_id)
        if books.tx.next(f"reached:{cap_id}:{limit}") == 1:
            payload = {"cap": cap_id, "limit": str(limit), "currency": version.currency}
            books.emit("cap.hard_reached", f"contract:{version.contract_no}", payload, entity=version.entity)


def costs_of(books: Books, items: list[BillableItem]) -> list[list[TimeCost]]:
    """P2.2: every hour is cost, billable or not; raw hours of the revision, one list per revision, earlier ones first.

    A revision replaces the one before it in the ERP, so it is sent only when that one is there: an earlier revision
    must never arrive last.
    """
    by_revision: dict[int, list[TimeCost]] = {}
    here = {item.item_id for item in items}
    for item in items:
        if item.revision > 1 and f"{item.source_key}#{item.revision - 1}" not in here:
            _earlier_cost_is_there(books, item)
        cost = TimeCost(
            entry_key=item.source_key,
            revision=item.revision,
            project_code=item.project_code,
            task_code=item.task_code,
            person=item.person,
            role=item.role,
            service_date=item.service_date,
            hours=item.entry_quantity,
            billable=item.billable,
            bill_rate=item.unit_price,
        )
        by_revision.setdefault(item.revision, []).append(cost)
    return [by_revision[revision] for revision in sorted(by_revision)]


def _earlier_cost_is_there(books: Books, item: BillableItem) -> None:
    """Retryable while the revision before is still on its way."""
    key = f"{item.source_key}#{item.revision - 1}"
    effects = books.tx.find(Effect, business_key=key, verb="Erp.put_time")
    if not effects or any(effect.state in ON_ITS_WAY for effect in effects):
        raise Retryable(f"{item.item_id} waits until the cost of {key} is in the ERP")
