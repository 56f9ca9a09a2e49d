"""INV-03, INV-04, INV-23 and INV-26: nothing is billed beyond what was agreed, and nothing waits without need."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

from isthmus.domain.money import minor_unit
from isthmus.domain.objects import (
    BillableItem,
    BillablePart,
    BillingType,
    Cap,
    CapKind,
    ContractLine,
)
from isthmus.domain.states import PartState
from isthmus.domain.terms import PurchaseOrder
from isthmus.policies.billing import CONSUMES
from isthmus.policies.caps import Share, binds
from isthmus.policies.fixed import milestone_amounts
from isthmus.reconciliation.findings import Finding
from isthmus.reconciliation.view import ContractBooks, total

ZERO = Decimal(0)
ON_PAPER = (PartState.ON_DRAFT, PartState.INVOICED)
CONCEDED = "concession"  # a credit out of goodwill gives no room back
FEWEST_HOURS = Decimal("0.0001")
FIXED = (BillingType.FIXED_MILESTONE, BillingType.FIXED_PERCENT)


def _counts(part: BillablePart) -> bool:
    return part.state in CONSUMES or (part.state is PartState.CREDITED and part.reason == CONCEDED)


def _share(item: BillableItem) -> Share:
    """What a cap reads of an item."""
    return Share(
        item.item_id,
        item.line_uid,
        "",
        ZERO,
        ZERO,
        payer=item.payer,
        po_number=item.po_number,
        task_code=item.task_code,
        role=item.role,
        phase=item.phase,
        expense_class=item.expense_class,
        service_date=item.service_date,
        timed=item.source_type in ("time", "overage"),
    )


# -- caps ------------------------------------------------------------------------------------------------------


def check_caps(books: ContractBooks) -> list[Finding]:
    """INV-04: no hard cap holds more than its limit and tolerance, and nothing is over caps that all have room."""
    shares = {item_id: _share(item) for item_id, item in books.item.items()}
    hard = [cap for cap in books.terms.caps if cap.kind is CapKind.HARD]
    hard += [_cap_of(order) for order in books.terms.purchase_orders if order.amount is not None]
    room, findings, client_no = {}, [], books.terms.client_no
    for cap in hard:
        counted = [p for p in books.parts if _counts(p) and p.item_id in shares]
        within = [p for p in counted if binds(cap, shares[p.item_id], client_no)]
        used = total(_measured(cap, part, books.item[part.item_id]) for part in within)
        room[cap.cap_id] = cap.limit - used
        if used > cap.limit + cap.tolerance:
            over, unit = used - cap.limit, books.terms.currency
            amount = (over, unit) if cap.measure == "amount" else (ZERO, "")
            problem = f"{used} within a limit of {cap.limit}"
            findings.append(Finding("INV-04", f"{books.contract_no} {cap.cap_id}", problem, "billing", *amount))
    for part in books.parts:
        if part.state is PartState.OVER_CAP and part.item_id in shares:
            binding = [cap for cap in hard if binds(cap, shares[part.item_id], client_no)]
            if all(_could_take_some(cap, room[cap.cap_id], part) for cap in binding):
                told = ", ".join(f"{cap.cap_id} {room[cap.cap_id]}" for cap in binding) or "no cap"
                problem = f"over a cap without need: room of {told}"
                findings.append(Finding("INV-04", part.part_id, problem, "billing", abs(part.net), part.currency))
    return findings


def _cap_of(order: PurchaseOrder) -> Cap:
    assert order.amount is not None
    return Cap(cap_id=f"PO {order.po_number}", scope="po", po_number=order.po_number, limit=order.amount)


def _measured(cap: Cap, part: BillablePart, item: BillableItem) -> Decimal:
    if cap.measure == "amount":
        return part.net
    return part.quantity if item.source_type in ("time", "overage") and not item.expense_class else ZERO


def _could_take_some(cap: Cap, room: Decimal, part: BillablePart) -> bool:
    """A cap that divides items could take a unit of it; one that leaves them out, all of it."""
    if cap.split == "whole_item":
        return room > 0 and room + cap.tolerance >= (part.net if cap.measure == "amount" else part.quantity)
    return room >= (minor_unit(part.currency) if cap.measure == "amount" else FEWEST_HOURS)


# -- what was agreed in all ------------------------------------------------------------------------------------


def check_contract_value(books: ContractBooks) -> list[Finding]:
    """INV-03: a fixed price is never billed beyond it, nor a contract beyond its authorised value."""
    billed: dict[str, Decimal] = defaultdict(Decimal)
    for part in books.parts:
        if part.state in ON_PAPER and part.item_id in books.item:
            item = books.item[part.item_id]
            if item.source_type in ("milestone", "percent"):
                billed[item.line_uid] += part.net
    currency = books.terms.currency
    findings = []
    for line in books.terms.lines:
        price = price_of(line)
        if price is not None and billed[line.line_uid] > price:
            problem = f"{billed[line.line_uid]} billed of a price of {price}"
            key, over = f"{books.contract_no}/{line.line_uid}", billed[line.line_uid] - price
            findings.append(Finding("INV-03", key, problem, "billing", over, currency))
    value = books.terms.authorised_value
    on_paper = total(part.net for part in books.parts if part.state in ON_PAPER)
    if value is not None and on_paper > value:
        problem = f"{on_paper} billed of an authorised value of {value}"
        findings.append(Finding("INV-03", books.contract_no, problem, "billing", on_paper - value, currency))
    return findings


def price_of(line: ContractLine) -> Decimal | None:
    """The fixed price of a line: as it is said, else what its milestones add up to; None where there is none."""
    if line.billing_type not in FIXED:
        return None
    return line.price if line.price is not None else total(m.amount for m in line.milestones) or None


def check_milestones(books: ContractBooks) -> list[Finding]:
    """INV-23: milestones add up to the price; each is worth its amount once, and only when it was accepted."""
    findings = []
    accepted = {(s.line_uid, s.number) for s in books.milestones if s.state == "accepted"}
    for line in books.terms.lines:
        price = price_of(line)
        if line.billing_type is not BillingType.FIXED_MILESTONE or price is None:
            continue
        amounts = milestone_amounts(price, line.milestones, books.terms.currency)
        worth: dict[int, Decimal] = defaultdict(Decimal)
        for item in books.of_line(line.line_uid, "milestone"):
            worth[_number_of(item)] += item.entry_net
        if _price_has_changed(books, line):
            # What was billed kept its amount and the others were spread again: all of the price bounds each and all.
            amounts, whole = dict.fromkeys(worth, price), sum(worth.values(), ZERO)
            if whole > price:
                problem, key = f"milestones of {whole} for a price of {price}", f"{books.contract_no}/{line.line_uid}"
                findings.append(Finding("INV-23", key, problem, "billing", whole - price, books.terms.currency))
        for number, net in sorted(worth.items()):
            key = f"{books.contract_no}/{line.line_uid}/M{number}"
            if net > amounts.get(number, ZERO):
                problem = f"{net} of a milestone of {amounts.get(number, ZERO)}"
                findings.append(Finding("INV-23", key, problem, "billing", net, books.terms.currency))
            elif net and not {(line.line_uid, number), ("", number)} & accepted:
                findings.append(Finding("INV-23", key, "never accepted", "billing", net, books.terms.currency))
    return findings


def _price_has_changed(books: ContractBooks, line: ContractLine) -> bool:
    before = [one for version in books.versions for one in version.lines if one.line_uid == line.line_uid]
    return any(one.price != line.price for one in before)


def _number_of(item: BillableItem) -> int:
    """CT-1/L2/M3 and CT-1/L2/M3:name are milestone 3."""
    return int(item.source_key.rsplit("/M", 1)[1].partition(":")[0].partition("@")[0])


# -- purchase orders -------------------------------------------------------------------------------------------


def check_orders(books: ContractBooks) -> list[Finding]:
    """INV-26: an order bears no more than its amount, for work of its days unless a person let it pass."""
    orders = {order.po_number: order for order in books.terms.purchase_orders}
    waived = {hold.source_key for hold in books.holds if hold.released_by and hold.reason == "PO_EXPIRED"}
    billed: dict[str, Decimal] = defaultdict(Decimal)
    findings = []
    for part in books.parts:
        item = books.item.get(part.item_id)
        if part.state not in ON_PAPER or item is None or item.po_number not in orders:
            continue
        order = orders[item.po_number]
        billed[order.po_number] += part.net
        too_early = order.valid_from is not None and item.service_date < order.valid_from
        too_late = order.valid_to is not None and item.service_date > order.valid_to
        if (too_early or too_late) and part.net > 0 and not {item.source_key, item.entry_key} & waived:
            problem = f"work of {item.service_date} on order {order.po_number}, which is not valid then"
            findings.append(Finding("INV-26", part.part_id, problem, "billing", part.net, part.currency))
    for number, net in billed.items():
        limit = orders[number].amount
        if limit is not None and net > limit:
            problem = f"{net} billed on an order of {limit}"
            findings.append(Finding("INV-26", number, problem, "billing", net - limit, books.terms.currency))
    return findings
