"""Messages that arrive together are kept together: one commit for all of them, an answer for each after it.

A caller waits for its own durable commit as before; the database sees one transaction where it would have seen many.
What is not plain (a repeat, another type, ownership that differs by entity) takes the single path.
"""

from __future__ import annotations

import queue
from concurrent.futures import Future, ThreadPoolExecutor

from sqlalchemy.exc import SQLAlchemyError

from isthmus.app.api.intake import KIND, Delivery, take_in, understand
from isthmus.app.bootstrap import Hub
from isthmus.app.taking.said import Answer, Said
from isthmus.domain.errors import IsthmusError
from isthmus.processes import sweeps
from isthmus.runtime import inbox
from isthmus.runtime.hashing import content_hash
from isthmus.store.records import IdempotentReply, MessageState
from isthmus.store.tx import Tx

TOGETHER_MAX = 128
SINGLES = 8
Waiting = tuple[Delivery, "Future[Answer]"]
Plain = tuple[Delivery, Said, "Future[Answer]"]


class Gatherer:
    """One round at a time takes whatever is waiting, up to a limit, and commits it."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self._rounds = ThreadPoolExecutor(1, thread_name_prefix="isthmus-gatherer")
        self._singles = ThreadPoolExecutor(SINGLES, thread_name_prefix="isthmus-single")
        self._waiting: queue.SimpleQueue[Waiting] = queue.SimpleQueue()

    def take_in(self, delivery: Delivery) -> Future[Answer]:
        """The answer, once the message is durable; or why it is refused."""
        answer: Future[Answer] = Future()
        self._waiting.put((delivery, answer))
        self._rounds.submit(self._round)  # one round per message at most; a round that finds nothing ends at once
        return answer

    def _round(self) -> None:
        together: list[Waiting] = []
        while len(together) < TOGETHER_MAX and not self._waiting.empty():
            delivery, answer = self._waiting.get()
            if answer.set_running_or_notify_cancel():  # nobody can call it off while it is being written
                together.append((delivery, answer))
        try:
            plain, single = self._sorted(together)
            left = self._keep(plain)
        except BaseException as bug:  # whoever waits must hear of it: an answer that never comes is the worst one
            for _, answer in together:
                if not answer.done():
                    answer.set_exception(bug)
            raise
        for delivery, answer in [*single, *left]:
            self._alone(delivery, answer)

    def _sorted(self, together: list[Waiting]) -> tuple[list[Plain], list[Waiting]]:
        """New messages of approved time that may be written at once, and all others."""
        plain: dict[tuple[str, str], Plain] = {}
        single: list[Waiting] = []
        for delivery, answer in together:
            key = (delivery.connection.name, delivery.message_id)
            said = self._plain(delivery)
            if said is None or key in plain:
                single.append((delivery, answer))
            else:
                plain[key] = (delivery, said, answer)
        return [plain[key] for key in sorted(plain)], single

    def _plain(self, delivery: Delivery) -> Said | None:
        try:
            said = understand(delivery)
            if not said.entries or any(r.object == said.obj and r.entity != "*" for r in self.hub.gate.rules):
                return None
            self.hub.gate.check(writer=delivery.connection.writes_as, obj=said.obj, fields=said.fields)
            return said
        except IsthmusError:
            return None  # the single path refuses it, with everything a refusal leaves behind

    def _keep(self, plain: list[Plain]) -> list[Waiting]:
        """Commit what is plain and answer; what was there before is left for the single path."""
        if not plain:
            return []
        try:
            with self.hub.store.transaction() as tx:
                answers = self._write(tx, plain)
            self.hub.kernel.checkpoint("webhooks kept")
        except (IsthmusError, SQLAlchemyError):  # each on its own: the one that cannot be kept is told why
            return [(delivery, answer) for delivery, _, answer in plain]
        left = []
        for (delivery, _, answer), told in zip(plain, answers, strict=True):
            if told is None:
                left.append((delivery, answer))
            else:
                answer.set_result(told)
        return left

    def _write(self, tx: Tx, plain: list[Plain]) -> list[Answer | None]:
        books = self.hub.kernel.books(tx, key="webhooks", actor="hub")
        arrivals = [inbox.Arrival(d.connection.name, d.message_id, KIND, "", d.raw) for d, _, _ in plain]
        fresh = inbox.accept_new(books, arrivals, MessageState.APPLIED)
        entries = [
            (n, sweeps.arrival_of(d.connection.name, e))
            for n, (d, s, _) in enumerate(plain)
            if fresh[n]
            for e in s.entries
        ]
        entries.sort(key=lambda pair: pair[1].message_id)  # one order for all, so that nobody locks crosswise
        new = inbox.accept_new(books, [arrival for _, arrival in entries], MessageState.ACCEPTED)
        inbox.accept_many(books, [arrival for (_, arrival), is_new in zip(entries, new, strict=True) if not is_new])
        self.hub.kernel.checkpoint("keeping webhooks")
        accepted = [0] * len(plain)
        for (n, _), is_new in zip(entries, new, strict=True):
            accepted[n] += is_new
        ids: dict[int, list[str]] = {n: [] for n in range(len(plain))}
        for n, arrival in entries:
            ids[n].append(arrival.message_id)
        answers = [self._answer(p, accepted[n], ids[n]) if fresh[n] else None for n, p in enumerate(plain)]
        replies = [
            IdempotentReply(
                caller=f"connection:{delivery.connection.name}",
                idempotency_key=delivery.message_id,
                route=KIND,
                body_hash=content_hash(delivery.raw),
                status=202,
                reply=told,
                created_at=books.now,
            )
            for (delivery, _, _), told in zip(plain, answers, strict=True)
            if told is not None
        ]
        tx.insert_new_many(replies)
        return answers

    @staticmethod
    def _answer(plain: Plain, accepted: int, ids: list[str]) -> Answer:
        delivery, said, _ = plain
        known = len(said.entries) - accepted
        return {"accepted": accepted, "duplicates": known, "message_ids": [delivery.message_id, *ids]}

    def _alone(self, delivery: Delivery, answer: Future[Answer]) -> None:
        """In a thread of its own; a refusal is raised where the caller waits."""

        def hand_on(done: Future[Answer]) -> None:
            refused = done.exception()
            if refused is not None:
                answer.set_exception(refused)
            else:
                answer.set_result(done.result())

        self._singles.submit(take_in, self.hub, delivery).add_done_callback(hand_on)
