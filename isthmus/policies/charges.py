"""From approved work to what it is worth: the charges of a person's day, of an expense, of a fee.

A charge is what a source is worth in all; the books keep it as items, one per payer, and a later charge for the same
key only places the difference. So evidence is a pure function of what is known, whatever the order in which it came.

The order of rule R0.7: raw time, increment, bands of the day, chargeability, rate, extended amount (rounded), discount
(rounded), split among payers. Caps and holds come after, over all items of a contract.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.money import round_half_away, round_rate
from isthmus.domain.objects import BillableItem, BillingType, ContractLine, ContractVersion, Rate, Task, TimeEntry
from isthmus.policies.billing import line_of
from isthmus.policies.chargeability import chargeable
from isthmus.policies.costs import markup_of
from isthmus.policies.discounts import discount_item
from isthmus.policies.fx import FxTable, rate_day
from isthmus.policies.quantities import BilledTime, DayEntry, Segment, bill_day, extend
from isthmus.policies.rates import resolve_rate, version_in_force
from isthmus.policies.splits import split

POLICY = "charges/1"
BY_THE_HOUR = frozenset({BillingType.TM, BillingType.COST_PLUS})
ZERO = Decimal(0)
NO_RATES = FxTable(())


@dataclass(frozen=True)
class Charge:
    """What one source is worth on one line. key: the source, and what of it (a band, a fee's period).

    quantity, unit_price and extended are what is billed, net is after the discount; raw_quantity is what was worked,
    on the one charge of a source that carries its cost. hold: a reason why it must wait, known from the source itself.
    tax_category: where it is not the line's.
    """

    key: str
    entry_key: str
    entry_revision: int
    source_type: str
    version: ContractVersion
    line: ContractLine
    service_date: date
    quantity: Decimal
    unit_price: Decimal
    extended: Decimal
    discount: Decimal = ZERO
    raw_quantity: Decimal | None = None
    billable: bool = True
    description: str = ""
    project_code: str = ""
    task_code: str = ""
    phase: str = ""
    person: str = ""
    role: str = ""
    expense_class: str = ""
    hold: str = ""
    tax_category: str = ""
    refers_to: str = ""
    trace: dict[str, Any] = field(default_factory=dict)
    approved_by: str = ""
    approved_at: datetime | None = None

    @property
    def net(self) -> Decimal:
        """After the discount, before tax."""
        return self.extended - self.discount


@dataclass(frozen=True)
class Terms:
    """Where prices and lines come from: the versions of the contract, the project's tasks, cards beside the contract;
    fx converts rates that are in another currency than the contract.

    By entry key, assigned: the line a person has chosen; chosen: the line its earlier evidence is on, which decides
    where a role fits several.
    """

    versions: Sequence[ContractVersion]
    tasks: Mapping[str, Task] = field(default_factory=dict)
    cards: Sequence[Rate] = ()
    fx: FxTable = NO_RATES
    assigned: Mapping[str, str] = field(default_factory=dict)
    chosen: Mapping[str, str] = field(default_factory=dict)


def by_the_day(line: ContractLine) -> bool:
    """True when what an hour is billed at depends on the other hours of the person's day."""
    return line.day_rule is not None or (line.increment is not None and line.increment.basis != "entry")


def place_of(entry: TimeEntry, terms: Terms) -> tuple[ContractVersion, ContractLine]:
    """The contract version and line an entry belongs to.

    EX-TIME-SPLIT for a week without a split by day that spans a change of price, or whose line is billed by the day.
    """
    version = version_in_force(list(terms.versions), entry.service_date)
    task = terms.tasks.get(entry.task_code)
    told = terms.assigned.get(entry.key) or (task.line_uid if task else "")
    line = line_of(version, told, entry.role, terms.chosen.get(entry.key, ""))
    several = len(entry.days) > 1
    for day in entry.days:
        other = version_in_force(list(terms.versions), day)
        if other.version != version.version or _rate_changes(line, entry, day) or (several and by_the_day(line)):
            raise NeedsDecision(
                "EX-TIME-SPLIT",
                f"time entry {entry.key} of {entry.hours} h spans {entry.days[0]} to {entry.days[-1]} without a split"
                " by day, and what it is billed at depends on the day: report it per day",
                queue="pmo",
                context={"entry": entry.key, "days": [str(d) for d in entry.days]},
            )
    return version, line


def _rate_changes(line: ContractLine, entry: TimeEntry, day: date) -> bool:
    mine = [r for r in line.rates if r.role in ("", entry.role) and r.person in ("", entry.person)]
    return {r.covers(day) for r in mine} != {r.covers(entry.service_date) for r in mine} or any(
        r.covers(day) != r.covers(entry.service_date) for r in mine
    )


def charge_time(entries: Sequence[TimeEntry], terms: Terms) -> list[Charge]:
    """The charges of entries of one person, one day and one line, in the order of their keys.

    An entry gives one charge per band it falls into; what is beyond the last band is a charge of zero that says why.
    """
    version, line = place_of(entries[0], terms)
    # An entry set to zero may arrive before the one it corrects: nothing is no mistake here.
    day = [
        DayEntry(e.key, e.hours, e.task_code, e.started_at, corrected=not e.hours, days=max(len(e.days), 1))
        for e in entries
    ]
    billed = bill_day(day, line.increment, line.day_rule)
    charges: list[Charge] = []
    for entry in sorted(entries, key=lambda e: e.key):
        charges += _charges_of(entry, version, line, billed[entry.key], terms)
    return charges


def _charges_of(
    entry: TimeEntry, version: ContractVersion, line: ContractLine, billed: BilledTime, terms: Terms
) -> list[Charge]:
    task = terms.tasks.get(entry.task_code)
    task_billable = task.billable if task else True
    said_yes, why = chargeable(
        line, evidence_class="time", role=entry.role, task_code=entry.task_code, task_billable=task_billable
    )
    if line.billing_type not in BY_THE_HOUR:
        said_yes, why = False, f"line {line.line_uid} is {line.billing_type}"
    base = Charge(
        key=entry.key,
        entry_key=entry.key,
        entry_revision=entry.revision,
        source_type="time",
        version=version,
        line=line,
        service_date=entry.service_date,
        quantity=entry.hours,
        unit_price=ZERO,
        extended=ZERO,
        raw_quantity=entry.hours,
        billable=False,
        project_code=entry.project_code,
        task_code=entry.task_code,
        phase=task.phase if task else "",
        person=entry.person,
        role=entry.role,
        trace={"policy": POLICY, "reason": why},
        approved_by=entry.approved_by,
        approved_at=entry.approved_at,
    )
    if not said_yes:
        return [base]
    rate, trace = _price(entry, version, line, terms)
    if not billed.segments:  # corrected to nothing
        return [replace(base, unit_price=rate, billable=True, trace={**trace, "charge": POLICY})]
    return [_banded(base, part, number, rate, trace) for number, part in enumerate(billed.segments)]


def _price(
    entry: TimeEntry, version: ContractVersion, line: ContractLine, terms: Terms
) -> tuple[Decimal, dict[str, Any]]:
    if line.billing_type is BillingType.COST_PLUS and line.cost_plus is not None:
        if entry.cost_rate is None or entry.cost_currency not in ("", version.currency):
            cause = f"time entry {entry.key}: no cost rate in {version.currency}, and line {line.line_uid} is cost plus"
            raise NeedsDecision("EX-COST-RATE", cause, queue="people", context={"entry": entry.key})
        percent = markup_of(line.cost_plus)
        rate = round_rate(entry.cost_rate * (1 + percent / 100))
        return rate, {
            "policy": POLICY,
            "reason": "cost plus",
            "cost_rate": str(entry.cost_rate),
            "markup_percent": str(percent),
            "rate": str(rate),
        }
    rate, trace = resolve_rate(
        version,
        line,
        person=entry.person,
        role=entry.role,
        service_date=entry.service_date,
        grade=entry.grade,
        region=entry.region,
        work_type=entry.work_type,
        location=entry.location,
        task=entry.task_code,
        cards=terms.cards,
    )
    return _converted(rate, trace, entry, line, terms.fx) if "convert" in trace else (rate, trace)


def _converted(
    rate: Decimal, trace: dict[str, Any], entry: TimeEntry, line: ContractLine, table: FxTable
) -> tuple[Decimal, dict[str, Any]]:
    """A rate in another currency in that of the contract, its floor too. EX-FX-RATE where the table has no rate."""
    assert line.fx is not None
    asked = trace["convert"]
    day = rate_day(line.fx, service_date=entry.service_date, expense_date=entry.service_date)
    found = table.rate(line.fx, asked["from"], asked["to"], day)
    price = round_rate(rate * found.rate)
    how = {"bill_rate": str(rate), "fx_rate": str(found.rate), "fx_date": str(found.day), "fx_source": found.source}
    floor = {"floor": str(round_rate(Decimal(trace["floor"]) * found.rate))} if "floor" in trace else {}
    return price, {**trace, **floor, "rate": str(price), "convert": {**asked, **how}}


def _banded(base: Charge, part: Segment, number: int, rate: Decimal, trace: dict[str, Any]) -> Charge:
    """One band of an entry. Only the first carries the hours worked, so that cost is counted once."""
    price = round_rate(rate * part.multiplier)
    currency = base.version.currency
    stepped = base.line.increment is not None or base.line.day_rule is not None
    # What was counted in minutes is priced in minutes: 1.1167 h are 67 of them, not 67.002.
    extended = extend(part.quantity, price, currency) if stepped else round_half_away(part.quantity * price, currency)
    told = {**trace, "charge": POLICY}
    if part.multiplier != 1:
        told["multiplier"] = str(part.multiplier)
    if part.reason:
        told["reason"] = part.reason
    return replace(
        base,
        key=base.key if number == 0 else f"{base.key}~{part.reason or f'x{part.multiplier}'}",
        quantity=part.quantity,
        raw_quantity=base.raw_quantity if number == 0 else None,
        unit_price=price,
        extended=extended,
        discount=_percent_off(base.line, extended, part.quantity, trace, currency),
        billable=part.multiplier > 0,
        trace=told,
    )


def _percent_off(
    line: ContractLine, extended: Decimal, quantity: Decimal, trace: Mapping[str, Any], currency: str
) -> Decimal:
    """Only what is taken off each item; volume and amounts are worked out over all of them."""
    each = [discount for discount in line.discounts if discount.kind == "percent"]
    floor = Decimal(trace["floor"]) if trace.get("floor") else None
    return discount_item(each, extended=extended, quantity=quantity, currency=currency, floor=floor).discount


def items_of(charge: Charge) -> list[BillableItem]:
    """A charge as evidence: one item per payer of the line, revision 1; the books give it its revision."""
    payers = charge.line.payers
    if len(payers) < 2 or not charge.billable:
        only = payers[0] if payers else None
        return [_item(charge, charge.key, charge.quantity, charge.net, only.bill_to if only else "", _po(charge, only))]
    currency = charge.version.currency
    shares = split(charge.quantity, charge.net, payers, currency)
    on_orders = Counter(share.bill_to for share in shares)
    items = []
    for share in shares:
        order = share.po_number if on_orders[share.bill_to] > 1 else ""
        key = share_key(charge.key, share.bill_to, order)
        items.append(_item(charge, key, share.quantity, share.net, share.bill_to, share.po_number))
    # The hours worked are counted once, with the first payer.
    return [item if n == 0 else item.model_copy(update={"raw_quantity": None}) for n, item in enumerate(items)]


def share_key(charge_key: str, bill_to: str, order: str = "") -> str:
    """The source key of a payer's share of a charge. order: where the payer has shares on several orders."""
    return f"{charge_key}@{bill_to}/{order}" if order else f"{charge_key}@{bill_to}"


def charge_key_of(item: BillableItem) -> str:
    """The charge an item is a payer's share of: psa:7 of psa:7@GRANT."""
    for order in (item.po_number, ""):
        ending = share_key("", item.payer, order)
        if item.payer and item.source_key.endswith(ending):
            return item.source_key.removesuffix(ending)
    return item.source_key


def _is_of_one_order(item: BillableItem) -> bool:
    return bool(item.po_number) and item.source_key.endswith(share_key("", item.payer, item.po_number))


def is_same_share(one: BillableItem, other: BillableItem, client_no: str) -> bool:
    """True when both are the same payer's share of one charge. An item without a payer is the client's.

    Which order it is on matters only where the payer has shares on several.
    """
    if charge_key_of(one) != charge_key_of(other) or (one.payer or client_no) != (other.payer or client_no):
        return False
    return one.po_number == other.po_number or not (_is_of_one_order(one) or _is_of_one_order(other))


def _holds_of(charge: Charge) -> str:
    """Why it must wait: what is known from the source, and work of before the day its line may be billed from."""
    begins = charge.line.billable_from
    unsigned = "CONTRACT_UNSIGNED" if begins and charge.service_date < begins else ""
    return " ".join(reason for reason in (unsigned, charge.hold) if reason)


def _po(charge: Charge, payer: Any) -> str:
    return (payer.po_number if payer else "") or charge.version.po_number


def _item(charge: Charge, key: str, quantity: Decimal, net: Decimal, payer: str, po_number: str) -> BillableItem:
    holds = _holds_of(charge)
    return BillableItem(
        item_id=f"{key}#1",
        source_key=key,
        revision=1,
        contract_no=charge.version.contract_no,
        contract_version=charge.version.version,
        line_uid=charge.line.line_uid,
        project_code=charge.project_code,
        task_code=charge.task_code,
        person=charge.person,
        role=charge.role,
        service_date=charge.service_date,
        entry_quantity=quantity,
        entry_net=net,
        quantity=quantity,
        unit_price=charge.unit_price,
        net=net,
        currency=charge.version.currency,
        billable=charge.billable,
        source_type=charge.source_type,
        entry_key=charge.entry_key,
        entry_revision=charge.entry_revision,
        raw_quantity=charge.raw_quantity,
        extended=charge.extended,
        discount=charge.discount,
        payer=payer,
        po_number=po_number,
        phase=charge.phase,
        expense_class=charge.expense_class,
        tax_category=charge.tax_category or charge.line.tax_category,
        description=charge.description,
        refers_to=charge.refers_to,
        price_trace={**charge.trace, "hold": holds} if holds else charge.trace,
        approved_by=charge.approved_by,
        approved_at=charge.approved_at,
    )


SAME_WORTH = (
    "line_uid",
    "entry_quantity",
    "entry_net",
    "unit_price",
    "billable",
    "entry_revision",
    "payer",
    "po_number",
    "task_code",
)


def same_worth(a: BillableItem, b: BillableItem) -> bool:
    """True when b says nothing new about what the source is worth."""
    return all(getattr(a, name) == getattr(b, name) for name in SAME_WORTH)


NO_LONGER = "no longer charged"


def no_longer(item: BillableItem) -> BillableItem:
    """The next word on a source key that is no longer charged: worth nothing."""
    gone = {"entry_quantity": ZERO, "entry_net": ZERO, "quantity": ZERO, "net": ZERO, "raw_quantity": None}
    return item.model_copy(update={**gone, "price_trace": {"policy": POLICY, "reason": NO_LONGER}})


def groups_of_days(entries: Iterable[TimeEntry], terms: Terms) -> list[list[TimeEntry]]:
    """Entries that must be charged together: a person's day on a line that is billed by the day, else one each."""
    groups: dict[tuple[Any, ...], list[TimeEntry]] = {}
    for entry in entries:
        _, line = place_of(entry, terms)
        key: tuple[Any, ...] = (entry.key,)
        if by_the_day(line):
            key = (entry.person, entry.service_date, line.line_uid)
        groups.setdefault(key, []).append(entry)
    return list(groups.values())
