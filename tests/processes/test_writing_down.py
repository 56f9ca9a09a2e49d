"""Ready work is billed at less than it is worth, by two persons, each piece by its share; nothing is edited."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from isthmus.app.controls import audit
from isthmus.domain.errors import NotPermitted
from isthmus.domain.objects import BillablePart, Cap, Invoice
from isthmus.domain.states import PartState
from isthmus.processes.work.writing_down import REASON
from isthmus.store.records import AuditEntry, Case, OutboxEvent, RunState
from tests.processes.hub import Hub, contract, entry


def worked(*caps: Cap) -> Hub:
    """8 h, 4 h and 2.5 h at 185.00: 1,480.00 + 740.00 + 462.50 = 2,682.50."""
    hub = Hub()
    hub.set_up(contract(caps=caps))
    hub.capture(entry(1, "8"), entry(2, "4", day=4), entry(3, "2.5", day=20))
    return hub


def ask(hub: Hub, down_to: str, cutoff: str = "2026-03-31", name: str = "D-1") -> Any:
    facts = {"down_to": down_to, "cutoff": cutoff, "requested_by": "pia", "reason": "agreed fee"}
    return hub.start("write_down", f"K-1:{name}", contract_no="K-1", **facts)


def nets(hub: Hub, state: PartState) -> list[str]:
    parts = hub.rows(BillablePart, state=state)
    return [f"{p.net} {p.quantity}" for p in sorted(parts, key=lambda p: p.order_key)]


@pytest.mark.requirement("INV-01")
def test_what_is_ready_is_billed_at_the_agreed_value() -> None:
    hub = worked()
    run = ask(hub, "2400.00")
    case = hub.case()
    assert (run.state, case.exception, case.amount, case.context["prepared_by"]) == (
        RunState.PARKED,
        "EX-WRITE-DOWN",
        Decimal("282.50"),
        "pia",
    )
    assert case.cause == (
        "pia asks to bill 2400.00 USD of contract K-1 for work worth 2682.50 up to 2026-03-31: 282.50 less (10.5 %):"
        " agreed fee"
    )
    with pytest.raises(NotPermitted, match="another person"):
        hub.resolve("approve", actor="pia")
    hub.resolve("approve")
    assert nets(hub, PartState.READY) == ["1324.14 7.1575", "662.07 3.5788", "413.79 2.2367"]
    assert nets(hub, PartState.WRITTEN_OFF) == ["155.86 0.8425", "77.93 0.4212", "48.71 0.2633"]
    assert {p.reason for p in hub.rows(BillablePart, state=PartState.WRITTEN_OFF)} == {f"{REASON}agreed fee"}
    hub.bill("one")
    assert [i.net for i in hub.rows(Invoice)] == [Decimal("2400.00")]
    assert audit(hub.kernel) == []
    told = [e.payload["amount"] for e in hub.rows(OutboxEvent) if e.type == "write_down.approved"]
    assert told == ["282.50"] and not [e for e in hub.rows(OutboxEvent) if e.type == "write_off.approved"]
    assert [a.reason for a in hub.rows(AuditEntry) if a.action == "part.write_down"] == ["agreed fee"]


def test_only_what_is_due_is_written_down() -> None:
    hub = worked()
    ask(hub, "2000.00", "2026-03-15")
    hub.resolve("approve")
    assert nets(hub, PartState.READY) == ["1333.33 7.2072", "666.67 3.6036", "462.50 2.5"]


def test_to_nothing_is_all_of_it() -> None:
    hub = worked()
    ask(hub, "0.00")
    hub.resolve("approve")
    assert nets(hub, PartState.READY) == [] and len(nets(hub, PartState.WRITTEN_OFF)) == 3


@pytest.mark.parametrize(("down_to", "told"), [("2682.50", "written down"), ("3000.00", "written down")])
def test_a_value_that_is_no_less_is_refused(down_to: str, told: str) -> None:
    hub = worked()
    ask(hub, down_to)
    assert hub.case().exception == "EX-INPUT" and told in hub.case().cause


def test_under_a_full_cap_what_is_over_it_comes_first() -> None:
    hub = worked(Cap(cap_id="K-1:cap", scope="contract", limit=Decimal("2000.00")))
    ask(hub, "1500.00")
    assert "work over a cap" in hub.case("EX-INPUT").cause


def test_hours_that_come_before_the_approval_are_not_written_down_by_more_than_was_agreed() -> None:
    hub = worked()
    ask(hub, "2400.00")
    hub.capture(entry(4, "1", day=21))
    hub.resolve("approve")
    ready = sum((p.net for p in hub.rows(BillablePart, state=PartState.READY)), Decimal(0))
    assert ready == Decimal("2682.50") + Decimal("185.00") - Decimal("282.50")


def test_a_correction_of_written_down_work_conserves_every_cent() -> None:
    hub = worked()
    ask(hub, "2400.00")
    hub.resolve("approve")
    hub.capture(entry(1, "2", approved_at=datetime(2026, 3, 22, tzinfo=UTC)))
    hub.bill("one")
    assert audit(hub.kernel) == [] and not hub.rows(Case, state="open")
    assert date(2026, 3, 3) in {p.service_date for p in hub.rows(BillablePart, state=PartState.INVOICED)}


def test_called_off_nothing_is_taken_off() -> None:
    hub = worked()
    ask(hub, "2400.00")
    hub.resolve("cancel")
    assert nets(hub, PartState.WRITTEN_OFF) == [] and len(nets(hub, PartState.READY)) == 3
