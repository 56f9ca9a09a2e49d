"""Subscribers get every event of their types, in order per aggregate, each at its own pace; and can replay history."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from isthmus.domain.errors import IsthmusError
from isthmus.runtime.books import Books
from isthmus.store.records import DeliveryState, EventDelivery, OutboxEvent

if TYPE_CHECKING:
    from isthmus.runtime.kernel import Kernel

ATTEMPTS_MAX = 8


def dispatch(kernel: Kernel, subscriber: str, limit: int = 200) -> int:
    """Hand due events to one subscriber; the number handed over. A failing aggregate waits, others go on."""
    _, handle = kernel.subscribers[subscriber]
    done, held = 0, set()
    with kernel.store.transaction() as tx:
        pending = tx.find(EventDelivery, subscriber=subscriber, state=DeliveryState.PENDING)
    for delivery in sorted(pending, key=lambda d: (d.aggregate, d.sequence))[:limit]:
        if delivery.aggregate in held:
            continue
        if delivery.next_at > kernel.clock.now() or not _hand_over(kernel, delivery, handle):
            held.add(delivery.aggregate)
        else:
            done += 1
    return done


def _hand_over(kernel: Kernel, delivery: EventDelivery, handle: object) -> bool:
    try:
        with kernel.store.transaction() as tx:
            tx.lock(f"subscriber:{delivery.subscriber}:{delivery.aggregate}")
            current = tx.get(EventDelivery, delivery.event_id, delivery.subscriber)
            if current is None or current.state is not DeliveryState.PENDING:
                return True
            event = tx.get(OutboxEvent, delivery.event_id)
            assert event is not None
            books = Books(kernel, tx, run_id=event.causation_id, correlation_id=event.correlation_id, actor=event.actor)
            handle(books, event)  # type: ignore[operator]
            tx.update(current.model_copy(update={"state": DeliveryState.DONE, "reason": ""}))
            kernel.checkpoint("handing event over")
        kernel.checkpoint("event handed over")
        return True
    except IsthmusError as error:
        _put_off(kernel, delivery, error)
        return False


def _put_off(kernel: Kernel, delivery: EventDelivery, error: IsthmusError) -> None:
    attempts = delivery.attempts + 1
    dead = attempts >= ATTEMPTS_MAX
    later = kernel.clock.now() + timedelta(seconds=min(2**attempts, 300))
    with kernel.store.transaction() as tx:
        changes = {
            "attempts": attempts,
            "next_at": later,
            "reason": error.message,
            "state": DeliveryState.DEAD if dead else DeliveryState.PENDING,
        }
        tx.update(delivery.model_copy(update=changes))
        if dead:
            books = kernel.books(tx, key=f"delivery/{delivery.event_id}", actor="hub")
            books.audit("event.dead", f"{delivery.subscriber}:{delivery.event_id}", reason=error.message)


def replay(books: Books, subscriber: str, *, since: datetime | None = None, aggregate: str = "") -> int:
    """Give a subscriber past events again (all, since an instant, or of one aggregate); the number of them.

    A subscriber that joined later gets the events from before its time as well. Business keys make it a no-op for
    money: a run that exists is found, not started again.
    """
    types, _ = books.kernel.subscribers[subscriber]
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
