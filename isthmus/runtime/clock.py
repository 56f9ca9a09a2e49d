"""Time is passed in: the real clock, or one that a test moves by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo


class Clock(Protocol):
    """Where now comes from."""

    def now(self) -> datetime:
        """The instant, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """See Clock."""
        return datetime.now(UTC)


class HandClock:
    """A clock that stands until it is moved."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        """See Clock."""
        return self._now

    def move(self, by: timedelta) -> None:
        """Forward, or backward as machines sometimes do."""
        self._now += by

    def move_to(self, instant: datetime) -> None:
        """Forward to an instant; stays where it is when that has passed."""
        self._now = max(self._now, instant)


def local_day(instant: datetime, time_zone: str) -> date:
    """The calendar day of an instant in a time zone."""
    return instant.astimezone(ZoneInfo(time_zone)).date()


class ShiftedClock:
    """The machine's clock, moved by an offset: a demo or a drill plays another month at its own pace."""

    def __init__(self, start: datetime) -> None:
        self._offset = start - datetime.now(UTC)

    def now(self) -> datetime:
        """See Clock."""
        return datetime.now(UTC) + self._offset

    def move_to(self, instant: datetime) -> None:
        """Forward to an instant; stays where it is when that has passed."""
        self._offset += max(timedelta(0), instant - self.now())
