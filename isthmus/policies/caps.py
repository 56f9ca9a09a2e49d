"""Not-to-exceed limits: what of a contract's open evidence may be billed, to the cent, whatever order it arrived in.

A cap limits the net (before tax, after discounts) or the hours of what lies within its scope and its days. Evidence
fills the room of every hard cap in the order of its order_key (service date, approval, entry); what invoices and drafts
hold has its room already and is never displaced. Caps come first, holds second: what is held within the caps still
uses its room (SC-21), so that releasing it never finds the room gone. Soft caps bind nothing; ``cap_use`` tells them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from operator import attrgetter
from typing import Any

from isthmus.domain.money import round_half_away, round_minutes, round_quantity, truncate, truncate_quantity
from isthmus.domain.objects import Cap, CapKind, ContractVersion
from isthmus.domain.states import PartState

POLICY = "caps/1"
CAP_ADJUSTMENT = "CAP_ADJUSTMENT"
ANY = "*"  # as a selector: whatever it is, as long as there is one; all expenses together, say
NOTHING = Decimal(0)

# Which facts of a share a scope reads; every other selector of a cap must be empty (check_cap).
SELECTORS: dict[str, tuple[str, ...]] = {
    "contract": (),
    "line": ("line_uid",),
    "payer": ("payer",),
    "payer_on_line": ("payer", "line_uid"),
    "po": ("po_number",),
    "task": ("task_code",),
    "role": ("role",),
    "phase": ("phase",),
    "expense_class": ("expense_class",),
}


@dataclass(frozen=True, slots=True)
class ShareHold:
    """Why a share is not billed yet though it is within its caps. amount: how much of it; None: all."""

    reason: str
    hold_id: str = ""
    deferred: bool = False
    amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """What one item still has to place: signed quantity and net not yet on an invoice, draft or written off.

    timed: the quantity is hours; false for fees, units and other things that no cap in hours counts (an expense_class
    says so by itself).
    """

    item_id: str
    line_uid: str
    order_key: str
    quantity: Decimal
    net: Decimal
    payer: str = ""
    po_number: str = ""
    task_code: str = ""
    role: str = ""
    phase: str = ""
    expense_class: str = ""
    service_date: date | None = None
    hold: ShareHold | None = None
    timed: bool = True


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a share or a piece of it goes. cap_id: the cap that binds it; reason and hold_id: why it is held.

    reason CAP_ADJUSTMENT: the negative piece that takes what is over the cap back from an item billed whole.
    """

    item_id: str
    quantity: Decimal
    net: Decimal
    state: PartState
    cap_id: str = ""
    reason: str = ""
    hold_id: str = ""


@dataclass(frozen=True, slots=True)
class CapUse:
    """How full a cap is, in its own measure. alerts_crossed: percentages of the limit that are reached."""

    cap_id: str
    consumed: Decimal
    limit: Decimal
    alerts_crossed: tuple[int, ...]
    soft_exceeded: bool


@dataclass(slots=True)
class Meter:
    """A cap and what it has used up so far."""

    cap: Cap
    used: Decimal = NOTHING

    def need(self, quantity: Decimal, net: Decimal, timed: bool) -> Decimal:
        """What a piece uses up: its net, or its hours."""
        if self.cap.measure == "amount":
            return net
        return quantity if timed else NOTHING


@dataclass(frozen=True, slots=True)
class Piece:
    """As much of a share as a cap with this room allows."""

    quantity: Decimal
    net: Decimal
    room: Decimal
    cap: Cap


Finder = Callable[[Share], Sequence[Meter]]


def place(shares: Iterable[Share], version: ContractVersion, placed: Sequence[Share]) -> list[Placement]:
    """Where every share goes under the hard caps of the version. placed: what invoices and drafts hold.

    A share that gives back is placed first and never over a cap: what it frees is there for all, so nothing is over a
    cap that has room (INV-04), and the result is the same for every order of the arguments (INV-31). The pieces of a
    share add up to it in net and in quantity.
    """
    find = _finder([Meter(cap) for cap in version.caps if cap.kind is CapKind.HARD], version.client_no)
    for share in placed:
        for meter in find(share):
            meter.used += meter.need(share.quantity, share.net, _timed(share))
    placements: list[Placement] = []
    for share in sorted(shares, key=_turn):
        _place_share(share, find(share), version.currency, placements)
    return placements


def cap_use(
    version: ContractVersion,
    shares: Iterable[Share],
    placed: Sequence[Share],
    placements: Sequence[Placement] | None = None,
) -> list[CapUse]:
    """How full every cap of the version is, hard and soft, once the shares are placed.

    placements: the answer of place() for the same shares, where it is known already. An alert is crossed at its
    percentage, a soft cap exceeded above limit and tolerance; that it is told once per crossing is the caller's part.
    """
    shares = list(shares)
    meters = [Meter(cap) for cap in version.caps]
    find, by_item = _finder(meters, version.client_no), {share.item_id: share for share in shares}
    assert len(by_item) == len(shares), "an item has two shares"
    for share in placed:
        for meter in find(share):
            meter.used += meter.need(share.quantity, share.net, _timed(share))
    for place_ in place(shares, version, placed) if placements is None else placements:
        if place_.state is not PartState.OVER_CAP:
            share = by_item[place_.item_id]
            for meter in find(share):
                meter.used += meter.need(place_.quantity, place_.net, _timed(share))
    return [_use(meter) for meter in meters]


def below_billed(version: ContractVersion, placed: Sequence[Share]) -> list[CapUse]:
    """Hard caps that were set below what is on invoices and drafts already: a person decides, nothing is credited."""
    hard = {cap.cap_id: cap for cap in version.caps if cap.kind is CapKind.HARD}
    uses = [use for use in cap_use(version, (), placed, ()) if use.cap_id in hard]
    return [use for use in uses if use.consumed > use.limit + hard[use.cap_id].tolerance]


def _use(meter: Meter) -> CapUse:
    cap, used = meter.cap, meter.used
    crossed = tuple(percent for percent in sorted(cap.alerts_percent) if used * 100 >= cap.limit * percent)
    exceeded = cap.kind is CapKind.SOFT and used > cap.limit + cap.tolerance
    return CapUse(cap.cap_id, used, cap.limit, crossed, exceeded)


# -- which caps bind a share -----------------------------------------------------------------------------------


def binds(cap: Cap, share: Share, client_no: str = "") -> bool:
    """True when the share is within the cap's scope and its days, both ends included. "*" names whatever there is.

    client_no: of the contract's client, who pays what names no payer.
    """
    for name in SELECTORS[cap.scope]:
        named, fact = getattr(cap, name), getattr(share, name) or (client_no if name == "payer" else "")
        if named != fact and not (named == ANY and fact):
            return False
    day = share.service_date
    if day is None:
        return cap.valid_from is None and cap.valid_to is None
    return (cap.valid_from is None or cap.valid_from <= day) and (cap.valid_to is None or day <= cap.valid_to)


def check_cap(cap: Cap) -> list[str]:
    """What is wrong with the scope and window of a cap; a selector that its scope does not read would bind nothing."""
    wanted = SELECTORS[cap.scope]
    names = sorted({name for scope in SELECTORS.values() for name in scope})
    problems = [f"cap {cap.cap_id} is for a {cap.scope} and names no {n}" for n in wanted if not getattr(cap, n)]
    problems += [
        f"cap {cap.cap_id} is for a {cap.scope}, which has nothing to do with {name} {getattr(cap, name)}"
        for name in names
        if name not in wanted and getattr(cap, name)
    ]
    if cap.valid_from is not None and cap.valid_to is not None and cap.valid_to < cap.valid_from:
        problems.append(f"cap {cap.cap_id} ends on {cap.valid_to}, before it begins on {cap.valid_from}")
    if cap.tolerance < 0:
        problems.append(f"cap {cap.cap_id} has a tolerance of {cap.tolerance}")
    if cap.measure == "hours" and cap.limit != truncate_quantity(cap.limit):
        problems.append(f"cap {cap.cap_id} is {cap.limit} hours, which four decimals cannot hold")
    return problems


def _finder(meters: Sequence[Meter], client_no: str) -> Finder:
    """The meters that bind a share, remembered by the facts their caps read: thousands of shares share a few."""
    facts = {name for meter in meters for name in SELECTORS[meter.cap.scope]}
    if any(meter.cap.valid_from or meter.cap.valid_to for meter in meters):
        facts.add("service_date")
    if not facts:
        return lambda share: meters
    key_of, known = attrgetter(*sorted(facts)), dict[Any, list[Meter]]()

    def find(share: Share) -> Sequence[Meter]:
        key = key_of(share)
        found = known.get(key)
        if found is None:
            found = known[key] = [meter for meter in meters if binds(meter.cap, share, client_no)]
        return found

    return find


# -- how much of a share is within -----------------------------------------------------------------------------


def _timed(share: Share) -> bool:
    return share.timed and not share.expense_class


def _turn(share: Share) -> tuple[int, str, str]:
    """What gives back comes first; then what gives money back for more hours; then all that needs room."""
    if share.net > 0 or (share.net == 0 and share.quantity > 0):
        return 2, share.order_key, share.item_id
    return (1 if share.quantity > 0 else 0), share.order_key, share.item_id


def _place_share(share: Share, meters: Sequence[Meter], currency: str, placements: list[Placement]) -> None:
    timed = _timed(share)
    cuts = [cut for meter in meters if (cut := _cut(meter, share, timed, currency)) is not None]
    quantity, net, binding = share.quantity, share.net, None
    if cuts:
        least = min(cuts, key=lambda cut: (cut.net, cut.quantity, cut.room, cut.cap.cap_id))
        in_hours = [cut.quantity for cut in cuts if cut.cap.measure == "hours"]
        quantity, net, binding = min([least.quantity, *in_hours]), least.net, least.cap
    for meter in meters:
        meter.used += meter.need(quantity, net, timed)
    _split(share, quantity, net, binding, placements)


def _cut(meter: Meter, share: Share, timed: bool, currency: str) -> Piece | None:
    """None when the cap takes the share whole; else as much of it as there is room for.

    The tolerance is for the item that straddles the limit: it is taken whole when it exceeds it by no more than that.
    """
    cap, need = meter.cap, meter.need(share.quantity, share.net, timed)
    room = cap.limit - meter.used
    if need <= 0 or (room > 0 and need <= room + cap.tolerance):
        return None
    quantity = net = NOTHING
    if room > 0 and cap.split != "whole_item":
        if cap.measure == "amount":
            net = truncate(room, currency)
            quantity = round_quantity(share.quantity * net / share.net)
        else:
            quantity = truncate_quantity(room)
            net = round_half_away(share.net * round_minutes(quantity) / round_minutes(share.quantity), currency)
    if share.net <= 0:  # money that goes back is not held up by hours that have no room
        net = share.net
    return Piece(quantity, net, room, cap)


def _split(share: Share, quantity: Decimal, net: Decimal, cap: Cap | None, placements: list[Placement]) -> None:
    """The share as what is within its caps (quantity, net) and what is over the cap that binds."""
    if cap is None:
        _hold(share, quantity, net, placements)
        return
    item, over, over_net = share.item_id, share.quantity - quantity, share.net - net
    if net or quantity:
        if cap.split == "item_with_adjustment" and share.hold is None:
            placements.append(Placement(item, share.quantity, share.net, PartState.READY))
            placements.append(Placement(item, -over, -over_net, PartState.READY, cap.cap_id, CAP_ADJUSTMENT))
        else:
            _hold(share, quantity, net, placements)
    placements.append(Placement(item, over, over_net, PartState.OVER_CAP, cap.cap_id))


def _hold(share: Share, quantity: Decimal, net: Decimal, placements: list[Placement]) -> None:
    """What is within the caps: ready, or held, or in part held where the hold is about an amount."""
    hold = share.hold
    if hold is None:
        placements.append(Placement(share.item_id, quantity, net, PartState.READY))
        return
    held = net
    if hold.amount is not None:
        held = min(hold.amount, net) if net > 0 else max(-hold.amount, net)
    hours = round_quantity(quantity * held / net) if net else quantity
    if (net - held) or (quantity - hours):
        placements.append(Placement(share.item_id, quantity - hours, net - held, PartState.READY))
    if held or hours or not (net or quantity):
        state = PartState.DEFERRED if hold.deferred else PartState.HELD
        placements.append(Placement(share.item_id, hours, held, state, "", hold.reason, hold.hold_id))
