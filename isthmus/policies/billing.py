"""Where evidence stands: the line an hour is of, what a correction has left to place, what a write-off takes.

And in which states an item is placed for good or uses up room. What an hour is worth is worked out in ``charges``, the
limits in ``caps``, the lines of an invoice in ``layouts``.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from isthmus.domain.errors import BadAmount, NeedsDecision
from isthmus.domain.money import allocate
from isthmus.domain.objects import BillableItem, BillingType, ContractLine, ContractVersion
from isthmus.domain.states import PartState

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


def as_correction(item: BillableItem, placed_quantity: Decimal, placed_net: Decimal) -> BillableItem:
    """A later revision that only has to place what earlier revisions do not already have on paper; may be negative."""
    to_bill = item.entry_quantity if item.billable else Decimal(0)
    left = {"quantity": to_bill - placed_quantity, "net": item.entry_net - placed_net}
    return item.model_copy(update=left)


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


def write_down_shares(
    parts: Sequence[tuple[str, Decimal]], amount: Decimal, currency: str
) -> list[tuple[str, Decimal]]:
    """How much each part (id, net) gives up so that exactly the amount is taken off all of them, by its share.

    The last units go to the largest remainders. A part that gives money back gives up nothing. BadAmount when the
    others hold less than the amount.
    """
    giving = [(part_id, net) for part_id, net in parts if net > 0]
    whole = sum((net for _, net in giving), Decimal(0))
    if not 0 < amount <= whole:
        raise BadAmount(f"{amount} cannot be taken off {whole}")
    shares = allocate(amount, [net for _, net in giving], currency)
    return [(part_id, share) for (part_id, _), share in zip(giving, shares, strict=True) if share]
