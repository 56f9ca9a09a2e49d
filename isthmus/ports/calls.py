"""What travels with a call to another system without being an argument: its priority, its correlation id, its trail."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

FINANCIAL, STANDARD, BULK = 0, 1, 2  # priorities of a call, lower goes first


@dataclass(frozen=True)
class Exchange:
    """What was sent and answered, as digests: enough to prove it later, nothing to leak.

    status: 0, and no response_digest, when it was sent and no answer came.
    """

    method: str
    path: str
    status: int
    milliseconds: float
    request_digest: str
    response_digest: str


priority_of_call: ContextVar[int] = ContextVar("priority_of_call", default=STANDARD)
correlation_of_call: ContextVar[str] = ContextVar("correlation_of_call", default="")
exchanges_of_call: ContextVar[list[Exchange] | None] = ContextVar("exchanges_of_call", default=None)
