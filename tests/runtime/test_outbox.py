"""Events are one commit with their change; subscribers are independent, ordered per aggregate, and can replay."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from isthmus.domain.errors import LostRace
from isthmus.domain.objects import BillableItem, BillablePart, Invoice
from isthmus.processes.subscribers import SUBSCRIBERS
from isthmus.runtime import outbox
from isthmus.runtime.books import Books
from isthmus.runtime.kernel import Subscriber
from isthmus.store.records import DeliveryState, EventDelivery, Notice, OutboxEvent, StageTime
from tests.processes.hub import Hub, contract, entry


def seen_by(hub: Hub, name: str) -> list[str]:
    """Add a subscriber that notes the events it gets."""
    seen: list[str] = []
    hub.kernel.subscribers[name] = Subscriber(
        frozenset({"time.approved", "time.corrected"}),
        lambda books, e: seen.append(e.event_id),
    )
    return seen


def test_a_rolled_back_change_has_no_event() -> None:
    hub = Hub()
    with pytest.raises(RuntimeError), hub.store.transaction() as tx:
        hub.kernel.books(tx, key="k", actor="a").emit("invoice.paid", "invoice:1", {})
        raise RuntimeError
    assert hub.rows(OutboxEvent) == []


@pytest.mark.requirement("PAT-10", "PAT-11")
def test_subscribers_are_independent_and_a_late_one_replays_from_the_first_event() -> None:
    hub = Hub()
    early, third = seen_by(hub, "early"), seen_by(hub, "third")
    hub.set_up()
    hub.capture(entry(1, "4.0"), entry(2, "3.0", day=4))
    assert outbox.dispatch(hub.kernel, "early") == 2
    late = seen_by(hub, "late")
    assert outbox.dispatch(hub.kernel, "late") == 0
    with hub.store.transaction() as tx:
        books = hub.kernel.books(tx, key="replay", actor="ines")
        assert outbox.replay(books, "late") == 2
    outbox.dispatch(hub.kernel, "late")
    assert late == early
    assert outbox.dispatch(hub.kernel, "early") == 0, "the other's replay is not his"
    assert third == [] and outbox.dispatch(hub.kernel, "third") == 2 and third == early, "each at its own pace"


@pytest.mark.requirement("RES-03", "EVT-16")
def test_a_failing_event_holds_back_its_own_aggregate_only_and_is_buried_with_a_record() -> None:
    hub = Hub()
    handled: list[str] = []

    def handle(books: Books, event: Any) -> None:
        if event.event_id == "time:psa:1/1":
            raise LostRace("poison")
        handled.append(event.event_id)

    hub.kernel.subscribers["picky"] = Subscriber(frozenset({"time.approved", "time.corrected"}), handle)
    hub.set_up()
    hub.capture(entry(1, "4.0"), entry(2, "3.0", day=4))
    later = entry(1, "5.0").model_copy(update={"approved_at": entry(1, "5.0").approved_at + timedelta(days=1)})
    hub.capture(later)
    assert outbox.dispatch(hub.kernel, "picky") == 1
    assert handled == ["time:psa:2/1"]
    assert outbox.dispatch(hub.kernel, "picky") == 0, "while the first one waits, the second one waits with it"
    for _ in range(outbox.ATTEMPTS_MAX - 2):
        hub.clock.move(timedelta(minutes=10))
        outbox.dispatch(hub.kernel, "picky")
    assert handled == ["time:psa:2/1"], "what comes after it in its aggregate never overtakes it while it may succeed"
    for _ in range(2):
        hub.clock.move(timedelta(minutes=10))
        outbox.dispatch(hub.kernel, "picky")
    states = {d.event_id: d.state for d in hub.rows(EventDelivery, subscriber="picky")}
    assert states["time:psa:1/1"] is DeliveryState.DEAD
    assert handled == ["time:psa:2/1", "time:psa:1/2"], "given up with a record, it holds nothing back any more"


def test_what_is_held_back_hides_nothing_behind_it() -> None:
    hub = Hub()
    handled: list[str] = []

    def handle(books: Books, event: Any) -> None:
        if event.aggregate < "time:psa:4":
            raise LostRace("poison")
        handled.append(event.aggregate)

    hub.kernel.subscribers["picky"] = Subscriber(frozenset({"time.approved"}), handle)
    hub.set_up()
    hub.capture(*(entry(number, "1.0", note=f"work {number}") for number in range(1, 7)))
    for _ in range(3):
        outbox.dispatch(hub.kernel, "picky", limit=2)
    assert handled == ["time:psa:4", "time:psa:5", "time:psa:6"]


def test_a_bug_of_a_subscriber_ends_as_a_case_whose_decision_hands_the_event_over_again() -> None:
    hub = Hub()
    broken, handled = [True], []

    def handle(books: Books, event: Any) -> None:
        assert not broken[0], "a wrong sign"
        handled.append(event.event_id)

    hub.kernel.subscribers["picky"] = Subscriber(frozenset({"time.approved"}), handle)
    hub.set_up()
    hub.capture(entry(1, "4.0"))
    for _ in range(outbox.ATTEMPTS_MAX + 2):
        outbox.dispatch(hub.kernel, "picky")
        hub.clock.move(timedelta(minutes=10))
    case = hub.case()
    assert case.exception == "EX-EVENT" and "a wrong sign" in case.cause and handled == []
    broken[0] = False
    hub.resolve("retry")
    assert outbox.dispatch(hub.kernel, "picky") == 1 and handled == ["time:psa:1/1"]


@pytest.mark.requirement("EVT-15", "KPI-06", "RES-04")
def test_the_shipped_subscribers_keep_stages_and_notices_once_and_replay_changes_nothing() -> None:
    hub = Hub(subscribers=dict(SUBSCRIBERS))
    hub.set_up(contract(payment_terms="NET33"))
    hub.resolve("map", payment_terms="NET30")
    hub.later(days=1)
    hub.capture(entry(1, "4.0"))
    hub.later(days=2)
    hub.bill("one")
    for name in SUBSCRIBERS:
        outbox.dispatch(hub.kernel, name)
    stages = {row.stage: row.at for row in hub.rows(StageTime)}
    assert set(stages) >= {"approved", "active", "first time", "first draft", "first invoice", "first posting"}
    assert stages["first invoice"] - stages["first time"] == timedelta(days=2)
    assert [(n.queue, n.text[:10]) for n in hub.rows(Notice)] == [("receivables", "CASE-00001")]
    books_of_money = (BillableItem, BillablePart, Invoice)
    money = [hub.rows(model) for model in books_of_money]
    last_day = hub.clock.now() - timedelta(days=1)
    for since in (last_day, None):
        with hub.store.transaction() as tx:
            for name in SUBSCRIBERS:
                outbox.replay(hub.kernel.books(tx, key="replay", actor="ines"), name, since=since)
        for name in SUBSCRIBERS:
            outbox.dispatch(hub.kernel, name)
        hub.go()
    assert all(money) and [hub.rows(model) for model in books_of_money] == money
    assert hub.systems.erp.duplicates() == []
    assert {row.stage: row.at for row in hub.rows(StageTime)} == stages
    assert len(hub.rows(Notice)) == 1
