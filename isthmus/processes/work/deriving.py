"""Evidence that no entry brings: fees, milestones, quotas, tiers and commitments, worked out of terms and facts.

Each is a charge under a key of its own. Worked out again, a charge that has changed places the difference; one that has
not changes nothing. So it does not matter when, or how often, a billing run asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import TypeVar

from isthmus.domain.objects import (
    BillableItem,
    BillablePart,
    BillingType,
    ContractLine,
    ContractVersion,
    Milestone,
    MilestoneStatus,
    PercentReport,
    Project,
    UsageRecord,
)
from isthmus.domain.periods import FiscalPeriod
from isthmus.domain.states import PeriodState
from isthmus.domain.terms import Retainer
from isthmus.policies.billing import PLACED, POLICY
from isthmus.policies.charges import Charge, charge_key_of, items_of
from isthmus.policies.discounts import at_floor, volume_off
from isthmus.policies.fixed import acceptance, milestone_amounts, milestone_lines, respread, to_bill
from isthmus.policies.proration import last_day, month_of, periods
from isthmus.policies.recurring import Fee, TrueUp, fees, true_ups, usage_line
from isthmus.policies.retainers import LateHours, RetainerMonth, statement
from isthmus.policies.tax_decision import OUTSIDE
from isthmus.processes.work.charging import bring_to, chains_of
from isthmus.processes.work.closing import flag_prior_period
from isthmus.processes.work.drafting import latest_version
from isthmus.processes.work.evidence import place
from isthmus.processes.work.facts import Facts
from isthmus.runtime.books import Books

ZERO = Decimal(0)
Recurs = TypeVar("Recurs", Fee, TrueUp)
Applies = Callable[[ContractLine], bool]
COMMITTED = ("usage", "volume", "subscription", "milestone", "percent", "retainer_fee", "overage")
FROM = ">"  # in the key of a charge that runs over a change of payers: the day from which the new ones have it
DERIVED = ("milestone", "percent", "retainer_fee", "overage", "subscription", "usage", "volume", "commitment")


def derive(books: Books, contract_no: str, through: date) -> int:
    """Bring the books to what the contract's terms add up to by a day; the number of new items."""
    version = latest_version(books, contract_no)
    books.tx.lock(f"contract:{contract_no}")
    facts = Facts(books, version, through)
    charges = [charge for line in facts.lines() for charge in charges_of(facts, line)]
    wanted = [item for charge in charges for item in items_of(charge)]
    keys = {item.source_key for item in wanted}
    # What was worked out for a later day by another run is not taken back by this one.
    known = [i for i in facts.items if i.source_type in DERIVED and (i.source_key in keys or i.service_date <= through)]
    new = flag_prior_period(books, bring_to(books, wanted, chains_of(known)), "revenue")
    books.tx.insert_many(new)
    if new:
        place(books, new)
    return len(new)


def charges_of(facts: Facts, line: ContractLine) -> list[Charge]:
    """All derived charges of a line, by every rule that applies to it; the commitment sees what the others come to.

    Terms that were in force on the day of a charge decide about it: an amendment changes nothing before its first day.
    """
    found: list[Charge] = []
    for applies, of_line in RULES:
        found += _by_rule(facts, line, applies, of_line)
    return found + _by_rule(facts, line, _is_committed, lambda facts, one: _commitment(facts, one, found))


def _by_rule(
    facts: Facts, line: ContractLine, applies: Applies, of_line: Callable[[Facts, ContractLine], Sequence[Charge]]
) -> list[Charge]:
    if len(facts.versions) < 2:
        return list(of_line(facts, line)) if applies(line) else []
    having = [one for _, one in facts.terms_of(line.line_uid) if applies(one)]
    charges = of_line(facts, having[-1]) if having else ()
    then = [(charge, facts.line_on(line.line_uid, charge.service_date)) for charge in charges]
    return [charge for charge, held in then if held is not None and applies(held)]


def _is_committed(line: ContractLine) -> bool:
    return line.commitment is not None


# -- fixed fees ------------------------------------------------------------------------------------------------


def _milestones(facts: Facts, line: ContractLine) -> list[Charge]:
    """Accepted milestones, one charge for each of their parts, on the day they were accepted."""
    milestones = _spread(facts, line)
    price = line.price if line.price is not None else sum((m.amount for m in line.milestones), ZERO)
    amounts = milestone_amounts(price, milestones, facts.version.currency)
    charges: list[Charge] = []
    for milestone in milestones:
        known = statuses_of(facts.books, facts.version, line, milestone)
        verdict = acceptance(milestone, known)
        day = max((facts.day_of(status.at) for status in known), default=facts.through)
        if verdict.billable and day <= facts.through:
            trace = {"policy": POLICY, "milestone": milestone.number, "reason": verdict.why, "clause": line.clause}
            for name, amount in milestone_lines(milestone, amounts[milestone.number], facts.version.currency):
                key = f"M{milestone.number}" if not milestone.parts else f"M{milestone.number}:{name}"
                charges.append(facts.charge(line, key, "milestone", day, amount, name, trace=trace))
    return charges


def _spread(facts: Facts, line: ContractLine) -> tuple[Milestone, ...]:
    """The milestones of a line. After a change of its price those that are billed keep what they were billed at, and
    the others are spread again; where each has an amount of its own, that is what was agreed.
    """
    before = [one.price for _, one in facts.terms_of(line.line_uid) if one.price not in (None, line.price)]
    if not before or line.price is None or all(milestone.amount for milestone in line.milestones):
        return line.milestones
    return respread(
        line.milestones,
        before=before[-1] or ZERO,
        price=line.price,
        billed=_billed_milestones(facts, line),
        currency=facts.version.currency,
        policy=line.respread,
        due=facts.through,
    )


def _billed_milestones(facts: Facts, line: ContractLine) -> dict[int, Decimal]:
    """What milestones are worth of which something is on paper, by number."""
    known = facts.latest(line.line_uid, ("milestone",))
    ids = tuple(item.item_id for item in facts.items if item.source_type == "milestone")
    paper = {p.item_id.rsplit("#", 1)[0] for p in facts.books.tx.find(BillablePart, item_id=ids) if p.state in PLACED}
    found: dict[int, Decimal] = {}
    for number in (milestone.number for milestone in line.milestones):
        name = f"{facts.version.contract_no}/{line.line_uid}/M{number}"
        mine = [i for i in known if charge_key_of(i).split(":")[0] == name]
        if any(item.source_key in paper for item in mine):
            found[number] = sum((item.entry_net for item in mine), ZERO)
    return found


def statuses_of(
    books: Books, version: ContractVersion, line: ContractLine, milestone: Milestone
) -> list[MilestoneStatus]:
    """What was reported of a milestone: by contract number, or by the code of its project."""
    projects = books.tx.find(Project, contract_no=version.contract_no)
    named = books.tx.find(MilestoneStatus, contract_no=version.contract_no, number=milestone.number)
    codes = tuple(project.project_code for project in projects)
    coded = books.tx.find(MilestoneStatus, project_code=codes, number=milestone.number) if codes else []
    either = {(s.source, s.source_id, s.at): s for s in (*named, *coded)}
    return [s for s in either.values() if s.line_uid in ("", line.line_uid)]


def _percent(facts: Facts, line: ContractLine) -> list[Charge]:
    """The last approved progress up to the day. EX-PCT-REGRESS when less is complete than is billed.

    Where others pay from a day on, progress up to it is a charge of its own.
    """
    reports = facts.books.tx.find(
        PercentReport, contract_no=facts.version.contract_no, line_uid=line.line_uid, order=("as_of", "at")
    )
    reports = [report for report in reports if report.as_of <= facts.through]
    if not reports or line.price is None:
        return []
    last, currency = reports[-1], facts.version.currency
    known = facts.latest(line.line_uid, ("percent",))
    billed = sum((item.entry_net for item in known), ZERO)
    later = any(item.service_date > facts.through for item in known)  # a run for an earlier day takes nothing back
    total = billed if later else _reached(facts, line, line.price, last.percent, billed)
    charges: list[Charge] = []
    done = ZERO
    for key, until in _spans(facts, line, "percent"):
        within = [report for report in reports if until is None or report.as_of < until]
        if not within:
            continue
        end = within[-1]
        reached = total if end == last else min(total, to_bill(line.price, end.percent, ZERO, currency=currency))
        if reached != done or not charges:
            trace = {"policy": POLICY, "percent": str(end.percent), "as_of": str(end.as_of), "by": end.by}
            told = f"{line.description}: {end.percent.normalize():f} % complete"
            more = {"trace": trace, "approved_at": end.at}
            charges.append(facts.charge(line, key, "percent", end.as_of, reached - done, told, **more))
        done = reached
    return charges


def _reached(facts: Facts, line: ContractLine, price: Decimal, percent: Decimal, billed: Decimal) -> Decimal:
    """What a line has come to. Where progress went backwards and a person credits it by hand, it rests where it is."""
    currency = facts.version.currency
    by_hand = facts.books.answers.get("EX-PCT-REGRESS", {}).get("action") == "credit"
    if by_hand and to_bill(price, percent, ZERO, currency=currency) < billed:
        return billed
    return billed + to_bill(price, percent, billed, currency=currency, context={"line": line.line_uid})


def _spans(facts: Facts, line: ContractLine, key: str) -> list[tuple[str, date | None]]:
    """Keys of one cumulative charge with the day before which each ends: one for each set of payers."""
    days = facts.new_shares(line)
    keys = [key, *(f"{key}{FROM}{day}" for day in days)]
    return list(zip(keys, [*days, None], strict=True))


# -- recurring fees --------------------------------------------------------------------------------------------


def retainer_months(facts: Facts, line: ContractLine) -> list[RetainerMonth]:
    """The statement of a retainer up to the day: what was used, rolled over, lost and owed, month by month."""
    assert line.retainer is not None
    closed = _closed_months(facts)
    hours: dict[str, Decimal] = {}
    late: list[LateHours] = []
    for item in facts.latest(line.line_uid, ("time",)):
        month = month_of(item.service_date)
        ended = closed.get(month)
        if ended and item.approved_at and item.approved_at > ended.changed_at:
            late.append(LateHours(month, month_of(facts.day_of(item.approved_at)), item.entry_quantity))
        else:
            hours[month] = hours.get(month, ZERO) + item.entry_quantity
    through, earlier = month_of(facts.through), _earlier_terms(facts, line)
    currency = facts.version.currency
    terms = facts.ran(line.line_uid, "retainer")[-1][2] if facts.version.effective_to else line.retainer
    return statement(terms, hours, through, late, frozenset(closed), currency=currency, earlier=earlier)


def _earlier_terms(facts: Facts, line: ContractLine) -> dict[str, Retainer]:
    """The months whose first day was under other terms than the newest, with those."""
    known = [one.retainer for _, one in facts.terms_of(line.line_uid) if one.retainer is not None]
    if len(known) < 2:
        return {}
    first = min(one.start for one in known)
    months = [period.label for period in periods(first, None, 1, facts.through)]
    found = {}
    for month in months:
        day = max(date.fromisoformat(f"{month}-01"), first)
        then = facts.line_on(line.line_uid, day)
        if then is not None and then.retainer is not None and then.retainer != line.retainer:
            found[month] = then.retainer
    return found


def _closed_months(facts: Facts) -> dict[str, FiscalPeriod]:
    rows = facts.books.tx.find(FiscalPeriod, entity=facts.version.entity, domain="time")
    return {row.period: row for row in rows if row.state in (PeriodState.CLOSED, PeriodState.SOFT_CLOSED)}


def _retainer(facts: Facts, line: ContractLine) -> list[Charge]:
    """The fee of each month that has begun; overage and credit of each that is over."""
    assert line.retainer is not None
    charges: list[Charge] = []
    for month in retainer_months(facts, line):
        begins, ends = date.fromisoformat(f"{month.period}-01"), last_day(month.period)
        trace = {"policy": POLICY, "month": month.period, "used": str(month.used), "quota": str(month.quota)}
        if month.fee:
            told = f"{line.description}: {month.period}"
            charges.append(
                facts.charge(line, f"{month.period}:fee", "retainer_fee", begins, month.fee, told, trace=trace)
            )
        if ends <= facts.through and month.overage:
            rate = line.retainer.overage_rate
            told = f"{line.description}: {month.period} beyond quota"
            more = {"quantity": month.overage, "unit_price": rate, "trace": trace}
            key = f"{month.period}:overage"
            charges.append(facts.charge(line, key, "overage", ends, month.overage_net, told, **more))
        if ends <= facts.through and month.credited_net:
            told = f"{line.description}: {month.period} not used"
            key = f"{month.period}:credit"
            charges.append(facts.charge(line, key, "overage", ends, -month.credited_net, told, trace=trace))
    return charges


def _subscription(facts: Facts, line: ContractLine) -> list[Charge]:
    """Each period by the terms in force when it begins; where they begin anew within it, each for its own days."""
    return [
        facts.charge(
            then,
            f"{name}:subscription",
            "subscription",
            fee.period.start,
            fee.amount,
            f"{then.description}: {fee.period.label}",
            trace={
                "policy": POLICY,
                "days": f"{fee.period.days} of {fee.period.of_days}",
                "until": str(fee.period.end),
            },
        )
        for name, then, fee in _named(
            (then, fee)
            for version, then, terms in facts.ran(line.line_uid, "subscription")
            for fee in fees(terms, facts.through, facts.version.currency)
            if facts.version_on(fee.period.start) == version
        )
    ]


def _named(found: Iterable[tuple[ContractLine, Recurs]]) -> Iterator[tuple[str, ContractLine, Recurs]]:
    """What recurs, each with a name of its own: its period, or the day on which it begins anew within it."""
    taken = set[str]()
    for line, recurring in found:
        label = recurring.period.label
        yield (label if label not in taken else str(recurring.period.start)), line, recurring
        taken.add(label)


def _usage(facts: Facts, line: ContractLine) -> list[Charge]:
    """Metered or engine-billed quantities, each with the hash of its evidence."""
    records = facts.books.tx.find(
        UsageRecord, contract_no=facts.version.contract_no, line_uid=line.line_uid, order=("source", "source_id")
    )
    charges = []
    for record in records:
        if record.period_end <= facts.through:
            priced = usage_line(record, facts.version.currency)
            told = f"{line.description}: {record.period_start} to {record.period_end}"
            more = {"quantity": priced.quantity, "unit_price": priced.unit_price, "trace": priced.trace}
            key = f"{record.source}:{record.source_id}"
            charges.append(facts.charge(line, key, "usage", record.period_end, priced.net, told, **more))
    return charges


# -- what depends on the total ---------------------------------------------------------------------------------


def _volume(facts: Facts, line: ContractLine) -> list[Charge]:
    """The tiers' discount on all that the line has come to: one charge that grows with it, so order never matters.

    Where others pay from a day on, the discount on the work before it is a charge of its own. What was paid in the
    client's name is passed on as it was.
    """
    own = [item for item in facts.latest(line.line_uid) if item.tax_category != OUTSIDE or item.source_type == "time"]
    worked = [item for item in own if item.service_date <= facts.through]
    charges: list[Charge] = []
    done = ZERO
    for key, until in _spans(facts, line, "volume"):
        within = [item for item in worked if until is None or item.service_date < until]
        total = sum((item.entry_net for item in within), ZERO)
        off = volume_off(line.discounts, total, facts.version.currency, _at_floor(within, facts.version.currency))
        if off != done:
            day = max(item.service_date for item in within)
            trace = {"policy": POLICY, "total": str(total), "reason": "volume discount"}
            told = f"{line.description}: volume discount"
            charges.append(facts.charge(line, key, "volume", day, done - off, told, trace=trace))
        done = off
    return charges


def _at_floor(items: Iterable[BillableItem], currency: str) -> Decimal:
    """What evidence is worth at the floors of its rates; what has none may come to nothing."""
    floors = [(item, Decimal(str(item.price_trace["floor"]))) for item in items if "floor" in item.price_trace]
    return sum((at_floor(i.entry_net, i.entry_quantity, floor, currency) for i, floor in floors), ZERO)


def _commitment(facts: Facts, line: ContractLine, derived: Sequence[Charge]) -> list[Charge]:
    """What evidence does not reach of the least that was agreed, for each period that is over.

    Derived charges count as they are worked out now: what the books hold of them is of the run before.
    """
    used = [(item.service_date, item.entry_net) for item in facts.latest(line.line_uid)]
    used += [(charge.service_date, charge.net) for charge in derived if charge.source_type in COMMITTED]
    return [
        facts.charge(
            then,
            f"{name}:commitment",
            "commitment",
            up.period.end,
            up.amount,
            f"{then.description}: minimum of {up.period.label}",
            trace={"policy": POLICY, "committed": str(up.committed), "used": str(up.used)},
        )
        for name, then, up in _named(
            (then, up)
            for version, then, terms in facts.ran(line.line_uid, "commitment")
            for up in true_ups(terms, used, facts.through, facts.version.currency)
            if facts.version_on(up.period.start) == version
        )
        if up.amount
    ]


Rule = tuple[Applies, Callable[[Facts, ContractLine], Sequence[Charge]]]
RULES: tuple[Rule, ...] = (
    (lambda line: line.billing_type is BillingType.FIXED_MILESTONE, _milestones),
    (lambda line: line.billing_type is BillingType.FIXED_PERCENT, _percent),
    (lambda line: line.retainer is not None, _retainer),
    (lambda line: line.subscription is not None and not line.subscription.engine, _subscription),
    (lambda line: line.billing_type in (BillingType.USAGE, BillingType.SUBSCRIPTION), _usage),
    (lambda line: any(d.kind.startswith("volume") for d in line.discounts), _volume),
)
