"""Fixed fees: what a milestone is worth, when it may be billed, and what a percentage of completion adds.

A milestone has an amount, or a percentage of the line's *current* price; an amount that is given wins. The last one by
percentage takes what the others leave, so that all add up to the price (INV-23). When the price changes, what is billed
keeps its amount and the rest is spread again: by percentage of the new price (the catch-up of what is billed lands on
the last one), or as it was, with one new milestone for the difference. Less than is billed already is a case, never a
credit by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Literal

from isthmus.domain.errors import BadInput, NeedsDecision
from isthmus.domain.money import allocate, is_exact_amount, round_half_away
from isthmus.domain.names import same_person
from isthmus.domain.terms import Milestone
from isthmus.domain.work import MilestoneStatus

POLICY = "fixed/1"
ZERO, WHOLE = Decimal(0), Decimal(100)


# -- amounts ---------------------------------------------------------------------------------------------------


def milestone_amounts(price: Decimal, milestones: Sequence[Milestone], currency: str) -> dict[int, Decimal]:
    """The amount of each milestone by its number; together they are the price.

    BadInput when amounts and percentages do not add up to the price exactly, or a number is there twice.
    """
    if len({m.number for m in milestones}) != len(milestones):
        raise BadInput(f"milestone numbers are there twice: {', '.join(str(m.number) for m in milestones)}")
    exact = sum((_exact_amount(m, price) for m in milestones), ZERO)
    if exact != price:
        raise BadInput(f"the milestones add up to {exact:f}, the price is {price:f} {currency}")
    given = {m.number: m.amount or None for m in milestones}
    amounts = _with_remainder(given, milestones, price, currency)
    if min(amounts.values(), default=ZERO) < 0:
        raise BadInput(f"a price of {price:f} {currency} is too small for {len(milestones)} milestones")
    return amounts


def _exact_amount(milestone: Milestone, price: Decimal) -> Decimal:
    return milestone.amount or price * (milestone.percent or ZERO) / WHOLE


def _with_remainder(
    known: Mapping[int, Decimal | None], milestones: Sequence[Milestone], price: Decimal, currency: str
) -> dict[int, Decimal]:
    """Known amounts as they are, the others by their percentage, the last of these by what is left of the price."""
    open_ones = [m for m in milestones if known[m.number] is None]
    amounts = {number: amount for number, amount in known.items() if amount is not None}
    for milestone in open_ones[:-1]:
        amounts[milestone.number] = round_half_away(price * (milestone.percent or ZERO) / WHOLE, currency)
    for milestone in open_ones[-1:]:
        amounts[milestone.number] = price - sum(amounts.values(), ZERO)
    return {m.number: amounts[m.number] for m in milestones}


def respread(
    milestones: Sequence[Milestone],
    *,
    before: Decimal,
    price: Decimal,
    billed: Mapping[int, Decimal],
    currency: str,
    policy: Literal["keep_percent", "keep_amounts"],
    due: date,
) -> tuple[Milestone, ...]:
    """The milestones after a change of price, each with its amount; they add up to the new price.

    before: the price the milestones stand for now. billed: amounts of milestones that are on an invoice, as they were
    billed. due: for a milestone that the change adds. NeedsDecision EX-SCHED when one would become negative.
    """
    old = milestone_amounts(before, milestones, currency)
    if policy == "keep_percent" and any(m.number not in billed for m in milestones):
        by_percent = [m.model_copy(update={"percent": _percent(m, old, before)}) for m in milestones]
        amounts = _with_remainder({m.number: billed.get(m.number) for m in by_percent}, by_percent, price, currency)
        # A percentage beside an amount of nothing would count again: no amount means that the percentage is the amount.
        spread = [
            m.model_copy(update={"amount": amounts[m.number], "percent": m.percent if amounts[m.number] else None})
            for m in by_percent
        ]
    else:
        spread = [m.model_copy(update={"amount": billed.get(m.number, old[m.number])}) for m in milestones]
        difference = price - sum((m.amount for m in spread), ZERO)
        if difference:
            number = max((m.number for m in spread), default=0) + 1
            spread.append(Milestone(number=number, name="Change of price", amount=difference, due=due))
    for milestone in spread:
        if milestone.amount < 0:
            raise _below_billed(milestone, price, billed, currency)
    return tuple(_reparted(m, currency) for m in spread)


def _percent(milestone: Milestone, old: Mapping[int, Decimal], before: Decimal) -> Decimal:
    """What it is of the price before: the percentage that was agreed, else what its amount comes to."""
    if milestone.percent is not None:
        return milestone.percent
    return old[milestone.number] * WHOLE / before


def _below_billed(milestone: Milestone, price: Decimal, billed: Mapping[int, Decimal], currency: str) -> NeedsDecision:
    total = sum(billed.values(), ZERO)
    return NeedsDecision(
        "EX-SCHED",
        f"a price of {price:f} {currency} leaves {milestone.amount:f} for milestone {milestone.number}"
        f" ({milestone.name}); {total:f} is billed: agree on a credit or on other amounts",
        queue="billing",
        money=(-milestone.amount, currency),
        context={"milestone": milestone.number, "price": str(price), "billed": str(total)},
        actions=("edit", "retry", "cancel"),
    )


def _reparted(milestone: Milestone, currency: str) -> Milestone:
    return milestone.model_copy(update={"parts": tuple(milestone_lines(milestone, milestone.amount, currency, True))})


def milestone_lines(
    milestone: Milestone, amount: Decimal, currency: str, changed: bool = False
) -> list[tuple[str, Decimal]]:
    """Names and amounts of the invoice lines of a milestone. BadInput when its parts are not its amount.

    changed: the amount is new; the parts follow it in proportion, by largest remainder. A milestone without parts is
    one line, unless changed: then there are none to follow.
    """
    parts = [(name, part) for name, part in milestone.parts]
    total = sum((part for _, part in parts), ZERO)
    if not parts:
        return [] if changed else [(milestone.name, amount)]
    if total == amount:
        return parts
    if not changed:
        raise BadInput(f"the parts of milestone {milestone.number} add up to {total}, its amount is {amount}")
    shares = allocate(amount, [part for _, part in parts], currency)
    return [(name, share) for (name, _), share in zip(parts, shares, strict=True)]


def left_to_bill(amount: Decimal, billed: Decimal, credited: Decimal = ZERO) -> Decimal:
    """What of a milestone is still to be billed: nothing once it is on paper, all of it after a full credit.

    billed, credited: net amounts so far; credited counts only credits that may be billed again.
    """
    return max(amount - (billed - credited), ZERO)


# -- when a milestone may be billed ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Acceptance:
    """Whether a milestone may be billed, and in words why or why not."""

    billable: bool
    why: str


def acceptance(milestone: Milestone, statuses: Iterable[MilestoneStatus]) -> Acceptance:
    """The latest word decides. Completed is not accepted; nobody accepts what they completed themselves, nor hands the
    acceptance in for somebody else; the client's acceptance is one with its evidence.
    """
    known = sorted((s for s in statuses if s.number == milestone.number), key=lambda s: s.at)
    if not known:
        return Acceptance(False, "nothing is reported")
    latest, who = known[-1], milestone.accepted_by.replace("_", " ")
    told = f"{latest.state.replace('_', ' ')} by {latest.by} on {latest.at:%Y-%m-%d}"
    if latest.state != "accepted":
        return Acceptance(False, f"{told}, not accepted by the {who}")
    completed = [s.by for s in known if s.state == "completed"]
    if completed and same_person(completed[-1], latest.by):
        return Acceptance(False, f"{told}, who completed it: somebody else must accept")
    if completed and same_person(completed[-1], latest.reported_by):
        why = f"{told}, as {latest.reported_by} says, who completed it: somebody else must say so"
        return Acceptance(False, why)
    if milestone.accepted_by == "client" and not latest.evidence:
        return Acceptance(False, f"{told} without evidence of the client's acceptance")
    return Acceptance(True, told)


@dataclass(frozen=True)
class OpenWork:
    """A time entry that is not approved yet."""

    entry_key: str
    task_code: str
    person: str
    service_date: date
    hours: Decimal

    def __str__(self) -> str:
        return f"{self.entry_key} ({self.person}, {self.service_date}, {self.hours:f} h on {self.task_code})"


def check_prerequisites(
    milestone: Milestone, unapproved: Sequence[OpenWork], amount: Decimal, currency: str
) -> Milestone:
    """The milestone, if all time of its tasks is approved. NeedsDecision EX-MILESTONE-PREREQ lists what is not."""
    missing = [work for work in unapproved if work.task_code in milestone.tasks]
    if missing:
        listed = "; ".join(str(work) for work in sorted(missing, key=lambda w: (w.service_date, w.entry_key)))
        raise NeedsDecision(
            "EX-MILESTONE-PREREQ",
            f"milestone {milestone.number} ({milestone.name}) waits for {len(missing)} unapproved entries: {listed}",
            queue="pmo",
            money=(amount, currency),
            context={"milestone": milestone.number, "entries": sorted(work.entry_key for work in missing)},
            actions=("retry", "waive", "cancel"),
        )
    return milestone


# -- percentage of completion ----------------------------------------------------------------------------------


def to_bill(
    price: Decimal, percent: Decimal, billed: Decimal, *, currency: str, context: Mapping[str, Any] | None = None
) -> Decimal:
    """round(percent of price) less what is billed to date. percent: 0 to 100 complete.

    NeedsDecision EX-PCT-REGRESS when more is billed than is complete: nothing is credited by itself.
    """
    if not ZERO <= percent <= WHOLE:
        raise BadInput(f"{percent:f} % complete: it is a number from 0 to 100")
    earned = round_half_away(price * percent / WHOLE, currency)
    if earned < billed:
        raise NeedsDecision(
            "EX-PCT-REGRESS",
            f"{percent:f} % of {price:f} {currency} is {earned:f}, but {billed:f} is billed: nothing is billed now",
            queue="pmo",
            money=(billed - earned, currency),
            context={"percent": str(percent), "earned": str(earned), "billed": str(billed), **(context or {})},
            actions=("correct", "credit", "retry", "cancel"),
        )
    return earned - billed


@dataclass(frozen=True)
class Category:
    """A part of a fixed price with its own budget: price of the part, cost to date and budgeted cost."""

    price: Decimal
    cost: Decimal
    budget: Decimal


def earned_by_category(categories: Iterable[Category], currency: str) -> Decimal:
    """What a price is earned when each category is as far as its cost is of its budget, at most all of it."""
    earned = ZERO
    for category in categories:
        if category.budget <= 0 or not is_exact_amount(category.price, currency):
            raise BadInput(f"a category of {category.price} {currency} with a budget of {category.budget}")
        done = min(category.cost, category.budget)
        earned += round_half_away(category.price * done / category.budget, currency)
    return earned
