"""What the hub keeps besides canonical objects: runs and their steps, effects, messages, events, cases, audit.

Plain immutable records, one table each (see tables.py). Instants are UTC.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from isthmus.domain.money import Exact
from isthmus.domain.states import CaseState


class Record(BaseModel):
    """Base of all records."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RunState(StrEnum):
    """queued and running move by themselves; waiting wakes at wake_at; parked needs a person."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    PARKED = "parked"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


class RunRow(Record):
    """One durable run of a process. run_id is the process and its business key.

    committed: a final step is done (an invoice has its number): the run can no longer be cancelled. claim: counts the
    workers that have taken it up; only the last one may write.
    """

    run_id: str
    process: str
    key: str
    args: dict[str, Any]
    args_hash: str
    state: RunState
    attempt: int = 1
    claim: int = 0
    tries: int = 0
    wake_at: datetime | None = None
    waiting_since: datetime | None = None
    reason: str = ""
    cancelling: bool = False
    committed: bool = False
    entity: str = ""
    lane: str = "standard"
    correlation_id: str
    created_at: datetime
    updated_at: datetime


class RunStep(Record):
    """A finished step: its output is what the run continues with after a crash, and one line of the timeline."""

    run_id: str
    seq: int
    phrase: str
    kind: str
    output: Any = None
    summary: str = ""
    system: str = ""
    amount: Exact | None = None
    currency: str = ""
    started_at: datetime
    ended_at: datetime


class EffectState(StrEnum):
    """The in-doubt protocol. intended is written before anything is sent; not_sent is known to have changed nothing."""

    INTENDED = "intended"
    NOT_SENT = "not_sent"
    IN_DOUBT = "in_doubt"
    DONE = "done"
    FOUND = "found"
    RESENT = "resent"
    REFUSED = "refused"
    UNDONE = "undone"


class Effect(Record):
    """One write to another system, by business key."""

    effect_key: str
    run_id: str
    seq: int
    connection: str
    verb: str
    business_key: str
    args_hash: str
    state: EffectState
    result: Any = None
    sends: int = 0
    lookups: int = 0
    digests: list[dict[str, Any]] = Field(default_factory=list)
    amount: Exact | None = None
    currency: str = ""
    correlation_id: str = ""
    created_at: datetime
    sent_at: datetime | None = None
    in_doubt_since: datetime | None = None
    done_at: datetime | None = None


class MessageState(StrEnum):
    """accepted waits for its run; the others are decisions with a reason."""

    ACCEPTED = "accepted"
    TAKEN = "taken"
    APPLIED = "applied"
    DUPLICATE = "duplicate"
    STALE = "stale"
    QUARANTINED = "quarantined"


class InboxMessage(Record):
    """A message as it came in, raw. Unique by source and message id."""

    source: str
    message_id: str
    kind: str
    aggregate: str
    content_hash: str
    raw: str
    state: MessageState
    reason: str = ""
    run_id: str = ""
    duplicates: int = 0
    received_at: datetime


class OutboxEvent(Record):
    """An event of the business, written with the change it speaks of."""

    event_id: str
    position: int = 0
    type: str
    schema_version: int
    occurred_at: datetime
    entity: str
    aggregate: str
    sequence: int
    correlation_id: str
    causation_id: str
    actor: str
    payload: dict[str, Any]


class DeliveryState(StrEnum):
    """Where one subscriber stands with one event."""

    PENDING = "pending"
    DONE = "done"
    DEAD = "dead"


class EventDelivery(Record):
    """One subscriber's copy of an event: independent of all other subscribers."""

    event_id: str
    subscriber: str
    aggregate: str
    sequence: int
    state: DeliveryState
    attempts: int = 0
    next_at: datetime
    reason: str = ""


class CrossReference(Record):
    """The crosswalk: a canonical key and the id another system gave it."""

    object_type: str
    key: str
    system: str
    remote_type: str
    remote_id: str
    version: str = ""


class AuditEntry(Record):
    """Who did what, when, why, before and after. Chained by hash once sealed; chain 0 means not sealed yet."""

    audit_id: str
    at: datetime
    actor: str
    action: str
    subject: str
    reason: str = ""
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    correlation_id: str = ""
    chain: int = 0
    previous_hash: str = ""
    hash: str = ""


class Case(Record):
    """What a person must decide.

    record: the business record it is about, such as time:psa:77; what succeeds for it later closes the case. group_key:
    the same for all cases of one cause. due_at: when it should be decided by; escalate_at: when it moves to the next
    level unless it waits for somebody (waiting_for, until waiting_until). pending: the proposal that waits for a second
    person.
    """

    case_no: str
    run_id: str
    seq: int
    exception: str
    cause: str
    queue: str
    severity: str = "normal"
    amount: Exact | None = None
    currency: str = ""
    entity: str = ""
    subject: str = ""
    context: dict[str, Any] = Field(default_factory=dict)
    actions: list[str] = Field(default_factory=list)
    tried: str = ""
    state: CaseState = CaseState.OPEN
    opened_at: datetime
    opened_by: str = "hub"
    resolved_at: datetime | None = None
    resolved_by: str = ""
    resolution: dict[str, Any] | None = None
    correlation_id: str = ""
    record: str = ""
    client_no: str = ""
    contract_no: str = ""
    invoice_id: str = ""
    group_key: str = ""
    assignee: str = ""
    due_at: datetime | None = None
    escalate_at: datetime | None = None
    escalation: int = 0
    tags: list[str] = Field(default_factory=list)
    waiting_for: str = ""
    waiting_since: datetime | None = None
    waiting_until: datetime | None = None
    pending: str = ""


class Decision(Record):
    """A person's answer that the run's steps read: by exception type. Both the asked and the answered version stay."""

    run_id: str
    exception: str
    values: dict[str, Any]
    case_no: str
    decided_by: str
    decided_at: datetime


class ConnectionState(Record):
    """Health of a connection: paused ones hold their runs."""

    connection: str
    paused: bool = False
    reason: str = ""
    changed_at: datetime


class Watermark(Record):
    """How far a feed of a connection has been read."""

    connection: str
    feed: str
    value: str
    read_at: datetime


class Executor(Record):
    """A worker process that is alive; its lease is seen + the fleet's lease time.

    host: the machine's name, and after a slash what tells the process from any other there (runtime.fleet).
    """

    executor_id: str
    host: str
    pid: int
    version: str
    started_at: datetime
    seen_at: datetime


class IdempotentReply(Record):
    """The answer given under an Idempotency-Key, for the same caller and route."""

    caller: str
    idempotency_key: str
    route: str
    body_hash: str
    status: int
    reply: Any = None
    created_at: datetime


class Counter(Record):
    """A gapless counter: its increments commit and roll back with their transaction."""

    name: str
    value: int


class QuietDecision(Record):
    """Something the hub decided by itself and nobody need act on: a duplicate, a stale message. Kept as evidence."""

    decision_id: str
    kind: str
    subject: str
    reason: str
    at: datetime


class FirmVersion(Record):
    """One applied state of the firm folder: what it said, who applied it and who approved."""

    version: int
    content: dict[str, Any]
    content_hash: str
    applied_by: str
    approved_by: str
    applied_at: datetime


class SealedSecret(Record):
    """A secret, sealed: its box under a data key, the data key under the master key that key_id names. Never opened by
    anybody without the master key, which is kept elsewhere.
    """

    name: str
    version: int
    key_id: str
    wrapped_key: str
    box: str
    changed_by: str
    changed_at: datetime


class EntrySeen(Record):
    """The latest approval seen of an entry whose content did not change: what comes with an earlier one is stale."""

    source: str
    source_id: str
    approved_at: datetime


class StageTime(Record):
    """When a contract first reached a stage of its way from approval to cash."""

    contract_no: str
    stage: str
    at: datetime
    event_id: str


class Notice(Record):
    """What a queue is told about a case, for a chat or mail relay to pick up."""

    case_no: str
    queue: str
    text: str
    at: datetime
    event_id: str
