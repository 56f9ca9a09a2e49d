"""The base of all canonical objects."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Canonical(BaseModel):
    """Base of all canonical objects: frozen, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)
