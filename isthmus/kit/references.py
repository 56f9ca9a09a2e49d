"""Secrets by reference: a configuration names where one is kept, and never holds it."""

from __future__ import annotations

import os
from pathlib import Path

from isthmus.domain.errors import NeedsSetup

SEALED = "sealed"


def read_secret(reference: str) -> str:
    """The value a reference names: ``env:NAME``, ``file:PATH``, or ``demo:VALUE`` for synthetic credentials.

    ``sealed:NAME`` is kept in the hub's own database and read there only (app.vault): here it is NeedsSetup.
    """
    kind, _, rest = reference.partition(":")
    if kind == SEALED:
        raise NeedsSetup(f"{reference} cannot be read here: sealed secrets are for connections and callers of the API")
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
    if reference.partition(":")[0] not in ("env", "file", "demo", SEALED):
        raise ValueError("a secret is given by reference: env:NAME, file:PATH or sealed:NAME, never as text")
    return reference
