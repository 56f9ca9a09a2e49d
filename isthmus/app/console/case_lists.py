"""Lists of cases, heaviest first, and groups of one cause: asked of the database, so ten thousand are no more work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from isthmus.app.figures import APPROVALS, Sums
from isthmus.app.scope import within
from isthmus.desk.config import DeskConfig
from isthmus.desk.filing import cause_facts
from isthmus.desk.weight import weight_sql
from isthmus.domain.states import CaseState
from isthmus.policies.authority import Actor
from isthmus.store.postgres import PostgresTx
from isthmus.store.records import Case
from isthmus.store.tables import TABLES

PAGE, GROUPS_MAX = 50, 100
CASE = TABLES[Case]


def conditions(query: Mapping[str, str], actor: Actor, now: datetime) -> list[Any]:
    """What the address of a list asks for. What it does not know is left out."""
    asked: list[Any] = list(within(actor, Case))
    state = query.get("state", "open")
    asked += [CASE.c.state == CaseState.OPEN] if state == "open" else []
    asked += [CASE.c.state != CaseState.OPEN] if state == "decided" else []
    for name in ("queue", "exception", "contract_no", "client_no", "entity", "group_key", "severity"):
        asked += [CASE.c[name] == query[name]] if query.get(name) else []
    asked += [CASE.c.assignee == actor.name] if query.get("mine") else []
    asked += [CASE.c.pending != ""] if query.get("pending") else []
    asked += [CASE.c.exception.in_(APPROVALS)] if query.get("waits") == "approval" else []
    asked += [CASE.c.due_at < now, CASE.c.waiting_for == ""] if query.get("overdue") else []
    asked += [CASE.c.tags.contains([query["tag"]])] if query.get("tag") else []
    record = query.get("record", "")
    kinds = {"connection": ("connection", "loop", "delivery"), "watch": ("watch",)}.get(record, (record,))
    if record:
        asked.append(sa.or_(*(CASE.c.record.startswith(f"{kind}:", autoescape=True) for kind in kinds)))
    words = query.get("q", "").strip()
    if words:
        like = f"%{words.replace('%', '')}%"
        asked.append(sa.or_(CASE.c.cause.ilike(like), CASE.c.case_no.ilike(like), CASE.c.subject.ilike(like)))
    return asked


@dataclass(frozen=True)
class Weighed:
    """A case and how heavy it is."""

    case: Case
    weight: int


def heaviest(
    tx: PostgresTx, where: list[Any], config: DeskConfig, now: datetime, *, offset: int = 0, limit: int = PAGE
) -> list[Weighed]:
    """Cases, the heaviest first, then by deadline."""
    weight = weight_sql(config, now).label("weight")
    query = sa.select(CASE, weight).where(*where)
    query = query.order_by(weight.desc(), CASE.c.due_at.asc().nulls_last(), CASE.c.case_no).offset(offset).limit(limit)
    found = []
    for row in tx.raw.execute(query).mappings():
        facts = dict(row)
        number = int(facts.pop("weight"))
        found.append(Weighed(Case.model_validate(facts), number))
    return found


def latest(tx: PostgresTx, where: list[Any], *, offset: int = 0, limit: int = PAGE) -> list[Weighed]:
    """Decided cases, the last first."""
    decided = CASE.c.resolved_at.is_not(None)
    query = sa.select(CASE).where(*where, decided).order_by(CASE.c.resolved_at.desc(), CASE.c.case_no.desc())
    rows = tx.raw.execute(query.offset(offset).limit(limit)).mappings()
    return [Weighed(Case.model_validate(dict(row)), 0) for row in rows]


def counted(tx: PostgresTx, where: list[Any]) -> int:
    """How many."""
    return int(tx.raw.execute(sa.select(sa.func.count()).where(*where)).scalar_one())


@dataclass(frozen=True)
class Group:
    """Open cases of one cause. sample: one of them; facts: what they have in common."""

    group_key: str
    cases: int
    weight: int
    at_stake: Sums
    oldest: datetime
    queues: tuple[str, ...]
    overdue: int
    sample: Case

    @property
    def facts(self) -> dict[str, str]:
        """What makes them one cause."""
        return cause_facts(self.sample)


def groups(tx: PostgresTx, where: list[Any], config: DeskConfig, now: datetime) -> tuple[list[Group], int]:
    """(groups, the heaviest and largest first; how many there are in all)."""
    weight = sa.func.max(weight_sql(config, now)).label("weight")
    cases, oldest = sa.func.count().label("cases"), sa.func.min(CASE.c.opened_at).label("oldest")
    overdue = sa.func.count().filter(CASE.c.due_at < now, CASE.c.waiting_for == "").label("overdue")
    sample, owners = sa.func.min(CASE.c.case_no).label("sample"), sa.func.array_agg(sa.distinct(CASE.c.queue))
    query = sa.select(CASE.c.group_key, weight, cases, oldest, overdue, sample, owners.label("queues"))
    query = query.where(*where).group_by(CASE.c.group_key)
    rows = tx.raw.execute(query.order_by(weight.desc(), cases.desc(), sample).limit(GROUPS_MAX)).all()
    keys = [row.group_key for row in rows]
    whole = sa.select(sa.func.count(sa.distinct(CASE.c.group_key))).where(*where)
    total = len(rows) if len(rows) < GROUPS_MAX else int(tx.raw.execute(whole).scalar_one())
    samples = {one.case_no: one for one in tx.find(Case, case_no=tuple(row.sample for row in rows))} if rows else {}
    money = _at_stake(tx, where, keys)
    made = [
        Group(
            row.group_key,
            row.cases,
            row.weight,
            money.get(row.group_key, {}),
            row.oldest,
            tuple(sorted(row.queues)),
            row.overdue,
            samples[row.sample],
        )
        for row in rows
    ]
    return made, total


def _at_stake(tx: PostgresTx, where: list[Any], keys: list[str]) -> dict[str, Sums]:
    labels = (CASE.c.group_key, CASE.c.currency)
    query = sa.select(*labels, sa.func.sum(CASE.c.amount)).where(*where, CASE.c.group_key.in_(keys), CASE.c.amount != 0)
    found: dict[str, Sums] = {}
    for key, currency, amount in tx.raw.execute(query.group_by(*labels)):
        found.setdefault(key, {})[currency] = amount
    return found
