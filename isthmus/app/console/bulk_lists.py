"""What the page of a bulk fix shows, asked of the database: thousands of previews are added up where they are."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from isthmus.desk import bulk
from isthmus.store.desk_records import BulkItem
from isthmus.store.postgres import PostgresTx
from isthmus.store.records import Case
from isthmus.store.tables import TABLES

ITEMS_SHOWN = 200
ITEM, CASE = TABLES[BulkItem], TABLES[Case]
# What went wrong comes first; then what is still to do, and what is done.
ORDER = (bulk.FAILED, bulk.REFUSED, bulk.ASKED, bulk.READY, bulk.DONE)


@dataclass(frozen=True)
class Row:
    """One case of a bulk fix: what it is about, and what came of it."""

    case_no: str
    state: str
    told: str
    about: str
    amount: Decimal | None
    currency: str


def counts(tx: PostgresTx, bulk_no: str) -> dict[str, int]:
    """Items by their state, none left out."""
    return {**dict.fromkeys(ORDER, 0), **tx.counts(BulkItem, "state", bulk_no=bulk_no)}


def entities(tx: PostgresTx, bulk_no: str) -> list[str]:
    """The legal entities its cases belong to."""
    query = sa.select(CASE.c.entity).distinct().join(ITEM, ITEM.c.case_no == CASE.c.case_no)
    return list(tx.raw.execute(query.where(ITEM.c.bulk_no == bulk_no)).scalars())


def rows(tx: PostgresTx, bulk_no: str, offset: int = 0) -> list[Row]:
    """A page of its cases, what went wrong first."""
    rank = sa.case(*((ITEM.c.state == state, place) for place, state in enumerate(ORDER)), else_=len(ORDER))
    columns = (ITEM.c.case_no, ITEM.c.state, ITEM.c.told, CASE.c.contract_no, CASE.c.subject)
    query = sa.select(*columns, CASE.c.amount, CASE.c.currency).join(CASE, CASE.c.case_no == ITEM.c.case_no)
    query = query.where(ITEM.c.bulk_no == bulk_no).order_by(rank, ITEM.c.case_no).offset(offset).limit(ITEMS_SHOWN)
    return [
        Row(one.case_no, one.state, one.told, one.contract_no or one.subject, one.amount, one.currency)
        for one in tx.raw.execute(query)
    ]


def writes(tx: PostgresTx, bulk_no: str) -> list[tuple[str, str, int]]:
    """(system, what, how often) of everything the previews would write, the most first."""
    write = sa.func.jsonb_array_elements(ITEM.c.dry_run["writes"]).table_valued(sa.column("value", ITEM.c.dry_run.type))
    system, what = write.c.value["system"].astext, write.c.value["what"].astext
    query = sa.select(system, what, sa.func.count()).select_from(ITEM.join(write, sa.true()))
    query = query.where(ITEM.c.bulk_no == bulk_no, ITEM.c.dry_run.is_not(None))
    found = tx.raw.execute(query.group_by(system, what).order_by(sa.func.count().desc(), system, what))
    return [(one[0], one[1], one[2]) for one in found]


def story_afterwards(tx: PostgresTx, bulk_no: str) -> list[dict[str, Any]]:
    """What the story of each run does then, by the first preview there is."""
    query = sa.select(ITEM.c.dry_run["then"]).where(ITEM.c.bulk_no == bulk_no, ITEM.c.state != bulk.REFUSED)
    first = query.where(ITEM.c.dry_run.is_not(None)).order_by(ITEM.c.case_no).limit(1)
    return list(tx.raw.execute(first).scalar() or [])
