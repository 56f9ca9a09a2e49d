"""Steps that place evidence: under its caps and holds, as parts in exactly one state each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC
from decimal import Decimal

from isthmus.domain.objects import BillableItem, BillablePart, Cap, CapKind, ContractVersion, Engagement
from isthmus.domain.states import PartState
from isthmus.policies.billing import PLACED
from isthmus.policies.caps import Placement, Share, cap_use
from isthmus.policies.caps import place as place_shares
from isthmus.policies.charges import NO_LONGER
from isthmus.processes.work import full_caps
from isthmus.processes.work.holding import Holds
from isthmus.processes.work.partition import add_parts, move_parts
from isthmus.runtime.books import Books
from isthmus.store.records import EntrySeen

OPEN = (PartState.READY, PartState.HELD, PartState.DEFERRED, PartState.OVER_CAP)
CORRECTED = "corrected"  # why a part was superseded: a later revision of its entry has taken its place over
CONCEDED = "concession"  # a credit given out of goodwill: what it credits still counts against its caps
USES_ROOM = (PartState.ON_DRAFT, PartState.INVOICED)


def place(books: Books, items: list[BillableItem]) -> str:
    """P2.6: give every contract's open evidence its place. Returns the legal entity of the batch.

    A contract that hours have only left may be of another legal entity.
    """
    entities, charged = set(), {i.contract_no for i in items if i.price_trace.get("reason") != NO_LONGER}
    for contract_no in sorted({item.contract_no for item in items}):
        version = _latest_version(books, contract_no)
        if is_capped(version):
            announce_caps(books, *_place_all(books, contract_no))
        else:
            _place_new(books, version, [item for item in items if item.contract_no == contract_no])
        engagement = books.tx.get(Engagement, contract_no)
        if contract_no in charged or not charged:
            entities.add(engagement.entity if engagement else "")
    assert len(entities) <= 1, "a batch is of one legal entity"
    return entities.pop() if entities else ""


def place_in_new_order(books: Books, contract_no: str) -> None:
    """An entry of the contract was approved again: under a cap its turn may be another one now."""
    if is_capped(_latest_version(books, contract_no)):
        place_contract(books, contract_no)


def _latest_version(books: Books, contract_no: str) -> ContractVersion:
    return books.tx.find(ContractVersion, contract_no=contract_no, order=("-version",), limit=1)[0]


def is_capped(version: ContractVersion) -> bool:
    """True when where one hour lies depends on the others."""
    return bool(version.caps) or any(po.amount is not None for po in version.purchase_orders)


def with_orders(version: ContractVersion) -> ContractVersion:
    """The amount of a purchase order is a hard cap like any other."""
    orders = tuple(
        Cap(cap_id=f"PO {po.po_number}", scope="po", po_number=po.po_number, kind=CapKind.HARD, limit=po.amount)
        for po in version.purchase_orders
        if po.amount is not None
    )
    return version.model_copy(update={"caps": version.caps + orders}) if orders else version


def _place_new(books: Books, version: ContractVersion, items: list[BillableItem]) -> None:
    """Without a cap nothing that came earlier has to move: only items that have no part yet get theirs."""
    books.tx.lock(f"contract:{version.contract_no}")
    ids = tuple(item.item_id for item in items)
    placed = {part.item_id for part in books.tx.find(BillablePart, item_id=ids)} if ids else set()
    fresh = [item for item in items if item.item_id not in placed and _has_to_be_placed(item)]
    holds = Holds(books, version)
    wanted: dict[str, list[Placement]] = {}
    for placement in place_shares([share_of(i, i.quantity, i.net, holds) for i in fresh], version, []):
        wanted.setdefault(placement.item_id, []).append(placement)
    _insert_parts(books, [(item, 0, wanted[item.item_id]) for item in fresh])


def order_key(item: BillableItem) -> str:
    """Caps are filled by service date, then approval, then entry: whatever the order of arrival."""
    approved = item.approved_at.astimezone(UTC).isoformat() if item.approved_at else ""
    return f"{item.service_date}|{approved}|{item.source_key}|{item.revision}"


def share_of(item: BillableItem, quantity: Decimal, net: Decimal, holds: Holds | None = None) -> Share:
    hold = holds.on(item) if holds else None
    return Share(
        item_id=item.item_id,
        line_uid=item.line_uid,
        order_key=order_key(item),
        quantity=quantity,
        net=net,
        payer=item.payer,
        po_number=item.po_number,
        task_code=item.task_code,
        role=item.role,
        phase=item.phase,
        expense_class=item.expense_class,
        service_date=item.service_date,
        hold=hold,
        timed=item.source_type in ("time", "overage"),
    )


def place_contract(books: Books, contract_no: str) -> list[Placement]:
    """Place again everything of a contract that no invoice holds. Idempotent: equal places are left as they are."""
    return _place_all(books, contract_no)[-1]


def _place_all(books: Books, contract_no: str) -> tuple[ContractVersion, list[Share], list[Share], list[Placement]]:
    books.tx.lock(f"contract:{contract_no}")
    version = with_orders(_latest_version(books, contract_no))
    items = _as_last_approved(books, books.tx.find(BillableItem, contract_no=contract_no))
    parts: dict[str, list[BillablePart]] = {}
    for part in books.tx.find(BillablePart, contract_no=contract_no, order=("part_id",)):
        parts.setdefault(part.item_id, []).append(part)
    holds = Holds(books, version)
    placed: list[Share] = []
    shares: list[Share] = []
    for item in items.values():
        mine = parts.get(item.item_id, [])
        using = [p for p in mine if _uses_room(p)]
        if using:
            placed.append(share_of(item, _sum(p.quantity for p in using), _sum(p.net for p in using)))
        quantity, net = _left_to_place(item, mine)
        if quantity or net:
            shares.append(share_of(item, quantity, net, holds))
    placements = place_shares(shares, version, placed)
    _write_places(books, items, parts, placements)
    once_full = {part.cap_id for mine in parts.values() for part in mine if part.cap_id}
    full_caps.settle(books, version, placements, once_full)
    return version, shares, placed, placements


def on_paper(books: Books, version: ContractVersion) -> list[Share]:
    """What invoices and drafts of a contract hold, as its caps count it."""
    items = {item.item_id: item for item in books.tx.find(BillableItem, contract_no=version.contract_no)}
    parts = books.tx.find(BillablePart, contract_no=version.contract_no, state=(*USES_ROOM, PartState.CREDITED))
    return [share_of(items[p.item_id], p.quantity, p.net) for p in parts if _uses_room(p)]


def _uses_room(part: BillablePart) -> bool:
    """What a cap counts and nobody may move: paper, and what was conceded after it was billed."""
    return part.state in USES_ROOM or (part.state is PartState.CREDITED and part.reason == CONCEDED)


def _as_last_approved(books: Books, items: list[BillableItem]) -> dict[str, BillableItem]:
    """By id, with the latest approval that was seen of each entry: which of them came first must not matter."""
    ids = tuple(sorted({item.entry_key.split(":", 1)[1] for item in items if item.source_type == "time"}))
    marks = books.tx.find(EntrySeen, source_id=ids) if ids else []
    seen = {f"{mark.source}:{mark.source_id}": mark.approved_at for mark in marks}
    placed_as = {}
    for item in items:
        again = seen.get(item.entry_key)
        later = again is not None and (item.approved_at is None or again > item.approved_at)
        placed_as[item.item_id] = item.model_copy(update={"approved_at": again}) if later else item
    return placed_as


def _has_to_be_placed(item: BillableItem) -> bool:
    """Non-billable hours have no place; the credit for hours that became non-billable has one."""
    return bool(item.net) or (item.billable and bool(item.quantity))


def _left_to_place(item: BillableItem, parts: list[BillablePart]) -> tuple[Decimal, Decimal]:
    """Quantity and net of an item that nothing holds. A corrected item has handed its rest over to the next revision:
    only what came back to it from a discarded draft or a credit is left.
    """
    if any(part.reason == CORRECTED for part in parts):
        back = [part for part in parts if part.state in OPEN]
        return _sum(p.quantity for p in back), _sum(p.net for p in back)
    if not _has_to_be_placed(item):
        return Decimal(0), Decimal(0)
    fixed = [part for part in parts if part.state in PLACED]
    return item.quantity - _sum(p.quantity for p in fixed), item.net - _sum(p.net for p in fixed)


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
        now = sorted((p.state, p.quantity, p.net, p.cap_id, p.hold_id) for p in current)
        if now != sorted((w.state, w.quantity, w.net, w.cap_id, w.hold_id) for w in places):
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
            reason=place.reason,
            hold_id=place.hold_id,
            payer=item.payer,
            po_number=item.po_number,
        )
        for item, count, places in placed
        for offset, place in enumerate(places, start=1)
    ]
    add_parts(books, parts)


def announce_caps(
    books: Books,
    version: ContractVersion,
    shares: Sequence[Share],
    placed: Sequence[Share],
    placements: Sequence[Placement],
) -> None:
    """cap.hard_reached once per cap and limit; alerts and soft caps once per crossing."""
    about, own = f"contract:{version.contract_no}", version.contract_no
    limits = {cap.cap_id: cap.limit for cap in version.caps}
    for cap_id in sorted({p.cap_id for p in placements if p.state is PartState.OVER_CAP}):
        if books.tx.next(f"reached:{own}:{cap_id}:{limits[cap_id]}") == 1:
            payload = {"cap": cap_id, "limit": str(limits[cap_id]), "currency": version.currency}
            books.emit("cap.hard_reached", about, payload, entity=version.entity)
    for use in cap_use(version, shares, placed, placements):
        facts = {"cap": use.cap_id, "consumed": str(use.consumed), "limit": str(use.limit)}
        for percent in use.alerts_crossed:
            if books.tx.next(f"alert:{own}:{use.cap_id}:{use.limit}:{percent}") == 1:
                books.emit("cap.alert", about, {**facts, "percent": percent}, entity=version.entity)
        if use.soft_exceeded and books.tx.next(f"soft:{own}:{use.cap_id}:{use.limit}") == 1:
            books.emit("cap.soft_exceeded", about, facts, entity=version.entity)


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, Decimal(0))
