"""What a deciding step works with: the hub's own books in one transaction, the clock, people's answers, events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from isthmus.domain.errors import BadInput
from isthmus.domain.events import EVENT_TYPES, SCHEMA_VERSION
from isthmus.domain.objects import LegalEntity
from isthmus.runtime.clock import local_day
from isthmus.runtime.hashing import content_hash
from isthmus.store.records import AuditEntry, Decision, DeliveryState, EventDelivery, OutboxEvent, QuietDecision, RunRow
from isthmus.store.tx import Tx

if TYPE_CHECKING:
    from isthmus.runtime.kernel import Kernel


class Books:
    """One transaction of one run (or of a request: then run_id is the request's key)."""

    def __init__(self, kernel: Kernel, tx: Tx, *, run_id: str, correlation_id: str, actor: str = "hub") -> None:
        self.kernel = kernel
        self.tx = tx
        self.run_id = run_id
        self.correlation_id = correlation_id
        self.actor = actor
        self._answers: Mapping[str, Mapping[str, Any]] | None = None

    @property
    def now(self) -> datetime:
        """The instant of this step, UTC."""
        return self.kernel.clock.now()

    def entity(self, code: str) -> LegalEntity:
        """A legal entity of the firm. BadInput when there is none."""
        found = self.tx.get(LegalEntity, code)
        if found is None:
            raise BadInput(f"legal entity {code!r} is not set up")
        return found

    def entities(self) -> dict[str, LegalEntity]:
        """All legal entities by code."""
        return {entity.code: entity for entity in self.tx.find(LegalEntity)}

    def today(self, entity: str) -> date:
        """The calendar day where the entity is."""
        return local_day(self.now, self.entity(entity).time_zone)

    @property
    def answers(self) -> Mapping[str, Mapping[str, Any]]:
        """What people have decided for this run, by exception type; read once, for all entries of a batch."""
        if self._answers is None:
            self._answers = {d.exception: d.values for d in self.tx.find(Decision, run_id=self.run_id)}
        return self._answers

    def emit(self, event_type: str, aggregate: str, payload: dict[str, Any], entity: str = "") -> None:
        """Publish an event with this transaction: one row, and one delivery for each subscriber of its type."""
        self.emit_many(event_type, [(aggregate, payload)], entity)

    def emit_many(self, event_type: str, facts: Sequence[tuple[str, dict[str, Any]]], entity: str = "") -> None:
        """The same event of several aggregates (aggregate, payload), each aggregate any number of times."""
        assert event_type in EVENT_TYPES, f"event {event_type} is not declared in domain.events"
        if not facts:
            return
        events = [self._event(event_type, aggregate, payload, entity) for aggregate, payload in facts]
        events = self._numbered(events)
        self.tx.insert_many(events)
        deliveries = [
            EventDelivery(
                event_id=event.event_id,
                subscriber=subscriber,
                aggregate=event.aggregate,
                sequence=event.sequence,
                state=DeliveryState.PENDING,
                next_at=self.now,
            )
            for event in events
            for subscriber in self.kernel.subscribers_of(event_type)
        ]
        self.tx.insert_many(deliveries)

    def _numbered(self, events: list[OutboxEvent]) -> list[OutboxEvent]:
        """Sequences per aggregate: the counter's row lock keeps an aggregate's events in the order of their commits."""
        counts: dict[str, int] = {}
        for event in events:
            counts[event.aggregate] = counts.get(event.aggregate, 0) + 1
        names = [f"event:{aggregate}" for aggregate in counts]
        last = dict(zip(counts, self.tx.add_many(names, list(counts.values())), strict=True))
        given = {aggregate: last[aggregate] - count for aggregate, count in counts.items()}
        numbered = []
        for event in events:
            given[event.aggregate] += 1
            sequence = given[event.aggregate]
            numbered.append(
                event.model_copy(update={"sequence": sequence, "event_id": f"{event.aggregate}/{sequence}"})
            )
        return numbered

    def _event(self, event_type: str, aggregate: str, payload: dict[str, Any], entity: str) -> OutboxEvent:
        return OutboxEvent(
            event_id="",
            type=event_type,
            schema_version=SCHEMA_VERSION,
            occurred_at=self.now,
            entity=entity,
            aggregate=aggregate,
            sequence=0,
            correlation_id=self.correlation_id,
            causation_id=self.run_id,
            actor=self.actor,
            payload=payload,
        )

    def audit(
        self,
        action: str,
        subject: str,
        *,
        reason: str = "",
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
        actor: str = "",
    ) -> None:
        """Keep who did what and why. Chained by hash when the sealer next runs."""
        entry = AuditEntry(
            audit_id=f"{subject}/{self.tx.next('audit:' + subject)}",
            at=self.now,
            actor=actor or self.actor,
            action=action,
            subject=subject,
            reason=reason,
            before=before,
            after=after,
            correlation_id=self.correlation_id,
        )
        self.tx.insert(entry)

    def audit_many(self, action: str, facts: Sequence[tuple[str, dict[str, Any], str]]) -> None:
        """The same action on many subjects (subject, after, reason), each named once."""
        numbers = self.tx.add_many([f"audit:{subject}" for subject, _, _ in facts], [1] * len(facts))
        entries = [
            AuditEntry(
                audit_id=f"{subject}/{number}",
                at=self.now,
                actor=self.actor,
                action=action,
                subject=subject,
                reason=reason,
                before=None,
                after=after,
                correlation_id=self.correlation_id,
            )
            for (subject, after, reason), number in zip(facts, numbers, strict=True)
        ]
        self.tx.insert_many(entries)

    def quiet(self, kind: str, subject: str, reason: str) -> None:
        """Keep a decision nobody need act on, once."""
        key = content_hash([kind, subject, reason])[:24]
        self.tx.insert_new(QuietDecision(decision_id=key, kind=kind, subject=subject, reason=reason, at=self.now))

    def start(
        self, process_name: str, key: str, args: dict[str, Any], *, entity: str = "", correlation_id: str = ""
    ) -> RunRow:
        """Start (or find) the run of a process for a business key, with this transaction."""
        return self.kernel.start(
            self.tx, process_name, key, args, entity=entity, correlation_id=correlation_id or self.correlation_id
        )
