"""Who is told of which case: by weight, once for each level, one message for one cause, in words people can act on."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from isthmus.desk import alerts
from isthmus.store.desk_records import Alert, AlertState
from isthmus.store.records import Case
from tests.desk.stage import FINN, Desk
from tests.desk.test_learning import another
from tests.processes.hub import contract

CHAT = {"name": "chat", "kind": "webhook", "address": "https://chat.example/1", "from_weight": 4}


def desk_with(*receivers: dict[str, Any]) -> Desk:
    return Desk({"receivers": list(receivers)})


def raised(desk: Desk) -> int:
    with desk.books(FINN) as books:
        return alerts.raise_alerts(books, desk.config, "https://hub.example/")


def pending(desk: Desk, receiver: str = "chat") -> list[Alert]:
    return desk.rows(Alert, receiver=receiver, state=AlertState.PENDING, order=("alert_id",))


@pytest.mark.requirement("EXC-13")
def test_a_heavy_case_is_told_with_its_context() -> None:
    desk = desk_with(CHAT)
    desk.set_up(contract(dimensions={"practice": "DIGITAL"}))  # high, 10,000.00: 2 and 3 points
    assert raised(desk) == 1
    (alert,) = pending(desk)
    assert (alert.alert_id, alert.weight) == (f"chat/{desk.case().case_no}/5", 5)
    data = alert.body["data"]
    assert data["client"] == "Harbor Mutual" and data["contract"] == "K-1" and data["owner"] == "Finance master data"
    assert data["at_stake"] == {"USD": "10000.00"} and data["link"] == "https://hub.example/console/cases/CASE-00001"
    assert alert.text.splitlines() == [
        "A financial dimension is missing: Harbor Mutual",
        "10,000.00 USD at stake",
        "CASE-00001",
        desk.case().cause,
        "contract K-1, entity US01",
        "Finance master data, to decide by 2026-03-02 23:00 UTC",
        "weight 5 of 10",
        "https://hub.example/console/cases/CASE-00001",
    ]


def test_a_light_case_is_told_when_age_has_made_it_heavy_and_again_at_the_next_weight() -> None:
    desk = desk_with({**CHAT, "from_weight": 6})
    desk.set_up(contract(dimensions={"practice": "DIGITAL"}))
    assert raised(desk) == 0
    desk.clock.move(timedelta(hours=4, minutes=1))  # half of eight hours
    assert (raised(desk), raised(desk)) == (1, 0)
    desk.clock.move(timedelta(hours=4))
    assert raised(desk) == 1
    assert [alert.weight for alert in pending(desk)] == [6, 7]
    assert "overdue since 2026-03-02 23:00 UTC" in pending(desk)[1].text
    desk.decide(FINN, "fill", cost_center="CC-9")
    desk.clock.move(timedelta(days=9))
    assert raised(desk) == 0, "what is decided is told no more"


def test_more_money_weighs_more() -> None:
    desk = desk_with({**CHAT, "from_weight": 1})
    desk.set_up(contract(dimensions={"practice": "DIGITAL"}))
    case = desk.case()
    for amount, expected in (("5.00", 3), ("5000.00", 4), ("500000.00", 6)):
        with desk.store.transaction() as tx:
            tx.update(case.model_copy(update={"amount": Decimal(amount)}))
        raised(desk)
        assert max(alert.weight for alert in pending(desk)) == expected


def test_one_cause_is_one_message_however_many_cases() -> None:
    desk = desk_with({**CHAT, "from_weight": 2})
    for number in range(1, 31):
        another(desk, number, payment_terms="NET-30")
    assert raised(desk) == 1
    (alert,) = pending(desk)
    assert alert.body["data"]["count"] == 30 and "30 cases of one cause" in alert.text
    assert alert.body["data"]["at_stake"] == {"USD": "300000.00"}
    assert alert.body["data"]["link"].endswith(f"/console/groups/{desk.rows(Case)[0].group_key}")
    assert len(desk.rows(Alert)) == 30 and raised(desk) == 0


def test_a_receiver_hears_of_its_own_queues_and_companies_alone() -> None:
    quiet = {"from_weight": 0}
    desk = desk_with(
        {**CHAT, **quiet, "name": "tax", "queues": ["tax"]},
        {**CHAT, **quiet, "name": "masters", "queues": ["finance-master-data"]},
        {**CHAT, **quiet, "name": "germany", "entities": ["DE01"]},
        {**CHAT, **quiet, "name": "all"},
    )
    desk.set_up(contract(dimensions={"practice": "DIGITAL"}))
    assert raised(desk) == 2
    assert {alert.receiver for alert in desk.rows(Alert)} == {"masters", "all"}
