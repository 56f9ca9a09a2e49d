"""What a period has earned is the last word on its work; a closed one stays, and what comes later is booked later."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from isthmus.app.controls import audit
from isthmus.domain.objects import BillablePart, Hold
from isthmus.domain.states import PartState
from isthmus.processes.work.earned import totals_of
from isthmus.store.records import Case
from tests.processes.hub import ENTITY, Hub, contract, entry
from tests.processes.test_moved_hours import amend

NOTED = ENTITY.model_copy(update={"prior_period_threshold": Decimal("100.00")})
LATER = datetime(2026, 4, 9, tzinfo=UTC)


def working(entity: Any = ENTITY) -> Hub:
    """Eight hours of 12 March at 185.00, which cost 70.00 each; K-2 is there too."""
    hub = Hub(entity)
    hub.set_up(contract(caps=()))
    hub.set_up(contract(contract_no="K-2", caps=()))
    worked(hub, "8")
    return hub


def worked(hub: Hub, hours: str, hour: int = 0, **changes: Any) -> None:
    told = {"day": 12, "cost_rate": Decimal("70.00"), "approved_at": LATER.replace(hour=hour), **changes}
    hub.capture(entry(1, hours, **told))


def earned(hub: Hub, period: str) -> tuple[str, str]:
    """Revenue and cost of a period."""
    with hub.store.transaction() as tx:
        totals = totals_of(hub.kernel.books(tx, key="test", actor="test"), "US01", period)
    return totals.get("revenue USD", "0"), totals.get("cost USD", "0")


def close(hub: Hub) -> None:
    hub.later(days=31)
    hub.start("close_period", "US01/2026-03/first", entity="US01", period="2026-03", closed_by="cora")


CORRECTIONS = {
    "fewer hours": ({"hours": "6"}, ("1110.00", "420.00")),
    "more hours": ({"hours": "9"}, ("1665.00", "630.00")),
    "another day": ({"hours": "8", "service_date": date(2026, 3, 20)}, ("1480.00", "560.00")),
    "another contract": ({"hours": "8", "project_code": "P-K-2"}, ("1480.00", "560.00")),
    "nothing": ({"hours": "0"}, ("0.00", "0.00")),
}

CASES = {f"{name}, not billed": (False, *rest) for name, rest in CORRECTIONS.items()}
# What is billed moves to no other contract by itself.
CASES |= {f"{name}, billed": (True, *rest) for name, rest in CORRECTIONS.items() if name != "another contract"}


@pytest.mark.requirement("INV-18")
@pytest.mark.parametrize(("billed", "change", "march"), CASES.values(), ids=CASES)
def test_a_period_adds_up_to_the_last_word(billed: bool, change: dict[str, Any], march: tuple[str, str]) -> None:
    hub = working()
    if billed:
        hub.bill("first")
    worked(hub, hour=1, **change)
    assert tuple(map(Decimal, earned(hub, "2026-03"))) == tuple(map(Decimal, march))


@pytest.mark.requirement("INV-18")
@pytest.mark.parametrize(("billed", "change", "march"), CASES.values(), ids=CASES)
def test_a_closed_period_stays_and_the_difference_is_of_the_next(
    billed: bool, change: dict[str, Any], march: tuple[str, str]
) -> None:
    hub = working()
    if billed:
        hub.bill("first")
    close(hub)
    worked(hub, hour=1, **change)
    assert earned(hub, "2026-03") == ("1480.00", "560.00")
    april = tuple(Decimal(now) - before for now, before in zip(march, (1480, 560), strict=True))
    assert tuple(map(Decimal, earned(hub, "2026-04"))) == april
    assert audit(hub.kernel) == []


def test_hours_that_move_out_of_a_month_are_earned_in_the_other() -> None:
    hub = working()
    worked(hub, "8", hour=1, service_date=date(2026, 4, 2))
    assert tuple(map(Decimal, earned(hub, "2026-03"))) == (0, 0)
    assert earned(hub, "2026-04") == ("1480.00", "560.00")


def test_an_amendment_that_reaches_into_a_closed_period_is_booked_in_the_next() -> None:
    hub = working()
    close(hub)
    amend(hub)
    assert earned(hub, "2026-03") == ("1480.00", "560.00")
    assert tuple(map(Decimal, earned(hub, "2026-04"))) == (Decimal("120.00"), 0)
    assert audit(hub.kernel) == []


def test_each_large_correction_of_a_closed_period_is_seen_by_the_controller() -> None:
    hub = working(NOTED)
    close(hub)
    for hour, hours in ((1, "10"), (2, "14")):
        worked(hub, hours, hour=hour)
        assert hub.case().exception == "EX-PRIOR-PERIOD"
        assert [p.net for p in hub.rows(BillablePart) if p.state is PartState.HELD]
        hub.resolve("approve")
        assert not hub.rows(Case, state="open")
    assert len(hub.rows(Hold)) == 2
