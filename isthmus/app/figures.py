"""The one read model: what stands where, in numbers, the same wherever it is shown.

A figure equals the ledger at the instant it is read: sums of parts are kept by the database in the transactions that
change them, everything else is counted when asked for. Amounts of different currencies are never added up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel

from isthmus.app.scope import within
from isthmus.domain.money import Exact
from isthmus.domain.objects import Engagement, Invoice
from isthmus.domain.states import CaseState, InvoiceLife, PartState, Posting, Settlement
from isthmus.policies.authority import Actor
from isthmus.runtime.effects import FINISHED
from isthmus.store.postgres import PostgresTx
from isthmus.store.records import (
    Case,
    DeliveryState,
    Effect,
    EventDelivery,
    InboxMessage,
    MessageState,
    RunRow,
    RunState,
)
from isthmus.store.tables import PART_SUM, TABLES

SUMMED = {"quantity": "hours", "net": "net", "parts": "parts"}
UNBILLED = (PartState.READY, PartState.ON_DRAFT, PartState.HELD, PartState.DEFERRED, PartState.OVER_CAP)
MONTHS = ("this month", "last month", "two months ago", "older")
AGES: tuple[tuple[str, timedelta], ...] = (
    ("under 8 h", timedelta(hours=8)),
    ("8 to 24 h", timedelta(hours=24)),
    ("1 to 3 days", timedelta(days=3)),
    ("3 to 7 days", timedelta(days=7)),
    ("over 7 days", timedelta.max),
)
ISSUED = (InvoiceLife.ISSUED, InvoiceLife.CREDITED)  # they have a number and are in the books
UNDELIVERED = (DeliveryState.PENDING, DeliveryState.DEAD)
LIVE_RUNS = (RunState.QUEUED, RunState.RUNNING, RunState.WAITING, RunState.PARKED, RunState.FAILED)
Sums = dict[str, Decimal]  # by currency


class Evidence(BaseModel):
    """Hours and amount in one state and currency."""

    state: PartState
    currency: str
    hours: Exact
    net: Exact
    parts: int


# -- evidence -------------------------------------------------------------------------------------------------------


def mine(query: Any, column: Any, actor: Actor) -> Any:
    """The query without contracts of legal entities the actor does not serve."""
    if actor.entities is None:
        return query
    engagement = TABLES[Engagement]
    foreign = sa.select(engagement.c.contract_no).where(engagement.c.entity.not_in(["", *sorted(actor.entities)]))
    return query.where(column.not_in(foreign))


def evidence(tx: PostgresTx, actor: Actor, contract_no: str = "") -> list[Evidence]:
    """Evidence by state and currency, of one contract or all; superseded parts are history and count nowhere."""
    labels = (PART_SUM.c.state, PART_SUM.c.currency)
    sums = [sa.func.sum(PART_SUM.c[name]).label(told) for name, told in SUMMED.items()]
    query = sa.select(*labels, *sums).where(PART_SUM.c.state != PartState.SUPERSEDED)
    query = query.where(PART_SUM.c.contract_no == contract_no) if contract_no else query
    query = mine(query, PART_SUM.c.contract_no, actor).group_by(*labels).order_by(*labels)
    rows = [dict(row) for row in tx.raw.execute(query).mappings()]
    return [Evidence.model_validate(row) for row in rows if row["parts"] or row["net"] != Decimal(0)]


@dataclass(frozen=True)
class Aged:
    """Unbilled evidence of one age and currency, by state."""

    age: str
    currency: str
    by_state: dict[str, Decimal]

    @property
    def net(self) -> Decimal:
        """All of it."""
        return sum(self.by_state.values(), Decimal(0))


def unbilled_by_age(tx: PostgresTx, actor: Actor, today: date) -> list[Aged]:
    """Approved and not billed, by the month of the work: the oldest last."""
    labels = (PART_SUM.c.month, PART_SUM.c.currency, PART_SUM.c.state)
    query = sa.select(*labels, sa.func.sum(PART_SUM.c.net)).where(PART_SUM.c.state.in_(UNBILLED))
    query = mine(query, PART_SUM.c.contract_no, actor).group_by(*labels)
    found: dict[tuple[str, str], dict[str, Decimal]] = {}
    for month, currency, state, net in tx.raw.execute(query):
        if net:
            states = found.setdefault((MONTHS[min(_months_ago(month, today), 3)], currency), {})
            states[state] = states.get(state, Decimal(0)) + net
    order = {age: place for place, age in enumerate(MONTHS)}
    return [Aged(*key, states) for key, states in sorted(found.items(), key=lambda one: (one[0][1], order[one[0][0]]))]


def _months_ago(month: str, today: date) -> int:
    """Work dated ahead counts as this month's."""
    year, number = (int(part) for part in month.split("-"))
    return max(0, (today.year - year) * 12 + today.month - number)


# -- cases ----------------------------------------------------------------------------------------------------------


@dataclass
class Load:
    """Open cases of one owner."""

    queue: str
    by_age: dict[str, int] = field(default_factory=lambda: {age: 0 for age, _ in AGES})
    cases: int = 0
    overdue: int = 0
    waiting: int = 0
    pending: int = 0
    at_stake: Sums = field(default_factory=dict)
    oldest: datetime | None = None


def case_load(tx: PostgresTx, actor: Actor, now: datetime, *, about: str = "") -> list[Load]:
    """Open cases by owner and age, the fullest queue first. about: only of records of this kind, such as invoice."""
    case = TABLES[Case]
    bounds = [(case.c.opened_at > now - length, age) for age, length in AGES if length < timedelta.max]
    age = sa.case(*bounds, else_=AGES[-1][0]).label("age")
    query = sa.select(
        case.c.queue,
        age,
        sa.func.coalesce(case.c.currency, "").label("currency"),
        sa.func.count().label("cases"),
        sa.func.count().filter(case.c.due_at < now, case.c.waiting_for == "").label("overdue"),
        sa.func.count().filter(case.c.waiting_for != "").label("waiting"),
        sa.func.count().filter(case.c.pending != "").label("pending"),
        sa.func.sum(case.c.amount).label("amount"),
        sa.func.min(case.c.opened_at).label("oldest"),
    ).where(case.c.state == CaseState.OPEN, *within(actor, Case))
    query = query.where(case.c.record.startswith(f"{about}:", autoescape=True)) if about else query
    loads: dict[str, Load] = {}
    for row in tx.raw.execute(query.group_by(case.c.queue, age, "currency")):
        load = loads.setdefault(row.queue, Load(row.queue))
        load.by_age[row.age] += row.cases
        load.cases += row.cases
        load.overdue += row.overdue
        load.waiting += row.waiting
        load.pending += row.pending
        load.oldest = min(load.oldest or row.oldest, row.oldest)
        if row.amount:
            load.at_stake[row.currency] = load.at_stake.get(row.currency, Decimal(0)) + row.amount
    return sorted(loads.values(), key=lambda load: (-load.cases, load.queue))


def at_risk(loads: Iterable[Load]) -> Sums:
    """Money at stake in all of these, by currency."""
    total: Sums = {}
    for load in loads:
        for currency, amount in load.at_stake.items():
            total[currency] = total.get(currency, Decimal(0)) + amount
    return dict(sorted(total.items(), key=lambda one: -one[1]))


def hours_to_decide(tx: PostgresTx, actor: Actor, now: datetime, *, about: str = "", days: int = 30) -> Decimal | None:
    """Median hours from opening to decision of cases decided in the last days; None when there were none."""
    case = TABLES[Case]
    seconds = sa.extract("epoch", case.c.resolved_at - case.c.opened_at)
    median = sa.func.percentile_cont(0.5).within_group(seconds)
    query = sa.select(median).where(case.c.resolved_at > now - timedelta(days=days), *within(actor, Case))
    query = query.where(case.c.record.startswith(f"{about}:", autoescape=True)) if about else query
    found = tx.raw.execute(query).scalar_one()
    return None if found is None else (Decimal(str(found)) / 3600).quantize(Decimal("0.1"))


# -- where work is stalled --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stall:
    """Work that stands still: what it is, how often, how much, since when, and where to look."""

    name: str
    count: int
    at_stake: Sums
    since: datetime | None
    href: str
    views: frozenset[str]


# name, exceptions (LIKE), who cares, where to look
APPROVALS = (
    "EX-REVIEW",
    "EX-CREDIT-REVIEW",
    "EX-WRITE-OFF",
    "EX-WRITE-DOWN",
    "EX-BAD-DEBT",
    "EX-RERATE-REVIEW",
    "EX-PRIOR-PERIOD",
)
STALLS: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    ("Contracts that cannot be set up", ("contract:%",), "pmo sales integration executive", "record=contract"),
    ("Approved hours that are not evidence yet", ("time:%",), "pmo finance executive", "record=time"),
    ("Invoices that cannot go out", ("invoice:%",), "finance controller executive", "record=invoice"),
    ("Payments nobody could match", ("payment:%",), "finance controller", "record=payment"),
    ("Connections and tasks that stand still", ("connection:%", "loop:%"), "integration", "record=connection"),
    ("Things that should have come", ("watch:%",), "integration pmo", "record=watch"),
)


def stalls(tx: PostgresTx, actor: Actor, now: datetime) -> list[Stall]:
    """Where work is stalled, from the open cases by what they are about, approvals first. One look at all of them."""
    case = TABLES[Case]
    kinds = _kinds(case)
    columns: list[Any] = [case.c.currency]
    for _, where, _, _ in kinds:
        totals = (sa.func.count(), sa.func.sum(case.c.amount), sa.func.min(case.c.opened_at))
        columns += [total.filter(where) for total in totals]
    query = sa.select(*columns).where(case.c.state == CaseState.OPEN, *within(actor, Case))
    rows = [tuple(row) for row in tx.raw.execute(query.group_by(case.c.currency))]
    found = [_stall(rows, 1 + 3 * place, *kind) for place, kind in enumerate(kinds)]
    return [stall for stall in found if stall.count]


def _kinds(case: sa.Table) -> list[tuple[str, Any, str, str]]:
    """(name, condition, where to look, who cares) of each kind of stall."""
    everybody = "finance pmo sales integration controller executive"
    kinds: list[tuple[str, Any, str, str]] = [
        ("Decisions that wait for a second person", case.c.pending != "", "pending=yes", everybody),
        (
            "Drafts and write-offs to approve",
            case.c.exception.in_(APPROVALS),
            "waits=approval",
            "finance controller",
        ),
    ]
    for name, patterns, views, query in STALLS:
        about = sa.or_(*(case.c.record.like(pattern) for pattern in patterns))
        kinds.append((name, about, query, views))
    return kinds


def _stall(rows: list[tuple[Any, ...]], first: int, name: str, _: Any, query: str, views: str) -> Stall:
    """One kind of stall from its three columns in each currency's row."""
    theirs = [(row[0], *row[first : first + 3]) for row in rows]
    sums = {currency: amount for currency, _, amount, _ in theirs if amount}
    since = min((oldest for *_, oldest in theirs if oldest), default=None)
    count = sum(number for _, number, _, _ in theirs)
    return Stall(name, count, sums, since, f"/console/cases?{query}", frozenset(views.split()))


@dataclass(frozen=True)
class Unbilled:
    """A contract with approved work that is not billed."""

    contract_no: str
    currency: str
    net: Decimal
    since: str


def longest_unbilled(tx: PostgresTx, actor: Actor, today: date, limit: int = 8) -> list[Unbilled]:
    """Contracts whose billable work of earlier months is not on an invoice, the largest first."""
    labels, net = (PART_SUM.c.contract_no, PART_SUM.c.currency), sa.func.sum(PART_SUM.c.net).label("net")
    early = [PART_SUM.c.state == PartState.READY, PART_SUM.c.month < f"{today:%Y-%m}"]
    query = mine(sa.select(*labels, net).where(*early), PART_SUM.c.contract_no, actor).group_by(*labels)
    rows = tx.raw.execute(query.having(net > 0).order_by(net.desc(), *labels).limit(limit)).all()
    since = _since(tx, tuple(row.contract_no for row in rows), early)
    return [Unbilled(row.contract_no, row.currency, row.net, since[row.contract_no, row.currency]) for row in rows]


def _since(tx: PostgresTx, contract_nos: tuple[str, ...], early: list[Any]) -> dict[tuple[str, str], str]:
    """The first month of these contracts with parts that are there; what was moved away again counts for nothing."""
    labels = (PART_SUM.c.contract_no, PART_SUM.c.currency, PART_SUM.c.month)
    query = sa.select(*labels).where(*early, PART_SUM.c.contract_no.in_(contract_nos)).group_by(*labels)
    rows = tx.raw.execute(query.having(sa.func.sum(PART_SUM.c.parts) != 0)) if contract_nos else []
    first: dict[tuple[str, str], str] = {}
    for contract_no, currency, month in rows:
        first[contract_no, currency] = min(month, first.get((contract_no, currency), month))
    return first


# -- invoices ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class InvoiceFigures:
    """Invoices of one currency: how many stand where, what they come to, and what is owed.

    net, total: issued less credited. open: what clients owe. overdue: of that, past its due date.
    """

    currency: str
    drafts: int
    drafts_net: Decimal
    not_posted: int
    not_posted_total: Decimal
    issued: int
    posted: int
    paid: int
    credits: int
    net: Decimal
    total: Decimal
    open: Decimal
    overdue: Decimal


def invoice_figures(tx: PostgresTx, actor: Actor, today: date) -> list[InvoiceFigures]:
    """By currency, the largest first."""
    invoice, count, total = TABLES[Invoice], sa.func.count, sa.func.sum
    draft, credit = invoice.c.life == InvoiceLife.DRAFT, invoice.c.kind == "credit"
    made = invoice.c.life.in_(ISSUED)
    claim, missing = sa.and_(made, ~credit), sa.and_(made, invoice.c.posting != Posting.POSTED)

    def of(column: Any, *where: Any) -> Any:
        return sa.func.coalesce(total(column).filter(*where), 0)

    query = sa.select(
        invoice.c.currency,
        count().filter(draft),
        of(invoice.c.net, draft),
        count().filter(missing),
        of(invoice.c.total, missing),
        count().filter(claim),
        count().filter(claim, invoice.c.posting == Posting.POSTED),
        count().filter(claim, invoice.c.settlement == Settlement.PAID),
        count().filter(made, credit),
        of(invoice.c.net, claim) - of(invoice.c.net, made, credit),
        of(invoice.c.total, claim) - of(invoice.c.total, made, credit),
        of(invoice.c.open, claim),
        of(invoice.c.open, claim, invoice.c.due_date < today),
    ).where(*within(actor, Invoice))
    rows = tx.raw.execute(query.group_by(invoice.c.currency))
    return sorted((InvoiceFigures(*row) for row in rows), key=lambda one: -one.net)


def billed_by_month(
    tx: PostgresTx, actor: Actor, today: date, months: int = 12
) -> dict[str, list[tuple[str, Decimal]]]:
    """Net issued less credited per month, by currency, oldest first; a month without an invoice is zero."""
    invoice = TABLES[Invoice]
    month = sa.func.to_char(invoice.c.issue_date, "YYYY-MM").label("month")
    wanted = [_month_before(today, back) for back in reversed(range(months))]
    signed = sa.case((invoice.c.kind == "credit", -invoice.c.net), else_=invoice.c.net)
    query = sa.select(invoice.c.currency, month, sa.func.sum(signed)).where(
        invoice.c.life.in_(ISSUED),
        invoice.c.issue_date >= date.fromisoformat(f"{wanted[0]}-01"),
        *within(actor, Invoice),
    )
    found: dict[str, dict[str, Decimal]] = {}
    for currency, name, net in tx.raw.execute(query.group_by(invoice.c.currency, month)):
        found.setdefault(currency, {})[name] = net
    return {currency: [(m, nets.get(m, Decimal(0))) for m in wanted] for currency, nets in sorted(found.items())}


def _month_before(today: date, back: int) -> str:
    number = today.year * 12 + today.month - 1 - back
    return f"{number // 12:04d}-{number % 12 + 1:02d}"


def engagements_by_state(tx: PostgresTx, actor: Actor) -> dict[str, int]:
    """How many engagements are in which state."""
    engagement = TABLES[Engagement]
    query = sa.select(engagement.c.state, sa.func.count()).where(*within(actor, Engagement))
    return {str(state): number for state, number in tx.raw.execute(query.group_by(engagement.c.state))}


# -- backlog ----------------------------------------------------------------------------------------------------------


@dataclass
class SystemBacklog:
    """Writes to one system that are not done. in_doubt: the outcome must be looked up."""

    connection: str
    to_send: int = 0
    in_doubt: int = 0
    refused: int = 0
    oldest: datetime | None = None


def backlog_by_system(tx: PostgresTx, actor: Actor) -> list[SystemBacklog]:
    """Unfinished writes by connection, the most first."""
    effect = TABLES[Effect]
    labels = (effect.c.connection, effect.c.state)
    unfinished = [state for state in ("intended", "not_sent", "in_doubt", "refused") if state not in FINISHED]
    query = sa.select(*labels, sa.func.count(), sa.func.min(effect.c.created_at))
    query = query.where(effect.c.state.in_(unfinished), *within(actor, Effect)).group_by(*labels)
    found: dict[str, SystemBacklog] = {}
    for connection, state, number, oldest in tx.raw.execute(query):
        one = found.setdefault(connection, SystemBacklog(connection))
        if state == "in_doubt":
            one.in_doubt += number
        elif state == "refused":
            one.refused += number
        else:
            one.to_send += number
        one.oldest = min(one.oldest or oldest, oldest)
    return sorted(found.values(), key=lambda one: (-(one.to_send + one.in_doubt + one.refused), one.connection))


def runs_by_lane(tx: PostgresTx, actor: Actor) -> dict[str, dict[str, int]]:
    """Runs that are not over, by lane and state."""
    run = TABLES[RunRow]
    query = sa.select(run.c.lane, run.c.state, sa.func.count())
    query = query.where(run.c.state.in_(LIVE_RUNS), *within(actor, RunRow))
    lanes: dict[str, dict[str, int]] = {}
    for lane, state, number in tx.raw.execute(query.group_by(run.c.lane, run.c.state)):
        lanes.setdefault(lane, {})[str(state)] = number
    return dict(sorted(lanes.items()))


def messages_waiting(tx: PostgresTx) -> dict[str, int]:
    """Messages that nobody has worked on yet, and those in quarantine, by source."""
    message = TABLES[InboxMessage]
    states = (MessageState.ACCEPTED, MessageState.TAKEN, MessageState.QUARANTINED)
    query = sa.select(message.c.source, sa.func.count()).where(message.c.state.in_(states)).group_by(message.c.source)
    return {str(source): int(number) for source, number in tx.raw.execute(query)}


def deliveries_waiting(tx: PostgresTx) -> dict[str, int]:
    """Events that a subscriber has not taken yet."""
    delivery = TABLES[EventDelivery]
    query = sa.select(delivery.c.subscriber, sa.func.count()).where(delivery.c.state.in_(UNDELIVERED))
    return {str(name): int(number) for name, number in tx.raw.execute(query.group_by(delivery.c.subscriber))}


# -- keeping the sums short -------------------------------------------------------------------------------------------

CONDENSE_FROM = 8  # rows of one kind from which they are put together
CONDENSE = sa.text(
    """
    with many as (
      select contract_no, state, currency, month from hub.part_sum
      group by contract_no, state, currency, month having count(*) >= :rows limit 5000
    ), gone as (
      delete from hub.part_sum s using many m
      where s.contract_no = m.contract_no and s.state = m.state and s.currency = m.currency and s.month = m.month
      returning s.contract_no, s.state, s.currency, s.month, s.quantity, s.net, s.parts
    )
    insert into hub.part_sum (contract_no, state, currency, month, quantity, net, parts)
    select contract_no, state, currency, month, sum(quantity), sum(net), sum(parts) from gone
    group by contract_no, state, currency, month
    having sum(quantity) <> 0 or sum(net) <> 0 or sum(parts) <> 0
    """
)


def condense(tx: PostgresTx, rows: int = CONDENSE_FROM) -> int:
    """Put sums of one kind together; how many rows are left of them. Whoever reads sees either all or the sum."""
    tx.lock("part-sum")
    return int(tx.raw.execute(CONDENSE, {"rows": rows}).rowcount)
