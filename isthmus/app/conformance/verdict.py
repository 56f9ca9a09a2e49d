"""A promise that is broken."""

from __future__ import annotations


class Broken(AssertionError):
    """A connector does not keep a promise of the suite. The text says which, and what was seen instead."""


def expect(holds: bool, otherwise: str) -> None:
    """Broken with this text unless it holds."""
    if not holds:
        raise Broken(otherwise)
