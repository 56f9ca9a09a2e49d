"""What is expected and does not come: a feed that is silent, a contract that does not reach its next stage.

The table is in desk.toml ([[expect]]); hours may count on the working days of the legal entity's country alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from isthmus.desk.alarms import SILENCE, Alarm
from isthmus.desk.close_day import is_working_day
from isthmus.desk.config import Expectation
from isthmus.domain.objects import Engagement, LegalEntity
from isthmus.domain.states import EngagementState, InvoiceLife, Posting
from isthmus.runtime.kernel import Kernel
from isthmus.store.records import InboxMessage, StageTime
from isthmus.store.shared import invoices_on
from isthmus.store.tables import TABLES
from isthmus.store.tx import Tx

AT_ONCE = 200
LOOK_BACK = timedelta(days=120)
# What the messages of a feed are called; of a port that is not here any message counts.
KINDS = {
    "TimeSource": "time.approved",
    "ExpenseSource": "expense.approved",
    "Delivery": "milestone.changed",
    "Crm": "contract.changed",
    "Erp": "payment.received",
}


def silences(kernel: Kernel, tx: Tx, expected: Expectation) -> Iterator[Alarm]:
    """Everything this expectation is waiting for in vain."""
    entities = [one for one in tx.find(LegalEntity, order=("code",)) if one.active]
    yield from (_feeds if expected.feed else _stages)(kernel, tx, expected, entities)


def _feeds(kernel: Kernel, tx: Tx, expected: Expectation, entities: list[LegalEntity]) -> Iterator[Alarm]:
    """Connections that fill the port and have not sent anything for too long, while there is work to report on."""
    serving: dict[str, list[LegalEntity]] = {}
    for entity in entities:
        for one in kernel.systems.all_filling(expected.feed, entity.code):
            serving.setdefault(str(one.name), []).append(entity)
    for name, served in sorted(serving.items()):
        since = _last_message(tx, name, expected.feed) or _first_work(tx, served)
        if since is None:
            continue
        hours = hours_between(since, kernel.clock.now(), served[0], expected.working_days)
        if hours > expected.within_hours:
            last = f"since {since:%Y-%m-%d %H:%M} UTC"
            cause = f"{expected.name}: nothing from {name} {last}, expected every {_hours(expected)}"
            facts = {"expected": expected.name, "connection": name, "feed": expected.feed}
            entity_code = served[0].code if len(served) == 1 else ""
            run_id = f"watch/{expected.name}/{name}"
            yield Alarm(SILENCE, run_id, name, since, cause, expected.queue, "wait", entity=entity_code, context=facts)


def _last_message(tx: Tx, name: str, feed: str) -> datetime | None:
    newest = ("-received_at",)
    if feed in KINDS:
        found = tx.find(InboxMessage, source=name, kind=KINDS[feed], order=newest, limit=1)
    else:
        found = tx.find(InboxMessage, source=name, order=newest, limit=1)
    return found[0].received_at if found else None


def _first_work(tx: Tx, entities: list[LegalEntity]) -> datetime | None:
    """When the first engagement of these became active; nothing can be expected before."""
    codes = tuple(entity.code for entity in entities)
    active = tx.find(Engagement, entity=codes, state=EngagementState.ACTIVE, order=("contract_no",), limit=AT_ONCE)
    if not active:
        return None
    stages = tx.find(StageTime, stage="active", contract_no=tuple(one.contract_no for one in active))
    return min((one.at for one in stages), default=None)


def _stages(kernel: Kernel, tx: Tx, expected: Expectation, entities: list[LegalEntity]) -> Iterator[Alarm]:
    """Contracts that have reached a stage, and not what comes after it, for too long."""
    now = kernel.clock.now()
    earliest = now - timedelta(hours=expected.within_hours)
    for stage in _stuck(tx, expected, earliest):
        engagement = tx.get(Engagement, stage.contract_no)
        if engagement is None or engagement.state is not EngagementState.ACTIVE:
            continue
        entity = next((one for one in entities if one.code == engagement.entity), None)
        if entity and hours_between(stage.at, now, entity, expected.working_days) <= expected.within_hours:
            continue
        reached = f"{expected.stage} since {stage.at:%Y-%m-%d %H:%M} UTC"
        cause = (
            f"contract {stage.contract_no}: {reached} and no {expected.then} yet, expected within {_hours(expected)}"
        )
        yield Alarm(
            SILENCE,
            f"watch/{expected.name}/{stage.contract_no}",
            stage.contract_no,
            stage.at,
            cause,
            expected.queue,
            f"Wait for {expected.then}",
            _not_posted(tx, stage.contract_no) if expected.then == "first posting" else None,
            engagement.entity,
            f"contract:{stage.contract_no}",
            {"expected": expected.name, "contract": stage.contract_no},
        )


def _stuck(tx: Tx, expected: Expectation, earliest: datetime) -> list[StageTime]:
    """The stages before this instant that nothing has followed."""
    if tx.raw is not None:
        stage, then = TABLES[StageTime].alias(), TABLES[StageTime].alias()
        followed = sa.exists().where(then.c.contract_no == stage.c.contract_no, then.c.stage == expected.then)
        query = sa.select(stage).where(stage.c.stage == expected.stage, stage.c.at < earliest, ~followed)
        rows = tx.raw.execute(query.order_by(stage.c.at).limit(AT_ONCE)).mappings()
        return [StageTime.model_validate(dict(row)) for row in rows]
    gone_on = {one.contract_no for one in tx.find(StageTime, stage=expected.then)}
    reached = tx.find(StageTime, stage=expected.stage, order=("at",))
    return [one for one in reached if one.at < earliest and one.contract_no not in gone_on][:AT_ONCE]


def _not_posted(tx: Tx, contract_no: str) -> tuple[Decimal, str] | None:
    """What is issued and not in the ERP."""
    issued = invoices_on(tx, contract_no, life=InvoiceLife.ISSUED)
    missing = [invoice for invoice in issued if invoice.posting is not Posting.POSTED]
    return (sum((one.total for one in missing), Decimal(0)), missing[0].currency) if missing else None


def _hours(expected: Expectation) -> str:
    kind = " working-day" if expected.working_days else ""
    return f"{expected.within_hours:g}{kind} hours"


def hours_between(since: datetime, until: datetime, entity: LegalEntity, working_days: bool) -> float:
    """Hours from one instant to another; on working days of the legal entity's calendar alone when asked for.

    Looks back a third of a year at most: what is silent for longer is silent in any case.
    """
    since = max(since, until - LOOK_BACK)
    if not working_days:
        return (until - since).total_seconds() / 3600
    zone = ZoneInfo(entity.time_zone)
    day, last, seconds = since.astimezone(zone).date(), until.astimezone(zone).date(), 0.0
    while day <= last:
        if is_working_day(entity.country, day):
            begins = datetime.combine(day, time(), zone).astimezone(UTC)
            ends = datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)
            seconds += max(0.0, (min(ends, until) - max(begins, since)).total_seconds())
        day += timedelta(days=1)
    return seconds / 3600
