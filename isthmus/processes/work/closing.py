"""Steps of a period's end: soft close, accrual of what is not approved, snapshot, close; and opening one again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from isthmus.domain.errors import IllegalTransition, NeedsDecision
from isthmus.domain.money import round_half_away
from isthmus.domain.objects import (
    BillableItem,
    ContractVersion,
    Engagement,
    Hold,
    LedgerEntry,
    Project,
    SubmittedTime,
    TimeEntry,
)
from isthmus.domain.periods import Domain, FiscalPeriod, PeriodSnapshot
from isthmus.domain.states import PeriodState, move
from isthmus.policies.charges import Terms, charge_time
from isthmus.policies.periods import Booking, accounting_date, accrue, needs_controller, snapshot_hash
from isthmus.policies.proration import first_day, last_day, month_of
from isthmus.processes.work import by_month
from isthmus.processes.work.batch import cards_of
from isthmus.processes.work.earned import totals_of
from isthmus.processes.work.evidence import place_contract
from isthmus.processes.work.exchange import rates_for
from isthmus.processes.work.holding import place_hold, release_hold
from isthmus.processes.work.milestones import open_work
from isthmus.runtime.books import Books

ZERO = Decimal(0)
DOMAINS: tuple[Domain, ...] = ("time", "expense", "billing", "revenue", "receivables", "ledger")


def states_of(books: Books, entity: str, domain: str) -> dict[str, PeriodState]:
    """State of each month of an entity and domain that was ever closed; others are open."""
    return {row.period: row.state for row in books.tx.find(FiscalPeriod, entity=entity, domain=domain)}


def booking_of(books: Books, entity: str, day: date, domain: str = "time") -> Booking:
    """Where an amount of a day is booked."""
    return accounting_date(day, states_of(books, entity, domain))


# -- closing ---------------------------------------------------------------------------------------------------


def soft_close(books: Books, entity: str, period: str, by: str) -> str:
    """Time and expense take no more from people; finance may still correct."""
    if last_day(period) >= books.today(entity):
        raise IllegalTransition(f"{entity} {period} is not over yet: it ends on {last_day(period)}")
    for domain in ("time", "expense"):
        _set(books, entity, domain, period, PeriodState.SOFT_CLOSED, by)
    return f"{entity} {period} is softly closed"


def _set(books: Books, entity: str, domain: Domain, period: str, state: PeriodState, by: str) -> None:
    known = books.tx.get(FiscalPeriod, entity, domain, period)
    facts = {"changed_by": by, "changed_at": books.now}
    if known is None:
        new = FiscalPeriod(entity=entity, domain=domain, period=period, state=state, **facts)
        books.tx.insert(new)
    elif known.state is state or (state is PeriodState.SOFT_CLOSED and known.state is PeriodState.REOPENED):
        return
    else:
        books.tx.update(move(known, "state", state).model_copy(update=facts))
    before = str(known.state) if known else str(PeriodState.OPEN)
    payload = {"entity": entity, "domain": domain, "period": period, "from": before, "to": str(state)}
    books.emit("period.state_changed", f"period:{entity}/{domain}/{period}", payload, entity=entity)
    books.audit("period.change", f"period:{entity}/{domain}/{period}", actor=by, after=payload)


def accrue_unapproved(books: Books, entity: str, period: str) -> list[str]:
    """Work of the period that is handed in but not approved: a share of its sales value, and its whole cost."""
    share = books.entity(entity).accrual_percent
    told = []
    for time, version, net in unapproved(books, entity, period):
        cost = round_half_away(time.hours * (time.cost_rate or ZERO), version.currency)
        amounts = accrue(time.key, net, cost, share, version.currency)
        entry = _accrual(books, version, time, "accrued", period, amounts.revenue, amounts.cost)
        if books.tx.insert_new(entry):
            told.append(f"{time.key}: {amounts.revenue} revenue, {amounts.cost} cost")
    return told


def unapproved(books: Books, entity: str, period: str) -> list[tuple[SubmittedTime, ContractVersion, Decimal]]:
    """Handed-in time of a period, with the terms it will be priced by and its sales value."""
    found = []
    for engagement in books.tx.find(Engagement, entity=entity, order=("contract_no",)):
        versions = books.tx.find(ContractVersion, contract_no=engagement.contract_no, order=("version",))
        cards = cards_of(books, {engagement.contract_no: versions}).get(engagement.contract_no, [])
        fx = rates_for(books, versions, cards)
        waiting = {work.entry_key for work in open_work(books, engagement.contract_no)}
        for project in books.tx.find(Project, contract_no=engagement.contract_no):
            tasks = {task.code: task for task in project.tasks}
            terms = Terms(versions=versions, tasks=tasks, cards=cards, fx=fx)
            for time in books.tx.find(SubmittedTime, project_code=project.project_code, order=("source_id",)):
                if time.key in waiting and month_of(time.service_date) == period:
                    charges = charge_time([_as_entry(time)], terms)
                    found.append((time, charges[0].version, sum((c.net for c in charges), ZERO)))
    return found


def _as_entry(time: SubmittedTime) -> TimeEntry:
    """Priced as if it were approved as it was handed in."""
    facts = time.model_dump(exclude={"submitted_at"})
    return TimeEntry(**facts, approved_by="accrual", approved_at=time.submitted_at)


def _accrual(
    books: Books,
    version: ContractVersion,
    time: SubmittedTime | TimeEntry,
    kind: str,
    period: str,
    amount: Decimal,
    cost: Decimal,
) -> LedgerEntry:
    return LedgerEntry(
        entry_id=f"accrual/{time.key}/{kind}",
        ledger="accrual",
        contract_no=version.contract_no,
        line_uid="",
        period=period,
        kind=kind,
        hours=time.hours,
        amount=amount,
        cost=cost,
        currency=version.currency,
        source_key=time.key,
        recorded_at=books.now,
    )


def reverse_accruals(books: Books, items: list[BillableItem], entity: str) -> int:
    """Approved at last: what was accrued for an entry is taken back, amount by amount, where the entry is booked."""
    first = {item.entry_key: item for item in reversed(items) if item.source_type == "time"}
    ids = tuple(f"accrual/{key}/accrued" for key in sorted(first))
    count = 0
    for accrued in books.tx.find(LedgerEntry, entry_id=ids, order=("entry_id",)) if ids else []:
        key = accrued.entry_id.removeprefix("accrual/").removesuffix("/accrued")
        period = month_of(booking_of(books, entity, first[key].service_date).accounting_date)
        back: dict[str, object] = {"entry_id": f"accrual/{key}/reversed", "kind": "reversed", "period": period}
        back |= {"amount": -accrued.amount, "cost": -accrued.cost, "recorded_at": books.now}
        count += books.tx.insert_new(accrued.model_copy(update=back))
    return count


def close(books: Books, entity: str, period: str, by: str) -> PeriodSnapshot:
    """All domains closed, and what the period added up to kept with its fingerprint."""
    known = books.tx.find(PeriodSnapshot, entity=entity, period=period, order=("-version",), limit=1)
    version = (known[0].version if known else 0) + 1
    by_month.fix(books, entity, period, version)
    for domain in DOMAINS:
        _set(books, entity, domain, period, PeriodState.CLOSED, by)
    totals = totals_of(books, entity, period)
    snapshot = PeriodSnapshot(
        entity=entity,
        period=period,
        version=version,
        totals=totals,
        content_hash=snapshot_hash(totals),
        taken_at=books.now,
    )
    books.tx.insert(snapshot)
    return snapshot


# -- what comes late -------------------------------------------------------------------------------------------


def flag_prior_period(books: Books, items: list[BillableItem], domain: Domain = "time") -> list[BillableItem]:
    """Items of a closed period say where they are booked; large ones are held until the controller has seen them.

    domain: whose periods these are.
    """
    states: dict[str, Mapping[str, PeriodState]] = {}
    entities = {number: _entity_of(books, number) for number in {item.contract_no for item in items}}
    for entity in set(entities.values()):
        states[entity] = states_of(books, entity, domain) if entity else {}
    flagged = []
    for item in items:
        entity = entities[item.contract_no]
        booking = accounting_date(item.service_date, states[entity])
        if booking.prior_period:
            told = {"accounting_period": month_of(booking.accounting_date), "prior_period": True}
            item = item.model_copy(update={"price_trace": {**item.price_trace, **told}})
        flagged.append(item)
        if needs_controller(item.net, booking, books.entity(entity).prior_period_threshold if entity else ZERO):
            _ask_controller(books, item, booking)
    return flagged


def _entity_of(books: Books, contract_no: str) -> str:
    engagement = books.tx.get(Engagement, contract_no)
    return engagement.entity if engagement else ""


def _ask_controller(books: Books, item: BillableItem, booking: Booking) -> None:
    hold = Hold(
        hold_id=f"{item.item_id}/prior-period",
        contract_no=item.contract_no,
        source_key=item.source_key,
        reason="PRIOR_PERIOD",
        owner="controller",
        placed_by="hub",
        placed_at=books.now,
    )
    if place_hold(books, hold):
        args = {"hold_id": hold.hold_id, "booked_on": str(booking.accounting_date)}
        books.start(
            "prior_period",
            hold.hold_id,
            args,
            correlation_id=f"contract:{item.contract_no}",
            entity=_entity_of(books, item.contract_no),
        )


def ask_about_prior_period(books: Books, hold_id: str, booked_on: str) -> str:
    """EX-PRIOR-PERIOD: the controller agrees that work of a closed period is billed in an open one."""
    hold = books.tx.get(Hold, hold_id)
    assert hold is not None
    answer = books.answers.get("EX-PRIOR-PERIOD", {})
    if answer.get("action") == "approve":
        release_hold(books, hold_id, str(answer.get("by")), "seen by the controller")
        place_contract(books, hold.contract_no)
        return "may be billed"
    items = books.tx.find(BillableItem, source_key=hold.source_key, order=("-revision",), limit=1)
    raise NeedsDecision(
        "EX-PRIOR-PERIOD",
        f"{items[0].source_key}: {items[0].net} {items[0].currency} of {items[0].service_date}, a closed period, is"
        f" booked on {booked_on}",
        queue="controlling",
        money=(abs(items[0].net), items[0].currency),
        context={"source": hold.source_key, "contract": hold.contract_no, "booked_on": booked_on},
        actions=("approve",),
    )


# -- opening again ---------------------------------------------------------------------------------------------


def ask_to_reopen(books: Books, entity: str, period: str, asked_by: str, reason: str) -> list[str]:
    """Two persons beside the one who asks agree, one after the other: EX-REOPEN, then EX-REOPEN-SECOND."""
    approvers = [str(books.answers.get(name, {}).get("by", "")) for name in ("EX-REOPEN", "EX-REOPEN-SECOND")]
    agreed = [name for name in dict.fromkeys(approvers) if name and name != asked_by]
    if len(agreed) < 2:
        named = "EX-REOPEN-SECOND" if agreed else "EX-REOPEN"
        raise NeedsDecision(
            named,
            f"{asked_by} asks to open {entity} {period} again: {reason}"
            + (f"; {agreed[0]} agrees, a second person must" if agreed else ""),
            queue="controlling",
            context={"entity": entity, "period": period, "prepared_by": agreed[0] if agreed else asked_by},
            actions=("approve", "cancel"),
        )
    return agreed


def reopen(books: Books, entity: str, period: str, approvers: list[str]) -> str:
    """All domains of the month open again; the snapshot of its close stays."""
    for domain in DOMAINS:
        known = books.tx.get(FiscalPeriod, entity, domain, period)
        if known is None or known.state is not PeriodState.CLOSED:
            raise IllegalTransition(f"{entity} {domain} {period} is not closed")
        _set(books, entity, domain, period, PeriodState.REOPENED, " and ".join(approvers))
        again = books.tx.get(FiscalPeriod, entity, domain, period)
        assert again is not None
        books.tx.update(again.model_copy(update={"approvals": tuple(approvers)}))
    return f"{entity} {period} is open again from {first_day(period)}"
