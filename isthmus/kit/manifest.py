"""A connector's manifest: every fact about the vendor in one TOML file. Unknown keys are refused."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from isthmus.domain.errors import NeedsSetup

Strategy = Literal["native_key", "natural_key_upsert", "find_then_create"]
Raises = Literal[
    "Unreachable", "Throttled", "OutcomeUnknown", "RemoteRefusal", "NeedsSetup", "StaleRead", "Absent", "Exists"
]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SystemFacts(_Strict):
    """Who the vendor is and what its API promises."""

    name: str
    vendor: str
    ports: tuple[str, ...]
    api_version: str
    release_cadence: str
    residency: str
    modelled_from: str


class AuthFacts(_Strict):
    """Kind of authentication, and the names of the credentials a connection must supply.

    optional: those with a default, which hold no secret.
    """

    kinds: tuple[Literal["jwt_bearer", "m2m", "tba", "basic", "bearer", "client_credentials"], ...]
    token_path: str = ""
    credentials: tuple[str, ...]
    optional: tuple[str, ...] = ()


class LimitFacts(_Strict):
    """The vendor's limit: parallel requests per account, or requests per window."""

    kind: Literal["concurrency", "window", "none"]
    limit: int = 0
    window_seconds: float = 0
    scope: str = "connection"


class CaptureFacts(_Strict):
    """How changes are learned."""

    kind: Literal["signed_webhook", "event_log", "delta_token", "watermark", "none"]
    retention_hours: int = 0
    overlap_seconds: int = 0


class VerbFacts(_Strict):
    """How a write is made safe to repeat."""

    strategy: Strategy
    find: str


class ErrorRow(_Strict):
    """One row of the error table: first match wins. status is a number or '5xx'; code is compared exactly."""

    status: int | Literal["4xx", "5xx"]
    code: str = ""
    contains: str = ""
    raises: Raises
    writes_only: bool = False
    reads_only: bool = False

    def matches(self, status: int, code: str, text: str, write: bool) -> bool:
        """True when this row speaks of that answer."""
        family = self.status if isinstance(self.status, int) else None
        if family is not None and family != status:
            return False
        if family is None and str(status)[0] != str(self.status)[0]:
            return False
        if (self.writes_only and not write) or (self.reads_only and write):
            return False
        return (not self.code or self.code == code) and (not self.contains or self.contains in text)


class Manifest(_Strict):
    """All facts of one connector."""

    system: SystemFacts
    auth: AuthFacts
    base_url: dict[str, str]
    limits: LimitFacts
    capture: CaptureFacts
    timeout_seconds: float = 30.0
    page_size: int = 100
    settling_seconds: float = 5.0
    error_code_path: str = ""
    error_message_path: str = ""
    verbs: dict[str, VerbFacts] = Field(default_factory=dict)
    reads: tuple[str, ...] = ()
    errors: tuple[ErrorRow, ...] = ()


def load(folder: Path) -> Manifest:
    """The manifest.toml of a connector's folder. NeedsSetup names the key that is wrong."""
    path = folder / "manifest.toml"
    try:
        return Manifest.model_validate(tomllib.loads(path.read_text()))
    except (ValidationError, tomllib.TOMLDecodeError) as wrong:
        raise NeedsSetup(f"{path.parent.name}/manifest.toml: {wrong}") from wrong
