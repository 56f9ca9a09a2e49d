"""What the hub keeps of people's work: notes on cases, proposals, bulk fixes, rules, alerts, and console sessions."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from isthmus.store.records import Record


class CaseNote(Record):
    """One line of a case's history: who did what with it, when and why, and what it was before and after."""

    case_no: str
    number: int
    at: datetime
    by: str
    kind: str
    text: str = ""
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


class ProposalState(StrEnum):
    """proposed waits for a second person; the others are final."""

    PROPOSED = "proposed"
    CARRIED_OUT = "carried_out"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


class Proposal(Record):
    """A decision on a case as somebody has made it: with its dry run as evidence, and both versions of edited input."""

    proposal_no: str
    case_no: str
    action: str
    values: dict[str, Any] = Field(default_factory=dict)
    original: dict[str, Any] | None = None
    reason: str
    dry_run: dict[str, Any]
    proposed_by: str
    proposed_at: datetime
    needs_second: bool = False
    why_second: str = ""
    state: ProposalState
    decided_by: str = ""
    decided_at: datetime | None = None
    decided_reason: str = ""
    bulk_no: str = ""
    rule_no: str = ""


class BulkState(StrEnum):
    """A bulk fix is looked at before it is carried out; money in it waits for a second person like any other."""

    PREVIEWING = "previewing"
    PREVIEWED = "previewed"
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"


class BulkFix(Record):
    """The same decision on many cases of one cause."""

    bulk_no: str
    exception: str
    group_key: str
    action: str
    values: dict[str, Any] = Field(default_factory=dict)
    reason: str
    state: BulkState
    asked_by: str
    asked_at: datetime
    entities: list[str] | None = None
    roles: list[str] = Field(default_factory=list)
    approved_by: str = ""
    approved_reason: str = ""
    ended_at: datetime | None = None


class BulkItem(Record):
    """What a bulk fix does to one case, and what came of it."""

    bulk_no: str
    case_no: str
    state: str = "asked"
    told: str = ""
    dry_run: dict[str, Any] | None = None
    proposal_no: str = ""
    at: datetime


class RuleState(StrEnum):
    """A rule decides nothing until another person than its author has reviewed it, and nothing after it is retired."""

    PROPOSED = "proposed"
    ACTIVE = "active"
    DECLINED = "declined"
    RETIRED = "retired"


class DeskRule(Record):
    """A decision that is made by itself from now on: for cases of a type whose facts match. Reversible."""

    rule_no: str
    exception: str
    match: dict[str, Any]
    action: str
    values: dict[str, Any] = Field(default_factory=dict)
    text: str
    from_case: str
    state: RuleState
    proposed_by: str
    proposed_at: datetime
    reviewed_by: str = ""
    reviewed_at: datetime | None = None
    review_reason: str = ""
    retired_by: str = ""
    retired_at: datetime | None = None
    retired_reason: str = ""


class ClientAlias(Record):
    """A client number that stands for another one since a steward has merged them; inactive once split again."""

    client_no: str
    canonical_no: str
    active: bool = True
    by: str
    at: datetime
    reason: str
    case_no: str = ""


class AlertState(StrEnum):
    """Where one alert stands with one receiver."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"


class Alert(Record):
    """What a receiver is told about a case: once for each level of its weight."""

    alert_id: str
    receiver: str
    case_no: str
    weight: int
    text: str
    body: dict[str, Any]
    state: AlertState
    attempts: int = 0
    next_at: datetime
    sent_at: datetime | None = None
    reason: str = ""


class Session(Record):
    """Somebody who is logged in to the console. The cookie holds a secret; this holds only its hash."""

    session_hash: str
    name: str
    roles: list[str]
    entities: list[str] | None = None
    via: str
    csrf: str
    address: str = ""
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None


class LoginStart(Record):
    """A login that was sent to the identity provider and has not come back yet."""

    state_hash: str
    nonce: str
    verifier: str
    next_page: str
    created_at: datetime


class LockOut(Record):
    """Failed attempts to log in, of one name or from one address."""

    who: str
    failures: int
    first_at: datetime
    locked_until: datetime | None = None
