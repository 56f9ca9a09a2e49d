"""Subscribers get every event of their types, in order per aggregate, each at its own pace; and can replay history."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from isthmus.domain.errors import IsthmusError, NeedsDecision
from isthmus.runtime.books import Books
from isthmus.runtime.loops import FAILURES, keeper
from isthmus.store.records import DeliveryState, EventDelivery, OutboxEvent
from isthmus.store.tx import Tx

if TYPE_CHECKING:
    from isthmus.runtime.kernel import Kernel

ATTEMPTS_MAX = 8


def dispatch(kernel: Kernel, subscriber: str, limit: int = 200) -> int:
    """Hand due events to one subscriber; the number handed over. A failing aggregate waits, others go on.

    Together in one transaction when all goes well, one by one when something does not.
    """
    due = _due(kernel, subscriber, limit)
    if not due:
        return 0
    try:
        return _hand_over(kernel, subscriber, due)
    except FAILURES:
        return _one_by_one(kernel, subscriber, due)


def _due(kernel: Kernel, subscriber: str, limit: int) -> list[EventDelivery]:
    """The next deliveries. What is held back does not count: it must not hide what lies behind it."""
    look = limit
    while True:
        with kernel.store.transaction() as tx:
            waiting = tx.find(
                EventDelivery,
                subscriber=subscriber,
                state=DeliveryState.PENDING,
                order=("aggregate", "sequence"),
                limit=look,
            )
        due, held = [], set()
        for delivery in waiting:
            if delivery.next_at > kernel.clock.now():
                held.add(delivery.aggregate)
            elif delivery.aggregate not in held:
                due.append(delivery)
        if len(due) >= limit or len(waiting) < look:
            return due[:limit]
        look *= 4


def _one_by_one(kernel: Kernel, subscriber: str, due: list[EventDelivery]) -> int:
    done, held = 0, set()
    for delivery in due:
        if delivery.aggregate in held:
            continue
        try:
            done += _hand_over(kernel, subscriber, [delivery])
        except FAILURES as error:
            _put_off(kernel, delivery, error)
            held.add(delivery.aggregate)
    return done


def _hand_over(kernel: Kernel, subscriber: str, due: list[EventDelivery]) -> int:
    listening = kernel.subscribers[subscriber]
    ids = tuple(delivery.event_id for delivery in due)
    with kernel.store.transaction() as tx:
        tx.lock(f"subscriber:{subscriber}")
        current = tx.find(EventDelivery, subscriber=subscriber, state=DeliveryState.PENDING, event_id=ids)
        pending = {delivery.event_id for delivery in current}
        events = tx.find(OutboxEvent, event_id=ids, order=("aggregate", "sequence"))
        for event in listening.concerned(tx, [event for event in events if event.event_id in pending]):
            books = Books(kernel, tx, run_id=event.causation_id, correlation_id=event.correlation_id, actor=event.actor)
            listening.handle(books, event)
        tx.update_many([d.model_copy(update={"state": DeliveryState.DONE, "reason": ""}) for d in current])
        kernel.checkpoint("handing event over")
    kernel.checkpoint("event handed over")
    return len(current)


def _put_off(kernel: Kernel, delivery: EventDelivery, error: BaseException) -> None:
    reason = str(error) if isinstance(error, IsthmusError) else f"bug: {type(error).__name__}: {error}"
    attempts = delivery.attempts + 1
    dead = attempts >= ATTEMPTS_MAX
    later = kernel.clock.now() + timedelta(seconds=min(2**attempts, 300))
    with kernel.store.transaction() as tx:
        changes = {
            "attempts": attempts,
            "next_at": later,
            "reason": reason,
            "state": DeliveryState.DEAD if dead else DeliveryState.PENDING,
        }
        tx.update(delivery.model_copy(update=changes))
        if dead:
            _give_up(kernel, tx, delivery, reason)


def _give_up(kernel: Kernel, tx: Tx, delivery: EventDelivery, reason: str) -> None:
    """No more by itself: a case says so, and its decision hands the event over again."""
    name = f"{delivery.subscriber}:{delivery.event_id}"
    kernel.books(tx, key=f"delivery/{name}", actor="hub").audit("event.dead", name, reason=reason)
    cause = f"event {delivery.event_id} was refused {ATTEMPTS_MAX} times by {delivery.subscriber}: {reason}"
    context = {"event": delivery.event_id, "subscriber": delivery.subscriber}
    told = NeedsDecision("EX-EVENT", cause, queue="integration", context=context, actions=("retry",))
    kernel.open_case(tx, keeper(f"delivery/{name}", name, kernel.clock.now()), 0, "hand an event on", told)


def replay(books: Books, subscriber: str, *, since: datetime | None = None, aggregate: str = "") -> int:
    """Give a subscriber past events again (all, since an instant, or of one aggregate); the number of them.

    A subscriber that joined later gets the events from before its time as well. Business keys make it a no-op for
    money: a run that exists is found, not started again.
    """
    types = books.kernel.subscribers[subscriber].types
    count = 0
    for event in books.tx.find(OutboxEvent, order=("position",)):
        if event.type not in types or (since and event.occurred_at < since) or aggregate not in ("", event.aggregate):
            continue
        again = EventDelivery(
            event_id=event.event_id,
            subscriber=subscriber,
            aggregate=event.aggregate,
            sequence=event.sequence,
            state=DeliveryState.PENDING,
            next_at=books.now,
        )
        books.tx.put(again)
        count += 1
    books.audit("event.replay", subscriber, reason=f"{count} events since {since or 'the first'}")
    return count
