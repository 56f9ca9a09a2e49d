"""Secrets by reference: a configuration names where one is kept, and never holds it."""

from __future__ import annotations

import os
from pathlib import Path

from isthmus.domain.errors import NeedsSetup


def read_secret(reference: str) -> str:
    """The value a reference names: ``env:NAME``, ``file:PATH``, or ``demo:VALUE`` for synthetic credentials."""
    kind, _, rest = reference.partition(":")
    if kind == "env":
        if rest not in os.environ:
            raise NeedsSetup(f"environment variable {rest} is not set")
        return os.environ[rest]
    if kind == "file":
        try:
            return Path(rest).read_text().rstrip("\n")
        except OSError as missing:
            raise NeedsSetup(f"secret file {rest} cannot be read: {missing.strerror}") from missing
    return rest


def by_reference(reference: str) -> str:
    """The reference, if it is one. ValueError for a secret that is written out."""
    if reference.partition(":")[0] not in ("env", "file", "demo"):
        raise ValueError("a secret is given by reference: env:NAME or file:PATH, never as text")
    return reference
