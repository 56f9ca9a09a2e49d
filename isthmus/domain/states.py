"""The states of canonical objects and the only moves between them.

An object's state is changed by :func:`move` alone, which returns a new object; a pair that is not in the table cannot
be made. The tables are the ones of the canonical model, limited to the objects the hub keeps so far.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from pydantic import BaseModel

from isthmus.domain.errors import IllegalTransition


class EngagementState(StrEnum):
    """Engagement: owned by the hub's process; ready only when every readiness check passes."""

    REQUESTED = "requested"
    VALIDATING = "validating"
    PAUSED = "paused"
    PROVISIONING = "provisioning"
    READY = "ready"
    ACTIVE = "active"
    CLOSED = "closed"
    CANCELLED = "cancelled"


class PartState(StrEnum):
    """A billable part is always in exactly one of these."""

    READY = "ready"
    HELD = "held"
    DEFERRED = "deferred"
    OVER_CAP = "over_cap"
    ON_DRAFT = "on_draft"
    INVOICED = "invoiced"
    CREDITED = "credited"
    WRITTEN_OFF = "written_off"
    TRANSFERRED = "transferred"
    SUPERSEDED = "superseded"


class InvoiceLife(StrEnum):
    """Life of an invoice: an issued one is never discarded."""

    DRAFT = "draft"
    ISSUED = "issued"
    CREDITED = "credited"
    DISCARDED = "discarded"


class Composition(StrEnum):
    """Track 1 of 5: what is on the invoice and who agreed."""

    DRAFTED = "drafted"
    IN_REVIEW = "in_review"
    APPROVED = "approved"


class TaxTrack(StrEnum):
    """Track 2 of 5."""

    PENDING = "pending"
    CALCULATED = "calculated"
    COMMITTED = "committed"
    FAILED = "failed"


class Posting(StrEnum):
    """Track 3 of 5: owned by the ERP."""

    NOT_POSTED = "not_posted"
    POSTING = "posting"
    POSTED = "posted"
    REJECTED = "rejected"


class Delivery(StrEnum):
    """Track 4 of 5."""

    NOT_SENT = "not_sent"
    SENT = "sent"
    DELIVERED = "delivered"
    BOUNCED = "bounced"


class Settlement(StrEnum):
    """Track 5 of 5: owned by the ERP."""

    OPEN = "open"
    PARTIALLY_PAID = "partially_paid"
    PAID = "paid"
    WRITTEN_OFF = "written_off"


class DisputeState(StrEnum):
    """A client contests a line."""

    OPEN = "open"
    INVESTIGATING = "investigating"
    UPHELD = "upheld"
    PARTIALLY_UPHELD = "partially_upheld"
    REJECTED = "rejected"
    CLOSED = "closed"


class PeriodState(StrEnum):
    """A fiscal period of one entity and domain. soft_closed: finance only; reopened takes two approvals."""

    FUTURE = "future"
    OPEN = "open"
    SOFT_CLOSED = "soft_closed"
    CLOSED = "closed"
    REOPENED = "reopened"


class BillState(StrEnum):
    """A subcontractor's bill. confirmed: its hours are paid once and for all; payable: nothing holds its payment."""

    RECEIVED = "received"
    MATCHED = "matched"
    DISPUTED = "disputed"
    CONFIRMED = "confirmed"
    POSTED = "posted"
    PAYABLE = "payable"
    CANCELLED = "cancelled"


class CaseState(StrEnum):
    """A case a person works on."""

    OPEN = "open"
    RESOLVED = "resolved"
    WAIVED = "waived"
    CANCELLED = "cancelled"


State = StrEnum
_E, _P, _L, _C = EngagementState, PartState, InvoiceLife, Composition
_T, _X, _D, _S, _K = TaxTrack, Posting, Delivery, Settlement, CaseState
_Q, _F, _B = DisputeState, PeriodState, BillState

# Keyed by the enumeration first: members of different tracks that share a word ("ready") must not be mixed up.
MOVES: dict[type[State], dict[State, frozenset[State]]] = {
    _E: {
        _E.REQUESTED: frozenset({_E.VALIDATING, _E.CANCELLED}),
        _E.VALIDATING: frozenset({_E.PAUSED, _E.PROVISIONING, _E.CANCELLED}),
        _E.PAUSED: frozenset({_E.VALIDATING, _E.PROVISIONING, _E.CANCELLED}),
        _E.PROVISIONING: frozenset({_E.PAUSED, _E.READY, _E.CANCELLED}),
        _E.READY: frozenset({_E.ACTIVE, _E.CANCELLED}),
        _E.ACTIVE: frozenset({_E.CLOSED}),
    },
    _P: {
        _P.READY: frozenset({_P.HELD, _P.DEFERRED, _P.OVER_CAP, _P.ON_DRAFT, _P.WRITTEN_OFF, _P.SUPERSEDED}),
        _P.HELD: frozenset({_P.READY, _P.DEFERRED, _P.OVER_CAP, _P.WRITTEN_OFF, _P.SUPERSEDED}),
        _P.DEFERRED: frozenset({_P.READY, _P.HELD, _P.OVER_CAP, _P.WRITTEN_OFF, _P.SUPERSEDED}),
        _P.OVER_CAP: frozenset({_P.READY, _P.WRITTEN_OFF, _P.SUPERSEDED}),
        _P.ON_DRAFT: frozenset({_P.READY, _P.INVOICED}),
        _P.INVOICED: frozenset({_P.CREDITED, _P.SUPERSEDED}),  # superseded only by the parts it is split into
        _P.WRITTEN_OFF: frozenset({_P.READY, _P.SUPERSEDED}),
        _P.TRANSFERRED: frozenset({_P.SUPERSEDED}),  # by the entry's own move to where it belongs
    },
    _L: {_L.DRAFT: frozenset({_L.ISSUED, _L.DISCARDED}), _L.ISSUED: frozenset({_L.CREDITED})},
    _C: {
        _C.DRAFTED: frozenset({_C.IN_REVIEW, _C.APPROVED}),
        _C.IN_REVIEW: frozenset({_C.APPROVED, _C.DRAFTED}),
    },
    _T: {
        _T.PENDING: frozenset({_T.CALCULATED, _T.FAILED}),
        _T.FAILED: frozenset({_T.CALCULATED}),
        _T.CALCULATED: frozenset({_T.COMMITTED}),
    },
    _X: {
        _X.NOT_POSTED: frozenset({_X.POSTING, _X.POSTED}),
        _X.POSTING: frozenset({_X.POSTED, _X.REJECTED}),
        _X.REJECTED: frozenset({_X.POSTING, _X.POSTED}),
    },
    _D: {
        _D.NOT_SENT: frozenset({_D.SENT}),
        _D.SENT: frozenset({_D.DELIVERED, _D.BOUNCED}),
        _D.BOUNCED: frozenset({_D.SENT}),
    },
    _S: {
        _S.OPEN: frozenset({_S.PARTIALLY_PAID, _S.PAID, _S.WRITTEN_OFF}),
        _S.PARTIALLY_PAID: frozenset({_S.PAID, _S.OPEN, _S.WRITTEN_OFF}),
        _S.WRITTEN_OFF: frozenset({_S.OPEN, _S.PARTIALLY_PAID}),  # claimed again
        _S.PAID: frozenset({_S.OPEN, _S.PARTIALLY_PAID}),
    },
    _K: {_K.OPEN: frozenset({_K.RESOLVED, _K.WAIVED, _K.CANCELLED})},
    _Q: {
        _Q.OPEN: frozenset({_Q.INVESTIGATING, _Q.UPHELD, _Q.PARTIALLY_UPHELD, _Q.REJECTED}),
        _Q.INVESTIGATING: frozenset({_Q.UPHELD, _Q.PARTIALLY_UPHELD, _Q.REJECTED}),
        _Q.UPHELD: frozenset({_Q.CLOSED}),
        _Q.PARTIALLY_UPHELD: frozenset({_Q.CLOSED}),
        _Q.REJECTED: frozenset({_Q.CLOSED}),
    },
    _F: {
        _F.FUTURE: frozenset({_F.OPEN}),
        _F.OPEN: frozenset({_F.SOFT_CLOSED, _F.CLOSED}),
        _F.SOFT_CLOSED: frozenset({_F.OPEN, _F.CLOSED}),
        _F.CLOSED: frozenset({_F.REOPENED}),
        _F.REOPENED: frozenset({_F.CLOSED}),
    },
    _B: {
        _B.RECEIVED: frozenset({_B.MATCHED, _B.DISPUTED, _B.CANCELLED}),
        _B.DISPUTED: frozenset({_B.MATCHED, _B.CANCELLED}),
        _B.MATCHED: frozenset({_B.CONFIRMED, _B.DISPUTED, _B.CANCELLED}),
        _B.CONFIRMED: frozenset({_B.POSTED}),
        _B.POSTED: frozenset({_B.PAYABLE}),
        _B.PAYABLE: frozenset({_B.POSTED}),
    },
}

Stateful = TypeVar("Stateful", bound=BaseModel)


def may_move(old: State, new: State) -> bool:
    """True when the table allows old -> new."""
    return type(old) is type(new) and new in MOVES.get(type(old), {}).get(old, frozenset())


def move(subject: Stateful, track: str, new: State) -> Stateful:
    """The same object with one track in a new state. Raises IllegalTransition for a pair not in the table.

    A track the object does not have is a bug of the caller, not a state of the object.
    """
    assert track in type(subject).model_fields, f"{type(subject).__name__} has no track {track}"
    old: State = getattr(subject, track)
    if not may_move(old, new):
        name = type(subject).__name__
        raise IllegalTransition(f"{name}: {track} cannot go from {old} to {new}")
    return subject.model_copy(update={track: new})
