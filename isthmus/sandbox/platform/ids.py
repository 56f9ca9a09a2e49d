"""Record ids as the platform writes them: 15 case-sensitive characters and a 3-character case checksum.

Modelled from the vendor's published material; not certified.
"""

from __future__ import annotations

import re

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECK = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
POD = "Hs0"  # server pair and reserved character: the same for every record of one organisation
_SHAPE = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?")


def checksum(id15: str) -> str:
    """The suffix that lets systems ignoring case tell ids apart: one character per five, a bit per capital."""
    suffix = ""
    for start in (0, 5, 10):
        chunk = id15[start : start + 5]
        suffix += _CHECK[sum(1 << bit for bit, letter in enumerate(chunk) if "A" <= letter <= "Z")]
    return suffix


def make(prefix: str, number: int, pod: str = POD) -> str:
    """The 18-character id of the number-th record under a key prefix."""
    digits = ""
    for _ in range(9):
        number, rest = divmod(number, 62)
        digits = _BASE62[rest] + digits
    id15 = prefix + pod + digits
    return id15 + checksum(id15)


def canonical(text: str) -> str | None:
    """The 18-character form of a well-formed id; None for anything else, including a wrong checksum."""
    if not _SHAPE.fullmatch(text):
        return None
    full = text[:15] + checksum(text[:15])
    return full if len(text) == 15 or text == full else None


class Counter:
    """Hands out ids in sequence, one sequence per key prefix, so that two equal runs give equal ids."""

    def __init__(self, pod: str = POD) -> None:
        self._pod = pod
        self._last: dict[str, int] = {}

    def next_number(self, prefix: str) -> int:
        """The next number of this sequence, from 1."""
        self._last[prefix] = self._last.get(prefix, 0) + 1
        return self._last[prefix]

    def next(self, prefix: str) -> str:
        """The next id under this key prefix."""
        return make(prefix, self.next_number(prefix), self._pod)
