"""Evidence that no entry brings: fees, milestones, quotas, tiers and commitments, worked out of terms and facts.

Each is a charge under a key of its own. Worked out again, a charge that has changed places the difference; one that has
not changes nothing. So it does not matter when, or how often, a billing run asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

from isthmus.domain.objects import (
    BillableItem,
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
from isthmus.policies.billing import POLICY
from isthmus.policies.charges import Charge, items_of
from isthmus.policies.discounts import volume_off
from isthmus.policies.fixed import acceptance, milestone_amounts, milestone_lines, to_bill
from isthmus.policies.proration import last_day, month_of
from isthmus.policies.recurring import fees, true_ups, usage_line
from isthmus.policies.retainers import LateHours, RetainerMonth, statement
from isthmus.processes.work.charging import bring_to, chains_of
from isthmus.processes.work.drafting import latest_version
from isthmus.processes.work.evidence import place
from isthmus.runtime.books import Books
from isthmus.runtime.clock import local_day

ZERO, ONE = Decimal(0), Decimal(1)
COMMITTED = ("usage", "volume", "subscription", "milestone", "percent")
FROM = ">"  # in the key of a charge that runs over a change of payers: the day from which the new ones have it
DERIVED = ("milestone", "percent", "retainer_fee", "overage", "subscription", "usage", "volume", "commitment")


class Facts:
    """What a line's charges are worked out of: the books of one contract up to a day."""

    def __init__(self, books: Books, version: ContractVersion, through: date) -> None:
        self.books, self.version, self.through = books, version, through
        self.items = books.tx.find(BillableItem, contract_no=version.contract_no, order=("source_key", "revision"))
        known = books.tx.find(ContractVersion, contract_no=version.contract_no, order=("version",))
        self.versions = [one for one in known if one.version <= version.version]
        projects = books.tx.find(Project, contract_no=version.contract_no, limit=1)
        self.project = projects[0].project_code if projects else ""

    def day_of(self, instant: datetime) -> date:
        """The calendar day where the contract's legal entity is."""
        return local_day(instant, self.books.entity(self.version.entity).time_zone)

    def latest(self, line_uid: str, types: Iterable[str] = ("time", "expense")) -> list[BillableItem]:
        """The last word on each source of a line, of these types."""
        wanted = frozenset(types)
        last = {i.source_key: i for i in self.items if i.line_uid == line_uid and i.source_type in wanted}
        return list(last.values())

    def paid_on(self, line: ContractLine, day: date) -> ContractLine:
        """The line with the payers in force on a day: what was earned before new shares keeps its payers."""
        if len(self.versions) < 2:
            return line
        covering = [
            v for v in self.versions if v.effective_from <= day and (not v.effective_to or day < v.effective_to)
        ]
        of_line = [one for v in covering for one in v.lines if one.line_uid == line.line_uid]
        return line.model_copy(update={"payers": of_line[-1].payers}) if of_line else line

    def new_shares(self, line: ContractLine) -> list[date]:
        """The days from which the line is shared among others than the day before, oldest first."""
        days = sorted({version.effective_from for version in self.versions[1:]})
        before = timedelta(days=1)
        return [day for day in days if self.paid_on(line, day).payers != self.paid_on(line, day - before).payers]

    def charge(
        self, line: ContractLine, key: str, source_type: str, day: date, net: Decimal, description: str, **more: object
    ) -> Charge:
        """One amount as a charge: quantity one at that price, unless more says otherwise."""
        fixed = {"quantity": ONE, "unit_price": net}
        return Charge(
            key=f"{self.version.contract_no}/{line.line_uid}/{key}",
            entry_key=f"{self.version.contract_no}/{line.line_uid}/{key}",
            entry_revision=0,
            source_type=source_type,
            version=self.version,
            line=self.paid_on(line, day),
            service_date=day,
            extended=net,
            project_code=self.project,
            description=description,
            approved_by="contract",
            **{**fixed, **more},  # type: ignore[arg-type]
        )


def derive(books: Books, contract_no: str, through: date) -> int:
    """Bring the books to what the contract's terms add up to by a day; the number of new items."""
    version = latest_version(books, contract_no)
    books.tx.lock(f"contract:{contract_no}")
    facts = Facts(books, version, through)
    charges = [charge for line in version.lines for charge in charges_of(facts, line)]
    wanted = [item for charge in charges for item in items_of(charge)]
    keys = {item.source_key for item in wanted}
    # What was worked out for a later day by another run is not taken back by this one.
    known = [i for i in facts.items if i.source_type in DERIVED and (i.source_key in keys or i.service_date <= through)]
    new = bring_to(books, wanted, chains_of(known))
    books.tx.insert_many(new)
    if new:
        place(books, new)
    return len(new)


def charges_of(facts: Facts, line: ContractLine) -> list[Charge]:
    """All derived charges of a line, by every rule that applies to it; the commitment sees what the others come to."""
    found: list[Charge] = []
    for applies, of_line in RULES:
        if applies(line):
            found += of_line(facts, line)
    return found + _commitment(facts, line, found) if line.commitment is not None else found


# -- fixed fees ------------------------------------------------------------------------------------------------


def _milestones(facts: Facts, line: ContractLine) -> list[Charge]:
    """Accepted milestones, one charge for each of their parts, on the day they were accepted."""
    price = line.price if line.price is not None else sum((m.amount for m in line.milestones), ZERO)
    amounts = milestone_amounts(price, line.milestones, facts.version.currency)
    charges: list[Charge] = []
    for milestone in line.milestones:
        known = statuses_of(facts.books, facts.version, line, milestone)
        verdict = acceptance(milestone, known)
        day = max((facts.day_of(status.at) for status in known), default=facts.through)
        if verdict.billable and day <= facts.through:
            trace = {"policy": POLICY, "milestone": milestone.number, "reason": verdict.why, "clause": line.clause}
            for name, amount in milestone_lines(milestone, amounts[milestone.number], facts.version.currency):
                key = f"M{milestone.number}" if not milestone.parts else f"M{milestone.number}:{name}"
                charges.append(facts.charge(line, key, "milestone", day, amount, name, trace=trace))
    return charges


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
    total = billed + to_bill(line.price, last.percent, billed, currency=currency, context={"line": line.line_uid})
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
    through = month_of(facts.through)
    return statement(line.retainer, hours, through, late, frozenset(closed), currency=facts.version.currency)


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
    assert line.subscription is not None
    return [
        facts.charge(
            line,
            f"{fee.period.label}:subscription",
            "subscription",
            fee.period.start,
            fee.amount,
            f"{line.description}: {fee.period.label}",
            trace={"policy": POLICY, "days": f"{fee.period.days} of {fee.period.of_days}"},
        )
        for fee in fees(line.subscription, facts.through, facts.version.currency)
    ]


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

    Where others pay from a day on, the discount on the work before it is a charge of its own.
    """
    worked = [item for item in facts.latest(line.line_uid) if item.service_date <= facts.through]
    charges: list[Charge] = []
    done = ZERO
    for key, until in _spans(facts, line, "volume"):
        within = [item for item in worked if until is None or item.service_date < until]
        total = sum((item.entry_net for item in within), ZERO)
        off = volume_off(line.discounts, total, facts.version.currency)
        if off != done:
            day = max(item.service_date for item in within)
            trace = {"policy": POLICY, "total": str(total), "reason": "volume discount"}
            told = f"{line.description}: volume discount"
            charges.append(facts.charge(line, key, "volume", day, done - off, told, trace=trace))
        done = off
    return charges


def _commitment(facts: Facts, line: ContractLine, derived: Sequence[Charge]) -> list[Charge]:
    """What evidence does not reach of the least that was agreed, for each period that is over.

    Derived charges count as they are worked out now: what the books hold of them is of the run before.
    """
    assert line.commitment is not None
    used = [(item.service_date, item.entry_net) for item in facts.latest(line.line_uid)]
    used += [(charge.service_date, charge.net) for charge in derived if charge.source_type in COMMITTED]
    return [
        facts.charge(
            line,
            f"{up.period.label}:commitment",
            "commitment",
            up.period.end,
            up.amount,
            f"{line.description}: minimum of {up.period.label}",
            trace={"policy": POLICY, "committed": str(up.committed), "used": str(up.used)},
        )
        for up in true_ups(line.commitment, used, facts.through, facts.version.currency)
        if up.amount
    ]


Rule = tuple[Callable[[ContractLine], bool], Callable[[Facts, ContractLine], Sequence[Charge]]]
RULES: tuple[Rule, ...] = (
    (lambda line: line.billing_type is BillingType.FIXED_MILESTONE, _milestones),
    (lambda line: line.billing_type is BillingType.FIXED_PERCENT, _percent),
    (lambda line: line.retainer is not None, _retainer),
    (lambda line: line.subscription is not None and not line.subscription.engine, _subscription),
    (lambda line: line.billing_type in (BillingType.USAGE, BillingType.SUBSCRIPTION), _usage),
    (lambda line: any(d.kind.startswith("volume") for d in line.discounts), _volume),
)
