"""From an approved hour to billable parts: chargeability, price, caps with an exact split, and invoice lines.

The order of rule R0.7: raw time, chargeability, rate, extended amount (rounded), caps, ready. Everything here is a
pure function of its arguments, so the same evidence gives the same parts in whatever order it arrives: caps are filled
in the order (service date, approval, entry), and only parts no invoice holds are ever placed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from isthmus.domain.errors import BadAmount, NeedsDecision
from isthmus.domain.money import round_half_away
from isthmus.domain.objects import (
    BillableItem,
    BillingType,
    Cap,
    CapKind,
    ContractLine,
    ContractVersion,
    InvoiceLine,
    TimeEntry,
)
from isthmus.domain.states import PartState
from isthmus.policies.caps import Placement, Share, binds, place
from isthmus.policies.layouts import Evidence, compose
from isthmus.policies.rates import resolve_rate, version_in_force

POLICY = "billing/1"
CONSUMES = frozenset({PartState.READY, PartState.HELD, PartState.DEFERRED, PartState.ON_DRAFT, PartState.INVOICED})
# What an item has placed for good. A credited part is followed by a new one that says where its evidence went.
PLACED = frozenset({PartState.ON_DRAFT, PartState.INVOICED, PartState.WRITTEN_OFF, PartState.TRANSFERRED})


def line_of(version: ContractVersion, task_line_uid: str, role: str, chosen: str = "") -> ContractLine:
    """The one contract line an entry belongs to: by its task, else by role. Never a guess between two.

    chosen: the line its earlier evidence is on, which decides where the role fits several.
    """
    known = {line.line_uid for line in version.lines}
    if task_line_uid in known:
        return version.line(task_line_uid)
    if task_line_uid:  # the task came with a later version than the one in force on the day
        raise NeedsDecision(
            "EX-NO-CONTRACT-LINE",
            f"the task is of line {task_line_uid}; contract {version.key} has {', '.join(sorted(known)) or 'no line'}",
            queue="contract-operations",
            context={"role": role, "line_uid": task_line_uid, "lines": sorted(known)},
        )
    fitting = [
        line
        for line in version.lines
        if line.billing_type is not BillingType.FIXED_MILESTONE
        and (role in line.roles or any(rate.role == role for rate in line.rates))
    ]
    if len(fitting) > 1 and chosen:
        fitting = [line for line in fitting if line.line_uid == chosen] or fitting
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(line.line_uid for line in fitting)
    raise NeedsDecision(
        "EX-LINE-AMBIGUOUS" if fitting else "EX-NO-CONTRACT-LINE",
        f"role {role} fits {len(fitting)} lines of contract {version.key}{': ' + names if names else ''}",
        queue="contract-operations",
        context={"role": role, "lines": [line.line_uid for line in fitting]},
        actions=("assign", "retry", "cancel"),
    )


def price_entry(
    entry: TimeEntry, versions: list[ContractVersion], *, item_id: str, task_line_uid: str, task_billable: bool
) -> BillableItem:
    """The immutable evidence of one revision: quantity, unit price, net and how they came about.

    Chargeable when the line's type is billable and the task is; otherwise the item carries cost but no money.
    """
    version = version_in_force(versions, entry.service_date)
    line = line_of(version, task_line_uid, entry.role)
    billable = line.billing_type is BillingType.TM and task_billable
    rate, trace = Decimal(0), {"policy": POLICY, "reason": f"line {line.line_uid} is {line.billing_type}"}
    if billable:
        rate, trace = resolve_rate(version, line, person=entry.person, role=entry.role, service_date=entry.service_date)
    net = round_half_away(entry.hours * rate, version.currency)
    return BillableItem(
        item_id=item_id,
        source_key=entry.key,
        revision=entry.revision,
        contract_no=version.contract_no,
        contract_version=version.version,
        line_uid=line.line_uid,
        project_code=entry.project_code,
        task_code=entry.task_code,
        person=entry.person,
        role=entry.role,
        service_date=entry.service_date,
        entry_quantity=entry.hours,
        entry_net=net,
        quantity=entry.hours,
        unit_price=rate,
        net=net,
        currency=version.currency,
        billable=billable,
        price_trace=trace,
        approved_by=entry.approved_by,
        approved_at=entry.approved_at,
    )


def caps_for(version: ContractVersion, line_uid: str) -> list[Cap]:
    """Hard caps that bind everything of a line: its own and the contract's."""
    share = Share("", line_uid, "", Decimal(0), Decimal(0))
    return [cap for cap in version.caps if cap.kind is CapKind.HARD and binds(cap, share)]


def place_under_caps(
    shares: Iterable[Share], version: ContractVersion, placed_net: dict[str, Decimal]
) -> list[Placement]:
    """caps.place for contracts whose caps are of lines and of the contract.

    placed_net: per line_uid, net that already consumes room and cannot be moved (on drafts and invoices).
    """
    placed = [Share(line_uid, line_uid, "", Decimal(0), net) for line_uid, net in placed_net.items()]
    return place(shares, version, placed)


def as_correction(item: BillableItem, placed_quantity: Decimal, placed_net: Decimal) -> BillableItem:
    """A later revision that only has to place what earlier revisions do not already have on paper; may be negative."""
    to_bill = item.entry_quantity if item.billable else Decimal(0)
    left = {"quantity": to_bill - placed_quantity, "net": item.entry_net - placed_net}
    return item.model_copy(update=left)


def compose_lines(evidence: Sequence[Evidence], version: ContractVersion) -> tuple[InvoiceLine, ...]:
    """One line per contract line, role and price: the layout by_role of one contract."""
    return compose(evidence, [version], "by_role")


def write_off_order(parts: Sequence[tuple[str, Decimal]], amount: Decimal) -> list[tuple[str, Decimal]]:
    """Which parts (id, net), newest last, give up how much so that exactly the amount is written off.

    A part that gives money back to the client is never given up. BadAmount when the others hold less than the amount.
    """
    left, chosen = amount, []
    for part_id, net in reversed(parts):
        if left <= 0:
            break
        if net <= 0:
            continue
        chosen.append((part_id, min(net, left)))
        left -= chosen[-1][1]
    if left > 0:
        raise BadAmount(f"only {amount - left} of {amount} is there to write off")
    return chosen
