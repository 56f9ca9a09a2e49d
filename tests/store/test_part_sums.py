"""The sums that the database keeps of the parts are the parts', after any statement, and after a roll-back."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from isthmus.domain.objects import BillablePart
from isthmus.domain.states import PartState
from isthmus.store.postgres import PostgresStore
from isthmus.store.tables import PART_SUM, TABLES

PART = TABLES[BillablePart]
LABELS = ("contract_no", "state", "currency")


def part(number: int, **changes: Any) -> BillablePart:
    """A part of one of three contracts."""
    facts: dict[str, Any] = {
        "part_id": f"psa:{number}#1/1",
        "item_id": f"psa:{number}#1",
        "contract_no": f"K-{number % 3}",
        "quantity": Decimal("1.25"),
        "net": Decimal(f"{number}.37"),
        "currency": "USD",
        "state": PartState.READY,
        "service_date": date(2026, 1 + number % 3, 10),
        "order_key": str(number),
    }
    return BillablePart(**{**facts, **changes})


def sums_of(connection: sa.Connection, table: sa.Table, month: Any, parts: Any) -> set[tuple[Any, ...]]:
    """Quantity, net and count per contract, state, currency and month; what comes to nothing left out."""
    labels = [*(table.c[name] for name in LABELS), month]
    query = sa.select(*labels, sa.func.sum(table.c.quantity), sa.func.sum(table.c.net), parts).group_by(*labels)
    return {tuple(row) for row in connection.execute(query) if any(row[-3:])}


def agree(store: PostgresStore) -> int:
    """Fails unless the sums are those of the parts; how many sums there are."""
    with store.transaction() as tx:
        month = sa.func.to_char(PART.c.service_date, "YYYY-MM")
        ledger = sums_of(tx.raw, PART, month, sa.func.count())
        kept = sums_of(tx.raw, PART_SUM, PART_SUM.c.month, sa.func.sum(PART_SUM.c.parts))
    assert kept == ledger
    return len(kept)


@pytest.fixture
def store(fresh_database: str) -> Any:
    one = PostgresStore(fresh_database, pool_size=2)
    yield one
    one.close()


def test_sums_follow_every_statement(store: PostgresStore) -> None:
    """Insert one and many, move one and many, split, and take back."""
    parts = [part(number) for number in range(1, 60)]
    with store.transaction() as tx:
        tx.insert(parts[0])
        tx.insert_many(parts[1:])
    assert agree(store) == 3
    with store.transaction() as tx:
        tx.update(parts[0].model_copy(update={"state": PartState.HELD}))
        tx.update_many([p.model_copy(update={"state": PartState.ON_DRAFT}) for p in parts[1:20]])
        tx.insert(part(100, net=Decimal("-5.00"), contract_no="K-9"))
    agree(store)
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        tx.insert(part(101))
        raise ZeroDivisionError
    with store.transaction() as tx:
        tx.delete(parts[3])
        tx.delete(parts[30])
    agree(store)
