"""The day of an instant is the day where the legal entity is, whatever zone the instant was told in."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from isthmus.domain.objects import BillableItem, BillingType, Milestone, MilestoneStatus
from tests.processes.hub import Hub, contract

NEW_YORKS_LAST_EVENING = datetime(2026, 4, 1, 2, 30, tzinfo=UTC)


@pytest.mark.parametrize(("cutoff", "billed"), [("2026-03-30", []), ("2026-03-31", [date(2026, 3, 31)])])
def test_a_milestone_accepted_on_the_last_evening_of_a_month_is_of_that_month(cutoff: str, billed: list[date]) -> None:
    hub = Hub()
    (line,) = contract().lines
    design = Milestone(number=1, name="Design", amount=Decimal("1000.00"), due=date(2026, 3, 31))
    facts = {"billing_type": BillingType.FIXED_MILESTONE, "price": Decimal("1000.00"), "milestones": (design,)}
    hub.set_up(contract(lines=(line.model_copy(update=facts),), caps=()))
    told = {"source": "psa", "source_id": "1", "contract_no": "K-1", "number": 1, "state": "accepted", "by": "clara"}
    with hub.store.transaction() as tx:
        tx.insert(MilestoneStatus(**told, at=NEW_YORKS_LAST_EVENING))
    hub.later(days=31)
    hub.bill("first", cutoff)
    assert [item.service_date for item in hub.rows(BillableItem)] == billed
