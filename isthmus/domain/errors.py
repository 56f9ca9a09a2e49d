"""Every error of the house, grouped by what happens next, not by where it arises.

    IsthmusError
    ├── Retryable        nothing happened there: try again by itself
    │   ├── Unreachable          no connection, 5xx before anything was done, outage
    │   ├── Throttled            the other system asks for patience (after_seconds)
    │   ├── StaleRead            the other system does not show yet what it has accepted
    │   └── LostRace             another worker changed the row first
    ├── OutcomeUnknown   it may have happened: look it up by key, then decide
    │   └── Underway             the other system has taken it on and is not done: ask again by its job
    ├── NeedsDecision    a person decides: the run parks, a case opens with its money and its owner
    │   └── RemoteRefusal        the other system understood and refused
    ├── NeedsSetup       an administrator acts: the connection pauses, one case for all its runs
    ├── Refused          the caller's mistake: answered at the door, nothing is kept in flight
    │   ├── BadInput, BadAmount, UnknownCurrency, NotFound
    │   ├── SignatureInvalid, NotPermitted, NotOwner
    │   └── SameKeyOtherContent, IllegalTransition
    └── (bugs are asserts: they stop the run and say so)

Each class has a stable ``code``; NeedsDecision carries the exception type of the process (EX-…) and its queue.
Only runtime, kit and app catch.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar


class IsthmusError(Exception):
    """Root of all errors with a plan for what happens next."""

    code: ClassVar[str] = "isthmus"
    status: ClassVar[int] = 500
    owner: ClassVar[str] = "integration"

    @property
    def message(self) -> str:
        """What happened, where, and what to do."""
        return str(self)


class Retryable(IsthmusError):
    """Nothing happened on the other side; the same call may be made again."""

    code = "retryable"
    status = 503

    def __init__(self, message: str, after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds


class Unreachable(Retryable):
    """The other system cannot be reached or refuses all work for now."""

    code = "unreachable"


class Throttled(Retryable):
    """The other system asks us to slow down. widely: it means everything we send, not this one record or call."""

    code = "throttled"
    status = 429
    widely = True


class StaleRead(Retryable):
    """The other system has accepted a record but does not show it yet."""

    code = "stale_read"


class LostRace(Retryable):
    """Another worker changed the row between our read and our write."""

    code = "lost_race"


class OutcomeUnknown(IsthmusError):
    """The call may have been carried out. Look it up by its key before anything else."""

    code = "outcome_unknown"
    status = 504


class Underway(OutcomeUnknown):
    """The other system has taken the write on and is not done with it: it is asked again by its job, never sent twice.

    job: what the other system calls it; state: how far it is: created, accepted, staged.
    """

    code = "underway"
    status = 202

    def __init__(self, message: str, *, job: str, state: str = "accepted", after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.job = job
        self.state = state
        self.after_seconds = after_seconds


class NeedsDecision(IsthmusError):
    """A person must decide. Parks the run and opens a case.

    exception: the type of domain.md, such as EX-CCY; queue: who owns it; money: what is at stake (amount, currency);
    context: what the person needs to see; actions: what they may choose.
    """

    code = "needs_decision"
    status = 409

    def __init__(
        self,
        exception: str,
        cause: str,
        *,
        queue: str,
        money: tuple[Decimal, str] | None = None,
        context: dict[str, Any] | None = None,
        actions: tuple[str, ...] = ("retry", "cancel"),
    ) -> None:
        super().__init__(cause)
        self.exception = exception
        self.queue = queue
        self.money = money
        self.context = context or {}
        self.actions = actions


class RemoteRefusal(NeedsDecision):
    """The other system understood the request and refused it. The port says which exception type that is.

    words: what it said, without address and code, for the person who decides.
    """

    code = "remote_refusal"

    def __init__(
        self, cause: str, *, remote_code: str = "", field: str = "", system: str = "", words: str = ""
    ) -> None:
        super().__init__(
            "EX-REMOTE-REFUSAL",
            cause,
            queue="integration",
            context={"remote_code": remote_code, "field": field, "system": system, "words": words},
            actions=("edit", "retry", "cancel"),
        )
        self.remote_code = remote_code


class NeedsSetup(IsthmusError):
    """An administrator must act (credentials, permission, missing configuration). The connection pauses."""

    code = "needs_setup"
    status = 503

    def __init__(self, message: str, connection: str = "") -> None:
        super().__init__(message)
        self.connection = connection


class Refused(IsthmusError):
    """The caller's mistake."""

    code = "refused"
    status = 400
    owner = "caller"


class BadInput(Refused):
    """The input cannot be read or breaks a rule of its schema."""

    code = "bad_input"
    status = 422


class BadAmount(BadInput, ValueError):
    """An amount that its currency cannot hold, or amounts that do not go together."""

    code = "bad_amount"


class UnknownCurrency(BadAmount):
    """Not an ISO 4217 code one can bill in."""

    code = "unknown_currency"


class NotFound(Refused):
    """Nothing is known under this key."""

    code = "not_found"
    status = 404


class SignatureInvalid(Refused):
    """The message is not signed by who it says it is from, or too old."""

    code = "signature_invalid"
    status = 401


class NotPermitted(Refused):
    """The caller's roles do not allow this; or the preparer tries to approve."""

    code = "not_permitted"
    status = 403


class NotOwner(Refused):
    """The writer does not own this object.field for this entity. Names the rule, the owner and the route."""

    code = "not_owner"
    status = 403

    def __init__(self, message: str, *, rule: str, owner: str, route: str) -> None:
        super().__init__(message)
        self.rule = rule
        self.owner_system = owner
        self.route = route


class SameKeyOtherContent(Refused):
    """The key was used before for other content."""

    code = "same_key_other_content"
    status = 422


class IllegalTransition(Refused):
    """The object's state does not allow this."""

    code = "illegal_transition"
    status = 409
