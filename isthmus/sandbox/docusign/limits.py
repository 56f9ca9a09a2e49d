"""Requests an account may make: in an hour, in thirty seconds, and per envelope.

Modelled from the vendor's published material; not certified. The hour begins at the full hour. How many reads of one
envelope are too many is not published: no number is enforced unless one is set. Reading the same thing of an envelope
twice within a quarter of an hour is against the rules, but answered: it is counted as a violation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from isthmus.sandbox.docusign.errors import Refused

BURST = timedelta(seconds=30)
POLLING = timedelta(minutes=15)


@dataclass
class Limits:
    """hourly and burst: requests of the account; envelope_reads: reads of one envelope in an hour. None: no limit."""

    hourly: int | None = None
    burst: int | None = None
    envelope_reads: int | None = None


class Counters:
    """What has been used."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.clear()

    def clear(self) -> None:
        """Nothing has been used, and there are no limits."""
        self.limits = Limits()
        self.violations: list[str] = []
        self._hour = datetime.min
        self._in_hour = 0
        self._burst: deque[datetime] = deque()
        self._reads: dict[str, list[datetime]] = {}
        self._last_read: dict[str, datetime] = {}

    def count(self, method: str, path: str, envelope_id: str) -> None:
        """One request more. Refused when it is one too many."""
        now = self._now()
        hour = now.replace(minute=0, second=0, microsecond=0)
        if hour != self._hour.replace(tzinfo=hour.tzinfo):
            self._hour, self._in_hour = hour, 0
        while self._burst and self._burst[0] <= now - BURST:
            self._burst.popleft()
        if self.limits.hourly is not None and self._in_hour >= self.limits.hourly:
            message = "The maximum number of hourly API invocations has been exceeded."
            raise Refused(400, "HOURLY_APIINVOCATION_LIMIT_EXCEEDED", message)
        if self.limits.burst is not None and len(self._burst) >= self.limits.burst:
            message = "The maximum number of burst API invocations has been exceeded."
            raise Refused(400, "BURST_APIINVOCATION_LIMIT_EXCEEDED", message)
        self._in_hour += 1
        self._burst.append(now)
        if method == "GET" and envelope_id:
            self._read(path, envelope_id, now)

    def _read(self, path: str, envelope_id: str, now: datetime) -> None:
        if now - self._last_read.get(path, now - POLLING) < POLLING:
            self.violations.append(path)
        self._last_read[path] = now
        reads = [at for at in self._reads.get(envelope_id, []) if at > now - timedelta(hours=1)]
        if self.limits.envelope_reads is not None and len(reads) >= self.limits.envelope_reads:
            message = "Too much polling of this envelope in the last hour."
            raise Refused(400, "Hourly_Envelope_Polling_Limit_Exceeded", message)
        self._reads[envelope_id] = [*reads, now]

    def headers(self) -> dict[str, str]:
        """What every answer tells about the limits of the account, where there are any."""
        limits, told = self.limits, dict[str, str]()
        if limits.hourly is not None:
            ends = self._now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
            told |= {"X-RateLimit-Limit": str(limits.hourly), "X-RateLimit-Reset": str(int(ends.timestamp()))}
            told["X-RateLimit-Remaining"] = str(max(0, limits.hourly - self._in_hour))
        if limits.burst is not None:
            told["X-BurstLimit-Limit"] = str(limits.burst)
            told["X-BurstLimit-Remaining"] = str(max(0, limits.burst - len(self._burst)))
        return told
